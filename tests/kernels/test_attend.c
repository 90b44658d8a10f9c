/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention over a few tiles at every level, against a softmax in double over all tokens at once; ranges
 * of every kind; tiles that end at a guard page after the last token that is seen.
 */
#include "tests/kernels/kernel_test.h"

enum {
    TILES = 3,
    TOKENS = TILES * SNUG_TILE_TOKENS,
};

static const snug_type types[] = { SNUG_TYPE_F32, SNUG_TYPE_F16 };

/* Queries over TILES tiles; what each sees is [begin, end) of all tokens. */
typedef struct scene {
    snug_type type;
    size_t head_dim, queries;
    bool takes_rows;
    float *query;
    float *key; /* [TOKENS][head_dim], as stored */
    float *value;
    uint32_t begin[SNUG_ATTEND_QUERIES_MAX];
    uint32_t end[SNUG_ATTEND_QUERIES_MAX];
    float max[SNUG_ATTEND_QUERIES_MAX];
    float sum[SNUG_ATTEND_QUERIES_MAX];
    float *out;
    guarded keys, values, scratch;
} scene;

typedef enum range_kind {
    RANGE_ALL,
    RANGE_CAUSAL,
    RANGE_WINDOW,
    RANGE_RANDOM,
    RANGE_KINDS
} range_kind;

static void choose_ranges(scene *s, range_kind kind)
{
    snug_random random = { s->head_dim * 64 + s->queries };

    for (size_t q = 0; q < s->queries; q++) {
        s->begin[q] = 0;
        s->end[q] = TOKENS;
        if (kind == RANGE_CAUSAL)
            s->end[q] = (uint32_t)(70 + q / 2); /* two heads of each token */
        if (kind == RANGE_WINDOW) {
            s->end[q] = (uint32_t)(100 + q);
            s->begin[q] = s->end[q] - 50;
        }
        if (kind == RANGE_RANDOM) {
            s->begin[q] = (uint32_t)(snug_random_next(&random) % TOKENS);
            s->end[q] = (uint32_t)(snug_random_next(&random) % (TOKENS + 1)); /* often empty */
        }
    }
}

static scene create(snug_type type, size_t head_dim, size_t queries, range_kind kind)
{
    scene s = { .type = type, .head_dim = head_dim, .queries = queries };
    const size_t tile_bytes = SNUG_TILE_TOKENS * head_dim * sizeof(float);
    unsigned char unused[4];

    s.query = calloc(queries * head_dim, sizeof(float));
    s.key = calloc(TOKENS * head_dim, sizeof(float));
    s.value = calloc(TOKENS * head_dim, sizeof(float));
    s.out = calloc(queries * head_dim, sizeof(float));
    assert_true(s.query && s.key && s.value && s.out);
    s.keys = guarded_alloc(tile_bytes);
    s.values = guarded_alloc(tile_bytes);
    s.scratch = guarded_alloc(snug_attend_scratch_bytes(head_dim));
    choose_ranges(&s, kind);
    fill_random(s.query, queries * head_dim, VALUES_NORMAL, 1);
    fill_random(s.key, TOKENS * head_dim, VALUES_NORMAL, 2);
    fill_random(s.value, TOKENS * head_dim, VALUES_MIXED, 3);
    for (size_t i = 0; i < TOKENS * head_dim; i++) {
        s.key[i] = store_value(unused, type, s.key[i]);
        s.value[i] = store_value(unused, type, s.value[i]);
    }
    for (size_t q = 0; q < queries; q++)
        s.max[q] = -INFINITY;
    return s;
}

static void destroy(scene *s)
{
    guarded_free(&s->keys);
    guarded_free(&s->values);
    guarded_free(&s->scratch);
    free(s->query);
    free(s->key);
    free(s->value);
    free(s->out);
}

/* Tokens [0, count) of a tile, so that the memory behind them cannot be read. */
static const void *stored_tile(const scene *s, const guarded *memory, const float *values, size_t tile,
                               size_t count)
{
    const size_t n = count * s->head_dim;
    unsigned char *at = guarded_last(memory, n * value_bytes(s->type));

    for (size_t i = 0; i < n; i++)
        (void)store_value(at + i * value_bytes(s->type), s->type,
                          values[tile * SNUG_TILE_TOKENS * s->head_dim + i]);
    return at;
}

