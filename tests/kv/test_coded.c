/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_coded.c - caches whose older tiles are codes: attention against a mask and a softmax in double
 * precision, over vectors that went through the codec by themselves; the same answer for any chunk; memory
 * as estimated; rewinding.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/float16.h"
#include "base/status.h"
#include "codec/affine.h"
#include "codec/planes.h"
#include "codec/rotation.h"
#include "tests/kv/coded_rig.h"

/* --- what it should be --------------------------------------------------------------------------------- */

static uint32_t first_tiles(const coded_case *c)
{
    const uint32_t asked = (c->config.first_exact_tokens + TILE - 1) / TILE;
    const uint32_t recent = c->config.retention.max_tokens - c->config.retention.sink_tokens;
    const bool has_sinks = !c->window || recent < c->window; /* a narrower window hides them */
    const uint32_t sinks = has_sinks ? (c->config.retention.sink_tokens + TILE - 1) / TILE : 0;
    const bool is_bounded = c->window || c->config.retention.max_tokens;

    return is_bounded && asked > sinks ? sinks : asked;
}

static uint32_t recent_tiles(const coded_case *c)
{
    const uint32_t tail = c->config.recent_exact_tokens;

    return tail == 0 ? 1 : 1 + (tail - 1 + TILE - 1) / TILE;
}

static bool sees(const coded_case *c, uint32_t p, uint32_t k)
{
    const snug_kv_retention *retention = &c->config.retention;

    if (k > p || (c->window && p - k >= c->window))
        return false;
    if (retention->kind == SNUG_KV_RETENTION_CHUNKED)
        return k / retention->max_tokens == p / retention->max_tokens;
    return retention->kind != SNUG_KV_RETENTION_ROTATING || k < retention->sink_tokens ||
           p - k < retention->max_tokens - retention->sink_tokens;
}

/* One head's vectors through the codec, a tile at a time; x [TOKENS][head_dim] in and out. */
static void through_codec(float *x, const coded_case *c, const snug_kv_coding *coding, bool is_key)
{
    const size_t d = c->head_dim;
    const uint64_t seed = is_key ? 1 : 0;
    const bool is_planes = coding->format == SNUG_KV_FORMAT_PLANES;
    uint8_t codes[SNUG_HEAD_DIM_MAX];

    if (!snug_kv_format_is_coded(coding->format))
        return;
    for (uint32_t t = 0; t < TOKENS; t++) {
        for (size_t i = 0; i < d; i++) /* as it lies in the cache before */
            x[t * d + i] = snug_f32_from_f16(snug_f16_from_f32(x[t * d + i]));
        if (is_planes)
            snug_rotation_apply(x + t * d, d, seed);
    }
    for (uint32_t t = 0; t < TOKENS; t++) {
        float *v = x + t * d;

        if (is_planes) {
            const float scale = snug_f32_from_f16(snug_planes_encode_vector(codes, v, d));

            for (size_t i = 0; i < d; i++)
                v[i] = scale *
                       (float)snug_planes_level(coding->bits, (uint32_t)codes[i] >> (8 - coding->bits)) /
                       8.0f;
        } else {
            for (size_t g = 0; g < d; g += coding->group) {
                uint16_t s, b;

                snug_affine_encode_group(codes, &s, &b, v + g, coding->group, coding->bits);
                for (size_t i = 0; i < coding->group; i++)
                    v[g + i] = snug_f32_from_f16(s) * (float)codes[i] + snug_f32_from_f16(b);
            }
        }
        if (is_planes)
            snug_rotation_undo(v, d, seed);
    }
}

/* [TOKENS][KV_HEADS][d] of one head as [TOKENS][d]. */
static float *head_of(const float *x, size_t d, uint32_t head)
{
    float *out = malloc(TOKENS * d * sizeof *out);

    for (uint32_t t = 0; t < TOKENS; t++)
        memcpy(out + t * d, x + (t * KV_HEADS + head) * d, d * sizeof *out);
    return out;
}

