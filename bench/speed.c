/* SPDX-License-Identifier: Apache-2.0 */
/*
 * speed.c - how much of the machine a model uses: prefill as a share of what it multiplies, decode as a
 * share of what it reads. Both are measured in turns with the machine's own peaks, so that a slow minute
 * hits all alike.
 *
 *   speed                          the machine's peaks only
 *   speed MODEL [--threads N] [--repetitions R] [--prompt N] [--tokens N] [--depth N] [--cpu-time 1]
 *
 * One JSON object on standard output. Of each speed the median, the least and the best; of a peak the best.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <snug/session.h>

#include "base/random.h"
#include "base/size.h"
#include "base/status.h"
#include "os/machine.h"
#include "os/pages.h"
#include "peak.h"

enum {
    REPETITIONS_MAX = 100,
    IDS_MAX = 1 << 16,
    TESTS = 3,
};

#define BUFFER_BYTES ((size_t)256 << 20)

typedef struct speed_options {
    const char *model;
    uint32_t threads, repetitions, prompt, tokens, depth;
    uint32_t cpu_time; /* bool: see bench_clock in peak.h */
} speed_options;

typedef struct test {
    const char *kind;
    uint32_t depth;
    uint32_t tokens;
    bool is_decode;
    double seconds[REPETITIONS_MAX];
} test;

typedef struct bench {
    speed_options options;
    snug_memory *memory;
    bench_clock clock;
    snug_work *work; /* of the peaks; sleeps while the session's own threads work */
    unsigned char *buffer;
    snug_model *model;
    snug_session *session;
    snug_model_info info;
    bench_peak peak;
    test tests[TESTS];
    size_t test_count;
    uint32_t ids[IDS_MAX];
} bench;

/* --- measuring
 * ------------------------------------------------------------------------------------------- */

/* Bring the session to `depth` tokens; those that a layer with a window has dropped are computed again. */
static snug_status go_to(bench *b, uint32_t depth, snug_error *error)
{
    const uint32_t held = snug_session_truncate(b->session, depth);

    return held == depth ? SNUG_OK : snug_session_eval(b->session, b->ids + held, depth - held, NULL, error);
}

static snug_status measure_test(bench *b, test *t, double *seconds_out, snug_error *error)
{
    const uint32_t step = t->is_decode ? 1 : t->tokens;
    uint64_t start;

    SNUG_TRY(go_to(b, t->depth, error));
    start = bench_clock_ns(b->clock);
    for (uint32_t done = 0; done < t->tokens; done += step)
        SNUG_TRY(snug_session_eval(b->session, b->ids + t->depth + done, step, NULL, error));
    *seconds_out = (double)(bench_clock_ns(b->clock) - start) * 1e-9;
    return SNUG_OK;
}

/* Test by test, so that a depth is reached once; the first try of each does not count. */
static snug_status measure(bench *b, snug_error *error)
{
    double warm_up;

    for (uint32_t repetition = 0; repetition < b->options.repetitions; repetition++)
        bench_peak_improve(&b->peak, b->work, b->clock, b->buffer, BUFFER_BYTES);
    for (size_t i = 0; i < b->test_count; i++) {
        SNUG_TRY(measure_test(b, &b->tests[i], &warm_up, error));
        for (uint32_t repetition = 0; repetition < b->options.repetitions; repetition++) {
            bench_peak_improve(&b->peak, b->work, b->clock, b->buffer, BUFFER_BYTES);
            SNUG_TRY(measure_test(b, &b->tests[i], &b->tests[i].seconds[repetition], error));
        }
    }
    return SNUG_OK;
}

/* --- what it amounts to
 * ---------------------------------------------------------------------------------- */

/* Positions that the queries of a test see, summed up. */
static double positions_seen(const test *t)
{
    return (double)t->tokens * ((double)t->depth + ((double)t->tokens + 1.0) / 2.0);
}

/* Two for each weight and token, the head for the last token only, and attention: two products per
 * position. */
