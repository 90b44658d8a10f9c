/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval.c - statements. Scopes follow Jinja2: `if` has none, each round of a loop has a fresh one, as have
 * macro calls, with, filter and call blocks; what is set in a scope ends with it.
 */
#include "text/template/run.h"

bool snug_run_set(snug_run *run, snug_str name, snug_value value)
{
    snug_scope *scope = run->scope;
    snug_variable *variables;

    if (!snug_run_spend(run, 1 + scope->count / 16))
        return false;
    for (size_t i = 0; i < scope->count; i++)
        if (snug_str_equal(scope->variables[i].name, name)) {
            scope->variables[i].value = value;
            return true;
        }
    variables = snug_region_grow(run->region, scope->variables, scope->count, &scope->capacity,
                                 sizeof *scope->variables);
    if (!variables)
        return false;
    scope->variables = variables;
    scope->variables[scope->count++] = (snug_variable){ name, value };
    return true;
}

/* One value for each of several targets. */
static bool unpack(snug_run *run, const snug_node *targets, const snug_value *value)
{
    const snug_node *target = targets->items;
    snug_iterator iterator;
    snug_value item;

    if (!snug_iterator_init(run, &iterator, value))
        return false;
    for (; target && snug_iterator_next(run, &iterator, &item); target = target->next)
        if (!snug_run_assign(run, target, &item))
            return false;
    if (snug_run_is_well(run) && (target || iterator.index < iterator.count))
        return snug_run_fail(run, "%zu values cannot be unpacked into as many names as stand here",
                             iterator.count);
    return snug_run_is_well(run);
}

static bool assign_attribute(snug_run *run, const snug_node *target, const snug_value *value)
{
    snug_value subject;

    if (!snug_run_evaluate(run, &subject, target->left))
        return false;
    if (subject.kind != SNUG_VALUE_NAMESPACE)
        return snug_run_fail(run, "only attributes of a namespace can be set, not of '%s'",
                             snug_value_type_name(&subject));
    return snug_dict_set(run, subject.dict, snug_value_string(target->name), *value);
}

bool snug_run_assign(snug_run *run, const snug_node *target, const snug_value *value)
{
    bool is_well;

    if (target->kind == SNUG_NODE_NAME)
        return snug_run_set(run, target->name, *value);
    if (target->kind == SNUG_NODE_ATTRIBUTE)
        return assign_attribute(run, target, value);
    if (!snug_run_enter(run))
        return false;
    is_well = unpack(run, target, value);
    snug_run_leave(run);
    return is_well;
}

/* Run a block in a new scope below the current one. */
static bool execute_in_scope(snug_run *run, const snug_node *body)
{
    snug_scope *outer = run->scope;
    snug_scope *scope = snug_region_alloc(run->region, sizeof *scope);
    bool is_well;

    if (!scope)
        return false;
    scope->parent = outer;
    run->scope = scope;
    is_well = snug_run_execute(run, body);
    run->scope = outer;
    return is_well;
}

bool snug_run_capture(snug_run *run, snug_value *out, const snug_node *body)
{
    snug_builder builder = { .region = run->region };
    snug_builder *outer = run->out;
    bool is_well;

    run->out = &builder;
    is_well = execute_in_scope(run, body);
    run->out = outer;
    *out = snug_value_string(snug_builder_str(&builder));
    return is_well;
}

/* Capture a block and apply the filters that stand with it. */
static bool capture_filtered(snug_run *run, snug_value *out, const snug_node *node)
{
    snug_value text;

    if (!snug_run_capture(run, &text, node->body))
        return false;
    *out = text;
    if (!node->right)
        return true;
    run->captured = text;
    return snug_run_evaluate(run, out, node->right);
}

static bool execute_set(snug_run *run, const snug_node *node)
{
    snug_value value;

    if (node->kind == SNUG_NODE_SET_BLOCK ? !capture_filtered(run, &value, node)
                                          : !snug_run_evaluate(run, &value, node->right))
        return false;
    run->line = node->line;
    return snug_run_assign(run, node->left, &value);
}

static bool execute_if(snug_run *run, const snug_node *node)
{
    for (const snug_node *branch = node->items; branch; branch = branch->next) {
        snug_value test = snug_value_bool(true);

        if (branch->test && !snug_run_evaluate(run, &test, branch->test))
            return false;
        if (snug_value_is_true(&test))
            return snug_run_execute(run, branch->body);
    }
    return true;
}

