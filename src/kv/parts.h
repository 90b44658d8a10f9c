/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parts.h - the three independent parts a cache is made of, for those who add one.
 *
 * - Page store: per layer and side one arena, a sequence of tiles. A tile holds SNUG_TILE_TOKENS slots of
 * every KV
 *   head: [tile][kv_head][slot][head_dim] in the side's format. Tiles are committed in order and whole.
 * - Format (snug_kv_format_ops): how a vector is stored in a slot, and which kernel attends over such tiles.
 * - Retention (snug_kv_retention_ops): in which slot a position lives and which slots a query sees.
 *
 * A new format is a file with one table and a row in formats.c; a new retention a file and a row in
 * retentions.c.
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

typedef struct snug_kv_retention_ops {
    const char *name;
    /* Slots needed for a context of that many tokens. */
    uint32_t (*slots)(uint32_t context_tokens);
    uint32_t (*slot_of)(uint32_t position);
    /* The first tile that the query at `position` or any later one sees. */
    uint32_t (*first_tile)(const snug_kv_layer *shape, uint32_t position);
    /* The slots of tile `tile` that the query at `position` sees: [*begin_out, *end_out) within the tile. */
    void (*visible)(const snug_kv_layer *shape, uint32_t tile, uint32_t position, uint32_t *begin_out,
                    uint32_t *end_out);
} snug_kv_retention_ops;

extern const snug_kv_retention_ops snug_kv_retention_all;
extern const snug_kv_retention_ops snug_kv_retention_window;

/* The row for what a layer asks. */
const snug_kv_retention_ops *snug_kv_retention_ops_of(const snug_kv_layer *shape);

/* One side of one layer. Invariant: `pages` has committed exactly `tiles` tiles, rounded up to pages. */
typedef struct snug_kv_side {
    const snug_kv_format_ops *format;
    snug_arena pages;
    size_t head_tile_bytes;
    size_t tile_bytes; /* kv_head_count x head_tile_bytes */
} snug_kv_side;

/* A shared layer has a shape only: no sides. */
typedef struct snug_kv_store {
    snug_kv_layer shape;
    const snug_kv_retention_ops *retention;
    snug_kv_side key;
    snug_kv_side value;
} snug_kv_store;

struct snug_kv {
    snug_memory *memory;
    const snug_kernels *kernels;
    uint32_t context_tokens;
    uint32_t tokens; /* written in every layer */
    uint32_t tiles;  /* committed in every layer and side */
    uint32_t layer_count;
    snug_kv_store store[]; /* [layer_count] */
};

#endif /* SNUG_SRC_KV_PARTS_H */
