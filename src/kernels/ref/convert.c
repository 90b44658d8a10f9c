/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ref/convert.c - rows of stored values as f32 and back: base/float16.h, one value after the other.
 * Rows lie at any address, so every value is copied out before it is looked at.
 */
#include "kernels/variants.h"

#include <string.h>

#include "base/float16.h"

static void row_from_f32(float *out, const void *row, size_t n)
{
    memcpy(out, row, n * sizeof *out);
}

static void row_from_f16(float *out, const void *row, size_t n)
{
    const unsigned char *bytes = row;

    for (size_t i = 0; i < n; i++) {
        uint16_t half;

        memcpy(&half, bytes + 2 * i, sizeof half);
        out[i] = snug_f32_from_f16(half);
    }
}

static void row_from_bf16(float *out, const void *row, size_t n)
{
    const unsigned char *bytes = row;

    for (size_t i = 0; i < n; i++) {
        uint16_t half;

        memcpy(&half, bytes + 2 * i, sizeof half);
        out[i] = snug_f32_from_bf16(half);
    }
}

static void f16_from_f32(uint16_t *out, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = snug_f16_from_f32(x[i]);
}

/* A stretch of a row of plain floats: any columns. */
static void unpack_f32(float *out, const snug_weight *weight, size_t row, size_t first_column, size_t columns)
{
    row_from_f32(out, (const unsigned char *)weight->data + row * weight->row_bytes + first_column * 4,
                 columns);
}

static void unpack_f16(float *out, const snug_weight *weight, size_t row, size_t first_column, size_t columns)
{
    row_from_f16(out, (const unsigned char *)weight->data + row * weight->row_bytes + first_column * 2,
                 columns);
}

static void unpack_bf16(float *out, const snug_weight *weight, size_t row, size_t first_column,
                        size_t columns)
{
    row_from_bf16(out, (const unsigned char *)weight->data + row * weight->row_bytes + first_column * 2,
                  columns);
}

void snug_convert_fill_c(snug_kernels *kernels)
{
    kernels->row_to_f32[SNUG_TYPE_F32] = row_from_f32;
    kernels->row_to_f32[SNUG_TYPE_F16] = row_from_f16;
    kernels->row_to_f32[SNUG_TYPE_BF16] = row_from_bf16;
    kernels->f16_from_f32 = f16_from_f32;
    kernels->unpack[SNUG_TYPE_F32] = unpack_f32;
    kernels->unpack[SNUG_TYPE_F16] = unpack_f16;
    kernels->unpack[SNUG_TYPE_BF16] = unpack_bf16;
}
