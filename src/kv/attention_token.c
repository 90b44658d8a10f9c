/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention_token.c - attention of one token. Over a long context a part is a run of visits of all KV heads,
 * or of some where there are many threads. Queries are made ready once for all parts; the partial states
 * (max, sum, out) of a head's runs are merged in order afterwards.
 *
 * Runs depend on positions and shapes only, never on the number of threads, and how heads go together changes
 * nothing of what one of them gets: the same bits with any.
 *
 * One head at a time, 16,384 tokens, two threads of Sapphire Rapids at 31 GB/s, 2 queries a KV head: f16
 * reads at 85 % of that, planes of 8 bits at 68 %, of 4 bits at 77 %; all 8 heads: 93, 83 and 83 %.
 *
 * In scratch: the queries of all KV heads that are ready, then the states, [kv_head][SNUG_KV_PARTS_MAX].
 */
#include "kv/attention.h"

#include <math.h>
#include <string.h>

#include "codec/rotation.h"

enum {
    RUN_VISITS_MIN = 8, /* up to here one run is cheaper than merging */
    PARTS_OF_THREAD = 2 /* at least, as far as there are heads */
};

/* Of a query that is ready; a multiple of 64, as `prepared` has to lie. */
static size_t ready_bytes(size_t head_dim)
{
    return snug_attend_prepared_bytes(head_dim) + snug_round_up(2 * head_dim * sizeof(float), 64);
}

static unsigned char *ready_place(const snug_kv_attend_job *job, size_t kv_head)
{
    unsigned char *base = job->attention->parts_scratch;

    return base + kv_head * job->group * ready_bytes(job->store->shape.head_dim);
}

/* Of the state of a head's queries. */
static size_t state_floats(const snug_kv_attend_job *job)
{
    return job->group * (job->store->shape.head_dim + 2);
}

static float *state_place(const snug_kv_attend_job *job, size_t kv_head, size_t run)
{
    float *base = (float *)(void *)ready_place(job, job->store->shape.kv_head_count);

    return base + (kv_head * SNUG_KV_PARTS_MAX + run) * state_floats(job);
}

static void make_head_ready(void *user, size_t kv_head, uint32_t worker)
{
    const snug_kv_attend_job *job = user;
    const snug_kv_ready_queries ready =
        snug_kv_ready_at(ready_place(job, kv_head), job->group, job->store->shape.head_dim);

    (void)worker;
    snug_kv_make_ready(&ready, job, (uint32_t)kv_head, 0, 1);
}

/* Run `run` of the visits: units of calls in equal numbers, or the first ones have one more. */
static uint32_t begin_of_run(const snug_kv_attend_job *job, const snug_kv_walk *w, size_t run)
{
    const size_t units = snug_divide_up(w->visits, SNUG_ATTEND_RUN_TILES);

    return (uint32_t)snug_min_size(snug_divide_up(run * units, job->runs) * SNUG_ATTEND_RUN_TILES, w->visits);
}

/* The last run comes first and the first one next: they have tiles of rows, whose bytes take longer, and no
 * thread shall end up alone with them. Beyond the last part it is no run. */
static size_t run_of_part(const snug_kv_attend_job *job, size_t part)
{
    const size_t turn = part / snug_divide_up(job->store->shape.kv_head_count, job->heads_per_part);

    return turn < job->runs ? (turn + job->runs - 1) % job->runs : job->runs;
}

static snug_kv_visit_span span_of(const snug_kv_attend_job *job, const snug_kv_walk *w, size_t part)
{
    const uint32_t kv_heads = job->store->shape.kv_head_count;
    const size_t run = run_of_part(job, part);
    const uint32_t head =
        (uint32_t)(part % snug_divide_up(kv_heads, job->heads_per_part)) * job->heads_per_part;

    if (run >= job->runs)
        return (snug_kv_visit_span){ 0 };
    return (snug_kv_visit_span){ head, (uint32_t)snug_min_size(head + job->heads_per_part, kv_heads),
                                 begin_of_run(job, w, run), begin_of_run(job, w, run + 1) };
}

