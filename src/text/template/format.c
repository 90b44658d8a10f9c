/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format.c - "%s of %d" % values and "{} of {}".format(values), with the parts of the little languages that
 * templates use: width, alignment, zeros, sign, precision and the types s r d i x X o f F e E g G.
 */
#include "text/template/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "text/template/builtins.h"
#include "text/template/unicode.h"

/* No number that is formatted is longer; wider fields are filled up outside. */
#define NUMBER_BYTES 512

typedef struct layout {
    snug_str fill;
    char align; /* < > ^, or 0: texts to the left, numbers to the right */
    char sign;  /* + or blank, or 0 */
    bool has_zeros;
    bool is_alternate; /* # */
    int64_t width;
    int64_t precision; /* -1: none */
    char type;         /* 0: str() */
} layout;

static bool is_digit(snug_str format, size_t at)
{
    return at < format.bytes && format.data[at] >= '0' && format.data[at] <= '9';
}

static int64_t read_number(snug_str format, size_t *at)
{
    int64_t number = 0;

    for (; is_digit(format, *at); ++*at)
        if (number < INT32_MAX)
            number = number * 10 + (format.data[*at] - '0');
    return number;
}

/* Put `text` into its field. */
static bool add_field(snug_run *run, snug_builder *builder, snug_str text, const layout *field, char align)
{
    const int64_t missing = field->width - (int64_t)snug_utf8_count(text);
    const size_t total = missing > 0 ? (size_t)missing : 0;
    const size_t left = align == '>' ? total : align == '^' ? total / 2 : 0;
    snug_value padded;

    if (field->width > (int64_t)SNUG_TEMPLATE_TEXT_BYTES_MAX)
        return snug_run_fail(run, "a field of %lld characters is too wide", (long long)field->width);
    return snug_text_pad(run, &padded, text, left, total - left, field->fill) &&
           snug_builder_add(builder, padded.text);
}

/* The digits of a number without its sign. */
static bool number_digits(snug_run *run, char out[NUMBER_BYTES], const snug_value *value, const layout *field)
{
    const double number = snug_value_to_float(value);
    const int precision = field->precision < 0 ? 6 : field->precision > 100 ? 100 : (int)field->precision;
    uint64_t integer;
    char format[] = "%.*f";

    if (strchr("fFeEgG", field->type)) {
        format[3] = field->type;
        snprintf(out, NUMBER_BYTES, format, precision, number < 0 ? -number : number);
        for (char *c = out; *c != '\0'; c++) /* the locale may have another point */
            if (*c == ',')
                *c = '.';
        return true;
    }
    if (value->kind == SNUG_VALUE_FLOAT && !(number > -9.2e18 && number < 9.2e18))
        return snug_run_fail(run, "the number to be formatted is outside of 64 bits");
    integer = value->kind == SNUG_VALUE_FLOAT
                  ? (uint64_t)(number < 0 ? -number : number)
                  : (snug_value_to_integer(value) < 0 ? 0 - (uint64_t)snug_value_to_integer(value)
                                                      : (uint64_t)snug_value_to_integer(value));
    switch (field->type) {
    case 'x':
        snprintf(out, NUMBER_BYTES, "%s%" PRIx64, field->is_alternate ? "0x" : "", integer);
        return true;
    case 'X':
        snprintf(out, NUMBER_BYTES, "%s%" PRIX64, field->is_alternate ? "0X" : "", integer);
        return true;
    case 'o':
        snprintf(out, NUMBER_BYTES, "%s%" PRIo64, field->is_alternate ? "0o" : "", integer);
        return true;
    default:
        snprintf(out, NUMBER_BYTES, "%" PRIu64, integer);
        return true;
    }
}

static bool add_number(snug_run *run, snug_builder *builder, const snug_value *value, const layout *field)
{
    const double number = snug_value_is_number(value) ? snug_value_to_float(value) : 0;
    char text[NUMBER_BYTES + 1];
    char digits[NUMBER_BYTES];
    size_t length;
    int64_t zeros = 0;
    const char sign = number < 0 ? '-' : field->sign;

    if (value->kind == SNUG_VALUE_UNDEFINED)
        return snug_run_fail_undefined(run, value);
    if (!snug_value_is_number(value))
        return snug_run_fail(run, "the format '%c' expects a number, not '%s'", field->type,
                             snug_value_type_name(value));
    if (!number_digits(run, digits, value, field))
        return false;
    length = strlen(digits);
    text[0] = sign;
    if (field->has_zeros && field->align == 0) {
        zeros = field->width - (int64_t)length - (sign != 0);
        zeros = zeros < 0 ? 0 : zeros > NUMBER_BYTES / 2 ? NUMBER_BYTES / 2 : zeros;
        if (zeros + (int64_t)length > NUMBER_BYTES)
            zeros = 0;
    }
    memset(text + (sign != 0), '0', (size_t)zeros);
    memcpy(text + (sign != 0) + zeros, digits, length);
    return add_field(run, builder, (snug_str){ text, length + (size_t)zeros + (sign != 0) }, field,
                     field->align ? field->align : '>');
}

