/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention.c - attention of new tokens over the cache. For a chunk of tokens a part is (KV head, group of
 * tokens), whatever the number of threads.
 */
#include "kv/attention.h"

#include <string.h>

#include "base/status.h"

static void attend_token_part(void *user, size_t part, uint32_t worker)
{
    const snug_kv_attend_job *job = user;
    const snug_kv_attention *a = job->attention;
    const size_t head_dim = job->store->shape.head_dim;
    const uint32_t kv_head = (uint32_t)(part % job->store->shape.kv_head_count);
    /* The last tokens see most: they come first, so that no thread ends up alone with the longest part. */
    const uint32_t token_part = job->token_parts - 1 - (uint32_t)(part / job->store->shape.kv_head_count);
    const uint32_t first = token_part * job->tokens_per_part;
    const uint32_t tokens = (uint32_t)snug_min_size(job->tokens_per_part, a->tokens - first);
    const size_t queries = (size_t)tokens * job->group;
    const snug_kv_walk w =
        snug_kv_walk_for(job, a->first_position + first, a->first_position + first + tokens - 1);
    snug_kv_attend_set set;

    snug_kv_set_lay_out(&set, job, worker, queries, 1); /* a chunk's products do not wait for memory */
    set.span = (snug_kv_visit_span){ kv_head, kv_head + 1, 0, w.visits };
    snug_kv_set_begin(&set);

    const snug_kv_ready_queries ready = snug_kv_set_ready(&set, kv_head);
    const snug_kv_part_state state = snug_kv_set_state(&set, kv_head);

    snug_kv_make_ready(&ready, job, kv_head, first, tokens);
    snug_kv_run_visits(job, &set, first, tokens, &w, &(snug_kv_visit_span){ 0 });
    for (size_t q = 0; q < queries; q++) {
        const size_t token = first + q / job->group;
        float *out = a->out + (token * a->head_count + kv_head * job->group + q % job->group) * head_dim;

        memcpy(out, state.out + q * head_dim, head_dim * sizeof(float));
        job->kv->kernels->scale(out, 1.0f / state.sum[q], head_dim);
    }
}

void snug_kv_attend(const snug_kv *kv, snug_work *work, const snug_kv_attention *attention)
{
    const snug_kv_layer *layer = &kv->store[attention->layer].shape;
    const snug_kv_store *store = &kv->store[layer->is_shared ? layer->source : attention->layer];
    snug_kv_attend_job job = {
        .kv = kv,
        .store = store,
        .attention = attention,
        .group = attention->head_count / store->shape.kv_head_count,
    };

    SNUG_ASSERT(job.group >= 1 && job.group <= SNUG_ATTEND_QUERIES_MAX);
    SNUG_ASSERT(!layer->is_shared || attention->tokens <= kv->pass_tokens);
    if (attention->tokens == 1 && !attention->is_piece) {
        snug_kv_attend_token(&job, work);
        return;
    }
    job.tokens_per_part = SNUG_ATTEND_QUERIES_MAX / job.group;
    job.token_parts = (uint32_t)snug_divide_up(attention->tokens, job.tokens_per_part);
    snug_work_run_watched(work, attend_token_part, &job,
                          (size_t)job.token_parts * store->shape.kv_head_count);
}
