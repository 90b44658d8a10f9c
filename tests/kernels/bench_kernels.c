/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_kernels.c - how fast the kernels of each level are, beside what this machine can do: the bandwidth
 * of a plain loop that reads, the rate of fma on registers. Not a test; run it alone on a quiet machine.
 *
 *   bench_kernels            everything, one thread
 *   bench_kernels few many   only these parts: few, many, attend, plain
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#    include <immintrin.h>
#endif

#include "base/random.h"
#include "base/size.h"
#include "base/status.h"
#include "kernels/kernels.h"
#include "os/pages.h"

enum {
    REPEATS = 7, /* the best counts: whatever else runs only makes a try slower */
};

/* What the machine can do with one thread, for the shares that are printed. */
typedef struct machine {
    double read_bytes;    /* per second */
    double f32_flop;      /* per second, at 512 bits where there are */
    double f32_flop_avx2; /* at 256 bits */
    unsigned char *memory;
} machine;

#define MEMORY_BYTES ((size_t)256 << 20)

/* Of this program's own time: what else runs on the machine counts less. */
static double seconds(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

static volatile uint64_t sink;

static double read_bandwidth(const unsigned char *memory)
{
    double best = 1e9;

    for (int repeat = 0; repeat < REPEATS; repeat++) {
        uint64_t sums[8] = { 0 };
        const double start = seconds();

        for (size_t i = 0; i < MEMORY_BYTES; i += 64)
            for (size_t lane = 0; lane < 8; lane++)
                sums[lane] ^= ((const uint64_t *)(const void *)(memory + i))[lane];

        const double took = seconds() - start;

        for (size_t lane = 0; lane < 8; lane++)
            sink = sink ^ sums[lane];
        best = took < best ? took : best;
    }
    return (double)MEMORY_BYTES / best;
}

#if defined(__x86_64__)
enum {
    CHAINS = 10, /* independent sums: more than latency times units */
    ROUNDS = 4000000,
};

/* Chains that start apart, or a compiler computes one of them. */
#    define FMA_RATE(name, isa, type, set, fma, add)                                                         \
        __attribute__((target(isa))) static double name(void)                                                \
        {                                                                                                    \
            const type half = set(0.5f);                                                                     \
            double best = 1e9;                                                                               \
            for (int repeat = 0; repeat < REPEATS; repeat++) {                                               \
                type a = set(1.0f), b = set(2.0f), c = set(3.0f), d = set(4.0f), e = set(5.0f);              \
                type f = set(6.0f), g = set(7.0f), h = set(8.0f), i = set(9.0f), j = set(10.0f);             \
                const double start = seconds();                                                              \
                for (int round = 0; round < ROUNDS; round++) {                                               \
                    a = fma(a, half, half), b = fma(b, half, half), c = fma(c, half, half);                  \
                    d = fma(d, half, half), e = fma(e, half, half), f = fma(f, half, half);                  \
                    g = fma(g, half, half), h = fma(h, half, half), i = fma(i, half, half);                  \
                    j = fma(j, half, half);                                                                  \
                }                                                                                            \
                const double took = seconds() - start;                                                       \
                const type sum = add(add(add(a, b), add(c, d)), add(add(e, f), add(add(g, h), add(i, j))));  \
                float out[sizeof sum / sizeof(float)];                                                       \
                memcpy(out, &sum, sizeof sum);                                                               \
                sink = sink + (uint64_t)out[0];                                                              \
                best = took < best ? took : best;                                                            \
            }                                                                                                \
            return (double)ROUNDS * CHAINS * (double)(sizeof(type) / sizeof(float)) * 2.0 / best;            \
        }

FMA_RATE(fma_rate_avx2, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_add_ps)
FMA_RATE(fma_rate_avx512, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_add_ps)
#endif

static void measure_machine(machine *m)
{
    m->read_bytes = read_bandwidth(m->memory);
#if defined(__x86_64__)
    if (snug_cpu_detect() >= SNUG_CPU_AVX2)
        m->f32_flop = m->f32_flop_avx2 = fma_rate_avx2();
    if (snug_cpu_detect() >= SNUG_CPU_AVX512)
        m->f32_flop = fma_rate_avx512();
#endif
    printf("one thread: reads %.1f GB/s, f32 fma %.0f GFLOP/s (256 bits: %.0f)\n", m->read_bytes * 1e-9,
           m->f32_flop * 1e-9, m->f32_flop_avx2 * 1e-9);
}

/* A value that is small and finite in every format. */
static void fill_weights(unsigned char *out, snug_type type, size_t count)
{
    snug_random random = { 7 };

    if (type > SNUG_TYPE_BF16) { /* any bytes, but no exponent that is large */
        for (size_t i = 0; i < snug_type_row_bytes(type, count); i++)
            out[i] = (unsigned char)(snug_random_next(&random) >> 20) & 0x3f;
        for (size_t at = 0; type == SNUG_TYPE_MXFP4 && at < snug_type_row_bytes(type, count); at += 17)
            out[at] = 120; /* the exponent of a scale: 0x3f would make sums subnormal */
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const float value = (float)snug_random_unit(&random) - 0.5f;
        uint32_t bits;
        uint16_t half;

        memcpy(&bits, &value, sizeof bits);
        half = (uint16_t)(bits >> 16);
        if (type == SNUG_TYPE_F32)
            memcpy(out + 4 * i, &value, sizeof value);
        else if (type == SNUG_TYPE_BF16)
            memcpy(out + 2 * i, &half, sizeof half);
        else /* f16: exponent of 0.25 .. 0.5, sign and fraction at random */
            half = (uint16_t)((snug_random_next(&random) & 0x83ffu) | 0x3400u), memcpy(out + 2 * i, &half, 2);
    }
}

static const snug_type types[] = {
    SNUG_TYPE_F32,  SNUG_TYPE_F16,  SNUG_TYPE_BF16,   SNUG_TYPE_Q8_0,   SNUG_TYPE_Q4_0,
    SNUG_TYPE_Q4_1, SNUG_TYPE_Q5_0, SNUG_TYPE_Q2_K,   SNUG_TYPE_Q3_K,   SNUG_TYPE_Q4_K,
    SNUG_TYPE_Q5_K, SNUG_TYPE_Q6_K, SNUG_TYPE_IQ4_NL, SNUG_TYPE_IQ4_XS, SNUG_TYPE_MXFP4,
};

/* Zeros at a multiple of 64, as kernels.h wants inputs and scratch; freed with free(). */
static void *aligned_zeros(size_t bytes)
{
    const size_t rounded = snug_round_up(bytes + 1, 64);
    void *block = aligned_alloc(64, rounded);

    SNUG_ASSERT(block);
    return memset(block, 0, rounded);
}

static double time_matmul(const snug_matmul *matmul, snug_matmul_task *task)
{
    double best = 1e9;

    task->input_bytes = matmul->input_bytes(task->weight.columns);

    unsigned char *input = aligned_zeros(task->tokens * task->input_bytes);
    float *x = snug_os_heap_alloc(task->weight.columns * sizeof *x);
    snug_random random = { 3 };

    task->input = input;
    task->scratch = aligned_zeros(matmul->scratch_bytes(task->weight.columns));
    for (size_t token = 0; token < task->tokens; token++) {
        for (size_t i = 0; i < task->weight.columns; i++)
            x[i] = (float)snug_random_unit(&random) - 0.5f;
        matmul->prepare(input + token * task->input_bytes, x, task->weight.columns);
    }
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        const double start = seconds();

        matmul->run(task);

        const double took = seconds() - start;

        best = took < best ? took : best;
    }
    free(task->scratch);
    snug_os_heap_free(x);
    free(input);
    return best;
}