static bool add_value(snug_run *run, snug_builder *builder, const snug_value *value, const layout *field,
                      char text_align)
{
    snug_builder part = { .region = run->region };
    snug_str text;

    if (strchr("dixXofFeEgG", field->type) && field->type != 0)
        return add_number(run, builder, value, field);
    if (field->type == 'r' ? !snug_run_repr(run, &part, value) : !snug_run_print(run, &part, value))
        return false;
    text = snug_builder_str(&part);
    if (field->precision >= 0)
        text.bytes = snug_utf8_offset(text, (size_t)field->precision);
    return add_field(run, builder, text, field, field->align ? field->align : text_align);
}

/* Flags, width and precision behind a %. */
static void read_percent_field(layout *field, snug_str format, size_t *at)
{
    *field = (layout){ .fill = { " ", 1 }, .precision = -1 };
    for (; *at < format.bytes && strchr("-+ 0#", format.data[*at]) && format.data[*at]; ++*at) {
        const char flag = format.data[*at];

        if (flag == '-')
            field->align = '<';
        else if (flag == '0')
            field->has_zeros = true;
        else if (flag == '#')
            field->is_alternate = true;
        else
            field->sign = flag;
    }
    field->width = read_number(format, at);
    if (*at < format.bytes && format.data[*at] == '.') {
        ++*at;
        field->precision = read_number(format, at);
    }
}

/* The value of one %: by name from a dict, else the next of a tuple, or the only value. */
static bool take_value(snug_run *run, snug_value *out, const snug_value *values, snug_str name, size_t *used)
{
    if (name.data) {
        const snug_value key = snug_value_string(name);

        if (values->kind != SNUG_VALUE_DICT)
            return snug_run_fail(run, "a format with names expects a dict");
        return snug_run_subscript(run, out, values, &key);
    }
    if (values->kind == SNUG_VALUE_TUPLE ? *used >= values->list->count : *used >= 1)
        return snug_run_fail(run, "the format expects more values than there are");
    *out = values->kind == SNUG_VALUE_TUPLE ? values->list->items[*used] : *values;
    ++*used;
    return true;
}

/* One conversion, `at` behind its %. */
static bool add_conversion(snug_run *run, snug_builder *builder, snug_str format, size_t *at,
                           const snug_value *values, size_t *used)
{
    snug_str name = { NULL, 0 };
    snug_value value;
    layout field;

    if (*at < format.bytes && format.data[*at] == '(') {
        const char *close = memchr(format.data + *at, ')', format.bytes - *at);

        if (!close)
            return snug_run_fail(run, "a name in the format has no ')'");
        name = (snug_str){ format.data + *at + 1, (size_t)(close - format.data) - *at - 1 };
        *at = (size_t)(close - format.data) + 1;
    }
    read_percent_field(&field, format, at);
    if (*at >= format.bytes)
        return snug_run_fail(run, "the format ends within a conversion");
    field.type = format.data[(*at)++];
    if (field.type == '%')
        return snug_builder_add_byte(builder, '%');
    if (field.type == '\0' || !strchr("srcdixXofFeEgG", field.type))
        return snug_region_fail(run->region, SNUG_ERR_UNSUPPORTED, "line %u: the format %%%c is not known",
                                run->line, field.type);
    if (!take_value(run, &value, values, name, used))
        return false;
    if (field.type == 'c' && (value.kind != SNUG_VALUE_STRING || snug_utf8_count(value.text) != 1))
        return snug_run_fail(run, "the format %%c expects one character");
    return add_value(run, builder, &value, &field, '>');
}

bool snug_run_format_percent(snug_run *run, snug_value *out, snug_str format, const snug_value *values)
{
    snug_builder builder = { .region = run->region };
    size_t used = 0;

    for (size_t at = 0; at < format.bytes;) {
        const char *percent = memchr(format.data + at, '%', format.bytes - at);
        const size_t end = percent ? (size_t)(percent - format.data) : format.bytes;

        if (!snug_run_spend(run, 1) || !snug_builder_add(&builder, (snug_str){ format.data + at, end - at }))
            return false;
        at = end + 1;
        if (percent && !add_conversion(run, &builder, format, &at, values, &used))
            return false;
    }
    if (values->kind == SNUG_VALUE_TUPLE
            ? used < values->list->count
            : used < 1 && values->kind != SNUG_VALUE_DICT && values->kind != SNUG_VALUE_LIST)
        return snug_run_fail(run, "the format takes fewer values than there are");
    *out = snug_value_string(snug_builder_str(&builder));
    return true;
}

