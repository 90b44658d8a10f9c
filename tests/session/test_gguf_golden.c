/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_gguf_golden.c - models in GGUF files against logits of the weights that the files mean.
 *
 * The table in ../shared/fixtures/gguf/README.md names the files and how far another engine is off that
 * rounds activations to 8 bits: default mode may be off by at most half as much again, in the largest
 * difference and in the mean divergence. Exact mode keeps activations in f32: its bound is the README's too.
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

#define FOLDER SNUG_SHARED_FOLDER "/fixtures/gguf/"

/* What the table allows for one prompt. */
typedef struct limits {
    double max;
    double divergence; /* KL(golden || ours), mean over the rows, in nats */
} limits;

typedef struct fixture {
    char file[64];
    limits prompt[2]; /* short, long */
} fixture;

#define FIXTURES_MAX 128
static fixture fixtures[FIXTURES_MAX];
static size_t fixture_count;

/* --- the table ----------------------------------------------------------------------------------------- */

/* Columns of a row, each from its first character; 0 when the line is no row. */
static size_t split_row(char *line, char *cells[16])
{
    size_t count = 0;

    for (char *at = strchr(line, '|'); at && count < 16; at = strchr(at, '|')) {
        *at++ = '\0';
        while (*at == ' ')
            at++;
        cells[count++] = at;
    }
    return count;
}

static void read_row(fixture *f, char *cells[16])
{
    snprintf(f->file, sizeof f->file, "%.*s", (int)strcspn(cells[0], " "), cells[0]);
    for (size_t i = 0; i < 2; i++)
        f->prompt[i] = (limits){ strtod(cells[4 + 3 * i], NULL), strtod(cells[5 + 3 * i], NULL) };
    if (strncmp(f->file, "phi3-", 5) == 0) /* the README: those of the long prompt */
        f->prompt[0] = f->prompt[1];
}

static const fixture *find(const char *file)
{
    for (size_t i = 0; i < fixture_count; i++)
        if (strcmp(fixtures[i].file, file) == 0)
            return &fixtures[i];
    return NULL;
}

static bool read_table(void)
{
    FILE *file = fopen(FOLDER "README.md", "r");
    char line[1024];
    char *cells[16];

    if (!file)
        return false;
    while (fgets(line, sizeof line, file) && fixture_count < FIXTURES_MAX)
        if (split_row(line, cells) >= 10 && strstr(cells[0], ".gguf"))
            read_row(&fixtures[fixture_count++], cells);
    fclose(file);
    for (size_t i = 0; i < fixture_count; i++) /* without figures of its own: take Gemma 3's */
        if (fixtures[i].prompt[0].max <= 0.0)
            memcpy(fixtures[i].prompt, find("gemma3-bf16.gguf")->prompt, sizeof fixtures[i].prompt);
    return true;
}

/* --- computing ----------------------------------------------------------------------------------------- */

typedef struct collector {
    float *rows;
    uint32_t first_position;
    size_t vocabulary;
} collector;

static bool collect(void *user, uint32_t position, const float *logits)
{
    collector *c = user;

    memcpy(c->rows + (position - c->first_position) * c->vocabulary, logits, c->vocabulary * sizeof(float));
    return true;
}

