/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gguf_names.h - names of tensors in GGUF files, as Hugging Face has them. Internal to format/.
 *
 * A tensor that stacks several matrices becomes one tensor for each. Names that no table knows stay as they
 * are: nobody will ask for them.
 */
#ifndef SNUG_SRC_FORMAT_GGUF_NAMES_H
#define SNUG_SRC_FORMAT_GGUF_NAMES_H

#include "base/str.h"
#include "format/checkpoint.h"

/* What the translated table needs; the counts are added to. Errors: CORRUPT. */
SNUG_MUST_CHECK snug_status snug_gguf_count_names(size_t *tensor_count_inout, size_t *name_bytes_inout,
                                                  const snug_tensor *tensors, size_t count,
                                                  snug_str architecture, snug_error *error);
void snug_gguf_translate_names(snug_tensor *tensors_out, char *names_out, const snug_tensor *tensors,
                               size_t count, snug_str architecture);

#endif /* SNUG_SRC_FORMAT_GGUF_NAMES_H */
