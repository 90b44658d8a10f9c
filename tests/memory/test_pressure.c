/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state machine of pressure with a simulated clock: the edges one by one, then properties over random
 * walks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "memory/pressure.h"

#include <math.h>

#define MS ((uint64_t)1000000)

typedef struct rig {
    snug_pressure_machine machine;
    uint64_t now_ns;
} rig;

static snug_pressure step(rig *r, uint64_t after_ms, double usage)
{
    r->now_ns += after_ms * MS;
    return snug_pressure_step(&r->machine, &(snug_pressure_input){ .now_ns = r->now_ns, .usage = usage });
}

static snug_pressure thrash(rig *r, uint64_t after_ms, double usage, bool is_plentiful)
{
    r->now_ns += after_ms * MS;
    return snug_pressure_step(&r->machine, &(snug_pressure_input){ .now_ns = r->now_ns,
                                                                   .usage = usage,
                                                                   .is_thrashing = true,
                                                                   .is_plentiful = is_plentiful });
}

static void enters_every_level_at_once(void **state)
{
    rig r = { .now_ns = 5 };

    (void)state;
    assert_int_equal(step(&r, 0, 0.49), SNUG_PRESSURE_LOW);
    assert_int_equal(step(&r, 0, 0.50), SNUG_PRESSURE_MEDIUM);
    assert_int_equal(step(&r, 0, 0.70), SNUG_PRESSURE_HIGH);
    assert_int_equal(step(&r, 0, 0.85), SNUG_PRESSURE_HIGH);
    assert_int_equal(step(&r, 0, 0.851), SNUG_PRESSURE_CRITICAL);
    r = (rig){ .now_ns = 0 };
    assert_int_equal(step(&r, 0, 1.5), SNUG_PRESSURE_CRITICAL); /* over all levels in one step */
}

static void leaves_five_points_lower_after_two_seconds(void **state)
{
    static const struct {
        double enter;
        double hold; /* just not low enough to leave */
        double leave;
    } cases[] = { { 0.50, 0.4501, 0.4499 }, { 0.70, 0.6501, 0.6499 }, { 0.86, 0.8001, 0.7999 } };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig r = { .now_ns = 7 };
        const snug_pressure level = step(&r, 0, cases[i].enter);

        assert_int_equal(step(&r, 3000, cases[i].hold), level);
        assert_int_equal(step(&r, 60000, cases[i].hold), level); /* however long */
        assert_int_equal(step(&r, 1999, cases[i].leave), level);
        assert_int_equal(step(&r, 1, cases[i].leave), level - 1);
    }
}

static void starts_the_two_seconds_again_after_a_return(void **state)
{
    rig r = { .now_ns = 0 };

    (void)state;
    assert_int_equal(step(&r, 10, 0.75), SNUG_PRESSURE_HIGH);
    assert_int_equal(step(&r, 1900, 0.3), SNUG_PRESSURE_HIGH);
    assert_int_equal(step(&r, 10, 0.66), SNUG_PRESSURE_HIGH); /* not HIGH's band, but not left either */
    assert_int_equal(step(&r, 1990, 0.3), SNUG_PRESSURE_HIGH);
    assert_int_equal(step(&r, 10, 0.3), SNUG_PRESSURE_LOW);
}

static void falls_to_what_the_last_two_seconds_allow(void **state)
{
    rig r = { .now_ns = 0 };

    (void)state;
    assert_int_equal(step(&r, 10, 0.99), SNUG_PRESSURE_CRITICAL);
    assert_int_equal(step(&r, 2000, 0.1), SNUG_PRESSURE_LOW); /* all the way, not 2 s a level */
    assert_int_equal(step(&r, 10, 0.99), SNUG_PRESSURE_CRITICAL);
    assert_int_equal(step(&r, 1000, 0.56), SNUG_PRESSURE_CRITICAL);
    assert_int_equal(step(&r, 1000, 0.1), SNUG_PRESSURE_MEDIUM); /* 0.56 was a second ago */
    assert_int_equal(step(&r, 999, 0.1), SNUG_PRESSURE_MEDIUM);
    assert_int_equal(step(&r, 1, 0.1), SNUG_PRESSURE_LOW);
}

static void raises_by_one_when_it_thrashes(void **state)
{
    rig r = { .now_ns = 0 };

    (void)state;
    assert_int_equal(thrash(&r, 10, 0.1, true), SNUG_PRESSURE_MEDIUM);
    assert_int_equal(thrash(&r, 10, 0.6, true), SNUG_PRESSURE_HIGH);
    assert_int_equal(thrash(&r, 10, 0.8, true),
                     SNUG_PRESSURE_HIGH); /* at most, while headroom is plentiful */
    assert_int_equal(thrash(&r, 10, 0.8, false), SNUG_PRESSURE_CRITICAL);
    assert_int_equal(thrash(&r, 10, 0.9, true), SNUG_PRESSURE_CRITICAL);
    /* The raise is left like any level: after two seconds without it. */
    r = (rig){ .now_ns = 0 };
    assert_int_equal(thrash(&r, 10, 0.1, true), SNUG_PRESSURE_MEDIUM);
    assert_int_equal(step(&r, 1999, 0.1), SNUG_PRESSURE_MEDIUM);
    assert_int_equal(step(&r, 1, 0.1), SNUG_PRESSURE_LOW);
}