/* Weights of 256 MB, so that none of it stays in a cache. */
static void bench_few(const machine *m, snug_cpu_level level)
{
    static const size_t token_counts[] = { 1, 2, 4, 8 };
    snug_kernels kernels;

    snug_kernels_init(&kernels, level, false);
    for (size_t t = 0; t < SNUG_COUNT(types); t++) {
        const snug_matmul *matmul = kernels.matmul_few[types[t]];
        const size_t columns = 1024;
        const size_t row_bytes = snug_type_row_bytes(types[t], columns);
        const size_t rows = MEMORY_BYTES / row_bytes / (level == SNUG_CPU_C ? 16 : 1);
        float *out = snug_os_heap_alloc(rows * 8 * sizeof *out);

        fill_weights(m->memory, types[t], MEMORY_BYTES / row_bytes * columns);
        printf("few  %-26s", matmul->name);
        for (size_t i = 0; i < SNUG_COUNT(token_counts); i++) {
            snug_matmul_task task = { .out = out,
                                      .out_stride = rows,
                                      .weight = { .data = m->memory,
                                                  .type = types[t],
                                                  .rows = (uint32_t)rows,
                                                  .columns = (uint32_t)columns,
                                                  .row_bytes = row_bytes },
                                      .tokens = token_counts[i] };
            const double rate = (double)(rows * row_bytes) / time_matmul(matmul, &task);

            printf("  %zu: %5.1f GB/s %3.0f %%", token_counts[i], rate * 1e-9, 100.0 * rate / m->read_bytes);
        }
        printf("\n");
        snug_os_heap_free(out);
    }
}

