/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recoding.c - rows of a side that become codes while a conversation runs, in the memory that the rows have.
 *
 * Tile by tile, oldest first: memory for its codes, its codes, and the pages that its rows leave. Then the
 * tiles that stay exact move up to where a cache made so would have them. All of it lives on a credit
 * that is taken first, as long as it is cheap to say no: afterwards only the system itself can refuse.
 */
#include "kv/parts.h"

#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "os/pages.h"

typedef struct recode_job {
    const snug_kv *kv;
    snug_kv_store *store;
    snug_kv_side *side; /* its codes as they will be, its rows where they are */
    snug_work *work;
    unsigned char *thread_scratch;
    uint32_t tile;
    snug_arena_range released; /* the run of tiles whose rows went last */
} recode_job;

/* --- one tile ------------------------------------------------------------------------------------------ */

static void encode_part(void *user, size_t part, uint32_t worker)
{
    const recode_job *job = user;
    const snug_kv_side *side = job->side;
    const uint32_t head = (uint32_t)part;
    const size_t head_dim = side->head_dim;
    const snug_tile rows = snug_kv_side_rows(side, job->tile, head);
    float *x = (float *)(void *)(job->thread_scratch + worker * snug_kv_thread_scratch_bytes(head_dim));

    job->kv->kernels->row_to_f32[side->rows->type](x, rows.rows, SNUG_TILE_TOKENS * head_dim);
    snug_kv_side_encode(side, job->tile - job->store->first_tiles, head, x);
}

static snug_status commit_codes(snug_kv_side *side, uint32_t coded_tile, snug_error *error)
{
    const size_t place = snug_kv_place(&side->coded, coded_tile);
    snug_kv_arena arenas[SNUG_KV_ARENAS_MAX];
    const int count = snug_kv_side_arenas(arenas, side);

    for (int i = 1; i < count; i++)
        if (coded_tile >= arenas[i].tiles.begin && coded_tile < arenas[i].tiles.end)
            SNUG_TRY(snug_arena_commit_range(arenas[i].arena, place * arenas[i].tile_bytes,
                                             (place + 1) * arenas[i].tile_bytes,
                                             "the attention cache in fewer bits", error));
    return SNUG_OK;
}

/* The pages of a tile's rows, with what was left of those before it where it lies after them. */
static void release_rows(recode_job *job)
{
    const size_t bytes = job->side->exact_tile_bytes;
    const size_t begin = snug_kv_place(&job->side->exact, job->tile) * bytes;

    if (begin != job->released.end)
        job->released.begin = begin;
    job->released.end = begin + bytes;
    snug_arena_release(&job->side->exact_pages, job->released.begin, job->released.end);
}

/* The tiles of the layer that are to be codes, those of them that are there. */
static snug_status encode_tiles(recode_job *job, uint32_t first_kept, snug_error *error)
{
    const snug_kv_store *store = job->store;

    for (job->tile = store->first_tiles; job->tile < snug_kv_store_codes_end(store); job->tile++) {
        if (job->tile >= store->rule.sink_tiles && job->tile < first_kept)
            continue;
        SNUG_TRY(commit_codes(job->side, job->tile - store->first_tiles, error));
        snug_work_run(job->work, encode_part, job, job->side->kv_head_count);
        release_rows(job);
    }
    return SNUG_OK;
}

/* --- what stays exact ---------------------------------------------------------------------------------- */

/* Tiles at consecutive places [from, from + count) to those from `to` on, which is not after them. */
static snug_status move_run(snug_kv_side *side, size_t from, size_t to, size_t count, snug_error *error)
{
    const size_t bytes = side->exact_tile_bytes;
    snug_arena *pages = &side->exact_pages;

    SNUG_ASSERT(to <= from);
    for (size_t i = 0; i < count && from != to; i++) {
        const size_t moved_end = (to + i + 1) * bytes;

        SNUG_TRY(snug_arena_commit_range(&side->exact_pages, (to + i) * bytes, moved_end,
                                         "the attention cache in fewer bits", error));
        memcpy(pages->base + (to + i) * bytes, snug_arena_at(pages, (from + i) * bytes), bytes);
        snug_arena_release(pages, snug_max_size(from * bytes, moved_end), (from + i + 1) * bytes);
    }
    return SNUG_OK;
}

/*
 * The tiles that stay rows, up to `tiles`, from their old places to those of `exact`, whose phase becomes
 * what lets every tile move towards the beginning, in order, so that none takes the place of one that is
 * still to move. They lie at consecutive places of the old ring, or in two runs where it goes round in
 * between: then the second moves first, to the beginning of the new ring, and the first to its end.
 */
