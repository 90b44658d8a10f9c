/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile.c - see the header.
 */
#include "cli/profile.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/status.h"

/* Between samples at first: reading the kernel's figures takes some 0.2 ms. */
#define INTERVAL_NS ((uint64_t)5000000)

static uint64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

cli_profile *cli_profile_create(void)
{
    cli_profile *profile = malloc(sizeof *profile);

    if (!profile)
        return NULL;
    memset(profile, 1, sizeof *profile); /* every page is there now, and the plan will see it */
    memset(profile, 0, sizeof *profile);
    profile->begin_ns = now_ns();
    profile->interval_ns = INTERVAL_NS;
    return profile;
}

static void thin_out(cli_profile *profile)
{
    for (size_t i = 0; i < CLI_PROFILE_SAMPLES / 2; i++)
        profile->sample[i] = profile->sample[2 * i];
    profile->sample_count = CLI_PROFILE_SAMPLES / 2;
    profile->interval_ns *= 2;
}

static void take(cli_profile *profile, uint64_t now)
{
    cli_profile_sample *sample;
    snug_memory_state state;

    if (profile->sample_count == CLI_PROFILE_SAMPLES)
        thin_out(profile);
    sample = &profile->sample[profile->sample_count++];
    snug_memory_read_state(&state, profile->memory);
    sample->time_ns = now - profile->begin_ns;
    sample->kernel_bytes = state.process_anonymous_bytes;
    sample->limit_bytes = state.limit_bytes;
    if (state.binding == SNUG_MEMORY_SOURCE_USER && state.limit_bytes < SNUG_MEMORY_NO_LIMIT)
        sample->limit_bytes += profile->fixed_bytes; /* which the ledger's own limit leaves out */
    sample->tokens = profile->session ? snug_session_tokens(profile->session) : 0;
    for (int use = 0; use < SNUG_MEMORY_USE_COUNT; use++)
        sample->use_bytes[use] = snug_memory_read(profile->memory, (snug_memory_use)use).used_bytes;
}

void cli_profile_tick(cli_profile *profile)
{
    const uint64_t now = now_ns();
    const size_t count = profile->sample_count;

    if (count == 0 || now - profile->begin_ns >= profile->sample[count - 1].time_ns + profile->interval_ns)
        take(profile, now);
}

void cli_profile_note(cli_profile *profile, const char *kind, const char *format, ...)
{
    const uint64_t now = now_ns();
    cli_profile_event *event;
    va_list arguments;

    take(profile, now);
    if (profile->event_count == CLI_PROFILE_EVENTS) {
        profile->lost_events++;
        return;
    }
    event = &profile->event[profile->event_count++];
    event->time_ns = now - profile->begin_ns;
    event->tokens = profile->sample[profile->sample_count - 1].tokens;
    event->kind = kind;
    va_start(arguments, format);
    (void)vsnprintf(event->detail, sizeof event->detail, format, arguments);
    va_end(arguments);
}

uint64_t cli_profile_total(const cli_profile *profile, const cli_profile_sample *sample)
{
    uint64_t total = profile->fixed_bytes;

    for (int use = 0; use < SNUG_MEMORY_USE_COUNT; use++)
        total += sample->use_bytes[use];
    return total;
}

/* --- as text ------------------------------------------------------------------------------------------- */

void cli_profile_write_json(const cli_profile *profile)
{
    cli_print("\"samples\": [");
    for (size_t i = 0; i < profile->sample_count; i++) {
        const cli_profile_sample *sample = &profile->sample[i];

        cli_print("%s\n{\"time_ms\": %.3f, \"tokens\": %u, \"kernel_bytes\": %llu, \"limit_bytes\": %llu",
                  i > 0 ? "," : "", (double)sample->time_ns / 1e6, sample->tokens,
                  (unsigned long long)sample->kernel_bytes, (unsigned long long)sample->limit_bytes);
        for (int use = 0; use < SNUG_MEMORY_USE_COUNT; use++)
            cli_print(", \"%s\": %llu", snug_memory_use_name((snug_memory_use)use),
                      (unsigned long long)sample->use_bytes[use]);
        cli_print("}");
    }
    cli_print("],\n\"events\": [");
    for (size_t i = 0; i < profile->event_count; i++)
        cli_print("%s\n{\"time_ms\": %.3f, \"tokens\": %u, \"event\": \"%s\", \"detail\": \"%s\"}",
                  i > 0 ? "," : "", (double)profile->event[i].time_ns / 1e6, profile->event[i].tokens,
                  profile->event[i].kind, profile->event[i].detail);
    cli_print("]");
}

static void write_csv_sample(FILE *file, const cli_profile *profile, const cli_profile_sample *sample)
{
    fprintf(file, "%.3f,%u", (double)sample->time_ns / 1e6, sample->tokens);
    for (int use = 0; use < SNUG_MEMORY_USE_COUNT; use++)
        fprintf(file, ",%llu", (unsigned long long)sample->use_bytes[use]);
    fprintf(file, ",%llu,%llu,%llu", (unsigned long long)profile->fixed_bytes,
            (unsigned long long)sample->kernel_bytes, (unsigned long long)sample->limit_bytes);
}

bool cli_profile_write_csv(const cli_profile *profile, FILE *file)
{
    size_t event = 0;

    fprintf(file, "time_ms,tokens");
    for (int use = 0; use < SNUG_MEMORY_USE_COUNT; use++)
        fprintf(file, ",%s_bytes", snug_memory_use_name((snug_memory_use)use));
    fprintf(file, ",fixed_bytes,kernel_bytes,limit_bytes,event\n");
    for (size_t i = 0; i < profile->sample_count; i++) {
        const char *quote = "";

        write_csv_sample(file, profile, &profile->sample[i]);
        fprintf(file, ",");
        for (; event < profile->event_count && profile->event[event].time_ns <= profile->sample[i].time_ns;
             event++) {
            fprintf(file, "%s%s %s", *quote ? "; " : "\"", profile->event[event].kind,
                    profile->event[event].detail);
            quote = "\"";
        }
        fprintf(file, "%s\n", quote);
    }
    return !ferror(file);
}
