/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor.c - what looking at memory costs: one sample that is due, one that is not, a second look at which
 * groups limit us, and the ledger's whole state.
 *
 *   monitor [RESIDENT_MIB]   with that much anonymous memory of its own (default 256)
 *
 * Prints the median, the 99th percentile and the most, in microseconds.
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
    status = 0;
out_memory:
    snug_memory_destroy(memory);
out:
    free(resident);
    return status;
}
