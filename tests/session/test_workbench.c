/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions at one workbench: taking turns in any order they compute, bit for bit, what each computes with
 * threads and scratch of its own; scratch is there once, and as planned.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <snug/snug.h>

#include "base/size.h"

#define MODEL SNUG_SOURCE_FOLDER "/models/mini"

#define SESSIONS 3
#define TOKENS   150 /* of each, in pieces that differ */
#define CHUNK    64

typedef struct rig {
    snug_memory *memory;
    snug_model *model;
    snug_model_info info;
} rig;

static const snug_session_options sizes = {
    .struct_size = sizeof sizes, .context_tokens = 512, .prefill_chunk = CHUNK, .threads = 2
};

static int open_rig(void **state)
{
    static rig r;

    r = (rig){ .info = { .struct_size = sizeof r.info } };
    assert_int_equal(snug_memory_create(&r.memory, NULL), SNUG_OK);
    assert_int_equal(snug_model_open(&r.model, r.memory, MODEL, NULL, NULL), SNUG_OK);
    snug_model_read_info(&r.info, r.model);
    *state = &r;
    return 0;
}

/* With nothing left in the ledger. */
static int close_rig(void **state)
{
    rig *r = *state;

    snug_model_close(r->model);
    assert_int_equal(snug_memory_read_all(r->memory).used_bytes, 0);
    snug_memory_destroy(r->memory);
    return 0;
}

static uint64_t scratch(const rig *r)
{
    return snug_memory_read(r->memory, SNUG_MEMORY_SCRATCH).used_bytes;
}

/* The text of session `s`. */
static void write_ids(uint32_t ids[TOKENS], const rig *r, uint32_t s)
{
    for (uint32_t i = 0; i < TOKENS; i++)
        ids[i] = (i * 7919 + s * 104729 + 17) % r->info.vocabulary;
}

/* Pieces of one token, and of up to a chunk and a half. */
static uint32_t piece_of(uint32_t s, uint32_t done)
{
    const uint32_t wanted = (done + s) % 3 == 0 ? 1 : (done * 13 + s * 31) % (CHUNK + CHUNK / 2) + 1;

    return (uint32_t)snug_min_size(wanted, TOKENS - done);
}

static snug_session *make(rig *r, snug_workbench *bench)
{
    snug_session_options options = sizes;
    snug_session *session;

    options.workbench = bench;
    assert_int_equal(snug_session_create(&session, r->model, r->memory, &options, NULL), SNUG_OK);
    return session;
}

/* [TOKENS] rows of which those after a piece are filled. */
static float *compute_alone(rig *r, uint32_t s)
{
    float *rows = calloc((size_t)TOKENS * r->info.vocabulary, sizeof *rows);
    snug_session *session = make(r, NULL);
    uint32_t ids[TOKENS];

    assert_non_null(rows);
    write_ids(ids, r, s);
    for (uint32_t done = 0, piece; done < TOKENS; done += piece) {
        piece = piece_of(s, done);
        assert_int_equal(snug_session_eval(session, ids + done, piece, NULL, NULL), SNUG_OK);
        memcpy(rows + (size_t)(done + piece - 1) * r->info.vocabulary, snug_session_logits(session),
               r->info.vocabulary * sizeof *rows);
    }
    snug_session_destroy(session);
    return rows;
}

static void in_turn_they_compute_what_each_does_alone(void **state)
{
    rig *r = *state;
    snug_workbench *bench;
    snug_session *session[SESSIONS];
    float *expected[SESSIONS];
    uint32_t done[SESSIONS] = { 0 };
    uint32_t ids[TOKENS];
    uint32_t compared = 0;

    assert_int_equal(snug_workbench_create(&bench, r->model, r->memory, &sizes, NULL), SNUG_OK);
    for (uint32_t s = 0; s < SESSIONS; s++) {
        expected[s] = compute_alone(r, s);
        session[s] = make(r, bench);
    }
    for (uint32_t turn = 0; compared < SESSIONS * TOKENS; turn++) {
        const uint32_t s = turn % 5 % SESSIONS;
        const uint32_t piece = piece_of(s, done[s]);

        if (turn % 7 == 0) /* taken away between two turns */
            (void)snug_workbench_trim(bench);
        if (piece == 0)
            continue;
        write_ids(ids, r, s);
        assert_int_equal(snug_session_eval(session[s], ids + done[s], piece, NULL, NULL), SNUG_OK);
        done[s] += piece;
        compared += piece;
        assert_memory_equal(snug_session_logits(session[s]),
                            expected[s] + (size_t)(done[s] - 1) * r->info.vocabulary,
                            r->info.vocabulary * sizeof **expected);
        for (uint32_t other = 0; other < SESSIONS; other++)
            assert_true(other == s || !snug_session_logits(session[other]));
    }
    for (uint32_t s = 0; s < SESSIONS; s++) {
        snug_session_destroy(session[s]);
        free(expected[s]);
    }
    snug_workbench_destroy(bench);
}

