/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.h - clock, processor, and what the kernel says about memory: plain functions without state.
 *
 * All memory readings take a root prefix ("" for the real machine), under which /proc and /sys are looked
 * up, so that tests can put a tree of files in their place. Unknown is SNUG_OS_UNKNOWN, never "unlimited".
 */
#ifndef SNUG_SRC_OS_MACHINE_H
#define SNUG_SRC_OS_MACHINE_H

#include <snug/base.h>
#include <snug/cpu.h>

uint64_t snug_os_clock_ns(void); /* monotonic */

/* Threads that can compute at a time: physical cores among the processors that this process may run on, and
 * no more than the quotas of its control groups pay for; at least 1. Reads a file for each processor. */
uint32_t snug_os_cpu_count(void);
uint32_t snug_os_cpu_count_at(const char *root); /* where the processors are this machine's */
/* "AMD EPYC 9654 96-Core Processor": what the system calls the processor; "unknown" when it does not. */
void snug_os_cpu_name(char *out, size_t capacity);

#define SNUG_OS_UNKNOWN  UINT64_MAX       /* the system does not say */
#define SNUG_OS_NO_LIMIT (UINT64_MAX - 1) /* the system says: no limit here */

/* What this process has waited for since it began: 512-byte blocks read from disks, and pages that were
 * touched before they were in memory. Below a microsecond. Some file systems count no blocks. */
typedef struct snug_os_reads {
    uint64_t blocks;
    uint64_t faults;
} snug_os_reads;

snug_os_reads snug_os_reads_so_far(void);

/* Anonymous memory cannot be reclaimed without swap; pages of mapped files can. */
typedef struct snug_os_process_memory {
    uint64_t resident_bytes;
    uint64_t anonymous_bytes;
    uint64_t file_bytes;
} snug_os_process_memory;

/*
 * A few microseconds: /proc/self/statm, which counts shared memory (memfd, tmpfs) with the files although
 * it cannot be reclaimed either; the library uses none. All SNUG_OS_UNKNOWN when it cannot be read.
 */
snug_os_process_memory snug_os_process_memory_read(void);
/* From the text of statm. */
snug_os_process_memory snug_os_process_memory_parse(const char *text);
/* The same from /proc/self/status, shared memory counted as anonymous: about 7 us. */
snug_os_process_memory snug_os_process_memory_read_exact(const char *root);

/* /proc/meminfo. */
typedef struct snug_os_host_memory {
    uint64_t total_bytes;
    uint64_t available_bytes; /* the kernel's estimate of what can be taken without swapping */
    uint64_t free_bytes;
    uint64_t swap_free_bytes;
} snug_os_host_memory;

snug_os_host_memory snug_os_host_memory_read(const char *root);
snug_os_host_memory snug_os_host_memory_parse(const char *text); /* of meminfo */

/* One level of the control-group tree, from our own group upwards. */
typedef struct snug_os_cgroup_level {
    char path[256];             /* inside the hierarchy; cut with "..." in front when longer */
    uint64_t max_bytes;         /* memory.max or memory.limit_in_bytes; SNUG_OS_NO_LIMIT or UNKNOWN */
    uint64_t high_bytes;        /* memory.high, above which the kernel throttles; v1 has none: NO_LIMIT */
    uint64_t current_bytes;     /* memory.current or memory.usage_in_bytes: page cache included */
    uint64_t reclaimable_bytes; /* clean file pages and slab that the kernel would drop first */
} snug_os_cgroup_level;

#define SNUG_OS_CGROUP_LEVELS_MAX 16

/*
 * The root group of the machine has no limits and is not among the levels (v2), or is without limit (v1). A
 * container sees only the levels from its own group down: v2 then says is_cut; v1 tells the smallest limit
 * above all the same, which becomes a last level of unknown use with the path "(above)".
 */
typedef struct snug_os_cgroups {
    int version;        /* 2, 1 (also hybrid machines whose memory controller is on v1), 0 none found */
    size_t level_count; /* leaf first */
    bool is_cut;        /* a level is missing or could not be read: its limit is unknown, not absent */
    snug_os_cgroup_level level[SNUG_OS_CGROUP_LEVELS_MAX];
} snug_os_cgroups;

void snug_os_cgroups_read(snug_os_cgroups *out, const char *root);

/* Soft values of the two rlimits that bound memory, and what counts against them now. */
typedef struct snug_os_rlimits {
    uint64_t address_space_bytes;      /* RLIMIT_AS */
    uint64_t address_space_used_bytes; /* VmSize */
    uint64_t data_bytes;               /* RLIMIT_DATA */
    uint64_t data_used_bytes;          /* VmData */
} snug_os_rlimits;

snug_os_rlimits snug_os_rlimits_read(void);

#endif /* SNUG_SRC_OS_MACHINE_H */
