/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prenorm.c - the plain decoder: every layer adds attention and then an MLP to a stream that is normed
 * before each, in some families after each too.
 */
#include "model/blocks/blocks.h"

#include <math.h>
#include <stdio.h>

#include "base/size.h"
#include "base/status.h"

typedef struct prenorm_buffers {
    float *normed; /* [T][hidden]: the input of a block, then its output */
    snug_attention_buffers attention;
    snug_mlp_buffers mlp;
} prenorm_buffers;

const snug_prenorm_names snug_prenorm_llama_names = {
    SNUG_LLAMA_MODEL_NAMES,
    .mlp_norm = "post_attention_layernorm.weight",
    .attention = { SNUG_LLAMA_ATTENTION_NAMES },
    .mlp = { SNUG_LLAMA_MLP_NAMES },
};

size_t snug_prenorm_state_bytes(const snug_model *model)
{
    return sizeof(snug_prenorm) + model->shape.layer_count * sizeof(snug_prenorm_layer);
}

size_t snug_prenorm_vector_floats(const snug_model *model)
{
    const snug_model_shape *s = &model->shape;
    const snug_prenorm_names *names = model->family->prenorm->names;
    const size_t norms = 2u + (names->attention_post_norm ? 1u : 0u) + (names->mlp_post_norm ? 1u : 0u);
    const size_t head_norms = (names->attention.query_norm ? 1u : 0u) + (names->attention.key_norm ? 1u : 0u);

    return s->rope_count * snug_block_rope_floats(s) + s->hidden +
           s->layer_count * (norms * s->hidden + head_norms * s->head_dim);
}

/* A norm's weights by name; no name leaves the norm out. */
static snug_status bind_norm(const float **norm, snug_model *model, const char *prefix, const char *suffix,
                             uint32_t width, snug_error *error)
{
    float *values = model->vectors + model->vector_used;
    char name[160];

    if (!suffix)
        return SNUG_OK;
    snprintf(name, sizeof name, "%s%s", prefix, suffix);
    SNUG_TRY(snug_model_bind_vector(norm, model, name, width, error));
    for (uint32_t i = 0;
         model->family->prenorm->norms_add_one && !model->shape.has_norms_with_one && i < width; i++)
        values[i] += 1.0f;
    return SNUG_OK;
}

snug_status snug_prenorm_bind_layer(snug_prenorm_layer *layer, snug_model *model, const char *prefix,
                                    snug_error *error)
{
    const snug_prenorm_names *names = model->family->prenorm->names;
    const uint32_t hidden = model->shape.hidden;
    const uint32_t head_dim = model->shape.head_dim;
    snug_attention *a = &layer->attention;
    const char *key_norm = a->kv.is_shared ? NULL : names->attention.key_norm;

    SNUG_TRY(bind_norm(&layer->attention_norm, model, prefix, names->attention_norm, hidden, error));
    SNUG_TRY(
        bind_norm(&layer->attention_post_norm, model, prefix, names->attention_post_norm, hidden, error));
    SNUG_TRY(bind_norm(&layer->mlp_norm, model, prefix, names->mlp_norm, hidden, error));
    SNUG_TRY(bind_norm(&layer->mlp_post_norm, model, prefix, names->mlp_post_norm, hidden, error));
    SNUG_TRY(bind_norm(&a->query_norm, model, prefix, names->attention.query_norm, head_dim, error));
    SNUG_TRY(bind_norm(&a->key_norm, model, prefix, key_norm, head_dim, error));
    SNUG_TRY(snug_block_attention_bind(a, model, prefix, &names->attention, error));
    return snug_block_mlp_bind(&layer->mlp, model, prefix, &names->mlp, error);
}

/* What all layers have in most families; describe() of the others changes it. */
static void describe_layer(snug_prenorm_layer *layer, const snug_model *model)
{
    const snug_model_shape *s = &model->shape;

    layer->attention.head_count = s->head_count;
    layer->attention.scale = 1.0f / sqrtf((float)s->head_dim);
    layer->attention.kv = (snug_kv_layer){ .kv_head_count = s->kv_head_count,
                                           .head_dim = s->head_dim,
                                           .window_tokens = s->window_tokens };
    layer->mlp.width = s->mlp;
    layer->mlp.activation = model->family->prenorm->activation;
}

