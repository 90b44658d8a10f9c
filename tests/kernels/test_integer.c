/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products of quantized weights in integers, with few tokens and with many: every type at every level
 * against sums in double of the weights as `unpack` gives them. Activations are rounded here once more, by
 * the formula, so that what is left is the rounding of f32; against the activations as they came, the
 * error is what 8 bits allow.
 */
#include "tests/kernels/kernel_test.h"

enum {
    ROWS_MAX = 70,
    TOKENS_MAX = 33,
    UNIT = 32, /* columns with one scale of activations */
    SCRATCH_MAX = 256 << 10,
};

/* Where the blocks of a type have scales in f16. */
typedef struct scale_place {
    snug_type type;
    int first, second; /* byte of the block, -1: none */
} scale_place;

static const scale_place places[] = {
    { SNUG_TYPE_Q4_0, 0, -1 },     { SNUG_TYPE_Q4_1, 0, 2 },      { SNUG_TYPE_Q5_0, 0, -1 },
    { SNUG_TYPE_Q5_1, 0, 2 },      { SNUG_TYPE_Q8_0, 0, -1 },     { SNUG_TYPE_Q2_K, 80, 82 },
    { SNUG_TYPE_Q3_K, 108, -1 },   { SNUG_TYPE_Q4_K, 0, 2 },      { SNUG_TYPE_Q5_K, 0, 2 },
    { SNUG_TYPE_Q6_K, 208, -1 },   { SNUG_TYPE_IQ4_NL, 0, -1 },   { SNUG_TYPE_IQ4_XS, 0, -1 },
    { SNUG_TYPE_MXFP4, -1, -1 },   { SNUG_TYPE_AFFINE2, -1, -1 }, { SNUG_TYPE_AFFINE3, -1, -1 },
    { SNUG_TYPE_AFFINE4, -1, -1 }, { SNUG_TYPE_AFFINE5, -1, -1 }, { SNUG_TYPE_AFFINE6, -1, -1 },
    { SNUG_TYPE_AFFINE8, -1, -1 },
};

enum {
    TYPES = sizeof places / sizeof *places
};

/* Memory between two pages that nobody may touch. Data lies against the first one or against the second. */
typedef struct fenced {
    unsigned char *start;
    size_t bytes;
} fenced;

static fenced fenced_alloc(size_t bytes)
{
    const size_t page = snug_os_page_bytes();
    fenced memory = { .bytes = snug_round_up(bytes, page) };
    unsigned char *start = snug_os_reserve(memory.bytes + 2 * page);

    assert_non_null(start);
    memory.start = start + page;
    assert_true(snug_os_commit(memory.start, memory.bytes));
    return memory;
}

static void fenced_free(fenced *memory)
{
    const size_t page = snug_os_page_bytes();

    snug_os_release(memory->start - page, memory->bytes + 2 * page);
}

static void *fenced_place(const fenced *memory, size_t bytes, bool at_end)
{
    assert_true(bytes <= memory->bytes);
    return at_end ? memory->start + memory->bytes - bytes : memory->start;
}

typedef enum scale_kind {
    SCALES_NORMAL,
    SCALES_EXTREME, /* the largest, the smallest, subnormal ones, zero */
} scale_kind;

/* One set of data and its answers; [rows][columns] and [tokens][columns]. */
typedef struct problem {
    snug_weight weight; /* whose data lies in `data`, `scale`, `bias` */
    size_t tokens;
    unsigned char *data, *scale, *bias;
    float *weights; /* the same as f32 */
    float *x;
    double *answer;  /* [tokens][rows], of rounded activations */
    double *bound;   /* what rounding to f32 may add */
    double *exact;   /* [tokens][rows], of the activations as they are */
    double *allowed; /* what rounding them to 8 bits may add */
    fenced data_place, scale_place, bias_place, input, scratch, out;
} problem;

