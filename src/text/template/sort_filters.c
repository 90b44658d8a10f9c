/* SPDX-License-Identifier: Apache-2.0 */
/* sort_filters.c - filters that compare items with each other: sort, dictsort, unique, min, max, groupby. */
#include "text/template/run.h"

#include "text/template/builtins.h"

/* What is compared: the item or its attribute, in lower case unless case counts. */
static bool sort_key(snug_run *run, snug_value *out, const snug_value *item, const snug_value *attribute,
                     bool is_case_sensitive)
{
    const snug_call none = { .count = 0 };
    snug_value key;

    if (!snug_item_or_attribute(run, &key, item, attribute))
        return false;
    *out = key;
    if (is_case_sensitive || key.kind != SNUG_VALUE_STRING)
        return true;
    return snug_run_call_builtin(run, out, snug_text_method_find(snug_str_from("lower")), &key, &none);
}

static bool sort_keys(snug_run *run, snug_value *keys, const snug_list *items, const snug_value *attribute,
                      bool is_case_sensitive)
{
    if (!snug_list_create(run, keys, SNUG_VALUE_LIST, items->count))
        return false;
    for (size_t i = 0; i < items->count; i++) {
        snug_value key;

        if (!sort_key(run, &key, &items->items[i], attribute, is_case_sensitive) ||
            !snug_list_add(run, keys->list, key))
            return false;
    }
    return true;
}

/* Merge the sorted runs [at[0], at[1]) and [at[1], at[2]) of `from` into `to`: indices into `keys`. */
static bool merge(snug_run *run, const snug_list *keys, const size_t *from, size_t *to, const size_t at[3],
                  bool is_reversed)
{
    size_t left = at[0];
    size_t right = at[1];

    for (size_t i = at[0]; i < at[2]; i++) {
        int order = -1;

        if (left >= at[1])
            order = 1;
        else if (right < at[2]) {
            if (!snug_value_order(run, &order, &keys->items[from[left]], &keys->items[from[right]]))
                return false;
            order = is_reversed ? -order : order;
        }
        to[i] = order <= 0 ? from[left++] : from[right++];
    }
    return true;
}

bool snug_list_sort(snug_run *run, const snug_list *keys, snug_list *items, bool is_reversed)
{
    const size_t count = items->count;
    size_t *from = snug_region_array(run->region, count + 1, sizeof *from);
    size_t *to = snug_region_array(run->region, count + 1, sizeof *to);
    snug_value *sorted = snug_region_array(run->region, count + 1, sizeof *sorted);

    if (!from || !to || !sorted)
        return false;
    for (size_t i = 0; i < count; i++)
        from[i] = i;
    for (size_t width = 1; width < count; width *= 2) {
        size_t *swapped = from;

        for (size_t begin = 0; begin < count; begin += 2 * width) {
            const size_t middle = begin + width < count ? begin + width : count;
            const size_t end = begin + 2 * width < count ? begin + 2 * width : count;

            if (!merge(run, keys, from, to, (const size_t[]){ begin, middle, end }, is_reversed))
                return false;
        }
        from = to;
        to = swapped;
    }
    for (size_t i = 0; i < count; i++)
        sorted[i] = items->items[from[i]];
    items->items = sorted;
    items->capacity = count + 1;
    return snug_run_spend(run, count);
}

static bool filter_sort(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    const bool is_reversed = snug_value_is_true(&call->values[0]);
    const bool is_case_sensitive = snug_value_is_true(&call->values[1]);
    snug_value keys;

    return snug_filter_list(run, out, self, call) &&
           sort_keys(run, &keys, out->list, &call->values[2], is_case_sensitive) &&
           snug_list_sort(run, keys.list, out->list, is_reversed);
}

static bool filter_dictsort(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    const bool is_case_sensitive = snug_value_is_true(&call->values[0]);
    const bool is_reversed = snug_value_is_true(&call->values[2]);
    const snug_call none = { .count = 0 };
    snug_str by = { "key", 3 };
    snug_value index;
    snug_value view;
    snug_value keys;

    if (self->kind == SNUG_VALUE_UNDEFINED)
        return snug_run_fail_undefined(run, self);
    if (self->kind != SNUG_VALUE_DICT)
        return snug_run_fail(run, "dictsort() expects a dict, not '%s'", snug_value_type_name(self));
    if (!snug_argument_text(run, &by, &call->values[1], "by"))
        return false;
    index = snug_value_integer(snug_str_is(by, "value"));
    return snug_run_call_builtin(run, &view, snug_method_find(self, snug_str_from("items")), self, &none) &&
           snug_filter_list(run, out, &view, call) &&
           sort_keys(run, &keys, out->list, &index, is_case_sensitive) &&
           snug_list_sort(run, keys.list, out->list, is_reversed);
}

