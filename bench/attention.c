/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention.c - attention of one new token over caches of every format, kernels only: tokens per second of
 * one layer of 8 KV heads of 128, what they read, its share of the machine's bandwidth, and the factor over
 * f16.
 *
 *   attention [--cpu-time] [--cached] [--chunk N] [--cpu LEVEL] [--threads N] [--queries N] [--only FORMAT]
 *             [TOKENS ...]                            1024 4096 16384 32768 if none is given
 *
 * --chunk: of N new tokens, as a prompt is read, each of which sees all that is in the cache; tokens per
 * second and multiplications, for there bandwidth binds nothing.
 * --cpu-time: the processor's time of one thread, for a machine that others use (peak.h).
 * --cached: the same cache again and again; of 256 tokens it is found in the second level of the processor's
 * caches, and what is left is the time of the arithmetic.
 * --cpu: the kernels of a level, as in llm-tool. --threads, --queries, --only: not all numbers of threads, of
 * queries of a KV head, and formats ("planes 4").
 * Else the cache that is read is one of several that lie one after the other, so that none is found in the
 * processor's caches, and in huge pages where there are some, as a filled cache lies (decision 0007). The
 * best of some rounds counts; bandwidth is measured between them, in the same memory.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "codec/affine.h"
#include "kernels/kernels.h"
#include "os/pages.h"
#include "peak.h"

enum {
    HEADS = 8,
    HEAD_DIM = 128,
    AFFINE_GROUP = 64,
    QUERIES_MAX = SNUG_ATTEND_QUERIES_MAX,
    RUNS = 16, /* of tiles, as long contexts are split in kv/attention_token.c */
    THREADS_MAX = 2,
    ROUNDS = 4,
};

#define BUFFER_BYTES   ((size_t)384 << 20)
#define ROUND_SECONDS  0.02
#define HALF_BYTE      0x2c /* twice: 0.065 as f16, for scales and values alike */
#define PREPARED_BYTES 1024 /* more than snug_attend_prepared_bytes() of HEAD_DIM */

typedef struct format {
    const char *name;
    snug_tile_kind kind;
    uint32_t bits;
    size_t side_bytes; /* keys or values of one tile of one head */
} format;

static const format formats[] = {
    { "f16", SNUG_TILE_F16, 16, (size_t)SNUG_TILE_TOKENS *HEAD_DIM * 2 },
    { "planes 8", SNUG_TILE_PLANES, 8, 8 * 8 * HEAD_DIM + 2 * SNUG_TILE_TOKENS },
    { "planes 6", SNUG_TILE_PLANES, 6, 8 * 6 * HEAD_DIM + 2 * SNUG_TILE_TOKENS },
    { "planes 5", SNUG_TILE_PLANES, 5, 8 * 5 * HEAD_DIM + 2 * SNUG_TILE_TOKENS },
    { "planes 4", SNUG_TILE_PLANES, 4, 8 * 4 * HEAD_DIM + 2 * SNUG_TILE_TOKENS },
    { "planes 3", SNUG_TILE_PLANES, 3, 8 * 3 * HEAD_DIM + 2 * SNUG_TILE_TOKENS },
    { "planes 2", SNUG_TILE_PLANES, 2, 8 * 2 * HEAD_DIM + 2 * SNUG_TILE_TOKENS },
    { "affine 8", SNUG_TILE_AFFINE, 8, 8 * 8 * HEAD_DIM + 4 * SNUG_TILE_TOKENS *HEAD_DIM / AFFINE_GROUP },
    { "affine 4", SNUG_TILE_AFFINE, 4, 8 * 4 * HEAD_DIM + 4 * SNUG_TILE_TOKENS *HEAD_DIM / AFFINE_GROUP },
};

/* What queries of a KV head have gathered. */
typedef struct state {
    float max[QUERIES_MAX];
    float sum[QUERIES_MAX];
    float out[QUERIES_MAX * HEAD_DIM];
} state;

