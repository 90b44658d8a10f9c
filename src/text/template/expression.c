/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expression.c - expressions, from the loosest binding to the tightest:
 * conditional, or, and, not, comparison, + -, ~, * / // %, **, unary, then postfix parts and filters.
 */
#include "text/template/parser.h"

#include <string.h>

#include "base/status.h"
#include "text/template/builtins.h"
#include "text/template/run.h"

static snug_node *parse_unary(snug_parser *parser, bool has_filters);

/* A node with up to two parts; NULL parts are those that failed before, unless `kind` allows them. */
static snug_node *node_of(snug_parser *parser, snug_node_kind kind, snug_node *left, snug_node *right)
{
    snug_node *node = snug_parser_node(parser, kind);

    if (!node)
        return NULL;
    node->left = left;
    node->right = right;
    return snug_parser_measure(parser, node) ? node : NULL;
}

static snug_node *literal_of(snug_parser *parser, snug_value value)
{
    snug_node *node = snug_parser_node(parser, SNUG_NODE_LITERAL);

    if (node)
        node->literal = value;
    return node;
}

/* One or more string tokens: they are joined. */
static snug_node *parse_string(snug_parser *parser)
{
    snug_str all = { "", 0 };

    while (parser->token.kind == SNUG_TOKEN_STRING) {
        snug_str part;

        if (!snug_lexer_unescape(&parser->lexer, &part, &parser->token) ||
            !snug_region_join(parser->region, &all, all, part) || !snug_parser_next(parser))
            return NULL;
    }
    return literal_of(parser, snug_value_string(all));
}

static bool read_integer(int64_t *out, snug_str text)
{
    unsigned base = 10;
    uint64_t value = 0;
    size_t i = 0;

    if (text.bytes > 2 && text.data[0] == '0' && strchr("xXoObB", text.data[1])) {
        const char letter = (char)(text.data[1] | 0x20);

        base = letter == 'x' ? 16 : letter == 'o' ? 8 : 2;
        i = 2;
    }
    for (; i < text.bytes; i++) {
        const char c = (char)(text.data[i] | 0x20);
        unsigned digit;

        if (text.data[i] == '_')
            continue;
        digit = c >= 'a' ? (unsigned)(c - 'a') + 10 : (unsigned)(text.data[i] - '0');
        if (digit >= base || value > ((uint64_t)INT64_MAX - digit) / base)
            return false;
        value = value * base + digit;
    }
    *out = (int64_t)value;
    return true;
}

static snug_node *parse_number(snug_parser *parser)
{
    const snug_token token = parser->token;
    char text[64];
    size_t bytes = 0;
    int64_t integer;
    double value;

    if (token.kind == SNUG_TOKEN_INTEGER && read_integer(&integer, token.text))
        return snug_parser_next(parser) ? literal_of(parser, snug_value_integer(integer)) : NULL;
    for (size_t i = 0; i < token.text.bytes && bytes < sizeof text; i++)
        if (token.text.data[i] != '_')
            text[bytes++] = token.text.data[i];
    if (token.kind == SNUG_TOKEN_FLOAT && bytes < sizeof text &&
        snug_float_read(&value, (snug_str){ text, bytes }))
        return snug_parser_next(parser) ? literal_of(parser, snug_value_float(value)) : NULL;
    snug_region_fail(parser->region, SNUG_ERR_UNSUPPORTED, "line %u: the number %.*s is outside of 64 bits",
                     token.line, (int)(token.text.bytes < 40 ? token.text.bytes : 40), token.text.data);
    return NULL;
}

static snug_node *parse_pair(snug_parser *parser)
{
    snug_node *key = snug_parser_expression(parser, true);
    snug_node *value;

    if (!key || !snug_parser_expect_operator(parser, ":"))
        return NULL;
    value = snug_parser_expression(parser, true);
    return value ? node_of(parser, SNUG_NODE_PAIR, key, value) : NULL;
}

static snug_node *parse_item(snug_parser *parser)
{
    return snug_parser_expression(parser, true);
}

