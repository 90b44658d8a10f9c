/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vocabulary of snug/pressure.h: names there and back, bands at their edges, the table of strategies.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <snug/pressure.h>

#include <math.h>

static void names_levels_there_and_back(void **state)
{
    static const char *const names[] = { "low", "medium", "high", "critical" };
    snug_pressure level = SNUG_PRESSURE_MEDIUM;

    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_string_equal(snug_pressure_name((snug_pressure)i), names[i]);
        assert_true(snug_pressure_parse(&level, names[i]));
        assert_int_equal(level, i);
    }
    level = SNUG_PRESSURE_MEDIUM;
    assert_false(snug_pressure_parse(&level, "High"));
    assert_false(snug_pressure_parse(&level, ""));
    assert_int_equal(level, SNUG_PRESSURE_MEDIUM);
}

static void names_strategies_there_and_back(void **state)
{
    static const char *const names[] = { "auto", "conservative", "balanced", "aggressive" };
    snug_strategy strategy = SNUG_STRATEGY_BALANCED;

    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_string_equal(snug_strategy_name((snug_strategy)i), names[i]);
        assert_true(snug_strategy_parse(&strategy, names[i]));
        assert_int_equal(strategy, i);
    }
    strategy = SNUG_STRATEGY_BALANCED;
    assert_false(snug_strategy_parse(&strategy, "aggressiv"));
    assert_false(snug_strategy_parse(&strategy, "balanced "));
    assert_int_equal(strategy, SNUG_STRATEGY_BALANCED);
}

static void puts_usage_into_bands(void **state)
{
    static const struct {
        double usage;
        snug_pressure level;
    } cases[] = {
        { -1.0, SNUG_PRESSURE_LOW },           { 0.0, SNUG_PRESSURE_LOW },
        { 0.4999999, SNUG_PRESSURE_LOW },      { 0.50, SNUG_PRESSURE_MEDIUM },
        { 0.6999999, SNUG_PRESSURE_MEDIUM },   { 0.70, SNUG_PRESSURE_HIGH },
        { 0.85, SNUG_PRESSURE_HIGH }, /* CRITICAL is above it */
        { 0.8500001, SNUG_PRESSURE_CRITICAL }, { 1.0, SNUG_PRESSURE_CRITICAL },
        { 7.0, SNUG_PRESSURE_CRITICAL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(snug_pressure_of_usage(cases[i].usage), cases[i].level);
    assert_int_equal(snug_pressure_of_usage(NAN), SNUG_PRESSURE_LOW);
}

static void follows_the_table_of_strategies(void **state)
{
    static const struct {
        snug_strategy strategy;
        snug_strategy_rules rules;
    } table[] = {
        { SNUG_STRATEGY_CONSERVATIVE, { 0.85, 0.95, 16, 16, 8, 8, false, false, SNUG_PRESSURE_HIGH } },
        { SNUG_STRATEGY_BALANCED, { 0.70, 0.95, 8, 8, 4, 4, false, false, SNUG_PRESSURE_HIGH } },
        { SNUG_STRATEGY_AGGRESSIVE, { 0.50, 0.95, 5, 4, 2, 2, true, true, SNUG_PRESSURE_MEDIUM } },
        { SNUG_STRATEGY_AUTO, { 0.70, 0.95, 8, 8, 4, 4, false, false, SNUG_PRESSURE_HIGH } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const snug_strategy_rules *rules = snug_strategy_rules_of(table[i].strategy);
        const snug_strategy_rules *wanted = &table[i].rules;

        assert_true(rules->plan_share == wanted->plan_share && rules->warn_share == wanted->warn_share);
        assert_int_equal(rules->first_key_bits, wanted->first_key_bits);
        assert_int_equal(rules->first_value_bits, wanted->first_value_bits);
        assert_int_equal(rules->floor_key_bits, wanted->floor_key_bits);
        assert_int_equal(rules->floor_value_bits, wanted->floor_value_bits);
        assert_int_equal(rules->may_slide, wanted->may_slide);
        assert_int_equal(rules->may_switch, wanted->may_switch);
        assert_int_equal(rules->relief_from, wanted->relief_from);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_levels_there_and_back),
        cmocka_unit_test(names_strategies_there_and_back),
        cmocka_unit_test(puts_usage_into_bands),
        cmocka_unit_test(follows_the_table_of_strategies),
    };

    return cmocka_run_group_tests_name("strategy", tests, NULL, NULL);
}