/* One layer's attention for one token, or for a chunk of them. */
typedef struct job {
    const snug_kernels *kernels;
    const format *format;
    unsigned char *cache; /* [2][tiles][HEADS], as side_at() has it */
    size_t tiles;
    size_t run_tiles; /* of a part */
    size_t call_tiles;
    size_t queries; /* of a part */
    uint32_t group;
    size_t chunk; /* tokens; 0: one, as it is decoded */
    uint32_t threads;
    float query[QUERIES_MAX * HEAD_DIM];
    state states[THREADS_MAX][HEADS];
    unsigned char *scratch[THREADS_MAX];
    bench_clock clock;
    bool is_cached;
    const char *only; /* the one format that is measured, or NULL */
    float result;     /* kept, so that the work cannot be left out */
} job;

/* Tile and head `index` of `count`, of a side that begins at `at`: rows are together, planes of codes and
 * their scales lie each by itself, as in the cache. */
static snug_tile side_at(const format *f, unsigned char *at, size_t count, size_t index)
{
    const size_t scale_bytes = f->kind == SNUG_TILE_AFFINE ? snug_affine_scale_bytes(HEAD_DIM, AFFINE_GROUP)
                                                           : SNUG_TILE_TOKENS * sizeof(uint16_t);
    snug_tile tile = { .kind = f->kind, .bits = f->bits, .group = AFFINE_GROUP };

    if (!snug_tile_is_coded(f->kind)) {
        tile.rows = at + index * f->side_bytes;
        return tile;
    }
    for (unsigned p = 0; p < SNUG_CODES_PLANE_COUNT; p++) {
        const size_t bytes = snug_codes_plane_bytes((snug_codes_plane)p, HEAD_DIM);

        if (!snug_codes_has_plane(f->bits, (snug_codes_plane)p))
            continue;
        tile.codes.plane[p] = at + index * bytes;
        at += count * bytes;
    }
    at += index * scale_bytes * (f->kind == SNUG_TILE_AFFINE ? 2 : 1);
    tile.scale = (uint16_t *)(void *)at;
    if (f->kind == SNUG_TILE_AFFINE)
        tile.bias = (uint16_t *)(void *)(at + scale_bytes);
    return tile;
}

/* KV heads, and tiles of each: a part's; maybe none. */
typedef struct span {
    size_t first_head;
    size_t end_head;
    size_t first;
    size_t last;
} span;

static span span_of(const job *j, size_t part)
{
    const size_t first = snug_min_size(part * j->run_tiles, j->tiles);

    if (j->chunk > 0)
        return (span){ part % HEADS, part % HEADS + 1, 0, j->tiles };
    return (span){ 0, HEADS, first, snug_min_size(first + j->run_tiles, j->tiles) };
}

/* Where a call begins; at the end of a span, tile == last. */
typedef struct place {
    size_t head;
    size_t tile;
} place;

/* Keys and values of a call: how many tiles. */
static size_t read_run(snug_tile *keys_out, snug_tile *values_out, const job *j, const span *s, place at)
{
    const size_t count = snug_min_size(s->last - at.tile, j->call_tiles);

    for (size_t i = 0; i < count; i++) {
        const size_t index = (at.tile + i) * HEADS + at.head;
        const size_t tiles = j->tiles * HEADS;

        keys_out[i] = side_at(j->format, j->cache, tiles, index);
        values_out[i] = side_at(j->format, j->cache + tiles * j->format->side_bytes, tiles, index);
    }
    return count;
}

/* All heads go over the tiles of a call before the next ones. */
static place place_after(const span *s, place at, size_t tiles)
{
    return at.head + 1 < s->end_head ? (place){ at.head + 1, at.tile }
                                     : (place){ s->first_head, at.tile + tiles };
}

static void state_reset(state *s, size_t queries)
{
    for (size_t q = 0; q < queries; q++) {
        s->max[q] = -INFINITY;
        s->sum[q] = 0.0f;
    }
    memset(s->out, 0, queries * HEAD_DIM * sizeof *s->out);
}

