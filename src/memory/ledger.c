/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger.c - making a ledger, and the reservations in it. See ledger.h for how they stay exact.
 */
#include "memory/ledger.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "memory/relief.h"
#include "os/machine.h"
#include "os/pages.h"

const char *snug_memory_use_name(snug_memory_use use)
{
    static const char *const names[SNUG_MEMORY_USE_COUNT] = {
#define USE_NAME(name, number, text) [number] = text,
        SNUG_MEMORY_USE_MAP(USE_NAME)
#undef USE_NAME
    };

    SNUG_ASSERT((size_t)use < SNUG_MEMORY_USE_COUNT);
    return names[use];
}

/* Options of this version's size from the caller's, which may be of an older one. */
static snug_status read_options(snug_memory_options *out, const snug_memory_options *options)
{
    memset(out, 0, sizeof *out);
    if (!options)
        return SNUG_OK;
    if (options->struct_size < sizeof options->struct_size || options->struct_size > sizeof *out)
        return SNUG_ERR_ARGUMENT;
    memcpy(out, options, options->struct_size);
    if (out->hard_bytes != 0 && out->soft_bytes > out->hard_bytes)
        return SNUG_ERR_ARGUMENT;
    return SNUG_OK;
}

snug_status snug_memory_create(snug_memory **memory_out, const snug_memory_options *options)
{
    snug_memory_options wanted;
    snug_memory *memory;

    SNUG_TRY(read_options(&wanted, options));
    memory = snug_os_heap_alloc(sizeof *memory);
    SNUG_RETURN_IF(!memory, SNUG_ERR_NO_MEMORY);
    snug_memory_store_user_limits(memory, wanted.soft_bytes, wanted.hard_bytes);
    snug_memory_drop_adaptive_limits(memory);
    memory->on_pressure = wanted.on_pressure;
    memory->user = wanted.user;
    memory->created_ns = snug_os_clock_ns();
    memory->huge_page_bytes = snug_os_huge_page_bytes();
    atomic_store(&memory->fail_after, wanted.fail_after);
    snug_os_mutex_init(&memory->points_mutex);
    snug_os_mutex_init(&memory->relief_mutex);
    snug_os_mutex_init(&memory->text_mutex);
    *memory_out = memory;
    return SNUG_OK;
}

void snug_memory_destroy(snug_memory *memory)
{
    if (!memory)
        return;
    for (size_t use = 0; use < SNUG_MEMORY_USE_COUNT; use++) {
        SNUG_ASSERT(atomic_load(&memory->use[use].used_bytes) == 0);
        SNUG_ASSERT(atomic_load(&memory->use[use].blocks) == 0);
    }
    SNUG_ASSERT(atomic_load(&memory->all.used_bytes) == 0);
    SNUG_ASSERT(!memory->relievers);
    snug_os_mutex_deinit(&memory->text_mutex);
    snug_os_mutex_deinit(&memory->relief_mutex);
    snug_os_mutex_deinit(&memory->points_mutex);
    snug_os_heap_free(memory);
}

/* --- sentences ---------------------------------------------------------------------------------------- */

#define AMOUNT_BYTES 32

/*
 * "12.3 MiB" of at least, or at most, `bytes`: what is needed is rounded up and what is left down, so that a
 * sentence never says that 2.0 GiB do not fit into 2.0 GiB.
 */
static const char *write_amount(char *out, uint64_t bytes, bool is_rounded_up)
{
    static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    uint64_t unit_bytes = 1024;
    size_t unit = 0;
    uint64_t tenths;

    if (bytes < 1024) {
        snprintf(out, AMOUNT_BYTES, "%u bytes", (unsigned)bytes);
        return out;
    }
    while (unit + 1 < SNUG_COUNT(units) && bytes / unit_bytes >= 1024) {
        unit_bytes *= 1024;
        unit++;
    }
    /* In two parts: ten times the bytes may not fit in 64 bits. */
    tenths = bytes / unit_bytes * 10 + bytes % unit_bytes / (unit_bytes / 1024) * 10 / 1024;
    if (is_rounded_up && tenths / 10 * unit_bytes + tenths % 10 * (unit_bytes / 10) < bytes)
        tenths++;
    snprintf(out, AMOUNT_BYTES, "%llu.%u %s", (unsigned long long)(tenths / 10), (unsigned)(tenths % 10),
             units[unit]);
    return out;
}

