/* SPDX-License-Identifier: Apache-2.0 */
/*
 * warm.c - see the header. A piece at a time, so that it can be told to stop.
 */
#include "format/warm.h"

#include <stdatomic.h>

#include "base/size.h"
#include "memory/memory.h"
#include "os/pages.h"
#include "os/thread.h"

#define PIECE_BYTES ((size_t)8 << 20)

/* What a thread that only calls the system touches of its stack; see STACK_PAGES in work/work.c. */
#define STACK_PAGES 2

struct snug_warming {
    snug_memory *memory;
    const snug_weight_files *files;
    uint64_t stack_bytes;
    _Atomic bool is_stopping;
    snug_os_thread thread;
};

static void run(void *user)
{
    snug_warming *warming = user;

    for (size_t i = 0; i < warming->files->count; i++) {
        const snug_os_map *map = &warming->files->files[i].map;

        for (size_t at = 0; at < map->bytes; at += PIECE_BYTES) {
            const size_t bytes = snug_min_size(map->bytes - at, PIECE_BYTES);

            if (atomic_load(&warming->is_stopping) ||
                !snug_os_map_populate((const unsigned char *)map->data + at, bytes))
                return;
        }
    }
}

snug_warming *snug_warming_begin(snug_memory *memory, const snug_weight_files *files)
{
    static const char what[] = "the thread that reads weights ahead";
    const uint64_t stack_bytes = STACK_PAGES * snug_os_page_bytes();
    snug_warming *warming = snug_memory_alloc(memory, SNUG_MEMORY_OTHER, sizeof *warming, what, NULL);

    if (!warming)
        return NULL;
    *warming = (snug_warming){ .memory = memory, .files = files };
    if (snug_memory_take(memory, SNUG_MEMORY_OTHER, stack_bytes, what, NULL) == SNUG_OK) {
        warming->stack_bytes = stack_bytes;
        if (snug_os_thread_start(&warming->thread, run, warming, NULL) == SNUG_OK)
            return warming;
        snug_memory_give(memory, SNUG_MEMORY_OTHER, stack_bytes);
    }
    snug_memory_free(memory, warming);
    return NULL;
}

void snug_warming_end(snug_warming *warming)
{
    if (!warming)
        return;
    atomic_store(&warming->is_stopping, true);
    snug_os_thread_join(&warming->thread);
    snug_memory_give(warming->memory, SNUG_MEMORY_OTHER, warming->stack_bytes);
    snug_memory_free(warming->memory, warming);
}
