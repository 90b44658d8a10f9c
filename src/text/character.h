/* SPDX-License-Identifier: Apache-2.0 */
/*
 * character.h - what text/ asks of bytes beyond base/utf8.h: which character stands here, what is broken how,
 * and the alphabet in which byte-level vocabularies write bytes.
 */
#ifndef SNUG_SRC_TEXT_CHARACTER_H
#define SNUG_SRC_TEXT_CHARACTER_H

#include <stdint.h>

#include "base/str.h"
#include "base/utf8.h"

typedef enum snug_utf8_kind {
    SNUG_UTF8_VALID,   /* a whole character */
    SNUG_UTF8_INVALID, /* a maximal subpart (Unicode 3.9): one U+FFFD stands for it */
    SNUG_UTF8_CUT,     /* the beginning of a character, and then no more bytes */
} snug_utf8_kind;

/* What stands at `at`, of `bytes` (at least 1) bytes; *length_out is its length. */
static inline snug_utf8_kind snug_utf8_scan(size_t *length_out, const char *at, size_t bytes)
{
    const unsigned char *byte = (const unsigned char *)at;
    const unsigned first = byte[0];
    const size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    unsigned low = 0x80;
    unsigned high = 0xbf;

    *length_out = 1;
    if (first < 0x80)
        return SNUG_UTF8_VALID;
    if (first < 0xc2 || first > 0xf4)
        return SNUG_UTF8_INVALID;
    if (first == 0xe0)
        low = 0xa0;
    else if (first == 0xed)
        high = 0x9f;
    else if (first == 0xf0)
        low = 0x90;
    else if (first == 0xf4)
        high = 0x8f;
    for (size_t i = 1; i < length; i++) {
        *length_out = i;
        if (i == bytes)
            return SNUG_UTF8_CUT;
        if (byte[i] < low || byte[i] > high)
            return SNUG_UTF8_INVALID;
        low = 0x80;
        high = 0xbf;
    }
    *length_out = length;
    return SNUG_UTF8_VALID;
}

/* Length of the character that begins with this byte, in valid text. */
static inline size_t snug_utf8_length(char first)
{
    const unsigned byte = (unsigned char)first;

    return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

/* The character at `at` of valid text. */
static inline uint32_t snug_utf8_read(size_t *length_out, const char *at)
{
    const unsigned char *byte = (const unsigned char *)at;
    const size_t length = snug_utf8_length(*at);
    uint32_t code = length == 1 ? byte[0] : byte[0] & (0x7fu >> length);

    for (size_t i = 1; i < length; i++)
        code = code << 6 | (byte[i] & 0x3fu);
    *length_out = length;
    return code;
}

/* Start of the character that ends at `end`, in valid text that begins before it. */
static inline size_t snug_utf8_before(const char *text, size_t end)
{
    size_t at = end - 1;

    while (at > 0 && ((unsigned char)text[at] & 0xc0u) == 0x80u)
        at--;
    return at;
}

/*
 * The alphabet of byte-level vocabularies: printable Latin-1 bytes stand for themselves, the other 68, in
 * increasing order, for U+0100 onwards (0..32, 127..160, 173).
 */
#define SNUG_BYTE_CODE_END 324u

static inline uint32_t snug_byte_to_code(unsigned char byte)
{
    if (byte < 33)
        return 256u + byte;
    if (byte >= 127 && byte < 161)
        return 256u + 33u + byte - 127u;
    return byte == 173 ? 323u : byte;
}

/* The byte that a character of that alphabet stands for, or -1. */
static inline int snug_byte_from_code(uint32_t code)
{
    if (code >= 256 + 67)
        return code == 323 ? 173 : -1;
    if (code >= 256 + 33)
        return (int)(127 + code - 256 - 33);
    if (code >= 256)
        return (int)(code - 256);
    return code < 33 || (code >= 127 && code < 161) || code == 173 ? -1 : (int)code;
}

#endif /* SNUG_SRC_TEXT_CHARACTER_H */
