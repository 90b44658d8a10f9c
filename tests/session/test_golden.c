/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_golden.c - logits and greedy continuations of whole models against those that transformers computed.
 *
 * Exact mode: every golden prompt, at prefill chunks 1, 7, 64 and 512, within the fixture's tolerance;
 * greedy ids one for one. Default mode (f16 cache, bf16 shortcuts): within 1e-2 of the logits' standard
 * deviation (a fixture may say otherwise). One thread and two give the same bits. The one in
 * tests/fixtures is always there; the others are read from ../shared.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <snug/snug.h>

#include "tests/support/golden.h"
#include "tests/support/sanitizer.h"

typedef struct fixture {
    const char *folder;
    double default_mode_tolerance; /* of the logits' standard deviation */
} fixture;

typedef struct subject {
    const char *folder;
    golden golden;
    snug_memory *memory;
    snug_model *model;
} subject;

static bool open_subject(subject *s, const char *folder, bool exact, snug_cpu_level cpu)
{
    const snug_model_options options = { .struct_size = sizeof options, .exact = exact, .cpu = cpu };
    snug_error error = { SNUG_OK, "" };

    s->folder = folder;
    if (!golden_open(&s->golden, folder)) {
        printf("SKIPPED: %s is not there\n", folder);
        return false;
    }
    assert_int_equal(snug_memory_create(&s->memory, NULL), SNUG_OK);
    if (snug_model_open(&s->model, s->memory, folder, &options, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    return true;
}

static void close_subject(subject *s)
{
    snug_model_close(s->model);
    snug_memory_destroy(s->memory); /* asserts that the ledger is at zero */
    golden_close(&s->golden);
}

/* The context is what the request needs: some models compute short sequences otherwise than long ones. */
static snug_session *open_session(const subject *s, size_t tokens, uint32_t chunk, uint32_t threads)
{
    const snug_session_options options = { .struct_size = sizeof options,
                                           .context_tokens = (uint32_t)tokens,
                                           .prefill_chunk = chunk,
                                           .threads = threads,
                                           .logits_rows = 8 };
    snug_error error = { SNUG_OK, "" };
    snug_session *session;

    if (snug_session_create(&session, s->model, s->memory, &options, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    return session;
}

typedef struct collector {
    float *rows; /* [positions from first_position on][vocabulary] */
    uint32_t first_position;
    size_t vocabulary;
    size_t seen;
} collector;

static bool collect(void *user, uint32_t position, const float *logits)
{
    collector *c = user;

    memcpy(c->rows + (position - c->first_position) * c->vocabulary, logits, c->vocabulary * sizeof(float));
    c->seen++;
    return true;
}

/* Logits of the golden's rows, freshly computed. */
static float *compute(const subject *s, const golden_prompt *prompt, uint32_t chunk, uint32_t threads)
{
    snug_session *session = open_session(s, prompt->id_count, chunk, threads);
    collector c = { .rows = malloc(prompt->rows * s->golden.vocabulary * sizeof(float)),
                    .first_position = prompt->first_position,
                    .vocabulary = s->golden.vocabulary };
    const snug_eval_options options = {
        .struct_size = sizeof options, .logits_from = prompt->first_position, .on_logits = collect, .user = &c
    };
    snug_error error = { SNUG_OK, "" };

    assert_non_null(c.rows);
    if (snug_session_eval(session, prompt->ids, prompt->id_count, &options, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    assert_int_equal(c.seen, prompt->rows);
    /* The logits kept for generation are those of the last row. */
    for (size_t i = 0; i < s->golden.vocabulary; i++)
        assert_true(
            fabsf(snug_session_logits(session)[i] - c.rows[(prompt->rows - 1) * s->golden.vocabulary + i]) <=
            1e-5f * (float)s->golden.logits_std);
    snug_session_destroy(session);
    return c.rows;
}

static double worst(const subject *s, const golden_prompt *prompt, const float *rows)
{
    double max = 0.0;

    for (size_t i = 0; i < prompt->rows * s->golden.vocabulary; i++) {
        const double difference = fabs((double)rows[i] - prompt->logits[i]);

        max = difference > max || isnan(difference) ? difference : max;
    }
    return max / s->golden.logits_std;
}

static void check_logits(const fixture *f, bool exact, snug_cpu_level cpu)
{
    static const uint32_t chunks[] = { 1, 7, 64, 512 };
    const char *folder = f->folder;
    subject s;
    double max = 0.0;

    if (!open_subject(&s, folder, exact, cpu))
        skip();
    for (size_t p = 0; p < s.golden.prompt_count; p++) {
        /* The levels below the best are slow, and differ only inside kernels: one chunk of each path. */
        for (size_t c = cpu == SNUG_CPU_AUTO ? 0 : 1; c < sizeof chunks / sizeof chunks[0];
             c += cpu ? 2 : 1) {
            float *rows = compute(&s, &s.golden.prompts[p], chunks[c], 2);
            const double error = worst(&s, &s.golden.prompts[p], rows);
            const double tolerance =
                exact ? s.golden.tolerance / s.golden.logits_std : f->default_mode_tolerance;

            if (!(error <= tolerance))
                fail_msg("%s, %s, chunk %u: off by %.2e standard deviations, allowed %.2e", folder,
                         s.golden.prompts[p].name, chunks[c], error, tolerance);
            max = error > max ? error : max;
            free(rows);
        }
    }
    printf("%s: %s mode, %s: largest error %.2e standard deviations\n", folder, exact ? "exact" : "default",
           snug_cpu_level_name(cpu), max);
    close_subject(&s);
}

static void check_greedy(const fixture *f)
{
    subject s;
    size_t checked = 0;

    if (!open_subject(&s, f->folder, true, SNUG_CPU_AUTO))
        skip();
    for (size_t p = 0; p < s.golden.prompt_count; p++) {
        const golden_prompt *prompt = &s.golden.prompts[p];
        const snug_generate_options options = { .struct_size = sizeof options,
                                                .max_tokens = (uint32_t)prompt->greedy_count,
                                                .ignore_eos = true };
        snug_generate_result result = { .struct_size = sizeof result };
        uint32_t ids[256];
        snug_session *session;

        if (!prompt->greedy)
            continue;
        session = open_session(&s, prompt->id_count + prompt->greedy_count, 64, 2);
        assert_int_equal(
            snug_session_generate(&result, session, NULL, prompt->ids, prompt->id_count, ids, &options, NULL),
            SNUG_OK);
        assert_int_equal(result.generated_tokens, prompt->greedy_count);
        assert_memory_equal(ids, prompt->greedy, prompt->greedy_count * sizeof *ids);
        snug_session_destroy(session);
        checked++;
    }
    assert_true(checked > 0);
    close_subject(&s);
}

static void check_same_bits(const fixture *f, bool exact)
{
    subject s;

    if (!open_subject(&s, f->folder, exact, SNUG_CPU_AUTO))
        skip();
    for (size_t p = 0; p < s.golden.prompt_count; p++) {
        const golden_prompt *prompt = &s.golden.prompts[p];

        for (uint32_t chunk = 8; chunk <= 512; chunk *= 64) { /* a path with few tokens, one with many */
            float *one = compute(&s, prompt, chunk, 1);
            float *two = compute(&s, prompt, chunk, 2);

            assert_memory_equal(one, two, prompt->rows * s.golden.vocabulary * sizeof(float));
            free(one);
            free(two);
        }
    }
    close_subject(&s);
}

#define SHARED(name) SNUG_SHARED_FOLDER "/fixtures/" name

/*
 * Gemma multiplies normed queries and keys by weights well above 1. Rounding the cache to f16 alone, with
 * the C reference and nothing else rounded, moves the logits of these fixtures by 1.2e-2, 1.1e-2, 1.7e-2.
 */
static const fixture fixtures[] = {
    { SNUG_SOURCE_FOLDER "/tests/fixtures/tiny-qwen3", 1e-2 },
    { SHARED("llama-tied"), 1e-2 },
    { SHARED("llama-untied"), 1e-2 },
    { SHARED("qwen3"), 1e-2 },
    { SHARED("smollm3"), 1e-2 },
    { SHARED("phi3"), 1e-2 },
    { SHARED("gemma3"), 2e-2 },
    { SHARED("openelm"), 1e-2 },
    { SHARED("gemma3n"), 2e-2 },
    { SHARED("gemma3n-text"), 2e-2 },
    { SHARED("qwen3-mlx4"), 3e-1 },
    { SHARED("llama-mlx8"), 3e-1 },
    { SHARED("gemma3-mlx-mixed"), 4e-1 },
};

/* Threads are what the thread sanitizer looks at, at ten times the cost: three fixtures show them all. */
static void skip_if_slow(const fixture *f)
{
    if (TEST_UNDER_TSAN && f > &fixtures[2]) {
        printf("SKIPPED: %s would take minutes under the thread sanitizer\n", f->folder);
        skip();
    }
}

static void exact_logits_agree_with_the_reference(void **state)
{
    skip_if_slow(*state);
    check_logits(*state, true, SNUG_CPU_AUTO);
}

static void exact_logits_agree_at_every_cpu_level(void **state)
{
    for (int level = SNUG_CPU_C; level <= (int)snug_cpu_detect(); level++)
        check_logits(*state, true, (snug_cpu_level)level);
}

static void default_logits_are_close_at_every_cpu_level(void **state)
{
    for (int level = SNUG_CPU_C; level <= (int)snug_cpu_detect(); level++)
        check_logits(*state, false, (snug_cpu_level)level);
}

static void default_logits_are_close(void **state)
{
    skip_if_slow(*state);
    check_logits(*state, false, SNUG_CPU_AUTO);
}

static void greedy_continuations_are_the_same_ids(void **state)
{
    skip_if_slow(*state);
    check_greedy(*state);
}

static void one_thread_and_more_give_the_same_bits(void **state)
{
    skip_if_slow(*state);
    check_same_bits(*state, true);
    check_same_bits(*state, false);
}

/* The first fixture is checked at every level of this machine's processor, the others at its best. */
/* clang-format off */
#define TEST_ON(test, folder) \
    { #test " (" #folder ")", test, NULL, NULL, (void *)(uintptr_t)&fixtures[folder] }
/* clang-format on */
#define TESTS_ON(folder)                                                                                     \
    TEST_ON(exact_logits_agree_with_the_reference, folder), TEST_ON(default_logits_are_close, folder),       \
        TEST_ON(greedy_continuations_are_the_same_ids, folder),                                              \
        TEST_ON(one_thread_and_more_give_the_same_bits, folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_ON(exact_logits_agree_at_every_cpu_level, 0),
        TEST_ON(default_logits_are_close_at_every_cpu_level, 0),
        TEST_ON(one_thread_and_more_give_the_same_bits, 0),
        TESTS_ON(1),
        TESTS_ON(2),
        TESTS_ON(3),
        TESTS_ON(4),
        TESTS_ON(5),
        TESTS_ON(6),
        TESTS_ON(7),
        TESTS_ON(8),
        TESTS_ON(9),
        TESTS_ON(10),
        TESTS_ON(11),
        TESTS_ON(12),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
