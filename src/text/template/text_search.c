/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text_search.c - methods of strings that look for something: find, split, replace and their like.
 * Positions are counted in characters, as Python does.
 */
#include "text/template/run.h"

#include <string.h>

#include "base/utf8.h"
#include "text/template/builtins.h"
#include "text/template/unicode.h"

/* An empty `from` stands before each character and at the end. */
static bool replace_empty(snug_run *run, snug_builder *builder, snug_str text, snug_str to, int64_t most)
{
    size_t at = 0;

    while (most != 0 && (at < text.bytes || most != 0)) {
        if (!snug_run_spend(run, 1) || !snug_builder_add(builder, to))
            return false;
        most -= most > 0;
        if (at >= text.bytes)
            return true;
        if (!snug_builder_add(builder, (snug_str){ text.data + at, snug_utf8_bytes(text, at) }))
            return false;
        at += snug_utf8_bytes(text, at);
    }
    return snug_builder_add(builder, (snug_str){ text.data + at, text.bytes - at });
}

bool snug_text_replace(snug_run *run, snug_value *out, snug_str text, snug_str from, snug_str to,
                       int64_t most)
{
    snug_builder builder = { .region = run->region };
    size_t begin = 0;

    if (from.bytes == 0) {
        if (!replace_empty(run, &builder, text, to, most))
            return false;
        *out = snug_value_string(snug_builder_str(&builder));
        return true;
    }
    for (; most != 0; most -= most > 0) {
        bool is_found;
        size_t at = 0;

        if (!snug_run_spend(run, 1) || !snug_run_find(run, &is_found, &at, text, from, begin))
            return false;
        if (!is_found)
            break;
        if (!snug_builder_add(&builder, (snug_str){ text.data + begin, at - begin }) ||
            !snug_builder_add(&builder, to))
            return false;
        begin = at + from.bytes;
    }
    if (begin == 0) { /* nothing was replaced */
        *out = snug_value_string(text);
        return true;
    }
    if (!snug_builder_add(&builder, (snug_str){ text.data + begin, text.bytes - begin }))
        return false;
    *out = snug_value_string(snug_builder_str(&builder));
    return true;
}

static bool method_replace(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_str from = { "", 0 };
    snug_str to = { "", 0 };
    int64_t most = -1;

    return snug_argument_text(run, &from, &call->values[0], "old") &&
           snug_argument_text(run, &to, &call->values[1], "new") &&
           snug_argument_integer(run, &most, &call->values[2], "count") &&
           snug_text_replace(run, out, self->text, from, to, most);
}

static bool add_part(snug_run *run, snug_list *list, const char *data, size_t bytes)
{
    return snug_list_add(run, list, snug_value_string((snug_str){ data, bytes }));
}

/* split() without a separator: runs of white space, none at the ends. */
static bool split_words(snug_run *run, snug_list *parts, snug_str text, int64_t most)
{
    text = snug_text_strip_left(text);
    while (text.bytes != 0) {
        size_t end = 0;

        if (most == 0)
            return add_part(run, parts, text.data, text.bytes);
        while (end < text.bytes && !snug_character_is_space(snug_utf8_decode(text, end)))
            end += snug_utf8_bytes(text, end);
        if (!add_part(run, parts, text.data, end))
            return false;
        most -= most > 0;
        text = snug_text_strip_left((snug_str){ text.data + end, text.bytes - end });
    }
    return true;
}

static bool split_at(snug_run *run, snug_list *parts, snug_str text, snug_str separator, int64_t most)
{
    size_t begin = 0;

    for (; most != 0; most -= most > 0) {
        bool is_found;
        size_t at = 0;

        if (!snug_run_find(run, &is_found, &at, text, separator, begin))
            return false;
        if (!is_found)
            break;
        if (!add_part(run, parts, text.data + begin, at - begin))
            return false;
        begin = at + separator.bytes;
    }
    return add_part(run, parts, text.data + begin, text.bytes - begin);
}

/* Where `needle` occurs last and wholly before `end`. */
static bool find_last(snug_run *run, bool *is_found, size_t *position, snug_str text, snug_str needle,
                      size_t end)
{
    *is_found = false;
    for (size_t at = end + 1; at-- > 0 && !*is_found;) {
        if (!snug_run_spend(run, 1 + needle.bytes / 64))
            return false;
        if (end - at >= needle.bytes && memcmp(text.data + at, needle.data, needle.bytes) == 0) {
            *is_found = !(at < text.bytes && snug_utf8_is_tail((unsigned char)text.data[at]));
            *position = at;
        }
    }
    return true;
}

static void reverse(snug_list *list)
{
    for (size_t i = 0; i < list->count / 2; i++) {
        const snug_value item = list->items[i];

        list->items[i] = list->items[list->count - 1 - i];
        list->items[list->count - 1 - i] = item;
    }
}