static uint32_t inside_tile(uint32_t token, size_t tile)
{
    const uint32_t first = (uint32_t)tile * SNUG_TILE_TOKENS;

    return token <= first ? 0 : (uint32_t)snug_min_size(token - first, SNUG_TILE_TOKENS);
}

static void attend_tiles(scene *s, snug_attend_fn *attend)
{
    for (size_t tile = 0; tile < TILES; tile++) {
        uint32_t begin[SNUG_ATTEND_QUERIES_MAX];
        uint32_t end[SNUG_ATTEND_QUERIES_MAX];
        size_t last = 0;

        for (size_t q = 0; q < s->queries; q++) {
            begin[q] = inside_tile(s->begin[q], tile);
            end[q] = inside_tile(s->end[q], tile);
            if (begin[q] < end[q])
                last = snug_max_size(last, end[q]);
        }

        const snug_attend_task task = {
            .query = s->query,
            .key = stored_tile(s, &s->keys, s->key, tile, last),
            .value = stored_tile(s, &s->values, s->value, tile, last),
            .begin = begin,
            .end = end,
            .queries = s->queries,
            .head_dim = s->head_dim,
            .max = s->max,
            .sum = s->sum,
            .out = s->out,
            .scratch = guarded_last(&s->scratch, snug_attend_scratch_bytes(s->head_dim)),
            .takes_rows = s->takes_rows,
        };

        attend(&task);
    }
}

/* Scores in double, and the largest error that f32 may make in one of them. */
static double score_tokens(const scene *s, size_t q, double *scores, double *error)
{
    double max = -INFINITY;

    *error = 0.0;
    for (size_t t = s->begin[q]; t < s->end[q]; t++) {
        double magnitude = 0.0;

        scores[t] = 0.0;
        for (size_t i = 0; i < s->head_dim; i++) {
            const double product =
                (double)s->query[q * s->head_dim + i] * (double)s->key[t * s->head_dim + i];

            scores[t] += product;
            magnitude += fabs(product);
        }
        max = fmax(max, scores[t]);
        *error = fmax(*error, (double)(s->head_dim + 8) * EPSILON * magnitude);
    }
    return max;
}

static void check_query(const scene *s, size_t q)
{
    double scores[TOKENS], weights[TOKENS];
    double error;
    const double max = score_tokens(s, q, scores, &error);
    double sum = 0.0;

    if (s->begin[q] >= s->end[q]) {
        assert_true(s->max[q] == -INFINITY && s->sum[q] == 0.0f);
        for (size_t i = 0; i < s->head_dim; i++)
            assert_true(s->out[q * s->head_dim + i] == 0.0f);
        return;
    }
    assert_true(fabs((double)s->max[q] - max) <= error);
    for (size_t t = s->begin[q]; t < s->end[q]; t++) {
        weights[t] = exp(scores[t] - max);
        sum += weights[t];
    }
    for (size_t t = s->begin[q]; t < s->end[q]; t++)
        weights[t] /= sum;
    for (size_t i = 0; i < s->head_dim; i++) {
        double expected = 0.0;
        double magnitude = 0.0;

        for (size_t t = s->begin[q]; t < s->end[q]; t++) {
            const double part = weights[t] * (double)s->value[t * s->head_dim + i];

            expected += part;
            magnitude += fabs(part);
        }

        const double got = (double)s->out[q * s->head_dim + i] / (double)s->sum[q];
        const double bound = magnitude * (4 * error + 2 * TOKENS * EPSILON) + 0x1p-140;

        if (!(fabs(got - expected) <= bound))
            fail_msg("head_dim %zu, %zu queries, query %zu, value %zu: %g, expected %g, bound %g",
                     s->head_dim, s->queries, q, i, got, expected, bound);
    }
}

