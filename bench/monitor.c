/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor.c - what looking at memory costs: one sample that is due, one that is not, a second look at which
 * groups limit us, and the ledger's whole state.
 *
 *   monitor [RESIDENT_MIB [MODEL [THREADS [SECONDS]]]]   with that much anonymous memory of its own (256)
 *
 * Prints the median, the 99th percentile and the most, in microseconds. With a model also what decode takes
 * with its monitoring on beside off: the same tokens, in short blocks in turn, for so long (10).
 */
#define _POSIX_C_SOURCE 200809L

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <snug/snug.h>

#include "session/session.h"

#define SAMPLES 2000

static double now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void report(const char *what, double *us, size_t count)
{
    qsort(us, count, sizeof *us, compare);
    printf("%-34s %8.2f %8.2f %8.2f\n", what, us[count / 2], us[count * 99 / 100], us[count - 1]);
}

/* Each sample is due; `resolve_ns` 1: each looks up the groups too. */
static int measure_samples(const char *what, snug_memory *memory, uint64_t resolve_ns, size_t count)
{
    const snug_monitor_options options = {
        .struct_size = sizeof options, .interval_ns = 1, .resolve_ns = resolve_ns, .ignores_environment = true
    };
    static double us[SAMPLES];
    snug_monitor *monitor;
    snug_error error;

    if (snug_monitor_create(&monitor, memory, &options, &error) != SNUG_OK) {
        fprintf(stderr, "monitor: %s\n", error.text);
        return 1;
    }
    for (size_t i = 0; i < count; i++) {
        const double from = now_us();

        snug_monitor_count_passes(monitor, 1);
        (void)snug_monitor_sample(monitor, NULL);
        us[i] = now_us() - from;
    }
    report(what, us, count);
    snug_monitor_destroy(monitor);
    return 0;
}

static int measure_not_due(snug_memory *memory)
{
    const snug_monitor_options options = { .struct_size = sizeof options,
                                           .interval_ns = UINT64_MAX / 2,
                                           .ignores_environment = true };
    static double us[SAMPLES];
    snug_pressure_reading reading;
    snug_monitor *monitor;
    snug_error error;

    if (snug_monitor_create(&monitor, memory, &options, &error) != SNUG_OK) {
        fprintf(stderr, "monitor: %s\n", error.text);
        return 1;
    }
    for (size_t i = 0; i < SAMPLES; i++) {
        const double from = now_us();

        for (int k = 0; k < 100; k++)
            (void)snug_monitor_sample(monitor, &reading);
        us[i] = (now_us() - from) / 100;
    }
    report("a sample that is not due", us, SAMPLES);
    snug_monitor_destroy(monitor);
    return 0;
}

/* --- decode with and without ---------------------------------------------------------------------------- */

/*
 * One session, whose relief is switched on and off: two sessions lie at different places in memory, which
 * changes their speed by more than what is measured. Four blocks in turn, on off off on and then off on on
 * off, give one ratio: a speed that drifts takes no side. Blocks are short, because a shared host's speed
 * changes from one tenth of a second to the next.
 *
 * A sample is due as often as ever, and half of the time there is nobody to take it: so what is monitored
 * pays for twice as many. The result is an upper bound.
 */
#define BLOCK_US    10000.0
#define QUADS_MOST  4096u
#define TOKENS_MOST 2048u

static double cpu_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

typedef struct timing {
    double wall_us;
    double cpu_us;
} timing;

/* So many tokens from the begin of a conversation; their time is added to *t. */
static int run_block(timing *t, snug_session *session, uint32_t tokens, bool is_on)
{
    const double cpu = cpu_us();
    const double wall = now_us();
    snug_error error;

    session->relief.is_on = is_on;
    (void)snug_session_truncate(session, 0);
    for (uint32_t i = 0; i < tokens; i++) {
        const uint32_t id = 300 + i % 400;

        if (snug_session_eval(session, &id, 1, NULL, &error) != SNUG_OK) {
            fprintf(stderr, "monitor: %s\n", error.text);
            return 1;
        }
    }
    t->wall_us += now_us() - wall;
    t->cpu_us += cpu_us() - cpu;
    return 0;
}

/* As many tokens as take BLOCK_US; 0 after an error, which was told. */
static uint32_t choose_tokens(snug_session *session)
{
    timing first = { 0, 0 };
    uint32_t tokens = 16;

    if (run_block(&first, session, tokens, false) != 0)
        return 0;
    for (first.cpu_us = 0; tokens < TOKENS_MOST && first.cpu_us < BLOCK_US; tokens *= 2) {
        first.cpu_us = 0;
        if (run_block(&first, session, tokens, false) != 0)
            return 0;
    }
    return (uint32_t)((double)tokens / 2 * BLOCK_US / first.cpu_us) + 1;
}