static float random_scale(snug_random *random, scale_kind kind)
{
    static const float extremes[] = { 65504.0f, -65504.0f, 0x1p-14f, 0x1p-24f, 0.0f, 1.0f, -0x1p-20f };
    const float unit = (float)(snug_random_unit(random) * 2.0 - 1.0);

    if (kind == SCALES_EXTREME)
        return extremes[snug_random_next(random) % (sizeof extremes / sizeof *extremes)];
    return unit * 0.01f;
}

static void put_f16(unsigned char *out, float value)
{
    const uint16_t half = snug_f16_from_f32(value);

    memcpy(out, &half, sizeof half);
}

/* Random integers, and scales that are numbers. */
static void fill_blocks(problem *p, scale_kind kind, snug_random *random)
{
    const snug_type_layout *layout = snug_type_layout_of(p->weight.type);
    const size_t bytes = p->weight.rows * p->weight.row_bytes;
    const scale_place *place = places;

    while (place->type != p->weight.type)
        place++;
    for (size_t i = 0; i < bytes; i++)
        p->data[i] = (unsigned char)(snug_random_next(random) >> 24);
    for (size_t at = 0; at < bytes; at += layout->block_bytes) {
        if (place->first >= 0)
            put_f16(p->data + at + place->first, random_scale(random, kind));
        if (place->second >= 0)
            put_f16(p->data + at + place->second, random_scale(random, kind));
        if (p->weight.type == SNUG_TYPE_MXFP4) /* an exponent of two, of 127 for 1 */
            p->data[at] = kind == SCALES_EXTREME ? (unsigned char)(60 + snug_random_next(random) % 100)
                                                 : (unsigned char)(115 + snug_random_next(random) % 8);
    }
}

static void fill_affine(problem *p, scale_kind kind, snug_random *random)
{
    const size_t bytes = snug_weight_scale_row_bytes(&p->weight);
    const size_t each = value_bytes(p->weight.scale_type);

    for (size_t i = 0; i < p->weight.rows * bytes; i += each) {
        (void)store_value(p->scale + i, p->weight.scale_type, random_scale(random, kind));
        (void)store_value(p->bias + i, p->weight.scale_type, random_scale(random, kind));
    }
}

static double unit_max(const float *x, size_t n)
{
    float max = 0.0f;

    for (size_t i = 0; i < n; i++)
        max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
    return (double)max;
}

static void *zeros(size_t count, size_t each)
{
    void *memory = calloc(count, each);

    assert_non_null(memory);
    return memory;
}

/* Of one unit, for all answers with its row or its token. */
typedef struct unit_facts {
    double most; /* weights: the largest of their block; activations: how far rounding moves one */
    double sum;  /* of the magnitudes, of activations when they are rounded */
} unit_facts;

static void find_row_facts(unit_facts *out, const float *w, size_t columns)
{
    for (size_t c = 0; c < columns; c += UNIT) {
        unit_facts *facts = out + c / UNIT;

        facts->most = c % 256 ? facts[-1].most : unit_max(w + c, snug_min_size(256, columns - c));
        facts->sum = 0.0;
        for (size_t i = c; i < c + UNIT; i++)
            facts->sum += fabs((double)w[i]);
    }
}

static void find_token_facts(unit_facts *out, double *rounded, const float *x, size_t columns)
{
    for (size_t c = 0; c < columns; c += UNIT) {
        unit_facts *facts = out + c / UNIT;
        const float max = (float)unit_max(x + c, UNIT);
        const bool counts = max >= 0x1p-100f;
        const float inverse = counts ? 127.0f / max : 0.0f;
        const double scale = counts ? (double)(max / 127.0f) : 0.0;

        facts->most = 0.5001 * (counts ? scale : 2.0 * (double)max);
        facts->sum = 0.0;
        for (size_t i = c; i < c + UNIT; i++) {
            rounded[i] = (double)rintf(x[i] * inverse) * scale;
            facts->sum += fabs(rounded[i]);
        }
    }
}

/*
 * Both answers of one output. The bound of rounding: a total is rounded three times for each unit. A term
 * is a weight's integer part or its minimum, times an activation, and either is at most four times the
 * largest weight of its block if the block's integers are random.
 */
