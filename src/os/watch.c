/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.c - watch.h on pread. Files of /proc and of control groups give what is true at each pread from their
 * begin. The file of a group that was removed fails with ENODEV.
 */
#define _POSIX_C_SOURCE 200809L

#include "os/watch.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/pages.h"
#include "os/read.h"

static int open_to_read(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC);
}

static int open_below(const char *root, const char *name)
{
    char path[512];

    return snprintf(path, sizeof path, "%s%s", root, name) < (int)sizeof path ? open_to_read(path) : -1;
}

static int open_of_group(const snug_os_cgroup_place *place, const char *name)
{
    char path[SNUG_OS_CGROUP_FILE_PATH_BYTES];

    return snug_os_cgroup_file_path(path, place, name) ? open_to_read(path) : -1;
}

static void close_file(int *file)
{
    if (*file >= 0)
        close(*file);
    *file = -1;
}

/* --- what the files say -------------------------------------------------------------------------------- */

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=5791\nfull ...": microseconds. */
static uint64_t read_stalls(int file)
{
    char text[512];
    const char *at;
    uint64_t total;

    if (!snug_os_read_again(file, text, sizeof text) || strncmp(text, "some ", 5) != 0)
        return SNUG_OS_UNKNOWN;
    at = strstr(text, " total=");
    if (!at)
        return SNUG_OS_UNKNOWN;
    at += strlen(" total=");
    return snug_os_parse_u64(&total, &at) ? total : SNUG_OS_UNKNOWN;
}

/* In v1 the total_* keys count the groups below too. Before Linux 5.9 one number counts all refaults. */
static uint64_t read_refaults(int file)
{
    static const char *const keys[] = { "total_workingset_refault_file ", "workingset_refault_file ",
                                        "total_workingset_refault ", "workingset_refault " };
    char text[16384];

    if (!snug_os_read_again(file, text, sizeof text))
        return SNUG_OS_UNKNOWN;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const uint64_t pages = snug_os_find_number(text, keys[i]);

        if (pages < SNUG_OS_NO_LIMIT / snug_os_page_bytes())
            return pages * snug_os_page_bytes();
    }
    return SNUG_OS_UNKNOWN;
}

static uint64_t read_bytes(int file, int version)
{
    char text[64];

    return snug_os_read_again(file, text, sizeof text) ? snug_os_cgroup_parse_bytes(text, version)
                                                       : SNUG_OS_UNKNOWN;
}

/* False when the group is gone, or its limits are not what they were. */
static bool read_level(snug_os_watch *watch, const snug_os_watch_files *files)
{
    snug_os_cgroup_level *level = &watch->cgroups.level[files->level];
    const int version = watch->cgroups.version;
    const uint64_t max = read_bytes(files->max, version);
    const uint64_t high = files->high >= 0 ? read_bytes(files->high, version) : level->high_bytes;
    const bool is_same = max == level->max_bytes && high == level->high_bytes;
    char stat[8192];

    level->max_bytes = max;
    level->high_bytes = high;
    level->current_bytes = read_bytes(files->current, version);
    level->reclaimable_bytes = SNUG_OS_UNKNOWN;
    if (snug_os_read_again(files->stat, stat, sizeof stat))
        level->reclaimable_bytes = snug_os_cgroup_reclaimable(stat, version);
    return is_same && level->current_bytes != SNUG_OS_UNKNOWN;
}

static bool has_limit(uint64_t bytes)
{
    return bytes < SNUG_OS_NO_LIMIT;
}

static void read_process_and_host(snug_os_watch *watch)
{
    char text[8192];

    (void)snug_os_read_again(watch->statm_file, text, sizeof text); /* an empty text is all unknown */
    watch->process = snug_os_process_memory_parse(text);
    (void)snug_os_read_again(watch->meminfo_file, text, sizeof text);
    watch->host = snug_os_host_memory_parse(text);
    if (has_limit(watch->rlimits.address_space_bytes) || has_limit(watch->rlimits.data_bytes))
        watch->rlimits = snug_os_rlimits_read();
}

