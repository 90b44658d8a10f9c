/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork.c - a second cache that goes on from the same tokens. Every arena of both shares its pages with the
 * other's; what is going to be written is copied before, when the cache grows, so that computing tokens needs
 * no memory and cannot fail. docs/decisions/0009 has the alternatives.
 */
#include "kv/parts.h"

#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "os/pages.h"

#define WHAT "a second conversation that shares tokens"

/* --- what is written ------------------------------------------------------------------------------------ */

size_t snug_kv_unit_bytes(size_t tile_bytes)
{
    size_t unit = tile_bytes;

    while (unit % snug_os_page_bytes() > 0)
        unit *= 2; /* a page is a power of two */
    return unit;
}

/* What is asked of tiles that will be written: copies of those that are shared, or only how many bytes these
 * would take. */
typedef struct own_job {
    uint64_t *bytes; /* NULL: make them */
    snug_error *error;
} own_job;

/* Tiles [first, end) of one arena, by `places`: run by run of neighbours. */
static snug_status own_tiles(const own_job *job, const snug_kv_arena *arena, const snug_kv_places *places,
                             uint32_t first, uint32_t end)
{
    const size_t unit = snug_kv_unit_bytes(arena->tile_bytes);

    if (places->ring_tiles != SNUG_KV_UNBOUNDED && end > first && end - first > places->ring_tiles)
        first = end - places->ring_tiles; /* those before them are overwritten */
    while (first < end && arena->arena->shared) {
        const size_t place = snug_kv_place(places, first);
        uint32_t run = 1;

        while (first + run < end && snug_kv_place(places, first + run) == place + run)
            run++;
        if (job->bytes)
            *job->bytes += snug_arena_own_bytes(arena->arena, place * arena->tile_bytes,
                                                (place + run) * arena->tile_bytes, unit);
        else
            SNUG_TRY(snug_arena_own(arena->arena, place * arena->tile_bytes,
                                    (place + run) * arena->tile_bytes, unit,
                                    "tokens after those that conversations share", job->error));
        first += run;
    }
    return SNUG_OK;
}

static snug_status own_side(const own_job *job, const snug_kv_store *store, const snug_kv_side *side,
                            uint32_t first, uint32_t tiles)
{
    const uint32_t exact = store->first_tiles + store->recent_tiles;
    snug_kv_arena arenas[SNUG_KV_ARENAS_MAX];
    const int count = snug_kv_side_arenas(arenas, side);

    SNUG_TRY(own_tiles(job, &arenas[0], &side->exact, first, tiles));
    for (int i = 1; i < count; i++) { /* what the last of the tiles lets become codes */
        const uint32_t coded_first = store->coded_end - store->first_tiles;
        const uint32_t coded_end = tiles > exact ? tiles - exact : 0;

        SNUG_TRY(own_tiles(job, &arenas[i], &side->coded,
                           (uint32_t)snug_max_size(coded_first, arenas[i].tiles.begin),
                           (uint32_t)snug_min_size(coded_end, arenas[i].tiles.end)));
    }
    return SNUG_OK;
}

static snug_status own_store(const own_job *job, const snug_kv_store *store, uint32_t tokens, uint32_t end)
{
    const uint32_t first = tokens / SNUG_TILE_TOKENS;
    const uint32_t tiles = snug_kv_tiles_for(end);

    if (store->shape.is_shared || end <= tokens)
        return SNUG_OK;
    SNUG_TRY(own_side(job, store, &store->key, first, tiles));
    return own_side(job, store, &store->value, first, tiles);
}

snug_status snug_kv_store_own(const snug_kv_store *store, uint32_t tokens, uint32_t end, snug_error *error)
{
    return own_store(&(own_job){ .error = error }, store, tokens, end);
}

uint64_t snug_kv_store_own_bytes(const snug_kv_store *store, uint32_t tokens, uint32_t end)
{
    uint64_t bytes = 0;

    (void)own_store(&(own_job){ .bytes = &bytes }, store, tokens, end);
    return bytes;
}

snug_status snug_kv_side_own_rows(const snug_kv_side *side, uint32_t first, uint32_t end, uint32_t places,
                                  snug_error *error)
{
    snug_kv_arena arenas[SNUG_KV_ARENAS_MAX];
    const snug_kv_places all = { .ring_tiles = SNUG_KV_UNBOUNDED };
    const own_job job = { .error = error };

    (void)snug_kv_side_arenas(arenas, side);
    SNUG_TRY(own_tiles(&job, &arenas[0], &all, 0, places));
    return own_tiles(&job, &arenas[0], &side->exact, first, end);
}

snug_status snug_kv_side_own_codes(const snug_kv_side *side, snug_error *error)
{
    snug_kv_arena arenas[SNUG_KV_ARENAS_MAX];
    const int count = snug_kv_side_arenas(arenas, side);

    for (int i = 1; i < count; i++)
        SNUG_TRY(snug_arena_own(arenas[i].arena, 0, arenas[i].arena->reserved_bytes,
                                snug_kv_unit_bytes(arenas[i].tile_bytes),
                                "tokens that conversations have shared", error));
    return SNUG_OK;
}

