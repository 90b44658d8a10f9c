/* SPDX-License-Identifier: Apache-2.0 */
/* expression_eval.c - the value of an expression node: one function per kind. */
#include "text/template/run.h"

#include "text/template/builtins.h"

static bool evaluate_name(snug_run *run, snug_value *out, snug_str name)
{
    snug_value *variable;

    for (const snug_scope *scope = run->scope; scope; scope = scope->parent) {
        for (size_t i = 0; i < scope->count; i++)
            if (snug_str_equal(scope->variables[i].name, name)) {
                *out = scope->variables[i].value;
                return true;
            }
        if (!snug_run_spend(run, scope->count / 16))
            return false;
    }
    if (!snug_dict_find_text(run, &variable, run->variables, name))
        return false;
    if (variable) {
        *out = *variable;
        return true;
    }
    *out = (snug_value){ .kind = SNUG_VALUE_FUNCTION, .function = snug_function_find(name) };
    if (!out->function || (!run->has_clock && snug_str_is(name, "strftime_now")))
        *out = snug_value_undefined(SNUG_VALUE_UNDEFINED, name);
    return true;
}

static bool evaluate_items(snug_run *run, snug_value *out, const snug_node *node)
{
    const snug_value_kind kind = node->kind == SNUG_NODE_LIST ? SNUG_VALUE_LIST : SNUG_VALUE_TUPLE;

    if (!snug_list_create(run, out, kind, 0))
        return false;
    for (const snug_node *item = node->items; item; item = item->next) {
        snug_value value;

        if (!snug_run_evaluate(run, &value, item) || !snug_list_add(run, out->list, value))
            return false;
    }
    return true;
}

static bool evaluate_dict(snug_run *run, snug_value *out, const snug_node *node)
{
    if (!snug_dict_create(run, out, SNUG_VALUE_DICT, 0))
        return false;
    for (const snug_node *pair = node->items; pair; pair = pair->next) {
        snug_value key;
        snug_value value;

        if (!snug_run_evaluate(run, &key, pair->left) || !snug_run_evaluate(run, &value, pair->right) ||
            !snug_dict_set(run, out->dict, key, value))
            return false;
    }
    return true;
}

static bool evaluate_sign(snug_run *run, snug_value *out, const snug_node *node)
{
    const snug_value zero = snug_value_integer(0);
    snug_value value;

    if (!snug_run_evaluate(run, &value, node->left))
        return false;
    if (value.kind == SNUG_VALUE_FLOAT) {
        *out = snug_value_float(node->kind == SNUG_NODE_NEGATE ? -value.number : value.number);
        return true;
    }
    if (value.kind == SNUG_VALUE_UNDEFINED)
        return snug_run_fail_undefined(run, &value);
    if (!snug_value_is_number(&value))
        return snug_run_fail(run, "a sign expects a number, not '%s'", snug_value_type_name(&value));
    return snug_run_operate(
        run, out, node->kind == SNUG_NODE_NEGATE ? SNUG_OPERATOR_SUBTRACT : SNUG_OPERATOR_ADD, &zero, &value);
}

/* `and` and `or` give one of their operands, not a boolean. */
static bool evaluate_logic(snug_run *run, snug_value *out, const snug_node *node)
{
    if (!snug_run_evaluate(run, out, node->left))
        return false;
    if (snug_value_is_true(out) == (node->kind == SNUG_NODE_OR))
        return true;
    return snug_run_evaluate(run, out, node->right);
}

static bool evaluate_binary(snug_run *run, snug_value *out, const snug_node *node)
{
    snug_value left;
    snug_value right;

    if (!snug_run_evaluate(run, &left, node->left) || !snug_run_evaluate(run, &right, node->right))
        return false;
    return snug_run_operate(run, out, (snug_operator)node->operation, &left, &right);
}

static bool evaluate_compare(snug_run *run, snug_value *out, const snug_node *node)
{
    bool holds = true;
    snug_value left;

    if (!snug_run_evaluate(run, &left, node->left))
        return false;
    for (const snug_node *comparand = node->items; comparand && holds; comparand = comparand->next) {
        snug_value right;

        if (!snug_run_evaluate(run, &right, comparand->left) ||
            !snug_run_compare(run, &holds, (snug_operator)comparand->operation, &left, &right))
            return false;
        left = right;
    }
    *out = snug_value_bool(holds);
    return true;
}

static bool evaluate_conditional(snug_run *run, snug_value *out, const snug_node *node)
{
    snug_value test;

    if (!snug_run_evaluate(run, &test, node->test))
        return false;
    if (snug_value_is_true(&test))
        return snug_run_evaluate(run, out, node->left);
    if (node->right)
        return snug_run_evaluate(run, out, node->right);
    *out = snug_value_undefined(SNUG_VALUE_UNDEFINED, snug_str_from("the inline if without else"));
    return true;
}