/* The median, and where it lies with 95 %: between two values whose ranks come from the binomial distribution
 * of how many are below it. */
static void report_ratio(const char *what, double *ratio, uint32_t count)
{
    const double width = 0.98 * sqrt(count);
    const uint32_t from = count / 2.0 > width ? (uint32_t)(count / 2.0 - width) : 0;

    qsort(ratio, count, sizeof *ratio, compare);
    printf(", %s %+.2f %% (95 %%: %+.2f to %+.2f)", what, 100 * (ratio[count / 2] - 1),
           100 * (ratio[from] - 1), 100 * (ratio[count - 1 - from] - 1));
}

/* On off off on, or off on on off, into with[quad] / without[quad] of both clocks. */
static int run_quad(double *wall, double *cpu, double *token_us, snug_session *session, uint32_t tokens,
                    bool is_on_first)
{
    timing on = { 0, 0 }, off = { 0, 0 };

    for (int i = 0; i < 4; i++) {
        const bool is_on = (i == 0 || i == 3) == is_on_first;

        if (run_block(is_on ? &on : &off, session, tokens, is_on) != 0)
            return 1;
    }
    *wall = on.wall_us / off.wall_us;
    *cpu = on.cpu_us / off.cpu_us;
    *token_us = off.wall_us / (2 * tokens);
    return 0;
}

static int measure_session(snug_session *session, const char *folder, uint32_t threads, double seconds)
{
    static double wall[QUADS_MOST], cpu[QUADS_MOST], token_us[QUADS_MOST];
    const double end = now_us() + seconds * 1e6;
    const uint32_t tokens = choose_tokens(session);
    uint32_t quads = 0;

    if (tokens == 0)
        return 1;
    while (quads < QUADS_MOST && (quads < 4 || now_us() < end)) {
        if (run_quad(&wall[quads], &cpu[quads], &token_us[quads], session, tokens, quads % 2 == 0) != 0)
            return 1;
        quads++;
    }
    qsort(token_us, quads, sizeof *token_us, compare);
    printf("%u x 4 x %u tokens of %s, threads: %u; %.1f us each, monitored", quads, tokens, folder,
           (unsigned)threads, token_us[quads / 2]);
    report_ratio("time", wall, quads);
    report_ratio("processor's", cpu, quads);
    printf("\n");
    return 0;
}

static int measure_model(snug_memory *memory, const char *folder, uint32_t threads, double seconds)
{
    const snug_session_options options = {
        .struct_size = sizeof options, .context_tokens = TOKENS_MOST, .threads = threads, .adapt = true
    };
    snug_session *session = NULL;
    snug_model *model;
    snug_error error;
    int status = 1;

    if (snug_model_open(&model, memory, folder, NULL, &error) != SNUG_OK) {
        fprintf(stderr, "monitor: %s\n", error.text);
        return 1;
    }
    if (snug_session_create(&session, model, memory, &options, &error) == SNUG_OK)
        status = measure_session(session, folder, threads, seconds);
    else
        fprintf(stderr, "monitor: %s\n", error.text);
    snug_session_destroy(session);
    snug_model_close(model);
    return status;
}

int main(int count, char **words)
{
    const size_t bytes = (size_t)(count > 1 ? strtoul(words[1], NULL, 10) : 256) << 20;
    static double us[SAMPLES];
    char *resident = malloc(bytes + 1);
    snug_memory *memory;
    snug_memory_state state;
    int status = 1;

    if (!resident || snug_memory_create(&memory, NULL) != SNUG_OK)
        goto out;
    memset(resident, 1, bytes);
    snug_memory_read_state(&state, memory);
    printf("%zu control groups (version %d), limited by %s; microseconds: median, 99 %%, most\n",
           state.level_count, state.cgroup_version, state.binding_text);
    if (measure_not_due(memory) || measure_samples("a sample", memory, UINT64_MAX / 2, SAMPLES) ||
        measure_samples("a sample that looks up the groups", memory, 1, SAMPLES / 4))
        goto out_memory;
    for (size_t i = 0; i < SAMPLES / 4; i++) {
        const double from = now_us();

        snug_memory_read_state(&state, memory);
        us[i] = now_us() - from;
    }
    report("snug_memory_read_state()", us, SAMPLES / 4);
    status = count > 2
                 ? measure_model(memory, words[2], count > 3 ? (uint32_t)strtoul(words[3], NULL, 10) : 1,
                                 count > 4 ? strtod(words[4], NULL) : 10)
                 : 0;
out_memory:
    snug_memory_destroy(memory);
out:
    free(resident);
    return status;
}
