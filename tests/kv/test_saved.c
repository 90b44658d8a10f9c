/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_saved.c - caches as runs of bytes: what is loaded goes on with the bits of a cache that was never
 * interrupted; what is damaged or of another kind is refused and leaves the cache empty and sound.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/status.h"
#include "tests/kv/coded_rig.h"

static const coded_case exact_cases[] = {
    { "f16", { F16, F16, 0, 0, ALL, ALIKE }, 64, 0 },
    { "f16, a window", { F16, F16, 0, 0, ALL, ALIKE }, 80, 200 },
    { "f16, rotating", { F16, F16, 0, 0, ROTATING(300, 10), ALIKE }, 64, 0 },
    { "f16, chunked", { F16, F16, 0, 0, CHUNKED(256), ALIKE }, 64, 0 },
};

static const coded_case *case_at(size_t i)
{
    return i < case_count ? &cases[i] : &exact_cases[i - case_count];
}

#define ALL_CASES (case_count + SNUG_COUNT(exact_cases))

typedef struct buffer {
    unsigned char *at;
    size_t bytes;
    size_t capacity;
} buffer;

static snug_status put(void *user, const void *data, size_t bytes, snug_error *error)
{
    buffer *out = user;

    (void)error;
    if (out->bytes + bytes > out->capacity) {
        out->capacity = 2 * (out->bytes + bytes);
        out->at = realloc(out->at, out->capacity);
        assert_non_null(out->at);
    }
    memcpy(out->at + out->bytes, data, bytes);
    out->bytes += bytes;
    return SNUG_OK;
}

static buffer save(const rig *r)
{
    buffer out = { 0 };

    assert_int_equal(snug_kv_save(r->kv, &(snug_kv_sink){ put, &out }, NULL), SNUG_OK);
    return out;
}

static snug_status load(rig *r, const buffer *saved, snug_error *error)
{
    const snug_status status = snug_kv_load(r->kv, &(snug_kv_bytes){ saved->at, saved->bytes }, error);

    assert_true(snug_kv_is_valid(r->kv));
    return status;
}

static void a_loaded_cache_goes_on_with_the_same_bits(void **state)
{
    static const uint32_t ends[] = { 1, 64, 130, 333, 640 };

    (void)state;
    for (size_t i = 0; i < ALL_CASES; i++) {
        rig whole;

        rig_open(&whole, case_at(i), TOKENS, 100, 1);
        compute_to(&whole, TOKENS, 100);
        for (size_t e = 0; e < SNUG_COUNT(ends); e++) {
            /* The cache that is saved is no larger than it must be, or much larger. */
            for (int is_large = 0; is_large < 2; is_large++) {
                rig before, after;
                buffer saved;

                rig_open(&before, case_at(i), is_large ? 5000 : ends[e], 100, 1);
                compute_to(&before, ends[e], 100);
                saved = save(&before);
                rig_close(&before);
                rig_open(&after, case_at(i), TOKENS, 100, 1);
                assert_int_equal(load(&after, &saved, NULL), SNUG_OK);
                assert_int_equal(snug_kv_tokens(after.kv), ends[e]);
                compute_to(&after, TOKENS, 100);
                assert_same_from(&whole, &after, ends[e]);
                rig_close(&after);
                free(saved.at);
            }
        }
        rig_close(&whole);
    }
}

/* After a conversation went back, a tile may be codes that rows will take the place of. */
static void a_rewound_cache_is_saved_as_it_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < ALL_CASES; i++) {
        rig before, after;
        buffer saved, again;
        uint32_t left;

        rig_open(&before, case_at(i), TOKENS, 100, 1);
        rig_open(&after, case_at(i), TOKENS, 100, 1);
        compute_to(&before, 500, 100);
        left = snug_kv_truncate(before.kv, 420);
        saved = save(&before);
        assert_int_equal(load(&after, &saved, NULL), SNUG_OK);
        assert_int_equal(snug_kv_tokens(after.kv), left);
        assert_int_equal(snug_kv_committed_bytes(before.kv), snug_kv_committed_bytes(after.kv));
        again = save(&after);
        assert_int_equal(again.bytes, saved.bytes);
        assert_memory_equal(again.at, saved.at, saved.bytes);
        compute_to(&before, TOKENS, 100);
        compute_to(&after, TOKENS, 100);
        assert_same_from(&before, &after, left);
        rig_close(&before);
        rig_close(&after);
        free(saved.at);
        free(again.at);
    }
}

