/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.c - the checker of whole texts, and the readers of checked ones.
 *
 * The checker is a loop with one bit per open container instead of recursion: nesting costs no stack. It
 * leaves nothing behind but the promise that the text is sound, so the readers below look for the next
 * quote or bracket without ever asking where the text ends: every value but a number ends with a byte of
 * its own, and the checker makes sure that some byte follows every number.
 */
#include "base/json.h"

#include <stdio.h>

#include "base/json_number.h"
#include "base/status.h"
#include "base/utf8.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The value of a hexadecimal digit, or -1. */
static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* --- checking ------------------------------------------------------------------------------------------ */

/* Invariant: start <= at <= end. Bit i of `objects` says whether the container at depth i + 1 is one. */
typedef struct checker {
    const char *start;
    const char *at;
    const char *end;
    uint64_t objects;
    unsigned depth;
    snug_error *error;
} checker;

_Static_assert(SNUG_JSON_DEPTH_MAX <= 64, "checker.objects has one bit per level");

/* The sentence for what stands at `at`, where `expected` was wanted. */
static snug_status fail_at(const checker *check, const char *at, const char *expected)
{
    char found[24] = "the end of the text";
    size_t line = 1;

    for (const char *c = check->start; c < at; c++)
        line += *c == '\n';
    if (at < check->end) {
        const unsigned char byte = (unsigned char)*at;

        snprintf(found, sizeof found, byte > 0x20 && byte < 0x7f ? "'%c'" : "the byte 0x%02x", byte);
    }
    SNUG_FAIL(check->error, SNUG_ERR_CORRUPT, "not valid JSON: line %zu, byte %zu: expected %s, found %s",
              line, (size_t)(at - check->start), expected, found);
}

static void skip_space(checker *check)
{
    while (check->at < check->end && is_space(*check->at))
        check->at++;
}

static bool check_digits(checker *check)
{
    const char *first = check->at;

    while (check->at < check->end && is_digit(*check->at))
        check->at++;
    return check->at > first;
}

static snug_status check_number(checker *check)
{
    if (*check->at == '-')
        check->at++;
    if (check->at < check->end && *check->at == '0')
        check->at++;
    else if (!check_digits(check))
        return fail_at(check, check->at, "a digit");
    if (check->at < check->end && *check->at == '.') {
        check->at++;
        if (!check_digits(check))
            return fail_at(check, check->at, "a digit after the point");
    }
    if (check->at < check->end && (*check->at == 'e' || *check->at == 'E')) {
        check->at++;
        if (check->at < check->end && (*check->at == '+' || *check->at == '-'))
            check->at++;
        if (!check_digits(check))
            return fail_at(check, check->at, "a digit of the exponent");
    }
    /* Readers stop at the first byte that is no part of the number: there has to be one. */
    if (check->at == check->end && check->depth == 0)
        return fail_at(check, check->at, "something after the number, a newline at least");
    return SNUG_OK;
}

static snug_status check_word(checker *check, const char *word)
{
    for (; *word; word++, check->at++)
        if (check->at == check->end || *check->at != *word)
            return fail_at(check, check->at, "true, false or null");
    return SNUG_OK;
}

/* Four hexadecimal digits at `at`. */
static snug_status check_hex(const checker *check, const char *at, uint32_t *code_out)
{
    uint32_t code = 0;

    for (unsigned i = 0; i < 4; i++, at++) {
        const int value = at < check->end ? hex_value(*at) : -1;

        if (value < 0)
            return fail_at(check, at, "a hexadecimal digit");
        code = code * 16 + (uint32_t)value;
    }
    *code_out = code;
    return SNUG_OK;
}

