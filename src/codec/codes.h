/* SPDX-License-Identifier: Apache-2.0 */
/*
 * codes.h - where the codes of one tile of one KV head lie: cut into planes of bits, the most significant
 * first, so that the lowest plane can be given back and the rest still means something.
 *
 * A tile has SNUG_TILE_TOKENS tokens, always all of them: it is encoded when it leaves the f16 tail. A code
 * has 8 bits; one of fewer bits is kept in the upper ones. Which planes hold a width:
 *
 *   8 = N4 P1A P1B P2    6 = N4 P1A P1B    5 = N4 P1A    4 = N4 (or T2 T1A T1B)    3 = T2 T1A    2 = T2
 *
 * From 8 down to 4 planes are dropped. Below, the nibble is repacked once: N4 becomes T2 T1A T1B, and planes
 * are dropped again.
 *
 * Within a plane: a block is 16 lanes x 4 steps. Keys: a lane is a token, a step a dim, so that a dot product
 * of 4 bytes adds up the score of one token per 32-bit lane. Values: a lane is a dim, a step a token. Blocks
 * lie in the order [group of 16 lanes][quad of 4 steps], and code i of a block is lane i / 4, step i % 4.
 *
 *   N4   64 bytes for two blocks, quads 2q and 2q + 1: byte i has code i of the first in its low nibble, of
 *        the second in its high one
 *   1 bit    8 bytes a block: bit i of the little-endian word is code i
 *   2 bits  16 bytes a block: byte j has codes j, j + 16, j + 32, j + 48 at bits 0, 2, 4, 6
 *
 * Head sizes are padded to a multiple of 16 with the code 0x80. What padding decodes to is small, not zero:
 * the query's padding must be zero, and the output's padding is not looked at.
 */
#ifndef SNUG_SRC_CODEC_CODES_H
#define SNUG_SRC_CODEC_CODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/size.h"
#include "base/status.h"

typedef enum snug_codes_plane {
    SNUG_CODES_N4 = 0, /* bits 7 .. 4 */
    SNUG_CODES_P1A,    /* bit 3 */
    SNUG_CODES_P1B,    /* bit 2 */
    SNUG_CODES_P2,     /* bits 1 and 0 */
    SNUG_CODES_T2,     /* bits 7 and 6 */
    SNUG_CODES_T1A,    /* bit 5 */
    SNUG_CODES_T1B,    /* bit 4 */
    SNUG_CODES_PLANE_COUNT
} snug_codes_plane;

typedef enum snug_codes_side {
    SNUG_CODES_KEY = 0,
    SNUG_CODES_VALUE
} snug_codes_side;

/* The planes of one tile of one head; those that the width does not need may be NULL. Any alignment. */
typedef struct snug_codes_tile {
    unsigned char *plane[SNUG_CODES_PLANE_COUNT];
} snug_codes_tile;

/* The planes of codes of `bits` bits (4 bits: N4), 1 << plane of each; 0 where there are no such codes. */
static inline uint32_t snug_codes_planes(uint32_t bits)
{
    static const uint8_t planes[] = {
        [2] = 1 << SNUG_CODES_T2,
        [3] = 1 << SNUG_CODES_T2 | 1 << SNUG_CODES_T1A,
        [4] = 1 << SNUG_CODES_N4,
        [5] = 1 << SNUG_CODES_N4 | 1 << SNUG_CODES_P1A,
        [6] = 1 << SNUG_CODES_N4 | 1 << SNUG_CODES_P1A | 1 << SNUG_CODES_P1B,
        [8] = 1 << SNUG_CODES_N4 | 1 << SNUG_CODES_P1A | 1 << SNUG_CODES_P1B | 1 << SNUG_CODES_P2,
    };

    return bits < sizeof planes ? planes[bits] : 0;
}

/* 2, 3, 4, 5, 6 or 8. */
static inline bool snug_codes_bits_ok(uint32_t bits)
{
    return snug_codes_planes(bits) != 0;
}

/* Whether codes of `bits` bits use a plane. */
static inline bool snug_codes_has_plane(uint32_t bits, snug_codes_plane plane)
{
    SNUG_ASSERT(snug_codes_bits_ok(bits));
    return (snug_codes_planes(bits) >> plane & 1) != 0;
}

/* Bits of a code that a plane has. */
static inline uint32_t snug_codes_plane_bits(snug_codes_plane plane)
{
    return plane == SNUG_CODES_N4 ? 4 : plane == SNUG_CODES_P2 || plane == SNUG_CODES_T2 ? 2 : 1;
}

/* head_dim as stored: up to the next multiple of 16. */
static inline size_t snug_codes_padded(size_t head_dim)
{
    return snug_round_up(head_dim, 16);
}

/* Bytes of one plane of one tile of one head: 8 per padded dim and bit of the plane. */
static inline size_t snug_codes_plane_bytes(snug_codes_plane plane, size_t head_dim)
{
    return 8 * snug_codes_plane_bits(plane) * snug_codes_padded(head_dim);
}

/* Bytes of all planes of a width: 8 x bits per padded dim. */
size_t snug_codes_bytes(uint32_t bits, size_t head_dim);

/* Write the upper `bits` bits of codes[SNUG_TILE_TOKENS][head_dim] to the planes of that width. */
void snug_codes_store(const snug_codes_tile *tile, snug_codes_side side, const uint8_t *codes,
                      size_t head_dim, uint32_t bits);

/* Read them back, as numbers 0 .. 2^bits - 1. At 4 bits from N4, or if that is NULL, from T2 T1A T1B. */
void snug_codes_load(uint8_t *codes, const snug_codes_tile *tile, snug_codes_side side, size_t head_dim,
                     uint32_t bits);

/* From N4 the same codes in T2, T1A and T1B, those of them that are not NULL; nothing may overlap. */
void snug_codes_repack(const snug_codes_tile *tile, size_t head_dim);

#endif /* SNUG_SRC_CODEC_CODES_H */
