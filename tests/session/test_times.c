/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a session's time goes, by a clock that goes one nanosecond further at each look: so the times can be
 * checked to the nanosecond, and looks that should not be taken are seen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <snug/snug.h>

#define MODEL SNUG_SOURCE_FOLDER "/models/mini"

uint64_t __wrap_snug_os_clock_ns(void);

static _Atomic uint64_t looks;
static _Thread_local uint64_t last_look; /* of this thread */

uint64_t __wrap_snug_os_clock_ns(void)
{
    last_look = atomic_fetch_add(&looks, 1) + 1;
    return last_look;
}

typedef struct rig {
    snug_memory *memory;
    snug_model *model;
    snug_session *session;
    uint64_t first_look; /* when times began */
} rig;

static rig open_rig(uint32_t threads)
{
    const snug_session_options options = { .struct_size = sizeof options,
                                           .context_tokens = 128,
                                           .threads = threads };
    rig r = { 0 };

    assert_int_equal(snug_memory_create(&r.memory, NULL), SNUG_OK);
    assert_int_equal(snug_model_open(&r.model, r.memory, MODEL, NULL, NULL), SNUG_OK);
    assert_int_equal(snug_session_create(&r.session, r.model, r.memory, &options, NULL), SNUG_OK);
    return r;
}

static void close_rig(rig *r)
{
    snug_session_destroy(r->session);
    snug_model_close(r->model);
    snug_memory_destroy(r->memory);
}

static void take_times(rig *r)
{
    snug_session_take_times(r->session, true);
    r->first_look = last_look;
}

static void compute(const rig *r, uint32_t tokens)
{
    uint32_t ids[64];

    for (uint32_t i = 0; i < tokens; i++)
        ids[i] = 300 + i;
    assert_int_equal(snug_session_eval(r->session, ids, tokens, NULL, NULL), SNUG_OK);
}

/* Of that kind, 0 where there is none; checks that all add up. */
static uint64_t time_of(const rig *r, const char *kind)
{
    snug_time times[SNUG_TIMES_MAX];
    const size_t count = snug_session_read_times(times, r->session);
    uint64_t found = 0, sum = 0;

    for (size_t i = 0; i < count; i++) {
        assert_true(times[i].ns > 0);
        assert_int_equal(strlen(times[i].type) > 0, strcmp(times[i].kind, "matmul") == 0);
        sum += times[i].ns;
        found += strcmp(times[i].kind, kind) == 0 ? times[i].ns : 0;
    }
    assert_int_equal(sum, last_look - r->first_look);
    return found;
}

static void they_add_up_to_the_whole_with_every_kind_there(void **state)
{
    static const char *const kinds[] = { "matmul", "inputs", "attention", "elementwise", "waiting", "rest" };
    rig r = open_rig(2);

    (void)state;
    compute(&r, 20);
    take_times(&r);
    compute(&r, 20);
    compute(&r, 1);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (time_of(&r, kinds[i]) == 0)
            fail_msg("no time for %s", kinds[i]);
    assert_int_equal(time_of(&r, "sampling"), 0);

    take_times(&r); /* from zero again */
    assert_int_equal(time_of(&r, "matmul"), 0);
    close_rig(&r);
}

static void choosing_tokens_is_sampling_and_alone_nobody_waits(void **state)
{
    const snug_generate_options options = { .struct_size = sizeof options, .max_tokens = 4 };
    snug_generate_result result = { .struct_size = sizeof result };
    const uint32_t id = 300;
    rig r = open_rig(1);

    (void)state;
    take_times(&r);
    assert_int_equal(snug_session_generate(&result, r.session, NULL, &id, 1, NULL, &options, NULL), SNUG_OK);
    assert_true(result.generated_tokens > 0);
    assert_true(time_of(&r, "sampling") >= result.generated_tokens);
    assert_int_equal(time_of(&r, "waiting"), 0);
    close_rig(&r);
}

/* Looks of one token. The ledger takes a few for its timeline. */
static uint64_t looks_of_a_token(const rig *r)
{
    const uint64_t before = atomic_load(&looks);

    compute(r, 1);
    return atomic_load(&looks) - before;
}

static void off_no_layer_looks_at_the_clock(void **state)
{
    snug_model_info info = { .struct_size = sizeof info };
    snug_time times[SNUG_TIMES_MAX];
    rig r = open_rig(1);
    uint64_t off;

    (void)state;
    snug_model_read_info(&info, r.model);
    compute(&r, 20);
    off = looks_of_a_token(&r);
    assert_true(off < info.layer_count);
    assert_int_equal(snug_session_read_times(times, r.session), 0);

    snug_session_take_times(r.session, true);
    assert_true(looks_of_a_token(&r) > off + 8 * info.layer_count);
    snug_session_take_times(r.session, false);
    assert_int_equal(looks_of_a_token(&r), off);
    assert_int_equal(snug_session_read_times(times, r.session), 0);
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_add_up_to_the_whole_with_every_kind_there),
        cmocka_unit_test(choosing_tokens_is_sampling_and_alone_nobody_waits),
        cmocka_unit_test(off_no_layer_looks_at_the_clock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
