/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_plan.c - the promise: measured unreclaimable peak <= predicted <= measured + 3 % + 2 MB, and the
 * ledger's peak is within the plan's sum, for full contexts of 256 and 4096 tokens; for layers with windows
 * and bounded caches, of 512 and 16384; for every cache format; and for what each strategy chooses under a
 * limit, which then holds too. Each case runs in a child process of its own, since the kernel's figures are
 * those of a process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <snug/snug.h>

#include "tests/support/sanitizer.h"

#define ALLOWANCE ((uint64_t)2 * 1000 * 1000)

typedef struct plan_case {
    const char *folder;
    uint32_t context;
    snug_kv_config kv;
    bool exact;
    snug_strategy strategy; /* AUTO: nothing is chosen */
    uint64_t limit_bytes;   /* with a strategy */
} plan_case;

typedef struct child {
    const plan_case *c;
    snug_memory *memory;
    snug_model *model;
    snug_text *text;
    snug_session *session;
    snug_plan plan;
    snug_error error;
} child;

static snug_status make_plan(child *run, uint64_t text_bytes)
{
    const plan_case *c = run->c;
    const snug_plan_options options = { .struct_size = sizeof options,
                                        .context_tokens = c->context,
                                        .threads = 2,
                                        .kv = c->kv,
                                        .user_limit_bytes = c->limit_bytes };

    run->plan.struct_size = sizeof run->plan;
    if (c->strategy == SNUG_STRATEGY_AUTO)
        return snug_plan_make(&run->plan, run->model, run->memory, text_bytes, &options, &run->error);
    return snug_plan_search(&run->plan, run->model, run->memory, text_bytes, &options, c->strategy,
                            &run->error);
}

static snug_status prepare(child *run)
{
    const snug_model_options model = { .struct_size = sizeof model, .exact = run->c->exact };
    const char *folder = run->c->folder;
    snug_session_options options = { .struct_size = sizeof options };
    uint64_t text_bytes = 0;
    snug_status status = snug_memory_create(&run->memory, NULL);

    if (status == SNUG_OK)
        status = snug_model_open(&run->model, run->memory, folder, &model, &run->error);
    if (status == SNUG_OK)
        status = snug_text_estimate_path(&text_bytes, run->memory, folder, &run->error);
    if (status == SNUG_OK)
        status = make_plan(run, text_bytes);
    if (status == SNUG_OK)
        status = snug_text_open(&run->text, run->memory, folder, &run->error);
    options.context_tokens = run->plan.context_tokens;
    options.prefill_chunk = run->plan.prefill_chunk;
    options.threads = run->plan.threads;
    options.kv = run->plan.kv;
    if (status == SNUG_OK)
        status = snug_session_create(&run->session, run->model, run->memory, &options, &run->error);
    return status;
}

/* 0 when the promise held. */
static int check_promise(const child *run)
{
    const snug_plan *plan = &run->plan;
    const uint64_t measured = snug_memory_measured_peak(run->memory);
    const uint64_t ledger = snug_memory_read_all(run->memory).peak_bytes;

    printf("%s, context %u: predicted %.2f MB, measured %.2f MB, ledger %.2f MB, fixed %.2f MB\n",
           run->c->folder, plan->context_tokens, (double)plan->peak_bytes / 1e6, (double)measured / 1e6,
           (double)ledger / 1e6, (double)plan->fixed_bytes / 1e6);
    fflush(stdout);
    if (measured > plan->peak_bytes)
        return 3;
    if (plan->peak_bytes > measured + measured * 3 / 100 + ALLOWANCE)
        return 4;
    if (ledger > plan->peak_bytes - plan->fixed_bytes)
        return 5;
    for (int use = 0; use < SNUG_MEMORY_USE_COUNT; use++)
        if (snug_memory_read(run->memory, (snug_memory_use)use).peak_bytes > plan->use_bytes[use]) {
            printf("%s: more than was predicted\n", snug_memory_use_name((snug_memory_use)use));
            return 9;
        }
    if (run->c->limit_bytes > 0 && (!plan->fits || measured > run->c->limit_bytes))
        return 6;
    /* Exact where it grows: the cache, to the byte. */
    return snug_kv_committed_bytes(snug_session_kv(run->session)) == plan->use_bytes[SNUG_MEMORY_KV] ? 0 : 7;
}