/* At the u of \uXXXX. Surrogates come in pairs; U+0000 would end a C string early. */
static snug_status check_unicode_escape(checker *check)
{
    const char *first = check->at;
    uint32_t code;

    SNUG_TRY(check_hex(check, check->at + 1, &code));
    check->at += 5;
    if (code == 0)
        return fail_at(check, first, "an escape other than \\u0000");
    if (code >= 0xdc00 && code <= 0xdfff)
        return fail_at(check, first, "a high surrogate before this low one");
    if (code < 0xd800 || code > 0xdfff)
        return SNUG_OK;
    if (check->end - check->at < 2 || check->at[0] != '\\' || check->at[1] != 'u')
        return fail_at(check, check->at, "the escape of a low surrogate");
    SNUG_TRY(check_hex(check, check->at + 2, &code));
    if (code < 0xdc00 || code > 0xdfff)
        return fail_at(check, check->at, "the escape of a low surrogate");
    check->at += 6;
    return SNUG_OK;
}

static snug_status check_escape(checker *check)
{
    check->at++;
    if (check->at == check->end)
        return fail_at(check, check->at, "the rest of an escape");
    switch (*check->at) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        check->at++;
        return SNUG_OK;
    case 'u':
        return check_unicode_escape(check);
    default:
        return fail_at(check, check->at, "one of \"\\/bfnrtu after a backslash");
    }
}

static snug_status check_string(checker *check)
{
    for (check->at++; check->at < check->end;) {
        const unsigned char byte = (unsigned char)*check->at;

        if (byte == '"') {
            check->at++;
            return SNUG_OK;
        }
        if (byte == '\\') {
            SNUG_TRY(check_escape(check));
        } else if (byte < 0x20) {
            return fail_at(check, check->at, "control characters in a string to be escaped");
        } else if (byte < 0x80) {
            check->at++;
        } else {
            const size_t bytes = snug_utf8_sequence_bytes(check->at, check->end);

            if (bytes == 0)
                return fail_at(check, check->at, "UTF-8");
            check->at += bytes;
        }
    }
    return fail_at(check, check->at, "the closing quote of a string");
}

/* A key and its colon; what follows is a value. */
static snug_status check_key(checker *check)
{
    skip_space(check);
    if (check->at == check->end || *check->at != '"')
        return fail_at(check, check->at, "a key in double quotes");
    SNUG_TRY(check_string(check));
    skip_space(check);
    if (check->at == check->end || *check->at != ':')
        return fail_at(check, check->at, "':' after the key");
    check->at++;
    return SNUG_OK;
}

static bool is_in_object(const checker *check)
{
    return check->depth > 0 && (check->objects >> (check->depth - 1)) & 1;
}

/* At the bracket. *is_open_out: a value comes next; otherwise the container was empty and is closed. */
static snug_status check_opening(checker *check, bool *is_open_out)
{
    const bool is_object = *check->at == '{';
    const uint64_t bit = 1ull << (check->depth % 64);

    if (check->depth == SNUG_JSON_DEPTH_MAX)
        return fail_at(check, check->at, "at most 64 nested arrays and objects");
    check->at++;
    skip_space(check);
    *is_open_out = check->at == check->end || *check->at != (is_object ? '}' : ']');
    if (!*is_open_out) {
        check->at++;
        return SNUG_OK;
    }
    check->objects = is_object ? check->objects | bit : check->objects & ~bit;
    check->depth++;
    return is_object ? check_key(check) : SNUG_OK;
}

/* After a value: close containers up to the next comma. */
static snug_status check_after_value(checker *check)
{
    while (check->depth > 0) {
        const bool is_object = is_in_object(check);

        skip_space(check);
        if (check->at == check->end)
            return fail_at(check, check->at, is_object ? "',' or '}'" : "',' or ']'");
        if (*check->at == ',') {
            check->at++;
            return is_object ? check_key(check) : SNUG_OK;
        }
        if (*check->at != (is_object ? '}' : ']'))
            return fail_at(check, check->at, is_object ? "',' or '}'" : "',' or ']'");
        check->at++;
        check->depth--;
    }
    return SNUG_OK;
}