/* A list or a dict: items with commas between, up to `close`. The current token is the opening bracket. */
static snug_node *parse_items(snug_parser *parser, snug_node_kind kind, const char *close,
                              snug_node *(*parse_one)(snug_parser *))
{
    snug_node *node = snug_parser_node(parser, kind);
    snug_node **tail;

    if (!node || !snug_parser_next(parser))
        return NULL;
    tail = &node->items;
    while (!snug_parser_is_operator(parser, close)) {
        if (node->items && !snug_parser_expect_operator(parser, ","))
            return NULL;
        if (snug_parser_is_operator(parser, close))
            break;
        *tail = parse_one(parser);
        if (!*tail)
            return NULL;
        tail = &(*tail)->next;
    }
    return snug_parser_next(parser) && snug_parser_measure(parser, node) ? node : NULL;
}

static snug_node *parse_parentheses(snug_parser *parser)
{
    snug_node *node;

    if (!snug_parser_next(parser))
        return NULL;
    if (snug_parser_is_operator(parser, ")"))
        node = snug_parser_node(parser, SNUG_NODE_TUPLE);
    else
        node = snug_parser_tuple(parser, true);
    return node && snug_parser_expect_operator(parser, ")") ? node : NULL;
}

static snug_node *parse_name(snug_parser *parser)
{
    static const struct {
        const char *name;
        snug_value_kind kind;
        bool truth;
    } constants[] = {
        { "true", SNUG_VALUE_BOOL, true },   { "True", SNUG_VALUE_BOOL, true },
        { "false", SNUG_VALUE_BOOL, false }, { "False", SNUG_VALUE_BOOL, false },
        { "none", SNUG_VALUE_NONE, false },  { "None", SNUG_VALUE_NONE, false },
    };
    static const struct {
        const char *name;
        unsigned flag;
    } specials[] = { { "varargs", SNUG_NODE_TAKES_VARARGS },
                     { "kwargs", SNUG_NODE_TAKES_KWARGS },
                     { "caller", SNUG_NODE_TAKES_CALLER } };
    const snug_str name = parser->token.text;
    snug_node *node;

    if (!snug_parser_next(parser))
        return NULL;
    for (size_t i = 0; i < SNUG_COUNT(constants); i++)
        if (snug_str_is(name, constants[i].name))
            return literal_of(parser, constants[i].kind == SNUG_VALUE_NONE
                                          ? snug_value_none()
                                          : snug_value_bool(constants[i].truth));
    for (size_t i = 0; i < SNUG_COUNT(specials); i++)
        if (snug_str_is(name, specials[i].name))
            parser->macro_flags |= specials[i].flag;
    node = snug_parser_node(parser, SNUG_NODE_NAME);
    if (node)
        node->name = name;
    return node;
}

static snug_node *parse_primary(snug_parser *parser)
{
    switch (parser->token.kind) {
    case SNUG_TOKEN_NAME:
        return parse_name(parser);
    case SNUG_TOKEN_STRING:
        return parse_string(parser);
    case SNUG_TOKEN_INTEGER:
    case SNUG_TOKEN_FLOAT:
        return parse_number(parser);
    default:
        break;
    }
    if (snug_parser_is_operator(parser, "("))
        return parse_parentheses(parser);
    if (snug_parser_is_operator(parser, "["))
        return parse_items(parser, SNUG_NODE_LIST, "]", parse_item);
    if (snug_parser_is_operator(parser, "{"))
        return parse_items(parser, SNUG_NODE_DICT, "}", parse_pair);
    snug_parser_expected(parser, "an expression");
    return NULL;
}

/* One part of a slice, NULL in *part where it is left out. */
static bool parse_slice_part(snug_parser *parser, snug_node **part)
{
    if (snug_parser_is_operator(parser, ":") || snug_parser_is_operator(parser, "]"))
        return true;
    *part = snug_parser_expression(parser, true);
    return *part != NULL;
}

/* What stands between the brackets of a subscript: an expression, a tuple, or start:stop:step. */
static snug_node *parse_index(snug_parser *parser)
{
    snug_node *start = NULL;
    snug_node *slice;

    if (!snug_parser_is_operator(parser, ":")) {
        start = snug_parser_tuple(parser, true);
        if (!start || !snug_parser_is_operator(parser, ":"))
            return start;
    }
    slice = snug_parser_node(parser, SNUG_NODE_SLICE);
    if (!slice || !snug_parser_next(parser) || !parse_slice_part(parser, &slice->right))
        return NULL;
    slice->left = start;
    if (snug_parser_is_operator(parser, ":") &&
        (!snug_parser_next(parser) || !parse_slice_part(parser, &slice->test)))
        return NULL;
    return snug_parser_measure(parser, slice) ? slice : NULL;
}

