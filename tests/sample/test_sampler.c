/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_sampler.c - the sampler against probabilities worked out by hand, and frequencies of many draws.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <snug/sample.h>

#define IDS   6
#define DRAWS 200000

/* Probabilities at temperature 1: 0.4, 0.3, 0.15, 0.1, 0.04, 0.01. */
static const double probability[IDS] = { 0.15, 0.4, 0.04, 0.3, 0.01, 0.1 };

typedef struct draws {
    double frequency[IDS];
} draws;

static draws draw_many(snug_sample_options options, const uint32_t *recent, size_t recent_count)
{
    float logits[IDS];
    snug_memory *memory;
    snug_sampler *sampler;
    draws result = { { 0 } };

    options.struct_size = sizeof options;
    for (size_t i = 0; i < IDS; i++)
        logits[i] = (float)log(probability[i]);
    assert_int_equal(snug_memory_create(&memory, NULL), SNUG_OK);
    assert_int_equal(snug_sampler_create(&sampler, memory, IDS, &options, NULL), SNUG_OK);
    assert_int_equal(snug_sampler_estimate_bytes(IDS), snug_memory_read_all(memory).used_bytes);
    for (int i = 0; i < DRAWS; i++) {
        uint32_t id;

        assert_int_equal(snug_sampler_pick(&id, sampler, logits, recent, recent_count, NULL), SNUG_OK);
        result.frequency[id] += 1.0 / DRAWS;
    }
    snug_sampler_destroy(sampler);
    snug_memory_destroy(memory);
    return result;
}

/* Five standard deviations of a binomial frequency. */
static void check(const draws *d, const double *weights)
{
    double sum = 0.0;

    for (size_t i = 0; i < IDS; i++)
        sum += weights[i];
    for (size_t i = 0; i < IDS; i++) {
        const double p = weights[i] / sum;

        assert_true(fabs(d->frequency[i] - p) <= 5.0 * sqrt(p * (1.0 - p) / DRAWS));
    }
}

static void temperature_one_draws_the_models_own_probabilities(void **state)
{
    const draws d = draw_many((snug_sample_options){ .temperature = 1.0, .seed = 1 }, NULL, 0);

    (void)state;
    check(&d, probability);
}

static void temperature_bends_them(void **state)
{
    const draws d = draw_many((snug_sample_options){ .temperature = 0.5, .seed = 2 }, NULL, 0);
    double squared[IDS];

    (void)state;
    for (size_t i = 0; i < IDS; i++)
        squared[i] = probability[i] * probability[i];
    check(&d, squared);
}

static void top_k_keeps_the_likeliest(void **state)
{
    const draws d = draw_many((snug_sample_options){ .temperature = 1.0, .top_k = 2, .seed = 3 }, NULL, 0);

    (void)state;
    check(&d, (double[IDS]){ 0, 0.4, 0, 0.3, 0, 0 });
}

static void top_p_keeps_the_fewest_that_reach_it(void **state)
{
    const draws d = draw_many((snug_sample_options){ .temperature = 1.0, .top_p = 0.8, .seed = 4 }, NULL, 0);

    (void)state;
    check(&d,
          (double[IDS]){ 0.15, 0.4, 0, 0.3, 0, 0 }); /* 0.4 + 0.3 + 0.15 is the first sum of 0.8 or more */
}

static void top_p_counts_within_top_k(void **state)
{
    const snug_sample_options options = { .temperature = 1.0, .top_k = 3, .top_p = 0.8, .seed = 5 };
    const draws d = draw_many(options, NULL, 0);

    (void)state;
    check(&d, (double[IDS]){ 0, 0.4, 0, 0.3, 0, 0 }); /* 0.7 of 0.85 is above 0.8 */
}

static void min_p_is_relative_to_the_likeliest(void **state)
{
    const draws d = draw_many((snug_sample_options){ .temperature = 1.0, .min_p = 0.3, .seed = 6 }, NULL, 0);

    (void)state;
    check(&d, (double[IDS]){ 0.15, 0.4, 0, 0.3, 0, 0 }); /* at least 0.12 */
}

static void repetition_penalty_counts_each_recent_id_once(void **state)
{
    static const uint32_t recent[] = { 1, 1, 1, 4 };
    const snug_sample_options options = {
        .temperature = 1.0, .repetition_penalty = 2.0, .repetition_window = 3, .seed = 7
    };
    const draws d = draw_many(options, recent, 4);
    double weights[IDS];

    (void)state;
    memcpy(weights, probability, sizeof weights);
    weights[1] *= weights[1]; /* logits are negative here: multiplied by 2 */
    weights[4] *= weights[4];
    check(&d, weights);
}

static void greedy_takes_the_lowest_id_of_equals(void **state)
{
    static const float logits[] = { 1.0f, 3.0f, 3.0f, -1.0f, 9.0f };
    const snug_sample_options options = { .struct_size = sizeof options };
    snug_memory *memory;
    snug_sampler *sampler;
    uint32_t id;

    (void)state;
    assert_int_equal(snug_memory_create(&memory, NULL), SNUG_OK);
    assert_int_equal(snug_sampler_create(&sampler, memory, 4, &options, NULL), SNUG_OK); /* id 4 is padding */
    assert_int_equal(snug_sampler_pick(&id, sampler, logits, NULL, 0, NULL), SNUG_OK);
    assert_int_equal(id, 1);
    snug_sampler_destroy(sampler);
    snug_memory_destroy(memory);
}

