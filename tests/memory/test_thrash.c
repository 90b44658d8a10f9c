/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a working set does not fit: refaults per pass and stalls, from counters that the test makes up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <snug/memory.h>

#include "memory/thrash.h"

#define MIB ((uint64_t)1 << 20)
#define MS  ((uint64_t)1000000)

typedef struct rig {
    snug_thrash thrash;
    snug_thrash_input totals;
} rig;

static rig make(void)
{
    rig r = { .totals = { .weight_bytes = 100 * MIB } };

    assert_false(snug_thrash_step(&r.thrash, &r.totals));
    return r;
}

static bool step(rig *r, uint64_t ms, uint64_t passes, uint64_t refault_bytes, uint64_t stall_us)
{
    r->totals.now_ns += ms * MS;
    r->totals.passes += passes;
    r->totals.refault_bytes += refault_bytes;
    r->totals.stall_us += stall_us;
    return snug_thrash_step(&r->thrash, &r->totals);
}

static void sees_refaults_in_four_passes_in_a_row(void **state)
{
    rig r = make();

    (void)state;
    for (int i = 0; i < 20; i++)
        assert_false(step(&r, 20, 1, 5 * MIB, 0)); /* 5 % is not above 5 % */
    assert_false(step(&r, 20, 1, 6 * MIB, 0));
    assert_false(step(&r, 20, 1, 6 * MIB, 0));
    assert_false(step(&r, 20, 1, 6 * MIB, 0));
    assert_true(step(&r, 20, 1, 6 * MIB, 0));
    assert_true(r.thrash.refault_share > 0.0599 && r.thrash.refault_share < 0.0601);
    assert_true(step(&r, 20, 0, 0, 0)); /* nothing was computed: nothing is known to be better */
    assert_false(step(&r, 20, 1, 0, 0));
    assert_false(step(&r, 20, 3, 60 * MIB, 0)); /* a row begins anew */
    assert_true(step(&r, 20, 1, 20 * MIB, 0));
}

static void divides_by_the_passes_of_a_sample(void **state)
{
    rig r = make();

    (void)state;
    assert_false(step(&r, 20, 8, 32 * MIB, 0)); /* 4 % in each */
    assert_true(step(&r, 20, 8, 48 * MIB, 0));  /* 6 % in each of eight */
    /* What is read again between passes counts for the next. */
    r = make();
    assert_false(step(&r, 20, 0, 7 * MIB, 0));
    assert_true(step(&r, 20, 4, 14 * MIB, 0));
}

static void sees_stalls_of_a_tenth_of_the_time(void **state)
{
    rig r = make();

    (void)state;
    for (int i = 0; i < 9; i++)
        assert_false(step(&r, 20, 0, 0, 2100)); /* not yet 200 ms */
    assert_true(step(&r, 20, 0, 0, 2100));
    assert_true(r.thrash.stall_share > 0.104 && r.thrash.stall_share < 0.106);
    assert_true(step(&r, 199, 0, 0, 0)); /* holds until the next window is full */
    assert_false(step(&r, 1, 0, 0, 0));
    assert_false(step(&r, 2000, 0, 0, 199000));
    assert_true(step(&r, 2000, 0, 0, 201000)); /* who samples rarely has long windows */
}

static void knows_nothing_from_counters_that_are_not_there(void **state)
{
    rig r = { .totals = { .refault_bytes = UINT64_MAX, .stall_us = UINT64_MAX, .weight_bytes = 100 * MIB } };

    (void)state;
    for (int i = 0; i < 20; i++) {
        r.totals.now_ns += 300 * MS;
        r.totals.passes++;
        assert_false(snug_thrash_step(&r.thrash, &r.totals));
    }
    assert_true(r.thrash.refault_share == SNUG_VOTE_NONE && r.thrash.stall_share == SNUG_VOTE_NONE);
    /* They appear, with what they counted before: no difference yet. Then they go back. */
    r.totals.refault_bytes = 500 * MIB;
    assert_false(step(&r, 300, 4, 0, 0));
    assert_true(r.thrash.refault_share == SNUG_VOTE_NONE);
    r.totals.refault_bytes = 400 * MIB;
    assert_false(step(&r, 300, 4, 0, 0));
    assert_true(r.thrash.refault_share == SNUG_VOTE_NONE);
    /* Without weights there is nothing that could be read again. */
    r.totals.weight_bytes = 0;
    assert_false(step(&r, 300, 4, 90 * MIB, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sees_refaults_in_four_passes_in_a_row),
        cmocka_unit_test(divides_by_the_passes_of_a_sample),
        cmocka_unit_test(sees_stalls_of_a_tenth_of_the_time),
        cmocka_unit_test(knows_nothing_from_counters_that_are_not_there),
    };

    return cmocka_run_group_tests_name("thrash", tests, NULL, NULL);
}
