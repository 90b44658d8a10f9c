/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_store.c - the page store and attention over it: exact estimates, pages that really come and go, and
 * results against attention written down from its definition in double precision.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/float16.h"
#include "base/random.h"
#include "kv/kv.h"
#include "memory/memory.h"
#include "os/machine.h"
#include "tests/support/sanitizer.h"

#define MIB ((uint64_t)1 << 20)

typedef struct rig {
    snug_memory *memory;
    snug_kernels kernels;
    snug_work *work;
    snug_kv *kv;
    snug_kv_layer layers[3];
    snug_kv_shape shape;
    snug_kv_options options;
} rig;

static void rig_open(rig *r, uint32_t kv_heads, uint32_t head_dim, uint32_t context, snug_kv_format format,
                     uint32_t threads)
{
    memset(r, 0, sizeof *r);
    for (size_t i = 0; i < 3; i++)
        r->layers[i] = (snug_kv_layer){ .kv_head_count = kv_heads, .head_dim = head_dim };
    r->shape = (snug_kv_shape){ .layer_count = 3, .layer = r->layers };
    r->options =
        (snug_kv_options){ .struct_size = sizeof r->options,
                           .context_tokens = context,
                           .config = { .key = { .format = format }, .value = { .format = format } } };
    assert_int_equal(snug_memory_create(&r->memory, NULL), SNUG_OK);
    snug_kernels_init(&r->kernels, SNUG_CPU_AUTO, format == SNUG_KV_FORMAT_F32);
    assert_int_equal(snug_work_create(&r->work, r->memory, threads, NULL), SNUG_OK);
    assert_int_equal(snug_kv_create(&r->kv, &r->shape, r->memory, &r->kernels, &r->options, NULL), SNUG_OK);
}

static void rig_close(rig *r)
{
    snug_kv_destroy(r->kv);
    snug_work_destroy(r->work);
    snug_memory_destroy(r->memory); /* asserts that nothing is left */
}

static void fill_random(float *x, size_t n, snug_random *random)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(snug_random_unit(random) * 4.0 - 2.0);
}

static void write_tokens(rig *r, uint32_t first, uint32_t count, float *keys, float *values, size_t width)
{
    assert_int_equal(snug_kv_grow(r->kv, first + count, NULL), SNUG_OK);
    for (uint32_t layer = 0; layer < 3; layer++)
        for (uint32_t t = first; t < first + count; t++)
            snug_kv_write(r->kv, layer, t, keys + t * width, values + t * width);
    snug_kv_set_tokens(r->kv, first + count);
}

static void estimate_is_what_the_ledger_is_charged(void **state)
{
    static const uint32_t tokens[] = { 0, 1, 63, 64, 65, 500, 1000 };
    static const uint32_t dims[] = { 64, 80, 96, 128, 2 };

    (void)state;
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++) {
        for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
            uint64_t bytes;
            rig r;

            rig_open(&r, 3, dims[d], 1000, SNUG_KV_FORMAT_F16, 1);
            assert_int_equal(snug_kv_estimate(&bytes, &r.shape, &r.options, tokens[i], NULL), SNUG_OK);
            assert_int_equal(snug_kv_grow(r.kv, tokens[i], NULL), SNUG_OK);
            assert_int_equal(bytes, snug_memory_read(r.memory, SNUG_MEMORY_KV).used_bytes);
            assert_int_equal(bytes, snug_kv_committed_bytes(r.kv));
            /* Never less than the values themselves. */
            assert_true(bytes >= (uint64_t)tokens[i] * 3 * 2 * 3 * dims[d] * 2);
            rig_close(&r);
        }
    }
}

static void truncating_returns_pages_to_the_system(void **state)
{
    const size_t width = 8 * 128;
    const uint32_t tokens = 4096;
    float *x;
    uint64_t full, after, expected, empty;
    rig r;

    (void)state;
    TEST_SKIP_UNDER_SANITIZERS();
    x = calloc(tokens * width, sizeof *x);
    assert_non_null(x);
    rig_open(&r, 8, 128, tokens, SNUG_KV_FORMAT_F16, 1);
    empty = snug_os_process_memory_read().anonymous_bytes;
    write_tokens(&r, 0, tokens, x, x, width);
    full = snug_os_process_memory_read().anonymous_bytes;
    expected = (uint64_t)tokens * width * 2 * 2 * 3; /* 48 MiB */
    assert_true(full - empty > expected - MIB && full - empty < expected + MIB);
    snug_kv_truncate(r.kv, 1000);
    after = snug_os_process_memory_read().anonymous_bytes;
    expected = (uint64_t)(tokens - 1024) * width * 2 * 2 * 3;
    assert_true(full - after > expected - MIB && full - after < expected + MIB);
    assert_int_equal(snug_kv_tokens(r.kv), 1000);
    rig_close(&r);
    free(x);
}

static void growing_beyond_the_limit_changes_nothing(void **state)
{
    snug_error error = { SNUG_OK, "" };
    uint64_t before;
    rig r;

    (void)state;
    rig_open(&r, 2, 64, 4096, SNUG_KV_FORMAT_F16, 1);
    assert_int_equal(snug_kv_grow(r.kv, 64, NULL), SNUG_OK);
    before = snug_kv_committed_bytes(r.kv);
    /* Room for some layers' next tile but not for all: those that grew must shrink again. */
    assert_int_equal(
        snug_memory_set_limits(r.memory, 0, snug_memory_read_all(r.memory).used_bytes + 3 * 16384), SNUG_OK);
    assert_int_equal(snug_kv_grow(r.kv, 128, &error), SNUG_ERR_OVER_LIMIT);
    assert_non_null(strstr(error.text, "cache"));
    assert_int_equal(snug_kv_committed_bytes(r.kv), before);
    assert_int_equal(snug_kv_grow(r.kv, 60, NULL), SNUG_OK);
    rig_close(&r);
}

