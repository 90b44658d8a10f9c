/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv.h - what model and session ask of a cache: make one, grow it, write tokens, attend over them.
 * Implementers of formats and retentions include kv/parts.h.
 */
#ifndef SNUG_SRC_KV_KV_H
#define SNUG_SRC_KV_KV_H

#include <snug/kv.h>

#include "kernels/kernels.h"
#include "work/work.h"

/*
 * An empty cache: reserves address space for all it can ever hold, commits nothing. `kernels` and `memory`
 * must outlive it. Errors: ARGUMENT, UNSUPPORTED, OVER_LIMIT, NO_MEMORY.
 */
SNUG_MUST_CHECK snug_status snug_kv_create(snug_kv **kv_out, const snug_kv_shape *shape, snug_memory *memory,
                                           const snug_kernels *kernels, const snug_kv_options *options,
                                           snug_error *error);
void snug_kv_destroy(snug_kv *kv);

/* What it was made of, whatever has been demoted since: a cache made so can load what this one saves. */
const snug_kv_config *snug_kv_made_of(const snug_kv *kv);

/*
 * Commit memory for a conversation of `tokens` tokens in every layer: no more than the layer's retention can
 * use. The only step that can fail, so it comes before anything is computed; on failure nothing changed.
 */
SNUG_MUST_CHECK snug_status snug_kv_grow(snug_kv *kv, uint32_t tokens, snug_error *error);

/*
 * Before tokens are written to a layer from `position` on: make codes of the tiles that are not recent any
 * more. Returns how many tokens may be written, or attend in a layer that shares another's, before this is
 * called again; at least 1. A chunk is written and attended in pieces of so many. `thread_scratch` as in
 * snug_kv_attention. Cost: a tile of 64 tokens is encoded every 64 tokens, on all threads.
 */
uint32_t snug_kv_make_room(snug_kv *kv, snug_work *work, uint32_t layer, uint32_t position,
                           void *thread_scratch);

/*
 * Store one token's key and value of one layer at `position`, which snug_kv_grow() has covered.
 * Threads: different positions of one layer may be written at once.
 */
void snug_kv_write(snug_kv *kv, uint32_t layer, uint32_t position, const float *key /* [kv_head][head_dim] */,
                   const float *value /* the same */);

/* From now on the conversation has `tokens` tokens: those written in every layer. Every token written must
 * be counted so before the next call of snug_kv_truncate(). */
void snug_kv_set_tokens(snug_kv *kv, uint32_t tokens);

/*
 * Let what the conversation has filled lie in huge pages, where the system has them, `pages` more at most: an
 * attending thread reaches them sooner, and they go back to the system in a fraction of the time. What is
 * committed and what is resident stays the same. Cost: the time to copy each, 0.4 to 5 ms for 2 MiB; so a
 * pass of few tokens asks for few.
 */
void snug_kv_settle(snug_kv *kv, uint32_t pages);

/*
 * A second cache that continues from the tokens of `from`. What both have is there once: pages are shared
 * until one of them writes, in whole tiles. Either may then be grown, truncated, demoted, converted, saved,
 * forked and destroyed, in any order, and holds what it would hold had it been computed alone. Cost: some
 * system calls per arena, no pass over data; but what `from` added since the last fork is copied once where
 * that fork is gone. Memory: a table, and address space for a whole cache.
 *
 * A write into a tile that is shared copies it first, in snug_kv_grow(). Fewer bits down to 4 take nothing,
 * and give back when the last cache that shares them has no more either; below 4 bits, and from f16, the
 * codes are new and the cache's own.
 * Threads: caches that share may be used by different threads. Errors: OVER_LIMIT, NO_MEMORY.
 */
SNUG_MUST_CHECK snug_status snug_kv_fork(snug_kv **kv_out, snug_kv *from, snug_error *error);

