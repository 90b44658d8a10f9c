/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.c - address space that becomes memory piece by piece. Order matters: the ledger is asked before pages
 * are committed, and is told only after they are gone, so that it never counts less than there is.
 */
#include "memory/ledger.h"

#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "os/pages.h"

/* Units that are copied at once where shared pages are taken back. */
#define ABSORB_UNITS 16

snug_status snug_arena_init(snug_arena *arena, snug_memory *memory, snug_memory_use use,
                            size_t reserved_bytes, const char *what, snug_error *error)
{
    const size_t page = snug_os_page_bytes();
    const size_t huge = memory->huge_page_bytes;
    void *base = NULL;

    if (reserved_bytes <= SIZE_MAX - page) {
        reserved_bytes = snug_round_up(snug_max_size(reserved_bytes, 1), page);
        base = huge > 0 && reserved_bytes >= huge ? snug_os_reserve_aligned(reserved_bytes, huge)
                                                  : snug_os_reserve(reserved_bytes);
    }
    if (!base)
        SNUG_FAIL(error, SNUG_ERR_NO_MEMORY,
                  "%s needs %llu bytes of address space, which the system refuses (ulimit -v?)", what,
                  (unsigned long long)reserved_bytes);
    *arena = (snug_arena){
        .memory = memory,
        .use = use,
        .base = base,
        .reserved_bytes = reserved_bytes,
    };
    return SNUG_OK;
}

void snug_arena_deinit(snug_arena *arena)
{
    if (!arena->base)
        return;
    snug_arena_decommit(arena, 0); /* what is shared, too */
    snug_os_release(arena->base, arena->reserved_bytes);
    *arena = (snug_arena){ .base = NULL };
}

/* --- what is charged ------------------------------------------------------------------------------------ */

static snug_status charge(snug_arena *arena, size_t bytes, const char *what, snug_error *error)
{
    const uint64_t blocks = arena->committed_bytes == 0;
    const uint64_t ahead = arena->credit ? snug_min_size(bytes, arena->credit->bytes) : 0;

    if (ahead < bytes)
        SNUG_TRY(snug_memory_charge(arena->memory, arena->use, bytes - ahead, blocks, what, error));
    else
        snug_memory_add_blocks(arena->memory, arena->use, blocks);
    if (arena->credit)
        arena->credit->bytes -= ahead;
    return SNUG_OK;
}

/* After the pages are gone. */
static void discharge(snug_arena *arena, size_t bytes)
{
    const uint64_t blocks = arena->committed_bytes == 0;

    if (arena->credit)
        arena->credit->bytes += bytes;
    snug_memory_discharge(arena->memory, arena->use, arena->credit ? 0 : bytes, blocks);
}

/* --- ranges --------------------------------------------------------------------------------------------- */

static size_t round_down(size_t bytes)
{
    return bytes - bytes % snug_os_page_bytes();
}

static size_t round_up(size_t bytes)
{
    return snug_round_up(bytes, snug_os_page_bytes());
}

static void remove_ranges(snug_arena *arena, uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i + count < arena->range_count; i++)
        arena->range[i] = arena->range[i + count];
    arena->range_count -= count;
}

static void insert_range(snug_arena *arena, uint32_t at, snug_arena_range range)
{
    SNUG_ASSERT(arena->range_count < SNUG_ARENA_RANGES_MAX);
    for (uint32_t i = arena->range_count++; i > at; i--)
        arena->range[i] = arena->range[i - 1];
    arena->range[at] = range;
}

/* [begin, end) in whole pages is usable now: one range with those that it touches. */
static void add_range(snug_arena *arena, size_t begin, size_t end)
{
    snug_arena_range range = { begin, end };
    uint32_t first = 0, last;

    while (first < arena->range_count && arena->range[first].end < begin)
        first++;
    for (last = first; last < arena->range_count && arena->range[last].begin <= end; last++) {
        range.begin = snug_min_size(range.begin, arena->range[last].begin);
        range.end = snug_max_size(range.end, arena->range[last].end);
    }
    remove_ranges(arena, first, last - first);
    insert_range(arena, first, range);
}

/* The next piece of [from, end) that is not usable; false when there is none. */
static bool next_gap(snug_arena_range *gap_out, const snug_arena *arena, size_t from, size_t end)
{
    size_t gap_end = end;

    for (uint32_t i = 0; i < arena->range_count; i++) {
        const snug_arena_range *range = &arena->range[i];

        if (range->begin <= from && from < range->end)
            from = range->end;
        else if (range->begin > from)
            gap_end = snug_min_size(gap_end, range->begin);
        if (range->begin > from)
            break;
    }
    *gap_out = (snug_arena_range){ from, gap_end };
    return from < gap_end;
}

