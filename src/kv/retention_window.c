/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retention_window.c - a query sees the last `window_tokens` tokens, itself among them: query q sees key k
 * iff k <= q and q - k < window. Position p lives in slot p; tiles before the window are neither read nor
 * visited.
 */
#include "kv/parts.h"

#include "base/size.h"

static uint32_t slots(uint32_t context_tokens)
{
    return context_tokens;
}

static uint32_t slot_of(uint32_t position)
{
    return position;
}

static uint32_t first_seen(const snug_kv_layer *shape, uint32_t position)
{
    return position < shape->window_tokens ? 0 : position - shape->window_tokens + 1;
}

static uint32_t first_tile(const snug_kv_layer *shape, uint32_t position)
{
    return first_seen(shape, position) / SNUG_TILE_TOKENS;
}

/* Both ends are clamped to the tile; one that the window has left or not reached gives begin == end. */
static void visible(const snug_kv_layer *shape, uint32_t tile, uint32_t position, uint32_t *begin_out,
                    uint32_t *end_out)
{
    const uint32_t first = tile * SNUG_TILE_TOKENS;
    const uint32_t seen = first_seen(shape, position);
    const uint32_t end = position < first ? 0 : position - first + 1;

    *end_out = (uint32_t)snug_min_size(end, SNUG_TILE_TOKENS);
    *begin_out = (uint32_t)snug_min_size(seen > first ? seen - first : 0, *end_out);
}

const snug_kv_retention_ops snug_kv_retention_window = {
    .name = "window",
    .slots = slots,
    .slot_of = slot_of,
    .first_tile = first_tile,
    .visible = visible,
};
