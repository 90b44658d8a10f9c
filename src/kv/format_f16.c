/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format_f16.c - the plain cache: two bytes a value, rounded to nearest even. Layout of a head's tile:
 * [slot][head_dim].
 */
#include "kv/parts.h"

static size_t head_tile_bytes(uint32_t head_dim)
{
    return (size_t)SNUG_TILE_TOKENS * head_dim * sizeof(uint16_t);
}

static void write_slot(const snug_kernels *kernels, void *head_tile, uint32_t slot, const float *x,
                       uint32_t head_dim)
{
    kernels->f16_from_f32((uint16_t *)head_tile + (size_t)slot * head_dim, x, head_dim);
}

const snug_kv_format_ops snug_kv_format_f16 = {
    .format = SNUG_KV_FORMAT_F16,
    .name = "f16",
    .type = SNUG_TYPE_F16,
    .head_tile_bytes = head_tile_bytes,
    .write = write_slot,
};
