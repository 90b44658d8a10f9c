/* SPDX-License-Identifier: Apache-2.0 */
/* list_filters.c - filters over sequences that choose or map items, and `default`; sort_filters.c orders
 * them. */
#include "text/template/run.h"

#include "text/template/builtins.h"

static bool filter_default(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    const bool replaces = self->kind == SNUG_VALUE_UNDEFINED ||
                          (snug_value_is_true(&call->values[1]) && !snug_value_is_true(self));

    (void)run;
    *out = *self;
    if (replaces)
        *out = call->values[0].kind == SNUG_VALUE_ABSENT ? snug_value_string((snug_str){ "", 0 })
                                                         : call->values[0];
    return true;
}

static bool filter_length(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    size_t length;

    (void)call;
    if (!snug_value_length(run, &length, self))
        return false;
    *out = snug_value_integer((int64_t)length);
    return true;
}

bool snug_filter_list(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_iterator iterator;
    snug_value item;

    (void)call;
    if (!snug_iterator_init(run, &iterator, self) || !snug_list_create(run, out, SNUG_VALUE_LIST, 0))
        return false;
    while (snug_iterator_next(run, &iterator, &item))
        if (!snug_list_add(run, out->list, item))
            return false;
    return snug_run_is_well(run);
}

static bool filter_first(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_iterator iterator;

    (void)call;
    if (!snug_iterator_init(run, &iterator, self))
        return false;
    if (!snug_iterator_next(run, &iterator, out))
        *out = snug_value_undefined(SNUG_VALUE_UNDEFINED, snug_str_from("the first item of nothing"));
    return snug_run_is_well(run);
}

static bool filter_last(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_value list;

    if (self->kind == SNUG_VALUE_GENERATOR)
        return snug_run_fail(run, "last() expects a sequence: put 'list' before it");
    if (!snug_filter_list(run, &list, self, call))
        return false;
    if (list.list->count != 0)
        *out = list.list->items[list.list->count - 1];
    else
        *out = snug_value_undefined(SNUG_VALUE_UNDEFINED, snug_str_from("the last item of nothing"));
    return true;
}

bool snug_item_or_attribute(snug_run *run, snug_value *out, const snug_value *item,
                            const snug_value *attribute)
{
    if (attribute->kind == SNUG_VALUE_ABSENT || attribute->kind == SNUG_VALUE_NONE) {
        *out = *item;
        return true;
    }
    return snug_run_path(run, out, item, attribute, NULL);
}

static bool filter_join(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_builder builder = { .region = run->region };
    snug_str separator = { "", 0 };
    snug_iterator iterator;
    snug_value item;

    if (!snug_iterator_init(run, &iterator, self) ||
        (call->values[0].kind != SNUG_VALUE_ABSENT && !snug_run_string(run, &separator, &call->values[0])))
        return false;
    for (bool is_first = true; snug_iterator_next(run, &iterator, &item); is_first = false) {
        snug_value part;

        if ((!is_first && !snug_builder_add(&builder, separator)) ||
            !snug_item_or_attribute(run, &part, &item, &call->values[1]) ||
            !snug_run_print(run, &builder, &part))
            return false;
    }
    *out = snug_value_string(snug_builder_str(&builder));
    return snug_run_is_well(run);
}

static bool filter_reverse(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    const snug_value parts[3] = { snug_value_none(), snug_value_none(), snug_value_integer(-1) };
    snug_value list;

    if (self->kind == SNUG_VALUE_STRING)
        return snug_run_slice(run, out, self, parts);
    if (!snug_filter_list(run, &list, self, call) || !snug_run_slice(run, out, &list, parts))
        return false;
    out->kind = SNUG_VALUE_GENERATOR;
    return true;
}

static bool filter_sum(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_iterator iterator;
    snug_value item;

    *out = call->values[1].kind == SNUG_VALUE_ABSENT ? snug_value_integer(0) : call->values[1];
    if (!snug_iterator_init(run, &iterator, self))
        return false;
    while (snug_iterator_next(run, &iterator, &item)) {
        const snug_value so_far = *out;
        snug_value part;

        if (!snug_item_or_attribute(run, &part, &item, &call->values[0]) ||
            !snug_run_operate(run, out, SNUG_OPERATOR_ADD, &so_far, &part))
            return false;
    }
    return snug_run_is_well(run);
}

static bool filter_items(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    if (self->kind == SNUG_VALUE_UNDEFINED)
        return snug_list_create(run, out, SNUG_VALUE_GENERATOR, 0);
    if (self->kind != SNUG_VALUE_DICT)
        return snug_run_fail(run, "items() expects a dict, not '%s'", snug_value_type_name(self));
    if (!snug_run_call_builtin(run, out, snug_method_find(self, snug_str_from("items")), self, call))
        return false;
    out->kind = SNUG_VALUE_GENERATOR;
    return true;
}

