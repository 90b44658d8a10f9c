/* SPDX-License-Identifier: Apache-2.0 */
/* access.c - value.name, value[index], value[from:to:step]. What is not there is undefined, not a failure. */
#include "text/template/run.h"

#include <inttypes.h>
#include <stdio.h>

#include "text/template/builtins.h"
#include "text/template/unicode.h"

/* A method as a value, bound to its object. False when it failed; *is_found tells whether there is one. */
static bool find_method(snug_run *run, snug_value *out, bool *is_found, const snug_value *subject,
                        snug_str name)
{
    const snug_builtin *builtin = snug_method_find(subject, name);
    snug_method *method;

    *is_found = builtin != NULL;
    if (!builtin)
        return true;
    method = snug_region_alloc(run->region, sizeof *method);
    if (!method)
        return false;
    *method = (snug_method){ builtin, *subject };
    *out = (snug_value){ .kind = SNUG_VALUE_METHOD, .method = method };
    return true;
}

/* The item before or after the current one. */
static snug_value neighbour(const snug_value *value, const char *name)
{
    return value->kind == SNUG_VALUE_ABSENT ? snug_value_undefined(SNUG_VALUE_LOOP, snug_str_from(name))
                                            : *value;
}

static snug_value loop_attribute(const snug_loop *loop, snug_str name)
{
    const int64_t index = (int64_t)loop->index;
    const int64_t count = (int64_t)loop->count;
    const struct {
        const char *name;
        snug_value value;
    } attributes[] = {
        { "index", snug_value_integer(index + 1) },
        { "index0", snug_value_integer(index) },
        { "revindex", snug_value_integer(count - index) },
        { "revindex0", snug_value_integer(count - index - 1) },
        { "first", snug_value_bool(index == 0) },
        { "last", snug_value_bool(index + 1 == count) },
        { "length", snug_value_integer(count) },
        { "depth", snug_value_integer((int64_t)loop->nesting + 1) },
        { "depth0", snug_value_integer((int64_t)loop->nesting) },
        { "previtem", neighbour(&loop->previous, "previtem") },
        { "nextitem", neighbour(&loop->following, "nextitem") },
    };

    for (size_t i = 0; i < SNUG_COUNT(attributes); i++)
        if (snug_str_is(name, attributes[i].name))
            return attributes[i].value;
    return snug_value_undefined(SNUG_VALUE_LOOP, name);
}

bool snug_run_attribute(snug_run *run, snug_value *out, const snug_value *subject, snug_str name)
{
    bool is_found;

    if (subject->kind == SNUG_VALUE_UNDEFINED)
        return snug_run_fail_undefined(run, subject);
    if (!find_method(run, out, &is_found, subject, name))
        return false;
    if (is_found)
        return true;
    *out = snug_value_undefined(subject->kind, name);
    if (subject->kind == SNUG_VALUE_DICT || subject->kind == SNUG_VALUE_NAMESPACE) {
        snug_value *value;

        if (!snug_dict_find_text(run, &value, subject->dict, name))
            return false;
        if (value)
            *out = *value;
    } else if (subject->kind == SNUG_VALUE_LOOP)
        *out = loop_attribute(subject->loop, name);
    else if (subject->kind == SNUG_VALUE_MACRO && snug_str_is(name, "name"))
        *out = snug_value_string(subject->macro->node->name);
    return true;
}

/* The index as a position from 0, or false when it is outside. */
static bool position_of(size_t *position, int64_t index, size_t count)
{
    if (index < 0)
        index += (int64_t)count;
    if (index < 0 || (uint64_t)index >= count)
        return false;
    *position = (size_t)index;
    return true;
}

static bool undefined_index(snug_run *run, snug_value *out, const snug_value *subject, int64_t index)
{
    char text[32];
    snug_str copy;

    snprintf(text, sizeof text, "%" PRId64, index);
    if (!snug_region_copy(run->region, &copy, snug_str_from(text)))
        return false;
    *out = snug_value_undefined(subject->kind, copy);
    return true;
}