snug_status snug_arena_commit_range(snug_arena *arena, size_t begin, size_t end, const char *what,
                                    snug_error *error)
{
    const size_t first = round_down(begin);
    const size_t last = begin < end ? round_up(end) : first;
    snug_arena_range gap;
    size_t more = 0;

    SNUG_ASSERT(end <= arena->reserved_bytes);
    for (size_t at = first; next_gap(&gap, arena, at, last); at = gap.end)
        more += gap.end - gap.begin;
    if (more == 0)
        return SNUG_OK;
    SNUG_TRY(charge(arena, more, what, error));
    for (size_t at = first; next_gap(&gap, arena, at, last); at = gap.end) {
        if (snug_os_commit(arena->base + gap.begin, gap.end - gap.begin))
            continue;
        /* Those before it, too: nobody has written to them. */
        for (size_t done = first; next_gap(&gap, arena, done, at); done = gap.end)
            snug_os_decommit(arena->base + gap.begin, gap.end - gap.begin);
        discharge(arena, more);
        SNUG_FAIL(error, SNUG_ERR_NO_MEMORY, "%s needs %llu bytes, which the system refuses", what,
                  (unsigned long long)more);
    }
    add_range(arena, first, last);
    arena->committed_bytes += more;
    return SNUG_OK;
}

snug_status snug_arena_extend(snug_arena *arena, size_t begin, size_t end, const char *what,
                              snug_error *error)
{
    begin = snug_max_size(begin, arena->shared_end);
    return begin >= end ? SNUG_OK : snug_arena_commit_range(arena, begin, end, what, error);
}

snug_status snug_arena_commit(snug_arena *arena, size_t bytes, const char *what, snug_error *error)
{
    return snug_arena_extend(arena, 0, bytes, what, error);
}

/* --- huge pages ----------------------------------------------------------------------------------------- */

/* Whether the limit leaves room for `bytes` that are taken for an instant only. */
static bool has_room(const snug_memory *memory, uint64_t bytes)
{
    const uint64_t hard = snug_memory_hard(memory);
    const uint64_t used = atomic_load_explicit(&memory->all.used_bytes, memory_order_relaxed);

    return used < hard && hard - used >= bytes;
}

bool snug_arena_settle(snug_arena *arena, size_t filled_bytes)
{
    const size_t huge = arena->memory ? arena->memory->huge_page_bytes : 0;
    unsigned char *at = arena->base + arena->settled_bytes;
    snug_arena_range gap;

    SNUG_ASSERT_DEBUG(filled_bytes <= arena->reserved_bytes);
    if (huge == 0 || filled_bytes < arena->settled_bytes || filled_bytes - arena->settled_bytes < huge ||
        (uintptr_t)arena->base % huge != 0 || !has_room(arena->memory, huge))
        return false;
    arena->settled_bytes += huge;
    if (!next_gap(&gap, arena, arena->settled_bytes - huge, arena->settled_bytes))
        (void)snug_os_join(at, huge); /* where it fails small pages stay: as well */
    return true;
}

/* [begin, end), in whole pages and in use, lies in no huge page that reaches beyond it. */
static void unsettle(snug_arena *arena, size_t begin, size_t end)
{
    const size_t huge = arena->memory->huge_page_bytes;

    if (huge == 0)
        return;
    if (begin % huge > 0 && begin < arena->settled_bytes)
        snug_os_split(arena->base + begin, huge);
    if (end % huge > 0 && end - end % huge < arena->settled_bytes)
        snug_os_split(arena->base + end - snug_os_page_bytes(), huge);
}

/* Huge pages are where memory is: beyond the last range there are none. */
static void lower_settled(snug_arena *arena)
{
    const size_t end = arena->range_count > 0 ? arena->range[arena->range_count - 1].end : 0;

    if (end < arena->settled_bytes)
        arena->settled_bytes = end - end % arena->memory->huge_page_bytes;
}

/* --- giving back ---------------------------------------------------------------------------------------- */

/* Take [begin, end) in whole pages out of range `i`, which holds all of it. Returns by how many ranges there
 * are more. */