/* [[fill]align][sign][#][0][width][.precision][type] */
static bool read_brace_field(snug_run *run, layout *field, snug_str spec)
{
    size_t at = 0;
    const size_t first = spec.bytes != 0 ? snug_utf8_bytes(spec, 0) : 0;

    *field = (layout){ .fill = { " ", 1 }, .precision = -1 };
    if (first < spec.bytes && strchr("<>^", spec.data[first]) && spec.data[first]) {
        field->fill = (snug_str){ spec.data, first };
        field->align = spec.data[first];
        at = first + 1;
    } else if (spec.bytes != 0 && spec.data[0] != '\0' && strchr("<>^", spec.data[0]))
        field->align = spec.data[at++];
    if (at < spec.bytes && (spec.data[at] == '+' || spec.data[at] == ' '))
        field->sign = spec.data[at++];
    if (at < spec.bytes && spec.data[at] == '#') {
        field->is_alternate = true;
        at++;
    }
    field->has_zeros = at < spec.bytes && spec.data[at] == '0';
    field->width = read_number(spec, &at);
    if (at < spec.bytes && spec.data[at] == '.') {
        at++;
        field->precision = read_number(spec, &at);
    }
    if (at < spec.bytes && spec.data[at] != '\0' && strchr("sdxXofFeEgG", spec.data[at]))
        field->type = spec.data[at++];
    if (at != spec.bytes)
        return snug_region_fail(run->region, SNUG_ERR_UNSUPPORTED, "line %u: the format '%.*s' is not known",
                                run->line, (int)(spec.bytes < 40 ? spec.bytes : 40), spec.data);
    return true;
}

static bool brace_value(snug_run *run, snug_value *out, snug_str name, const snug_call *call, size_t *used)
{
    size_t at = 0;
    int64_t index = read_number(name, &at);

    if (name.bytes == 0)
        index = (int64_t)(*used)++;
    if (at == name.bytes) {
        if ((uint64_t)index >= call->count)
            return snug_run_fail(run, "format() has no value %lld", (long long)index);
        *out = call->values[index];
        return true;
    }
    for (size_t i = 0; i < call->named_count; i++)
        if (snug_str_equal(call->named[i].name, name)) {
            *out = call->named[i].value;
            return true;
        }
    return snug_run_fail(run, "format() has no value '%.*s'", (int)(name.bytes < 40 ? name.bytes : 40),
                         name.data);
}

/* What stands between { and }: name!r:spec */
static bool add_replacement(snug_run *run, snug_builder *builder, snug_str inside, const snug_call *call,
                            size_t *used)
{
    const char *colon = inside.bytes != 0 ? memchr(inside.data, ':', inside.bytes) : NULL;
    const size_t name_bytes = colon ? (size_t)(colon - inside.data) : inside.bytes;
    snug_str name = { inside.data, name_bytes };
    snug_str spec = { "", 0 };
    snug_value value;
    layout field;
    bool is_repr = false;

    if (colon)
        spec = (snug_str){ colon + 1, inside.bytes - name_bytes - 1 };
    if (name.bytes >= 2 && name.data[name.bytes - 2] == '!') {
        is_repr = name.data[name.bytes - 1] == 'r';
        name.bytes -= 2;
    }
    if (!read_brace_field(run, &field, spec) || !brace_value(run, &value, name, call, used))
        return false;
    if (is_repr)
        field.type = 'r';
    if (field.type == 0 && snug_value_is_number(&value) && value.kind != SNUG_VALUE_BOOL && spec.bytes != 0)
        field.type = value.kind == SNUG_VALUE_INTEGER ? 'd' : field.precision >= 0 ? 'g' : 0;
    return add_value(run, builder, &value, &field, snug_value_is_number(&value) ? '>' : '<');
}

bool snug_run_format_braces(snug_run *run, snug_value *out, snug_str format, const snug_call *call)
{
    snug_builder builder = { .region = run->region };
    size_t used = 0;

    for (size_t at = 0; at < format.bytes; at++) {
        const char c = format.data[at];
        const char *close;

        if (!snug_run_spend(run, 1))
            return false;
        if ((c == '{' || c == '}') && at + 1 < format.bytes && format.data[at + 1] == c)
            at++;
        else if (c == '}')
            return snug_run_fail(run, "format() found a single }");
        else if (c == '{') {
            close = memchr(format.data + at, '}', format.bytes - at);
            if (!close)
                return snug_run_fail(run, "format() found a { without }");
            if (!add_replacement(run, &builder,
                                 (snug_str){ format.data + at + 1, (size_t)(close - format.data) - at - 1 },
                                 call, &used))
                return false;
            at = (size_t)(close - format.data);
            continue;
        }
        if (!snug_builder_add_byte(&builder, c))
            return false;
    }
    *out = snug_value_string(snug_builder_str(&builder));
    return true;
}
