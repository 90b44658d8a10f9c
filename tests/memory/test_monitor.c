/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor over a tree of files and a simulated clock: votes, levels, when it samples, limits that change,
 * limits that follow, a FIFO that presses; and once over this machine.
 */
#define _XOPEN_SOURCE 700

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "memory/memory.h"
#include "memory/monitor.h"
#include "tests/memory/kernel.h"
#include "tests/os/tree.h"
#include "tests/support/heap_count.h"
#include "tests/support/write.h"

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define MS  ((uint64_t)1000000)

#define MOUNTS                                                                                               \
    "24 1 0:22 / /proc rw,relatime - proc proc rw\n"                                                         \
    "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"

typedef struct rig {
    tree files;
    uint64_t now_ns;
    snug_memory *memory;
    snug_monitor *monitor;
    snug_pressure_reading now;
} rig;

static uint64_t simulated_clock(void *user)
{
    return ((const rig *)user)->now_ns;
}

/* The group /app: its limits, what is in use and what of it can be dropped, in MiB. */
static void write_group(const rig *r, const char *max, const char *high, unsigned current, unsigned file)
{
    char text[256];

    tree_write(&r->files, "/sys/fs/cgroup/app/memory.max", max);
    tree_write(&r->files, "/sys/fs/cgroup/app/memory.high", high);
    snprintf(text, sizeof text, "%llu\n", (unsigned long long)(current * MIB));
    tree_write(&r->files, "/sys/fs/cgroup/app/memory.current", text);
    snprintf(text, sizeof text, "anon 1\ninactive_file %llu\nactive_file 0\nworkingset_refault_file 0\n",
             (unsigned long long)(file * MIB));
    tree_write(&r->files, "/sys/fs/cgroup/app/memory.stat", text);
}

static void write_host(const rig *r, unsigned total, unsigned available)
{
    char text[256];

    snprintf(text, sizeof text, "MemTotal: %u kB\nMemFree: 1 kB\nMemAvailable: %u kB\n", total * 1024,
             available * 1024);
    tree_write(&r->files, "/proc/meminfo", text);
}

/* Pages of 4 KiB; the test machine's page size is what it is. */
static void write_process(const rig *r, unsigned resident, unsigned file)
{
    const unsigned long long page = (unsigned long long)sysconf(_SC_PAGESIZE);
    char text[128];

    snprintf(text, sizeof text, "99999 %llu %llu 1 0 1 0\n", resident * MIB / page, file * MIB / page);
    tree_write(&r->files, "/proc/self/statm", text);
}

/* A machine of 64 GiB, nearly all of it free; a group of 1 GiB of which 100 MiB are ours. */
static int set_up(void **state)
{
    static rig r;

    r = (rig){ .now_ns = 1000 * MS };
    tree_create(&r.files);
    tree_write(&r.files, "/proc/self/cgroup", "0::/app\n");
    tree_write(&r.files, "/proc/self/mountinfo", MOUNTS);
    tree_write(&r.files, "/sys/fs/cgroup/cgroup.controllers", "memory\n");
    tree_write(&r.files, "/sys/fs/cgroup/app/cgroup.controllers", "memory\n");
    tree_write(&r.files, "/sys/fs/cgroup/app/cgroup.events", "populated 1\n");
    write_group(&r, "1073741824\n", "max\n", 100, 0);
    write_host(&r, 65536, 64000);
    write_process(&r, 100, 0);
    assert_int_equal(snug_memory_create(&r.memory, NULL), SNUG_OK);
    *state = &r;
    return 0;
}

static int tear_down(void **state)
{
    rig *r = *state;

    snug_monitor_destroy(r->monitor);
    assert_int_equal(snug_memory_read_all(r->memory).used_bytes, 0);
    snug_memory_destroy(r->memory);
    tree_remove(&r->files);
    return 0;
}

static void start_with(rig *r, snug_monitor_options options)
{
    const snug_monitor_place place = { .root = r->files.root, .clock = simulated_clock, .user = r };
    snug_error error = { SNUG_OK, "" };

    options.struct_size = sizeof options;
    options.ignores_environment = true;
    assert_int_equal(snug_monitor_create_at(&r->monitor, r->memory, &options, &place, &error), SNUG_OK);
    assert_false(snug_monitor_sample(r->monitor, &r->now)); /* the first one was taken at the begin */
}

