/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shown.h - texts out of a model's files, made fit for a terminal and for JSON.
 *
 * A file may name a tensor or a token anything, sequences that command a terminal included.
 */
#ifndef SNUG_CLI_SHOWN_H
#define SNUG_CLI_SHOWN_H

#include <jansson.h>

#include <snug/base.h>

/*
 * Print to standard output, padded with spaces to `columns` bytes. Control characters, what turns or hides
 * text, and bytes that are not UTF-8 appear as \xNN, byte by byte.
 */
void cli_show(const char *text, size_t bytes, int columns);

/* The text as a JSON string; bytes that are not UTF-8 become U+FFFD. NULL when memory ran out. */
json_t *cli_shown_json(const char *text, size_t bytes);

/* As cli_write_json(), but in plain ASCII: what is not appears as \uNNNN, so no terminal is commanded. */
void cli_write_json_ascii(json_t *value);

#endif /* SNUG_CLI_SHOWN_H */