static void check_scenes(const snug_kernels *kernels)
{
    static const size_t head_dims[] = { 2, 6, 16, 34, 64, 80, 96, 128, 256, 510, 512 };
    static const size_t query_counts[] = { 1, 2, 3, 4, 5, 8, 9, 13, 64 };

    for (size_t h = 0; h < sizeof head_dims / sizeof *head_dims; h++) {
        for (size_t n = 0; n < sizeof query_counts / sizeof *query_counts; n++) {
            for (int i = 0; i < 2 * RANGE_KINDS; i++) {
                const int kind = i / 2;
                const snug_type type = types[(h + n + (size_t)kind) % 2];
                scene s = create(type, head_dims[h], query_counts[n], (range_kind)kind);

                s.takes_rows = i % 2 > 0;
                attend_tiles(&s, kernels->attend[type]);
                for (size_t q = 0; q < s.queries; q += 1 + s.queries / 16)
                    check_query(&s, q);
                destroy(&s);
            }
        }
    }
}

static void check_both_types(const snug_kernels *kernels)
{
    if (kernels->exact)
        return; /* the same functions */
    check_scenes(kernels);
}

static void agrees_with_a_softmax_in_double(void **state)
{
    (void)state;
    for_each_level(check_both_types);
}

/* A value that a query does not see may be anything. */
static void check_unseen(const snug_kernels *kernels)
{
    for (size_t t = 0; t < 2; t++) {
        scene s = create(types[t], 80, 11, RANGE_CAUSAL);

        for (size_t q = 0; q < s.queries; q++)
            s.end[q] = (uint32_t)(60 + q);
        for (size_t i = 0; i < s.head_dim; i++) {
            s.value[64 * s.head_dim + i] = NAN; /* seen by queries 5 and later */
            s.key[66 * s.head_dim + i] = INFINITY;
        }
        attend_tiles(&s, kernels->attend[types[t]]);
        for (size_t q = 0; q < 5; q++)
            check_query(&s, q);
        for (size_t q = 5; q < s.queries; q++)
            assert_true(isnan(s.out[q * s.head_dim]));
        destroy(&s);
    }
}

static void a_query_is_not_touched_by_what_it_does_not_see(void **state)
{
    (void)state;
    for_each_level(check_unseen);
}

/* Scores of minus infinity count for nothing, also when they come first. */
static void check_minus_infinity(const snug_kernels *kernels)
{
    for (size_t t = 0; t < 2; t++) {
        scene s = create(types[t], 64, 5, RANGE_ALL);

        for (size_t i = 0; i < s.queries * s.head_dim; i++)
            s.query[i] = fabsf(s.query[i]) + 0.1f;
        for (size_t i = 0; i < 70 * s.head_dim; i++)
            s.key[i] = -INFINITY;
        attend_tiles(&s, kernels->attend[types[t]]);
        for (size_t q = 0; q < s.queries; q++) {
            s.begin[q] = 70;
            check_query(&s, q);
        }
        destroy(&s);
    }
}

static void minus_infinity_makes_no_nan(void **state)
{
    (void)state;
    for_each_level(check_minus_infinity);
}

/* What a query gets is the same bits beside any others. */
static void check_alone(const snug_kernels *kernels)
{
    for (size_t i = 0; i < 4; i++) {
        const size_t t = i / 2;
        scene together = create(types[t], 96, 11, RANGE_CAUSAL);

        together.takes_rows = i % 2 > 0;
        attend_tiles(&together, kernels->attend[types[t]]);
        for (size_t q = 0; q < together.queries; q++) {
            scene alone = create(types[t], 96, 1, RANGE_CAUSAL);

            alone.takes_rows = together.takes_rows;
            memcpy(alone.query, together.query + q * 96, 96 * sizeof(float));
            alone.end[0] = together.end[q];
            attend_tiles(&alone, kernels->attend[types[t]]);
            assert_memory_equal(alone.out, together.out + q * 96, 96 * sizeof(float));
            assert_true(alone.sum[0] == together.sum[q] && alone.max[0] == together.max[q]);
            destroy(&alone);
        }
        destroy(&together);
    }
}

static void gives_the_same_bits_beside_any_other_queries(void **state)
{
    (void)state;
    for_each_level(check_alone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_softmax_in_double),
        cmocka_unit_test(a_query_is_not_touched_by_what_it_does_not_see),
        cmocka_unit_test(minus_infinity_makes_no_nan),
        cmocka_unit_test(gives_the_same_bits_beside_any_other_queries),
    };

    return cmocka_run_group_tests_name("kernels: attend", tests, NULL, NULL);
}
