/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention over tiles of codes at every level, against snug_tile_decode() and a softmax in double. The error
 * is counted against the codec's own noise: what attention over the values before they were coded gives.
 * Planes and scales lie at odd addresses and end at a guard page.
 */
#include "tests/kernels/kernel_test.h"

#include "base/status.h"
#include "codec/affine.h"
#include "codec/planes.h"

enum {
    TILES = 3,
    TOKENS = TILES * SNUG_TILE_TOKENS,
    MEMORIES_MAX = 2 * TILES * (SNUG_CODES_PLANE_COUNT + 3),
};

/* How one side is stored. */
typedef struct form {
    snug_tile_kind kind;
    uint32_t bits;
    bool is_repacked; /* 4 bits in T2 T1A T1B */
} form;

static const form forms[] = {
    { SNUG_TILE_PLANES, 2, false }, { SNUG_TILE_PLANES, 3, false }, { SNUG_TILE_PLANES, 4, false },
    { SNUG_TILE_PLANES, 4, true },  { SNUG_TILE_PLANES, 5, false }, { SNUG_TILE_PLANES, 6, false },
    { SNUG_TILE_PLANES, 8, false }, { SNUG_TILE_AFFINE, 2, false }, { SNUG_TILE_AFFINE, 3, false },
    { SNUG_TILE_AFFINE, 4, false }, { SNUG_TILE_AFFINE, 5, false }, { SNUG_TILE_AFFINE, 6, false },
    { SNUG_TILE_AFFINE, 8, false },
};

static const form plain[] = { { SNUG_TILE_F32, 0, false }, { SNUG_TILE_F16, 0, false } };

typedef struct scene {
    form key_form, value_form;
    size_t head_dim, queries;
    float *query;
    float *key; /* [TOKENS][head_dim], before they were coded */
    float *value;
    float *key_decoded;
    float *value_decoded;
    snug_tile keys[TILES];
    snug_tile values[TILES];
    uint32_t begin[SNUG_ATTEND_QUERIES_MAX]; /* of all tokens */
    uint32_t end[SNUG_ATTEND_QUERIES_MAX];
    float max[SNUG_ATTEND_QUERIES_MAX];
    float sum[SNUG_ATTEND_QUERIES_MAX];
    float *out;
    guarded memory[MEMORIES_MAX];
    size_t memory_count;
    guarded scratch, prepared;
} scene;

/* Memory that ends at a guard page, behind an odd number of bytes if `bytes` is odd. */
static void *take(scene *s, size_t bytes)
{
    assert_true(s->memory_count < MEMORIES_MAX);
    s->memory[s->memory_count] = guarded_alloc(bytes);
    return guarded_last(&s->memory[s->memory_count++], bytes);
}

static float *take_floats(size_t n)
{
    float *floats = calloc(n, sizeof *floats);

    assert_non_null(floats);
    return floats;
}

/* About Gaussian, as turned vectors are: the first `n` of the numbers of `seed`, 1 to 3, each drawn once. */
static void fill_gaussian(float *out, size_t n, size_t seed)
{
    static float numbers[3][TOKENS * SNUG_HEAD_DIM_MAX];
    static size_t drawn[3];
    static snug_random random[3] = { { 1 }, { 2 }, { 3 } };
    const size_t which = seed - 1;

    assert_true(which < 3 && n <= SNUG_COUNT(numbers[0]));
    for (; drawn[which] < n; drawn[which]++) {
        double sum = -6.0;

        for (int k = 0; k < 12; k++)
            sum += snug_random_unit(&random[which]);
        numbers[which][drawn[which]] = (float)sum;
    }
    memcpy(out, numbers[which], n * sizeof *out);
}

static uint32_t group_of(size_t head_dim)
{
    return head_dim % 64 == 0 ? 64 : 32;
}

static bool fits(form f, size_t head_dim)
{
    return f.kind != SNUG_TILE_AFFINE || snug_affine_ok(head_dim, f.bits, group_of(head_dim));
}

