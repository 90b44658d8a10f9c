/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_project.c - a running request projected to its end: the ledger shows exactly that when it is there,
 * for every kind of cache, also after bits were given up or tokens forgotten on the way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <snug/snug.h>

#include "tests/support/heap_count.h"

#define MODEL SNUG_SOURCE_FOLDER "/models/mini"

enum {
    CONTEXT = 2000,
    END = 1900
};

typedef struct cache_case {
    const char *name;
    snug_kv_config config;
    uint32_t demoted_to; /* key bits on the way; 0: not */
} cache_case;

#define PLANES(k, v) .key = { SNUG_KV_FORMAT_PLANES, k, 0 }, .value = { SNUG_KV_FORMAT_PLANES, v, 0 }
#define ROTATING     .retention = { SNUG_KV_RETENTION_ROTATING, 500, 4 }

static const cache_case cases[] = {
    { "f16", { .first_exact_tokens = 0 }, 0 },
    { "f16, rotating", { ROTATING }, 0 },
    { "planes 8", { PLANES(8, 8), .first_exact_tokens = 16, .recent_exact_tokens = 128 }, 0 },
    { "planes 8 to 5", { PLANES(8, 8), .first_exact_tokens = 16, .recent_exact_tokens = 128 }, 5 },
    { "planes 8 to 3", { PLANES(8, 6), .recent_exact_tokens = 64 }, 3 },
    { "planes 6 to 2, rotating", { PLANES(6, 5), .recent_exact_tokens = 100, ROTATING }, 2 },
    { "affine 4, chunked",
      { .key = { SNUG_KV_FORMAT_AFFINE, 4, 32 },
        .value = { SNUG_KV_FORMAT_AFFINE, 4, 32 },
        .retention = { SNUG_KV_RETENTION_CHUNKED, 700, 0 } },
      0 },
};

typedef struct rig {
    snug_memory *memory;
    snug_model *model;
    snug_session *session;
    uint32_t ids[CONTEXT];
} rig;

static void rig_open(rig *r, const snug_kv_config *config)
{
    const snug_session_options options = { .struct_size = sizeof options,
                                           .context_tokens = CONTEXT,
                                           .prefill_chunk = 200,
                                           .threads = 2,
                                           .kv = *config };
    snug_error error = { SNUG_OK, "" };

    memset(r, 0, sizeof *r);
    assert_int_equal(snug_memory_create(&r->memory, NULL), SNUG_OK);
    if (snug_model_open(&r->model, r->memory, MODEL, NULL, &error) != SNUG_OK ||
        snug_session_create(&r->session, r->model, r->memory, &options, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    for (uint32_t i = 0; i < CONTEXT; i++)
        r->ids[i] = 10 + i % 1000;
}

static void rig_close(rig *r)
{
    snug_session_destroy(r->session);
    snug_model_close(r->model);
    assert_int_equal(snug_memory_read_all(r->memory).used_bytes, 0);
    snug_memory_destroy(r->memory);
}

static void eval_to(rig *r, uint32_t end)
{
    snug_error error = { SNUG_OK, "" };
    const uint32_t first = snug_session_tokens(r->session);

    if (snug_session_eval(r->session, r->ids + first, end - first, NULL, &error) != SNUG_OK)
        fail_msg("%s", error.text);
}

static snug_projection project(const rig *r, uint32_t end)
{
    snug_projection projection = { .struct_size = sizeof projection };

    snug_plan_project(&projection, r->memory, snug_session_kv(r->session), end, 12345);
    assert_int_equal(projection.tokens, end);
    assert_int_equal(projection.peak_bytes, projection.ledger_bytes + 12345);
    return projection;
}

static void assert_reached(const rig *r, const snug_projection *projection)
{
    assert_int_equal(snug_session_tokens(r->session), projection->tokens);
    assert_int_equal(snug_memory_read_all(r->memory).used_bytes, projection->ledger_bytes);
    assert_int_equal(snug_kv_committed_bytes(snug_session_kv(r->session)), projection->cache_bytes);
}

/* The case's demotion, if it has one; the session owns its cache, which a test may change all the same. */
static void demote(const rig *r, const cache_case *c)
{
    const snug_kv_target target = { .struct_size = sizeof target,
                                    .first_layer = 1,
                                    .key_bits = c->demoted_to };
    snug_error error = { SNUG_OK, "" };
    uint64_t bytes;

    if (c->demoted_to == 0)
        return;
    if (snug_kv_demote((snug_kv *)(uintptr_t)snug_session_kv(r->session), &target, &bytes, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    assert_true(bytes > 0);
}

static void the_ledger_comes_to_what_was_projected(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig r;
        snug_projection projection;

        (void)state;
        printf("%s\n", cases[i].name);
        rig_open(&r, &cases[i].config);
        projection = project(&r, 700);
        eval_to(&r, 700);
        assert_reached(&r, &projection);
        demote(&r, &cases[i]);
        projection = project(&r, END);
        eval_to(&r, END);
        assert_reached(&r, &projection);
        /* Where nothing was dropped: back, and forward again. */
        if (snug_session_truncate(r.session, 1000) == 1000) {
            projection = project(&r, 1000);
            assert_reached(&r, &projection);
            projection = project(&r, END);
            eval_to(&r, END);
            assert_reached(&r, &projection);
        }
        rig_close(&r);
    }
}

static void a_projection_takes_no_memory(void **state)
{
    unsigned long long before;
    rig r;

    (void)state;
    rig_open(&r, &cases[4].config);
    eval_to(&r, 700);
    before = heap_count();
    (void)project(&r, END);
    (void)snug_plan_tokens_within(r.memory, snug_session_kv(r.session), 1 << 20, 0);
    assert_int_equal(heap_count(), before);
    rig_close(&r);
}

static void the_longest_conversation_within_a_limit(void **state)
{
    rig r;
    const snug_kv *kv;
    uint64_t limit;
    uint32_t tokens;

    (void)state;
    rig_open(&r, &cases[3].config);
    kv = snug_session_kv(r.session);
    eval_to(&r, 300);
    limit = project(&r, 1000).peak_bytes;
    tokens = snug_plan_tokens_within(r.memory, kv, limit, 12345);
    assert_in_range(tokens, 1000, CONTEXT - 1);
    assert_true(project(&r, tokens).peak_bytes <= limit);
    assert_true(project(&r, tokens + 1).peak_bytes > limit);
    assert_int_equal(snug_plan_tokens_within(r.memory, kv, UINT64_MAX, 12345), CONTEXT);
    assert_int_equal(snug_plan_tokens_within(r.memory, kv, 0, 12345), 300);
    rig_close(&r);
}

static void a_request_ends_before_its_last_token_is_computed(void **state)
{
    (void)state;
    assert_int_equal(snug_plan_end_tokens(1000, 100, 50), 149);
    assert_int_equal(snug_plan_end_tokens(1000, 100, 1), 100);
    assert_int_equal(snug_plan_end_tokens(1000, 100, 0), 1000);
    assert_int_equal(snug_plan_end_tokens(1000, 999, 50), 1000);
    assert_int_equal(snug_plan_end_tokens(1000, UINT32_MAX, UINT32_MAX), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ledger_comes_to_what_was_projected),
        cmocka_unit_test(a_projection_takes_no_memory),
        cmocka_unit_test(the_longest_conversation_within_a_limit),
        cmocka_unit_test(a_request_ends_before_its_last_token_is_computed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
