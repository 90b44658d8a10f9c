/* SPDX-License-Identifier: Apache-2.0 */
/*
 * phi3.c - Phi-3 and Phi-3.5 mini (model_type "phi3"): Llama's decoder with queries, keys and values in one
 * matrix and gate and up in another, a window over the last tokens, and "longrope": two sets of rotary
 * frequencies, one for sequences up to the length of the first training and one for longer ones.
 */
#include "model/blocks/blocks.h"
#include "model/families/families.h"

#include "base/status.h"

#define DEFAULT_ROPE_THETA 10000.0

static const snug_prenorm_names names = {
    SNUG_LLAMA_MODEL_NAMES,
    .mlp_norm = "post_attention_layernorm.weight",
    .attention = { SNUG_LLAMA_ATTENTION_NAMES, .fused = "self_attn.qkv_proj.weight" },
    .mlp = { SNUG_LLAMA_MLP_NAMES, .fused = "mlp.gate_up_proj.weight" },
};

static const snug_prenorm_options options = {
    .names = &names,
    .rope = { SNUG_ROPE_KEYS(DEFAULT_ROPE_THETA) },
};

static snug_status read_shape(snug_model *model, snug_error *error)
{
    SNUG_TRY(snug_checkpoint_u32_or(&model->shape.window_tokens, model->checkpoint, "sliding_window", 1,
                                    SNUG_CONTEXT_MAX, error));
    return snug_prenorm_read_shape(model, error);
}

const snug_family snug_family_phi3 = {
    .model_type = "phi3",
    .prenorm = &options,
    .read_shape = read_shape,
    .bind = snug_prenorm_bind,
    SNUG_PRENORM_FAMILY,
};
