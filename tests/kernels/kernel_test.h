/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel_test.h - what the tests of the kernels share: memory that ends at a page nobody may touch, data
 * that is random or extreme, and every level of this machine in turn.
 */
#ifndef SNUG_TESTS_KERNELS_KERNEL_TEST_H
#define SNUG_TESTS_KERNELS_KERNEL_TEST_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/float16.h"
#include "base/random.h"
#include "base/size.h"
#include "kernels/kernels.h"
#include "os/pages.h"

#define EPSILON 0x1p-24 /* largest relative error of one rounding to f32 */

/* Memory whose last byte is followed by an unreadable page. */
typedef struct guarded {
    unsigned char *start;
    unsigned char *end;
} guarded;

static inline guarded guarded_alloc(size_t bytes)
{
    const size_t page = snug_os_page_bytes();
    const size_t used = snug_round_up(bytes + page, page); /* a page more than asked for: see guarded_last */
    unsigned char *start = snug_os_reserve(used + page);

    assert_non_null(start);
    assert_true(snug_os_commit(start, used));
    return (guarded){ start, start + used };
}

static inline void guarded_free(guarded *memory)
{
    snug_os_release(memory->start, (size_t)(memory->end - memory->start) + snug_os_page_bytes());
}

/* The last `bytes` bytes: reading or writing one more ends the test. */
static inline void *guarded_last(const guarded *memory, size_t bytes)
{
    assert_true(bytes <= (size_t)(memory->end - memory->start));
    return memory->end - bytes;
}

typedef enum value_kind {
    VALUES_NORMAL, /* around one, of both signs */
    VALUES_MIXED,  /* zeros of both signs, subnormals, tiny and large values in between */
    VALUES_SPIKES, /* one value in forty a thousand times as large as the others: real activations */
    VALUES_KINDS,
} value_kind;

static inline float random_value(snug_random *random, value_kind kind)
{
    const float value = (float)(snug_random_unit(random) * 2.0 - 1.0);
    const unsigned choice = (unsigned)(snug_random_next(random) % 40);

    if (kind == VALUES_SPIKES)
        return choice == 0 ? value * 1000.0f : value;
    if (kind == VALUES_NORMAL || choice >= 6)
        return value;
    switch (choice) {
    case 0:
        return 0.0f;
    case 1:
        return -0.0f;
    case 2:
        return value * 0x1p-20f; /* subnormal as f16 */
    case 3:
        return value * 0x1p-135f; /* subnormal as f32 */
    case 4:
        return value * 30000.0f;
    default:
        return value * 0x1p-60f;
    }
}

/* Store `value` as `type` at any address, and return what was stored. */
static inline float store_value(unsigned char *out, snug_type type, float value)
{
    uint16_t half;

    if (type == SNUG_TYPE_F32) {
        memcpy(out, &value, sizeof value);
        return value;
    }
    half = type == SNUG_TYPE_F16 ? snug_f16_from_f32(value) : snug_bf16_from_f32(value);
    memcpy(out, &half, sizeof half);
    return type == SNUG_TYPE_F16 ? snug_f32_from_f16(half) : snug_f32_from_bf16(half);
}

static inline size_t value_bytes(snug_type type)
{
    return snug_type_row_bytes(type, 1);
}

static inline void fill_random(float *out, size_t n, value_kind kind, uint64_t seed)
{
    snug_random random = { seed };

    for (size_t i = 0; i < n; i++)
        out[i] = random_value(&random, kind);
}

/* How many floats lie between two values: 0 for equal ones and for two NaNs. */
static inline uint64_t ulps_between(float a, float b)
{
    const int64_t x = (int64_t)(snug_bits_from_f32(a) & 0x7fffffffu);
    const int64_t y = (int64_t)(snug_bits_from_f32(b) & 0x7fffffffu);
    const int64_t left = signbit(a) ? -x : x;
    const int64_t right = signbit(b) ? -y : y;

    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b) ? 0 : UINT64_MAX;
    return (uint64_t)(left > right ? left - right : right - left);
}

/* Every level of this machine from `first` on. */
#define EACH_LEVEL(level, first)                                                                             \
    for (int level = (first); level <= (int)snug_cpu_detect(); level++)                                      \
        if (snug_cpu_has((snug_cpu_level)level))

/* Calls `check` with the table of every level of this machine, exact or not. */
static inline void for_each_level(void (*check)(const snug_kernels *kernels))
{
    EACH_LEVEL(level, SNUG_CPU_C)
    {
        for (int exact = 0; exact < 2; exact++) {
            snug_kernels kernels;

            snug_kernels_init(&kernels, (snug_cpu_level)level, exact != 0);
            assert_int_equal(kernels.level, level);
            check(&kernels);
        }
    }
}

#endif /* SNUG_TESTS_KERNELS_KERNEL_TEST_H */