uint64_t snug_kv_side_own_codes_bytes(const snug_kv_side *side)
{
    snug_kv_arena arenas[SNUG_KV_ARENAS_MAX];
    const int count = snug_kv_side_arenas(arenas, side);
    uint64_t bytes = 0;

    for (int i = 1; i < count; i++) {
        const snug_arena *arena = arenas[i].arena;
        const snug_arena_range all = { 0, arena->reserved_bytes };

        bytes += snug_arena_usable_bytes(arena, &all, 1) - arena->committed_bytes;
    }
    return bytes;
}

/* --- forking -------------------------------------------------------------------------------------------- */

/* Arenas of a side that are reserved, empty or not. */
static int all_arenas(snug_kv_arena arenas[SNUG_KV_ARENAS_MAX], snug_kv_side *side)
{
    int count = 0;

    arenas[count++] = (snug_kv_arena){ .arena = &side->exact_pages, .tile_bytes = side->exact_tile_bytes };
    arenas[count++] =
        (snug_kv_arena){ .arena = &side->scales, .tile_bytes = side->kv_head_count * side->scale_bytes };
    for (int plane = 0; plane < SNUG_CODES_PLANE_COUNT; plane++)
        arenas[count++] =
            (snug_kv_arena){ .arena = &side->plane[plane],
                             .tile_bytes = side->kv_head_count *
                                           snug_codes_plane_bytes((snug_codes_plane)plane, side->head_dim) };
    return count;
}

static void forget_arenas(snug_kv_side *side)
{
    snug_kv_arena arenas[SNUG_KV_ARENAS_MAX];
    const int count = all_arenas(arenas, side);

    for (int i = 0; i < count; i++)
        *arenas[i].arena = (snug_arena){ .base = NULL };
}

/*
 * Codes of several widths in a ring do not lie in one run of bytes in each plane, and as the ring turns their
 * ends move through it: they are copied. A ring holds no more than a window. Everything else is shared.
 */
static snug_status fork_side(snug_kv_side *to, snug_kv_side *from, snug_error *error)
{
    const bool is_copied = from->run_count > 0 && from->coded.ring_tiles != SNUG_KV_UNBOUNDED;
    snug_kv_arena ours[SNUG_KV_ARENAS_MAX], theirs[SNUG_KV_ARENAS_MAX];
    const int count = all_arenas(ours, to);

    (void)all_arenas(theirs, from);
    for (int i = 0; i < count; i++)
        if (theirs[i].arena->base && i > 0 && is_copied)
            SNUG_TRY(snug_arena_copy(ours[i].arena, theirs[i].arena, WHAT, error));
        else if (theirs[i].arena->base)
            SNUG_TRY(snug_arena_fork(ours[i].arena, theirs[i].arena, snug_kv_unit_bytes(theirs[i].tile_bytes),
                                     WHAT, error));
    return SNUG_OK;
}

snug_status snug_kv_fork(snug_kv **kv_out, snug_kv *from, snug_error *error)
{
    const size_t bytes = sizeof *from + from->layer_count * sizeof *from->store;
    snug_kv *kv = snug_memory_alloc(from->memory, SNUG_MEMORY_KV, bytes, WHAT, error);
    snug_status status = SNUG_OK;

    *kv_out = NULL;
    if (!kv)
        return error ? error->status : SNUG_ERR_OVER_LIMIT;
    memcpy(kv, from, bytes);
    for (uint32_t i = 0; i < kv->layer_count; i++) {
        forget_arenas(&kv->store[i].key);
        forget_arenas(&kv->store[i].value);
    }
    for (uint32_t i = 0; i < kv->layer_count && status == SNUG_OK; i++) {
        status = fork_side(&kv->store[i].key, &from->store[i].key, error);
        if (status == SNUG_OK)
            status = fork_side(&kv->store[i].value, &from->store[i].value, error);
    }
    if (status != SNUG_OK) {
        snug_kv_destroy(kv);
        return status;
    }
    SNUG_ASSERT_DEBUG(snug_kv_is_valid(kv) && snug_kv_is_valid(from));
    *kv_out = kv;
    return SNUG_OK;
}

uint64_t snug_kv_shared_bytes(const snug_kv *kv)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < kv->layer_count; i++)
        for (int s = 0; s < 2; s++) {
            const snug_kv_side *side = s == 0 ? &kv->store[i].key : &kv->store[i].value;
            snug_kv_arena arenas[SNUG_KV_ARENAS_MAX];
            const int count = kv->store[i].shape.is_shared ? 0 : snug_kv_side_arenas(arenas, side);

            for (int a = 0; a < count; a++)
                bytes += snug_arena_shared_bytes(arenas[a].arena);
        }
    return bytes;
}