static void answer_one(problem *p, size_t at, const float *w, const unit_facts *row, const float *x,
                       const double *rounded, const unit_facts *token)
{
    const size_t columns = p->weight.columns;
    double magnitude = 0.0;

    for (size_t i = 0; i < columns; i++) {
        p->answer[at] += (double)w[i] * rounded[i];
        p->exact[at] += (double)w[i] * (double)x[i];
    }
    for (size_t u = 0; u < columns / UNIT; u++) {
        magnitude += 4.0 * row[u].most * token[u].sum;
        p->allowed[at] += row[u].sum * token[u].most;
    }
    p->bound[at] = ((double)columns / UNIT * 3.0 + 8.0) * (EPSILON * magnitude + 0x1p-126);
}

static void answer(problem *p)
{
    const size_t columns = p->weight.columns;
    const size_t units = columns / UNIT;
    unit_facts *row = zeros(units, sizeof *row);
    unit_facts *token = zeros(p->tokens * units, sizeof *token);
    double *rounded = zeros(p->tokens * columns, sizeof *rounded);
    snug_kernels kernels;

    snug_kernels_init(&kernels, SNUG_CPU_C, true);
    for (size_t t = 0; t < p->tokens; t++)
        find_token_facts(token + t * units, rounded + t * columns, p->x + t * columns, columns);
    for (size_t r = 0; r < p->weight.rows; r++) {
        float *w = p->weights + r * columns;

        for (size_t c = 0; c < columns; c += 256)
            kernels.unpack[p->weight.type](w + c, &p->weight, r, c, snug_min_size(256, columns - c));
        find_row_facts(row, w, columns);
        for (size_t t = 0; t < p->tokens; t++)
            answer_one(p, t * p->weight.rows + r, w, row, p->x + t * columns, rounded + t * columns,
                       token + t * units);
    }
    free(row);
    free(token);
    free(rounded);
}

/* Each seed takes another type of scale and another group that divides the columns. */
static snug_weight layout_of(snug_type type, size_t rows, size_t columns, size_t seed)
{
    static const snug_type scale_types[] = { SNUG_TYPE_F32, SNUG_TYPE_F16, SNUG_TYPE_BF16 };
    snug_weight weight = { .type = type,
                           .rows = (uint32_t)rows,
                           .columns = (uint32_t)columns,
                           .row_bytes = snug_type_row_bytes(type, columns) };

    if (type >= SNUG_TYPE_AFFINE2) {
        weight.scale_type = scale_types[seed % 3];
        weight.group = 32u << (seed / 3 % 3);
        while (columns % weight.group)
            weight.group /= 2;
    }
    return weight;
}

static problem create(snug_type type, size_t rows, size_t columns, size_t tokens, scale_kind scales,
                      value_kind values, size_t seed)
{
    problem p = { .weight = layout_of(type, rows, columns, seed), .tokens = tokens };
    const size_t scale_bytes = rows * snug_weight_scale_row_bytes(&p.weight);
    snug_random random = { seed + 1 };

    p.data = zeros(rows, p.weight.row_bytes);
    p.scale = zeros(scale_bytes + 1, 1);
    p.bias = zeros(scale_bytes + 1, 1);
    p.weights = zeros(rows * columns, sizeof *p.weights);
    p.x = zeros(tokens * columns, sizeof *p.x);
    p.answer = zeros(tokens * rows, sizeof *p.answer);
    p.bound = zeros(tokens * rows, sizeof *p.bound);
    p.exact = zeros(tokens * rows, sizeof *p.exact);
    p.allowed = zeros(tokens * rows, sizeof *p.allowed);
    p.weight.data = p.data;
    if (p.weight.group) {
        p.weight.scale = p.scale;
        p.weight.bias = p.bias;
        fill_affine(&p, scales, &random);
    }
    fill_blocks(&p, scales, &random);
    fill_random(p.x, tokens * columns, values, seed + 2);
    answer(&p);
    p.data_place = fenced_alloc(rows * p.weight.row_bytes);
    p.scale_place = fenced_alloc(scale_bytes + 1);
    p.bias_place = fenced_alloc(scale_bytes + 1);
    p.input = fenced_alloc(tokens * (columns * 2 + 256));
    p.scratch = fenced_alloc(SCRATCH_MAX);
    p.out = fenced_alloc(tokens * (rows + 3) * sizeof(float));
    return p;
}

