/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention_set.c - what a part of attention is: queries that are made ready, and the tiles they go over,
 * in calls of the tile kernels.
 */
#include "kv/attention.h"

#include <math.h>
#include <string.h>

#include "base/status.h"
#include "codec/rotation.h"

snug_kv_walk snug_kv_walk_for(const snug_kv_attend_job *job, uint32_t first, uint32_t last)
{
    const snug_kv_rule *rule = &job->store->rule;
    snug_kv_walk w = {
        .sink_visits = snug_kv_tiles_for(snug_kv_rule_sinks(rule, last).end),
        .first_recent_tile = snug_kv_rule_recent(rule, first).begin / SNUG_TILE_TOKENS,
    };

    w.visits = w.sink_visits + snug_kv_tiles_for(last + 1) - w.first_recent_tile;
    return w;
}

static uint32_t tile_of_visit(const snug_kv_walk *w, uint32_t visit)
{
    return visit < w->sink_visits ? visit : w->first_recent_tile + visit - w->sink_visits;
}

/* The slots of a tile that hold the positions of a range; begin == end when none does. */
static snug_kv_range slots_of(snug_kv_range range, uint32_t tile)
{
    const uint32_t first = tile * SNUG_TILE_TOKENS;
    const uint32_t end = range.end > first ? range.end - first : 0;
    snug_kv_range slots = { range.begin > first ? range.begin - first : 0, end };

    slots.end = (uint32_t)snug_min_size(end, SNUG_TILE_TOKENS);
    slots.begin = (uint32_t)snug_min_size(slots.begin, slots.end);
    return slots;
}

/* What the queries of `tokens` tokens see of a tile. */
static void find_ranges(const snug_kv_attend_job *job, uint32_t *begin_out, uint32_t *end_out,
                        uint32_t first_token, uint32_t tokens, uint32_t tile, bool is_sink)
{
    const snug_kv_rule *rule = &job->store->rule;

    for (uint32_t t = 0; t < tokens; t++) {
        const uint32_t position = job->attention->first_position + first_token + t;
        const snug_kv_range slots = slots_of(
            is_sink ? snug_kv_rule_sinks(rule, position) : snug_kv_rule_recent(rule, position), tile);

        for (uint32_t g = 0; g < job->group; g++) {
            begin_out[t * job->group + g] = slots.begin;
            end_out[t * job->group + g] = slots.end;
        }
    }
}

/* Whether a logical tile is codes for the query at `position`, where a side has codes at all. */
static bool is_coded(const snug_kv_store *store, uint32_t tile, uint32_t position)
{
    const uint32_t own = position / SNUG_TILE_TOKENS;
    const uint32_t end = own < store->recent_tiles ? 0 : own - store->recent_tiles + 1;

    return tile >= store->first_tiles && tile < snug_max_size(end, store->coded_before);
}

static snug_tile tile_of(const snug_kv_store *store, const snug_kv_side *side, uint32_t tile, uint32_t head,
                         bool as_codes)
{
    return as_codes && side->has_codes ? snug_kv_side_codes(side, tile - store->first_tiles, head)
                                       : snug_kv_side_rows(side, tile, head);
}

/* One head's keys and values of visits that go into one call: of codes on both sides and alike, or one. */
typedef struct visit_run {
    snug_tile key[SNUG_ATTEND_RUN_TILES];
    snug_tile value[SNUG_ATTEND_RUN_TILES];
    uint32_t visits;
    bool as_codes; /* of at least one side */
} visit_run;

static bool goes_with(const visit_run *run, const snug_tile *key, const snug_tile *value, bool as_codes)
{
    return as_codes && run->as_codes && snug_tile_is_coded(key->kind) && snug_tile_is_coded(value->kind) &&
           snug_tile_is_like(key, run->key) && snug_tile_is_like(value, run->value);
}

