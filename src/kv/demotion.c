/* SPDX-License-Identifier: Apache-2.0 */
/*
 * demotion.c - fewer bits while a conversation runs. Planes of bits nest, and each has an arena of its own,
 * so down to 4 bits the arenas of the lowest ones are emptied and the width is another number. Below, the
 * nibbles become planes of 2, 1 and 1 bits, tile by tile.
 */
#include "kv/parts.h"

#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "os/pages.h"

/* --- codes with fewer bits ----------------------------------------------------------------------------- */

snug_status snug_kv_side_reserve_planes(snug_kv_side *side, snug_memory *memory, snug_error *error)
{
    snug_kv_arena arenas[SNUG_KV_ARENAS_MAX];
    const int count = snug_kv_side_arenas(arenas, side);

    for (int i = 1; i < count; i++)
        if (!arenas[i].arena->base)
            SNUG_TRY(snug_arena_init(arenas[i].arena, memory, SNUG_MEMORY_KV,
                                     side->coded_tiles * arenas[i].tile_bytes,
                                     "address space for the cache of one layer", error));
    return SNUG_OK;
}

static uint32_t held_tiles(const snug_kv_store *store)
{
    return snug_kv_store_codes_end(store) - store->first_tiles;
}

/* Tiles that are nibbles, or more, and become planes of 2 and 1 bits; they are in a row. */
static snug_kv_range tiles_to_repack(const snug_kv_store *store, const snug_kv_side *side,
                                     const snug_kv_side *as)
{
    const uint32_t held = held_tiles(store);
    const uint32_t begin = side->coding.bits < 4 ? held : snug_kv_side_tiles_with(side, SNUG_CODES_N4).begin;
    const uint32_t end = as->coding.bits < 4 ? held : snug_kv_side_tiles_with(as, SNUG_CODES_N4).begin;

    return (snug_kv_range){ begin, (uint32_t)snug_max_size(snug_min_size(end, held), begin) };
}

/* Whether a tile of codes is there: no later one has taken its place. */
static bool is_there(const snug_kv_store *store, const snug_kv_side *side, uint32_t tile)
{
    return side->coded.ring_tiles == SNUG_KV_UNBOUNDED || tile < side->coded.fixed_tiles ||
           tile + side->coded.ring_tiles >= held_tiles(store);
}

/* One tile of all heads from nibbles to the planes of `bits` bits, in memory of its own. */
static snug_status repack_tile(snug_kv_side *side, uint32_t tile, uint32_t bits, snug_error *error)
{
    const size_t place = snug_kv_place(&side->coded, tile);

    for (int i = SNUG_CODES_T2; i < SNUG_CODES_PLANE_COUNT; i++) {
        const snug_codes_plane plane = (snug_codes_plane)i;
        const size_t bytes = side->kv_head_count * snug_codes_plane_bytes(plane, side->head_dim);

        if (!snug_codes_has_plane(bits, plane))
            continue;
        SNUG_TRY(snug_arena_own(&side->plane[i], place * bytes, (place + 1) * bytes,
                                snug_kv_unit_bytes(bytes), "repacking the attention cache", error));
        SNUG_TRY(snug_arena_commit_range(&side->plane[i], place * bytes, (place + 1) * bytes,
                                         "repacking the attention cache", error));
    }
    for (uint32_t head = 0; head < side->kv_head_count; head++) {
        snug_codes_tile codes = { { NULL } };

        for (int i = 0; i < SNUG_CODES_PLANE_COUNT; i++)
            if (i == SNUG_CODES_N4 || snug_codes_has_plane(bits, (snug_codes_plane)i))
                codes.plane[i] = snug_kv_side_plane(side, (snug_codes_plane)i, tile, head);
        snug_codes_repack(&codes, side->head_dim);
    }
    return SNUG_OK;
}

