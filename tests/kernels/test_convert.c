/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stored values to f32 and back: every 16-bit pattern, f32 patterns across the whole range, ragged rows at
 * odd addresses up to a guard page.
 */
#include "tests/kernels/kernel_test.h"

static float plain_value(snug_type type, uint16_t half)
{
    return type == SNUG_TYPE_F16 ? snug_f32_from_f16(half) : snug_f32_from_bf16(half);
}

static void check_all_halves(const snug_kernels *kernels)
{
    static const snug_type types[] = { SNUG_TYPE_F16, SNUG_TYPE_BF16 };
    uint16_t *halves = calloc(65536, sizeof *halves);
    float *values = calloc(65536, sizeof *values);

    assert_true(halves && values);
    for (size_t i = 0; i < 65536; i++)
        halves[i] = (uint16_t)i;
    for (size_t t = 0; t < 2; t++) {
        kernels->row_to_f32[types[t]](values, halves, 65536);
        for (size_t i = 0; i < 65536; i++) {
            const float expected = plain_value(types[t], (uint16_t)i);

            if (isnan(expected))
                assert_true(isnan(values[i]));
            else
                assert_int_equal(snug_bits_from_f32(values[i]), snug_bits_from_f32(expected));
        }
    }
    free(halves);
    free(values);
}

static void reads_every_16_bit_pattern(void **state)
{
    (void)state;
    for_each_level(check_all_halves);
}

/* 4 million patterns of all signs and exponents, then the neighbours of every tie between two halves. */
static void check_rounding(const snug_kernels *kernels)
{
    enum {
        COUNT = 1 << 12
    };
    float values[COUNT];
    uint16_t halves[COUNT];

    for (uint32_t block = 0; block < 1024; block++) {
        for (uint32_t i = 0; i < COUNT; i++) {
            const uint32_t step = block * COUNT + i;
            const uint32_t tie = ((step / 3) << 12) + (step % 3) - 1; /* ties lie on multiples of 2^12 */

            values[i] = snug_f32_from_bits(block % 2 == 0 ? step * 1021u : tie);
        }
        kernels->f16_from_f32(halves, values, COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            const uint16_t expected = snug_f16_from_f32(values[i]);

            if (isnan(values[i]))
                assert_true((halves[i] & 0x7fffu) > 0x7c00u);
            else
                assert_int_equal(halves[i], expected);
        }
    }
}

static void rounds_to_f16_to_nearest_even(void **state)
{
    (void)state;
    for_each_level(check_rounding);
}

static void check_ragged(const snug_kernels *kernels)
{
    static const snug_type types[] = { SNUG_TYPE_F32, SNUG_TYPE_F16, SNUG_TYPE_BF16 };
    guarded memory = guarded_alloc(400);
    guarded out_memory = guarded_alloc(400);

    for (size_t t = 0; t < 3; t++) {
        for (size_t n = 1; n <= 70; n++) {
            for (size_t shift = 0; shift < 2; shift++) {
                const size_t bytes = n * value_bytes(types[t]);
                unsigned char *row = guarded_last(&memory, bytes + shift);
                float *out = guarded_last(&out_memory, n * sizeof *out);
                float expected[70];

                for (size_t i = 0; i < n; i++)
                    expected[i] = store_value(row + i * value_bytes(types[t]), types[t], (float)i - 3.25f);
                kernels->row_to_f32[types[t]](out, row, n);
                assert_memory_equal(out, expected, n * sizeof *out);
            }
        }
    }
    for (size_t n = 1; n <= 70; n++) {
        float *x = guarded_last(&memory, n * sizeof *x);
        uint16_t *out = guarded_last(&out_memory, n * sizeof *out);

        fill_random(x, n, VALUES_MIXED, n);
        kernels->f16_from_f32(out, x, n);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(out[i], snug_f16_from_f32(x[i]));
    }
    guarded_free(&memory);
    guarded_free(&out_memory);
}

static void stays_inside_rows_of_every_length(void **state)
{
    (void)state;
    for_each_level(check_ragged);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_16_bit_pattern),
        cmocka_unit_test(rounds_to_f16_to_nearest_even),
        cmocka_unit_test(stays_inside_rows_of_every_length),
    };

    return cmocka_run_group_tests_name("kernels: convert", tests, NULL, NULL);
}
