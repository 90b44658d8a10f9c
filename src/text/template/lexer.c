/* SPDX-License-Identifier: Apache-2.0 */
/* lexer.c - see lexer.h. Everything here is linear in the source. */
#include "text/template/lexer.h"

#include <string.h>

#include "base/status.h"
#include "base/utf8.h"
#include "text/template/unicode.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c) ||
           (unsigned char)c >= 0x80;
}

void snug_lexer_init(snug_lexer *lexer, snug_region *region, snug_str source)
{
    *lexer = (snug_lexer){
        .region = region, .source = source, .line = 1, .inside = SNUG_TOKEN_TEXT, .is_line_start = true
    };
}

/* The byte `offset` ahead, or 0 past the end. */
static char peek(const snug_lexer *lexer, size_t offset)
{
    return lexer->at + offset < lexer->source.bytes ? lexer->source.data[lexer->at + offset] : '\0';
}

static bool starts_with(const snug_lexer *lexer, size_t at, const char *text)
{
    const size_t bytes = strlen(text);

    return bytes <= lexer->source.bytes - at && memcmp(lexer->source.data + at, text, bytes) == 0;
}

static void advance(snug_lexer *lexer, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        lexer->line += lexer->source.data[lexer->at + i] == '\n';
    lexer->at += bytes;
}

static void skip_space(snug_lexer *lexer)
{
    while (lexer->at < lexer->source.bytes &&
           snug_character_is_space(snug_utf8_decode(lexer->source, lexer->at)))
        advance(lexer, snug_utf8_bytes(lexer->source, lexer->at));
}

/* Step over the end of a tag, `mark` of two bytes with its optional sign, and the white space it takes. */
static void finish_tag(snug_lexer *lexer, bool trims_newline)
{
    const char sign = peek(lexer, 0);
    const bool has_sign = sign == '-' || sign == '+';

    advance(lexer, has_sign ? 3 : 2);
    if (sign == '-')
        skip_space(lexer);
    else if (sign != '+' && trims_newline && peek(lexer, 0) == '\n')
        advance(lexer, 1);
    lexer->is_line_start = lexer->source.data[lexer->at - 1] == '\n';
}

/* Where the next tag begins: the first "{{", "{%" or "{#" at or after lexer->at, or the end. */
static size_t find_tag(const snug_lexer *lexer)
{
    const snug_str source = lexer->source;
    size_t at = lexer->at;

    while (at < source.bytes) {
        const char *brace = memchr(source.data + at, '{', source.bytes - at);

        if (!brace)
            break;
        at = (size_t)(brace - source.data);
        if (at + 1 < source.bytes && strchr("{%#", source.data[at + 1]) && source.data[at + 1])
            return at;
        at++;
    }
    return source.bytes;
}

/* What is left of the text from `begin` to the tag at `tag` by the rules of white space. */
static snug_str text_before_tag(const snug_lexer *lexer, size_t begin, size_t tag)
{
    const char sign = tag + 2 < lexer->source.bytes ? lexer->source.data[tag + 2] : '\0';
    snug_str text = { lexer->source.data + begin, tag - begin };
    size_t line_begin = text.bytes;

    if (sign == '-')
        return snug_text_strip_right(text);
    if (sign == '+' || lexer->source.data[tag + 1] == '{')
        return text;
    while (line_begin > 0 && text.data[line_begin - 1] != '\n')
        line_begin--;
    if (line_begin > 0 || lexer->is_line_start) {
        const snug_str blanks = { text.data + line_begin, text.bytes - line_begin };

        if (snug_text_strip_left(blanks).bytes == 0)
            text.bytes = line_begin;
    }
    return text;
}