static snug_node *parse_subscript(snug_parser *parser, snug_node *subject)
{
    snug_node *index;

    if (!snug_parser_next(parser))
        return NULL;
    index = parse_index(parser);
    if (!index || !snug_parser_expect_operator(parser, "]"))
        return NULL;
    return node_of(parser, SNUG_NODE_SUBSCRIPT, subject, index);
}

/* Behind the dot: a name, or a number as in row.0 */
static snug_node *parse_attribute(snug_parser *parser, snug_node *subject)
{
    snug_node *node;

    if (!snug_parser_next(parser))
        return NULL;
    if (parser->token.kind == SNUG_TOKEN_INTEGER) {
        snug_node *index = parse_number(parser);

        return index ? node_of(parser, SNUG_NODE_SUBSCRIPT, subject, index) : NULL;
    }
    node = node_of(parser, SNUG_NODE_ATTRIBUTE, subject, NULL);
    return node && snug_parser_expect_name(parser, &node->name) ? node : NULL;
}

/* One argument: expression, name=expression, *expression or **expression. */
static snug_node *parse_argument(snug_parser *parser)
{
    snug_node *argument = snug_parser_node(parser, SNUG_NODE_ARGUMENT);
    snug_lexer ahead = parser->lexer;
    snug_token following;

    if (!argument)
        return NULL;
    argument->name = (snug_str){ "", 0 };
    if (snug_parser_is_operator(parser, "*"))
        argument->operation = SNUG_OPERATOR_MULTIPLY;
    else if (snug_parser_is_operator(parser, "**"))
        argument->operation = SNUG_OPERATOR_POWER;
    else if (parser->token.kind == SNUG_TOKEN_NAME) {
        if (!snug_lexer_next(&ahead, &following))
            return NULL;
        if (following.kind == SNUG_TOKEN_OPERATOR && snug_str_is(following.text, "=")) {
            argument->name = parser->token.text;
            if (!snug_parser_next(parser))
                return NULL;
        }
    }
    if ((argument->operation != SNUG_OPERATOR_NONE || argument->name.bytes != 0) && !snug_parser_next(parser))
        return NULL;
    argument->left = snug_parser_expression(parser, true);
    return argument->left && snug_parser_measure(parser, argument) ? argument : NULL;
}

bool snug_parser_arguments(snug_parser *parser, snug_node *node)
{
    snug_node **tail = &node->items;
    bool has_named = false;

    if (!snug_parser_expect_operator(parser, "("))
        return false;
    while (!snug_parser_is_operator(parser, ")")) {
        if (node->items && !snug_parser_expect_operator(parser, ","))
            return false;
        if (snug_parser_is_operator(parser, ")"))
            break;
        *tail = parse_argument(parser);
        if (!*tail)
            return false;
        if ((*tail)->name.bytes != 0 || (*tail)->operation == SNUG_OPERATOR_POWER)
            has_named = true;
        else if (has_named && (*tail)->operation == SNUG_OPERATOR_NONE)
            return snug_region_fail(parser->region, SNUG_ERR_CORRUPT,
                                    "line %u: an argument without a name follows one with a name",
                                    (*tail)->line);
        tail = &(*tail)->next;
    }
    return snug_parser_next(parser) && snug_parser_measure(parser, node);
}

static snug_node *parse_call(snug_parser *parser, snug_node *callee)
{
    snug_node *call = node_of(parser, SNUG_NODE_CALL, callee, NULL);

    return call && snug_parser_arguments(parser, call) ? call : NULL;
}

static snug_node *parse_postfix(snug_parser *parser, snug_node *node)
{
    while (node) {
        if (snug_parser_is_operator(parser, "."))
            node = parse_attribute(parser, node);
        else if (snug_parser_is_operator(parser, "["))
            node = parse_subscript(parser, node);
        else if (snug_parser_is_operator(parser, "("))
            node = parse_call(parser, node);
        else
            break;
    }
    return node;
}

snug_node *snug_parser_filters(snug_parser *parser, snug_node *subject)
{
    for (;;) {
        snug_node *filter = node_of(parser, SNUG_NODE_FILTER, subject, NULL);
        const unsigned line = parser->token.line;
        snug_str name;

        if (!filter || !snug_parser_expect_name(parser, &name))
            return NULL;
        filter->builtin = snug_filter_find(name);
        if (!filter->builtin) {
            snug_region_fail(parser->region, SNUG_ERR_UNSUPPORTED, "line %u: there is no filter '%.*s'", line,
                             (int)(name.bytes < 60 ? name.bytes : 60), name.data);
            return NULL;
        }
        if (snug_parser_is_operator(parser, "(") && !snug_parser_arguments(parser, filter))
            return NULL;
        if (!snug_parser_is_operator(parser, "|"))
            return filter;
        if (!snug_parser_next(parser))
            return NULL;
        subject = filter;
    }
}

