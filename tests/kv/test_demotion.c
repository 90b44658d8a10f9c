/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_demotion.c - f16 that becomes planes while a conversation runs, in place: bit for bit a cache made so,
 * for every retention and length; what it returns and what it takes meanwhile are as foreseen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "tests/kv/coded_rig.h"

/* How the f16 cache is kept, and what it becomes. */
static const struct {
    const char *name;
    snug_kv_retention retention;
    uint32_t window;
    uint32_t head_dim;
    uint32_t first, recent;
} kept[] = {
    { "all", ALL, 0, 64, 0, 0 },
    { "all, sinks and tail", ALL, 0, 80, 16, 100 },
    { "all, a long tail", ALL, 0, 64, 70, 400 },
    { "rotating", ROTATING(300, 10), 0, 64, 0, 0 },
    { "rotating, sinks and tail", ROTATING(333, 70), 0, 96, 70, 66 },
    { "rotating, all sinks coded", ROTATING(400, 130), 0, 64, 0, 65 },
    { "rotating, less than the tail", ROTATING(200, 4), 0, 64, 4, 300 },
    { "chunked", CHUNKED(256), 0, 64, 16, 0 },
    { "a window", ALL, 200, 64, 16, 32 },
    { "a window in a rotating cache", ROTATING(400, 8), 300, 128, 16, 0 },
};

/* Bits of keys and values; 16: they stay f16. */
static const uint32_t widths[][2] = { { 8, 8 }, { 4, 4 }, { 5, 3 }, { 2, 16 }, { 16, 6 } };

static const uint32_t lengths[] = { 0, 1, 64, 65, 130, 200, 320, 383, 449, 576, 640 };

static snug_kv_coding coding_of(uint32_t bits)
{
    return bits == 16 ? (snug_kv_coding){ SNUG_KV_FORMAT_F16, 0, 0 }
                      : (snug_kv_coding){ SNUG_KV_FORMAT_PLANES, bits, 0 };
}

static uint64_t used(const rig *r)
{
    return snug_memory_read_all(r->memory).used_bytes;
}

/* Demote what is f16, within what was foreseen: the ledger refuses anything else. */
static void demote(rig *r, const snug_kv_target *target)
{
    const uint64_t before = used(r);
    snug_kv_demotion foreseen = { .struct_size = sizeof foreseen };
    snug_error error = { SNUG_OK, "" };
    uint64_t bytes;

    assert_int_equal(snug_kv_foresee_demotion(&foreseen, r->kv, target, NULL), SNUG_OK);
    assert_int_equal(snug_memory_set_limits(r->memory, 0, before + foreseen.extra_bytes), SNUG_OK);
    if (snug_kv_demote_rows(r->kv, target, r->work, r->thread_scratch, &bytes, &error) != SNUG_OK)
        fail_msg("%s: %s", r->c->name, error.text);
    assert_int_equal(snug_memory_set_limits(r->memory, 0, 0), SNUG_OK);
    assert_int_equal(bytes, foreseen.returned_bytes);
    if (bytes > 0)
        assert_int_equal(before - used(r), bytes);
    assert_true(snug_kv_is_valid(r->kv));
}

/* The f16 cache, the one that was made as the first becomes, and what has to be done to it. */
static snug_kv_target make_case(coded_case *from, coded_case *to, size_t i, const uint32_t *bits)
{
    *from = (coded_case){ .name = kept[i].name,
                          .config = { .retention = kept[i].retention },
                          .head_dim = kept[i].head_dim,
                          .window = kept[i].window };
    *to = *from;
    to->config.key = coding_of(bits[0]);
    to->config.value = coding_of(bits[1]);
    to->config.first_exact_tokens = kept[i].first;
    to->config.recent_exact_tokens = kept[i].recent;
    return (snug_kv_target){ .struct_size = sizeof(snug_kv_target),
                             .key_bits = bits[0] == 16 ? 0 : bits[0],
                             .value_bits = bits[1] == 16 ? 0 : bits[1],
                             .first_exact_tokens = kept[i].first,
                             .recent_exact_tokens = kept[i].recent };
}

static void f16_becomes_what_was_made_so(void **state)
{
    (void)state;
    for (size_t k = 0; k < SNUG_COUNT(kept) * SNUG_COUNT(lengths); k++) {
        const uint32_t length = lengths[k % SNUG_COUNT(lengths)];
        coded_case from, to;
        const snug_kv_target target =
            make_case(&from, &to, k / SNUG_COUNT(lengths), widths[k % SNUG_COUNT(widths)]);
        rig demoted, direct;

        rig_open(&demoted, &from, TOKENS, 100, 2);
        rig_open(&direct, &to, TOKENS, 100, 2);
        compute_to(&demoted, length, 100);
        compute_to(&direct, length, 100);
        demote(&demoted, &target);
        assert_int_equal(snug_kv_tokens(demoted.kv), length);
        assert_int_equal(snug_kv_committed_bytes(demoted.kv), snug_kv_committed_bytes(direct.kv));
        compute_to(&demoted, TOKENS, 100);
        compute_to(&direct, TOKENS, 100);
        assert_same_from(&demoted, &direct, length);
        assert_int_equal(snug_kv_committed_bytes(demoted.kv), snug_kv_committed_bytes(direct.kv));
        rig_close(&demoted);
        rig_close(&direct);
    }
}

