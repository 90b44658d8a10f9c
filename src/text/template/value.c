/* SPDX-License-Identifier: Apache-2.0 */
/* value.c - truth, equality, order, membership, lists, dicts and iteration, as Python has them. */
#include "text/template/value.h"

#include <string.h>

#include "text/template/run.h"
#include "text/template/unicode.h"

const char *snug_value_type_name(const snug_value *value)
{
    static const char *const names[] = {
        [SNUG_VALUE_ABSENT] = "nothing",      [SNUG_VALUE_UNDEFINED] = "Undefined",
        [SNUG_VALUE_NONE] = "NoneType",       [SNUG_VALUE_BOOL] = "bool",
        [SNUG_VALUE_INTEGER] = "int",         [SNUG_VALUE_FLOAT] = "float",
        [SNUG_VALUE_STRING] = "str",          [SNUG_VALUE_LIST] = "list",
        [SNUG_VALUE_TUPLE] = "tuple",         [SNUG_VALUE_GENERATOR] = "generator",
        [SNUG_VALUE_VIEW] = "dict view",      [SNUG_VALUE_DICT] = "dict",
        [SNUG_VALUE_NAMESPACE] = "Namespace", [SNUG_VALUE_RANGE] = "range",
        [SNUG_VALUE_FUNCTION] = "function",   [SNUG_VALUE_METHOD] = "method",
        [SNUG_VALUE_MACRO] = "Macro",         [SNUG_VALUE_LOOP] = "LoopContext",
    };

    return names[value->kind];
}

bool snug_value_is_true(const snug_value *value)
{
    switch (value->kind) {
    case SNUG_VALUE_ABSENT:
    case SNUG_VALUE_UNDEFINED:
    case SNUG_VALUE_NONE:
        return false;
    case SNUG_VALUE_BOOL:
        return value->truth;
    case SNUG_VALUE_INTEGER:
        return value->integer != 0;
    case SNUG_VALUE_FLOAT:
        return value->number != 0;
    case SNUG_VALUE_STRING:
        return value->text.bytes != 0;
    case SNUG_VALUE_LIST:
    case SNUG_VALUE_TUPLE:
    case SNUG_VALUE_VIEW:
        return value->list->count != 0;
    case SNUG_VALUE_DICT:
        return value->dict->count != 0;
    case SNUG_VALUE_RANGE:
        return value->range->count != 0;
    default:
        return true;
    }
}

static bool lists_equal(snug_run *run, bool *equal_out, const snug_list *a, const snug_list *b)
{
    *equal_out = a->count == b->count;
    for (size_t i = 0; i < a->count && *equal_out; i++)
        if (!snug_value_equal(run, equal_out, &a->items[i], &b->items[i]))
            return false;
    return true;
}

static bool dicts_equal(snug_run *run, bool *equal_out, const snug_dict *a, const snug_dict *b)
{
    *equal_out = a->count == b->count;
    for (size_t i = 0; i < a->count && *equal_out; i++) {
        snug_value *other;

        if (!snug_dict_find(run, &other, b, &a->entries[i].key))
            return false;
        *equal_out = other != NULL;
        if (other && !snug_value_equal(run, equal_out, &a->entries[i].value, other))
            return false;
    }
    return true;
}

static bool ranges_equal(const snug_range *a, const snug_range *b)
{
    if (a->count != b->count || a->count == 0)
        return a->count == b->count;
    return a->start == b->start && (a->count == 1 || a->step == b->step);
}

