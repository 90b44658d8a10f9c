/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bandwidth.h - how fast this machine reads memory: what a decode speed is compared with.
 */
#ifndef SNUG_CLI_BANDWIDTH_H
#define SNUG_CLI_BANDWIDTH_H

#include <snug/base.h>

/*
 * Best of several passes in which `threads` threads read a buffer of at most `most_bytes`, in bytes per
 * second. The buffer is taken for the measurement only and is gone afterwards. 256 MiB, or less when
 * `most_bytes` is less; below 32 MiB a cache would be measured: 0 then, and when the system refuses.
 */
double cli_bandwidth_read(uint32_t threads, uint64_t most_bytes);

#endif /* SNUG_CLI_BANDWIDTH_H */
