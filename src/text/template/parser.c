/* SPDX-License-Identifier: Apache-2.0 */
/* parser.c - statements, and what both halves of the parser share. */
#include "text/template/parser.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"

/* Levels of the tree: the parser's nesting and chains such as a + b + c, which nest without it. */
#define TREE_DEPTH_MAX 256

static snug_node *parse_body(snug_parser *parser, const char *const *ends);

bool snug_parser_next(snug_parser *parser)
{
    return snug_lexer_next(&parser->lexer, &parser->token);
}

bool snug_parser_enter(snug_parser *parser)
{
    if (++parser->nesting > SNUG_TEMPLATE_NESTING_MAX)
        return snug_region_fail(parser->region, SNUG_ERR_UNSUPPORTED,
                                "line %u: the template nests deeper than %u levels", parser->token.line,
                                SNUG_TEMPLATE_NESTING_MAX);
    return true;
}

void snug_parser_leave(snug_parser *parser)
{
    parser->nesting--;
}

snug_node *snug_parser_node(snug_parser *parser, snug_node_kind kind)
{
    snug_node *node = snug_region_alloc(parser->region, sizeof *node);

    if (!node)
        return NULL;
    node->kind = (unsigned char)kind;
    node->depth = 1;
    node->line = parser->token.line;
    return node;
}

bool snug_parser_measure(snug_parser *parser, snug_node *node)
{
    const snug_node *const parts[] = { node->left, node->right, node->test, node->body, node->otherwise };
    unsigned depth = 0;

    for (size_t i = 0; i < SNUG_COUNT(parts); i++)
        if (parts[i] && parts[i]->depth > depth)
            depth = parts[i]->depth;
    for (const snug_node *item = node->items; item; item = item->next)
        if (item->depth > depth)
            depth = item->depth;
    if (depth + 1 > TREE_DEPTH_MAX)
        return snug_region_fail(parser->region, SNUG_ERR_UNSUPPORTED,
                                "line %u: an expression or block of the template has more than %u levels",
                                node->line, TREE_DEPTH_MAX);
    node->depth = (unsigned short)(depth + 1);
    return true;
}

bool snug_parser_expected(snug_parser *parser, const char *what)
{
    const snug_str text = parser->token.text;
    const char *came = NULL;

    switch (parser->token.kind) {
    case SNUG_TOKEN_END:
        came = "the end of the template";
        break;
    case SNUG_TOKEN_TEXT:
        came = "text";
        break;
    case SNUG_TOKEN_PRINT_BEGIN:
        came = "{{";
        break;
    case SNUG_TOKEN_PRINT_END:
        came = "}}";
        break;
    case SNUG_TOKEN_BLOCK_BEGIN:
        came = "{%";
        break;
    case SNUG_TOKEN_BLOCK_END:
        came = "%}";
        break;
    case SNUG_TOKEN_STRING:
        came = "a string";
        break;
    default:
        break;
    }
    if (came)
        return snug_region_fail(parser->region, SNUG_ERR_CORRUPT, "line %u: expected %s, not %s",
                                parser->token.line, what, came);
    return snug_region_fail(parser->region, SNUG_ERR_CORRUPT, "line %u: expected %s, not '%.*s'",
                            parser->token.line, what, (int)(text.bytes < 40 ? text.bytes : 40), text.data);
}

bool snug_parser_is_name(const snug_parser *parser, const char *name)
{
    return parser->token.kind == SNUG_TOKEN_NAME && snug_str_is(parser->token.text, name);
}

bool snug_parser_is_operator(const snug_parser *parser, const char *text)
{
    return parser->token.kind == SNUG_TOKEN_OPERATOR && snug_str_is(parser->token.text, text);
}

bool snug_parser_expect_operator(snug_parser *parser, const char *text)
{
    char quoted[16];

    if (snug_parser_is_operator(parser, text))
        return snug_parser_next(parser);
    snprintf(quoted, sizeof quoted, "'%s'", text);
    return snug_parser_expected(parser, quoted);
}

bool snug_parser_expect_name(snug_parser *parser, snug_str *name_out)
{
    if (parser->token.kind != SNUG_TOKEN_NAME)
        return snug_parser_expected(parser, "a name");
    *name_out = parser->token.text;
    return snug_parser_next(parser);
}

static bool expect_block_end(snug_parser *parser)
{
    if (parser->token.kind != SNUG_TOKEN_BLOCK_END)
        return snug_parser_expected(parser, "%}");
    parser->tag_line = parser->token.line;
    return snug_parser_next(parser);
}

