/* SPDX-License-Identifier: Apache-2.0 */
/* operate.c - the binary operators. Integers have 64 bits here: a result outside of them is refused. */
#include "text/template/run.h"

#include <math.h>
#include <string.h>

#include "base/size.h"

static const char *operator_text(snug_operator operation)
{
    static const char *const texts[] = {
        [SNUG_OPERATOR_NONE] = "?",           [SNUG_OPERATOR_ADD] = "+",
        [SNUG_OPERATOR_SUBTRACT] = "-",       [SNUG_OPERATOR_JOIN] = "~",
        [SNUG_OPERATOR_MULTIPLY] = "*",       [SNUG_OPERATOR_DIVIDE] = "/",
        [SNUG_OPERATOR_DIVIDE_FLOOR] = "//",  [SNUG_OPERATOR_REMAINDER] = "%",
        [SNUG_OPERATOR_POWER] = "**",         [SNUG_OPERATOR_EQUAL] = "==",
        [SNUG_OPERATOR_NOT_EQUAL] = "!=",     [SNUG_OPERATOR_LESS] = "<",
        [SNUG_OPERATOR_LESS_EQUAL] = "<=",    [SNUG_OPERATOR_GREATER] = ">",
        [SNUG_OPERATOR_GREATER_EQUAL] = ">=", [SNUG_OPERATOR_IN] = "in",
        [SNUG_OPERATOR_NOT_IN] = "not in",
    };

    return texts[operation];
}

static bool fail_types(snug_run *run, snug_operator operation, const snug_value *a, const snug_value *b)
{
    if (a->kind == SNUG_VALUE_UNDEFINED || b->kind == SNUG_VALUE_UNDEFINED)
        return snug_run_fail_undefined(run, a->kind == SNUG_VALUE_UNDEFINED ? a : b);
    return snug_run_fail(run, "the operator %s cannot take '%s' and '%s'", operator_text(operation),
                         snug_value_type_name(a), snug_value_type_name(b));
}

static bool add_checked(int64_t *out, int64_t a, int64_t b)
{
    if ((b > 0 && a > INT64_MAX - b) || (b < 0 && a < INT64_MIN - b))
        return false;
    *out = a + b;
    return true;
}

static bool subtract_checked(int64_t *out, int64_t a, int64_t b)
{
    if ((b < 0 && a > INT64_MAX + b) || (b > 0 && a < INT64_MIN + b))
        return false;
    *out = a - b;
    return true;
}

static bool multiply_checked(int64_t *out, int64_t a, int64_t b)
{
    const uint64_t left = a < 0 ? 0 - (uint64_t)a : (uint64_t)a;
    const uint64_t right = b < 0 ? 0 - (uint64_t)b : (uint64_t)b;
    uint64_t product;

    /* -2^63 itself is refused too: nobody needs it. */
    if (!snug_multiply_u64(&product, left, right) || product > INT64_MAX)
        return false;
    *out = (a < 0) != (b < 0) ? -(int64_t)product : (int64_t)product;
    return true;
}

static bool power_checked(int64_t *out, int64_t base, int64_t exponent)
{
    *out = 1;
    if (base == 1 || base == 0 || base == -1) { /* the only bases for which the exponent may be large */
        *out = exponent == 0 ? 1 : base == -1 && exponent % 2 == 0 ? 1 : base;
        return true;
    }
    for (int64_t i = 0; i < exponent; i++)
        if (!multiply_checked(out, *out, base))
            return false;
    return true;
}

/* a // b and a % b round toward minus infinity; b is not 0 and the quotient fits. */
static int64_t divide_floor(int64_t a, int64_t b, int64_t *remainder)
{
    int64_t quotient = a / b;

    *remainder = a % b;
    if (*remainder != 0 && (*remainder < 0) != (b < 0)) {
        quotient--;
        *remainder += b;
    }
    return quotient;
}