bool snug_os_watch_read(snug_os_watch *watch, bool with_refaults, bool with_stalls)
{
    bool is_same = true;

    read_process_and_host(watch);
    for (size_t i = 0; i < watch->file_count; i++)
        is_same &= read_level(watch, &watch->files[i]);
    if (with_stalls)
        watch->stall_us = read_stalls(watch->stall_file);
    if (with_refaults)
        watch->refault_bytes = read_refaults(watch->refault_file);
    return is_same;
}

/* --- which files ---------------------------------------------------------------------------------------- */

static void close_levels(snug_os_watch *watch)
{
    for (size_t i = 0; i < watch->file_count; i++) {
        snug_os_watch_files *files = &watch->files[i];

        close_file(&files->max);
        close_file(&files->high);
        close_file(&files->current);
        close_file(&files->stat);
        close_file(&files->events);
    }
    watch->file_count = 0;
    close_file(&watch->stall_file);
    close_file(&watch->refault_file);
}

/* A snug_os_cgroup_visit: opens the files of levels that have a limit. */
static void open_level(void *user, const snug_os_cgroup_place *place, size_t level)
{
    snug_os_watch *watch = user;
    const snug_os_cgroup_level *read = &watch->cgroups.level[level];
    const bool is_v1 = place->version == 1;
    snug_os_watch_files *files = &watch->files[watch->file_count];

    if ((!has_limit(read->max_bytes) && !has_limit(read->high_bytes)) ||
        watch->file_count == SNUG_OS_WATCHED_LEVELS_MAX)
        return;
    *files = (snug_os_watch_files){
        .level = level,
        .max = open_of_group(place, is_v1 ? "memory.limit_in_bytes" : "memory.max"),
        .high = is_v1 ? -1 : open_of_group(place, "memory.high"),
        .current = open_of_group(place, is_v1 ? "memory.usage_in_bytes" : "memory.current"),
        .stat = open_of_group(place, "memory.stat"),
        .events = is_v1 ? -1 : open_of_group(place, "memory.events"),
    };
    watch->file_count++;
}

/* Stalls and refaults: of our own group where it counts them, else of the machine. */
static void open_counters(snug_os_watch *watch)
{
    snug_os_cgroup_place place;

    if (snug_os_cgroup_locate_v2(watch->root, &place))
        watch->stall_file = open_of_group(&place, "memory.pressure");
    watch->is_stall_own = read_stalls(watch->stall_file) != SNUG_OS_UNKNOWN;
    if (!watch->is_stall_own) {
        close_file(&watch->stall_file);
        watch->stall_file = open_below(watch->root, "/proc/pressure/memory");
    }
    if (watch->is_located)
        watch->refault_file = open_of_group(&watch->leaf, "memory.stat");
    watch->is_refault_own = read_refaults(watch->refault_file) != SNUG_OS_UNKNOWN;
    if (!watch->is_refault_own) {
        close_file(&watch->refault_file);
        watch->refault_file = open_below(watch->root, "/proc/vmstat");
    }
}

void snug_os_watch_resolve(snug_os_watch *watch)
{
    close_levels(watch);
    if (!watch->is_located || !snug_os_cgroup_is_place(watch->root, &watch->leaf))
        watch->is_located = snug_os_cgroup_locate(watch->root, &watch->leaf);
    if (watch->is_located) {
        snug_os_cgroups_walk(&watch->cgroups, &watch->leaf, open_level, watch);
    } else {
        watch->cgroups.version = watch->leaf.version;
        watch->cgroups.level_count = 0;
        watch->cgroups.is_cut = watch->leaf.version != 0;
    }
    open_counters(watch);
    watch->rlimits = snug_os_rlimits_read();
    (void)snug_os_watch_read(watch, true, true);
}

void snug_os_watch_open(snug_os_watch *watch, const char *root)
{
    memset(watch, 0, sizeof *watch);
    watch->root = root;
    watch->statm_file = open_below(root, "/proc/self/statm");
    watch->meminfo_file = open_below(root, "/proc/meminfo");
    watch->stall_file = -1;
    watch->refault_file = -1;
    snug_os_watch_resolve(watch);
}

void snug_os_watch_close(snug_os_watch *watch)
{
    close_levels(watch);
    close_file(&watch->statm_file);
    close_file(&watch->meminfo_file);
}