static snug_status check_value(checker *check)
{
    bool is_open = false;

    skip_space(check);
    if (check->at == check->end)
        return fail_at(check, check->at, "a value");
    switch (*check->at) {
    case '{':
    case '[':
        SNUG_TRY(check_opening(check, &is_open));
        break;
    case '"':
        SNUG_TRY(check_string(check));
        break;
    case 't':
        SNUG_TRY(check_word(check, "true"));
        break;
    case 'f':
        SNUG_TRY(check_word(check, "false"));
        break;
    case 'n':
        SNUG_TRY(check_word(check, "null"));
        break;
    default:
        if (*check->at == 'N' || *check->at == 'I') /* Python writes them */
            return fail_at(check, check->at, "a value (JSON has no NaN or Infinity)");
        if (*check->at != '-' && !is_digit(*check->at))
            return fail_at(check, check->at, "a value");
        SNUG_TRY(check_number(check));
    }
    return is_open ? SNUG_OK : check_after_value(check);
}

snug_status snug_json_check(snug_json *root_out, snug_str text, snug_error *error)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    checker check = { .error = error };
    const char *root;

    check.start = text.data ? text.data : "";
    check.at = check.start;
    check.end = check.start + text.bytes;
    if (text.bytes >= 3 && memcmp(text.data, byte_order_mark, 3) == 0)
        check.at += 3;
    skip_space(&check);
    root = check.at;
    do
        SNUG_TRY(check_value(&check));
    while (check.depth > 0);
    skip_space(&check);
    if (check.at != check.end)
        return fail_at(&check, check.at, "the end of the text");
    root_out->at = root;
    return SNUG_OK;
}

/* --- moving through checked text ------------------------------------------------------------------------ */

static const char *after_space(const char *at)
{
    while (is_space(*at))
        at++;
    return at;
}

/* `at` is the opening quote; returns the closing one. */
static const char *string_end(const char *at)
{
    for (at++; *at != '"'; at++)
        if (*at == '\\')
            at++;
    return at;
}

/* What the bytes of a text are to somebody who skips over it. */
enum {
    SKIP_PLAIN = 0,
    SKIP_QUOTE,
    SKIP_OPEN,
    SKIP_CLOSE,
};

static const unsigned char skip_kind[256] = {
    ['"'] = SKIP_QUOTE, ['['] = SKIP_OPEN, ['{'] = SKIP_OPEN, [']'] = SKIP_CLOSE, ['}'] = SKIP_CLOSE,
};

/* `at` is the opening bracket; returns the byte after the closing one. Most bytes of a large file are passed
 * here, several times: one look-up each. */
static const char *after_container(const char *at)
{
    size_t depth = 0;

    for (;;) {
        while (skip_kind[(unsigned char)*at] == SKIP_PLAIN)
            at++;
        switch (skip_kind[(unsigned char)*at]) {
        case SKIP_QUOTE:
            at = string_end(at);
            break;
        case SKIP_OPEN:
            depth++;
            break;
        default:
            if (--depth == 0)
                return at + 1;
        }
        at++;
    }
}

static const char *after_number(const char *at)
{
    while (is_digit(*at) || *at == '-' || *at == '+' || *at == '.' || *at == 'e' || *at == 'E')
        at++;
    return at;
}

static const char *after_value(snug_json value)
{
    switch (snug_json_kind_of(value)) {
    case SNUG_JSON_ABSENT:
        return NULL;
    case SNUG_JSON_NULL:
    case SNUG_JSON_TRUE:
        return value.at + 4;
    case SNUG_JSON_FALSE:
        return value.at + 5;
    case SNUG_JSON_NUMBER:
        return after_number(value.at);
    case SNUG_JSON_STRING:
        return string_end(value.at) + 1;
    case SNUG_JSON_ARRAY:
    case SNUG_JSON_OBJECT:
        break;
    }
    return after_container(value.at);
}

