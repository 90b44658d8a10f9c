/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_adaptive.c - a session that chooses for itself: it has what the planner's search finds, takes no more
 * than that predicts, and keeps what the caller set or says why it cannot.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <snug/snug.h>

#include "base/status.h"
#include "plan/plan.h"
#include "session/session.h"
#include "tests/support/sanitizer.h"

#define MODEL SNUG_SOURCE_FOLDER "/models/mini"
#define KIB   ((uint64_t)1024)

typedef struct rig {
    snug_memory *memory;
    snug_model *model;
} rig;

static void rig_open(rig *r, uint64_t limit)
{
    const snug_memory_options options = { .struct_size = sizeof options, .hard_bytes = limit };
    snug_error error = { SNUG_OK, "" };

    assert_int_equal(snug_memory_create(&r->memory, &options), SNUG_OK);
    if (snug_model_open(&r->model, r->memory, MODEL, NULL, &error) != SNUG_OK)
        fail_msg("%s", error.text);
}

static void rig_close(rig *r)
{
    snug_model_close(r->model);
    assert_int_equal(snug_memory_read_all(r->memory).used_bytes, 0);
    snug_memory_destroy(r->memory);
}

static void the_choice_is_that_of_the_search(void **state)
{
    static const snug_strategy strategies[] = { SNUG_STRATEGY_CONSERVATIVE, SNUG_STRATEGY_BALANCED,
                                                SNUG_STRATEGY_AGGRESSIVE };
    uint32_t refused = 0, made = 0;

    (void)state;
    TEST_SKIP_UNDER_SANITIZERS(); /* their own memory is more than these limits */
    for (size_t i = 0; i < 3; i++) {
        for (uint64_t limit = 1300 * KIB; limit <= 14000 * KIB; limit += 1500 * KIB) {
            const snug_session_options options = { .struct_size = sizeof options,
                                                   .strategy = strategies[i],
                                                   .threads = 2 };
            const snug_plan_options request = { .struct_size = sizeof request, .threads = 2 };
            snug_plan plan, found = { .struct_size = sizeof found };
            snug_error error = { SNUG_OK, "" };
            snug_plan_situation situation;
            snug_session *session;
            snug_status status;
            rig r;

            rig_open(&r, limit);
            snug_plan_look(&situation, r.memory, 0, 0);
            status = snug_session_create_adaptive(&session, &plan, r.model, r.memory, &options, &error);
            /* What the process holds otherwise grows from look to look. */
            situation.fixed_bytes = plan.fixed_bytes;
            situation.limit_bytes = plan.limit_bytes;
            assert_int_equal(snug_plan_search_in(&found, &situation, r.model, &request, strategies[i], NULL),
                             SNUG_OK);
            assert_int_equal(status, found.fits ? SNUG_OK : SNUG_ERR_OVER_LIMIT);
            refused += !found.fits;
            made += found.fits;
            if (found.fits) {
                assert_int_equal(snug_session_context_tokens(session), found.context_tokens);
                assert_int_equal(snug_session_prefill_chunk(session), found.prefill_chunk);
                assert_memory_equal(snug_kv_made_of(session->kv), &found.kv, sizeof found.kv);
                assert_true(session->relief.is_on && session->relief.strategy == strategies[i]);
                assert_false(session->relief.keeps_format || session->relief.keeps_chunk);
            } else {
                assert_null(session);
                assert_non_null(strstr(error.text, "a full context needs at least"));
            }
            snug_session_destroy(session);
            rig_close(&r);
        }
    }
    assert_true(refused > 0 && made > 0);
}

