/* SPDX-License-Identifier: Apache-2.0 */
/*
 * moves.h - the model of a chat, which may be another one later: on request (/model), or by itself when
 * memory is critical (--allow-switch). The engine that the chat was begun with follows each move.
 */
#ifndef SNUG_CLI_MOVES_H
#define SNUG_CLI_MOVES_H

#include "cli/catalog.h"
#include "cli/engine.h"
#include "cli/store.h"

typedef struct cli_moves {
    cli_engine *engine;
    const cli_buffer *note; /* for the file of a conversation that is on disk while it moves */
    cli_catalog catalog;
    snug_pool *pool;
    snug_conversation *conversation;
    char checkpoint[4096];
    char checkpoint_id[CLI_ID_BYTES];
    bool has_folder;  /* for it */
    char first[4096]; /* the model that the chat was begun with */
} cli_moves;

/* Before the engine's model is planned: what it takes is counted. */
cli_exit cli_moves_prepare(cli_moves *moves, cli_engine *engine, const cli_buffer *note);
/* A conversation with the engine's model, tokenizer and session, which are its own from now on. */
cli_exit cli_moves_begin(cli_moves *moves);
void cli_moves_end(cli_moves *moves);

/* The models on this machine, and which would fit in place of the one of now. */
void cli_moves_list(const cli_moves *moves);

/* To another model; said in one line. What goes wrong is said, too, and changes nothing. */
cli_exit cli_moves_to(cli_moves *moves, const char *name);

/* By these rules, with this model and later ones. */
cli_exit cli_moves_set_strategy(cli_moves *moves, snug_strategy strategy);

/* Whether it is with the model it was begun with. */
bool cli_moves_is_home(const cli_moves *moves);

/* When the conversation's session could not come back from the disk: says how it can be resumed. */
bool cli_moves_is_on_disk(const cli_moves *moves);
void cli_moves_say_where(const cli_moves *moves);

#endif /* SNUG_CLI_MOVES_H */