static bool evaluate_slice(snug_run *run, snug_value *out, const snug_value *subject, const snug_node *slice)
{
    const snug_node *const nodes[] = { slice->left, slice->right, slice->test };
    snug_value parts[3];

    for (size_t i = 0; i < SNUG_COUNT(nodes); i++) {
        parts[i] = snug_value_none();
        if (nodes[i] && !snug_run_evaluate(run, &parts[i], nodes[i]))
            return false;
    }
    return snug_run_slice(run, out, subject, parts);
}

static bool evaluate_subscript(snug_run *run, snug_value *out, const snug_node *node)
{
    snug_value subject;
    snug_value index;

    if (!snug_run_evaluate(run, &subject, node->left))
        return false;
    if (node->right->kind == SNUG_NODE_SLICE)
        return evaluate_slice(run, out, &subject, node->right);
    return snug_run_evaluate(run, &index, node->right) && snug_run_subscript(run, out, &subject, &index);
}

static bool evaluate_call(snug_run *run, snug_value *out, const snug_node *node)
{
    const snug_node *callee_node = node->left;
    snug_call call;
    snug_value subject;
    snug_value callee;

    /* object.method(...) is called without making a value of the method first. */
    if (callee_node->kind == SNUG_NODE_ATTRIBUTE) {
        const snug_builtin *builtin;

        if (!snug_run_evaluate(run, &subject, callee_node->left))
            return false;
        builtin = snug_method_find(&subject, callee_node->name);
        if (builtin)
            return snug_run_arguments(run, &call, node) &&
                   snug_run_call_builtin(run, out, builtin, &subject, &call);
        if (!snug_run_attribute(run, &callee, &subject, callee_node->name))
            return false;
    } else if (!snug_run_evaluate(run, &callee, callee_node))
        return false;
    if (!snug_run_arguments(run, &call, node))
        return false;
    run->line = node->line;
    return snug_run_call(run, out, &callee, &call);
}

/* A filter or a test. */
static bool evaluate_builtin(snug_run *run, snug_value *out, const snug_node *node)
{
    snug_value subject;
    snug_call call;

    return snug_run_evaluate(run, &subject, node->left) && snug_run_arguments(run, &call, node) &&
           snug_run_call_builtin(run, out, node->builtin, &subject, &call);
}

static bool evaluate_not(snug_run *run, snug_value *out, const snug_node *node)
{
    snug_value value;

    if (!snug_run_evaluate(run, &value, node->left))
        return false;
    *out = snug_value_bool(!snug_value_is_true(&value));
    return true;
}

static bool evaluate_attribute(snug_run *run, snug_value *out, const snug_node *node)
{
    snug_value subject;

    return snug_run_evaluate(run, &subject, node->left) && snug_run_attribute(run, out, &subject, node->name);
}

static bool evaluate_node(snug_run *run, snug_value *out, const snug_node *node)
{
    switch ((snug_node_kind)node->kind) {
    case SNUG_NODE_LITERAL:
        *out = node->literal;
        return true;
    case SNUG_NODE_CAPTURED:
        *out = run->captured;
        return true;
    case SNUG_NODE_NAME:
        return evaluate_name(run, out, node->name);
    case SNUG_NODE_LIST:
    case SNUG_NODE_TUPLE:
        return evaluate_items(run, out, node);
    case SNUG_NODE_DICT:
        return evaluate_dict(run, out, node);
    case SNUG_NODE_NOT:
        return evaluate_not(run, out, node);
    case SNUG_NODE_NEGATE:
    case SNUG_NODE_PLUS:
        return evaluate_sign(run, out, node);
    case SNUG_NODE_AND:
    case SNUG_NODE_OR:
        return evaluate_logic(run, out, node);
    case SNUG_NODE_BINARY:
        return evaluate_binary(run, out, node);
    case SNUG_NODE_COMPARE:
        return evaluate_compare(run, out, node);
    case SNUG_NODE_CONDITIONAL:
        return evaluate_conditional(run, out, node);
    case SNUG_NODE_ATTRIBUTE:
        return evaluate_attribute(run, out, node);
    case SNUG_NODE_SUBSCRIPT:
        return evaluate_subscript(run, out, node);
    case SNUG_NODE_CALL:
        return evaluate_call(run, out, node);
    case SNUG_NODE_FILTER:
    case SNUG_NODE_TEST:
        return evaluate_builtin(run, out, node);
    default:
        SNUG_ASSERT(node->kind == SNUG_NODE_LITERAL); /* no other kind is an expression */
        return false;
    }
}

bool snug_run_evaluate(snug_run *run, snug_value *out, const snug_node *expression)
{
    bool is_well;

    if (!snug_run_spend(run, 1) || !snug_run_enter(run))
        return false;
    run->line = expression->line;
    is_well = evaluate_node(run, out, expression);
    snug_run_leave(run);
    return is_well;
}