static void attend_visit_part(void *user, size_t part, uint32_t worker)
{
    const snug_kv_attend_job *job = user;
    const uint32_t position = job->attention->first_position;
    const snug_kv_walk w = snug_kv_walk_for(job, position, position);
    /* Threads that take parts of one length in turn. */
    const snug_kv_visit_span then = span_of(job, &w, part + job->threads);
    snug_kv_attend_set set;

    snug_kv_set_lay_out(&set, job, worker, job->group,
                        (uint32_t)snug_min_size(SNUG_ATTEND_RUN_TILES, SNUG_ATTEND_QUERIES_MAX / job->group));
    set.span = span_of(job, &w, part);
    set.ready = ready_place(job, set.span.first_head);
    set.ready_bytes = job->group * ready_bytes(set.rows.head_dim);
    set.state = state_place(job, set.span.first_head, run_of_part(job, part));
    set.state_floats = SNUG_KV_PARTS_MAX * state_floats(job);
    set.rows.takes_rows = true; /* its parts are merged in another order than a chunk's sums, too */
    snug_kv_set_begin(&set);
    snug_kv_run_visits(job, &set, 0, 1, &w, &then);
}

/* out = sum of the runs, each brought to the common maximum; in their order, so always the same bits. */
static void merge_query(const snug_kv_attend_job *job, size_t kv_head, uint32_t g)
{
    const snug_kv_attention *a = job->attention;
    const size_t head_dim = job->store->shape.head_dim;
    float *out = a->out + (kv_head * job->group + g) * head_dim;
    float max = -INFINITY;
    float sum = 0.0f;

    for (uint32_t run = 0; run < job->runs; run++)
        max = fmaxf(max, snug_kv_state_at(state_place(job, kv_head, run), job->group).max[g]);
    memset(out, 0, head_dim * sizeof(float));
    for (uint32_t run = 0; run < job->runs; run++) {
        const snug_kv_part_state state = snug_kv_state_at(state_place(job, kv_head, run), job->group);
        const float weight = expf(state.max[g] - max);

        sum += weight * state.sum[g];
        for (size_t i = 0; i < head_dim; i++)
            out[i] += weight * state.out[g * head_dim + i];
    }
    job->kv->kernels->scale(out, 1.0f / sum, head_dim);
    if (job->is_turned)
        snug_rotation_undo(out, head_dim, job->store->value.seed);
}

static void merge_head(void *user, size_t kv_head, uint32_t worker)
{
    const snug_kv_attend_job *job = user;

    (void)worker;
    for (uint32_t g = 0; g < job->group; g++)
        merge_query(job, kv_head, g);
}

/* All of it for a head whose visits are one run. */
static void attend_head(void *user, size_t kv_head, uint32_t worker)
{
    make_head_ready(user, kv_head, worker);
    attend_visit_part(user, kv_head, worker);
    merge_head(user, kv_head, worker);
}

/* All heads, or as many as leave each thread some parts. */
static uint32_t heads_of_part(const snug_kv_attend_job *job)
{
    uint32_t heads = job->store->shape.kv_head_count;

    while (heads > 1 && job->runs * snug_divide_up(job->store->shape.kv_head_count, heads) <
                            (size_t)PARTS_OF_THREAD * job->threads)
        heads = (heads + 1) / 2;
    return heads;
}

void snug_kv_attend_token(snug_kv_attend_job *job, snug_work *work)
{
    const uint32_t position = job->attention->first_position;
    const uint32_t visits = snug_kv_walk_for(job, position, position).visits;
    const uint32_t kv_heads = job->store->shape.kv_head_count;

    job->threads = snug_work_threads(work);
    job->is_turned = snug_kv_side_is_turned(&job->store->value);
    if (visits <= RUN_VISITS_MIN) {
        job->runs = job->heads_per_part = 1;
        snug_work_run_watched(work, attend_head, job, kv_heads);
        return;
    }
    job->runs = (uint32_t)snug_min_size(snug_divide_up(visits, RUN_VISITS_MIN), SNUG_KV_PARTS_MAX);
    job->heads_per_part = heads_of_part(job);
    snug_work_run_watched(work, make_head_ready, job, kv_heads);
    snug_work_run_watched(work, attend_visit_part, job,
                          job->runs * snug_divide_up(kv_heads, job->heads_per_part));
    snug_work_run_watched(work, merge_head, job, kv_heads);
}

size_t snug_kv_parts_scratch_bytes(uint32_t head_count, uint32_t head_dim)
{
    return head_count * (ready_bytes(head_dim) + SNUG_KV_PARTS_MAX * (head_dim + 2) * sizeof(float));
}
