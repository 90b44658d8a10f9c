/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits.c - see the header. The median of some passes, as a model's speeds are medians.
 *
 * Reading: each thread reads its own part of one buffer as four streams, a line of each in turn, and asks for
 * the lines to come: enough of them are under way to be limited by memory. One word of a line is looked at: a
 * line is what memory hands out. GB/s of a 2-core Intel Xeon (Sapphire Rapids), shared host, 1 and 2 threads:
 * one stream 14 and 26, asked for ahead 16 and 31, four streams asked for ahead 18 and 34. (An array of sums
 * is kept in memory by GCC 12 at -O2: 8 and 15, that loop's.) Buffers of 128, 256, 1024 MiB, 2 threads: 41,
 * 33.5, 32.9: the last level cache of the host helps the first.
 */
#include "cli/limits.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cli/system.h"

#define BUFFER_BYTES    ((size_t)256 << 20)
#define LEAST_BYTES     ((size_t)32 << 20)
#define HUGE_PAGE_BYTES ((size_t)2 << 20)
#define PASSES          7
#define THREADS_MAX     256
#define STREAMS         4
#define LINE_WORDS      ((size_t)8)
#define AHEAD_WORDS     (32 * LINE_WORDS)
#define PRODUCT_ROUNDS  ((uint64_t)1 << 20) /* some milliseconds */

/* What a thread does in a pass. */
typedef struct part {
    const uint64_t *words;
    size_t count;
    uint64_t sum; /* kept, so that the reading cannot be left out */
    const snug_model_product *product;
    unsigned char sums[64]; /* the same */
} part;

static void *read_part(void *user)
{
    part *p = user;
    const size_t length = p->count / STREAMS / LINE_WORDS * LINE_WORDS;
    const uint64_t *a = p->words, *b = a + length, *c = b + length, *d = c + length;
    uint64_t sum = 0;

    for (size_t i = 0; i < length; i += LINE_WORDS) {
        const size_t ahead = i + AHEAD_WORDS < length ? i + AHEAD_WORDS : i;

        __builtin_prefetch(a + ahead, 0, 2);
        __builtin_prefetch(b + ahead, 0, 2);
        __builtin_prefetch(c + ahead, 0, 2);
        __builtin_prefetch(d + ahead, 0, 2);
        sum += a[i] + b[i] + c[i] + d[i];
    }
    p->sum += sum;
    return NULL;
}

static void *multiply_part(void *user)
{
    part *p = user;

    p->product->run(p->sums, PRODUCT_ROUNDS);
    return NULL;
}

/* One pass by all threads; nanoseconds, or 0 when a thread could not be started. */
static uint64_t run_once(void *(*run)(void *), part *parts, uint32_t threads)
{
    pthread_t thread[THREADS_MAX];
    const uint64_t start = cli_clock_ns();
    uint32_t started = 1;

    while (started < threads && pthread_create(&thread[started], NULL, run, &parts[started]) == 0)
        started++;
    run(&parts[0]);
    for (uint32_t i = 1; i < started; i++)
        (void)pthread_join(thread[i], NULL);
    return started == threads ? cli_clock_ns() - start : 0;
}

static int compare_times(const void *a, const void *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* `amount` of all threads together, each second, in the median pass. */
static double rate(void *(*run)(void *), part *parts, uint32_t threads, double amount)
{
    const int middle = PASSES / 2;
    uint64_t taken[PASSES];

    for (int pass = 0; pass < PASSES; pass++) {
        taken[pass] = run_once(run, parts, threads);
        if (taken[pass] == 0)
            return 0;
    }
    qsort(taken, PASSES, sizeof taken[0], compare_times);
    return amount * 1e9 / (double)taken[middle];
}

double cli_limit_of_reading(uint32_t threads, uint64_t most_bytes)
{
    const size_t bytes =
        most_bytes < BUFFER_BYTES ? (size_t)most_bytes & ~(HUGE_PAGE_BYTES - 1) : BUFFER_BYTES;
    part parts[THREADS_MAX];
    double found;
    void *buffer;

    if (bytes < LEAST_BYTES)
        return 0;
    if (threads > THREADS_MAX)
        threads = THREADS_MAX;
    buffer = aligned_alloc(HUGE_PAGE_BYTES, bytes); /* so large that it is a mapping, gone with free() */
    if (!buffer)
        return 0;
#ifdef MADV_HUGEPAGE
    (void)madvise(buffer, bytes, MADV_HUGEPAGE); /* 31 instead of 20 GB/s in the best hour of one machine */
#endif
    memset(buffer, 1, bytes); /* pages of its own: untouched ones are all the same page */
    for (uint32_t i = 0; i < threads; i++) {
        const size_t words = bytes / sizeof(uint64_t) / threads / LINE_WORDS * LINE_WORDS;

        parts[i] = (part){ .words = (const uint64_t *)buffer + i * words, .count = words };
    }
    found = rate(read_part, parts, threads, (double)bytes);
    free(buffer);
    return found;
}

double cli_limit_of_product(uint32_t threads, const snug_model_product *product)
{
    const double operations = (double)product->round_operations * (double)PRODUCT_ROUNDS;
    part parts[THREADS_MAX];

    if (threads > THREADS_MAX)
        threads = THREADS_MAX;
    for (uint32_t i = 0; i < threads; i++)
        parts[i] = (part){ .product = product };
    return rate(multiply_part, parts, threads, operations * threads);
}
