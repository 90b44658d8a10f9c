/* SPDX-License-Identifier: Apache-2.0 */
/* print.c - str() and repr(): how Python writes its values. */
#include "text/template/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "text/template/unicode.h"

/* One character of a quoted string, escaped where repr() does. */
static bool repr_character(snug_builder *builder, snug_str text, size_t at, char quote)
{
    const int32_t character = snug_utf8_decode(text, at);
    char escape[16];

    if (character == quote || character == '\\')
        return snug_builder_add_byte(builder, '\\') && snug_builder_add_byte(builder, (char)character);
    if (character == '\n')
        return snug_builder_add_text(builder, "\\n");
    if (character == '\r')
        return snug_builder_add_text(builder, "\\r");
    if (character == '\t')
        return snug_builder_add_text(builder, "\\t");
    if (snug_character_is_printable(character))
        return snug_builder_add(builder, (snug_str){ text.data + at, snug_utf8_bytes(text, at) });
    snprintf(escape, sizeof escape,
             character < 0x100     ? "\\x%02" PRIx32
             : character < 0x10000 ? "\\u%04" PRIx32
                                   : "\\U%08" PRIx32,
             (uint32_t)character);
    return snug_builder_add_text(builder, escape);
}

static bool repr_text(snug_run *run, snug_builder *builder, snug_str text)
{
    const bool has_single = memchr(text.data, '\'', text.bytes) != NULL;
    const bool has_double = memchr(text.data, '"', text.bytes) != NULL;
    const char quote = has_single && !has_double ? '"' : '\'';

    if (!snug_run_spend(run, text.bytes / 16) || !snug_builder_add_byte(builder, quote))
        return false;
    for (size_t at = 0; at < text.bytes; at += snug_utf8_bytes(text, at))
        if (!repr_character(builder, text, at, quote))
            return false;
    return snug_builder_add_byte(builder, quote);
}

static bool repr_items(snug_run *run, snug_builder *builder, const snug_list *list, const char *open,
                       const char *close)
{
    if (!snug_builder_add_text(builder, open))
        return false;
    for (size_t i = 0; i < list->count; i++)
        if ((i != 0 && !snug_builder_add_text(builder, ", ")) ||
            !snug_run_repr(run, builder, &list->items[i]))
            return false;
    return snug_builder_add_text(builder, close);
}

static bool repr_dict(snug_run *run, snug_builder *builder, const snug_dict *dict)
{
    if (!snug_builder_add_byte(builder, '{'))
        return false;
    for (size_t i = 0; i < dict->count; i++)
        if ((i != 0 && !snug_builder_add_text(builder, ", ")) ||
            !snug_run_repr(run, builder, &dict->entries[i].key) || !snug_builder_add_text(builder, ": ") ||
            !snug_run_repr(run, builder, &dict->entries[i].value))
            return false;
    return snug_builder_add_byte(builder, '}');
}

static bool repr_range(snug_builder *builder, const snug_range *range)
{
    char text[96];

    if (range->step == 1)
        snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64 ")", range->start, range->stop);
    else
        snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64 ", %" PRId64 ")", range->start, range->stop,
                 range->step);
    return snug_builder_add_text(builder, text);
}

static bool repr_object(snug_run *run, snug_builder *builder, const snug_value *value)
{
    char text[64];

    switch (value->kind) {
    case SNUG_VALUE_MACRO:
        return snug_builder_add_text(builder, "<Macro ") &&
               repr_text(run, builder, value->macro->node->name) && snug_builder_add_byte(builder, '>');
    case SNUG_VALUE_LOOP:
        snprintf(text, sizeof text, "<LoopContext %zu/%zu>", value->loop->index + 1, value->loop->count);
        return snug_builder_add_text(builder, text);
    case SNUG_VALUE_FUNCTION:
        return snug_builder_add_text(builder, "<function ") &&
               snug_builder_add_text(builder, value->function->name) && snug_builder_add_byte(builder, '>');
    case SNUG_VALUE_METHOD:
        return snug_builder_add_text(builder, "<built-in method ") &&
               snug_builder_add_text(builder, value->method->builtin->name) &&
               snug_builder_add_byte(builder, '>');
    default:
        return snug_builder_add_text(builder, "<generator object>");
    }
}

static bool repr_nested(snug_run *run, snug_builder *builder, const snug_value *value)
{
    switch (value->kind) {
    case SNUG_VALUE_LIST:
        return repr_items(run, builder, value->list, "[", "]");
    case SNUG_VALUE_TUPLE:
        return repr_items(run, builder, value->list, "(", value->list->count == 1 ? ",)" : ")");
    case SNUG_VALUE_VIEW:
        return snug_builder_add_text(builder, value->list->name) &&
               repr_items(run, builder, value->list, "([", "])");
    case SNUG_VALUE_DICT:
        return repr_dict(run, builder, value->dict);
    case SNUG_VALUE_NAMESPACE:
        return snug_builder_add_text(builder, "<Namespace ") && repr_dict(run, builder, value->dict) &&
               snug_builder_add_byte(builder, '>');
    default:
        return repr_object(run, builder, value);
    }
}

bool snug_run_repr(snug_run *run, snug_builder *builder, const snug_value *value)
{
    char text[32];
    bool is_well;

    switch (value->kind) {
    case SNUG_VALUE_ABSENT:
    case SNUG_VALUE_UNDEFINED:
        return snug_builder_add_text(builder, "Undefined");
    case SNUG_VALUE_NONE:
        return snug_builder_add_text(builder, "None");
    case SNUG_VALUE_BOOL:
        return snug_builder_add_text(builder, value->truth ? "True" : "False");
    case SNUG_VALUE_INTEGER:
        snprintf(text, sizeof text, "%" PRId64, value->integer);
        return snug_builder_add_text(builder, text);
    case SNUG_VALUE_FLOAT:
        return snug_run_spend(run, 16) && snug_float_repr(builder, value->number);
    case SNUG_VALUE_STRING:
        return repr_text(run, builder, value->text);
    case SNUG_VALUE_RANGE:
        return repr_range(builder, value->range);
    default:
        break;
    }
    if (!snug_run_spend(run, 1) || !snug_run_enter(run))
        return false;
    is_well = repr_nested(run, builder, value);
    snug_run_leave(run);
    return is_well;
}

bool snug_run_print(snug_run *run, snug_builder *builder, const snug_value *value)
{
    if (value->kind == SNUG_VALUE_STRING)
        return snug_run_spend(run, value->text.bytes / 64) && snug_builder_add(builder, value->text);
    if (value->kind == SNUG_VALUE_UNDEFINED || value->kind == SNUG_VALUE_ABSENT)
        return true;
    return snug_run_repr(run, builder, value);
}

bool snug_run_string(snug_run *run, snug_str *out, const snug_value *value)
{
    snug_builder builder = { .region = run->region };

    if (value->kind == SNUG_VALUE_STRING) {
        *out = value->text;
        return true;
    }
    if (!snug_run_print(run, &builder, value))
        return false;
    *out = snug_builder_str(&builder);
    return true;
}
