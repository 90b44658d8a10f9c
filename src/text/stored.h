/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stored.h - a tokenizer that is no tokenizer.json: the vocabulary in a GGUF file, or SentencePiece's
 * tokenizer.model. Both are read where they lie; defaults are filled in, so that the two look alike.
 *
 * Such files name their rules, or have a few flags, where tokenizer.json spells the rules out. Therefore they
 * are spelled out here too: snug_stored_describe() writes the tokenizer.json of such a model, without its
 * tables, and the readers of tokenizer.json do the rest. Only the tables (pieces, merges or scores) are taken
 * from the file itself, by vocabulary.c.
 */
#ifndef SNUG_SRC_TEXT_STORED_H
#define SNUG_SRC_TEXT_STORED_H

#include <snug/text.h>

#include "base/json.h"
#include "format/vocabulary.h"
#include "text/buffer.h"

/* What tokenizer.ggml.pre stands for; a row of a table in stored.c. */
typedef struct snug_stored_rules snug_stored_rules;

typedef struct snug_stored_tokenizer {
    const snug_stored_vocabulary *gguf; /* NULL: `model` has the pieces */
    snug_str model;                     /* tokenizer.model, checked */
    uint32_t token_count;
    bool is_by_scores; /* SentencePiece: the best score merges first; else byte-level, by merges */
    const snug_stored_rules *rules; /* of byte-level ones */
    snug_stored_strings merges;     /* of byte-level ones: "a b" */
    uint32_t bos_id;                /* SNUG_STORED_ID_NONE: there is none */
    uint32_t eos_id;
    uint32_t unknown_id;
    bool is_adding_bos;
    bool is_adding_eos;
    bool is_prefixing;     /* a space in front of each piece of text */
    bool is_squeezing;     /* runs of spaces become one, and none stay at the ends */
    bool is_byte_fallback; /* <0xE2> stands for a byte of a character without a piece */
    bool is_swallowing;    /* Phi-3: added tokens take the white space behind them */
} snug_stored_tokenizer;

/* One token. The text is valid UTF-8 once snug_stored_describe() has succeeded. */
typedef struct snug_stored_token {
    uint32_t id;
    snug_stored_token_type type;
    float score;
    snug_str text; /* as the file writes it */
} snug_stored_token;

/* All tokens in the order of their ids. */
typedef struct snug_stored_cursor {
    const snug_stored_tokenizer *tokenizer;
    uint32_t id;                /* of the next token */
    snug_stored_strings tokens; /* GGUF */
    snug_str rest;              /* tokenizer.model: fields not yet read */
} snug_stored_cursor;

/* Of what a GGUF file holds. Errors: UNSUPPORTED (a kind or a rule that is not known, by name), CORRUPT. */
SNUG_MUST_CHECK snug_status snug_stored_from_gguf(snug_stored_tokenizer *tokenizer_out,
                                                  const snug_stored_vocabulary *vocabulary,
                                                  snug_error *error);
/* Of the bytes of a tokenizer.model, which must outlive it: checks all of them. The same errors. */
SNUG_MUST_CHECK snug_status snug_stored_from_sentencepiece(snug_stored_tokenizer *tokenizer_out,
                                                           snug_str model, snug_error *error);

snug_stored_cursor snug_stored_iterate(const snug_stored_tokenizer *tokenizer);
bool snug_stored_next(snug_stored_cursor *cursor, snug_stored_token *token_out);
/* The next piece of a checked tokenizer.model: sentencepiece.c's part of it. */
bool snug_sentencepiece_next(snug_str *rest, snug_stored_token *token_out);

/*
 * Append the tokenizer.json that this tokenizer amounts to, without vocabulary and merges. `config` is
 * tokenizer_config.json, or absent: added tokens and flags in it overrule the file's.
 * Errors: CORRUPT (a token that is not UTF-8, a score that is no number), OVER_LIMIT.
 */
SNUG_MUST_CHECK snug_status snug_stored_describe(snug_buffer *json, const snug_stored_tokenizer *tokenizer,
                                                 snug_json config, snug_error *error);

#endif /* SNUG_SRC_TEXT_STORED_H */
