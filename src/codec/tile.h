/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tile.h - one side, keys or values, of one tile of one KV head of the cache: what a kernel is given.
 */
#ifndef SNUG_SRC_CODEC_TILE_H
#define SNUG_SRC_CODEC_TILE_H

#include "codec/codes.h"

#define SNUG_TILE_TOKENS  64 /* also the most tokens that one call of a kernel sees */
#define SNUG_HEAD_DIM_MAX 512

typedef enum snug_tile_kind {
    SNUG_TILE_F32 = 0, /* rows: [SNUG_TILE_TOKENS][head_dim] */
    SNUG_TILE_F16,
    SNUG_TILE_AFFINE, /* affine.h */
    SNUG_TILE_PLANES  /* planes.h */
} snug_tile_kind;

typedef struct snug_tile {
    snug_tile_kind kind;
    uint32_t bits;         /* of a code */
    uint32_t group;        /* affine: dims that share a scale */
    const void *rows;      /* floats */
    snug_codes_tile codes; /* the planes of that width */
    uint16_t *scale;       /* planes: [SNUG_TILE_TOKENS] f16; affine: [head_dim / group][SNUG_TILE_TOKENS] */
    uint16_t *bias;        /* affine: the same */
} snug_tile;

static inline bool snug_tile_is_coded(snug_tile_kind kind)
{
    return kind >= SNUG_TILE_AFFINE;
}

/* Whether kernels read both in the same way. */
static inline bool snug_tile_is_like(const snug_tile *a, const snug_tile *b)
{
    return a->kind == b->kind && a->bits == b->bits && a->group == b->group &&
           !a->codes.plane[SNUG_CODES_N4] == !b->codes.plane[SNUG_CODES_N4];
}

/* The first `tokens` rows of a tile as out[tokens][head_dim] in f32: the definition for every kernel. */
void snug_tile_decode(float *out, const snug_tile *tile, snug_codes_side side, size_t head_dim,
                      size_t tokens);

#endif /* SNUG_SRC_CODEC_TILE_H */