static void takes_unknown_as_no_pressure(void **state)
{
    rig r = { .now_ns = 0 };

    (void)state;
    assert_int_equal(step(&r, 10, NAN), SNUG_PRESSURE_LOW);
    assert_int_equal(step(&r, 10, -1.0), SNUG_PRESSURE_LOW);
    assert_int_equal(step(&r, 10, INFINITY), SNUG_PRESSURE_CRITICAL);
}

/* --- properties ---------------------------------------------------------------------------------------- */

static double uniform(snug_random *random, double least, double most)
{
    return least + (most - least) * snug_random_unit(random);
}

/* Around every value there is, 3 points of noise move the level at most once, and only upwards. */
static void does_not_flap_under_noise(void **state)
{
    snug_random random = { 1 };

    (void)state;
    for (int percent = 0; percent <= 110; percent++) {
        rig r = { .now_ns = 1 };
        snug_pressure level = step(&r, 0, percent / 100.0);
        int moves = 0;

        for (int i = 0; i < 3000; i++) { /* a minute at 20 ms */
            const snug_pressure next = step(&r, 20, percent / 100.0 + uniform(&random, -0.03, 0.03));

            assert_true(next >= level);
            moves += next != level;
            level = next;
        }
        assert_true(moves <= 1);
    }
}

/* Whatever usage does: no move down within 2 s of a move up. */
static void never_falls_within_two_seconds_of_a_rise(void **state)
{
    snug_random random = { 2 };
    rig r = { .now_ns = 1 };
    snug_pressure level = SNUG_PRESSURE_LOW;
    uint64_t risen_ns = 0;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        const snug_pressure next = step(&r, snug_random_next(&random) % 700, uniform(&random, 0.0, 1.1));

        if (next > level)
            risen_ns = r.now_ns;
        if (next < level)
            assert_true(r.now_ns - risen_ns >= SNUG_PRESSURE_LEAVE_NS);
        level = next;
    }
}

/* A walk that is nowhere below another never has a lower level. */
static void is_monotone(void **state)
{
    snug_random random = { 3 };

    (void)state;
    for (int walk = 0; walk < 200; walk++) {
        rig low = { .now_ns = 1 }, high = { .now_ns = 1 };
        double usage = uniform(&random, 0.0, 1.0);

        for (int i = 0; i < 500; i++) {
            const uint64_t ms = snug_random_next(&random) % 300;
            const double more = uniform(&random, 0.0, 1.0) < 0.5 ? 0.0 : uniform(&random, 0.0, 0.3);
            const bool thrashes = snug_random_next(&random) % 8 == 0;

            usage = fmin(1.1, fmax(0.0, usage + uniform(&random, -0.1, 0.1)));
            if (thrashes)
                assert_true(thrash(&high, ms, usage + more, false) >= thrash(&low, ms, usage, true));
            else
                assert_true(step(&high, ms, usage + more) >= step(&low, ms, usage));
        }
    }
}

/* Never below the band that usage is in; and 2 s after usage stays clear of a level, that level is left. */
static void stays_within_its_bounds(void **state)
{
    snug_random random = { 4 };
    rig r = { .now_ns = 1 };

    (void)state;
    for (int i = 0; i < 5000; i++) {
        const double usage = uniform(&random, 0.0, 1.2);
        snug_pressure level = SNUG_PRESSURE_LOW;

        for (int k = 0; k < 12; k++) {
            level = step(&r, 200, usage);
            assert_true(level >= snug_pressure_of_usage(usage) && level <= SNUG_PRESSURE_CRITICAL);
        }
        assert_true(level <= snug_pressure_of_usage(usage + SNUG_PRESSURE_LEAVE_POINTS));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(enters_every_level_at_once),
        cmocka_unit_test(leaves_five_points_lower_after_two_seconds),
        cmocka_unit_test(starts_the_two_seconds_again_after_a_return),
        cmocka_unit_test(falls_to_what_the_last_two_seconds_allow),
        cmocka_unit_test(raises_by_one_when_it_thrashes),
        cmocka_unit_test(takes_unknown_as_no_pressure),
        cmocka_unit_test(does_not_flap_under_noise),
        cmocka_unit_test(never_falls_within_two_seconds_of_a_rise),
        cmocka_unit_test(is_monotone),
        cmocka_unit_test(stays_within_its_bounds),
    };

    return cmocka_run_group_tests_name("pressure", tests, NULL, NULL);
}