/* The run of a span's first head from `visit` on, of `most` visits at most: none where the span ends. */
static void find_run(visit_run *run, const snug_kv_attend_job *job, const snug_kv_walk *w,
                     const snug_kv_visit_span *span, uint32_t visit, size_t most, uint32_t position)
{
    const snug_kv_store *store = job->store;

    for (run->visits = 0; run->visits < snug_min_size(most, span->end - visit); run->visits++) {
        const uint32_t tile = tile_of_visit(w, visit + run->visits);
        const bool as_codes = is_coded(store, tile, position) && store->has_codes;
        const snug_tile key = tile_of(store, &store->key, tile, span->first_head, as_codes);
        const snug_tile value = tile_of(store, &store->value, tile, span->first_head, as_codes);

        if (run->visits > 0 && !goes_with(run, &key, &value, as_codes))
            return;
        if (run->visits == 0 && as_codes) /* and those that go with it have as many bits */
            most = snug_min_size(
                most, snug_attend_call_tiles(snug_max_size(key.bits, value.bits), store->shape.head_dim));
        run->key[run->visits] = key;
        run->value[run->visits] = value;
        run->as_codes = as_codes;
    }
}

/* The same visits of the next head. */
static void find_run_of_next_head(visit_run *next, const snug_kv_attend_job *job, const visit_run *run)
{
    for (uint32_t i = 0; i < run->visits; i++) {
        next->key[i] = snug_kv_side_next_head(&job->store->key, &run->key[i]);
        next->value[i] = snug_kv_side_next_head(&job->store->value, &run->value[i]);
    }
    next->visits = run->visits;
    next->as_codes = run->as_codes;
}

/* `next`: what comes after it, maybe nothing. */
static void attend_run(const snug_kv_attend_job *job, snug_kv_attend_set *set, uint32_t kv_head,
                       const visit_run *run, const visit_run *next)
{
    const snug_kernels *kernels = job->kv->kernels;
    const bool goes_on = next->visits > 0 && next->as_codes == run->as_codes;
    const snug_kv_ready_queries ready = snug_kv_set_ready(set, kv_head);
    const snug_kv_part_state state = snug_kv_set_state(set, kv_head);

    set->rows.max = state.max;
    set->rows.sum = state.sum;
    set->rows.out = state.out;
    if (run->as_codes) {
        snug_attend_coded_task codes = {
            .attend = set->rows,
            .prepared = ready.prepared,
            .key = run->key,
            .value = run->value,
            .tiles = run->visits,
            .next_key = next->key,
            .next_tiles = goes_on ? next->visits : 0,
        };

        codes.attend.query = ready.turned;
        kernels->attend_coded(&codes);
        return;
    }
    set->rows.query = ready.query;
    set->rows.key = run->key->rows;
    set->rows.value = run->value->rows;
    set->rows.next_key = goes_on ? next->key->rows : NULL;
    kernels->attend[job->store->key.rows->type](&set->rows);
}

/* What has been gathered is of turned values from now on, or of values as they are. */
static void turn_states(const snug_kv_attend_job *job, snug_kv_attend_set *set, bool turned)
{
    const size_t head_dim = set->rows.head_dim;
    const uint64_t seed = job->store->value.seed;

    if (set->is_turned == turned)
        return;
    set->is_turned = turned;
    for (uint32_t head = set->span.first_head; head < set->span.end_head; head++) {
        const snug_kv_part_state state = snug_kv_set_state(set, head);

        for (size_t q = 0; q < set->rows.queries; q++) {
            if (state.sum[q] == 0.0f)
                continue;
            if (turned)
                snug_rotation_apply(state.out + q * head_dim, head_dim, seed);
            else
                snug_rotation_undo(state.out + q * head_dim, head_dim, seed);
        }
    }
}

/* A run of visits is about to begin for all heads. */
static void begin_visits(const snug_kv_attend_job *job, snug_kv_attend_set *set, uint32_t first_token,
                         uint32_t tokens, const snug_kv_walk *w, uint32_t visit, const visit_run *run)
{
    turn_states(job, set, run->as_codes && snug_kv_side_is_turned(&job->store->value));
    for (uint32_t i = 0; i < run->visits; i++)
        find_ranges(job, set->begin + i * set->rows.queries, set->end + i * set->rows.queries, first_token,
                    tokens, tile_of_visit(w, visit + i), visit + i < w->sink_visits);
}

/* All heads go over a run of visits before the next one: heads of a tile lie side by side, and what the
 * processor fetches beyond the end of one's planes is of use so. */
