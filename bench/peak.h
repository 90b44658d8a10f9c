/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peak.h - what a machine can do at most: how fast it reads memory and multiplies. The yardstick for speeds.
 */
#ifndef SNUG_BENCH_PEAK_H
#define SNUG_BENCH_PEAK_H

#include <stddef.h>

#include "work/work.h"

/* On a machine that others use, the processor's time of one thread says what the wall would on a quiet one,
 * but for the caches and the bandwidth that the others take. With more threads only the wall counts. */
typedef enum bench_clock {
    BENCH_CLOCK_WALL,
    BENCH_CLOCK_CPU
} bench_clock;

uint64_t bench_clock_ns(bench_clock clock);

/* Per second, by all threads of the pool; 0: this processor has no such instruction. A multiply-add is
 * two. */
typedef struct bench_peak {
    double read_bytes;
    double f32_flop;   /* fma on the widest registers */
    double bf16_flop;  /* VDPBF16PS: pairs of bf16, summed in f32 */
    double int16_flop; /* VPDPWSSD: pairs of int16, summed in int32 */
} bench_peak;

/* Measure once, about 50 ms, and keep what is better than what `peak` holds: whatever else runs only makes a
 * try slower. `buffer`: memory of the caller, touched, several times the last level cache. */
void bench_peak_improve(bench_peak *peak, snug_work *work, bench_clock clock, const unsigned char *buffer,
                        size_t bytes);

#endif /* SNUG_BENCH_PEAK_H */