/* Rewound, into rows or into codes, both go on alike. */
static void goes_back_as_one_that_was_made_so(void **state)
{
    static const uint32_t backs[] = { 1, 30, 64, 150, 300, 470 };

    (void)state;
    for (size_t k = 0; k < SNUG_COUNT(kept) * SNUG_COUNT(backs); k++) {
        coded_case from, to;
        const snug_kv_target target = make_case(&from, &to, k / SNUG_COUNT(backs), widths[2]);
        const uint32_t end = 500 - backs[k % SNUG_COUNT(backs)];
        rig demoted, direct;
        uint32_t left;

        rig_open(&demoted, &from, TOKENS, 100, 2);
        rig_open(&direct, &to, TOKENS, 100, 2);
        compute_to(&demoted, 500, 100);
        compute_to(&direct, 500, 100);
        demote(&demoted, &target);
        left = snug_kv_truncate(direct.kv, end);
        assert_int_equal(snug_kv_truncate(demoted.kv, end), left);
        assert_true(snug_kv_is_valid(demoted.kv));
        compute_to(&demoted, TOKENS, 100);
        compute_to(&direct, TOKENS, 100);
        assert_same_from(&demoted, &direct, left);
        rig_close(&demoted);
        rig_close(&direct);
    }
}

/* First keys, then values: what is codes already does not matter. Then fewer bits of what became codes. */
static void sides_and_widths_go_one_after_the_other(void **state)
{
    static const uint32_t steps[][2] = { { 8, 0 }, { 0, 6 }, { 5, 0 }, { 0, 4 }, { 3, 2 } };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(kept); i++) {
        coded_case from, to;
        snug_kv_target target = make_case(&from, &to, i, (const uint32_t[]){ 3, 2 });
        rig demoted, direct;

        rig_open(&demoted, &from, TOKENS, 100, 2);
        rig_open(&direct, &to, TOKENS, 100, 2);
        for (size_t s = 0; s < SNUG_COUNT(steps); s++) {
            compute_to(&demoted, 300 + 50 * (uint32_t)s, 100);
            target.key_bits = steps[s][0];
            target.value_bits = steps[s][1];
            demote(&demoted, &target);
        }
        compute_to(&demoted, 600, 100);
        compute_to(&direct, TOKENS, 100);
        memcpy(demoted.out[0], direct.out[0], 600 * (size_t)HEADS * from.head_dim * sizeof(float));
        compute_to(&demoted, TOKENS, 100);
        assert_same_from(&demoted, &direct, 600);
        assert_int_equal(snug_kv_committed_bytes(demoted.kv), snug_kv_committed_bytes(direct.kv));
        rig_close(&demoted);
        rig_close(&direct);
    }
}

/* Without room for what it takes first, nothing changes; and what cannot be done is said. */
static void refuses_and_stays_as_it_was(void **state)
{
    static const coded_case exact = {
        "f32", { { SNUG_KV_FORMAT_F32, 0, 0 }, { SNUG_KV_FORMAT_F32, 0, 0 }, 0, 0, ALL, ALIKE }, 64, 0
    };
    static const coded_case c = { "f16", { F16, F16, 0, 0, ALL, ALIKE }, 64, 0 };
    const snug_kv_target target = { .struct_size = sizeof target, .key_bits = 8, .value_bits = 8 };
    snug_kv_demotion foreseen = { .struct_size = sizeof foreseen };
    snug_error error = { SNUG_OK, "" };
    uint64_t bytes;
    rig r, same;

    (void)state;
    rig_open(&r, &c, TOKENS, 100, 2);
    rig_open(&same, &c, TOKENS, 100, 2);
    compute_to(&r, 500, 100);
    compute_to(&same, TOKENS, 100);
    assert_int_equal(snug_kv_foresee_demotion(&foreseen, r.kv, &target, NULL), SNUG_OK);
    assert_int_equal(snug_memory_set_limits(r.memory, 0, used(&r) + foreseen.extra_bytes - 1), SNUG_OK);
    assert_int_equal(snug_kv_demote_rows(r.kv, &target, r.work, r.thread_scratch, &bytes, &error),
                     SNUG_ERR_OVER_LIMIT);
    assert_int_equal(bytes, 0);
    assert_true(snug_kv_is_valid(r.kv));
    assert_int_equal(snug_memory_set_limits(r.memory, 0, 0), SNUG_OK);
    assert_int_equal(snug_kv_demote(r.kv, &target, &bytes, NULL), SNUG_OK); /* which makes no codes */
    assert_int_equal(bytes, 0);
    compute_to(&r, TOKENS, 100);
    assert_same_from(&r, &same, 500);
    rig_close(&r);
    rig_close(&same);

    rig_open(&r, &exact, TOKENS, 100, 1);
    compute_to(&r, 500, 100);
    assert_int_equal(snug_kv_demote_rows(r.kv, &target, r.work, r.thread_scratch, &bytes, &error),
                     SNUG_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "the keys are f32, which stays exact"));
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f16_becomes_what_was_made_so),
        cmocka_unit_test(goes_back_as_one_that_was_made_so),
        cmocka_unit_test(sides_and_widths_go_one_after_the_other),
        cmocka_unit_test(refuses_and_stays_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