/* A part's tiles of its KV heads, or all of one for some of a chunk's tokens. */
static void attend_part(void *user, size_t part, uint32_t worker)
{
    static const uint32_t begin[QUERIES_MAX * SNUG_ATTEND_RUN_TILES];
    job *j = user;
    const span own = span_of(j, part);
    const span then = span_of(j, part + j->threads); /* as kv/attention_token.c expects it */
    _Alignas(64) unsigned char prepared[QUERIES_MAX * PREPARED_BYTES];
    uint32_t end[QUERIES_MAX * SNUG_ATTEND_RUN_TILES];
    state *states = j->states[worker];
    snug_tile keys[2][SNUG_ATTEND_RUN_TILES]; /* of this call and the next one, in turn */
    snug_tile values[2][SNUG_ATTEND_RUN_TILES];
    snug_attend_coded_task task = {
        .attend = { .query = j->query,
                    .begin = begin,
                    .end = end,
                    .queries = j->queries,
                    .head_dim = HEAD_DIM,
                    .scratch = j->scratch[worker],
                    .takes_rows = j->chunk == 0 },
        .prepared = prepared,
    };

    for (size_t i = 0; i < SNUG_COUNT(end); i++)
        end[i] = SNUG_TILE_TOKENS;
    for (size_t head = own.first_head; head < own.end_head; head++)
        state_reset(&states[head], j->queries);
    j->kernels->attend_prepare(prepared, j->query, j->queries, HEAD_DIM);

    place at = { own.first_head, own.first };
    size_t next_tiles = read_run(keys[0], values[0], j, &own, at);

    for (size_t turn = 0; at.tile < own.last; turn ^= 1) {
        const place next = place_after(&own, at, next_tiles);

        task.key = keys[turn];
        task.value = values[turn];
        task.tiles = next_tiles;
        next_tiles = next.tile < own.last ? read_run(keys[turn ^ 1], values[turn ^ 1], j, &own, next)
                                          : read_run(keys[turn ^ 1], values[turn ^ 1], j, &then,
                                                     (place){ then.first_head, then.first });
        task.next_key = keys[turn ^ 1];
        task.next_tiles = next_tiles;
        task.attend.max = states[at.head].max;
        task.attend.sum = states[at.head].sum;
        task.attend.out = states[at.head].out;
        task.attend.key = task.key->rows;
        task.attend.value = task.value->rows;
        task.attend.next_key = next_tiles > 0 ? task.next_key->rows : NULL;
        if (snug_tile_is_coded(j->format->kind))
            j->kernels->attend_coded(&task);
        else
            j->kernels->attend[SNUG_TYPE_F16](&task.attend);
        at = next;
    }
    if (part == 0)
        j->result = states[0].out[0] / states[0].sum[0];
}

/* Seconds of one token, or chunk, the mean over some. */
static double measure(job *j, snug_work *work, unsigned char *buffer)
{
    const size_t bytes = j->tiles * HEADS * 2 * j->format->side_bytes;
    const size_t layers = j->is_cached ? 1 : BUFFER_BYTES / bytes;
    const size_t parts =
        j->chunk > 0 ? j->chunk * j->group / j->queries * HEADS : snug_divide_up(j->tiles, j->run_tiles);
    const uint64_t start = bench_clock_ns(j->clock);
    size_t tokens = 0;
    double seconds;

    do {
        j->cache = buffer + tokens % layers * bytes;
        snug_work_run(work, attend_part, j, parts);
        tokens++;
        seconds = (double)(bench_clock_ns(j->clock) - start) * 1e-9;
    } while (seconds < ROUND_SECONDS);
    return seconds / (double)tokens;
}

static void print_chunk(const job *j, uint32_t threads, const double *seconds)
{
    const double products =
        2.0 * (double)(j->tiles * SNUG_TILE_TOKENS * HEADS * HEAD_DIM * j->group * j->chunk);

    printf("%zu new tokens over %zu, %u queries a KV head, %u threads\n", j->chunk,
           j->tiles * SNUG_TILE_TOKENS, j->group, threads);
    for (size_t f = 0; f < SNUG_COUNT(formats); f++)
        printf("  %-9s %8.0f tokens/s %6.1f G products/s %6.2f x f16\n", formats[f].name,
               (double)j->chunk / seconds[f], products / seconds[f] * 1e-9, seconds[0] / seconds[f]);
}