static void what_is_not_a_number_is_reported(void **state)
{
    static const float bad[] = { NAN, INFINITY };
    const snug_sample_options options = { .struct_size = sizeof options, .temperature = 1.0 };
    snug_memory *memory;
    snug_sampler *sampler;

    (void)state;
    assert_int_equal(snug_memory_create(&memory, NULL), SNUG_OK);
    assert_int_equal(snug_sampler_create(&sampler, memory, IDS, &options, NULL), SNUG_OK);
    for (size_t i = 0; i < 2; i++) {
        float logits[IDS] = { 0 };
        snug_error error = { SNUG_OK, "" };
        uint32_t id = 99;

        logits[3] = bad[i];
        assert_int_equal(snug_sampler_pick(&id, sampler, logits, NULL, 0, &error), SNUG_ERR_CORRUPT);
        assert_non_null(strstr(error.text, "not a number"));
        assert_int_equal(id, 99);
    }
    snug_sampler_destroy(sampler);
    snug_memory_destroy(memory);
}

static void the_same_seed_gives_the_same_ids(void **state)
{
    const draws a = draw_many((snug_sample_options){ .temperature = 1.0, .seed = 8 }, NULL, 0);
    const draws b = draw_many((snug_sample_options){ .temperature = 1.0, .seed = 8 }, NULL, 0);
    const draws c = draw_many((snug_sample_options){ .temperature = 1.0, .seed = 9 }, NULL, 0);

    (void)state;
    assert_memory_equal(&a, &b, sizeof a);
    assert_memory_not_equal(&a, &c, sizeof a);
}

static void options_out_of_range_are_named(void **state)
{
    static const struct {
        snug_sample_options options;
        const char *name;
    } cases[] = {
        { { .temperature = -1.0 }, "temperature" },
        { { .temperature = NAN }, "temperature" },
        { { .top_p = 1.5 }, "top-p" },
        { { .min_p = -0.1 }, "min-p" },
        { { .repetition_penalty = -2.0 }, "repetition penalty" },
        { { .presence_penalty = 2.5 }, "presence penalty" },
        { { .frequency_penalty = -2.5 }, "frequency penalty" },
    };
    snug_memory *memory;

    (void)state;
    assert_int_equal(snug_memory_create(&memory, NULL), SNUG_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snug_error error = { SNUG_OK, "" };
        snug_sampler *sampler;

        assert_int_equal(snug_sampler_create(&sampler, memory, IDS, &cases[i].options, &error),
                         SNUG_ERR_ARGUMENT);
        assert_non_null(strstr(error.text, cases[i].name));
    }
    snug_memory_destroy(memory);
}

/* The likeliest, with what is due taken off, in double and with a table of counts. */
static uint32_t best_by_counts(const float *logits, const uint32_t *answer, size_t count,
                               const snug_sample_options *options)
{
    uint32_t counts[IDS] = { 0 };
    uint32_t best = 0;
    double best_value = -INFINITY;

    for (size_t i = 0; i < count; i++)
        if (answer[i] < IDS)
            counts[answer[i]]++;
    for (uint32_t id = 0; id < IDS; id++) {
        const double value = logits[id] - counts[id] * options->frequency_penalty -
                             (counts[id] > 0 ? options->presence_penalty : 0.0);

        if (value > best_value) {
            best_value = value;
            best = id;
        }
    }
    return best;
}

static void presence_and_frequency_count_the_tokens_of_the_answer(void **state)
{
    static const double penalties[][2] = { { 0, 0 },       { 1.5, 0 },  { 0, 0.5 },
                                           { 0.75, 0.25 }, { -1, 0.5 }, { -2, -2 } };
    uint32_t tokens[24];
    snug_memory *memory;
    uint64_t random = 1;

    (void)state;
    assert_int_equal(snug_memory_create(&memory, NULL), SNUG_OK);
    for (int round = 0; round < 600; round++) {
        const size_t prompt = (size_t)round % 7, count = prompt + (size_t)round % 17;
        const snug_sample_options options = { .struct_size = sizeof options,
                                              .presence_penalty = penalties[round % 6][0],
                                              .frequency_penalty = penalties[round % 6][1],
                                              .prompt_tokens = (uint32_t)prompt };
        float logits[IDS];
        snug_sampler *sampler;
        uint32_t id;

        for (size_t i = 0; i < IDS; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            logits[i] = (float)(random >> 40) / (1 << 22) - 2;
        }
        for (size_t i = 0; i < count; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            tokens[i] = (uint32_t)(random >> 33) % (IDS + 1); /* one of them has no candidate */
        }
        assert_int_equal(snug_sampler_create(&sampler, memory, IDS, &options, NULL), SNUG_OK);
        for (int again = 0; again < 2; again++) { /* nothing of the first pick is left for the second */
            assert_int_equal(snug_sampler_pick(&id, sampler, logits, tokens, count, NULL), SNUG_OK);
            assert_int_equal(id, best_by_counts(logits, tokens + prompt, count - prompt, &options));
        }
        snug_sampler_destroy(sampler);
    }
    snug_memory_destroy(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(temperature_one_draws_the_models_own_probabilities),
        cmocka_unit_test(temperature_bends_them),
        cmocka_unit_test(top_k_keeps_the_likeliest),
        cmocka_unit_test(top_p_keeps_the_fewest_that_reach_it),
        cmocka_unit_test(top_p_counts_within_top_k),
        cmocka_unit_test(min_p_is_relative_to_the_likeliest),
        cmocka_unit_test(repetition_penalty_counts_each_recent_id_once),
        cmocka_unit_test(presence_and_frequency_count_the_tokens_of_the_answer),
        cmocka_unit_test(greedy_takes_the_lowest_id_of_equals),
        cmocka_unit_test(what_is_not_a_number_is_reported),
        cmocka_unit_test(the_same_seed_gives_the_same_ids),
        cmocka_unit_test(options_out_of_range_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