static bool filter_attr(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_str name = { "", 0 };

    if (!snug_argument_text(run, &name, &call->values[0], "name"))
        return false;
    if (self->kind == SNUG_VALUE_DICT && !snug_method_find(self, name)) {
        *out = snug_value_undefined(self->kind, name); /* unlike the dot: never an item */
        return true;
    }
    return snug_run_attribute(run, out, self, name);
}

/* The arguments after the first `skipped`. */
static snug_call rest_of(const snug_call *call, size_t skipped)
{
    snug_call rest = *call;

    rest.values += skipped;
    rest.count -= skipped;
    return rest;
}

/* map("filter", arguments ...): the filter upon each item. */
static bool map_filter(snug_run *run, snug_list *list, snug_iterator *iterator, const snug_call *call)
{
    const snug_call rest = rest_of(call, 1);
    const snug_builtin *filter;
    snug_str name = { "", 0 };
    snug_value item;

    if (!snug_argument_text(run, &name, &call->values[0], "filter"))
        return false;
    filter = snug_filter_find(name);
    if (!filter)
        return snug_run_fail(run, "there is no filter '%.*s'", (int)(name.bytes < 60 ? name.bytes : 60),
                             name.data);
    while (snug_iterator_next(run, iterator, &item)) {
        snug_value mapped;

        if (!snug_run_call_builtin(run, &mapped, filter, &item, &rest) || !snug_list_add(run, list, mapped))
            return false;
    }
    return snug_run_is_well(run);
}

/* map(attribute="name", default=value) */
static bool map_attribute(snug_run *run, snug_list *list, snug_iterator *iterator, const snug_call *call)
{
    const snug_value *attribute = NULL;
    const snug_value *fallback = NULL;
    snug_value item;

    for (size_t i = 0; i < call->named_count; i++) {
        if (snug_str_is(call->named[i].name, "attribute"))
            attribute = &call->named[i].value;
        else if (snug_str_is(call->named[i].name, "default"))
            fallback = &call->named[i].value;
        else
            return snug_run_fail(run, "map() takes no argument of that name");
    }
    if (!attribute)
        return snug_run_fail(run, "map() expects the name of a filter, or attribute=");
    while (snug_iterator_next(run, iterator, &item)) {
        snug_value mapped;

        if (!snug_run_path(run, &mapped, &item, attribute, fallback) || !snug_list_add(run, list, mapped))
            return false;
    }
    return snug_run_is_well(run);
}

static bool filter_map(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_iterator iterator;
    bool is_well;

    if (!snug_iterator_init(run, &iterator, self) || !snug_list_create(run, out, SNUG_VALUE_GENERATOR, 0) ||
        !snug_run_enter(run)) /* map("map", ...) may nest */
        return false;
    is_well = call->count == 0 ? map_attribute(run, out->list, &iterator, call)
                               : map_filter(run, out->list, &iterator, call);
    snug_run_leave(run);
    return is_well;
}

/* The test that is named after `skipped` arguments; NULL when none is: then truth itself decides. */
static bool find_item_test(snug_run *run, const snug_builtin **test, snug_call *rest, const snug_call *call,
                           size_t skipped)
{
    snug_str name = { "", 0 };

    *test = NULL;
    *rest = (snug_call){ .count = 0 };
    if (call->count < skipped)
        return snug_run_fail(run, "selectattr() and rejectattr() expect the name of an attribute");
    if (call->count == skipped)
        return true;
    if (!snug_argument_text(run, &name, &call->values[skipped], "test"))
        return false;
    *test = snug_test_find(name);
    if (!*test)
        return snug_run_fail(run, "there is no test '%.*s'", (int)(name.bytes < 60 ? name.bytes : 60),
                             name.data);
    *rest = rest_of(call, skipped + 1);
    return true;
}

/* Keep the items for which a test gives `wanted`; with an attribute, the test is of that. */
static bool select_items(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call,
                         bool has_attribute, bool wanted)
{
    const snug_builtin *test;
    snug_call rest;
    snug_iterator iterator;
    snug_value item;

    if (!find_item_test(run, &test, &rest, call, has_attribute) ||
        !snug_iterator_init(run, &iterator, self) || !snug_list_create(run, out, SNUG_VALUE_GENERATOR, 0))
        return false;
    while (snug_iterator_next(run, &iterator, &item)) {
        snug_value tested = item;
        snug_value answer;

        if (has_attribute && !snug_run_path(run, &tested, &item, &call->values[0], NULL))
            return false;
        answer = tested;
        if (test && !snug_run_call_builtin(run, &answer, test, &tested, &rest))
            return false;
        if (snug_value_is_true(&answer) == wanted && !snug_list_add(run, out->list, item))
            return false;
    }
    return snug_run_is_well(run);
}

