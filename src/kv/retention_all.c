/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retention_all.c - every token is kept: position p lives in slot p, and a query sees all up to its own.
 */
#include "kv/parts.h"

static uint32_t slots(uint32_t context_tokens)
{
    return context_tokens;
}

static uint32_t slot_of(uint32_t position)
{
    return position;
}

static uint32_t first_tile(const snug_kv_layer *shape, uint32_t position)
{
    (void)shape;
    (void)position;
    return 0;
}

static void visible(const snug_kv_layer *shape, uint32_t tile, uint32_t position, uint32_t *begin_out,
                    uint32_t *end_out)
{
    const uint32_t first = tile * SNUG_TILE_TOKENS;

    (void)shape;
    *begin_out = 0;
    if (position < first)
        *end_out = 0;
    else if (position - first >= SNUG_TILE_TOKENS)
        *end_out = SNUG_TILE_TOKENS;
    else
        *end_out = position - first + 1;
}

const snug_kv_retention_ops snug_kv_retention_all = {
    .name = "all",
    .slots = slots,
    .slot_of = slot_of,
    .first_tile = first_tile,
    .visible = visible,
};
