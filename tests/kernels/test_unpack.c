/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantized rows as f32: GGUF's types against the values that the PyPI package gguf and ggml's own functions
 * give for the same blocks, bit for bit; MLX's against bits picked one by one; exact products against double.
 */
#include "tests/kernels/kernel_test.h"

#include "tests/support/golden.h"

#define BLOCKS SNUG_SHARED_FOLDER "/fixtures/gguf/blocks.safetensors"

static const snug_type gguf_types[] = {
    SNUG_TYPE_Q4_0,   SNUG_TYPE_Q4_1,   SNUG_TYPE_Q5_0,  SNUG_TYPE_Q5_1, SNUG_TYPE_Q8_0,
    SNUG_TYPE_Q2_K,   SNUG_TYPE_Q3_K,   SNUG_TYPE_Q4_K,  SNUG_TYPE_Q5_K, SNUG_TYPE_Q6_K,
    SNUG_TYPE_IQ4_NL, SNUG_TYPE_IQ4_XS, SNUG_TYPE_MXFP4, SNUG_TYPE_F16,  SNUG_TYPE_BF16,
};

static const struct {
    snug_type type;
    unsigned bits;
} mlx_types[] = {
    { SNUG_TYPE_AFFINE2, 2 }, { SNUG_TYPE_AFFINE3, 3 }, { SNUG_TYPE_AFFINE4, 4 },
    { SNUG_TYPE_AFFINE5, 5 }, { SNUG_TYPE_AFFINE6, 6 }, { SNUG_TYPE_AFFINE8, 8 },
};

static void every_block_has_the_values_that_ggml_gives(void **state)
{
    snug_kernels kernels;
    golden_tensors file;

    (void)state;
    if (!golden_tensors_open(&file, BLOCKS)) {
        printf("SKIPPED: %s is not there\n", BLOCKS);
        skip();
    }
    snug_kernels_init(&kernels, SNUG_CPU_AUTO, true);
    for (size_t t = 0; t < sizeof gguf_types / sizeof *gguf_types; t++) {
        const snug_type_layout *layout = snug_type_layout_of(gguf_types[t]);
        char name[32];
        golden_tensor blocks, values;
        float *out;

        snprintf(name, sizeof name, "%s.bytes", layout->name);
        blocks = golden_tensor_find(&file, name);
        snprintf(name, sizeof name, "%s.values", layout->name);
        values = golden_tensor_find(&file, name);

        const size_t columns = values.columns;
        const snug_weight weight = { .data = blocks.data,
                                     .type = gguf_types[t],
                                     .rows = (uint32_t)values.rows,
                                     .columns = (uint32_t)columns,
                                     .row_bytes = snug_type_row_bytes(gguf_types[t], columns) };

        assert_int_equal(weight.row_bytes, blocks.columns);
        out = malloc(columns * sizeof *out);
        assert_non_null(out);
        for (size_t row = 0; row < values.rows; row++) {
            kernels.unpack[gguf_types[t]](out, &weight, row, 0, columns);
            if (memcmp(out, values.data + row * columns * sizeof *out, columns * sizeof *out) != 0)
                fail_msg("%s: block %zu differs", layout->name, row);
        }
        free(out);
    }
    golden_tensors_close(&file);
}

static unsigned bits_at(const unsigned char *row, size_t first, unsigned count)
{
    unsigned value = 0;

    for (unsigned i = 0; i < count; i++)
        value |= (unsigned)(row[(first + i) / 8] >> ((first + i) % 8) & 1) << i;
    return value;
}

enum {
    ROWS = 3,
    COLUMNS = 384,
};

static void check_mlx(snug_type type, unsigned bits, uint32_t group, snug_type scale_type, uint64_t seed)
{
    const size_t row_bytes = snug_type_row_bytes(type, COLUMNS);
    unsigned char data[ROWS * COLUMNS + 1];
    unsigned char scales[ROWS * COLUMNS / 32 * 4 + 1], biases[ROWS * COLUMNS / 32 * 4 + 1];
    float scale[ROWS][COLUMNS / 32], bias[ROWS][COLUMNS / 32], out[COLUMNS];
    const size_t groups = COLUMNS / group;
    snug_random random = { seed };
    snug_kernels kernels;
    /* At odd addresses, as files have them. */
    const snug_weight weight = { .data = data + 1,
                                 .type = type,
                                 .rows = ROWS,
                                 .columns = COLUMNS,
                                 .row_bytes = row_bytes,
                                 .scale = scales + 1,
                                 .bias = biases + 1,
                                 .scale_type = scale_type,
                                 .group = group };

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(snug_random_next(&random) >> 20);
    for (size_t i = 0; i < ROWS * groups; i++) {
        const float s = (float)(snug_random_unit(&random) - 0.5);
        const float b = (float)(snug_random_unit(&random) * 8.0 - 4.0);

        scale[i / groups][i % groups] = store_value(scales + 1 + i * value_bytes(scale_type), scale_type, s);
        bias[i / groups][i % groups] = store_value(biases + 1 + i * value_bytes(scale_type), scale_type, b);
    }
    snug_kernels_init(&kernels, SNUG_CPU_C, true);
    for (size_t row = 0; row < ROWS; row++) {
        kernels.unpack[type](out, &weight, row, 0, COLUMNS);
        for (size_t c = 0; c < COLUMNS; c++) {
            const unsigned q = bits_at(data + 1 + row * row_bytes, c * bits, bits);
            const double expected = (double)scale[row][c / group] * q + (double)bias[row][c / group];

            assert_true(fabs((double)out[c] - expected) <=
                        EPSILON * (fabs((double)scale[row][c / group]) * q + fabs(expected)));
        }
        /* The middle of the row alone: the same. */
        float part[128];

        kernels.unpack[type](part, &weight, row, 128, 128);
        assert_memory_equal(part, out + 128, sizeof part);
    }
}

