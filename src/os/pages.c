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
 * would no longer be the truth. Memory whose every page is in use already can become one without harm
 * (snug_os_join), provided that it is split before part of it goes (snug_os_split).
 */
#define _DEFAULT_SOURCE

#include "os/pages.h"

#include <stdint.h>
#include <stdlib.h>
#ifdef __GLIBC__
#    include <malloc.h>
#endif
#include <sys/mman.h>
#include <unistd.h>

#include "base/size.h"
#include "base/status.h"
#include "os/read.h"

#if defined(__linux__) && !defined(MADV_COLLAPSE)
#    define MADV_COLLAPSE 25 /* Linux 6.1; unknown to glibc before 2.37 */
#endif

/* Beyond this, as on Arm with pages of 64 KiB, making one would take too long. */
#define HUGE_PAGE_MAX ((uint64_t)4 << 20)

size_t snug_os_page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

size_t snug_os_huge_page_bytes(void)
{
    char text[32];
    const char *at = text;
    uint64_t bytes = 0;

    if (!snug_os_read_text("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", text, sizeof text) ||
        !snug_os_parse_u64(&bytes, &at) || bytes > HUGE_PAGE_MAX || bytes % snug_os_page_bytes() != 0)
        return 0;
    return (size_t)bytes;
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

void *snug_os_reserve_aligned(size_t bytes, size_t alignment)
{
    unsigned char *mapped = bytes <= SIZE_MAX - alignment ? map_nothing(NULL, bytes + alignment) : NULL;
    size_t front;

    if (!mapped)
        return snug_os_reserve(bytes);
    front = snug_round_up((uintptr_t)mapped, alignment) - (uintptr_t)mapped;
    if (front > 0)
        snug_os_release(mapped, front);
    snug_os_release(mapped + front + bytes, alignment - front);
    return mapped + front;
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

#ifdef MADV_COLLAPSE
bool snug_os_join(void *at, size_t bytes)
{
    return madvise(at, bytes, MADV_HUGEPAGE) == 0 && madvise(at, bytes, MADV_COLLAPSE) == 0;
}

/* MADV_COLD of a part is the one call that splits a huge page there and then (Linux 6.18: after the first
 * 4 KiB of 2 MiB, in 0.1 ms); unmapping a part leaves that to the day when memory is short. */
void snug_os_split(void *at, size_t bytes)
{
    (void)madvise((unsigned char *)at - (uintptr_t)at % bytes, bytes, MADV_NOHUGEPAGE);
    (void)madvise(at, snug_os_page_bytes(), MADV_COLD);
}
#else
bool snug_os_join(void *at, size_t bytes)
{
    (void)at;
    (void)bytes;
    return false;
}

void snug_os_split(void *at, size_t bytes)
{
    (void)at;
    (void)bytes;
}
#endif

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

void snug_os_heap_trim(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}