/* Whether a test's only argument may follow without parentheses: `is divisibleby 3`, `is in names`. */
static bool is_bare_argument(const snug_parser *parser)
{
    static const char *const words[] = { "else", "or", "and", "if", "not", "in", "recursive" };

    switch (parser->token.kind) {
    case SNUG_TOKEN_STRING:
    case SNUG_TOKEN_INTEGER:
    case SNUG_TOKEN_FLOAT:
        return true;
    case SNUG_TOKEN_NAME:
        for (size_t i = 0; i < SNUG_COUNT(words); i++)
            if (snug_str_is(parser->token.text, words[i]))
                return false;
        return true;
    default:
        return snug_parser_is_operator(parser, "[") || snug_parser_is_operator(parser, "{");
    }
}

static snug_node *parse_test(snug_parser *parser, snug_node *subject)
{
    snug_node *test = node_of(parser, SNUG_NODE_TEST, subject, NULL);
    const unsigned line = parser->token.line;
    bool is_negated;
    snug_str name;

    if (!test || !snug_parser_next(parser))
        return NULL;
    is_negated = snug_parser_is_name(parser, "not");
    if ((is_negated && !snug_parser_next(parser)) || !snug_parser_expect_name(parser, &name))
        return NULL;
    test->builtin = snug_test_find(name);
    if (!test->builtin) {
        snug_region_fail(parser->region, SNUG_ERR_UNSUPPORTED, "line %u: there is no test '%.*s'", line,
                         (int)(name.bytes < 60 ? name.bytes : 60), name.data);
        return NULL;
    }
    if (snug_parser_is_operator(parser, "(")) {
        if (!snug_parser_arguments(parser, test))
            return NULL;
    } else if (snug_parser_is_name(parser, "is")) {
        snug_parser_expected(parser, "the end of the test");
        return NULL;
    } else if (is_bare_argument(parser)) {
        snug_node *argument = snug_parser_node(parser, SNUG_NODE_ARGUMENT);

        if (!argument)
            return NULL;
        argument->name = (snug_str){ "", 0 };
        argument->left = parse_postfix(parser, parse_primary(parser));
        test->items = argument;
        if (!argument->left || !snug_parser_measure(parser, argument) || !snug_parser_measure(parser, test))
            return NULL;
    }
    return is_negated ? node_of(parser, SNUG_NODE_NOT, test, NULL) : test;
}

static snug_node *parse_filters_and_tests(snug_parser *parser, snug_node *node)
{
    while (node) {
        if (snug_parser_is_operator(parser, "|"))
            node = snug_parser_next(parser) ? snug_parser_filters(parser, node) : NULL;
        else if (snug_parser_is_name(parser, "is"))
            node = parse_test(parser, node);
        else if (snug_parser_is_operator(parser, "("))
            node = parse_call(parser, node);
        else
            break;
    }
    return node;
}

static snug_node *parse_signed(snug_parser *parser)
{
    const snug_node_kind kind = snug_parser_is_operator(parser, "-") ? SNUG_NODE_NEGATE : SNUG_NODE_PLUS;
    snug_node *operand;

    if (!snug_parser_enter(parser) || !snug_parser_next(parser))
        return NULL;
    operand = parse_unary(parser, false);
    snug_parser_leave(parser);
    return operand ? node_of(parser, kind, operand, NULL) : NULL;
}

static snug_node *parse_unary(snug_parser *parser, bool has_filters)
{
    snug_node *node;

    if (snug_parser_is_operator(parser, "-") || snug_parser_is_operator(parser, "+"))
        node = parse_signed(parser);
    else
        node = parse_primary(parser);
    node = parse_postfix(parser, node);
    return has_filters ? parse_filters_and_tests(parser, node) : node;
}