static snug_status bind_embedding_and_head(snug_model *model, snug_error *error)
{
    const snug_prenorm_names *names = model->family->prenorm->names;
    const snug_model_shape *s = &model->shape;
    char name[160];

    snprintf(name, sizeof name, "%s%s", names->prefix, names->embedding);
    SNUG_TRY(snug_model_bind_matrix(&model->embedding, model, name, s->vocabulary, s->hidden, error));
    model->head = model->embedding;
    if (s->is_tied)
        return SNUG_OK;
    return snug_model_bind_matrix(&model->head, model, names->head, s->vocabulary, s->hidden, error);
}

snug_status snug_prenorm_bind(snug_model *model, snug_error *error)
{
    const snug_prenorm_options *options = model->family->prenorm;
    const uint32_t hidden = model->shape.hidden;
    snug_prenorm *state = model->state;
    char prefix[64];

    state->embedding_scale = 1.0f;
    SNUG_TRY(bind_embedding_and_head(model, error));
    SNUG_TRY(bind_norm(&state->final_norm, model, options->names->prefix, options->names->final_norm, hidden,
                       error));
    for (uint32_t kind = 0; kind < model->shape.rope_count; kind++)
        SNUG_TRY(snug_block_rope_read(&state->rope[kind], model, &options->rope[kind], error));
    for (uint32_t i = 0; i < model->shape.layer_count; i++) {
        describe_layer(&state->layer[i], model);
        if (options->describe)
            SNUG_TRY(options->describe(&state->layer[i], model, i, error));
        snprintf(prefix, sizeof prefix, "%s%s%u.", options->names->prefix, options->names->layers, i);
        SNUG_TRY(snug_prenorm_bind_layer(&state->layer[i], model, prefix, error));
    }
    return SNUG_OK;
}

snug_kv_layer snug_prenorm_kv_layer(const snug_model *model, uint32_t layer)
{
    const snug_prenorm *state = model->state;

    return state->layer[layer].attention.kv;
}

/* Attention and MLP never run at the same time: their buffers share the same bytes. */
void snug_prenorm_layout(snug_pass *pass, snug_scratch *scratch, const snug_model *model, uint32_t tokens)
{
    const snug_model_shape *s = &model->shape;
    prenorm_buffers own;
    prenorm_buffers *buffers = snug_scratch_take(scratch, sizeof *buffers);
    snug_scratch attention, mlp;

    if (!buffers)
        buffers = &own;
    buffers->normed = snug_scratch_take(scratch, (size_t)tokens * s->hidden * sizeof(float));
    attention = mlp = *scratch;
    snug_block_attention_layout(&buffers->attention, &attention, s, tokens);
    snug_block_mlp_layout(&buffers->mlp, &mlp, s, tokens);
    scratch->used_bytes = snug_max_size(attention.used_bytes, mlp.used_bytes);
    pass->family = buffers == &own ? NULL : buffers;
}

static void run_layer(snug_pass *pass, const snug_prenorm_layer *layer, uint32_t index)
{
    const prenorm_buffers *b = pass->family;
    const uint32_t hidden = pass->model->shape.hidden;

    snug_block_rms_norm(pass, b->normed, pass->hidden, layer->attention_norm, hidden);
    snug_block_attention(pass, b->normed, b->normed, &layer->attention, &b->attention, index);
    if (layer->attention_post_norm)
        snug_block_rms_norm(pass, b->normed, b->normed, layer->attention_post_norm, hidden);
    snug_block_add(pass, pass->hidden, b->normed, hidden);
    snug_block_rms_norm(pass, b->normed, pass->hidden, layer->mlp_norm, hidden);
    snug_block_mlp(pass, b->normed, b->normed, &layer->mlp, &b->mlp);
    if (layer->mlp_post_norm)
        snug_block_rms_norm(pass, b->normed, b->normed, layer->mlp_post_norm, hidden);
    snug_block_add(pass, pass->hidden, b->normed, hidden);
}

void snug_prenorm_forward(snug_pass *pass)
{
    const snug_model *model = pass->model;
    const snug_prenorm *state = model->state;

    snug_block_embed(pass, pass->hidden, &model->embedding);
    snug_block_scale(pass, pass->hidden, state->embedding_scale, model->shape.hidden);
    for (uint32_t kind = 0; kind < model->shape.rope_count; kind++)
        snug_block_rope_angles(pass, kind, &state->rope[kind]);
    for (uint32_t i = 0; i < model->shape.layer_count && !snug_work_is_given_up(pass->work); i++)
        run_layer(pass, &state->layer[i], i);
    snug_block_rms_norm(pass, pass->hidden, pass->hidden, state->final_norm, model->shape.hidden);
}
