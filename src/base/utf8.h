/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8.h - which bytes are UTF-8 (RFC 3629): no surrogates, no overlong forms, nothing above U+10FFFF.
 */
#ifndef SNUG_SRC_BASE_UTF8_H
#define SNUG_SRC_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool snug_utf8_is_tail(unsigned char byte)
{
    return (byte & 0xc0u) == 0x80u;
}

/* Bytes of the valid sequence that begins at `at` (1 to 4), or 0 when there is none before `end`. */
static inline size_t snug_utf8_sequence_bytes(const char *at, const char *end)
{
    const unsigned char *byte = (const unsigned char *)at;
    const size_t left = (size_t)(end - at);

    if (left == 0)
        return 0;
    if (byte[0] < 0x80)
        return 1;
    if (byte[0] < 0xc2 || byte[0] > 0xf4 || left < 2 || !snug_utf8_is_tail(byte[1]))
        return 0;
    if (byte[0] < 0xe0)
        return 2;
    if (left < 3 || !snug_utf8_is_tail(byte[2]))
        return 0;
    if (byte[0] < 0xf0) {
        const bool is_overlong = byte[0] == 0xe0 && byte[1] < 0xa0;
        const bool is_surrogate = byte[0] == 0xed && byte[1] >= 0xa0;

        return is_overlong || is_surrogate ? 0 : 3;
    }
    if (left < 4 || !snug_utf8_is_tail(byte[3]))
        return 0;
    return (byte[0] == 0xf0 && byte[1] < 0x90) || (byte[0] == 0xf4 && byte[1] >= 0x90) ? 0 : 4;
}

/* Bytes at the beginning of `text` that are valid: `bytes` when all are. */
static inline size_t snug_utf8_valid_bytes(const char *text, size_t bytes)
{
    size_t at = 0;

    while (at < bytes) {
        const size_t step = snug_utf8_sequence_bytes(text + at, text + bytes);

        if (step == 0)
            break;
        at += step;
    }
    return at;
}

/* Write a code point (at most U+10FFFF) as 1 to 4 bytes; returns how many. */
static inline size_t snug_utf8_write(char out[4], uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | (code >> 6));
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | (code >> 12));
        out[1] = (char)(0x80 | ((code >> 6) & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | (code >> 18));
    out[1] = (char)(0x80 | ((code >> 12) & 0x3f));
    out[2] = (char)(0x80 | ((code >> 6) & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

#endif /* SNUG_SRC_BASE_UTF8_H */