static void start(rig *r)
{
    start_with(r, (snug_monitor_options){ .struct_size = 0 });
}

static void sample_after(rig *r, uint64_t ms)
{
    r->now_ns += ms * MS;
    assert_true(snug_monitor_sample(r->monitor, &r->now));
    assert_int_equal(r->now.time_ns, r->now_ns);
    assert_int_equal(snug_monitor_level(r->monitor), r->now.level);
}

static void assert_near(double value, double expected)
{
    if (value < expected - 0.0005 || value > expected + 0.0005)
        fail_msg("%.4f is not %.4f", value, expected);
}

/* The room of the group: 1024 MiB less the reserve of 32. Groups of less than 512 keep a sixteenth. */
#define BOUND 992.0

static void casts_the_votes_of_the_specification(void **state)
{
    rig *r = *state;

    start(r);
    assert_near(r->now.container_vote, 100 / BOUND);
    assert_near(r->now.host_vote, 1.0 - (64000.0 - 65536 / 100 * 5) / 65536);
    assert_near(r->now.ledger_vote, 100 / BOUND);
    assert_near(r->now.usage, 100 / BOUND);
    assert_int_equal(r->now.level, SNUG_PRESSURE_LOW);
    assert_string_equal(r->now.binding_text, "cgroup /app memory.max");
    assert_int_equal(r->now.limit_bytes, 992 * MIB);
    assert_int_equal(r->now.headroom_bytes, 892 * MIB);
    assert_int_equal(r->now.hard_bytes, 924 * MIB); /* to memory.max itself */
    /* Page cache does not count, except for what is mapped. */
    write_group(r, "1073741824\n", "max\n", 800, 650);
    write_process(r, 700, 600);
    sample_after(r, 20);
    assert_near(r->now.container_vote, (150 + 600) / BOUND);
    assert_near(r->now.hard_usage, 150 / BOUND);
    assert_int_equal(r->now.level, SNUG_PRESSURE_HIGH);
    /* memory.high is a bound like any other, but nobody is killed at it. */
    write_group(r, "1073741824\n", "536870912\n", 200, 0);
    write_process(r, 100, 0);
    sample_after(r, 20);
    assert_near(r->now.container_vote, 200.0 / 512);
    assert_int_equal(r->now.hard_bytes, 824 * MIB);
    assert_string_equal(r->now.binding_text, "cgroup /app memory.high");
}

static void counts_wanted_weights(void **state)
{
    rig *r = *state;

    start(r);
    snug_memory_want_weights(r->memory, 496 * MIB);
    sample_after(r, 20);
    assert_near(r->now.ledger_vote, (100 + 496) / BOUND);
    assert_near(r->now.container_vote, (100 + 496) / BOUND); /* they will take room when they are read */
    assert_int_equal(r->now.comfort_bytes, 396 * MIB);
    assert_near(r->now.hard_usage, 100 / BOUND);
    /* Weights that do not fit make it slow, but kill nobody: not CRITICAL while headroom is plentiful. */
    snug_memory_want_weights(r->memory, 4 * GIB);
    sample_after(r, 20);
    assert_true(r->now.ledger_vote > 4.0);
    assert_near(r->now.usage, 0.85);
    assert_int_equal(r->now.level, SNUG_PRESSURE_HIGH);
    write_process(r, 750, 0);
    write_group(r, "1073741824\n", "max\n", 750, 0);
    sample_after(r, 20);
    assert_int_equal(r->now.level, SNUG_PRESSURE_CRITICAL);
    snug_memory_unwant_weights(r->memory, 4 * GIB);
    snug_memory_unwant_weights(r->memory, 496 * MIB);
}

static void follows_the_ledger_against_the_users_limit(void **state)
{
    rig *r = *state;

    assert_int_equal(snug_memory_set_limits(r->memory, 0, 200 * MIB), SNUG_OK);
    start(r);
    assert_int_equal(snug_memory_take(r->memory, SNUG_MEMORY_KV, 180 * MIB, "cache", NULL), SNUG_OK);
    /* The last sample is no 20 ms old, but the ledger has grown by more than 1/64 of the limit. */
    assert_true(snug_monitor_sample(r->monitor, &r->now));
    assert_true(r->now.ledger_vote > 0.9 && r->now.ledger_vote < 0.901);
    assert_int_equal(r->now.level, SNUG_PRESSURE_CRITICAL);
    assert_int_equal(r->now.binding, SNUG_MEMORY_SOURCE_USER);
    snug_memory_give(r->memory, SNUG_MEMORY_KV, 180 * MIB);
}

