/* SPDX-License-Identifier: Apache-2.0 */
/* text_methods.c - methods of strings: ends, cases, classes, padding; text_search.c has the others. */
#include "text/template/run.h"

#include <string.h>

#include <utf8proc.h>

#include "base/utf8.h"
#include "text/template/builtins.h"
#include "text/template/unicode.h"

/* Whether the character at text.data[at] is one of `set`; without data: whether it is white space. */
static bool is_in_set(snug_str text, size_t at, snug_str set)
{
    const size_t bytes = snug_utf8_bytes(text, at);

    if (!set.data)
        return snug_character_is_space(snug_utf8_decode(text, at));
    for (size_t i = 0; i < set.bytes; i += snug_utf8_bytes(set, i))
        if (set.bytes - i >= bytes && memcmp(set.data + i, text.data + at, bytes) == 0)
            return true;
    return false;
}

bool snug_text_strip(snug_run *run, snug_str *text, snug_str set, bool left, bool right)
{
    const uint64_t cost = 1 + set.bytes / 16;

    while (left && text->bytes != 0 && is_in_set(*text, 0, set)) {
        const size_t bytes = snug_utf8_bytes(*text, 0);

        *text = (snug_str){ text->data + bytes, text->bytes - bytes };
        if (!snug_run_spend(run, cost))
            return false;
    }
    while (right && text->bytes != 0) {
        size_t at = text->bytes - 1;

        while (at > 0 && snug_utf8_is_tail((unsigned char)text->data[at]))
            at--;
        if (!is_in_set(*text, at, set))
            break;
        text->bytes = at;
        if (!snug_run_spend(run, cost))
            return false;
    }
    return true;
}

static bool strip_ends(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call,
                       bool left, bool right)
{
    snug_str set = { NULL, 0 };
    snug_str text = self->text;

    if (!snug_argument_text(run, &set, &call->values[0], "chars") ||
        !snug_text_strip(run, &text, set, left, right))
        return false;
    *out = snug_value_string(text);
    return true;
}

static bool method_strip(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return strip_ends(run, out, self, call, true, true);
}

static bool method_lstrip(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return strip_ends(run, out, self, call, true, false);
}

static bool method_rstrip(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return strip_ends(run, out, self, call, false, true);
}

static bool has_prefix(snug_str text, snug_str part)
{
    return part.bytes <= text.bytes && memcmp(text.data, part.data, part.bytes) == 0;
}

static bool has_suffix(snug_str text, snug_str part)
{
    return part.bytes <= text.bytes &&
           memcmp(text.data + text.bytes - part.bytes, part.data, part.bytes) == 0;
}

/* One text, or a tuple of which one has to fit. */
static bool has_end(snug_run *run, snug_value *out, const snug_value *self, const snug_value *parts,
                    bool (*fits)(snug_str, snug_str))
{
    *out = snug_value_bool(false);
    if (parts->kind == SNUG_VALUE_STRING) {
        *out = snug_value_bool(fits(self->text, parts->text));
        return true;
    }
    if (parts->kind != SNUG_VALUE_TUPLE)
        return snug_run_fail(run, "expected a string or a tuple of strings, not '%s'",
                             snug_value_type_name(parts));
    for (size_t i = 0; i < parts->list->count; i++) {
        snug_str part = { "", 0 };

        if (!snug_run_spend(run, 1) || !snug_argument_text(run, &part, &parts->list->items[i], "prefix"))
            return false;
        if (fits(self->text, part))
            *out = snug_value_bool(true);
    }
    return true;
}

static bool method_startswith(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return has_end(run, out, self, &call->values[0], has_prefix);
}

static bool method_endswith(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return has_end(run, out, self, &call->values[0], has_suffix);
}

static bool method_removeprefix(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_str part = { "", 0 };

    if (!snug_argument_text(run, &part, &call->values[0], "prefix"))
        return false;
    *out = *self;
    if (has_prefix(self->text, part))
        out->text = (snug_str){ self->text.data + part.bytes, self->text.bytes - part.bytes };
    return true;
}

static bool method_removesuffix(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_str part = { "", 0 };

    if (!snug_argument_text(run, &part, &call->values[0], "suffix"))
        return false;
    *out = *self;
    if (has_suffix(self->text, part))
        out->text.bytes -= part.bytes;
    return true;
}

