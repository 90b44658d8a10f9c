/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pages.c - pages.h on mmap.
 *
 * A reservation is PROT_NONE and costs neither memory nor commit charge. Giving back maps fresh PROT_NONE
 * pages over the old ones: unlike MADV_DONTNEED and mprotect this also returns the commit charge, which
 * counts where overcommit is off (vm.overcommit_memory = 2).
 *
 * Transparent huge pages are off in reservations. A huge page of which half is given back stays charged
 * to the control group until the kernel finds time to split it, and khugepaged may grow it again: the ledger
 * would no longer be the truth.
 */
#define _DEFAULT_SOURCE

#include "os/pages.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/status.h"

size_t snug_os_page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Fresh address space; at a fixed place when `at` is not NULL. */
static void *map_nothing(void *at, size_t bytes)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at ? MAP_FIXED : 0);
    void *mapped = mmap(at, bytes, PROT_NONE, flags, -1, 0);

    if (mapped == MAP_FAILED)
        return NULL;
    (void)madvise(mapped, bytes, MADV_NOHUGEPAGE); /* refused where the kernel has no huge pages: as well */
    return mapped;
}

void *snug_os_reserve(size_t bytes)
{
    return map_nothing(NULL, bytes);
}

bool snug_os_commit(void *at, size_t bytes)
{
    return mprotect(at, bytes, PROT_READ | PROT_WRITE) == 0;
}

void snug_os_decommit(void *at, size_t bytes)
{
    if (map_nothing(at, bytes))
        return;
    /* Too many mappings to split one more: the pages go all the same, only the commit charge stays. */
    (void)madvise(at, bytes, MADV_DONTNEED);
    (void)mprotect(at, bytes, PROT_NONE);
}

void snug_os_release(void *at, size_t bytes)
{
    int result = munmap(at, bytes);

    SNUG_ASSERT(result == 0);
}

void *snug_os_heap_alloc(size_t bytes)
{
    return calloc(1, bytes);
}

void snug_os_heap_free(void *block)
{
    free(block);
}
