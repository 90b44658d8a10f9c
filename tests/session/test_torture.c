/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_torture.c - a whole conversation in which every call that may fail does so in turn: load, plan,
 * prefill, generate, demote, convert, save, load, suspend, resume. Once, and from then on. Whatever fails: a
 * sentence, nothing leaked, the ledger at zero; and where it failed only once, the same step done again
 * succeeds, and the conversation ends as if nothing had been.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <snug/snug.h>

#include "base/status.h"
#include "tests/support/fault.h"

#define MODEL SNUG_SOURCE_FOLDER "/tests/fixtures/tiny-qwen3"

enum {
    CONTEXT = 320,
    PROMPT_TOKENS = 200,
    ANSWER_TOKENS = 6,
};

typedef struct conversation {
    snug_memory *memory;
    snug_model *model;
    snug_text *text;
    snug_session *session;
    snug_plan plan;
    uint32_t prompt[PROMPT_TOKENS];
    size_t prompt_count;
    uint32_t answer[2][ANSWER_TOKENS]; /* before and after it was saved and resumed */
    uint32_t told;                     /* tokens of an answer under a limit */
    uint64_t relief_bytes;             /* given back meanwhile */
    char path[64];
    char suspended_path[96];
} conversation;

/* --- its steps: each can be done again after it failed -------------------------------------------------- */

static snug_status create_memory(conversation *c, snug_error *error)
{
    const snug_status status = snug_memory_create(&c->memory, NULL);

    if (status != SNUG_OK)
        snprintf(error->text, sizeof error->text, "no word is due: the status says it all");
    error->status = status;
    return status;
}

static snug_status open_model(conversation *c, snug_error *error)
{
    return snug_model_open(&c->model, c->memory, MODEL, NULL, error);
}

static snug_status open_text(conversation *c, snug_error *error)
{
    return snug_text_open(&c->text, c->memory, MODEL, error);
}

static snug_status encode(conversation *c, snug_error *error)
{
    const char *words = "Once upon a time there was a little dog who liked to play in the park. ";
    char prompt[1000] = "";

    for (int i = 0; i < 3; i++)
        strcat(prompt, words); /* tidy-allow banned: it fits */
    return snug_text_encode(c->text, c->prompt, PROMPT_TOKENS, &c->prompt_count, prompt, strlen(prompt), 0,
                            error);
}

static snug_status plan(conversation *c, snug_error *error)
{
    const snug_plan_options options = {
        .struct_size = sizeof options,
        .context_tokens = CONTEXT,
        .prefill_chunk = 64,
        .threads = 2,
    };

    c->plan = (snug_plan){ .struct_size = sizeof c->plan };
    return snug_plan_make(&c->plan, c->model, c->memory, 0, &options, error);
}

static snug_status create_session(conversation *c, snug_error *error)
{
    const snug_kv_coding coding = { .format = SNUG_KV_FORMAT_PLANES, .bits = 8 };
    const snug_session_options options = {
        .struct_size = sizeof options,
        .context_tokens = CONTEXT,
        .prefill_chunk = 64,
        .threads = 2,
        .kv = { .key = coding, .value = coding },
    };

    snug_session_destroy(c->session);
    return snug_session_create(&c->session, c->model, c->memory, &options, error);
}

static snug_status generate(conversation *c, uint32_t *answer, snug_error *error)
{
    const snug_generate_options options = {
        .struct_size = sizeof options,
        .max_tokens = ANSWER_TOKENS,
        .ignore_eos = true,
        .sample = { .struct_size = sizeof(snug_sample_options), .temperature = 0.8, .top_k = 20, .seed = 3 },
    };
    snug_generate_result result = { .struct_size = sizeof result };

    return snug_session_generate(&result, c->session, c->text, c->prompt, c->prompt_count, answer, &options,
                                 error);
}

static snug_status generate_first(conversation *c, snug_error *error)
{
    return generate(c, c->answer[0], error);
}

