/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parts.h - the three independent parts a cache is made of, for those who add one.
 *
 * - Page store: per layer and side one arena, a sequence of tiles. A tile holds SNUG_TILE_TOKENS slots of
 *   every KV head: [tile][kv_head][slot][head_dim] in the side's format. Tiles are committed in order and
 *   whole.
 * - Format (snug_kv_format_ops): how a vector is stored in a slot, and which kernel attends over such tiles.
 * - Retention (snug_kv_rule): which tokens a query sees, and in which tile of the store they live.
 *
 * A new format is a file with one table and a row in formats.c. A new retention is a kind in snug/kv.h and
 * its lines in retention.c: all kinds are one rule with different figures, so that they combine with the
 * windows of models.
 */
#ifndef SNUG_SRC_KV_PARTS_H
#define SNUG_SRC_KV_PARTS_H

#include "kv/kv.h"
#include "memory/memory.h"

typedef struct snug_kv_format_ops {
    snug_kv_format format;
    const char *name;
    snug_type type; /* of the attend kernel */
    /* Bytes of one KV head's part of a tile. */
    size_t (*head_tile_bytes)(uint32_t head_dim);
    /* Store one vector in a slot of a head's part of a tile. */
    void (*write)(const snug_kernels *kernels, void *head_tile, uint32_t slot, const float *x,
                  uint32_t head_dim);
} snug_kv_format_ops;

/* The row of a format (AUTO: F16); NULL when there is none. */
const snug_kv_format_ops *snug_kv_format_ops_of(snug_kv_format format);

extern const snug_kv_format_ops snug_kv_format_f16;
extern const snug_kv_format_ops snug_kv_format_f32;

/*
 * What one layer keeps. Position p belongs to the logical tile p / SNUG_TILE_TOKENS; place() says which tile
 * of the store that is: the tiles of the sinks stay where they are, the others go round in a ring of whole
 * tiles. What a ring tile holds of older or newer positions is never looked at: who sees what is decided by
 * position (recent() and sinks() below).
 */
typedef struct snug_kv_rule {
    uint32_t window_tokens; /* of the model; each of these three: SNUG_KV_UNBOUNDED when it does not bind */
    uint32_t recent_tokens; /* rotating: max_tokens - sink_tokens */
    uint32_t chunk_tokens;  /* chunked: max_tokens */
    uint32_t sink_tokens;
    uint32_t sink_tiles; /* that hold the sinks, and perhaps some tokens after them */
    uint32_t ring_tiles; /* SNUG_KV_UNBOUNDED: the context ends before it would go round */
} snug_kv_rule;

#define SNUG_KV_UNBOUNDED UINT32_MAX

/* Positions [begin, end). */
typedef struct snug_kv_range {
    uint32_t begin;
    uint32_t end;
} snug_kv_range;

/* Checks the figures of a retention. Errors: ARGUMENT. */
SNUG_MUST_CHECK snug_status snug_kv_retention_check(const snug_kv_retention *retention, snug_error *error);

/* The rule of layer `index`. Layers that share it attend when all of a pass has been written. */
snug_kv_rule snug_kv_rule_make(const snug_kv_shape *shape, uint32_t index, const snug_kv_options *options);

/* What the query at `position` sees: the newest tokens, and those of the sinks that are not among them.
 * Neither `begin` ever falls from one position to the next. */
snug_kv_range snug_kv_rule_recent(const snug_kv_rule *rule, uint32_t position);
snug_kv_range snug_kv_rule_sinks(const snug_kv_rule *rule, uint32_t position);

/* Where a logical tile lies, and how many tiles of the store serve the first `tiles` logical ones. */
uint32_t snug_kv_rule_place(const snug_kv_rule *rule, uint32_t tile);
uint32_t snug_kv_rule_tiles(const snug_kv_rule *rule, uint32_t tiles);

/* See snug_kv_room(). */
uint32_t snug_kv_rule_room(const snug_kv_rule *rule, uint32_t position);

/* Whether the query at `position`, and so all later ones, find everything before `position` that they see,
 * after the first `written` positions have been written, if only once. */
bool snug_kv_rule_is_whole(const snug_kv_rule *rule, uint32_t position, uint32_t written);

#define SNUG_KV_PASS_TOKENS_DEFAULT 512u /* SNUG_PREFILL_CHUNK_DEFAULT of snug/session.h */

static inline uint32_t snug_kv_pass_tokens(const snug_kv_options *options)
{
    return options->pass_tokens > 0 ? options->pass_tokens : SNUG_KV_PASS_TOKENS_DEFAULT;
}

/* Logical tiles of the first `tokens` positions. */
static inline uint32_t snug_kv_tiles_for(uint32_t tokens)
{
    return tokens / SNUG_TILE_TOKENS + (tokens % SNUG_TILE_TOKENS > 0);
}

/* One side of one layer. Invariant: `pages` has committed what the layer's rule needs of the cache's `tiles`,
 * rounded up to pages. */
typedef struct snug_kv_side {
    const snug_kv_format_ops *format;
    snug_arena pages;
    size_t head_tile_bytes;
    size_t tile_bytes; /* kv_head_count x head_tile_bytes */
} snug_kv_side;

/* A shared layer has a shape only: no sides. */
typedef struct snug_kv_store {
    snug_kv_layer shape;
    snug_kv_rule rule;
    snug_kv_side key;
    snug_kv_side value;
} snug_kv_store;

struct snug_kv {
    snug_memory *memory;
    const snug_kernels *kernels;
    snug_kv_retention retention;
    uint32_t context_tokens;
    uint32_t pass_tokens;
    uint32_t tokens;  /* written in every layer */
    uint32_t written; /* the most that `tokens` was since it was 0: what these overwrote is gone */
    uint32_t tiles;   /* logical ones, for which every layer and side has memory */
    uint32_t layer_count;
    snug_kv_store store[]; /* [layer_count] */
};

#endif /* SNUG_SRC_KV_PARTS_H */