/* If a `word` block tag (raw, endraw) stands at `tag`: the offset of its end mark, sign included; else 0. */
static size_t match_word_tag(const snug_lexer *lexer, size_t tag, const char *word)
{
    const snug_str source = lexer->source;
    size_t at = tag + 2;

    if (!starts_with(lexer, tag, "{%"))
        return 0;
    if (at < source.bytes && (source.data[at] == '-' || source.data[at] == '+'))
        at++;
    while (at < source.bytes && snug_character_is_space(snug_utf8_decode(source, at)))
        at += snug_utf8_bytes(source, at);
    if (!starts_with(lexer, at, word))
        return 0;
    at += strlen(word);
    while (at < source.bytes && snug_character_is_space(snug_utf8_decode(source, at)))
        at += snug_utf8_bytes(source, at);
    if (starts_with(lexer, at, "%}") || starts_with(lexer, at, "-%}") || starts_with(lexer, at, "+%}"))
        return at;
    return 0;
}

static bool skip_comment(snug_lexer *lexer)
{
    const unsigned line = lexer->line;
    const bool has_sign = peek(lexer, 2) == '-' || peek(lexer, 2) == '+';
    const size_t begin = lexer->at + 2 + has_sign;
    size_t at = begin;

    while (at < lexer->source.bytes && !starts_with(lexer, at, "#}"))
        at++;
    if (at >= lexer->source.bytes)
        return snug_region_fail(lexer->region, SNUG_ERR_CORRUPT, "line %u: a comment has no end, expected #}",
                                line);
    if (at > begin && (lexer->source.data[at - 1] == '-' || lexer->source.data[at - 1] == '+'))
        at--;
    advance(lexer, at - lexer->at);
    finish_tag(lexer, true);
    return true;
}

/* lexer->at is at a raw tag whose end mark is at `end`: give all text up to its endraw. */
static bool raw_text(snug_lexer *lexer, size_t end, snug_token *token)
{
    const unsigned line = lexer->line;
    size_t at;

    advance(lexer, end - lexer->at);
    finish_tag(lexer, false);
    for (at = lexer->at; at < lexer->source.bytes; at++) {
        const size_t mark = lexer->source.data[at] == '{' ? match_word_tag(lexer, at, "endraw") : 0;

        if (mark == 0)
            continue;
        *token = (snug_token){ SNUG_TOKEN_TEXT, line, text_before_tag(lexer, lexer->at, at) };
        advance(lexer, mark - lexer->at);
        finish_tag(lexer, true);
        return true;
    }
    return snug_region_fail(lexer->region, SNUG_ERR_CORRUPT, "line %u: a raw block has no endraw", line);
}

/* Outside of tags. Gives text, the begin of a tag after it, or the end. */
static bool next_outside(snug_lexer *lexer, snug_token *token)
{
    for (;;) {
        const size_t begin = lexer->at;
        const size_t tag = find_tag(lexer);
        size_t raw_end;
        snug_str text;

        *token = (snug_token){ SNUG_TOKEN_TEXT, lexer->line, { "", 0 } };
        if (tag == lexer->source.bytes) {
            token->text = (snug_str){ lexer->source.data + begin, tag - begin };
            token->kind = begin == tag ? SNUG_TOKEN_END : SNUG_TOKEN_TEXT;
            lexer->at = tag;
            return true;
        }
        text = text_before_tag(lexer, begin, tag);
        advance(lexer, tag - begin);
        lexer->is_line_start = false;
        if (text.bytes != 0) {
            token->text = text;
            return true;
        }
        if (starts_with(lexer, tag, "{#")) {
            if (!skip_comment(lexer))
                return false;
            continue;
        }
        raw_end = match_word_tag(lexer, tag, "raw");
        if (raw_end != 0) {
            if (!raw_text(lexer, raw_end, token))
                return false;
            if (token->text.bytes != 0)
                return true;
            continue;
        }
        lexer->inside = starts_with(lexer, tag, "{{") ? SNUG_TOKEN_PRINT_BEGIN : SNUG_TOKEN_BLOCK_BEGIN;
        *token = (snug_token){ lexer->inside, lexer->line, { lexer->source.data + tag, 2 } };
        advance(lexer, peek(lexer, 2) == '-' || peek(lexer, 2) == '+' ? 3 : 2);
        lexer->brackets = 0;
        return true;
    }
}

