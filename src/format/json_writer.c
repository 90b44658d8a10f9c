/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_writer.c - the pieces that JSON is written from. Numbers do not follow the locale.
 */
#include "format/json_writer.h"

#include <stdio.h>
#include <string.h>

static void put(json_writer *writer, const char *data, size_t bytes)
{
    if (writer->out && bytes > 0)
        memcpy(writer->out + writer->bytes, data, bytes);
    writer->bytes += bytes;
}

/* What stands before a value. */
static void put_key(json_writer *writer, const char *key)
{
    if (writer->needs_comma)
        put(writer, ",", 1);
    writer->needs_comma = true;
    if (!key)
        return;
    put(writer, "\"", 1);
    put(writer, key, strlen(key));
    put(writer, "\":", 2);
}

void snug_json_put_open(json_writer *writer, const char *key, char bracket)
{
    put_key(writer, key);
    put(writer, &bracket, 1);
    writer->needs_comma = false;
}

void snug_json_put_close(json_writer *writer, char bracket)
{
    put(writer, &bracket, 1);
    writer->needs_comma = true;
}

void snug_json_put_u64(json_writer *writer, const char *key, uint64_t value)
{
    char text[24];

    put_key(writer, key);
    put(writer, text, (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)value));
}

void snug_json_put_f64(json_writer *writer, const char *key, double value)
{
    char text[40];
    const size_t bytes = (size_t)snprintf(text, sizeof text, "%.17g", value);

    put_key(writer, key);
    for (size_t i = 0; i < bytes; i++) /* a decimal point that the locale writes otherwise */
        if (!strchr("+-0123456789e", text[i]))
            text[i] = '.';
    put(writer, text, bytes);
}

void snug_json_put_bool(json_writer *writer, const char *key, bool value)
{
    put_key(writer, key);
    put(writer, value ? "true" : "false", value ? 4 : 5);
}

void snug_json_put_string(json_writer *writer, const char *key, snug_str value)
{
    put_key(writer, key);
    put(writer, "\"", 1);
    for (size_t i = 0; i < value.bytes; i++) {
        const unsigned char c = (unsigned char)value.data[i];
        char text[8];

        if (c == '"' || c == '\\') {
            put(writer, "\\", 1);
            put(writer, value.data + i, 1);
        } else if (c < 0x20) {
            put(writer, text, (size_t)snprintf(text, sizeof text, "\\u%04x", c));
        } else {
            put(writer, value.data + i, 1);
        }
    }
    put(writer, "\"", 1);
}