/* The binary operators; a higher level binds tighter. All group from the left, `**` too. */
static const struct binary {
    const char *text;
    snug_operator operation;
    unsigned level;
} binaries[] = {
    { "+", SNUG_OPERATOR_ADD, 0 },       { "-", SNUG_OPERATOR_SUBTRACT, 0 },
    { "~", SNUG_OPERATOR_JOIN, 1 },      { "*", SNUG_OPERATOR_MULTIPLY, 2 },
    { "/", SNUG_OPERATOR_DIVIDE, 2 },    { "//", SNUG_OPERATOR_DIVIDE_FLOOR, 2 },
    { "%", SNUG_OPERATOR_REMAINDER, 2 }, { "**", SNUG_OPERATOR_POWER, 3 },
};

static const struct binary *binary_at(const snug_parser *parser)
{
    for (size_t i = 0; i < SNUG_COUNT(binaries); i++)
        if (snug_parser_is_operator(parser, binaries[i].text))
            return &binaries[i];
    return NULL;
}

/* Operands joined by operators of at least `level`. */
static snug_node *parse_binary(snug_parser *parser, unsigned level)
{
    snug_node *left = parse_unary(parser, true);

    while (left) {
        const struct binary *binary = binary_at(parser);
        snug_node *right;

        if (!binary || binary->level < level)
            break;
        if (!snug_parser_next(parser))
            return NULL;
        right = parse_binary(parser, binary->level + 1);
        left = right ? node_of(parser, SNUG_NODE_BINARY, left, right) : NULL;
        if (left)
            left->operation = (unsigned char)binary->operation;
    }
    return left;
}

/* The comparison that begins at the current token, stepped over; NONE when there is none. */
static bool take_comparison(snug_parser *parser, snug_operator *operation)
{
    static const struct {
        const char *text;
        snug_operator operation;
    } comparisons[] = {
        { "==", SNUG_OPERATOR_EQUAL },  { "!=", SNUG_OPERATOR_NOT_EQUAL },
        { "<", SNUG_OPERATOR_LESS },    { "<=", SNUG_OPERATOR_LESS_EQUAL },
        { ">", SNUG_OPERATOR_GREATER }, { ">=", SNUG_OPERATOR_GREATER_EQUAL },
    };

    *operation = SNUG_OPERATOR_NONE;
    for (size_t i = 0; i < SNUG_COUNT(comparisons); i++)
        if (snug_parser_is_operator(parser, comparisons[i].text))
            *operation = comparisons[i].operation;
    if (snug_parser_is_name(parser, "in"))
        *operation = SNUG_OPERATOR_IN;
    if (snug_parser_is_name(parser, "not")) {
        snug_lexer ahead = parser->lexer;
        snug_token following;

        if (!snug_lexer_next(&ahead, &following))
            return false;
        if (following.kind != SNUG_TOKEN_NAME || !snug_str_is(following.text, "in"))
            return true;
        *operation = SNUG_OPERATOR_NOT_IN;
        if (!snug_parser_next(parser))
            return false;
    }
    return *operation == SNUG_OPERATOR_NONE || snug_parser_next(parser);
}

static snug_node *parse_comparison(snug_parser *parser)
{
    snug_node *left = parse_binary(parser, 0);
    snug_node *comparison = NULL;
    snug_node **tail = NULL;

    while (left) {
        snug_operator operation;
        snug_node *operand;

        if (!take_comparison(parser, &operation))
            return NULL;
        if (operation == SNUG_OPERATOR_NONE)
            break;
        if (!comparison) {
            comparison = node_of(parser, SNUG_NODE_COMPARE, left, NULL);
            if (!comparison)
                return NULL;
            tail = &comparison->items;
        }
        operand = parse_binary(parser, 0);
        *tail = operand ? node_of(parser, SNUG_NODE_COMPARAND, operand, NULL) : NULL;
        if (!*tail)
            return NULL;
        (*tail)->operation = (unsigned char)operation;
        tail = &(*tail)->next;
    }
    if (!comparison)
        return left;
    return snug_parser_measure(parser, comparison) ? comparison : NULL;
}

static snug_node *parse_not(snug_parser *parser)
{
    snug_node *operand;

    if (!snug_parser_is_name(parser, "not"))
        return parse_comparison(parser);
    if (!snug_parser_enter(parser) || !snug_parser_next(parser))
        return NULL;
    operand = parse_not(parser);
    snug_parser_leave(parser);
    return operand ? node_of(parser, SNUG_NODE_NOT, operand, NULL) : NULL;
}

static snug_node *parse_and(snug_parser *parser)
{
    snug_node *left = parse_not(parser);

    while (left && snug_parser_is_name(parser, "and")) {
        snug_node *right = snug_parser_next(parser) ? parse_not(parser) : NULL;

        left = right ? node_of(parser, SNUG_NODE_AND, left, right) : NULL;
    }
    return left;
}

