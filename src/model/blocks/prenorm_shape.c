/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prenorm_shape.c - the configuration of a pre-norm decoder: the keys that these families share, checked.
 */
#include "model/blocks/blocks.h"

#include <stdio.h>

#include "base/size.h"
#include "base/status.h"

/* What an activation is called in config.json, and under which keys it stands. */
static const char *const activation_names[] = {
    [SNUG_ACTIVATION_SILU] = "silu",
    [SNUG_ACTIVATION_GELU_TANH] = "gelu_pytorch_tanh",
};
static const char *const activation_keys[] = { "hidden_act", "hidden_activation" };

static snug_status check_activation(const snug_model *model, snug_error *error)
{
    const char *expected = activation_names[model->family->prenorm->activation];

    for (size_t i = 0; i < SNUG_COUNT(activation_keys); i++) {
        const snug_json activation = snug_checkpoint_config(model->checkpoint, activation_keys[i]);

        if (snug_json_kind_of(activation) != SNUG_JSON_ABSENT && !snug_json_string_is(activation, expected))
            return snug_checkpoint_config_fail(model->checkpoint, activation_keys[i], SNUG_ERR_UNSUPPORTED,
                                               expected, error);
    }
    return SNUG_OK;
}

/* Biases and windows change the arithmetic: refuse what would otherwise be ignored in silence. */
static snug_status check_unused(const snug_checkpoint *checkpoint, snug_error *error)
{
    static const char *const refused[] = { "attention_bias", "mlp_bias", "use_sliding_window" };

    for (size_t i = 0; i < SNUG_COUNT(refused); i++) {
        bool is_set = false;

        SNUG_TRY(snug_checkpoint_bool_or(&is_set, checkpoint, refused[i], error));
        if (is_set)
            SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "%.300s: %s is true; this build computes without it",
                      snug_checkpoint_config_path(checkpoint), refused[i]);
    }
    return SNUG_OK;
}

snug_status snug_prenorm_check_heads(const snug_model *model, uint32_t head_count, uint32_t kv_head_count,
                                     snug_error *error)
{
    const char *path = snug_checkpoint_config_path(model->checkpoint);

    if (head_count % kv_head_count != 0)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "%.300s: num_attention_heads (%u) must be a multiple of num_key_value_heads (%u)", path,
                  head_count, kv_head_count);
    if (head_count / kv_head_count > SNUG_ATTEND_QUERIES_MAX)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                  "%.300s: %u query heads share a key head; this build allows %d", path,
                  head_count / kv_head_count, SNUG_ATTEND_QUERIES_MAX);
    return SNUG_OK;
}

snug_status snug_prenorm_finish_shape(snug_model *model, snug_error *error)
{
    const snug_prenorm_options *options = model->family->prenorm;
    snug_model_shape *s = &model->shape;
    const size_t heads = (size_t)s->head_count * s->head_dim;
    char name[160];

    if (s->head_dim < 2 || s->head_dim > SNUG_HEAD_DIM_MAX || s->head_dim % 2 != 0)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "%.300s: heads of %u values; expected an even number from 2 to %d",
                  snug_checkpoint_config_path(model->checkpoint), s->head_dim, SNUG_HEAD_DIM_MAX);
    if (heads > SNUG_DIMENSION_MAX)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "%.300s: %u heads of %u values; together at most %u",
                  snug_checkpoint_config_path(model->checkpoint), s->head_count, s->head_dim,
                  SNUG_DIMENSION_MAX);
    s->widest_input = (uint32_t)snug_max_size(snug_max_size(s->hidden, s->mlp), heads);
    s->rope_count = options->rope_count ? options->rope_count : 1;
    snprintf(name, sizeof name, "%s%s", options->names->prefix, options->names->embedding);
    return snug_model_check_shape(model, name, error);
}

snug_status snug_prenorm_read_shape(snug_model *model, snug_error *error)
{
    const snug_checkpoint *c = model->checkpoint;
    snug_model_shape *s = &model->shape;
    const uint32_t wide = SNUG_DIMENSION_MAX;
    double epsilon = 1e-6;

    SNUG_TRY(snug_checkpoint_u32(&s->vocabulary, c, "vocab_size", 1, SNUG_VOCABULARY_MAX, error));
    SNUG_TRY(snug_checkpoint_u32(&s->hidden, c, "hidden_size", 1, wide, error));
    SNUG_TRY(snug_checkpoint_u32(&s->layer_count, c, "num_hidden_layers", 1, SNUG_LAYERS_MAX, error));
    SNUG_TRY(snug_checkpoint_u32(&s->head_count, c, "num_attention_heads", 1, wide, error));
    s->kv_head_count = s->head_count;
    SNUG_TRY(snug_checkpoint_u32_or(&s->kv_head_count, c, "num_key_value_heads", 1, wide, error));
    s->head_dim = s->hidden / s->head_count;
    SNUG_TRY(snug_checkpoint_u32_or(&s->head_dim, c, "head_dim", 2, SNUG_HEAD_DIM_MAX, error));
    SNUG_TRY(snug_checkpoint_u32(&s->mlp, c, "intermediate_size", 1, wide, error));
    s->context_tokens = 2048;
    SNUG_TRY(
        snug_checkpoint_u32_or(&s->context_tokens, c, "max_position_embeddings", 1, SNUG_CONTEXT_MAX, error));
    SNUG_TRY(snug_checkpoint_f64_or(&epsilon, c, "rms_norm_eps", 0.0, 1.0, error));
    s->norm_epsilon = (float)epsilon;
    SNUG_TRY(snug_checkpoint_bool_or(&s->is_tied, c, "tie_word_embeddings", error));
    SNUG_TRY(snug_checkpoint_bool_or(&s->has_rope_pairs, c, "rope_interleaved", error));
    SNUG_TRY(snug_checkpoint_bool_or(&s->has_norms_with_one, c, "norm_weights_include_one", error));
    SNUG_TRY(snug_prenorm_check_heads(model, s->head_count, s->kv_head_count, error));
    SNUG_TRY(check_activation(model, error));
    SNUG_TRY(check_unused(c, error));
    return snug_prenorm_finish_shape(model, error);
}
