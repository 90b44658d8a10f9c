/* SPDX-License-Identifier: Apache-2.0 */
/*
 * derive.h - from readings to a limit, as pure arithmetic: tests feed it numbers, and
 * snug_memory_read_state() what the machine says.
 */
#ifndef SNUG_SRC_MEMORY_DERIVE_H
#define SNUG_SRC_MEMORY_DERIVE_H

#include <snug/memory.h>

#include "os/machine.h"

typedef struct snug_memory_readings {
    uint64_t user_hard_bytes; /* SNUG_MEMORY_NO_LIMIT: none */
    uint64_t user_soft_bytes;
    uint64_t ledger_used_bytes;
    uint64_t wanted_weight_bytes;
    snug_os_process_memory process;
    snug_os_host_memory host;
    snug_os_rlimits rlimits;
    snug_os_cgroups cgroups;
} snug_memory_readings;

void snug_memory_derive(snug_memory_state *out, const snug_memory_readings *readings);

#endif /* SNUG_SRC_MEMORY_DERIVE_H */
