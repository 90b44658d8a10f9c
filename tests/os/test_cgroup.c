/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups read from trees of files that look like real machines and broken ones, and, where the test
 * may make one, from a real group of the kernel.
 */
#define _XOPEN_SOURCE 700

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/machine.h"
#include "tests/os/tree.h"

#define MIB ((uint64_t)1 << 20)

#define MOUNTS_V2                                                                                            \
    "24 1 0:22 / /proc rw,relatime - proc proc rw\n"                                                         \
    "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"

static snug_os_cgroups read_tree(const tree *fixture)
{
    snug_os_cgroups groups;

    memset(&groups, 0xa5, sizeof groups); /* nothing may be left as it was */
    snug_os_cgroups_read(&groups, fixture->root);
    return groups;
}

static void write_process(const tree *fixture, const char *cgroup, const char *mounts)
{
    tree_write(fixture, "/proc/self/cgroup", cgroup);
    tree_write(fixture, "/proc/self/mountinfo", mounts);
}

/* A v2 group other than the root. */
static void write_v2(const tree *fixture, const char *folder, const char *max, const char *high,
                     const char *current, const char *stat)
{
    const char *const names[] = { "memory.max",  "memory.high",        "memory.current",
                                  "memory.stat", "cgroup.controllers", "cgroup.events" };
    const char *const texts[] = { max, high, current, stat, "cpu io memory pids\n", "populated 1\n" };
    char path[1024];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/%s", folder, names[i]);
        tree_write(fixture, path, texts[i]);
    }
}

static void write_v2_root(const tree *fixture)
{
    tree_write(fixture, "/sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n");
    tree_write(fixture, "/sys/fs/cgroup/memory.stat", "anon 5\n");
}

static void write_v1(const tree *fixture, const char *folder, const char *limit, const char *usage,
                     const char *stat)
{
    const char *const names[] = { "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat" };
    const char *const texts[] = { limit, usage, stat };
    char path[1024];

    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "/sys/fs/cgroup/memory%s/%s", folder, names[i]);
        tree_write(fixture, path, texts[i]);
    }
}

static void reads_one_v2_group(void **state)
{
    const tree *fixture = *state;
    snug_os_cgroups groups;

    write_process(fixture, "0::/app.slice\n", MOUNTS_V2);
    write_v2_root(fixture);
    write_v2(fixture, "/app.slice", "1073741824\n", "966367641\n", "209715200\n",
             "anon 1048576\nfile 99\ninactive_file 52428800\nactive_file 10485760\nslab_reclaimable 2097152\n"
             "file_dirty 1048576\nfile_writeback 524288\nworkingset_refault_file 7\n");
    groups = read_tree(fixture);
    assert_int_equal(groups.version, 2);
    assert_false(groups.is_cut);
    assert_int_equal(groups.level_count, 1);
    assert_string_equal(groups.level[0].path, "/app.slice");
    assert_int_equal(groups.level[0].max_bytes, 1024 * MIB);
    assert_int_equal(groups.level[0].high_bytes, 966367641);
    assert_int_equal(groups.level[0].current_bytes, 200 * MIB);
    assert_int_equal(groups.level[0].reclaimable_bytes, 50 * MIB + 10 * MIB + 2 * MIB - MIB - MIB / 2);
}

static void finds_the_limit_at_the_parent(void **state)
{
    const tree *fixture = *state;
    snug_os_cgroups groups;

    write_process(fixture, "0::/a/b/c\n", MOUNTS_V2);
    write_v2_root(fixture);
    write_v2(fixture, "/a", "max\n", "max\n", "300\n", "inactive_file 1\nactive_file 2\n");
    write_v2(fixture, "/a/b", "268435456\n", "max\n", "200\n", "inactive_file 3\nactive_file 4\n");
    write_v2(fixture, "/a/b/c", "max\n", "max\n", "100\n", "inactive_file 5\nactive_file 6\n");
    groups = read_tree(fixture);
    assert_int_equal(groups.level_count, 3);
    assert_false(groups.is_cut);
    assert_string_equal(groups.level[0].path, "/a/b/c");
    assert_string_equal(groups.level[1].path, "/a/b");
    assert_string_equal(groups.level[2].path, "/a");
    assert_true(groups.level[0].max_bytes == SNUG_OS_NO_LIMIT);
    assert_int_equal(groups.level[1].max_bytes, 256 * MIB);
    assert_int_equal(groups.level[1].current_bytes, 200);
    assert_int_equal(groups.level[1].reclaimable_bytes, 7);
    assert_true(groups.level[2].max_bytes == SNUG_OS_NO_LIMIT);
}

