/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer.c - one layer of the cache: which of its tiles are rows and which are codes, and the memory of both.
 *
 * With codes, exact tiles are few: the first ones and a ring of the recent ones. Everything between is codes,
 * in a ring too where the retention has one.
 */
#include "kv/parts.h"

#include "base/size.h"
#include "base/status.h"
#include "codec/affine.h"
#include "os/pages.h"

static const snug_kv_rows rows_f16 = { SNUG_TILE_F16, SNUG_TYPE_F16, sizeof(uint16_t) };
static const snug_kv_rows rows_f32 = { SNUG_TILE_F32, SNUG_TYPE_F32, sizeof(float) };

/* --- which tiles are what ------------------------------------------------------------------------------ */

/* Tiles that `tokens` tokens touch, wherever the first of them lies in its tile. */
static uint32_t touched_tiles(uint32_t tokens)
{
    return tokens == 0 ? 0 : 1 + (uint32_t)snug_divide_up(tokens - 1, SNUG_TILE_TOKENS);
}

static bool is_bounded(const snug_kv_rule *rule)
{
    return rule->window_tokens != SNUG_KV_UNBOUNDED || rule->recent_tokens != SNUG_KV_UNBOUNDED ||
           rule->chunk_tokens != SNUG_KV_UNBOUNDED;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

size_t snug_kv_scale_bytes(const snug_kv_coding *coding, uint32_t head_dim)
{
    if (coding->format == SNUG_KV_FORMAT_PLANES)
        return SNUG_TILE_TOKENS * sizeof(uint16_t);
    return coding->format == SNUG_KV_FORMAT_AFFINE ? 2 * snug_affine_scale_bytes(head_dim, coding->group) : 0;
}

static void shape_side(snug_kv_side *side, const snug_kv_layer *layer, const snug_kv_coding *coding,
                       bool is_key, uint32_t index)
{
    *side = (snug_kv_side){
        .coding = snug_kv_coding_resolve(coding),
        .is_key = is_key,
        .kv_head_count = layer->kv_head_count,
        .head_dim = layer->head_dim,
        .seed = 2 * (uint64_t)index + is_key,
    };
    side->rows = side->coding.format == SNUG_KV_FORMAT_F32 ? &rows_f32 : &rows_f16;
    side->exact_tile_bytes =
        (size_t)SNUG_TILE_TOKENS * layer->kv_head_count * layer->head_dim * side->rows->value_bytes;
    side->scale_bytes = snug_kv_scale_bytes(&side->coding, layer->head_dim);
}

void snug_kv_store_set_exact(snug_kv_store *store, uint32_t first_exact_tokens, uint32_t recent_exact_tokens)
{
    SNUG_ASSERT(!store->has_codes);
    store->first_tiles = snug_kv_tiles_for(first_exact_tokens);
    store->recent_tiles = (uint32_t)snug_max_size(touched_tiles(recent_exact_tokens), 1);
    if (is_bounded(&store->rule)) /* the first tokens stay only as sinks */
        store->first_tiles = least(store->first_tiles, store->rule.sink_tiles);
    store->coded_end = store->coded_before = store->first_tiles;
}

bool snug_kv_store_lay_out_codes(snug_kv_store *store, snug_kv_side *side)
{
    const snug_kv_rule *rule = &store->rule;
    const bool goes_round = rule->ring_tiles != SNUG_KV_UNBOUNDED;
    /* That are ever seen at once. */
    const uint32_t tiles = goes_round ? store->first_tiles + rule->ring_tiles : store->context_tiles;

    SNUG_ASSERT(snug_kv_format_is_coded(side->coding.format));
    if ((uint64_t)store->first_tiles + store->recent_tiles >= tiles)
        return false;
    store->has_codes = side->has_codes = true;
    side->exact = (snug_kv_places){
        .fixed_tiles = store->first_tiles,
        .ring_tiles = least(store->recent_tiles + store->pass_tiles, tiles - store->first_tiles),
    };
    side->coded = (snug_kv_places){ .ring_tiles = SNUG_KV_UNBOUNDED };
    if (goes_round)
        side->coded = (snug_kv_places){ .fixed_tiles = rule->sink_tiles - store->first_tiles,
                                        .ring_tiles = rule->ring_tiles - store->recent_tiles };
    return true;
}

void snug_kv_store_shape(snug_kv_store *store, const snug_kv_shape *shape, uint32_t index,
                         const snug_kv_options *options)
{
    const snug_kv_layer *layer = &shape->layer[index];
    const snug_kv_config *config = &options->config;

    *store = (snug_kv_store){
        .shape = *layer,
        .rule = snug_kv_rule_make(shape, index, options),
        .context_tiles = snug_kv_tiles_for(options->context_tokens),
        .pass_tiles =
            snug_kv_is_shared_later(shape, index) ? touched_tiles(snug_kv_pass_tokens(options) - 1) : 0,
    };
    shape_side(&store->key, layer, &config->key, true, index);
    shape_side(&store->value, layer, &config->value, false, index);
    store->key.exact = store->value.exact = snug_kv_rule_places(&store->rule);
    snug_kv_store_set_exact(store, config->first_exact_tokens, config->recent_exact_tokens);
    if (layer->is_shared)
        return;
    if (snug_kv_format_is_coded(store->key.coding.format))
        (void)snug_kv_store_lay_out_codes(store, &store->key);
    if (snug_kv_format_is_coded(store->value.coding.format))
        (void)snug_kv_store_lay_out_codes(store, &store->value);
}

/* --- memory -------------------------------------------------------------------------------------------- */

/* One arena of a side, and what the first tiles of the layer take of it. */
typedef struct arena_use {
    snug_arena *arena;
    size_t tile_bytes;
    size_t tiles;
} arena_use;

uint32_t snug_kv_store_coded_tiles(const snug_kv_store *store, const snug_kv_side *side, uint32_t tiles)
{
    const uint32_t exact_end = store->first_tiles + store->recent_tiles;
    const uint32_t due = tiles > exact_end ? tiles - exact_end : 0;
    /* More than are due after a conversation was rewound. */
    const uint32_t held = snug_kv_store_codes_end(store) - store->first_tiles;

    return side->has_codes ? snug_kv_places_used(&side->coded, due > held ? due : held) : 0;
}

int snug_kv_side_arenas(snug_kv_arena arenas[SNUG_KV_ARENAS_MAX], const snug_kv_side *side)
{
    snug_kv_side *s = (snug_kv_side *)(uintptr_t)side;
    int count = 0;

    arenas[count++] = (snug_kv_arena){ &s->exact_pages, side->exact_tile_bytes };
    if (!side->has_codes)
        return count;
    arenas[count++] = (snug_kv_arena){ &s->scales, side->kv_head_count * side->scale_bytes };
    for (int plane = 0; plane < SNUG_CODES_PLANE_COUNT; plane++) {
        const size_t bytes = snug_codes_plane_bytes((snug_codes_plane)plane, side->head_dim);

        if (snug_codes_has_plane(side->coding.bits, (snug_codes_plane)plane))
            arenas[count++] = (snug_kv_arena){ &s->plane[plane], side->kv_head_count * bytes };
    }
    return count;
}

/* The arenas of a side with what they hold for `tiles` logical tiles; returns how many. */
static int list_arenas(arena_use uses[SNUG_KV_ARENAS_MAX], const snug_kv_store *store,
                       const snug_kv_side *side, uint32_t tiles)
{
    snug_kv_arena arenas[SNUG_KV_ARENAS_MAX];
    const int count = snug_kv_side_arenas(arenas, side);
    const uint32_t coded = snug_kv_store_coded_tiles(store, side, tiles);

    for (int i = 0; i < count; i++)
        uses[i] = (arena_use){ arenas[i].arena, arenas[i].tile_bytes,
                               i == 0 ? snug_kv_places_used(&side->exact, tiles) : coded };
    return count;
}

/* Both sides of a layer. */
static int list_all(arena_use uses[2 * SNUG_KV_ARENAS_MAX], const snug_kv_store *store, uint32_t tiles)
{
    int count;

    if (store->shape.is_shared)
        return 0;
    count = list_arenas(uses, store, &store->key, tiles);
    return count + list_arenas(uses + count, store, &store->value, tiles);
}

static uint64_t bytes_of(const arena_use *uses, int count)
{
    const size_t page = snug_os_page_bytes();
    uint64_t bytes = 0;

    for (int i = 0; i < count; i++)
        bytes += snug_round_up(uses[i].tiles * uses[i].tile_bytes, page);
    return bytes;
}

uint64_t snug_kv_side_bytes(const snug_kv_store *store, const snug_kv_side *side, uint32_t tiles)
{
    arena_use uses[SNUG_KV_ARENAS_MAX];

    return bytes_of(uses, list_arenas(uses, store, side, tiles));
}

uint64_t snug_kv_store_bytes(const snug_kv_store *store, uint32_t tiles)
{
    arena_use uses[2 * SNUG_KV_ARENAS_MAX];

    return bytes_of(uses, list_all(uses, store, tiles));
}

static snug_status reserve_arena(snug_arena *arena, snug_memory *memory, size_t bytes, snug_error *error)
{
    return snug_arena_init(arena, memory, SNUG_MEMORY_KV, bytes, "address space for the cache of one layer",
                           error);
}

snug_status snug_kv_side_reserve_codes(snug_kv_store *store, snug_kv_side *side, snug_memory *memory,
                                       snug_error *error)
{
    snug_kv_arena arenas[SNUG_KV_ARENAS_MAX];
    const int count = snug_kv_side_arenas(arenas, side);

    side->coded_tiles = snug_kv_store_coded_tiles(store, side, store->context_tiles);
    for (int i = 1; i < count; i++)
        SNUG_TRY(reserve_arena(arenas[i].arena, memory, side->coded_tiles * arenas[i].tile_bytes, error));
    return SNUG_OK;
}

static snug_status reserve_side(snug_kv_store *store, snug_kv_side *side, snug_memory *memory,
                                snug_error *error)
{
    const size_t tiles = snug_kv_places_used(&side->exact, store->context_tiles);

    SNUG_TRY(reserve_arena(&side->exact_pages, memory, tiles * side->exact_tile_bytes, error));
    return side->has_codes ? snug_kv_side_reserve_codes(store, side, memory, error) : SNUG_OK;
}

snug_status snug_kv_store_reserve(snug_kv_store *store, snug_memory *memory, snug_error *error)
{
    if (store->shape.is_shared)
        return SNUG_OK;
    SNUG_TRY(reserve_side(store, &store->key, memory, error));
    return reserve_side(store, &store->value, memory, error);
}

void snug_kv_side_release_codes(snug_kv_side *side)
{
    snug_arena_deinit(&side->scales);
    for (int plane = 0; plane < SNUG_CODES_PLANE_COUNT; plane++)
        snug_arena_deinit(&side->plane[plane]);
}

static void release_side(snug_kv_side *side)
{
    snug_arena_deinit(&side->exact_pages);
    snug_kv_side_release_codes(side);
}

void snug_kv_store_release(snug_kv_store *store)
{
    release_side(&store->key);
    release_side(&store->value);
}

snug_status snug_kv_store_commit(snug_kv_store *store, uint32_t tiles, snug_error *error)
{
    arena_use uses[2 * SNUG_KV_ARENAS_MAX];
    const int count = list_all(uses, store, tiles);

    for (int i = 0; i < count; i++)
        SNUG_TRY(snug_arena_commit(uses[i].arena, uses[i].tiles * uses[i].tile_bytes,
                                   "more tokens in the attention cache", error));
    return SNUG_OK;
}

void snug_kv_store_decommit(snug_kv_store *store, uint32_t tiles)
{
    arena_use uses[2 * SNUG_KV_ARENAS_MAX];
    const int count = list_all(uses, store, tiles);

    for (int i = 0; i < count; i++)
        snug_arena_decommit(uses[i].arena, uses[i].tiles * uses[i].tile_bytes);
}

uint32_t snug_kv_store_settle(snug_kv_store *store, uint32_t tiles, uint32_t pages)
{
    arena_use uses[2 * SNUG_KV_ARENAS_MAX];
    const int count = list_all(uses, store, tiles); /* of codes: all that have been made */
    uint32_t tried = 0;

    for (int i = 0; i < count; i++)
        while (tried < pages && snug_arena_settle(uses[i].arena, uses[i].tiles * uses[i].tile_bytes))
            tried++;
    return tried;
}

uint64_t snug_kv_store_committed(const snug_kv_store *store)
{
    arena_use uses[2 * SNUG_KV_ARENAS_MAX];
    const int count = list_all(uses, store, 0);
    uint64_t bytes = 0;

    for (int i = 0; i < count; i++)
        bytes += snug_arena_held_bytes(uses[i].arena);
    return bytes;
}

bool snug_kv_store_is_valid(const snug_kv_store *store, uint32_t tiles)
{
    arena_use uses[2 * SNUG_KV_ARENAS_MAX];
    const int count = list_all(uses, store, tiles);

    if (store->shape.is_shared)
        return !store->key.exact_pages.base && !store->value.exact_pages.base;
    if (store->rule.ring_tiles == 0 || store->rule.sink_tiles != snug_kv_tiles_for(store->rule.sink_tokens) ||
        store->coded_end < store->first_tiles || store->coded_before > store->coded_end)
        return false;
    for (int i = 0; i < count; i++)
        if (!snug_arena_has_first(uses[i].arena, uses[i].tiles * uses[i].tile_bytes))
            return false;
    return true;
}
