/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qwen3.c - Qwen3, dense (model_type "qwen3"): Llama's decoder, with an RMS norm over each head of queries
 * and keys before they are rotated, and a head size of its own (head_dim is not hidden / heads).
 */
#include "model/blocks/blocks.h"
#include "model/families/families.h"

#define DEFAULT_ROPE_THETA 1000000.0

static const snug_prenorm_names names = {
    SNUG_LLAMA_MODEL_NAMES,
    .mlp_norm = "post_attention_layernorm.weight",
    .attention = { SNUG_LLAMA_ATTENTION_NAMES, .query_norm = "self_attn.q_norm.weight",
                   .key_norm = "self_attn.k_norm.weight" },
    .mlp = { SNUG_LLAMA_MLP_NAMES },
};

static const snug_prenorm_options options = {
    .names = &names,
    .rope = { SNUG_ROPE_KEYS(DEFAULT_ROPE_THETA) },
};

const snug_family snug_family_qwen3 = {
    .model_type = "qwen3",
    .prenorm = &options,
    .read_shape = snug_prenorm_read_shape,
    .bind = snug_prenorm_bind,
    SNUG_PRENORM_FAMILY,
};