static void bench_many(const machine *m, snug_cpu_level level, bool exact)
{
    static const struct {
        size_t tokens, columns, rows;
    } sizes[] = { { 512, 1024, 3072 }, { 512, 3072, 1024 }, { 64, 1024, 3072 }, { 16, 1024, 3072 } };
    snug_kernels kernels;

    snug_kernels_init(&kernels, level, exact);
    for (size_t t = 0; t < SNUG_COUNT(types); t++) {
        const snug_matmul *matmul = kernels.matmul_many[types[t]];

        printf("many %-26s", matmul->name);
        for (size_t i = 0; i < SNUG_COUNT(sizes); i++) {
            const size_t tokens = level == SNUG_CPU_C ? sizes[i].tokens / 8 : sizes[i].tokens;
            float *out = snug_os_heap_alloc(sizes[i].rows * tokens * sizeof *out);
            snug_matmul_task task = { .out = out,
                                      .out_stride = sizes[i].rows,
                                      .weight = { .data = m->memory,
                                                  .type = types[t],
                                                  .rows = (uint32_t)sizes[i].rows,
                                                  .columns = (uint32_t)sizes[i].columns,
                                                  .row_bytes =
                                                      snug_type_row_bytes(types[t], sizes[i].columns) },
                                      .tokens = tokens };

            fill_weights(m->memory, types[t], sizes[i].rows * sizes[i].columns);

            const double flop = 2.0 * (double)tokens * (double)sizes[i].rows * (double)sizes[i].columns;
            const double rate = flop / time_matmul(matmul, &task);

            printf("  %zux%zux%zu: %4.0f GFLOP/s %3.0f %%", tokens, sizes[i].columns, sizes[i].rows,
                   rate * 1e-9, 100.0 * rate / m->f32_flop);
            snug_os_heap_free(out);
        }
        printf("\n");
    }
}

/* One KV head over a cache of 64 MB and more, as decode (few queries) and prefill (64) see it. */
static void bench_attend(const machine *m, snug_cpu_level level)
{
    static const size_t query_counts[] = { 1, 2, 4, 8, 64 };
    const size_t head_dim = 128;
    snug_kernels kernels;

    snug_kernels_init(&kernels, level, false);
    for (size_t t = 0; t < 2; t++) {
        const size_t tile_bytes = snug_type_row_bytes(types[t], head_dim) * SNUG_TILE_TOKENS;
        const size_t tiles = ((size_t)64 << 20) / (2 * tile_bytes) / (level == SNUG_CPU_C ? 16 : 1);

        fill_weights(m->memory, types[t], tiles * 2 * SNUG_TILE_TOKENS * head_dim);
        printf("attend %-4s level %d, head_dim %zu", snug_type_layout_of(types[t])->name, (int)level,
               head_dim);
        for (size_t i = 0; i < SNUG_COUNT(query_counts); i++) {
            const size_t queries = query_counts[i];
            float *query = snug_os_heap_alloc(2 * SNUG_ATTEND_QUERIES_MAX * (head_dim + 1) * sizeof *query);
            float *state = query + SNUG_ATTEND_QUERIES_MAX * head_dim;
            uint32_t begin[SNUG_ATTEND_QUERIES_MAX] = { 0 };
            uint32_t end[SNUG_ATTEND_QUERIES_MAX];
            snug_attend_task task = { .query = query,
                                      .begin = begin,
                                      .end = end,
                                      .queries = queries,
                                      .head_dim = head_dim,
                                      .max = state + SNUG_ATTEND_QUERIES_MAX * head_dim,
                                      .out = state };
            double best = 1e9;

            task.sum = task.max + SNUG_ATTEND_QUERIES_MAX;
            task.scratch = aligned_zeros(snug_attend_scratch_bytes(head_dim));
            for (size_t q = 0; q < SNUG_ATTEND_QUERIES_MAX; q++)
                end[q] = SNUG_TILE_TOKENS;
            for (size_t n = 0; n < queries * head_dim; n++)
                query[n] = 0.01f * (float)(n % 17);
            for (int repeat = 0; repeat < 3; repeat++) {
                const double start = seconds();

                for (size_t tile = 0; tile < tiles; tile++) {
                    task.key = m->memory + 2 * tile * tile_bytes;
                    task.value = m->memory + (2 * tile + 1) * tile_bytes;
                    kernels.attend[types[t]](&task);
                }

                const double took = seconds() - start;

                best = took < best ? took : best;
            }

            const double rate = (double)(tiles * 2 * tile_bytes) / best;
            const double flop = 4.0 * (double)(tiles * SNUG_TILE_TOKENS * head_dim * queries) / best;

            printf("  %zu: %4.1f GB/s %3.0f %% %3.0f GFLOP/s", queries, rate * 1e-9,
                   100.0 * rate / m->read_bytes, flop * 1e-9);
            free(task.scratch);
            snug_os_heap_free(query);
        }
        printf("\n");
    }
}