/* In the child. */
static int fill_context(const plan_case *c)
{
    const snug_generate_options generate = { .struct_size = sizeof generate,
                                             .ignore_eos = true,
                                             .sample = { .struct_size = sizeof generate.sample,
                                                         .temperature = 1.0 } };
    snug_generate_result result = { .struct_size = sizeof result };
    child run = { .c = c };
    snug_status status = prepare(&run);
    const uint32_t context = run.plan.context_tokens;
    uint32_t *ids = calloc(context ? context : 1, sizeof *ids);
    int failed;

    if (status == SNUG_OK)
        status = snug_session_generate(&result, run.session, run.text, ids, context - 20, NULL, &generate,
                                       &run.error);
    if (status != SNUG_OK) {
        printf("%s: %s\n", c->folder, run.error.text);
        return 1;
    }
    if (result.stop != SNUG_STOP_CONTEXT)
        return 2;
    snug_memory_sample(run.memory);
    failed = check_promise(&run);
    snug_session_destroy(run.session);
    snug_text_close(run.text);
    snug_model_close(run.model);
    free(ids);
    return failed ? failed : snug_memory_read_all(run.memory).used_bytes == 0 ? 0 : 8;
}

static void check_case(const plan_case *c)
{
    char config[512];
    int status;
    pid_t pid;

    snprintf(config, sizeof config, "%s/config.json", c->folder);
    if (access(config, R_OK) != 0) {
        printf("SKIPPED: %s is not there\n", c->folder);
        skip();
    }
    TEST_SKIP_UNDER_SANITIZERS();
    fflush(stdout);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fill_context(c));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void check(const char *folder, uint32_t context, snug_kv_retention retention)
{
    const plan_case c = { .folder = folder, .context = context, .kv.retention = retention };

    check_case(&c);
}

static const char *const folders[] = {
    SNUG_SOURCE_FOLDER "/models/mini",         SNUG_SHARED_FOLDER "/models/base",
    SNUG_SHARED_FOLDER "/fixtures/llama-tied", SNUG_SHARED_FOLDER "/fixtures/llama-untied",
    SNUG_SHARED_FOLDER "/fixtures/qwen3",
};

static void the_prediction_holds_at_256(void **state)
{
    check(*state, 256, (snug_kv_retention){ SNUG_KV_RETENTION_ALL, 0, 0 });
}

static void the_prediction_holds_at_4096(void **state)
{
    check(*state, 4096, (snug_kv_retention){ SNUG_KV_RETENTION_ALL, 0, 0 });
}

typedef struct bounded_case {
    const char *folder;
    snug_kv_retention retention;
} bounded_case;

static const bounded_case bounded_cases[] = {
    { SNUG_SHARED_FOLDER "/fixtures/gemma3", { SNUG_KV_RETENTION_ALL, 0, 0 } },
    { SNUG_SHARED_FOLDER "/fixtures/gemma3n", { SNUG_KV_RETENTION_ALL, 0, 0 } },
    { SNUG_SHARED_FOLDER "/fixtures/phi3", { SNUG_KV_RETENTION_ALL, 0, 0 } },
    { SNUG_SHARED_FOLDER "/fixtures/openelm", { SNUG_KV_RETENTION_ALL, 0, 0 } },
    { SNUG_SOURCE_FOLDER "/models/mini", { SNUG_KV_RETENTION_ROTATING, 256, 4 } },
    { SNUG_SOURCE_FOLDER "/models/mini", { SNUG_KV_RETENTION_CHUNKED, 256, 0 } },
};

static void the_prediction_holds_at_512(void **state)
{
    const bounded_case *c = *state;

    check(c->folder, 512, c->retention);
}

