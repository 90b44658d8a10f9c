/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor.c - when to read, and what is made of it: the watch (os/) reads, derive.c calculates the votes,
 * pressure.c and thrash.c turn them into a level.
 */
#include "memory/monitor.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "memory/adapt.h"
#include "memory/derive.h"
#include "memory/ledger.h"
#include "memory/pressure.h"
#include "memory/thrash.h"
#include "os/alarm.h"

#define INTERVAL_NS ((uint64_t)20 * 1000 * 1000)
#define RESOLVE_NS  ((uint64_t)2 * 1000 * 1000 * 1000)

/* Growth of the ledger that is worth a sample before its time: this part of the limit. */
#define GROWTH_PART 64

/* Where a sample is dear, because others keep the kernel's counters busy, and memory is plentiful, the next
 * one comes when this one was no more than 0.1 % of the time; but in time for a limit that is lowered. */
#define COST_SHARE       1000
#define INTERVAL_MOST_NS ((uint64_t)50 * 1000 * 1000)

/* A counter of refaults takes 28 us, with the kernel's tables out of the cache: only every so many samples,
 * but each time where it is our own and memory is not plentiful. */
#define REFAULT_SAMPLES 10

struct snug_monitor {
    snug_memory *memory;
    snug_monitor_options options;
    snug_monitor_place place;

    snug_os_watch watch;
    snug_os_alarm alarm;
    snug_memory_readings readings;
    snug_memory_state state;
    snug_thrash thrash;
    snug_pressure_machine machine;
    bool is_plentiful;

    uint64_t resolved_ns;
    uint64_t sampled_bytes; /* of the ledger, at the last sample */
    uint64_t samples;
    uint64_t cost_ns;     /* of the last one */
    uint64_t passes_seen; /* at the last read of the refaults */
    snug_pressure_reading reading;
    _Atomic int level;
    _Atomic uint64_t passes;
};

static uint64_t real_clock(void *user)
{
    (void)user;
    return snug_os_clock_ns();
}

/* --- one sample ----------------------------------------------------------------------------------------- */

static void read_files(snug_monitor *monitor, uint64_t now_ns, uint64_t passes, bool is_resolve_due)
{
    snug_os_watch *watch = &monitor->watch;
    const bool is_tight = watch->is_refault_own && monitor->reading.level != SNUG_PRESSURE_LOW;
    const bool with_refaults =
        passes != monitor->passes_seen && (is_tight || monitor->samples % REFAULT_SAMPLES == 0);
    const bool with_stalls = snug_thrash_needs_stalls(&monitor->thrash, now_ns);

    if (!is_resolve_due && snug_os_watch_read(watch, with_refaults, with_stalls)) {
        if (with_refaults)
            monitor->passes_seen = passes;
        return;
    }
    snug_os_watch_resolve(watch);
    snug_os_alarm_add(&monitor->alarm, watch);
    monitor->resolved_ns = now_ns;
    monitor->passes_seen = passes;
}

static void derive(snug_monitor *monitor)
{
    const snug_os_watch *watch = &monitor->watch;

    snug_memory_read_ledger(&monitor->readings, monitor->memory);
    monitor->readings.process = watch->process;
    monitor->readings.host = watch->host;
    monitor->readings.rlimits = watch->rlimits;
    monitor->readings.cgroups = watch->cgroups;
    snug_memory_derive(&monitor->state, &monitor->readings);
}

/* Plentiful from 5 points further down than it ceases to be: or the level would follow the noise. */
static double find_usage(snug_monitor *monitor)
{
    const snug_memory_state *state = &monitor->state;
    const double edge =
        SNUG_PRESSURE_PLENTIFUL_BELOW - (monitor->is_plentiful ? 0.0 : SNUG_PRESSURE_LEAVE_POINTS);
    const double comfort =
        state->ledger_vote > state->container_vote ? state->ledger_vote : state->container_vote;

    monitor->is_plentiful = state->hard_usage < edge;
    return snug_pressure_usage(state->hard_usage, comfort, monitor->is_plentiful);
}

