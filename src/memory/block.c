/* SPDX-License-Identifier: Apache-2.0 */
/*
 * block.c - single pieces of memory. A header in front of each says what was charged, so that giving back is
 * exact and a wrong pointer is noticed.
 *
 * Large blocks have pages of their own: given back they really leave the process, which a heap does not
 * promise.
 */
#include "memory/memory.h"

#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "os/pages.h"

/* Blocks begin on a cache line. */
#define ALIGNMENT ((uint64_t)64)

/* Larger ones have pages of their own. */
#define HEAP_BLOCK_MAX ((uint64_t)64 * 1024 - 128)

/*
 * The heap aligns to 16 bytes; the rest is done here, because its own aligned requests leave splinters
 * behind (glibc 2.36: 246 bytes for a request of 128). Header and alignment need 32 to 80 bytes in front of
 * the block, and the heap keeps 8 bytes for itself and rounds to 16.
 */
#define HEADER_BYTES    ((uint64_t)32)
#define HEAP_ALIGNMENT  ((uint64_t)16)
#define HEAP_FRONT_MAX  (HEADER_BYTES + ALIGNMENT - HEAP_ALIGNMENT)
#define HEAP_COST_BYTES ((uint64_t)8)

#define LIVE_MARK 0x6b636f6c62677573ull
#define DEAD_MARK 0x6465657266677573ull

typedef struct block_header {
    uint64_t mark;
    uint64_t charged_bytes;
    uint32_t use;
    uint16_t front_bytes; /* from what the system gave to the block */
    bool is_on_heap;
} block_header;

_Static_assert(sizeof(block_header) <= HEADER_BYTES, "the header does not fit in front of a block");

uint64_t snug_memory_block_bytes(uint64_t bytes)
{
    uint64_t page = snug_os_page_bytes();

    if (bytes > UINT64_MAX - ALIGNMENT - page)
        return UINT64_MAX; /* which no ledger grants */
    if (bytes <= HEAP_BLOCK_MAX)
        return snug_round_up(bytes + HEAP_FRONT_MAX + HEAP_COST_BYTES, HEAP_ALIGNMENT);
    return snug_round_up(bytes + ALIGNMENT, page);
}

static void *pages_alloc(size_t bytes)
{
    void *pages = snug_os_reserve(bytes);

    if (pages && !snug_os_commit(pages, bytes)) {
        snug_os_release(pages, bytes);
        return NULL;
    }
    return pages;
}

/* Room for `bytes` and the header in front, aligned; NULL when the system refuses. */
static void *block_alloc(uint64_t bytes, uint64_t charged, snug_memory_use use)
{
    bool is_on_heap = bytes <= HEAP_BLOCK_MAX;
    unsigned char *given = is_on_heap ? snug_os_heap_alloc(bytes + HEAP_FRONT_MAX) : pages_alloc(charged);
    uint64_t front;
    block_header header = { .mark = LIVE_MARK, .charged_bytes = charged, .use = use };

    if (!given)
        return NULL;
    front = snug_round_up((uintptr_t)given + HEADER_BYTES, ALIGNMENT) - (uintptr_t)given;
    header.front_bytes = (uint16_t)front;
    header.is_on_heap = is_on_heap;
    memcpy(given + front - HEADER_BYTES, &header, sizeof header);
    return given + front;
}

void *snug_memory_alloc(snug_memory *memory, snug_memory_use use, uint64_t bytes, const char *what,
                        snug_error *error)
{
    uint64_t charged = snug_memory_block_bytes(bytes);
    void *block;

    if (snug_memory_take(memory, use, charged, what, error) != SNUG_OK)
        return NULL;
    block = block_alloc(bytes, charged, use);
    if (!block) {
        snug_memory_give(memory, use, charged);
        snug_fail(error, SNUG_ERR_NO_MEMORY, "%s needs %llu bytes, which the system refuses", what,
                  (unsigned long long)charged);
    }
    return block;
}

void snug_memory_free(snug_memory *memory, void *block)
{
    unsigned char *given;
    block_header *at;
    block_header header;

    if (!block)
        return;
    at = (void *)((unsigned char *)block - HEADER_BYTES);
    header = *at;
    SNUG_ASSERT(header.mark == LIVE_MARK); /* not a block, or given back twice */
    at->mark = DEAD_MARK;
    given = (unsigned char *)block - header.front_bytes;
    if (header.is_on_heap)
        snug_os_heap_free(given);
    else
        snug_os_release(given, header.charged_bytes);
    snug_memory_give(memory, (snug_memory_use)header.use, header.charged_bytes);
}
