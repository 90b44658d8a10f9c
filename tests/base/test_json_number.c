/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_json_number.c - numbers of JSON texts against strtod() in the C locale and against integer limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/random.h"
#include "base/status.h"

/* The only element of an array that must be valid. `storage` holds its text. */
static snug_json number(char storage[512], const char *digits)
{
    snug_json_iterator iterator;
    snug_json root, value;

    snprintf(storage, 512, "[%s]", digits);
    assert_int_equal(snug_json_check(&root, snug_str_from(storage), NULL), SNUG_OK);
    iterator = snug_json_iterate(root);
    assert_true(snug_json_next(&iterator, NULL, &value));
    return value;
}

/* Doubles between a and b, both finite. */
static uint64_t distance(double a, double b)
{
    int64_t first, second;

    memcpy(&first, &a, sizeof a);
    memcpy(&second, &b, sizeof b);
    if ((first < 0) != (second < 0))
        return first == INT64_MIN || second == INT64_MIN ? 0 : UINT64_MAX;
    return first > second ? (uint64_t)(first - second) : (uint64_t)(second - first);
}

/* Largest distance seen to strtod(). */
static uint64_t compare(const char *digits)
{
    char storage[512];
    double value = -7.0;
    const bool is_finite = snug_json_f64(&value, number(storage, digits));
    const double expected = strtod(digits, NULL);

    if (is_finite != (isfinite(expected) != 0))
        fail_msg("%s: %s, strtod says %g", digits, is_finite ? "finite" : "refused", expected);
    if (!is_finite) {
        assert_true(distance(value, -7.0) == 0);
        return 0;
    }
    return distance(value, expected);
}

static void reads_integers_exactly(void **state)
{
    char storage[512];
    uint64_t natural = 7;
    int64_t integer = 7;

    (void)state;
    assert_true(snug_json_u64(&natural, number(storage, "18446744073709551615")));
    assert_true(natural == UINT64_MAX);
    assert_true(snug_json_u64(&natural, number(storage, "18446744073709551609")));
    assert_true(natural == 18446744073709551609u);
    assert_true(snug_json_u64(&natural, number(storage, "0")) && natural == 0);
    assert_true(snug_json_u64(&natural, number(storage, "9007199254740993")));
    assert_true(natural == 9007199254740993u);
    assert_true(snug_json_i64(&integer, number(storage, "9223372036854775807")));
    assert_true(integer == INT64_MAX);
    assert_true(snug_json_i64(&integer, number(storage, "-9223372036854775808")));
    assert_true(integer == INT64_MIN);
    assert_true(snug_json_i64(&integer, number(storage, "-9223372036854775807")));
    assert_true(integer == -INT64_MAX);
    assert_true(snug_json_i64(&integer, number(storage, "-0")) && integer == 0);
}

static void refuses_what_is_no_integer_of_64_bits(void **state)
{
    static const char *const texts[] = { "18446744073709551616",
                                         "18446744073709551620",
                                         "99999999999999999999",
                                         "184467440737095516150",
                                         "1.0",
                                         "1e3",
                                         "1E0",
                                         "-1",
                                         "-0",
                                         "0.5",
                                         "\"1\"",
                                         "null",
                                         "true",
                                         "[1]",
                                         "{}" };
    static const char *const more_texts[] = { "9223372036854775808",
                                              "-9223372036854775809",
                                              "1.0",
                                              "-1e3",
                                              "-18446744073709551615",
                                              "\"1\"",
                                              "false" };
    char storage[512];
    uint64_t natural = 7;
    int64_t integer = 7;

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(texts); i++)
        assert_false(snug_json_u64(&natural, number(storage, texts[i])));
    for (size_t i = 0; i < SNUG_COUNT(more_texts); i++)
        assert_false(snug_json_i64(&integer, number(storage, more_texts[i])));
    assert_true(natural == 7 && integer == 7);
}