static void destroy(problem *p)
{
    fenced_free(&p->data_place);
    fenced_free(&p->scale_place);
    fenced_free(&p->bias_place);
    fenced_free(&p->input);
    fenced_free(&p->scratch);
    fenced_free(&p->out);
    free(p->data);
    free(p->scale);
    free(p->bias);
    free(p->weights);
    free(p->x);
    free(p->answer);
    free(p->bound);
    free(p->exact);
    free(p->allowed);
}

/* The rows from `row` on, copied to one end of the fenced places. */
static snug_weight place_rows(const problem *p, size_t row, size_t rows, bool at_end)
{
    snug_weight part = snug_weight_rows(&p->weight, (uint32_t)row, (uint32_t)rows);
    const size_t scale_bytes = rows * snug_weight_scale_row_bytes(&part);
    void *data = fenced_place(&p->data_place, rows * part.row_bytes, at_end);
    void *scale = fenced_place(&p->scale_place, scale_bytes, at_end);
    void *bias = fenced_place(&p->bias_place, scale_bytes, at_end);

    memcpy(data, part.data, rows * part.row_bytes);
    part.data = data;
    if (part.group) {
        memcpy(scale, part.scale, scale_bytes);
        memcpy(bias, part.bias, scale_bytes);
        part.scale = scale;
        part.bias = bias;
    }
    return part;
}

/* Rows from `row` on for tokens from `token` on. Everything that the kernel reads or writes lies against an
 * unreadable page; the columns of out that are not asked for keep their value. */
static const float *run(const problem *p, const snug_matmul *matmul, size_t row, size_t rows, size_t token,
                        size_t tokens, size_t stride, bool at_end)
{
    const size_t columns = p->weight.columns;
    const size_t input_bytes = matmul->input_bytes(columns);
    const size_t scratch_bytes = matmul->scratch_bytes(columns);
    unsigned char *input = fenced_place(&p->input, tokens * input_bytes, at_end);
    float *out = fenced_place(&p->out, ((tokens - 1) * stride + rows) * sizeof *out, at_end);
    fenced x = fenced_alloc(columns * sizeof(float));

    assert_int_equal(input_bytes % 64, 0);
    assert_true(scratch_bytes <= SCRATCH_MAX);
    for (size_t t = 0; t < tokens; t++) {
        float *row_of_x = fenced_place(&x, columns * sizeof *row_of_x, at_end);

        memcpy(row_of_x, p->x + (token + t) * columns, columns * sizeof *row_of_x);
        matmul->prepare(input + t * input_bytes, row_of_x, columns);
    }
    fenced_free(&x);
    for (size_t i = 0; i < (tokens - 1) * stride + rows; i++)
        out[i] = 12345.0f;

    const snug_matmul_task task = {
        .out = out,
        .out_stride = stride,
        .weight = place_rows(p, row, rows, at_end),
        .input = input,
        .input_bytes = input_bytes,
        .tokens = tokens,
        .scratch = fenced_place(&p->scratch, snug_round_up(scratch_bytes, 64), at_end),
    };

    matmul->run(&task);
    for (size_t t = 0; t + 1 < tokens; t++)
        for (size_t i = rows; i < stride; i++)
            assert_true(out[t * stride + i] == 12345.0f);
    return out;
}

