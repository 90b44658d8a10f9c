/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h - reads JSON where it lies, without building anything.
 *
 * snug_json_check() validates a whole text once: grammar (RFC 8259), UTF-8, escapes (no lone surrogates, no
 * \u0000), nesting. After that a value is a pointer into the text, and reading it cannot fail, allocate or
 * run past the end. A tokenizer.json of 30 MB is read out of its mapping with no memory at all; a tree
 * of it would take 5 to 10 times the file (docs/decisions/).
 *
 * Cost: check and iteration are linear. snug_json_get() scans its object, so use it on small ones; skipping
 * over a value costs its length. The text must outlive its values.
 * Threads: values are read-only, any thread.
 */
#ifndef SNUG_SRC_BASE_JSON_H
#define SNUG_SRC_BASE_JSON_H

#include <snug/base.h>

#include "base/str.h"

typedef enum snug_json_kind {
    SNUG_JSON_ABSENT = 0, /* what snug_json_get() returns for a key that is not there */
    SNUG_JSON_NULL,
    SNUG_JSON_FALSE,
    SNUG_JSON_TRUE,
    SNUG_JSON_NUMBER,
    SNUG_JSON_STRING,
    SNUG_JSON_ARRAY,
    SNUG_JSON_OBJECT,
} snug_json_kind;

/* A value inside checked text; { NULL } is absent. Every function below accepts an absent value. */
typedef struct snug_json {
    const char *at;
} snug_json;

/* Deepest nesting accepted; real checkpoints stay below 12. Recursion is bounded by it. */
#define SNUG_JSON_DEPTH_MAX 64

/*
 * Validate `text` (a byte order mark in front is skipped) and return its root. A text that is one number must
 * end with a newline or a space: a value has no end of its own to stop at. The sentence in `error` says
 * what was expected and at which byte; it does not name the file: the caller adds that in front.
 * Errors: SNUG_ERR_CORRUPT.
 */
SNUG_MUST_CHECK snug_status snug_json_check(snug_json *root_out, snug_str text, snug_error *error);

snug_json_kind snug_json_kind_of(snug_json value);

/* "a number", "a string" ...: for sentences. */
const char *snug_json_kind_name(snug_json_kind kind);

/* Member `key` of an object, absent when there is none or `object` is none. Of duplicates the last one
 * counts. */
snug_json snug_json_get(snug_json object, const char *key);

/* Members of an object or elements of an array, in order. */
typedef struct snug_json_iterator {
    const char *at;
    bool is_object;
    bool is_first;
    bool is_behind; /* `at` is behind the last value already */
} snug_json_iterator;

snug_json_iterator snug_json_iterate(snug_json value); /* of anything else: no elements */

/* The next element; for an object `key_out` receives the raw key (see snug_json_string), else it is empty.
 * `key_out` may be NULL. False at the end. */
bool snug_json_next(snug_json_iterator *iterator, snug_str *key_out, snug_json *value_out);

/* `inner` went through the last value of `outer` to its end, where snug_json_next() returned false: `outer`
 * goes on from there, and does not pass all of it again. */
void snug_json_continue(snug_json_iterator *outer, const snug_json_iterator *inner);

size_t snug_json_count(snug_json value); /* elements; 0 for what has none */

/* These return false, and leave *out alone, when the value is of another kind or out of range. */
bool snug_json_u64(uint64_t *out, snug_json value); /* an integer without fraction or exponent, 0 .. 2^64-1 */
bool snug_json_i64(int64_t *out, snug_json value);
bool snug_json_f64(double *out,
                   snug_json value); /* finite only: 1e999 is refused. Independent of the locale */
bool snug_json_bool(bool *out, snug_json value);

/* The bytes between the quotes, escapes as written; an empty slice with data NULL for other kinds. */
snug_str snug_json_string(snug_json value);

/* Write the string that `raw` (as above) stands for: UTF-8, at most raw.bytes bytes, not terminated.
 * Returns its length. */
size_t snug_json_unescape(char *out, snug_str raw);

/* Whether the string value (or a raw key) stands for exactly this text. */
bool snug_json_string_is(snug_json value, const char *text);
bool snug_json_raw_is(snug_str raw, const char *text);

/* The whole text of a value, from its first to its last byte. */
snug_str snug_json_text(snug_json value);

#endif /* SNUG_SRC_BASE_JSON_H */
