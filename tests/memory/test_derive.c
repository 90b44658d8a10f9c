/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The effective limit, from numbers that tests feed, and once from this machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "memory/derive.h"
#include "memory/memory.h"
#include "os/machine.h"
#include "tests/memory/kernel.h"

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

#define UNKNOWN  SNUG_MEMORY_UNKNOWN
#define NO_LIMIT SNUG_MEMORY_NO_LIMIT

/* 16 GiB with 10 available, a process of 100 MiB, no groups and no limits. 5 % are not a round number. */
#define HOST_RESERVE (16 * GIB / 100 * 5)

static snug_memory_readings plain_machine(void)
{
    return (snug_memory_readings){
        .user_hard_bytes = NO_LIMIT,
        .user_soft_bytes = NO_LIMIT,
        .process = { .resident_bytes = 140 * MIB, .anonymous_bytes = 100 * MIB, .file_bytes = 40 * MIB },
        .host = { .total_bytes = 16 * GIB,
                  .available_bytes = 10 * GIB,
                  .free_bytes = 2 * GIB,
                  .swap_free_bytes = 0 },
        .rlimits = { NO_LIMIT, 500 * MIB, NO_LIMIT, 200 * MIB },
    };
}

static snug_os_cgroup_level level(const char *path, uint64_t max, uint64_t high, uint64_t current,
                                  uint64_t reclaimable)
{
    snug_os_cgroup_level made = {
        .max_bytes = max, .high_bytes = high, .current_bytes = current, .reclaimable_bytes = reclaimable
    };

    snprintf(made.path, sizeof made.path, "%s", path);
    return made;
}

static void add_level(snug_memory_readings *readings, snug_os_cgroup_level added)
{
    readings->cgroups.version = 2;
    readings->cgroups.level[readings->cgroups.level_count++] = added;
}

static snug_memory_state derive(const snug_memory_readings *readings)
{
    snug_memory_state state;

    memset(&state, 0xa5, sizeof state);
    snug_memory_derive(&state, readings);
    return state;
}

static void follows_the_host_when_nothing_else_limits(void **unused)
{
    snug_memory_readings readings = plain_machine();
    snug_memory_state state = derive(&readings);

    (void)unused;
    assert_int_equal(state.binding, SNUG_MEMORY_SOURCE_HOST);
    assert_string_equal(state.binding_text, "what this machine has available");
    assert_int_equal(state.host_reserve_bytes, HOST_RESERVE);
    assert_int_equal(state.headroom_bytes, 10 * GIB - HOST_RESERVE);
    assert_int_equal(state.limit_bytes, 10 * GIB - HOST_RESERVE + 100 * MIB);
    assert_int_equal(state.comfort_bytes, 10 * GIB - HOST_RESERVE - 40 * MIB); /* mapped files are needed */
    assert_int_equal(state.own_bytes, 100 * MIB);
    assert_true(state.is_complete);
}

static void keeps_a_quarter_gibibyte_on_small_machines(void **unused)
{
    snug_memory_readings readings = plain_machine();
    snug_memory_state state;

    (void)unused;
    readings.host.total_bytes = GIB;
    readings.host.available_bytes = 200 * MIB;
    state = derive(&readings);
    assert_int_equal(state.host_reserve_bytes, 256 * MIB);
    assert_int_equal(state.headroom_bytes, 0); /* and not a huge number */
    assert_int_equal(state.limit_bytes, 100 * MIB);
    assert_int_equal(state.comfort_bytes, 0);
}

static void obeys_the_user_below_the_machine(void **unused)
{
    snug_memory_readings readings = plain_machine();
    snug_memory_state state;

    (void)unused;
    readings.user_hard_bytes = 2 * GIB;
    readings.user_soft_bytes = GIB;
    readings.ledger_used_bytes = 60 * MIB;
    state = derive(&readings);
    assert_int_equal(state.binding, SNUG_MEMORY_SOURCE_USER);
    assert_string_equal(state.binding_text, "the memory limit that was set");
    assert_int_equal(state.limit_bytes, 2 * GIB);
    assert_int_equal(state.headroom_bytes, 2 * GIB - 100 * MIB);
    assert_int_equal(state.user_soft_bytes, GIB);
    readings.user_hard_bytes = 64 * GIB; /* more than there is: the machine counts */
    state = derive(&readings);
    assert_int_equal(state.binding, SNUG_MEMORY_SOURCE_HOST);
}

