/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sort.c - heapsort: n log n whatever a file does, no memory.
 */
#include "text/tables.h"

#include "base/status.h"

void snug_sort(void *base, size_t count, size_t bytes, snug_less_fn less, const void *user)
{
    unsigned char *at = base;
    unsigned char moved[64];
    size_t unordered = count / 2; /* the heap is built down from here, then taken apart */
    size_t end = count;

    SNUG_ASSERT(bytes <= sizeof moved);
    while (end > 1) {
        size_t hole = 0;

        if (unordered > 0) {
            hole = --unordered;
            memcpy(moved, at + hole * bytes, bytes);
        } else {
            end--;
            memcpy(moved, at + end * bytes, bytes);
            memcpy(at + end * bytes, at, bytes);
        }
        for (size_t child; (child = 2 * hole + 1) < end; hole = child) {
            if (child + 1 < end && less(user, at + child * bytes, at + (child + 1) * bytes))
                child++;
            if (!less(user, moved, at + child * bytes))
                break;
            memcpy(at + hole * bytes, at + child * bytes, bytes);
        }
        memcpy(at + hole * bytes, moved, bytes);
    }
}
