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
    size_t page = snug_os_page_bytes();
    void *base = NULL;

    if (reserved_bytes <= SIZE_MAX - page) {
        reserved_bytes = snug_round_up(snug_max_size(reserved_bytes, 1), page);
        base = snug_os_reserve(reserved_bytes);
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

void snug_arena_decommit(snug_arena *arena, size_t bytes)
{
    size_t committed = arena->committed_bytes;
    size_t kept;

    if (bytes >= committed)
        return;
    kept = snug_round_up(bytes, snug_os_page_bytes());
    if (kept == committed)
        return;
    snug_os_decommit(arena->base + kept, committed - kept);
    arena->committed_bytes = kept;
    snug_memory_discharge(arena->memory, arena->use, committed - kept, kept == 0);
}