/* Each level with its own use: the larger limit binds here, because its group is fuller. */
static void binds_at_the_level_with_the_least_headroom(void **unused)
{
    snug_memory_readings readings = plain_machine();
    snug_memory_state state;

    (void)unused;
    add_level(&readings, level("/a/b/c", 2 * GIB, NO_LIMIT, 300 * MIB, 100 * MIB));
    add_level(&readings, level("/a/b", NO_LIMIT, NO_LIMIT, 3 * GIB, GIB));
    add_level(&readings, level("/a", 4 * GIB, NO_LIMIT, 3 * GIB + 512 * MIB, 256 * MIB));
    state = derive(&readings);
    assert_int_equal(state.level_count, 3);
    assert_int_equal(state.level[0].reserve_bytes, 2 * GIB / 100 * 3);
    assert_int_equal(state.level[0].headroom_bytes, 2 * GIB - 2 * GIB / 100 * 3 - 200 * MIB);
    assert_true(state.level[1].headroom_bytes == NO_LIMIT);
    assert_int_equal(state.level[2].headroom_bytes, 768 * MIB - 4 * GIB / 100 * 3);
    assert_int_equal(state.binding, SNUG_MEMORY_SOURCE_CGROUP_MAX);
    assert_int_equal(state.binding_level, 2);
    assert_string_equal(state.binding_text, "cgroup /a memory.max");
    assert_int_equal(state.headroom_bytes, state.level[2].headroom_bytes);
    assert_int_equal(state.limit_bytes, state.level[2].headroom_bytes + 100 * MIB);
    assert_int_equal(state.comfort_bytes, state.headroom_bytes - 40 * MIB);
    readings.cgroups.version = 1;
    assert_string_equal(derive(&readings).binding_text, "cgroup /a memory.limit_in_bytes");
}

static void stops_at_memory_high(void **unused)
{
    snug_memory_readings readings = plain_machine();
    snug_memory_state state;

    (void)unused;
    add_level(&readings, level("/g", GIB, 900 * MIB, 200 * MIB, 50 * MIB));
    state = derive(&readings);
    assert_int_equal(state.level[0].headroom_bytes, 750 * MIB);
    assert_int_equal(state.binding, SNUG_MEMORY_SOURCE_CGROUP_HIGH);
    assert_string_equal(state.binding_text, "cgroup /g memory.high");
    readings.cgroups.level[0].high_bytes = 1020 * MIB; /* within the reserve below max: max binds */
    state = derive(&readings);
    assert_int_equal(state.binding, SNUG_MEMORY_SOURCE_CGROUP_MAX);
    assert_int_equal(state.level[0].headroom_bytes, GIB - 32 * MIB - 150 * MIB);
    readings.cgroups.level[0].max_bytes = NO_LIMIT;
    state = derive(&readings);
    assert_int_equal(state.binding, SNUG_MEMORY_SOURCE_CGROUP_HIGH);
    assert_int_equal(state.headroom_bytes, 870 * MIB);
}

/* Of 128 MiB 8 are kept free; 300 are in use, so 180 of our 100 are to go back: all of them. */
static void has_no_headroom_in_an_overfull_group(void **unused)
{
    snug_memory_readings readings = plain_machine();
    snug_memory_state state;

    (void)unused;
    add_level(&readings, level("/g", 128 * MIB, NO_LIMIT, 300 * MIB, 0));
    state = derive(&readings);
    assert_int_equal(state.headroom_bytes, 0);
    assert_int_equal(state.limit_bytes, 0);

    /* Others took 2 MiB of the reserve: those go back. */
    readings = plain_machine();
    add_level(&readings, level("/g", 128 * MIB, NO_LIMIT, 122 * MIB, 0));
    state = derive(&readings);
    assert_int_equal(state.headroom_bytes, 0);
    assert_int_equal(state.limit_bytes, 98 * MIB);
    assert_int_equal(state.hard_bytes, 6 * MIB);
}