/* Kinds are equal and not numbers. */
static bool same_kind_equal(snug_run *run, bool *equal_out, const snug_value *a, const snug_value *b)
{
    switch (a->kind) {
    case SNUG_VALUE_UNDEFINED:
    case SNUG_VALUE_NONE:
        *equal_out = true;
        return true;
    case SNUG_VALUE_STRING:
        *equal_out = snug_str_equal(a->text, b->text);
        return *equal_out ? snug_run_spend(run, a->text.bytes / 64) : true;
    case SNUG_VALUE_LIST:
    case SNUG_VALUE_TUPLE:
    case SNUG_VALUE_VIEW:
        return lists_equal(run, equal_out, a->list, b->list);
    case SNUG_VALUE_DICT:
        return dicts_equal(run, equal_out, a->dict, b->dict);
    case SNUG_VALUE_RANGE:
        *equal_out = ranges_equal(a->range, b->range);
        return true;
    default: /* all else is equal to itself only */
        *equal_out = a->list == b->list;
        return true;
    }
}

bool snug_value_equal(snug_run *run, bool *equal_out, const snug_value *a, const snug_value *b)
{
    bool is_well;

    if (snug_value_is_number(a) && snug_value_is_number(b)) {
        if (snug_value_is_integer(a) && snug_value_is_integer(b))
            *equal_out = snug_value_to_integer(a) == snug_value_to_integer(b);
        else
            *equal_out = snug_value_to_float(a) == snug_value_to_float(b);
        return true;
    }
    *equal_out = false;
    if (a->kind != b->kind)
        return true;
    if (!snug_run_spend(run, 1) || !snug_run_enter(run))
        return false;
    is_well = same_kind_equal(run, equal_out, a, b);
    snug_run_leave(run);
    return is_well;
}

static int order_of(double a, double b)
{
    return a < b ? -1 : a > b;
}

static int order_texts(snug_str a, snug_str b)
{
    const size_t common = a.bytes < b.bytes ? a.bytes : b.bytes;
    const int order = common != 0 ? memcmp(a.data, b.data, common) : 0; /* UTF-8 orders as code points */

    if (order != 0)
        return order < 0 ? -1 : 1;
    return a.bytes < b.bytes ? -1 : a.bytes > b.bytes;
}

static bool order_lists(snug_run *run, int *order_out, const snug_list *a, const snug_list *b)
{
    for (size_t i = 0; i < a->count && i < b->count; i++) {
        bool is_equal;

        if (!snug_value_equal(run, &is_equal, &a->items[i], &b->items[i]))
            return false;
        if (!is_equal)
            return snug_value_order(run, order_out, &a->items[i], &b->items[i]);
    }
    *order_out = a->count < b->count ? -1 : a->count > b->count;
    return true;
}

bool snug_value_order(snug_run *run, int *order_out, const snug_value *a, const snug_value *b)
{
    if (!snug_run_spend(run, 1))
        return false;
    if (snug_value_is_integer(a) && snug_value_is_integer(b)) {
        const int64_t left = snug_value_to_integer(a);
        const int64_t right = snug_value_to_integer(b);

        *order_out = left < right ? -1 : left > right;
        return true;
    }
    if (snug_value_is_number(a) && snug_value_is_number(b)) {
        *order_out = order_of(snug_value_to_float(a), snug_value_to_float(b));
        return true;
    }
    if (a->kind == SNUG_VALUE_STRING && b->kind == SNUG_VALUE_STRING) {
        *order_out = order_texts(a->text, b->text);
        return snug_run_spend(run, a->text.bytes / 64);
    }
    if (a->kind == b->kind && (a->kind == SNUG_VALUE_LIST || a->kind == SNUG_VALUE_TUPLE)) {
        bool is_well;

        if (!snug_run_enter(run))
            return false;
        is_well = order_lists(run, order_out, a->list, b->list);
        snug_run_leave(run);
        return is_well;
    }
    if (a->kind == SNUG_VALUE_UNDEFINED || b->kind == SNUG_VALUE_UNDEFINED)
        return snug_run_fail_undefined(run, a->kind == SNUG_VALUE_UNDEFINED ? a : b);
    return snug_run_fail(run, "'%s' and '%s' have no order", snug_value_type_name(a),
                         snug_value_type_name(b));
}

