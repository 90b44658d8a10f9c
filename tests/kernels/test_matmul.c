/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every product of every level against sums in double, within the bound that its rounding has for the very
 * data; and the same bits however the rows and tokens are split.
 */
#include "tests/kernels/kernel_test.h"

enum {
    ROWS_MAX = 70,
    TOKENS_MAX = 33,
    COLUMNS_MAX = 3079,
};

static const snug_type types[] = { SNUG_TYPE_F32, SNUG_TYPE_F16, SNUG_TYPE_BF16 };

/* One set of data and its answers; [rows][columns] and [tokens][columns]. */
typedef struct problem {
    snug_type type;
    size_t rows, columns, tokens;
    guarded weight; /* as stored, ends at a guard page less `shift` bytes */
    size_t shift;   /* 1: odd addresses */
    float *weights; /* the same as f32 */
    float *x;
    double *answer; /* [tokens][rows] */
    double *bound;  /* error that f32 sums in any order may have */
    double *fixed;  /* and what 13-bit integers may add to it */
    guarded input, scratch, out;
} problem;

static const unsigned char *stored(const problem *p)
{
    return (const unsigned char *)p->weight.end - p->shift - p->rows * p->columns * value_bytes(p->type);
}

/* Blocks of 32 columns share a scale of at most their largest value over 4096 (weights) or 8191
 * (activations); a block below 2^-100 counts as zero. */
static double fixed_bound(const float *w, const float *x, size_t columns)
{
    double bound = 0.0;

    for (size_t c = 0; c < columns; c += 32) {
        const size_t n = snug_min_size(32, columns - c);
        double max_w = 0.0;
        double max_x = 0.0;
        double sum_w = 0.0;
        double sum_x = 0.0;
        double sum = 0.0;

        for (size_t i = c; i < c + n; i++) {
            max_w = fmax(max_w, fabs((double)w[i]));
            max_x = fmax(max_x, fabs((double)x[i]));
            sum_w += fabs((double)w[i]);
            sum_x += fabs((double)x[i]);
            sum += fabs((double)w[i] * (double)x[i]);
        }
        if (max_w < 0x1p-99 || max_x < 0x1p-99)
            bound += sum;
        else
            bound += 0.51 *
                     (sum_x * max_w / 4096 + sum_w * max_x / 8191 + (double)n * max_w / 4096 * max_x / 8191);
    }
    return bound;
}

static void answer(problem *p)
{
    for (size_t t = 0; t < p->tokens; t++) {
        for (size_t r = 0; r < p->rows; r++) {
            const float *w = p->weights + r * p->columns;
            const float *x = p->x + t * p->columns;
            double sum = 0.0;
            double magnitude = 0.0;

            for (size_t c = 0; c < p->columns; c++) {
                const double product = (double)w[c] * (double)x[c];

                sum += product;
                magnitude += fabs(product);
            }
            p->answer[t * p->rows + r] = sum;
            p->bound[t * p->rows + r] = (double)(p->columns + 8) * (EPSILON * 1.001 * magnitude + 0x1p-149);
            p->fixed[t * p->rows + r] = fixed_bound(w, x, p->columns);
        }
    }
}

static problem create(snug_type type, size_t rows, size_t columns, size_t tokens, value_kind kind)
{
    problem p = { .type = type, .rows = rows, .columns = columns, .tokens = tokens };
    const size_t count = rows * columns;

    p.shift = columns % 2;
    p.weight = guarded_alloc(count * value_bytes(type) + 64);
    p.weights = calloc(count, sizeof *p.weights);
    p.x = calloc(tokens * columns, sizeof *p.x);
    p.answer = calloc(tokens * rows, sizeof *p.answer);
    p.bound = calloc(tokens * rows, sizeof *p.bound);
    p.fixed = calloc(tokens * rows, sizeof *p.fixed);
    p.input = guarded_alloc(tokens * (columns * sizeof(float) + 256));
    p.scratch = guarded_alloc((size_t)256 << 10);
    p.out = guarded_alloc(tokens * (rows + 3) * sizeof(float));
    assert_true(p.weights && p.x && p.answer && p.bound && p.fixed);
    fill_random(p.weights, count, kind, columns);
    fill_random(p.x, tokens * columns, kind, columns + 1);
    for (size_t i = 0; i < count; i++)
        p.weights[i] = store_value((unsigned char *)p.weight.end - p.shift - (count - i) * value_bytes(type),
                                   type, p.weights[i]);
    answer(&p);
    return p;
}

static void destroy(problem *p)
{
    guarded_free(&p->weight);
    guarded_free(&p->input);
    guarded_free(&p->scratch);
    guarded_free(&p->out);
    free(p->weights);
    free(p->x);
    free(p->answer);
    free(p->bound);
    free(p->fixed);
}

/* Rows from `row` on for tokens from `token` on. Everything that the kernel reads or writes ends at a
 * guard page; the columns of out that are not asked for keep their value. */