snug_json_kind snug_json_kind_of(snug_json value)
{
    if (!value.at)
        return SNUG_JSON_ABSENT;
    switch (*value.at) {
    case 'n':
        return SNUG_JSON_NULL;
    case 'f':
        return SNUG_JSON_FALSE;
    case 't':
        return SNUG_JSON_TRUE;
    case '"':
        return SNUG_JSON_STRING;
    case '[':
        return SNUG_JSON_ARRAY;
    case '{':
        return SNUG_JSON_OBJECT;
    default:
        return SNUG_JSON_NUMBER;
    }
}

const char *snug_json_kind_name(snug_json_kind kind)
{
    static const char *const names[] = {
        [SNUG_JSON_ABSENT] = "absent",  [SNUG_JSON_NULL] = "null",        [SNUG_JSON_FALSE] = "false",
        [SNUG_JSON_TRUE] = "true",      [SNUG_JSON_NUMBER] = "a number",  [SNUG_JSON_STRING] = "a string",
        [SNUG_JSON_ARRAY] = "an array", [SNUG_JSON_OBJECT] = "an object",
    };

    SNUG_ASSERT((size_t)kind < SNUG_COUNT(names));
    return names[kind];
}

snug_json_iterator snug_json_iterate(snug_json value)
{
    const snug_json_kind kind = snug_json_kind_of(value);
    snug_json_iterator iterator = { .is_object = kind == SNUG_JSON_OBJECT, .is_first = true };

    if (kind == SNUG_JSON_OBJECT || kind == SNUG_JSON_ARRAY)
        iterator.at = value.at + 1;
    return iterator;
}

/*
 * Between calls `at` is the value handed out last: it is skipped only when another one is asked for. At the
 * end it stays on the closing bracket with is_first set, which is the state of an empty container.
 */
bool snug_json_next(snug_json_iterator *iterator, snug_str *key_out, snug_json *value_out)
{
    snug_str key = { NULL, 0 };
    const char *at = iterator->at;

    if (!at)
        return false;
    if (!iterator->is_first) {
        at = after_space(iterator->is_behind ? at : after_value((snug_json){ at }));
        if (*at == ',')
            at++;
    }
    at = after_space(at);
    iterator->is_behind = false;
    iterator->is_first = *at == ']' || *at == '}';
    iterator->at = at;
    if (iterator->is_first)
        return false;
    if (iterator->is_object) {
        const char *end = string_end(at);

        key = (snug_str){ at + 1, (size_t)(end - at - 1) };
        at = after_space(after_space(end + 1) + 1);
        iterator->at = at;
    }
    if (key_out)
        *key_out = key;
    value_out->at = at;
    return true;
}

void snug_json_continue(snug_json_iterator *outer, const snug_json_iterator *inner)
{
    outer->at = inner->at + 1;
    outer->is_behind = true;
}

size_t snug_json_count(snug_json value)
{
    snug_json_iterator iterator = snug_json_iterate(value);
    snug_json element;
    size_t count = 0;

    while (snug_json_next(&iterator, NULL, &element))
        count++;
    return count;
}

snug_json snug_json_get(snug_json object, const char *key)
{
    snug_json_iterator iterator = snug_json_iterate(object);
    snug_json found = { NULL };
    snug_json value;
    snug_str raw;

    if (!iterator.is_object)
        return found;
    while (snug_json_next(&iterator, &raw, &value))
        if (snug_json_raw_is(raw, key))
            found = value;
    return found;
}

snug_str snug_json_text(snug_json value)
{
    if (!value.at)
        return (snug_str){ NULL, 0 };
    return (snug_str){ value.at, (size_t)(after_value(value) - value.at) };
}

/* --- reading scalars ------------------------------------------------------------------------------------ */

bool snug_json_u64(uint64_t *out, snug_json value)
{
    uint64_t magnitude;
    bool is_negative;

    if (snug_json_kind_of(value) != SNUG_JSON_NUMBER ||
        !snug_json_number_integer(&magnitude, &is_negative, snug_json_text(value)) || is_negative)
        return false;
    *out = magnitude;
    return true;
}