/* All tiles that have to be, each of which gives its nibbles back; *end_out is where it came to. */
static snug_status repack(const snug_kv_store *store, snug_kv_side *side, snug_kv_range tiles, uint32_t bits,
                          uint32_t *end_out, snug_error *error)
{
    const size_t bytes = side->kv_head_count * snug_codes_plane_bytes(SNUG_CODES_N4, side->head_dim);
    snug_arena_range released = { 0, 0 };

    for (*end_out = tiles.begin; *end_out < tiles.end; ++*end_out) {
        const size_t begin = snug_kv_place(&side->coded, *end_out) * bytes;

        if (!is_there(store, side, *end_out))
            continue;
        SNUG_TRY(repack_tile(side, *end_out, bits, error));
        if (begin != released.end)
            released.begin = begin;
        released.end = begin + bytes;
        snug_arena_release(&side->plane[SNUG_CODES_N4], released.begin, released.end);
    }
    return SNUG_OK;
}

/* Whether another cache has pages of this side, too (fork.c). */
static bool shares_pages(const snug_kv_side *side)
{
    snug_kv_arena arenas[SNUG_KV_ARENAS_MAX];
    const int count = snug_kv_side_arenas(arenas, side);
    bool shares = false;

    for (int i = 0; i < count; i++)
        shares |= arenas[i].arena->shared != NULL;
    return shares;
}

/* Whether what is shared of a side's codes has to be its own before it is as `as` says: of several widths in
 * a ring nothing can be shared (fork.c). */
static bool must_own(const snug_kv_side *side, const snug_kv_side *as)
{
    return side->has_codes && as->run_count > 0 && side->coded.ring_tiles != SNUG_KV_UNBOUNDED &&
           shares_pages(side);
}

static void take_widths(snug_kv_side *side, const snug_kv_side *as)
{
    side->coding.bits = as->coding.bits;
    side->run_count = as->run_count;
    memcpy(side->run, as->run, sizeof side->run);
}

/*
 * From the widths of a side to those of `as`, which has `bits` bits at most before `end_tile`. First what
 * goes without repacking: planes are given back. Then tile by tile, on a credit of `extra_bytes`. On failure
 * the tiles that were done stay so.
 */
static snug_status demote_side(snug_kv *kv, snug_kv_store *store, snug_kv_side *side, const snug_kv_side *as,
                               uint32_t bits, uint32_t end_tile, uint64_t extra_bytes, snug_error *error)
{
    const snug_kv_range tiles = tiles_to_repack(store, side, as);
    snug_arena_credit credit = { extra_bytes };
    snug_kv_side nibbles;
    uint32_t end = tiles.begin;
    snug_status status;

    if (must_own(side, as))
        SNUG_TRY(snug_kv_side_own_codes(side, error));
    snug_kv_side_narrow(side, bits < 4 ? 4 : bits, end_tile);
    snug_kv_store_decommit(store, kv->tiles);
    if (bits >= 4)
        return SNUG_OK;
    SNUG_TRY(
        snug_memory_take(kv->memory, SNUG_MEMORY_KV, extra_bytes, "repacking the attention cache", error));
    nibbles = *side;
    take_widths(side, as);
    status = snug_kv_side_reserve_planes(side, kv->memory, error);
    take_widths(side, &nibbles);
    snug_kv_side_set_credit(side, &credit);
    if (status == SNUG_OK)
        status = repack(store, side, tiles, bits, &end, error);
    if (status == SNUG_OK) {
        take_widths(side, as);
        snug_kv_store_decommit(store, kv->tiles);
        status = snug_kv_store_commit(store, kv->tiles, error); /* what has no tiles yet */
    } else {
        snug_kv_side_narrow(side, bits, end);
        snug_kv_store_decommit(store, kv->tiles);
    }
    snug_kv_side_set_credit(side, NULL);
    snug_memory_give(kv->memory, SNUG_MEMORY_KV, credit.bytes);
    return status;
}

/* --- a layer ------------------------------------------------------------------------------------------- */

/* A demotion: of rows, too, where there are threads to encode them. */
typedef struct demote_job {
    snug_kv *kv;
    const snug_kv_target *target;
    snug_work *work;
    void *thread_scratch;
} demote_job;

