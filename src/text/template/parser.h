/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parser.h - tokens to a tree: statements in parser.c, expressions in expression.c.
 *
 * Recursive descent, one function per rule, with precedences as Jinja2 has them (which are not Python's:
 * `~` binds tighter than `+`). Nesting is bounded, filters and tests are looked up here, once.
 */
#ifndef SNUG_SRC_TEXT_TEMPLATE_PARSER_H
#define SNUG_SRC_TEXT_TEMPLATE_PARSER_H

#include "text/template/ast.h"
#include "text/template/lexer.h"

/* Brackets, blocks and operator chains nested deeper are refused; published templates stay below 20. */
#define SNUG_TEMPLATE_NESTING_MAX 96

typedef struct snug_parser {
    snug_region *region;
    snug_lexer lexer;
    snug_token token;     /* the current one */
    unsigned nesting;     /* rules we are in */
    unsigned loops;       /* {% for %} we are in: where break makes sense */
    unsigned tag_line;    /* of the last %} */
    unsigned macro_flags; /* varargs, kwargs, caller: which of them the macro we are in uses */
} snug_parser;

/* The whole template; NULL and the reason in the region. */
snug_node *snug_parser_run(snug_region *region, snug_str source);

/* What both files use. Functions that return a node return NULL after a failure. */
bool snug_parser_next(snug_parser *parser);
bool snug_parser_enter(snug_parser *parser);
void snug_parser_leave(snug_parser *parser);
snug_node *snug_parser_node(snug_parser *parser, snug_node_kind kind);
bool snug_parser_expected(snug_parser *parser, const char *what); /* fails with what came instead */

bool snug_parser_is_name(const snug_parser *parser, const char *name);
bool snug_parser_is_operator(const snug_parser *parser, const char *text);
bool snug_parser_expect_operator(snug_parser *parser, const char *text);
bool snug_parser_expect_name(snug_parser *parser, snug_str *name_out);

/* Compute the depth of a node from its parts; false when the tree became too deep. */
bool snug_parser_measure(snug_parser *parser, snug_node *node);

/* One expression; without `a if b else c` where the grammar has its own `if`. */
snug_node *snug_parser_expression(snug_parser *parser, bool has_conditional);
/* The same, or several with commas between: a tuple. */
snug_node *snug_parser_tuple(snug_parser *parser, bool has_conditional);
/* What follows `|`: one or more filters upon `subject`. The first name is the current token. */
snug_node *snug_parser_filters(snug_parser *parser, snug_node *subject);
/* `target` of set and for: a name, names with commas, or (set only) namespace.name. */
snug_node *snug_parser_target(snug_parser *parser, bool has_attribute);
/* Parts in parentheses behind a callee, current token "(" : fills node->items. */
bool snug_parser_arguments(snug_parser *parser, snug_node *node);

#endif /* SNUG_SRC_TEXT_TEMPLATE_PARSER_H */
