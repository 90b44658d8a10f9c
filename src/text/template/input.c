/* SPDX-License-Identifier: Apache-2.0 */
/*
 * input.c - checked JSON to values. Strings without escapes stay where they are, in the caller's text;
 * nesting is bounded by the JSON reader. The size of the input adds to the steps that a rendering may
 * take: a long conversation needs more of them.
 */
#include "text/template/run.h"

#include <string.h>

static bool read_text(snug_run *run, snug_str *out, snug_str raw)
{
    char *text;

    *out = raw;
    if (raw.bytes == 0) {
        *out = (snug_str){ "", 0 };
        return true;
    }
    if (!memchr(raw.data, '\\', raw.bytes))
        return true;
    text = snug_region_text(run->region, raw.bytes);
    if (!text)
        return false;
    *out = (snug_str){ text, snug_json_unescape(text, raw) };
    return true;
}

static bool read_number(snug_run *run, snug_value *out, snug_json value)
{
    int64_t integer;
    double number;

    if (snug_json_i64(&integer, value))
        *out = snug_value_integer(integer);
    else if (snug_float_read(&number, snug_json_text(value)) || snug_json_f64(&number, value))
        *out = snug_value_float(number);
    else
        return snug_region_fail(run->region, SNUG_ERR_CORRUPT,
                                "a number among the template's variables is too large");
    return true;
}

static bool read_array(snug_run *run, snug_value *out, snug_json value)
{
    snug_json_iterator iterator = snug_json_iterate(value);
    snug_json element;

    if (!snug_list_create(run, out, SNUG_VALUE_LIST, 0))
        return false;
    while (snug_json_next(&iterator, NULL, &element)) {
        snug_value item;

        run->steps_left += 16; /* what this element costs to read, and some use of it */
        if (!snug_run_from_json(run, &item, element) || !snug_list_add(run, out->list, item))
            return false;
    }
    return true;
}

static bool read_object(snug_run *run, snug_value *out, snug_json value)
{
    snug_json_iterator iterator = snug_json_iterate(value);
    snug_json member;
    snug_str key;

    if (!snug_dict_create(run, out, SNUG_VALUE_DICT, 0))
        return false;
    while (snug_json_next(&iterator, &key, &member)) {
        snug_str name;
        snug_value item;

        run->steps_left += 16;
        if (!read_text(run, &name, key) || !snug_run_from_json(run, &item, member) ||
            !snug_dict_set(run, out->dict, snug_value_string(name), item))
            return false;
    }
    return true;
}

bool snug_run_from_json(snug_run *run, snug_value *out, snug_json value)
{
    bool truth;

    switch (snug_json_kind_of(value)) {
    case SNUG_JSON_FALSE:
    case SNUG_JSON_TRUE:
        truth = snug_json_kind_of(value) == SNUG_JSON_TRUE;
        *out = snug_value_bool(truth);
        return true;
    case SNUG_JSON_NUMBER:
        return read_number(run, out, value);
    case SNUG_JSON_STRING:
        *out = snug_value_string((snug_str){ "", 0 });
        run->steps_left += snug_json_string(value).bytes / 4;
        return read_text(run, &out->text, snug_json_string(value));
    case SNUG_JSON_ARRAY:
        return read_array(run, out, value);
    case SNUG_JSON_OBJECT:
        return read_object(run, out, value);
    default:
        *out = snug_value_none();
        return true;
    }
}
