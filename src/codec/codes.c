/* SPDX-License-Identifier: Apache-2.0 */
/*
 * codes.c - planes of bits in plain C: the reference for every variant. The order is explained in codes.h.
 */
#include "codec/codes.h"

#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "codec/tile.h"

#define BLOCK_CODES  64
#define BLOCK_LANES  16
#define BLOCK_STEPS  4
#define PADDING_CODE 0x80

/* Where the bits of a plane stand in a code. */
static const uint8_t shift_of_plane[SNUG_CODES_PLANE_COUNT] = {
    [SNUG_CODES_N4] = 4, [SNUG_CODES_P1A] = 3, [SNUG_CODES_P1B] = 2, [SNUG_CODES_P2] = 0,
    [SNUG_CODES_T2] = 6, [SNUG_CODES_T1A] = 5, [SNUG_CODES_T1B] = 4,
};

size_t snug_codes_bytes(uint32_t bits, size_t head_dim)
{
    SNUG_ASSERT(snug_codes_bits_ok(bits));
    return snug_codes_padded(head_dim) * (SNUG_TILE_TOKENS / 8) * bits;
}

/* A walk over the blocks of a tile: block b is quad b % quads of group b / quads. */
typedef struct walk {
    snug_codes_side side;
    size_t head_dim;
    size_t quads;
    size_t blocks;
} walk;

static walk walk_of(snug_codes_side side, size_t head_dim)
{
    const size_t padded = snug_codes_padded(head_dim);
    const size_t steps = side == SNUG_CODES_KEY ? padded : SNUG_TILE_TOKENS;

    SNUG_ASSERT(head_dim >= 1 && head_dim <= SNUG_HEAD_DIM_MAX);
    return (walk){ .side = side,
                   .head_dim = head_dim,
                   .quads = steps / BLOCK_STEPS,
                   .blocks = padded * SNUG_TILE_TOKENS / BLOCK_CODES };
}

/* Where code i of a block stands in codes[token][dim]; false in the padding. */
static bool place_of(size_t *out, const walk *w, size_t block, size_t i)
{
    const size_t lane = block / w->quads * BLOCK_LANES + i / BLOCK_STEPS;
    const size_t step = block % w->quads * BLOCK_STEPS + i % BLOCK_STEPS;
    const size_t token = w->side == SNUG_CODES_KEY ? lane : step;
    const size_t dim = w->side == SNUG_CODES_KEY ? step : lane;

    *out = token * w->head_dim + dim;
    return dim < w->head_dim;
}

/* The bits of a block's codes that belong to a plane. */
static void cut_bits(uint8_t *field, const uint8_t *code, snug_codes_plane plane)
{
    const unsigned mask = (1u << snug_codes_plane_bits(plane)) - 1;

    for (size_t i = 0; i < BLOCK_CODES; i++)
        field[i] = (uint8_t)((unsigned)code[i] >> shift_of_plane[plane] & mask);
}

/* Write one block's part of a plane; field[i] is below 2^bits. The first block of a pair comes first. */
static void put_block(unsigned char *plane, unsigned bits, size_t block, const uint8_t *field)
{
    if (bits == 4) {
        unsigned char *pair = plane + block / 2 * BLOCK_CODES;

        for (size_t i = 0; i < BLOCK_CODES; i++)
            pair[i] = (unsigned char)(block % 2 == 0 ? field[i] : pair[i] | field[i] << 4);
        return;
    }
    const size_t bytes = BLOCK_CODES / 8 * bits;

    /* A byte of 1-bit codes holds neighbours; of 2-bit codes, those a quarter of the block apart. */
    for (size_t j = 0; j < bytes; j++) {
        unsigned byte = 0;

        for (size_t k = 0; k < 8 / bits; k++)
            byte |= (unsigned)field[bits == 1 ? j * 8 + k : j + k * 16] << (k * bits);
        plane[block * bytes + j] = (unsigned char)byte;
    }
}

static void get_block(uint8_t *field, const unsigned char *plane, unsigned bits, size_t block)
{
    if (bits == 4) {
        const unsigned char *pair = plane + block / 2 * BLOCK_CODES;

        for (size_t i = 0; i < BLOCK_CODES; i++)
            field[i] = block % 2 == 0 ? pair[i] & 15 : pair[i] >> 4;
        return;
    }
    const size_t bytes = BLOCK_CODES / 8 * bits;

    for (size_t j = 0; j < bytes; j++) {
        for (size_t k = 0; k < 8 / bits; k++)
            field[bits == 1 ? j * 8 + k : j + k * 16] =
                (uint8_t)(plane[block * bytes + j] >> (k * bits) & ((1u << bits) - 1));
    }
}

