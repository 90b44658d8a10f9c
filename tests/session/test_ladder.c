/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When memory is given back and taken again, with a simulated clock. Levels are those of the bands alone, as
 * the monitor has them, without its own hysteresis: the ladder must not flap even so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "session/ladder.h"
#include "session/trend.h"

#define MS     ((uint64_t)1000000)
#define SECOND (1000 * MS)
#define LIMIT  ((uint64_t)1 << 30)

static snug_ladder_order look(snug_ladder *ladder, uint64_t now, double usage)
{
    const snug_ladder_input input = {
        .now_ns = now, .level = snug_pressure_of_usage(usage), .usage = usage, .limit_bytes = LIMIT
    };

    return snug_ladder_decide(ladder, &input);
}

static void assert_want(snug_ladder_order order, double part)
{
    assert_int_equal(order.move, SNUG_LADDER_DOWN);
    assert_true((double)order.want_bytes > (part - 0.001) * (double)LIMIT);
    assert_true((double)order.want_bytes < (part + 0.001) * (double)LIMIT);
}

static void it_begins_at_the_strategys_level_and_ends_10_points_under_its_entry(void **state)
{
    snug_ladder ladder = { .relief_from = SNUG_PRESSURE_HIGH };
    snug_ladder eager = { .relief_from = SNUG_PRESSURE_MEDIUM };

    (void)state;
    assert_int_equal(look(&ladder, SECOND, 0.69).move, SNUG_LADDER_STAY);
    assert_want(look(&ladder, 2 * SECOND, 0.72), 0.12);
    assert_want(look(&eager, SECOND, 0.52), 0.12);
    snug_ladder_done(&ladder, 2 * SECOND, MS, true);
    /* Within the level's hysteresis it goes on until the target. */
    {
        const snug_ladder_input held = {
            .now_ns = 3 * SECOND, .level = SNUG_PRESSURE_HIGH, .usage = 0.63, .limit_bytes = LIMIT
        };
        const snug_ladder_input met = {
            .now_ns = 4 * SECOND, .level = SNUG_PRESSURE_HIGH, .usage = 0.59, .limit_bytes = LIMIT
        };

        assert_want(snug_ladder_decide(&ladder, &held), 0.03);
        assert_int_equal(snug_ladder_decide(&ladder, &met).move, SNUG_LADDER_STAY);
    }
}

static void a_step_waits_for_the_effect_of_the_one_before(void **state)
{
    snug_ladder ladder = { .relief_from = SNUG_PRESSURE_HIGH };

    (void)state;
    assert_int_equal(look(&ladder, SECOND, 0.8).move, SNUG_LADDER_DOWN);
    snug_ladder_done(&ladder, SECOND + 10 * MS, 10 * MS, true);
    assert_int_equal(look(&ladder, SECOND + 40 * MS, 0.8).move, SNUG_LADDER_STAY);
    assert_int_equal(look(&ladder, SECOND + 60 * MS, 0.8).move, SNUG_LADDER_DOWN);
    snug_ladder_done(&ladder, SECOND + 160 * MS, 100 * MS, true); /* a long one: twice as long */
    assert_int_equal(look(&ladder, SECOND + 350 * MS, 0.8).move, SNUG_LADDER_STAY);
    assert_int_equal(look(&ladder, SECOND + 360 * MS, 0.8).move, SNUG_LADDER_DOWN);
    snug_ladder_done(&ladder, SECOND + 361 * MS, MS, false); /* nothing was left: do not ask at every token */
    assert_int_equal(look(&ladder, 5 * SECOND, 0.8).move, SNUG_LADDER_STAY);
    assert_int_equal(look(&ladder, 7 * SECOND, 0.8).move, SNUG_LADDER_DOWN);
}