static bool rsplit_at(snug_run *run, snug_list *parts, snug_str text, snug_str separator, int64_t most)
{
    size_t end = text.bytes;

    for (; most != 0; most -= most > 0) {
        bool is_found;
        size_t at = 0;

        if (!find_last(run, &is_found, &at, text, separator, end))
            return false;
        if (!is_found)
            break;
        if (!add_part(run, parts, text.data + at + separator.bytes, end - at - separator.bytes))
            return false;
        end = at;
    }
    if (!add_part(run, parts, text.data, end))
        return false;
    reverse(parts);
    return true;
}

static bool rsplit_words(snug_run *run, snug_list *parts, snug_str text, int64_t most)
{
    text = snug_text_strip_right(text);
    while (text.bytes != 0) {
        snug_str rest = text;

        if (most == 0) {
            if (!add_part(run, parts, text.data, text.bytes))
                return false;
            break;
        }
        while (rest.bytes != 0 && snug_text_strip_right(rest).bytes == rest.bytes)
            do
                rest.bytes--;
            while (rest.bytes != 0 && snug_utf8_is_tail((unsigned char)rest.data[rest.bytes]));
        if (!add_part(run, parts, text.data + rest.bytes, text.bytes - rest.bytes))
            return false;
        most -= most > 0;
        text = snug_text_strip_right(rest);
    }
    reverse(parts);
    return true;
}

/* The separator and the most splits; the separator has no data when there is none. */
static bool split_arguments(snug_run *run, snug_str *separator, int64_t *most, const snug_call *call)
{
    *separator = (snug_str){ NULL, 0 };
    *most = -1;
    if (!snug_argument_text(run, separator, &call->values[0], "sep") ||
        !snug_argument_integer(run, most, &call->values[1], "maxsplit"))
        return false;
    if (separator->data && separator->bytes == 0)
        return snug_run_fail(run, "split() expects a separator that is not empty");
    return true;
}

static bool method_split(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_str separator;
    int64_t most;

    if (!split_arguments(run, &separator, &most, call) || !snug_list_create(run, out, SNUG_VALUE_LIST, 0) ||
        !snug_run_spend(run, self->text.bytes / 16))
        return false;
    return separator.data ? split_at(run, out->list, self->text, separator, most)
                          : split_words(run, out->list, self->text, most);
}

static bool method_rsplit(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_str separator;
    int64_t most;

    if (!split_arguments(run, &separator, &most, call) || !snug_list_create(run, out, SNUG_VALUE_LIST, 0) ||
        !snug_run_spend(run, self->text.bytes / 4))
        return false;
    return separator.data ? rsplit_at(run, out->list, self->text, separator, most)
                          : rsplit_words(run, out->list, self->text, most);
}

/* Before, the separator, after; what is missing is empty, at the end or, searching from it, at the
 * beginning. */
static bool partition(snug_run *run, snug_value *out, snug_str text, const snug_value *argument, bool is_last)
{
    const snug_str empty = { "", 0 };
    snug_str separator = empty;
    bool is_found;
    size_t at = 0;

    if (!snug_argument_text(run, &separator, argument, "sep") ||
        !snug_list_create(run, out, SNUG_VALUE_TUPLE, 3))
        return false;
    if (separator.bytes == 0)
        return snug_run_fail(run, "partition() expects a separator that is not empty");
    if (is_last ? !find_last(run, &is_found, &at, text, separator, text.bytes)
                : !snug_run_find(run, &is_found, &at, text, separator, 0))
        return false;
    if (!is_found)
        return snug_list_add(run, out->list, snug_value_string(is_last ? empty : text)) &&
               snug_list_add(run, out->list, snug_value_string(empty)) &&
               snug_list_add(run, out->list, snug_value_string(is_last ? text : empty));
    return add_part(run, out->list, text.data, at) &&
           snug_list_add(run, out->list, snug_value_string(separator)) &&
           add_part(run, out->list, text.data + at + separator.bytes, text.bytes - at - separator.bytes);
}

static bool method_partition(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return partition(run, out, self->text, &call->values[0], false);
}

static bool method_rpartition(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return partition(run, out, self->text, &call->values[0], true);
}

static bool is_line_end(int32_t c)
{
    return (c >= 10 && c <= 13) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

bool snug_text_lines(snug_run *run, snug_value *out, snug_str text)
{
    size_t begin = 0;
    size_t at = 0;

    if (!snug_list_create(run, out, SNUG_VALUE_LIST, 0) || !snug_run_spend(run, text.bytes / 16))
        return false;
    while (at < text.bytes) {
        const int32_t character = snug_utf8_decode(text, at);
        const size_t end = at;

        at += snug_utf8_bytes(text, at);
        if (!is_line_end(character))
            continue;
        if (character == '\r' && at < text.bytes && text.data[at] == '\n')
            at++;
        if (!add_part(run, out->list, text.data + begin, end - begin))
            return false;
        begin = at;
    }
    return begin == text.bytes || add_part(run, out->list, text.data + begin, text.bytes - begin);
}

static bool method_splitlines(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)call;
    return snug_text_lines(run, out, self->text);
}