/* The body of a block up to {% end %}, the end included. */
static snug_node *parse_body_to(snug_parser *parser, const char *end)
{
    const char *const ends[] = { end, NULL };
    snug_node *body;

    if (!expect_block_end(parser))
        return NULL;
    body = parse_body(parser, ends);
    return body && snug_parser_next(parser) && expect_block_end(parser) ? body : NULL;
}

static bool parse_set(snug_parser *parser, snug_node *node)
{
    node->left = snug_parser_target(parser, true);
    if (!node->left)
        return false;
    if (snug_parser_is_operator(parser, "=")) {
        node->right = snug_parser_next(parser) ? snug_parser_tuple(parser, true) : NULL;
        return node->right && expect_block_end(parser);
    }
    node->kind = SNUG_NODE_SET_BLOCK;
    if (snug_parser_is_operator(parser, "|")) {
        snug_node *captured = snug_parser_node(parser, SNUG_NODE_CAPTURED);

        node->right = captured && snug_parser_next(parser) ? snug_parser_filters(parser, captured) : NULL;
        if (!node->right)
            return false;
    }
    node->body = parse_body_to(parser, "endset");
    return node->body != NULL;
}

static bool parse_if(snug_parser *parser, snug_node *node)
{
    static const char *const ends[] = { "elif", "else", "endif", NULL };
    snug_node **tail = &node->items;
    bool has_test = true;

    while (!snug_parser_is_name(parser, "endif")) {
        snug_node *branch = snug_parser_node(parser, SNUG_NODE_BRANCH);

        if (!branch)
            return false;
        if (has_test) {
            branch->test = snug_parser_tuple(parser, false);
            if (!branch->test)
                return false;
        }
        if (!expect_block_end(parser))
            return false;
        branch->body = parse_body(parser, has_test ? ends : ends + 2);
        if (!branch->body || !snug_parser_measure(parser, branch))
            return false;
        *tail = branch;
        tail = &branch->next;
        if (snug_parser_is_name(parser, "endif"))
            break;
        has_test = snug_parser_is_name(parser, "elif");
        if (!snug_parser_next(parser))
            return false;
    }
    return snug_parser_next(parser) && expect_block_end(parser);
}

static bool parse_for(snug_parser *parser, snug_node *node)
{
    static const char *const ends[] = { "else", "endfor", NULL };

    node->left = snug_parser_target(parser, false);
    if (!node->left)
        return false;
    if (!snug_parser_is_name(parser, "in"))
        return snug_parser_expected(parser, "'in'");
    node->right = snug_parser_next(parser) ? snug_parser_tuple(parser, false) : NULL;
    if (!node->right)
        return false;
    if (snug_parser_is_name(parser, "if")) {
        node->test = snug_parser_next(parser) ? snug_parser_expression(parser, true) : NULL;
        if (!node->test)
            return false;
    }
    if (snug_parser_is_name(parser, "recursive")) {
        node->flags |= SNUG_NODE_IS_RECURSIVE;
        if (!snug_parser_next(parser))
            return false;
    }
    if (!expect_block_end(parser))
        return false;
    parser->loops++;
    node->body = parse_body(parser, ends);
    parser->loops--;
    if (!node->body)
        return false;
    if (snug_parser_is_name(parser, "else")) {
        node->otherwise = snug_parser_next(parser) ? parse_body_to(parser, "endfor") : NULL;
        return node->otherwise != NULL;
    }
    return snug_parser_next(parser) && expect_block_end(parser);
}

/* (a, b=1): the current token is the parenthesis. */
static bool parse_parameters(snug_parser *parser, snug_node *node)
{
    snug_node **tail = &node->items;
    bool has_default = false;

    if (!snug_parser_expect_operator(parser, "("))
        return false;
    while (!snug_parser_is_operator(parser, ")")) {
        snug_node *parameter;

        if (node->items && !snug_parser_expect_operator(parser, ","))
            return false;
        if (snug_parser_is_operator(parser, ")"))
            break;
        parameter = snug_parser_node(parser, SNUG_NODE_PARAMETER);
        if (!parameter || !snug_parser_expect_name(parser, &parameter->name))
            return false;
        if (snug_parser_is_operator(parser, "=")) {
            parameter->left = snug_parser_next(parser) ? snug_parser_expression(parser, true) : NULL;
            if (!parameter->left || !snug_parser_measure(parser, parameter))
                return false;
            has_default = true;
        } else if (has_default)
            return snug_region_fail(parser->region, SNUG_ERR_CORRUPT,
                                    "line %u: a parameter without default follows one with a default",
                                    parameter->line);
        *tail = parameter;
        tail = &parameter->next;
    }
    return snug_parser_next(parser);
}