void snug_codes_store(const snug_codes_tile *tile, snug_codes_side side, const uint8_t *codes,
                      size_t head_dim, uint32_t bits)
{
    const walk w = walk_of(side, head_dim);

    for (size_t block = 0; block < w.blocks; block++) {
        uint8_t code[BLOCK_CODES];
        uint8_t field[BLOCK_CODES];

        for (size_t i = 0; i < BLOCK_CODES; i++) {
            size_t place;

            code[i] = place_of(&place, &w, block, i) ? codes[place] : PADDING_CODE;
        }
        for (unsigned p = 0; p < SNUG_CODES_PLANE_COUNT; p++) {
            if (!snug_codes_has_plane(bits, (snug_codes_plane)p))
                continue;
            cut_bits(field, code, (snug_codes_plane)p);
            put_block(tile->plane[p], snug_codes_plane_bits((snug_codes_plane)p), block, field);
        }
    }
}

void snug_codes_load(uint8_t *codes, const snug_codes_tile *tile, snug_codes_side side, size_t head_dim,
                     uint32_t bits)
{
    const walk w = walk_of(side, head_dim);
    const bool repacked = bits == 4 && tile->plane[SNUG_CODES_N4] == NULL;

    for (size_t block = 0; block < w.blocks; block++) {
        uint8_t code[BLOCK_CODES] = { 0 };
        uint8_t field[BLOCK_CODES];

        for (unsigned p = 0; p < SNUG_CODES_PLANE_COUNT; p++) {
            if (repacked ? p < SNUG_CODES_T2 : !snug_codes_has_plane(bits, (snug_codes_plane)p))
                continue;
            get_block(field, tile->plane[p], snug_codes_plane_bits((snug_codes_plane)p), block);
            for (size_t i = 0; i < BLOCK_CODES; i++)
                code[i] = (uint8_t)(code[i] | field[i] << shift_of_plane[p]);
        }
        for (size_t i = 0; i < BLOCK_CODES; i++) {
            size_t place;

            if (place_of(&place, &w, block, i))
                codes[place] = (uint8_t)(code[i] >> (8 - bits));
        }
    }
}

/* --- from nibbles to planes of 2, 1 and 1 bits ----------------------------------------------------------
 * Eight codes at a time, a byte each in a 64-bit word: 16 times as fast as code by code. */

/* The eight codes that begin at `at` of a pair of blocks: those of its first block, or of its second. */
static uint64_t nibbles_at(const unsigned char *at, size_t block)
{
    uint64_t word;

    memcpy(&word, at, sizeof word);
    return word >> (block % 2 * 4) & 0x0f0f0f0f0f0f0f0f;
}

/* Bit `bit` of each of the eight bytes, the first byte's lowest: each product 2^(8 j) x 2^(7 (8 - j)) puts
 * one into the highest byte, and no two meet below it. */
static unsigned char bit_of_each(uint64_t bytes, unsigned bit)
{
    return (unsigned char)((bytes >> bit & 0x0101010101010101) * 0x0102040810204080 >> 56);
}

static void repack_block(const snug_codes_tile *tile, size_t block)
{
    const unsigned char *pair = tile->plane[SNUG_CODES_N4] + block / 2 * BLOCK_CODES;

    for (size_t half = 0; half < 16 && tile->plane[SNUG_CODES_T2]; half += 8) {
        uint64_t word = 0;

        for (size_t k = 0; k < 4; k++)
            word |= (nibbles_at(pair + k * 16 + half, block) >> 2 & 0x0303030303030303) << (2 * k);
        memcpy(tile->plane[SNUG_CODES_T2] + block * 16 + half, &word, sizeof word);
    }
    for (size_t j = 0; j < 8; j++) {
        const uint64_t codes = nibbles_at(pair + j * 8, block);

        if (tile->plane[SNUG_CODES_T1A])
            tile->plane[SNUG_CODES_T1A][block * 8 + j] = bit_of_each(codes, 1);
        if (tile->plane[SNUG_CODES_T1B])
            tile->plane[SNUG_CODES_T1B][block * 8 + j] = bit_of_each(codes, 0);
    }
}

void snug_codes_repack(const snug_codes_tile *tile, size_t head_dim)
{
    const size_t blocks = snug_codes_padded(head_dim) * SNUG_TILE_TOKENS / BLOCK_CODES;

    SNUG_ASSERT(head_dim >= 1 && head_dim <= SNUG_HEAD_DIM_MAX);
    for (size_t block = 0; block < blocks; block++)
        repack_block(tile, block);
}