/* The tokens that a target is about are those before this one. */
static uint32_t end_token(const snug_kv *kv, const snug_kv_target *target)
{
    const uint32_t newer = target->older_than_tokens;
    uint32_t end = kv->tokens > newer ? kv->tokens - newer : 0;

    if (target->end_token > 0 && target->end_token < end)
        end = target->end_token;
    return end;
}

static bool is_by_age(const snug_kv_target *target)
{
    return target->older_than_tokens > 0 || target->end_token > 0;
}

/* The tiles of codes that a target is about are those before this one: tiles that lie in it as a whole. */
static uint32_t end_tile(const snug_kv *kv, const snug_kv_store *store, const snug_kv_target *target)
{
    const uint32_t tiles = end_token(kv, target) / SNUG_TILE_TOKENS;

    if (!is_by_age(target))
        return SNUG_KV_UNBOUNDED;
    return tiles > store->first_tiles ? tiles - store->first_tiles : 0;
}

static uint32_t first_exact(const snug_kv *kv, const snug_kv_target *target)
{
    return (uint32_t)snug_max_size(kv->config.first_exact_tokens, target->first_exact_tokens);
}

static uint32_t recent_exact(const snug_kv *kv, const snug_kv_target *target)
{
    const uint32_t newer = is_by_age(target) ? kv->tokens - end_token(kv, target) : 0;
    const uint32_t tail =
        (uint32_t)snug_max_size(kv->config.recent_exact_tokens, target->recent_exact_tokens);

    return newer > tail ? newer : tail;
}

/* A layer without codes: what is to stay exact once there are some, and what would be codes by now. */
static void lay_out_exact(snug_kv_store *next, const snug_kv *kv, const snug_kv_target *target)
{
    const uint32_t tiles = snug_kv_tiles_for(kv->tokens);

    snug_kv_store_set_exact(next, first_exact(kv, target), recent_exact(kv, target));
    if (tiles > next->first_tiles + next->recent_tiles)
        next->coded_end = next->coded_before = tiles - next->recent_tiles;
}

/* A side of rows as codes: of `bits` bits, or in a layer that has codes beyond those that are meant, 8. */
static void lay_out_rows(snug_kv_store *next, snug_kv_side *side, uint32_t bits, uint32_t end)
{
    side->coding = (snug_kv_coding){ .format = SNUG_KV_FORMAT_PLANES, .bits = 8 };
    side->scale_bytes = snug_kv_scale_bytes(&side->coding, side->head_dim);
    if (snug_kv_store_lay_out_codes(next, side))
        snug_kv_side_narrow(side, bits, end);
    else
        side->coding = (snug_kv_coding){ .format = SNUG_KV_FORMAT_F16 };
}

/* A side as it will be, in the store as it will be: without memory. */
static snug_status lay_out_side(snug_kv_store *next, snug_kv_side *side, uint32_t bits, uint32_t end,
                                bool with_rows, snug_error *error)
{
    const char *name = side->is_key ? "keys" : "values";

    if (bits == 0)
        return SNUG_OK;
    if (side->has_codes) {
        if (side->coding.bits > bits && side->coding.format != SNUG_KV_FORMAT_PLANES)
            SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                      "the %s are affine codes of %u bits, which cannot lose bits in place; planes can", name,
                      side->coding.bits);
        snug_kv_side_narrow(side, bits, end);
        return SNUG_OK;
    }
    if (!with_rows || snug_kv_format_is_coded(side->coding.format))
        return SNUG_OK; /* a layer with so few tokens that nothing of it becomes codes */
    if (side->coding.format == SNUG_KV_FORMAT_F32)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "the %s are f32, which stays exact; f16 can be demoted", name);
    lay_out_rows(next, side, bits, end);
    return SNUG_OK;
}