/*
 * Fill `to`, empty and of the same model, with the conversation of `from`, whatever their formats and
 * retentions: `to` keeps of it what it would have kept. `thread_scratch` as in snug_kv_attention. Cost: each
 * tile is decoded and, where it becomes codes, encoded. On failure `to` is empty, `from` never changes.
 * Errors: FULL; UNSUPPORTED (tokens that `to` would see have been given up); OVER_LIMIT, NO_MEMORY.
 */
SNUG_MUST_CHECK snug_status snug_kv_convert(snug_kv *to, const snug_kv *from, snug_work *work,
                                            void *thread_scratch, snug_error *error);

/* snug_session_demote(): as snug_kv_demote(), and rows become codes. `thread_scratch` as in
 * snug_kv_attention. */
SNUG_MUST_CHECK snug_status snug_kv_demote_rows(snug_kv *kv, const snug_kv_target *target, snug_work *work,
                                                void *thread_scratch, uint64_t *bytes_out, snug_error *error);

/* Where snug_kv_save() puts bytes. */
typedef struct snug_kv_sink {
    snug_status (*put)(void *user, const void *data, size_t bytes, snug_error *error);
    void *user;
} snug_kv_sink;

typedef struct snug_kv_bytes {
    const unsigned char *at;
    size_t bytes;
} snug_kv_bytes;

/* The cache as a run of bytes (saved.c), with all that later tokens see. Takes no memory. Errors: those of
 * the sink. */
SNUG_MUST_CHECK snug_status snug_kv_save(const snug_kv *kv, const snug_kv_sink *sink, snug_error *error);

/*
 * Fill the cache with what was saved from one of the same shape and config; the context may be another. The
 * bytes need not be sound. Errors: ARGUMENT (another config), FULL (more tokens than the context): nothing
 * changed; CORRUPT, OVER_LIMIT, NO_MEMORY: the cache may be empty now.
 */
SNUG_MUST_CHECK snug_status snug_kv_load(snug_kv *kv, const snug_kv_bytes *bytes, snug_error *error);

/* What a cache must be made of to be filled with these bytes, which need not be sound. Errors: CORRUPT. */
SNUG_MUST_CHECK snug_status snug_kv_saved_config(snug_kv_config *config_out, const snug_kv_bytes *bytes,
                                                 snug_error *error);

/* Whether the store's invariants hold: bytes committed, rings, counts. For tests and debug assertions. */
bool snug_kv_is_valid(const snug_kv *kv);

/* Causal attention of some new tokens over everything that each of them sees. */
typedef struct snug_kv_attention {
    uint32_t layer;
    uint32_t head_count;     /* of queries; a multiple of the layer's kv_head_count */
    uint32_t first_position; /* of the first token; all of them are written already */
    uint32_t tokens;
    bool is_piece; /* of a chunk that does not fit at once: the same bits as if it did */
    float scale;
    const float *query;   /* [tokens][head_count][head_dim] */
    float *out;           /* [tokens][head_count][head_dim] */
    void *thread_scratch; /* [threads][snug_kv_thread_scratch_bytes(head_dim)], 64-byte aligned */
    void *parts_scratch;  /* snug_kv_parts_scratch_bytes() for these heads */
} snug_kv_attention;

void snug_kv_attend(const snug_kv *kv, snug_work *work, const snug_kv_attention *attention);

/* Per thread: the kernel's own; then for the most queries: scaled, turned and prepared ones, ranges
 * and a state. */
static inline size_t snug_kv_thread_scratch_bytes(size_t head_dim)
{
    return snug_attend_scratch_bytes(head_dim) +
           SNUG_ATTEND_QUERIES_MAX * (snug_attend_prepared_bytes(head_dim) + (3 * head_dim + 4) * 4);
}

/* For one token a long context is split into runs of tiles, each with a state of its own, merged in order. */
#define SNUG_KV_PARTS_MAX 16
size_t snug_kv_parts_scratch_bytes(uint32_t head_count, uint32_t head_dim);

#endif /* SNUG_SRC_KV_KV_H */
