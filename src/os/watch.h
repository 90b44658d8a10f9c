/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.h - what machine.h reads, again and again: the files stay open and are read from their begin, which
 * costs a microsecond or less each, and no allocation.
 *
 * Which groups limit us is looked up by snug_os_watch_resolve(); in between, only the levels that have a
 * limit are read. Their limits are read too: one that was lowered is seen by the next read.
 */
#ifndef SNUG_SRC_OS_WATCH_H
#define SNUG_SRC_OS_WATCH_H

#include "os/cgroup.h"

/* Levels with a limit of their own that are read each time; more of them than anybody nests. */
#define SNUG_OS_WATCHED_LEVELS_MAX 4

/* Descriptors, -1 where there is no such file. */
typedef struct snug_os_watch_files {
    size_t level; /* in cgroups.level */
    int max;
    int high;
    int current;
    int stat;
    int events; /* v2: becomes readable in the sense of POLLPRI when the level meets its limit */
} snug_os_watch_files;

typedef struct snug_os_watch {
    const char *root; /* as for the functions of machine.h; must outlive the watch */
    int statm_file;
    int meminfo_file;
    int stall_file;   /* pressure stall information of our own group, or else of the machine */
    int refault_file; /* memory.stat of our own group, or else vmstat of the machine */
    bool is_stall_own;
    bool is_refault_own;
    bool is_located;
    snug_os_cgroup_place leaf;
    size_t file_count;
    snug_os_watch_files files[SNUG_OS_WATCHED_LEVELS_MAX];

    /* As last read. */
    snug_os_process_memory process; /* from statm: shared memory counts as file pages */
    snug_os_host_memory host;
    snug_os_rlimits rlimits; /* what is used is read only where there is a limit */
    snug_os_cgroups cgroups;
    uint64_t stall_us;      /* time in which some thread waited for memory, ever; UNKNOWN */
    uint64_t refault_bytes; /* of files, read again soon after they were dropped, ever; UNKNOWN */
} snug_os_watch;

/* Cannot fail: what cannot be opened is unknown. Resolves and reads once. */
void snug_os_watch_open(snug_os_watch *watch, const char *root);
void snug_os_watch_close(snug_os_watch *watch);

/*
 * Look up again which groups limit us, and read everything. About 0.2 ms. Allocates only in the rare case in
 * which the group has to be searched for (see cgroup_place.c), when the process was moved.
 */
void snug_os_watch_resolve(snug_os_watch *watch);

/*
 * Read again. False when a group has vanished or a limit is another one than at the last resolve: time to
 * resolve. What is not asked for, refault_bytes or stall_us, keeps its value: each takes 10 to 30 us where
 * the kernel's tables have left the processor's cache.
 */
bool snug_os_watch_read(snug_os_watch *watch, bool with_refaults, bool with_stalls);

#endif /* SNUG_SRC_OS_WATCH_H */
