/* SPDX-License-Identifier: Apache-2.0 */
/*
 * size.h - arithmetic on sizes that come from files: checked, 64 bits, no wrap-around.
 */
#ifndef SNUG_SRC_BASE_SIZE_H
#define SNUG_SRC_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Both return false, and leave *out alone, when the result does not fit in 64 bits. */
static inline bool snug_add_u64(uint64_t *out, uint64_t a, uint64_t b)
{
    if (a > UINT64_MAX - b)
        return false;
    *out = a + b;
    return true;
}

static inline bool snug_multiply_u64(uint64_t *out, uint64_t a, uint64_t b)
{
    if (b != 0 && a > UINT64_MAX / b)
        return false;
    *out = a * b;
    return true;
}

/* `value` up to the next multiple of `unit`, a power of two. */
static inline size_t snug_round_up(size_t value, size_t unit)
{
    return (value + unit - 1) & ~(unit - 1);
}

static inline size_t snug_divide_up(size_t value, size_t unit)
{
    return (value + unit - 1) / unit;
}

static inline size_t snug_min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t snug_max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

#endif /* SNUG_SRC_BASE_SIZE_H */