/* 8 bits to 4 drops planes; to 3 repacks, which takes memory. */
static snug_status demote(conversation *c, snug_error *error)
{
    const snug_kv_target target = { .struct_size = sizeof target, .key_bits = 4, .value_bits = 3 };

    return snug_kv_demote((snug_kv *)(uintptr_t)snug_session_kv(c->session), &target, NULL, error);
}

static snug_status convert(conversation *c, snug_error *error)
{
    const snug_kv_coding coding = { .format = SNUG_KV_FORMAT_PLANES, .bits = 2 };
    const snug_kv_config config = { .key = coding, .value = coding };

    return snug_session_convert(c->session, &config, error);
}

static snug_status save(conversation *c, snug_error *error)
{
    return snug_session_save(c->session, c->path, error);
}

static snug_status load(conversation *c, snug_error *error)
{
    return snug_session_load(c->session, c->path, error);
}

/* Without its cache it would go on as well, but by another way: that counts as failed here. */
static snug_status suspend(conversation *c, snug_error *error)
{
    const snug_suspend_options options = { .struct_size = sizeof options, .reason = "torture" };
    snug_suspend_result result = { .struct_size = sizeof result };
    snug_status status = snug_session_suspend(&result, c->session, c->suspended_path, &options, error);

    if (status == SNUG_OK && !result.has_cache) {
        unlink(c->suspended_path);
        status = snug_fail(error, SNUG_ERR_IO, "%s", result.cache_error);
    }
    return status;
}

static snug_status resume(conversation *c, snug_error *error)
{
    snug_suspended *suspended;
    snug_status status = snug_suspended_open(&suspended, c->memory, c->suspended_path, error);

    if (status == SNUG_OK)
        status = snug_session_resume(c->session, suspended, error);
    snug_suspended_close(suspended);
    return status;
}

static snug_status generate_again(conversation *c, snug_error *error)
{
    return generate(c, c->answer[1], error);
}

/* A session that adapts, whose limit is lowered once its answer has begun: relief runs, and what it tries may
 * fail like all else. */
static snug_status create_adapting(conversation *c, snug_error *error)
{
    const snug_session_options options = { .struct_size = sizeof options,
                                           .context_tokens = CONTEXT,
                                           .prefill_chunk = 64,
                                           .threads = 2,
                                           .adapt = true,
                                           .strategy = SNUG_STRATEGY_AGGRESSIVE };

    snug_session_destroy(c->session);
    c->session = NULL;
    return snug_session_create(&c->session, c->model, c->memory, &options, error);
}

static bool lower(void *user, uint32_t id, const char *text, size_t bytes)
{
    conversation *c = user;

    (void)text;
    (void)bytes;
    if (id == SNUG_ID_NONE || ++c->told != 3)
        return true;
    return snug_memory_set_limits(c->memory, 0, snug_memory_read_all(c->memory).used_bytes / 8 * 7) ==
           SNUG_OK;
}

static void count_relief(void *user, const snug_relief_event *event)
{
    conversation *c = user;

    c->relief_bytes += event->returned_bytes;
}

static snug_status generate_in_less(conversation *c, snug_error *error)
{
    const snug_generate_options options = {
        .struct_size = sizeof options,
        .max_tokens = ANSWER_TOKENS,
        .ignore_eos = true,
        .sample = { .struct_size = sizeof(snug_sample_options), .temperature = 0.8, .top_k = 20, .seed = 3 },
        .on_token = lower,
        .on_relief = count_relief,
        .user = c,
    };
    snug_generate_result result = { .struct_size = sizeof result };
    snug_status status = create_adapting(c, error); /* anew: what was given back before a failure is gone */

    if (status != SNUG_OK)
        return status;
    c->told = 0;
    status = snug_session_generate(&result, c->session, c->text, c->prompt, c->prompt_count, NULL, &options,
                                   error);
    assert_int_equal(snug_memory_set_limits(c->memory, 0, 0), SNUG_OK);
    return status;
}

static snug_status forget(conversation *c, snug_error *error)
{
    (void)error;
    snug_session_truncate(c->session, 64);
    return SNUG_OK;
}

typedef snug_status step_fn(conversation *c, snug_error *error);