/* A conversation that fills the context, in the ledger. */
static void no_more_is_taken_than_was_predicted(void **state)
{
    static const snug_strategy strategies[] = { SNUG_STRATEGY_CONSERVATIVE, SNUG_STRATEGY_BALANCED,
                                                SNUG_STRATEGY_AGGRESSIVE };
    uint32_t prompt[600];

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(prompt); i++)
        prompt[i] = 10 + (uint32_t)i % 90;
    for (size_t i = 0; i < 3; i++) {
        const snug_session_options options = { .struct_size = sizeof options,
                                               .context_tokens = 640,
                                               .strategy = strategies[i] };
        const snug_generate_options generate = { .struct_size = sizeof generate, .ignore_eos = true };
        snug_generate_result result = { .struct_size = sizeof result };
        snug_error error = { SNUG_OK, "" };
        uint64_t predicted, measured;
        snug_session *session;
        snug_plan plan;
        rig r;

        rig_open(&r, 0);
        if (snug_session_create_adaptive(&session, &plan, r.model, r.memory, &options, &error) != SNUG_OK ||
            snug_session_generate(&result, session, NULL, prompt, SNUG_COUNT(prompt), NULL, &generate,
                                  &error) != SNUG_OK)
            fail_msg("%s", error.text);
        assert_int_equal(result.stop, SNUG_STOP_CONTEXT);
        predicted = plan.peak_bytes - plan.fixed_bytes;
        measured = snug_memory_read_all(r.memory).peak_bytes;
        assert_true(measured <= predicted);
        if (result.relief_steps == 0)
            assert_true(predicted - measured <= 64 * KIB);
        snug_session_destroy(session);
        rig_close(&r);
    }
}

/* A conversation that fills the context within the limit that it was planned for, whatever that is. */
static void what_was_planned_to_fit_needs_no_relief(void **state)
{
    static const snug_strategy strategies[] = { SNUG_STRATEGY_CONSERVATIVE, SNUG_STRATEGY_BALANCED,
                                                SNUG_STRATEGY_AGGRESSIVE };
    uint32_t prompt[600], made = 0, tight = 0;

    (void)state;
    if (TEST_UNDER_TSAN) {
        printf("SKIPPED: fifty conversations take many minutes there, on one thread\n");
        skip();
    }
    for (size_t i = 0; i < SNUG_COUNT(prompt); i++)
        prompt[i] = 10 + (uint32_t)i % 90;
    for (size_t i = 0; i < 3; i++) {
        for (uint64_t room = 1000 * KIB; room <= 5000 * KIB; room += 250 * KIB) {
            const snug_session_options options = {
                .struct_size = sizeof options, .context_tokens = 800, .strategy = strategies[i], .threads = 1
            };
            const snug_generate_options generate = { .struct_size = sizeof generate, .ignore_eos = true };
            snug_generate_result result = { .struct_size = sizeof result };
            snug_kv_info info = { .struct_size = sizeof info };
            snug_error error = { SNUG_OK, "" };
            snug_plan_situation situation;
            snug_session *session;
            snug_plan plan;
            rig r;

            rig_open(&r, 0);
            snug_plan_look(&situation, r.memory, 0, 0);
            assert_int_equal(snug_memory_set_limits(r.memory, 0, situation.fixed_bytes + room), SNUG_OK);
            if (snug_session_create_adaptive(&session, &plan, r.model, r.memory, &options, &error) ==
                SNUG_OK) {
                /* The ledger has nothing of what lies outside it. */
                assert_int_equal(snug_memory_set_limits(r.memory, 0, plan.limit_bytes - plan.fixed_bytes),
                                 SNUG_OK);
                assert_int_equal(snug_session_generate(&result, session, NULL, prompt, SNUG_COUNT(prompt),
                                                       NULL, &generate, &error),
                                 SNUG_OK);
                assert_int_equal(result.stop, SNUG_STOP_CONTEXT);
                assert_int_equal(result.relief_steps, 0);
                snug_kv_read_info(&info, snug_session_kv(session));
                assert_memory_equal(&info.config.key, &plan.kv.key, sizeof plan.kv.key);
                assert_memory_equal(&info.config.value, &plan.kv.value, sizeof plan.kv.value);
                assert_int_equal(snug_session_prefill_chunk(session), plan.prefill_chunk);
                made++;
                tight += plan.is_tight;
                snug_session_destroy(session);
            }
            rig_close(&r);
        }
    }
    assert_true(made > 0);
    /* A sanitizer's own memory is nearly all of each limit here: how tight the plans are says nothing. */
    assert_true((0 < tight && tight < made) || TEST_UNDER_ASAN);
}

