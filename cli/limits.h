/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits.h - how fast this machine reads memory and multiplies: what the speeds of decode and prefill are
 * compared with.
 */
#ifndef SNUG_CLI_LIMITS_H
#define SNUG_CLI_LIMITS_H

#include <snug/model.h>

/*
 * The median of several passes in which `threads` threads read a buffer of at most `most_bytes`, in bytes per
 * second. The buffer is taken for the measurement only and is gone afterwards. 256 MiB, or less when
 * `most_bytes` is less; below 32 MiB a cache would be measured: 0 then, and when the system refuses.
 */
double cli_limit_of_reading(uint32_t threads, uint64_t most_bytes);

/* The same for a product on registers: operations per second of `threads` threads. */
double cli_limit_of_product(uint32_t threads, const snug_model_product *product);

#endif /* SNUG_CLI_LIMITS_H */
