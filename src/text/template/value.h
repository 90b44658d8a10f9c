/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value.h - what a template computes with: Python's values, as far as templates can see them.
 *
 * A value is a small struct, copied freely; what it points to lies in the region of the rendering (or in the
 * template's, for constants, or in the caller's JSON text) and is never changed after it was made. The
 * exceptions: a namespace, and a generator, which can be read once.
 */
#ifndef SNUG_SRC_TEXT_TEMPLATE_VALUE_H
#define SNUG_SRC_TEXT_TEMPLATE_VALUE_H

#include <stdint.h>

#include "base/str.h"

typedef enum snug_value_kind {
    SNUG_VALUE_ABSENT = 0, /* no value at all: an argument that was not given */
    SNUG_VALUE_UNDEFINED,  /* jinja2.Undefined; text: the name that was looked for, owner: where */
    SNUG_VALUE_NONE,
    SNUG_VALUE_BOOL,
    SNUG_VALUE_INTEGER,
    SNUG_VALUE_FLOAT,
    SNUG_VALUE_STRING,
    SNUG_VALUE_LIST,
    SNUG_VALUE_TUPLE,
    SNUG_VALUE_GENERATOR, /* what select, map and their like give: has no length, is read once */
    SNUG_VALUE_VIEW,      /* dict.keys(), values(), items() */
    SNUG_VALUE_DICT,
    SNUG_VALUE_NAMESPACE,
    SNUG_VALUE_RANGE,
    SNUG_VALUE_FUNCTION, /* range, raise_exception ... */
    SNUG_VALUE_METHOD,   /* a method with its object, and loop.cycle */
    SNUG_VALUE_MACRO,    /* also `caller` */
    SNUG_VALUE_LOOP,
} snug_value_kind;

typedef struct snug_value {
    snug_value_kind kind;
    snug_value_kind owner; /* UNDEFINED: the kind of the object; UNDEFINED again for a variable */
    union {
        bool truth;
        int64_t integer;
        double number;
        snug_str text;
        struct snug_list *list;   /* LIST, TUPLE, GENERATOR, VIEW */
        struct snug_dict *dict;   /* DICT, NAMESPACE */
        struct snug_range *range; /* all else is told by its name */
        const struct snug_builtin *function;
        struct snug_method *method;
        struct snug_macro *macro;
        struct snug_loop *loop;
    };
} snug_value;

typedef struct snug_list {
    snug_value *items;
    size_t count;
    size_t capacity;
    size_t read;      /* GENERATOR: items that were taken out */
    const char *name; /* VIEW: "dict_keys" ... */
} snug_list;

typedef struct snug_entry {
    snug_value key;
    snug_value value;
} snug_entry;

/* In the order of insertion; keys differ from each other. Lookup is linear: dicts of prompts are small, and
 * the steps of a lookup are counted. */
typedef struct snug_dict {
    snug_entry *entries;
    size_t count;
    size_t capacity;
} snug_dict;

typedef struct snug_range {
    int64_t start;
    int64_t stop;
    int64_t step;
    size_t count;
} snug_range;

typedef struct snug_named {
    snug_str name;
    snug_value value;
} snug_named;

/* The arguments of one call. */
typedef struct snug_call {
    snug_value *values;
    size_t count;
    snug_named *named;
    size_t named_count;
} snug_call;

struct snug_run;

/*
 * A filter, test, method or global function of ours: one row of a table. `parameters` names them, separated
 * by one space; the call then sees exactly that many values, in that order, ABSENT where none was given.
 * "*" takes what comes. `subject` is what stands before the `|`, `is` or dot; NULL for a global function.
 */
typedef struct snug_builtin {
    const char *name;
    const char *parameters;
    unsigned required;
    bool (*call)(struct snug_run *run, snug_value *out, const snug_value *subject, const snug_call *call);
} snug_builtin;

typedef struct snug_method {
    const snug_builtin *builtin;
    snug_value subject;
} snug_method;

static inline snug_value snug_value_none(void)
{
    return (snug_value){ .kind = SNUG_VALUE_NONE };
}