static float *compute(snug_model *model, snug_memory *memory, const golden_prompt *prompt, size_t vocabulary,
                      uint32_t chunk)
{
    const snug_session_options options = { .struct_size = sizeof options,
                                           .context_tokens = (uint32_t)prompt->id_count,
                                           .prefill_chunk = chunk,
                                           .threads = 2,
                                           /* as the README's figures: the cache is another subject */
                                           .kv = { .key.format = SNUG_KV_FORMAT_F32,
                                                   .value.format = SNUG_KV_FORMAT_F32 },
                                           .logits_rows = 8 };
    collector c = { calloc(prompt->rows * vocabulary, sizeof(float)), prompt->first_position, vocabulary };
    const snug_eval_options eval = {
        .struct_size = sizeof eval, .logits_from = prompt->first_position, .on_logits = collect, .user = &c
    };
    snug_error error = { SNUG_OK, "" };
    snug_session *session;

    assert_non_null(c.rows);
    if (snug_session_create(&session, model, memory, &options, &error) != SNUG_OK ||
        snug_session_eval(session, prompt->ids, prompt->id_count, &eval, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    snug_session_destroy(session);
    return c.rows;
}

/* --- comparing ----------------------------------------------------------------------------------------- */

static double log_sum(const float *row, size_t n)
{
    double max = -INFINITY, sum = 0.0;

    for (size_t i = 0; i < n; i++)
        max = fmax(max, (double)row[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp((double)row[i] - max);
    return max + log(sum);
}

static double divergence(const float *reference, const float *ours, size_t n)
{
    const double reference_sum = log_sum(reference, n);
    const double our_sum = log_sum(ours, n);
    double total = 0.0;

    for (size_t i = 0; i < n; i++) {
        const double p = (double)reference[i] - reference_sum;

        total += exp(p) * (p - ((double)ours[i] - our_sum));
    }
    return total;
}

static void check_exact(const char *file, const golden_prompt *prompt, const float *rows, size_t vocabulary,
                        uint32_t chunk)
{
    for (size_t i = 0; i < prompt->rows * vocabulary; i++) {
        const double expected = (double)prompt->logits[i];
        const double difference = fabs((double)rows[i] - expected);

        if (!(difference <= 0.0012 + 0.0005 * fabs(expected)))
            fail_msg("%s, %s, chunk %u: logit %zu of row %zu is off by %.4g", file, prompt->name, chunk,
                     i % vocabulary, i / vocabulary, difference);
    }
}

static void check_default(const char *file, const golden_prompt *prompt, const float *rows, size_t vocabulary,
                          uint32_t chunk, const limits *allowed)
{
    double max = 0.0, mean = 0.0;

    for (size_t i = 0; i < prompt->rows * vocabulary; i++) {
        const double difference = fabs((double)rows[i] - (double)prompt->logits[i]);

        max = difference > max || isnan(difference) ? difference : max;
    }
    for (size_t row = 0; row < prompt->rows; row++)
        mean += divergence(prompt->logits + row * vocabulary, rows + row * vocabulary, vocabulary) /
                (double)prompt->rows;
    printf("%-28s %-5s chunk %3u: max %.4f of %.4f, divergence %.2e of %.2e\n", file, prompt->name, chunk,
           max, 1.5 * allowed->max, mean, 1.5 * allowed->divergence);
    if (!(max <= 1.5 * allowed->max && mean <= 1.5 * allowed->divergence))
        fail_msg("%s, %s, chunk %u: off by %.4f and %.2e", file, prompt->name, chunk, max, mean);
}

static void check_file(const fixture *f, bool exact, snug_cpu_level cpu)
{
    static const uint32_t chunks[] = { 1, 7, 64, 512 };
    const snug_model_options options = { .struct_size = sizeof options, .exact = exact, .cpu = cpu };
    char path[512];
    snug_error error = { SNUG_OK, "" };
    golden_pair pair;
    snug_memory *memory;
    snug_model *model;

    snprintf(path, sizeof path, FOLDER "%.*s.expected.safetensors", (int)(strlen(f->file) - 5), f->file);
    assert_true(golden_pair_open(&pair, path));
    snprintf(path, sizeof path, FOLDER "%s", f->file);
    assert_int_equal(snug_memory_create(&memory, NULL), SNUG_OK);
    if (snug_model_open(&model, memory, path, &options, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    for (size_t p = 0; p < 2; p++) {
        for (size_t c = cpu == SNUG_CPU_AUTO ? 0 : 1; c < sizeof chunks / sizeof *chunks; c += cpu ? 2 : 1) {
            float *rows = compute(model, memory, &pair.prompts[p], pair.vocabulary, chunks[c]);

            if (exact)
                check_exact(f->file, &pair.prompts[p], rows, pair.vocabulary, chunks[c]);
            else
                check_default(f->file, &pair.prompts[p], rows, pair.vocabulary, chunks[c], &f->prompt[p]);
            free(rows);
        }
    }
    snug_model_close(model);
    snug_memory_destroy(memory);
    golden_pair_close(&pair);
}

/* Every file at this machine's best level; one of each family and the Q4_K_M ones at the lower levels too. */
static bool is_for_all_levels(const fixture *f)
{
    return strncmp(f->file, "qwen3-", 6) == 0 || strncmp(f->file, "gemma3-Q4", 9) == 0;
}

/* What sanitizers cost: the address sanitizer sees every file at one level and two chunks, the thread
 * sanitizer sees the same code in test_golden. */
static void check_all(bool exact)
{
    if (fixture_count == 0) {
        printf("SKIPPED: %s is not there\n", FOLDER);
        skip();
    }
    if (TEST_UNDER_TSAN) {
        printf("SKIPPED: would take minutes under the thread sanitizer\n");
        skip();
    }
    for (size_t i = 0; i < fixture_count; i++) {
        check_file(&fixtures[i], exact, TEST_UNDER_ASAN ? snug_cpu_detect() : SNUG_CPU_AUTO);
        for (int level = SNUG_CPU_C;
             !TEST_UNDER_ASAN && is_for_all_levels(&fixtures[i]) && level < (int)snug_cpu_detect(); level++)
            check_file(&fixtures[i], exact, (snug_cpu_level)level);
    }
}

static void exact_logits_are_those_of_the_files_weights(void **state)
{
    (void)state;
    check_all(true);
}

static void default_logits_are_as_close_as_8_bit_activations_allow(void **state)
{
    (void)state;
    check_all(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_logits_are_those_of_the_files_weights),
        cmocka_unit_test(default_logits_are_as_close_as_8_bit_activations_allow),
    };

    (void)read_table();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