static void samples_every_twenty_milliseconds(void **state)
{
    rig *r = *state;

    start(r);
    write_group(r, "1073741824\n", "max\n", 950, 0);
    r->now_ns += 20 * MS - 1;
    assert_false(snug_monitor_sample(r->monitor, &r->now));
    assert_int_equal(r->now.level, SNUG_PRESSURE_LOW);
    r->now_ns += 1;
    assert_true(snug_monitor_sample(r->monitor, &r->now));
    assert_int_equal(r->now.level, SNUG_PRESSURE_CRITICAL);
    assert_false(snug_monitor_sample(r->monitor, &r->now));
    snug_monitor_step(r->monitor, &r->now); /* samples when it is told to */
}

static void allocates_nothing_while_it_samples(void **state)
{
    rig *r = *state;
    unsigned long long asked;

    start(r);
    asked = heap_count();
    for (int i = 0; i < 300; i++) {
        snug_monitor_count_passes(r->monitor, 1);
        sample_after(r, 20); /* three times 2 s: looks the groups up as well */
    }
    assert_int_equal(heap_count(), asked);
}

static void sees_a_lowered_limit_at_once(void **state)
{
    rig *r = *state;

    write_group(r, "1073741824\n", "max\n", 300, 0);
    start(r);
    assert_int_equal(r->now.level, SNUG_PRESSURE_LOW);
    write_group(r, "419430400\n", "max\n", 300, 0); /* 400 MiB */
    sample_after(r, 20);
    assert_int_equal(r->now.limit_bytes, (400 - 25 - 300 + 100) * MIB);
    assert_near(r->now.container_vote, 300.0 / (400 - 25));
    assert_int_equal(r->now.level, SNUG_PRESSURE_HIGH);
}

static void finds_new_limits_and_new_groups_within_two_seconds(void **state)
{
    rig *r = *state;

    write_group(r, "max\n", "max\n", 300, 0);
    start(r);
    assert_int_equal(r->now.binding, SNUG_MEMORY_SOURCE_HOST);
    assert_near(r->now.container_vote, SNUG_VOTE_NONE);
    write_group(r, "419430400\n", "max\n", 300, 0);
    sample_after(r, 1000);
    assert_int_equal(r->now.binding, SNUG_MEMORY_SOURCE_HOST);
    sample_after(r, 1000);
    assert_string_equal(r->now.binding_text, "cgroup /app memory.max");
    /* Moved into another group. */
    tree_write(&r->files, "/sys/fs/cgroup/new/memory.max", "209715200\n");
    tree_write(&r->files, "/sys/fs/cgroup/new/memory.current", "104857600\n");
    tree_write(&r->files, "/sys/fs/cgroup/new/cgroup.events", "populated 1\n");
    tree_write(&r->files, "/proc/self/cgroup", "0::/new\n");
    sample_after(r, 2000);
    assert_string_equal(r->now.binding_text, "cgroup /new memory.max");
    assert_near(r->now.container_vote, 100.0 / (200 - 12.5));
}

static void looks_again_when_a_group_vanishes(void **state)
{
    rig *r = *state;

    start(r);
    tree_write(&r->files, "/sys/fs/cgroup/app/memory.current", ""); /* what a removed group's file is like */
    tree_write(&r->files, "/sys/fs/cgroup/new/memory.max", "209715200\n");
    tree_write(&r->files, "/sys/fs/cgroup/new/memory.current", "104857600\n");
    tree_write(&r->files, "/proc/self/cgroup", "0::/new\n");
    sample_after(r, 20);
    assert_string_equal(r->now.binding_text, "cgroup /new memory.max");
}

static void says_when_nothing_is_known(void **state)
{
    rig *r = *state;

    tree_write(&r->files, "/proc/self/cgroup", "nonsense");
    tree_write(&r->files, "/proc/meminfo", "");
    tree_write(&r->files, "/proc/self/statm", "x");
    start(r);
    assert_false(r->now.is_complete);
    assert_int_equal(r->now.level, SNUG_PRESSURE_LOW);
    assert_near(r->now.host_vote, SNUG_VOTE_NONE);
    assert_near(r->now.container_vote, SNUG_VOTE_NONE);
    assert_true(r->now.limit_bytes == SNUG_MEMORY_UNKNOWN);
    assert_int_equal(r->now.binding, SNUG_MEMORY_SOURCE_NONE);
}

