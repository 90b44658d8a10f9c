/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention.h - how attention over a cache is split, for the files that do it: attention.c for a chunk of
 * tokens, attention_token.c for one token, attention_set.c what both have in common.
 *
 * What a set of queries goes over is a row of visits: first the tiles of the sinks, then those of the recent
 * tokens. A tile that holds both is visited twice; what each query sees of it does not overlap.
 *
 * All query heads that share a KV head go through a tile together, so that it is read once.
 */
#ifndef SNUG_SRC_KV_ATTENTION_H
#define SNUG_SRC_KV_ATTENTION_H

#include "base/size.h"
#include "kv/parts.h"

/* State of a run of visits for a set of queries, laid out in scratch: max and sum, then out. */
typedef struct snug_kv_part_state {
    float *max; /* [queries] */
    float *sum; /* [queries] */
    float *out; /* [queries][head_dim] */
} snug_kv_part_state;

/* Queries of one KV head: scaled, and what tiles of codes need of them. */
typedef struct snug_kv_ready_queries {
    float *query;
    float *turned; /* the same where keys are turned */
    void *prepared;
} snug_kv_ready_queries;

typedef struct snug_kv_attend_job {
    const snug_kv *kv;
    const snug_kv_store *store;
    const snug_kv_attention *attention;
    uint32_t group;           /* query heads of one KV head */
    uint32_t tokens_per_part; /* a chunk: tokens whose queries go together */
    uint32_t token_parts;
    uint32_t runs; /* a single token: of visits */
    uint32_t heads_per_part;
    uint32_t threads; /* that share them */
    bool is_turned;   /* the states of parts are of turned values, as codes are */
} snug_kv_attend_job;

/* The tiles that some tokens see: those of the sinks from the first on, then a run of recent ones. */
typedef struct snug_kv_walk {
    uint32_t sink_visits;
    uint32_t first_recent_tile;
    uint32_t visits; /* in all */
} snug_kv_walk;

/* KV heads, and visits of each: what a part goes over, maybe nothing. */
typedef struct snug_kv_visit_span {
    uint32_t first_head;
    uint32_t end_head;
    uint32_t begin;
    uint32_t end;
} snug_kv_visit_span;

/*
 * What a thread needs for the queries of a span, those of each of its KV heads after the other. Codes may be
 * of turned vectors. What has been gathered is turned when the kind of the visits changes, which for all
 * heads it does at the same visit.
 */
typedef struct snug_kv_attend_set {
    snug_kv_visit_span span;
    snug_attend_task rows; /* and what calls over codes have in common with it */
    unsigned char *ready;  /* as snug_kv_ready_at() has them; of the span's first head */
    size_t ready_bytes;    /* from one head's to the next */
    float *state;          /* as snug_kv_state_at() has them, the same */
    size_t state_floats;
    bool is_turned;  /* the states */
    uint32_t *begin; /* [most tiles of a call][queries] */
    uint32_t *end;   /* the same */
    uint32_t call_tiles;
} snug_kv_attend_set;

/* For the tokens from position `first` to `last`. */
snug_kv_walk snug_kv_walk_for(const snug_kv_attend_job *job, uint32_t first, uint32_t last);

static inline snug_kv_part_state snug_kv_state_at(float *base, size_t queries)
{
    return (snug_kv_part_state){ .max = base, .sum = base + queries, .out = base + 2 * queries };
}

static inline snug_kv_ready_queries snug_kv_ready_at(unsigned char *base, size_t queries, size_t head_dim)
{
    float *query = (float *)(void *)(base + queries * snug_attend_prepared_bytes(head_dim));

    return (snug_kv_ready_queries){ .query = query, .turned = query + queries * head_dim, .prepared = base };
}

/* Of one head of a set's span. */
static inline snug_kv_ready_queries snug_kv_set_ready(const snug_kv_attend_set *set, uint32_t kv_head)
{
    const size_t i = kv_head - set->span.first_head;

    return snug_kv_ready_at(set->ready + i * set->ready_bytes, set->rows.queries, set->rows.head_dim);
}

static inline snug_kv_part_state snug_kv_set_state(const snug_kv_attend_set *set, uint32_t kv_head)
{
    const size_t i = kv_head - set->span.first_head;

    return snug_kv_state_at(set->state + i * set->state_floats, set->rows.queries);
}

/* Lay out the thread's scratch for sets of `queries` queries and calls of `call_tiles` tiles at most. */
void snug_kv_set_lay_out(snug_kv_attend_set *set, const snug_kv_attend_job *job, uint32_t worker,
                         size_t queries, uint32_t call_tiles);

/* The states of the set's span are of nothing yet. */
void snug_kv_set_begin(snug_kv_attend_set *set);

/* Queries of some tokens for one KV head: scaled, and as tiles of codes need them. */
void snug_kv_make_ready(const snug_kv_ready_queries *ready, const snug_kv_attend_job *job, uint32_t kv_head,
                        uint32_t first_token, uint32_t tokens);

/* Attention of the tokens from `first_token` on over the set's span. `then`: what this thread will probably
 * go over next, maybe nothing; its beginning is fetched. */
void snug_kv_run_visits(const snug_kv_attend_job *job, snug_kv_attend_set *set, uint32_t first_token,
                        uint32_t tokens, const snug_kv_walk *w, const snug_kv_visit_span *then);

/* Attention of the job's one token. */
void snug_kv_attend_token(snug_kv_attend_job *job, snug_work *work);

#endif /* SNUG_SRC_KV_ATTENTION_H */
