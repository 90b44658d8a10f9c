/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention.c - splits attention into independent parts and runs the tile kernel over the tiles of each.
 *
 * All query heads that share a KV head go through a tile together, so that it is read once. For a chunk of
 * tokens a part is (KV head, group of tokens). For a single token over a long context a part is (KV head,
 * run of tiles), and the partial states (max, sum, out) are merged in order afterwards. How the work is
 * split depends on positions and shapes only, never on the number of threads: the same bits with any.
 */
#include "kv/parts.h"

#include <math.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"

/* Below this many tiles one part per KV head is cheaper than merging. */
#define PART_TILES_MIN 8

/* State of a run of tiles for a set of queries, laid out in scratch: max and sum, then out. */
typedef struct part_state {
    float *max; /* [queries] */
    float *sum; /* [queries] */
    float *out; /* [queries][head_dim] */
} part_state;

typedef struct attend_job {
    const snug_kv *kv;
    const snug_kv_store *store;
    const snug_kv_attention *attention;
    uint32_t group;           /* query heads of one KV head */
    uint32_t tokens_per_part; /* a chunk: tokens whose queries go together */
    uint32_t token_parts;
    uint32_t tile_parts; /* a single token: runs of tiles */
    uint32_t tiles_per_part;
} attend_job;

/* Tiles that hold positions 0 .. last. */
static uint32_t tile_count(uint32_t last_position)
{
    return last_position / SNUG_TILE_TOKENS + 1;
}

/* The first tile that the query at `position` or a later one sees. */
static uint32_t first_tile(const attend_job *job, uint32_t position)
{
    return job->store->retention->first_tile(&job->store->shape, position);
}

static part_state state_at(float *base, size_t queries)
{
    return (part_state){ .max = base, .sum = base + queries, .out = base + 2 * queries };
}

static void state_reset(const part_state *state, size_t queries, size_t head_dim)
{
    for (size_t i = 0; i < queries; i++)
        state->max[i] = -INFINITY;
    memset(state->sum, 0, queries * sizeof(float));
    memset(state->out, 0, queries * head_dim * sizeof(float));
}

/* Scaled queries of `tokens` tokens for one KV head: [token][head of the group][head_dim]. */
static void gather_queries(float *query_out, const attend_job *job, uint32_t kv_head, uint32_t first_token,
                           uint32_t tokens)
{
    const snug_kv_attention *a = job->attention;
    const size_t head_dim = job->store->shape.head_dim;
    const size_t run = job->group * head_dim;

    for (uint32_t t = 0; t < tokens; t++) {
        const float *from =
            a->query + ((size_t)(first_token + t) * a->head_count + kv_head * job->group) * head_dim;

        memcpy(query_out + t * run, from, run * sizeof(float));
    }
    job->kv->kernels->scale(query_out, a->scale, tokens * run);
}

static void run_tiles(const attend_job *job, snug_attend_task *task, uint32_t kv_head, uint32_t first_token,
                      uint32_t tokens, uint32_t tile_begin, uint32_t tile_end, uint32_t *ranges)
{
    uint32_t *begin = ranges;
    uint32_t *end = ranges + task->queries;
    const snug_kv_store *store = job->store;
    const snug_kv_side *key = &store->key;
    const snug_kv_side *value = &store->value;
    snug_attend_fn *attend = job->kv->kernels->attend[key->format->type];

    for (uint32_t tile = tile_begin; tile < tile_end; tile++) {
        for (uint32_t t = 0; t < tokens; t++) {
            const uint32_t position = job->attention->first_position + first_token + t;

            store->retention->visible(&store->shape, tile, position, &begin[t * job->group],
                                      &end[t * job->group]);
            for (uint32_t g = 1; g < job->group; g++) {
                begin[t * job->group + g] = begin[t * job->group];
                end[t * job->group + g] = end[t * job->group];
            }
        }
        task->key = key->pages.base + tile * key->tile_bytes + kv_head * key->head_tile_bytes;
        task->value = value->pages.base + tile * value->tile_bytes + kv_head * value->head_tile_bytes;
        attend(task);
    }
}

/* Lay out the thread's scratch: the kernel's, queries, ranges, and room for a state of its own (returned). */
static part_state prepare_task(const attend_job *job, snug_attend_task *task, uint32_t worker, float **query,
                               uint32_t **ranges, size_t queries)
{
    const size_t head_dim = job->store->shape.head_dim;
    unsigned char *base =
        (unsigned char *)job->attention->thread_scratch + worker * snug_kv_thread_scratch_bytes(head_dim);

    *query = (float *)(void *)(base + snug_attend_scratch_bytes(head_dim));
    *ranges = (uint32_t *)(void *)(*query + queries * head_dim);
    *task = (snug_attend_task){
        .query = *query,
        .begin = *ranges,
        .end = *ranges + queries,
        .queries = queries,
        .head_dim = head_dim,
        .scratch = base,
    };
    return state_at((float *)(void *)(*ranges + 2 * queries), queries);
}

static void use_state(snug_attend_task *task, const part_state *state)
{
    state_reset(state, task->queries, task->head_dim);
    task->max = state->max;
    task->sum = state->sum;
    task->out = state->out;
}