/* The reserve shrinks with the group, and holds twice what may be on its way from the disk at once. */
static void reads_less_at_once_in_small_groups(void **unused)
{
    static const struct {
        uint64_t max_bytes, reserve_bytes, reading_bytes;
    } rows[] = {
        { 8 * MIB, 4 * MIB, 2 * MIB },
        { 96 * MIB, 6 * MIB, 3 * MIB },
        { 511 * MIB, 511 * MIB / 16, 511 * MIB / 32 },
        { 512 * MIB, 32 * MIB, NO_LIMIT }, /* room for any read-ahead */
        { 2 * GIB, 2 * GIB / 100 * 3, NO_LIMIT },
        { NO_LIMIT, 0, NO_LIMIT },
    };

    (void)unused;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snug_memory_readings readings = plain_machine();
        snug_memory_state state;

        add_level(&readings, level("/a/b", NO_LIMIT, NO_LIMIT, 4 * MIB, 0));
        add_level(&readings, level("/a", rows[i].max_bytes, NO_LIMIT, 4 * MIB, 0));
        state = derive(&readings);
        assert_true(state.level[1].reserve_bytes == rows[i].reserve_bytes);
        assert_true(snug_memory_reading_bytes(&state) == rows[i].reading_bytes);
    }
}

/* LXCFS: /proc/meminfo shows the container's limit as the machine's size. */
static void takes_one_reserve_from_a_container_that_is_the_machine(void **unused)
{
    snug_memory_readings readings = plain_machine();
    snug_memory_state state;

    (void)unused;
    readings.host = (snug_os_host_memory){ .total_bytes = GIB, .available_bytes = 800 * MIB };
    add_level(&readings, level("/", GIB, NO_LIMIT, 300 * MIB, 76 * MIB));
    state = derive(&readings);
    assert_int_equal(state.host_reserve_bytes, 32 * MIB);
    assert_int_equal(state.headroom_bytes, (800 - 32) * MIB);
    readings.host.total_bytes = GIB + 4096; /* another machine */
    state = derive(&readings);
    assert_int_equal(state.host_reserve_bytes, 256 * MIB);
    assert_int_equal(state.headroom_bytes, (800 - 256) * MIB);
}

static void tells_high_from_max_and_comfort_from_hard(void **unused)
{
    snug_memory_readings readings = plain_machine();
    snug_memory_state state;

    (void)unused;
    readings.host.available_bytes = 15 * GIB;
    readings.wanted_weight_bytes = 90 * MIB; /* of which 40 are in memory */
    add_level(&readings, level("/a", GIB, 512 * MIB, 300 * MIB, 100 * MIB));
    state = derive(&readings);
    assert_int_equal(state.headroom_bytes, 312 * MIB);            /* to memory.high */
    assert_int_equal(state.hard_bytes, (1024 - 200) * MIB);       /* to memory.max, without a reserve */
    assert_int_equal(state.comfort_bytes, (312 - 40 - 50) * MIB); /* less mapped, less those to come */
    assert_true(state.container_vote > 1.0 - 223.0 / 512 && state.container_vote < 1.0 - 221.0 / 512);
    assert_true(state.hard_usage > 199.0 / 512 && state.hard_usage < 201.0 / 512);
    assert_int_equal(state.pressure, SNUG_PRESSURE_MEDIUM);
}

static void treats_unknown_as_unknown(void **unused)
{
    snug_memory_readings readings = plain_machine();
    snug_memory_state state;

    (void)unused;
    add_level(&readings, level("/g", UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN));
    readings.cgroups.is_cut = true;
    state = derive(&readings);
    assert_true(state.level[0].headroom_bytes == UNKNOWN);
    assert_int_equal(state.binding, SNUG_MEMORY_SOURCE_HOST);
    assert_false(state.is_complete);
    assert_true(state.is_cgroup_cut);

    /* A limit whose use is unknown: at least what the level below must keep is in use. */
    readings = plain_machine();
    add_level(&readings, level("/g", NO_LIMIT, NO_LIMIT, 700 * MIB, 200 * MIB));
    add_level(&readings, level("(above)", GIB, NO_LIMIT, UNKNOWN, UNKNOWN));
    state = derive(&readings);
    assert_int_equal(state.level[1].headroom_bytes, GIB - 32 * MIB - 500 * MIB);
    assert_int_equal(state.binding_level, 1);

    /* Reclaimable unknown: as if nothing were. */
    readings = plain_machine();
    add_level(&readings, level("/g", GIB, UNKNOWN, 700 * MIB, UNKNOWN));
    assert_int_equal(derive(&readings).headroom_bytes, GIB - 32 * MIB - 700 * MIB);
}

