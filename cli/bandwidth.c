/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bandwidth.c - see the header. Each thread reads its own part of one buffer as four streams, a line of
 * each in turn, and asks for the lines to come: enough of them are under way to be limited by memory. One
 * word of a line is looked at: a line is what memory hands out. GB/s of a 2-core Intel Xeon (Sapphire
 * Rapids), shared host, 1 and 2 threads: one stream 14 and 26, asked for ahead 16 and 31, four streams
 * asked for ahead 18 and 34. (An array of sums is kept in memory by GCC 12 at -O2: 8 and 15, that loop's.)
 */
#include "cli/bandwidth.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cli/system.h"

#define BUFFER_BYTES    ((size_t)256 << 20)
#define LEAST_BYTES     ((size_t)32 << 20)
#define HUGE_PAGE_BYTES ((size_t)2 << 20)
#define PASSES          6
#define THREADS_MAX     256
#define STREAMS         4
#define LINE_WORDS      ((size_t)8)
#define AHEAD_WORDS     (32 * LINE_WORDS)

typedef struct reader {
    const uint64_t *words;
    size_t count;
    uint64_t sum; /* kept, so that the reading cannot be left out */
} reader;

static void *read_part(void *user)
{
    reader *part = user;
    const size_t length = part->count / STREAMS / LINE_WORDS * LINE_WORDS;
    const uint64_t *a = part->words, *b = a + length, *c = b + length, *d = c + length;
    uint64_t sum = 0;

    for (size_t i = 0; i < length; i += LINE_WORDS) {
        const size_t ahead = i + AHEAD_WORDS < length ? i + AHEAD_WORDS : i;

        __builtin_prefetch(a + ahead, 0, 2);
        __builtin_prefetch(b + ahead, 0, 2);
        __builtin_prefetch(c + ahead, 0, 2);
        __builtin_prefetch(d + ahead, 0, 2);
        sum += a[i] + b[i] + c[i] + d[i];
    }
    part->sum += sum;
    return NULL;
}

/* One pass over the buffer by all threads; nanoseconds, or 0 when a thread could not be started. */
static uint64_t read_once(reader *parts, uint32_t threads)
{
    pthread_t thread[THREADS_MAX];
    const uint64_t start = cli_clock_ns();
    uint32_t started = 1;

    while (started < threads && pthread_create(&thread[started], NULL, read_part, &parts[started]) == 0)
        started++;
    read_part(&parts[0]);
    for (uint32_t i = 1; i < started; i++)
        (void)pthread_join(thread[i], NULL);
    return started == threads ? cli_clock_ns() - start : 0;
}

double cli_bandwidth_read(uint32_t threads, uint64_t most_bytes)
{
    const size_t bytes =
        most_bytes < BUFFER_BYTES ? (size_t)most_bytes & ~(HUGE_PAGE_BYTES - 1) : BUFFER_BYTES;
    reader parts[THREADS_MAX];
    uint64_t best = UINT64_MAX;
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

        parts[i] = (reader){ (const uint64_t *)buffer + i * words, words, 0 };
    }
    for (int pass = 0; pass < PASSES; pass++) {
        const uint64_t taken = read_once(parts, threads);

        if (taken > 0 && taken < best)
            best = taken;
    }
    free(buffer);
    return best == UINT64_MAX ? 0 : (double)bytes * 1e9 / (double)best;
}