static int cut_range(snug_arena *arena, uint32_t i, size_t begin, size_t end)
{
    const snug_arena_range range = arena->range[i];

    unsettle(arena, begin, end);
    snug_os_decommit(arena->base + begin, end - begin);
    arena->committed_bytes -= end - begin;
    remove_ranges(arena, i, 1);
    if (end < range.end)
        insert_range(arena, i, (snug_arena_range){ end, range.end });
    if (range.begin < begin)
        insert_range(arena, i, (snug_arena_range){ range.begin, begin });
    return (end < range.end) + (range.begin < begin) - 1;
}

static void release_pages(snug_arena *arena, size_t begin, size_t end)
{
    const size_t before = arena->committed_bytes;

    for (uint32_t i = 0; i < arena->range_count; i++) {
        const size_t from = snug_max_size(begin, arena->range[i].begin);
        const size_t to = snug_min_size(end, arena->range[i].end);

        if (from < to)
            i = (uint32_t)((int)i + cut_range(arena, i, from, to));
    }
    lower_settled(arena);
    if (arena->committed_bytes < before)
        discharge(arena, before - arena->committed_bytes);
}

void snug_arena_release(snug_arena *arena, size_t begin, size_t end)
{
    release_pages(arena, round_up(begin), round_down(end));
}

/* --- sharing: what goes --------------------------------------------------------------------------------- */

/* Pages of an arena that was forked: never written to again. Whoever finds itself alone with them may give
 * back those that it does not read. */
struct snug_arena_shared {
    _Atomic uint32_t references; /* of arenas, those of other such ones among them */
    snug_arena arena;
};

static bool is_alone(const struct snug_arena_shared *shared)
{
    return atomic_load_explicit(&shared->references, memory_order_acquire) == 1;
}

static void let_go(struct snug_arena_shared *shared)
{
    /* A chain of them may be long: one after the other, not one within the other. */
    while (shared && atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel) == 1) {
        struct snug_arena_shared *next = shared->arena.shared;
        snug_memory *memory = shared->arena.memory;

        shared->arena.shared = NULL;
        shared->arena.shared_begin = shared->arena.shared_end = 0;
        snug_arena_deinit(&shared->arena);
        snug_memory_free(memory, shared);
        shared = next;
    }
}

/* Of `pages`, which only `reader` reads, those that it has itself. A hole in a range makes two of it: where
 * there is no room for that, they stay. */
static void release_hidden(snug_arena *pages, const snug_arena *reader)
{
    for (uint32_t i = 0; i < reader->range_count && pages->range_count < SNUG_ARENA_RANGES_MAX; i++)
        release_pages(pages, reader->range[i].begin, reader->range[i].end);
}

/* Of what is shared nothing but [begin, end) is read from now on. */
static void see(snug_arena *arena, size_t begin, size_t end)
{
    arena->shared_begin = snug_max_size(arena->shared_begin, begin);
    arena->shared_end = snug_min_size(arena->shared_end, end);
    if (arena->shared_begin >= arena->shared_end)
        arena->shared_begin = arena->shared_end = 0;
}

/* Give back what nobody reads any more, as far as this arena can know. */
static void trim_shared(snug_arena *arena)
{
    snug_arena *reader = arena;
    snug_arena_range gap;

    if (!next_gap(&gap, arena, arena->shared_begin, arena->shared_end))
        see(arena, 0, 0); /* it has all of that itself */
    while (reader->shared && is_alone(reader->shared)) {
        snug_arena *pages = &reader->shared->arena;

        for (const snug_arena *above = arena; above != pages; above = &above->shared->arena)
            release_hidden(pages, above);
        release_pages(pages, 0, reader->shared_begin);
        release_pages(pages, reader->shared_end, pages->reserved_bytes);
        see(pages, reader->shared_begin, reader->shared_end);
        reader = pages;
    }
    if (arena->shared_end == 0) {
        let_go(arena->shared);
        arena->shared = NULL;
    }
}

void snug_arena_decommit(snug_arena *arena, size_t bytes)
{
    const size_t kept = round_up(bytes);

    release_pages(arena, kept, arena->reserved_bytes);
    if (arena->shared && kept < arena->shared_end) {
        see(arena, 0, kept);
        trim_shared(arena);
    }
}

/* --- what is usable ------------------------------------------------------------------------------------- */

/* From the first byte that is usable, its own or shared, to the last. */
static snug_arena_range span(const snug_arena *arena)
{
    snug_arena_range all = { arena->shared_begin, arena->shared_end };

    if (arena->range_count == 0)
        return all;
    all.begin = all.end > 0 ? snug_min_size(all.begin, arena->range[0].begin) : arena->range[0].begin;
    all.end = snug_max_size(all.end, arena->range[arena->range_count - 1].end);
    return all;
}

