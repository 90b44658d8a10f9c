/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ast.h - the tree of a parsed template. Nodes lie in the template's region and are read-only after parsing.
 *
 * One struct serves all kinds; the table says which fields a kind uses. Lists of nodes are linked by `next`.
 * Depth of the tree is bounded by the parser, so walking it recursively is safe.
 */
#ifndef SNUG_SRC_TEXT_TEMPLATE_AST_H
#define SNUG_SRC_TEXT_TEMPLATE_AST_H

#include "text/template/value.h"

typedef enum snug_node_kind {
    /* expressions */
    SNUG_NODE_LITERAL,  /* literal */
    SNUG_NODE_CAPTURED, /* the text of the block a filter is applied to: {% set x | upper %}...{% endset %} */
    SNUG_NODE_NAME,     /* name */
    SNUG_NODE_LIST,     /* items */
    SNUG_NODE_TUPLE,    /* items */
    SNUG_NODE_DICT,     /* items: PAIR */
    SNUG_NODE_PAIR,     /* left: right */
    SNUG_NODE_NOT,      /* left */
    SNUG_NODE_NEGATE,   /* left */
    SNUG_NODE_PLUS,     /* left */
    SNUG_NODE_AND,      /* left, right */
    SNUG_NODE_OR,       /* left, right */
    SNUG_NODE_BINARY,   /* left operator right: arithmetic and ~ */
    SNUG_NODE_COMPARE,  /* left, then items: COMPARAND, chained as in a < b < c */
    SNUG_NODE_COMPARAND,   /* operator left */
    SNUG_NODE_CONDITIONAL, /* left if test else right; right may be NULL */
    SNUG_NODE_ATTRIBUTE,   /* left.name */
    SNUG_NODE_SUBSCRIPT,   /* left[right]; right may be a SLICE */
    SNUG_NODE_SLICE,       /* left:right:test, each may be NULL */
    SNUG_NODE_CALL,        /* left(items: ARGUMENT) */
    SNUG_NODE_FILTER,      /* left | builtin(items: ARGUMENT) */
    SNUG_NODE_TEST,        /* left is builtin(items: ARGUMENT) */
    SNUG_NODE_ARGUMENT, /* left; name: the keyword or empty; operator: NONE, MULTIPLY for *, POWER for ** */
    /* statements */
    SNUG_NODE_SEQUENCE,  /* items */
    SNUG_NODE_TEXT,      /* name: what is written */
    SNUG_NODE_PRINT,     /* left */
    SNUG_NODE_SET,       /* left: the target, right: the value */
    SNUG_NODE_SET_BLOCK, /* left: the target, right: filters or NULL, body */
    SNUG_NODE_IF,        /* items: BRANCH; a BRANCH without test is the else */
    SNUG_NODE_BRANCH,    /* test, body */
    SNUG_NODE_FOR,   /* left: the target, right: what to loop over, test, body, otherwise, flag: recursive */
    SNUG_NODE_WITH,  /* items: SET, body */
    SNUG_NODE_SCOPE, /* body, in a scope of its own */
    SNUG_NODE_MACRO, /* name, items: PARAMETER, body, flags */
    SNUG_NODE_PARAMETER,    /* name, left: the default or NULL */
    SNUG_NODE_CALL_BLOCK,   /* left: the CALL, right: a MACRO without name, the caller */
    SNUG_NODE_FILTER_BLOCK, /* right: filters, body */
    SNUG_NODE_BREAK,
    SNUG_NODE_CONTINUE,
} snug_node_kind;

typedef enum snug_operator {
    SNUG_OPERATOR_NONE = 0,
    SNUG_OPERATOR_ADD,
    SNUG_OPERATOR_SUBTRACT,
    SNUG_OPERATOR_JOIN,
    SNUG_OPERATOR_MULTIPLY,
    SNUG_OPERATOR_DIVIDE,
    SNUG_OPERATOR_DIVIDE_FLOOR,
    SNUG_OPERATOR_REMAINDER,
    SNUG_OPERATOR_POWER,
    SNUG_OPERATOR_EQUAL,
    SNUG_OPERATOR_NOT_EQUAL,
    SNUG_OPERATOR_LESS,
    SNUG_OPERATOR_LESS_EQUAL,
    SNUG_OPERATOR_GREATER,
    SNUG_OPERATOR_GREATER_EQUAL,
    SNUG_OPERATOR_IN,
    SNUG_OPERATOR_NOT_IN,
} snug_operator;

/* Flags of a node. */
enum {
    SNUG_NODE_IS_RECURSIVE = 1u << 0,  /* FOR */
    SNUG_NODE_TAKES_VARARGS = 1u << 1, /* MACRO: its body uses the name */
    SNUG_NODE_TAKES_KWARGS = 1u << 2,
    SNUG_NODE_TAKES_CALLER = 1u << 3,
};

typedef struct snug_node {
    unsigned char kind;      /* snug_node_kind */
    unsigned char operation; /* snug_operator */
    unsigned short flags;
    unsigned short depth; /* levels of the tree below and with this node */
    unsigned line;
    struct snug_node *left;
    struct snug_node *right;
    struct snug_node *test;
    struct snug_node *items;
    struct snug_node *body;
    struct snug_node *otherwise;
    struct snug_node *next;
    union {
        snug_str name;
        snug_value literal;
        const snug_builtin *builtin;
    };
} snug_node;

#endif /* SNUG_SRC_TEXT_TEMPLATE_AST_H */
