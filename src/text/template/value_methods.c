/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value_methods.c - methods of dicts, lists and `loop`, global functions, and the arguments of them all.
 * Methods that change their object do not exist: the sandbox of the reference implementation forbids them.
 */
#include "text/template/run.h"

#include "text/template/builtins.h"

const snug_builtin *snug_builtin_find(const snug_builtin *rows, size_t count, snug_str name)
{
    for (size_t i = 0; i < count; i++)
        if (snug_str_is(name, rows[i].name))
            return &rows[i];
    return NULL;
}

bool snug_argument_integer(snug_run *run, int64_t *out, const snug_value *argument, const char *name)
{
    if (argument->kind == SNUG_VALUE_ABSENT || argument->kind == SNUG_VALUE_NONE)
        return true;
    if (argument->kind == SNUG_VALUE_UNDEFINED)
        return snug_run_fail_undefined(run, argument);
    if (!snug_value_is_integer(argument))
        return snug_run_fail(run, "the argument '%s' expects an integer, not '%s'", name,
                             snug_value_type_name(argument));
    *out = snug_value_to_integer(argument);
    return true;
}

bool snug_argument_text(snug_run *run, snug_str *out, const snug_value *argument, const char *name)
{
    if (argument->kind == SNUG_VALUE_ABSENT || argument->kind == SNUG_VALUE_NONE)
        return true;
    if (argument->kind == SNUG_VALUE_UNDEFINED)
        return snug_run_fail_undefined(run, argument);
    if (argument->kind != SNUG_VALUE_STRING)
        return snug_run_fail(run, "the argument '%s' expects a string, not '%s'", name,
                             snug_value_type_name(argument));
    *out = argument->text;
    return true;
}

static bool make_view(snug_run *run, snug_value *out, const snug_dict *dict, const char *name)
{
    if (!snug_list_create(run, out, SNUG_VALUE_VIEW, dict->count))
        return false;
    out->list->name = name;
    return true;
}

static bool dict_keys(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)call;
    if (!make_view(run, out, self->dict, "dict_keys"))
        return false;
    for (size_t i = 0; i < self->dict->count; i++)
        if (!snug_list_add(run, out->list, self->dict->entries[i].key))
            return false;
    return true;
}

static bool dict_values(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)call;
    if (!make_view(run, out, self->dict, "dict_values"))
        return false;
    for (size_t i = 0; i < self->dict->count; i++)
        if (!snug_list_add(run, out->list, self->dict->entries[i].value))
            return false;
    return true;
}

static bool dict_items(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)call;
    if (!make_view(run, out, self->dict, "dict_items"))
        return false;
    for (size_t i = 0; i < self->dict->count; i++) {
        snug_value pair;

        if (!snug_list_create(run, &pair, SNUG_VALUE_TUPLE, 2) ||
            !snug_list_add(run, pair.list, self->dict->entries[i].key) ||
            !snug_list_add(run, pair.list, self->dict->entries[i].value) ||
            !snug_list_add(run, out->list, pair))
            return false;
    }
    return true;
}

static bool dict_get(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_value *value;

    if (!snug_dict_find(run, &value, self->dict, &call->values[0]))
        return false;
    if (value)
        *out = *value;
    else
        *out = call->values[1].kind == SNUG_VALUE_ABSENT ? snug_value_none() : call->values[1];
    return true;
}

/* Nothing can change a list or a dict here, so that a copy is the thing itself. */
static bool copy(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)run;
    (void)call;
    *out = *self;
    return true;
}

/* How often, and where first, a list has a value. */
static bool search_list(snug_run *run, int64_t *count, size_t *first, const snug_list *list,
                        const snug_value *wanted)
{
    *count = 0;
    for (size_t i = list->count; i-- > 0;) {
        bool is_equal;

        if (!snug_run_spend(run, 1) || !snug_value_equal(run, &is_equal, &list->items[i], wanted))
            return false;
        if (is_equal) {
            *first = i;
            ++*count;
        }
    }
    return true;
}

static bool list_index(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    int64_t count;
    size_t first = 0;

    if (!search_list(run, &count, &first, self->list, &call->values[0]))
        return false;
    if (count == 0)
        return snug_run_fail(run, "index() did not find the value in the list");
    *out = snug_value_integer((int64_t)first);
    return true;
}

static bool list_count(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    int64_t count;
    size_t first;

    if (!search_list(run, &count, &first, self->list, &call->values[0]))
        return false;
    *out = snug_value_integer(count);
    return true;
}

static bool loop_cycle(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    if (call->count == 0)
        return snug_run_fail(run, "cycle() expects at least one value");
    *out = call->values[self->loop->index % call->count];
    return true;
}

/* Whether the values differ from those of the call before. */
static bool loop_changed(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_value values;
    bool is_equal = false;

    if (!snug_list_create(run, &values, SNUG_VALUE_TUPLE, call->count))
        return false;
    for (size_t i = 0; i < call->count; i++)
        if (!snug_list_add(run, values.list, call->values[i]))
            return false;
    if (self->loop->changed.kind != SNUG_VALUE_ABSENT &&
        !snug_value_equal(run, &is_equal, &values, &self->loop->changed))
        return false;
    self->loop->changed = values;
    *out = snug_value_bool(!is_equal);
    return true;
}