static bool method_join(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_builder builder = { .region = run->region };
    snug_iterator iterator;
    snug_value item;

    if (!snug_iterator_init(run, &iterator, &call->values[0]))
        return false;
    for (bool is_first = true; snug_iterator_next(run, &iterator, &item); is_first = false) {
        if (item.kind != SNUG_VALUE_STRING)
            return snug_run_fail(run, "join() expects strings, not '%s'", snug_value_type_name(&item));
        if ((!is_first && !snug_builder_add(&builder, self->text)) || !snug_builder_add(&builder, item.text))
            return false;
    }
    *out = snug_value_string(snug_builder_str(&builder));
    return snug_run_is_well(run);
}

/* The part of the text that find() and count() look at: from and to are positions in characters. */
static bool bounds(snug_run *run, snug_str *part, size_t *skipped, snug_str text, const snug_call *call)
{
    const int64_t length = (int64_t)snug_utf8_count(text);
    int64_t from = 0;
    int64_t to = length;

    if (!snug_run_spend(run, text.bytes / 32) ||
        !snug_argument_integer(run, &from, &call->values[1], "start") ||
        !snug_argument_integer(run, &to, &call->values[2], "end"))
        return false;
    from = from < 0 ? (from < -length ? 0 : from + length) : from;
    to = to < 0 ? (to < -length ? 0 : to + length) : to > length ? length : to;
    *part = (snug_str){ NULL, 0 };
    if (from > to)
        return true;
    part->data = text.data + snug_utf8_offset(text, (size_t)from);
    part->bytes = snug_utf8_offset(text, (size_t)to) - (size_t)(part->data - text.data);
    *skipped = (size_t)from;
    return true;
}

static bool find_in(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call,
                    bool is_last)
{
    snug_str needle = { "", 0 };
    snug_str part;
    size_t skipped = 0;
    size_t at = 0;
    bool is_found = false;

    if (!snug_argument_text(run, &needle, &call->values[0], "sub") ||
        !bounds(run, &part, &skipped, self->text, call))
        return false;
    if (part.data && (is_last ? !find_last(run, &is_found, &at, part, needle, part.bytes)
                              : !snug_run_find(run, &is_found, &at, part, needle, 0)))
        return false;
    *out = snug_value_integer(-1);
    if (is_found)
        out->integer = (int64_t)(skipped + snug_utf8_count((snug_str){ part.data, at }));
    return true;
}

static bool method_find(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return find_in(run, out, self, call, false);
}

static bool method_rfind(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return find_in(run, out, self, call, true);
}

static bool method_index(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    if (!find_in(run, out, self, call, false))
        return false;
    return out->integer >= 0 || snug_run_fail(run, "index() did not find the substring");
}

static bool method_rindex(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    if (!find_in(run, out, self, call, true))
        return false;
    return out->integer >= 0 || snug_run_fail(run, "rindex() did not find the substring");
}

static bool method_count(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_str needle = { "", 0 };
    snug_str part;
    size_t skipped;
    size_t from = 0;
    int64_t count = 0;

    if (!snug_argument_text(run, &needle, &call->values[0], "sub") ||
        !bounds(run, &part, &skipped, self->text, call))
        return false;
    if (needle.bytes == 0)
        count = part.data ? (int64_t)snug_utf8_count(part) + 1 : 0;
    while (needle.bytes != 0 && part.data) {
        bool is_found;
        size_t at = 0;

        if (!snug_run_find(run, &is_found, &at, part, needle, from) || !snug_run_spend(run, 1))
            return false;
        if (!is_found)
            break;
        count++;
        from = at + needle.bytes;
    }
    *out = snug_value_integer(count);
    return true;
}

static const snug_builtin methods[] = {
    { "split", "sep maxsplit", 0, method_split },    { "replace", "old new count", 2, method_replace },
    { "join", "iterable", 1, method_join },          { "find", "sub start end", 1, method_find },
    { "rfind", "sub start end", 1, method_rfind },   { "index", "sub start end", 1, method_index },
    { "rindex", "sub start end", 1, method_rindex }, { "count", "sub start end", 1, method_count },
    { "rsplit", "sep maxsplit", 0, method_rsplit },  { "splitlines", "keepends", 0, method_splitlines },
    { "partition", "sep", 1, method_partition },     { "rpartition", "sep", 1, method_rpartition },
};

const snug_builtin *snug_text_search_method_find(snug_str name)
{
    return snug_builtin_find(methods, SNUG_COUNT(methods), name);
}
