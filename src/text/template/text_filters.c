/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text_filters.c - filters that give texts. Most take any value and work on its str(); some are the method of
 * strings of the same name.
 */
#include "text/template/run.h"

#include <string.h>

#include "text/template/builtins.h"
#include "text/template/unicode.h"

/* str(value) as a value, then a method of strings upon it. */
static bool call_method(snug_run *run, snug_value *out, const snug_value *self, const char *name,
                        snug_value *arguments, size_t count)
{
    const snug_call call = { .values = arguments, .count = count };
    snug_value text = snug_value_string((snug_str){ "", 0 });

    return snug_run_string(run, &text.text, self) &&
           snug_run_call_builtin(run, out, snug_text_method_find(snug_str_from(name)), &text, &call);
}

static bool filter_upper(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)call;
    return call_method(run, out, self, "upper", NULL, 0);
}

static bool filter_lower(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)call;
    return call_method(run, out, self, "lower", NULL, 0);
}

static bool filter_capitalize(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)call;
    return call_method(run, out, self, "capitalize", NULL, 0);
}

static bool filter_trim(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return call_method(run, out, self, "strip", &call->values[0], 1);
}

static bool filter_center(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_value width = call->values[0];

    if (width.kind == SNUG_VALUE_ABSENT)
        width = snug_value_integer(80);
    return call_method(run, out, self, "center", &width, 1);
}

/* Unlike the method: words begin behind white space, - ( { [ and <, and nowhere else. */
static bool filter_title(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_builder builder = { .region = run->region };
    bool is_first = true;
    snug_str text;

    (void)call;
    if (!snug_run_string(run, &text, self) || !snug_run_spend(run, text.bytes / 8))
        return false;
    for (size_t at = 0; at < text.bytes; at += snug_utf8_bytes(text, at)) {
        const int32_t character = snug_utf8_decode(text, at);

        if (!snug_case_add(&builder, character, is_first ? SNUG_CASE_UPPER : SNUG_CASE_LOWER))
            return false;
        is_first = snug_character_is_space(character) ||
                   (character < 128 && character != 0 && strchr("-({[<", (char)character));
    }
    *out = snug_value_string(snug_builder_str(&builder));
    return true;
}

static bool filter_replace(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_str text;
    snug_str from;
    snug_str to;
    int64_t most = -1;

    return snug_run_string(run, &text, self) && snug_run_string(run, &from, &call->values[0]) &&
           snug_run_string(run, &to, &call->values[1]) &&
           snug_argument_integer(run, &most, &call->values[2], "count") &&
           snug_text_replace(run, out, text, from, to, most);
}

static bool filter_string(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)call;
    *out = snug_value_string((snug_str){ "", 0 });
    return snug_run_string(run, &out->text, self);
}

static bool filter_escape(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    static const char letters[] = "&<>'\"";
    static const char *const escapes[] = { "&amp;", "&lt;", "&gt;", "&#39;", "&#34;" };
    snug_builder builder = { .region = run->region };
    snug_str text;

    (void)call;
    if (!snug_run_string(run, &text, self) || !snug_run_spend(run, text.bytes / 16))
        return false;
    for (size_t at = 0; at < text.bytes; at++) {
        const char *letter = text.data[at] != '\0' ? strchr(letters, text.data[at]) : NULL;

        if (letter ? !snug_builder_add_text(&builder, escapes[letter - letters])
                   : !snug_builder_add_byte(&builder, text.data[at]))
            return false;
    }
    *out = snug_value_string(snug_builder_str(&builder));
    return true;
}

/* The text of one level: `width` blanks, or the string itself. */
static bool indent_text(snug_run *run, snug_str *out, const snug_value *width)
{
    snug_value blanks;
    int64_t count = 4;

    if (width->kind == SNUG_VALUE_STRING) {
        *out = width->text;
        return true;
    }
    if (!snug_argument_integer(run, &count, width, "width"))
        return false;
    count = count < 0 ? 0 : count;
    if (count > 4096)
        return snug_run_fail(run, "an indentation of %lld blanks is too wide", (long long)count);
    if (!snug_text_pad(run, &blanks, (snug_str){ "", 0 }, (size_t)count, 0, (snug_str){ " ", 1 }))
        return false;
    *out = blanks.text;
    return true;
}

static bool filter_indent(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    const bool indents_first = snug_value_is_true(&call->values[1]);
    const bool indents_blank = snug_value_is_true(&call->values[2]);
    snug_builder builder = { .region = run->region };
    snug_value lines;
    snug_str indent;
    snug_str text = { "", 0 };

    if (!indent_text(run, &indent, &call->values[0]) || !snug_argument_text(run, &text, self, "value") ||
        !snug_region_join(run->region, &text, text, (snug_str){ "\n", 1 }) ||
        !snug_text_lines(run, &lines, text))
        return false;
    for (size_t i = 0; i < lines.list->count; i++) {
        const snug_str line = lines.list->items[i].text;
        const bool indents = i == 0 ? indents_first : line.bytes != 0 || indents_blank;

        if ((i != 0 && !snug_builder_add_byte(&builder, '\n')) ||
            (indents && !snug_builder_add(&builder, indent)) || !snug_builder_add(&builder, line))
            return false;
    }
    *out = snug_value_string(snug_builder_str(&builder));
    return true;
}