/* A scope for the next round of a loop: the last one again, unless a macro holds it. */
static bool renew_scope(snug_run *run, snug_scope **scope, snug_scope *parent)
{
    if (!*scope || (*scope)->is_captured) {
        *scope = snug_region_alloc(run->region, sizeof **scope);
        if (!*scope)
            return false;
        (*scope)->parent = parent;
    }
    (*scope)->count = 0;
    run->scope = *scope;
    return true;
}

/* The items for which the `if` of the loop holds, as a list. */
static bool select_items(snug_run *run, snug_value *out, const snug_node *node, const snug_value *items)
{
    snug_scope *outer = run->scope;
    snug_scope *scope = NULL;
    snug_iterator iterator;
    snug_value item;

    if (!snug_list_create(run, out, SNUG_VALUE_LIST, 0) || !snug_iterator_init(run, &iterator, items))
        return false;
    while (snug_iterator_next(run, &iterator, &item)) {
        snug_value test;

        if (!renew_scope(run, &scope, outer) || !snug_run_assign(run, node->left, &item) ||
            !snug_run_evaluate(run, &test, node->test) ||
            (snug_value_is_true(&test) && !snug_list_add(run, out->list, item)))
            return false;
    }
    run->scope = outer;
    return snug_run_is_well(run);
}

static bool next_item(snug_run *run, snug_iterator *iterator, snug_value *item)
{
    if (!snug_iterator_next(run, iterator, item))
        *item = (snug_value){ .kind = SNUG_VALUE_ABSENT };
    return snug_run_is_well(run);
}

/* All rounds of a loop, run->scope being the scope around it. */
static bool run_rounds(snug_run *run, const snug_node *node, snug_loop *loop, snug_iterator *iterator)
{
    const snug_value loop_value = { .kind = SNUG_VALUE_LOOP, .loop = loop };
    snug_scope *outer = run->scope;
    snug_scope *scope = NULL;

    if (!next_item(run, iterator, &loop->following))
        return false;
    for (loop->index = 0; loop->following.kind != SNUG_VALUE_ABSENT; loop->index++) {
        loop->previous = loop->current;
        loop->current = loop->following;
        if (!next_item(run, iterator, &loop->following) || !renew_scope(run, &scope, outer) ||
            !snug_run_assign(run, node->left, &loop->current) ||
            !snug_run_set(run, snug_str_from("loop"), loop_value) || !snug_run_execute(run, node->body))
            return false;
        if (run->flow == SNUG_FLOW_BREAK) {
            run->flow = SNUG_FLOW_ON;
            break;
        }
        run->flow = SNUG_FLOW_ON;
    }
    run->scope = outer;
    return true;
}

static bool run_loop(snug_run *run, const snug_node *node, const snug_value *items, size_t nesting)
{
    snug_loop *loop = snug_region_alloc(run->region, sizeof *loop);
    snug_value selected = *items;
    snug_iterator iterator;

    if (!loop)
        return false;
    if (node->test && !select_items(run, &selected, node, items))
        return false;
    if (!snug_iterator_init(run, &iterator, &selected))
        return false;
    loop->node = node;
    loop->scope = run->scope;
    loop->nesting = nesting;
    loop->count = iterator.count;
    if (iterator.count == 0)
        return !node->otherwise || execute_in_scope(run, node->otherwise);
    return run_rounds(run, node, loop, &iterator);
}

bool snug_run_recurse(snug_run *run, snug_value *out, snug_loop *loop, const snug_value *items)
{
    snug_builder builder = { .region = run->region };
    snug_builder *outer_out = run->out;
    snug_scope *outer_scope = run->scope;
    bool is_well;

    if (!(loop->node->flags & SNUG_NODE_IS_RECURSIVE))
        return snug_run_fail(run, "the loop is called, but has no 'recursive'");
    if (!snug_run_enter(run))
        return false;
    run->out = &builder;
    run->scope = loop->scope;
    is_well = run_loop(run, loop->node, items, loop->nesting + 1);
    run->scope = outer_scope;
    run->out = outer_out;
    snug_run_leave(run);
    *out = snug_value_string(snug_builder_str(&builder));
    return is_well;
}

static bool execute_for(snug_run *run, const snug_node *node)
{
    snug_value items;

    return snug_run_evaluate(run, &items, node->right) && run_loop(run, node, &items, 0);
}

