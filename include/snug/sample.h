/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snug/sample.h - how the next token is chosen from the logits.
 *
 * In this order: repetition penalty over the most recent tokens, presence and frequency penalties,
 * temperature, top-k, top-p, min-p, then a draw with a seeded generator. The same seed, options and logits
 * give the same tokens.
 */
#ifndef SNUG_SAMPLE_H
#define SNUG_SAMPLE_H

#include <snug/memory.h>

SNUG_BEGIN_DECLS

typedef struct snug_sampler snug_sampler;

typedef struct snug_sample_options {
    size_t struct_size;
    double temperature; /* 0: always the likeliest token (the lowest id of equals). 0 .. 100 */
    uint32_t top_k;     /* keep the k likeliest; 0: all */
    double top_p;       /* keep the fewest whose probabilities reach p; 0 and 1: all. 0 .. 1 */
    double min_p;       /* keep those at least p times as likely as the likeliest; 0: all. 0 .. 1 */
    /* Logits of recent tokens are divided (positive) or multiplied (negative) by it; 0 and 1: off. */
    double repetition_penalty;
    uint32_t repetition_window; /* how many recent tokens count; 0: 64 */
    uint64_t seed;
    /* Taken off the logits of tokens that the answer has already: once, and as often as they occur. OpenAI's
     * definition; the prompt does not count. -2 .. 2, 0: off. */
    double presence_penalty;
    double frequency_penalty;
    uint32_t prompt_tokens; /* before the answer; snug_session_generate() sets it */
} snug_sample_options;

/*
 * `id_count`: ids from there up are never chosen (rows without a token); at most the vocabulary.
 * Errors: ARGUMENT (a value outside its range, by name), OVER_LIMIT. Costs 8 bytes per id.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_sampler_create(snug_sampler **sampler_out, snug_memory *memory,
                                                         uint32_t id_count,
                                                         const snug_sample_options *options,
                                                         snug_error *error);
SNUG_API void snug_sampler_destroy(snug_sampler *sampler);

/* The seed of a sampler that draws what this one would draw next. */
SNUG_API uint64_t snug_sampler_seed(const snug_sampler *sampler);

/* What snug_sampler_create() charges to the ledger. */
SNUG_API uint64_t snug_sampler_estimate_bytes(uint32_t id_count);

/*
 * Choose one id. `logits` has at least id_count values and is left alone; `recent` are the tokens so far, the
 * newest last. Allocates nothing. Errors: CORRUPT when a logit is not a number.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_sampler_pick(uint32_t *id_out, snug_sampler *sampler,
                                                       const float *logits, const uint32_t *recent,
                                                       size_t recent_count, snug_error *error);

SNUG_END_DECLS
#endif /* SNUG_SAMPLE_H */