static bool filter_select(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return select_items(run, out, self, call, false, true);
}

static bool filter_reject(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return select_items(run, out, self, call, false, false);
}

static bool filter_selectattr(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return select_items(run, out, self, call, true, true);
}

static bool filter_rejectattr(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return select_items(run, out, self, call, true, false);
}

/* Lists of `linecount` items each, the last one filled up if that is asked for. */
static bool filter_batch(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    int64_t size = 0;
    snug_value batch = { .kind = SNUG_VALUE_ABSENT };
    snug_iterator iterator;
    snug_value item;

    if (!snug_argument_integer(run, &size, &call->values[0], "linecount") ||
        !snug_iterator_init(run, &iterator, self) || !snug_list_create(run, out, SNUG_VALUE_GENERATOR, 0))
        return false;
    if (size < 1)
        return snug_run_fail(run, "batch() expects a size of at least 1");
    while (snug_iterator_next(run, &iterator, &item)) {
        if ((batch.kind == SNUG_VALUE_ABSENT || batch.list->count == (size_t)size) &&
            (!snug_list_create(run, &batch, SNUG_VALUE_LIST, 0) || !snug_list_add(run, out->list, batch)))
            return false;
        if (!snug_list_add(run, batch.list, item))
            return false;
    }
    while (batch.kind != SNUG_VALUE_ABSENT && call->values[1].kind > SNUG_VALUE_NONE &&
           batch.list->count < (size_t)size)
        if (!snug_list_add(run, batch.list, call->values[1]))
            return false;
    return snug_run_is_well(run);
}

/* `slices` lists of nearly equal length; those that are one item shorter are filled up if that is asked
 * for. */
static bool filter_slice(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    int64_t slices = 0;
    size_t at = 0;
    snug_value list;

    if (!snug_argument_integer(run, &slices, &call->values[0], "slices") ||
        !snug_filter_list(run, &list, self, call) || !snug_list_create(run, out, SNUG_VALUE_GENERATOR, 0))
        return false;
    if (slices < 1)
        return snug_run_fail(run, "slice() expects at least 1 slice");
    for (size_t i = 0; i < (size_t)slices; i++) {
        const bool is_longer = i < list.list->count % (size_t)slices;
        const size_t end = at + list.list->count / (size_t)slices + is_longer;
        snug_value slice;

        if (!snug_list_create(run, &slice, SNUG_VALUE_LIST, 0) || !snug_list_add(run, out->list, slice))
            return false;
        while (at < end)
            if (!snug_list_add(run, slice.list, list.list->items[at++]))
                return false;
        if (!is_longer && call->values[1].kind > SNUG_VALUE_NONE &&
            !snug_list_add(run, slice.list, call->values[1]))
            return false;
    }
    return true;
}

const snug_builtin *snug_list_filter_find(snug_str name)
{
    static const snug_builtin filters[] = {
        { "length", "", 0, filter_length },
        { "count", "", 0, filter_length },
        { "default", "default_value boolean", 0, filter_default },
        { "d", "default_value boolean", 0, filter_default },
        { "join", "d attribute", 0, filter_join },
        { "first", "", 0, filter_first },
        { "last", "", 0, filter_last },
        { "list", "", 0, snug_filter_list },
        { "map", "*", 0, filter_map },
        { "select", "*", 0, filter_select },
        { "reject", "*", 0, filter_reject },
        { "selectattr", "*", 0, filter_selectattr },
        { "rejectattr", "*", 0, filter_rejectattr },
        { "reverse", "", 0, filter_reverse },
        { "sum", "attribute start", 0, filter_sum },
        { "items", "", 0, filter_items },
        { "attr", "name", 1, filter_attr },
        { "batch", "linecount fill_with", 1, filter_batch },
        { "slice", "slices fill_with", 1, filter_slice },
    };

    return snug_builtin_find(filters, SNUG_COUNT(filters), name);
}

const snug_builtin *snug_filter_find(snug_str name)
{
    const snug_builtin *filter = snug_list_filter_find(name);

    if (!filter)
        filter = snug_text_filter_find(name);
    if (!filter)
        filter = snug_number_filter_find(name);
    return filter ? filter : snug_sort_filter_find(name);
}
