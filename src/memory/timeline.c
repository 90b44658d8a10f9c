/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timeline.c - how use grew: a ring of points, one at each new peak of 1/64 or more.
 */
#include "memory/ledger.h"

#include "base/size.h"
#include "os/machine.h"

static bool is_worth_a_point(const snug_memory *memory, uint64_t used_bytes)
{
    uint64_t recorded = atomic_load_explicit(&memory->recorded_bytes, memory_order_relaxed);

    return used_bytes > recorded && used_bytes - recorded >= recorded / 64;
}

void snug_memory_record(snug_memory *memory, uint64_t used_bytes)
{
    snug_memory_point *point;

    if (!is_worth_a_point(memory, used_bytes))
        return;
    snug_os_mutex_lock(&memory->points_mutex);
    if (is_worth_a_point(memory, used_bytes)) { /* still, now that no other thread can add one */
        point = &memory->point[memory->point_next];
        point->time_ns = snug_os_clock_ns() - memory->created_ns;
        point->used_bytes = used_bytes;
        for (size_t use = 0; use < SNUG_MEMORY_USE_COUNT; use++)
            point->use_bytes[use] = atomic_load_explicit(&memory->use[use].used_bytes, memory_order_relaxed);
        memory->point_next = (memory->point_next + 1) % SNUG_MEMORY_POINTS;
        memory->point_count = snug_min_size(memory->point_count + 1, SNUG_MEMORY_POINTS);
        atomic_store_explicit(&memory->recorded_bytes, used_bytes, memory_order_relaxed);
    }
    snug_os_mutex_unlock(&memory->points_mutex);
}

size_t snug_memory_timeline(snug_memory *memory, snug_memory_point *points_out, size_t capacity)
{
    size_t count;
    size_t oldest;

    snug_os_mutex_lock(&memory->points_mutex);
    count = memory->point_count;
    oldest = memory->point_next + SNUG_MEMORY_POINTS - count;
    for (size_t i = 0; i < snug_min_size(count, capacity); i++)
        points_out[i] = memory->point[(oldest + i) % SNUG_MEMORY_POINTS];
    snug_os_mutex_unlock(&memory->points_mutex);
    return count;
}
