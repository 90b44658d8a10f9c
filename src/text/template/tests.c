/* SPDX-License-Identifier: Apache-2.0 */
/* tests.c - what may follow `is`. */
#include "text/template/run.h"

#include "text/template/builtins.h"

static bool test_defined(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)run;
    (void)call;
    *out = snug_value_bool(self->kind != SNUG_VALUE_UNDEFINED);
    return true;
}

static bool test_undefined(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)run;
    (void)call;
    *out = snug_value_bool(self->kind == SNUG_VALUE_UNDEFINED);
    return true;
}

static bool test_none(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)run;
    (void)call;
    *out = snug_value_bool(self->kind == SNUG_VALUE_NONE);
    return true;
}

static bool test_boolean(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)run;
    (void)call;
    *out = snug_value_bool(self->kind == SNUG_VALUE_BOOL);
    return true;
}

static bool test_true(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)run;
    (void)call;
    *out = snug_value_bool(self->kind == SNUG_VALUE_BOOL && self->truth);
    return true;
}

static bool test_false(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)run;
    (void)call;
    *out = snug_value_bool(self->kind == SNUG_VALUE_BOOL && !self->truth);
    return true;
}

static bool test_string(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)run;
    (void)call;
    *out = snug_value_bool(self->kind == SNUG_VALUE_STRING);
    return true;
}

static bool test_mapping(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)run;
    (void)call;
    *out = snug_value_bool(self->kind == SNUG_VALUE_DICT);
    return true;
}

/* Has a length and can be subscripted: strings, dicts and undefined too. */
static bool test_sequence(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)run;
    (void)call;
    *out = snug_value_bool(self->kind == SNUG_VALUE_STRING || self->kind == SNUG_VALUE_LIST ||
                           self->kind == SNUG_VALUE_TUPLE || self->kind == SNUG_VALUE_DICT ||
                           self->kind == SNUG_VALUE_RANGE || self->kind == SNUG_VALUE_UNDEFINED);
    return true;
}

static bool test_iterable(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)run;
    (void)call;
    *out = snug_value_bool(snug_value_has_list(self) || self->kind == SNUG_VALUE_STRING ||
                           self->kind == SNUG_VALUE_DICT || self->kind == SNUG_VALUE_RANGE ||
                           self->kind == SNUG_VALUE_UNDEFINED || self->kind == SNUG_VALUE_LOOP);
    return true;
}

static bool test_number(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)run;
    (void)call;
    *out = snug_value_bool(snug_value_is_number(self));
    return true;
}

static bool test_integer(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)run;
    (void)call;
    *out = snug_value_bool(self->kind == SNUG_VALUE_INTEGER);
    return true;
}

static bool test_float(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)run;
    (void)call;
    *out = snug_value_bool(self->kind == SNUG_VALUE_FLOAT);
    return true;
}

/* jinja2.Undefined has a __call__, if only to fail. */
static bool test_callable(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)run;
    (void)call;
    *out = snug_value_bool(self->kind >= SNUG_VALUE_FUNCTION || self->kind == SNUG_VALUE_UNDEFINED);
    return true;
}

/* Whether there is a filter, or a test, of that name. */
static bool test_filter(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)run;
    (void)call;
    *out = snug_value_bool(self->kind == SNUG_VALUE_STRING && snug_filter_find(self->text) != NULL);
    return true;
}

static bool test_test(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)run;
    (void)call;
    *out = snug_value_bool(self->kind == SNUG_VALUE_STRING && snug_test_find(self->text) != NULL);
    return true;
}

static bool test_in(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    bool is_found;

    if (!snug_value_contains(run, &is_found, &call->values[0], self))
        return false;
    *out = snug_value_bool(is_found);
    return true;
}

static bool compare(snug_run *run, snug_value *out, snug_operator operation, const snug_value *self,
                    const snug_call *call)
{
    bool holds;

    if (!snug_run_compare(run, &holds, operation, self, &call->values[0]))
        return false;
    *out = snug_value_bool(holds);
    return true;
}

static bool test_equal(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return compare(run, out, SNUG_OPERATOR_EQUAL, self, call);
}

static bool test_not_equal(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return compare(run, out, SNUG_OPERATOR_NOT_EQUAL, self, call);
}

