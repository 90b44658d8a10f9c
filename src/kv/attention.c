/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention.c - splits attention into independent parts and runs the tile kernel over the tiles of each.
 *
 * What a set of queries goes over is a row of visits: first the tiles of the sinks, then those of the recent
 * tokens. A tile that holds both is visited twice; what each query sees of it does not overlap.
 *
 * All query heads that share a KV head go through a tile together, so that it is read once. For a chunk of
 * tokens a part is (KV head, group of tokens). For a single token over a long context a part is (KV head,
 * run of visits): its queries are made ready once for all parts of a head, and the partial states (max, sum,
 * out) are merged in order afterwards. How the work is split depends on positions and shapes only, never on
 * the number of threads: the same bits with any.
 */
#include "kv/parts.h"

#include <math.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "codec/rotation.h"

/* Below this many visits one part per KV head is cheaper than merging. */
#define PART_VISITS_MIN 8

/* More parts than this are of no use to the threads there are, and each has its price. */
#define TOKEN_PARTS_MAX 64

/* State of a run of visits for a set of queries, laid out in scratch: max and sum, then out. */
typedef struct part_state {
    float *max; /* [queries] */
    float *sum; /* [queries] */
    float *out; /* [queries][head_dim] */
} part_state;

/* Queries of one KV head: scaled, and what tiles of codes need of them. */
typedef struct ready_queries {
    float *query;
    float *turned; /* the same where keys are turned */
    void *prepared;
} ready_queries;

typedef struct attend_job {
    const snug_kv *kv;
    const snug_kv_store *store;
    const snug_kv_attention *attention;
    uint32_t group;           /* query heads of one KV head */
    uint32_t tokens_per_part; /* a chunk: tokens whose queries go together */
    uint32_t token_parts;
    uint32_t visit_parts; /* a single token: runs of visits */
    uint32_t visits_per_part;
    uint32_t threads; /* that share them */
    bool is_turned;   /* the states of parts are of turned values, as codes are */
} attend_job;

/* The tiles that some tokens see: those of the sinks from the first on, then a run of recent ones. */
typedef struct walk {
    uint32_t sink_visits;
    uint32_t first_recent_tile;
    uint32_t visits; /* in all */
} walk;

/* For the tokens from position `first` to `last`. */
static walk walk_for(const attend_job *job, uint32_t first, uint32_t last)
{
    const snug_kv_rule *rule = &job->store->rule;
    walk w = {
        .sink_visits = snug_kv_tiles_for(snug_kv_rule_sinks(rule, last).end),
        .first_recent_tile = snug_kv_rule_recent(rule, first).begin / SNUG_TILE_TOKENS,
    };

    w.visits = w.sink_visits + snug_kv_tiles_for(last + 1) - w.first_recent_tile;
    return w;
}

static uint32_t tile_of_visit(const walk *w, uint32_t visit)
{
    return visit < w->sink_visits ? visit : w->first_recent_tile + visit - w->sink_visits;
}

static part_state state_at(float *base, size_t queries)
{
    return (part_state){ .max = base, .sum = base + queries, .out = base + 2 * queries };
}