static bool subscript_sequence(snug_run *run, snug_value *out, const snug_value *subject, int64_t index)
{
    size_t count;
    size_t position;

    if (!snug_value_length(run, &count, subject))
        return false;
    if (!position_of(&position, index, count))
        return undefined_index(run, out, subject, index);
    switch (subject->kind) {
    case SNUG_VALUE_STRING: {
        const size_t at = snug_utf8_offset(subject->text, position);

        *out = snug_value_string((snug_str){ subject->text.data + at, snug_utf8_bytes(subject->text, at) });
        return true;
    }
    case SNUG_VALUE_RANGE:
        *out = snug_value_integer(subject->range->start + subject->range->step * (int64_t)position);
        return true;
    default:
        *out = subject->list->items[position];
        return true;
    }
}

static bool is_indexable(const snug_value *value)
{
    return value->kind == SNUG_VALUE_STRING || value->kind == SNUG_VALUE_LIST ||
           value->kind == SNUG_VALUE_TUPLE || value->kind == SNUG_VALUE_RANGE;
}

bool snug_run_subscript(snug_run *run, snug_value *out, const snug_value *subject, const snug_value *index)
{
    if (subject->kind == SNUG_VALUE_UNDEFINED)
        return snug_run_fail_undefined(run, subject);
    if (subject->kind == SNUG_VALUE_DICT && index->kind != SNUG_VALUE_LIST &&
        index->kind != SNUG_VALUE_DICT) {
        snug_value *value;

        if (!snug_dict_find(run, &value, subject->dict, index))
            return false;
        if (value) {
            *out = *value;
            return true;
        }
    }
    if (is_indexable(subject) && snug_value_is_integer(index))
        return subscript_sequence(run, out, subject, snug_value_to_integer(index));
    if (index->kind == SNUG_VALUE_STRING)
        return snug_run_attribute(run, out, subject, index->text);
    if (snug_value_is_integer(index))
        return undefined_index(run, out, subject, snug_value_to_integer(index));
    *out = snug_value_undefined(subject->kind, snug_str_from(snug_value_type_name(index)));
    return true;
}

/* Python's slice.indices(): where a slice begins, its step, and how many items it has. */
static bool slice_bounds(snug_run *run, int64_t *start, int64_t *step, size_t *count,
                         const snug_value parts[3], size_t length)
{
    const int64_t end = (int64_t)length;
    int64_t bounds[2];
    int64_t span;
    uint64_t stride;

    for (size_t i = 0; i < 3; i++)
        if (parts[i].kind != SNUG_VALUE_NONE && !snug_value_is_integer(&parts[i]))
            return snug_run_fail(run, "a slice expects integers, not '%s'", snug_value_type_name(&parts[i]));
    *step = parts[2].kind == SNUG_VALUE_NONE ? 1 : snug_value_to_integer(&parts[2]);
    if (*step == 0)
        return snug_run_fail(run, "the step of a slice must not be 0");
    for (size_t i = 0; i < 2; i++) {
        const int64_t low = *step < 0 ? -1 : 0;
        const int64_t high = *step < 0 ? end - 1 : end;

        if (parts[i].kind == SNUG_VALUE_NONE) {
            bounds[i] = (i == 0) == (*step > 0) ? low : high;
            continue;
        }
        bounds[i] = snug_value_to_integer(&parts[i]);
        if (bounds[i] < 0)
            bounds[i] += end;
        bounds[i] = bounds[i] < low ? low : bounds[i] > high ? high : bounds[i];
    }
    *start = bounds[0];
    span = *step > 0 ? bounds[1] - bounds[0] : bounds[0] - bounds[1];
    stride = *step > 0 ? (uint64_t)*step : 0 - (uint64_t)*step; /* also of the most negative step */
    *count = span > 0 ? (size_t)((uint64_t)(span - 1) / stride) + 1 : 0;
    return true;
}

