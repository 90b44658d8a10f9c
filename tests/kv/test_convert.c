/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_convert.c - a conversation from one kind of cache into another: from floats, bit for bit what
 * computing it there would have given; from codes, as near as codes are; what was given up is not made up.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "tests/kv/coded_rig.h"

static const coded_case f16_case = { "f16", { F16, F16, 0, 0, ALL, ALIKE }, 64, 0 };

static coded_case with_shape_of(const coded_case *form, const coded_case *shape)
{
    coded_case c = *form;

    c.head_dim = shape->head_dim;
    c.window = shape->window;
    return c;
}

static snug_status convert(rig *to, const rig *from, snug_error *error)
{
    const snug_status status = snug_kv_convert(to->kv, from->kv, to->work, to->thread_scratch, error);

    assert_true(snug_kv_is_valid(to->kv) && snug_kv_is_valid(from->kv));
    assert_int_equal(snug_kv_tokens(to->kv), status == SNUG_OK ? snug_kv_tokens(from->kv) : 0);
    return status;
}

static void from_f16_it_is_as_if_computed_there(void **state)
{
    static const uint32_t ends[] = { 1, 64, 130, 333, 640 };

    (void)state;
    for (size_t i = 0; i < case_count; i++) {
        const coded_case plain = with_shape_of(&f16_case, &cases[i]);
        rig direct;

        rig_open(&direct, &cases[i], TOKENS, 100, 1);
        compute_to(&direct, TOKENS, 100);
        for (size_t e = 0; e < SNUG_COUNT(ends); e++) {
            rig from, to;

            rig_open(&from, &plain, TOKENS, 100, 1);
            rig_open(&to, &cases[i], TOKENS, 100, 2);
            compute_to(&from, ends[e], 100);
            assert_int_equal(convert(&to, &from, NULL), SNUG_OK);
            compute_to(&to, TOKENS, 100);
            assert_same_from(&direct, &to, ends[e]);
            assert_int_equal(snug_kv_committed_bytes(to.kv), snug_kv_committed_bytes(direct.kv));
            rig_close(&from);
            rig_close(&to);
        }
        rig_close(&direct);
    }
}

/* The first answer after a conversion is that of the codes, but for their kernel's arithmetic. */
static void from_codes_it_is_what_the_codes_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < case_count; i++) {
        coded_case plain = with_shape_of(&f16_case, &cases[i]);
        const size_t width = HEADS * cases[i].head_dim;
        float worst = 0.0f;
        rig from, to;

        plain.config.retention = cases[i].config.retention;
        rig_open(&from, &cases[i], TOKENS, 100, 1);
        rig_open(&to, &plain, TOKENS, 100, 2);
        compute_to(&from, 500, 100);
        assert_int_equal(convert(&to, &from, NULL), SNUG_OK);
        compute(&from, 500, 1);
        compute(&to, 500, 1);
        for (size_t k = 500 * width; k < 501 * width; k++)
            worst = fmaxf(worst, fabsf(from.out[0][k] - to.out[0][k]));
        if (worst > 3e-2f)
            fail_msg("%s: differs by %g", cases[i].name, (double)worst);
        rig_close(&from);
        rig_close(&to);
    }
}

static void what_was_given_up_is_not_made_up(void **state)
{
    static const coded_case rotating = { "rotating", { F16, F16, 0, 0, ROTATING(200, 4), ALIKE }, 64, 0 };
    static const coded_case narrower = { "narrower", { F16, F16, 0, 0, ROTATING(150, 4), ALIKE }, 64, 0 };
    snug_error error = { SNUG_OK, "" };
    rig from, to;

    (void)state;
    rig_open(&from, &rotating, TOKENS, 100, 1);
    compute_to(&from, 500, 100);
    rig_open(&to, &f16_case, TOKENS, 100, 1);
    assert_int_equal(convert(&to, &from, &error), SNUG_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.text, "given up tokens"));
    rig_close(&to);
    rig_open(&to, &narrower, TOKENS, 100, 1);
    assert_int_equal(convert(&to, &from, &error), SNUG_OK);
    rig_close(&to);
    rig_open(&to, &f16_case, 499, 100, 1);
    assert_int_equal(convert(&to, &from, &error), SNUG_ERR_FULL);
    rig_close(&to);
    rig_close(&from);
}

/* What the old cache had beyond what it needed, the new one has too; what it had given up, it does not claim
 * to have. */
static void it_goes_back_as_far_as_the_old_one(void **state)
{
    static const snug_kv_retention retentions[] = { ALL, ROTATING(200, 4), ROTATING(130, 0), CHUNKED(256) };
    static const uint32_t windows[] = { 0, 150 };
    static const uint32_t backs[] = { 555, 520, 500, 470, 440, 300 };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(retentions) * SNUG_COUNT(windows) * SNUG_COUNT(backs); i++) {
        const coded_case c = { "f16",
                               { F16, F16, 0, 0, retentions[i % SNUG_COUNT(retentions)], ALIKE },
                               64,
                               windows[i / SNUG_COUNT(retentions) % SNUG_COUNT(windows)] };
        const uint32_t back = backs[i / SNUG_COUNT(retentions) / SNUG_COUNT(windows)];
        uint32_t left;
        rig from, to;

        rig_open(&from, &c, TOKENS, 100, 1);
        rig_open(&to, &c, TOKENS, 100, 2);
        compute_to(&from, 600, 100);
        (void)snug_kv_truncate(from.kv, 560);
        assert_int_equal(snug_kv_tokens(from.kv), 560);
        assert_int_equal(convert(&to, &from, NULL), SNUG_OK);
        left = snug_kv_truncate(from.kv, back);
        assert_int_equal(snug_kv_truncate(to.kv, back), left);
        compute_to(&from, TOKENS, 100);
        compute_to(&to, TOKENS, 100);
        assert_same_from(&from, &to, left);
        rig_close(&from);
        rig_close(&to);
    }
}

static void without_memory_the_new_cache_is_empty(void **state)
{
    snug_error error = { SNUG_OK, "" };
    rig from, to;

    (void)state;
    rig_open(&from, &f16_case, TOKENS, 100, 1);
    compute_to(&from, 500, 100);
    rig_open(&to, &cases[0], TOKENS, 100, 1);
    assert_int_equal(snug_memory_set_limits(to.memory, 0, snug_memory_read_all(to.memory).used_bytes + 60000),
                     SNUG_OK);
    assert_int_equal(convert(&to, &from, &error), SNUG_ERR_OVER_LIMIT);
    rig_close(&to);
    rig_close(&from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_f16_it_is_as_if_computed_there),
        cmocka_unit_test(from_codes_it_is_what_the_codes_say),
        cmocka_unit_test(what_was_given_up_is_not_made_up),
        cmocka_unit_test(it_goes_back_as_far_as_the_old_one),
        cmocka_unit_test(without_memory_the_new_cache_is_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