static bool next_string(snug_lexer *lexer, snug_token *token)
{
    const char quote = peek(lexer, 0);
    size_t length = 1;

    while (lexer->at + length < lexer->source.bytes && peek(lexer, length) != quote)
        length += peek(lexer, length) == '\\' ? 2 : 1;
    if (lexer->at + length >= lexer->source.bytes)
        return snug_region_fail(lexer->region, SNUG_ERR_CORRUPT, "line %u: a string has no closing %c",
                                lexer->line, quote);
    token->kind = SNUG_TOKEN_STRING;
    token->text = (snug_str){ lexer->source.data + lexer->at + 1, length - 1 };
    advance(lexer, length + 1);
    return true;
}

/* Digits with single underscores between them, from `offset`; returns where they end. */
static size_t digits(const snug_lexer *lexer, size_t offset)
{
    while (is_digit(peek(lexer, offset)) || (peek(lexer, offset) == '_' && is_digit(peek(lexer, offset + 1))))
        offset++;
    return offset;
}

static bool next_number(snug_lexer *lexer, snug_token *token)
{
    size_t length = digits(lexer, 0);
    size_t exponent;

    token->kind = SNUG_TOKEN_INTEGER;
    if (peek(lexer, 0) == '0' && strchr("xXoObB", peek(lexer, 1)) && peek(lexer, 1) != '\0') {
        length = 2;
        while (is_name_byte(peek(lexer, length)))
            length++;
    } else {
        if (peek(lexer, length) == '.' && is_digit(peek(lexer, length + 1))) {
            length = digits(lexer, length + 1);
            token->kind = SNUG_TOKEN_FLOAT;
        }
        exponent = length + 1 + (peek(lexer, length + 1) == '+' || peek(lexer, length + 1) == '-');
        if ((peek(lexer, length) | 0x20) == 'e' && is_digit(peek(lexer, exponent))) {
            length = digits(lexer, exponent);
            token->kind = SNUG_TOKEN_FLOAT;
        }
    }
    token->text = (snug_str){ lexer->source.data + lexer->at, length };
    lexer->at += length;
    return true;
}

static bool next_operator(snug_lexer *lexer, snug_token *token)
{
    static const char *const pairs[] = { "//", "**", "==", "!=", "<=", ">=" };
    const char c = peek(lexer, 0);
    size_t length = 1;

    for (size_t i = 0; i < SNUG_COUNT(pairs); i++)
        if (starts_with(lexer, lexer->at, pairs[i]))
            length = 2;
    if (length == 1 && (!strchr("+-*/%~<>=()[]{}.,:|;", c) || c == '\0'))
        return snug_region_fail(lexer->region, SNUG_ERR_CORRUPT, "line %u: unexpected character '%.*s'",
                                lexer->line, (int)snug_utf8_bytes(lexer->source, lexer->at),
                                lexer->source.data + lexer->at);
    if (strchr("([{", c))
        lexer->brackets++;
    else if (strchr(")]}", c)) {
        if (lexer->brackets == 0)
            return snug_region_fail(lexer->region, SNUG_ERR_CORRUPT, "line %u: unexpected '%c'", lexer->line,
                                    c);
        lexer->brackets--;
    }
    token->kind = SNUG_TOKEN_OPERATOR;
    token->text = (snug_str){ lexer->source.data + lexer->at, length };
    lexer->at += length;
    return true;
}

/* The end mark of the tag we are in, if it stands here. */
static bool is_tag_end(const snug_lexer *lexer)
{
    const char *mark = lexer->inside == SNUG_TOKEN_PRINT_BEGIN ? "}}" : "%}";
    const bool is_block = lexer->inside == SNUG_TOKEN_BLOCK_BEGIN;
    const char sign = peek(lexer, 0);

    if (lexer->brackets != 0)
        return false;
    if (sign == '-' || (sign == '+' && is_block))
        return starts_with(lexer, lexer->at + 1, mark);
    return starts_with(lexer, lexer->at, mark);
}