bool snug_case_add(snug_builder *builder, int32_t character, snug_case to)
{
    char bytes[4];

    if (character == 0xdf && to != SNUG_CASE_LOWER) /* the one character that becomes two and is common */
        return snug_builder_add_text(builder, to == SNUG_CASE_UPPER ? "SS" : "Ss");
    character = to == SNUG_CASE_LOWER   ? utf8proc_tolower(character)
                : to == SNUG_CASE_UPPER ? utf8proc_toupper(character)
                                        : utf8proc_totitle(character);
    return snug_builder_add(builder, (snug_str){ bytes, snug_utf8_write(bytes, (uint32_t)character) });
}

/* The first character to `first`, the others to `rest`; `by_word`: anew after each non-letter. */
static bool change_case(snug_run *run, snug_value *out, snug_str text, snug_case first, snug_case rest,
                        bool by_word)
{
    snug_builder builder = { .region = run->region };
    bool is_first = true;

    if (!snug_run_spend(run, text.bytes / 8))
        return false;
    for (size_t at = 0; at < text.bytes; at += snug_utf8_bytes(text, at)) {
        const int32_t character = snug_utf8_decode(text, at);

        if (!snug_case_add(&builder, character, is_first ? first : rest))
            return false;
        is_first = by_word && !snug_character_is_upper(character) && !snug_character_is_lower(character);
    }
    *out = snug_value_string(snug_builder_str(&builder));
    return true;
}

static bool method_upper(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)call;
    return change_case(run, out, self->text, SNUG_CASE_UPPER, SNUG_CASE_UPPER, false);
}

static bool method_lower(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)call;
    return change_case(run, out, self->text, SNUG_CASE_LOWER, SNUG_CASE_LOWER, false);
}

static bool method_capitalize(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)call;
    return change_case(run, out, self->text, SNUG_CASE_TITLE, SNUG_CASE_LOWER, false);
}

static bool method_title(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)call;
    return change_case(run, out, self->text, SNUG_CASE_TITLE, SNUG_CASE_LOWER, true);
}

static bool method_swapcase(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_builder builder = { .region = run->region };
    const snug_str text = self->text;

    (void)call;
    if (!snug_run_spend(run, text.bytes / 8))
        return false;
    for (size_t at = 0; at < text.bytes; at += snug_utf8_bytes(text, at)) {
        const int32_t character = snug_utf8_decode(text, at);

        if (!snug_case_add(&builder, character,
                           snug_character_is_upper(character) ? SNUG_CASE_LOWER : SNUG_CASE_UPPER))
            return false;
    }
    *out = snug_value_string(snug_builder_str(&builder));
    return true;
}

/* Whether all characters, and at least one, are of a class. */
static bool all_are(snug_run *run, snug_value *out, snug_str text, bool (*is_one)(int32_t))
{
    *out = snug_value_bool(text.bytes != 0);
    for (size_t at = 0; at < text.bytes && out->truth; at += snug_utf8_bytes(text, at))
        out->truth = is_one(snug_utf8_decode(text, at));
    return snug_run_spend(run, text.bytes / 16);
}

static bool is_letter_or_digit(int32_t character)
{
    return snug_character_is_letter(character) || snug_character_is_decimal(character);
}

static bool method_isdigit(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)call;
    return all_are(run, out, self->text, snug_character_is_decimal);
}

static bool method_isalpha(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)call;
    return all_are(run, out, self->text, snug_character_is_letter);
}

static bool method_isalnum(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)call;
    return all_are(run, out, self->text, is_letter_or_digit);
}

static bool method_isspace(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)call;
    return all_are(run, out, self->text, snug_character_is_space);
}

/* At least one letter of the wanted case, and none of the other. */
static bool is_cased(snug_run *run, snug_value *out, snug_str text, bool wants_upper)
{
    bool has_wanted = false;
    bool has_other = false;

    for (size_t at = 0; at < text.bytes; at += snug_utf8_bytes(text, at)) {
        const int32_t character = snug_utf8_decode(text, at);

        if (snug_character_is_upper(character) || snug_character_is_lower(character)) {
            if (snug_character_is_upper(character) == wants_upper)
                has_wanted = true;
            else
                has_other = true;
        }
    }
    *out = snug_value_bool(has_wanted && !has_other);
    return snug_run_spend(run, text.bytes / 16);
}

static bool method_isupper(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)call;
    return is_cased(run, out, self->text, true);
}

static bool method_islower(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)call;
    return is_cased(run, out, self->text, false);
}

bool snug_text_pad(snug_run *run, snug_value *out, snug_str text, size_t left, size_t right, snug_str fill)
{
    snug_builder builder = { .region = run->region };

    if (!snug_run_spend(run, left / 8 + right / 8))
        return false;
    for (size_t i = 0; i < left; i++)
        if (!snug_builder_add(&builder, fill))
            return false;
    if (!snug_builder_add(&builder, text))
        return false;
    for (size_t i = 0; i < right; i++)
        if (!snug_builder_add(&builder, fill))
            return false;
    *out = snug_value_string(snug_builder_str(&builder));
    return true;
}

