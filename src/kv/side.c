/* SPDX-License-Identifier: Apache-2.0 */
/*
 * side.c - keys or values of one layer: where the parts of a tile lie, and how they are written.
 */
#include "kv/parts.h"

#include <string.h>

#include "base/status.h"
#include "codec/affine.h"
#include "codec/planes.h"
#include "codec/rotation.h"

snug_tile snug_kv_side_rows(const snug_kv_side *side, uint32_t tile, uint32_t head)
{
    const size_t place = snug_kv_place(&side->exact, tile);
    const size_t head_bytes = side->exact_tile_bytes / side->kv_head_count;

    return (snug_tile){ .kind = side->rows->kind,
                        .rows = snug_arena_at(&side->exact_pages, place * side->exact_tile_bytes) +
                                head * head_bytes };
}

snug_tile snug_kv_side_codes(const snug_kv_side *side, uint32_t coded_tile, uint32_t head)
{
    const bool is_affine = side->coding.format == SNUG_KV_FORMAT_AFFINE;
    const size_t index = (size_t)snug_kv_place(&side->coded, coded_tile) * side->kv_head_count + head;
    unsigned char *scales = snug_arena_at(&side->scales, index * side->scale_bytes);
    snug_tile tile = {
        .kind = is_affine ? SNUG_TILE_AFFINE : SNUG_TILE_PLANES,
        .bits = snug_kv_side_bits(side, coded_tile),
        .group = side->coding.group,
        .scale = (uint16_t *)(void *)scales,
    };

    SNUG_ASSERT_DEBUG(side->has_codes);
    if (is_affine)
        tile.bias = (uint16_t *)(void *)(scales + side->scale_bytes / 2);
    for (int plane = 0; plane < SNUG_CODES_PLANE_COUNT; plane++)
        if (snug_codes_has_plane(tile.bits, (snug_codes_plane)plane))
            tile.codes.plane[plane] = snug_kv_side_plane(side, (snug_codes_plane)plane, coded_tile, head);
    return tile;
}

snug_tile snug_kv_side_next_head(const snug_kv_side *side, const snug_tile *tile)
{
    const size_t row_bytes = side->head_dim * side->rows->value_bytes;
    snug_tile next = *tile;

    if (!snug_tile_is_coded(tile->kind)) {
        next.rows = (const unsigned char *)tile->rows + SNUG_TILE_TOKENS * row_bytes;
        return next;
    }
    for (int plane = 0; plane < SNUG_CODES_PLANE_COUNT; plane++)
        if (tile->codes.plane[plane])
            next.codes.plane[plane] += snug_codes_plane_bytes((snug_codes_plane)plane, side->head_dim);
    next.scale += side->scale_bytes / sizeof *next.scale;
    if (tile->bias)
        next.bias += side->scale_bytes / sizeof *next.bias;
    return next;
}

void snug_kv_row_store(const snug_kv_side *side, const snug_kernels *kernels, unsigned char *row,
                       const float *x)
{
    if (side->rows->kind == SNUG_TILE_F16)
        kernels->f16_from_f32((uint16_t *)(void *)row, x, side->head_dim);
    else
        memcpy(row, x, side->head_dim * sizeof(float));
}

void snug_kv_side_write(const snug_kv_side *side, const snug_kernels *kernels, uint32_t tile, uint32_t slot,
                        const float *x)
{
    const size_t row_bytes = side->head_dim * side->rows->value_bytes;

    for (uint32_t head = 0; head < side->kv_head_count; head++) {
        const snug_tile rows = snug_kv_side_rows(side, tile, head);

        snug_kv_row_store(side, kernels, (unsigned char *)(uintptr_t)rows.rows + slot * row_bytes,
                          x + (size_t)head * side->head_dim);
    }
}

static snug_codes_side codes_side(const snug_kv_side *side)
{
    return side->is_key ? SNUG_CODES_KEY : SNUG_CODES_VALUE;
}

void snug_kv_side_encode(const snug_kv_side *side, uint32_t coded_tile, uint32_t head, float *x)
{
    const snug_tile tile = snug_kv_side_codes(side, coded_tile, head);

    for (size_t token = 0; token < SNUG_TILE_TOKENS && snug_kv_side_is_turned(side); token++)
        snug_rotation_apply(x + token * side->head_dim, side->head_dim, side->seed);
    if (tile.kind == SNUG_TILE_AFFINE)
        snug_affine_encode(&(snug_affine_tile){ tile.codes, tile.scale, tile.bias }, codes_side(side), x,
                           side->head_dim, tile.bits, tile.group);
    else
        snug_planes_encode(&(snug_planes_tile){ tile.codes, tile.scale }, codes_side(side), x, side->head_dim,
                           tile.bits);
}

void snug_kv_side_decode(float *x, const snug_kv_side *side, uint32_t coded_tile, uint32_t head)
{
    const snug_tile tile = snug_kv_side_codes(side, coded_tile, head);

    snug_tile_decode(x, &tile, codes_side(side), side->head_dim, SNUG_TILE_TOKENS);
    for (size_t token = 0; token < SNUG_TILE_TOKENS && snug_kv_side_is_turned(side); token++)
        snug_rotation_undo(x + token * side->head_dim, side->head_dim, side->seed);
}
