/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adapt.h - limits of the ledger that follow the machine. Only memory/ includes it.
 */
#ifndef SNUG_SRC_MEMORY_ADAPT_H
#define SNUG_SRC_MEMORY_ADAPT_H

#include "memory/derive.h"

/*
 * Set the adaptive limits from a state that was derived with this ledger in it. Short: no relief is run,
 * nothing is read.
 */
void snug_memory_adapt(snug_memory *memory, const snug_memory_state *state, snug_strategy strategy);

/* The ledger's part of the readings. */
void snug_memory_read_ledger(snug_memory_readings *readings, const snug_memory *memory);

#endif /* SNUG_SRC_MEMORY_ADAPT_H */