static void says_when_nothing_is_known(void **unused)
{
    snug_memory_readings readings = {
        .user_hard_bytes = NO_LIMIT,
        .user_soft_bytes = NO_LIMIT,
        .process = { UNKNOWN, UNKNOWN, UNKNOWN },
        .host = { UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN },
        .rlimits = { UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN },
    };
    snug_memory_state state = derive(&readings);

    (void)unused;
    assert_true(state.limit_bytes == UNKNOWN); /* and not NO_LIMIT */
    assert_true(state.headroom_bytes == UNKNOWN);
    assert_true(state.comfort_bytes == UNKNOWN);
    assert_int_equal(state.binding, SNUG_MEMORY_SOURCE_NONE);
    assert_false(state.is_complete);
    readings.user_hard_bytes = GIB;
    readings.ledger_used_bytes = MIB;
    state = derive(&readings);
    assert_int_equal(state.limit_bytes, GIB);
    assert_int_equal(state.headroom_bytes, GIB - MIB);
}

static void counts_rlimits_with_their_own_use(void **unused)
{
    snug_memory_readings readings = plain_machine();
    snug_memory_state state;

    (void)unused;
    readings.rlimits.data_bytes = GIB;
    state = derive(&readings);
    assert_int_equal(state.binding, SNUG_MEMORY_SOURCE_DATA);
    assert_int_equal(state.headroom_bytes, GIB - 200 * MIB);
    assert_string_equal(state.binding_text, "RLIMIT_DATA (ulimit -d)");
    readings.rlimits.address_space_bytes = GIB;
    state = derive(&readings);
    assert_int_equal(state.binding, SNUG_MEMORY_SOURCE_ADDRESS_SPACE);
    assert_int_equal(state.headroom_bytes, GIB - 500 * MIB);
    readings.rlimits.address_space_used_bytes = UNKNOWN;
    assert_int_equal(derive(&readings).headroom_bytes, GIB - 200 * MIB);
    readings.rlimits.data_bytes = 100 * MIB; /* below what is used already */
    assert_int_equal(derive(&readings).headroom_bytes, 0);
}

/* What the ledger granted but nobody has touched yet is not free, although the kernel thinks so. */
static void counts_promised_bytes_as_own(void **unused)
{
    snug_memory_readings readings = plain_machine();
    snug_memory_state without;
    snug_memory_state with;

    (void)unused;
    add_level(&readings, level("/g", GIB, NO_LIMIT, 200 * MIB, 0));
    without = derive(&readings);
    readings.ledger_used_bytes = 400 * MIB; /* 100 of them touched */
    with = derive(&readings);
    assert_int_equal(with.own_bytes, 400 * MIB);
    assert_int_equal(with.limit_bytes, without.limit_bytes);
    assert_int_equal(with.headroom_bytes, without.headroom_bytes - 300 * MIB);
    assert_int_equal(with.comfort_bytes, without.comfort_bytes - 300 * MIB);
}

/* Mapped weights that another group paid for are not among our group's reclaimable bytes. */
static void takes_mapped_files_off_only_where_they_are_charged(void **unused)
{
    snug_memory_readings readings = plain_machine();
    snug_memory_state state;

    (void)unused;
    readings.process.file_bytes = 4 * GIB;
    add_level(&readings, level("/g", 6 * GIB, NO_LIMIT, 200 * MIB, 50 * MIB));
    state = derive(&readings);
    assert_int_equal(state.level[0].headroom_bytes, 6 * GIB - 6 * GIB / 100 * 3 - 150 * MIB);
    assert_int_equal(state.headroom_bytes, state.level[0].headroom_bytes);
    assert_int_equal(state.comfort_bytes, 10 * GIB - HOST_RESERVE - 4 * GIB); /* the host's */
    readings.process.file_bytes = 10 * MIB;
    assert_int_equal(derive(&readings).comfort_bytes, state.level[0].headroom_bytes - 10 * MIB);
}

