/* SPDX-License-Identifier: Apache-2.0 */
/*
 * planes.c - codes in segments, in plain C: the reference for every variant. What they mean: planes.h.
 */
#include "codec/planes.h"

#include <float.h>
#include <math.h>

#include "base/float16.h"
#include "base/status.h"
#include "codec/tile.h"

#define SEGMENTS      8
#define SEGMENT_CELLS 16
#define RANGE         128.0f /* where the last segment ends, in scales */
#define REFITS        2      /* a third gains less than 0.02 dB */
#define HALF_MAX      0x7bffu
#define HALF_NAN      0x7e00u
#define CODE_OF_ZERO  128

/* Where a segment begins and how wide a quarter of its 16 cells is, in scales. */
static const uint8_t segment_edge[SEGMENTS] = { 0, 12, 24, 36, 48, 60, 80, 100 };
static const uint8_t segment_width[SEGMENTS] = { 3, 3, 3, 3, 3, 5, 5, 7 };

/* Conditional means of the positive cells, in scales, at 2, 3 and 4 bits. Recomputed by test_planes.c. */
static const uint8_t mean_level[3][SEGMENTS] = {
    { 22, 72 },
    { 12, 35, 61, 99 },
    { 6, 18, 30, 42, 54, 69, 89, 115 },
};

/* The segment of a magnitude by its whole part: edges are whole numbers. */
#define TIMES_12(s) s, s, s, s, s, s, s, s, s, s, s, s
#define TIMES_20(s) TIMES_12(s), s, s, s, s, s, s, s, s
#define TIMES_28(s) TIMES_20(s), s, s, s, s, s, s, s, s
static const uint8_t segment_of[(int)RANGE + 1] = {
    TIMES_12(0), TIMES_12(1), TIMES_12(2), TIMES_12(3), TIMES_12(4), TIMES_20(5), TIMES_20(6), TIMES_28(7), 7,
};

/* The cell, 0 .. 127, of a magnitude counted in scales. Without a branch on it, which would be guessed wrong
 * as often as not: that took three times as long. */
static uint8_t cell_of(float magnitude)
{
    const float m = magnitude < RANGE ? magnitude : RANGE;
    const uint32_t segment = segment_of[(int32_t)m];
    const int32_t cell = (int32_t)((m - segment_edge[segment]) * 4.0f / segment_width[segment]);

    /* At the edge it is rounded up, or past the end. */
    return (uint8_t)(segment * SEGMENT_CELLS + (uint32_t)(cell < SEGMENT_CELLS ? cell : SEGMENT_CELLS - 1));
}

/* The middle of a positive cell at 5, 6 or 8 bits, in eighths; cells are 2^(bits - 4) to a segment. */
static int32_t middle_of(uint32_t bits, uint32_t cell)
{
    const uint32_t fraction_bits = bits - 4;
    const uint32_t segment = cell >> fraction_bits;
    const uint32_t step = cell & ((1u << fraction_bits) - 1);

    return (int32_t)(8u * segment_edge[segment] +
                     (16u * segment_width[segment] >> fraction_bits) * (2 * step + 1));
}

int32_t snug_planes_level(uint32_t bits, uint32_t code)
{
    const uint32_t half = 1u << (bits - 1);
    const uint32_t cell = code >= half ? code - half : half - 1 - code;
    int32_t level;

    SNUG_ASSERT(snug_codes_bits_ok(bits) && code < 2 * half);
    level = bits <= 4 ? 8 * mean_level[bits - 2][cell] : middle_of(bits, cell);
    return code >= half ? level : -level;
}

/* The scale at which the values' own levels fit them best. */
static float refit(const float *x, size_t head_dim, float scale)
{
    const float inverse = 1.0f / scale;
    double along = 0.0;
    double square = 0.0;

    for (size_t i = 0; i < head_dim; i++) {
        const double level = middle_of(8, cell_of(fabsf(x[i]) * inverse)) / 8.0;

        along += fabs((double)x[i]) * level;
        square += level * level;
    }
    return (float)(along / square);
}

/* The f16 scale of a vector; 0 when it is too small to have one. */
static uint16_t scale_of(const float *x, size_t head_dim)
{
    float max = 0.0f;
    float scale;
    uint16_t half;

    for (size_t i = 0; i < head_dim; i++) {
        const float magnitude = fabsf(x[i]);

        if (!(magnitude <= FLT_MAX))
            return HALF_NAN;
        if (magnitude > max)
            max = magnitude;
    }
    scale = max / RANGE;
    if (scale < 0x1p-25f) /* half of the smallest f16; far from where 1 / scale would overflow */
        return 0;
    for (int i = 0; i < REFITS; i++)
        scale = refit(x, head_dim, scale);
    half = snug_f16_from_f32(scale);
    return half > HALF_MAX ? HALF_MAX : half;
}

uint16_t snug_planes_encode_vector(uint8_t *codes, const float *x, size_t head_dim)
{
    const uint16_t half = scale_of(x, head_dim);
    const bool counts = half != 0 && half <= HALF_MAX;
    const float inverse = counts ? 1.0f / snug_f32_from_f16(half) : 0.0f;

    for (size_t i = 0; i < head_dim; i++) {
        const uint8_t cell = counts ? cell_of(fabsf(x[i]) * inverse) : 0;

        codes[i] = (uint8_t)(x[i] < 0.0f && counts ? CODE_OF_ZERO - 1 - cell : CODE_OF_ZERO + cell);
    }
    return half;
}

void snug_planes_encode(const snug_planes_tile *tile, snug_codes_side side, const float *x, size_t head_dim,
                        uint32_t bits)
{
    uint8_t codes[SNUG_TILE_TOKENS * SNUG_HEAD_DIM_MAX];

    SNUG_ASSERT(head_dim >= 1 && head_dim <= SNUG_HEAD_DIM_MAX);
    for (size_t token = 0; token < SNUG_TILE_TOKENS; token++)
        tile->scale[token] =
            snug_planes_encode_vector(codes + token * head_dim, x + token * head_dim, head_dim);
    snug_codes_store(&tile->codes, side, codes, head_dim, bits);
}

void snug_planes_decode(float *out, const snug_planes_tile *tile, snug_codes_side side, size_t head_dim,
                        uint32_t bits)
{
    uint8_t codes[SNUG_TILE_TOKENS * SNUG_HEAD_DIM_MAX];

    snug_codes_load(codes, &tile->codes, side, head_dim, bits);
    for (size_t token = 0; token < SNUG_TILE_TOKENS; token++) {
        const float scale = snug_f32_from_f16(tile->scale[token]);

        for (size_t i = 0; i < head_dim; i++)
            out[token * head_dim + i] =
                scale * ((float)snug_planes_level(bits, codes[token * head_dim + i]) * 0.125f);
    }
}
