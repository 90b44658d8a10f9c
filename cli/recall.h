/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recall.h - questions about facts that stand in the prompt: whether a cache still holds what was said.
 * The file: a JSON array of {"user": TEXT, "answer": TEXT}; other members are not looked at.
 */
#ifndef SNUG_CLI_RECALL_H
#define SNUG_CLI_RECALL_H

#include "cli/engine.h"
#include "cli/input.h"

typedef struct cli_recall {
    cli_buffer text;
    snug_json root;
} cli_recall;

typedef struct cli_recall_score {
    size_t tasks; /* that the session's context has room for */
    size_t right; /* whose answer begins as it should, chosen greedily */
} cli_recall_score;

cli_exit cli_recall_load(cli_recall *recall_out, const char *path);
void cli_recall_free(cli_recall *recall);

/* Ask every question through one session, each from an empty cache. */
cli_exit cli_recall_run(cli_recall_score *score_out, const cli_recall *recall, const cli_engine *engine,
                        snug_session *session);

#endif /* SNUG_CLI_RECALL_H */
