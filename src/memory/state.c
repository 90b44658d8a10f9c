/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.c - reads what derive.c calculates with.
 */
#include "memory/adapt.h"
#include "memory/derive.h"

void snug_memory_read_state(snug_memory_state *out, const snug_memory *memory)
{
    const char *root = ""; /* the real /proc and /sys */
    snug_memory_readings readings = {
        .user_hard_bytes = SNUG_MEMORY_NO_LIMIT,
        .user_soft_bytes = SNUG_MEMORY_NO_LIMIT,
    };

    if (memory)
        snug_memory_read_ledger(&readings, memory);
    readings.process = snug_os_process_memory_read_exact(root);
    readings.host = snug_os_host_memory_read(root);
    readings.rlimits = snug_os_rlimits_read();
    snug_os_cgroups_read(&readings.cgroups, root);
    snug_memory_derive(out, &readings);
}
