/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.c - address space that becomes memory piece by piece. Order matters: the ledger is asked before pages
 * are committed, and is told only after they are gone, so that it never counts less than there is.
 */
#include "memory/ledger.h"

#include "base/size.h"
#include "base/status.h"
#include "os/pages.h"

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
    snug_arena_decommit(arena, 0);
    snug_os_release(arena->base, arena->reserved_bytes);
    *arena = (snug_arena){ .base = NULL };
}

snug_status snug_arena_commit(snug_arena *arena, size_t bytes, const char *what, snug_error *error)
{
    size_t committed = arena->committed_bytes;
    size_t wanted;
    size_t more;

    SNUG_ASSERT(bytes <= arena->reserved_bytes);
    wanted = snug_round_up(bytes, snug_os_page_bytes());
    if (wanted <= committed)
        return SNUG_OK;
    more = wanted - committed;
    SNUG_TRY(snug_memory_charge(arena->memory, arena->use, more, committed == 0, what, error));
    if (!snug_os_commit(arena->base + committed, more)) {
        snug_memory_discharge(arena->memory, arena->use, more, committed == 0);
        SNUG_FAIL(error, SNUG_ERR_NO_MEMORY, "%s needs %llu bytes, which the system refuses", what,
                  (unsigned long long)more);
    }
    arena->committed_bytes = wanted;
    return SNUG_OK;
}

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

    SNUG_ASSERT_DEBUG(filled_bytes <= arena->committed_bytes);
    if (huge == 0 || filled_bytes < arena->settled_bytes || filled_bytes - arena->settled_bytes < huge ||
        (uintptr_t)arena->base % huge != 0 || !has_room(arena->memory, huge))
        return false;
    arena->settled_bytes += huge;
    (void)snug_os_join(at, huge); /* where it fails small pages stay: as well */
    return true;
}

/* Nothing beyond `kept` lies in a huge page that reaches below it. */
static void unsettle(snug_arena *arena, size_t kept)
{
    const size_t huge = arena->memory->huge_page_bytes;

    if (kept >= arena->settled_bytes)
        return;
    arena->settled_bytes = kept - kept % huge;
    if (kept % huge > 0)
        snug_os_split(arena->base + kept, huge);
}

void snug_arena_decommit(snug_arena *arena, size_t bytes)
{
    size_t committed = arena->committed_bytes;
    size_t kept;

    if (bytes >= committed)
        return;
    kept = snug_round_up(bytes, snug_os_page_bytes());
    if (kept == committed)
        return;
    unsettle(arena, kept);
    snug_os_decommit(arena->base + kept, committed - kept);
    arena->committed_bytes = kept;
    snug_memory_discharge(arena->memory, arena->use, committed - kept, kept == 0);
}
