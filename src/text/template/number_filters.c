/* SPDX-License-Identifier: Apache-2.0 */
/* number_filters.c - filters that give numbers: int, float, abs, round. */
#include "text/template/run.h"

#include <math.h>

#include "text/template/builtins.h"
#include "text/template/unicode.h"

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'z' ? c - 'a' + 10 : 99;
}

/* Without white space around it and without its sign. */
static snug_str without_sign(snug_str text, bool *is_negative)
{
    text = snug_text_strip_right(snug_text_strip_left(text));
    *is_negative = text.bytes != 0 && text.data[0] == '-';
    if (text.bytes != 0 && (text.data[0] == '-' || text.data[0] == '+'))
        text = (snug_str){ text.data + 1, text.bytes - 1 };
    return text;
}

bool snug_text_to_integer(int64_t *out, snug_str text, int64_t base)
{
    uint64_t value = 0;
    bool is_negative;
    bool has_digit = false;

    text = without_sign(text, &is_negative);
    if (text.bytes > 2 && text.data[0] == '0') {
        const char letter = (char)(text.data[1] | 0x20);

        if ((base == 16 && letter == 'x') || (base == 8 && letter == 'o') || (base == 2 && letter == 'b'))
            text = (snug_str){ text.data + 2, text.bytes - 2 };
    }
    for (size_t i = 0; i < text.bytes; i++) {
        const int digit = digit_of(text.data[i]);

        if (text.data[i] == '_' && has_digit && i + 1 < text.bytes && text.data[i - 1] != '_')
            continue;
        if (digit >= base || value > ((uint64_t)INT64_MAX - (uint64_t)digit) / (uint64_t)base)
            return false;
        value = value * (uint64_t)base + (uint64_t)digit;
        has_digit = true;
    }
    *out = is_negative ? -(int64_t)value : (int64_t)value;
    return has_digit;
}

/* Whether this is digits with at most one point and an exponent, at least one digit before it. */
static bool is_decimal(snug_str text)
{
    size_t digits = 0;
    size_t at = 0;

    for (bool has_point = false; at < text.bytes; at++) {
        if (text.data[at] == '.' && !has_point)
            has_point = true;
        else if (digit_of(text.data[at]) < 10)
            digits++;
        else
            break;
    }
    if (at == text.bytes || digits == 0)
        return digits != 0;
    if ((text.data[at] | 0x20) != 'e')
        return false;
    at++;
    at += at < text.bytes && (text.data[at] == '+' || text.data[at] == '-');
    if (at == text.bytes)
        return false;
    while (at < text.bytes && digit_of(text.data[at]) < 10)
        at++;
    return at == text.bytes;
}

bool snug_text_to_float(double *out, snug_str text)
{
    bool is_negative;

    text = without_sign(text, &is_negative);
    if (snug_str_is(text, "inf") || snug_str_is(text, "nan")) {
        *out = text.data[0] == 'n' ? (double)NAN : is_negative ? -(double)INFINITY : (double)INFINITY;
        return true;
    }
    if (!is_decimal(text) || !snug_float_read(out, text))
        return false;
    *out = is_negative ? -*out : *out;
    return true;
}

static bool float_to_integer(int64_t *out, double number)
{
    if (!(number > -9.2e18 && number < 9.2e18))
        return false;
    *out = (int64_t)number;
    return true;
}

static bool filter_int(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    int64_t base = 10;
    int64_t integer = 0;
    double number;
    bool is_number = false;

    if (self->kind == SNUG_VALUE_UNDEFINED)
        return snug_run_fail_undefined(run, self);
    if (!snug_argument_integer(run, &base, &call->values[1], "base"))
        return false;
    if (base < 2 || base > 36)
        return snug_run_fail(run, "int() expects a base from 2 to 36, not %lld", (long long)base);
    if (snug_value_is_integer(self)) {
        integer = snug_value_to_integer(self);
        is_number = true;
    } else if (self->kind == SNUG_VALUE_FLOAT)
        is_number = float_to_integer(&integer, self->number);
    else if (self->kind == SNUG_VALUE_STRING)
        is_number = snug_text_to_integer(&integer, self->text, base) ||
                    (snug_text_to_float(&number, self->text) && float_to_integer(&integer, number));
    *out = snug_value_integer(is_number ? integer : 0);
    if (!is_number && call->values[0].kind != SNUG_VALUE_ABSENT)
        *out = call->values[0];
    return true;
}

static bool filter_float(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    double number = 0;
    bool is_number = snug_value_is_number(self);

    if (self->kind == SNUG_VALUE_UNDEFINED)
        return snug_run_fail_undefined(run, self);
    if (is_number)
        number = snug_value_to_float(self);
    else if (self->kind == SNUG_VALUE_STRING)
        is_number = snug_text_to_float(&number, self->text);
    *out = snug_value_float(is_number ? number : 0);
    if (!is_number && call->values[0].kind != SNUG_VALUE_ABSENT)
        *out = call->values[0];
    return true;
}

static bool filter_abs(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    const snug_value zero = snug_value_integer(0);
    const bool is_negative = snug_value_is_integer(self) && snug_value_to_integer(self) < 0;

    (void)call;
    if (self->kind == SNUG_VALUE_FLOAT) {
        *out = snug_value_float(fabs(self->number));
        return true;
    }
    return snug_run_operate(run, out, is_negative ? SNUG_OPERATOR_SUBTRACT : SNUG_OPERATOR_ADD, &zero, self);
}

static bool filter_round(snug_run *run, snug_value *out, const snug_value *self, const snug_call *call)
{
    snug_str method = { "common", 6 };
    int64_t precision = 0;
    double scale;
    double number;

    if (self->kind == SNUG_VALUE_UNDEFINED)
        return snug_run_fail_undefined(run, self);
    if (!snug_value_is_number(self))
        return snug_run_fail(run, "round() expects a number, not '%s'", snug_value_type_name(self));
    if (!snug_argument_integer(run, &precision, &call->values[0], "precision") ||
        !snug_argument_text(run, &method, &call->values[1], "method"))
        return false;
    precision = precision > 300 ? 300 : precision < -300 ? -300 : precision;
    number = snug_value_to_float(self);
    scale = pow(10, (double)precision);
    if (snug_str_is(method, "ceil"))
        number = ceil(number * scale) / scale;
    else if (snug_str_is(method, "floor"))
        number = floor(number * scale) / scale;
    else if (!snug_str_is(method, "common"))
        return snug_run_fail(run, "round() knows the methods common, ceil and floor");
    else if (snug_value_is_integer(self) && precision >= 0) {
        *out = snug_value_integer(snug_value_to_integer(self));
        return true;
    } else if (isfinite(number) && fabs(number * scale) < 1e15)
        number = snug_float_round(number, (int)precision);
    *out = snug_value_float(number);
    return true;
}

const snug_builtin *snug_number_filter_find(snug_str name)
{
    static const snug_builtin filters[] = {
        { "int", "default base", 0, filter_int },
        { "float", "default", 0, filter_float },
        { "abs", "", 0, filter_abs },
        { "round", "precision method", 0, filter_round },
    };

    return snug_builtin_find(filters, SNUG_COUNT(filters), name);
}