static snug_node *parse_or(snug_parser *parser)
{
    snug_node *left = parse_and(parser);

    while (left && snug_parser_is_name(parser, "or")) {
        snug_node *right = snug_parser_next(parser) ? parse_and(parser) : NULL;

        left = right ? node_of(parser, SNUG_NODE_OR, left, right) : NULL;
    }
    return left;
}

snug_node *snug_parser_expression(snug_parser *parser, bool has_conditional)
{
    snug_node *node;

    if (!snug_parser_enter(parser))
        return NULL;
    node = parse_or(parser);
    while (node && has_conditional && snug_parser_is_name(parser, "if")) {
        snug_node *test = snug_parser_next(parser) ? parse_or(parser) : NULL;
        snug_node *otherwise = NULL;

        if (test && snug_parser_is_name(parser, "else")) {
            otherwise = snug_parser_next(parser) ? snug_parser_expression(parser, true) : NULL;
            if (!otherwise)
                test = NULL;
        }
        node = test ? node_of(parser, SNUG_NODE_CONDITIONAL, node, otherwise) : NULL;
        if (node) {
            node->test = test;
            node = snug_parser_measure(parser, node) ? node : NULL;
        }
    }
    snug_parser_leave(parser);
    return node;
}

/* Whether nothing more of a tuple can follow: "1," is a tuple of one. */
static bool is_tuple_end(const snug_parser *parser)
{
    return parser->token.kind == SNUG_TOKEN_PRINT_END || parser->token.kind == SNUG_TOKEN_BLOCK_END ||
           snug_parser_is_operator(parser, ")") || snug_parser_is_operator(parser, "]") ||
           snug_parser_is_name(parser, "recursive");
}

snug_node *snug_parser_tuple(snug_parser *parser, bool has_conditional)
{
    snug_node *first = snug_parser_expression(parser, has_conditional);
    snug_node *tuple;
    snug_node **tail;

    if (!first || !snug_parser_is_operator(parser, ","))
        return first;
    tuple = snug_parser_node(parser, SNUG_NODE_TUPLE);
    if (!tuple)
        return NULL;
    tuple->items = first;
    tail = &first->next;
    while (snug_parser_is_operator(parser, ",")) {
        if (!snug_parser_next(parser))
            return NULL;
        if (is_tuple_end(parser))
            break;
        *tail = snug_parser_expression(parser, has_conditional);
        if (!*tail)
            return NULL;
        tail = &(*tail)->next;
    }
    return snug_parser_measure(parser, tuple) ? tuple : NULL;
}

/* A target's name, with its attribute where that is allowed. */
static snug_node *parse_one_target(snug_parser *parser, bool has_attribute)
{
    snug_node *name = snug_parser_node(parser, SNUG_NODE_NAME);

    if (snug_parser_is_operator(parser, "(")) { /* for (a, b) in ... */
        snug_node *inner;

        if (!snug_parser_enter(parser) || !snug_parser_next(parser))
            return NULL;
        inner = snug_parser_target(parser, has_attribute);
        snug_parser_leave(parser);
        return inner && snug_parser_expect_operator(parser, ")") ? inner : NULL;
    }
    if (!name || !snug_parser_expect_name(parser, &name->name))
        return NULL;
    if (!has_attribute || !snug_parser_is_operator(parser, "."))
        return name;
    return parse_attribute(parser, name);
}

snug_node *snug_parser_target(snug_parser *parser, bool has_attribute)
{
    snug_node *first = parse_one_target(parser, has_attribute);
    snug_node *tuple;
    snug_node **tail;

    if (!first || !snug_parser_is_operator(parser, ","))
        return first;
    tuple = snug_parser_node(parser, SNUG_NODE_TUPLE);
    if (!tuple)
        return NULL;
    tuple->items = first;
    tail = &first->next;
    while (snug_parser_is_operator(parser, ",")) {
        if (!snug_parser_next(parser))
            return NULL;
        if (snug_parser_is_name(parser, "in") || snug_parser_is_operator(parser, "=") || is_tuple_end(parser))
            break;
        *tail = parse_one_target(parser, has_attribute);
        if (!*tail)
            return NULL;
        tail = &(*tail)->next;
    }
    return snug_parser_measure(parser, tuple) ? tuple : NULL;
}