static void sees_weights_that_are_read_again_and_again(void **state)
{
    rig *r = *state;
    char text[256];

    snug_memory_want_weights(r->memory, 100 * MIB);
    start(r);
    assert_int_equal(r->now.level, SNUG_PRESSURE_LOW);
    for (unsigned pass = 1; pass <= 12; pass++) { /* the counter is read at one sample of ten */
        assert_false(pass <= 4 && r->now.is_thrashing);
        snprintf(text, sizeof text, "inactive_file 0\nactive_file 0\nworkingset_refault_file %llu\n",
                 (unsigned long long)(pass * 10 * MIB / (uint64_t)sysconf(_SC_PAGESIZE)));
        tree_write(&r->files, "/sys/fs/cgroup/app/memory.stat", text);
        snug_monitor_count_passes(r->monitor, 1);
        sample_after(r, 50);
    }
    assert_true(r->now.is_thrashing);
    assert_near(r->now.refault_share, 0.1);
    assert_int_equal(r->now.level, SNUG_PRESSURE_MEDIUM); /* one above what the votes say */
    snug_memory_unwant_weights(r->memory, 100 * MIB);
}

static void sees_threads_that_wait_for_memory(void **state)
{
    rig *r = *state;
    static const char none[] = "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000\nfull avg10=0.00 total=0\n";

    tree_write(&r->files, "/sys/fs/cgroup/app/memory.pressure", none);
    start(r);
    tree_write(&r->files, "/sys/fs/cgroup/app/memory.pressure", none); /* a trigger was written to it */
    sample_after(r, 200);
    tree_write(&r->files, "/sys/fs/cgroup/app/memory.pressure",
               "some avg10=9.00 avg60=0.00 avg300=0.00 total=51000\nfull avg10=0.00 total=0\n");
    sample_after(r, 200);
    assert_near(r->now.stall_share, 0.25);
    assert_true(r->now.is_thrashing);
    assert_int_equal(r->now.level, SNUG_PRESSURE_MEDIUM);
    sample_after(r, 200);
    assert_false(r->now.is_thrashing);
    sample_after(r, 2000);
    assert_int_equal(r->now.level, SNUG_PRESSURE_LOW);
}

static void keeps_the_ledger_at_what_there_is(void **state)
{
    rig *r = *state;
    snug_memory_limits limits;
    snug_error error;

    start_with(r, (snug_monitor_options){ .follows_limits = true, .strategy = SNUG_STRATEGY_AGGRESSIVE });
    snug_memory_read_limits(&limits, r->memory);
    /* 892 MiB are left beside the 100 that the process has, all of it beside the ledger. */
    assert_true(limits.hard_bytes >= 892 * MIB && limits.hard_bytes < 893 * MIB);
    assert_int_equal(limits.soft_bytes, limits.hard_bytes / 2);
    assert_string_equal(limits.limited_by, "cgroup /app memory.max");
    write_group(r, "209715200\n", "max\n", 100, 0);
    sample_after(r, 20);
    assert_int_equal(snug_memory_take(r->memory, SNUG_MEMORY_KV, 100 * MIB, "more cache", &error),
                     SNUG_ERR_OVER_LIMIT);
    assert_non_null(
        strstr(error.text, "left of the memory limit of 87.5 MiB set by cgroup /app memory.max ("));
    write_group(r, "max\n", "max\n", 100, 0);
    write_host(r, 65536, 60000);
    sample_after(r, 20);
    assert_int_equal(snug_memory_take(r->memory, SNUG_MEMORY_KV, 100 * MIB, "more cache", &error), SNUG_OK);
    snug_memory_give(r->memory, SNUG_MEMORY_KV, 100 * MIB);
}

/* --- the descriptor ------------------------------------------------------------------------------------- */

static bool is_readable(const rig *r)
{
    struct pollfd wait = { .fd = snug_monitor_fd(r->monitor), .events = POLLIN };

    assert_true(wait.fd >= 0);
    return poll(&wait, 1, 0) == 1;
}

