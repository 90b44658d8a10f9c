/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger.h - the inside of snug_memory. Only memory/ includes it.
 *
 * The total is the one number that decides: a reservation moves it by compare-exchange, never past the hard
 * limit, and whoever moved it past the soft one calls back. The numbers per use follow, and may lag behind
 * the total for an instant. Peaks are exact: they are taken from the values that were really stored.
 */
#ifndef SNUG_SRC_MEMORY_LEDGER_H
#define SNUG_SRC_MEMORY_LEDGER_H

#include <stdatomic.h>

#include "memory/memory.h"
#include "os/thread.h"

typedef struct snug_memory_account {
    _Atomic uint64_t used_bytes;
    _Atomic uint64_t peak_bytes;
    _Atomic uint64_t blocks;
} snug_memory_account;

/* Each point is at least 1/64 above the one before: 256 of them span a growth by 50 times. */
#define SNUG_MEMORY_POINTS 256

struct snug_memory {
    /* The lower of both decides. Soft UINT64_MAX, hard SNUG_MEMORY_BYTES_MAX: none. They may be below the
     * total when they were lowered since. */
    _Atomic uint64_t user_soft_bytes;
    _Atomic uint64_t user_hard_bytes;
    _Atomic uint64_t machine_soft_bytes;
    _Atomic uint64_t machine_hard_bytes;
    _Atomic uint64_t allowed_bytes; /* beyond the hard limit, while more is given back */
    snug_os_mutex text_mutex;       /* guards machine_text */
    char machine_text[320];         /* who sets machine_hard_bytes */
    _Atomic uint64_t wanted_weight_bytes;
    snug_memory_pressure_fn on_pressure;
    void *user;
    uint64_t created_ns;
    size_t huge_page_bytes; /* 0: none */

    snug_memory_account all;
    snug_memory_account use[SNUG_MEMORY_USE_COUNT];
    _Atomic uint64_t measured_peak_bytes;
    _Atomic uint64_t fail_after; /* reservations until one is refused; 0: none is */

    snug_os_mutex relief_mutex; /* guards the list of relievers, and is held while they run */
    snug_memory_reliever *relievers;
    _Atomic size_t reliever_count;
    _Atomic uintptr_t relieving_thread; /* see relief.c; 0: none */

    _Atomic uint64_t recorded_bytes; /* of the newest point: most reservations need no more of the timeline */
    snug_os_mutex points_mutex;      /* guards what follows */
    size_t point_count;
    size_t point_next; /* where the next one goes; the oldest when the ring is full */
    snug_memory_point point[SNUG_MEMORY_POINTS];
};

/* More than any machine has. A ledger without limit refuses here, so that sums cannot wrap around. */
#define SNUG_MEMORY_BYTES_MAX ((uint64_t)1 << 62)

/* The limits that count now: the lower of the user's and the machine's. */
uint64_t snug_memory_soft(const snug_memory *memory);
uint64_t snug_memory_hard(const snug_memory *memory);
void snug_memory_store_user_limits(snug_memory *memory, uint64_t soft_bytes, uint64_t hard_bytes);
/* Who sets the hard limit: "cgroup /a memory.max"; "" for the user. */
void snug_memory_write_limiter(char *out, size_t capacity, snug_memory *memory);

/* As snug_memory_take() and snug_memory_give(), with the number of live reservations moved by `blocks`: an
 * arena is one, in however many pieces it grows. */
SNUG_MUST_CHECK snug_status snug_memory_charge(snug_memory *memory, snug_memory_use use, uint64_t bytes,
                                               uint64_t blocks, const char *what, snug_error *error);
void snug_memory_discharge(snug_memory *memory, snug_memory_use use, uint64_t bytes, uint64_t blocks);
/* Live reservations of bytes that are charged already. */
void snug_memory_add_blocks(snug_memory *memory, snug_memory_use use, uint64_t blocks);

/* Keep a point if `used_bytes`, the total after a reservation, is a new peak by 1/64 or more. */
void snug_memory_record(snug_memory *memory, uint64_t used_bytes);

/* Raises *peak to `value` if it is lower. */
static inline void snug_memory_raise(_Atomic uint64_t *peak, uint64_t value)
{
    uint64_t seen = atomic_load_explicit(peak, memory_order_relaxed);

    while (seen < value && !atomic_compare_exchange_weak_explicit(peak, &seen, value, memory_order_relaxed,
                                                                  memory_order_relaxed)) {
    }
}

#endif /* SNUG_SRC_MEMORY_LEDGER_H */
