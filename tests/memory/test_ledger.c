/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger: sums, peaks, both limits and their sentences, the timeline, and many threads at it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "memory/memory.h"
#include "os/thread.h"

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

static snug_memory *make(uint64_t soft_bytes, uint64_t hard_bytes)
{
    snug_memory_options options = { .struct_size = sizeof options,
                                    .soft_bytes = soft_bytes,
                                    .hard_bytes = hard_bytes };
    snug_memory *memory = NULL;

    assert_int_equal(snug_memory_create(&memory, &options), SNUG_OK);
    return memory;
}

static void take(snug_memory *memory, snug_memory_use use, uint64_t bytes)
{
    assert_int_equal(snug_memory_take(memory, use, bytes, "a test", NULL), SNUG_OK);
}

static void assert_count(snug_memory_count count, uint64_t used, uint64_t peak, uint64_t blocks)
{
    assert_int_equal(count.used_bytes, used);
    assert_int_equal(count.peak_bytes, peak);
    assert_int_equal(count.blocks, blocks);
}

static void counts_each_use_and_the_sum(void **state)
{
    snug_memory *memory = make(0, 0);

    (void)state;
    take(memory, SNUG_MEMORY_KV, 100);
    take(memory, SNUG_MEMORY_TEXT, 30);
    take(memory, SNUG_MEMORY_KV, 50);
    snug_memory_give(memory, SNUG_MEMORY_KV, 100);
    take(memory, SNUG_MEMORY_SCRATCH, 60);
    assert_count(snug_memory_read(memory, SNUG_MEMORY_KV), 50, 150, 1);
    assert_count(snug_memory_read(memory, SNUG_MEMORY_TEXT), 30, 30, 1);
    assert_count(snug_memory_read(memory, SNUG_MEMORY_SCRATCH), 60, 60, 1);
    assert_count(snug_memory_read(memory, SNUG_MEMORY_OTHER), 0, 0, 0);
    assert_count(snug_memory_read_all(memory), 140, 180, 3); /* its own peak, not the sum of peaks */
    snug_memory_give(memory, SNUG_MEMORY_KV, 50);
    snug_memory_give(memory, SNUG_MEMORY_TEXT, 30);
    snug_memory_give(memory, SNUG_MEMORY_SCRATCH, 60);
    assert_count(snug_memory_read_all(memory), 0, 180, 0);
    snug_memory_destroy(memory);
}

static void names_every_use(void **state)
{
    (void)state;
    assert_string_equal(snug_memory_use_name(SNUG_MEMORY_WEIGHTS), "weights");
    assert_string_equal(snug_memory_use_name(SNUG_MEMORY_KV), "kv");
    assert_string_equal(snug_memory_use_name(SNUG_MEMORY_OTHER), "other");
}

static void refuses_past_the_hard_limit_with_the_figures(void **state)
{
    snug_memory *memory = make(0, 2 * GIB);
    snug_error error = { SNUG_OK, "" };

    (void)state;
    take(memory, SNUG_MEMORY_KV, 2 * GIB - 100 * MIB);
    assert_int_equal(snug_memory_take(memory, SNUG_MEMORY_KV, 100 * MIB + 1, "attention cache", &error),
                     SNUG_ERR_OVER_LIMIT);
    assert_int_equal(error.status, SNUG_ERR_OVER_LIMIT);
    assert_string_equal(error.text, "attention cache needs 100.1 MiB, but 100.0 MiB are left of the memory "
                                    "limit of 2.0 GiB (2.0 GiB in use)");
    assert_count(snug_memory_read_all(memory), 2 * GIB - 100 * MIB, 2 * GIB - 100 * MIB, 1);
    take(memory, SNUG_MEMORY_OTHER, 100 * MIB); /* to the last byte */
    assert_int_equal(snug_memory_take(memory, SNUG_MEMORY_TEXT, 1, "one byte", &error), SNUG_ERR_OVER_LIMIT);
    assert_string_equal(error.text, "one byte needs 1 bytes, but 0 bytes are left of the memory limit of "
                                    "2.0 GiB (2.0 GiB in use)");
    take(memory, SNUG_MEMORY_TEXT, 0);
    snug_memory_give(memory, SNUG_MEMORY_TEXT, 0);
    snug_memory_give(memory, SNUG_MEMORY_KV, 2 * GIB - 100 * MIB);
    snug_memory_give(memory, SNUG_MEMORY_OTHER, 100 * MIB);
    snug_memory_destroy(memory);
}

