/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shown.c - see the header.
 */
#include "cli/shown.h"

#include <string.h>

#include "base/utf8.h"
#include "cli/input.h"
#include "cli/json_heap.h"
#include "cli/output.h"

static uint32_t code_point(const char *at, size_t bytes)
{
    static const unsigned char masks[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
    uint32_t code = (unsigned char)at[0] & masks[bytes];

    for (size_t i = 1; i < bytes; i++)
        code = code << 6 | ((unsigned char)at[i] & 0x3fu);
    return code;
}

/* C0, DEL and C1 command a terminal; the others are invisible, break the line or turn the text around. */
static bool is_shown(uint32_t code)
{
    if (code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0xad || code == 0x61c)
        return false;
    return !(code >= 0x200b && code <= 0x200f) && !(code >= 0x2028 && code <= 0x202e) &&
           !(code >= 0x2060 && code <= 0x206f) && code != 0xfeff && code < 0xe0000;
}

void cli_show(const char *text, size_t bytes, int columns)
{
    const char *at = text;
    const char *end = text + bytes;
    int width = 0;

    while (at < end) {
        const size_t step = snug_utf8_sequence_bytes(at, end);

        if (step > 0 && is_shown(code_point(at, step))) {
            cli_write(at, step);
            at += step;
            width++;
            continue;
        }
        for (size_t i = 0; i < (step ? step : 1); i++) {
            cli_print("\\x%02x", (unsigned)(unsigned char)*at++);
            width += 4;
        }
    }
    if (width < columns)
        cli_print("%*s", columns - width, "");
}

json_t *cli_shown_json(const char *text, size_t bytes)
{
    const char *at = text;
    const char *end = text + bytes;
    cli_buffer valid = { 0 };
    bool is_kept = cli_buffer_add(&valid, "", 0);
    json_t *string = NULL;

    while (at < end && is_kept) {
        const size_t step = snug_utf8_valid_bytes(at, (size_t)(end - at));

        is_kept = cli_buffer_add(&valid, at, step);
        at += step;
        if (at < end && is_kept) {
            is_kept = cli_buffer_add(&valid, "\xef\xbf\xbd", 3);
            at++;
        }
    }
    if (is_kept)
        string = json_stringn(valid.data, valid.bytes);
    cli_buffer_free(&valid);
    return string;
}

void cli_write_json_ascii(json_t *value)
{
    char *text = value ? json_dumps(value, JSON_ENSURE_ASCII | JSON_REAL_PRECISION(12)) : NULL;

    if (!text) {
        json_decref(value);
        cli_write_json(NULL);
        return;
    }
    cli_write(text, strlen(text));
    cli_json_free(text);
    json_decref(value);
}
