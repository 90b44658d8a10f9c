/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stored_support.h - what the tests of stored tokenizers share: GGUF vocabularies and tokenizer.model files
 * made on the spot, and the comparison with the cases of a fixture's tokenizer.expected.json.
 */
#ifndef SNUG_TESTS_TEXT_STORED_SUPPORT_H
#define SNUG_TESTS_TEXT_STORED_SUPPORT_H

#include "tests/text/text_support.h"

#include "text/tables.h"

/* One token of a vocabulary made on the spot. */
typedef struct made_token {
    const char *text;
    float score;
    int32_t type;
} made_token;

/* A GGUF vocabulary in memory of its own; the rest of `vocabulary` is for the test to fill. */
typedef struct made_vocabulary {
    snug_stored_vocabulary vocabulary;
    growing_text tokens;
    growing_text scores;
    growing_text types;
    growing_text merges;
} made_vocabulary;

/* `merges` ends with NULL, or is NULL. Ids are all absent. */
void made_vocabulary_create(made_vocabulary *made, const char *model, const made_token *tokens, size_t count,
                            const char *const *merges);
void made_vocabulary_destroy(made_vocabulary *made);

/* The fields of a protocol buffer. */
void add_varint(growing_text *out, uint64_t value);
void add_number_field(growing_text *out, unsigned number, uint64_t value);
void add_bytes_field(growing_text *out, unsigned number, const char *data, size_t bytes);
/* The pieces of a tokenizer.model. */
void add_pieces(growing_text *out, const made_token *tokens, size_t count);
/* A BPE trainer's settings with byte fallback and the usual ids, and an identity normalizer without
 * prefix. */
void add_settings(growing_text *out);

/* Creates the tokenizer without a checkpoint; what is refused fails the test. */
void opened_text_create(opened_text *opened, const snug_text_files *files);
/* Must be refused with a sentence that holds `part`; nothing may be left in the ledger. */
void check_refusal(const snug_text_files *files, snug_status expected, const char *part);

/* What of a case is compared. */
enum {
    COMPARE_IDS = 1u << 0,
    COMPARE_IDS_WITH_SPECIAL = 1u << 1,
    COMPARE_IDS_NO_PARSE = 1u << 2,
    COMPARE_DECODED = 1u << 3,
    COMPARE_DECODED_SKIP = 1u << 4,
};

/* A text of a fixture whose golden another source of the tokenizer does not meet, by nature. */
typedef struct known_difference {
    const char *fixture;
    const char *text;
    unsigned what;
} known_difference;

/*
 * All cases of shared/fixtures/FIXTURE/tokenizer.expected.json. Those in `known` (a list that ends with a
 * NULL fixture) must differ, and all others be equal.
 */
void check_fixture(const opened_text *opened, const char *fixture, const known_difference *known);

#endif /* SNUG_TESTS_TEXT_STORED_SUPPORT_H */