static size_t call_tiles_of(const job *j)
{
    if (!snug_tile_is_coded(j->format->kind) || j->chunk > 0)
        return 1;
    return snug_min_size(snug_attend_call_tiles(j->format->bits, HEAD_DIM), QUERIES_MAX / j->queries);
}

static void measure_formats(job *j, snug_work *work, unsigned char *buffer, size_t tokens)
{
    double best[SNUG_COUNT(formats)];
    bench_peak peak = { 0 };

    j->tiles = tokens / SNUG_TILE_TOKENS;
    j->run_tiles =
        j->chunk > 0 ? j->tiles : snug_round_up(snug_divide_up(j->tiles, RUNS), SNUG_ATTEND_RUN_TILES);
    j->queries = j->chunk > 0 ? snug_min_size(QUERIES_MAX, j->chunk * j->group) : j->group;
    for (size_t f = 0; f < SNUG_COUNT(formats); f++)
        best[f] = INFINITY;
    for (int round = 0; round < (j->chunk > 0 ? ROUNDS / 2 : ROUNDS); round++) {
        if (j->chunk == 0)
            bench_peak_improve(&peak, work, j->clock, buffer, BUFFER_BYTES);
        for (size_t f = 0; f < SNUG_COUNT(formats); f++) {
            j->format = &formats[f];
            j->call_tiles = call_tiles_of(j);
            if (j->only && strcmp(j->only, j->format->name) != 0)
                continue;
            best[f] = fmin(best[f], measure(j, work, buffer));
        }
    }
    if (j->chunk > 0) {
        print_chunk(j, snug_work_threads(work), best);
        return;
    }
    printf("%zu tokens, %u queries a KV head, %u threads, %.1f GB/s\n", tokens, j->group,
           snug_work_threads(work), peak.read_bytes * 1e-9);
    for (size_t f = 0; f < SNUG_COUNT(formats); f++) {
        if (isinf(best[f]))
            continue;

        const double read = (double)(j->tiles * HEADS * 2 * formats[f].side_bytes) / best[f];

        printf("  %-9s %8.0f tokens/s %6.1f GB/s %4.0f %% of bandwidth %6.2f x f16\n", formats[f].name,
               1.0 / best[f], read * 1e-9, 100.0 * read / peak.read_bytes, best[0] / best[f]);
    }
}

typedef struct options {
    bench_clock clock;
    size_t chunk;
    bool is_cached;
    uint32_t queries; /* a KV head; 0: several in turn */
    uint32_t threads; /* 0: one, then two */
    const char *only; /* format, or NULL */
    snug_cpu_level level;
    size_t tokens[16];
    size_t count;
} options;