/* n values in the first level cache, many times. */
#define TIME_PLAIN(label, bytes, call)                                                                       \
    do {                                                                                                     \
        double best_ = 1e9;                                                                                  \
        for (int repeat_ = 0; repeat_ < REPEATS; repeat_++) {                                                \
            const double start_ = seconds();                                                                 \
            for (int round_ = 0; round_ < 2000; round_++)                                                    \
                call;                                                                                        \
            const double took_ = seconds() - start_;                                                         \
            best_ = took_ < best_ ? took_ : best_;                                                           \
        }                                                                                                    \
        printf("  %s %.0f", label, 2000.0 * (bytes) / best_ * 1e-9);                                         \
    } while (0)

static void bench_plain(const machine *m, snug_cpu_level level)
{
    enum {
        N = 1024
    };
    snug_kernels kernels;
    float *x = (float *)(void *)m->memory;
    float *y = x + N;
    float *z = y + N;
    uint16_t *halves = (uint16_t *)(void *)(z + N);

    snug_kernels_init(&kernels, level, false);
    for (int i = 0; i < N; i++) {
        x[i] = (float)(i % 37) * 0.1f - 1.8f;
        y[i] = (float)(i % 11) * 0.1f - 0.5f;
        halves[i] = (uint16_t)(0x3000 + i);
    }
    printf("plain level %d, GB/s of f32:", (int)level);
    TIME_PLAIN("rms_norm", 12.0 * N, kernels.rms_norm(z, x, y, N, 1e-5f));
    TIME_PLAIN("rope_half", 8.0 * N, kernels.rope_half(z, x, y, N / 2));
    TIME_PLAIN("swiglu", 12.0 * N, kernels.swiglu(z, x, y, N));
    TIME_PLAIN("add", 12.0 * N, kernels.add(z, y, N));
    TIME_PLAIN("scale", 8.0 * N, kernels.scale(z, 1.0f, N));
    TIME_PLAIN("from f16", 6.0 * N, kernels.row_to_f32[SNUG_TYPE_F16](z, halves, N));
    TIME_PLAIN("from bf16", 6.0 * N, kernels.row_to_f32[SNUG_TYPE_BF16](z, halves, N));
    TIME_PLAIN("to f16", 6.0 * N, kernels.f16_from_f32(halves, x, N));
    printf("\n");
}

static bool wanted(int argc, char **argv, const char *part)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], part) == 0)
            return true;
    return argc < 2;
}

int main(int argc, char **argv)
{
    static const snug_cpu_level levels[] = { SNUG_CPU_C, SNUG_CPU_AVX2, SNUG_CPU_AVX512, SNUG_CPU_NEON,
                                             SNUG_CPU_I8MM };
    machine m = { .memory = snug_os_heap_alloc(MEMORY_BYTES) };

    if (!m.memory) {
        fprintf(stderr, "bench_kernels: no %zu bytes of memory\n", MEMORY_BYTES);
        return EXIT_FAILURE;
    }
    memset(m.memory, 1, MEMORY_BYTES);
    measure_machine(&m);
    for (size_t i = 0; i < SNUG_COUNT(levels); i++) {
        if (!snug_cpu_has(levels[i]))
            continue;
        if (wanted(argc, argv, "few"))
            bench_few(&m, levels[i]);
        if (wanted(argc, argv, "many"))
            bench_many(&m, levels[i], true);
        if (wanted(argc, argv, "many") && levels[i] >= SNUG_CPU_AVX512)
            bench_many(&m, levels[i], false);
        if (wanted(argc, argv, "attend"))
            bench_attend(&m, levels[i]);
        if (wanted(argc, argv, "plain"))
            bench_plain(&m, levels[i]);
    }
    snug_os_heap_free(m.memory);
    return EXIT_SUCCESS;
}
