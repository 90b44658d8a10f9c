/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rotation.c - signs and Walsh-Hadamard against the matrix written down from its definition in double
 * precision: entry (i, j) of a block is (-1)^popcount(i & j) / sqrt(size).
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/status.h"
#include "codec/tile.h"
#include "codec/rotation.h"

static const size_t head_dims[] = { 2, 16, 64, 66, 80, 96, 112, 128, 160, 256, 510, 512 };

static void fill(float *x, size_t n, uint64_t seed)
{
    snug_random random = { .state = seed };

    for (size_t i = 0; i < n; i++)
        x[i] = (float)(snug_random_unit(&random) * 4.0 - 2.0);
}

/* SplitMix64's number `index` (from 1 on), from its published formula: no state needed. */
static uint64_t sign_word(uint64_t seed, uint64_t index)
{
    uint64_t z = seed + index * 0x9e3779b97f4a7c15ull;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* Where the block of dim i starts, and its size: the powers of two of head_dim, the largest first. */
static size_t block_of(size_t *size_out, size_t head_dim, size_t i)
{
    size_t start = 0;

    for (size_t size = 512; size > 0; size /= 2) {
        if (!(head_dim & size))
            continue;
        if (i < start + size) {
            *size_out = size;
            return start;
        }
        start += size;
    }
    fail();
    return 0;
}

static unsigned bit_count(size_t x)
{
    unsigned count = 0;

    for (; x != 0; x >>= 1)
        count += x & 1;
    return count;
}

static void multiplies_by_the_matrix_of_each_block(void **state)
{
    (void)state;
    for (size_t h = 0; h < SNUG_COUNT(head_dims); h++) {
        const size_t head_dim = head_dims[h];
        const uint64_t seed = 77 + h;
        float x[SNUG_HEAD_DIM_MAX];
        float turned[SNUG_HEAD_DIM_MAX];

        fill(x, head_dim, h);
        memcpy(turned, x, sizeof turned);
        snug_rotation_apply(turned, head_dim, seed);
        for (size_t i = 0; i < head_dim; i++) {
            size_t size = 1;
            const size_t start = block_of(&size, head_dim, i);
            double sum = 0.0;

            for (size_t j = start; j < start + size; j++) {
                const unsigned minus = (unsigned)(sign_word(seed, j / 64 + 1) >> (j % 64) & 1);

                sum += (bit_count((i - start) & (j - start)) + minus) % 2 == 0 ? x[j] : -(double)x[j];
            }
            assert_true(fabs(sum / sqrt((double)size) - (double)turned[i]) < 1e-5);
        }
    }
}

static void turns_back(void **state)
{
    (void)state;
    for (size_t h = 0; h < SNUG_COUNT(head_dims); h++) {
        const size_t head_dim = head_dims[h];
        float x[SNUG_HEAD_DIM_MAX];
        float turned[SNUG_HEAD_DIM_MAX];

        fill(x, head_dim, h);
        memcpy(turned, x, sizeof turned);
        snug_rotation_apply(turned, head_dim, 5);
        assert_true(memcmp(turned, x, head_dim * sizeof *x) != 0);
        snug_rotation_undo(turned, head_dim, 5);
        for (size_t i = 0; i < head_dim; i++)
            assert_true(fabsf(turned[i] - x[i]) < 4e-6f);
    }
}

static void keeps_scores(void **state)
{
    (void)state;
    for (size_t h = 0; h < SNUG_COUNT(head_dims); h++) {
        const size_t head_dim = head_dims[h];
        float query[SNUG_HEAD_DIM_MAX];
        float key[SNUG_HEAD_DIM_MAX];
        double before = 0.0;
        double after = 0.0;

        fill(query, head_dim, 100 + h);
        fill(key, head_dim, 200 + h);
        for (size_t i = 0; i < head_dim; i++)
            before += (double)query[i] * (double)key[i];
        snug_rotation_apply(query, head_dim, 9);
        snug_rotation_apply(key, head_dim, 9);
        for (size_t i = 0; i < head_dim; i++)
            after += (double)query[i] * (double)key[i];
        assert_true(fabs(before - after) < 1e-4);
    }
}

/* What the rotation is for. Block sizes are powers of two, so one dim alone is spread evenly over its
 * block. */
static void spreads_one_large_dim_evenly(void **state)
{
    float x[128] = { 0 };

    (void)state;
    x[17] = 128.0f;
    snug_rotation_apply(x, 128, 3);
    for (size_t i = 0; i < 128; i++)
        assert_true(fabsf(fabsf(x[i]) - 128.0f / sqrtf(128.0f)) < 1e-4f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(multiplies_by_the_matrix_of_each_block),
        cmocka_unit_test(turns_back),
        cmocka_unit_test(keeps_scores),
        cmocka_unit_test(spreads_one_large_dim_evenly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