static const struct {
    const char *name;
    step_fn *run;
} steps[] = {
    { "create the ledger", create_memory },
    { "open the model", open_model },
    { "open the text", open_text },
    { "encode", encode },
    { "plan", plan },
    { "create a session", create_session },
    { "generate", generate_first },
    { "demote", demote },
    { "convert", convert },
    { "save", save },
    { "forget", forget },
    { "load", load },
    { "suspend", suspend },
    { "forget again", forget },
    { "resume", resume },
    { "generate again", generate_again },
    { "generate in less", generate_in_less },
};

/* --- the torture --------------------------------------------------------------------------------------- */

static void end(conversation *c)
{
    snug_session_destroy(c->session);
    snug_text_close(c->text);
    snug_model_close(c->model);
    c->session = NULL;
    c->text = NULL;
    c->model = NULL;
}

/* True when the conversation came to its end. */
static bool hold(conversation *c, unsigned long long nth, fault_kind kind)
{
    for (size_t i = 0; i < SNUG_COUNT(steps); i++) {
        snug_error error = { SNUG_OK, "" };
        snug_status status = steps[i].run(c, &error);

        if (status == SNUG_OK)
            continue;
        if (!fault_seen())
            fail_msg("%s fails by itself: %s", steps[i].name, error.text);
        if (error.status != status || strlen(error.text) < 20)
            fail_msg("call %llu, %s: %s ends with status %d and no sentence (\"%s\")", nth, fault_seen(),
                     steps[i].name, (int)status, error.text);
        if (kind == FAULT_FROM_THEN_ON)
            return false;
        status = steps[i].run(c, &error);
        if (status != SNUG_OK)
            fail_msg("call %llu, %s: %s fails again although nothing fails any more: %s", nth, fault_seen(),
                     steps[i].name, error.text);
    }
    return true;
}

/* How a conversation went in which the n-th call failed. */
typedef struct outcome {
    conversation end;
    const char *failed; /* the function; NULL: there was no such call */
    bool is_complete;
} outcome;

static void torture(outcome *out, unsigned long long nth, fault_kind kind)
{
    /* In memory where that is possible: each save waits for the disk. */
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    conversation *c = &out->end;
    snug_memory_count left = { 0 };

    *c = (conversation){ 0 };
    snprintf(c->path, sizeof c->path, "%s/snug-torture-%d", folder, (int)getpid());
    snprintf(c->suspended_path, sizeof c->suspended_path, "%s.suspended", c->path);
    fault_arm(nth, kind);
    out->is_complete = hold(c, nth, kind);
    end(c);
    out->failed = fault_disarm();
    unlink(c->path);
    unlink(c->suspended_path);
    if (c->memory)
        left = snug_memory_read_all(c->memory);
    if (left.blocks > 0 || left.used_bytes > 0)
        fail_msg("call %llu, %s: %llu bytes in %llu blocks are left in the ledger", nth, out->failed,
                 (unsigned long long)left.used_bytes, (unsigned long long)left.blocks);
    snug_memory_destroy(c->memory);
}

static void in_turn(fault_kind kind)
{
    unsigned long long nth = 0, survived = 0;
    outcome expected, now;

    torture(&expected, 0, kind);
    assert_true(expected.is_complete);
    assert_true(expected.end.relief_bytes > 0);
    do {
        torture(&now, ++nth, kind);
        if (now.is_complete && memcmp(now.end.answer, expected.end.answer, sizeof now.end.answer) != 0)
            fail_msg("call %llu, %s, has failed, and the answer is another one", nth, now.failed);
        survived += now.failed && now.is_complete;
    } while (now.failed);
    printf("%llu calls failed in turn; %llu conversations came to their end all the same\n", nth - 1,
           survived);
    assert_true(nth > 100); /* there were that many calls to fail */
}

static void each_call_fails_once(void **state)
{
    (void)state;
    in_turn(FAULT_ONCE);
}

static void each_call_fails_and_all_after_it(void **state)
{
    (void)state;
    in_turn(FAULT_FROM_THEN_ON);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_call_fails_once),
        cmocka_unit_test(each_call_fails_and_all_after_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