static snug_status refuse(snug_memory *memory, uint64_t used, uint64_t bytes, const char *what,
                          snug_error *error)
{
    const uint64_t hard = snug_memory_hard(memory);
    const uint64_t room = hard > used ? hard - used : 0;
    char needed[AMOUNT_BYTES];
    char left[AMOUNT_BYTES];
    char limit[AMOUNT_BYTES];
    char in_use[AMOUNT_BYTES];
    char limiter[200];

    write_amount(needed, bytes, true);
    if (hard == SNUG_MEMORY_BYTES_MAX)
        SNUG_FAIL(error, SNUG_ERR_OVER_LIMIT, "%s needs %s, more than any machine has", what, needed);
    snug_memory_write_limiter(limiter, sizeof limiter, memory);
    SNUG_FAIL(error, SNUG_ERR_OVER_LIMIT,
              "%s needs %s, but %s are left of the memory limit of %s%s%s (%s in use)", what, needed,
              write_amount(left, room, false), write_amount(limit, hard, false), limiter[0] ? " set by " : "",
              limiter, write_amount(in_use, used, true));
}

/* --- reservations ------------------------------------------------------------------------------------- */

/* Counts the test's countdown; true at its end, once. */
static bool is_failure_due(snug_memory *memory)
{
    uint64_t left = atomic_load_explicit(&memory->fail_after, memory_order_relaxed);

    while (left > 0 && !atomic_compare_exchange_weak(&memory->fail_after, &left, left - 1)) {
    }
    return left == 1;
}