static bool next_inside(snug_lexer *lexer, snug_token *token)
{
    char c;

    skip_space(lexer);
    *token = (snug_token){ SNUG_TOKEN_END, lexer->line, { lexer->source.data + lexer->at, 0 } };
    if (lexer->at >= lexer->source.bytes)
        return snug_region_fail(lexer->region, SNUG_ERR_CORRUPT, "line %u: a tag has no end, expected %s",
                                lexer->line, lexer->inside == SNUG_TOKEN_PRINT_BEGIN ? "}}" : "%}");
    if (is_tag_end(lexer)) {
        const bool is_block = lexer->inside == SNUG_TOKEN_BLOCK_BEGIN;

        token->kind = is_block ? SNUG_TOKEN_BLOCK_END : SNUG_TOKEN_PRINT_END;
        finish_tag(lexer, is_block);
        lexer->inside = SNUG_TOKEN_TEXT;
        return true;
    }
    c = peek(lexer, 0);
    if (c == '"' || c == '\'')
        return next_string(lexer, token);
    if (is_digit(c))
        return next_number(lexer, token);
    if (is_name_byte(c)) {
        size_t length = 1;

        while (is_name_byte(peek(lexer, length)))
            length++;
        token->kind = SNUG_TOKEN_NAME;
        token->text = (snug_str){ lexer->source.data + lexer->at, length };
        lexer->at += length;
        return true;
    }
    return next_operator(lexer, token);
}

bool snug_lexer_next(snug_lexer *lexer, snug_token *token_out)
{
    if (lexer->inside == SNUG_TOKEN_TEXT)
        return next_outside(lexer, token_out);
    return next_inside(lexer, token_out);
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The character of \xHH, \uHHHH or \UHHHHHHHH, whose digits begin at `at`; false if it is none. */
static bool hex_escape(int32_t *character, snug_str text, size_t at, size_t digit_count)
{
    uint32_t value = 0;

    if (digit_count > text.bytes - at)
        return false;
    for (size_t i = 0; i < digit_count; i++) {
        const int digit = hex_value(text.data[at + i]);

        if (digit < 0)
            return false;
        value = value << 4 | (uint32_t)digit;
    }
    *character = (int32_t)value;
    return value <= 0x10ffff && (value < 0xd800 || value > 0xdfff);
}

/* One escape, `at` behind its backslash. Returns the bytes it takes, 0 when it cannot be read. */
static size_t read_escape(int32_t *character, snug_str text, size_t at)
{
    static const char letters[] = "\\'\"abfnrtv";
    static const char meanings[] = "\\'\"\a\b\f\n\r\t\v";
    const char c = text.data[at];
    const char *letter = strchr(letters, c);
    size_t length = 0;

    if (letter && c != '\0') {
        *character = meanings[letter - letters];
        return 1;
    }
    if (c == 'x' || c == 'u' || c == 'U') {
        const size_t digit_count = c == 'x' ? 2 : c == 'u' ? 4 : 8;

        return hex_escape(character, text, at + 1, digit_count) ? 1 + digit_count : 0;
    }
    *character = 0;
    while (length < 3 && at + length < text.bytes && text.data[at + length] >= '0' &&
           text.data[at + length] <= '7')
        *character = *character * 8 + (text.data[at + length++] - '0');
    return length;
}

bool snug_lexer_unescape(snug_lexer *lexer, snug_str *out, const snug_token *token)
{
    const snug_str text = token->text;
    char *data;
    size_t bytes = 0;

    *out = text;
    if (text.bytes == 0 || !memchr(text.data, '\\', text.bytes))
        return true;
    data = snug_region_text(lexer->region, text.bytes);
    if (!data)
        return false;
    for (size_t at = 0; at < text.bytes;) {
        int32_t character;
        size_t length;

        if (text.data[at] != '\\') {
            data[bytes++] = text.data[at++];
            continue;
        }
        if (text.data[++at] == '\n') { /* a line continued */
            at++;
            continue;
        }
        length = read_escape(&character, text, at);
        if (length == 0 && strchr("xuUN", text.data[at]))
            return snug_region_fail(lexer->region, SNUG_ERR_CORRUPT,
                                    "line %u: a string has an escape that is no character", token->line);
        if (length == 0)
            data[bytes++] = '\\'; /* as Python does: an unknown escape stands for itself */
        else
            bytes += snug_utf8_write(data + bytes, (uint32_t)character);
        at += length;
    }
    *out = (snug_str){ data, bytes };
    return true;
}