static bool operate_integers(snug_run *run, snug_value *out, snug_operator operation, int64_t a, int64_t b)
{
    int64_t result = 0;
    int64_t remainder = 0;
    bool fits = true;

    switch (operation) {
    case SNUG_OPERATOR_ADD:
        fits = add_checked(&result, a, b);
        break;
    case SNUG_OPERATOR_SUBTRACT:
        fits = subtract_checked(&result, a, b);
        break;
    case SNUG_OPERATOR_MULTIPLY:
        fits = multiply_checked(&result, a, b);
        break;
    case SNUG_OPERATOR_POWER:
        fits = power_checked(&result, a, b);
        break;
    default:
        if (b == 0)
            return snug_run_fail(run, "division by zero");
        fits = a != INT64_MIN || b != -1;
        if (fits)
            result = divide_floor(a, b, &remainder);
        if (operation == SNUG_OPERATOR_REMAINDER)
            result = remainder;
    }
    if (!fits)
        return snug_run_fail(run, "the result of %lld %s %lld is outside of 64 bits", (long long)a,
                             operator_text(operation), (long long)b);
    *out = snug_value_integer(result);
    return true;
}

static bool operate_floats(snug_run *run, snug_value *out, snug_operator operation, double a, double b)
{
    double result;

    if (b == 0 && (operation == SNUG_OPERATOR_DIVIDE || operation == SNUG_OPERATOR_DIVIDE_FLOOR ||
                   operation == SNUG_OPERATOR_REMAINDER))
        return snug_run_fail(run, "division by zero");
    switch (operation) {
    case SNUG_OPERATOR_ADD:
        result = a + b;
        break;
    case SNUG_OPERATOR_SUBTRACT:
        result = a - b;
        break;
    case SNUG_OPERATOR_MULTIPLY:
        result = a * b;
        break;
    case SNUG_OPERATOR_DIVIDE:
        result = a / b;
        break;
    case SNUG_OPERATOR_DIVIDE_FLOOR:
        result = floor(a / b);
        break;
    case SNUG_OPERATOR_REMAINDER:
        result = fmod(a, b);
        if (result != 0 && (result < 0) != (b < 0))
            result += b;
        break;
    default:
        if ((a == 0 && b < 0) || (a < 0 && b != floor(b)))
            return snug_run_fail(run, "the power has no real value");
        result = pow(a, b);
    }
    *out = snug_value_float(result);
    return true;
}

static bool operate_numbers(snug_run *run, snug_value *out, snug_operator operation, const snug_value *a,
                            const snug_value *b)
{
    const bool are_integers = snug_value_is_integer(a) && snug_value_is_integer(b);
    const bool is_negative_power =
        operation == SNUG_OPERATOR_POWER && are_integers && snug_value_to_integer(b) < 0;

    if (are_integers && operation != SNUG_OPERATOR_DIVIDE && !is_negative_power)
        return operate_integers(run, out, operation, snug_value_to_integer(a), snug_value_to_integer(b));
    return operate_floats(run, out, operation, snug_value_to_float(a), snug_value_to_float(b));
}

static bool join_lists(snug_run *run, snug_value *out, const snug_value *a, const snug_value *b)
{
    const snug_list *const parts[] = { a->list, b->list };

    if (!snug_list_create(run, out, a->kind, a->list->count + b->list->count))
        return false;
    for (size_t part = 0; part < SNUG_COUNT(parts); part++)
        for (size_t i = 0; i < parts[part]->count; i++)
            if (!snug_list_add(run, out->list, parts[part]->items[i]))
                return false;
    return true;
}