static void writes_amounts_that_never_contradict(void **state)
{
    static const struct {
        uint64_t hard;
        uint64_t bytes;
        const char *needs;
        const char *left;
    } cases[] = {
        { 1000, 1001, "needs 1001 bytes,", "1000 bytes are left" },
        { 1024, 1025, "needs 1.1 KiB,", "1.0 KiB are left" },
        { MIB - 1, MIB, "needs 1.0 MiB,", "1023.9 KiB are left" },
        { 3 * GIB / 2, 3 * GIB / 2 + 1, "needs 1.6 GiB,", "1.5 GiB are left" },
        { GIB, UINT64_MAX, "needs 16.0 EiB,", "1.0 GiB are left" },
        { GIB * 1024 * 5, (uint64_t)6 << 50, "needs 6.0 PiB,", "5.0 TiB are left" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snug_memory *memory = make(0, cases[i].hard);
        snug_error error;

        assert_int_equal(snug_memory_take(memory, SNUG_MEMORY_KV, cases[i].bytes, "it", &error),
                         SNUG_ERR_OVER_LIMIT);
        if (!strstr(error.text, cases[i].needs) || !strstr(error.text, cases[i].left))
            fail_msg("'%s' should say '%s' and '%s'", error.text, cases[i].needs, cases[i].left);
        snug_memory_destroy(memory);
    }
}

static void cannot_be_overflowed_without_a_limit(void **state)
{
    snug_memory *memory = make(0, 0);
    snug_error error;

    (void)state;
    take(memory, SNUG_MEMORY_KV, 1000);
    assert_int_equal(snug_memory_take(memory, SNUG_MEMORY_KV, UINT64_MAX - 10, "a wrapped size", &error),
                     SNUG_ERR_OVER_LIMIT);
    assert_non_null(strstr(error.text, "a wrapped size needs"));
    assert_null(snug_memory_alloc(memory, SNUG_MEMORY_KV, UINT64_MAX, "a wrapped block", &error));
    assert_int_equal(error.status, SNUG_ERR_OVER_LIMIT);
    snug_memory_give(memory, SNUG_MEMORY_KV, 1000);
    snug_memory_destroy(memory);
}

typedef struct pressure {
    _Atomic int calls;
    uint64_t used_bytes;
    uint64_t soft_bytes;
} pressure;

static void note_pressure(void *user, uint64_t used_bytes, uint64_t soft_bytes)
{
    pressure *seen = user;

    atomic_fetch_add(&seen->calls, 1);
    seen->used_bytes = used_bytes;
    seen->soft_bytes = soft_bytes;
}

static void tells_each_rise_past_the_soft_limit_once(void **state)
{
    pressure seen = { 0 };
    snug_memory_options options = { .struct_size = sizeof options,
                                    .soft_bytes = 100,
                                    .hard_bytes = 200,
                                    .on_pressure = note_pressure,
                                    .user = &seen };
    snug_memory *memory = NULL;

    (void)state;
    assert_int_equal(snug_memory_create(&memory, &options), SNUG_OK);
    take(memory, SNUG_MEMORY_KV, 100);
    assert_int_equal(seen.calls, 0); /* at the limit is not past it */
    take(memory, SNUG_MEMORY_TEXT, 1);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.used_bytes, 101);
    assert_int_equal(seen.soft_bytes, 100);
    take(memory, SNUG_MEMORY_OTHER, 50);
    assert_int_equal(seen.calls, 1); /* already past it */
    snug_memory_give(memory, SNUG_MEMORY_KV, 100);
    assert_int_equal(snug_memory_take(memory, SNUG_MEMORY_KV, 150, "too much", NULL), SNUG_ERR_OVER_LIMIT);
    assert_int_equal(seen.calls, 1);
    take(memory, SNUG_MEMORY_KV, 149);
    assert_int_equal(seen.calls, 2);
    snug_memory_give(memory, SNUG_MEMORY_KV, 149);
    snug_memory_give(memory, SNUG_MEMORY_OTHER, 50);
    snug_memory_give(memory, SNUG_MEMORY_TEXT, 1);
    snug_memory_destroy(memory);
}

