/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - the folder of suspended conversations: one file for each (docs/cache-file.md), named by its id.
 *
 * A file's note is JSON: {"command", "model", "words": the options it was begun with, "messages"}: with it a
 * conversation goes on without anything else.
 */
#ifndef SNUG_CLI_STORE_H
#define SNUG_CLI_STORE_H

#include "cli/conversation.h"
#include "cli/engine.h"
#include "cli/input.h"

#define CLI_ID_BYTES 40

/*
 * Before an answer is begun: what it will take to go on, for memory may be short later. There may be no
 * messages. Without it (no memory for the note) cli_suspend() fails.
 */
void cli_suspend_prepare(cli_buffer *note, const cli_engine *engine, const snug_message *messages,
                         size_t count);

/* With all folders above it. */
cli_exit cli_store_make_folder(const cli_options *options);

/* A file in the store that no other process uses, and its id: for a session that leaves memory for a moment.
 */
cli_exit cli_store_checkpoint(char path_out[4096], char id_out[CLI_ID_BYTES], const cli_options *options);

typedef struct cli_suspension {
    char id[CLI_ID_BYTES];
    snug_suspend_result result;
} cli_suspension;

/*
 * Write the session to the store, and say on standard error where it is and how it goes on. CLI_SUSPENDED, or
 * the status of what went wrong, which is said; then the session is as it was.
 */
cli_exit cli_suspend(cli_suspension *out, const cli_engine *engine, const cli_buffer *note,
                     const char *reason);

/* One suspended conversation, open. */
typedef struct cli_stored {
    char id[CLI_ID_BYTES];
    char path[4096];
    snug_memory *memory; /* of its own */
    snug_suspended *suspended;
    snug_suspended_info info;
    snug_json note;
} cli_stored;

/* `id` may be the beginning of one, if only one begins so. */
cli_exit cli_stored_open(cli_stored *out, const cli_options *options, const char *id);
void cli_stored_close(cli_stored *stored);

/* Put the session where the suspended one was; what cannot be as it was is said. */
cli_exit cli_engine_resume(cli_engine *engine, const cli_stored *stored);

/* After it went on to its end, or to a newer suspension. */
cli_exit cli_stored_remove(const cli_stored *stored);

/* Calls `visit` with each id, oldest first. No folder: no ids. */
cli_exit cli_store_list(const cli_options *options, void (*visit)(void *user, const char *id), void *user);

#endif /* SNUG_CLI_STORE_H */