static inline snug_value snug_value_bool(bool truth)
{
    return (snug_value){ .kind = SNUG_VALUE_BOOL, .truth = truth };
}

static inline snug_value snug_value_integer(int64_t integer)
{
    return (snug_value){ .kind = SNUG_VALUE_INTEGER, .integer = integer };
}

static inline snug_value snug_value_float(double number)
{
    return (snug_value){ .kind = SNUG_VALUE_FLOAT, .number = number };
}

static inline snug_value snug_value_string(snug_str text)
{
    return (snug_value){ .kind = SNUG_VALUE_STRING, .text = text };
}

/* No variable `name`, or, with the kind of an object, no such attribute. */
static inline snug_value snug_value_undefined(snug_value_kind owner, snug_str name)
{
    return (snug_value){ .kind = SNUG_VALUE_UNDEFINED, .owner = owner, .text = name };
}

static inline bool snug_value_has_list(const snug_value *value)
{
    return value->kind >= SNUG_VALUE_LIST && value->kind <= SNUG_VALUE_VIEW;
}

/* A boolean counts as a number, as in Python. */
static inline bool snug_value_is_integer(const snug_value *value)
{
    return value->kind == SNUG_VALUE_INTEGER || value->kind == SNUG_VALUE_BOOL;
}

static inline bool snug_value_is_number(const snug_value *value)
{
    return snug_value_is_integer(value) || value->kind == SNUG_VALUE_FLOAT;
}

static inline int64_t snug_value_to_integer(const snug_value *value)
{
    return value->kind == SNUG_VALUE_BOOL ? (int64_t)value->truth : value->integer;
}

static inline double snug_value_to_float(const snug_value *value)
{
    return value->kind == SNUG_VALUE_FLOAT ? value->number : (double)snug_value_to_integer(value);
}

/* "str", "dict", "NoneType" ...: Python's name of the type, for sentences. */
const char *snug_value_type_name(const snug_value *value);

/* bool(value); a generator, a function or a macro is true. */
bool snug_value_is_true(const snug_value *value);

/* What could not be done without a rendering: these count steps, and false means that it failed. */
bool snug_value_equal(struct snug_run *run, bool *equal_out, const snug_value *a, const snug_value *b);
/* -1, 0 or 1; fails for values that Python does not order. */
bool snug_value_order(struct snug_run *run, int *order_out, const snug_value *a, const snug_value *b);
/* `item in container`. */
bool snug_value_contains(struct snug_run *run, bool *found_out, const snug_value *container,
                         const snug_value *item);
/* len(value); fails for what has none. */
bool snug_value_length(struct snug_run *run, size_t *length_out, const snug_value *value);

bool snug_list_create(struct snug_run *run, snug_value *out, snug_value_kind kind, size_t capacity);
bool snug_list_add(struct snug_run *run, snug_list *list, snug_value item);

bool snug_dict_create(struct snug_run *run, snug_value *out, snug_value_kind kind, size_t capacity);
/* *value_out is NULL when there is none. */
bool snug_dict_find(struct snug_run *run, snug_value **value_out, const snug_dict *dict,
                    const snug_value *key);
bool snug_dict_find_text(struct snug_run *run, snug_value **value_out, const snug_dict *dict, snug_str key);
bool snug_dict_set(struct snug_run *run, snug_dict *dict, snug_value key, snug_value value);

/*
 * What a `for` sees: the items of a list, the keys of a dict, the characters of a text, the numbers of a
 * range, nothing for undefined. A generator is read, and used up, by its iterator.
 */
typedef struct snug_iterator {
    snug_value of;
    size_t index;
    size_t count;
    size_t byte; /* in a text */
} snug_iterator;

bool snug_iterator_init(struct snug_run *run, snug_iterator *iterator, const snug_value *of);
/* False at the end, and when it failed: the caller asks snug_run_is_well() then. */
bool snug_iterator_next(struct snug_run *run, snug_iterator *iterator, snug_value *out);

#endif /* SNUG_SRC_TEXT_TEMPLATE_VALUE_H */
