/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor.h - the monitor over another root and clock than the real ones.
 */
#ifndef SNUG_SRC_MEMORY_MONITOR_H
#define SNUG_SRC_MEMORY_MONITOR_H

#include <snug/monitor.h>

typedef struct snug_monitor_place {
    const char *root; /* in front of /proc and /sys; must outlive the monitor */
    uint64_t (*clock)(void *user);
    void *user;
} snug_monitor_place;

SNUG_MUST_CHECK snug_status snug_monitor_create_at(snug_monitor **monitor_out, snug_memory *memory,
                                                   const snug_monitor_options *options,
                                                   const snug_monitor_place *place, snug_error *error);

/* When its next sample is due, by the time that is now; sooner should the ledger grow. */
uint64_t snug_monitor_due_ns(const snug_monitor *monitor);

#endif /* SNUG_SRC_MEMORY_MONITOR_H */