static void is_woken_by_a_fifo(void **state)
{
    rig *r = *state;
    char path[1024];
    int fifo;

    snprintf(path, sizeof path, "%s/pressure", r->files.root);
    assert_int_equal(mkfifo(path, 0600), 0);
    start_with(r, (snug_monitor_options){ .watch_path = path });
    assert_string_equal(snug_monitor_missing(r->monitor), "");
    assert_false(is_readable(r));
    fifo = open(path, O_WRONLY | O_NONBLOCK);
    assert_true(fifo >= 0);
    assert_int_equal(write(fifo, "x", 1), 1);
    assert_true(is_readable(r));
    snug_monitor_step(r->monitor, &r->now);
    assert_false(is_readable(r)); /* drained */
    assert_int_equal(r->now.notifications, 1);
    assert_true(r->now.is_thrashing);
    assert_int_equal(r->now.level, SNUG_PRESSURE_MEDIUM);
    /* Who computes does not wait, but samples, and learns it too. */
    assert_int_equal(write(fifo, "some bytes", 10), 10);
    sample_after(r, 20);
    assert_int_equal(r->now.notifications, 2);
    close(fifo);
    assert_false(is_readable(r)); /* that a writer went is no pressure */
    sample_after(r, 2020);
    assert_int_equal(r->now.notifications, 2);
    assert_int_equal(r->now.level, SNUG_PRESSURE_LOW);
}

static void says_what_is_missing(void **state)
{
    rig *r = *state;

    start(r); /* the tree has no pressure file at all */
    assert_non_null(strstr(snug_monitor_missing(r->monitor), "no pressure stall information (PSI)"));
    assert_non_null(strstr(snug_monitor_missing(r->monitor), "No such file"));
    assert_false(is_readable(r));
    snug_monitor_destroy(r->monitor);
    start_with(r, (snug_monitor_options){ .watch_path = "/dev/null" });
    assert_non_null(strstr(snug_monitor_missing(r->monitor), "MEMORY_PRESSURE_WATCH is /dev/null"));
    snug_monitor_destroy(r->monitor);
    start_with(r, (snug_monitor_options){ .watch_path = "/no/such/place" });
    assert_non_null(strstr(snug_monitor_missing(r->monitor), "/no/such/place: No such file"));
    snug_monitor_destroy(r->monitor);
    start_with(r, (snug_monitor_options){ .watch_path = "/dev/zero", .write_bytes = "not/base64!" });
    assert_non_null(strstr(snug_monitor_missing(r->monitor), "MEMORY_PRESSURE_WRITE is not base64"));
}

static void refuses_options_it_does_not_know(void **state)
{
    rig *r = *state;
    const snug_monitor_options options = { .struct_size = sizeof options + 8 };
    snug_error error;

    assert_int_equal(snug_monitor_create(&r->monitor, r->memory, &options, &error), SNUG_ERR_ARGUMENT);
    assert_null(r->monitor);
    assert_int_equal(snug_memory_set_limits(r->memory, 0, 1000), SNUG_OK);
    assert_int_equal(snug_monitor_create(&r->monitor, r->memory, NULL, &error), SNUG_ERR_OVER_LIMIT);
    assert_non_null(strstr(error.text, "the monitor of memory pressure needs"));
}

static void watches_this_machine(void **state)
{
    rig *r = *state;
    snug_memory_state now;

    assert_int_equal(snug_monitor_create(&r->monitor, r->memory, NULL, NULL), SNUG_OK);
    (void)snug_monitor_sample(r->monitor, &r->now);
    snug_memory_read_state(&now, r->memory);
    assert_string_equal(r->now.binding_text, now.binding_text);
    assert_true(r->now.host_vote >= 0.0 && r->now.host_vote <= 1.0);
    assert_true(r->now.host_vote - now.host_vote < 0.05 && now.host_vote - r->now.host_vote < 0.05);
    assert_true(snug_monitor_fd(r->monitor) >= 0);
    print_message("level %s, usage %.3f, limited by %s%s%s\n", snug_pressure_name(r->now.level), r->now.usage,
                  r->now.binding_text, *snug_monitor_missing(r->monitor) ? "; " : "",
                  snug_monitor_missing(r->monitor));
}

/* --- a real group --------------------------------------------------------------------------------------- */

