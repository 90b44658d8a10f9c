/* SPDX-License-Identifier: Apache-2.0 */
/* call.c - arguments to parameters, for our own functions and for macros. */
#include "text/template/run.h"

#include <string.h>

#include "text/template/builtins.h"

/* The most parameters a row of our tables has. */
#define PARAMETERS_MAX 8

static bool add_value(snug_run *run, snug_call *call, size_t *capacity, snug_value value)
{
    call->values = snug_region_grow(run->region, call->values, call->count, capacity, sizeof *call->values);
    if (!call->values)
        return false;
    call->values[call->count++] = value;
    return snug_run_spend(run, 1);
}

static bool add_named(snug_run *run, snug_call *call, size_t *capacity, snug_str name, snug_value value)
{
    call->named =
        snug_region_grow(run->region, call->named, call->named_count, capacity, sizeof *call->named);
    if (!call->named)
        return false;
    call->named[call->named_count++] = (snug_named){ name, value };
    return snug_run_spend(run, 1);
}

/* *values */
static bool spread_list(snug_run *run, snug_call *call, size_t *capacity, const snug_value *values)
{
    snug_iterator iterator;
    snug_value item;

    if (!snug_iterator_init(run, &iterator, values))
        return false;
    while (snug_iterator_next(run, &iterator, &item))
        if (!add_value(run, call, capacity, item))
            return false;
    return snug_run_is_well(run);
}

/* **values */
static bool spread_dict(snug_run *run, snug_call *call, size_t *capacity, const snug_value *values)
{
    if (values->kind != SNUG_VALUE_DICT)
        return snug_run_fail(run, "** expects a dict, not '%s'", snug_value_type_name(values));
    for (size_t i = 0; i < values->dict->count; i++) {
        const snug_entry *entry = &values->dict->entries[i];

        if (entry->key.kind != SNUG_VALUE_STRING)
            return snug_run_fail(run, "** expects names, not '%s'", snug_value_type_name(&entry->key));
        if (!add_named(run, call, capacity, entry->key.text, entry->value))
            return false;
    }
    return true;
}

bool snug_run_arguments(snug_run *run, snug_call *call, const snug_node *node)
{
    size_t capacity = 0;
    size_t named_capacity = 0;

    *call = (snug_call){ .count = 0 };
    for (const snug_node *argument = node->items; argument; argument = argument->next) {
        snug_value value;
        bool is_well;

        if (!snug_run_evaluate(run, &value, argument->left))
            return false;
        if (argument->operation == SNUG_OPERATOR_MULTIPLY)
            is_well = spread_list(run, call, &capacity, &value);
        else if (argument->operation == SNUG_OPERATOR_POWER)
            is_well = spread_dict(run, call, &named_capacity, &value);
        else if (argument->name.bytes != 0)
            is_well = add_named(run, call, &named_capacity, argument->name, value);
        else
            is_well = add_value(run, call, &capacity, value);
        if (!is_well)
            return false;
    }
    return true;
}

/* The place of `name` among the parameters "a b c", or `count` when it is none of them. */
static size_t parameter_index(const char *parameters, snug_str name, size_t *count)
{
    size_t found = SIZE_MAX;

    *count = 0;
    while (*parameters != '\0') {
        const size_t bytes = strcspn(parameters, " ");

        if (snug_str_equal(name, (snug_str){ parameters, bytes }))
            found = *count;
        ++*count;
        parameters += bytes + (parameters[bytes] == ' ');
    }
    return found == SIZE_MAX ? *count : found;
}

bool snug_run_call_builtin(snug_run *run, snug_value *out, const snug_builtin *builtin,
                           const snug_value *subject, const snug_call *call)
{
    snug_value values[PARAMETERS_MAX] = { { .kind = SNUG_VALUE_ABSENT } };
    const snug_call bound = { .values = values };
    size_t count;

    if (strcmp(builtin->parameters, "*") == 0)
        return builtin->call(run, out, subject, call);
    parameter_index(builtin->parameters, (snug_str){ "", 0 }, &count);
    SNUG_ASSERT(count <= PARAMETERS_MAX);
    if (call->count > count)
        return snug_run_fail(run, "%s() takes at most %zu arguments, not %zu", builtin->name, count,
                             call->count);
    for (size_t i = 0; i < call->count; i++)
        values[i] = call->values[i];
    for (size_t i = 0; i < call->named_count; i++) {
        const snug_str name = call->named[i].name;
        const size_t index = parameter_index(builtin->parameters, name, &count);

        if (index >= count || values[index].kind != SNUG_VALUE_ABSENT)
            return snug_run_fail(run, "%s() cannot take an argument '%.*s'", builtin->name,
                                 (int)(name.bytes < 40 ? name.bytes : 40), name.data);
        values[index] = call->named[i].value;
    }
    for (size_t i = 0; i < builtin->required; i++)
        if (values[i].kind == SNUG_VALUE_ABSENT)
            return snug_run_fail(run, "%s() expects %u arguments (%s)", builtin->name, builtin->required,
                                 builtin->parameters);
    return builtin->call(run, out, subject, &bound);
}

/* The value given by name for a parameter of a macro; NULL when there is none. */
static const snug_value *find_named(const snug_call *call, snug_str name)
{
    for (size_t i = 0; i < call->named_count; i++)
        if (snug_str_equal(call->named[i].name, name))
            return &call->named[i].value;
    return NULL;
}

