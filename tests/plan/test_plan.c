/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_plan.c - the promise: measured unreclaimable peak <= predicted <= measured + 3 % + 2 MB, and the
 * ledger's peak is the plan's sum, for full contexts of 256 and 4096 tokens; for layers with windows and a
 * rotating cache, of 512 and 16384. Each case runs in a child
 * process of its own, since the kernel's figures are those of a process.
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

/* In the child: 0 when the promise held. */
static int fill_context(const char *folder, uint32_t context, const snug_kv_retention *retention)
{
    const snug_plan_options plan_options = { .struct_size = sizeof plan_options,
                                             .context_tokens = context,
                                             .threads = 2,
                                             .kv.retention = *retention };
    const snug_session_options options = {
        .struct_size = sizeof options, .context_tokens = context, .threads = 2, .kv.retention = *retention
    };
    const snug_generate_options generate = { .struct_size = sizeof generate,
                                             .ignore_eos = true,
                                             .sample = { .struct_size = sizeof generate.sample,
                                                         .temperature = 1.0 } };
    snug_generate_result result = { .struct_size = sizeof result };
    snug_plan plan = { .struct_size = sizeof plan };
    snug_error error = { SNUG_OK, "" };
    uint32_t *ids = calloc(context, sizeof *ids);
    uint64_t text_bytes = 0, measured, ledger;
    snug_memory *memory;
    snug_model *model;
    snug_text *text;
    snug_session *session;

    if (snug_memory_create(&memory, NULL) != SNUG_OK ||
        snug_model_open(&model, memory, folder, NULL, &error) != SNUG_OK ||
        snug_text_estimate_path(&text_bytes, memory, folder, &error) != SNUG_OK ||
        snug_plan_make(&plan, model, memory, text_bytes, &plan_options, &error) != SNUG_OK ||
        snug_text_open(&text, memory, folder, &error) != SNUG_OK ||
        snug_session_create(&session, model, memory, &options, &error) != SNUG_OK ||
        snug_session_generate(&result, session, text, ids, context - 20, NULL, &generate, &error) !=
            SNUG_OK) {
        printf("%s: %s\n", folder, error.text);
        return 1;
    }
    snug_memory_sample(memory);
    measured = snug_memory_measured_peak(memory);
    ledger = snug_memory_read_all(memory).peak_bytes;
    printf("%s, context %u: predicted %.2f MB, measured %.2f MB, ledger %.2f MB, fixed %.2f MB\n", folder,
           context, (double)plan.peak_bytes / 1e6, (double)measured / 1e6, (double)ledger / 1e6,
           (double)plan.fixed_bytes / 1e6);
    fflush(stdout);
    if (result.stop != SNUG_STOP_CONTEXT)
        return 2;
    if (measured > plan.peak_bytes)
        return 3;
    if (plan.peak_bytes > measured + measured * 3 / 100 + ALLOWANCE)
        return 4;
    if (ledger > plan.peak_bytes - plan.fixed_bytes)
        return 5;
    snug_session_destroy(session);
    snug_text_close(text);
    snug_model_close(model);
    free(ids);
    return snug_memory_read_all(memory).used_bytes == 0 ? 0 : 6;
}

static void check(const char *folder, uint32_t context, snug_kv_retention retention)
{
    char config[512];
    int status;
    pid_t child;

    snprintf(config, sizeof config, "%s/config.json", folder);
    if (access(config, R_OK) != 0) {
        printf("SKIPPED: %s is not there\n", folder);
        skip();
    }
    TEST_SKIP_UNDER_SANITIZERS();
    fflush(stdout);
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(fill_context(folder, context, &retention));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
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

/* clang-format off */
#define CASE(test, which) { #test " (" #which ")", test, NULL, NULL, (void *)(uintptr_t)(which) }
#define BOTH(i) CASE(the_prediction_holds_at_256, folders[i]), CASE(the_prediction_holds_at_4096, folders[i])
#define BOUNDED(i) CASE(the_prediction_holds_at_512, &bounded_cases[i]), \
                   CASE(the_prediction_holds_at_16384, &bounded_cases[i])
/* clang-format on */

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(0),    BOTH(1),    BOTH(2),    BOTH(3),    BOTH(4),    BOUNDED(0),
        BOUNDED(1), BOUNDED(2), BOUNDED(3), BOUNDED(4), BOUNDED(5),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