/* Whether every byte between is usable, too. */
static bool is_one_run(const snug_arena *arena)
{
    const snug_arena_range all = span(arena);
    snug_arena_range gap;

    for (size_t at = all.begin; next_gap(&gap, arena, at, all.end); at = gap.end)
        if (gap.begin < arena->shared_begin || gap.end > arena->shared_end)
            return false;
    return true;
}

/* --- many ranges ---------------------------------------------------------------------------------------- */

/* The pages that range `i` touches and those before it do not. */
static snug_arena_range pages_of(const snug_arena_range *ranges, size_t i)
{
    const size_t begin = round_down(ranges[i].begin);
    const size_t before = i > 0 ? round_up(ranges[i - 1].end) : 0;

    return ranges[i].begin < ranges[i].end
               ? (snug_arena_range){ snug_max_size(begin, before), round_up(ranges[i].end) }
               : (snug_arena_range){ before, before };
}

uint64_t snug_arena_ranges_bytes(const snug_arena_range *ranges, size_t count)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < count; i++) {
        const snug_arena_range pages = pages_of(ranges, i);

        bytes += pages.end > pages.begin ? pages.end - pages.begin : 0;
    }
    return bytes;
}

void snug_arena_keep(snug_arena *arena, const snug_arena_range *ranges, size_t count)
{
    size_t from = 0;

    for (size_t i = 0; i < count; i++) {
        const snug_arena_range pages = pages_of(ranges, i);

        release_pages(arena, from, pages.begin);
        from = snug_max_size(from, pages.end);
    }
    release_pages(arena, from, arena->reserved_bytes);
    if (arena->shared) {
        see(arena, count > 0 ? pages_of(ranges, 0).begin : 0, from);
        trim_shared(arena);
    }
}

bool snug_arena_has_just(const snug_arena *arena, const snug_arena_range *ranges, size_t count)
{
    const snug_arena_range all = span(arena);

    if (arena->shared) /* one run, whoever has what of it */
        return count > 0 && is_one_run(arena) && all.begin == pages_of(ranges, 0).begin &&
               all.end == pages_of(ranges, count - 1).end &&
               snug_arena_ranges_bytes(ranges, count) == all.end - all.begin;
    for (size_t i = 0; i < count; i++) {
        const snug_arena_range pages = pages_of(ranges, i);
        snug_arena_range gap;

        if (next_gap(&gap, arena, pages.begin, pages.end))
            return false;
    }
    return arena->committed_bytes == snug_arena_ranges_bytes(ranges, count);
}

/* --- sharing -------------------------------------------------------------------------------------------- */

static bool has_page(const snug_arena *arena, size_t offset)
{
    for (uint32_t i = 0; i < arena->range_count; i++)
        if (offset >= arena->range[i].begin && offset < arena->range[i].end)
            return true;
    return false;
}

unsigned char *snug_arena_find(const snug_arena *arena, size_t offset)
{
    while (arena->shared && offset >= arena->shared_begin && offset < arena->shared_end &&
           !has_page(arena, offset))
        arena = &arena->shared->arena;
    return arena->base + offset;
}

/* Alone with shared pages and none of its own, an arena takes them as its own again. */
static void take_back(snug_arena *arena)
{
    while (arena->shared && arena->range_count == 0 && is_alone(arena->shared)) {
        struct snug_arena_shared *shared = arena->shared;

        trim_shared(arena);
        SNUG_ASSERT(arena->shared == shared);
        snug_os_release(arena->base, arena->reserved_bytes);
        *arena = shared->arena;
        snug_memory_free(arena->memory, shared);
    }
}

/* The pages of an arena as shared ones, of which it is the one reader; the arena itself has fresh address
 * space for those that it will write. */
static snug_status freeze(snug_arena *arena, const char *what, snug_error *error)
{
    struct snug_arena_shared *shared =
        snug_memory_alloc(arena->memory, arena->use, sizeof *shared, what, error);
    snug_arena fresh;

    if (!shared)
        return error ? error->status : SNUG_ERR_OVER_LIMIT;
    if (snug_arena_init(&fresh, arena->memory, arena->use, arena->reserved_bytes, what, error) != SNUG_OK) {
        snug_memory_free(arena->memory, shared);
        return SNUG_ERR_NO_MEMORY;
    }
    atomic_init(&shared->references, 1);
    shared->arena = *arena;
    fresh.shared = shared;
    fresh.shared_begin = span(arena).begin;
    fresh.shared_end = span(arena).end;
    *arena = fresh;
    return SNUG_OK;
}

