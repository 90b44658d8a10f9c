/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tile.c - a tile of any kind as f32.
 */
#include "codec/tile.h"

#include <string.h>

#include "base/float16.h"
#include "codec/affine.h"
#include "codec/planes.h"

static void decode_f16(float *out, const void *rows, size_t n)
{
    const unsigned char *at = rows;

    for (size_t i = 0; i < n; i++) {
        uint16_t half;

        memcpy(&half, at + i * sizeof half, sizeof half);
        out[i] = snug_f32_from_f16(half);
    }
}

void snug_tile_decode(float *out, const snug_tile *tile, snug_codes_side side, size_t head_dim, size_t tokens)
{
    switch (tile->kind) {
    case SNUG_TILE_F32:
        memcpy(out, tile->rows, tokens * head_dim * sizeof(float));
        break;
    case SNUG_TILE_F16:
        decode_f16(out, tile->rows, tokens * head_dim);
        break;
    case SNUG_TILE_AFFINE:
        snug_affine_decode(out, &(snug_affine_tile){ tile->codes, tile->scale, tile->bias }, side, head_dim,
                           tile->bits, tile->group);
        break;
    case SNUG_TILE_PLANES:
        snug_planes_decode(out, &(snug_planes_tile){ tile->codes, tile->scale }, side, head_dim, tile->bits);
        break;
    }
}
