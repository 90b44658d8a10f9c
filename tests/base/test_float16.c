/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_float16.c - both 16-bit formats against their definitions, computed with ldexp(), for all 65536
 * patterns and for the floats around every boundary between two of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/float16.h"
#include "base/random.h"

static uint32_t bits_of(float value)
{
    return snug_bits_from_f32(value);
}

/* The value of a pattern by the book: sign, exponent bits, fraction bits. */
static float define(uint32_t pattern, int exponent_bits, int fraction_bits)
{
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const int exponent = (int)((pattern >> fraction_bits) & ((1u << exponent_bits) - 1));
    const uint32_t fraction = pattern & ((1u << fraction_bits) - 1);
    const double sign = pattern >> 15 ? -1.0 : 1.0;

    if (exponent == (1 << exponent_bits) - 1)
        return fraction ? NAN : (float)(sign * INFINITY);
    if (exponent == 0)
        return (float)(sign * ldexp(fraction, 1 - bias - fraction_bits));
    return (float)(sign * ldexp(1.0 + ldexp(fraction, -fraction_bits), exponent - bias));
}

static void widens_every_pattern(void **state)
{
    (void)state;
    for (uint32_t i = 0; i <= 0xffff; i++) {
        const float half = snug_f32_from_f16((uint16_t)i);
        const float brain = snug_f32_from_bf16((uint16_t)i);
        const float expected_half = define(i, 5, 10);
        const float expected_brain = define(i, 8, 7);

        assert_true(isnan(expected_half) ? isnan(half) : bits_of(half) == bits_of(expected_half));
        assert_true(isnan(expected_brain) ? isnan(brain) : bits_of(brain) == bits_of(expected_brain));
    }
}

static void comes_back_from_every_pattern(void **state)
{
    (void)state;
    for (uint32_t i = 0; i <= 0xffff; i++) {
        const uint16_t half = snug_f16_from_f32(snug_f32_from_f16((uint16_t)i));
        const uint16_t brain = snug_bf16_from_f32(snug_f32_from_bf16((uint16_t)i));

        if (isnan(snug_f32_from_f16((uint16_t)i)))
            assert_true(isnan(snug_f32_from_f16(half)));
        else
            assert_int_equal(half, i);
        if (isnan(snug_f32_from_bf16((uint16_t)i)))
            assert_true(isnan(snug_f32_from_bf16(brain)));
        else
            assert_int_equal(brain, i);
    }
}

typedef uint16_t (*narrow_fn)(float value);

/* Between the neighbours `low` and `low` + 1: below, at and above the middle; ties go to the even pattern. */
static void check_rounding(narrow_fn narrow, uint32_t low, double low_value, double high_value)
{
    const float middle = (float)((low_value + high_value) / 2);

    assert_true((double)middle * 2 == low_value + high_value);
    assert_int_equal(narrow(nextafterf(middle, 0.0f)), low);
    assert_int_equal(narrow(middle), low + (low & 1));
    assert_int_equal(narrow(nextafterf(middle, INFINITY)), low + 1);
    assert_int_equal(narrow(-middle), (low + (low & 1)) | 0x8000);
}

static void rounds_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 0x7bff; i++)
        check_rounding(snug_f16_from_f32, i, (double)define(i, 5, 10), (double)define(i + 1, 5, 10));
    for (uint32_t i = 0; i < 0x7f7f; i++)
        check_rounding(snug_bf16_from_f32, i, (double)define(i, 8, 7), (double)define(i + 1, 8, 7));
}

static void overflows_to_infinity(void **state)
{
    (void)state;
    assert_int_equal(snug_f16_from_f32(65504.0f), 0x7bff);
    assert_int_equal(snug_f16_from_f32(nextafterf(65520.0f, 0.0f)), 0x7bff);
    assert_int_equal(snug_f16_from_f32(65520.0f), 0x7c00);
    assert_int_equal(snug_f16_from_f32(-1e30f), 0xfc00);
    assert_int_equal(snug_f16_from_f32(INFINITY), 0x7c00);
    assert_int_equal(snug_bf16_from_f32(INFINITY), 0x7f80);
    assert_int_equal(snug_bf16_from_f32(3.4e38f), 0x7f80);
    assert_true(isnan(snug_f32_from_f16(snug_f16_from_f32(NAN))));
    assert_true(isnan(snug_f32_from_bf16(snug_bf16_from_f32(NAN))));
    /* NaNs whose fraction lies only in the bits that are cut off must not become infinite. */
    assert_true(isnan(snug_f32_from_f16(snug_f16_from_f32(snug_f32_from_bits(0x7f800001)))));
    assert_true(isnan(snug_f32_from_bf16(snug_bf16_from_f32(snug_f32_from_bits(0xff800001)))));
}

/* Random floats: no pattern is nearer than the one chosen. */
static void no_neighbour_is_nearer(void **state)
{
    snug_random random = { .state = 3 };

    (void)state;
    for (int i = 0; i < 300000; i++) {
        const float value = snug_f32_from_bits((uint32_t)snug_random_next(&random) & 0x7fffffff);
        const uint16_t half = snug_f16_from_f32(value);
        double error;

        if (!(value < 65504.0f))
            continue;
        error = fabs((double)snug_f32_from_f16(half) - (double)value);
        assert_true(error <= fabs((double)snug_f32_from_f16((uint16_t)(half + 1)) - (double)value));
        if (half > 0)
            assert_true(error <= fabs((double)snug_f32_from_f16((uint16_t)(half - 1)) - (double)value));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widens_every_pattern),   cmocka_unit_test(comes_back_from_every_pattern),
        cmocka_unit_test(rounds_to_nearest_even), cmocka_unit_test(overflows_to_infinity),
        cmocka_unit_test(no_neighbour_is_nearer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
