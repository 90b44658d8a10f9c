/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_writer.h - JSON text into a buffer whose size a first run over no buffer has counted. Internal to
 * format/. Objects and arrays are begun and ended with their brackets; commas are put by themselves.
 */
#ifndef SNUG_SRC_FORMAT_JSON_WRITER_H
#define SNUG_SRC_FORMAT_JSON_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

typedef struct json_writer {
    char *out; /* NULL: only count */
    size_t bytes;
    bool needs_comma;
} json_writer;

/* '{', '[', '}' or ']'; a key is put before what it names. */
void snug_json_put_open(json_writer *writer, const char *key, char bracket);
void snug_json_put_close(json_writer *writer, char bracket);

/* `key` is NULL within an array. */
void snug_json_put_u64(json_writer *writer, const char *key, uint64_t value);
void snug_json_put_f64(json_writer *writer, const char *key, double value); /* finite; read back, the same */
void snug_json_put_bool(json_writer *writer, const char *key, bool value);
void snug_json_put_string(json_writer *writer, const char *key, snug_str value); /* valid UTF-8 */

#endif /* SNUG_SRC_FORMAT_JSON_WRITER_H */