/* Moves the total up, if the hard limit allows; *used_out is what it was. */
static bool take_room(snug_memory *memory, uint64_t bytes, uint64_t *used_out)
{
    uint64_t used = atomic_load_explicit(&memory->all.used_bytes, memory_order_relaxed);

    do {
        const uint64_t hard =
            snug_memory_hard(memory) + atomic_load_explicit(&memory->allowed_bytes, memory_order_relaxed);

        *used_out = used;
        if (used > hard || bytes > hard - used)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&memory->all.used_bytes, &used, used + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    *used_out = used;
    return true;
}

/* The same after relief has made room. False when there is not enough all the same. */
static bool make_room(snug_memory *memory, uint64_t bytes, uint64_t *used_out)
{
    const uint64_t hard = snug_memory_hard(memory);

    if (bytes > hard) /* not even in an empty ledger */
        return false;
    return snug_memory_relieve(memory, *used_out + bytes - hard, SNUG_RELIEVE_WAIT) > 0 &&
           take_room(memory, bytes, used_out);
}

void snug_memory_add_blocks(snug_memory *memory, snug_memory_use use, uint64_t blocks)
{
    atomic_fetch_add_explicit(&memory->use[use].blocks, blocks, memory_order_relaxed);
    atomic_fetch_add_explicit(&memory->all.blocks, blocks, memory_order_relaxed);
}

snug_status snug_memory_charge(snug_memory *memory, snug_memory_use use, uint64_t bytes, uint64_t blocks,
                               const char *what, snug_error *error)
{
    snug_memory_account *account;
    uint64_t use_now;
    uint64_t used;
    uint64_t soft;
    uint64_t now;

    SNUG_ASSERT((size_t)use < SNUG_MEMORY_USE_COUNT);
    account = &memory->use[use];
    if (is_failure_due(memory))
        SNUG_FAIL(error, SNUG_ERR_OVER_LIMIT, "%s was refused because the options of the ledger ask for it",
                  what);
    if (!take_room(memory, bytes, &used) && !make_room(memory, bytes, &used))
        return refuse(memory, used, bytes, what, error);
    now = used + bytes;
    snug_memory_raise(&memory->all.peak_bytes, now);
    use_now = atomic_fetch_add_explicit(&account->used_bytes, bytes, memory_order_relaxed) + bytes;
    snug_memory_raise(&account->peak_bytes, use_now);
    snug_memory_add_blocks(memory, use, blocks);
    snug_memory_record(memory, now);
    soft = snug_memory_soft(memory);
    if (used <= soft && now > soft) {
        if (memory->on_pressure)
            memory->on_pressure(memory->user, now, soft);
        (void)snug_memory_relieve(memory, now - soft, SNUG_RELIEVE_UNLESS_BUSY);
    }
    return SNUG_OK;
}

void snug_memory_discharge(snug_memory *memory, snug_memory_use use, uint64_t bytes, uint64_t blocks)
{
    snug_memory_account *account;
    uint64_t before;

    SNUG_ASSERT((size_t)use < SNUG_MEMORY_USE_COUNT);
    account = &memory->use[use];
    before = atomic_fetch_sub_explicit(&account->used_bytes, bytes, memory_order_relaxed);
    SNUG_ASSERT(before >= bytes); /* more given back than was taken under this use */
    before = atomic_fetch_sub_explicit(&account->blocks, blocks, memory_order_relaxed);
    SNUG_ASSERT(before >= blocks);
    atomic_fetch_sub_explicit(&memory->all.blocks, blocks, memory_order_relaxed);
    /* The total last: who sees room in it finds the use already lower. */
    atomic_fetch_sub_explicit(&memory->all.used_bytes, bytes, memory_order_relaxed);
}

void snug_memory_allow(snug_memory *memory, uint64_t bytes)
{
    atomic_store_explicit(&memory->allowed_bytes, bytes, memory_order_relaxed);
}

snug_status snug_memory_take(snug_memory *memory, snug_memory_use use, uint64_t bytes, const char *what,
                             snug_error *error)
{
    return snug_memory_charge(memory, use, bytes, 1, what, error);
}

void snug_memory_give(snug_memory *memory, snug_memory_use use, uint64_t bytes)
{
    snug_memory_discharge(memory, use, bytes, 1);
}

snug_status snug_memory_reserve(snug_memory *memory, snug_memory_use use, uint64_t bytes, const char *what,
                                snug_error *error)
{
    return snug_memory_charge(memory, use, bytes, 0, what, error);
}

void snug_memory_unreserve(snug_memory *memory, snug_memory_use use, uint64_t bytes)
{
    snug_memory_discharge(memory, use, bytes, 0);
}

/* --- reading ------------------------------------------------------------------------------------------ */

static snug_memory_count read_account(const snug_memory_account *account)
{
    snug_memory_count count = {
        .used_bytes = atomic_load_explicit(&account->used_bytes, memory_order_relaxed),
        .peak_bytes = atomic_load_explicit(&account->peak_bytes, memory_order_relaxed),
        .blocks = atomic_load_explicit(&account->blocks, memory_order_relaxed),
    };

    if (count.peak_bytes < count.used_bytes) /* between the two steps of another thread's reservation */
        count.peak_bytes = count.used_bytes;
    return count;
}

snug_memory_count snug_memory_read(const snug_memory *memory, snug_memory_use use)
{
    SNUG_ASSERT((size_t)use < SNUG_MEMORY_USE_COUNT);
    return read_account(&memory->use[use]);
}

snug_memory_count snug_memory_read_all(const snug_memory *memory)
{
    return read_account(&memory->all);
}

void snug_memory_sample(snug_memory *memory)
{
    snug_os_process_memory process = snug_os_process_memory_read();

    if (process.anonymous_bytes != SNUG_OS_UNKNOWN)
        snug_memory_raise(&memory->measured_peak_bytes, process.anonymous_bytes);
}

uint64_t snug_memory_measured_peak(const snug_memory *memory)
{
    return atomic_load_explicit(&memory->measured_peak_bytes, memory_order_relaxed);
}

uint64_t snug_memory_wanted_weights(const snug_memory *memory)
{
    return atomic_load_explicit(&memory->wanted_weight_bytes, memory_order_relaxed);
}

void snug_memory_want_weights(snug_memory *memory, uint64_t bytes)
{
    atomic_fetch_add_explicit(&memory->wanted_weight_bytes, bytes, memory_order_relaxed);
}

void snug_memory_unwant_weights(snug_memory *memory, uint64_t bytes)
{
    const uint64_t before =
        atomic_fetch_sub_explicit(&memory->wanted_weight_bytes, bytes, memory_order_relaxed);

    SNUG_ASSERT(before >= bytes);
}
