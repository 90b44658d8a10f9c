/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openelm.c - OpenELM (model_type "openelm"): a pre-norm decoder whose layers differ in their numbers of
 * heads and in the width of the MLP, narrow at first and wider towards the end. Its configuration has keys of
 * its own. (Mehta et al. 2024)
 */
#include <math.h>

#include "base/size.h"
#include "base/status.h"
#include "model/blocks/blocks.h"
#include "model/families/families.h"

#define DEFAULT_ROPE_THETA 10000.0
#define NORM_EPSILON       1e-6f /* not in the configuration */

static const snug_prenorm_names names = {
    .prefix = "transformer.",
    .embedding = "token_embeddings.weight",
    .final_norm = "norm.weight",
    .head = "lm_head.weight",
    .layers = "layers.",
    .attention_norm = "attn_norm.weight",
    .mlp_norm = "ffn_norm.weight",
    .attention = { .fused = "attn.qkv_proj.weight",
                   .output = "attn.out_proj.weight",
                   .query_norm = "attn.q_norm.weight",
                   .key_norm = "attn.k_norm.weight" },
    /* GGUF files have the halves of proj_1 apart (format/gguf_names.c). */
    .mlp = { .fused = "ffn.proj_1.weight",
             .gate = "ffn.gate.weight",
             .up = "ffn.up.weight",
             .down = "ffn.proj_2.weight" },
};

/* The nearest multiple of the divisor, but never less than nine tenths of the value. */
static double make_divisible(double value, double divisor)
{
    const double rounded = fmax(divisor, floor((value + divisor / 2.0) / divisor) * divisor);

    return rounded < 0.9 * value ? rounded + divisor : rounded;
}

static snug_status read_entry(double *out, const snug_checkpoint *c, const char *key, uint32_t index,
                              snug_error *error)
{
    snug_json_iterator each = snug_json_iterate(snug_checkpoint_config(c, key));
    snug_json value = { NULL };

    for (uint32_t i = 0; i <= index; i++)
        if (!snug_json_next(&each, NULL, &value))
            value.at = NULL;
    if (snug_json_f64(out, value) && *out > 0.0 && *out <= SNUG_DIMENSION_MAX)
        return SNUG_OK;
    return snug_checkpoint_config_fail(c, key, SNUG_ERR_CORRUPT, "a positive number for each layer", error);
}

/* A list with an entry per layer, or its two ends, between which layers lie evenly, to two decimals. */
static snug_status read_multiplier(double *out, const snug_model *model, const char *key, uint32_t index,
                                   snug_error *error)
{
    const snug_checkpoint *c = model->checkpoint;
    const uint32_t layers = model->shape.layer_count;
    double first, last;

    if (snug_json_count(snug_checkpoint_config(c, key)) != 2 || layers == 2)
        return read_entry(out, c, key, index, error);
    SNUG_TRY(read_entry(&first, c, key, 0, error));
    SNUG_TRY(read_entry(&last, c, key, 1, error));
    *out = layers == 1 ? first : first + (last - first) * index / (layers - 1);
    *out = nearbyint(*out * 100.0) / 100.0;
    return SNUG_OK;
}

static snug_status read_count(uint32_t *out, const snug_checkpoint *c, const char *key, uint32_t index,
                              snug_error *error)
{
    double value;

    SNUG_TRY(read_entry(&value, c, key, index, error));
    *out = (uint32_t)value;
    if (*out >= 1 && value == floor(value))
        return SNUG_OK;
    return snug_checkpoint_config_fail(c, key, SNUG_ERR_CORRUPT, "a whole number for each layer", error);
}

static snug_status read_width(uint32_t *out, const snug_model *model, uint32_t index, snug_error *error)
{
    const snug_checkpoint *c = model->checkpoint;
    uint32_t divisor = 256;
    double multiplier, width;

    SNUG_TRY(snug_checkpoint_u32_or(&divisor, c, "ffn_dim_divisor", 1, SNUG_DIMENSION_MAX, error));
    SNUG_TRY(read_multiplier(&multiplier, model, "ffn_multipliers", index, error));
    width = make_divisible(multiplier * model->shape.hidden, divisor);
    if (width > SNUG_DIMENSION_MAX)
        return snug_checkpoint_config_fail(c, "ffn_multipliers", SNUG_ERR_CORRUPT, "smaller factors", error);
    *out = (uint32_t)width;
    return SNUG_OK;
}