static uint64_t reserve_of_binding(const snug_memory_state *state)
{
    switch (state->binding) {
    case SNUG_MEMORY_SOURCE_CGROUP_MAX:
        return state->level[state->binding_level].reserve_bytes;
    case SNUG_MEMORY_SOURCE_HOST:
        return state->host_reserve_bytes;
    default:
        return 0;
    }
}

static void write_reading(snug_monitor *monitor, uint64_t now_ns, double usage, bool is_thrashing)
{
    const snug_memory_state *state = &monitor->state;
    snug_pressure_reading *reading = &monitor->reading;

    reading->time_ns = now_ns;
    reading->level = monitor->machine.level;
    reading->usage = usage;
    reading->hard_usage = state->hard_usage;
    reading->ledger_vote = state->ledger_vote;
    reading->container_vote = state->container_vote;
    reading->host_vote = state->host_vote;
    reading->is_thrashing = is_thrashing;
    reading->refault_share = monitor->thrash.refault_share;
    reading->stall_share = monitor->thrash.stall_share;
    reading->limit_bytes = state->limit_bytes;
    reading->used_bytes = state->own_bytes;
    reading->headroom_bytes = state->headroom_bytes;
    reading->hard_bytes = state->hard_bytes;
    reading->comfort_bytes = state->comfort_bytes;
    reading->reserve_bytes = reserve_of_binding(state);
    reading->binding = state->binding;
    memcpy(reading->binding_text, state->binding_text, sizeof reading->binding_text);
    reading->is_complete = state->is_complete;
    atomic_store_explicit(&monitor->level, (int)reading->level, memory_order_relaxed);
}

static void take_sample(snug_monitor *monitor, uint64_t now_ns, bool is_woken)
{
    const uint64_t passes = atomic_load_explicit(&monitor->passes, memory_order_relaxed);
    const snug_os_alarm_events events = snug_os_alarm_step(&monitor->alarm, is_woken);
    const bool is_resolve_due =
        events.is_limit || now_ns - monitor->resolved_ns >= monitor->options.resolve_ns;
    bool is_thrashing;
    double usage;

    read_files(monitor, now_ns, passes, is_resolve_due);
    monitor->samples++;
    derive(monitor);
    if (monitor->options.follows_limits)
        snug_memory_adapt(monitor->memory, &monitor->state, monitor->options.strategy);
    is_thrashing = snug_thrash_step(
        &monitor->thrash, &(snug_thrash_input){ .now_ns = now_ns,
                                                .refault_bytes = monitor->watch.refault_bytes,
                                                .stall_us = monitor->watch.stall_us,
                                                .passes = monitor->passes_seen,
                                                .weight_bytes = monitor->state.wanted_weight_bytes });
    usage = find_usage(monitor);
    monitor->reading.notifications += events.is_pressed;
    snug_pressure_step(&monitor->machine,
                       &(snug_pressure_input){ .now_ns = now_ns,
                                               .usage = usage,
                                               .is_thrashing = is_thrashing || events.is_pressed,
                                               .is_plentiful = monitor->is_plentiful });
    monitor->sampled_bytes = monitor->state.ledger_used_bytes;
    write_reading(monitor, now_ns, usage, is_thrashing || events.is_pressed);
}

static bool has_grown(const snug_monitor *monitor)
{
    const uint64_t limit = monitor->state.limit_bytes;
    const uint64_t used = snug_memory_read_all(monitor->memory).used_bytes;

    return limit < SNUG_MEMORY_NO_LIMIT && used > monitor->sampled_bytes &&
           used - monitor->sampled_bytes > limit / GROWTH_PART;
}

/* Until the next sample. */
static uint64_t interval_ns(const snug_monitor *monitor)
{
    const uint64_t paid = monitor->cost_ns * COST_SHARE;

    if (monitor->options.interval_ns > 0)
        return monitor->options.interval_ns;
    if (monitor->reading.level != SNUG_PRESSURE_LOW || paid <= INTERVAL_NS)
        return INTERVAL_NS;
    return paid < INTERVAL_MOST_NS ? paid : INTERVAL_MOST_NS;
}

uint64_t snug_monitor_due_ns(const snug_monitor *monitor)
{
    const uint64_t last_ns = monitor->reading.time_ns;
    const uint64_t interval = interval_ns(monitor);

    return interval < UINT64_MAX - last_ns ? last_ns + interval : UINT64_MAX;
}