/* A text or a list, `times` times over. */
static bool repeat(snug_run *run, snug_value *out, const snug_value *value, int64_t times)
{
    const size_t unit = value->kind == SNUG_VALUE_STRING ? value->text.bytes : value->list->count;
    uint64_t total;
    snug_builder builder = { .region = run->region };

    if (times < 0 || unit == 0)
        times = 0;
    if (!snug_multiply_u64(&total, unit, (uint64_t)times) || total > SNUG_TEMPLATE_TEXT_BYTES_MAX)
        return snug_region_fail(run->region, SNUG_ERR_OVER_LIMIT,
                                "line %u: the template repeats a value into more than %zu MiB", run->line,
                                SNUG_TEMPLATE_TEXT_BYTES_MAX >> 20);
    if (value->kind != SNUG_VALUE_STRING) {
        if (!snug_run_spend(run, total) || !snug_list_create(run, out, value->kind, (size_t)total))
            return false;
        for (size_t i = 0; i < (size_t)total; i++)
            if (!snug_list_add(run, out->list, value->list->items[i % unit]))
                return false;
        return true;
    }
    if (!snug_run_spend(run, (uint64_t)times + total / 64))
        return false;
    for (int64_t i = 0; i < times; i++)
        if (!snug_builder_add(&builder, value->text))
            return false;
    *out = snug_value_string(snug_builder_str(&builder));
    return true;
}

static bool is_repeatable(const snug_value *value)
{
    return value->kind == SNUG_VALUE_STRING || value->kind == SNUG_VALUE_LIST ||
           value->kind == SNUG_VALUE_TUPLE;
}

static bool join_texts(snug_run *run, snug_value *out, const snug_value *a, const snug_value *b)
{
    snug_str left;
    snug_str right;
    snug_str joined;

    if (!snug_run_string(run, &left, a) || !snug_run_string(run, &right, b) ||
        !snug_run_spend(run, right.bytes / 64) || !snug_region_join(run->region, &joined, left, right))
        return false;
    *out = snug_value_string(joined);
    return true;
}

bool snug_run_operate(snug_run *run, snug_value *out, snug_operator operation, const snug_value *a,
                      const snug_value *b)
{
    if (operation == SNUG_OPERATOR_JOIN)
        return join_texts(run, out, a, b);
    if (snug_value_is_number(a) && snug_value_is_number(b))
        return operate_numbers(run, out, operation, a, b);
    if (operation == SNUG_OPERATOR_ADD && a->kind == b->kind) {
        if (a->kind == SNUG_VALUE_STRING)
            return join_texts(run, out, a, b);
        if (a->kind == SNUG_VALUE_LIST || a->kind == SNUG_VALUE_TUPLE)
            return join_lists(run, out, a, b);
    }
    if (operation == SNUG_OPERATOR_MULTIPLY && is_repeatable(a) && snug_value_is_integer(b))
        return repeat(run, out, a, snug_value_to_integer(b));
    if (operation == SNUG_OPERATOR_MULTIPLY && is_repeatable(b) && snug_value_is_integer(a))
        return repeat(run, out, b, snug_value_to_integer(a));
    if (operation == SNUG_OPERATOR_REMAINDER && a->kind == SNUG_VALUE_STRING)
        return snug_run_format_percent(run, out, a->text, b);
    return fail_types(run, operation, a, b);
}

bool snug_run_compare(snug_run *run, bool *out, snug_operator operation, const snug_value *a,
                      const snug_value *b)
{
    int order;

    switch (operation) {
    case SNUG_OPERATOR_EQUAL:
        return snug_value_equal(run, out, a, b);
    case SNUG_OPERATOR_NOT_EQUAL:
        if (!snug_value_equal(run, out, a, b))
            return false;
        *out = !*out;
        return true;
    case SNUG_OPERATOR_IN:
        return snug_value_contains(run, out, b, a);
    case SNUG_OPERATOR_NOT_IN:
        if (!snug_value_contains(run, out, b, a))
            return false;
        *out = !*out;
        return true;
    default:
        break;
    }
    if (!snug_value_order(run, &order, a, b))
        return false;
    *out = operation == SNUG_OPERATOR_LESS         ? order < 0
           : operation == SNUG_OPERATOR_LESS_EQUAL ? order <= 0
           : operation == SNUG_OPERATOR_GREATER    ? order > 0
                                                   : order >= 0;
    return true;
}