/* Shape of one layer; fits the maxima in model->shape once they are known. */
static snug_status describe(snug_prenorm_layer *layer, const snug_model *model, uint32_t index,
                            snug_error *error)
{
    const snug_checkpoint *c = model->checkpoint;
    snug_attention *a = &layer->attention;

    SNUG_TRY(read_count(&a->head_count, c, "num_query_heads", index, error));
    SNUG_TRY(read_count(&a->kv.kv_head_count, c, "num_kv_heads", index, error));
    SNUG_TRY(snug_prenorm_check_heads(model, a->head_count, a->kv.kv_head_count, error));
    return read_width(&layer->mlp.width, model, index, error);
}

static const snug_prenorm_options options = {
    .names = &names,
    .rope = { { "rope_freq_constant", "rope_scaling", "rope_parameters", DEFAULT_ROPE_THETA } },
    .describe = describe,
};

/* What would change the arithmetic and is in no published file. */
static snug_status check_fixed(const snug_checkpoint *c, snug_error *error)
{
    static const struct {
        const char *key;
        const char *text;
    } strings[] = { { "activation_fn_name", "swish" }, { "normalization_layer_name", "rms_norm" } };
    static const char *const flags[] = { "ffn_with_glu", "normalize_qk_projections" };

    for (size_t i = 0; i < SNUG_COUNT(strings); i++)
        if (!snug_json_string_is(snug_checkpoint_config(c, strings[i].key), strings[i].text))
            return snug_checkpoint_config_fail(c, strings[i].key, SNUG_ERR_UNSUPPORTED, strings[i].text,
                                               error);
    for (size_t i = 0; i < SNUG_COUNT(flags); i++) {
        bool is_set = false;

        if (!snug_json_bool(&is_set, snug_checkpoint_config(c, flags[i])) || !is_set)
            return snug_checkpoint_config_fail(c, flags[i], SNUG_ERR_UNSUPPORTED, "true", error);
    }
    return SNUG_OK;
}

static snug_status read_shape(snug_model *model, snug_error *error)
{
    const snug_checkpoint *c = model->checkpoint;
    snug_model_shape *s = &model->shape;
    snug_prenorm_layer layer = { 0 };

    SNUG_TRY(check_fixed(c, error));
    SNUG_TRY(snug_checkpoint_u32(&s->vocabulary, c, "vocab_size", 1, SNUG_VOCABULARY_MAX, error));
    SNUG_TRY(snug_checkpoint_u32(&s->hidden, c, "model_dim", 1, SNUG_DIMENSION_MAX, error));
    SNUG_TRY(snug_checkpoint_u32(&s->layer_count, c, "num_transformer_layers", 1, SNUG_LAYERS_MAX, error));
    SNUG_TRY(snug_checkpoint_u32(&s->head_dim, c, "head_dim", 2, SNUG_HEAD_DIM_MAX, error));
    s->context_tokens = 2048;
    SNUG_TRY(snug_checkpoint_u32_or(&s->context_tokens, c, "max_context_length", 1, SNUG_CONTEXT_MAX, error));
    SNUG_TRY(snug_checkpoint_bool_or(&s->is_tied, c, "share_input_output_layers", error));
    s->norm_epsilon = NORM_EPSILON;
    /* Before the lists are walked once per layer. */
    SNUG_TRY(snug_model_check_shape(model, "transformer.token_embeddings.weight", error));
    for (uint32_t i = 0; i < s->layer_count; i++) {
        SNUG_TRY(describe(&layer, model, i, error));
        s->head_count = (uint32_t)snug_max_size(s->head_count, layer.attention.head_count);
        s->kv_head_count = (uint32_t)snug_max_size(s->kv_head_count, layer.attention.kv.kv_head_count);
        s->mlp = (uint32_t)snug_max_size(s->mlp, layer.mlp.width);
    }
    return snug_prenorm_finish_shape(model, error);
}

const snug_family snug_family_openelm = {
    .model_type = "openelm",
    .prenorm = &options,
    .read_shape = read_shape,
    .bind = snug_prenorm_bind,
    SNUG_PRENORM_FAMILY,
};