/* One head's attention, [TOKENS][head_dim]. */
static double *expected_of(const rig *r, uint32_t head)
{
    const coded_case *c = r->c;
    const size_t d = c->head_dim;
    const uint32_t kv_head = head / GROUP;
    float *key = head_of(r->key, d, kv_head);
    float *value = head_of(r->value, d, kv_head);
    float *coded_key = head_of(r->key, d, kv_head);
    float *coded_value = head_of(r->value, d, kv_head);
    double *out = calloc(TOKENS * d, sizeof *out);

    assert_non_null(out);
    through_codec(coded_key, c, &c->config.key, true);
    through_codec(coded_value, c, &c->config.value, false);
    for (uint32_t p = 0; p < TOKENS; p++) {
        const float *query = r->query + ((size_t)p * HEADS + head) * d;
        double *expected = out + p * d;
        double sum = 0.0;

        for (uint32_t k = 0; k <= p; k++) {
            const uint32_t tile = k / TILE;
            const bool is_coded = tile >= first_tiles(c) && tile + recent_tiles(c) <= p / TILE;
            const float *kv = (is_coded ? coded_key : key) + k * d;
            const float *vv = (is_coded ? coded_value : value) + k * d;
            double score = 0.0;

            if (!sees(c, p, k))
                continue;
            for (size_t i = 0; i < d; i++)
                score += (double)query[i] * (double)kv[i];
            score = exp(score / sqrt((double)d));
            sum += score;
            for (size_t i = 0; i < d; i++)
                expected[i] += score * (double)vv[i];
        }
        for (size_t i = 0; i < d; i++)
            expected[i] /= sum;
    }
    free(key);
    free(value);
    free(coded_key);
    free(coded_value);
    return out;
}

/* The largest difference of a head's attention, in units of the values' spread. */
static double difference(const float *out, const double *expected, uint32_t head, size_t d)
{
    double worst = 0.0;

    for (size_t p = 0; p < TOKENS; p++)
        for (size_t i = 0; i < d; i++)
            worst = fmax(worst, fabs(expected[p * d + i] - (double)out[(p * HEADS + head) * d + i]));
    return worst;
}

static void attends_as_the_formats_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < case_count; i++) {
        static const uint32_t chunks[] = { 700, 64, 100 };
        const snug_kv_config *config = &cases[i].config;
        const uint32_t key_bits = config->key.format == SNUG_KV_FORMAT_PLANES ? config->key.bits : 8;
        const uint32_t value_bits = config->value.format == SNUG_KV_FORMAT_PLANES ? config->value.bits : 8;
        const uint32_t bits = key_bits < value_bits ? key_bits : value_bits;
        /* f16 rows alone give 1e-3. Codes of few bits may meet queries of 8 bits, those of 4 and fewer
         * weights of 8 bits too: -44 dB, where the codes' own noise is -26 dB (5 bits), -20 dB (4 bits) and
         * more. */
        const double bound = bits <= 4 ? 3e-2 : bits == 5 ? 1.2e-2 : 4e-3;
        double *expected[HEADS] = { NULL }; /* the same for every chunk and layer */

        for (size_t k = 0; k < SNUG_COUNT(chunks); k++) {
            rig r;

            rig_open(&r, &cases[i], TOKENS, chunks[k], 2);
            compute_to(&r, TOKENS, chunks[k]);
            for (uint32_t head = 0; head < HEADS; head += 3) {
                if (!expected[head])
                    expected[head] = expected_of(&r, head);
                for (uint32_t layer = 0; layer < 2; layer++) {
                    const double worst = difference(r.out[layer], expected[head], head, cases[i].head_dim);

                    if (worst > bound)
                        print_error("%s, chunk %u, layer %u, head %u: %g\n", cases[i].name, chunks[k], layer,
                                    head, worst);
                    assert_true(worst <= bound);
                }
            }
            rig_close(&r);
        }
        for (uint32_t head = 0; head < HEADS; head++)
            free(expected[head]);
    }
}

static void token_by_token_and_threads_give_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < case_count; i++) {
        const size_t bytes = TOKENS * HEADS * cases[i].head_dim * sizeof(float);
        rig one, one_of_two, many, threads;

        rig_open(&one, &cases[i], TOKENS, 1, 1);        /* over many tiles all heads go together, */
        rig_open(&one_of_two, &cases[i], TOKENS, 1, 2); /* but for two threads each by itself */
        rig_open(&many, &cases[i], TOKENS, 300, 1);
        rig_open(&threads, &cases[i], TOKENS, 300, 2);
        compute_to(&one, TOKENS, 1);
        compute_to(&one_of_two, TOKENS, 1);
        compute_to(&many, TOKENS, 300);
        compute_to(&threads, TOKENS, 300);
        for (int layer = 0; layer < 2; layer++) {
            assert_memory_equal(one.out[layer], one_of_two.out[layer], bytes);
            assert_memory_equal(many.out[layer], threads.out[layer], bytes);
            for (size_t k = 0; k < bytes / sizeof(float); k++)
                assert_true(fabsf(one.out[layer][k] - many.out[layer][k]) < 3e-3f);
        }
        rig_close(&one);
        rig_close(&one_of_two);
        rig_close(&many);
        rig_close(&threads);
    }
}