static void what_is_set_is_obeyed_now_and_later(void **state)
{
    const snug_session_options options = {
        .struct_size = sizeof options,
        .context_tokens = 700,
        .prefill_chunk = 48,
        .logits_rows = 3,
        .kv = { .key = { SNUG_KV_FORMAT_PLANES, 6, 0 }, .value = { SNUG_KV_FORMAT_PLANES, 3, 0 } },
    };
    snug_error error = { SNUG_OK, "" };
    snug_session *session;
    rig r;

    (void)state;
    rig_open(&r, 0);
    if (snug_session_create_adaptive(&session, NULL, r.model, r.memory, &options, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    assert_int_equal(snug_session_context_tokens(session), 700);
    assert_int_equal(snug_session_prefill_chunk(session), 48);
    assert_int_equal(session->logits_rows, 3);
    assert_int_equal(snug_kv_made_of(session->kv)->key.bits, 6);
    assert_int_equal(snug_kv_made_of(session->kv)->value.bits, 3);
    assert_true(session->relief.keeps_format && session->relief.keeps_chunk);
    snug_session_destroy(session);
    rig_close(&r);
}

static void what_is_set_and_does_not_fit_is_refused(void **state)
{
    const snug_session_options refused[] = {
        { .struct_size = sizeof *refused, .context_tokens = 100000 },
        { .struct_size = sizeof *refused,
          .context_tokens = 4096,
          .kv = { .key = { .format = SNUG_KV_FORMAT_F16 }, .value = { .format = SNUG_KV_FORMAT_F16 } } },
    };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(refused); i++) {
        snug_error error = { SNUG_OK, "" };
        snug_session *session;
        uint64_t before;
        rig r;

        rig_open(&r, 4000 * KIB);
        before = snug_memory_read_all(r.memory).used_bytes;
        assert_int_equal(snug_session_create_adaptive(&session, NULL, r.model, r.memory, &refused[i], &error),
                         SNUG_ERR_OVER_LIMIT);
        assert_null(session);
        assert_non_null(strstr(error.text, "bytes, and may use"));
        assert_int_equal(snug_memory_read_all(r.memory).used_bytes, before);
        rig_close(&r);
    }
}

static void each_reservation_may_fail(void **state)
{
    bool is_made = false;
    uint32_t failed = 0;

    (void)state;
    for (uint64_t nth = 1; !is_made; nth++) {
        const snug_memory_options limits = { .struct_size = sizeof limits, .fail_after = nth };
        snug_error error = { SNUG_OK, "" };
        snug_session *session = NULL;
        rig r = { NULL, NULL };
        uint64_t before;

        assert_true(nth < 1000);
        assert_int_equal(snug_memory_create(&r.memory, &limits), SNUG_OK);
        if (snug_model_open(&r.model, r.memory, MODEL, NULL, NULL) == SNUG_OK) {
            before = snug_memory_read_all(r.memory).used_bytes;
            is_made =
                snug_session_create_adaptive(&session, NULL, r.model, r.memory, NULL, &error) == SNUG_OK;
            assert_int_equal(is_made, session != NULL);
            failed += !is_made;
            if (!is_made) {
                assert_true(error.text[0] != '\0');
                assert_int_equal(snug_memory_read_all(r.memory).used_bytes, before);
            }
        }
        snug_session_destroy(session);
        rig_close(&r);
    }
    assert_true(failed >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_choice_is_that_of_the_search),
        cmocka_unit_test(no_more_is_taken_than_was_predicted),
        cmocka_unit_test(what_was_planned_to_fit_needs_no_relief),
        cmocka_unit_test(what_is_set_is_obeyed_now_and_later),
        cmocka_unit_test(what_is_set_and_does_not_fit_is_refused),
        cmocka_unit_test(each_reservation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