static void a_request_that_will_get_there_is_met_before(void **state)
{
    snug_ladder ladder = { .relief_from = SNUG_PRESSURE_HIGH };
    snug_ladder_input input = { .now_ns = SECOND,
                                .level = SNUG_PRESSURE_MEDIUM,
                                .usage = 0.6,
                                .limit_bytes = LIMIT,
                                .soon_bytes = (uint64_t)(0.65 * (double)LIMIT) };
    snug_ladder_order order;

    (void)state;
    assert_int_equal(snug_ladder_decide(&ladder, &input).move, SNUG_LADDER_STAY);
    input.soon_bytes = (uint64_t)(0.75 * (double)LIMIT);
    order = snug_ladder_decide(&ladder, &input);
    assert_want(order, 0.05);
    assert_int_equal(order.reason, SNUG_RELIEF_FORECAST);
    assert_false(order.is_forced);
}

static void what_was_promised_is_no_reason_but_missing_memory_is(void **state)
{
    snug_ladder ladder = { .relief_from = SNUG_PRESSURE_MEDIUM };
    snug_ladder_input input = { .now_ns = SECOND,
                                .level = SNUG_PRESSURE_CRITICAL,
                                .usage = 0.94,
                                .limit_bytes = LIMIT,
                                .soon_bytes = (uint64_t)(0.95 * (double)LIMIT),
                                .is_promised = true };

    (void)state;
    assert_int_equal(snug_ladder_decide(&ladder, &input).move, SNUG_LADDER_STAY);
    input.over_bytes = 5;
    assert_int_equal(snug_ladder_decide(&ladder, &input).move, SNUG_LADDER_DOWN);
    ladder = (snug_ladder){ .relief_from = SNUG_PRESSURE_MEDIUM };
    input.over_bytes = 0;
    input.is_promised = false; /* others took some: down to where the level is left for good */
    assert_want(snug_ladder_decide(&ladder, &input), 0.94 - 0.75);
}

static void what_is_over_the_limit_waits_for_nothing(void **state)
{
    snug_ladder ladder = { .relief_from = SNUG_PRESSURE_HIGH };
    const snug_ladder_input input = { .now_ns = SECOND + MS, .usage = 0.1, .over_bytes = 77 };
    snug_ladder_order order;

    (void)state;
    assert_int_equal(look(&ladder, SECOND, 0.8).move, SNUG_LADDER_DOWN);
    snug_ladder_done(&ladder, SECOND, MS, false);
    order = snug_ladder_decide(&ladder, &input);
    assert_int_equal(order.move, SNUG_LADDER_DOWN);
    assert_int_equal(order.want_bytes, 77);
    assert_int_equal(order.reason, SNUG_RELIEF_LIMIT);
    assert_true(order.is_forced);
}

static void steps_are_taken_back_one_a_second_after_5_quiet_ones(void **state)
{
    snug_ladder ladder = { .relief_from = SNUG_PRESSURE_HIGH };
    uint64_t first = 0, last = 0;
    int ups = 0;

    (void)state;
    for (uint64_t now = SECOND; now < 5 * SECOND; now += 20 * MS) /* nothing was given back: none comes */
        assert_int_equal(look(&ladder, now, 0.1).move, SNUG_LADDER_STAY);
    assert_int_equal(look(&ladder, 10 * SECOND, 0.8).move, SNUG_LADDER_DOWN);
    snug_ladder_done(&ladder, 10 * SECOND, MS, true);
    for (uint64_t now = 10 * SECOND + 20 * MS; now < 20 * SECOND; now += 20 * MS)
        if (look(&ladder, now, 0.55).move == SNUG_LADDER_UP) {
            assert_true(ups == 0 || now - last >= SECOND);
            first = ups++ ? first : now;
            last = now;
        }
    assert_true(first >= 15 * SECOND && first < 15 * SECOND + 60 * MS);
    assert_int_equal(ups, 5);
}

/* A plant: usage around `base`, with noise, and what has been given back; each step gives 6 points, and takes
 * them back. Directions: how often it turned. */
