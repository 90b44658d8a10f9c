/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quality.h - how far one distribution over tokens is from another, over many positions: what perplexity
 * reports of a cache format. Plain arithmetic, no model.
 */
#ifndef SNUG_CLI_QUALITY_H
#define SNUG_CLI_QUALITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cli_quality {
    size_t count; /* positions added */
    size_t capacity;
    float *divergence; /* [capacity] of each position, in nats */
    double loss;       /* sum of -ln p of the token that came */
    double reference_loss;
    double difference; /* sum of loss minus reference loss */
    double difference_squared;
    size_t same_top; /* positions whose likeliest token is that of the reference */
} cli_quality;

/* Room for so many positions. False: no memory. */
bool cli_quality_init(cli_quality *quality, size_t capacity);
void cli_quality_deinit(cli_quality *quality);

/*
 * One position: logits of the reference and of what is tested, and the token that came.
 * KL divergence: sum over p_reference (ln p_reference - ln p), in double.
 */
void cli_quality_add(cli_quality *quality, const float *reference, const float *logits, size_t vocabulary,
                     uint32_t token);

typedef struct cli_quality_summary {
    double reference_perplexity;
    double perplexity;
    double ratio;       /* of perplexities */
    double ratio_error; /* standard error, from the paired differences */
    double mean, median, p99, p999;
    double same_top; /* share */
    const char *grade;
} cli_quality_summary;

/*
 * neutral: mean <= 1e-3, same top >= 99 %, |ln ratio| <= 0.1 %, 99.9 % <= 0.1; good: 5e-3, 97.5 %, 0.5 %;
 * usable: 3e-2, 94 %; else emergency. Sorts the divergences. At least one position.
 */
cli_quality_summary cli_quality_summarize(cli_quality *quality);

#endif /* SNUG_CLI_QUALITY_H */
