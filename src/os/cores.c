/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cores.c - how many threads can compute at a time: snug_os_cpu_count().
 *
 * Two threads of one core share its arithmetic and its way to memory, so one for each core is as fast, and
 * waits less at barriers. A quota of a control group is time: more threads than it pays for are all stopped
 * once it is used up, until the next period. Documentation: the kernel's cgroup-v2.rst (cpu.max),
 * sched-bwc.rst (cpu.cfs_quota_us), cputopology.rst.
 */
#define _GNU_SOURCE

#include "os/machine.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/cgroup.h"
#include "os/read.h"

/* --- cores ---------------------------------------------------------------------------------------------- */

/* Whether `set` has a processor below `cpu` that is in a list such as "0,64" or "0-3". */
static bool has_sibling_below(const char *list, unsigned cpu, const cpu_set_t *set)
{
    const char *at = list;
    uint64_t first, last;

    while (snug_os_parse_u64(&first, &at)) {
        last = first;
        if (*at == '-') {
            at++;
            if (!snug_os_parse_u64(&last, &at))
                return false;
        }
        for (; first <= last && first < cpu; first++)
            if (CPU_ISSET((size_t)first, set))
                return true;
        if (*at++ != ',')
            break;
    }
    return false;
}

/* Each core counts with the first of its processors that we may run on. */
static uint32_t count_cores(const char *root, const cpu_set_t *allowed)
{
    uint32_t count = 0;
    char path[512];
    char list[1024];

    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, allowed))
            continue;
        if (snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", root,
                     cpu) >= (int)sizeof path ||
            !snug_os_read_text(path, list, sizeof list))
            list[0] = '\0'; /* a system that does not say: a core of its own */
        count += !has_sibling_below(list, cpu, allowed);
    }
    return count;
}

/* --- quotas --------------------------------------------------------------------------------------------- */

static bool read_number(uint64_t *out, const snug_os_cgroup_place *place, const char *name)
{
    char path[SNUG_OS_CGROUP_FILE_PATH_BYTES];
    char text[64];
    const char *at = text;

    return snug_os_cgroup_file_path(path, place, name) && snug_os_read_text(path, text, sizeof text) &&
           snug_os_parse_u64(out, &at);
}

/* Both in microseconds. False where there is none: "max", or -1 in version 1. */
static bool read_quota(uint64_t *quota, uint64_t *period, const snug_os_cgroup_place *place)
{
    char path[SNUG_OS_CGROUP_FILE_PATH_BYTES];
    char text[64];
    const char *at = text;

    if (place->version == 1)
        return read_number(quota, place, "cpu.cfs_quota_us") &&
               read_number(period, place, "cpu.cfs_period_us");
    return snug_os_cgroup_file_path(path, place, "cpu.max") && snug_os_read_text(path, text, sizeof text) &&
           snug_os_parse_u64(quota, &at) && *at++ == ' ' && snug_os_parse_u64(period, &at);
}

/* The least of our group and those above it, in whole processors; UINT32_MAX: no quota. */
static uint32_t read_quotas(const char *root)
{
    snug_os_cgroup_place place;
    uint64_t least = UINT32_MAX;
    char *last;

    if (!snug_os_cgroup_locate_controller(root, "cpu", &place))
        return UINT32_MAX;
    do {
        uint64_t quota, period;

        if (read_quota(&quota, &period, &place) && period > 0 && quota <= UINT64_MAX - period) {
            const uint64_t processors = (quota + period / 2) / period;

            least = processors < least ? processors : least;
        }
        last = strrchr(place.folder, '/');
        if (last)
            *last = '\0';
    } while (last);
    return least > 0 ? (uint32_t)least : 1;
}

uint32_t snug_os_cpu_count_at(const char *root)
{
    const uint32_t granted = read_quotas(root);
    uint32_t cores;
    cpu_set_t allowed;
    long online;

    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
        cores = count_cores(root, &allowed);
    } else {
        online = sysconf(_SC_NPROCESSORS_ONLN); /* machines with more processors than cpu_set_t has bits */
        cores = online > 0 ? (uint32_t)online : 1;
    }
    return cores < granted ? cores : granted;
}

uint32_t snug_os_cpu_count(void)
{
    return snug_os_cpu_count_at("");
}