/* Also where its context is only just enough, so that its rings need not go round. */
static void a_loaded_cache_goes_back_as_far(void **state)
{
    static const uint32_t backs[] = { 555, 500, 440, 300 };

    (void)state;
    for (size_t i = 0; i < ALL_CASES * SNUG_COUNT(backs); i++) {
        const coded_case *c = case_at(i / SNUG_COUNT(backs));
        const uint32_t back = backs[i % SNUG_COUNT(backs)];
        rig before, after;
        buffer saved;
        uint32_t left;

        rig_open(&before, c, 5000, 100, 1);
        rig_open(&after, c, 600, 100, 1);
        compute_to(&before, 600, 100);
        (void)snug_kv_truncate(before.kv, 560);
        saved = save(&before);
        assert_int_equal(load(&after, &saved, NULL), SNUG_OK);
        left = snug_kv_truncate(before.kv, back);
        assert_int_equal(snug_kv_truncate(after.kv, back), left);
        compute_to(&before, 600, 100);
        compute_to(&after, 600, 100);
        assert_same_from(&before, &after, left);
        rig_close(&before);
        rig_close(&after);
        free(saved.at);
    }
}

static void a_demoted_cache_stays_so(void **state)
{
    static const uint32_t bits[][2] = { { 6, 5 }, { 4, 4 }, { 3, 2 }, { 8, 2 } };
    const coded_case c = { "from 8", { PLANES(8), PLANES(8), 16, 64, ALL, ALIKE }, 80, 0 };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(bits); i++) {
        const snug_kv_target target = {
            .struct_size = sizeof target, .layer_count = 1, .key_bits = bits[i][0], .value_bits = bits[i][1]
        };
        /* What it is loaded into may have been demoted itself. */
        const snug_kv_target other = {
            .struct_size = sizeof other, .layer_count = 1, .key_bits = 2, .value_bits = 5
        };
        const snug_kv_target old = {
            .struct_size = sizeof old, .key_bits = 3, .value_bits = 2, .end_token = 200
        };
        snug_kv_info info = { .struct_size = sizeof info };
        rig before, after;
        buffer saved;

        rig_open(&before, &c, TOKENS, 100, 1);
        rig_open(&after, &c, TOKENS, 100, 1);
        compute_to(&before, 500, 100);
        compute_to(&after, 300, 100);
        assert_int_equal(snug_kv_demote(before.kv, &target, NULL, NULL), SNUG_OK);
        if (i % 2 == 1) /* and older tokens more */
            assert_int_equal(snug_kv_demote(before.kv, &old, NULL, NULL), SNUG_OK);
        assert_int_equal(snug_kv_demote(after.kv, &other, NULL, NULL), SNUG_OK);
        saved = save(&before);
        assert_int_equal(load(&after, &saved, NULL), SNUG_OK);
        snug_kv_read_info(&info, after.kv);
        assert_int_equal(info.config.key.bits, i % 2 == 1 ? 3 : bits[i][0]);
        assert_int_equal(info.config.value.bits, i % 2 == 1 ? 2 : bits[i][1]);
        assert_int_equal(snug_kv_committed_bytes(before.kv), snug_kv_committed_bytes(after.kv));
        compute_to(&before, TOKENS, 100);
        compute_to(&after, TOKENS, 100);
        assert_same_from(&before, &after, 500);
        rig_close(&before);
        rig_close(&after);
        free(saved.at);
    }
}

/* f16 that became codes is loaded into a cache that was made as the first one was, or the other way round. */
static void a_cache_that_became_codes_stays_so(void **state)
{
    static const snug_kv_retention kept[] = { ALL, ROTATING(400, 20), CHUNKED(320) };
    const snug_kv_target target = { .struct_size = sizeof target,
                                    .key_bits = 5,
                                    .value_bits = 3,
                                    .first_exact_tokens = 16,
                                    .recent_exact_tokens = 70 };
    const snug_kv_target other = { .struct_size = sizeof other, .value_bits = 8 };

    (void)state;
    for (size_t i = 0; i < 2 * SNUG_COUNT(kept); i++) {
        const coded_case c = { "f16", { F16, F16, 0, 0, kept[i / 2], ALIKE }, 64, 0 };
        rig before, after;
        buffer saved;

        rig_open(&before, &c, TOKENS, 100, 1);
        rig_open(&after, &c, TOKENS, 100, 1);
        compute_to(&before, 500, 100);
        compute_to(&after, 300, 100);
        if (i % 2 == 0)
            assert_int_equal(
                snug_kv_demote_rows(before.kv, &target, before.work, before.thread_scratch, NULL, NULL),
                SNUG_OK);
        assert_int_equal(snug_kv_demote_rows(after.kv, &other, after.work, after.thread_scratch, NULL, NULL),
                         SNUG_OK);
        saved = save(&before);
        assert_int_equal(load(&after, &saved, NULL), SNUG_OK);
        assert_int_equal(snug_kv_committed_bytes(before.kv), snug_kv_committed_bytes(after.kv));
        compute_to(&before, TOKENS, 100);
        compute_to(&after, TOKENS, 100);
        assert_same_from(&before, &after, 500);
        rig_close(&before);
        rig_close(&after);
        free(saved.at);
    }
}