/* What checkpoints hold: exactly strtod's answer. */
static void short_decimals_are_exact(void **state)
{
    static const char *const texts[] = { "0",
                                         "-0",
                                         "0.0",
                                         "1",
                                         "-1",
                                         "1e-05",
                                         "1e-06",
                                         "1e-5",
                                         "0.000001",
                                         "10000.0",
                                         "500000.0",
                                         "1000000",
                                         "5000000.0",
                                         "0.02",
                                         "0.1",
                                         "0.3",
                                         "1.19",
                                         "32.0",
                                         "8.0",
                                         "4.0",
                                         "1.0",
                                         "-3.14159265358979",
                                         "1e22",
                                         "1e-22",
                                         "123456789012345e-20",
                                         "9007199254740992",
                                         "2.5e-3",
                                         "0.00000000000000000000001e1",
                                         "1.190238300",
                                         "64.0e0" };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(texts); i++)
        if (compare(texts[i]) != 0)
            fail_msg("%s differs from strtod", texts[i]);
}

static void hard_decimals_are_within_one_unit(void **state)
{
    static const char *const texts[] = {
        "1.7976931348623157e308",
        "1.7976931348623159e308",
        "1e308",
        "1e309",
        "1e999",
        "-1e999",
        "1e99999999999999999999",
        "-1e-99999999999999999",
        "2.2250738585072014e-308",
        "2.2250738585072011e-308",
        "4.9406564584124654e-324",
        "2e-324",
        "2.4703282292062328e-324",
        "1e-323",
        "1e-400",
        "0e999",
        "0e99999999999999999999",
        "9007199254740993",
        "9007199254740991.5",
        "0.1000000000000000055511",
        "123456789012345678901234567890123456789012345678901234567890",
        "0.00000000000000000000000000000000000000000000000000000000000001234",
        "17976931348623157000000000000000000e274",
        "1e23",
        "8.5e22",
        "1e-23",
        "3.141592653589793238462643383279502884197169399375105820974944592"
    };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(texts); i++)
        if (compare(texts[i]) > 1)
            fail_msg("%s is more than a unit from strtod", texts[i]);
}

static void random_numbers_are_within_one_unit(void **state)
{
    snug_random random = { .state = 7 };
    size_t off_count = 0;
    const size_t count = 200000;

    (void)state;
    for (size_t i = 0; i < count; i++) {
        const uint64_t bits = snug_random_next(&random);
        char digits[64];
        double value;
        uint64_t off;

        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        snprintf(digits, sizeof digits, "%.*e", (int)(snug_random_next(&random) % 20), value);
        off = compare(digits);
        if (off > 1)
            fail_msg("%s is %llu units from strtod", digits, (unsigned long long)off);
        off_count += off;
    }
    print_message("%zu of %zu random numbers are the neighbour of strtod's\n", off_count, count);
    assert_true(off_count < count / 20);
}

/* A comma for a point, as in German: the answer must not change. */
static void does_not_depend_on_the_locale(void **state)
{
    static const char *const names[] = { "de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8", "ru_RU.UTF-8" };
    const char *chosen = NULL;
    char storage[512];
    double value = 0;

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(names) && !chosen; i++)
        chosen = setlocale(LC_ALL, names[i]);
    if (!chosen) {
        print_message("skipped: no locale with a decimal comma is installed (de_DE.UTF-8)\n");
        skip();
    }
    assert_string_equal(localeconv()->decimal_point, ",");
    assert_true(snug_json_f64(&value, number(storage, "2.5")));
    setlocale(LC_ALL, "C");
    assert_true(distance(value, 2.5) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_integers_exactly),
        cmocka_unit_test(refuses_what_is_no_integer_of_64_bits),
        cmocka_unit_test(short_decimals_are_exact),
        cmocka_unit_test(hard_decimals_are_within_one_unit),
        cmocka_unit_test(random_numbers_are_within_one_unit),
        cmocka_unit_test(does_not_depend_on_the_locale),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