/* All values are computed before the first name is set. */
static bool execute_with(snug_run *run, const snug_node *node)
{
    snug_scope *outer = run->scope;
    snug_scope *scope = snug_region_alloc(run->region, sizeof *scope);
    bool is_well = scope != NULL;

    for (const snug_node *set = node->items; set && is_well; set = set->next) {
        snug_value value;

        is_well = snug_run_evaluate(run, &value, set->right);
        run->scope = scope;
        is_well = is_well && snug_run_assign(run, set->left, &value);
        run->scope = outer;
    }
    if (!is_well)
        return false;
    scope->parent = outer;
    run->scope = scope;
    is_well = snug_run_execute(run, node->body);
    run->scope = outer;
    return is_well;
}

/* A macro, or a caller, as a value; every scope that it can see must stay as it is. */
static bool make_macro(snug_run *run, snug_value *out, const snug_node *node)
{
    snug_macro *macro = snug_region_alloc(run->region, sizeof *macro);

    if (!macro)
        return false;
    *macro = (snug_macro){ node, run->scope };
    for (snug_scope *scope = run->scope; scope && !scope->is_captured; scope = scope->parent)
        scope->is_captured = true;
    *out = (snug_value){ .kind = SNUG_VALUE_MACRO, .macro = macro };
    return true;
}

static bool execute_call_block(snug_run *run, const snug_node *node)
{
    snug_call call;
    snug_value callee;
    snug_value caller;
    snug_value result;
    snug_named *named;

    if (!make_macro(run, &caller, node->right) || !snug_run_evaluate(run, &callee, node->left->left) ||
        !snug_run_arguments(run, &call, node->left))
        return false;
    named = snug_region_array(run->region, call.named_count + 1, sizeof *named);
    if (!named)
        return false;
    for (size_t i = 0; i < call.named_count; i++)
        named[i] = call.named[i];
    named[call.named_count++] = (snug_named){ snug_str_from("caller"), caller };
    call.named = named;
    return snug_run_call(run, &result, &callee, &call) && snug_run_print(run, run->out, &result);
}

static bool execute_sequence(snug_run *run, const snug_node *node)
{
    for (const snug_node *item = node->items; item && run->flow == SNUG_FLOW_ON; item = item->next)
        if (!snug_run_execute(run, item))
            return false;
    return true;
}

static bool execute_print(snug_run *run, const snug_node *node)
{
    snug_value value;

    return snug_run_evaluate(run, &value, node->left) && snug_run_print(run, run->out, &value);
}

static bool execute_node(snug_run *run, const snug_node *node)
{
    snug_value value;

    switch ((snug_node_kind)node->kind) {
    case SNUG_NODE_SEQUENCE:
        return execute_sequence(run, node);
    case SNUG_NODE_TEXT:
        return snug_run_spend(run, node->name.bytes / 64) && snug_builder_add(run->out, node->name);
    case SNUG_NODE_PRINT:
        return execute_print(run, node);
    case SNUG_NODE_SET:
    case SNUG_NODE_SET_BLOCK:
        return execute_set(run, node);
    case SNUG_NODE_IF:
        return execute_if(run, node);
    case SNUG_NODE_FOR:
        return execute_for(run, node);
    case SNUG_NODE_WITH:
        return execute_with(run, node);
    case SNUG_NODE_SCOPE:
        return execute_in_scope(run, node->body);
    case SNUG_NODE_MACRO:
        return make_macro(run, &value, node) && snug_run_set(run, node->name, value);
    case SNUG_NODE_CALL_BLOCK:
        return execute_call_block(run, node);
    case SNUG_NODE_FILTER_BLOCK:
        return capture_filtered(run, &value, node) && snug_run_print(run, run->out, &value);
    case SNUG_NODE_BREAK:
        run->flow = SNUG_FLOW_BREAK;
        return true;
    case SNUG_NODE_CONTINUE:
        run->flow = SNUG_FLOW_CONTINUE;
        return true;
    default:
        SNUG_ASSERT(node->kind == SNUG_NODE_SEQUENCE); /* no other kind is a statement */
        return false;
    }
}

bool snug_run_execute(snug_run *run, const snug_node *statement)
{
    bool is_well;

    if (!snug_run_spend(run, 1) || !snug_run_enter(run))
        return false;
    run->line = statement->line;
    is_well = execute_node(run, statement);
    snug_run_leave(run);
    return is_well;
}