static void encode(scene *s, snug_tile *tile, form f, snug_codes_side side, const float *x)
{
    const size_t head_dim = s->head_dim;

    *tile = (snug_tile){ .kind = f.kind, .bits = f.bits, .group = group_of(head_dim) };
    if (!snug_tile_is_coded(f.kind)) {
        const snug_type type = f.kind == SNUG_TILE_F16 ? SNUG_TYPE_F16 : SNUG_TYPE_F32;
        unsigned char *rows = take(s, SNUG_TILE_TOKENS * head_dim * value_bytes(type));

        for (size_t i = 0; i < SNUG_TILE_TOKENS * head_dim; i++)
            (void)store_value(rows + i * value_bytes(type), type, x[i]);
        tile->rows = rows;
        return;
    }
    for (unsigned p = 0; p < SNUG_CODES_PLANE_COUNT; p++)
        if (snug_codes_has_plane(f.bits, (snug_codes_plane)p))
            tile->codes.plane[p] = take(s, snug_codes_plane_bytes((snug_codes_plane)p, head_dim));
    tile->scale = take(s, f.kind == SNUG_TILE_AFFINE ? snug_affine_scale_bytes(head_dim, tile->group)
                                                     : SNUG_TILE_TOKENS * sizeof(uint16_t));
    if (f.kind == SNUG_TILE_AFFINE) {
        tile->bias = take(s, snug_affine_scale_bytes(head_dim, tile->group));
        snug_affine_encode(&(snug_affine_tile){ tile->codes, tile->scale, tile->bias }, side, x, head_dim,
                           f.bits, tile->group);
    } else {
        snug_planes_encode(&(snug_planes_tile){ tile->codes, tile->scale }, side, x, head_dim, f.bits);
    }
    if (f.is_repacked) {
        for (unsigned p = SNUG_CODES_T2; p <= SNUG_CODES_T1B; p++)
            tile->codes.plane[p] = take(s, snug_codes_plane_bytes((snug_codes_plane)p, head_dim));
        snug_codes_repack(&tile->codes, head_dim);
        tile->codes.plane[SNUG_CODES_N4] = NULL;
    }
}

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
            s->end[q] = (uint32_t)(50 + q / 2);
        if (kind == RANGE_WINDOW) {
            s->end[q] = (uint32_t)(62 + q);
            s->begin[q] = s->end[q] - 50;
        }
        if (kind == RANGE_RANDOM) {
            s->begin[q] = (uint32_t)(snug_random_next(&random) % TOKENS);
            s->end[q] = (uint32_t)(snug_random_next(&random) % (TOKENS + 1)); /* often empty */
        }
    }
}

static void reset_state(scene *s)
{
    for (size_t q = 0; q < s->queries; q++) {
        s->max[q] = -INFINITY;
        s->sum[q] = 0.0f;
    }
    memset(s->out, 0, s->queries * s->head_dim * sizeof(float));
}

static void create(scene *s, form key, form value, size_t head_dim, size_t queries, range_kind kind)
{
    const size_t tile_values = SNUG_TILE_TOKENS * head_dim;

    *s = (scene){ .key_form = key, .value_form = value, .head_dim = head_dim, .queries = queries };
    s->query = take_floats(queries * head_dim);
    s->out = take_floats(queries * head_dim);
    s->key = take_floats(TOKENS * head_dim);
    s->value = take_floats(TOKENS * head_dim);
    s->key_decoded = take_floats(TOKENS * head_dim);
    s->value_decoded = take_floats(TOKENS * head_dim);
    s->scratch = guarded_alloc(snug_attend_scratch_bytes(head_dim));
    s->prepared = guarded_alloc(queries * snug_attend_prepared_bytes(head_dim));
    choose_ranges(s, kind);
    fill_gaussian(s->query, queries * head_dim, 1);
    fill_gaussian(s->key, TOKENS * head_dim, 2);
    fill_gaussian(s->value, TOKENS * head_dim, 3);
    for (size_t i = 0; i < queries * head_dim; i++)
        s->query[i] *= 1.0f / sqrtf((float)head_dim);
    for (size_t t = 0; t < TOKENS; t++) /* vectors of different lengths */
        for (size_t i = 0; i < head_dim; i++)
            s->value[t * head_dim + i] *= 0.2f + 0.3f * (float)(t % 5);
    for (size_t t = 0; t < TILES; t++) {
        encode(s, &s->keys[t], key, SNUG_CODES_KEY, s->key + t * tile_values);
        encode(s, &s->values[t], value, SNUG_CODES_VALUE, s->value + t * tile_values);
        snug_tile_decode(s->key_decoded + t * tile_values, &s->keys[t], SNUG_CODES_KEY, head_dim,
                         SNUG_TILE_TOKENS);
        snug_tile_decode(s->value_decoded + t * tile_values, &s->values[t], SNUG_CODES_VALUE, head_dim,
                         SNUG_TILE_TOKENS);
    }
    reset_state(s);
}