static ready_queries ready_at(unsigned char *base, size_t queries, size_t head_dim)
{
    float *query = (float *)(void *)(base + queries * snug_attend_prepared_bytes(head_dim));

    return (ready_queries){ .query = query, .turned = query + queries * head_dim, .prepared = base };
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
static void find_ranges(const attend_job *job, uint32_t *begin_out, uint32_t *end_out, uint32_t first_token,
                        uint32_t tokens, uint32_t tile, bool is_sink)
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

/*
 * Everything a thread needs for a set of queries of one KV head; all in its scratch. Codes may be of turned
 * vectors, so what tiles of codes give is gathered by itself and folded in at the end.
 */
typedef struct attend_set {
    snug_attend_task rows;
    snug_attend_coded_task codes;
    bool has_seen_codes;
    ready_queries ready;
    uint32_t *begin; /* [most tiles of a call][queries] */
    uint32_t *end;   /* the same */
    uint32_t call_tiles;
    part_state state; /* of rows, and in the end of all; of the caller's choice where there are parts */
    part_state coded;
} attend_set;

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

/* Visits of one KV head: what a part goes over, maybe nothing. */
typedef struct visit_span {
    uint32_t kv_head;
    uint32_t begin;
    uint32_t end;
} visit_span;

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

/* The run of a span from `visit` on, of `most` visits at most: none where the span ends there. */
static void find_run(visit_run *run, const attend_job *job, const walk *w, const visit_span *span,
                     uint32_t visit, uint32_t most, uint32_t position)
{
    const snug_kv_store *store = job->store;

    for (run->visits = 0; run->visits < snug_min_size(most, span->end - visit); run->visits++) {
        const uint32_t tile = tile_of_visit(w, visit + run->visits);
        const bool as_codes = is_coded(store, tile, position);
        const snug_tile key = tile_of(store, &store->key, tile, span->kv_head, as_codes);
        const snug_tile value = tile_of(store, &store->value, tile, span->kv_head, as_codes);

        if (run->visits > 0 && !goes_with(run, &key, &value, as_codes && store->has_codes))
            return;
        run->key[run->visits] = key;
        run->value[run->visits] = value;
        run->as_codes = as_codes && store->has_codes;
    }
}

/* `next`: what comes after it, maybe nothing. */
static void attend_run(const attend_job *job, attend_set *set, const visit_run *run, const visit_run *next)
{
    const snug_kernels *kernels = job->kv->kernels;
    const bool goes_on = next->visits > 0 && next->as_codes == run->as_codes;

    if (run->as_codes) {
        set->codes.key = run->key;
        set->codes.value = run->value;
        set->codes.tiles = run->visits;
        set->codes.next_key = next->key;
        set->codes.next_tiles = goes_on ? next->visits : 0;
        set->has_seen_codes = true;
        kernels->attend_coded(&set->codes);
        return;
    }
    set->rows.key = run->key->rows;
    set->rows.value = run->value->rows;
    set->rows.next_key = goes_on ? next->key->rows : NULL;
    kernels->attend[job->store->key.rows->type](&set->rows);
}

/* What tiles of codes gave and what rows gave, together; of turned values or not, as the job wants it. */
static void fold_codes(const attend_job *job, attend_set *set)
{
    const snug_kv_side *value = &job->store->value;
    const size_t head_dim = value->head_dim;

    for (size_t q = 0; q < set->rows.queries; q++) {
        const float max = fmaxf(set->state.max[q], set->coded.max[q]);
        const float weight = max == -INFINITY ? 0.0f : expf(set->state.max[q] - max);
        const float coded_weight = max == -INFINITY ? 0.0f : expf(set->coded.max[q] - max);
        float *out = set->state.out + q * head_dim;
        float *coded = set->coded.out + q * head_dim;

        if (job->is_turned && weight > 0.0f)
            snug_rotation_apply(out, head_dim, value->seed);
        if (!job->is_turned && snug_kv_side_is_turned(value))
            snug_rotation_undo(coded, head_dim, value->seed);
        for (size_t i = 0; i < head_dim; i++)
            out[i] = weight * out[i] + coded_weight * coded[i];
        set->state.sum[q] = weight * set->state.sum[q] + coded_weight * set->coded.sum[q];
        set->state.max[q] = max;
    }
}

/* `then`: what this thread will probably go over next; its beginning is fetched. */
static void run_visits(const attend_job *job, attend_set *set, uint32_t first_token, uint32_t tokens,
                       const walk *w, const visit_span *span, const visit_span *then)
{
    const uint32_t position = job->attention->first_position + first_token;
    visit_run runs[2]; /* the one that is attended to and what comes next, in turn */
    visit_run *run = &runs[0];
    visit_run *next = &runs[1];

    find_run(run, job, w, span, span->begin, set->call_tiles, position);
    for (uint32_t visit = span->begin; visit < span->end;) {
        const uint32_t after = visit + run->visits;
        visit_run *done = run;

        if (after < span->end)
            find_run(next, job, w, span, after, set->call_tiles, position);
        else
            find_run(next, job, w, then, then->begin, set->call_tiles, position);
        for (uint32_t i = 0; i < run->visits; i++)
            find_ranges(job, set->begin + i * set->rows.queries, set->end + i * set->rows.queries,
                        first_token, tokens, tile_of_visit(w, visit + i), visit + i < w->sink_visits);
        attend_run(job, set, run, next);
        visit = after;
        run = next;
        next = done;
    }
    if (set->has_seen_codes || job->is_turned)
        fold_codes(job, set);
}

/* Queries of some tokens for one KV head. */
static void make_ready(const ready_queries *ready, const attend_job *job, uint32_t kv_head,
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

/* Tasks over one state. */
static void use_state(attend_set *set, const part_state *state)
{
    set->state = *state;
    state_reset(state, set->rows.queries, set->rows.head_dim);
    set->rows.max = state->max;
    set->rows.sum = state->sum;
    set->rows.out = state->out;
}

/* Lay out the thread's scratch, for calls of `call_tiles` tiles at most. */
static void lay_out(attend_set *set, const attend_job *job, uint32_t worker, size_t queries,
                    uint32_t call_tiles)
{
    const size_t head_dim = job->store->shape.head_dim;
    unsigned char *base =
        (unsigned char *)job->attention->thread_scratch + worker * snug_kv_thread_scratch_bytes(head_dim);

    SNUG_ASSERT_DEBUG(queries * call_tiles <= SNUG_ATTEND_QUERIES_MAX);
    *set = (attend_set){ .ready = ready_at(base + snug_attend_scratch_bytes(head_dim), queries, head_dim),
                         .call_tiles = call_tiles };
    set->begin = (uint32_t *)(void *)(set->ready.turned + queries * head_dim);
    set->end = set->begin + call_tiles * queries;
    set->state = state_at((float *)(void *)(set->end + call_tiles * queries), queries);
    set->coded = state_at(set->state.out + queries * head_dim, queries);
    set->rows = (snug_attend_task){
        .begin = set->begin,
        .end = set->end,
        .queries = queries,
        .head_dim = head_dim,
        .scratch = base,
    };
}

/* Queries that are ready, and states at their beginning. */
static void begin_set(attend_set *set, const attend_job *job, const ready_queries *ready,
                      const part_state *state)
{
    set->rows.query = ready->query;
    use_state(set, state);
    if (!job->store->has_codes)
        return;
    state_reset(&set->coded, set->rows.queries, set->rows.head_dim);
    set->codes = (snug_attend_coded_task){ .attend = set->rows, .prepared = ready->prepared };
    set->codes.attend.query = ready->turned;
    set->codes.attend.max = set->coded.max;
    set->codes.attend.sum = set->coded.sum;
    set->codes.attend.out = set->coded.out;
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
    const walk w = walk_for(job, a->first_position + first, a->first_position + first + tokens - 1);
    attend_set set;

    lay_out(&set, job, worker, queries, 1); /* a chunk's products do not wait for memory */
    make_ready(&set.ready, job, kv_head, first, tokens);
    begin_set(&set, job, &set.ready, &set.state);
    run_visits(job, &set, first, tokens, &w, &(visit_span){ kv_head, 0, w.visits }, &(visit_span){ 0 });
    for (size_t q = 0; q < queries; q++) {
        const size_t token = first + q / job->group;
        float *out = a->out + (token * a->head_count + kv_head * job->group + q % job->group) * head_dim;

        memcpy(out, set.state.out + q * head_dim, head_dim * sizeof(float));
        job->kv->kernels->scale(out, 1.0f / set.state.sum[q], head_dim);
    }
}

/* --- one token: queries of all KV heads lie before the states of parts in scratch ---------------------- */

/* Of a query that is ready; a multiple of 64, as `prepared` has to lie. */
static size_t ready_bytes(size_t head_dim)
{
    return snug_attend_prepared_bytes(head_dim) + snug_round_up(2 * head_dim * sizeof(float), 64);
}

static ready_queries ready_of_head(const attend_job *job, size_t kv_head)
{
    const size_t head_dim = job->store->shape.head_dim;
    unsigned char *base = job->attention->parts_scratch;

    return ready_at(base + kv_head * job->group * ready_bytes(head_dim), job->group, head_dim);
}

static part_state state_of_part(const attend_job *job, size_t kv_head, size_t visit_part)
{
    const size_t head_dim = job->store->shape.head_dim;
    const size_t floats = job->group * (head_dim + 2);
    unsigned char *base =
        (unsigned char *)job->attention->parts_scratch + job->attention->head_count * ready_bytes(head_dim);

    return state_at((float *)(void *)base + (kv_head * SNUG_KV_PARTS_MAX + visit_part) * floats, job->group);
}

static void make_head_ready(void *user, size_t kv_head, uint32_t worker)
{
    const attend_job *job = user;
    const ready_queries ready = ready_of_head(job, kv_head);

    (void)worker;
    make_ready(&ready, job, (uint32_t)kv_head, 0, 1);
}

static visit_span span_of(const attend_job *job, const walk *w, size_t part)
{
    const uint32_t begin = (uint32_t)(part % job->visit_parts) * job->visits_per_part;
    const uint32_t kv_head = (uint32_t)(part / job->visit_parts);

    if (kv_head >= job->store->shape.kv_head_count)
        return (visit_span){ 0 };
    return (visit_span){ kv_head, begin, (uint32_t)snug_min_size(begin + job->visits_per_part, w->visits) };
}

static void attend_visit_part(void *user, size_t part, uint32_t worker)
{
    const attend_job *job = user;
    const uint32_t position = job->attention->first_position;
    const walk w = walk_for(job, position, position);
    const visit_span span = span_of(job, &w, part);
    /* Threads that take parts of one length in turn. */
    const visit_span then = span_of(job, &w, part + job->threads);
    const ready_queries ready = ready_of_head(job, span.kv_head);
    const part_state state = state_of_part(job, span.kv_head, part % job->visit_parts);
    attend_set set;

    lay_out(&set, job, worker, job->group,
            (uint32_t)snug_min_size(SNUG_ATTEND_RUN_TILES, SNUG_ATTEND_QUERIES_MAX / job->group));
    set.rows.takes_rows = true; /* its parts are merged in another order than a chunk's sums, too */
    begin_set(&set, job, &ready, &state);
    run_visits(job, &set, 0, 1, &w, &span, &then);
}

/* out = sum of parts, each brought to the common maximum; in the order of the parts, so always the same
 * bits. */
static void merge_query(const attend_job *job, size_t kv_head, uint32_t g)
{
    const snug_kv_attention *a = job->attention;
    const size_t head_dim = job->store->shape.head_dim;
    float *out = a->out + (kv_head * job->group + g) * head_dim;
    float max = -INFINITY;
    float sum = 0.0f;

    for (uint32_t p = 0; p < job->visit_parts; p++)
        max = fmaxf(max, state_of_part(job, kv_head, p).max[g]);
    memset(out, 0, head_dim * sizeof(float));
    for (uint32_t p = 0; p < job->visit_parts; p++) {
        const part_state state = state_of_part(job, kv_head, p);
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
    const attend_job *job = user;

    (void)worker;
    for (uint32_t g = 0; g < job->group; g++)
        merge_query(job, kv_head, g);
}

/* All of it for a head whose visits are one part. */
static void attend_head(void *user, size_t kv_head, uint32_t worker)
{
    make_head_ready(user, kv_head, worker);
    attend_visit_part(user, kv_head, worker);
    merge_head(user, kv_head, worker);
}

static void attend_one_token(attend_job *job, snug_work *work)
{
    const uint32_t position = job->attention->first_position;
    const uint32_t visits = walk_for(job, position, position).visits;
    const uint32_t kv_heads = job->store->shape.kv_head_count;
    const size_t most = snug_max_size(1, snug_min_size(TOKEN_PARTS_MAX / kv_heads, SNUG_KV_PARTS_MAX));

    job->visit_parts = (uint32_t)snug_min_size(snug_divide_up(visits, PART_VISITS_MIN), most);
    job->visits_per_part = (uint32_t)snug_divide_up(visits, job->visit_parts);
    job->visit_parts = (uint32_t)snug_divide_up(visits, job->visits_per_part);
    job->threads = snug_work_threads(work);
    job->is_turned = job->store->has_codes && snug_kv_side_is_turned(&job->store->value);
    if (job->visit_parts == 1) {
        snug_work_run_watched(work, attend_head, job, kv_heads);
        return;
    }
    snug_work_run_watched(work, make_head_ready, job, kv_heads);
    snug_work_run_watched(work, attend_visit_part, job, (size_t)kv_heads * job->visit_parts);
    snug_work_run_watched(work, merge_head, job, kv_heads);
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
    SNUG_ASSERT(!layer->is_shared || attention->tokens <= kv->pass_tokens);
    if (attention->tokens == 1 && !attention->is_piece) {
        attend_one_token(&job, work);
        return;
    }
    job.tokens_per_part = SNUG_ATTEND_QUERIES_MAX / job.group;
    job.token_parts = (uint32_t)snug_divide_up(attention->tokens, job.tokens_per_part);
    snug_work_run_watched(work, attend_token_part, &job,
                          (size_t)job.token_parts * store->shape.kv_head_count);
}

size_t snug_kv_parts_scratch_bytes(uint32_t head_count, uint32_t head_dim)
{
    return head_count * (ready_bytes(head_dim) + SNUG_KV_PARTS_MAX * (head_dim + 2) * sizeof(float));
}