/* In the child: 0, or what was wrong. */
static int follow_a_real_group(const char *folder, const char *other)
{
    const snug_monitor_options options = { .struct_size = sizeof options,
                                           .interval_ns = 1,
                                           .resolve_ns = 3600 * 1000 * MS,
                                           .ignores_environment = true };
    snug_pressure_reading now;
    snug_monitor *monitor;
    snug_memory *memory;
    char *pages = malloc(100 * MIB);
    size_t i;

    if (!pages || !test_write_number(folder, "cgroup.procs", (uint64_t)getpid()) ||
        snug_memory_create(&memory, NULL) != SNUG_OK ||
        snug_monitor_create(&monitor, memory, &options, NULL) != SNUG_OK)
        return 1;
    (void)snug_monitor_sample(monitor, &now);
    if (now.level != SNUG_PRESSURE_LOW || now.binding != SNUG_MEMORY_SOURCE_CGROUP_MAX)
        return 2;
    /* Through a volatile pointer: nobody reads these bytes, and a compiler may leave a memset out. */
    for (i = 0; i < 100 * MIB; i += 4096)
        ((volatile char *)pages)[i] = 1;
    (void)snug_monitor_sample(monitor, &now);
    if (now.container_vote < 100.0 / (256 - 16) || now.level != SNUG_PRESSURE_LOW + (now.usage >= 0.5))
        return 3;
    /* The limit is lowered while we run: seen by the next sample. */
    if (!test_write_number(folder, "memory.limit_in_bytes", 144 * MIB) || !snug_monitor_sample(monitor, &now))
        return 4;
    if (now.container_vote < 100.0 / (144 - 9) || now.level < SNUG_PRESSURE_HIGH)
        return 5;
    /* We are moved, and the old group is removed: its files fail, and the new one is found at once. */
    if (!test_write_number(other, "cgroup.procs", (uint64_t)getpid()) || rmdir(folder) != 0)
        return 6;
    (void)snug_monitor_sample(monitor, &now);
    if (strstr(now.binding_text, strrchr(other, '/')) == NULL)
        return 7;
    snug_monitor_destroy(monitor);
    snug_memory_destroy(memory);
    free(pages);
    return 0;
}

static void follows_a_real_group(void **state)
{
    char folder[128], other[256];
    int result = -1;
    pid_t child;

    (void)state;
    snprintf(folder, sizeof folder, "/sys/fs/cgroup/memory/snug-monitor-%ld", (long)getpid());
    snprintf(other, sizeof other, "%s-other", folder);
    if (IS_SANITIZED || mkdir(folder, 0755) != 0) {
        print_message(
            "skipped: no version 1 memory group can be made here, or a sanitizer takes memory of its own\n");
        skip();
    }
    if (mkdir(other, 0755) == 0 && test_write_number(folder, "memory.limit_in_bytes", 256 * MIB) &&
        test_write_number(other, "memory.limit_in_bytes", 300 * MIB)) {
        child = fork();
        if (child == 0)
            _exit(follow_a_real_group(folder, other));
        waitpid(child, &result, 0);
    }
    rmdir(folder);
    rmdir(other);
    assert_true(WIFEXITED(result));
    assert_int_equal(WEXITSTATUS(result), 0);
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(casts_the_votes_of_the_specification),
        RIG_TEST(counts_wanted_weights),
        RIG_TEST(follows_the_ledger_against_the_users_limit),
        RIG_TEST(samples_every_twenty_milliseconds),
        RIG_TEST(allocates_nothing_while_it_samples),
        RIG_TEST(sees_a_lowered_limit_at_once),
        RIG_TEST(finds_new_limits_and_new_groups_within_two_seconds),
        RIG_TEST(looks_again_when_a_group_vanishes),
        RIG_TEST(says_when_nothing_is_known),
        RIG_TEST(sees_weights_that_are_read_again_and_again),
        RIG_TEST(sees_threads_that_wait_for_memory),
        RIG_TEST(keeps_the_ledger_at_what_there_is),
        RIG_TEST(is_woken_by_a_fifo),
        RIG_TEST(says_what_is_missing),
        RIG_TEST(refuses_options_it_does_not_know),
        RIG_TEST(watches_this_machine),
        cmocka_unit_test(follows_a_real_group),
    };

    return cmocka_run_group_tests_name("monitor", tests, NULL, NULL);
}