static void takes_what_was_estimated(void **state)
{
    (void)state;
    for (size_t i = 0; i < case_count; i++) {
        rig r;

        rig_open(&r, &cases[i], TOKENS, 100, 1);
        for (uint32_t tokens = 100; tokens <= TOKENS; tokens += 100) {
            uint64_t bytes;

            compute(&r, tokens - 100, 100);
            assert_int_equal(snug_kv_estimate(&bytes, &r.shape, &r.options, tokens, NULL), SNUG_OK);
            assert_int_equal(snug_kv_committed_bytes(r.kv), bytes);
            assert_int_equal(snug_memory_read(r.memory, SNUG_MEMORY_KV).used_bytes, bytes);
        }
        rig_close(&r);
    }
}

/* Rewound into codes, a conversation goes on: near what it would have been, and exactly so where the tile it
 * ends in had not become codes. */
static void rewinds_into_codes(void **state)
{
    static const coded_case c = { "rewound", { PLANES(8), PLANES(8), 16, 64, ALL, ALIKE }, 64, 0 };
    static const uint32_t ends[] = { 690, 640, 500, 320, 321, 100, 64, 30 };
    const size_t width = HEADS * c.head_dim;

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(ends); i++) {
        float worst = 0.0f;
        rig r, fresh;

        rig_open(&fresh, &c, TOKENS, 128, 1);
        compute_to(&fresh, TOKENS, 128);
        rig_open(&r, &c, TOKENS, 128, 1);
        compute_to(&r, TOKENS, 128);
        assert_int_equal(snug_kv_truncate(r.kv, ends[i]), ends[i]);
        assert_true(snug_kv_is_valid(r.kv));
        memset(r.out[0], 0, TOKENS * width * sizeof(float));
        compute_to(&r, TOKENS, 128);
        for (size_t k = ends[i] * width; k < TOKENS * width; k++)
            worst = fmaxf(worst, fabsf(r.out[0][k] - fresh.out[0][k]));
        assert_true(worst < 2e-2f);
        assert_int_equal(snug_kv_truncate(r.kv, 0), 0);
        compute_to(&r, TOKENS, 128);
        assert_memory_equal(r.out[0], fresh.out[0], TOKENS * width * sizeof(float));
        rig_close(&r);
        rig_close(&fresh);
    }
}

/* Whatever the steps, the bits are those of encoding at that width: what is attended afterwards, the planes
 * themselves, and what later tokens add. The ledger and the estimate agree. */
static void demoted_is_encoded_at_that_width(void **state)
{
    static const uint32_t steps[][6] = { { 6 },    { 5 },    { 4 },    { 3 },      { 2 }, { 6, 5, 4, 3, 2 },
                                         { 5, 3 }, { 6, 2 }, { 4, 2 }, { 8, 6, 4 } };
    static const snug_kv_retention retentions[] = { ALL, ROTATING(400, 8), CHUNKED(320) };

    (void)state;
    for (size_t k = 0; k < SNUG_COUNT(retentions) * SNUG_COUNT(steps); k++) {
        const uint32_t *step = steps[k % SNUG_COUNT(steps)];
        coded_case from = {
            "from 8", { PLANES(8), PLANES(8), 16, 64, retentions[k / SNUG_COUNT(steps)], ALIKE }, 80, 0
        };
        coded_case to = from;
        const size_t last = (TOKENS - 100) * (size_t)HEADS * from.head_dim;
        uint64_t estimated, before;
        rig demoted, direct;

        rig_open(&demoted, &from, TOKENS, 100, 2);
        compute_to(&demoted, 500, 100);
        for (int i = 0; i < 6 && step[i]; i++) {
            const snug_kv_target target = { .struct_size = sizeof target,
                                            .key_bits = step[i],
                                            .value_bits = step[i] };
            uint64_t bytes;

            before = snug_memory_read(demoted.memory, SNUG_MEMORY_KV).used_bytes;
            assert_int_equal(snug_kv_demote(demoted.kv, &target, &bytes, NULL), SNUG_OK);
            assert_int_equal(before - snug_memory_read(demoted.memory, SNUG_MEMORY_KV).used_bytes, bytes);
            assert_true(bytes > 0 || step[i] == 8);
            assert_true(snug_kv_is_valid(demoted.kv));
            to.config.key.bits = to.config.value.bits = step[i];
        }
        compute_to(&demoted, TOKENS, 100);
        rig_open(&direct, &to, TOKENS, 100, 2);
        compute_to(&direct, TOKENS, 100);
        assert_memory_equal(demoted.out[0] + last, direct.out[0] + last,
                            100 * (size_t)HEADS * from.head_dim * sizeof(float));
        assert_int_equal(snug_kv_estimate(&estimated, &direct.shape, &direct.options, TOKENS, NULL), SNUG_OK);
        assert_int_equal(snug_kv_committed_bytes(demoted.kv), estimated);
        assert_int_equal(snug_kv_truncate(demoted.kv, 0), 0);
        rig_close(&demoted);
        rig_close(&direct);
    }
}

