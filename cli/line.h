/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line.h - one line from the user: with editing and history on a terminal, plain from a file or a pipe.
 */
#ifndef SNUG_CLI_LINE_H
#define SNUG_CLI_LINE_H

#include "cli/input.h"

typedef struct cli_line_reader cli_line_reader;

/* NULL when there is no memory. */
cli_line_reader *cli_line_open(void);
void cli_line_close(cli_line_reader *reader);

typedef enum cli_line_result {
    CLI_LINE,
    CLI_LINE_END,         /* Ctrl-D, or the end of the file */
    CLI_LINE_INTERRUPTED, /* Ctrl-C while waiting */
} cli_line_result;

/* The next line, without its end, into `out`. */
cli_line_result cli_line_read(cli_line_reader *reader, cli_buffer *out);

#endif /* SNUG_CLI_LINE_H */