/* The body of a macro or of a caller: loops around it do not reach into it. */
static bool parse_macro_body(snug_parser *parser, snug_node *macro, const char *end)
{
    const unsigned outer_flags = parser->macro_flags;
    const unsigned outer_loops = parser->loops;

    parser->macro_flags = 0;
    parser->loops = 0;
    macro->body = parse_body_to(parser, end);
    macro->flags = (unsigned short)parser->macro_flags;
    parser->macro_flags = outer_flags;
    parser->loops = outer_loops;
    return macro->body && snug_parser_measure(parser, macro);
}

static bool parse_macro(snug_parser *parser, snug_node *node)
{
    snug_str name;

    if (!snug_parser_expect_name(parser, &name) || !parse_parameters(parser, node) ||
        !parse_macro_body(parser, node, "endmacro"))
        return false;
    node->name = name;
    return true;
}

static bool parse_call_block(snug_parser *parser, snug_node *node)
{
    snug_node *caller = snug_parser_node(parser, SNUG_NODE_MACRO);

    if (!caller)
        return false;
    caller->name = (snug_str){ "caller", strlen("caller") };
    if (snug_parser_is_operator(parser, "(") && !parse_parameters(parser, caller))
        return false;
    node->left = snug_parser_expression(parser, true);
    if (!node->left)
        return false;
    if (node->left->kind != SNUG_NODE_CALL)
        return snug_region_fail(parser->region, SNUG_ERR_CORRUPT, "line %u: expected a call after 'call'",
                                node->line);
    node->right = caller;
    return parse_macro_body(parser, caller, "endcall");
}

static bool parse_with(snug_parser *parser, snug_node *node)
{
    snug_node **tail = &node->items;

    while (parser->token.kind != SNUG_TOKEN_BLOCK_END) {
        snug_node *set;

        if (node->items && !snug_parser_expect_operator(parser, ","))
            return false;
        set = snug_parser_node(parser, SNUG_NODE_SET);
        if (!set)
            return false;
        set->left = snug_parser_target(parser, false);
        if (!set->left || !snug_parser_expect_operator(parser, "="))
            return false;
        set->right = snug_parser_expression(parser, true);
        if (!set->right || !snug_parser_measure(parser, set))
            return false;
        *tail = set;
        tail = &set->next;
    }
    node->body = parse_body_to(parser, "endwith");
    return node->body != NULL;
}

static bool parse_filter_block(snug_parser *parser, snug_node *node)
{
    snug_node *captured = snug_parser_node(parser, SNUG_NODE_CAPTURED);

    node->right = captured ? snug_parser_filters(parser, captured) : NULL;
    if (!node->right)
        return false;
    node->body = parse_body_to(parser, "endfilter");
    return node->body != NULL;
}

/* {% generation %} marks for training what the assistant said; for rendering it is only a scope. */
static bool parse_generation(snug_parser *parser, snug_node *node)
{
    node->body = parse_body_to(parser, "endgeneration");
    return node->body != NULL;
}

static bool parse_loop_control(snug_parser *parser, snug_node *node)
{
    if (parser->loops == 0)
        return snug_region_fail(parser->region, SNUG_ERR_CORRUPT, "line %u: break or continue outside a loop",
                                node->line);
    return expect_block_end(parser);
}

static const struct statement {
    const char *name;
    snug_node_kind kind;
    bool (*parse)(snug_parser *parser, snug_node *node);
} statements[] = {
    { "set", SNUG_NODE_SET, parse_set },
    { "if", SNUG_NODE_IF, parse_if },
    { "for", SNUG_NODE_FOR, parse_for },
    { "macro", SNUG_NODE_MACRO, parse_macro },
    { "call", SNUG_NODE_CALL_BLOCK, parse_call_block },
    { "with", SNUG_NODE_WITH, parse_with },
    { "filter", SNUG_NODE_FILTER_BLOCK, parse_filter_block },
    { "generation", SNUG_NODE_SCOPE, parse_generation },
    { "break", SNUG_NODE_BREAK, parse_loop_control },
    { "continue", SNUG_NODE_CONTINUE, parse_loop_control },
};

