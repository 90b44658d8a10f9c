/* SPDX-License-Identifier: Apache-2.0 */
/*
 * encoding.c - tiles between rows and codes: those that are not recent any more become codes, and one that
 * the conversation is rewound into becomes rows again.
 *
 * Which tiles are codes for a query follows from its position alone, so a chunk of any size gives the same
 * bits: a piece ends with its tile at the latest.
 */
#include "kv/parts.h"

#include "base/size.h"
#include "base/status.h"

/* One tile that becomes codes: a part is one head of one side. */
typedef struct encode_job {
    const snug_kv *kv;
    const snug_kv_store *store;
    uint32_t tile;
    unsigned char *thread_scratch;
} encode_job;

static void encode_part(void *user, size_t part, uint32_t worker)
{
    const encode_job *job = user;
    const snug_kv_store *store = job->store;
    const uint32_t heads = store->shape.kv_head_count;
    const size_t head_dim = store->shape.head_dim;
    const bool is_key = store->key.has_codes && part < heads;
    const snug_kv_side *side = is_key ? &store->key : &store->value;
    const uint32_t head = (uint32_t)(part % heads);
    const snug_tile rows = snug_kv_side_rows(side, job->tile, head);
    float *x = (float *)(void *)(job->thread_scratch + worker * snug_kv_thread_scratch_bytes(head_dim));

    job->kv->kernels->row_to_f32[side->rows->type](x, rows.rows, SNUG_TILE_TOKENS * head_dim);
    snug_kv_side_encode(side, job->tile - store->first_tiles, head, x);
}

/* One head of a tile from codes to rows. */
static void decode_part(void *user, size_t part, uint32_t worker)
{
    const encode_job *job = user;
    const snug_kv_store *store = job->store;
    const uint32_t heads = store->shape.kv_head_count;
    const size_t head_dim = store->shape.head_dim;
    const bool is_key = store->key.has_codes && part < heads;
    const snug_kv_side *side = is_key ? &store->key : &store->value;
    const uint32_t head = (uint32_t)(part % heads);
    unsigned char *rows = (unsigned char *)(uintptr_t)snug_kv_side_rows(side, job->tile, head).rows;
    float *x = (float *)(void *)(job->thread_scratch + worker * snug_kv_thread_scratch_bytes(head_dim));

    snug_kv_side_decode(x, side, job->tile - store->first_tiles, head);
    for (size_t token = 0; token < SNUG_TILE_TOKENS; token++)
        snug_kv_row_store(side, job->kv->kernels, rows + token * head_dim * side->rows->value_bytes,
                          x + token * head_dim);
}

static size_t coded_heads(const snug_kv_store *store)
{
    return (size_t)store->shape.kv_head_count * (store->key.has_codes + store->value.has_codes);
}

uint32_t snug_kv_make_room(snug_kv *kv, snug_work *work, uint32_t layer, uint32_t position,
                           void *thread_scratch)
{
    const snug_kv_layer *shape = &kv->store[layer].shape;
    snug_kv_store *store = &kv->store[shape->is_shared ? shape->source : layer];
    const uint32_t tile = position / SNUG_TILE_TOKENS;
    const uint32_t room =
        shape->is_shared ? SNUG_KV_UNBOUNDED - position : snug_kv_rule_room(&store->rule, position);
    encode_job job = { .kv = kv, .store = store, .thread_scratch = thread_scratch };

    if (!store->has_codes)
        return room;
    if (store->is_rewound) {
        job.tile = store->coded_end;
        snug_work_run(work, decode_part, &job, coded_heads(store));
        store->is_rewound = false;
        snug_kv_store_decommit(store, kv->tiles); /* the codes of that tile */
    }
    while (!shape->is_shared && store->coded_end + store->recent_tiles <= tile) {
        job.tile = store->coded_end;
        snug_work_run(work, encode_part, &job, coded_heads(store));
        store->coded_end++;
    }
    return (uint32_t)snug_min_size(room, SNUG_TILE_TOKENS - position % SNUG_TILE_TOKENS);
}

void snug_kv_store_rewind(snug_kv_store *store, uint32_t tokens)
{
    const uint32_t tile = tokens / SNUG_TILE_TOKENS;

    if (!store->has_codes)
        return;
    if (tile < snug_kv_store_codes_end(store)) {
        store->coded_end = (uint32_t)snug_max_size(tile, store->first_tiles);
        store->is_rewound = tile >= store->first_tiles && tokens % SNUG_TILE_TOKENS > 0;
    }
    store->coded_before = store->coded_end;
}
