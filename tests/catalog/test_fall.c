/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fall.c - when a conversation leaves its model by itself and when it comes back, by a simulated clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "catalog/fall.h"

#define SECOND ((uint64_t)1000000000)

static void falls_when_memory_stays_critical(void **state)
{
    catalog_fall fall = { .is_down = false };

    (void)state;
    assert_false(snug_fall_must(&fall, 100 * SECOND));
    snug_fall_see(&fall, 100 * SECOND, SNUG_PRESSURE_HIGH);
    assert_false(snug_fall_must(&fall, 200 * SECOND));
    snug_fall_see(&fall, 200 * SECOND, SNUG_PRESSURE_CRITICAL);
    assert_false(snug_fall_must(&fall, 203 * SECOND - 1));
    assert_true(snug_fall_must(&fall, 203 * SECOND));
    snug_fall_see(&fall, 203 * SECOND, SNUG_PRESSURE_HIGH);
    assert_false(snug_fall_must(&fall, 300 * SECOND));
    /* A break begins it anew. */
    snug_fall_see(&fall, 300 * SECOND, SNUG_PRESSURE_CRITICAL);
    snug_fall_see(&fall, 302 * SECOND, SNUG_PRESSURE_LOW);
    snug_fall_see(&fall, 303 * SECOND, SNUG_PRESSURE_CRITICAL);
    assert_false(snug_fall_must(&fall, 305 * SECOND));
    assert_true(snug_fall_must(&fall, 306 * SECOND));
    /* So does a fall that could not be. */
    snug_fall_stays(&fall, 306 * SECOND);
    assert_false(snug_fall_must(&fall, 308 * SECOND));
    assert_true(snug_fall_must(&fall, 309 * SECOND));
    snug_fall_forget(&fall);
    assert_false(snug_fall_must(&fall, 400 * SECOND));
}

static void climbs_after_a_calm_while(void **state)
{
    catalog_fall fall = { .is_down = false };

    (void)state;
    snug_fall_see(&fall, 10 * SECOND, SNUG_PRESSURE_LOW);
    assert_false(snug_fall_may_climb(&fall, 1000 * SECOND)); /* it is not down */
    snug_fall_fell(&fall, 1000 * SECOND);
    assert_false(snug_fall_may_climb(&fall, 1100 * SECOND)); /* nothing was seen of calm since */
    snug_fall_see(&fall, 1001 * SECOND, SNUG_PRESSURE_LOW);
    assert_false(snug_fall_may_climb(&fall, 1030 * SECOND - 1));
    assert_true(snug_fall_may_climb(&fall, 1030 * SECOND));
    snug_fall_see(&fall, 1030 * SECOND, SNUG_PRESSURE_HIGH);
    assert_false(snug_fall_may_climb(&fall, 1031 * SECOND));
    snug_fall_see(&fall, 1032 * SECOND, SNUG_PRESSURE_MEDIUM);
    assert_false(snug_fall_may_climb(&fall, 1037 * SECOND - 1));
    assert_true(snug_fall_may_climb(&fall, 1037 * SECOND));
    snug_fall_climbed(&fall);
    assert_false(snug_fall_may_climb(&fall, 2000 * SECOND));
}

static void waits_twice_as_long_each_time(void **state)
{
    static const uint64_t seconds[] = { 30, 60, 120, 240, 480, 960, 960, 960 };
    catalog_fall fall = { .is_down = false };
    uint64_t now = 50 * SECOND;

    (void)state;
    for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        snug_fall_fell(&fall, now);
        snug_fall_see(&fall, now, SNUG_PRESSURE_LOW);
        assert_false(snug_fall_may_climb(&fall, now + seconds[i] * SECOND - 1));
        now += seconds[i] * SECOND;
        assert_true(snug_fall_may_climb(&fall, now));
        snug_fall_climbed(&fall);
    }
    /* Half an hour without one, and it is forgotten. */
    now += 1800 * SECOND;
    snug_fall_fell(&fall, now);
    snug_fall_see(&fall, now, SNUG_PRESSURE_LOW);
    assert_true(snug_fall_may_climb(&fall, now + 30 * SECOND));
}

/* Whatever memory does in an hour: few moves. */
static void never_flaps(void **state)
{
    snug_random random = { 11 };

    (void)state;
    for (int run = 0; run < 50; run++) {
        catalog_fall fall = { .is_down = false };
        unsigned falls = 0;
        uint64_t last_fall = 0;

        for (uint64_t now = SECOND; now < 3600 * SECOND; now += SECOND / 5) {
            snug_fall_see(&fall, now, (snug_pressure)(snug_random_next(&random) % 40 < 38 ? run % 4 : 0));
            if (!fall.is_down && snug_fall_must(&fall, now)) {
                if (falls > 0)
                    assert_true(now - last_fall >= 30 * SECOND);
                snug_fall_fell(&fall, now);
                last_fall = now;
                falls++;
            }
            if (snug_fall_may_climb(&fall, now))
                snug_fall_climbed(&fall);
        }
        assert_true(falls <= 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(falls_when_memory_stays_critical),
        cmocka_unit_test(climbs_after_a_calm_while),
        cmocka_unit_test(waits_twice_as_long_each_time),
        cmocka_unit_test(never_flaps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
