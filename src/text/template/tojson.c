/* SPDX-License-Identifier: Apache-2.0 */
/* tojson.c - values as JSON, written as Python's json.dumps writes them. */
#include "text/template/run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "text/template/builtins.h"
#include "text/template/unicode.h"

static bool write_value(snug_run *run, snug_builder *builder, const snug_value *value,
                        const snug_json_style *style, size_t level);

/* \uXXXX, or two of them for what lies beyond 16 bits. */
static bool write_unicode_escape(snug_builder *builder, int32_t character)
{
    char text[16];

    if (character < 0x10000)
        snprintf(text, sizeof text, "\\u%04" PRIx32, (uint32_t)character);
    else
        snprintf(text, sizeof text, "\\u%04" PRIx32 "\\u%04" PRIx32,
                 0xd800 + ((uint32_t)(character - 0x10000) >> 10),
                 0xdc00 + ((uint32_t)(character - 0x10000) & 0x3ff));
    return snug_builder_add_text(builder, text);
}

static bool write_character(snug_builder *builder, snug_str text, size_t at, bool is_ascii)
{
    const int32_t character = snug_utf8_decode(text, at);

    switch (character) {
    case '"':
        return snug_builder_add_text(builder, "\\\"");
    case '\\':
        return snug_builder_add_text(builder, "\\\\");
    case '\n':
        return snug_builder_add_text(builder, "\\n");
    case '\r':
        return snug_builder_add_text(builder, "\\r");
    case '\t':
        return snug_builder_add_text(builder, "\\t");
    case '\f':
        return snug_builder_add_text(builder, "\\f");
    case '\b':
        return snug_builder_add_text(builder, "\\b");
    default:
        break;
    }
    if (character < 0x20 || (is_ascii && character > 0x7e))
        return write_unicode_escape(builder, character);
    return snug_builder_add(builder, (snug_str){ text.data + at, snug_utf8_bytes(text, at) });
}

static bool write_text(snug_run *run, snug_builder *builder, snug_str text, bool is_ascii)
{
    if (!snug_run_spend(run, text.bytes / 16) || !snug_builder_add_byte(builder, '"'))
        return false;
    for (size_t at = 0; at < text.bytes; at += snug_utf8_bytes(text, at))
        if (!write_character(builder, text, at, is_ascii))
            return false;
    return snug_builder_add_byte(builder, '"');
}

static bool write_number(snug_run *run, snug_builder *builder, const snug_value *value)
{
    if (value->kind == SNUG_VALUE_INTEGER || isfinite(value->number))
        return snug_run_repr(run, builder, value);
    if (isnan(value->number))
        return snug_builder_add_text(builder, "NaN");
    return snug_builder_add_text(builder, value->number < 0 ? "-Infinity" : "Infinity");
}

/* A new line at this level, where an indentation was asked for. */
static bool write_line(snug_run *run, snug_builder *builder, const snug_json_style *style, size_t level)
{
    if (!style->has_indent)
        return true;
    if (!snug_run_spend(run, 1 + level * style->indent.bytes / 64) || !snug_builder_add_byte(builder, '\n'))
        return false;
    for (size_t i = 0; i < level; i++)
        if (!snug_builder_add(builder, style->indent))
            return false;
    return true;
}

static bool write_list(snug_run *run, snug_builder *builder, const snug_list *list,
                       const snug_json_style *style, size_t level)
{
    if (list->count == 0)
        return snug_builder_add_text(builder, "[]");
    if (!snug_builder_add_byte(builder, '['))
        return false;
    for (size_t i = 0; i < list->count; i++)
        if ((i != 0 && !snug_builder_add(builder, style->item_separator)) ||
            !write_line(run, builder, style, level + 1) ||
            !write_value(run, builder, &list->items[i], style, level + 1))
            return false;
    return write_line(run, builder, style, level) && snug_builder_add_byte(builder, ']');
}

/* Keys that are no strings become some. */
static bool write_key(snug_run *run, snug_builder *builder, const snug_value *key,
                      const snug_json_style *style)
{
    if (key->kind == SNUG_VALUE_STRING)
        return write_text(run, builder, key->text, style->is_ascii);
    if (key->kind != SNUG_VALUE_NONE && !snug_value_is_number(key))
        return snug_run_fail(run, "tojson cannot write a key of type '%s'", snug_value_type_name(key));
    return snug_builder_add_byte(builder, '"') && write_value(run, builder, key, style, 0) &&
           snug_builder_add_byte(builder, '"');
}

static bool sorted_entries(snug_run *run, snug_list *entries, const snug_dict *dict)
{
    snug_value keys;

    if (!snug_list_create(run, &keys, SNUG_VALUE_LIST, dict->count))
        return false;
    for (size_t i = 0; i < dict->count; i++)
        if (!snug_list_add(run, keys.list, dict->entries[i].key) ||
            !snug_list_add(run, entries, snug_value_integer((int64_t)i)))
            return false;
    return snug_list_sort(run, keys.list, entries, false);
}

static bool write_dict(snug_run *run, snug_builder *builder, const snug_dict *dict,
                       const snug_json_style *style, size_t level)
{
    snug_list order = { .count = 0 };

    if (dict->count == 0)
        return snug_builder_add_text(builder, "{}");
    if (style->sorts_keys && !sorted_entries(run, &order, dict))
        return false;
    if (!snug_builder_add_byte(builder, '{'))
        return false;
    for (size_t i = 0; i < dict->count; i++) {
        const snug_entry *entry = &dict->entries[style->sorts_keys ? (size_t)order.items[i].integer : i];

        if ((i != 0 && !snug_builder_add(builder, style->item_separator)) ||
            !write_line(run, builder, style, level + 1) || !write_key(run, builder, &entry->key, style) ||
            !snug_builder_add(builder, style->key_separator) ||
            !write_value(run, builder, &entry->value, style, level + 1))
            return false;
    }
    return write_line(run, builder, style, level) && snug_builder_add_byte(builder, '}');
}

static bool write_value(snug_run *run, snug_builder *builder, const snug_value *value,
                        const snug_json_style *style, size_t level)
{
    bool is_well;

    switch (value->kind) {
    case SNUG_VALUE_NONE:
        return snug_builder_add_text(builder, "null");
    case SNUG_VALUE_BOOL:
        return snug_builder_add_text(builder, value->truth ? "true" : "false");
    case SNUG_VALUE_INTEGER:
    case SNUG_VALUE_FLOAT:
        return write_number(run, builder, value);
    case SNUG_VALUE_STRING:
        return write_text(run, builder, value->text, style->is_ascii);
    case SNUG_VALUE_LIST:
    case SNUG_VALUE_TUPLE:
    case SNUG_VALUE_DICT:
        break;
    case SNUG_VALUE_UNDEFINED:
        return snug_run_fail_undefined(run, value);
    default:
        return snug_run_fail(run, "a value of type '%s' cannot be written as JSON",
                             snug_value_type_name(value));
    }
    if (!snug_run_spend(run, 1) || !snug_run_enter(run))
        return false;
    is_well = value->kind == SNUG_VALUE_DICT ? write_dict(run, builder, value->dict, style, level)
                                             : write_list(run, builder, value->list, style, level);
    snug_run_leave(run);
    return is_well;
}

bool snug_run_to_json(snug_run *run, snug_builder *builder, const snug_value *value,
                      const snug_json_style *style)
{
    return write_value(run, builder, value, style, 0);
}