static snug_status run(const options *wanted, snug_error *error)
{
    static const uint32_t groups[] = { 4, 2, 1 };
    static job j;
    const uint32_t threads_max = wanted->clock == BENCH_CLOCK_CPU ? 1
                                 : wanted->threads > 0            ? wanted->threads
                                                                  : THREADS_MAX;
    const uint32_t threads_min = wanted->chunk > 0 || wanted->threads > 0 ? threads_max : 1;
    /* Of a chunk what binds is the same. */
    const size_t group_count = wanted->chunk > 0 || wanted->queries > 0 ? 1 : SNUG_COUNT(groups);
    snug_kernels kernels;
    snug_memory *memory = NULL;
    const size_t huge = snug_os_huge_page_bytes();
    unsigned char *buffer = snug_os_reserve_aligned(BUFFER_BYTES, huge > 0 ? huge : snug_os_page_bytes());
    unsigned char *scratch = aligned_alloc(64, THREADS_MAX * snug_attend_scratch_bytes(HEAD_DIM));

    if (!buffer || !scratch || !snug_os_commit(buffer, BUFFER_BYTES))
        SNUG_FAIL(error, SNUG_ERR_NO_MEMORY, "no memory for the %zu bytes that are read", BUFFER_BYTES);
    memset(buffer, HALF_BYTE, BUFFER_BYTES);
    for (size_t at = 0; huge > 0 && at + huge <= BUFFER_BYTES; at += huge)
        (void)snug_os_join(buffer + at, huge);
    SNUG_TRY(snug_memory_create(&memory, NULL));
    snug_kernels_init(&kernels, wanted->level, false);
    j.kernels = &kernels;
    j.clock = wanted->clock;
    j.is_cached = wanted->is_cached;
    j.chunk = wanted->chunk;
    j.only = wanted->only;
    for (size_t i = 0; i < SNUG_COUNT(j.query); i++)
        j.query[i] = (float)(i % 7) * 0.01f - 0.03f;
    for (size_t i = 0; i < THREADS_MAX; i++)
        j.scratch[i] = scratch + i * snug_attend_scratch_bytes(HEAD_DIM);
    for (uint32_t threads = threads_min; threads <= threads_max; threads++) {
        snug_work *work;

        SNUG_TRY(snug_work_create(&work, memory, threads, error));
        j.threads = threads;
        for (size_t i = 0; i < group_count * wanted->count; i++) {
            j.group = wanted->queries > 0 ? wanted->queries : groups[i / wanted->count];
            measure_formats(&j, work, buffer, wanted->tokens[i % wanted->count]);
        }
        snug_work_destroy(work);
    }
    snug_memory_destroy(memory);
    snug_os_release(buffer, BUFFER_BYTES);
    free(scratch);
    return SNUG_OK;
}

static bool read_options(options *out, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--cpu-time") == 0) {
            out->clock = BENCH_CLOCK_CPU;
        } else if (strcmp(argv[i], "--cached") == 0) {
            out->is_cached = true;
        } else if (strcmp(argv[i], "--chunk") == 0 && i + 1 < argc) {
            out->chunk = (size_t)strtoul(argv[++i], NULL, 10);
            if (out->chunk % QUERIES_MAX != 0 || out->chunk == 0 || out->chunk > 4096)
                return false;
        } else if (strcmp(argv[i], "--queries") == 0 && i + 1 < argc) {
            out->queries = (uint32_t)strtoul(argv[++i], NULL, 10);
            if (out->queries < 1 || out->queries > QUERIES_MAX)
                return false;
        } else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc) {
            out->threads = (uint32_t)strtoul(argv[++i], NULL, 10);
            if (out->threads < 1 || out->threads > THREADS_MAX)
                return false;
        } else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
            out->only = argv[++i];
        } else if (strcmp(argv[i], "--cpu") == 0 && i + 1 < argc) {
            if (!snug_cpu_level_parse(&out->level, argv[++i]))
                return false;
        } else {
            const size_t tokens = (size_t)strtoul(argv[i], NULL, 10);

            if (tokens < SNUG_TILE_TOKENS || tokens > 65536 || out->count == SNUG_COUNT(out->tokens))
                return false;
            out->tokens[out->count++] = tokens;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    options wanted = { .clock = BENCH_CLOCK_WALL, .level = SNUG_CPU_AUTO };
    snug_error error = { SNUG_OK, "" };

    if (!read_options(&wanted, argc, argv)) {
        fprintf(
            stderr,
            "usage: attention [--cpu-time] [--cached] [--chunk N] [--cpu c|avx2|avx512|avx512bf16|amx] "
            "[--threads N] [--queries N] [--only FORMAT] [TOKENS ...], each from 64 to 65536, a chunk's N "
            "a multiple of 64\n");
        return 2;
    }
    if (wanted.count == 0) {
        static const size_t usual[] = { 1024, 4096, 16384, 32768 };

        memcpy(wanted.tokens, usual, sizeof usual);
        wanted.count = SNUG_COUNT(usual);
    }
    if (run(&wanted, &error) != SNUG_OK) {
        fprintf(stderr, "attention: %s\n", error.text);
        return 1;
    }
    return 0;
}