void snug_kv_run_visits(const snug_kv_attend_job *job, snug_kv_attend_set *set, uint32_t first_token,
                        uint32_t tokens, const snug_kv_walk *w, const snug_kv_visit_span *then)
{
    const uint32_t position = job->attention->first_position + first_token;
    const snug_kv_visit_span *span = &set->span;
    visit_run runs[2]; /* the one that is attended to and what comes next, in turn */
    visit_run *run = &runs[0];
    visit_run *next = &runs[1];

    find_run(run, job, w, span, span->begin, set->call_tiles, position);
    for (uint32_t visit = span->begin, head = span->first_head; visit < span->end;) {
        const bool is_last_head = head + 1 == span->end_head;
        const uint32_t next_visit = is_last_head ? visit + run->visits : visit;
        visit_run *done = run;

        if (!is_last_head)
            find_run_of_next_head(next, job, run);
        else if (next_visit < span->end)
            find_run(next, job, w, span, next_visit, set->call_tiles, position);
        else
            find_run(next, job, w, then, then->begin, set->call_tiles, position);
        if (head == span->first_head)
            begin_visits(job, set, first_token, tokens, w, visit, run);
        attend_run(job, set, head, run, next);
        visit = next_visit;
        head = is_last_head ? span->first_head : head + 1;
        run = next;
        next = done;
    }
    turn_states(job, set, job->is_turned);
}

/* Scaled queries of `tokens` tokens for one KV head: [token][head of the group][head_dim]. */
static void gather_queries(float *query_out, const snug_kv_attend_job *job, uint32_t kv_head,
                           uint32_t first_token, uint32_t tokens)
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

void snug_kv_make_ready(const snug_kv_ready_queries *ready, const snug_kv_attend_job *job, uint32_t kv_head,
                        uint32_t first_token, uint32_t tokens)
{
    const snug_kv_store *store = job->store;
    const size_t head_dim = store->shape.head_dim;
    const size_t queries = (size_t)tokens * job->group;

    gather_queries(ready->query, job, kv_head, first_token, tokens);
    if (!store->has_codes)
        return;
    memcpy(ready->turned, ready->query, queries * head_dim * sizeof(float));
    for (size_t q = 0; q < queries && snug_kv_side_is_turned(&store->key); q++)
        snug_rotation_apply(ready->turned + q * head_dim, head_dim, store->key.seed);
    job->kv->kernels->attend_prepare(ready->prepared, ready->turned, queries, head_dim);
}

void snug_kv_set_lay_out(snug_kv_attend_set *set, const snug_kv_attend_job *job, uint32_t worker,
                         size_t queries, uint32_t call_tiles)
{
    const size_t head_dim = job->store->shape.head_dim;
    unsigned char *base =
        (unsigned char *)job->attention->thread_scratch + worker * snug_kv_thread_scratch_bytes(head_dim);

    SNUG_ASSERT_DEBUG(queries * call_tiles <= SNUG_ATTEND_QUERIES_MAX);
    *set =
        (snug_kv_attend_set){ .ready = base + snug_attend_scratch_bytes(head_dim), .call_tiles = call_tiles };

    const snug_kv_ready_queries ready = snug_kv_ready_at(set->ready, queries, head_dim);

    set->begin = (uint32_t *)(void *)(ready.turned + queries * head_dim);
    set->end = set->begin + call_tiles * queries;
    set->state = (float *)(void *)(set->end + call_tiles * queries);
    set->rows = (snug_attend_task){
        .begin = set->begin,
        .end = set->end,
        .queries = queries,
        .head_dim = head_dim,
        .scratch = base,
    };
}

void snug_kv_set_begin(snug_kv_attend_set *set)
{
    const size_t queries = set->rows.queries;

    set->is_turned = false;
    for (uint32_t head = set->span.first_head; head < set->span.end_head; head++) {
        const snug_kv_part_state state = snug_kv_set_state(set, head);

        for (size_t i = 0; i < queries; i++)
            state.max[i] = -INFINITY;
        memset(state.sum, 0, queries * sizeof(float));
        memset(state.out, 0, queries * set->rows.head_dim * sizeof(float));
    }
}
