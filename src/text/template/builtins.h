/* SPDX-License-Identifier: Apache-2.0 */
/*
 * builtins.h - the tables of what templates can call by name, and the functions that two tables share.
 */
#ifndef SNUG_SRC_TEXT_TEMPLATE_BUILTINS_H
#define SNUG_SRC_TEXT_TEMPLATE_BUILTINS_H

#include "text/template/value.h"

/* Each gives NULL when there is none of that name. */
const snug_builtin *snug_filter_find(snug_str name);
const snug_builtin *snug_test_find(snug_str name);
const snug_builtin *snug_function_find(snug_str name);
const snug_builtin *snug_method_find(const snug_value *subject, snug_str name);

/* The parts of the above, one file each. */
const snug_builtin *snug_text_filter_find(snug_str name);
const snug_builtin *snug_list_filter_find(snug_str name);
const snug_builtin *snug_number_filter_find(snug_str name);
const snug_builtin *snug_sort_filter_find(snug_str name);
const snug_builtin *snug_text_method_find(snug_str name);
const snug_builtin *snug_text_search_method_find(snug_str name);

/* A row of a table by its name. */
const snug_builtin *snug_builtin_find(const snug_builtin *rows, size_t count, snug_str name);

/* Arguments as C sees them. An ABSENT or none argument leaves *out as it is; a wrong kind fails. */
bool snug_argument_integer(struct snug_run *run, int64_t *out, const snug_value *argument, const char *name);
bool snug_argument_text(struct snug_run *run, snug_str *out, const snug_value *argument, const char *name);

/* int(text, base) and float(text); false when the text is no number. Both strip white space. */
bool snug_text_to_integer(int64_t *out, snug_str text, int64_t base);
bool snug_text_to_float(double *out, snug_str text);

/* The filter `list`, and what is common to filters with attribute=: the item itself when there is none. */
bool snug_filter_list(struct snug_run *run, snug_value *out, const snug_value *self, const snug_call *call);
bool snug_item_or_attribute(struct snug_run *run, snug_value *out, const snug_value *item,
                            const snug_value *attribute);
/* Sort `items` by their `keys`, stable. */
bool snug_list_sort(struct snug_run *run, const snug_list *keys, snug_list *items, bool is_reversed);

typedef enum snug_case {
    SNUG_CASE_LOWER,
    SNUG_CASE_UPPER,
    SNUG_CASE_TITLE
} snug_case;

/* Append one character in another case. */
bool snug_case_add(struct snug_builder *builder, int32_t character, snug_case to);

/* Every occurrence (at most `most`, all if negative) of `from` replaced by `to`. */
bool snug_text_replace(struct snug_run *run, snug_value *out, snug_str text, snug_str from, snug_str to,
                       int64_t most);
/* A list of the lines, without their ends. */
bool snug_text_lines(struct snug_run *run, snug_value *out, snug_str text);
/* Without white space, or without the characters of `set` when it has data, at one or both ends. */
bool snug_text_strip(struct snug_run *run, snug_str *text, snug_str set, bool left, bool right);
bool snug_text_pad(struct snug_run *run, snug_value *out, snug_str text, size_t left, size_t right,
                   snug_str fill);

#endif /* SNUG_SRC_TEXT_TEMPLATE_BUILTINS_H */