static void says_no_limit_when_all_levels_say_max(void **state)
{
    const tree *fixture = *state;
    snug_os_cgroups groups;

    write_process(fixture, "0::/a/b\n", MOUNTS_V2);
    write_v2_root(fixture);
    write_v2(fixture, "/a", "max\n", "max\n", "300\n", "");
    write_v2(fixture, "/a/b", "max\n", "max\n", "100\n", "");
    groups = read_tree(fixture);
    assert_int_equal(groups.level_count, 2);
    assert_false(groups.is_cut);
    for (size_t i = 0; i < 2; i++) {
        assert_true(groups.level[i].max_bytes == SNUG_OS_NO_LIMIT);
        assert_true(groups.level[i].high_bytes == SNUG_OS_NO_LIMIT);
        assert_true(groups.level[i].reclaimable_bytes == SNUG_OS_UNKNOWN); /* its memory.stat is empty */
    }
}

static void has_no_level_at_the_root_of_the_machine(void **state)
{
    const tree *fixture = *state;
    snug_os_cgroups groups;

    write_process(fixture, "0::/\n", MOUNTS_V2);
    write_v2_root(fixture);
    groups = read_tree(fixture);
    assert_int_equal(groups.version, 2);
    assert_int_equal(groups.level_count, 0);
    assert_false(groups.is_cut);
}

static void takes_a_group_without_memory_controller_as_unlimited(void **state)
{
    const tree *fixture = *state;
    snug_os_cgroups groups;

    write_process(fixture, "0::/a/b\n", MOUNTS_V2);
    write_v2_root(fixture);
    write_v2(fixture, "/a", "1048576\n", "max\n", "300\n", "");
    tree_write(fixture, "/sys/fs/cgroup/a/b/cgroup.controllers", "cpu pids\n");
    tree_write(fixture, "/sys/fs/cgroup/a/b/cgroup.events", "populated 1\n");
    groups = read_tree(fixture);
    assert_int_equal(groups.level_count, 2);
    assert_false(groups.is_cut);
    assert_true(groups.level[0].max_bytes == SNUG_OS_NO_LIMIT);
    assert_true(groups.level[0].current_bytes == SNUG_OS_UNKNOWN);
    assert_int_equal(groups.level[1].max_bytes, MIB);
}

static void knows_that_a_container_hides_the_levels_above(void **state)
{
    const tree *fixture = *state;
    snug_os_cgroups groups;

    /* A cgroup namespace with its own mount: the mount point is our group, and has limits. */
    write_process(fixture, "0::/\n", MOUNTS_V2);
    write_v2(fixture, "", "536870912\n", "max\n", "1000\n", "inactive_file 0\nactive_file 0\n");
    groups = read_tree(fixture);
    assert_int_equal(groups.level_count, 1);
    assert_string_equal(groups.level[0].path, "/");
    assert_int_equal(groups.level[0].max_bytes, 512 * MIB);
    assert_true(groups.is_cut);
}