static bool filter_unique(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    const bool is_case_sensitive = snug_value_is_true(&call->values[0]);
    snug_value list;
    snug_value keys;
    snug_value seen;

    if (!snug_filter_list(run, &list, self, call) ||
        !sort_keys(run, &keys, list.list, &call->values[1], is_case_sensitive) ||
        !snug_list_create(run, &seen, SNUG_VALUE_LIST, 0) ||
        !snug_list_create(run, out, SNUG_VALUE_GENERATOR, 0))
        return false;
    for (size_t i = 0; i < list.list->count; i++) {
        bool is_seen;

        if (!snug_value_contains(run, &is_seen, &seen, &keys.list->items[i]))
            return false;
        if (!is_seen && (!snug_list_add(run, seen.list, keys.list->items[i]) ||
                         !snug_list_add(run, out->list, list.list->items[i])))
            return false;
    }
    return true;
}

/* The smallest (sign -1) or largest (1) item: the first of those that are equal. */
static bool extreme(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call, int sign)
{
    const bool is_case_sensitive = snug_value_is_true(&call->values[0]);
    snug_value list;
    snug_value keys;
    size_t best = 0;

    if (!snug_filter_list(run, &list, self, call) ||
        !sort_keys(run, &keys, list.list, &call->values[1], is_case_sensitive))
        return false;
    for (size_t i = 1; i < list.list->count; i++) {
        int order;

        if (!snug_value_order(run, &order, &keys.list->items[i], &keys.list->items[best]))
            return false;
        if (order * sign > 0)
            best = i;
    }
    *out = snug_value_undefined(SNUG_VALUE_UNDEFINED, snug_str_from("the smallest or largest of nothing"));
    if (list.list->count != 0)
        *out = list.list->items[best];
    return true;
}

static bool filter_min(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return extreme(run, out, self, call, -1);
}

static bool filter_max(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return extreme(run, out, self, call, 1);
}

/* A new group: a tuple of its key and a list, still empty. */
static bool add_group(snug_run *run, snug_list *groups, const snug_value *key, snug_value *items)
{
    snug_value group;

    return snug_list_create(run, items, SNUG_VALUE_LIST, 0) &&
           snug_list_create(run, &group, SNUG_VALUE_TUPLE, 2) && snug_list_add(run, group.list, *key) &&
           snug_list_add(run, group.list, *items) && snug_list_add(run, groups, group);
}

static bool filter_groupby(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    const bool is_case_sensitive = snug_value_is_true(&call->values[1]);
    snug_value last_key = { .kind = SNUG_VALUE_ABSENT };
    snug_value items;
    snug_value group;
    snug_value keys;

    if (!snug_filter_list(run, &items, self, call) ||
        !sort_keys(run, &keys, items.list, &call->values[0], is_case_sensitive) ||
        !snug_list_sort(run, keys.list, items.list, false) || !snug_list_create(run, out, SNUG_VALUE_LIST, 0))
        return false;
    for (size_t i = 0; i < items.list->count; i++) {
        snug_value key;
        snug_value shown;
        bool is_same = false;

        if (!sort_key(run, &key, &items.list->items[i], &call->values[0], is_case_sensitive) ||
            !snug_item_or_attribute(run, &shown, &items.list->items[i], &call->values[0]) ||
            (last_key.kind != SNUG_VALUE_ABSENT && !snug_value_equal(run, &is_same, &key, &last_key)))
            return false;
        if (!is_same && !add_group(run, out->list, &shown, &group))
            return false;
        last_key = key;
        if (!snug_list_add(run, group.list, items.list->items[i]))
            return false;
    }
    return true;
}

const snug_builtin *snug_sort_filter_find(snug_str name)
{
    static const snug_builtin filters[] = {
        { "sort", "reverse case_sensitive attribute", 0, filter_sort },
        { "dictsort", "case_sensitive by reverse", 0, filter_dictsort },
        { "unique", "case_sensitive attribute", 0, filter_unique },
        { "min", "case_sensitive attribute", 0, filter_min },
        { "max", "case_sensitive attribute", 0, filter_max },
        { "groupby", "attribute case_sensitive", 1, filter_groupby },
    };

    return snug_builtin_find(filters, SNUG_COUNT(filters), name);
}