static const float *run(const problem *p, const snug_matmul *matmul, size_t row, size_t rows, size_t token,
                        size_t tokens, size_t stride)
{
    const size_t input_bytes = matmul->input_bytes(p->columns);
    const size_t scratch_bytes = matmul->scratch_bytes(p->columns);
    const size_t row_bytes = p->columns * value_bytes(p->type);
    guarded x = guarded_alloc(p->columns * sizeof(float));
    unsigned char *input = guarded_last(&p->input, tokens * input_bytes);
    float *out = guarded_last(&p->out, ((tokens - 1) * stride + rows) * sizeof *out);

    assert_int_equal(input_bytes % 64, 0);
    assert_true(scratch_bytes <= (size_t)256 << 10);
    for (size_t t = 0; t < tokens; t++) {
        float *row_of_x = guarded_last(&x, p->columns * sizeof *row_of_x);

        memcpy(row_of_x, p->x + (token + t) * p->columns, p->columns * sizeof *row_of_x);
        matmul->prepare(input + t * input_bytes, row_of_x, p->columns);
    }
    guarded_free(&x);
    for (size_t i = 0; i < (tokens - 1) * stride + rows; i++)
        out[i] = 12345.0f;

    const snug_matmul_task task = {
        .out = out,
        .out_stride = stride,
        .weight = { .data = stored(p) + row * row_bytes,
                    .type = p->type,
                    .rows = (uint32_t)rows,
                    .columns = (uint32_t)p->columns,
                    .row_bytes = row_bytes },
        .input = input,
        .input_bytes = input_bytes,
        .tokens = tokens,
        .scratch = guarded_last(&p->scratch, snug_round_up(scratch_bytes, 64)),
    };

    matmul->run(&task);
    for (size_t t = 0; t + 1 < tokens; t++)
        for (size_t i = rows; i < stride; i++)
            assert_true(out[t * stride + i] == 12345.0f);
    return out;
}

static void check_answers(const problem *p, const snug_matmul *matmul, size_t tokens)
{
    const bool is_fixed = strstr(matmul->name, "fixed") != NULL;
    const size_t stride = p->rows + 3;
    const float *out = run(p, matmul, 0, p->rows, 0, tokens, stride);

    for (size_t t = 0; t < tokens; t++) {
        for (size_t r = 0; r < p->rows; r++) {
            const size_t i = t * p->rows + r;
            const double error = fabs((double)out[t * stride + r] - p->answer[i]);
            const double bound = p->bound[i] + (is_fixed ? p->fixed[i] * 1.001 : 0.0);

            if (!(error <= bound))
                fail_msg("%s: %zu x %zu x %zu, token %zu, row %zu: %g, expected %g, error %g of %g",
                         matmul->name, tokens, p->columns, p->rows, t, r, (double)out[t * stride + r],
                         p->answer[i], error, bound);
        }
    }
}

/* Few with every number of tokens, many with those around its blocks. */
static void check_problem(const problem *p, const snug_kernels *kernels)
{
    static const size_t many[] = { 1, 2, 9, 16, 33 };

    for (size_t tokens = 1; tokens <= snug_min_size(SNUG_MATMUL_FEW_TOKENS, p->tokens); tokens++)
        check_answers(p, kernels->matmul_few[p->type], tokens);
    for (size_t i = 0; i < sizeof many / sizeof *many && many[i] <= p->tokens; i++)
        check_answers(p, kernels->matmul_many[p->type], many[i]);
}

static void check_at_all_levels(const problem *p)
{
    EACH_LEVEL(level, SNUG_CPU_C)
    {
        snug_kernels kernels;

        snug_kernels_init(&kernels, (snug_cpu_level)level, false);
        check_problem(p, &kernels);
        snug_kernels_init(&kernels, (snug_cpu_level)level, true);
        check_problem(p, &kernels);
    }
}

static void agrees_with_double_for_every_number_of_columns(void **state)
{
    static const size_t columns[] = { 1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,  12,
                                      13, 14, 15, 16, 17, 31, 33, 64, 80, 96, 256, 1000 };

    (void)state;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
            for (int kind = 0; kind < VALUES_KINDS; kind++) {
                problem p = create(types[t], columns[i] > 100 ? 33 : ROWS_MAX, columns[i], TOKENS_MAX,
                                   (value_kind)kind);

                check_at_all_levels(&p);
                destroy(&p);
            }
        }
    }
}

static void agrees_with_double_for_long_rows(void **state)
{
    static const size_t columns[] = { 3072, COLUMNS_MAX };

    (void)state;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
            problem p = create(types[t], 17, columns[i], 9, VALUES_NORMAL);

            check_at_all_levels(&p);
            destroy(&p);
        }
    }
}

static void agrees_with_double_for_every_number_of_rows(void **state)
{
    (void)state;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        for (size_t rows = 1; rows <= ROWS_MAX; rows++) {
            problem p = create(types[t], rows, 37, 13, VALUES_NORMAL);

            check_at_all_levels(&p);
            destroy(&p);
        }
    }
}