static void refuses_wrong_options(void **state)
{
    snug_memory_options options = { .struct_size = sizeof options, .soft_bytes = 101, .hard_bytes = 100 };
    snug_memory *memory = NULL;

    (void)state;
    assert_int_equal(snug_memory_create(&memory, &options), SNUG_ERR_ARGUMENT);
    options.struct_size = 0;
    options.soft_bytes = 0;
    assert_int_equal(snug_memory_create(&memory, &options), SNUG_ERR_ARGUMENT);
    options.struct_size = sizeof options + 8;
    assert_int_equal(snug_memory_create(&memory, &options), SNUG_ERR_ARGUMENT);
    assert_null(memory);
    options.struct_size = offsetof(snug_memory_options, hard_bytes); /* an older caller's: no hard limit */
    assert_int_equal(snug_memory_create(&memory, &options), SNUG_OK);
    take(memory, SNUG_MEMORY_KV, 1000);
    snug_memory_give(memory, SNUG_MEMORY_KV, 1000);
    snug_memory_destroy(memory);
    assert_int_equal(snug_memory_create(&memory, NULL), SNUG_OK);
    snug_memory_destroy(memory);
    snug_memory_destroy(NULL);
}

static void refuses_the_reservation_a_test_asks_for(void **state)
{
    snug_memory_options options = { .struct_size = sizeof options, .fail_after = 3 };
    snug_memory *memory = NULL;
    snug_error error;

    (void)state;
    assert_int_equal(snug_memory_create(&memory, &options), SNUG_OK);
    take(memory, SNUG_MEMORY_KV, 1);
    take(memory, SNUG_MEMORY_KV, 1);
    assert_null(snug_memory_alloc(memory, SNUG_MEMORY_KV, 1, "the third", &error));
    assert_int_equal(error.status, SNUG_ERR_OVER_LIMIT);
    assert_memory_equal(error.text, "the third", 9);
    take(memory, SNUG_MEMORY_KV, 1);
    take(memory, SNUG_MEMORY_KV, 1);
    for (int i = 0; i < 4; i++)
        snug_memory_give(memory, SNUG_MEMORY_KV, 1);
    snug_memory_destroy(memory);
}

/* --- timeline ----------------------------------------------------------------------------------------- */

