/* SPDX-License-Identifier: Apache-2.0 */
/*
 * affine.h - the cache format of MLX: groups of 32, 64 or 128 dims along a head, each with a scale and a
 * bias, value = scale * code + bias. The same numbers as mlx.core.quantize makes of f16 input: arithmetic in
 * f32, codes from the scale and bias before these are rounded to f16.
 *
 * Vectors are not turned. Codes lie in the planes of codes.h, in the upper bits, so that the same kernels
 * unpack them. They do not nest: to have fewer bits, decode and encode again.
 *
 * A group with a NaN or an infinity gets NaN as scale and bias, and decodes to NaN. f32 input whose scale or
 * bias is beyond f16 becomes infinite, as it does in MLX; f16 input cannot.
 */
#ifndef SNUG_SRC_CODEC_AFFINE_H
#define SNUG_SRC_CODEC_AFFINE_H

#include "codec/codes.h"

/* One tile of one KV head. */
typedef struct snug_affine_tile {
    snug_codes_tile codes;
    uint16_t *scale; /* [head_dim / group][SNUG_TILE_TOKENS] f16 */
    uint16_t *bias;  /* the same */
} snug_affine_tile;

/* Whether a head can be stored so: 2, 3, 4, 5, 6 or 8 bits; group 32, 64 or 128, and head_dim a multiple of
 * it. Anything else is refused: what the user set is not replaced by a smaller group. */
bool snug_affine_ok(size_t head_dim, uint32_t bits, uint32_t group);

/* Bytes of the scales of one tile of one head; the biases take as many. */
size_t snug_affine_scale_bytes(size_t head_dim, uint32_t group);

/* Codes 0 .. 2^bits - 1 of one group, and its scale and bias as f16. */
void snug_affine_encode_group(uint8_t *codes, uint16_t *scale, uint16_t *bias, const float *x, uint32_t group,
                              uint32_t bits);

/* Write x[SNUG_TILE_TOKENS][head_dim]. */
void snug_affine_encode(const snug_affine_tile *tile, snug_codes_side side, const float *x, size_t head_dim,
                        uint32_t bits, uint32_t group);

/* The tile as out[SNUG_TILE_TOKENS][head_dim], in f32: the definition for every kernel. */
void snug_affine_decode(float *out, const snug_affine_tile *tile, snug_codes_side side, size_t head_dim,
                        uint32_t bits, uint32_t group);

#endif /* SNUG_SRC_CODEC_AFFINE_H */