static void destroy(scene *s)
{
    while (s->memory_count > 0)
        guarded_free(&s->memory[--s->memory_count]);
    guarded_free(&s->scratch);
    guarded_free(&s->prepared);
    free(s->query);
    free(s->out);
    free(s->key);
    free(s->value);
    free(s->key_decoded);
    free(s->value_decoded);
}

static uint32_t inside_tile(uint32_t token, size_t tile)
{
    const uint32_t first = (uint32_t)tile * SNUG_TILE_TOKENS;

    return token <= first ? 0 : (uint32_t)snug_min_size(token - first, SNUG_TILE_TOKENS);
}

/* Queries from `first` on, `count` of them, over all tiles, up to `run` of them in a call. */
static void attend_in_runs(scene *s, const snug_kernels *kernels, size_t first, size_t count, size_t run)
{
    void *prepared = guarded_last(&s->prepared, count * snug_attend_prepared_bytes(s->head_dim));

    kernels->attend_prepare(prepared, s->query + first * s->head_dim, count, s->head_dim);
    for (size_t tile = 0; tile < TILES; tile += run) {
        const size_t tiles = snug_min_size(run, TILES - tile);
        uint32_t begin[SNUG_ATTEND_QUERIES_MAX];
        uint32_t end[SNUG_ATTEND_QUERIES_MAX];

        for (size_t i = 0; i < tiles * count; i++) {
            begin[i] = inside_tile(s->begin[first + i % count], tile + i / count);
            end[i] = inside_tile(s->end[first + i % count], tile + i / count);
        }

        const snug_attend_coded_task task = {
            .attend = { .query = s->query + first * s->head_dim,
                        .begin = begin,
                        .end = end,
                        .queries = count,
                        .head_dim = s->head_dim,
                        .max = s->max + first,
                        .sum = s->sum + first,
                        .out = s->out + first * s->head_dim,
                        .scratch = guarded_last(&s->scratch, snug_attend_scratch_bytes(s->head_dim)) },
            .key = &s->keys[tile],
            .value = &s->values[tile],
            .tiles = tiles,
            .prepared = prepared,
            .next_key = &s->keys[tile],
            .next_tiles = tiles,
        };

        kernels->attend_coded(&task);
    }
}

static void attend_some(scene *s, const snug_kernels *kernels, size_t first, size_t count)
{
    attend_in_runs(s, kernels, first, count, 1);
}

/* Attention of query q in double. */
static void attend_exactly(double *out, const scene *s, size_t q, const float *key, const float *value)
{
    double scores[TOKENS];
    double max = -INFINITY;
    double sum = 0.0;

    for (size_t t = s->begin[q]; t < s->end[q]; t++) {
        scores[t] = 0.0;
        for (size_t i = 0; i < s->head_dim; i++)
            scores[t] += (double)s->query[q * s->head_dim + i] * (double)key[t * s->head_dim + i];
        max = fmax(max, scores[t]);
    }
    for (size_t t = s->begin[q]; t < s->end[q]; t++) {
        scores[t] = exp(scores[t] - max);
        sum += scores[t];
    }
    memset(out, 0, s->head_dim * sizeof *out);
    for (size_t t = s->begin[q]; t < s->end[q]; t++) {
        const double weight = scores[t] / sum;

        for (size_t i = 0; i < s->head_dim; i++)
            out[i] += weight * (double)value[t * s->head_dim + i];
    }
}

typedef struct errors {
    double kernel; /* squares, summed up */
    double codec;
    double whole;
} errors;