static void mlx_integers_are_streams_of_bits_with_the_lowest_first(void **state)
{
    static const snug_type scale_types[] = { SNUG_TYPE_F32, SNUG_TYPE_F16, SNUG_TYPE_BF16 };

    (void)state;
    for (size_t t = 0; t < sizeof mlx_types / sizeof *mlx_types; t++)
        for (uint32_t group = 32; group <= 128; group *= 2)
            for (size_t s = 0; s < 3; s++)
                check_mlx(mlx_types[t].type, mlx_types[t].bits, group, scale_types[s], 7 * t + group + s);
}

/* Exact products at every level: f32 activations, sums within what f32 allows, the same bits for any
 * split. */
static void check_exact(snug_type type, size_t columns, size_t rows, size_t tokens, snug_cpu_level level)
{
    const size_t row_bytes = snug_type_row_bytes(type, columns);
    unsigned char *data = calloc(rows, row_bytes);
    float *x = calloc(tokens * columns, sizeof *x), *values = calloc(columns, sizeof *values);
    float *out = calloc(tokens * rows, sizeof *out);
    snug_random random = { columns + rows };
    snug_kernels kernels;
    const snug_matmul *matmul;
    unsigned char *input;
    void *scratch;

    assert_true(data && x && values && out);
    for (size_t i = 0; i < rows * row_bytes; i++)
        data[i] = (unsigned char)(snug_random_next(&random) >> 20) & 0x3f; /* scales are numbers */
    fill_random(x, tokens * columns, VALUES_NORMAL, columns);
    snug_kernels_init(&kernels, level, true);
    matmul = tokens <= SNUG_MATMUL_FEW_TOKENS ? kernels.matmul_few[type] : kernels.matmul_many[type];
    input = aligned_alloc(64, tokens * matmul->input_bytes(columns));
    scratch = aligned_alloc(64, snug_round_up(matmul->scratch_bytes(columns) + 64, 64));
    assert_true(input && scratch);
    for (size_t t = 0; t < tokens; t++)
        matmul->prepare(input + t * matmul->input_bytes(columns), x + t * columns, columns);

    const snug_matmul_task task = {
        .out = out,
        .out_stride = rows,
        .weight = { data, type, (uint32_t)rows, (uint32_t)columns, row_bytes, NULL, NULL, SNUG_TYPE_NONE, 0 },
        .input = input,
        .input_bytes = matmul->input_bytes(columns),
        .tokens = tokens,
        .scratch = scratch,
    };

    matmul->run(&task);
    for (size_t r = 0; r < rows; r++) {
        kernels.unpack[type](values, &task.weight, r, 0, columns);
        for (size_t t = 0; t < tokens; t++) {
            double sum = 0.0, magnitude = 0.0;

            for (size_t c = 0; c < columns; c++) {
                sum += (double)values[c] * (double)x[t * columns + c];
                magnitude += fabs((double)values[c] * (double)x[t * columns + c]);
            }
            if (!(fabs((double)out[t * rows + r] - sum) <= (double)columns * EPSILON * magnitude))
                fail_msg("%s: %zu x %zu: row %zu of token %zu is %g, expected %g", matmul->name, columns,
                         rows, r, t, (double)out[t * rows + r], sum);
        }
    }
    free(data);
    free(x);
    free(values);
    free(out);
    free(input);
    free(scratch);
}

static void exact_products_agree_with_double_at_every_level(void **state)
{
    (void)state;
    for (int level = SNUG_CPU_C; level <= (int)snug_cpu_detect(); level++) {
        for (size_t t = 0; t < 13; t++) {
            const size_t block = snug_type_layout_of(gguf_types[t])->block_values;

            for (size_t i = 1; i <= 5; i += 2) {
                check_exact(gguf_types[t], block * i, 1 + i * 7, 1, (snug_cpu_level)level);
                check_exact(gguf_types[t], block * i, 40, 8, (snug_cpu_level)level);
                check_exact(gguf_types[t], block * i, 33, 20, (snug_cpu_level)level);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_block_has_the_values_that_ggml_gives),
        cmocka_unit_test(mlx_integers_are_streams_of_bits_with_the_lowest_first),
        cmocka_unit_test(exact_products_agree_with_double_at_every_level),
    };

    return cmocka_run_group_tests_name("kernels: unpack", tests, NULL, NULL);
}