static void check_answers(const problem *p, const snug_matmul *matmul, size_t tokens, bool at_end)
{
    const size_t rows = p->weight.rows;
    const size_t stride = rows + 3;
    const float *out = run(p, matmul, 0, rows, 0, tokens, stride, at_end);

    for (size_t t = 0; t < tokens; t++) {
        for (size_t r = 0; r < rows; r++) {
            const size_t i = t * rows + r;
            const double value = (double)out[t * stride + r];

            if (!(fabs(value - p->answer[i]) <= p->bound[i]) ||
                !(fabs(value - p->exact[i]) <= p->bound[i] + p->allowed[i]))
                fail_msg(
                    "%s: %zu x %u x %zu, token %zu, row %zu: %g, expected %g within %g, exactly %g within %g",
                    matmul->name, tokens, p->weight.columns, rows, t, r, value, p->answer[i], p->bound[i],
                    p->exact[i], p->allowed[i]);
        }
    }
}

/* Calls `check` with both products of every level that has some in integers, and the most tokens of each. */
static void for_each_product(const problem *p,
                             void (*check)(const problem *p, const snug_matmul *matmul, size_t tokens_max))
{
    EACH_LEVEL(level, SNUG_CPU_C + 1)
    {
        snug_kernels kernels;

        snug_kernels_init(&kernels, (snug_cpu_level)level, false);
        check(p, kernels.matmul_few[p->weight.type], snug_min_size(p->tokens, SNUG_MATMUL_FEW_TOKENS));
        check(p, kernels.matmul_many[p->weight.type], p->tokens);
    }
}

static void check_tokens(const problem *p, const snug_matmul *matmul, size_t tokens_max)
{
    static const size_t tokens[] = { 1, 2, 3, 8, 9, 16, 24, 33, 512 };

    for (size_t i = 0; i < sizeof tokens / sizeof *tokens && tokens[i] <= tokens_max; i++)
        check_answers(p, matmul, tokens[i], i % 2);
}

static void agrees_with_double_for_every_type_and_number_of_columns(void **state)
{
    static const size_t columns[] = { 32, 64, 96, 288, 256, 512, 768, 1280, 2304 };
    size_t seed = 0;

    (void)state;
    for (size_t t = 0; t < TYPES; t++) {
        for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
            if (columns[i] % snug_type_layout_of(places[t].type)->block_values)
                continue;
            for (int kind = 0; kind < VALUES_KINDS; kind++) {
                problem p = create(places[t].type, columns[i] > 1000 ? 17 : 33, columns[i], TOKENS_MAX,
                                   SCALES_NORMAL, (value_kind)kind, seed++);

                for_each_product(&p, check_tokens);
                destroy(&p);
            }
        }
    }
}

static void agrees_with_double_for_every_number_of_rows(void **state)
{
    (void)state;
    for (size_t t = 0; t < TYPES; t++) {
        for (size_t rows = 1; rows <= ROWS_MAX; rows++) {
            problem p = create(places[t].type, rows, 256, 13, SCALES_NORMAL, VALUES_NORMAL, rows);

            for_each_product(&p, check_tokens);
            destroy(&p);
        }
    }
}

static void agrees_with_double_for_extreme_scales(void **state)
{
    (void)state;
    for (size_t t = 0; t < TYPES; t++) {
        for (size_t seed = 0; seed < 9; seed++) {
            problem p = create(places[t].type, 20, 512, 16, SCALES_EXTREME, VALUES_MIXED, seed);

            for_each_product(&p, check_tokens);
            destroy(&p);
        }
    }
}

static void agrees_with_double_for_512_tokens(void **state)
{
    (void)state;
    for (size_t t = 0; t < TYPES; t++) {
        problem p = create(places[t].type, 33, 256, 512, SCALES_NORMAL, VALUES_SPIKES, t);

        for_each_product(&p, check_tokens);
        destroy(&p);
    }
}