static void add_errors(errors *e, const scene *s, size_t q)
{
    double expected[SNUG_HEAD_DIM_MAX];
    double before[SNUG_HEAD_DIM_MAX];

    if (s->begin[q] >= s->end[q]) {
        assert_true(s->max[q] == -INFINITY && s->sum[q] == 0.0f);
        for (size_t i = 0; i < s->head_dim; i++)
            assert_true(s->out[q * s->head_dim + i] == 0.0f);
        return;
    }
    attend_exactly(expected, s, q, s->key_decoded, s->value_decoded);
    attend_exactly(before, s, q, s->key, s->value);
    for (size_t i = 0; i < s->head_dim; i++) {
        const double got = (double)(s->out[q * s->head_dim + i] / s->sum[q]);

        e->kernel += (got - expected[i]) * (got - expected[i]);
        e->codec += (expected[i] - before[i]) * (expected[i] - before[i]);
        e->whole += expected[i] * expected[i];
    }
}

/* At least 13 dB below the codec, and 34 dB below the values, whatever the codec loses. */
static void check_errors(const errors *e, const scene *s, const snug_kernels *kernels)
{
    if (getenv("SHOW"))
        printf("level %d  %d:%u%s %d:%u%s h %zu q %zu: kernel %.1f dB, codec %.1f dB\n", kernels->level,
               s->key_form.kind, s->key_form.bits, s->key_form.is_repacked ? "r" : "", s->value_form.kind,
               s->value_form.bits, s->value_form.is_repacked ? "r" : "", s->head_dim, s->queries,
               10 * log10(e->kernel / e->whole), 10 * log10(e->codec / e->whole));
    if (!(e->kernel <= 0.05 * e->codec) || !(e->kernel <= 4e-4 * e->whole))
        fail_msg(
            "level %d, keys %d of %u bits, values %d of %u bits, head_dim %zu, %zu queries: error %g, the "
            "codec's %g, of %g",
            (int)kernels->level, (int)s->key_form.kind, s->key_form.bits, (int)s->value_form.kind,
            s->value_form.bits, s->head_dim, s->queries, sqrt(e->kernel), sqrt(e->codec), sqrt(e->whole));
}

/* By one tile a call or by all of them, in turn. */
static void check_scene(const snug_kernels *kernels, form key, form value, size_t head_dim, size_t queries,
                        range_kind range)
{
    const bool is_coded = snug_tile_is_coded(key.kind) && snug_tile_is_coded(value.kind);
    const bool takes_all = is_coded && queries * TILES <= SNUG_ATTEND_QUERIES_MAX &&
                           (head_dim / 16 + queries + key.bits) % 2 == 0;
    scene s;
    errors e = { 0 };

    if (!fits(key, head_dim) || !fits(value, head_dim))
        return;
    create(&s, key, value, head_dim, queries, range);
    attend_in_runs(&s, kernels, 0, queries, takes_all ? TILES : 1);
    for (size_t q = 0; q < queries; q += 1 + queries / 8)
        add_errors(&e, &s, q);
    if (e.whole > 0.0)
        check_errors(&e, &s, kernels);
    destroy(&s);
}

static const size_t query_counts[] = { 1, 2, 3, 4, 7, 8, 20, 64 };

/* The same form on both sides, every size; the reference is slow and simple: one size does. */
static void check_forms(const snug_kernels *kernels)
{
    static const size_t head_dims[] = { 128, 48, 64, 80, 96, 256, 34, 512 };
    const size_t sizes = kernels->level == SNUG_CPU_C ? 2 : SNUG_COUNT(head_dims);

    if (kernels->exact)
        return; /* the reference */
    for (size_t f = 0; f < SNUG_COUNT(forms); f++)
        for (size_t h = 0; h < sizes; h++)
            for (size_t n = 0; n < SNUG_COUNT(query_counts); n++)
                check_scene(kernels, forms[f], forms[f], head_dims[h], query_counts[n],
                            (range_kind)((f + h + n) % RANGE_KINDS));
}

static void agrees_with_the_decoded_tile(void **state)
{
    (void)state;
    for_each_level(check_forms);
}

/* Any form beside any other. */
static void check_mixed(const snug_kernels *kernels)
{
    if (kernels->exact || kernels->level == SNUG_CPU_C)
        return;
    for (size_t f = 0; f < SNUG_COUNT(forms); f++) {
        for (size_t g = 0; g < SNUG_COUNT(forms); g++)
            check_scene(kernels, forms[f], forms[g], 64, 3, (range_kind)((f + g) % RANGE_KINDS));
        for (size_t p = 0; p < SNUG_COUNT(plain); p++) {
            const size_t head_dim = forms[f].kind == SNUG_TILE_AFFINE ? 96 : 80;

            for (size_t n = 0; n < SNUG_COUNT(query_counts); n++) {
                const range_kind range = (range_kind)((f + n) % RANGE_KINDS);

                check_scene(kernels, forms[f], plain[p], head_dim, query_counts[n], range);
                check_scene(kernels, plain[p], forms[f], head_dim, query_counts[n], range);
            }
        }
    }
}

