/* SPDX-License-Identifier: Apache-2.0 */
/*
 * planes.h - our cache format: one f16 scale per head vector and codes of 8 bits that nest. Dropping the
 * lowest plane of bits is the direct quantization at fewer bits, so a cache shrinks without being read.
 *
 * Vectors come in turned (rotation.h), so their values are about Gaussian. The magnitude |x| / scale is cut
 * at
 *
 *   0  12  24  36  48  60  80  100  128        8 segments: which sign and segment = the nibble of a code
 *
 * and each segment into 16 even cells: 3, 5 or 7 quarters of a scale wide. The scale makes the largest value
 * meet 128, then is refitted by least squares. Code c of 8 bits: 128 + cell for x >= 0, else 127 - cell. Even
 * cells (the mid-rise quantizer) lose 0.9 to 1.0 dB more at a head of 128, at every width: values near the
 * largest are rare. docs/decisions/0004-cache-codes-in-segments.md has the figures.
 *
 * A width of b bits takes the upper b bits. Levels are counted in eighths of the scale, all below 128 scales:
 *   5, 6, 8 bits: the middle of the cell;
 *   2, 3, 4 bits: the mean of what a Gaussian vector of 128 values has in the cell, as a whole number of
 *   scales: one value stands at 128, the others below it; sigma is where 128 values stay below with even
 *   odds. (Without the one at 128 the outer level is too low, which costs 0.13 dB at 4 bits and a head of
 *   128, 0.3 dB at 64.)
 *
 * For kernels: with n the nibble, edge[n] the lower end of its segment (-128 .. 100) and w[n] = 3, 5 or 7, a
 * level is, in scales, for either sign,
 *   4 bits  a table of 16 int8
 *   5 bits  (edge + w)[n] + 2 w[n] * P1A                            int8
 *   6 bits  (edge + (w - 1) / 2)[n] + 2 w[n] * P1A + w[n] * P1B     int8, and 1/2 once per sum of queries
 *   8 bits  edge[n] + 2 w[n] * P1A + w[n] * P1B                     int8, and w[n] * (2 * P2 + 1) / 8, a byte
 * so a 1-bit plane is a mask under which a 16-entry table is added; only 8 bits need a second dot product.
 *
 * A vector with a NaN or an infinity gets a NaN as its scale and decodes to NaN. A vector whose largest
 * magnitude is below about 2^-18 gets scale 0 and decodes to zeros; one that would need a scale above 65504
 * gets 65504, and values beyond 128 x 65504 saturate.
 */
#ifndef SNUG_SRC_CODEC_PLANES_H
#define SNUG_SRC_CODEC_PLANES_H

#include "codec/codes.h"

/* One tile of one KV head. */
typedef struct snug_planes_tile {
    snug_codes_tile codes;
    uint16_t *scale; /* [SNUG_TILE_TOKENS] f16; the same at every width */
} snug_planes_tile;

/* Codes of 8 bits of one vector, which is turned already. Returns the scale as f16. */
uint16_t snug_planes_encode_vector(uint8_t *codes, const float *x, size_t head_dim);

/* The value of code 0 .. 2^bits - 1 in eighths of the scale; -1024 < level < 1024, odd-symmetric. */
int32_t snug_planes_level(uint32_t bits, uint32_t code);

/* Write x[SNUG_TILE_TOKENS][head_dim], turned already, at a width of `bits`. */
void snug_planes_encode(const snug_planes_tile *tile, snug_codes_side side, const float *x, size_t head_dim,
                        uint32_t bits);

/* The tile at width `bits` as out[SNUG_TILE_TOKENS][head_dim], still turned: the definition for every
 * kernel. */
void snug_planes_decode(float *out, const snug_planes_tile *tile, snug_codes_side side, size_t head_dim,
                        uint32_t bits);

#endif /* SNUG_SRC_CODEC_PLANES_H */