const snug_builtin *snug_method_find(const snug_value *subject, snug_str name)
{
    static const snug_builtin dict_methods[] = {
        { "get", "key default", 1, dict_get }, { "items", "", 0, dict_items }, { "keys", "", 0, dict_keys },
        { "values", "", 0, dict_values },      { "copy", "", 0, copy },
    };
    static const snug_builtin list_methods[] = {
        { "index", "value", 1, list_index },
        { "count", "value", 1, list_count },
        { "copy", "", 0, copy }, /* not of a tuple: last */
    };
    static const snug_builtin loop_methods[] = {
        { "cycle", "*", 0, loop_cycle },
        { "changed", "*", 0, loop_changed },
    };

    switch (subject->kind) {
    case SNUG_VALUE_STRING:
        return snug_text_method_find(name);
    case SNUG_VALUE_DICT:
        return snug_builtin_find(dict_methods, SNUG_COUNT(dict_methods), name);
    case SNUG_VALUE_LIST:
        return snug_builtin_find(list_methods, SNUG_COUNT(list_methods), name);
    case SNUG_VALUE_TUPLE:
        return snug_builtin_find(list_methods, SNUG_COUNT(list_methods) - 1, name);
    case SNUG_VALUE_LOOP:
        return snug_builtin_find(loop_methods, SNUG_COUNT(loop_methods), name);
    default:
        return NULL;
    }
}

static bool function_range(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_range *range = snug_region_alloc(run->region, sizeof *range);
    int64_t numbers[3] = { 0, 0, 1 };
    uint64_t distance = 0;

    (void)self;
    for (size_t i = 0; i < SNUG_COUNT(numbers); i++)
        if (!snug_argument_integer(run, &numbers[i], &call->values[i], "range"))
            return false;
    if (!range)
        return false;
    *range = (snug_range){ .start = numbers[0], .stop = numbers[1], .step = numbers[2] };
    if (call->values[1].kind == SNUG_VALUE_ABSENT) {
        range->start = 0;
        range->stop = numbers[0];
    }
    if (range->step == 0)
        return snug_run_fail(run, "the step of range() must not be 0");
    if (range->step > 0 && range->stop > range->start)
        distance = ((uint64_t)range->stop - (uint64_t)range->start - 1) / (uint64_t)range->step + 1;
    else if (range->step < 0 && range->stop < range->start)
        distance = ((uint64_t)range->start - (uint64_t)range->stop - 1) / (0 - (uint64_t)range->step) + 1;
    if (distance > SNUG_TEMPLATE_RANGE_MAX)
        return snug_region_fail(run->region, SNUG_ERR_OVER_LIMIT,
                                "line %u: range() would count %llu numbers, at most %d are allowed",
                                run->line, (unsigned long long)distance, SNUG_TEMPLATE_RANGE_MAX);
    range->count = (size_t)distance;
    *out = (snug_value){ .kind = SNUG_VALUE_RANGE, .range = range };
    return true;
}

static bool copy_entries(snug_run *run, snug_dict *dict, const snug_dict *from)
{
    for (size_t i = 0; i < from->count; i++)
        if (!snug_dict_set(run, dict, from->entries[i].key, from->entries[i].value))
            return false;
    return true;
}

static bool copy_pairs(snug_run *run, snug_dict *dict, const snug_value *pairs)
{
    snug_iterator iterator;
    snug_value item;

    if (!snug_iterator_init(run, &iterator, pairs))
        return false;
    while (snug_iterator_next(run, &iterator, &item)) {
        if ((item.kind != SNUG_VALUE_TUPLE && item.kind != SNUG_VALUE_LIST) || item.list->count != 2)
            return snug_run_fail(run, "a dict is made of pairs, not of '%s'", snug_value_type_name(&item));
        if (!snug_dict_set(run, dict, item.list->items[0], item.list->items[1]))
            return false;
    }
    return snug_run_is_well(run);
}

/* dict(pairs or dict, name=value ...), also for namespace(). */
static bool fill_dict(snug_run *run, snug_dict *dict, const snug_call *call)
{
    if (call->count > 1)
        return snug_run_fail(run, "a dict is made of at most one value, not %zu", call->count);
    if (call->count == 1 &&
        (call->values[0].kind == SNUG_VALUE_DICT ? !copy_entries(run, dict, call->values[0].dict)
                                                 : !copy_pairs(run, dict, &call->values[0])))
        return false;
    for (size_t i = 0; i < call->named_count; i++)
        if (!snug_dict_set(run, dict, snug_value_string(call->named[i].name), call->named[i].value))
            return false;
    return true;
}

static bool function_dict(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)self;
    return snug_dict_create(run, out, SNUG_VALUE_DICT, call->named_count) && fill_dict(run, out->dict, call);
}

static bool function_namespace(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)self;
    return snug_dict_create(run, out, SNUG_VALUE_NAMESPACE, call->named_count) &&
           fill_dict(run, out->dict, call);
}

static bool function_raise(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_str text;

    (void)self;
    (void)out;
    if (!snug_run_string(run, &text, &call->values[0]))
        return false;
    return snug_region_fail(run->region, SNUG_ERR_CORRUPT, "%.*s", SNUG_STR_ARGS(text));
}

static bool function_strftime(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_builder builder = { .region = run->region };
    snug_str format = { "", 0 };

    (void)self;
    if (!snug_argument_text(run, &format, &call->values[0], "format") ||
        !snug_run_format_time(run, &builder, format, run->now_unix))
        return false;
    *out = snug_value_string(snug_builder_str(&builder));
    return true;
}

const snug_builtin *snug_function_find(snug_str name)
{
    static const snug_builtin functions[] = {
        { "range", "start stop step", 1, function_range },
        { "dict", "*", 0, function_dict },
        { "namespace", "*", 0, function_namespace },
        { "raise_exception", "message", 1, function_raise },
        { "strftime_now", "format", 1, function_strftime },
    };

    return snug_builtin_find(functions, SNUG_COUNT(functions), name);
}