/* How many characters `self` is short of the width argument, and the fill character. */
static bool padding(snug_run *run, size_t *missing, size_t *width, snug_str *fill, const snug_value *self,
                    const snug_call *call)
{
    const size_t length = snug_utf8_count(self->text);
    int64_t wanted = 0;

    *fill = (snug_str){ " ", 1 };
    if (!snug_argument_integer(run, &wanted, &call->values[0], "width") ||
        !snug_argument_text(run, fill, &call->values[1], "fillchar"))
        return false;
    if (snug_utf8_count(*fill) != 1)
        return snug_run_fail(run, "the fill character must be exactly one character");
    if (wanted > (int64_t)SNUG_TEMPLATE_TEXT_BYTES_MAX)
        return snug_run_fail(run, "a width of %lld characters is too large", (long long)wanted);
    *width = wanted < 0 ? 0 : (size_t)wanted;
    *missing = *width > length ? *width - length : 0;
    return true;
}

static bool method_ljust(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    size_t missing;
    size_t width;
    snug_str fill;

    return padding(run, &missing, &width, &fill, self, call) &&
           snug_text_pad(run, out, self->text, 0, missing, fill);
}

static bool method_rjust(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    size_t missing;
    size_t width;
    snug_str fill;

    return padding(run, &missing, &width, &fill, self, call) &&
           snug_text_pad(run, out, self->text, missing, 0, fill);
}

static bool method_center(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    size_t missing;
    size_t width;
    size_t left;
    snug_str fill;

    if (!padding(run, &missing, &width, &fill, self, call))
        return false;
    left = missing / 2 + (missing & width & 1); /* where Python puts the odd one */
    return snug_text_pad(run, out, self->text, left, missing - left, fill);
}

static bool method_zfill(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    const snug_value arguments[] = { call->values[0], { .kind = SNUG_VALUE_ABSENT } };
    const snug_call width_only = { .values = (snug_value[]){ arguments[0], arguments[1] } };
    const snug_str text = self->text;
    const bool has_sign = text.bytes != 0 && (text.data[0] == '-' || text.data[0] == '+');
    size_t missing;
    size_t width;
    snug_str fill;
    snug_value padded;

    if (!padding(run, &missing, &width, &fill, self, &width_only) ||
        !snug_text_pad(run, &padded, (snug_str){ text.data + has_sign, text.bytes - has_sign }, missing, 0,
                       (snug_str){ "0", 1 }))
        return false;
    *out = padded;
    return !has_sign || snug_region_join(run->region, &out->text, (snug_str){ text.data, 1 }, padded.text);
}

static bool method_format(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return snug_run_format_braces(run, out, self->text, call);
}

static const snug_builtin methods[] = {
    { "strip", "chars", 0, method_strip },
    { "lstrip", "chars", 0, method_lstrip },
    { "rstrip", "chars", 0, method_rstrip },
    { "startswith", "prefix", 1, method_startswith },
    { "endswith", "suffix", 1, method_endswith },
    { "upper", "", 0, method_upper },
    { "lower", "", 0, method_lower },
    { "title", "", 0, method_title },
    { "capitalize", "", 0, method_capitalize },
    { "swapcase", "", 0, method_swapcase },
    { "casefold", "", 0, method_lower },
    { "removeprefix", "prefix", 1, method_removeprefix },
    { "removesuffix", "suffix", 1, method_removesuffix },
    { "isdigit", "", 0, method_isdigit },
    { "isdecimal", "", 0, method_isdigit },
    { "isnumeric", "", 0, method_isdigit },
    { "isalpha", "", 0, method_isalpha },
    { "isalnum", "", 0, method_isalnum },
    { "isspace", "", 0, method_isspace },
    { "isupper", "", 0, method_isupper },
    { "islower", "", 0, method_islower },
    { "ljust", "width fillchar", 1, method_ljust },
    { "rjust", "width fillchar", 1, method_rjust },
    { "center", "width fillchar", 1, method_center },
    { "zfill", "width", 1, method_zfill },
    { "format", "*", 0, method_format },
};

const snug_builtin *snug_text_method_find(snug_str name)
{
    const snug_builtin *method = snug_builtin_find(methods, SNUG_COUNT(methods), name);

    return method ? method : snug_text_search_method_find(name);
}