/*
 * Alone with shared pages, an arena that has some of its own, too, puts these among them, unit by unit, and
 * takes all of it back: so that who is forked again and again, by forks that end, does not end up with a
 * chain of shared pages as long. Where there is no memory for it now the chain stays.
 */
static void absorb(snug_arena *arena, size_t unit_bytes)
{
    while (arena->shared && is_alone(arena->shared) && arena->range_count > 0 &&
           arena->shared->arena.range_count < SNUG_ARENA_RANGES_MAX) {
        snug_arena *pages = &arena->shared->arena;
        const size_t begin = arena->range[0].begin;
        size_t end = begin - begin % unit_bytes + ABSORB_UNITS * unit_bytes;

        end = snug_min_size(end, arena->range[0].end);
        if (snug_arena_commit_range(pages, begin, end, "pages that are shared no more", NULL) != SNUG_OK)
            return;
        memcpy(pages->base + begin, arena->base + begin, end - begin);
        arena->shared_begin = snug_min_size(arena->shared_begin, begin);
        arena->shared_end = snug_max_size(arena->shared_end, end);
        release_pages(arena, begin, end);
    }
    take_back(arena);
}

snug_status snug_arena_copy(snug_arena *to, const snug_arena *from, const char *what, snug_error *error)
{
    snug_arena made;
    snug_status status = snug_arena_init(&made, from->memory, from->use, from->reserved_bytes, what, error);

    SNUG_ASSERT(!from->shared);
    if (status != SNUG_OK)
        return status;
    for (uint32_t i = 0; i < from->range_count && status == SNUG_OK; i++) {
        const snug_arena_range range = from->range[i];

        status = snug_arena_commit_range(&made, range.begin, range.end, what, error);
        if (status == SNUG_OK)
            memcpy(made.base + range.begin, from->base + range.begin, range.end - range.begin);
    }
    if (status == SNUG_OK)
        *to = made;
    else
        snug_arena_deinit(&made);
    return status;
}

snug_status snug_arena_fork(snug_arena *to, snug_arena *from, size_t unit_bytes, const char *what,
                            snug_error *error)
{
    snug_arena fresh;

    SNUG_ASSERT(is_one_run(from));
    take_back(from);
    absorb(from, unit_bytes);
    SNUG_TRY(snug_arena_init(&fresh, from->memory, from->use, from->reserved_bytes, what, error));
    if (from->range_count > 0) {
        const snug_status status = freeze(from, what, error);

        if (status != SNUG_OK) {
            snug_arena_deinit(&fresh);
            return status;
        }
    }
    fresh.shared = from->shared;
    fresh.shared_begin = from->shared_begin;
    fresh.shared_end = from->shared_end;
    if (fresh.shared)
        atomic_fetch_add_explicit(&fresh.shared->references, 1, memory_order_relaxed);
    *to = fresh;
    return SNUG_OK;
}

/* Of [begin, end) the units that are shared, as far as there are any. */
static snug_arena_range shared_units(const snug_arena *arena, size_t begin, size_t end, size_t unit_bytes)
{
    return (
        snug_arena_range){ snug_max_size(begin - begin % unit_bytes, arena->shared_begin),
                           snug_min_size(snug_divide_up(end, unit_bytes) * unit_bytes, arena->shared_end) };
}

/* [begin, end) of shared pages, unit by unit, of which the first may be the rest of one. */
static void copy_units(const snug_arena *arena, size_t begin, size_t end, size_t unit_bytes)
{
    for (size_t at = begin, next; at < end; at = next) {
        next = snug_min_size(at - at % unit_bytes + unit_bytes, end);
        memcpy(arena->base + at, snug_arena_find(&arena->shared->arena, at), next - at);
    }
}

snug_status snug_arena_own(snug_arena *arena, size_t begin, size_t end, size_t unit_bytes, const char *what,
                           snug_error *error)
{
    snug_arena_range units = shared_units(arena, begin, end, unit_bytes);
    snug_arena_range gap;

    if (!arena->shared)
        return SNUG_OK;
    if (arena->range_count + 2 > SNUG_ARENA_RANGES_MAX) /* too many pieces: all of it becomes one */
        units = (snug_arena_range){ arena->shared_begin, arena->shared_end };
    for (size_t at = units.begin; next_gap(&gap, arena, at, units.end); at = gap.end) {
        SNUG_TRY(snug_arena_commit_range(arena, gap.begin, gap.end, what, error));
        copy_units(arena, gap.begin, gap.end, unit_bytes);
    }
    trim_shared(arena);
    return SNUG_OK;
}