/* The layer as it will be, without memory of its own. */
static snug_status lay_out(snug_kv_store *next, const snug_kv_store *store, const snug_kv *kv,
                           const snug_kv_target *target, bool with_rows, snug_error *error)
{
    uint32_t end;

    *next = *store;
    if (store->shape.is_shared)
        return SNUG_OK;
    if (!next->has_codes && with_rows)
        lay_out_exact(next, kv, target);
    /* Where everything is rows, newer tokens stay so: all that becomes codes is meant. */
    end = store->has_codes ? end_tile(kv, store, target) : SNUG_KV_UNBOUNDED;
    SNUG_TRY(lay_out_side(next, &next->key, target->key_bits, end, with_rows, error));
    SNUG_TRY(lay_out_side(next, &next->value, target->value_bits, end, with_rows, error));
    if (!next->has_codes) {
        next->first_tiles = store->first_tiles;
        next->recent_tiles = store->recent_tiles;
        next->coded_end = next->coded_before = store->coded_end;
    }
    return SNUG_OK;
}

/* What it takes to make a side what it is in `next`, on top of what there is and before it gives: for codes
 * in the place of rows, or of other codes. */
static uint64_t recode_extra_of(const snug_kv *kv, const snug_kv_store *store, const snug_kv_side *side,
                                const snug_kv_store *next, const snug_kv_side *as)
{
    const uint64_t before = snug_kv_side_bytes(store, side, kv->tiles);
    const uint64_t after = snug_kv_side_bytes(next, as, kv->tiles);
    const snug_kv_range repacked = tiles_to_repack(store, side, as);

    if (!as->has_codes || (side->has_codes && repacked.begin == repacked.end))
        return 0;
    /* Shared pages leave none for what takes their place. */
    if (shares_pages(side))
        return snug_kv_recode_extra(as) + after;
    return snug_kv_recode_extra(as) + (after > before ? after - before : 0);
}

/* All of it. */
static uint64_t extra_of(const snug_kv *kv, const snug_kv_store *store, const snug_kv_side *side,
                         const snug_kv_store *next, const snug_kv_side *as)
{
    return recode_extra_of(kv, store, side, next, as) +
           (must_own(side, as) ? snug_kv_side_own_codes_bytes(side) : 0);
}

static snug_status apply_side(demote_job *job, snug_kv_store *store, snug_kv_side *side,
                              const snug_kv_store *next, const snug_kv_side *as, uint32_t bits,
                              snug_error *error)
{
    snug_kv *kv = job->kv;
    const uint64_t extra = recode_extra_of(kv, store, side, next, as);

    if (as->has_codes && !side->has_codes)
        return snug_kv_recode_side(kv, store, side, as, extra, job->work, job->thread_scratch, error);
    if (side->has_codes && bits > 0)
        return demote_side(kv, store, side, as, bits, end_tile(kv, store, job->target), extra, error);
    return SNUG_OK;
}

static snug_status apply(demote_job *job, snug_kv_store *store, snug_error *error)
{
    const snug_kv_store before = *store;
    snug_kv_store next;
    snug_status status;

    SNUG_TRY(lay_out(&next, store, job->kv, job->target, job->work != NULL, error));
    store->has_codes = next.has_codes;
    store->first_tiles = next.first_tiles;
    store->recent_tiles = next.recent_tiles;
    store->coded_end = next.coded_end;
    store->coded_before = next.coded_before;
    status = apply_side(job, store, &store->key, &next, &next.key, job->target->key_bits, error);
    if (status == SNUG_OK)
        status = apply_side(job, store, &store->value, &next, &next.value, job->target->value_bits, error);
    if (!store->key.has_codes && !store->value.has_codes) { /* refused before anything was done */
        store->has_codes = false;
        store->first_tiles = before.first_tiles;
        store->recent_tiles = before.recent_tiles;
        store->coded_end = store->coded_before = before.coded_end;
    } else if (!before.has_codes) {
        job->kv->first_exact_tokens = first_exact(job->kv, job->target);
        job->kv->recent_exact_tokens = recent_exact(job->kv, job->target);
    }
    return status;
}

/* --- the whole cache ----------------------------------------------------------------------------------- */

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

static uint32_t end_layer(const snug_kv *kv, const snug_kv_target *target)
{
    return target->layer_count > 0 ? target->first_layer + target->layer_count : kv->layer_count;
}

