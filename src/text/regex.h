/* SPDX-License-Identifier: Apache-2.0 */
/*
 * regex.h - the patterns of tokenizer.json, run by PCRE2 with Oniguruma's meaning.
 *
 * tokenizer.json patterns are written for Oniguruma's Ruby syntax. Where PCRE2 means something else by the
 * same text the pattern is rewritten (\s is exactly Unicode White_Space, ^ and $ are at lines) or refused by
 * name (nested classes, &&). All memory of PCRE2 comes from the ledger; its machine code, which it maps
 * itself, is charged beside it. A search that backtracks too much is an error, never a hang.
 *
 * Threads: a regex is read-only after init; a matcher belongs to one call.
 */
#ifndef SNUG_SRC_TEXT_REGEX_H
#define SNUG_SRC_TEXT_REGEX_H

#include "base/str.h"
#include "memory/memory.h"

/* Longest pattern accepted; real ones stay below 400. Bounds what compiling can take. */
#define SNUG_REGEX_PATTERN_BYTES_MAX 4096u

typedef struct snug_regex {
    void *code;             /* pcre2_code; NULL when there is none */
    uint64_t machine_bytes; /* charged for its machine code; 0 when it is interpreted */
} snug_regex;

/* Errors: CORRUPT (not a pattern, and where), UNSUPPORTED (a construct by name), OVER_LIMIT. */
SNUG_MUST_CHECK snug_status snug_regex_init(snug_regex *regex, snug_memory *memory, snug_str pattern,
                                            snug_error *error);
void snug_regex_deinit(snug_regex *regex, snug_memory *memory);

/* What searching needs beside the pattern; one for all patterns of a call. */
typedef struct snug_matcher {
    void *general;
    void *context;
    void *data;
} snug_matcher;

SNUG_MUST_CHECK snug_status snug_matcher_init(snug_matcher *matcher, snug_memory *memory, snug_error *error);
void snug_matcher_deinit(snug_matcher *matcher); /* an all-zero matcher is allowed */

/*
 * The leftmost match in `subject` (valid UTF-8) from byte `from` on; false when there is none or it failed.
 * Errors: CORRUPT (too much backtracking), OVER_LIMIT.
 */
SNUG_MUST_CHECK snug_status snug_regex_search(bool *found_out, size_t *start_out, size_t *end_out,
                                              const snug_regex *regex, const snug_matcher *matcher,
                                              snug_str subject, size_t from, snug_error *error);

#endif /* SNUG_SRC_TEXT_REGEX_H */