/* Runs of letters, digits and underscores. */
static bool filter_wordcount(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    bool was_word = false;
    snug_str text;

    (void)call;
    if (!snug_run_string(run, &text, self) || !snug_run_spend(run, text.bytes / 8))
        return false;
    *out = snug_value_integer(0);
    for (size_t at = 0; at < text.bytes; at += snug_utf8_bytes(text, at)) {
        const int32_t character = snug_utf8_decode(text, at);
        const bool is_word =
            character == '_' || snug_character_is_letter(character) || snug_character_is_decimal(character);

        out->integer += is_word && !was_word;
        was_word = is_word;
    }
    return true;
}

/* Where to cut so that no word is: at the last blank, if there is one. */
static size_t cut_at_blank(snug_str text, size_t bytes)
{
    size_t blank = bytes;

    while (blank > 0 && text.data[blank - 1] != ' ')
        blank--;
    return blank > 0 ? blank - 1 : bytes;
}

static bool filter_truncate(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_str end = { "...", 3 };
    snug_str text;
    int64_t length = 255;
    int64_t leeway = 5;
    size_t bytes;

    if (!snug_run_string(run, &text, self) ||
        !snug_argument_integer(run, &length, &call->values[0], "length") ||
        !snug_argument_text(run, &end, &call->values[2], "end") ||
        !snug_argument_integer(run, &leeway, &call->values[3], "leeway") ||
        !snug_run_spend(run, text.bytes / 16))
        return false;
    if (length < (int64_t)snug_utf8_count(end) || leeway < 0 || length > INT32_MAX || leeway > INT32_MAX)
        return snug_run_fail(run, "truncate() expects a length of at least %zu", snug_utf8_count(end));
    *out = snug_value_string(text);
    if ((int64_t)snug_utf8_count(text) <= length + leeway)
        return true;
    bytes = snug_utf8_offset(text, (size_t)length - snug_utf8_count(end));
    if (!snug_value_is_true(&call->values[1])) /* killwords */
        bytes = cut_at_blank(text, bytes);
    return snug_region_join(run->region, &out->text, (snug_str){ text.data, bytes }, end);
}

/* "%s"|format(value): the values as a tuple, or by name as a dict. */
static bool filter_format(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_value values;
    snug_str text;

    if (!snug_run_string(run, &text, self) || !snug_dict_create(run, &values, SNUG_VALUE_DICT, 0))
        return false;
    for (size_t i = 0; i < call->named_count; i++)
        if (!snug_dict_set(run, values.dict, snug_value_string(call->named[i].name), call->named[i].value))
            return false;
    if (call->named_count != 0)
        return snug_run_format_percent(run, out, text, &values);
    if (!snug_list_create(run, &values, SNUG_VALUE_TUPLE, call->count))
        return false;
    for (size_t i = 0; i < call->count; i++)
        if (!snug_list_add(run, values.list, call->values[i]))
            return false;
    return snug_run_format_percent(run, out, text, &values);
}

/* Hugging Face's own tojson: like json.dumps with ensure_ascii off. */
static bool filter_tojson(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    const snug_value *indent = &call->values[1];
    const snug_value *separators = &call->values[2];
    snug_json_style style = { .is_ascii = snug_value_is_true(&call->values[0]),
                              .has_indent = indent->kind > SNUG_VALUE_NONE,
                              .sorts_keys = snug_value_is_true(&call->values[3]),
                              .item_separator = { ", ", 2 },
                              .key_separator = { ": ", 2 } };
    snug_builder builder = { .region = run->region };

    if (style.has_indent && !indent_text(run, &style.indent, indent))
        return false;
    if (style.has_indent)
        style.item_separator = (snug_str){ ",", 1 };
    if (snug_value_has_list(separators) && separators->list->count == 2) {
        if (!snug_argument_text(run, &style.item_separator, &separators->list->items[0], "separators") ||
            !snug_argument_text(run, &style.key_separator, &separators->list->items[1], "separators"))
            return false;
    } else if (separators->kind > SNUG_VALUE_NONE)
        return snug_run_fail(run, "tojson() expects two separators");
    if (!snug_run_to_json(run, &builder, self, &style))
        return false;
    *out = snug_value_string(snug_builder_str(&builder));
    return true;
}

const snug_builtin *snug_text_filter_find(snug_str name)
{
    static const snug_builtin filters[] = {
        { "tojson", "ensure_ascii indent separators sort_keys", 0, filter_tojson },
        { "trim", "chars", 0, filter_trim },
        { "upper", "", 0, filter_upper },
        { "lower", "", 0, filter_lower },
        { "title", "", 0, filter_title },
        { "capitalize", "", 0, filter_capitalize },
        { "replace", "old new count", 2, filter_replace },
        { "string", "", 0, filter_string },
        { "safe", "", 0, filter_string },
        { "escape", "", 0, filter_escape },
        { "e", "", 0, filter_escape },
        { "forceescape", "", 0, filter_escape },
        { "indent", "width first blank", 0, filter_indent },
        { "center", "width", 0, filter_center },
        { "wordcount", "", 0, filter_wordcount },
        { "truncate", "length killwords end leeway", 0, filter_truncate },
        { "format", "*", 0, filter_format },
    };

    return snug_builtin_find(filters, SNUG_COUNT(filters), name);
}
