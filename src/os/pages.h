/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pages.h - address space and memory from the system, in whole pages, and small blocks from its heap.
 * Nothing here is counted: only memory/ calls it, after its ledger agreed.
 */
#ifndef SNUG_SRC_OS_PAGES_H
#define SNUG_SRC_OS_PAGES_H

#include <stdbool.h>
#include <stddef.h>

size_t snug_os_page_bytes(void);
/* Of pages that snug_os_join() can make; 0: none. Reads a file. */
size_t snug_os_huge_page_bytes(void);

/* Address space without memory behind it; NULL when refused. `bytes` in whole pages. */
void *snug_os_reserve(size_t bytes);
/* The same at a multiple of `alignment`, in whole pages; anywhere when there is no address space to spare. */
void *snug_os_reserve_aligned(size_t bytes, size_t alignment);
/* Make part of a reservation usable, zeroed at first touch. False when the system refuses (RLIMIT_DATA,
 * overcommit). */
bool snug_os_commit(void *at, size_t bytes);
/* Give the pages and their commit charge back; the address space stays reserved. */
void snug_os_decommit(void *at, size_t bytes);
/*
 * Make one huge page of `bytes` at `at`, of that size and alignment, all pages of which are in use: memory
 * that is faster to reach and to give back. What it holds and what is resident stays the same; while it is
 * copied the kernel needs as much again, and does without when there is none. False: it stays as it was.
 */
bool snug_os_join(void *at, size_t bytes);
/* Undo it, at once, so that a part can be given back: `at` is a page of it that is in use. */
void snug_os_split(void *at, size_t bytes);
/* Give back a whole reservation, address space too. */
void snug_os_release(void *at, size_t bytes);

/* Zeroed block from the heap, 16-byte aligned; NULL when refused. */
void *snug_os_heap_alloc(size_t bytes);
void snug_os_heap_free(void *block);
/* Give the pages that the heap keeps without use back to the system, where it knows how. */
void snug_os_heap_trim(void);

#endif /* SNUG_SRC_OS_PAGES_H */
