/* SPDX-License-Identifier: Apache-2.0 */
/* unicode.c - UTF-8 stepping by hand, character classes by utf8proc. */
#include "text/template/unicode.h"

#include <utf8proc.h>

size_t snug_utf8_bytes(snug_str text, size_t at)
{
    const unsigned char first = (unsigned char)text.data[at];
    const size_t bytes = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    return bytes <= text.bytes - at ? bytes : text.bytes - at;
}

int32_t snug_utf8_decode(snug_str text, size_t at)
{
    const size_t bytes = snug_utf8_bytes(text, at);
    const unsigned char first = (unsigned char)text.data[at];
    int32_t character;

    if (bytes == 1)
        return first;
    character = first & (0x7f >> bytes);
    for (size_t i = 1; i < bytes; i++)
        character = (character << 6) | ((unsigned char)text.data[at + i] & 0x3f);
    return character;
}

size_t snug_utf8_count(snug_str text)
{
    size_t count = 0;

    for (size_t i = 0; i < text.bytes; i++)
        count += ((unsigned char)text.data[i] & 0xc0) != 0x80;
    return count;
}

size_t snug_utf8_offset(snug_str text, size_t index)
{
    size_t at = 0;

    while (index-- > 0 && at < text.bytes)
        at += snug_utf8_bytes(text, at);
    return at;
}

bool snug_character_is_space(int32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
           c == 0x3000;
}

bool snug_character_is_printable(int32_t character)
{
    if (character == ' ')
        return true;
    switch (utf8proc_category(character)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
        return false;
    default:
        return true;
    }
}

bool snug_character_is_letter(int32_t character)
{
    const utf8proc_category_t category = utf8proc_category(character);

    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool snug_character_is_decimal(int32_t character)
{
    return utf8proc_category(character) == UTF8PROC_CATEGORY_ND;
}

bool snug_character_is_upper(int32_t character)
{
    return utf8proc_category(character) == UTF8PROC_CATEGORY_LU;
}

bool snug_character_is_lower(int32_t character)
{
    return utf8proc_category(character) == UTF8PROC_CATEGORY_LL;
}

snug_str snug_text_strip_left(snug_str text)
{
    size_t at = 0;

    while (at < text.bytes && snug_character_is_space(snug_utf8_decode(text, at)))
        at += snug_utf8_bytes(text, at);
    return (snug_str){ text.data + at, text.bytes - at };
}

snug_str snug_text_strip_right(snug_str text)
{
    while (text.bytes > 0) {
        size_t at = text.bytes - 1;

        while (at > 0 && ((unsigned char)text.data[at] & 0xc0) == 0x80)
            at--;
        if (!snug_character_is_space(snug_utf8_decode(text, at)))
            break;
        text.bytes = at;
    }
    return text;
}
