/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer.c - one layer of the cache: which of its tiles are rows and which are codes, and the memory of both.
 *
 * With codes, exact tiles are few: the first ones and a ring of the recent ones. Everything between is codes,
 * in a ring too where the retention has one.
 */
#include "kv/parts.h"

#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "codec/affine.h"

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

static void shape_side(snug_kv_side *side, const snug_kv_layer *layer, const snug_kv_config *config,
                       bool is_key, uint32_t index)
{
    *side = (snug_kv_side){
        .coding = is_key ? snug_kv_config_key(config, index) : snug_kv_config_value(config, index),
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
    shape_side(&store->key, layer, config, true, index);
    shape_side(&store->value, layer, config, false, index);
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

/* Bytes of an arena: ascending, not touching. */
typedef struct range_list {
    size_t count;
    snug_arena_range range[SNUG_ARENA_RANGES_MAX];
} range_list;

/* One arena of a side, and what the first tiles of the layer take of it. */
typedef struct arena_use {
    snug_arena *arena;
    range_list list;
} arena_use;

static void add_range(range_list *list, size_t begin, size_t end)
{
    size_t at = 0, last;

    if (begin >= end)
        return;
    while (at < list->count && list->range[at].end < begin)
        at++;
    for (last = at; last < list->count && list->range[last].begin <= end; last++) {
        begin = snug_min_size(begin, list->range[last].begin);
        end = snug_max_size(end, list->range[last].end);
    }
    if (last == at) {
        SNUG_ASSERT(list->count < SNUG_ARENA_RANGES_MAX);
        memmove(&list->range[at + 1], &list->range[at], (list->count - at) * sizeof list->range[0]);
        list->count++;
    } else {
        memmove(&list->range[at + 1], &list->range[last], (list->count - last) * sizeof list->range[0]);
        list->count -= last - at - 1;
    }
    list->range[at] = (snug_arena_range){ begin, end };
}

/* Where those of the first `count` tiles lie that are among `tiles` and whose place no later one took. */
static void add_tiles(range_list *list, const snug_kv_places *places, snug_kv_range tiles, uint32_t count,
                      size_t tile_bytes)
{
    const uint32_t fixed =
        places->ring_tiles == SNUG_KV_UNBOUNDED ? count : least(places->fixed_tiles, count);
    const uint32_t end = least(tiles.end, count);
    uint32_t begin = tiles.begin > fixed ? tiles.begin : fixed; /* in the ring */
    uint32_t before_turn;

    add_range(list, (size_t)tiles.begin * tile_bytes, (size_t)least(end, fixed) * tile_bytes);
    if (fixed == count)
        return;
    if (count - fixed > places->ring_tiles && begin < count - places->ring_tiles)
        begin = count - places->ring_tiles;
    if (begin >= end)
        return;
    before_turn = fixed + places->ring_tiles - snug_kv_place(places, begin);
    add_range(list, (size_t)snug_kv_place(places, begin) * tile_bytes,
              ((size_t)snug_kv_place(places, begin) + least(end - begin, before_turn)) * tile_bytes);
    if (end - begin > before_turn)
        add_range(list, (size_t)fixed * tile_bytes, (size_t)(fixed + end - begin - before_turn) * tile_bytes);
}

/* Tiles of codes that there are. More than are due after a conversation was rewound. */
static uint32_t held_tiles(const snug_kv_store *store)
{
    return snug_kv_store_codes_end(store) - store->first_tiles;
}

uint32_t snug_kv_store_coded_tiles(const snug_kv_store *store, uint32_t tiles)
{
    const uint32_t exact_end = store->first_tiles + store->recent_tiles;
    const uint32_t due = tiles > exact_end ? tiles - exact_end : 0;

    return due > held_tiles(store) ? due : held_tiles(store);
}

int snug_kv_side_arenas(snug_kv_arena arenas[SNUG_KV_ARENAS_MAX], const snug_kv_side *side)
{
    snug_kv_side *s = (snug_kv_side *)(uintptr_t)side;
    int count = 0;

    arenas[count++] = (snug_kv_arena){ &s->exact_pages, side->exact_tile_bytes, true, { 0, 0 } };
    if (!side->has_codes)
        return count;
    arenas[count++] = (snug_kv_arena){
        &s->scales, side->kv_head_count * side->scale_bytes, false, { 0, SNUG_KV_UNBOUNDED }
    };
    for (int plane = 0; plane < SNUG_CODES_PLANE_COUNT; plane++) {
        const size_t bytes = snug_codes_plane_bytes((snug_codes_plane)plane, side->head_dim);
        const snug_kv_range tiles = snug_kv_side_tiles_with(side, (snug_codes_plane)plane);

        if (tiles.end > 0)
            arenas[count++] = (snug_kv_arena){ &s->plane[plane], side->kv_head_count * bytes, false, tiles };
    }
    return count;
}

/*
 * The arenas of a side with what they hold for `tiles` logical tiles; returns how many. Where codes go round,
 * that is what there is and what there is to be: one takes the place of the other while tokens are computed.
 */
static int list_arenas(arena_use uses[SNUG_KV_ARENAS_MAX], const snug_kv_store *store,
                       const snug_kv_side *side, uint32_t tiles)
{
    snug_kv_arena arenas[SNUG_KV_ARENAS_MAX];
    const int count = snug_kv_side_arenas(arenas, side);
    const uint32_t coded = snug_kv_store_coded_tiles(store, tiles);

    for (int i = 0; i < count; i++) {
        const snug_kv_arena *a = &arenas[i];

        uses[i] = (arena_use){ .arena = a->arena };
        if (a->is_rows) {
            add_range(&uses[i].list, 0, snug_kv_places_used(&side->exact, tiles) * a->tile_bytes);
            continue;
        }
        add_tiles(&uses[i].list, &side->coded, a->tiles, coded, a->tile_bytes);
        if (held_tiles(store) < coded)
            add_tiles(&uses[i].list, &side->coded, a->tiles, held_tiles(store), a->tile_bytes);
    }
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
    uint64_t bytes = 0;

    for (int i = 0; i < count; i++)
        bytes += snug_arena_ranges_bytes(uses[i].list.range, uses[i].list.count);
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

uint64_t snug_kv_side_held_as(const snug_kv_store *store, const snug_kv_side *side, uint32_t tiles)
{
    arena_use uses[SNUG_KV_ARENAS_MAX];
    const int count = list_arenas(uses, store, side, tiles);
    uint64_t bytes = bytes_of(uses, count);

    for (int i = 0; i < count; i++) {
        const range_list *list = &uses[i].list;

        if (uses[i].arena->shared)
            bytes -= snug_arena_usable_bytes(uses[i].arena, list->range, list->count) -
                     snug_arena_kept_bytes(uses[i].arena, list->range, list->count);
    }
    return bytes;
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

    side->coded_tiles =
        snug_kv_places_used(&side->coded, snug_kv_store_coded_tiles(store, store->context_tiles));
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

static snug_status commit_list(snug_arena *arena, const range_list *list, snug_error *error)
{
    const char *what = "more tokens in the attention cache";

    for (size_t i = 0; i < list->count; i++)
        SNUG_TRY(snug_arena_extend(arena, list->range[i].begin, list->range[i].end, what, error));
    return SNUG_OK;
}

snug_status snug_kv_store_commit(snug_kv_store *store, uint32_t tiles, snug_error *error)
{
    arena_use uses[2 * SNUG_KV_ARENAS_MAX];
    const int count = list_all(uses, store, tiles);

    for (int i = 0; i < count; i++)
        SNUG_TRY(commit_list(uses[i].arena, &uses[i].list, error));
    return SNUG_OK;
}

/* Planes that no width of the side has. */
static void drop_planes(snug_kv_side *side)
{
    for (int plane = 0; plane < SNUG_CODES_PLANE_COUNT; plane++)
        if (!side->has_codes || snug_kv_side_tiles_with(side, (snug_codes_plane)plane).end == 0)
            snug_arena_decommit(&side->plane[plane], 0);
}

void snug_kv_store_decommit(snug_kv_store *store, uint32_t tiles)
{
    arena_use uses[2 * SNUG_KV_ARENAS_MAX];
    const int count = list_all(uses, store, tiles);

    for (int i = 0; i < count; i++) {
        const range_list *list = &uses[i].list;

        snug_arena_decommit(uses[i].arena, list->count > 0 ? list->range[list->count - 1].end : 0);
        snug_arena_keep(uses[i].arena, list->range, list->count);
    }
    drop_planes(&store->key);
    drop_planes(&store->value);
}

uint32_t snug_kv_store_settle(snug_kv_store *store, uint32_t tiles, uint32_t pages)
{
    arena_use uses[2 * SNUG_KV_ARENAS_MAX];
    const int count = list_all(uses, store, tiles); /* of codes: all that have been made */
    uint32_t tried = 0;

    for (int i = 0; i < count; i++) {
        const range_list *list = &uses[i].list;
        const size_t filled = list->count > 0 ? list->range[list->count - 1].end : 0;

        while (tried < pages && snug_arena_settle(uses[i].arena, filled))
            tried++;
    }
    return tried;
}

uint64_t snug_kv_side_committed(const snug_kv_side *side)
{
    uint64_t bytes = snug_arena_held_bytes(&side->exact_pages) + snug_arena_held_bytes(&side->scales);

    for (int plane = 0; plane < SNUG_CODES_PLANE_COUNT; plane++)
        bytes += snug_arena_held_bytes(&side->plane[plane]);
    return bytes;
}

uint64_t snug_kv_store_committed(const snug_kv_store *store)
{
    return snug_kv_side_committed(&store->key) + snug_kv_side_committed(&store->value);
}

static bool has_no_other_planes(const snug_kv_side *side)
{
    for (int plane = 0; plane < SNUG_CODES_PLANE_COUNT; plane++)
        if ((!side->has_codes || snug_kv_side_tiles_with(side, (snug_codes_plane)plane).end == 0) &&
            (side->plane[plane].committed_bytes > 0 || side->plane[plane].shared))
            return false;
    return true;
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
        if (!snug_arena_has_just(uses[i].arena, uses[i].list.range, uses[i].list.count))
            return false;
    return has_no_other_planes(&store->key) && has_no_other_planes(&store->value);
}