static bool slice_text(snug_run *run, snug_value *out, snug_str text, int64_t start, int64_t step,
                       size_t count)
{
    snug_builder builder = { .region = run->region };
    size_t at = snug_utf8_offset(text, start < 0 ? 0 : (size_t)start);

    if (step == 1) {
        const snug_str rest = { text.data + at, text.bytes - at };

        *out = snug_value_string((snug_str){ rest.data, snug_utf8_offset(rest, count) });
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        const size_t bytes = snug_utf8_bytes(text, at);

        if (!snug_builder_add(&builder, (snug_str){ text.data + at, bytes }))
            return false;
        for (int64_t skip = 0; step > 0 && skip < step && at < text.bytes; skip++)
            at += snug_utf8_bytes(text, at);
        for (int64_t skip = 0; step < 0 && skip > step && at > 0; skip--)
            do
                at--;
            while (at > 0 && ((unsigned char)text.data[at] & 0xc0) == 0x80);
    }
    *out = snug_value_string(snug_builder_str(&builder));
    return true;
}

bool snug_run_slice(snug_run *run, snug_value *out, const snug_value *subject, const snug_value parts[3])
{
    int64_t start = 0;
    int64_t step = 1;
    size_t count = 0;
    size_t length;

    if (subject->kind == SNUG_VALUE_UNDEFINED)
        return snug_run_fail_undefined(run, subject);
    if (!is_indexable(subject))
        return snug_run_fail(run, "a value of type '%s' cannot be sliced", snug_value_type_name(subject));
    if (!snug_value_length(run, &length, subject) || !slice_bounds(run, &start, &step, &count, parts, length))
        return false;
    if (subject->kind == SNUG_VALUE_STRING)
        return snug_run_spend(run, subject->text.bytes / 16) &&
               slice_text(run, out, subject->text, start, step, count);
    if (!snug_list_create(run, out, subject->kind == SNUG_VALUE_RANGE ? SNUG_VALUE_LIST : subject->kind,
                          count))
        return false;
    for (size_t i = 0; i < count; i++) {
        const int64_t position = start + (int64_t)i * step;
        const snug_value item =
            subject->kind == SNUG_VALUE_RANGE
                ? snug_value_integer(subject->range->start + subject->range->step * position)
                : subject->list->items[position];

        if (!snug_list_add(run, out->list, item))
            return false;
    }
    return true;
}

/* One part of a path: a name, or a number that is an index. */
static bool path_step(snug_run *run, snug_value *out, const snug_value *subject, snug_str part)
{
    snug_value index = snug_value_string(part);
    int64_t number = 0;
    size_t i = 0;

    while (i < part.bytes && i < 9 && part.data[i] >= '0' && part.data[i] <= '9')
        number = number * 10 + (part.data[i++] - '0');
    if (i == part.bytes && i != 0)
        index = snug_value_integer(number);
    return snug_run_subscript(run, out, subject, &index);
}

bool snug_run_path(snug_run *run, snug_value *out, const snug_value *subject, const snug_value *name,
                   const snug_value *fallback)
{
    snug_value at = *subject;
    snug_str rest;

    if (name->kind != SNUG_VALUE_STRING) {
        if (!snug_run_subscript(run, out, subject, name))
            return false;
        if (fallback && out->kind == SNUG_VALUE_UNDEFINED)
            *out = *fallback;
        return true;
    }
    rest = name->text;
    for (;;) {
        size_t bytes = 0;

        while (bytes < rest.bytes && rest.data[bytes] != '.')
            bytes++;
        if (!snug_run_spend(run, 1) || !path_step(run, out, &at, (snug_str){ rest.data, bytes }))
            return false;
        if (fallback && out->kind == SNUG_VALUE_UNDEFINED)
            *out = *fallback;
        if (bytes == rest.bytes)
            return true;
        at = *out;
        rest = (snug_str){ rest.data + bytes + 1, rest.bytes - bytes - 1 };
    }
}