static double prefill_flop(const bench *b, const test *t)
{
    const snug_model_info *i = &b->info;
    const double value_bytes = strcmp(i->weight_type, "F32") == 0 ? 4.0 : 2.0;
    const double head = (double)i->vocabulary * i->hidden;
    const double layers = (double)i->weight_bytes / value_bytes - head;

    return 2.0 * layers * t->tokens + 2.0 * head +
           4.0 * i->layer_count * i->head_count * i->head_dim * positions_seen(t);
}

/* Of the weights and the f16 cache, for all tokens of the test. */
static double decode_bytes(const bench *b, const test *t)
{
    const snug_kv_shape *shape = snug_model_kv_shape(b->model);
    double token_bytes = 0.0;

    for (uint32_t i = 0; i < shape->layer_count; i++)
        token_bytes += 2.0 * 2.0 * shape->layer[i].kv_head_count * shape->layer[i].head_dim;
    return (double)b->info.weight_bytes * t->tokens + token_bytes * positions_seen(t);
}

static int compare(const void *a, const void *b)
{
    double x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static void print_share(const char *name, double rate, double peak)
{
    if (peak > 0.0)
        printf(", \"%s\": %.3f", name, rate / peak);
}

static void print_test(bench *b, test *t, bool is_last)
{
    const uint32_t n = b->options.repetitions;

    qsort(t->seconds, n, sizeof t->seconds[0], compare);
    printf(
        "  {\"kind\": \"%s\", \"depth\": %u, \"tokens\": %u, \"median\": %.2f, \"min\": %.2f, \"max\": %.2f",
        t->kind, t->depth, t->tokens, t->tokens / t->seconds[n / 2], t->tokens / t->seconds[n - 1],
        t->tokens / t->seconds[0]);
    for (int is_best = 0; is_best < 2; is_best++) {
        const double seconds = t->seconds[is_best ? 0 : n / 2];

        printf(",\n   \"%s\": {\"%s\": %.4g", is_best ? "best" : "at_median",
               t->is_decode ? "bytes_per_second" : "flop_per_second",
               (t->is_decode ? decode_bytes(b, t) : prefill_flop(b, t)) / seconds);
        if (t->is_decode) {
            print_share("bandwidth_share", decode_bytes(b, t) / seconds, b->peak.read_bytes);
        } else {
            print_share("f32_share", prefill_flop(b, t) / seconds, b->peak.f32_flop);
            print_share("bf16_share", prefill_flop(b, t) / seconds, b->peak.bf16_flop);
            print_share("int16_share", prefill_flop(b, t) / seconds, b->peak.int16_flop);
        }
        printf("}");
    }
    printf("}%s\n", is_last ? "" : ",");
}

static void print_results(bench *b)
{
    char cpu[128];

    snug_os_cpu_name(cpu, sizeof cpu);
    printf(
        "{\"machine\": {\"cpu\": \"%s\", \"level\": \"%s\", \"threads\": %u, \"read_bytes_per_second\": "
        "%.4g,\n"
        "  \"f32_flop_per_second\": %.4g, \"bf16_flop_per_second\": %.4g, \"int16_flop_per_second\": %.4g}",
        cpu, snug_cpu_level_name(snug_cpu_detect()), snug_work_threads(b->work), b->peak.read_bytes,
        b->peak.f32_flop, b->peak.bf16_flop, b->peak.int16_flop);
    if (b->test_count > 0)
        printf(",\n \"tests\": [\n");
    for (size_t i = 0; i < b->test_count; i++)
        print_test(b, &b->tests[i], i + 1 == b->test_count);
    printf("%s}\n", b->test_count > 0 ? " ]" : "");
}

/* --- options and preparation
 * ----------------------------------------------------------------------------- */

static bool read_options(speed_options *o, int argc, char **argv)
{
    const struct {
        const char *name;
        uint32_t *out;
        unsigned long max;
    } numbers[] = {
        { "--threads", &o->threads, 256 },   { "--repetitions", &o->repetitions, REPETITIONS_MAX },
        { "--prompt", &o->prompt, IDS_MAX }, { "--tokens", &o->tokens, IDS_MAX },
        { "--depth", &o->depth, IDS_MAX },   { "--cpu-time", &o->cpu_time, 1 },
    };
    int at = 1;

    if (argc > 1 && argv[1][0] != '-')
        o->model = argv[at++];
    for (; at + 1 < argc; at += 2) {
        size_t i = 0;
        char *end;
        unsigned long value;

        while (i < SNUG_COUNT(numbers) && strcmp(argv[at], numbers[i].name) != 0)
            i++;
        value = strtoul(argv[at + 1], &end, 10);
        if (i == SNUG_COUNT(numbers) || *end != '\0' || value == 0 || value > numbers[i].max)
            return false;
        *numbers[i].out = (uint32_t)value;
    }
    return at == argc && (!o->cpu_time || o->threads == 1) &&
           o->depth + snug_max_size(o->prompt, o->tokens) <= IDS_MAX;
}

static snug_status open_model(bench *b, snug_error *error)
{
    const speed_options *o = &b->options;
    const uint32_t longest = o->depth + (uint32_t)snug_max_size(o->prompt, o->tokens);
    const snug_session_options session = { .struct_size = sizeof session,
                                           .context_tokens = longest,
                                           .prefill_chunk = o->prompt,
                                           .threads = o->threads };
    snug_random random = { 1 };

    SNUG_TRY(snug_model_open(&b->model, b->memory, o->model, NULL, error));
    SNUG_TRY(snug_session_create(&b->session, b->model, b->memory, &session, error));
    b->info.struct_size = sizeof b->info;
    snug_model_read_info(&b->info, b->model);
    for (uint32_t i = 0; i < longest; i++)
        b->ids[i] = (uint32_t)(snug_random_next(&random) % b->info.vocabulary);
    b->tests[0] = (test){ .kind = "prefill", .tokens = o->prompt };
    b->tests[1] = (test){ .kind = "decode", .tokens = o->tokens, .is_decode = true };
    b->tests[2] = (test){ .kind = "decode", .tokens = o->tokens, .depth = o->depth, .is_decode = true };
    b->test_count = TESTS;
    return SNUG_OK;
}

static snug_status run(bench *b, snug_error *error)
{
    SNUG_TRY(snug_memory_create(&b->memory, NULL));
    SNUG_TRY(snug_work_create(&b->work, b->memory, b->options.threads, error));
    b->buffer = snug_os_reserve(BUFFER_BYTES);
    if (!b->buffer || !snug_os_commit(b->buffer, BUFFER_BYTES))
        SNUG_FAIL(error, SNUG_ERR_NO_MEMORY, "no memory for the %zu bytes that are read", BUFFER_BYTES);
    memset(b->buffer, 1, BUFFER_BYTES); /* pages of its own: untouched ones are all the same page */
    if (b->options.model)
        SNUG_TRY(open_model(b, error));
    SNUG_TRY(measure(b, error));
    print_results(b);
    return SNUG_OK;
}

int main(int argc, char **argv)
{
    static bench b = { .options = { .repetitions = 5, .prompt = 512, .tokens = 64, .depth = 4096 } };
    snug_error error = { SNUG_OK, "" };
    snug_status status;

    if (!read_options(&b.options, argc, argv)) {
        fprintf(stderr, "usage: speed [MODEL] [--OPTION NUMBER ...]; the options are in bench/README.md\n");
        return 2;
    }
    b.clock = b.options.cpu_time ? BENCH_CLOCK_CPU : BENCH_CLOCK_WALL;
    status = run(&b, &error);
    if (status != SNUG_OK)
        fprintf(stderr, "speed: %s\n", error.text[0] ? error.text : snug_status_text(status));
    snug_session_destroy(b.session);
    snug_model_close(b.model);
    if (b.buffer)
        snug_os_release(b.buffer, BUFFER_BYTES);
    snug_work_destroy(b.work);
    snug_memory_destroy(b.memory);
    return status == SNUG_OK ? 0 : 1;
}
