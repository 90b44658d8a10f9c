/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_look.c - which tokens a session looks at memory before: not those of which it knows what it would
 * find. And how far it sees ahead.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <snug/snug.h>

#include "session/session.h"

#define MODEL SNUG_SOURCE_FOLDER "/models/mini"

#define LIMIT ((uint64_t)1 << 30)

typedef struct rig {
    snug_memory *memory;
    snug_model *model;
    snug_session *session;
    snug_relief *relief;
} rig;

static int set_up(void **state)
{
    static rig r;
    const snug_memory_options limit = { .struct_size = sizeof limit, .hard_bytes = LIMIT };
    const snug_session_options options = {
        .struct_size = sizeof options, .context_tokens = 512, .threads = 1, .adapt = true
    };

    r = (rig){ .memory = NULL };
    assert_int_equal(snug_memory_create(&r.memory, &limit), SNUG_OK);
    assert_int_equal(snug_model_open(&r.model, r.memory, MODEL, NULL, NULL), SNUG_OK);
    assert_int_equal(snug_session_create(&r.session, r.model, r.memory, &options, NULL), SNUG_OK);
    r.relief = &r.session->relief;
    *state = &r;
    return 0;
}

static int tear_down(void **state)
{
    rig *r = *state;

    snug_session_destroy(r->session);
    snug_model_close(r->model);
    assert_int_equal(snug_memory_read_all(r->memory).used_bytes, 0);
    snug_memory_destroy(r->memory);
    return 0;
}

/* Whether there was a look before the token. No sample is due but where a test says so. */
static bool looks_before_token(rig *r, bool is_sample_due)
{
    const uint32_t id = 300 + snug_session_tokens(r->session) % 400;

    r->relief->due_ns = is_sample_due ? 0 : UINT64_MAX;
    assert_int_equal(snug_session_eval(r->session, &id, 1, NULL, NULL), SNUG_OK);
    return r->relief->tokens_since == 0;
}

/* Up to the first token after which nothing was found. */
static void become_quiet(rig *r)
{
    int tokens = 0;

    while (looks_before_token(r, false))
        assert_true(++tokens < 8);
}

static void a_look_that_would_find_the_same_is_left_out(void **state)
{
    rig *r = *state;
    int looks = 0;

    become_quiet(r);
    for (int i = 0; i < 64; i++)
        looks += looks_before_token(r, false);
    assert_in_range(looks, 3, 16); /* every 16 tokens, and when the cache has grown */
}

static void a_sample_that_is_due_is_taken(void **state)
{
    rig *r = *state;

    become_quiet(r);
    assert_true(looks_before_token(r, true));
    assert_true(r->relief->due_ns > 0);
}

static void less_room_in_the_ledger_is_seen_at_once(void **state)
{
    rig *r = *state;

    become_quiet(r);
    assert_int_equal(snug_memory_reserve(r->memory, SNUG_MEMORY_OTHER, 1, "another's", NULL), SNUG_OK);
    assert_true(looks_before_token(r, false));
    become_quiet(r);
    assert_int_equal(snug_memory_set_limits(r->memory, 0, LIMIT - 4096), SNUG_OK);
    assert_true(looks_before_token(r, false));
    snug_memory_unreserve(r->memory, SNUG_MEMORY_OTHER, 1);
}

/* What is in use is more than the limit: each token looks, until it is not, or the request ends. */
static void a_limit_that_is_passed_is_looked_at_before_each_token(void **state)
{
    rig *r = *state;
    const uint32_t id = 300;
    uint64_t used;

    become_quiet(r);
    used = snug_memory_read_all(r->memory).used_bytes;
    assert_int_equal(snug_memory_set_limits(r->memory, 0, used - 4096), SNUG_OK);
    assert_true(looks_before_token(r, false));
    assert_true(snug_memory_read_all(r->memory).used_bytes <= used - 4096);
    assert_int_equal(snug_memory_set_limits(r->memory, 0, 1), SNUG_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(snug_session_eval(r->session, &id, 1, NULL, NULL), SNUG_ERR_OVER_LIMIT);
        assert_int_equal(r->relief->tokens_since, 0);
    }
}

/* A limit that falls by 50 MiB a second. */
static void read_fall(void *user, snug_pressure_reading *out)
{
    uint64_t *looks = user;

    ++*looks;
    out->time_ns = *looks * 20000000;
    out->limit_bytes = LIMIT - (*looks << 20);
}

/* 40 MiB are left: enough for 0.4 s, and not for 1.6. */
static void a_fall_is_seen_further_ahead_where_relief_takes_longer(void **state)
{
    rig *r = *state;
    uint64_t looks = 0;
    const uint64_t used = snug_memory_read_all(r->memory).used_bytes;

    assert_int_equal(snug_memory_set_limits(r->memory, 0, used + ((uint64_t)40 << 20)), SNUG_OK);
    r->relief->read = read_fall;
    r->relief->read_user = &looks;
    for (int i = 0; i < 8; i++)
        (void)looks_before_token(r, true);
    assert_int_equal(r->relief->steps, 0);
    r->relief->ahead_ns *= 4;
    (void)looks_before_token(r, true);
    assert_true(r->relief->steps > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_look_that_would_find_the_same_is_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_sample_that_is_due_is_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(less_room_in_the_ledger_is_seen_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_limit_that_is_passed_is_looked_at_before_each_token, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_fall_is_seen_further_ahead_where_relief_takes_longer, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
