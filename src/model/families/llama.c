/* SPDX-License-Identifier: Apache-2.0 */
/*
 * llama.c - Llama 3, 3.1, 3.2 (model_type "llama"): the plain pre-norm decoder with grouped-query
 * attention, rotary positions over the whole head and, since 3.1, the "llama3" frequency scaling. Nothing
 * is special, so this file is only its name for what the blocks do.
 */
#include "model/blocks/blocks.h"
#include "model/families/families.h"

#define DEFAULT_ROPE_THETA 10000.0 /* what a file that does not say it means */

static const snug_prenorm_options options = {
    .names = &snug_prenorm_llama_names,
    .rope = { SNUG_ROPE_KEYS(DEFAULT_ROPE_THETA) },
};

const snug_family snug_family_llama = {
    .model_type = "llama",
    .prenorm = &options,
    .read_shape = snug_prenorm_read_shape,
    .bind = snug_prenorm_bind,
    SNUG_PRENORM_FAMILY,
};
