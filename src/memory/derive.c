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
 * A group that is beyond its bound already, for others in it have taken our part, gives a candidate below
 * what we have: that much is to go back.
 *
 * The headroom of a group is computed with the group's own use: the least limit with the use of another level
 * would be wrong.
 */
#include "memory/derive.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "memory/memory.h"
#include "memory/pressure.h"

_Static_assert(SNUG_MEMORY_UNKNOWN == SNUG_OS_UNKNOWN, "one number for unknown");
_Static_assert(SNUG_MEMORY_NO_LIMIT == SNUG_OS_NO_LIMIT, "one number for no limit");
_Static_assert(SNUG_MEMORY_LEVELS_MAX == SNUG_OS_CGROUP_LEVELS_MAX, "all levels have room");

#define MIB ((uint64_t)1 << 20)

#define READ_AHEAD_BYTES (32 * MIB) /* of all threads: windows of 8 MiB have been seen */
#define RESERVE_LEAST    (4 * MIB)  /* the pages of the program itself, too, want to stay */

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
    state->wanted_weight_bytes = readings->wanted_weight_bytes;
    state->process_anonymous_bytes = readings->process.anonymous_bytes;
    state->process_file_bytes = readings->process.file_bytes;
    state->process_resident_bytes = readings->process.resident_bytes;
    if (!is_number(state->process_anonymous_bytes))
        state->is_complete = false;
    state->own_bytes = larger(number_or(state->process_anonymous_bytes, 0), state->ledger_used_bytes);
}

/* After all others: of equals the user binds. */
static void derive_user(snug_memory_state *state)
{
    if (!is_number(state->user_hard_bytes) ||
        (is_number(state->limit_bytes) && state->limit_bytes < state->user_hard_bytes))
        return;
    state->limit_bytes = state->user_hard_bytes;
    state->binding = SNUG_MEMORY_SOURCE_USER;
}

/* What must stay in use at this level: all of it less what can be dropped. */
static uint64_t level_needed(const snug_memory_level *level, uint64_t at_least)
{
    uint64_t needed = at_least;

    if (is_number(level->current_bytes))
        needed = less(level->current_bytes, number_or(level->reclaimable_bytes, 0));
    return needed;
}

/* 3 %, but enough for what the kernel charges in pieces, and for pages that are being read, which it cannot
 * take back: a sixteenth, at most what the longest read-ahead has on its way. */
static uint64_t group_reserve(uint64_t max_bytes)
{
    const uint64_t pieces = larger(RESERVE_LEAST, smaller(READ_AHEAD_BYTES, max_bytes / 16));

    return larger(pieces, max_bytes / 100 * 3);
}

uint64_t snug_memory_reading_bytes(const snug_memory_state *state)
{
    uint64_t least = READ_AHEAD_BYTES;

    for (size_t i = 0; i < state->level_count; i++)
        if (is_number(state->level[i].max_bytes))
            least = smaller(least, state->level[i].reserve_bytes);
    return least < READ_AHEAD_BYTES ? least / 2 : SNUG_MEMORY_NO_LIMIT;
}

/* What a level lets us fill; NO_LIMIT or UNKNOWN when that is so. */
static uint64_t level_bound(const snug_memory_level *level)
{
    uint64_t bound = level->high_bytes == SNUG_MEMORY_UNKNOWN ? SNUG_MEMORY_NO_LIMIT : level->high_bytes;

    if (is_number(level->max_bytes))
        bound = smaller(bound, less(level->max_bytes, level->reserve_bytes));
    return is_number(bound) ? bound : level->max_bytes;
}

/* `below` is what must stay in use one level down; a level whose use is unknown has at least that. */
static void derive_level(snug_memory_level *level, const snug_os_cgroup_level *read, uint64_t below)
{
    uint64_t needed;
    uint64_t bound;

    memcpy(level->path, read->path, sizeof level->path);
    level->max_bytes = read->max_bytes;
    level->high_bytes = read->high_bytes;
    level->current_bytes = read->current_bytes;
    level->reclaimable_bytes = read->reclaimable_bytes;
    level->reserve_bytes = 0;
    if (is_number(level->max_bytes))
        level->reserve_bytes = group_reserve(level->max_bytes);
    needed = level_needed(level, below);
    bound = level_bound(level);
    level->headroom_bytes = is_number(bound) ? less(bound, needed) : bound;
    level->hard_bytes = is_number(level->max_bytes) ? less(level->max_bytes, needed) : level->max_bytes;
    level->comfort_bytes = level->headroom_bytes;
}

/* What must go before the level is within its bound again: others in it may have taken our part. */
static uint64_t level_deficit(const snug_memory_level *level, uint64_t needed)
{
    const uint64_t bound = level_bound(level);

    return is_number(bound) ? less(needed, bound) : 0;
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
        if (is_number(level->headroom_bytes) &&
            offer(state, source, less(anonymous, level_deficit(level, below)), level->headroom_bytes))
            state->binding_level = i;
    }
}

/* In containers whose meminfo is made up (LXCFS), the machine is one of our groups. */
static bool is_host_a_group(const snug_memory_state *state, uint64_t total_bytes)
{
    for (size_t i = 0; i < state->level_count; i++)
        if (state->level[i].max_bytes == total_bytes && is_number(total_bytes))
            return true;
    return false;
}