bool snug_run_find(snug_run *run, bool *found_out, size_t *at_out, snug_str text, snug_str needle,
                   size_t from)
{
    size_t at = from;

    *found_out = false;
    if (from > text.bytes || needle.bytes > text.bytes - from)
        return true;
    if (needle.bytes == 0) {
        *found_out = true;
        *at_out = from;
        return true;
    }
    while (at + needle.bytes <= text.bytes) {
        const char *first = memchr(text.data + at, needle.data[0], text.bytes - needle.bytes - at + 1);

        if (!first)
            break;
        /* Each candidate may compare the whole needle: count that, or a text of one letter would hang us. */
        if (!snug_run_spend(run, needle.bytes / 64))
            return false;
        at = (size_t)(first - text.data);
        if (memcmp(first, needle.data, needle.bytes) == 0) {
            *found_out = true;
            *at_out = at;
            break;
        }
        at++;
    }
    return snug_run_spend(run, (at - from) / 64);
}

bool snug_value_contains(snug_run *run, bool *found_out, const snug_value *container, const snug_value *item)
{
    snug_iterator iterator;
    snug_value candidate;

    *found_out = false;
    if (container->kind == SNUG_VALUE_STRING) {
        size_t at;

        if (item->kind == SNUG_VALUE_UNDEFINED)
            return snug_run_fail_undefined(run, item);
        if (item->kind != SNUG_VALUE_STRING)
            return snug_run_fail(run, "'in' a string expects a string on its left, not '%s'",
                                 snug_value_type_name(item));
        return snug_run_find(run, found_out, &at, container->text, item->text, 0);
    }
    if (container->kind == SNUG_VALUE_DICT) {
        snug_value *value;

        if (!snug_dict_find(run, &value, container->dict, item))
            return false;
        *found_out = value != NULL;
        return true;
    }
    if (!snug_iterator_init(run, &iterator, container))
        return false;
    while (!*found_out && snug_iterator_next(run, &iterator, &candidate))
        if (!snug_value_equal(run, found_out, &candidate, item))
            return false;
    return snug_run_is_well(run);
}

bool snug_value_length(snug_run *run, size_t *length_out, const snug_value *value)
{
    switch (value->kind) {
    case SNUG_VALUE_UNDEFINED:
        *length_out = 0;
        return true;
    case SNUG_VALUE_STRING:
        *length_out = snug_utf8_count(value->text);
        return snug_run_spend(run, value->text.bytes / 64);
    case SNUG_VALUE_LIST:
    case SNUG_VALUE_TUPLE:
    case SNUG_VALUE_VIEW:
        *length_out = value->list->count;
        return true;
    case SNUG_VALUE_DICT:
        *length_out = value->dict->count;
        return true;
    case SNUG_VALUE_RANGE:
        *length_out = value->range->count;
        return true;
    case SNUG_VALUE_LOOP:
        *length_out = value->loop->count;
        return true;
    default:
        return snug_run_fail(run, "a value of type '%s' has no length", snug_value_type_name(value));
    }
}

bool snug_list_create(snug_run *run, snug_value *out, snug_value_kind kind, size_t capacity)
{
    snug_list *list = snug_region_alloc(run->region, sizeof *list);

    if (!list)
        return false;
    if (capacity != 0) {
        list->items = snug_region_array(run->region, capacity, sizeof *list->items);
        if (!list->items)
            return false;
        list->capacity = capacity;
    }
    *out = (snug_value){ .kind = kind, .list = list };
    return true;
}

bool snug_list_add(snug_run *run, snug_list *list, snug_value item)
{
    snug_value *items =
        snug_region_grow(run->region, list->items, list->count, &list->capacity, sizeof *list->items);

    if (!items || !snug_run_spend(run, 1))
        return false;
    list->items = items;
    list->items[list->count++] = item;
    return true;
}

bool snug_dict_create(snug_run *run, snug_value *out, snug_value_kind kind, size_t capacity)
{
    snug_dict *dict = snug_region_alloc(run->region, sizeof *dict);

    if (!dict)
        return false;
    if (capacity != 0) {
        dict->entries = snug_region_array(run->region, capacity, sizeof *dict->entries);
        if (!dict->entries)
            return false;
        dict->capacity = capacity;
    }
    *out = (snug_value){ .kind = kind, .dict = dict };
    return true;
}