static void keeps_a_point_at_each_new_peak(void **state)
{
    snug_memory *memory = make(0, 0);
    snug_memory_point point[8];

    (void)state;
    assert_int_equal(snug_memory_timeline(memory, point, 8), 0);
    take(memory, SNUG_MEMORY_WEIGHTS, 6400);
    take(memory, SNUG_MEMORY_KV, 99); /* below 1/64 of 6400 */
    take(memory, SNUG_MEMORY_TEXT, 1);
    snug_memory_give(memory, SNUG_MEMORY_KV, 99);
    take(memory, SNUG_MEMORY_KV, 99); /* no new peak */
    take(memory, SNUG_MEMORY_KV, 1000);
    assert_int_equal(snug_memory_timeline(memory, point, 8), 3);
    assert_int_equal(point[0].used_bytes, 6400);
    assert_int_equal(point[0].use_bytes[SNUG_MEMORY_WEIGHTS], 6400);
    assert_int_equal(point[0].use_bytes[SNUG_MEMORY_KV], 0);
    assert_int_equal(point[1].used_bytes, 6500);
    assert_int_equal(point[1].use_bytes[SNUG_MEMORY_TEXT], 1);
    assert_int_equal(point[2].used_bytes, 7500);
    assert_int_equal(point[2].use_bytes[SNUG_MEMORY_KV], 1099);
    assert_true(point[0].time_ns <= point[1].time_ns && point[1].time_ns <= point[2].time_ns);
    assert_int_equal(snug_memory_timeline(memory, point, 1), 3);
    assert_int_equal(snug_memory_timeline(memory, NULL, 0), 3);
    snug_memory_give(memory, SNUG_MEMORY_WEIGHTS, 6400);
    snug_memory_give(memory, SNUG_MEMORY_TEXT, 1);
    snug_memory_give(memory, SNUG_MEMORY_KV, 99);
    snug_memory_give(memory, SNUG_MEMORY_KV, 1000);
    snug_memory_destroy(memory);
}

static void drops_the_oldest_points(void **state)
{
    enum {
        STEPS = 1000
    };
    static snug_memory_point point[STEPS];
    snug_memory *memory = make(0, 0);
    uint64_t total = 0;
    uint64_t taken[STEPS];
    size_t count;

    (void)state;
    for (size_t i = 0; i < STEPS; i++) {
        taken[i] = total / 50 + 1; /* always above 1/64 */
        total += taken[i];
        take(memory, SNUG_MEMORY_KV, taken[i]);
    }
    count = snug_memory_timeline(memory, point, STEPS);
    assert_in_range(count, 64, STEPS - 1);
    for (size_t i = 0; i < count; i++) {
        uint64_t expected = 0;

        for (size_t j = 0; j <= STEPS - count + i; j++)
            expected += taken[j];
        assert_int_equal(point[i].used_bytes, expected);
        assert_int_equal(point[i].use_bytes[SNUG_MEMORY_KV], expected);
    }
    for (size_t i = 0; i < STEPS; i++)
        snug_memory_give(memory, SNUG_MEMORY_KV, taken[i]);
    snug_memory_destroy(memory);
}

/* --- threads ------------------------------------------------------------------------------------------ */

enum {
    THREADS = 6,
    ROUNDS = 20000,
    HELD = 16
};

#define HAMMER_HARD 10000

typedef struct hammer {
    snug_memory *memory;
    uint32_t index;
    uint64_t refused;
    bool saw_too_much;
    snug_os_thread thread;
} hammer;

static void run_hammer(void *user)
{
    hammer *self = user;
    snug_random random = { self->index };
    uint64_t held[HELD] = { 0 };

    for (int round = 0; round < ROUNDS; round++) {
        size_t slot = snug_random_next(&random) % HELD;
        snug_memory_use use = (snug_memory_use)(slot % SNUG_MEMORY_USE_COUNT);

        if (held[slot] > 0) {
            snug_memory_give(self->memory, use, held[slot]);
            held[slot] = 0;
        } else {
            uint64_t bytes = 1 + snug_random_next(&random) % 3000;

            if (snug_memory_take(self->memory, use, bytes, "a thread", NULL) == SNUG_OK)
                held[slot] = bytes;
            else
                self->refused++;
        }
        if (snug_memory_read_all(self->memory).used_bytes > HAMMER_HARD)
            self->saw_too_much = true;
    }
    for (size_t slot = 0; slot < HELD; slot++) {
        if (held[slot] > 0)
            snug_memory_give(self->memory, (snug_memory_use)(slot % SNUG_MEMORY_USE_COUNT), held[slot]);
    }
}