static void another_kind_of_cache_is_refused(void **state)
{
    snug_error error = { SNUG_OK, "" };
    rig before, after;
    buffer saved;

    (void)state;
    rig_open(&before, &cases[3], TOKENS, 100, 1);
    compute_to(&before, 300, 100);
    saved = save(&before);
    rig_open(&after, &cases[2], TOKENS, 100, 1);
    compute_to(&after, 100, 100);
    assert_int_equal(load(&after, &saved, &error), SNUG_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "planes of 4 bits"));
    assert_int_equal(snug_kv_tokens(after.kv), 100);
    rig_close(&after);
    rig_open(&after, &cases[3], 299, 100, 1);
    assert_int_equal(load(&after, &saved, &error), SNUG_ERR_FULL);
    assert_non_null(strstr(error.text, "300 tokens"));
    rig_close(&after);
    const coded_case wider = { "wider", cases[3].config, 128, 0 };
    rig_open(&after, &wider, TOKENS, 100, 1);
    assert_int_equal(load(&after, &saved, &error), SNUG_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "another shape"));
    rig_close(&after);
    rig_open(&after, &cases[3], TOKENS, 100, 1);
    assert_int_equal(
        snug_memory_set_limits(after.memory, 0, snug_memory_read_all(after.memory).used_bytes + 9000),
        SNUG_OK);
    assert_int_equal(load(&after, &saved, &error), SNUG_ERR_OVER_LIMIT);
    assert_int_equal(snug_kv_tokens(after.kv), 0);
    rig_close(&after);
    rig_close(&before);
    free(saved.at);
}

/* Every cut is refused; changed figures are, or they make a cache that can go on. */
static void damage_does_no_harm(void **state)
{
    static const size_t chosen[] = { 18, 3, 6, 13, 16, 19, 20 };
    const snug_kv_target target = { .struct_size = sizeof target, .key_bits = 8, .value_bits = 3 };
    snug_random random = { 7 };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(chosen); i++) {
        rig before, after;
        buffer saved;
        const size_t figures = 300; /* bytes of heads: the rest are vectors */

        rig_open(&before, case_at(chosen[i]), TOKENS, 100, 1);
        rig_open(&after, case_at(chosen[i]), TOKENS, 100, 1);
        compute_to(&before, 500, 100);
        (void)snug_kv_truncate(before.kv, 470);
        if (i == 0) /* f16 that became codes */
            assert_int_equal(
                snug_kv_demote_rows(before.kv, &target, before.work, before.thread_scratch, NULL, NULL),
                SNUG_OK);
        saved = save(&before);
        for (size_t bytes = 0; bytes < saved.bytes; bytes += bytes < figures ? 1 : saved.bytes / 50)
            assert_int_equal(load(&after, &(buffer){ saved.at, bytes, 0 }, NULL), SNUG_ERR_CORRUPT);
        for (int n = 0; n < 4000; n++) {
            const size_t at = snug_random_next(&random) % (figures / 4) * 4;
            uint32_t kept, changed;

            memcpy(&kept, saved.at + at, 4);
            changed = n % 3 == 0   ? kept + (uint32_t)(snug_random_next(&random) % 7) - 3
                      : n % 3 == 1 ? kept ^ 1u << snug_random_next(&random) % 32
                                   : (uint32_t)(snug_random_next(&random) % 16);
            memcpy(saved.at + at, &changed, 4);
            if (load(&after, &saved, NULL) == SNUG_OK && n % 16 == 0 &&
                snug_kv_tokens(after.kv) < TOKENS - 70)
                compute_to(&after, snug_kv_tokens(after.kv) + 70, 70);
            memcpy(saved.at + at, &kept, 4);
        }
        assert_int_equal(load(&after, &saved, NULL), SNUG_OK);
        rig_close(&before);
        rig_close(&after);
        free(saved.at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loaded_cache_goes_on_with_the_same_bits),
        cmocka_unit_test(a_rewound_cache_is_saved_as_it_is),
        cmocka_unit_test(a_loaded_cache_goes_back_as_far),
        cmocka_unit_test(a_demoted_cache_stays_so),
        cmocka_unit_test(a_cache_that_became_codes_stays_so),
        cmocka_unit_test(another_kind_of_cache_is_refused),
        cmocka_unit_test(damage_does_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