uint64_t snug_arena_own_bytes(const snug_arena *arena, size_t begin, size_t end, size_t unit_bytes)
{
    const snug_arena_range units = shared_units(arena, begin, end, unit_bytes);
    snug_arena_range gap;
    uint64_t bytes = 0;

    if (!arena->shared || is_alone(arena->shared)) /* what it copies then goes back */
        return 0;
    for (size_t at = units.begin; next_gap(&gap, arena, at, units.end); at = gap.end)
        bytes += gap.end - gap.begin;
    return bytes;
}

uint64_t snug_arena_held_bytes(const snug_arena *arena)
{
    uint64_t bytes = arena->committed_bytes;

    while (arena->shared && is_alone(arena->shared)) {
        arena = &arena->shared->arena;
        bytes += arena->committed_bytes;
    }
    return bytes;
}

uint64_t snug_arena_usable_bytes(const snug_arena *arena, const snug_arena_range *ranges, size_t count)
{
    uint64_t bytes = snug_arena_ranges_bytes(ranges, count);

    for (size_t i = 0; i < count; i++) {
        const snug_arena_range pages = pages_of(ranges, i);
        snug_arena_range gap;

        for (size_t at = pages.begin; next_gap(&gap, arena, at, pages.end); at = gap.end) {
            const size_t begin = snug_max_size(gap.begin, arena->shared_begin);
            const size_t end = snug_min_size(gap.end, arena->shared_end);

            bytes -= gap.end - gap.begin - (begin < end ? end - begin : 0);
        }
    }
    return bytes;
}

/* Of [begin, end) what `pages` has, and what those that read it, from `reader` on, have not themselves. */
static uint64_t seen_bytes(const snug_arena *pages, const snug_arena *reader, size_t begin, size_t end)
{
    uint64_t bytes = 0;

    while (begin < end) {
        size_t next = end;
        bool is_hidden = false;

        for (const snug_arena *above = reader; above != pages && !is_hidden; above = &above->shared->arena)
            for (uint32_t i = 0; i < above->range_count && !is_hidden; i++) {
                const snug_arena_range range = above->range[i];

                is_hidden = range.begin <= begin && begin < range.end;
                if (is_hidden || range.begin > begin)
                    next = snug_min_size(is_hidden ? end : next, is_hidden ? range.end : range.begin);
            }
        bytes += is_hidden ? 0 : next - begin;
        begin = next;
    }
    return bytes;
}

uint64_t snug_arena_kept_bytes(const snug_arena *arena, const snug_arena_range *ranges, size_t count)
{
    const snug_arena_range kept = { count > 0 ? pages_of(ranges, 0).begin : 0,
                                    count > 0 ? pages_of(ranges, count - 1).end : 0 };
    snug_arena_range seen = { snug_max_size(arena->shared_begin, kept.begin),
                              snug_min_size(arena->shared_end, kept.end) };
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < arena->range_count; i++)
        for (size_t r = 0; r < count; r++) {
            const size_t begin = snug_max_size(arena->range[i].begin, pages_of(ranges, r).begin);
            const size_t end = snug_min_size(arena->range[i].end, pages_of(ranges, r).end);

            bytes += begin < end ? end - begin : 0;
        }
    for (const snug_arena *reader = arena; reader->shared && is_alone(reader->shared);) {
        const snug_arena *pages = &reader->shared->arena;

        for (uint32_t i = 0; i < pages->range_count; i++)
            bytes += seen_bytes(pages, arena, snug_max_size(pages->range[i].begin, seen.begin),
                                snug_min_size(pages->range[i].end, seen.end));
        seen = (snug_arena_range){ snug_max_size(seen.begin, pages->shared_begin),
                                   snug_min_size(seen.end, pages->shared_end) };
        reader = pages;
    }
    return bytes;
}

uint64_t snug_arena_shared_bytes(const snug_arena *arena)
{
    const snug_arena_range all = span(arena);
    const uint64_t held = snug_arena_held_bytes(arena);

    return arena->shared && all.end - all.begin > held ? all.end - all.begin - held : 0;
}
