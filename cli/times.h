/* SPDX-License-Identifier: Apache-2.0 */
/*
 * times.h - where a token's time goes: --profile.
 */
#ifndef SNUG_CLI_TIMES_H
#define SNUG_CLI_TIMES_H

#include <snug/session.h>

#include "cli/output.h"

typedef struct cli_times {
    snug_time time[SNUG_TIMES_MAX];
    size_t count;
    uint64_t tokens; /* that they are of */
} cli_times;

/* What the session took since it was told to take times; and it takes no more. */
void cli_times_read(cli_times *times, snug_session *session, uint64_t tokens);

/* One kind of work in each line, milliseconds a token and share of the whole, through `print`. */
void cli_times_print(const cli_times *times, void (*print)(const char *line));

/* [{"kind": "matmul", "type": "Q4_0", "ms": 12.5, "share": 0.8}], NULL without memory; ms are of a token. */
json_t *cli_times_json(const cli_times *times);

#endif /* SNUG_CLI_TIMES_H */