static void survives_extreme_numbers(void **unused)
{
    snug_memory_readings readings = plain_machine();
    snug_memory_state state;

    (void)unused;
    readings.host.available_bytes = NO_LIMIT - 1;
    readings.host.total_bytes = NO_LIMIT - 1;
    readings.process.file_bytes = NO_LIMIT - 1;
    readings.ledger_used_bytes = NO_LIMIT - 1;
    add_level(&readings, level("/g", NO_LIMIT - 1, NO_LIMIT - 1, 0, NO_LIMIT - 1));
    state = derive(&readings);
    assert_true(state.limit_bytes < NO_LIMIT);
    assert_int_equal(state.headroom_bytes, 0);
    assert_int_equal(state.comfort_bytes, 0);
}

static void reads_this_machine(void **unused)
{
    snug_memory_options options = { .struct_size = sizeof options, .hard_bytes = 64 * MIB };
    snug_memory_state state;
    snug_memory *memory = NULL;
    uint64_t begin;

    (void)unused;
    begin = snug_os_clock_ns();
    snug_memory_read_state(&state, NULL);
    print_message("state in %llu us: limit %llu MiB by %s, %zu levels of version %d\n",
                  (unsigned long long)(snug_os_clock_ns() - begin) / 1000,
                  (unsigned long long)(state.limit_bytes / MIB), state.binding_text, state.level_count,
                  state.cgroup_version);
    assert_true(state.limit_bytes < NO_LIMIT);
    assert_true(state.limit_bytes <= state.host_total_bytes);
    assert_true(state.headroom_bytes <= state.host_available_bytes);
    assert_true(state.comfort_bytes <= state.headroom_bytes);
    assert_true(state.user_hard_bytes == NO_LIMIT);
    assert_true(state.process_anonymous_bytes > 0 &&
                state.process_anonymous_bytes <= read_kernel_bytes("RssAnon:") + MIB);
    assert_int_equal(snug_memory_create(&memory, &options), SNUG_OK);
    snug_memory_read_state(&state, memory);
    if (!IS_SANITIZED && state.binding == SNUG_MEMORY_SOURCE_USER)
        assert_int_equal(state.limit_bytes, 64 * MIB);
    assert_int_equal(state.user_hard_bytes, 64 * MIB);
    assert_true(state.user_soft_bytes == NO_LIMIT);
    snug_memory_destroy(memory);
}

static void names_every_source(void **unused)
{
    (void)unused;
    assert_string_equal(snug_memory_source_name(SNUG_MEMORY_SOURCE_USER), "user");
    assert_string_equal(snug_memory_source_name(SNUG_MEMORY_SOURCE_DATA), "data");
    assert_string_equal(snug_memory_source_name((snug_memory_source)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_host_when_nothing_else_limits),
        cmocka_unit_test(keeps_a_quarter_gibibyte_on_small_machines),
        cmocka_unit_test(obeys_the_user_below_the_machine),
        cmocka_unit_test(binds_at_the_level_with_the_least_headroom),
        cmocka_unit_test(stops_at_memory_high),
        cmocka_unit_test(has_no_headroom_in_an_overfull_group),
        cmocka_unit_test(reads_less_at_once_in_small_groups),
        cmocka_unit_test(takes_one_reserve_from_a_container_that_is_the_machine),
        cmocka_unit_test(tells_high_from_max_and_comfort_from_hard),
        cmocka_unit_test(treats_unknown_as_unknown),
        cmocka_unit_test(says_when_nothing_is_known),
        cmocka_unit_test(counts_rlimits_with_their_own_use),
        cmocka_unit_test(counts_promised_bytes_as_own),
        cmocka_unit_test(takes_mapped_files_off_only_where_they_are_charged),
        cmocka_unit_test(survives_extreme_numbers),
        cmocka_unit_test(reads_this_machine),
        cmocka_unit_test(names_every_source),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