static snug_status move_rows(recode_job *job, snug_kv_places *exact, uint32_t tiles, snug_error *error)
{
    snug_kv_side *side = job->side;
    const uint32_t begin = snug_kv_store_codes_end(job->store);
    const uint32_t count = tiles > begin ? tiles - begin : 0;
    const uint32_t ring = exact->ring_tiles;
    const uint32_t from = snug_kv_place(&side->exact, begin);
    uint32_t before_turn = count;
    uint32_t first_place = 0; /* of tile `begin` in the new ring */

    if (tiles <= exact->fixed_tiles + ring)
        return SNUG_OK; /* the new ring has not gone round, so every tile is at its place */
    for (uint32_t i = 1; i < count && before_turn == count; i++)
        if (snug_kv_place(&side->exact, begin + i) != from + i)
            before_turn = i;
    if (before_turn < count) {
        first_place = ring - before_turn;
        SNUG_TRY(move_run(side, snug_kv_place(&side->exact, begin + before_turn), exact->fixed_tiles,
                          count - before_turn, error));
    }
    exact->phase = (first_place + ring - (begin - exact->fixed_tiles) % ring) % ring;
    return move_run(side, from, exact->fixed_tiles + first_place, before_turn, error);
}

/* --- a side -------------------------------------------------------------------------------------------- */

void snug_kv_side_set_credit(snug_kv_side *side, snug_arena_credit *credit)
{
    side->exact_pages.credit = side->scales.credit = credit;
    for (int plane = 0; plane < SNUG_CODES_PLANE_COUNT; plane++)
        side->plane[plane].credit = credit;
}

/*
 * What there is at most on top of the beginning: the codes of one tile, for their rows go right after; and
 * pages of which only a part is used, at both ends of every run of tiles, of which there are three where the
 * places go round.
 */
uint64_t snug_kv_recode_extra(const snug_kv_side *side)
{
    const bool goes_round = side->coded.ring_tiles != SNUG_KV_UNBOUNDED;
    const size_t page = snug_os_page_bytes();
    snug_kv_arena arenas[SNUG_KV_ARENAS_MAX];
    const int count = snug_kv_side_arenas(arenas, side);
    uint64_t bytes = (goes_round ? 12 : 6) * page;

    for (int i = 1; i < count; i++)
        bytes += arenas[i].tile_bytes + (goes_round ? 6 : 2) * page;
    return bytes;
}

/* All of the work, with memory on credit. */
static snug_status recode(recode_job *job, snug_kv_places exact, uint32_t first_kept, snug_error *error)
{
    snug_kv_side *side = job->side;
    const snug_kv *kv = job->kv;

    if (side->exact_pages.shared) /* what stays rows, and the places it will have */
        SNUG_TRY(snug_kv_side_own_rows(side, snug_kv_store_codes_end(job->store),
                                       snug_kv_tiles_for(kv->tokens), snug_kv_places_used(&exact, kv->tiles),
                                       error));
    SNUG_TRY(encode_tiles(job, first_kept, error));
    SNUG_TRY(move_rows(job, &exact, snug_kv_tiles_for(kv->tokens), error));
    side->exact = exact;
    snug_kv_store_decommit(job->store, kv->tiles);
    return snug_kv_store_commit(job->store, kv->tiles, error); /* what has no tiles yet */
}

snug_status snug_kv_recode_side(snug_kv *kv, snug_kv_store *store, snug_kv_side *side, const snug_kv_side *as,
                                uint64_t extra_bytes, snug_work *work, void *thread_scratch,
                                snug_error *error)
{
    const uint32_t first_kept = snug_kv_first_kept(kv, (uint32_t)(store - kv->store));
    snug_arena_credit credit = { extra_bytes };
    recode_job job = {
        .kv = kv, .store = store, .side = side, .work = work, .thread_scratch = thread_scratch
    };
    snug_status status;

    SNUG_TRY(snug_memory_take(kv->memory, SNUG_MEMORY_KV, extra_bytes, "the attention cache in fewer bits",
                              error));
    side->coding = as->coding;
    side->scale_bytes = as->scale_bytes;
    side->coded = as->coded;
    side->run_count = as->run_count;
    memcpy(side->run, as->run, sizeof side->run);
    side->has_codes = true;
    status = snug_kv_side_reserve_codes(store, side, kv->memory, error);
    if (status != SNUG_OK) {
        snug_kv_side_release_codes(side);
        side->has_codes = false;
        side->run_count = 0;
        side->coding = (snug_kv_coding){ .format = SNUG_KV_FORMAT_F16 };
    } else {
        snug_kv_side_set_credit(side, &credit);
        status = recode(&job, as->exact, first_kept, error);
        snug_kv_side_set_credit(side, NULL);
        if (status != SNUG_OK) { /* neither rows nor codes any more: nothing of the conversation can stay */
            side->exact = as->exact;
            (void)snug_kv_truncate(kv, 0);
        }
    }
    snug_memory_give(kv->memory, SNUG_MEMORY_KV, credit.bytes);
    return status;
}
