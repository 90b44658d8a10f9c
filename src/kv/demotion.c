/* SPDX-License-Identifier: Apache-2.0 */
/*
 * demotion.c - fewer bits while a conversation runs. Planes of bits nest, and each has an arena of its own,
 * so down to 4 bits the arenas of the lowest ones are emptied and the width is another number. Below, the
 * nibbles become planes of 2, 1 and 1 bits, tile by tile.
 */
#include "kv/parts.h"

#include "base/size.h"
#include "base/status.h"
#include "os/pages.h"

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

/* --- a layer ------------------------------------------------------------------------------------------- */

/* A demotion: of rows, too, where there are threads to encode them. */
typedef struct demote_job {
    snug_kv *kv;
    const snug_kv_target *target;
    snug_work *work;
    void *thread_scratch;
} demote_job;

static uint32_t first_exact(const snug_kv *kv, const snug_kv_target *target)
{
    return (uint32_t)snug_max_size(kv->config.first_exact_tokens, target->first_exact_tokens);
}

static uint32_t recent_exact(const snug_kv *kv, const snug_kv_target *target)
{
    return (uint32_t)snug_max_size(kv->config.recent_exact_tokens, target->recent_exact_tokens);
}

/* A layer without codes: what is to stay exact once there are some, and what would be codes by now. */
static void lay_out_exact(snug_kv_store *next, const snug_kv *kv, const snug_kv_target *target)
{
    const uint32_t tiles = snug_kv_tiles_for(kv->tokens);

    snug_kv_store_set_exact(next, first_exact(kv, target), recent_exact(kv, target));
    if (tiles > next->first_tiles + next->recent_tiles)
        next->coded_end = next->coded_before = tiles - next->recent_tiles;
}

/* A side as it will be, in the store as it will be: without memory. */
static snug_status lay_out_side(snug_kv_store *next, snug_kv_side *side, uint32_t bits, bool with_rows,
                                snug_error *error)
{
    const char *name = side->is_key ? "keys" : "values";

    if (bits == 0)
        return SNUG_OK;
    if (side->has_codes) {
        if (side->coding.bits > bits && side->coding.format != SNUG_KV_FORMAT_PLANES)
            SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                      "the %s are affine codes of %u bits, which cannot lose bits in place; planes can", name,
                      side->coding.bits);
        side->coding.bits = side->coding.bits > bits ? bits : side->coding.bits;
        return SNUG_OK;
    }
    if (!with_rows || snug_kv_format_is_coded(side->coding.format))
        return SNUG_OK; /* a layer with so few tokens that nothing of it becomes codes */
    if (side->coding.format == SNUG_KV_FORMAT_F32)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "the %s are f32, which stays exact; f16 can be demoted", name);
    side->coding = (snug_kv_coding){ .format = SNUG_KV_FORMAT_PLANES, .bits = bits };
    side->scale_bytes = snug_kv_scale_bytes(&side->coding, side->head_dim);
    if (!snug_kv_store_lay_out_codes(next, side))
        side->coding = (snug_kv_coding){ .format = SNUG_KV_FORMAT_F16 };
    return SNUG_OK;
}

/* The layer as it will be, without memory of its own. */
static snug_status lay_out(snug_kv_store *next, const snug_kv_store *store, const snug_kv *kv,
                           const snug_kv_target *target, bool with_rows, snug_error *error)
{
    *next = *store;
    if (store->shape.is_shared)
        return SNUG_OK;
    if (!next->has_codes && with_rows)
        lay_out_exact(next, kv, target);
    SNUG_TRY(lay_out_side(next, &next->key, target->key_bits, with_rows, error));
    SNUG_TRY(lay_out_side(next, &next->value, target->value_bits, with_rows, error));
    if (!next->has_codes) {
        next->first_tiles = store->first_tiles;
        next->recent_tiles = store->recent_tiles;
        next->coded_end = next->coded_before = store->coded_end;
    }
    return SNUG_OK;
}

/* What it takes to make a side what it is in `next`, on top of what there is and before it gives. */
static uint64_t extra_of(const snug_kv *kv, const snug_kv_store *store, const snug_kv_side *side,
                         const snug_kv_store *next, const snug_kv_side *as)
{
    const uint64_t before = snug_kv_side_bytes(store, side, kv->tiles);
    const uint64_t after = snug_kv_side_bytes(next, as, kv->tiles);
    uint64_t bytes = 0;

    if (as->has_codes && !side->has_codes) /* shared rows leave no pages for codes */
        return snug_kv_recode_extra(as) + (side->exact_pages.shared ? after
                                           : after > before         ? after - before
                                                                    : 0);
    if (as->has_codes && side->coding.bits >= 4 && as->coding.bits < 4)
        for (int i = SNUG_CODES_T2; i < SNUG_CODES_PLANE_COUNT; i++)
            if (snug_codes_has_plane(as->coding.bits, (snug_codes_plane)i))
                bytes +=
                    snug_round_up(snug_kv_store_coded_tiles(store, side, kv->tiles) * side->kv_head_count *
                                      snug_codes_plane_bytes((snug_codes_plane)i, side->head_dim),
                                  snug_os_page_bytes());
    return bytes;
}

static snug_status apply_side(demote_job *job, snug_kv_store *store, snug_kv_side *side,
                              const snug_kv_store *next, const snug_kv_side *as, snug_error *error)
{
    snug_kv *kv = job->kv;

    if (as->has_codes && !side->has_codes)
        return snug_kv_recode_side(kv, store, side, as, extra_of(kv, store, side, next, as), job->work,
                                   job->thread_scratch, error);
    if (side->has_codes && side->coding.bits > as->coding.bits)
        return demote_side(side, kv->memory, snug_kv_store_coded_tiles(store, side, kv->tiles),
                           as->coding.bits, error);
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
    status = apply_side(job, store, &store->key, &next, &next.key, error);
    if (status == SNUG_OK)
        status = apply_side(job, store, &store->value, &next, &next.value, error);
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

static void foresee_side(course *c, const snug_kv *kv, const snug_kv_store *store, const snug_kv_side *side,
                         const snug_kv_store *next, const snug_kv_side *as)
{
    const int64_t peak = c->now + (int64_t)extra_of(kv, store, side, next, as);

    c->most = peak > c->most ? peak : c->most;
    c->now += (int64_t)snug_kv_side_bytes(next, as, kv->tiles) -
              (int64_t)snug_kv_side_bytes(store, side, kv->tiles);
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
