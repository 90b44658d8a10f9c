/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snug/monitor.h - pressure in real time: how tight memory is now, who says so, and a descriptor that wakes
 * who sleeps.
 *
 * While tokens are computed, call snug_monitor_sample() at each: it reads the clock, and at most every 20 ms
 * a handful of files that it keeps open. Who has an event loop waits for snug_monitor_fd() to become
 * readable and calls snug_monitor_step(). There is no thread behind it.
 *
 *     snug_monitor *monitor;
 *     snug_pressure_reading now;
 *     snug_monitor_create(&monitor, memory, NULL, &error);
 *     ...
 *     if (snug_monitor_sample(monitor, &now) && now.level >= SNUG_PRESSURE_HIGH)
 *         snug_memory_cleanup(memory);
 *
 * Threads: a monitor belongs to one thread at a time; snug_monitor_level() and snug_monitor_count_passes()
 * may be called from any.
 */
#ifndef SNUG_MONITOR_H
#define SNUG_MONITOR_H

#include <snug/memory.h>

SNUG_BEGIN_DECLS

typedef struct snug_monitor snug_monitor;

/* Write { .struct_size = sizeof(snug_monitor_options) } first: the struct may grow at its end. */
typedef struct snug_monitor_options {
    size_t struct_size;
    uint64_t
        interval_ns; /* between samples; 0: 20 ms, or up to 50 where a sample is dear and memory plentiful */
    uint64_t resolve_ns; /* at least so often, look up again which control groups limit us; 0: 2 s */
    /* Keep the ledger's limits at what is really available: snug_memory_set_adaptive_limits() at each sample,
     * with this strategy. */
    bool follows_limits;
    snug_strategy strategy;
    /*
     * A service manager's way to say that memory is short (systemd's protocol): the path of a pressure file,
     * FIFO or socket, and base64 of what is to be written to it first. NULL: what the environment says in
     * MEMORY_PRESSURE_WATCH and MEMORY_PRESSURE_WRITE, or else a trigger on the kernel's stall information.
     */
    const char *watch_path;
    const char *write_bytes;
    bool ignores_environment;
} snug_monitor_options;

/* What a sample says. All bytes; UNKNOWN and NO_LIMIT, votes and usage as in snug_memory_state. */
typedef struct snug_pressure_reading {
    uint64_t time_ns; /* monotonic, of this sample */
    snug_pressure
        level; /* entered at once, left after 2 s of 5 points less; raised by one when it thrashes */
    double usage;
    double hard_usage; /* by unreclaimable bytes alone: what a smaller cache can lower */
    double ledger_vote;
    double container_vote;
    double host_vote;
    /* More than 5 % of the weights read again from the disk for 4 passes, threads that waited for memory 10 %
     * of the time, or somebody said so. */
    bool is_thrashing;
    double refault_share;   /* of the wanted weights, in the last pass; SNUG_VOTE_NONE: not known */
    double stall_share;     /* of the time, lately; SNUG_VOTE_NONE: not known */
    uint64_t notifications; /* how often somebody said that memory is short, since the monitor was made */
    uint64_t limit_bytes;
    uint64_t used_bytes;     /* own_bytes of the state */
    uint64_t headroom_bytes; /* until the limit */
    uint64_t hard_bytes;     /* until the kernel kills or refuses */
    uint64_t comfort_bytes;  /* until it gets slow */
    uint64_t reserve_bytes;  /* kept free by who binds, a control group or the host: part of hard_bytes */
    snug_memory_source binding;
    char binding_text[320];
    bool is_complete; /* false when a source could not be read */
} snug_pressure_reading;

/*
 * Opens its files and takes a first sample: 0.5 ms, some twenty descriptors, 20 KiB of `memory`, which must
 * outlive it. `options` may be NULL. What cannot be opened is not an error: see snug_monitor_missing().
 * Errors: ARGUMENT (struct_size), OVER_LIMIT, NO_MEMORY.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_monitor_create(snug_monitor **monitor_out, snug_memory *memory,
                                                         const snug_monitor_options *options,
                                                         snug_error *error);
SNUG_API void snug_monitor_destroy(snug_monitor *monitor); /* NULL is allowed */

/*
 * The newest reading. Takes a new sample, and then returns true, when the last is `interval_ns` old or the
 * ledger has grown by 1/64 of the limit since: about 20 us, and every `resolve_ns` 0.2 ms; else a clock read.
 * Allocates nothing. `out` may be NULL.
 */
SNUG_API bool snug_monitor_sample(snug_monitor *monitor, snug_pressure_reading *out);

/*
 * Readable (POLLIN) when somebody says that memory is short; -1 when nothing here can be waited for. Belongs
 * to the monitor. An unprivileged trigger of the kernel comes up to two seconds late.
 */
SNUG_API int snug_monitor_fd(const snug_monitor *monitor);

/* Call it when the descriptor is readable: takes note of what made it so, and samples at once. */
SNUG_API void snug_monitor_step(snug_monitor *monitor, snug_pressure_reading *out);

/* A sentence about what the descriptor will not notice, and why; "" when nothing is missing. */
SNUG_API const char *snug_monitor_missing(const snug_monitor *monitor);

/* The level of the newest sample: one load. */
SNUG_API snug_pressure snug_monitor_level(const snug_monitor *monitor);

/* All weights were read `passes` times: a token was computed, or a chunk of a prompt. */
SNUG_API void snug_monitor_count_passes(snug_monitor *monitor, uint32_t passes);

SNUG_END_DECLS
#endif /* SNUG_MONITOR_H */