bool snug_monitor_sample(snug_monitor *monitor, snug_pressure_reading *out)
{
    const uint64_t now_ns = monitor->place.clock(monitor->place.user);
    const bool is_due = now_ns >= snug_monitor_due_ns(monitor) || has_grown(monitor);

    if (is_due) {
        take_sample(monitor, now_ns, false);
        monitor->cost_ns = monitor->place.clock(monitor->place.user) - now_ns;
    }
    if (out)
        *out = monitor->reading;
    return is_due;
}

void snug_monitor_step(snug_monitor *monitor, snug_pressure_reading *out)
{
    take_sample(monitor, monitor->place.clock(monitor->place.user), true);
    if (out)
        *out = monitor->reading;
}

/* --- the monitor ---------------------------------------------------------------------------------------- */

static snug_status read_options(snug_monitor_options *out, const snug_monitor_options *options,
                                snug_error *error)
{
    memset(out, 0, sizeof *out);
    if (options) {
        if (options->struct_size < sizeof options->struct_size || options->struct_size > sizeof *out)
            SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "snug_monitor_options: a struct_size of %zu is not known",
                      options->struct_size);
        memcpy(out, options, options->struct_size);
    }
    if (out->resolve_ns == 0)
        out->resolve_ns = RESOLVE_NS;
    if (!out->watch_path && !out->ignores_environment) {
        out->watch_path = getenv("MEMORY_PRESSURE_WATCH");
        out->write_bytes = getenv("MEMORY_PRESSURE_WRITE");
    }
    return SNUG_OK;
}

snug_status snug_monitor_create_at(snug_monitor **monitor_out, snug_memory *memory,
                                   const snug_monitor_options *options, const snug_monitor_place *place,
                                   snug_error *error)
{
    snug_monitor_options wanted;
    snug_monitor *monitor;

    SNUG_TRY(read_options(&wanted, options, error));
    monitor = snug_memory_alloc(memory, SNUG_MEMORY_OTHER, sizeof *monitor, "the monitor of memory pressure",
                                error);
    if (!monitor)
        return error ? error->status : SNUG_ERR_OVER_LIMIT;
    monitor->memory = memory;
    monitor->options = wanted;
    monitor->place = *place;
    snug_os_watch_open(&monitor->watch, place->root);
    snug_os_alarm_open(&monitor->alarm, &(snug_os_alarm_options){ .root = place->root,
                                                                  .watch_path = wanted.watch_path,
                                                                  .write_bytes = wanted.write_bytes });
    snug_os_alarm_add(&monitor->alarm, &monitor->watch);
    /* They may not live as long as the monitor. */
    monitor->options.watch_path = NULL;
    monitor->options.write_bytes = NULL;
    monitor->resolved_ns = place->clock(place->user);
    take_sample(monitor, monitor->resolved_ns, false);
    *monitor_out = monitor;
    return SNUG_OK;
}

snug_status snug_monitor_create(snug_monitor **monitor_out, snug_memory *memory,
                                const snug_monitor_options *options, snug_error *error)
{
    static const snug_monitor_place here = { .root = "", .clock = real_clock };

    return snug_monitor_create_at(monitor_out, memory, options, &here, error);
}

void snug_monitor_destroy(snug_monitor *monitor)
{
    if (!monitor)
        return;
    snug_os_alarm_close(&monitor->alarm);
    snug_os_watch_close(&monitor->watch);
    snug_memory_free(monitor->memory, monitor);
}

int snug_monitor_fd(const snug_monitor *monitor)
{
    return monitor->alarm.poll_file;
}

const char *snug_monitor_missing(const snug_monitor *monitor)
{
    return monitor->alarm.missing;
}

snug_pressure snug_monitor_level(const snug_monitor *monitor)
{
    return (snug_pressure)atomic_load_explicit(&monitor->level, memory_order_relaxed);
}

void snug_monitor_count_passes(snug_monitor *monitor, uint32_t passes)
{
    atomic_fetch_add_explicit(&monitor->passes, passes, memory_order_relaxed);
}
