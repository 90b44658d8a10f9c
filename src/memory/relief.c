/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relief.c - who can give memory back, and asking them.
 *
 * One thread at a time runs relievers, with relief_mutex held: so none is called after it was removed. What a
 * reliever reserves itself does not start another round, but is granted or refused as it stands.
 */
#include "memory/relief.h"

#include <limits.h>

#include "base/status.h"
#include "memory/ledger.h"
#include "memory/memory.h"
#include "os/machine.h"
#include "os/pages.h"

/* An address that is another one in each thread: who runs relievers. */
static uintptr_t this_thread(void)
{
    static _Thread_local char mark;

    return (uintptr_t)&mark;
}

static bool is_inside(const snug_memory *memory)
{
    return atomic_load_explicit(&memory->relieving_thread, memory_order_relaxed) == this_thread();
}

void snug_memory_add_reliever(snug_memory *memory, snug_memory_reliever *reliever)
{
    snug_memory_reliever **at = &memory->relievers;

    SNUG_ASSERT(!is_inside(memory)); /* the list is being walked */
    snug_os_mutex_lock(&memory->relief_mutex);
    while (*at && (*at)->rank <= reliever->rank)
        at = &(*at)->next;
    reliever->next = *at;
    *at = reliever;
    atomic_fetch_add(&memory->reliever_count, 1);
    snug_os_mutex_unlock(&memory->relief_mutex);
}

void snug_memory_remove_reliever(snug_memory *memory, snug_memory_reliever *reliever)
{
    snug_memory_reliever **at = &memory->relievers;

    SNUG_ASSERT(!is_inside(memory));
    snug_os_mutex_lock(&memory->relief_mutex);
    while (*at && *at != reliever)
        at = &(*at)->next;
    if (*at) {
        *at = reliever->next;
        atomic_fetch_sub(&memory->reliever_count, 1);
    }
    snug_os_mutex_unlock(&memory->relief_mutex);
}

/* Those of the ranks [from, to]. */
static uint64_t relieve(snug_memory *memory, uint64_t want, snug_relieve_when when, int from, int to)
{
    uint64_t given = 0;

    if (atomic_load_explicit(&memory->reliever_count, memory_order_relaxed) == 0 || is_inside(memory))
        return 0;
    if (when == SNUG_RELIEVE_WAIT)
        snug_os_mutex_lock(&memory->relief_mutex);
    else if (!snug_os_mutex_try_lock(&memory->relief_mutex))
        return 0;
    atomic_store_explicit(&memory->relieving_thread, this_thread(), memory_order_relaxed);
    for (const snug_memory_reliever *at = memory->relievers; at && given < want; at = at->next)
        if (at->rank >= from && at->rank <= to)
            given += at->release(at->user, want - given);
    atomic_store_explicit(&memory->relieving_thread, 0, memory_order_relaxed);
    snug_os_mutex_unlock(&memory->relief_mutex);
    return given;
}

uint64_t snug_memory_relieve(snug_memory *memory, uint64_t want, snug_relieve_when when)
{
    return relieve(memory, want, when, INT_MIN, INT_MAX);
}

uint64_t snug_memory_relieve_ranks(snug_memory *memory, uint64_t want, int from, int to)
{
    return relieve(memory, want, SNUG_RELIEVE_WAIT, from, to - 1);
}

uint64_t snug_memory_cleanup(snug_memory *memory)
{
    const uint64_t before = snug_os_process_memory_read_exact("").anonymous_bytes;
    uint64_t after;

    if (memory)
        (void)snug_memory_relieve(memory, UINT64_MAX, SNUG_RELIEVE_WAIT);
    snug_os_heap_trim();
    after = snug_os_process_memory_read_exact("").anonymous_bytes;
    if (before == SNUG_OS_UNKNOWN || after == SNUG_OS_UNKNOWN || after >= before)
        return 0;
    return before - after;
}