static void one_side_or_layer_is_demoted_alone(void **state)
{
    static const coded_case c = { "keys only", { PLANES(8), PLANES(6), 0, 0, ALL, ALIKE }, 64, 0 };
    static const coded_case affine = { "affine", { AFFINE(8, 64), PLANES(6), 0, 0, ALL, ALIKE }, 64, 0 };
    const snug_kv_target keys = { .struct_size = sizeof keys, .key_bits = 3 };
    const snug_kv_target beyond = { .struct_size = sizeof beyond, .first_layer = 1, .layer_count = 2 };
    snug_kv_info info = { .struct_size = sizeof info };
    snug_error error = { SNUG_OK, "" };
    uint64_t bytes;
    rig r;

    (void)state;
    rig_open(&r, &c, TOKENS, 100, 1);
    compute_to(&r, 500, 100);
    assert_int_equal(snug_kv_demote(r.kv, &keys, &bytes, NULL), SNUG_OK);
    snug_kv_read_info(&info, r.kv);
    assert_int_equal(info.config.key.bits, 3);
    assert_int_equal(info.config.value.bits, 6);
    assert_int_equal(snug_kv_demote(r.kv, &keys, &bytes, NULL), SNUG_OK);
    assert_int_equal(bytes, 0); /* it has no more bits already */
    assert_int_equal(snug_kv_demote(r.kv, &beyond, &bytes, &error), SNUG_ERR_ARGUMENT);
    rig_close(&r);

    rig_open(&r, &affine, TOKENS, 100, 1);
    compute_to(&r, 500, 100);
    assert_int_equal(snug_kv_demote(r.kv, &keys, &bytes, &error), SNUG_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "affine codes of 8 bits, which cannot lose bits in place"));
    rig_close(&r);
}

static void refuses_with_a_sentence(void **state)
{
    static const struct {
        snug_kv_config config;
        uint32_t head_dim;
        const char *says;
    } bad[] = {
        { { PLANES(7), F16, 0, 0, ALL, ALIKE }, 64, "keys in 7 bits: planes has 2, 3, 4, 5, 6 and 8" },
        { { F16, AFFINE(4, 48), 0, 0, ALL, ALIKE }, 64, "groups of 48" },
        { { AFFINE(4, 64), F16, 0, 0, ALL, ALIKE }, 80, "do not divide this model's heads of 80" },
        { { PLANES(4), { SNUG_KV_FORMAT_F32, 0, 0 }, 0, 0, ALL, ALIKE }, 64, "f32 is for both or for none" },
        { { { SNUG_KV_FORMAT_F16, 4, 0 }, F16, 0, 0, ALL, ALIKE }, 64, "no choice of bits" },
        { { { (snug_kv_format)9, 4, 0 }, F16, 0, 0, ALL, ALIKE }, 64, "format 9" },
    };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(bad); i++) {
        const snug_kv_layer layer = { .kv_head_count = 1, .head_dim = bad[i].head_dim };
        const snug_kv_shape shape = { 1, &layer };
        const snug_kv_options options = { .struct_size = sizeof options,
                                          .context_tokens = 100,
                                          .config = bad[i].config };
        snug_error error = { SNUG_OK, "" };
        uint64_t bytes;

        assert_int_not_equal(snug_kv_estimate(&bytes, &shape, &options, 100, &error), SNUG_OK);
        if (!strstr(error.text, bad[i].says))
            print_error("%s\n", error.text);
        assert_non_null(strstr(error.text, bad[i].says));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attends_as_the_formats_say),
        cmocka_unit_test(token_by_token_and_threads_give_the_same),
        cmocka_unit_test(takes_what_was_estimated),
        cmocka_unit_test(rewinds_into_codes),
        cmocka_unit_test(demoted_is_encoded_at_that_width),
        cmocka_unit_test(one_side_or_layer_is_demoted_alone),
        cmocka_unit_test(refuses_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
