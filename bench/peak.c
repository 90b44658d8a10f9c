/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peak.c - see the header. Reading: every thread sums stretches of one buffer. Multiplying: independent
 * chains of multiply-adds on registers, more of them than an instruction's latency times the units for it.
 */
#include "peak.h"

#include <stdint.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#    include <immintrin.h>
#endif

#include "base/status.h"
#include "os/machine.h"

enum {
    READ_PART_BYTES = 1 << 20,
    PARTS_PER_THREAD = 8, /* of a multiplying job: evens out what else runs */
    ROUNDS = 100000,      /* per part: below a millisecond */
    CHAINS = 16,
    MASK_OF_PARTS = 63,
};

typedef struct job {
    bench_clock clock;
    const unsigned char *buffer;
    void (*run)(unsigned char *result_out);
    uint64_t (*read)(const unsigned char *from);
    /* What came out is kept, or a compiler leaves the work away; one line per part, wrapped around. */
    _Alignas(64) unsigned char result[MASK_OF_PARTS + 1][64];
} job;

static uint64_t read_plain(const unsigned char *from)
{
    uint64_t sums[8] = { 0 };

    for (size_t at = 0; at < READ_PART_BYTES; at += sizeof sums) {
        uint64_t words[8];

        memcpy(words, from + at, sizeof words);
        for (size_t i = 0; i < SNUG_COUNT(sums); i++)
            sums[i] += words[i];
    }
    return sums[0] + sums[1] + sums[2] + sums[3] + sums[4] + sums[5] + sums[6] + sums[7];
}

/* What a compiler makes of it with the instructions that every machine of its kind has. */
static void multiply_plain(unsigned char *result_out)
{
    float sums[CHAINS];

    for (size_t i = 0; i < CHAINS; i++)
        sums[i] = (float)i;
    for (int round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < CHAINS; i++)
            sums[i] = sums[i] * 0.5f + 0.5f;
    memcpy(result_out, sums, 64);
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static uint64_t read_avx512(const unsigned char *from)
{
    __m512i sums[4] = { _mm512_setzero_si512() };

    for (size_t i = 1; i < SNUG_COUNT(sums); i++)
        sums[i] = sums[0];
    for (size_t at = 0; at < READ_PART_BYTES; at += sizeof sums)
        for (size_t i = 0; i < SNUG_COUNT(sums); i++)
            sums[i] = _mm512_add_epi64(sums[i], _mm512_loadu_si512(from + at + i * 64));
    sums[0] = _mm512_add_epi64(_mm512_add_epi64(sums[0], sums[1]), _mm512_add_epi64(sums[2], sums[3]));
    return (uint64_t)_mm512_reduce_add_epi64(sums[0]);
}

/* CHAINS sums that start apart, or a compiler keeps only one; written out, so that each is a
 * register. */
#    define EACH_CHAIN(do_it)                                                                                \
        do_it(0) do_it(1) do_it(2) do_it(3) do_it(4) do_it(5) do_it(6) do_it(7) do_it(8) do_it(9) do_it(10)  \
            do_it(11) do_it(12) do_it(13) do_it(14) do_it(15)
#    define START(n)  sum_##n = SET_SUM(n);
#    define STEP(n)   sum_##n = MULTIPLY_ADD(sum_##n, x, y);
#    define FINISH(n) sum_0 = n > 0 ? ADD(sum_0, sum_##n) : sum_0;
#    define MULTIPLY(name, isa, sum_type, input_type, input)                                                 \
        __attribute__((target(isa))) static void name(unsigned char *result_out)                             \
        {                                                                                                    \
            const input_type x = input;                                                                      \
            const input_type y = input;                                                                      \
            sum_type sum_0, sum_1, sum_2, sum_3, sum_4, sum_5, sum_6, sum_7, sum_8, sum_9, sum_10, sum_11,   \
                sum_12, sum_13, sum_14, sum_15;                                                              \
                                                                                                             \
            EACH_CHAIN(START)                                                                                \
            for (int round = 0; round < ROUNDS; round++) {                                                   \
                EACH_CHAIN(STEP)                                                                             \
            }                                                                                                \
            EACH_CHAIN(FINISH)                                                                               \
            memcpy(result_out, &sum_0, sizeof sum_0);                                                        \
        }

/* With AVX2 there are 16 registers: the last chains live in memory at times; still enough to fill the
 * units. */
#    define SET_SUM(n)            _mm256_set1_ps((float)n)
#    define MULTIPLY_ADD(s, a, b) _mm256_fmadd_ps(s, a, b)
#    define ADD(a, b)             _mm256_add_ps(a, b)
MULTIPLY(multiply_f32_avx2, "avx2,fma", __m256, __m256, _mm256_set1_ps(0.5f))
#    undef SET_SUM
#    undef MULTIPLY_ADD
#    undef ADD

#    define SET_SUM(n)            _mm512_set1_ps((float)n)
#    define MULTIPLY_ADD(s, a, b) _mm512_fmadd_ps(s, a, b)
#    define ADD(a, b)             _mm512_add_ps(a, b)
MULTIPLY(multiply_f32_avx512, "avx512f", __m512, __m512, _mm512_set1_ps(0.5f))
#    undef MULTIPLY_ADD

#    define MULTIPLY_ADD(s, a, b) _mm512_dpbf16_ps(s, a, b)
MULTIPLY(multiply_bf16_avx512, "avx512f,avx512bf16", __m512, __m512bh,
         _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5f), _mm512_set1_ps(0.5f)))
