/* SPDX-License-Identifier: Apache-2.0 */
/*
 * convert.c - a cache of another format or retention with what an older one holds: the conversation's tiles
 * are decoded one after the other and written as a model would have written them, so that what becomes codes,
 * and which tokens are kept, follows from the new cache's own rules.
 */
#include "kv/parts.h"

#include "base/status.h"

typedef struct convert_job {
    snug_kv *to;
    const snug_kv_store *from;
    const snug_kv_store *into;
    uint32_t tile;
    uint32_t tokens; /* of the tile */
    unsigned char *thread_scratch;
} convert_job;

/* One head's tile as vectors that are not turned: x[SNUG_TILE_TOKENS][head_dim]. */
static void read_tile(float *x, const convert_job *job, const snug_kv_side *side, uint32_t head)
{
    const snug_kv_store *from = job->from;

    if (side->has_codes && job->tile >= from->first_tiles && job->tile < snug_kv_store_codes_end(from))
        snug_kv_side_decode(x, side, job->tile - from->first_tiles, head);
    else
        job->to->kernels->row_to_f32[side->rows->type](x, snug_kv_side_rows(side, job->tile, head).rows,
                                                       SNUG_TILE_TOKENS * (size_t)side->head_dim);
}

/* One head of one side. */
static void convert_part(void *user, size_t part, uint32_t worker)
{
    const convert_job *job = user;
    const uint32_t heads = job->into->shape.kv_head_count;
    const bool is_key = part < heads;
    const snug_kv_side *into = is_key ? &job->into->key : &job->into->value;
    const uint32_t head = (uint32_t)(part % heads);
    const size_t row_bytes = into->head_dim * into->rows->value_bytes;
    unsigned char *rows = (unsigned char *)(uintptr_t)snug_kv_side_rows(into, job->tile, head).rows;
    float *x = (float *)(void *)(job->thread_scratch + worker * snug_kv_thread_scratch_bytes(into->head_dim));

    read_tile(x, job, is_key ? &job->from->key : &job->from->value, head);
    for (uint32_t token = 0; token < job->tokens; token++)
        snug_kv_row_store(into, job->to->kernels, rows + token * row_bytes, x + token * into->head_dim);
}

/* Whether a layer still holds a tile, needed or not. */
static bool has_tile(const snug_kv *kv, uint32_t layer, uint32_t tile)
{
    return tile < kv->store[layer].rule.sink_tiles || tile >= snug_kv_first_kept(kv, layer);
}

static snug_status check_layer(const snug_kv *to, const snug_kv *from, uint32_t layer, snug_error *error)
{
    for (uint32_t tile = 0; tile < snug_kv_tiles_for(from->tokens); tile++)
        if (snug_kv_rule_needs(&to->store[layer].rule, from->tokens, tile) && !has_tile(from, layer, tile))
            SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                      "the cache has given up tokens from %u on, which the new one would see: compute the "
                      "conversation again",
                      tile * SNUG_TILE_TOKENS);
    return SNUG_OK;
}

/* A tile of all layers: all that there is, needed or not, so that the new cache can go back as far as the old
 * one could. */
static void convert_tile(convert_job *job, snug_work *work, const snug_kv *from)
{
    for (uint32_t i = 0; i < from->layer_count; i++) {
        if (from->store[i].shape.is_shared)
            continue;
        (void)snug_kv_make_room(job->to, work, i, job->tile * SNUG_TILE_TOKENS, job->thread_scratch);
        job->from = &from->store[i];
        job->into = &job->to->store[i];
        if (has_tile(from, i, job->tile))
            snug_work_run(work, convert_part, job, 2 * (size_t)job->into->shape.kv_head_count);
    }
}

snug_status snug_kv_convert(snug_kv *to, const snug_kv *from, snug_work *work, void *thread_scratch,
                            snug_error *error)
{
    convert_job job = { .to = to, .thread_scratch = thread_scratch };
    snug_status status = SNUG_OK;

    SNUG_ASSERT(to->layer_count == from->layer_count && to->tokens == 0);
    if (from->tokens > to->context_tokens)
        SNUG_FAIL(error, SNUG_ERR_FULL, "%u tokens do not fit into a context of %u", from->tokens,
                  to->context_tokens);
    for (uint32_t i = 0; i < to->layer_count; i++)
        if (!to->store[i].shape.is_shared)
            SNUG_TRY(check_layer(to, from, i, error));
    for (uint32_t at = 0; at < from->tokens && status == SNUG_OK; at += job.tokens) {
        const uint32_t left = from->tokens - at;

        job.tile = at / SNUG_TILE_TOKENS;
        job.tokens = left < SNUG_TILE_TOKENS ? left : SNUG_TILE_TOKENS;
        status = snug_kv_grow(to, at + job.tokens, error);
        if (status != SNUG_OK)
            break;
        convert_tile(&job, work, from);
        snug_kv_set_tokens(to, at + job.tokens);
    }
    for (uint32_t i = 0; i < to->layer_count; i++)
        to->store[i].first_given = snug_kv_first_kept(from, i);
    if (status != SNUG_OK)
        (void)snug_kv_truncate(to, 0);
    SNUG_ASSERT_DEBUG(snug_kv_is_valid(to));
    return status;
}
