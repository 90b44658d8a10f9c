/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention.c - grouped-query attention: project, norm and rotate per head, write the cache, attend over it,
 * project back. A layer that shares another's keys and values projects queries only.
 */
#include "model/blocks/blocks.h"

#include <stdio.h>

#include "base/size.h"
#include "base/status.h"

/* Queries, keys and values that lie in one matrix, in this order. */
static snug_status bind_fused(snug_attention *attention, snug_model *model, const char *name,
                              snug_error *error)
{
    const uint32_t query_rows = attention->head_count * attention->kv.head_dim;
    const uint32_t kv_rows = attention->kv.kv_head_count * attention->kv.head_dim;
    snug_weight fused;

    SNUG_TRY(
        snug_model_bind_matrix(&fused, model, name, query_rows + 2 * kv_rows, model->shape.hidden, error));
    attention->query = snug_weight_rows(&fused, 0, query_rows);
    attention->key = snug_weight_rows(&fused, query_rows, kv_rows);
    attention->value = snug_weight_rows(&fused, query_rows + kv_rows, kv_rows);
    return SNUG_OK;
}

static snug_status bind_separate(snug_attention *attention, snug_model *model, const char *prefix,
                                 const snug_attention_names *names, snug_error *error)
{
    const uint32_t kv_rows = attention->kv.kv_head_count * attention->kv.head_dim;
    const struct {
        snug_weight *weight;
        const char *name;
        uint32_t rows;
    } inputs[] = {
        { &attention->query, names->query, attention->head_count * attention->kv.head_dim },
        { &attention->key, names->key, kv_rows },
        { &attention->value, names->value, kv_rows },
    };
    char name[160];

    for (size_t i = 0; i < (attention->kv.is_shared ? 1 : SNUG_COUNT(inputs)); i++) {
        snprintf(name, sizeof name, "%s%s", prefix, inputs[i].name);
        SNUG_TRY(snug_model_bind_matrix(inputs[i].weight, model, name, inputs[i].rows, model->shape.hidden,
                                        error));
    }
    return SNUG_OK;
}

bool snug_block_find_fused(char *name_out, size_t capacity, const snug_model *model, const char *prefix,
                           const char *fused, const char *separate)
{
    if (!fused)
        return false;
    snprintf(name_out, capacity, "%s%s", prefix, fused);
    return !separate || snug_checkpoint_find(model->checkpoint, name_out);
}

snug_status snug_block_attention_bind(snug_attention *attention, snug_model *model, const char *prefix,
                                      const snug_attention_names *names, snug_error *error)
{
    char name[160];

    if (snug_block_find_fused(name, sizeof name, model, prefix, names->fused, names->query))
        SNUG_TRY(bind_fused(attention, model, name, error));
    else
        SNUG_TRY(bind_separate(attention, model, prefix, names, error));
    snprintf(name, sizeof name, "%s%s", prefix, names->output);
    return snug_model_bind_matrix(&attention->output, model, name, model->shape.hidden,
                                  attention->head_count * attention->kv.head_dim, error);
}

void snug_block_attention_layout(snug_attention_buffers *buffers, snug_scratch *scratch,
                                 const snug_model_shape *shape, uint32_t tokens)
{
    const size_t query_bytes = (size_t)tokens * shape->head_count * shape->head_dim * sizeof(float);
    const size_t kv_bytes = (size_t)tokens * shape->kv_head_count * shape->head_dim * sizeof(float);

    buffers->query = snug_scratch_take(scratch, query_bytes);
    buffers->key = snug_scratch_take(scratch, kv_bytes);
    buffers->value = snug_scratch_take(scratch, kv_bytes);
    buffers->mixed = snug_scratch_take(scratch, query_bytes);
}

typedef struct position_work {
    snug_pass *pass;
    const snug_attention *attention;
    const snug_attention_buffers *buffers;
    uint32_t layer;
    uint32_t first_token; /* of the piece, in the chunk */
} position_work;

