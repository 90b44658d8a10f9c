/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input.h - what people give to the tool: texts (as such, @FILE, -), arrays of ids, and buffers that grow.
 */
#ifndef SNUG_CLI_INPUT_H
#define SNUG_CLI_INPUT_H

#include <stdio.h>

#include <snug/base.h>

#include "base/json.h"
#include "base/str.h"

/* Bytes that grow; terminated by a zero byte that is not counted. All zero is an empty one. */
typedef struct cli_buffer {
    char *data;
    size_t bytes;
    size_t capacity;
} cli_buffer;

SNUG_MUST_CHECK bool cli_buffer_add(cli_buffer *buffer, const char *bytes,
                                    size_t count); /* false: no memory */
void cli_buffer_free(cli_buffer *buffer);

/* A list of token ids. */
typedef struct cli_ids {
    uint32_t *id;
    size_t count;
} cli_ids;

/* Room for `count` ids; `count` is 0 afterwards. Errors: NO_MEMORY. */
SNUG_MUST_CHECK snug_status cli_ids_alloc(cli_ids *ids, size_t capacity, snug_error *error);
void cli_ids_free(cli_ids *ids);

/* Everything in a file; "-" is standard input. The sentence names the file. Errors: IO, NO_MEMORY. */
SNUG_MUST_CHECK snug_status cli_read_file(cli_buffer *out, const char *path, snug_error *error);

/*
 * A text as people give it: the text itself, @FILE or - for standard input. `name` is what the sentence
 * calls it. Errors: IO; ARGUMENT when it is not UTF-8, with the position of the first wrong byte.
 */
SNUG_MUST_CHECK snug_status cli_read_text(cli_buffer *out, const char *argument, const char *name,
                                          snug_error *error);

/* The position of the first byte that is not UTF-8, or `text.bytes`. */
size_t cli_utf8_valid_bytes(snug_str text);

/* Ids of a JSON array of whole numbers. Errors: CORRUPT. */
SNUG_MUST_CHECK snug_status cli_ids_from_json(cli_ids *out, snug_json array, snug_error *error);

/* Read a file that holds one JSON array of ids; the sentence names the file. */
SNUG_MUST_CHECK snug_status cli_read_ids(cli_ids *out, const char *path, snug_error *error);

/* Ids as people type them: a JSON array, or numbers with spaces or commas between them. Errors: ARGUMENT. */
SNUG_MUST_CHECK snug_status cli_ids_from_text(cli_ids *out, snug_str text, snug_error *error);

/* Read a JSON file; `*buffer_out` holds its text and must outlive `*root_out`. */
SNUG_MUST_CHECK snug_status cli_read_json(cli_buffer *buffer_out, snug_json *root_out, const char *path,
                                          snug_error *error);

/* The text of a JSON string, added to a buffer. False: no memory. */
SNUG_MUST_CHECK bool cli_buffer_add_json_string(cli_buffer *buffer, snug_json string);

#endif /* SNUG_CLI_INPUT_H */