/* All tokens at once, then parts of the rows and of the tokens: the same bits. */
static void check_split(const problem *p, const snug_matmul *matmul, size_t tokens_max)
{
    const size_t all_rows = p->weight.rows;
    snug_random random = { 11 };
    float *whole = zeros(tokens_max * all_rows, sizeof *whole);

    memcpy(whole, run(p, matmul, 0, all_rows, 0, tokens_max, all_rows, true),
           tokens_max * all_rows * sizeof *whole);
    for (int i = 0; i < 60; i++) {
        const size_t row = (size_t)(snug_random_next(&random) % all_rows);
        const size_t rows = 1 + (size_t)(snug_random_next(&random) % (all_rows - row));
        const size_t token = (size_t)(snug_random_next(&random) % tokens_max);
        const size_t tokens = 1 + (size_t)(snug_random_next(&random) % (tokens_max - token));
        const float *part = run(p, matmul, row, rows, token, tokens, rows, i % 2);

        for (size_t t = 0; t < tokens; t++)
            assert_memory_equal(part + t * rows, whole + (token + t) * all_rows + row, rows * sizeof *part);
    }
    free(whole);
}

static void gives_the_same_bits_for_every_split(void **state)
{
    (void)state;
    for (size_t t = 0; t < TYPES; t++) {
        problem p = create(places[t].type, ROWS_MAX, 1280, 31, SCALES_NORMAL, VALUES_SPIKES, t);

        for_each_product(&p, check_split);
        destroy(&p);
    }
}

/* A NaN or an infinity in token 3, and a scale that is a NaN in the last row: those and no others. */
static void check_special(const problem *p, const snug_matmul *matmul, size_t tokens_max)
{
    const size_t rows = p->weight.rows;
    const float *out = run(p, matmul, 0, rows, 0, tokens_max, rows, true);

    for (size_t i = 0; i < tokens_max * rows; i++) {
        const bool is_spoilt = i / rows == 3 || i / rows == 5 || i % rows == rows - 1;

        assert_int_equal(isnan(out[i]) != 0, is_spoilt);
    }
}

static void keeps_nans_where_they_are(void **state)
{
    (void)state;
    for (size_t t = 0; t < TYPES; t++) {
        problem p = create(places[t].type, 40, 512, 14, SCALES_NORMAL, VALUES_NORMAL, t);
        unsigned char *row = p.data + 39 * p.weight.row_bytes;

        if (p.weight.group)
            (void)store_value(p.scale + 39 * snug_weight_scale_row_bytes(&p.weight), p.weight.scale_type,
                              NAN);
        else if (places[t].first >= 0)
            put_f16(row + places[t].first, NAN);
        else
            row[0] = 255; /* MXFP4 */
        p.x[3 * 512 + 77] = NAN;
        p.x[5 * 512 + 500] = -INFINITY;
        for_each_product(&p, check_special);
        destroy(&p);
    }
}

static void rounds_activations_only_if_not_exact(void **state)
{
    (void)state;
    EACH_LEVEL(level, SNUG_CPU_C + 1)
    {
        snug_kernels fast;
        snug_kernels exact;

        snug_kernels_init(&fast, (snug_cpu_level)level, false);
        snug_kernels_init(&exact, (snug_cpu_level)level, true);
        for (size_t t = 0; t < TYPES; t++) {
            const snug_type type = places[t].type;

            assert_non_null(strstr(fast.matmul_few[type]->name, " x i8, few"));
            assert_non_null(strstr(fast.matmul_many[type]->name, " x i8, many"));
            assert_non_null(strstr(exact.matmul_few[type]->name, " x f32, few"));
            assert_non_null(strstr(exact.matmul_many[type]->name, " x f32, many"));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_double_for_every_type_and_number_of_columns),
        cmocka_unit_test(agrees_with_double_for_every_number_of_rows),
        cmocka_unit_test(agrees_with_double_for_extreme_scales),
        cmocka_unit_test(agrees_with_double_for_512_tokens),
        cmocka_unit_test(gives_the_same_bits_for_every_split),
        cmocka_unit_test(keeps_nans_where_they_are),
        cmocka_unit_test(rounds_activations_only_if_not_exact),
    };

    return cmocka_run_group_tests_name("kernels: integer", tests, NULL, NULL);
}
