/* SPDX-License-Identifier: Apache-2.0 */
/*
 * derive.c - the effective limit.
 *
 * Each source gives a candidate, on one scale: the unreclaimable bytes that this process may have in all.
 * What the kernel counts (control groups, the host) is added to what the kernel has given us, `anonymous`;
 * what the rlimits count is added to what we were promised, `own`, since committed pages count there before
 * they are touched. The least candidate binds, and of equals the first in the order user, groups from the
 * leaf up, host, rlimits.
 *
 * The headroom of a group is computed with the group's own use: the least limit with the use of another level
 * would be wrong.
 */
#include "memory/derive.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"

_Static_assert(SNUG_MEMORY_UNKNOWN == SNUG_OS_UNKNOWN, "one number for unknown");
_Static_assert(SNUG_MEMORY_NO_LIMIT == SNUG_OS_NO_LIMIT, "one number for no limit");
_Static_assert(SNUG_MEMORY_LEVELS_MAX == SNUG_OS_CGROUP_LEVELS_MAX, "all levels have room");

#define MIB ((uint64_t)1 << 20)

static bool is_number(uint64_t bytes)
{
    return bytes < SNUG_MEMORY_NO_LIMIT;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Not below 0. */
static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* Not above the largest number that is one. */
static uint64_t sum(uint64_t a, uint64_t b)
{
    return a < SNUG_MEMORY_NO_LIMIT - 1 - b ? a + b : SNUG_MEMORY_NO_LIMIT - 1;
}

static uint64_t number_or(uint64_t bytes, uint64_t otherwise)
{
    return is_number(bytes) ? bytes : otherwise;
}

/* --- candidates --------------------------------------------------------------------------------------- */

/* Takes `room` beside what is there already (`base`) as the limit, if that is less than the one so far. */
static bool offer(snug_memory_state *state, snug_memory_source source, uint64_t base, uint64_t room)
{
    uint64_t limit = sum(base, room);

    if (is_number(state->limit_bytes) && limit >= state->limit_bytes)
        return false;
    state->limit_bytes = limit;
    state->binding = source;
    return true;
}

static void derive_process(snug_memory_state *state, const snug_memory_readings *readings)
{
    state->user_hard_bytes = readings->user_hard_bytes;
    state->user_soft_bytes = readings->user_soft_bytes;
    state->ledger_used_bytes = readings->ledger_used_bytes;
    state->process_anonymous_bytes = readings->process.anonymous_bytes;
    state->process_file_bytes = readings->process.file_bytes;
    state->process_resident_bytes = readings->process.resident_bytes;
    if (!is_number(state->process_anonymous_bytes))
        state->is_complete = false;
    state->own_bytes = larger(number_or(state->process_anonymous_bytes, 0), state->ledger_used_bytes);
    if (is_number(state->user_hard_bytes))
        offer(state, SNUG_MEMORY_SOURCE_USER, 0, state->user_hard_bytes);
}

/* What must stay in use at this level: all of it less what can be dropped. */
static uint64_t level_needed(const snug_memory_level *level, uint64_t at_least)
{
    uint64_t needed = at_least;

    if (is_number(level->current_bytes))
        needed = less(level->current_bytes, number_or(level->reclaimable_bytes, 0));
    return needed;
}

/* `below` is what must stay in use one level down; a level whose use is unknown has at least that. */
static void derive_level(snug_memory_level *level, const snug_os_cgroup_level *read, uint64_t below)
{
    uint64_t bound = read->high_bytes == SNUG_MEMORY_UNKNOWN ? SNUG_MEMORY_NO_LIMIT : read->high_bytes;

    memcpy(level->path, read->path, sizeof level->path);
    level->max_bytes = read->max_bytes;
    level->high_bytes = read->high_bytes;
    level->current_bytes = read->current_bytes;
    level->reclaimable_bytes = read->reclaimable_bytes;
    level->reserve_bytes = 0;
    if (is_number(level->max_bytes)) {
        level->reserve_bytes = larger(32 * MIB, level->max_bytes / 100 * 3);
        bound = smaller(bound, less(level->max_bytes, level->reserve_bytes));
    }
    if (is_number(bound))
        level->headroom_bytes = less(bound, level_needed(level, below));
    else
        level->headroom_bytes = level->max_bytes; /* without limit, or unknown */
}

static bool is_high_the_bound(const snug_memory_level *level)
{
    return is_number(level->high_bytes) &&
           (!is_number(level->max_bytes) || level->high_bytes < less(level->max_bytes, level->reserve_bytes));
}

static void derive_cgroups(snug_memory_state *state, const snug_os_cgroups *cgroups)
{
    uint64_t anonymous = number_or(state->process_anonymous_bytes, 0);
    uint64_t below = anonymous;

    state->cgroup_version = cgroups->version;
    state->is_cgroup_cut = cgroups->is_cut;
    state->level_count = cgroups->level_count;
    if (cgroups->is_cut)
        state->is_complete = false;
    for (size_t i = 0; i < cgroups->level_count; i++) {
        snug_memory_level *level = &state->level[i];
        snug_memory_source source;

        derive_level(level, &cgroups->level[i], below);
        below = level_needed(level, below);
        source = is_high_the_bound(level) ? SNUG_MEMORY_SOURCE_CGROUP_HIGH : SNUG_MEMORY_SOURCE_CGROUP_MAX;
        if (is_number(level->headroom_bytes) && offer(state, source, anonymous, level->headroom_bytes))
            state->binding_level = i;
    }
}

static void derive_host(snug_memory_state *state, const snug_os_host_memory *host)
{
    state->host_total_bytes = host->total_bytes;
    state->host_available_bytes = host->available_bytes;
    state->host_reserve_bytes = larger(256 * MIB, number_or(host->total_bytes, 0) / 100 * 5);
    state->host_headroom_bytes = SNUG_MEMORY_UNKNOWN;
    if (!is_number(host->available_bytes)) {
        state->is_complete = false;
        return;
    }
    state->host_headroom_bytes = less(host->available_bytes, state->host_reserve_bytes);
    offer(state, SNUG_MEMORY_SOURCE_HOST, number_or(state->process_anonymous_bytes, 0),
          state->host_headroom_bytes);
}

/* Where the use that counts is unknown, it is at least our own. */
static void derive_rlimit(snug_memory_state *state, snug_memory_source source, uint64_t limit, uint64_t used)
{
    if (limit == SNUG_MEMORY_UNKNOWN)
        state->is_complete = false;
    if (is_number(limit))
        offer(state, source, state->own_bytes, less(limit, number_or(used, state->own_bytes)));
}

/* --- the result --------------------------------------------------------------------------------------- */

/*
 * The headroom with mapped file pages counted as needed. Only those pages are taken off that the source had
 * counted as free: a group is not charged for pages that another group read first.
 */
static uint64_t derive_comfort(const snug_memory_state *state)
{
    uint64_t mapped = number_or(state->process_file_bytes, 0);
    uint64_t anonymous = number_or(state->process_anonymous_bytes, 0);
    uint64_t promised = less(state->own_bytes, anonymous); /* and not yet touched */
    uint64_t comfort = state->headroom_bytes;

    if (!is_number(comfort))
        return comfort;
    for (size_t i = 0; i < state->level_count; i++) {
        const snug_memory_level *level = &state->level[i];
        uint64_t hot = smaller(mapped, number_or(level->reclaimable_bytes, 0));

        if (is_number(level->headroom_bytes))
            comfort = smaller(comfort, less(level->headroom_bytes, sum(hot, promised)));
    }
    if (is_number(state->host_headroom_bytes))
        comfort = smaller(comfort, less(state->host_headroom_bytes, sum(mapped, promised)));
    return comfort;
}

const char *snug_memory_source_name(snug_memory_source source)
{
    switch (source) {
    case SNUG_MEMORY_SOURCE_NONE:
        return "none";
    case SNUG_MEMORY_SOURCE_USER:
        return "user";
    case SNUG_MEMORY_SOURCE_CGROUP_MAX:
        return "cgroup max";
    case SNUG_MEMORY_SOURCE_CGROUP_HIGH:
        return "cgroup high";
    case SNUG_MEMORY_SOURCE_HOST:
        return "host";
    case SNUG_MEMORY_SOURCE_ADDRESS_SPACE:
        return "address space";
    case SNUG_MEMORY_SOURCE_DATA:
        return "data";
    }
    return "unknown";
}

static void write_binding_text(snug_memory_state *state)
{
    const char *text = "nothing: no source could be read";
    const char *file = state->cgroup_version == 1 ? "memory.limit_in_bytes" : "memory.max";

    switch (state->binding) {
    case SNUG_MEMORY_SOURCE_NONE:
        break;
    case SNUG_MEMORY_SOURCE_USER:
        text = "the memory limit that was set";
        break;
    case SNUG_MEMORY_SOURCE_CGROUP_HIGH:
        file = "memory.high";
        /* fall through */
    case SNUG_MEMORY_SOURCE_CGROUP_MAX:
        snprintf(state->binding_text, sizeof state->binding_text, "cgroup %s %s",
                 state->level[state->binding_level].path, file);
        return;
    case SNUG_MEMORY_SOURCE_HOST:
        text = "what this machine has available";
        break;
    case SNUG_MEMORY_SOURCE_ADDRESS_SPACE:
        text = "RLIMIT_AS (ulimit -v)";
        break;
    case SNUG_MEMORY_SOURCE_DATA:
        text = "RLIMIT_DATA (ulimit -d)";
        break;
    }
    snprintf(state->binding_text, sizeof state->binding_text, "%s", text);
}

void snug_memory_derive(snug_memory_state *out, const snug_memory_readings *readings)
{
    const snug_os_rlimits *rlimits = &readings->rlimits;

    memset(out, 0, sizeof *out);
    out->limit_bytes = SNUG_MEMORY_UNKNOWN;
    out->is_complete = true;
    derive_process(out, readings);
    derive_cgroups(out, &readings->cgroups);
    derive_host(out, &readings->host);
    out->address_space_bytes = rlimits->address_space_bytes;
    out->address_space_used_bytes = rlimits->address_space_used_bytes;
    out->data_bytes = rlimits->data_bytes;
    out->data_used_bytes = rlimits->data_used_bytes;
    derive_rlimit(out, SNUG_MEMORY_SOURCE_ADDRESS_SPACE, rlimits->address_space_bytes,
                  rlimits->address_space_used_bytes);
    derive_rlimit(out, SNUG_MEMORY_SOURCE_DATA, rlimits->data_bytes, rlimits->data_used_bytes);
    out->headroom_bytes = SNUG_MEMORY_UNKNOWN;
    if (is_number(out->limit_bytes))
        out->headroom_bytes = less(out->limit_bytes, out->own_bytes);
    out->comfort_bytes = derive_comfort(out);
    write_binding_text(out);
}