static void the_prediction_holds_at_16384(void **state)
{
    const bounded_case *c = *state;

    check(c->folder, 16384, c->retention);
}

#define MINI SNUG_SOURCE_FOLDER "/models/mini"

#define SIDES(f, k, v, g)                                                                                    \
    .key = { SNUG_KV_FORMAT_##f, k, g }, .value = { SNUG_KV_FORMAT_##f, v, g }, .first_exact_tokens = 16,    \
    .recent_exact_tokens = 128

static const plan_case format_cases[] = {
    { .folder = MINI, .context = 2048, .kv = { SIDES(PLANES, 8, 8, 0) } },
    { .folder = MINI, .context = 2048, .kv = { SIDES(PLANES, 6, 5, 0) } },
    { .folder = MINI, .context = 2048, .kv = { SIDES(PLANES, 5, 4, 0) } },
    { .folder = MINI, .context = 2048, .kv = { SIDES(PLANES, 4, 2, 0) } },
    { .folder = MINI, .context = 2048, .kv = { SIDES(PLANES, 2, 2, 0) } },
    { .folder = MINI, .context = 2048, .kv = { SIDES(AFFINE, 4, 4, 32) } },
    { .folder = MINI,
      .context = 2048,
      .kv = { SIDES(PLANES, 4, 4, 0), .retention = { SNUG_KV_RETENTION_ROTATING, 700, 4 } } },
    { .folder = MINI, .context = 2048, .exact = true },
    { .folder = MINI,
      .context = 2048,
      .kv = { SIDES(PLANES, 4, 4, 0),
              .layer = { [0] = { { SNUG_KV_FORMAT_F16, 0, 0 }, { SNUG_KV_FORMAT_PLANES, 3, 0 } },
                         [3] = { { SNUG_KV_FORMAT_AFFINE, 8, 64 }, { SNUG_KV_FORMAT_PLANES, 6, 0 } } } } },
};

static void the_prediction_holds_for_a_format(void **state)
{
    check_case(*state);
}

#define CHOSEN(name, kib)                                                                                    \
    {                                                                                                        \
        .folder = MINI, .strategy = SNUG_STRATEGY_##name, .limit_bytes = (kib)*UINT64_C(1024)                \
    }

static const plan_case strategy_cases[] = {
    CHOSEN(CONSERVATIVE, 16000), CHOSEN(CONSERVATIVE, 5000), CHOSEN(BALANCED, 16000), CHOSEN(BALANCED, 4000),
    CHOSEN(AGGRESSIVE, 16000),   CHOSEN(AGGRESSIVE, 5000),   CHOSEN(BALANCED, 2200), /* a shorter context */
};

static void the_prediction_and_the_limit_hold_for_what_is_chosen(void **state)
{
    check_case(*state);
}

/* clang-format off */
#define CASE(test, which) { #test " (" #which ")", test, NULL, NULL, (void *)(uintptr_t)(which) }
#define BOTH(i) CASE(the_prediction_holds_at_256, folders[i]), CASE(the_prediction_holds_at_4096, folders[i])
#define FORMAT(i)  CASE(the_prediction_holds_for_a_format, &format_cases[i])
#define CHOICE(i)  CASE(the_prediction_and_the_limit_hold_for_what_is_chosen, &strategy_cases[i])
#define BOUNDED(i) CASE(the_prediction_holds_at_512, &bounded_cases[i]), \
                   CASE(the_prediction_holds_at_16384, &bounded_cases[i])
/* clang-format on */

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(0),    BOTH(1),    BOTH(2),    BOTH(3),    BOTH(4),   BOUNDED(0), BOUNDED(1),
        BOUNDED(2), BOUNDED(3), BOUNDED(4), BOUNDED(5), FORMAT(0), FORMAT(1),  FORMAT(2),
        FORMAT(3),  FORMAT(4),  FORMAT(5),  FORMAT(6),  FORMAT(7), FORMAT(8),  CHOICE(0),
        CHOICE(1),  CHOICE(2),  CHOICE(3),  CHOICE(4),  CHOICE(5), CHOICE(6),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