static void scratch_is_there_once_and_as_planned(void **state)
{
    rig *r = *state;
    snug_plan_options options = { .struct_size = sizeof options,
                                  .context_tokens = sizes.context_tokens,
                                  .prompt_tokens = 40,
                                  .max_tokens = 1,
                                  .prefill_chunk = sizes.prefill_chunk,
                                  .threads = sizes.threads,
                                  .id_count = 1,
                                  .has_workbench = true };
    snug_plan plan = { .struct_size = sizeof plan };
    const uint64_t sampler = snug_sampler_estimate_bytes(1);
    snug_workbench *bench;
    snug_session *session[SESSIONS];
    uint64_t one_token;
    uint32_t ids[TOKENS];

    assert_int_equal(snug_workbench_create(&bench, r->model, r->memory, &sizes, NULL), SNUG_OK);
    one_token = scratch(r);
    assert_int_equal(snug_workbench_scratch_bytes(bench), one_token);
    for (uint32_t s = 0; s < SESSIONS; s++)
        session[s] = make(r, bench);
    assert_int_equal(scratch(r), one_token);

    options.workbench_scratch_bytes = one_token;
    assert_int_equal(snug_plan_make(&plan, r->model, r->memory, 0, &options, NULL), SNUG_OK);
    for (uint32_t s = 0; s < SESSIONS; s++) {
        write_ids(ids, r, s);
        assert_int_equal(snug_session_eval(session[s], ids, 40, NULL, NULL), SNUG_OK);
    }
    /* Of forty tokens, not of a chunk, and not three times. */
    assert_int_equal(scratch(r), plan.use_bytes[SNUG_MEMORY_SCRATCH] - sampler);
    assert_int_equal(snug_workbench_scratch_bytes(bench), scratch(r));
    options.workbench_scratch_bytes = scratch(r);
    assert_int_equal(snug_plan_make(&plan, r->model, r->memory, 0, &options, NULL), SNUG_OK);
    assert_int_equal(plan.use_bytes[SNUG_MEMORY_SCRATCH], scratch(r) + sampler);

    assert_int_equal(snug_workbench_trim(bench), options.workbench_scratch_bytes - one_token);
    assert_int_equal(scratch(r), one_token);
    for (uint32_t s = 0; s < SESSIONS; s++)
        snug_session_destroy(session[s]);
    snug_workbench_destroy(bench);
}

static void a_fork_stays_at_the_workbench_and_begins_without_logits(void **state)
{
    rig *r = *state;
    snug_workbench *bench;
    snug_session *session, *fork;
    uint64_t before;
    uint32_t ids[TOKENS];

    assert_int_equal(snug_workbench_create(&bench, r->model, r->memory, &sizes, NULL), SNUG_OK);
    session = make(r, bench);
    write_ids(ids, r, 0);
    assert_int_equal(snug_session_eval(session, ids, 100, NULL, NULL), SNUG_OK);
    before = scratch(r);
    assert_int_equal(snug_session_fork(&fork, session, NULL), SNUG_OK);
    assert_int_equal(scratch(r), before);
    assert_null(snug_session_logits(fork));
    assert_non_null(snug_session_logits(session));
    assert_int_equal(snug_session_eval(fork, ids + 100, 1, NULL, NULL), SNUG_OK);
    assert_non_null(snug_session_logits(fork));
    assert_null(snug_session_logits(session));
    snug_session_destroy(session);
    assert_int_equal(snug_session_eval(fork, ids + 101, 1, NULL, NULL), SNUG_OK);
    snug_session_destroy(fork);
    snug_workbench_destroy(bench);
}

static void a_session_that_needs_more_is_refused(void **state)
{
    rig *r = *state;
    snug_session_options options = sizes;
    snug_session *session;
    snug_error error = { SNUG_OK, "" };

    assert_int_equal(snug_workbench_create(&options.workbench, r->model, r->memory, &sizes, NULL), SNUG_OK);
    options.prefill_chunk = CHUNK + 1;
    assert_int_equal(snug_session_create(&session, r->model, r->memory, &options, &error), SNUG_ERR_ARGUMENT);
    assert_null(session);
    assert_non_null(strstr(error.text, "at most 64 tokens"));
    snug_workbench_destroy(options.workbench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(in_turn_they_compute_what_each_does_alone, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(scratch_is_there_once_and_as_planned, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(a_fork_stays_at_the_workbench_and_begins_without_logits, open_rig,
                                        close_rig),
        cmocka_unit_test_setup_teardown(a_session_that_needs_more_is_refused, open_rig, close_rig),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