static void agrees_with_double_for_512_tokens(void **state)
{
    (void)state;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        problem p = create(types[t], 33, 96, 512, VALUES_NORMAL);

        EACH_LEVEL(level, SNUG_CPU_C)
        {
            snug_kernels kernels;

            snug_kernels_init(&kernels, (snug_cpu_level)level, false);
            check_answers(&p, kernels.matmul_many[p.type], 512);
            snug_kernels_init(&kernels, (snug_cpu_level)level, true);
            check_answers(&p, kernels.matmul_many[p.type], 512);
        }
        destroy(&p);
    }
}

/* The first `tokens` tokens at once, then parts of the rows and of the tokens: the same bits. */
static void check_split(const problem *p, const snug_matmul *matmul, size_t tokens, size_t part_tokens_max)
{
    snug_random random = { 11 };
    float *whole = calloc(tokens * p->rows, sizeof *whole);

    assert_non_null(whole);
    memcpy(whole, run(p, matmul, 0, p->rows, 0, tokens, p->rows), tokens * p->rows * sizeof *whole);
    for (int i = 0; i < 60; i++) {
        const size_t row = (size_t)(snug_random_next(&random) % p->rows);
        const size_t rows = 1 + (size_t)(snug_random_next(&random) % (p->rows - row));
        const size_t token = (size_t)(snug_random_next(&random) % tokens);
        const size_t count =
            1 + (size_t)(snug_random_next(&random) % snug_min_size(part_tokens_max, tokens - token));
        const float *part = run(p, matmul, row, rows, token, count, rows);

        for (size_t t = 0; t < count; t++)
            assert_memory_equal(part + t * rows, whole + (token + t) * p->rows + row, rows * sizeof *part);
    }
    free(whole);
}

static void check_splits(const snug_kernels *kernels)
{
    static const size_t columns[] = { 17, 80, 1100 };

    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
            problem p = create(types[t], ROWS_MAX, columns[i], 31, VALUES_SPIKES);

            check_split(&p, kernels->matmul_few[types[t]], 8, 8);
            check_split(&p, kernels->matmul_many[types[t]], 31, 31);
            destroy(&p);
        }
    }
}

static void gives_the_same_bits_for_every_split(void **state)
{
    (void)state;
    for_each_level(check_splits);
}

/* An infinity or a NaN spoils its own row, or its own token, and nothing else. */
static void check_special(const snug_kernels *kernels)
{
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        const snug_matmul *const matmuls[] = { kernels->matmul_few[types[t]],
                                               kernels->matmul_many[types[t]] };
        problem p = create(types[t], 40, 70, 8, VALUES_NORMAL);

        (void)store_value((unsigned char *)p.weight.end - p.shift - p.columns * value_bytes(types[t]),
                          types[t], INFINITY);
        p.x[3 * p.columns + 69] = NAN;
        for (size_t m = 0; m < 2; m++) {
            const float *out = run(&p, matmuls[m], 0, p.rows, 0, p.tokens, p.rows);

            for (size_t i = 0; i < p.tokens * p.rows; i++) {
                const bool is_spoilt = i / p.rows == 3 || i % p.rows == 39;

                if (i / p.rows == 3)
                    assert_true(isnan(out[i]));
                assert_int_equal(isfinite(out[i]) == 0, is_spoilt);
            }
        }
        destroy(&p);
    }
}

static void keeps_infinities_and_nans_where_they_are(void **state)
{
    (void)state;
    for_each_level(check_special);
}

static void exact_mode_rounds_no_activation(void **state)
{
    (void)state;
    EACH_LEVEL(level, SNUG_CPU_C)
    {
        snug_kernels kernels;

        snug_kernels_init(&kernels, (snug_cpu_level)level, true);
        assert_true(kernels.exact);
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            assert_non_null(strstr(kernels.matmul_few[types[t]]->name, " x f32"));
            assert_non_null(strstr(kernels.matmul_many[types[t]]->name, " x f32"));
        }
    }
}

static void takes_the_best_level_for_one_that_the_machine_has_not(void **state)
{
    snug_kernels kernels;

    (void)state;
    snug_kernels_init(&kernels, SNUG_CPU_AUTO, false);
    assert_int_equal(kernels.level, snug_cpu_detect());
    for (int level = SNUG_CPU_AVX2; level <= SNUG_CPU_I8MM; level++) {
        snug_kernels_init(&kernels, (snug_cpu_level)level, false);
        assert_int_equal(kernels.level, snug_cpu_has((snug_cpu_level)level) ? level : (int)snug_cpu_detect());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_double_for_every_number_of_columns),
        cmocka_unit_test(agrees_with_double_for_every_number_of_rows),
        cmocka_unit_test(agrees_with_double_for_long_rows),
        cmocka_unit_test(agrees_with_double_for_512_tokens),
        cmocka_unit_test(gives_the_same_bits_for_every_split),
        cmocka_unit_test(keeps_infinities_and_nans_where_they_are),
        cmocka_unit_test(exact_mode_rounds_no_activation),
        cmocka_unit_test(takes_the_best_level_for_one_that_the_machine_has_not),
    };

    return cmocka_run_group_tests_name("kernels: matmul", tests, NULL, NULL);
}