#    undef SET_SUM
#    undef MULTIPLY_ADD
#    undef ADD

#    define SET_SUM(n)            _mm512_set1_epi32(n)
#    define MULTIPLY_ADD(s, a, b) _mm512_dpwssd_epi32(s, a, b)
#    define ADD(a, b)             _mm512_add_epi32(a, b)
MULTIPLY(multiply_int16_avx512, "avx512f,avx512vnni", __m512i, __m512i, _mm512_set1_epi16(3))
#endif

static void run_multiply(void *user, size_t part, uint32_t worker)
{
    job *j = user;

    (void)worker;
    j->run(j->result[part & MASK_OF_PARTS]);
}

static void run_read(void *user, size_t part, uint32_t worker)
{
    job *j = user;
    const uint64_t sum = j->read(j->buffer + part * READ_PART_BYTES);

    (void)worker;
    memcpy(j->result[part & MASK_OF_PARTS], &sum, sizeof sum);
}

uint64_t bench_clock_ns(bench_clock wanted)
{
    if (wanted == BENCH_CLOCK_CPU)
        return (uint64_t)((double)clock() * 1e9 / CLOCKS_PER_SEC);
    return snug_os_clock_ns();
}

static void improve(double *best, double amount, snug_work *work, snug_work_fn fn, job *j, size_t parts)
{
    const uint64_t start = bench_clock_ns(j->clock);

    snug_work_run(work, fn, j, parts);

    const double rate = amount * (double)parts * 1e9 / (double)(bench_clock_ns(j->clock) - start);

    *best = rate > *best ? rate : *best;
}

static void improve_flop(double *best, snug_work *work, bench_clock clock, void (*run)(unsigned char *),
                         double products)
{
    const double flop = 2.0 * products * CHAINS * ROUNDS;
    job j = { .clock = clock, .run = run };

    improve(best, flop, work, run_multiply, &j, (size_t)snug_work_threads(work) * PARTS_PER_THREAD);
}

void bench_peak_improve(bench_peak *peak, snug_work *work, bench_clock clock, const unsigned char *buffer,
                        size_t bytes)
{
    job j = { .clock = clock, .buffer = buffer, .read = read_plain };

    improve(&peak->read_bytes, READ_PART_BYTES, work, run_read, &j, bytes / READ_PART_BYTES);
#if defined(__x86_64__)
    const snug_cpu_level level = snug_cpu_detect();

    if (level >= SNUG_CPU_AVX512) {
        j.read = read_avx512;
        improve(&peak->read_bytes, READ_PART_BYTES, work, run_read, &j, bytes / READ_PART_BYTES);
        improve_flop(&peak->f32_flop, work, clock, multiply_f32_avx512, 16);
        improve_flop(&peak->int16_flop, work, clock, multiply_int16_avx512, 32);
    } else if (level >= SNUG_CPU_AVX2) {
        improve_flop(&peak->f32_flop, work, clock, multiply_f32_avx2, 8);
    }
    if (level >= SNUG_CPU_AVX512BF16)
        improve_flop(&peak->bf16_flop, work, clock, multiply_bf16_avx512, 32);
    if (level >= SNUG_CPU_AVX2)
        return;
#endif
    improve_flop(&peak->f32_flop, work, clock, multiply_plain, 1);
}
