/* SPDX-License-Identifier: Apache-2.0 */
/*
 * widths.c - how many bits each tile of codes has: older ones fewer than newer ones, or as many. So what has
 * a width is one run of tiles, and what needs a plane of bits is one run, too.
 */
#include "kv/parts.h"

#include "base/status.h"

uint32_t snug_kv_side_bits(const snug_kv_side *side, uint32_t coded_tile)
{
    for (uint32_t i = 0; i < side->run_count; i++)
        if (coded_tile < side->run[i].end_tile)
            return side->run[i].bits;
    return side->coding.bits;
}

uint32_t snug_kv_side_fewest_bits(const snug_kv_side *side)
{
    return side->run_count > 0 ? side->run[0].bits : side->coding.bits;
}

/* The run after those there are; of the same width as the last one, it is one with it. */
static void append(snug_kv_side *side, uint32_t bits, uint32_t end_tile)
{
    const uint32_t begin = side->run_count > 0 ? side->run[side->run_count - 1].end_tile : 0;

    if (end_tile <= begin)
        return;
    if (side->run_count > 0 && side->run[side->run_count - 1].bits == bits) {
        side->run[side->run_count - 1].end_tile = end_tile;
        return;
    }
    SNUG_ASSERT(side->run_count < SNUG_KV_RUNS_MAX);
    side->run[side->run_count++] = (snug_kv_run){ bits, end_tile };
}

void snug_kv_side_narrow(snug_kv_side *side, uint32_t bits, uint32_t end_tile)
{
    const snug_kv_side old = *side;

    side->run_count = 0;
    for (uint32_t i = 0; i < old.run_count; i++) {
        const snug_kv_run run = old.run[i];
        const uint32_t end = run.end_tile < end_tile ? run.end_tile : end_tile;

        append(side, run.bits < bits ? run.bits : bits, end);
        append(side, run.bits, run.end_tile);
    }
    if (old.coding.bits <= bits)
        return;
    if (end_tile != SNUG_KV_UNBOUNDED) {
        append(side, bits, end_tile);
        return;
    }
    side->coding.bits = bits;
    if (side->run_count > 0 && side->run[side->run_count - 1].bits == bits)
        side->run_count--;
}

snug_kv_range snug_kv_side_tiles_with(const snug_kv_side *side, snug_codes_plane plane)
{
    snug_kv_range tiles = { 0, 0 };
    uint32_t begin = 0;

    for (uint32_t i = 0; i <= side->run_count; i++) {
        const bool is_last = i == side->run_count;
        const uint32_t bits = is_last ? side->coding.bits : side->run[i].bits;
        const uint32_t end = is_last ? SNUG_KV_UNBOUNDED : side->run[i].end_tile;

        if (snug_codes_has_plane(bits, plane)) {
            tiles.begin = tiles.end == 0 ? begin : tiles.begin;
            tiles.end = end;
        }
        begin = end;
    }
    return tiles;
}