static void derive_host(snug_memory_state *state, const snug_os_host_memory *host)
{
    state->host_total_bytes = host->total_bytes;
    state->host_available_bytes = host->available_bytes;
    state->host_reserve_bytes = larger(256 * MIB, number_or(host->total_bytes, 0) / 100 * 5);
    if (is_host_a_group(state, host->total_bytes))
        state->host_reserve_bytes = group_reserve(host->total_bytes);
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
 * The headroom with mapped weights counted as needed. Of those in memory, only the pages are taken off that
 * the source had counted as free: a group is not charged for pages that another group read first. Those that
 * are not, but wanted, will take room everywhere.
 */
static void derive_comfort(snug_memory_state *state)
{
    const uint64_t mapped = number_or(state->process_file_bytes, 0);
    const uint64_t anonymous = number_or(state->process_anonymous_bytes, 0);
    const uint64_t promised = less(state->own_bytes, anonymous); /* and not yet touched */
    const uint64_t coming = sum(promised, less(state->wanted_weight_bytes, mapped));

    state->comfort_bytes = state->headroom_bytes;
    for (size_t i = 0; i < state->level_count; i++) {
        snug_memory_level *level = &state->level[i];
        const uint64_t hot = smaller(mapped, number_or(level->reclaimable_bytes, 0));

        if (!is_number(level->headroom_bytes))
            continue;
        level->comfort_bytes = less(level->headroom_bytes, sum(hot, coming));
        state->comfort_bytes = smaller(state->comfort_bytes, level->comfort_bytes);
    }
    if (is_number(state->host_headroom_bytes))
        state->comfort_bytes =
            smaller(state->comfort_bytes, less(state->host_headroom_bytes, sum(mapped, coming)));
}

/* As headroom, but only what kills or refuses counts: no reserve, no memory.high. */
static void derive_hard(snug_memory_state *state)
{
    const uint64_t promised = less(state->own_bytes, number_or(state->process_anonymous_bytes, 0));

    state->hard_bytes = SNUG_MEMORY_UNKNOWN;
    if (is_number(state->host_available_bytes))
        state->hard_bytes = less(state->host_available_bytes, promised);
    for (size_t i = 0; i < state->level_count; i++) {
        const uint64_t hard = state->level[i].hard_bytes;

        if (is_number(hard) && (!is_number(state->hard_bytes) || hard < sum(state->hard_bytes, promised)))
            state->hard_bytes = less(hard, promised);
    }
    if (is_number(state->user_hard_bytes))
        state->hard_bytes =
            smaller(state->hard_bytes, less(state->user_hard_bytes, state->ledger_used_bytes));
}

/* --- votes ---------------------------------------------------------------------------------------------- */

static double share(uint64_t part, uint64_t whole)
{
    return (double)part / (double)larger(whole, 1);
}

/* 1 - room / bound of the level with the least room; `promised` bytes of it are not touched yet. */
static double container_vote(const snug_memory_state *state, bool is_comfort)
{
    const uint64_t promised = less(state->own_bytes, number_or(state->process_anonymous_bytes, 0));
    uint64_t least = SNUG_MEMORY_NO_LIMIT;
    double vote = SNUG_VOTE_NONE;

    for (size_t i = 0; i < state->level_count; i++) {
        const snug_memory_level *level = &state->level[i];
        const uint64_t room = is_comfort ? level->comfort_bytes : less(level->headroom_bytes, promised);

        if (!is_number(level->headroom_bytes) || room >= least)
            continue;
        least = room;
        vote = 1.0 - share(smaller(room, level_bound(level)), level_bound(level));
    }
    return vote;
}

static double largest(double a, double b)
{
    return a > b ? a : b;
}

static void derive_votes(snug_memory_state *state)
{
    const uint64_t own = state->own_bytes;
    const uint64_t anonymous = number_or(state->process_anonymous_bytes, 0);
    uint64_t machine_room = state->host_headroom_bytes;
    double hard = SNUG_VOTE_NONE;
    double ledger = SNUG_VOTE_NONE;

    for (size_t i = 0; i < state->level_count; i++)
        machine_room = smaller(machine_room, state->level[i].headroom_bytes);
    if (is_number(state->user_hard_bytes))
        hard = share(state->ledger_used_bytes, state->user_hard_bytes);
    if (is_number(machine_room)) {
        hard = largest(hard, share(own, sum(anonymous, machine_room)));
        ledger = share(sum(own, state->wanted_weight_bytes), sum(anonymous, machine_room));
    }
    state->ledger_vote = largest(hard, ledger);
    state->container_vote = container_vote(state, true);
    state->host_vote = SNUG_VOTE_NONE;
    if (is_number(state->host_headroom_bytes) && is_number(state->host_total_bytes))
        state->host_vote = 1.0 - share(state->host_headroom_bytes, state->host_total_bytes);
    hard = largest(hard, container_vote(state, false));
    state->hard_usage = largest(hard, state->host_vote);
    state->usage = snug_pressure_usage(state->hard_usage, largest(state->ledger_vote, state->container_vote),
                                       state->hard_usage < SNUG_PRESSURE_PLENTIFUL_BELOW);
    state->pressure = snug_pressure_of_usage(state->usage);
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
    write_binding_text(out);
    out->machine_limit_bytes = out->limit_bytes;
    memcpy(out->machine_text, out->binding_text, sizeof out->machine_text);
    derive_user(out);
    out->headroom_bytes = SNUG_MEMORY_UNKNOWN;
    if (is_number(out->limit_bytes))
        out->headroom_bytes = less(out->limit_bytes, out->own_bytes);
    derive_comfort(out);
    derive_hard(out);
    derive_votes(out);
    write_binding_text(out);
}