/* The definition: softmax of scaled products, in double, over the values as the cache's format rounds
 * them. */
static double reference_value(const float *query, const float *keys, const float *values, size_t width,
                              uint32_t kv_head, uint32_t head_dim, uint32_t visible, float scale,
                              bool is_half, uint32_t column)
{
    double max = -INFINITY, sum = 0.0, out = 0.0;

    for (int step = 0; step < 2; step++) {
        for (uint32_t t = 0; t < visible; t++) {
            double score = 0.0;

            for (uint32_t i = 0; i < head_dim; i++) {
                const float k = keys[t * width + kv_head * head_dim + i];

                score += (double)query[i] * scale * (is_half ? snug_f32_from_f16(snug_f16_from_f32(k)) : k);
            }
            if (step == 0) {
                max = fmax(max, score);
            } else {
                const float v = values[t * width + kv_head * head_dim + column];

                sum += exp(score - max);
                out += exp(score - max) * (is_half ? snug_f32_from_f16(snug_f16_from_f32(v)) : v);
            }
        }
    }
    return out / sum;
}

static void check_attention(uint32_t heads, uint32_t kv_heads, uint32_t head_dim, uint32_t first,
                            uint32_t tokens, snug_kv_format format, uint32_t threads)
{
    const size_t width = (size_t)kv_heads * head_dim;
    const size_t total = first + tokens;
    const bool is_half = format == SNUG_KV_FORMAT_F16;
    float *keys = calloc(total * width, sizeof *keys);
    float *values = calloc(total * width, sizeof *values);
    float *query = calloc((size_t)tokens * heads * head_dim, sizeof *query);
    float *out = calloc((size_t)tokens * heads * head_dim, sizeof *out);
    void *thread_scratch =
        aligned_alloc(64, (threads * snug_kv_thread_scratch_bytes(head_dim) + 63) / 64 * 64);
    void *parts = aligned_alloc(64, (snug_kv_parts_scratch_bytes(heads, head_dim) + 63) / 64 * 64);
    snug_random random = { 7 };
    rig r;

    assert_true(keys && values && query && out && thread_scratch && parts);
    fill_random(keys, total * width, &random);
    fill_random(values, total * width, &random);
    fill_random(query, (size_t)tokens * heads * head_dim, &random);
    rig_open(&r, kv_heads, head_dim, (uint32_t)total + 5, format, threads);
    write_tokens(&r, 0, (uint32_t)total, keys, values, width);
    snug_kv_attend(r.kv, r.work,
                   &(snug_kv_attention){ .layer = 1,
                                         .head_count = heads,
                                         .first_position = first,
                                         .tokens = tokens,
                                         .scale = 0.125f,
                                         .query = query,
                                         .out = out,
                                         .thread_scratch = thread_scratch,
                                         .parts_scratch = parts });
    for (uint32_t t = 0; t<tokens; t += tokens> 40 ? 13 : 1) {
        for (uint32_t h = 0; h < heads; h++) {
            const size_t at = ((size_t)t * heads + h) * head_dim;
            const uint32_t column = (t * 31 + h * 7) % head_dim;
            const double expected = reference_value(query + at, keys, values, width, h / (heads / kv_heads),
                                                    head_dim, first + t + 1, 0.125f, is_half, column);

            assert_true(fabs(out[at + column] - expected) < 2e-5);
        }
    }
    rig_close(&r);
    free(keys), free(values), free(query), free(out), free(thread_scratch), free(parts);
}

static void attention_agrees_with_its_definition(void **state)
{
    (void)state;
    for (uint32_t threads = 1; threads <= 3; threads += 2) {
        check_attention(2, 1, 64, 0, 1, SNUG_KV_FORMAT_F32, threads);
        check_attention(4, 2, 64, 0, 200, SNUG_KV_FORMAT_F32, threads);
        check_attention(6, 2, 80, 130, 70, SNUG_KV_FORMAT_F16, threads);
        check_attention(3, 3, 96, 63, 2, SNUG_KV_FORMAT_F16, threads);
        check_attention(8, 1, 128, 2999, 1, SNUG_KV_FORMAT_F16, threads); /* parts of tiles, merged */
        check_attention(4, 4, 256, 511, 1, SNUG_KV_FORMAT_F32, threads);
        check_attention(64, 1, 16, 40, 5, SNUG_KV_FORMAT_F16, threads); /* the most heads of a group */
    }
}

static void different_formats_for_keys_and_values_are_refused(void **state)
{
    snug_error error = { SNUG_OK, "" };
    snug_kv *kv = NULL;
    rig r;

    (void)state;
    rig_open(&r, 1, 64, 64, SNUG_KV_FORMAT_F16, 1);
    r.options.config.value.format = SNUG_KV_FORMAT_F32;
    assert_int_equal(snug_kv_create(&kv, &r.shape, r.memory, &r.kernels, &r.options, &error),
                     SNUG_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "keys as f16 and values as f32"));
    assert_null(kv);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(estimate_is_what_the_ledger_is_charged),
        cmocka_unit_test(truncating_returns_pages_to_the_system),
        cmocka_unit_test(growing_beyond_the_limit_changes_nothing),
        cmocka_unit_test(attention_agrees_with_its_definition),
        cmocka_unit_test(different_formats_for_keys_and_values_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
