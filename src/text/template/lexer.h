/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lexer.h - template source to tokens, one at a time.
 *
 * The lexer also settles white space: `-` and `+` at the tags, and the rules trim_blocks (one newline after a
 * block tag is dropped) and lstrip_blocks (blanks before a block tag that begins its line are dropped).
 * Comments and raw blocks never reach the parser. Tokens are slices of the source. Copying a lexer gives a
 * look ahead.
 */
#ifndef SNUG_SRC_TEXT_TEMPLATE_LEXER_H
#define SNUG_SRC_TEXT_TEMPLATE_LEXER_H

#include "base/str.h"
#include "text/template/region.h"

typedef enum snug_token_kind {
    SNUG_TOKEN_END = 0, /* of the source */
    SNUG_TOKEN_TEXT,    /* between the tags, to be written as it is */
    SNUG_TOKEN_PRINT_BEGIN,
    SNUG_TOKEN_PRINT_END,
    SNUG_TOKEN_BLOCK_BEGIN,
    SNUG_TOKEN_BLOCK_END,
    SNUG_TOKEN_NAME,
    SNUG_TOKEN_STRING, /* what stands between the quotes, escapes as written */
    SNUG_TOKEN_INTEGER,
    SNUG_TOKEN_FLOAT,
    SNUG_TOKEN_OPERATOR, /* its one or two characters */
} snug_token_kind;

typedef struct snug_token {
    snug_token_kind kind;
    unsigned line; /* from 1 */
    snug_str text;
} snug_token;

typedef struct snug_lexer {
    snug_region *region;
    snug_str source; /* newlines are \n */
    size_t at;
    unsigned line;
    snug_token_kind inside; /* TEXT, PRINT_BEGIN or BLOCK_BEGIN: what we are in */
    unsigned brackets;      /* open ones: inside them }} is no end of the tag */
    bool is_line_start;     /* the last tag ended with a newline, or nothing came yet */
} snug_lexer;

void snug_lexer_init(snug_lexer *lexer, snug_region *region, snug_str source);
bool snug_lexer_next(snug_lexer *lexer, snug_token *token_out);

/* The text that a string token stands for: escapes as in Python, without \N{...}. */
bool snug_lexer_unescape(snug_lexer *lexer, snug_str *out, const snug_token *token);

#endif /* SNUG_SRC_TEXT_TEMPLATE_LEXER_H */