static bool test_less(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return compare(run, out, SNUG_OPERATOR_LESS, self, call);
}

static bool test_less_equal(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return compare(run, out, SNUG_OPERATOR_LESS_EQUAL, self, call);
}

static bool test_greater(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return compare(run, out, SNUG_OPERATOR_GREATER, self, call);
}

static bool test_greater_equal(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return compare(run, out, SNUG_OPERATOR_GREATER_EQUAL, self, call);
}

/* Identity: of small values their equality, of all else that of the object. */
static bool test_same(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    const snug_value *other = &call->values[0];
    bool is_same = self->kind == other->kind;

    if (is_same && self->kind >= SNUG_VALUE_LIST)
        is_same = self->list == other->list;
    else if (is_same && !snug_value_equal(run, &is_same, self, other))
        return false;
    *out = snug_value_bool(is_same);
    return true;
}

static bool remainder_is(snug_run *run, snug_value *out, const snug_value *self, const snug_value *divisor,
                         int64_t wanted)
{
    const snug_value expected = snug_value_integer(wanted);
    snug_value remainder;
    bool is_equal;

    if (!snug_run_operate(run, &remainder, SNUG_OPERATOR_REMAINDER, self, divisor) ||
        !snug_value_equal(run, &is_equal, &remainder, &expected))
        return false;
    *out = snug_value_bool(is_equal);
    return true;
}

static bool test_divisible(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    return remainder_is(run, out, self, &call->values[0], 0);
}

static bool test_even(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    const snug_value two = snug_value_integer(2);

    (void)call;
    return remainder_is(run, out, self, &two, 0);
}

static bool test_odd(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    const snug_value two = snug_value_integer(2);

    (void)call;
    return remainder_is(run, out, self, &two, 1);
}

/* `is lower` and `is upper` take any value as text. */
static bool call_text_method(snug_run *run, snug_value *out, const snug_value *self, const char *name)
{
    const snug_call none = { .count = 0 };
    snug_value text = snug_value_string((snug_str){ "", 0 });

    return snug_run_string(run, &text.text, self) &&
           snug_run_call_builtin(run, out, snug_text_method_find(snug_str_from(name)), &text, &none);
}

static bool test_lower(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)call;
    return call_text_method(run, out, self, "islower");
}

static bool test_upper(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    (void)call;
    return call_text_method(run, out, self, "isupper");
}

const snug_builtin *snug_test_find(snug_str name)
{
    static const snug_builtin tests[] = {
        { "defined", "", 0, test_defined },
        { "undefined", "", 0, test_undefined },
        { "none", "", 0, test_none },
        { "boolean", "", 0, test_boolean },
        { "true", "", 0, test_true },
        { "false", "", 0, test_false },
        { "string", "", 0, test_string },
        { "mapping", "", 0, test_mapping },
        { "sequence", "", 0, test_sequence },
        { "iterable", "", 0, test_iterable },
        { "number", "", 0, test_number },
        { "integer", "", 0, test_integer },
        { "float", "", 0, test_float },
        { "callable", "", 0, test_callable },
        { "filter", "", 0, test_filter },
        { "test", "", 0, test_test },
        { "in", "seq", 1, test_in },
        { "eq", "other", 1, test_equal },
        { "equalto", "other", 1, test_equal },
        { "==", "other", 1, test_equal },
        { "ne", "other", 1, test_not_equal },
        { "!=", "other", 1, test_not_equal },
        { "lt", "other", 1, test_less },
        { "lessthan", "other", 1, test_less },
        { "<", "other", 1, test_less },
        { "le", "other", 1, test_less_equal },
        { "<=", "other", 1, test_less_equal },
        { "gt", "other", 1, test_greater },
        { "greaterthan", "other", 1, test_greater },
        { ">", "other", 1, test_greater },
        { "ge", "other", 1, test_greater_equal },
        { ">=", "other", 1, test_greater_equal },
        { "sameas", "other", 1, test_same },
        { "divisibleby", "num", 1, test_divisible },
        { "even", "", 0, test_even },
        { "odd", "", 0, test_odd },
        { "lower", "", 0, test_lower },
        { "upper", "", 0, test_upper },
    };

    return snug_builtin_find(tests, SNUG_COUNT(tests), name);
}
