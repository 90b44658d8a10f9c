/* SPDX-License-Identifier: Apache-2.0 */
/*
 * demotion.c - fewer bits while a conversation runs. Planes of bits nest, and each has an arena of its own,
 * so down to 4 bits the arenas of the lowest ones are emptied and the width is another number. Below, the
 * nibbles become planes of 2, 1 and 1 bits, tile by tile.
 */
#include "kv/parts.h"

#include "base/status.h"

/* Empty the planes that a width does not need. Their address space stays reserved. */
static void drop_planes(snug_kv_side *side, uint32_t bits)
{
    for (int plane = 0; plane < SNUG_CODES_PLANE_COUNT; plane++)
        if (!snug_codes_has_plane(bits, (snug_codes_plane)plane))
            snug_arena_decommit(&side->plane[plane], 0);
}

/* Memory for the planes of a width below 4, as many tiles as the nibbles have. */
static snug_status make_planes(snug_kv_side *side, snug_memory *memory, size_t tiles, uint32_t bits,
                               snug_error *error)
{
    for (int i = SNUG_CODES_T2; i < SNUG_CODES_PLANE_COUNT; i++) {
        snug_arena *plane = &side->plane[i];
        const size_t bytes =
            side->kv_head_count * snug_codes_plane_bytes((snug_codes_plane)i, side->head_dim);

        if (!snug_codes_has_plane(bits, (snug_codes_plane)i))
            continue;
        if (!plane->base)
            SNUG_TRY(snug_arena_init(plane, memory, SNUG_MEMORY_KV, side->coded_tiles * bytes,
                                     "address space for the cache of one layer", error));
        SNUG_TRY(snug_arena_commit(plane, tiles * bytes, "repacking the attention cache", error));
    }
    return SNUG_OK;
}

snug_status snug_kv_side_set_bits(snug_kv_side *side, snug_memory *memory, uint32_t bits, snug_error *error)
{
    if (bits < 4)
        SNUG_TRY(make_planes(side, memory, 0, bits, error));
    side->coding.bits = bits;
    drop_planes(side, bits);
    return SNUG_OK;
}

/* One head's tile from nibbles to the planes of `bits` bits. */
static void repack(snug_kv_side *side, uint32_t coded_tile, uint32_t head, uint32_t bits)
{
    const uint32_t bits_before = side->coding.bits;
    snug_codes_tile codes;

    side->coding.bits = bits;
    codes = snug_kv_side_codes(side, coded_tile, head).codes;
    side->coding.bits = 4;
    codes.plane[SNUG_CODES_N4] = snug_kv_side_codes(side, coded_tile, head).codes.plane[SNUG_CODES_N4];
    side->coding.bits = bits_before;
    snug_codes_repack(&codes, side->head_dim);
}

/* Fewer bits for `tiles` tiles of codes, all that the side has; on failure nothing changed. */
static snug_status demote_side(snug_kv_side *side, snug_memory *memory, uint32_t tiles, uint32_t bits,
                               snug_error *error)
{
    snug_status status;

    if (!side->has_codes || side->coding.bits <= bits)
        return SNUG_OK;
    if (side->coding.format != SNUG_KV_FORMAT_PLANES)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                  "the %s are affine codes of %u bits, which cannot lose bits in place; planes can",
                  side->is_key ? "keys" : "values", side->coding.bits);
    if (side->coding.bits >= 4 && bits < 4) {
        status = make_planes(side, memory, tiles, bits, error);
        if (status != SNUG_OK) {
            drop_planes(side, side->coding.bits);
            return status;
        }
        for (uint32_t tile = 0; tile < tiles; tile++)
            for (uint32_t head = 0; head < side->kv_head_count; head++)
                repack(side, tile, head, bits);
    }
    side->coding.bits = bits;
    drop_planes(side, bits);
    return SNUG_OK;
}

static snug_status check_target(const snug_kv *kv, const snug_kv_target *target, snug_error *error)
{
    if (target->first_layer >= kv->layer_count || target->layer_count > kv->layer_count - target->first_layer)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "layers %u to %u were named; the cache has %u",
                  target->first_layer, target->first_layer + target->layer_count, kv->layer_count);
    if ((target->key_bits && !snug_codes_bits_ok(target->key_bits)) ||
        (target->value_bits && !snug_codes_bits_ok(target->value_bits)))
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "keys in %u and values in %u bits: there are 2, 3, 4, 5, 6 and 8",
                  target->key_bits, target->value_bits);
    return SNUG_OK;
}

snug_status snug_kv_demote(snug_kv *kv, const snug_kv_target *target, uint64_t *bytes_out, snug_error *error)
{
    const uint64_t before = snug_kv_committed_bytes(kv);
    snug_status status = check_target(kv, target, error);
    uint32_t end = kv->layer_count;

    if (bytes_out)
        *bytes_out = 0;
    if (status != SNUG_OK)
        return status;
    if (target->layer_count > 0)
        end = target->first_layer + target->layer_count;
    for (uint32_t i = target->first_layer; i < end && status == SNUG_OK; i++) {
        snug_kv_store *store = &kv->store[i];
        const uint32_t key_tiles = snug_kv_store_coded_tiles(store, &store->key, kv->tiles);
        const uint32_t value_tiles = snug_kv_store_coded_tiles(store, &store->value, kv->tiles);

        if (target->key_bits)
            status = demote_side(&store->key, kv->memory, key_tiles, target->key_bits, error);
        if (status == SNUG_OK && target->value_bits)
            status = demote_side(&store->value, kv->memory, value_tiles, target->value_bits, error);
    }
    if (bytes_out)
        *bytes_out = before - snug_kv_committed_bytes(kv);
    SNUG_ASSERT_DEBUG(snug_kv_is_valid(kv));
    return status;
}