static bool is_parameter(const snug_node *macro, snug_str name)
{
    for (const snug_node *parameter = macro->items; parameter; parameter = parameter->next)
        if (snug_str_equal(parameter->name, name))
            return true;
    return false;
}

/* What was given beyond the parameters: `varargs`, or a failure. */
static bool bind_extra_values(snug_run *run, const snug_node *macro, const snug_call *call, size_t used)
{
    snug_value extra;

    if (call->count > used && !(macro->flags & SNUG_NODE_TAKES_VARARGS))
        return snug_run_fail(run, "the macro '%.*s' takes at most %zu arguments, not %zu",
                             (int)(macro->name.bytes < 40 ? macro->name.bytes : 40), macro->name.data, used,
                             call->count);
    if (!(macro->flags & SNUG_NODE_TAKES_VARARGS))
        return true;
    if (!snug_list_create(run, &extra, SNUG_VALUE_TUPLE, 0))
        return false;
    for (size_t i = used; i < call->count; i++)
        if (!snug_list_add(run, extra.list, call->values[i]))
            return false;
    return snug_run_set(run, snug_str_from("varargs"), extra);
}

/* The same for names: `kwargs`, and `caller`. */
static bool bind_extra_names(snug_run *run, const snug_node *macro, const snug_call *call)
{
    const snug_value *caller = find_named(call, snug_str_from("caller"));
    snug_value extra;

    if (!snug_dict_create(run, &extra, SNUG_VALUE_DICT, 0))
        return false;
    for (size_t i = 0; i < call->named_count; i++) {
        const snug_str name = call->named[i].name;
        const bool is_caller = (macro->flags & SNUG_NODE_TAKES_CALLER) && snug_str_is(name, "caller");

        if (is_caller || is_parameter(macro, name))
            continue;
        if (!(macro->flags & SNUG_NODE_TAKES_KWARGS))
            return snug_run_fail(run, "the macro '%.*s' takes no argument '%.*s'",
                                 (int)(macro->name.bytes < 40 ? macro->name.bytes : 40), macro->name.data,
                                 (int)(name.bytes < 40 ? name.bytes : 40), name.data);
        if (!snug_dict_set(run, extra.dict, snug_value_string(name), call->named[i].value))
            return false;
    }
    if ((macro->flags & SNUG_NODE_TAKES_KWARGS) && !snug_run_set(run, snug_str_from("kwargs"), extra))
        return false;
    if (macro->flags & SNUG_NODE_TAKES_CALLER)
        return snug_run_set(run, snug_str_from("caller"),
                            caller ? *caller
                                   : snug_value_undefined(SNUG_VALUE_UNDEFINED, snug_str_from("caller")));
    return true;
}

/* Fill the current scope, which is the macro's new one. Defaults may use the parameters before them. */
static bool bind_parameters(snug_run *run, const snug_node *macro, const snug_call *call)
{
    size_t index = 0;

    for (const snug_node *parameter = macro->items; parameter; parameter = parameter->next, index++) {
        const snug_value *named = find_named(call, parameter->name);
        snug_value value;

        if (index < call->count && named)
            return snug_run_fail(run, "the macro '%.*s' was given '%.*s' twice",
                                 (int)(macro->name.bytes < 40 ? macro->name.bytes : 40), macro->name.data,
                                 (int)(parameter->name.bytes < 40 ? parameter->name.bytes : 40),
                                 parameter->name.data);
        if (index < call->count)
            value = call->values[index];
        else if (named)
            value = *named;
        else if (!parameter->left)
            value = snug_value_undefined(SNUG_VALUE_UNDEFINED, parameter->name);
        else if (!snug_run_evaluate(run, &value, parameter->left))
            return false;
        if (!snug_run_set(run, parameter->name, value))
            return false;
    }
    return bind_extra_values(run, macro, call, index) && bind_extra_names(run, macro, call);
}

static bool call_macro(snug_run *run, snug_value *out, const snug_macro *macro, const snug_call *call)
{
    snug_scope *outer = run->scope;
    snug_scope *scope = snug_region_alloc(run->region, sizeof *scope);
    bool is_well;

    if (!scope || !snug_run_enter(run))
        return false;
    scope->parent = macro->scope;
    run->scope = scope;
    is_well = bind_parameters(run, macro->node, call) && snug_run_capture(run, out, macro->node->body);
    run->scope = outer;
    snug_run_leave(run);
    return is_well;
}

bool snug_run_call(snug_run *run, snug_value *out, const snug_value *callee, const snug_call *call)
{
    switch (callee->kind) {
    case SNUG_VALUE_FUNCTION:
        return snug_run_call_builtin(run, out, callee->function, NULL, call);
    case SNUG_VALUE_METHOD:
        return snug_run_call_builtin(run, out, callee->method->builtin, &callee->method->subject, call);
    case SNUG_VALUE_MACRO:
        return call_macro(run, out, callee->macro, call);
    case SNUG_VALUE_LOOP:
        if (call->count != 1)
            return snug_run_fail(run, "loop() expects one argument, not %zu", call->count);
        return snug_run_recurse(run, out, callee->loop, &call->values[0]);
    case SNUG_VALUE_UNDEFINED:
        return snug_run_fail_undefined(run, callee);
    default:
        return snug_run_fail(run, "a value of type '%s' cannot be called", snug_value_type_name(callee));
    }
}
