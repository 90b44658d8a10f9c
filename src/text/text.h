/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.h - what the library itself asks of text/: a tokenizer from an open checkpoint, and what it will need.
 */
#ifndef SNUG_SRC_TEXT_TEXT_H
#define SNUG_SRC_TEXT_TEXT_H

#include <snug/text.h>

#include "format/checkpoint.h"

/*
 * Bytes the ledger will be charged for the tokenizer of this checkpoint, exactly: one pass over its file
 * (tokenizer.json, a GGUF file's vocabulary or tokenizer.model), no memory. `*transient_out` is the most that
 * creating it needs on top of that for a moment.
 */
SNUG_MUST_CHECK snug_status snug_text_estimate(uint64_t *bytes_out, uint64_t *transient_out,
                                               const snug_checkpoint *checkpoint, snug_error *error);

/*
 * The same of a tokenizer whose files are not at hand: so many tokens, bytes of their texts, and merges.
 * Above what one of a published model needs by less than 0.3 MB.
 */
uint64_t snug_text_estimate_counts(uint32_t pieces, uint64_t piece_bytes, uint32_t merges);

/* Tables are copied: the checkpoint may be closed afterwards. `memory` must outlive the text. */
SNUG_MUST_CHECK snug_status snug_text_create(snug_text **text_out, snug_memory *memory,
                                             const snug_checkpoint *checkpoint, snug_error *error);

#endif /* SNUG_SRC_TEXT_TEXT_H */
