/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ref/attend.c - one tile of the cache against the queries of one KV head, with the softmax carried along:
 * before a tile with a larger score is added, what was gathered so far is scaled down to the new maximum
 * (Milakov, Gimelshein 2018).
 */
#include "kernels/variants.h"

#include <math.h>

#include "base/float16.h"
#include "base/size.h"

static float value_at(snug_type type, const void *values, size_t i)
{
    return type == SNUG_TYPE_F16 ? snug_f32_from_f16(((const uint16_t *)values)[i])
                                 : ((const float *)values)[i];
}

static void attend_query(const snug_attend_task *task, snug_type type, size_t q)
{
    const size_t head_dim = task->head_dim;
    const float *query = task->query + q * head_dim;
    float *out = task->out + q * head_dim;
    float scores[SNUG_TILE_TOKENS];
    float max = task->max[q];

    for (size_t t = task->begin[q]; t < task->end[q]; t++) {
        float score = 0.0f;

        for (size_t i = 0; i < head_dim; i++)
            score += query[i] * value_at(type, task->key, t * head_dim + i);
        scores[t] = score;
        max = fmaxf(max, score);
    }
    if (max == -INFINITY) /* nothing seen yet, or nothing that counts */
        return;

    const float shrink = expf(task->max[q] - max);

    task->max[q] = max;
    task->sum[q] *= shrink;
    for (size_t i = 0; i < head_dim; i++)
        out[i] *= shrink;
    for (size_t t = task->begin[q]; t < task->end[q]; t++) {
        const float share = expf(scores[t] - max);

        task->sum[q] += share;
        for (size_t i = 0; i < head_dim; i++)
            out[i] += share * value_at(type, task->value, t * head_dim + i);
    }
}

static void attend(const snug_attend_task *task, snug_type type)
{
    for (size_t q = 0; q < task->queries; q++)
        if (task->begin[q] < task->end[q])
            attend_query(task, type, q);
}

static void attend_f32(const snug_attend_task *task)
{
    attend(task, SNUG_TYPE_F32);
}

static void attend_f16(const snug_attend_task *task)
{
    attend(task, SNUG_TYPE_F16);
}

/* The reference reads queries as they are. */
static void attend_prepare(void *prepared_out, const float *query, size_t queries, size_t head_dim)
{
    (void)prepared_out;
    (void)query;
    (void)queries;
    (void)head_dim;
}

static void attend_coded_tile(const snug_attend_coded_task *task, size_t tile)
{
    const size_t head_dim = task->attend.head_dim;
    float *key = task->attend.scratch;
    float *value = key + SNUG_TILE_TOKENS * snug_round_up(head_dim, 16);
    snug_attend_task decoded = task->attend;
    size_t end = 0;

    decoded.begin += tile * decoded.queries;
    decoded.end += tile * decoded.queries;
    for (size_t q = 0; q < decoded.queries; q++)
        if (decoded.begin[q] < decoded.end[q])
            end = snug_max_size(end, decoded.end[q]);
    if (end == 0)
        return;
    snug_tile_decode(key, &task->key[tile], SNUG_CODES_KEY, head_dim, end);
    snug_tile_decode(value, &task->value[tile], SNUG_CODES_VALUE, head_dim, end);
    decoded.key = key;
    decoded.value = value;
    for (size_t q = 0; q < decoded.queries; q++)
        if (decoded.begin[q] < decoded.end[q])
            attend_query(&decoded, SNUG_TYPE_F32, q);
}

static void attend_coded(const snug_attend_coded_task *task)
{
    for (size_t tile = 0; tile < task->tiles; tile++)
        attend_coded_tile(task, tile);
}

void snug_attend_fill_c(snug_kernels *kernels)
{
    kernels->attend_prepare = attend_prepare;
    kernels->attend_coded = attend_coded;
    kernels->attend[SNUG_TYPE_F32] = attend_f32;
    kernels->attend[SNUG_TYPE_F16] = attend_f16;
}
