/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many threads can compute at a time: cores, the affinity mask, quotas of control groups of both
 * versions, in made trees and in a real group where one can be made.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/machine.h"
#include "tests/os/tree.h"
#include "tests/support/write.h"

#define MOUNTS_V2 "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
#define MOUNTS_V1 "33 25 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"

/* Processors that this process may run on. */
static uint32_t allowed_count(void)
{
    cpu_set_t allowed;

    assert_int_equal(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    return (uint32_t)CPU_COUNT(&allowed);
}

static uint32_t at_most(uint32_t count)
{
    return allowed_count() < count ? allowed_count() : count;
}

/* The same list for each processor that we may run on, or a pair of it and one that there is not. */
static void write_siblings(const tree *fixture, bool is_paired, const char *list)
{
    char path[128];
    char pair[32];
    cpu_set_t allowed;

    assert_int_equal(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed))
            continue;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", cpu);
        snprintf(pair, sizeof pair, "%u,%u\n", cpu, cpu + 2000);
        tree_write(fixture, path, is_paired ? pair : list);
    }
}

static void counts_a_core_once(void **state)
{
    const tree *fixture = *state;

    assert_int_equal(snug_os_cpu_count_at(fixture->root), allowed_count()); /* the system says nothing */
    write_siblings(fixture, false, "0-1023\n");
    assert_int_equal(snug_os_cpu_count_at(fixture->root), 1);
    write_siblings(fixture, true, NULL); /* each with one that is not there */
    assert_int_equal(snug_os_cpu_count_at(fixture->root), allowed_count());
    write_siblings(fixture, false, "nonsense");
    assert_int_equal(snug_os_cpu_count_at(fixture->root), allowed_count());
}

static void obeys_quotas_of_version_2(void **state)
{
    static const struct {
        const char *above;
        const char *own;
        uint32_t count;
    } rows[] = {
        { "max 100000\n", "max 100000\n", UINT32_MAX },
        { "max 100000\n", "150000 100000\n", 2 }, /* to the nearest */
        { "max 100000\n", "140000 100000\n", 1 },
        { "50000 50000\n", "max 100000\n", 1 },
        { "800000 100000\n", "20000 100000\n", 1 }, /* never none */
        { "100000 100000\n", "800000 100000\n", 1 },
        { "", "nonsense", UINT32_MAX },
        { "100000 0\n", "100000", UINT32_MAX },
    };
    const tree *fixture = *state;

    tree_write(fixture, "/proc/self/cgroup", "0::/a/b\n");
    tree_write(fixture, "/proc/self/mountinfo", MOUNTS_V2);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tree_write(fixture, "/sys/fs/cgroup/a/cpu.max", rows[i].above);
        tree_write(fixture, "/sys/fs/cgroup/a/b/cpu.max", rows[i].own);
        assert_int_equal(snug_os_cpu_count_at(fixture->root), at_most(rows[i].count));
    }
}

static void obeys_quotas_of_version_1(void **state)
{
    const tree *fixture = *state;

    tree_write(fixture, "/proc/self/cgroup", "5:memory:/m\n4:cpu,cpuacct:/a\n0::/\n");
    tree_write(fixture, "/proc/self/mountinfo", MOUNTS_V1);
    tree_write(fixture, "/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "50000\n");
    tree_write(fixture, "/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "-1\n");
    assert_int_equal(snug_os_cpu_count_at(fixture->root), allowed_count());
    tree_write(fixture, "/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "60000\n");
    assert_int_equal(snug_os_cpu_count_at(fixture->root), 1);
    tree_write(fixture, "/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "100000\n");
    assert_int_equal(snug_os_cpu_count_at(fixture->root), at_most(2));
    tree_write(fixture, "/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    tree_write(fixture, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000\n");
    assert_int_equal(snug_os_cpu_count_at(fixture->root), 1);
}

static void obeys_the_affinity_mask(void **state)
{
    cpu_set_t before, one;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &before))
            CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(snug_os_cpu_count(), 1);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_true(snug_os_cpu_count() >= 1 && snug_os_cpu_count() <= allowed_count());
}

/* What a process counts that is in a group of a quota of half a processor; 0 where it could not get there. */
static int count_inside(const char *folder)
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
        _exit(test_write(folder, "cgroup.procs", "0") ? (int)snug_os_cpu_count() : 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void a_real_quota_counts(void **state)
{
    static const char *const mounts[] = { "/sys/fs/cgroup/cpu", "/sys/fs/cgroup" };
    int count = 0;

    (void)state;
    for (size_t i = 0; i < 2 && count == 0; i++) {
        char folder[128];

        snprintf(folder, sizeof folder, "%s/snug-test-cores-%d", mounts[i], (int)getpid());
        if (mkdir(folder, 0755) != 0)
            continue;
        if (i == 0 ? test_write(folder, "cpu.cfs_quota_us", "50000")
                   : test_write(folder, "cpu.max", "50000 100000"))
            count = count_inside(folder);
        (void)rmdir(folder);
    }
    if (count == 0) {
        print_message("no control group with a quota can be made here\n");
        skip();
    }
    assert_int_equal(count, 1);
}

#define TREE_TEST(name) cmocka_unit_test_setup_teardown(name, tree_set_up, tree_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TREE_TEST(counts_a_core_once),         TREE_TEST(obeys_quotas_of_version_2),
        TREE_TEST(obeys_quotas_of_version_1),  cmocka_unit_test(obeys_the_affinity_mask),
        cmocka_unit_test(a_real_quota_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
