/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_json.c - any bytes to the JSON checker; what it lets pass is read in every way there is.
 *
 * The text is copied to a block of exactly its size, so that the address sanitizer sees one byte too many.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/status.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

/* A string unescaped stands for itself: read back by the comparison, which has its own loop. */
static void read_raw(snug_str raw)
{
    char *text = malloc(raw.bytes + 1);
    size_t bytes;

    SNUG_ASSERT(text);
    bytes = snug_json_unescape(text, raw);
    SNUG_ASSERT(bytes <= raw.bytes);
    text[bytes] = '\0';
    SNUG_ASSERT(strlen(text) == bytes); /* no \u0000 comes through */
    SNUG_ASSERT(snug_json_raw_is(raw, text));
    free(text);
}

static void read_number(snug_json value)
{
    uint64_t natural;
    int64_t integer;
    double real;

    if (snug_json_u64(&natural, value) && natural <= INT64_MAX)
        SNUG_ASSERT(snug_json_i64(&integer, value) && integer == (int64_t)natural);
    if (snug_json_f64(&real, value))
        SNUG_ASSERT(real - real == 0); /* finite */
}

/* Nesting is bounded by the checker, and so is this recursion. */
static void read_value(snug_json value, const char *end)
{
    snug_json_iterator iterator = snug_json_iterate(value);
    const snug_str text = snug_json_text(value);
    size_t count = 0;
    snug_json element;
    snug_str key;
    bool truth;

    SNUG_ASSERT(text.bytes > 0 && text.data + text.bytes <= end);
    read_number(value);
    (void)snug_json_bool(&truth, value);
    if (snug_json_kind_of(value) == SNUG_JSON_STRING)
        read_raw(snug_json_string(value));
    while (snug_json_next(&iterator, &key, &element)) {
        if (key.data)
            read_raw(key);
        read_value(element, text.data + text.bytes);
        count++;
    }
    SNUG_ASSERT(count == snug_json_count(value));
    (void)snug_json_get(value, "a");
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    char *text = malloc(bytes ? bytes : 1);
    snug_error error = { .text = "" };
    snug_json root;

    SNUG_ASSERT(text);
    if (bytes)
        memcpy(text, data, bytes);
    if (snug_json_check(&root, (snug_str){ text, bytes }, &error) == SNUG_OK)
        read_value(root, text + bytes);
    else
        SNUG_ASSERT(error.text[0] != '\0');
    free(text);
    return 0;
}
