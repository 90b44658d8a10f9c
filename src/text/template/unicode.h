/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unicode.h - characters of valid UTF-8, as Python counts and classes them.
 *
 * Every text of the interpreter is valid UTF-8: the source is checked once, JSON is checked by its reader,
 * and every operation keeps it so. The functions here rely on that.
 */
#ifndef SNUG_SRC_TEXT_TEMPLATE_UNICODE_H
#define SNUG_SRC_TEXT_TEMPLATE_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* Bytes of the character at text.data[at], 1 to 4. */
size_t snug_utf8_bytes(snug_str text, size_t at);
int32_t snug_utf8_decode(snug_str text, size_t at);

size_t snug_utf8_count(snug_str text);
/* Where character `index` begins; text.bytes when there are fewer. */
size_t snug_utf8_offset(snug_str text, size_t index);

/* str.isspace(), and str.isprintable(): what repr() leaves as it is. */
bool snug_character_is_space(int32_t character);
bool snug_character_is_printable(int32_t character);
bool snug_character_is_letter(int32_t character);
bool snug_character_is_decimal(int32_t character);
bool snug_character_is_upper(int32_t character);
bool snug_character_is_lower(int32_t character);

snug_str snug_text_strip_left(snug_str text);
snug_str snug_text_strip_right(snug_str text);

#endif /* SNUG_SRC_TEXT_TEMPLATE_UNICODE_H */
