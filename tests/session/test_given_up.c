/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pass that is given up while it is computed, at every place at which it can be: what was begun does not
 * count, is computed again, and no token is lost or told twice.
 */
#define _XOPEN_SOURCE 700

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <snug/snug.h>

#include "session/session.h"

#define MODEL SNUG_SOURCE_FOLDER "/models/mini"

#define PROMPT 300 /* tokens, three chunks */
#define WANTED 24

typedef struct run {
    snug_memory *memory;
    snug_session *session;
    uint32_t threads; /* with more than one it depends on the others how often the caller is asked */
    uint64_t asked;
    uint64_t at;    /* the question that is answered with no */
    uint64_t every; /* and so many after it, again */
    uint64_t given_up;
    double lower_to; /* part of what is in use that the limit becomes at that moment; 0: it stays */
    uint32_t events;
    uint32_t count;
    uint32_t id[WANTED];
} run;

/* Only one at a time: what asks has no other way to its run. */
static run *current;

static bool goes_on(void *session)
{
    run *r = current;

    r->asked++;
    if (r->asked != r->at)
        return r->lower_to > 0 ? snug_relief_goes_on(session) : true;
    r->given_up++;
    if (r->every > 0 && r->given_up < 20)
        r->at += r->every;
    if (r->lower_to > 0) {
        const double used = (double)snug_memory_read_all(r->memory).used_bytes;

        assert_int_equal(snug_memory_set_limits(r->memory, 0, (uint64_t)(used * r->lower_to)), SNUG_OK);
        return snug_relief_goes_on(session);
    }
    return false;
}

static bool hear(void *user, uint32_t id, const char *text, size_t bytes)
{
    run *r = user;

    (void)text;
    (void)bytes;
    if (id != SNUG_ID_NONE)
        r->id[r->count++] = id;
    return true;
}

static void note(void *user, const snug_relief_event *event)
{
    run *r = user;

    (void)event;
    r->events++;
}

static snug_status generate(run *r, const snug_kv_config *kv)
{
    const snug_session_options options = { .struct_size = sizeof options,
                                           .context_tokens = 512,
                                           .prefill_chunk = 128,
                                           .threads = r->threads,
                                           .adapt = true,
                                           .kv = *kv };
    const snug_generate_options how = { .struct_size = sizeof how,
                                        .max_tokens = WANTED,
                                        .ignore_eos = true,
                                        .on_token = hear,
                                        .on_relief = note,
                                        .user = r };
    snug_generate_result result = { .struct_size = sizeof result };
    snug_model *model;
    snug_error error = { SNUG_OK, "" };
    uint32_t prompt[PROMPT];
    snug_status status;

    for (uint32_t i = 0; i < PROMPT; i++)
        prompt[i] = 300 + i * 37 % 400;
    current = r;
    assert_int_equal(snug_memory_create(&r->memory, NULL), SNUG_OK);
    assert_int_equal(snug_model_open(&model, r->memory, MODEL, NULL, &error), SNUG_OK);
    assert_int_equal(snug_session_create(&r->session, model, r->memory, &options, &error), SNUG_OK);
    r->session->relief.goes_on = goes_on;
    status = snug_session_generate(&result, r->session, NULL, prompt, PROMPT, NULL, &how, &error);
    if (status == SNUG_OK) {
        assert_int_equal(r->count, WANTED);
        assert_int_equal(snug_session_tokens(r->session), PROMPT + WANTED - 1);
        assert_memory_equal(snug_session_ids(r->session), prompt, sizeof prompt);
    }
    snug_session_destroy(r->session);
    snug_model_close(model);
    assert_int_equal(snug_memory_read_all(r->memory).used_bytes, 0);
    snug_memory_destroy(r->memory);
    return status;
}

/* Rows, codes, and both in rings. */
static const snug_kv_config formats[] = {
    { .key = { .format = SNUG_KV_FORMAT_F16 }, .value = { .format = SNUG_KV_FORMAT_F16 } },
    { .key = { .format = SNUG_KV_FORMAT_PLANES, .bits = 8 },
      .value = { .format = SNUG_KV_FORMAT_PLANES, .bits = 8 } },
    { .key = { .format = SNUG_KV_FORMAT_F16 },
      .value = { .format = SNUG_KV_FORMAT_F16 },
      .retention = { .kind = SNUG_KV_RETENTION_ROTATING, .max_tokens = 128, .sink_tokens = 4 } },
    { .key = { .format = SNUG_KV_FORMAT_PLANES, .bits = 4 },
      .value = { .format = SNUG_KV_FORMAT_PLANES, .bits = 4 },
      .recent_exact_tokens = 64,
      .retention = { .kind = SNUG_KV_RETENTION_ROTATING, .max_tokens = 256, .sink_tokens = 4 } },
};

#define FORMATS (sizeof formats / sizeof *formats)

static void what_was_given_up_is_computed_again(void **state)
{
    (void)state;
    for (size_t f = 0; f < FORMATS; f++) {
        run whole = { .threads = 1 };
        uint64_t step;

        assert_int_equal(generate(&whole, &formats[f]), SNUG_OK);
        assert_true(whole.asked > 100);
        step = whole.asked / 9 + 1;
        for (uint64_t at = 1; at <= whole.asked; at += step) {
            run once = { .threads = 1, .at = at }, often = { .threads = 1, .at = at, .every = 7 };

            assert_int_equal(generate(&once, &formats[f]), SNUG_OK);
            assert_int_equal(once.given_up, 1);
            assert_int_equal(once.events, 0);
            assert_int_equal(generate(&often, &formats[f]), SNUG_OK);
            assert_true(often.given_up > 0);
            if (f > 0) /* codes may be made of a tile earlier than else */
                continue;
            assert_memory_equal(once.id, whole.id, sizeof once.id);
            assert_memory_equal(often.id, whole.id, sizeof often.id);
        }
    }
}

static void a_limit_lowered_within_a_pass_is_kept_before_it_ends(void **state)
{
    static const double parts[] = { 0.95, 0.8, 0.6, 0.2 };
    int finished = 0, ended = 0;
    run whole = { .threads = 2 };

    (void)state;
    assert_int_equal(generate(&whole, &formats[0]), SNUG_OK);
    for (size_t part = 0; part < 4; part++)
        for (uint64_t at = 1; at <= whole.asked; at += whole.asked / 5 + 1) {
            run r = { .threads = 2, .at = at, .lower_to = parts[part] };
            const snug_status status = generate(&r, &formats[0]);

            assert_true(r.given_up == 0 || r.events > 0);
            assert_true(status == SNUG_OK || status == SNUG_ERR_OVER_LIMIT);
            finished += status == SNUG_OK;
            ended += status != SNUG_OK;
        }
    printf("%d finished, %d could not go on\n", finished, ended);
    assert_true(finished > 0 && ended > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_given_up_is_computed_again),
        cmocka_unit_test(a_limit_lowered_within_a_pass_is_kept_before_it_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