static void attend_token_part(void *user, size_t part, uint32_t worker)
{
    const attend_job *job = user;
    const snug_kv_attention *a = job->attention;
    const size_t head_dim = job->store->shape.head_dim;
    const uint32_t kv_head = (uint32_t)(part % job->store->shape.kv_head_count);
    /* The last tokens see most: they come first, so that no thread ends up alone with the longest part. */
    const uint32_t token_part = job->token_parts - 1 - (uint32_t)(part / job->store->shape.kv_head_count);
    const uint32_t first = token_part * job->tokens_per_part;
    const uint32_t tokens = (uint32_t)snug_min_size(job->tokens_per_part, a->tokens - first);
    const size_t queries = (size_t)tokens * job->group;
    snug_attend_task task;
    float *query;
    uint32_t *ranges;
    const part_state state = prepare_task(job, &task, worker, &query, &ranges, queries);

    gather_queries(query, job, kv_head, first, tokens);
    use_state(&task, &state);
    run_tiles(job, &task, kv_head, first, tokens, first_tile(job, a->first_position + first),
              tile_count(a->first_position + first + tokens - 1), ranges);
    for (size_t q = 0; q < queries; q++) {
        const size_t token = first + q / job->group;
        float *out = a->out + (token * a->head_count + kv_head * job->group + q % job->group) * head_dim;

        memcpy(out, state.out + q * head_dim, head_dim * sizeof(float));
        job->kv->kernels->scale(out, 1.0f / state.sum[q], head_dim);
    }
}

static part_state merged_state_at(const attend_job *job, uint32_t kv_head, uint32_t tile_part)
{
    const size_t head_dim = job->store->shape.head_dim;
    const size_t floats = job->group * (head_dim + 2);
    float *base = (float *)job->attention->parts_scratch;

    return state_at(base + ((size_t)kv_head * SNUG_KV_PARTS_MAX + tile_part) * floats, job->group);
}

static void attend_tile_part(void *user, size_t part, uint32_t worker)
{
    const attend_job *job = user;
    const uint32_t kv_head = (uint32_t)(part / job->tile_parts);
    const uint32_t tile_part = (uint32_t)(part % job->tile_parts);
    const uint32_t tiles = tile_count(job->attention->first_position);
    const uint32_t tile_begin =
        first_tile(job, job->attention->first_position) + tile_part * job->tiles_per_part;
    const uint32_t tile_end = (uint32_t)snug_min_size(tile_begin + job->tiles_per_part, tiles);
    const part_state state = merged_state_at(job, kv_head, tile_part);
    snug_attend_task task;
    float *query;
    uint32_t *ranges;

    prepare_task(job, &task, worker, &query, &ranges, job->group);
    gather_queries(query, job, kv_head, 0, 1);
    use_state(&task, &state);
    run_tiles(job, &task, kv_head, 0, 1, tile_begin, tile_end, ranges);
}

/* out = sum of parts, each brought to the common maximum; in the order of the parts, so always the same
 * bits. */
static void merge_head(const attend_job *job, uint32_t kv_head, uint32_t g)
{
    const snug_kv_attention *a = job->attention;
    const size_t head_dim = job->store->shape.head_dim;
    float *out = a->out + ((size_t)kv_head * job->group + g) * head_dim;
    float max = -INFINITY;
    float sum = 0.0f;

    for (uint32_t p = 0; p < job->tile_parts; p++)
        max = fmaxf(max, merged_state_at(job, kv_head, p).max[g]);
    memset(out, 0, head_dim * sizeof(float));
    for (uint32_t p = 0; p < job->tile_parts; p++) {
        const part_state state = merged_state_at(job, kv_head, p);
        const float weight = expf(state.max[g] - max);

        sum += weight * state.sum[g];
        for (size_t i = 0; i < head_dim; i++)
            out[i] += weight * state.out[g * head_dim + i];
    }
    job->kv->kernels->scale(out, 1.0f / sum, head_dim);
}

static void attend_one_token(attend_job *job, snug_work *work)
{
    const uint32_t position = job->attention->first_position;
    const uint32_t tiles = tile_count(position) - first_tile(job, position);
    const uint32_t kv_heads = job->store->shape.kv_head_count;

    job->tile_parts = (uint32_t)snug_min_size(snug_divide_up(tiles, PART_TILES_MIN), SNUG_KV_PARTS_MAX);
    job->tiles_per_part = (uint32_t)snug_divide_up(tiles, job->tile_parts);
    job->tile_parts = (uint32_t)snug_divide_up(tiles, job->tiles_per_part);
    snug_work_run(work, attend_tile_part, job, (size_t)kv_heads * job->tile_parts);
    for (uint32_t kv_head = 0; kv_head < kv_heads; kv_head++)
        for (uint32_t g = 0; g < job->group; g++)
            merge_head(job, kv_head, g);
}

void snug_kv_attend(const snug_kv *kv, snug_work *work, const snug_kv_attention *attention)
{
    const snug_kv_layer *layer = &kv->store[attention->layer].shape;
    const snug_kv_store *store = &kv->store[layer->is_shared ? layer->source : attention->layer];
    attend_job job = {
        .kv = kv,
        .store = store,
        .attention = attention,
        .group = attention->head_count / store->shape.kv_head_count,
    };

    SNUG_ASSERT(job.group >= 1 && job.group <= SNUG_ATTEND_QUERIES_MAX);
    if (attention->tokens == 1) {
        attend_one_token(&job, work);
        return;
    }
    job.tokens_per_part = SNUG_ATTEND_QUERIES_MAX / job.group;
    job.token_parts = (uint32_t)snug_divide_up(attention->tokens, job.tokens_per_part);
    snug_work_run(work, attend_token_part, &job, (size_t)job.token_parts * store->shape.kv_head_count);
}

size_t snug_kv_parts_scratch_bytes(uint32_t head_count, uint32_t head_dim)
{
    return (size_t)SNUG_KV_PARTS_MAX * head_count * (head_dim + 2) * sizeof(float);
}