/* The statement whose keyword is the current token. */
static snug_node *parse_statement(snug_parser *parser)
{
    const snug_str keyword = parser->token.text;

    if (parser->token.kind != SNUG_TOKEN_NAME) {
        snug_parser_expected(parser, "the name of a statement");
        return NULL;
    }
    for (size_t i = 0; i < SNUG_COUNT(statements); i++) {
        snug_node *node;

        if (!snug_str_is(keyword, statements[i].name))
            continue;
        node = snug_parser_node(parser, statements[i].kind);
        if (!node || !snug_parser_next(parser) || !statements[i].parse(parser, node))
            return NULL;
        return snug_parser_measure(parser, node) ? node : NULL;
    }
    if ((keyword.bytes > 3 && memcmp(keyword.data, "end", 3) == 0) || snug_str_is(keyword, "else") ||
        snug_str_is(keyword, "elif"))
        snug_region_fail(parser->region, SNUG_ERR_CORRUPT, "line %u: '%.*s' belongs to no open block",
                         parser->token.line, (int)(keyword.bytes < 40 ? keyword.bytes : 40), keyword.data);
    else
        snug_region_fail(parser->region, SNUG_ERR_UNSUPPORTED, "line %u: there is no statement '%.*s'",
                         parser->token.line, (int)(keyword.bytes < 40 ? keyword.bytes : 40), keyword.data);
    return NULL;
}

static snug_node *parse_print(snug_parser *parser)
{
    snug_node *print = snug_parser_node(parser, SNUG_NODE_PRINT);

    if (!print || !snug_parser_next(parser))
        return NULL;
    print->left = snug_parser_tuple(parser, true);
    if (!print->left)
        return NULL;
    if (parser->token.kind != SNUG_TOKEN_PRINT_END) {
        snug_parser_expected(parser, "}}");
        return NULL;
    }
    return snug_parser_measure(parser, print) && snug_parser_next(parser) ? print : NULL;
}

static snug_node *parse_text(snug_parser *parser)
{
    snug_node *text = snug_parser_node(parser, SNUG_NODE_TEXT);

    if (!text)
        return NULL;
    text->name = parser->token.text;
    return snug_parser_next(parser) ? text : NULL;
}

/* Whether the current token is one of the names in `ends`. */
static bool is_end(const snug_parser *parser, const char *const *ends)
{
    for (; *ends; ends++)
        if (snug_parser_is_name(parser, *ends))
            return true;
    return false;
}

static bool fail_at_end(snug_parser *parser, unsigned line, const char *const *ends)
{
    while (ends[1])
        ends++;
    return snug_region_fail(parser->region, SNUG_ERR_CORRUPT,
                            "line %u: the template ends within the block that begins at line %u, "
                            "expected '%s'",
                            parser->token.line, line, *ends);
}

/*
 * Texts, prints and statements up to a block tag with one of the names in `ends`, which is then the current
 * token; without `ends` up to the end of the template.
 */
static bool parse_items(snug_parser *parser, snug_node *sequence, const char *const *ends)
{
    snug_node **tail = &sequence->items;

    for (;;) {
        if (parser->token.kind == SNUG_TOKEN_END)
            return !*ends || fail_at_end(parser, sequence->line, ends);
        if (parser->token.kind == SNUG_TOKEN_PRINT_BEGIN)
            *tail = parse_print(parser);
        else if (parser->token.kind == SNUG_TOKEN_BLOCK_BEGIN) {
            if (!snug_parser_next(parser))
                return false;
            if (is_end(parser, ends))
                return true;
            *tail = parse_statement(parser);
        } else
            *tail = parse_text(parser);
        if (!*tail)
            return false;
        tail = &(*tail)->next;
    }
}

static snug_node *parse_body(snug_parser *parser, const char *const *ends)
{
    snug_node *sequence = snug_parser_node(parser, SNUG_NODE_SEQUENCE);

    if (sequence)
        sequence->line = parser->tag_line;
    if (!sequence || !snug_parser_enter(parser) || !parse_items(parser, sequence, ends) ||
        !snug_parser_measure(parser, sequence))
        return NULL;
    snug_parser_leave(parser);
    return sequence;
}

snug_node *snug_parser_run(snug_region *region, snug_str source)
{
    static const char *const ends[] = { NULL };
    snug_parser parser = { .region = region };

    snug_lexer_init(&parser.lexer, region, source);
    if (!snug_parser_next(&parser))
        return NULL;
    return parse_body(&parser, ends);
}
