/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format_f32.c - the exact cache, for comparing with references: values as computed. Layout:
 * [slot][head_dim].
 */
#include "kv/parts.h"

#include <string.h>

static size_t head_tile_bytes(uint32_t head_dim)
{
    return (size_t)SNUG_TILE_TOKENS * head_dim * sizeof(float);
}

static void write_slot(const snug_kernels *kernels, void *head_tile, uint32_t slot, const float *x,
                       uint32_t head_dim)
{
    (void)kernels;
    memcpy((float *)head_tile + (size_t)slot * head_dim, x, head_dim * sizeof(float));
}

const snug_kv_format_ops snug_kv_format_f32 = {
    .format = SNUG_KV_FORMAT_F32,
    .name = "f32",
    .type = SNUG_TYPE_F32,
    .head_tile_bytes = head_tile_bytes,
    .write = write_slot,
};