static void stays_exact_under_many_threads(void **state)
{
    snug_memory *memory = make(0, HAMMER_HARD);
    hammer hammers[THREADS];
    uint64_t refused = 0;

    (void)state;
    for (uint32_t i = 0; i < THREADS; i++) {
        hammers[i] = (hammer){ .memory = memory, .index = i };
        assert_int_equal(snug_os_thread_start(&hammers[i].thread, run_hammer, &hammers[i], NULL), SNUG_OK);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        snug_os_thread_join(&hammers[i].thread);
        refused += hammers[i].refused;
        assert_false(hammers[i].saw_too_much);
    }
    print_message("%llu of %d reservations refused, peak %llu of %d\n", (unsigned long long)refused,
                  THREADS * ROUNDS / 2, (unsigned long long)snug_memory_read_all(memory).peak_bytes,
                  HAMMER_HARD);
    assert_true(refused > 0); /* else the limit was not tried */
    assert_int_equal(snug_memory_read_all(memory).used_bytes, 0);
    assert_int_equal(snug_memory_read_all(memory).blocks, 0);
    assert_true(snug_memory_read_all(memory).peak_bytes <= HAMMER_HARD);
    for (int use = 0; use < SNUG_MEMORY_USE_COUNT; use++)
        assert_int_equal(snug_memory_read(memory, (snug_memory_use)use).used_bytes, 0);
    snug_memory_destroy(memory);
}

static void take_one_by_one(void *user)
{
    hammer *self = user;

    for (int i = 0; i < ROUNDS; i++)
        self->refused += snug_memory_take(self->memory, SNUG_MEMORY_KV, 1, "one", NULL) != SNUG_OK;
}

/* However the threads interleave: exactly `hard` bytes are granted, and the soft limit is passed once. */
static void grants_exactly_the_limit(void **state)
{
    enum {
        LIMIT = THREADS * ROUNDS - 777
    };
    pressure seen = { 0 };
    snug_memory_options options = { .struct_size = sizeof options,
                                    .soft_bytes = LIMIT / 2,
                                    .hard_bytes = LIMIT,
                                    .on_pressure = note_pressure,
                                    .user = &seen };
    snug_memory *memory = NULL;
    hammer hammers[THREADS];
    uint64_t refused = 0;

    (void)state;
    assert_int_equal(snug_memory_create(&memory, &options), SNUG_OK);
    for (uint32_t i = 0; i < THREADS; i++) {
        hammers[i] = (hammer){ .memory = memory, .index = i };
        assert_int_equal(snug_os_thread_start(&hammers[i].thread, take_one_by_one, &hammers[i], NULL),
                         SNUG_OK);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        snug_os_thread_join(&hammers[i].thread);
        refused += hammers[i].refused;
    }
    assert_int_equal(refused, 777);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.used_bytes, LIMIT / 2 + 1);
    assert_count(snug_memory_read(memory, SNUG_MEMORY_KV), LIMIT, LIMIT, LIMIT);
    assert_count(snug_memory_read_all(memory), LIMIT, LIMIT, LIMIT);
    for (int i = 0; i < LIMIT; i++)
        snug_memory_give(memory, SNUG_MEMORY_KV, 1);
    snug_memory_destroy(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_each_use_and_the_sum),
        cmocka_unit_test(names_every_use),
        cmocka_unit_test(refuses_past_the_hard_limit_with_the_figures),
        cmocka_unit_test(writes_amounts_that_never_contradict),
        cmocka_unit_test(cannot_be_overflowed_without_a_limit),
        cmocka_unit_test(tells_each_rise_past_the_soft_limit_once),
        cmocka_unit_test(refuses_wrong_options),
        cmocka_unit_test(refuses_the_reservation_a_test_asks_for),
        cmocka_unit_test(keeps_a_point_at_each_new_peak),
        cmocka_unit_test(drops_the_oldest_points),
        cmocka_unit_test(stays_exact_under_many_threads),
        cmocka_unit_test(grants_exactly_the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
