/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor.c - what looking at memory costs: one sample that is due, one that is not, a second look at which
 * groups limit us, and the ledger's whole state.
 *
 *   monitor [RESIDENT_MIB [MODEL [THREADS]]]   with that much anonymous memory of its own (default 256)
 *
 * Prints the median, the 99th percentile and the most, in microseconds. With a model also what a session that
 * adapts takes beside one that does not: both decode the same tokens, a few each in turn.
 */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <snug/snug.h>

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

/* --- a session that adapts beside one that does not --------------------------------------------------- */

/* Blocks are long beside the time between two samples: that of the other session must not make one due. */
#define BLOCKS      12
#define PAIRS       4
#define BLOCK_US    100000.0
#define TOKENS_MOST 2048u

static double cpu_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

typedef struct timing {
    double wall_us[BLOCKS];
    double cpu_us[BLOCKS];
} timing;

/* So many tokens from the begin of a conversation. */
static int run_block(timing *t, size_t block, snug_session *session, uint32_t tokens)
{
    const double cpu = cpu_us();
    const double wall = now_us();
    snug_error error;

    (void)snug_session_truncate(session, 0);
    for (uint32_t i = 0; i < tokens; i++) {
        const uint32_t id = 300 + i % 400;

        if (snug_session_eval(session, &id, 1, NULL, &error) != SNUG_OK) {
            fprintf(stderr, "monitor: %s\n", error.text);
            return 1;
        }
    }
    t->wall_us[block] = now_us() - wall;
    t->cpu_us[block] = cpu_us() - cpu;
    return 0;
}

static double median_ratio(const double *with, const double *without)
{
    static double ratio[BLOCKS];

    for (size_t i = 0; i < BLOCKS; i++)
        ratio[i] = with[i] / without[i];
    qsort(ratio, BLOCKS, sizeof *ratio, compare);
    return ratio[BLOCKS / 2];
}

/* As many tokens as take BLOCK_US; 0 after an error, which was told. */
static uint32_t choose_tokens(snug_session *session)
{
    timing first = { { 0 }, { 0 } };
    uint32_t tokens = 8;

    while (tokens < TOKENS_MOST && first.cpu_us[0] < BLOCK_US) {
        tokens *= 2;
        if (run_block(&first, 0, session, tokens) != 0)
            return 0;
    }
    return tokens;
}

static double median_token(const double *us, uint32_t tokens)
{
    static double sorted[BLOCKS];

    memcpy(sorted, us, sizeof sorted);
    qsort(sorted, BLOCKS, sizeof *sorted, compare);
    return sorted[BLOCKS / 2] / tokens;
}

/* Where a session lies in memory changes its speed, too: so each kind is made first as often as last. */
static int measure_pair(timing *with, timing *without, const snug_model *model, snug_memory *memory,
                        const snug_session_options *options, bool is_adapting_first, uint32_t *tokens)
{
    snug_session_options first_options = *options, second_options = *options;
    snug_session *first = NULL, *second = NULL, *adapting, *plain;
    snug_error error = { SNUG_OK, "" };
    int status = 1;

    first_options.adapt = is_adapting_first;
    second_options.adapt = !is_adapting_first;
    if (snug_session_create(&first, model, memory, &first_options, &error) != SNUG_OK ||
        snug_session_create(&second, model, memory, &second_options, &error) != SNUG_OK) {
        fprintf(stderr, "monitor: %s\n", error.text);
        goto out;
    }
    adapting = is_adapting_first ? first : second;
    plain = is_adapting_first ? second : first;
    if (*tokens == 0)
        *tokens = choose_tokens(plain);
    if (*tokens == 0)
        goto out;
    for (size_t i = 0; i < BLOCKS; i++) /* who comes first changes */
        if (run_block(i % 2 ? with : without, i, i % 2 ? adapting : plain, *tokens) != 0 ||
            run_block(i % 2 ? without : with, i, i % 2 ? plain : adapting, *tokens) != 0)
            goto out;
    status = 0;
out:
    snug_session_destroy(first);
    snug_session_destroy(second);
    return status;
}

static int measure_sessions(snug_memory *memory, const char *folder, uint32_t threads)
{
    const snug_session_options options = { .struct_size = sizeof options,
                                           .context_tokens = TOKENS_MOST,
                                           .threads = threads };
    static timing with, without;
    double wall = 0, cpu = 0;
    uint32_t tokens = 0;
    snug_model *model;
    snug_error error;
    int status = 0;

    if (snug_model_open(&model, memory, folder, NULL, &error) != SNUG_OK) {
        fprintf(stderr, "monitor: %s\n", error.text);
        return 1;
    }
    for (int pair = 0; pair < PAIRS && status == 0; pair++) {
        status = measure_pair(&with, &without, model, memory, &options, pair % 2 == 1, &tokens);
        wall += median_ratio(with.wall_us, without.wall_us) / PAIRS;
        cpu += median_ratio(with.cpu_us, without.cpu_us) / PAIRS;
    }
    if (status == 0)
        printf(
            "%d x %u tokens of %s, threads: %u; %.1f us each, adapting %+.2f %%, processor's time %+.2f %%\n",
            PAIRS * BLOCKS, tokens, folder, (unsigned)threads, median_token(without.wall_us, tokens),
            100 * (wall - 1), 100 * (cpu - 1));
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
                 ? measure_sessions(memory, words[2], count > 3 ? (uint32_t)strtoul(words[3], NULL, 10) : 1)
                 : 0;
out_memory:
    snug_memory_destroy(memory);
out:
    free(resident);
    return status;
}
