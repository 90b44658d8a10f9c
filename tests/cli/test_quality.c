/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_quality.c - divergence, perplexity, percentiles and grades, against values worked out by hand.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/quality.h"

static bool is_near(double a, double b)
{
    return fabs(a - b) <= 1e-6 * fmax(1.0, fabs(b));
}

/* p = (1/2, 1/4, 1/4) against (1/4, 1/2, 1/4), each shifted by a constant that must not matter. */
static void divergence_and_perplexity_of_a_known_pair(void **state)
{
    const float reference[] = { logf(0.5f) + 7.0f, logf(0.25f) + 7.0f, logf(0.25f) + 7.0f };
    const float tested[] = { logf(0.25f) - 3.0f, logf(0.5f) - 3.0f, logf(0.25f) - 3.0f };
    cli_quality_summary s;
    cli_quality quality;

    (void)state;
    assert_true(cli_quality_init(&quality, 2));
    cli_quality_add(&quality, reference, tested, 3, 0); /* losses ln 2 and ln 4 */
    cli_quality_add(&quality, reference, tested, 3, 2); /* both ln 4 */
    s = cli_quality_summarize(&quality);
    assert_true(is_near(s.mean, 0.25 * log(2.0))); /* 1/2 ln 2 - 1/4 ln 2 */
    assert_true(is_near(s.median, 0.25 * log(2.0)));
    assert_true(is_near(s.reference_perplexity, sqrt(8.0)));
    assert_true(is_near(s.perplexity, 4.0));
    assert_true(is_near(s.ratio, sqrt(2.0)));
    /* The differences are ln 2 and 0: their standard deviation is ln 2 / 2, over the root of 2. */
    assert_true(is_near(s.ratio_error, sqrt(2.0) * log(2.0) / 2.0 / sqrt(2.0)));
    assert_true(s.same_top == 0.0);
    assert_string_equal(s.grade, "emergency");
    cli_quality_deinit(&quality);
}

static void the_same_logits_differ_by_nothing(void **state)
{
    const float logits[] = { 1.5f, -2.0f, 0.25f, 100.0f, -100.0f };
    cli_quality_summary s;
    cli_quality quality;

    (void)state;
    assert_true(cli_quality_init(&quality, 5));
    for (uint32_t token = 0; token < 5; token++)
        cli_quality_add(&quality, logits, logits, 5, token);
    s = cli_quality_summarize(&quality);
    assert_true(s.mean == 0.0 && s.p999 == 0.0 && s.ratio == 1.0 && s.ratio_error == 0.0);
    assert_true(s.same_top == 1.0);
    assert_string_equal(s.grade, "neutral");
    cli_quality_deinit(&quality);
}

/* Divergences 1/1000 .. 1: a percentile is the value that so many positions do not exceed. */
static void percentiles_are_by_rank(void **state)
{
    cli_quality_summary s;
    cli_quality quality;

    (void)state;
    assert_true(cli_quality_init(&quality, 1000));
    for (int i = 0; i < 1000; i++)
        quality.divergence[quality.count++] = (float)((i * 7919 % 1000) + 1) / 1000.0f;
    s = cli_quality_summarize(&quality);
    assert_true(is_near(s.median, 0.5) && is_near(s.p99, 0.99) && is_near(s.p999, 0.999));
    assert_true(is_near(s.mean, 0.5005));
    cli_quality_deinit(&quality);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(divergence_and_perplexity_of_a_known_pair),
        cmocka_unit_test(the_same_logits_differ_by_nothing),
        cmocka_unit_test(percentiles_are_by_rank),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
