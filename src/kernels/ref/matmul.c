/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ref/matmul.c - weights times activations in plain C, the same for few and for many tokens.
 *
 * A stretch of a row is unpacked to f32 once for all tokens. Each dot product keeps LANES running sums,
 * column c in sum c % LANES: an order that a compiler may vectorize without changing a bit.
 */
#include "kernels/variants.h"

#include <string.h>

#include "base/float16.h"
#include "base/size.h"
#include "kernels/decode.h"

enum {
    LANES = 16,
    STRETCH = 512, /* columns unpacked at a time: 2 KiB of stack */
};

static size_t input_bytes(size_t columns)
{
    return snug_round_up(columns * sizeof(float), 64);
}

static void prepare(void *input_out, const float *x, size_t columns)
{
    const size_t used = columns * sizeof(float);

    memcpy(input_out, x, used);
    memset((unsigned char *)input_out + used, 0, input_bytes(columns) - used);
}

static size_t scratch_bytes(size_t columns)
{
    (void)columns;
    return 0;
}

static float dot(const float *a, const float *b, size_t n)
{
    float sums[LANES] = { 0.0f };
    float total = 0.0f;
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            sums[lane] += a[i + lane] * b[i + lane];
    for (size_t lane = 0; i + lane < n; lane++)
        sums[lane] += a[i + lane] * b[i + lane];
    for (size_t lane = 0; lane < LANES; lane++)
        total += sums[lane];
    return total;
}

typedef void unpack_fn(float *out, const unsigned char *weight, size_t n);

static void unpack_f32(float *out, const unsigned char *weight, size_t n)
{
    memcpy(out, weight, n * sizeof *out);
}

static void unpack_f16(float *out, const unsigned char *weight, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t half;

        memcpy(&half, weight + 2 * i, sizeof half);
        out[i] = snug_f32_from_f16(half);
    }
}

static void unpack_bf16(float *out, const unsigned char *weight, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t half;

        memcpy(&half, weight + 2 * i, sizeof half);
        out[i] = snug_f32_from_bf16(half);
    }
}

static void run(const snug_matmul_task *task, unpack_fn *unpack, size_t value_bytes)
{
    for (size_t row = 0; row < task->weight.rows; row++) {
        const unsigned char *weight = (const unsigned char *)task->weight.data + row * task->weight.row_bytes;

        for (size_t token = 0; token < task->tokens; token++)
            task->out[token * task->out_stride + row] = 0.0f;
        for (size_t column = 0; column < task->weight.columns; column += STRETCH) {
            const size_t n = snug_min_size(STRETCH, task->weight.columns - column);
            float values[STRETCH];

            unpack(values, weight + column * value_bytes, n);
            for (size_t token = 0; token < task->tokens; token++) {
                const unsigned char *input = (const unsigned char *)task->input + token * task->input_bytes;

                task->out[token * task->out_stride + row] += dot(values, (const float *)input + column, n);
            }
        }
    }
}

static void run_f32(const snug_matmul_task *task)
{
    run(task, unpack_f32, 4);
}

static void run_f16(const snug_matmul_task *task)
{
    run(task, unpack_f16, 2);
}

static void run_bf16(const snug_matmul_task *task)
{
    run(task, unpack_bf16, 2);
}

/* The same from quantized rows. */
static void run_unpacked(const snug_matmul_task *task)
{
    snug_unpack_fn *unpack = snug_unpack_c[task->weight.type];

    for (size_t row = 0; row < task->weight.rows; row++) {
        for (size_t token = 0; token < task->tokens; token++)
            task->out[token * task->out_stride + row] = 0.0f;
        for (size_t column = 0; column < task->weight.columns; column += STRETCH) {
            const size_t n = snug_min_size(STRETCH, task->weight.columns - column);
            float values[STRETCH];

            unpack(values, &task->weight, row, column, n);
            for (size_t token = 0; token < task->tokens; token++) {
                const unsigned char *input = (const unsigned char *)task->input + token * task->input_bytes;

                task->out[token * task->out_stride + row] += dot(values, (const float *)input + column, n);
            }
        }
    }
}

static void fill_unpacked(snug_kernels *kernels)
{
#define MATMUL(TYPE, name)                                                                                   \
    static const snug_matmul matmul_##TYPE = { name " x f32, c", input_bytes, prepare, scratch_bytes,        \
                                               run_unpacked };                                               \
                                                                                                             \
    kernels->matmul_few[SNUG_TYPE_##TYPE] = kernels->matmul_many[SNUG_TYPE_##TYPE] = &matmul_##TYPE;
    SNUG_DECODED_TYPES(MATMUL)
#undef MATMUL
}

void snug_matmul_fill_c(snug_kernels *kernels)
{
    static const snug_matmul matmul_f32 = { "f32 x f32, c", input_bytes, prepare, scratch_bytes, run_f32 };
    static const snug_matmul matmul_f16 = { "f16 x f32, c", input_bytes, prepare, scratch_bytes, run_f16 };
    static const snug_matmul matmul_bf16 = { "bf16 x f32, c", input_bytes, prepare, scratch_bytes, run_bf16 };

    kernels->matmul_few[SNUG_TYPE_F32] = kernels->matmul_many[SNUG_TYPE_F32] = &matmul_f32;
    kernels->matmul_few[SNUG_TYPE_F16] = kernels->matmul_many[SNUG_TYPE_F16] = &matmul_f16;
    kernels->matmul_few[SNUG_TYPE_BF16] = kernels->matmul_many[SNUG_TYPE_BF16] = &matmul_bf16;
    fill_unpacked(kernels);
    for (size_t type = 0; type < SNUG_TYPE_COUNT; type++)
        kernels->product[type] = kernels->matmul_many[type] ? &snug_product_floats_c : NULL;
}