/* Norm and rotate each head of one token, where there is a norm and a rotation. */
static void place_heads(const position_work *w, float *heads, uint32_t head_count, const float *norm,
                        uint32_t rope, uint32_t token)
{
    const snug_model *model = w->pass->model;
    const size_t head_dim = w->attention->kv.head_dim;
    const size_t half = head_dim / 2;
    void (*rotate)(float *, const float *, const float *, size_t) =
        model->shape.has_rope_pairs ? model->kernels.rope_pairs : model->kernels.rope_half;

    for (uint32_t h = 0; h < head_count; h++) {
        float *head = heads + h * head_dim;

        if (norm)
            model->kernels.rms_norm(head, head, norm, head_dim, model->shape.norm_epsilon);
        if (rope != SNUG_ROPE_NONE)
            rotate(head, w->pass->angles[rope].cosine + token * half,
                   w->pass->angles[rope].sine + token * half, half);
    }
}

static void place_token(void *user, uint32_t token_of_piece)
{
    const position_work *w = user;
    const snug_attention *a = w->attention;
    const uint32_t token = w->first_token + token_of_piece;
    const size_t kv_width = (size_t)a->kv.kv_head_count * a->kv.head_dim;
    float *key = w->buffers->key + token * kv_width;
    float *value = w->buffers->value + token * kv_width;

    place_heads(w, w->buffers->query + (size_t)token * a->head_count * a->kv.head_dim, a->head_count,
                a->query_norm, a->rope, token);
    if (a->kv.is_shared)
        return;
    place_heads(w, key, a->kv.kv_head_count, a->key_norm, a->rope, token);
    place_heads(w, value, a->kv.kv_head_count, a->value_norm, SNUG_ROPE_NONE, token);
    snug_kv_write(w->pass->kv, w->layer, w->pass->first_position + token, key, value);
}

/*
 * Write some tokens of the chunk, then let them attend. A layer that keeps a window only, or makes codes
 * of older tokens, takes a long chunk in pieces: the later ones go where tokens lie that the earlier ones
 * still see.
 */
static void attend_piece(snug_pass *pass, const snug_attention *attention,
                         const snug_attention_buffers *buffers, uint32_t layer, uint32_t first_token,
                         uint32_t tokens)
{
    const size_t query_at = (size_t)first_token * attention->head_count * attention->kv.head_dim;
    position_work place = {
        .pass = pass, .attention = attention, .buffers = buffers, .layer = layer, .first_token = first_token
    };
    snug_pass piece = *pass;
    uint32_t account;

    piece.tokens = tokens;
    snug_block_each_token(&piece, place_token, &place);
    account = snug_work_charge(pass->work, SNUG_ACCOUNT_ATTENTION);
    snug_kv_attend(pass->kv, pass->work,
                   &(snug_kv_attention){
                       .layer = layer,
                       .head_count = attention->head_count,
                       .first_position = pass->first_position + first_token,
                       .tokens = tokens,
                       .is_piece = tokens < pass->tokens,
                       .scale = attention->scale,
                       .query = buffers->query + query_at,
                       .out = buffers->mixed + query_at,
                       .thread_scratch = pass->thread_scratch,
                       .parts_scratch = pass->parts_scratch,
                   });
    (void)snug_work_charge(pass->work, account);
}

void snug_block_attention(snug_pass *pass, float *out, const float *x, const snug_attention *attention,
                          const snug_attention_buffers *buffers, uint32_t layer)
{
    const uint32_t hidden = pass->model->shape.hidden;
    const size_t query_width = (size_t)attention->head_count * attention->kv.head_dim;
    const size_t kv_width = (size_t)attention->kv.kv_head_count * attention->kv.head_dim;
    const snug_linear inputs[] = {
        { &attention->query, buffers->query, query_width },
        { &attention->key, buffers->key, kv_width },
        { &attention->value, buffers->value, kv_width },
    };
    const snug_linear output = { &attention->output, out, hidden };
    uint32_t tokens;

    snug_block_linear(pass, inputs, attention->kv.is_shared ? 1 : SNUG_COUNT(inputs), x, hidden);
    for (uint32_t first = 0; first < pass->tokens && !snug_work_is_given_up(pass->work); first += tokens) {
        const uint32_t account = snug_work_charge(pass->work, SNUG_ACCOUNT_ATTENTION);
        const uint32_t room = snug_kv_make_room(pass->kv, pass->work, layer, pass->first_position + first,
                                                pass->thread_scratch);

        (void)snug_work_charge(pass->work, account);
        tokens = (uint32_t)snug_min_size(pass->tokens - first, room);
        attend_piece(pass, attention, buffers, layer, first, tokens);
    }
    snug_block_linear(pass, &output, 1, buffers->mixed, query_width);
}