static void subtracts_the_root_of_a_bind_mount(void **state)
{
    const tree *fixture = *state;
    snug_os_cgroups groups;

    write_process(fixture, "0::/docker/c0ffee/job\n",
                  "31 23 0:28 /docker/c0ffee /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
    write_v2(fixture, "", "1000000\n", "max\n", "10\n", "");
    write_v2(fixture, "/job", "500000\n", "max\n", "5\n", "");
    groups = read_tree(fixture);
    assert_int_equal(groups.level_count, 2);
    assert_string_equal(groups.level[0].path, "/docker/c0ffee/job");
    assert_int_equal(groups.level[0].max_bytes, 500000);
    assert_string_equal(groups.level[1].path, "/docker/c0ffee");
    assert_int_equal(groups.level[1].max_bytes, 1000000);
    assert_true(groups.is_cut);
}

/* A namespace whose mount was made outside: our path is "/", and the mount begins two levels higher. */
static void write_outside_mount(const tree *fixture, const char *procs)
{
    write_process(fixture, "0::/\n", "31 23 0:28 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    write_v2_root(fixture);
    write_v2(fixture, "/pods", "max\n", "max\n", "70\n", "");
    write_v2(fixture, "/pods/other", "4096\n", "max\n", "60\n", "");
    write_v2(fixture, "/pods/mine", "2097152\n", "max\n", "50\n", "");
    tree_write(fixture, "/sys/fs/cgroup/cgroup.procs", "1\n2\n");
    tree_write(fixture, "/sys/fs/cgroup/pods/cgroup.procs", "");
    tree_write(fixture, "/sys/fs/cgroup/pods/other/cgroup.procs", "0\n");
    tree_write(fixture, "/sys/fs/cgroup/pods/mine/cgroup.procs", procs);
}

static void searches_for_itself_below_an_outside_mount(void **state)
{
    const tree *fixture = *state;
    snug_os_cgroups groups;
    char procs[64];

    snprintf(procs, sizeof procs, "0\n%ld\n", (long)getpid());
    write_outside_mount(fixture, procs);
    groups = read_tree(fixture);
    assert_int_equal(groups.version, 2);
    assert_int_equal(groups.level_count, 2);
    assert_string_equal(groups.level[0].path, "/pods/mine");
    assert_int_equal(groups.level[0].max_bytes, 2 * MIB);
    assert_string_equal(groups.level[1].path, "/pods");
    assert_false(groups.is_cut);
}

static void says_unknown_when_it_is_not_found(void **state)
{
    const tree *fixture = *state;
    snug_os_cgroups groups;

    write_outside_mount(fixture, "0\n");
    groups = read_tree(fixture);
    assert_int_equal(groups.version, 2);
    assert_int_equal(groups.level_count, 0);
    assert_true(groups.is_cut);
}

static void reads_v1_with_its_own_file_names(void **state)
{
    const tree *fixture = *state;
    snug_os_cgroups groups;

    write_process(fixture, "9:name=systemd:/\n4:cpu,memory:/lab/x\n1:cpuset:/\n",
                  "32 31 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
                  "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,cpu,memory\n");
    write_v1(fixture, "", "9223372036854771712\n", "5000\n",
             "hierarchical_memory_limit 9223372036854771712\n");
    write_v1(fixture, "/lab", "268435456\n", "900\n",
             "inactive_file 1\ntotal_inactive_file 0\ntotal_active_file 0\n");
    write_v1(fixture, "/lab/x", "9223372036854771712\n", "800\n",
             "inactive_file 11\nactive_file 11\nhierarchical_memory_limit 268435456\n"
             "total_inactive_file 300\ntotal_active_file 200\ntotal_dirty 50\ntotal_writeback 25\n");
    groups = read_tree(fixture);
    assert_int_equal(groups.version, 1);
    assert_false(groups.is_cut);
    assert_int_equal(groups.level_count, 3);
    assert_string_equal(groups.level[0].path, "/lab/x");
    assert_true(groups.level[0].max_bytes == SNUG_OS_NO_LIMIT);
    assert_true(groups.level[0].high_bytes == SNUG_OS_NO_LIMIT);
    assert_int_equal(groups.level[0].current_bytes, 800);
    assert_int_equal(groups.level[0].reclaimable_bytes, 425);
    assert_int_equal(groups.level[1].max_bytes, 256 * MIB);
    assert_int_equal(groups.level[1].current_bytes, 900);
    assert_string_equal(groups.level[2].path, "/");
    assert_true(groups.level[2].max_bytes == SNUG_OS_NO_LIMIT);
}

static void learns_a_hidden_v1_limit_from_the_hierarchical_one(void **state)
{
    const tree *fixture = *state;
    snug_os_cgroups groups;

    write_process(fixture, "4:memory:/docker/abc\n",
                  "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
    write_v1(fixture, "", "1073741824\n", "5000\n",
             "hierarchical_memory_limit 536870912\ntotal_inactive_file 0\ntotal_active_file 0\n");
    groups = read_tree(fixture);
    assert_int_equal(groups.level_count, 2);
    assert_int_equal(groups.level[0].max_bytes, 1024 * MIB);
    assert_string_equal(groups.level[1].path, "(above)");
    assert_int_equal(groups.level[1].max_bytes, 512 * MIB);
    assert_true(groups.level[1].current_bytes == SNUG_OS_UNKNOWN);
}

static void prefers_v1_on_a_hybrid_machine(void **state)
{
    const tree *fixture = *state;
    snug_os_cgroups groups;

    write_process(fixture, "4:memory:/m\n1:cpu:/\n0::/unified/group\n",
                  "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
                  "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
                  "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    write_v1(fixture, "", "9223372036854771712\n", "5000\n", "");
    write_v1(fixture, "/m", "4194304\n", "800\n", "");
    groups = read_tree(fixture);
    assert_int_equal(groups.version, 1);
    assert_int_equal(groups.level_count, 2);
    assert_int_equal(groups.level[0].max_bytes, 4 * MIB);
}

static void calls_garbage_unknown(void **state)
{
    static const char *const garbage[] = { "",      "\n",        "lots\n",
                                           "-1\n",  "12x\n",     "18446744073709551616\n",
                                           "1 2\n", "maximum\n", "0x10\n" };
    const tree *fixture = *state;
    snug_os_cgroups groups;

    write_process(fixture, "0::/a\n", MOUNTS_V2);
    write_v2_root(fixture);
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        write_v2(fixture, "/a", garbage[i], garbage[i], garbage[i], garbage[i]);
        groups = read_tree(fixture);
        assert_int_equal(groups.level_count, 1);
        assert_true(groups.level[0].max_bytes == SNUG_OS_UNKNOWN);
        assert_true(groups.level[0].high_bytes == SNUG_OS_UNKNOWN);
        assert_true(groups.level[0].current_bytes == SNUG_OS_UNKNOWN);
        assert_true(groups.level[0].reclaimable_bytes == SNUG_OS_UNKNOWN);
        assert_true(groups.is_cut);
    }
    /* Nonsense in memory.stat must not make room out of nothing. */
    write_v2(fixture, "/a", "100\n", "max\n", "50\n",
             "inactive_file 10\nactive_file 18446744073709551615\nfile_dirty 18446744073709551000\n");
    groups = read_tree(fixture);
    assert_true(groups.level[0].reclaimable_bytes == SNUG_OS_UNKNOWN);
    write_v2(fixture, "/a", "100\n", "max\n", "50\n", "inactive_file 10\nactive_file 5\nfile_dirty 99\n");
    assert_int_equal(read_tree(fixture).level[0].reclaimable_bytes, 0);
}

static void survives_missing_files(void **state)
{
    const tree *fixture = *state;
    snug_os_cgroups groups = read_tree(fixture); /* an empty tree: no /proc at all */

    assert_int_equal(groups.version, 0);
    assert_int_equal(groups.level_count, 0);
    assert_false(groups.is_cut);

    tree_write(fixture, "/proc/self/cgroup", "0::/a\n"); /* in a group, but no mount shows it */
    groups = read_tree(fixture);
    assert_int_equal(groups.version, 2);
    assert_int_equal(groups.level_count, 0);
    assert_true(groups.is_cut);

    tree_write(fixture, "/proc/self/mountinfo", MOUNTS_V2); /* the mount is there, its files are not */
    groups = read_tree(fixture);
    assert_true(groups.is_cut);
    assert_true(groups.level[0].max_bytes == SNUG_OS_UNKNOWN);

    write_v2_root(fixture);
    write_v2(fixture, "/a", "777\n", "max\n", "50\n",
             ""); /* our own group has vanished, its parent has not */
    tree_write(fixture, "/proc/self/cgroup", "0::/a/gone (deleted)\n");
    groups = read_tree(fixture);
    assert_int_equal(groups.level_count, 2);
    assert_true(groups.level[0].max_bytes == SNUG_OS_UNKNOWN);
    assert_int_equal(groups.level[1].max_bytes, 777);
    assert_true(groups.is_cut);
}

static void ignores_malformed_and_very_long_lines(void **state)
{
    const tree *fixture = *state;
    snug_os_cgroups groups;
    static char mounts[40000];

    /* As container overlays make them, longer than any buffer here. */
    memset(mounts, 'x', 30000);
    memcpy(mounts, "5 4 0:1 / /over rw - cgroup2 lower=", 35);
    snprintf(mounts + 30000, sizeof mounts - 30000, "\n\nnonsense\n1 2 3\n - \n7 6 0:2 / /x - cgroup2\n%s",
             MOUNTS_V2);
    write_process(fixture, "garbage\n0:\n:::\n0::/a\n", mounts);
    write_v2_root(fixture);
    write_v2(fixture, "/a", "4096\n", "max\n", "50\n", "");
    groups = read_tree(fixture);
    assert_int_equal(groups.level_count, 1);
    assert_int_equal(groups.level[0].max_bytes, 4096);
}

static void unescapes_mount_points(void **state)
{
    const tree *fixture = *state;
    snug_os_cgroups groups;

    write_process(fixture, "0::/a\n", "31 23 0:28 / /mnt/my\\040groups rw - cgroup2 cgroup2 rw\n");
    tree_write(fixture, "/mnt/my groups/cgroup.controllers", "memory\n");
    tree_write(fixture, "/mnt/my groups/a/memory.max", "8192\n");
    groups = read_tree(fixture);
    assert_int_equal(groups.level_count, 1);
    assert_int_equal(groups.level[0].max_bytes, 8192);
}

static void cuts_deep_trees_and_long_paths(void **state)
{
    const tree *fixture = *state;
    snug_os_cgroups groups;
    char cgroup[1024] = "0::";
    const char *path = cgroup + 3;

    write_v2_root(fixture);
    for (size_t i = 0; i < SNUG_OS_CGROUP_LEVELS_MAX + 4; i++) {
        size_t length = strlen(cgroup);

        snprintf(cgroup + length, sizeof cgroup - length, "/a-rather-long-name-%02zu", i);
        write_v2(fixture, path, "max\n", "max\n", "50\n", "");
    }
    write_process(fixture, cgroup, MOUNTS_V2);
    groups = read_tree(fixture);
    assert_int_equal(groups.level_count, SNUG_OS_CGROUP_LEVELS_MAX);
    assert_true(groups.is_cut);
    assert_int_equal(strlen(groups.level[0].path), sizeof groups.level[0].path - 1);
    assert_memory_equal(groups.level[0].path, "...", 3);
    assert_string_equal(groups.level[0].path + strlen(groups.level[0].path) - 8, "-name-19");
}

/* In the child: join the group, read, and compare with what was set. The status says what was wrong. */
static int check_real_group(const char *folder, uint64_t limit)
{
    snug_os_cgroups groups;
    char path[512];
    FILE *procs;

    snprintf(path, sizeof path, "%s/cgroup.procs", folder);
    procs = fopen(path, "w");
    if (!procs || fprintf(procs, "%ld\n", (long)getpid()) < 0 || fclose(procs) != 0)
        return 1;
    snug_os_cgroups_read(&groups, "");
    if (groups.version != 1 || groups.level_count < 2 || groups.is_cut)
        return 2;
    if (strcmp(groups.level[0].path, strrchr(folder, '/')) != 0 || groups.level[0].max_bytes != limit)
        return 3;
    return groups.level[0].current_bytes <= limit && groups.level[0].reclaimable_bytes <= limit ? 0 : 4;
}

static void agrees_with_a_real_group(void **state)
{
    char folder[256];
    char path[512];
    FILE *limit;
    int result = -1;
    pid_t child;

    (void)state;
    snprintf(folder, sizeof folder, "/sys/fs/cgroup/memory/snug-test-%ld", (long)getpid());
    if (mkdir(folder, 0755) != 0) {
        print_message("skipped: no version 1 memory group can be made here\n");
        skip();
    }
    snprintf(path, sizeof path, "%s/memory.limit_in_bytes", folder);
    limit = fopen(path, "w");
    if (limit) {
        fprintf(limit, "%llu\n", (unsigned long long)(512 * MIB));
        fclose(limit);
        child = fork();
        if (child == 0)
            _exit(check_real_group(folder, 512 * MIB));
        waitpid(child, &result, 0);
    }
    rmdir(folder);
    assert_non_null(limit);
    assert_true(WIFEXITED(result));
    assert_int_equal(WEXITSTATUS(result), 0);
}

#define TREE_TEST(name) cmocka_unit_test_setup_teardown(name, tree_set_up, tree_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TREE_TEST(reads_one_v2_group),
        TREE_TEST(finds_the_limit_at_the_parent),
        TREE_TEST(says_no_limit_when_all_levels_say_max),
        TREE_TEST(has_no_level_at_the_root_of_the_machine),
        TREE_TEST(takes_a_group_without_memory_controller_as_unlimited),
        TREE_TEST(knows_that_a_container_hides_the_levels_above),
        TREE_TEST(subtracts_the_root_of_a_bind_mount),
        TREE_TEST(searches_for_itself_below_an_outside_mount),
        TREE_TEST(says_unknown_when_it_is_not_found),
        TREE_TEST(reads_v1_with_its_own_file_names),
        TREE_TEST(learns_a_hidden_v1_limit_from_the_hierarchical_one),
        TREE_TEST(prefers_v1_on_a_hybrid_machine),
        TREE_TEST(calls_garbage_unknown),
        TREE_TEST(survives_missing_files),
        TREE_TEST(ignores_malformed_and_very_long_lines),
        TREE_TEST(unescapes_mount_points),
        TREE_TEST(cuts_deep_trees_and_long_paths),
        cmocka_unit_test(agrees_with_a_real_group),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