static void keys_and_values_may_differ_in_form(void **state)
{
    (void)state;
    for_each_level(check_mixed);
}

/* What a query gets is the same bits beside any others. */
static void check_alone(const snug_kernels *kernels)
{
    for (size_t f = 0; f < SNUG_COUNT(forms); f++) {
        const size_t queries = 15;
        scene s;
        float *together = take_floats(queries * 96);
        float sum[15];

        create(&s, forms[f], forms[f], 96, queries, RANGE_WINDOW);
        attend_some(&s, kernels, 0, queries);
        memcpy(together, s.out, queries * 96 * sizeof(float));
        memcpy(sum, s.sum, sizeof sum);
        for (size_t step = 1; step <= 7; step += 2) {
            reset_state(&s);
            for (size_t q = 0; q < queries; q += step)
                attend_some(&s, kernels, q, snug_min_size(step, queries - q));
            assert_memory_equal(together, s.out, queries * 96 * sizeof(float));
            assert_memory_equal(sum, s.sum, sizeof sum);
        }
        free(together);
        destroy(&s);
    }
}

static void gives_the_same_bits_beside_any_other_queries(void **state)
{
    (void)state;
    for_each_level(check_alone);
}

/* Token 3 is not a number: seen by query 1 and not by query 0. Token 5 has the scale 0. */
static void check_odd_scales(const snug_kernels *kernels)
{
    for (size_t f = 0; f < SNUG_COUNT(forms); f++) {
        scene s;
        errors e = { 0 };

        create(&s, forms[f], forms[f], 64, 2, RANGE_ALL);
        s.begin[0] = 4;
        for (size_t i = 0; i < 64; i++)
            s.key_decoded[5 * 64 + i] = s.value_decoded[5 * 64 + i] = 0.0f;
        s.keys[0].scale[3] = s.values[0].scale[3] = 0x7e00;
        s.keys[0].scale[5] = s.values[0].scale[5] = 0;
        if (forms[f].kind == SNUG_TILE_AFFINE)
            s.keys[0].bias[5] = s.values[0].bias[5] = 0;
        attend_some(&s, kernels, 0, 2);
        add_errors(&e, &s, 0);
        assert_true(e.kernel <= 4e-4 * e.whole);
        for (size_t i = 0; i < 64; i++)
            assert_true(isnan(s.out[64 + i] / s.sum[1]));
        destroy(&s);
    }
}

static void a_scale_may_be_zero_or_not_a_number(void **state)
{
    (void)state;
    for_each_level(check_odd_scales);
}

/* Queries of zeros give the mean; one that is not a number gives no number, and leaves its neighbour alone.
 * */
static void check_odd_queries(const snug_kernels *kernels)
{
    for (size_t f = 0; f < SNUG_COUNT(forms); f++) {
        scene s;
        errors e = { 0 };

        create(&s, forms[f], forms[f], 128, 3, RANGE_ALL);
        memset(s.query, 0, 128 * sizeof(float));
        s.query[128 + 77] = NAN;
        attend_some(&s, kernels, 0, 3);
        add_errors(&e, &s, 0);
        add_errors(&e, &s, 2);
        assert_true(e.kernel <= 0.05 * e.codec);
        for (size_t i = 0; i < 128; i++)
            assert_true(isnan(s.out[128 + i] / s.sum[1]));
        destroy(&s);
    }
}

static void queries_may_be_zeros_or_not_numbers(void **state)
{
    (void)state;
    for_each_level(check_odd_queries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_decoded_tile),
        cmocka_unit_test(keys_and_values_may_differ_in_form),
        cmocka_unit_test(gives_the_same_bits_beside_any_other_queries),
        cmocka_unit_test(a_scale_may_be_zero_or_not_a_number),
        cmocka_unit_test(queries_may_be_zeros_or_not_numbers),
    };

    return cmocka_run_group_tests_name("kernels: attend_coded", tests, NULL, NULL);
}
