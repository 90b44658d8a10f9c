/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.c - clock, processor and the memory readings of machine.h, except the control groups (cgroup.c).
 */
#define _GNU_SOURCE

#include "os/machine.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "os/pages.h"
#include "os/read.h"

uint64_t snug_os_clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

snug_os_reads snug_os_reads_so_far(void)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return (snug_os_reads){ 0, 0 };
    return (snug_os_reads){ .blocks = (uint64_t)usage.ru_inblock, .faults = (uint64_t)usage.ru_majflt };
}

void snug_os_cpu_name(char *out, size_t capacity)
{
    char text[4096];
    const char *line;

    snprintf(out, capacity, "unknown");
    if (!snug_os_read_text("/proc/cpuinfo", text, sizeof text))
        return;
    line = strstr(text, "model name");
    line = line ? strchr(line, ':') : NULL;
    if (!line)
        return;
    line += 1 + strspn(line + 1, " ");
    if (strcspn(line, "\n") > 0)
        snprintf(out, capacity, "%.*s", (int)strcspn(line, "\n"), line);
}

static const snug_os_process_memory unknown_process = { SNUG_OS_UNKNOWN, SNUG_OS_UNKNOWN, SNUG_OS_UNKNOWN };

/* "size resident shared ...", in pages; shared are the pages of files and of shared memory. */
snug_os_process_memory snug_os_process_memory_parse(const char *text)
{
    const char *at = text;
    uint64_t size;
    uint64_t resident;
    uint64_t shared;
    uint64_t page = snug_os_page_bytes();

    if (!snug_os_parse_u64(&size, &at) || *at++ != ' ' || !snug_os_parse_u64(&resident, &at) ||
        *at++ != ' ' || !snug_os_parse_u64(&shared, &at) || shared > resident)
        return unknown_process;
    return (snug_os_process_memory){
        .resident_bytes = resident * page,
        .anonymous_bytes = (resident - shared) * page,
        .file_bytes = shared * page,
    };
}

snug_os_process_memory snug_os_process_memory_read(void)
{
    char text[128];

    return snug_os_read_text("/proc/self/statm", text, sizeof text) ? snug_os_process_memory_parse(text)
                                                                    : unknown_process;
}

snug_os_process_memory snug_os_process_memory_read_exact(const char *root)
{
    char path[512];
    char text[4096];
    uint64_t anonymous;
    uint64_t file;
    uint64_t shared;

    if (snprintf(path, sizeof path, "%s/proc/self/status", root) >= (int)sizeof path ||
        !snug_os_read_text(path, text, sizeof text))
        return unknown_process;
    anonymous = snug_os_find_kilobytes(text, "RssAnon:");
    file = snug_os_find_kilobytes(text, "RssFile:");
    shared = snug_os_find_kilobytes(text, "RssShmem:");
    if (anonymous == SNUG_OS_UNKNOWN || file == SNUG_OS_UNKNOWN || shared == SNUG_OS_UNKNOWN)
        return unknown_process; /* before Linux 4.5 */
    return (snug_os_process_memory){
        .resident_bytes = anonymous + file + shared,
        .anonymous_bytes = anonymous + shared,
        .file_bytes = file,
    };
}

snug_os_host_memory snug_os_host_memory_read(const char *root)
{
    char path[512];
    char text[8192];

    if (snprintf(path, sizeof path, "%s/proc/meminfo", root) >= (int)sizeof path ||
        !snug_os_read_text(path, text, sizeof text))
        text[0] = '\0'; /* every value of an empty text is unknown */
    return snug_os_host_memory_parse(text);
}

snug_os_host_memory snug_os_host_memory_parse(const char *text)
{
    return (snug_os_host_memory){
        .total_bytes = snug_os_find_kilobytes(text, "MemTotal:"),
        .available_bytes = snug_os_find_kilobytes(text, "MemAvailable:"),
        .free_bytes = snug_os_find_kilobytes(text, "MemFree:"),
        .swap_free_bytes = snug_os_find_kilobytes(text, "SwapFree:"),
    };
}

/* What getrlimit() returned and wrote. */
static uint64_t soft_limit(int result, struct rlimit limit)
{
    if (result != 0)
        return SNUG_OS_UNKNOWN;
    return limit.rlim_cur == RLIM_INFINITY ? SNUG_OS_NO_LIMIT : (uint64_t)limit.rlim_cur;
}

snug_os_rlimits snug_os_rlimits_read(void)
{
    struct rlimit address_space = { 0, 0 };
    struct rlimit data = { 0, 0 };
    int address_space_result = getrlimit(RLIMIT_AS, &address_space);
    int data_result = getrlimit(RLIMIT_DATA, &data);
    char text[4096];

    if (!snug_os_read_text("/proc/self/status", text, sizeof text))
        text[0] = '\0';
    return (snug_os_rlimits){
        .address_space_bytes = soft_limit(address_space_result, address_space),
        .address_space_used_bytes = snug_os_find_kilobytes(text, "VmSize:"),
        .data_bytes = soft_limit(data_result, data),
        .data_used_bytes = snug_os_find_kilobytes(text, "VmData:"),
    };
}
