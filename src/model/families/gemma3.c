/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gemma3.c - Gemma 3, text (model_type "gemma3_text"): five layers of six see a window of the last tokens and
 * rotate with a base of their own; norms before and after each block multiply by 1 + w; queries and keys are
 * normed; embeddings are scaled; the MLP is gated by the tangent form of gelu.
 */
#include <math.h>

#include "base/status.h"
#include "model/blocks/blocks.h"
#include "model/families/families.h"

/* Kinds of rotary frequencies. */
enum {
    ROPE_GLOBAL,
    ROPE_LOCAL
};

/* What files leave out. */
#define DEFAULT_GLOBAL_THETA 1000000.0
#define DEFAULT_LOCAL_THETA  10000.0
#define DEFAULT_WINDOW       4096u
#define DEFAULT_PATTERN      6u
#define DEFAULT_SCALAR       256.0

static const snug_prenorm_names names = {
    SNUG_LLAMA_MODEL_NAMES,
    .attention_post_norm = "post_attention_layernorm.weight",
    .mlp_norm = "pre_feedforward_layernorm.weight",
    .mlp_post_norm = "post_feedforward_layernorm.weight",
    .attention = { SNUG_LLAMA_ATTENTION_NAMES, .query_norm = "self_attn.q_norm.weight",
                   .key_norm = "self_attn.k_norm.weight" },
    .mlp = { SNUG_LLAMA_MLP_NAMES },
};

/* layer_types says it for each layer; older files give the period after which a global layer comes. */
static snug_status read_is_global(bool *is_global_out, const snug_checkpoint *c, uint32_t index,
                                  snug_error *error)
{
    const snug_json types = snug_checkpoint_config(c, "layer_types");
    snug_json_iterator each = snug_json_iterate(types);
    snug_json type = { NULL };
    uint32_t pattern = DEFAULT_PATTERN;

    SNUG_TRY(snug_checkpoint_u32_or(&pattern, c, "_sliding_window_pattern", 1, SNUG_LAYERS_MAX, error));
    SNUG_TRY(snug_checkpoint_u32_or(&pattern, c, "sliding_window_pattern", 1, SNUG_LAYERS_MAX, error));
    *is_global_out = (index + 1) % pattern == 0;
    if (snug_json_kind_of(types) == SNUG_JSON_ABSENT)
        return SNUG_OK;
    for (uint32_t i = 0; i <= index; i++)
        if (!snug_json_next(&each, NULL, &type))
            type.at = NULL;
    *is_global_out = snug_json_string_is(type, "full_attention");
    if (*is_global_out || snug_json_string_is(type, "sliding_attention"))
        return SNUG_OK;
    return snug_checkpoint_config_fail(c, "layer_types", SNUG_ERR_UNSUPPORTED,
                                       "\"full_attention\" or \"sliding_attention\" for each layer", error);
}

static snug_status describe(snug_prenorm_layer *layer, const snug_model *model, uint32_t index,
                            snug_error *error)
{
    double scalar = DEFAULT_SCALAR;
    bool is_global;

    SNUG_TRY(snug_checkpoint_f64_or(&scalar, model->checkpoint, "query_pre_attn_scalar", 1e-3, 1e6, error));
    SNUG_TRY(read_is_global(&is_global, model->checkpoint, index, error));
    layer->attention.scale = (float)(1.0 / sqrt(scalar));
    layer->attention.rope = is_global ? ROPE_GLOBAL : ROPE_LOCAL;
    if (is_global)
        layer->attention.kv.window_tokens = 0;
    return SNUG_OK;
}

static const snug_prenorm_options options = {
    .names = &names,
    .activation = SNUG_ACTIVATION_GELU_TANH,
    .norms_add_one = true,
    .rope_count = 2,
    .rope = { [ROPE_GLOBAL] = { "rope_theta", "rope_scaling", "rope_parameters.full_attention",
                                DEFAULT_GLOBAL_THETA },
              [ROPE_LOCAL] = { "rope_local_base_freq", NULL, "rope_parameters.sliding_attention",
                               DEFAULT_LOCAL_THETA } },
    .describe = describe,
};

static snug_status read_shape(snug_model *model, snug_error *error)
{
    static const char *const caps[] = { "attn_logit_softcapping", "final_logit_softcapping" };
    const snug_checkpoint *c = model->checkpoint;

    for (size_t i = 0; i < SNUG_COUNT(caps); i++)
        if (snug_json_kind_of(snug_checkpoint_config(c, caps[i])) != SNUG_JSON_ABSENT)
            return snug_checkpoint_config_fail(c, caps[i], SNUG_ERR_UNSUPPORTED, "null", error);
    model->shape.is_tied = true; /* of a file that does not say */
    model->shape.window_tokens = DEFAULT_WINDOW;
    SNUG_TRY(
        snug_checkpoint_u32_or(&model->shape.window_tokens, c, "sliding_window", 1, SNUG_CONTEXT_MAX, error));
    return snug_prenorm_read_shape(model, error);
}

/* Norms are never quantized: their type is the publisher's. sqrt(1152) is 34 in bf16. */
static snug_status bind(snug_model *model, snug_error *error)
{
    snug_prenorm *state = model->state;
    const snug_tensor *norm;

    SNUG_TRY(snug_prenorm_bind(model, error));
    SNUG_TRY(
        snug_checkpoint_vector(&norm, model->checkpoint, "model.norm.weight", model->shape.hidden, error));
    state->embedding_scale = snug_block_round_to_type(sqrtf((float)model->shape.hidden), norm->type);
    return SNUG_OK;
}

const snug_family snug_family_gemma3 = {
    .model_type = "gemma3_text",
    .prenorm = &options,
    .read_shape = read_shape,
    .bind = bind,
    SNUG_PRENORM_FAMILY,
};
