/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relief.h - running the relievers of a ledger. Only memory/ includes it.
 */
#ifndef SNUG_SRC_MEMORY_RELIEF_H
#define SNUG_SRC_MEMORY_RELIEF_H

#include <snug/memory.h>

typedef enum snug_relieve_when {
    SNUG_RELIEVE_WAIT = 0,        /* for another thread that is at it */
    SNUG_RELIEVE_UNLESS_BUSY = 1, /* another thread is at it: that will do */
} snug_relieve_when;

/*
 * Ask the relievers in turn, cheapest first, until they say that `want` bytes are given back; returns what
 * they said. 0 at once when there is none, or from inside a reliever.
 */
uint64_t snug_memory_relieve(snug_memory *memory, uint64_t want, snug_relieve_when when);

#endif /* SNUG_SRC_MEMORY_RELIEF_H */