static void noise_never_makes_it_flap(void **state)
{
    (void)state;
    for (int base = 40; base <= 90; base += 2)
        for (uint32_t seed = 1; seed <= 8; seed++) {
            snug_ladder ladder = { .relief_from = SNUG_PRESSURE_HIGH };
            uint32_t random = seed;
            uint64_t began[2] = { 0, 0 }; /* of the last descent and recovery */
            int given = 0, direction = 0;

            for (uint64_t now = SECOND; now < 60 * SECOND; now += 20 * MS) {
                double usage;
                snug_ladder_order order;

                random = random * 1664525u + 1013904223u;
                usage = (base - 6 * given) / 100.0 + ((double)(random >> 8) / (1 << 24) - 0.5) * 0.06;
                order = look(&ladder, now, usage);
                if (order.move == SNUG_LADDER_DOWN && direction != 1) {
                    assert_true(began[0] == 0 || now - began[0] >= 5 * SECOND);
                    began[0] = now;
                    direction = 1;
                } else if (order.move == SNUG_LADDER_UP && direction != 2) {
                    assert_true(began[1] == 0 || now - began[1] >= 5 * SECOND);
                    began[1] = now;
                    direction = 2;
                }
                if (order.move == SNUG_LADDER_DOWN) {
                    const bool has_effect = given < 8;

                    given += has_effect;
                    snug_ladder_done(&ladder, now, MS, has_effect);
                } else if (order.move == SNUG_LADDER_UP && given > 0 &&
                           (usage + 0.06) * (double)LIMIT <= (double)snug_ladder_roof(&ladder, LIMIT)) {
                    given--;
                }
            }
            /* And it does what it is for: under HIGH, where it can. */
            assert_true(base - 6 * given < 73);
        }
}

#define MIB ((uint64_t)1 << 20)
#define MS  ((uint64_t)1000000)

static void a_limit_that_others_eat_is_foreseen_and_one_that_is_set_is_not(void **state)
{
    snug_trend trend = { 0 };

    (void)state;
    assert_int_equal(snug_trend_fall(&trend, 400 * MS), 0);
    for (uint64_t i = 1; i <= 10; i++) {
        snug_trend_add(&trend, 1000 * MS + 20 * i * MS, (100 - 2 * i) * MIB);
        /* The first reading has none before it; three steps make a trend of 2 MiB in 20 ms. */
        assert_in_range(snug_trend_fall(&trend, 400 * MS), i < 4 ? 0 : 40 * MIB - 1, i < 4 ? 0 : 40 * MIB);
    }
    snug_trend_add(&trend, 1220 * MS, 79 * MIB); /* slower */
    assert_in_range(snug_trend_fall(&trend, 400 * MS), 20 * MIB - 1, 20 * MIB);
    snug_trend_add(&trend, 1240 * MS, 79 * MIB); /* not any more */
    assert_int_equal(snug_trend_fall(&trend, 400 * MS), 0);

    /* Half of it at once, by who sets it. */
    for (uint64_t i = 1; i <= 10; i++) {
        snug_trend_add(&trend, 2000 * MS + 20 * i * MS, i < 5 ? 100 * MIB : 50 * MIB);
        assert_int_equal(snug_trend_fall(&trend, 400 * MS), 0);
    }
    /* Who was not looking for long does not know how fast it went. */
    snug_trend_add(&trend, 3000 * MS, 40 * MIB);
    snug_trend_add(&trend, 3010 * MS, 39 * MIB);
    assert_int_equal(snug_trend_fall(&trend, 400 * MS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_begins_at_the_strategys_level_and_ends_10_points_under_its_entry),
        cmocka_unit_test(a_step_waits_for_the_effect_of_the_one_before),
        cmocka_unit_test(a_request_that_will_get_there_is_met_before),
        cmocka_unit_test(what_was_promised_is_no_reason_but_missing_memory_is),
        cmocka_unit_test(what_is_over_the_limit_waits_for_nothing),
        cmocka_unit_test(steps_are_taken_back_one_a_second_after_5_quiet_ones),
        cmocka_unit_test(a_limit_that_others_eat_is_foreseen_and_one_that_is_set_is_not),
        cmocka_unit_test(noise_never_makes_it_flap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
