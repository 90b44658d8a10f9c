/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.c - see the header.
 */
#include "server/json.h"

#include <string.h>

#include "base/utf8.h"

static int add(const char *bytes, size_t count, void *buffer)
{
    return server_buffer_add(buffer, bytes, count) ? 0 : -1;
}

bool server_json_write(server_buffer *buffer, const json_t *value)
{
    return json_dump_callback(value, add, buffer, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(10)) ==
           0;
}

json_t *server_json_text(const char *text, size_t bytes)
{
    char clean[1024];
    const char *end;

    if (bytes > sizeof clean)
        bytes = sizeof clean;
    memcpy(clean, text, bytes);
    end = clean + bytes;
    for (char *at = clean; at < end;) {
        const size_t length = snug_utf8_sequence_bytes(at, end);

        if (length == 0)
            *at = '?';
        at += length ? length : 1;
    }
    return json_stringn(clean, bytes);
}

json_t *server_json_bytes(uint64_t bytes)
{
    return bytes < SNUG_MEMORY_NO_LIMIT ? json_integer((json_int_t)bytes) : json_null();
}
