/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_session.c - a session as its user sees it: continuing, forgetting, refusing, stopping; and that
 * nothing is allocated while tokens are computed.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <snug/snug.h>

#include "tests/support/heap_count.h"

#define MODEL SNUG_SOURCE_FOLDER "/models/mini"

/* Computes sequences of more than 128 tokens with other rotary factors. */
#define LONGROPE       SNUG_SHARED_FOLDER "/fixtures/phi3"
#define LONGROPE_LIMIT 128

typedef struct rig {
    snug_memory *memory;
    snug_model *model;
    snug_text *text;
    snug_session *session;
    uint32_t vocabulary;
} rig;

static void rig_open_model(rig *r, const char *path, bool exact, uint32_t context, uint32_t chunk)
{
    const snug_model_options model = { .struct_size = sizeof model, .exact = exact };
    const snug_session_options options = {
        .struct_size = sizeof options, .context_tokens = context, .prefill_chunk = chunk, .threads = 2
    };
    snug_model_info info = { .struct_size = sizeof info };
    snug_error error = { SNUG_OK, "" };

    assert_int_equal(snug_memory_create(&r->memory, NULL), SNUG_OK);
    if (snug_model_open(&r->model, r->memory, path, &model, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    if (snug_text_open(&r->text, r->memory, path, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    if (snug_session_create(&r->session, r->model, r->memory, &options, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    snug_model_read_info(&info, r->model);
    r->vocabulary = info.vocabulary;
}

static void rig_open(rig *r, uint32_t context, uint32_t chunk)
{
    rig_open_model(r, MODEL, false, context, chunk);
}

static void rig_close(rig *r)
{
    snug_session_destroy(r->session);
    snug_text_close(r->text);
    snug_model_close(r->model);
    assert_int_equal(snug_memory_read_all(r->memory).used_bytes, 0);
    assert_int_equal(snug_memory_read_all(r->memory).blocks, 0);
    snug_memory_destroy(r->memory);
}

static size_t encode(const rig *r, uint32_t *ids, size_t capacity, const char *text)
{
    size_t count;

    assert_int_equal(snug_text_encode(r->text, ids, capacity, &count, text, strlen(text), 0, NULL), SNUG_OK);
    return count;
}

static void eval(rig *r, const uint32_t *ids, size_t count)
{
    snug_error error = { SNUG_OK, "" };

    if (snug_session_eval(r->session, ids, count, NULL, &error) != SNUG_OK)
        fail_msg("%s", error.text);
}

static void a_truncated_session_continues_as_if_never_longer(void **state)
{
    uint32_t ids[64];
    float *straight;
    size_t count;
    rig r;

    (void)state;
    rig_open(&r, 256, 0);
    count = encode(&r, ids, 64, "Once upon a time there was a little dog who liked to play in the park.");
    eval(&r, ids, count);
    straight = malloc(r.vocabulary * sizeof *straight);
    assert_non_null(straight);
    memcpy(straight, snug_session_logits(r.session), r.vocabulary * sizeof *straight);
    for (int i = 0; i < 3; i++)
        eval(&r, ids, count); /* more, to be forgotten */
    snug_session_truncate(r.session, (uint32_t)count - 1);
    assert_null(snug_session_logits(r.session));
    assert_int_equal(snug_session_tokens(r.session), count - 1);
    eval(&r, &ids[count - 1], 1);
    /* Not the same bits: the last token went through the decode path this time. */
    for (uint32_t i = 0; i < r.vocabulary; i++)
        assert_true(straight[i] - snug_session_logits(r.session)[i] < 0.05f &&
                    snug_session_logits(r.session)[i] - straight[i] < 0.05f);
    free(straight);
    rig_close(&r);
}

typedef struct heard {
    char text[4096];
    size_t bytes;
    uint32_t tokens;
    uint32_t stop_after;            /* 0: never */
    unsigned long long allocations; /* counted when the second token came */
} heard;

static bool hear(void *user, uint32_t id, const char *text, size_t bytes)
{
    heard *h = user;

    assert_true(h->bytes + bytes < sizeof h->text);
    memcpy(h->text + h->bytes, text, bytes);
    h->bytes += bytes;
    h->text[h->bytes] = '\0';
    if (id != SNUG_ID_NONE)
        h->tokens++;
    if (h->tokens == 2 && h->allocations == 0)
        h->allocations = heap_count();
    return h->stop_after == 0 || h->tokens < h->stop_after;
}

static snug_generate_result generate(rig *r, heard *h, const uint32_t *ids, size_t count, uint32_t *ids_out,
                                     uint32_t max_tokens)
{
    const snug_generate_options options = { .struct_size = sizeof options,
                                            .max_tokens = max_tokens,
                                            .ignore_eos = true,
                                            .on_token = hear,
                                            .user = h };
    snug_generate_result result = { .struct_size = sizeof result };
    snug_error error = { SNUG_OK, "" };

    if (snug_session_generate(&result, r->session, r->text, ids, count, ids_out, &options, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    return result;
}

static void streamed_text_is_the_decoded_ids(void **state)
{
    uint32_t ids[64], answer[300];
    char whole[4096];
    size_t count, bytes;
    snug_generate_result result;
    heard h = { .text = "" };
    rig r;

    (void)state;
    rig_open(&r, 512, 0);
    count = encode(&r, ids, 64, "Tom had a red ball.");
    result = generate(&r, &h, ids, count, answer, 100);
    assert_int_equal(result.stop, SNUG_STOP_MAX_TOKENS);
    assert_int_equal(result.generated_tokens, 100);
    assert_int_equal(result.prompt_tokens, count);
    assert_int_equal(
        snug_text_decode(r.text, whole, sizeof whole, &bytes, answer, 100, SNUG_DECODE_SKIP_SPECIAL),
        SNUG_OK);
    assert_int_equal(bytes, h.bytes);
    assert_memory_equal(whole, h.text, bytes);
    rig_close(&r);
}

static void a_longer_prompt_reuses_what_was_computed(void **state)
{
    uint32_t ids[300], answer[50];
    size_t count;
    snug_generate_result first, second;
    heard h = { .text = "" };
    rig r;

    (void)state;
    rig_open(&r, 512, 0);
    count = encode(&r, ids, 64, "Tom had a red ball.");
    first = generate(&r, &h, ids, count, answer, 50);
    assert_int_equal(first.reused_tokens, 0);
    memcpy(ids + count, answer, 50 * sizeof *ids);
    second = generate(&r, &h, ids, count + 50, answer, 5);
    /* All but the answer's last token was in the cache. */
    assert_int_equal(second.reused_tokens, count + 49);
    assert_int_equal(second.prompt_tokens, count + 50);
    ids[3]++;
    second = generate(&r, &h, ids, count + 50, answer, 5);
    assert_int_equal(second.reused_tokens, 3);
    rig_close(&r);
}

static void the_end_of_the_context_is_a_stop_reason(void **state)
{
    uint32_t ids[64], answer[100];
    size_t count;
    snug_generate_result result;
    heard h = { .text = "" };
    rig r;

    (void)state;
    rig_open(&r, 40, 0);
    count = encode(&r, ids, 64, "Tom had a red ball.");
    result = generate(&r, &h, ids, count, answer, 0);
    assert_int_equal(result.stop, SNUG_STOP_CONTEXT);
    assert_int_equal(result.generated_tokens, 40 - count + 1); /* the last one needs no room */
    rig_close(&r);
}

static void a_callback_can_stop(void **state)
{
    uint32_t ids[64];
    size_t count;
    snug_generate_result result;
    heard h = { .text = "", .stop_after = 7 };
    rig r;

    (void)state;
    rig_open(&r, 256, 0);
    count = encode(&r, ids, 64, "Tom had a red ball.");
    result = generate(&r, &h, ids, count, NULL, 100);
    assert_int_equal(result.stop, SNUG_STOP_INTERRUPTED);
    assert_int_equal(result.generated_tokens, 7);
    rig_close(&r);
}

static void nothing_is_allocated_while_tokens_are_computed(void **state)
{
    uint32_t ids[64];
    size_t count;
    unsigned long long after;
    heard h = { .text = "" };
    rig r;

    (void)state;
    rig_open(&r, 512, 0);
    count = encode(&r, ids, 64, "Tom had a red ball.");
    generate(&r, &h, ids, count, NULL, 300);
    after = heap_count();
    assert_true(h.allocations > 0); /* the counter works: loading allocated */
    assert_int_equal(after, h.allocations);
    rig_close(&r);
}

static void what_cannot_be_done_is_refused_with_a_sentence(void **state)
{
    const snug_generate_options options = { .struct_size = sizeof options, .max_tokens = 4 };
    const snug_session_options too_long = { .struct_size = sizeof too_long, .context_tokens = 100000000 };
    snug_generate_result result = { .struct_size = sizeof result };
    snug_session *session;
    snug_error error = { SNUG_OK, "" };
    uint32_t ids[100] = { 0 };
    rig r;

    (void)state;
    rig_open(&r, 64, 0);
    assert_int_equal(snug_session_generate(&result, r.session, NULL, ids, 100, NULL, &options, &error),
                     SNUG_ERR_FULL);
    assert_non_null(strstr(error.text, "100 tokens"));
    assert_non_null(strstr(error.text, "64"));
    assert_int_equal(snug_session_generate(&result, r.session, NULL, ids, 0, NULL, &options, &error),
                     SNUG_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "empty"));
    ids[2] = 4096;
    assert_int_equal(snug_session_eval(r.session, ids, 5, NULL, &error), SNUG_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "4096"));
    assert_int_equal(snug_session_tokens(r.session), 0);
    assert_int_equal(snug_session_create(&session, r.model, r.memory, &too_long, &error), SNUG_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "100000000"));
    assert_null(session);
    rig_close(&r);
}

/* Fails the n-th reservation for every n until all succeed: each failure is reported, and nothing is left
 * behind. */
static void every_reservation_may_fail(void **state)
{
    const snug_session_options session_options = { .struct_size = sizeof session_options,
                                                   .context_tokens = 256 };
    uint64_t n = 0;
    bool is_done = false;

    (void)state;
    while (!is_done) {
        const snug_memory_options options = { .struct_size = sizeof options, .fail_after = ++n };
        snug_memory *memory;
        snug_model *model = NULL;
        snug_text *text = NULL;
        snug_session *session = NULL;
        snug_error error = { SNUG_OK, "" };
        uint32_t ids[200] = { 0 };
        snug_status status;

        assert_int_equal(snug_memory_create(&memory, &options), SNUG_OK);
        status = snug_model_open(&model, memory, MODEL, NULL, &error);
        if (status == SNUG_OK)
            status = snug_text_open(&text, memory, MODEL, &error);
        if (status == SNUG_OK)
            status = snug_session_create(&session, model, memory, &session_options, &error);
        if (status == SNUG_OK)
            status = snug_session_eval(session, ids, 200, NULL, &error);
        is_done = status == SNUG_OK;
        if (!is_done) {
            assert_int_equal(status, SNUG_ERR_OVER_LIMIT);
            assert_true(strlen(error.text) > 20);
        }
        snug_session_destroy(session);
        snug_text_close(text);
        snug_model_close(model);
        assert_int_equal(snug_memory_read_all(memory).blocks, 0);
        snug_memory_destroy(memory);
        assert_true(n < 1000);
    }
    printf("%llu reservations failed in turn\n", (unsigned long long)n - 1);
    assert_true(n > 12); /* there were that many reservations to fail */
}

/* --- a model that computes long sequences otherwise ---------------------------------------------------- */

static bool has_longrope(void)
{
    FILE *file = fopen(LONGROPE "/config.json", "rb");

    if (!file)
        printf("SKIPPED: %s is not there\n", LONGROPE);
    else
        fclose(file);
    return file != NULL;
}

/* Ids of ordinary tokens, the same every time. */
static void make_ids(uint32_t *ids, size_t count, uint32_t seed)
{
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        ids[i] = 10 + (seed >> 8) % 700;
    }
}

typedef struct recomputes {
    uint32_t events;
    snug_recompute last;
    uint32_t logits; /* reported by eval */
} recomputes;

static void note_recompute(void *user, const snug_recompute *recompute)
{
    recomputes *r = user;

    r->events++;
    r->last = *recompute;
}

static bool count_logits(void *user, uint32_t position, const float *logits)
{
    recomputes *r = user;

    (void)position;
    (void)logits;
    r->logits++;
    return true;
}

/* One turn: the answer follows the prompt in `ids`. */
static snug_generate_result take_turn(rig *r, recomputes *told, uint32_t *ids, size_t count,
                                      uint32_t max_tokens)
{
    const snug_generate_options options = { .struct_size = sizeof options,
                                            .max_tokens = max_tokens,
                                            .ignore_eos = true,
                                            .on_recompute = note_recompute,
                                            .user = told };
    snug_generate_result result = { .struct_size = sizeof result };
    snug_error error = { SNUG_OK, "" };

    if (snug_session_generate(&result, r->session, NULL, ids, count, ids + count, &options, &error) !=
        SNUG_OK)
        fail_msg("%s", error.text);
    assert_int_equal(result.generated_tokens, max_tokens);
    return result;
}

/* The same prompt in a session that never held anything gives the same answer and the same logits. */
static void check_against_fresh(const rig *r, const uint32_t *ids, size_t count, uint32_t max_tokens,
                                float tolerance)
{
    recomputes told = { 0 };
    uint32_t fresh_ids[400];
    rig fresh;

    memcpy(fresh_ids, ids, count * sizeof *ids);
    rig_open_model(&fresh, LONGROPE, false, 600, 64);
    take_turn(&fresh, &told, fresh_ids, count, max_tokens);
    assert_int_equal(told.events, 0);
    assert_memory_equal(fresh_ids + count, ids + count, max_tokens * sizeof *ids);
    for (uint32_t i = 0; i < fresh.vocabulary; i++) {
        const float difference = snug_session_logits(fresh.session)[i] - snug_session_logits(r->session)[i];

        assert_true(difference <= tolerance && -difference <= tolerance);
    }
    rig_close(&fresh);
}

static void a_conversation_that_grows_long_is_computed_again_once(void **state)
{
    recomputes told = { 0 };
    snug_generate_result result;
    uint32_t ids[400];
    rig r;

    (void)state;
    if (!has_longrope())
        skip();
    rig_open_model(&r, LONGROPE, false, 600, 64);
    make_ids(ids, 60, 1);
    result = take_turn(&r, &told, ids, 60, 20);
    assert_int_equal(result.recomputed_tokens, 0);
    assert_int_equal(result.recompute_reason, SNUG_RECOMPUTE_NONE);

    /* 120 tokens are within the limit, but the answer may pass it: before its first token, not inside. */
    make_ids(ids + 80, 40, 2);
    result = take_turn(&r, &told, ids, 120, 20);
    assert_int_equal(told.events, 1);
    assert_int_equal(told.last.reason, SNUG_RECOMPUTE_LONGER);
    assert_int_equal(told.last.tokens, 79);
    assert_int_equal(told.last.limit_tokens, LONGROPE_LIMIT);
    assert_int_equal(result.recomputed_tokens, 79);
    assert_int_equal(result.recompute_reason, SNUG_RECOMPUTE_LONGER);
    assert_int_equal(result.reused_tokens, 0);
    check_against_fresh(&r, ids, 120, 20, 0.0f);

    /* Later turns go on with what there is; rounding differs, since tokens were grouped otherwise. */
    make_ids(ids + 140, 30, 3);
    result = take_turn(&r, &told, ids, 170, 20);
    assert_int_equal(result.recomputed_tokens, 0);
    assert_int_equal(result.reused_tokens, 139);
    check_against_fresh(&r, ids, 170, 20, 0.05f);

    /* Nor does a turn that would be short enough again. */
    result = take_turn(&r, &told, ids, 100, 5);
    assert_int_equal(result.reused_tokens, 99);
    assert_int_equal(told.events, 1);
    rig_close(&r);
}

static void a_new_conversation_is_computed_for_its_own_length(void **state)
{
    recomputes told = { 0 };
    uint32_t ids[400];
    rig r;

    (void)state;
    if (!has_longrope())
        skip();
    rig_open_model(&r, LONGROPE, false, 600, 64);
    make_ids(ids, 150, 1);
    take_turn(&r, &told, ids, 150, 10);
    make_ids(ids, 60, 7);
    take_turn(&r, &told, ids, 60, 20); /* as a fresh one: with the short factors */
    assert_int_equal(told.events, 0);
    check_against_fresh(&r, ids, 60, 20, 0.0f);
    rig_close(&r);
}

static void tokens_appended_beyond_the_limit_compute_all_again(void **state)
{
    recomputes told = { 0 };
    const snug_eval_options options = { .struct_size = sizeof options,
                                        .on_logits = count_logits,
                                        .on_recompute = note_recompute,
                                        .user = &told };
    uint32_t ids[400];
    rig r, fresh;

    (void)state;
    if (!has_longrope())
        skip();
    rig_open_model(&r, LONGROPE, false, 600, 64);
    rig_open_model(&fresh, LONGROPE, false, 600, 64);
    make_ids(ids, 60, 1);
    take_turn(&r, &told, ids, 60, 20);
    make_ids(ids + 79, 60, 5);
    assert_int_equal(snug_session_eval(r.session, ids + 79, 60, &options, NULL), SNUG_OK);
    assert_int_equal(told.events, 1);
    assert_int_equal(told.last.tokens, 79);
    assert_int_equal(told.logits, 60); /* of the new ones only */
    eval(&fresh, ids, 139);
    assert_memory_equal(snug_session_logits(r.session), snug_session_logits(fresh.session),
                        r.vocabulary * sizeof(float));
    make_ids(ids, 60, 6);
    assert_int_equal(snug_session_eval(r.session, ids, 60, &options, NULL), SNUG_OK);
    assert_int_equal(told.events, 1);
    rig_close(&fresh);
    rig_close(&r);
}

/* That the ids are the reference's is in test_golden.c (greedy_crossing). */
static void exact_mode_follows_the_length_reached(void **state)
{
    recomputes told = { 0 };
    snug_generate_result result;
    uint32_t ids[400];
    rig r;

    (void)state;
    if (!has_longrope())
        skip();
    rig_open_model(&r, LONGROPE, true, 600, 64);
    make_ids(ids, 108, 1);
    result = take_turn(&r, &told, ids, 108, 48);
    assert_int_equal(told.events, 1); /* inside the answer: when it reached 129 tokens */
    assert_int_equal(told.last.reason, SNUG_RECOMPUTE_LONGER);
    assert_int_equal(told.last.tokens, LONGROPE_LIMIT);
    assert_int_equal(result.recomputed_tokens, LONGROPE_LIMIT);
    result = take_turn(&r, &told, ids, 50, 5);
    assert_int_equal(told.events, 2);
    assert_int_equal(told.last.reason, SNUG_RECOMPUTE_SHORTER);
    assert_int_equal(result.recomputed_tokens, 49);
    assert_int_equal(result.reused_tokens, 0);
    assert_string_equal(snug_recompute_reason_name(result.recompute_reason), "shorter");
    rig_close(&r);
}

/* --- a cache that goes round --------------------------------------------------------------------------- */

/* 96 tokens beside 4 sinks: a tile that stays and a ring of three, 64 .. 255 before it goes round. */
static void rig_open_rotating(rig *r)
{
    const snug_session_options options = { .struct_size = sizeof options,
                                           .context_tokens = 600,
                                           .prefill_chunk = 64,
                                           .threads = 2,
                                           .kv.retention = { SNUG_KV_RETENTION_ROTATING, 100, 4 } };

    rig_open_model(r, MODEL, true, 600, 64);
    snug_session_destroy(r->session);
    assert_int_equal(snug_session_create(&r->session, r->model, r->memory, &options, NULL), SNUG_OK);
}

static void check_against_fresh_rotating(const rig *r, const uint32_t *ids, size_t count, uint32_t max_tokens)
{
    recomputes told = { 0 };
    uint32_t fresh_ids[600];
    rig fresh;

    memcpy(fresh_ids, ids, count * sizeof *ids);
    rig_open_rotating(&fresh);
    take_turn(&fresh, &told, fresh_ids, count, max_tokens);
    assert_memory_equal(fresh_ids + count, ids + count, max_tokens * sizeof *ids);
    for (uint32_t i = 0; i < fresh.vocabulary; i++) {
        const float difference = snug_session_logits(fresh.session)[i] - snug_session_logits(r->session)[i];

        assert_true(difference <= 1e-3f && -difference <= 1e-3f);
    }
    rig_close(&fresh);
}

/* The largest difference of two sessions' logits after the same next token. */
static float next_difference(rig *a, rig *b, uint32_t id)
{
    float worst = 0.0f;

    eval(a, &id, 1);
    eval(b, &id, 1);
    for (uint32_t i = 0; i < a->vocabulary; i++)
        worst = fmaxf(worst, fabsf(snug_session_logits(a->session)[i] - snug_session_logits(b->session)[i]));
    return worst;
}

/* The greedy continuation of `count` tokens, one by one. */
static void continue_greedily(snug_session *session, uint32_t vocabulary, uint32_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const float *logits = snug_session_logits(session);
        uint32_t best = 0;

        assert_non_null(logits);
        for (uint32_t id = 1; id < vocabulary; id++)
            if (logits[id] > logits[best])
                best = id;
        ids[i] = best;
        assert_int_equal(snug_session_eval(session, &best, 1, NULL, NULL), SNUG_OK);
    }
}

static void forks_go_on_as_if_each_were_alone(void **state)
{
    enum {
        SHARED = 150,
        MORE = 40,
        FORKS = 3
    };
    uint32_t prompt[SHARED], expected[FORKS][MORE], ids[MORE];
    snug_session *fork[FORKS];
    uint64_t cache;
    rig r;

    (void)state;
    rig_open(&r, 256, 64);
    for (uint32_t i = 0; i < SHARED; i++)
        prompt[i] = (i * 37 + 11) % 500 + 10;
    for (uint32_t f = 0; f < FORKS; f++) { /* one after the other, alone */
        (void)snug_session_truncate(r.session, 0);
        assert_int_equal(snug_session_eval(r.session, prompt, SHARED, NULL, NULL), SNUG_OK);
        assert_int_equal(snug_session_eval(r.session, &(uint32_t){ 20 + f }, 1, NULL, NULL), SNUG_OK);
        continue_greedily(r.session, r.vocabulary, expected[f], MORE);
    }
    (void)snug_session_truncate(r.session, 0);
    assert_int_equal(snug_session_eval(r.session, prompt, SHARED, NULL, NULL), SNUG_OK);
    cache = snug_memory_read(r.memory, SNUG_MEMORY_KV).used_bytes;
    for (uint32_t f = 0; f < FORKS; f++) {
        assert_int_equal(snug_session_fork(&fork[f], r.session, NULL), SNUG_OK);
        assert_int_equal(snug_session_tokens(fork[f]), SHARED);
        assert_memory_equal(snug_session_logits(fork[f]), snug_session_logits(r.session),
                            r.vocabulary * sizeof(float));
    }
    assert_true(snug_kv_shared_bytes(snug_session_kv(fork[0])) > cache / 2);
    assert_true(snug_memory_read(r.memory, SNUG_MEMORY_KV).used_bytes < 2 * cache);
    for (uint32_t f = 0; f < FORKS; f++)
        assert_int_equal(snug_session_eval(fork[f], &(uint32_t){ 20 + f }, 1, NULL, NULL), SNUG_OK);
    snug_session_destroy(r.session); /* the one that they came from */
    for (uint32_t f = FORKS; f-- > 0;) {
        continue_greedily(fork[f], r.vocabulary, ids, MORE);
        assert_memory_equal(ids, expected[f], sizeof ids);
        if (f > 0)
            snug_session_destroy(fork[f]);
    }
    r.session = fork[0];
    rig_close(&r);
}

static void a_converted_session_goes_on(void **state)
{
    const snug_kv_coding planes = { SNUG_KV_FORMAT_PLANES, 8, 0 };
    const snug_kv_config coded = { .key = planes, .value = planes, .recent_exact_tokens = 64 };
    const snug_kv_config all = { .key = { SNUG_KV_FORMAT_AUTO, 0, 0 } };
    const snug_kv_config rotating = { .retention = { SNUG_KV_RETENTION_ROTATING, 128, 4 } };
    snug_error error = { SNUG_OK, "" };
    uint32_t ids[600];
    uint64_t before;
    rig plain, r;

    (void)state;
    rig_open(&plain, 1024, 0);
    rig_open(&r, 1024, 0);
    make_ids(ids, 600, 3);
    eval(&plain, ids, 500);
    eval(&r, ids, 500);
    before = snug_kv_committed_bytes(snug_session_kv(r.session));
    assert_int_equal(snug_session_convert(r.session, &coded, &error), SNUG_OK);
    assert_true(snug_kv_committed_bytes(snug_session_kv(r.session)) < before);
    assert_int_equal(snug_session_tokens(r.session), 500);
    assert_true(next_difference(&r, &plain, ids[500]) < 0.2f);
    assert_int_equal(snug_session_convert(r.session, &all, &error), SNUG_OK);
    assert_int_equal(snug_kv_committed_bytes(snug_session_kv(r.session)), before);
    assert_true(next_difference(&r, &plain, ids[501]) < 0.2f);
    assert_int_equal(snug_session_convert(r.session, &rotating, &error), SNUG_OK);
    before = snug_kv_committed_bytes(snug_session_kv(r.session));
    assert_int_equal(snug_session_convert(r.session, &all, &error), SNUG_ERR_UNSUPPORTED);
    assert_int_equal(snug_kv_committed_bytes(snug_session_kv(r.session)), before);
    eval(&r, &ids[502], 1);
    assert_int_equal(snug_session_tokens(r.session), 503);
    rig_close(&r);
    rig_close(&plain);
}

/* In flight, and as a session that was made so: it goes on in the same way, near the f16 one. */
static void a_demoted_session_goes_on(void **state)
{
    const snug_kv_target target = {
        .struct_size = sizeof target, .key_bits = 8, .value_bits = 8, .recent_exact_tokens = 64
    };
    snug_kv_demotion foreseen = { .struct_size = sizeof foreseen };
    snug_kv_info info = { .struct_size = sizeof info };
    snug_error error = { SNUG_OK, "" };
    uint32_t ids[600];
    uint64_t before, bytes;
    rig plain, r;

    (void)state;
    rig_open(&plain, 1024, 0);
    rig_open(&r, 1024, 0);
    make_ids(ids, 600, 3);
    eval(&plain, ids, 500);
    eval(&r, ids, 500);
    before = snug_kv_committed_bytes(snug_session_kv(r.session));
    assert_int_equal(snug_kv_foresee_demotion(&foreseen, snug_session_kv(r.session), &target, NULL), SNUG_OK);
    assert_int_equal(snug_session_demote(r.session, &target, &bytes, &error), SNUG_OK);
    assert_int_equal(bytes, foreseen.returned_bytes);
    assert_int_equal(before - snug_kv_committed_bytes(snug_session_kv(r.session)), bytes);
    assert_int_equal(snug_session_tokens(r.session), 500);
    assert_non_null(snug_session_logits(r.session));
    snug_kv_read_info(&info, snug_session_kv(r.session));
    assert_int_equal(info.config.key.format, SNUG_KV_FORMAT_PLANES);
    assert_int_equal(info.config.recent_exact_tokens, 64);
    assert_true(next_difference(&r, &plain, ids[500]) < 0.2f);
    rig_close(&r);
    rig_close(&plain);
}

static void a_rewound_rotating_session_computes_again_what_is_lost(void **state)
{
    recomputes told = { 0 };
    snug_generate_result result;
    uint32_t ids[600];
    rig r;

    (void)state;
    rig_open_rotating(&r);
    make_ids(ids, 300, 1);
    take_turn(&r, &told, ids, 300, 50); /* 349 tokens: tiles 3, 4 and 5 are in the ring */
    assert_int_equal(told.events, 0);

    /* Back to 330, which sees 235 and later: tile 3. */
    make_ids(ids + 330, 40, 2);
    result = take_turn(&r, &told, ids, 370, 20);
    assert_int_equal(result.reused_tokens, 330);
    assert_int_equal(told.events, 0);
    check_against_fresh_rotating(&r, ids, 370, 20);

    /* Back to 250, which sees 155 and later: gone. */
    make_ids(ids + 250, 40, 3);
    result = take_turn(&r, &told, ids, 290, 20);
    assert_int_equal(told.events, 1);
    assert_int_equal(told.last.reason, SNUG_RECOMPUTE_REWOUND);
    assert_int_equal(told.last.tokens, 250);
    assert_int_equal(result.recomputed_tokens, 250);
    assert_int_equal(result.reused_tokens, 0);
    assert_string_equal(snug_recompute_reason_name(result.recompute_reason), "rewound");
    check_against_fresh_rotating(&r, ids, 290, 20);

    assert_int_equal(snug_session_truncate(r.session, 300), 300);
    assert_int_equal(snug_session_truncate(r.session, 100), 0);
    assert_int_equal(snug_session_tokens(r.session), 0);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_truncated_session_continues_as_if_never_longer),
        cmocka_unit_test(streamed_text_is_the_decoded_ids),
        cmocka_unit_test(a_longer_prompt_reuses_what_was_computed),
        cmocka_unit_test(the_end_of_the_context_is_a_stop_reason),
        cmocka_unit_test(a_callback_can_stop),
        cmocka_unit_test(nothing_is_allocated_while_tokens_are_computed),
        cmocka_unit_test(what_cannot_be_done_is_refused_with_a_sentence),
        cmocka_unit_test(every_reservation_may_fail),
        cmocka_unit_test(a_conversation_that_grows_long_is_computed_again_once),
        cmocka_unit_test(a_new_conversation_is_computed_for_its_own_length),
        cmocka_unit_test(tokens_appended_beyond_the_limit_compute_all_again),
        cmocka_unit_test(exact_mode_follows_the_length_reached),
        cmocka_unit_test(forks_go_on_as_if_each_were_alone),
        cmocka_unit_test(a_converted_session_goes_on),
        cmocka_unit_test(a_demoted_session_goes_on),
        cmocka_unit_test(a_rewound_rotating_session_computes_again_what_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