static snug_status demote(demote_job *job, uint64_t *bytes_out, snug_error *error)
{
    snug_kv *kv = job->kv;
    const uint64_t before = snug_kv_committed_bytes(kv);
    snug_status status = check_target(kv, job->target, error);
    uint64_t after;

    if (bytes_out)
        *bytes_out = 0;
    if (status != SNUG_OK)
        return status;
    for (uint32_t i = job->target->first_layer; i < end_layer(kv, job->target) && status == SNUG_OK; i++)
        status = apply(job, &kv->store[i], error);
    after = snug_kv_committed_bytes(kv);
    if (bytes_out)
        *bytes_out = before > after ? before - after : 0;
    SNUG_ASSERT_DEBUG(snug_kv_is_valid(kv));
    return status;
}

snug_status snug_kv_demote(snug_kv *kv, const snug_kv_target *target, uint64_t *bytes_out, snug_error *error)
{
    return demote(&(demote_job){ .kv = kv, .target = target }, bytes_out, error);
}

snug_status snug_kv_demote_rows(snug_kv *kv, const snug_kv_target *target, snug_work *work,
                                void *thread_scratch, uint64_t *bytes_out, snug_error *error)
{
    return demote(&(demote_job){ .kv = kv, .target = target, .work = work, .thread_scratch = thread_scratch },
                  bytes_out, error);
}

/* How a demotion goes: bytes on top of what there was before it, now and at most. */
typedef struct course {
    int64_t now;
    int64_t most;
} course;

/* Bytes of a side, of which other caches may have some, too, when it is as in `next`. */
static uint64_t held_after(const snug_kv *kv, const snug_kv_store *store, const snug_kv_side *side,
                           const snug_kv_store *next, const snug_kv_side *as)
{
    const snug_kv_range repacked = tiles_to_repack(store, side, as);
    uint64_t bytes;

    /* Codes that were rows share nothing, nor do the rows that are left. */
    if (must_own(side, as) || (as->has_codes && !side->has_codes))
        return snug_kv_side_bytes(next, as, kv->tiles);
    bytes = snug_kv_side_held_as(next, as, kv->tiles);
    for (int i = SNUG_CODES_T2; i < SNUG_CODES_PLANE_COUNT && repacked.begin < repacked.end; i++) {
        const size_t plane =
            side->kv_head_count * snug_codes_plane_bytes((snug_codes_plane)i, side->head_dim);

        if (snug_kv_side_tiles_with(as, (snug_codes_plane)i).end > 0) /* those it ends beside are copied */
            bytes += snug_arena_own_bytes(&side->plane[i], repacked.begin * plane, repacked.end * plane,
                                          snug_kv_unit_bytes(plane));
    }
    return bytes;
}

static void foresee_side(course *c, const snug_kv *kv, const snug_kv_store *store, const snug_kv_side *side,
                         const snug_kv_store *next, const snug_kv_side *as)
{
    const int64_t peak = c->now + (int64_t)extra_of(kv, store, side, next, as);

    c->most = peak > c->most ? peak : c->most;
    c->now += (int64_t)held_after(kv, store, side, next, as) - (int64_t)snug_kv_side_committed(side);
}

snug_status snug_kv_foresee_demotion(snug_kv_demotion *demotion_out, const snug_kv *kv,
                                     const snug_kv_target *target, snug_error *error)
{
    course c = { 0, 0 };

    SNUG_TRY(check_target(kv, target, error));
    for (uint32_t i = target->first_layer; i < end_layer(kv, target); i++) {
        const snug_kv_store *store = &kv->store[i];
        snug_kv_store next;

        if (store->shape.is_shared)
            continue;
        SNUG_TRY(lay_out(&next, store, kv, target, true, error));
        foresee_side(&c, kv, store, &store->key, &next, &next.key);
        foresee_side(&c, kv, store, &store->value, &next, &next.value);
    }
    demotion_out->returned_bytes = c.now < 0 ? (uint64_t)-c.now : 0;
    demotion_out->extra_bytes = (uint64_t)c.most;
    return SNUG_OK;
}
