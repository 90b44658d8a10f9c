/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vocabulary.h - the tokenizer that a GGUF file carries in its metadata, as a view of the mapped file.
 *
 * The file says less than tokenizer.json: pieces, their scores or merges, and names of rules ("llama-bpe")
 * instead of rules. What the names mean is for text/ to know. Everything here has been checked against the
 * file's size when the checkpoint was opened; numbers are little-endian at any address.
 */
#ifndef SNUG_SRC_FORMAT_VOCABULARY_H
#define SNUG_SRC_FORMAT_VOCABULARY_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"

/* Where a file names no id. */
#define SNUG_STORED_ID_NONE UINT32_MAX

/* `count` strings one after the other, each 8 bytes of length and then its bytes (any bytes). */
typedef struct snug_stored_strings {
    const unsigned char *at;
    uint64_t count;
} snug_stored_strings;

/* The next string; call at most `count` times on a copy. */
static inline snug_str snug_stored_strings_next(snug_stored_strings *strings)
{
    uint64_t bytes;
    snug_str string;

    memcpy(&bytes, strings->at, sizeof bytes);
    string = (snug_str){ (const char *)strings->at + sizeof bytes, (size_t)bytes };
    strings->at += sizeof bytes + bytes;
    strings->count--;
    return string;
}

/* token_types: what a piece is. */
typedef enum snug_stored_token_type {
    SNUG_STORED_TOKEN_NORMAL = 1,
    SNUG_STORED_TOKEN_UNKNOWN = 2,
    SNUG_STORED_TOKEN_CONTROL = 3, /* special: never from a user's text */
    SNUG_STORED_TOKEN_USER_DEFINED = 4,
    SNUG_STORED_TOKEN_UNUSED = 5,
    SNUG_STORED_TOKEN_BYTE = 6,
} snug_stored_token_type;

/* A flag that a file may leave to the reader's default. */
typedef enum snug_stored_flag {
    SNUG_STORED_DEFAULT = 0,
    SNUG_STORED_NO = 1,
    SNUG_STORED_YES = 2,
} snug_stored_flag;

typedef struct snug_stored_vocabulary {
    snug_str architecture;       /* general.architecture: "phi3" */
    snug_str model;              /* tokenizer.ggml.model: "gpt2" (byte-level BPE), "llama" (SentencePiece) */
    snug_str pre;                /* tokenizer.ggml.pre; empty: the file does not say */
    snug_stored_strings tokens;  /* by id */
    const unsigned char *scores; /* [tokens.count] f32, or NULL */
    const unsigned char *types;  /* [tokens.count] i32 of snug_stored_token_type, or NULL: all normal */
    snug_stored_strings merges;  /* "a b"; none: count is 0 */
    uint32_t bos_id;             /* SNUG_STORED_ID_NONE: the file does not say; so for all ids */
    uint32_t eos_id;
    uint32_t unknown_id;
    uint32_t padding_id;
    snug_stored_flag add_bos;
    snug_stored_flag add_eos;
    snug_stored_flag add_space_prefix;
    snug_stored_flag remove_extra_whitespaces;
} snug_stored_vocabulary;

#endif /* SNUG_SRC_FORMAT_VOCABULARY_H */
