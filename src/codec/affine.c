/* SPDX-License-Identifier: Apache-2.0 */
/*
 * affine.c - MLX's affine quantizer in plain C: the reference for every variant.
 */
#include "codec/affine.h"

#include <float.h>
#include <math.h>

#include "base/float16.h"
#include "base/status.h"
#include "codec/tile.h"

#define HALF_NAN 0x7e00u

bool snug_affine_ok(size_t head_dim, uint32_t bits, uint32_t group)
{
    return snug_codes_bits_ok(bits) && (group == 32 || group == 64 || group == 128) && head_dim >= group &&
           head_dim <= SNUG_HEAD_DIM_MAX && head_dim % group == 0;
}

size_t snug_affine_scale_bytes(size_t head_dim, uint32_t group)
{
    return head_dim / group * SNUG_TILE_TOKENS * sizeof(uint16_t);
}

/* The end of larger magnitude and zero become exact: the scale is bent so that zero is a whole number of
 * steps away from that end. It is negative where that end is the upper one. */
static void fit(float *scale_out, float *bias_out, float low, float high, float steps)
{
    const bool low_is_larger = fabsf(low) > fabsf(high);
    const float edge = low_is_larger ? low : high;
    float scale = fmaxf((high - low) / steps, 1e-7f);
    float whole;

    if (!low_is_larger)
        scale = -scale;
    whole = rintf(edge / scale);
    *scale_out = whole != 0.0f ? edge / whole : scale;
    *bias_out = whole != 0.0f ? edge : 0.0f;
}

void snug_affine_encode_group(uint8_t *codes, uint16_t *scale, uint16_t *bias, const float *x, uint32_t group,
                              uint32_t bits)
{
    const float steps = (float)((1u << bits) - 1);
    float low = x[0];
    float high = x[0];
    bool is_finite = true;
    float exact_scale = 1.0f;
    float exact_bias = 0.0f;

    for (size_t i = 0; i < group; i++) {
        is_finite = is_finite && fabsf(x[i]) <= FLT_MAX;
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    /* Ends so far apart that their distance overflows are beyond f16 too. */
    is_finite = is_finite && high - low <= FLT_MAX;
    if (is_finite)
        fit(&exact_scale, &exact_bias, low, high, steps);
    for (size_t i = 0; i < group; i++) {
        const float code = is_finite ? rintf((x[i] - exact_bias) / exact_scale) : 0.0f;

        codes[i] = (uint8_t)fminf(fmaxf(code, 0.0f), steps);
    }
    *scale = is_finite ? snug_f16_from_f32(exact_scale) : HALF_NAN;
    *bias = is_finite ? snug_f16_from_f32(exact_bias) : HALF_NAN;
}

void snug_affine_encode(const snug_affine_tile *tile, snug_codes_side side, const float *x, size_t head_dim,
                        uint32_t bits, uint32_t group)
{
    uint8_t codes[SNUG_TILE_TOKENS * SNUG_HEAD_DIM_MAX];

    SNUG_ASSERT(snug_affine_ok(head_dim, bits, group));
    for (size_t token = 0; token < SNUG_TILE_TOKENS; token++) {
        for (size_t g = 0; g < head_dim / group; g++) {
            const size_t first = token * head_dim + g * group;
            const size_t pair = g * SNUG_TILE_TOKENS + token;

            snug_affine_encode_group(codes + first, tile->scale + pair, tile->bias + pair, x + first, group,
                                     bits);
        }
    }
    for (size_t i = 0; i < SNUG_TILE_TOKENS * head_dim; i++)
        codes[i] = (uint8_t)(codes[i] << (8 - bits));
    snug_codes_store(&tile->codes, side, codes, head_dim, bits);
}

void snug_affine_decode(float *out, const snug_affine_tile *tile, snug_codes_side side, size_t head_dim,
                        uint32_t bits, uint32_t group)
{
    uint8_t codes[SNUG_TILE_TOKENS * SNUG_HEAD_DIM_MAX];

    SNUG_ASSERT(snug_affine_ok(head_dim, bits, group));
    snug_codes_load(codes, &tile->codes, side, head_dim, bits);
    for (size_t token = 0; token < SNUG_TILE_TOKENS; token++) {
        for (size_t i = 0; i < head_dim; i++) {
            const size_t pair = i / group * SNUG_TILE_TOKENS + token;

            out[token * head_dim + i] =
                snug_f32_from_f16(tile->scale[pair]) * (float)codes[token * head_dim + i] +
                snug_f32_from_f16(tile->bias[pair]);
        }
    }
}
