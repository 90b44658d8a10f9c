/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quality.c - see the header.
 */
#include "cli/quality.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool cli_quality_init(cli_quality *quality, size_t capacity)
{
    *quality = (cli_quality){ .capacity = capacity };
    quality->divergence = malloc((capacity > 0 ? capacity : 1) * sizeof *quality->divergence);
    return quality->divergence != NULL;
}

void cli_quality_deinit(cli_quality *quality)
{
    free(quality->divergence);
    quality->divergence = NULL;
}

/* The largest logit and where it is, and ln of the sum of e^logit. */
typedef struct row_sums {
    size_t top;
    double log_sum;
} row_sums;

static row_sums sum_row(const float *logits, size_t count)
{
    row_sums sums = { 0, 0.0 };
    double sum = 1.0; /* of the top itself */

    for (size_t i = 1; i < count; i++)
        if (logits[i] > logits[sums.top])
            sums.top = i;
    for (size_t i = 0; i < count; i++)
        if (i != sums.top)
            sum += exp((double)logits[i] - (double)logits[sums.top]);
    sums.log_sum = log(sum) + (double)logits[sums.top];
    return sums;
}

void cli_quality_add(cli_quality *quality, const float *reference, const float *logits, size_t vocabulary,
                     uint32_t token)
{
    const row_sums of_reference = sum_row(reference, vocabulary);
    const row_sums of_tested = sum_row(logits, vocabulary);
    const double reference_loss = of_reference.log_sum - (double)reference[token];
    const double loss = of_tested.log_sum - (double)logits[token];
    double divergence = 0.0;

    for (size_t i = 0; i < vocabulary; i++) {
        const double log_p = (double)reference[i] - of_reference.log_sum;

        divergence += exp(log_p) * (log_p - ((double)logits[i] - of_tested.log_sum));
    }
    quality->divergence[quality->count++] = (float)divergence;
    quality->loss += loss;
    quality->reference_loss += reference_loss;
    quality->difference += loss - reference_loss;
    quality->difference_squared += (loss - reference_loss) * (loss - reference_loss);
    quality->same_top += of_reference.top == of_tested.top;
}

static int compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a;
    const float y = *(const float *)b;

    return (x > y) - (x < y);
}

/* The value that a share of the positions does not exceed. */
static double percentile(const cli_quality *quality, double share)
{
    const double at = ceil(share * (double)quality->count) - 1.0;

    return (double)quality->divergence[at > 0.0 ? (size_t)at : 0];
}

static const char *grade_of(const cli_quality_summary *s)
{
    const double change = fabs(log(s->ratio));

    if (s->mean <= 1e-3 && s->same_top >= 0.99 && change <= 1e-3 && s->p999 <= 0.1)
        return "neutral";
    if (s->mean <= 5e-3 && s->same_top >= 0.975 && change <= 5e-3)
        return "good";
    return s->mean <= 3e-2 && s->same_top >= 0.94 ? "usable" : "emergency";
}

cli_quality_summary cli_quality_summarize(cli_quality *quality)
{
    const double count = (double)quality->count;
    const double mean_difference = quality->difference / count;
    const double variance = quality->difference_squared / count - mean_difference * mean_difference;
    cli_quality_summary s = {
        .reference_perplexity = exp(quality->reference_loss / count),
        .perplexity = exp(quality->loss / count),
        .ratio = exp(mean_difference),
        .same_top = (double)quality->same_top / count,
    };

    s.ratio_error = s.ratio * sqrt(fmax(variance, 0.0) / count);
    for (size_t i = 0; i < quality->count; i++)
        s.mean += (double)quality->divergence[i] / count;
    qsort(quality->divergence, quality->count, sizeof *quality->divergence, compare_floats);
    s.median = percentile(quality, 0.5);
    s.p99 = percentile(quality, 0.99);
    s.p999 = percentile(quality, 0.999);
    s.grade = grade_of(&s);
    return s;
}
