/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snug/memory.h - the ledger: who holds how many bytes, how many are left, and what the machine says.
 *
 * Every byte the library owns is reserved in a snug_memory, under one use, before it is committed. Two
 * limits: past the soft one the pressure callback is told; at the hard one the request is refused with the
 * figures (SNUG_ERR_OVER_LIMIT) and nothing changes. Reservations count committed pages, never address space.
 * Mapped weights are not in the ledger: the kernel can drop them at any time. They are counted beside it.
 *
 * Threads: every function may be called from any thread; reading takes no lock.
 */
#ifndef SNUG_MEMORY_H
#define SNUG_MEMORY_H

#include <snug/base.h>

SNUG_BEGIN_DECLS

typedef struct snug_memory snug_memory;

/* X(name, number, "name in reports"). New uses are appended. */
#define SNUG_MEMORY_USE_MAP(X)                                                                               \
    X(WEIGHTS, 0, "weights")                                                                                 \
    X(KV, 1, "kv")                                                                                           \
    X(SCRATCH, 2, "scratch")                                                                                 \
    X(TEXT, 3, "text")                                                                                       \
    X(CACHE, 4, "cache")                                                                                     \
    X(OTHER, 5, "other")

typedef enum snug_memory_use {
#define SNUG_MEMORY_USE_ENUM(name, number, text) SNUG_MEMORY_##name = number,
    SNUG_MEMORY_USE_MAP(SNUG_MEMORY_USE_ENUM)
#undef SNUG_MEMORY_USE_ENUM
    SNUG_MEMORY_USE_COUNT
} snug_memory_use;

/* "weights", "kv" ...: the name in reports and in JSON. */
SNUG_API const char *snug_memory_use_name(snug_memory_use use);

typedef struct snug_memory_count {
    uint64_t used_bytes;
    uint64_t peak_bytes; /* the highest used_bytes since the ledger was made */
    uint64_t blocks;     /* live reservations: 0 once everything is destroyed */
} snug_memory_count;

/* Runs on the reserving thread, with no lock held, when use rises past the soft limit. */
typedef void (*snug_memory_pressure_fn)(void *user, uint64_t used_bytes, uint64_t soft_bytes);

/* Write { .struct_size = sizeof(snug_memory_options) } first: the struct may grow at its end. */
typedef struct snug_memory_options {
    size_t struct_size;
    uint64_t soft_bytes; /* 0: none. At most hard_bytes when both are set */
    uint64_t hard_bytes; /* 0: none */
    snug_memory_pressure_fn on_pressure;
    void *user;
} snug_memory_options;

/* `options` may be NULL: no limits. Errors: ARGUMENT (soft above hard), NO_MEMORY. */
SNUG_API SNUG_MUST_CHECK snug_status snug_memory_create(snug_memory **memory_out,
                                                        const snug_memory_options *options);

/* Asserts that every reservation was given back. NULL is allowed. */
SNUG_API void snug_memory_destroy(snug_memory *memory);

SNUG_API snug_memory_count snug_memory_read(const snug_memory *memory, snug_memory_use use);
SNUG_API snug_memory_count snug_memory_read_all(const snug_memory *memory); /* the sum; its own peak */

/*
 * The highest unreclaimable bytes of this process the kernel has shown to snug_memory_sample() since the
 * ledger was made. Sampled when a load ends, around prefill chunks and at each token; about 1 us a sample.
 */
SNUG_API uint64_t snug_memory_measured_peak(const snug_memory *memory);
SNUG_API void snug_memory_sample(snug_memory *memory);

/* One point of the timeline: kept at each new peak of 1/64 or more, the oldest dropped when the ring is
 * full. */
typedef struct snug_memory_point {
    uint64_t time_ns; /* monotonic, since the ledger was made */
    uint64_t used_bytes;
    uint64_t use_bytes[SNUG_MEMORY_USE_COUNT];
} snug_memory_point;

/* Copies up to `capacity` points, oldest first; returns how many there are. */
SNUG_API size_t snug_memory_timeline(const snug_memory *memory, snug_memory_point *points_out,
                                     size_t capacity);

SNUG_END_DECLS
#endif /* SNUG_MEMORY_H */
