/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.h - one rendering: its variables, its output, and the bounds that it may not cross.
 *
 * Functions return false when the rendering failed; the reason is in the region. Three bounds keep a
 * stranger's template harmless: steps (time), depth (stack) and the region's limit (memory).
 */
#ifndef SNUG_SRC_TEXT_TEMPLATE_RUN_H
#define SNUG_SRC_TEXT_TEMPLATE_RUN_H

#include "base/json.h"
#include "base/status.h"
#include "text/template/ast.h"
#include "text/template/region.h"

/* Evaluations in evaluations: expressions, blocks, macro calls, nested values when printed. A level takes at
 * most a few hundred bytes of stack. */
#define SNUG_TEMPLATE_DEPTH_MAX 500
/* A step is about one node of the tree or 64 bytes of text moved. A large prompt takes some 100,000. */
#define SNUG_TEMPLATE_STEPS_MAX        3000000
#define SNUG_TEMPLATE_REGION_BYTES_MAX ((size_t)256 << 20)
/* As the sandbox of the reference implementation has it. */
#define SNUG_TEMPLATE_RANGE_MAX 100000

typedef struct snug_variable {
    snug_str name;
    snug_value value;
} snug_variable;

/* Names that were set; the parent is searched next. */
typedef struct snug_scope {
    struct snug_scope *parent;
    snug_variable *variables;
    size_t count;
    size_t capacity;
    bool is_captured; /* a macro was made here and may outlive the block: never reuse */
} snug_scope;

/* A macro, or the body of a call block, with the scope that it was made in. */
typedef struct snug_macro {
    const snug_node *node;
    snug_scope *scope;
} snug_macro;

/* What `loop` stands for. The iterator is one item ahead of `index`. */
typedef struct snug_loop {
    const snug_node *node;
    snug_scope *scope; /* around the loop: a recursive call begins there */
    size_t index;      /* from 0 */
    size_t count;
    size_t nesting; /* of a recursive loop, from 0 */
    snug_value previous;
    snug_value current;
    snug_value following;
    snug_value changed; /* what loop.changed() saw last: a tuple, or ABSENT */
} snug_loop;

typedef enum snug_flow {
    SNUG_FLOW_ON = 0,
    SNUG_FLOW_BREAK,
    SNUG_FLOW_CONTINUE
} snug_flow;

typedef struct snug_run {
    snug_region *region;
    const snug_dict *variables; /* what the caller passed */
    snug_scope *scope;
    snug_builder *out;   /* where prints go: the rendering, or what a block captures */
    snug_value captured; /* the text a block's filters are applied to */
    snug_flow flow;
    unsigned line;
    unsigned depth;
    uint64_t steps_left;
    bool has_clock;
    int64_t now_unix;
} snug_run;

static inline bool snug_run_is_well(const snug_run *run)
{
    return run->region->status == SNUG_OK;
}

/* Fail with CORRUPT and "line N: " in front of the sentence. Always false. */
bool snug_run_fail(snug_run *run, const char *format, ...) SNUG_PRINTF(2, 3);
/* The sentence for a use of an undefined value: "'tools' is undefined". */
bool snug_run_fail_undefined(snug_run *run, const snug_value *value);

/* Count steps; fails when they are used up. */
bool snug_run_spend(snug_run *run, uint64_t steps);
bool snug_run_enter(snug_run *run);
void snug_run_leave(snug_run *run);

/* eval.c */
bool snug_run_execute(snug_run *run, const snug_node *statement);
/* Set a variable of the current scope. */
bool snug_run_set(snug_run *run, snug_str name, snug_value value);
bool snug_run_assign(snug_run *run, const snug_node *target, const snug_value *value);
/* Run a block and give what it wrote, instead of writing it. */
bool snug_run_capture(snug_run *run, snug_value *out, const snug_node *body);
/* loop(items) in a recursive loop. */
bool snug_run_recurse(snug_run *run, snug_value *out, snug_loop *loop, const snug_value *items);

/* expression_eval.c */
bool snug_run_evaluate(snug_run *run, snug_value *out, const snug_node *expression);

/* access.c */
bool snug_run_attribute(snug_run *run, snug_value *out, const snug_value *subject, snug_str name);
bool snug_run_subscript(snug_run *run, snug_value *out, const snug_value *subject, const snug_value *index);
bool snug_run_slice(snug_run *run, snug_value *out, const snug_value *subject, const snug_value parts[3]);
/* "a.b.0" or a number, as map(attribute=...) takes it. `fallback` (may be NULL) stands for what is
 * undefined. */
bool snug_run_path(snug_run *run, snug_value *out, const snug_value *subject, const snug_value *name,
                   const snug_value *fallback);

/* operate.c */
bool snug_run_operate(snug_run *run, snug_value *out, snug_operator operation, const snug_value *a,
                      const snug_value *b);
bool snug_run_compare(snug_run *run, bool *out, snug_operator operation, const snug_value *a,
                      const snug_value *b);

/* call.c */
bool snug_run_call(snug_run *run, snug_value *out, const snug_value *callee, const snug_call *call);
bool snug_run_call_builtin(snug_run *run, snug_value *out, const snug_builtin *builtin,
                           const snug_value *subject, const snug_call *call);
/* The arguments of a CALL, FILTER or TEST node. */
bool snug_run_arguments(snug_run *run, snug_call *call, const snug_node *node);

/* print.c */
bool snug_run_print(snug_run *run, snug_builder *builder, const snug_value *value); /* str(value) */
bool snug_run_repr(snug_run *run, snug_builder *builder, const snug_value *value);  /* repr(value) */
bool snug_run_string(snug_run *run, snug_str *out, const snug_value *value);        /* str(value) */

/* number.c */
/* A number in the grammar of JSON (not checked here), at most 150 bytes; false when it is infinite or
 * none. */
bool snug_float_read(double *out, snug_str text);
bool snug_float_repr(snug_builder *builder, double number);
/* round(number, places): by the decimal digits of the number, ties to even, as Python has it. */
double snug_float_round(double number, int places);

/* format.c */
bool snug_run_format_percent(snug_run *run, snug_value *out, snug_str format, const snug_value *values);
bool snug_run_format_braces(snug_run *run, snug_value *out, snug_str format, const snug_call *call);

/* tojson.c */
typedef struct snug_json_style {
    bool is_ascii;
    bool has_indent;
    bool sorts_keys;
    snug_str indent; /* of one level */
    snug_str item_separator;
    snug_str key_separator;
} snug_json_style;

bool snug_run_to_json(snug_run *run, snug_builder *builder, const snug_value *value,
                      const snug_json_style *style);

/* input.c */
bool snug_run_from_json(snug_run *run, snug_value *out, snug_json value);

/* strftime.c: local time as seconds since 1970, by a format of C's strftime. */
bool snug_run_format_time(snug_run *run, snug_builder *builder, snug_str format, int64_t now_unix);

/* The position of `needle` in `text` at or after `from`, in bytes; `*found_out` false when it is not
 * there. */
bool snug_run_find(snug_run *run, bool *found_out, size_t *at_out, snug_str text, snug_str needle,
                   size_t from);

#endif /* SNUG_SRC_TEXT_TEMPLATE_RUN_H */