bool snug_json_i64(int64_t *out, snug_json value)
{
    uint64_t magnitude;
    bool is_negative;

    if (snug_json_kind_of(value) != SNUG_JSON_NUMBER ||
        !snug_json_number_integer(&magnitude, &is_negative, snug_json_text(value)))
        return false;
    if (magnitude > (uint64_t)INT64_MAX + is_negative)
        return false;
    if (magnitude > INT64_MAX)
        *out = INT64_MIN;
    else
        *out = is_negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return true;
}

bool snug_json_f64(double *out, snug_json value)
{
    return snug_json_kind_of(value) == SNUG_JSON_NUMBER &&
           snug_json_number_double(out, snug_json_text(value));
}

bool snug_json_bool(bool *out, snug_json value)
{
    const snug_json_kind kind = snug_json_kind_of(value);

    if (kind != SNUG_JSON_TRUE && kind != SNUG_JSON_FALSE)
        return false;
    *out = kind == SNUG_JSON_TRUE;
    return true;
}

snug_str snug_json_string(snug_json value)
{
    if (snug_json_kind_of(value) != SNUG_JSON_STRING)
        return (snug_str){ NULL, 0 };
    return (snug_str){ value.at + 1, (size_t)(string_end(value.at) - value.at - 1) };
}

static uint32_t read_hex(const char *at)
{
    uint32_t code = 0;

    for (unsigned i = 0; i < 4; i++)
        code = code * 16 + (uint32_t)hex_value(at[i]);
    return code;
}

/* The character written at *at, escaped or not, as UTF-8; *at moves behind it. Raw bytes come one by one. */
static size_t read_character(char out[4], const char **at)
{
    const char *c = *at;
    uint32_t code;

    if (*c != '\\') {
        out[0] = *c;
        *at = c + 1;
        return 1;
    }
    *at = c + 2;
    switch (c[1]) {
    case 'b':
        out[0] = '\b';
        return 1;
    case 'f':
        out[0] = '\f';
        return 1;
    case 'n':
        out[0] = '\n';
        return 1;
    case 'r':
        out[0] = '\r';
        return 1;
    case 't':
        out[0] = '\t';
        return 1;
    case 'u':
        break;
    default: /* a quote, a backslash, a slash */
        out[0] = c[1];
        return 1;
    }
    code = read_hex(c + 2);
    *at = c + 6;
    if (code >= 0xd800 && code <= 0xdfff) {
        code = 0x10000 + ((code - 0xd800) << 10) + (read_hex(c + 8) - 0xdc00);
        *at = c + 12;
    }
    return snug_utf8_write(out, code);
}

size_t snug_json_unescape(char *out, snug_str raw)
{
    const char *at = raw.data;
    const char *end = raw.data + raw.bytes;
    size_t bytes = 0;

    while (at < end) {
        const char *escape = memchr(at, '\\', (size_t)(end - at));
        const size_t plain = (size_t)((escape ? escape : end) - at);

        memcpy(out + bytes, at, plain);
        bytes += plain;
        at += plain;
        if (escape) {
            char character[4];
            const size_t count = read_character(character, &at);

            memcpy(out + bytes, character, count);
            bytes += count;
        }
    }
    return bytes;
}

bool snug_json_raw_is(snug_str raw, const char *text)
{
    const char *at = raw.data;
    size_t left = strlen(text);
    char character[4];

    if (!raw.data)
        return false;
    while (at < raw.data + raw.bytes) {
        const size_t count = read_character(character, &at);

        if (count > left || memcmp(text, character, count) != 0)
            return false;
        text += count;
        left -= count;
    }
    return left == 0;
}

bool snug_json_string_is(snug_json value, const char *text)
{
    return snug_json_kind_of(value) == SNUG_JSON_STRING && snug_json_raw_is(snug_json_string(value), text);
}