bool snug_dict_find(snug_run *run, snug_value **value_out, const snug_dict *dict, const snug_value *key)
{
    *value_out = NULL;
    if (key->kind == SNUG_VALUE_STRING)
        return snug_dict_find_text(run, value_out, dict, key->text);
    if (key->kind == SNUG_VALUE_LIST || key->kind == SNUG_VALUE_DICT)
        return snug_run_fail(run, "a value of type '%s' cannot be the key of a dict",
                             snug_value_type_name(key));
    for (size_t i = 0; i < dict->count; i++) {
        bool is_equal;

        if (!snug_value_equal(run, &is_equal, &dict->entries[i].key, key))
            return false;
        if (is_equal) {
            *value_out = &dict->entries[i].value;
            break;
        }
    }
    return snug_run_spend(run, dict->count / 16);
}

bool snug_dict_find_text(snug_run *run, snug_value **value_out, const snug_dict *dict, snug_str key)
{
    *value_out = NULL;
    for (size_t i = 0; i < dict->count; i++) {
        const snug_value *candidate = &dict->entries[i].key;

        if (candidate->kind == SNUG_VALUE_STRING && snug_str_equal(candidate->text, key)) {
            *value_out = &dict->entries[i].value;
            break;
        }
    }
    return snug_run_spend(run, dict->count / 16);
}

bool snug_dict_set(snug_run *run, snug_dict *dict, snug_value key, snug_value value)
{
    snug_value *present;
    snug_entry *entries;

    if (!snug_dict_find(run, &present, dict, &key))
        return false;
    if (present) {
        *present = value;
        return true;
    }
    entries =
        snug_region_grow(run->region, dict->entries, dict->count, &dict->capacity, sizeof *dict->entries);
    if (!entries)
        return false;
    dict->entries = entries;
    dict->entries[dict->count++] = (snug_entry){ key, value };
    return snug_run_spend(run, 1);
}

bool snug_iterator_init(snug_run *run, snug_iterator *iterator, const snug_value *of)
{
    *iterator = (snug_iterator){ .of = *of };
    switch (of->kind) {
    case SNUG_VALUE_LIST:
    case SNUG_VALUE_TUPLE:
    case SNUG_VALUE_VIEW:
        iterator->count = of->list->count;
        return true;
    case SNUG_VALUE_GENERATOR:
        iterator->count = of->list->count - of->list->read;
        return true;
    case SNUG_VALUE_UNDEFINED:
    case SNUG_VALUE_STRING:
    case SNUG_VALUE_DICT:
    case SNUG_VALUE_RANGE:
        return snug_value_length(run, &iterator->count, of);
    default:
        return snug_run_fail(run, "a value of type '%s' cannot be iterated", snug_value_type_name(of));
    }
}

bool snug_iterator_next(snug_run *run, snug_iterator *iterator, snug_value *out)
{
    const snug_value *of = &iterator->of;
    const size_t index = iterator->index;

    if (index >= iterator->count || !snug_run_spend(run, 1))
        return false;
    iterator->index++;
    switch (of->kind) {
    case SNUG_VALUE_STRING: {
        const size_t bytes = snug_utf8_bytes(of->text, iterator->byte);

        *out = snug_value_string((snug_str){ of->text.data + iterator->byte, bytes });
        iterator->byte += bytes;
        return true;
    }
    case SNUG_VALUE_DICT:
        *out = of->dict->entries[index].key;
        return true;
    case SNUG_VALUE_RANGE:
        *out = snug_value_integer(of->range->start + of->range->step * (int64_t)index);
        return true;
    case SNUG_VALUE_GENERATOR:
        if (of->list->read >= of->list->count) /* someone else read it on */
            return false;
        *out = of->list->items[of->list->read++];
        return true;
    default:
        *out = of->list->items[index];
        return true;
    }
}
