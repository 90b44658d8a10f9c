/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adapt.c - the limits of a ledger: those the user set, and those that follow the machine. The lower decides.
 *
 * The machine's limit is for all unreclaimable bytes of the process, the ledger counts its own. What the
 * process has beside the ledger is taken off, so that the hard limit is: ledger used + what can still be
 * taken.
 */
#include "memory/adapt.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "memory/bands.h"
#include "memory/ledger.h"
#include "memory/relief.h"

static uint64_t lower(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t soft_or_no_limit(uint64_t bytes)
{
    return bytes == UINT64_MAX ? SNUG_MEMORY_NO_LIMIT : bytes;
}

static uint64_t hard_or_no_limit(uint64_t bytes)
{
    return bytes == SNUG_MEMORY_BYTES_MAX ? SNUG_MEMORY_NO_LIMIT : bytes;
}

/* --- reading -------------------------------------------------------------------------------------------- */

uint64_t snug_memory_soft(const snug_memory *memory)
{
    return lower(atomic_load_explicit(&memory->user_soft_bytes, memory_order_relaxed),
                 atomic_load_explicit(&memory->machine_soft_bytes, memory_order_relaxed));
}

uint64_t snug_memory_hard(const snug_memory *memory)
{
    return lower(atomic_load_explicit(&memory->user_hard_bytes, memory_order_relaxed),
                 atomic_load_explicit(&memory->machine_hard_bytes, memory_order_relaxed));
}

void snug_memory_write_limiter(char *out, size_t capacity, snug_memory *memory)
{
    out[0] = '\0';
    if (atomic_load(&memory->machine_hard_bytes) >= atomic_load(&memory->user_hard_bytes))
        return;
    snug_os_mutex_lock(&memory->text_mutex);
    snprintf(out, capacity, "%.*s", (int)capacity - 1, memory->machine_text);
    snug_os_mutex_unlock(&memory->text_mutex);
}

uint64_t snug_memory_hard_limit(const snug_memory *memory)
{
    return hard_or_no_limit(snug_memory_hard(memory));
}

void snug_memory_read_limits(snug_memory_limits *out, snug_memory *memory)
{
    out->soft_bytes = soft_or_no_limit(snug_memory_soft(memory));
    out->hard_bytes = snug_memory_hard_limit(memory);
    out->used_bytes = snug_memory_read_all(memory).used_bytes;
    snug_memory_write_limiter(out->limited_by, sizeof out->limited_by, memory);
}

void snug_memory_read_ledger(snug_memory_readings *readings, const snug_memory *memory)
{
    readings->user_hard_bytes = hard_or_no_limit(atomic_load(&memory->user_hard_bytes));
    readings->user_soft_bytes = soft_or_no_limit(atomic_load(&memory->user_soft_bytes));
    readings->ledger_used_bytes = snug_memory_read_all(memory).used_bytes;
    readings->wanted_weight_bytes = snug_memory_wanted_weights(memory);
}

/* --- setting -------------------------------------------------------------------------------------------- */

void snug_memory_store_user_limits(snug_memory *memory, uint64_t soft_bytes, uint64_t hard_bytes)
{
    const bool has_hard = hard_bytes != 0 && hard_bytes < SNUG_MEMORY_BYTES_MAX;

    atomic_store(&memory->user_soft_bytes, soft_bytes ? soft_bytes : UINT64_MAX);
    atomic_store(&memory->user_hard_bytes, has_hard ? hard_bytes : SNUG_MEMORY_BYTES_MAX);
}

snug_status snug_memory_set_limits(snug_memory *memory, uint64_t soft_bytes, uint64_t hard_bytes)
{
    SNUG_RETURN_IF(hard_bytes != 0 && soft_bytes > hard_bytes, SNUG_ERR_ARGUMENT);
    snug_memory_store_user_limits(memory, soft_bytes, hard_bytes);
    return SNUG_OK;
}

/* The part of the hard limit at which relief begins: where the strategy's level does, but not below what it
 * may plan to fill. */
static double soft_share(snug_strategy strategy)
{
    const snug_strategy_rules *rules = snug_strategy_rules_of(strategy);
    const double from = rules->relief_from == SNUG_PRESSURE_MEDIUM ? SNUG_MEDIUM_FROM : SNUG_HIGH_FROM;

    return from > rules->plan_share ? from : rules->plan_share;
}

void snug_memory_adapt(snug_memory *memory, const snug_memory_state *state, snug_strategy strategy)
{
    const uint64_t beside = state->own_bytes - state->ledger_used_bytes; /* own is the larger of the two */
    uint64_t hard = state->machine_limit_bytes;

    if (hard >= SNUG_MEMORY_BYTES_MAX) {
        snug_memory_drop_adaptive_limits(memory);
        return;
    }
    hard = hard > beside ? hard - beside : 0;
    snug_os_mutex_lock(&memory->text_mutex);
    memcpy(memory->machine_text, state->machine_text, sizeof memory->machine_text);
    snug_os_mutex_unlock(&memory->text_mutex);
    atomic_store(&memory->machine_hard_bytes, hard);
    atomic_store(&memory->machine_soft_bytes, (uint64_t)((double)hard * soft_share(strategy)));
}

void snug_memory_drop_adaptive_limits(snug_memory *memory)
{
    atomic_store(&memory->machine_soft_bytes, UINT64_MAX);
    atomic_store(&memory->machine_hard_bytes, SNUG_MEMORY_BYTES_MAX);
}

snug_status snug_memory_set_adaptive_limits(snug_memory *memory, snug_strategy strategy,
                                            snug_memory_limits *limits_out)
{
    snug_memory_state state;
    uint64_t soft;
    uint64_t used;

    SNUG_RETURN_IF((unsigned)strategy > SNUG_STRATEGY_AGGRESSIVE, SNUG_ERR_ARGUMENT);
    snug_memory_read_state(&state, memory);
    snug_memory_adapt(memory, &state, strategy);
    soft = snug_memory_soft(memory);
    used = snug_memory_read_all(memory).used_bytes;
    if (used > soft)
        (void)snug_memory_relieve(memory, used - soft, SNUG_RELIEVE_UNLESS_BUSY);
    if (limits_out)
        snug_memory_read_limits(limits_out, memory);
    return SNUG_OK;
}
