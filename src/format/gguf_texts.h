/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gguf_texts.h - the parts of gguf_config.h that tell about the tokenizer. Internal to format/.
 */
#ifndef SNUG_SRC_FORMAT_GGUF_TEXTS_H
#define SNUG_SRC_FORMAT_GGUF_TEXTS_H

#include "format/gguf_config.h"
#include "format/json_writer.h"

/* The tokenizer.* keys. Errors: CORRUPT (no tokens, lists of different lengths). */
SNUG_MUST_CHECK snug_status snug_gguf_read_vocabulary(snug_stored_vocabulary *vocabulary_out,
                                                      const snug_gguf *view, snug_error *error);
/* generation_config.json: ids that end an answer, and how the publisher samples. */
void snug_gguf_put_generation_config(json_writer *json, const snug_gguf *view,
                                     const snug_stored_vocabulary *vocabulary);
/* tokenizer_config.json: the special tokens that chat templates name. */
void snug_gguf_put_tokenizer_config(json_writer *json, const snug_stored_vocabulary *vocabulary);

#endif /* SNUG_SRC_FORMAT_GGUF_TEXTS_H */
