/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.c - reads what derive.c calculates with.
 */
#include "memory/derive.h"
#include "memory/ledger.h"

void snug_memory_read_state(snug_memory_state *out, const snug_memory *memory)
{
    const char *root = ""; /* the real /proc and /sys */
    snug_memory_readings readings = {
        .user_hard_bytes = SNUG_MEMORY_NO_LIMIT,
        .user_soft_bytes = SNUG_MEMORY_NO_LIMIT,
    };

    if (memory) {
        const uint64_t soft = atomic_load(&memory->soft_bytes);

        readings.user_hard_bytes = snug_memory_hard_limit(memory);
        if (soft != UINT64_MAX)
            readings.user_soft_bytes = soft;
        readings.ledger_used_bytes = snug_memory_read_all(memory).used_bytes;
    }
    readings.process = snug_os_process_memory_read_exact(root);
    readings.host = snug_os_host_memory_read(root);
    readings.rlimits = snug_os_rlimits_read();
    snug_os_cgroups_read(&readings.cgroups, root);
    snug_memory_derive(out, &readings);
}
