/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gguf_config.h - what a GGUF file's metadata says, as the JSON files of a Hugging Face checkpoint: families
 * and tokenizers read one language, whatever file a model came in. Internal to format/.
 *
 * What only a GGUF file can say has keys of its own in config.json:
 *   rope_interleaved             rows of queries and keys are stored as rotary pairs side by side
 *   norm_weights_include_one     norms hold 1 + w where the family's files hold w
 *   activation_sparsity_scale    Gemma 3n: standard deviations per layer instead of shares
 *   rope_scaling of type "divisors", with "factors": a divisor for each frequency
 */
#ifndef SNUG_SRC_FORMAT_GGUF_CONFIG_H
#define SNUG_SRC_FORMAT_GGUF_CONFIG_H

#include "format/gguf.h"
#include "format/vocabulary.h"

/* The JSON texts lie in the caller's buffer, the others in the file. */
typedef struct snug_gguf_texts {
    snug_str config;            /* config.json */
    snug_str generation_config; /* generation_config.json */
    snug_str tokenizer_config;  /* tokenizer_config.json */
    snug_str chat_template;     /* empty: none */
    snug_stored_vocabulary vocabulary;
} snug_gguf_texts;

/*
 * Write the texts; with `out` NULL only count: *bytes_out is what the buffer needs, and texts_out is not of
 * use. The view's entries have been read; `tensors` are those of all parts of the file, by GGUF's names.
 * Errors: CORRUPT, UNSUPPORTED.
 */
SNUG_MUST_CHECK snug_status snug_gguf_write_config(snug_gguf_texts *texts_out, char *out, size_t *bytes_out,
                                                   const snug_gguf *view, const snug_tensor *tensors,
                                                   size_t tensor_count, snug_error *error);

/* general.architecture; empty when the file has none. */
snug_str snug_gguf_architecture(const snug_gguf *view);

#endif /* SNUG_SRC_FORMAT_GGUF_CONFIG_H */
