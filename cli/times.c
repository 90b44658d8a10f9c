/* SPDX-License-Identifier: Apache-2.0 */
/*
 * times.c - see the header.
 */
#include "cli/times.h"

#include <stdio.h>

void cli_times_read(cli_times *times, snug_session *session, uint64_t tokens)
{
    times->count = snug_session_read_times(times->time, session);
    times->tokens = tokens;
    snug_session_take_times(session, false);
}

static uint64_t whole_ns(const cli_times *times)
{
    uint64_t ns = 0;

    for (size_t i = 0; i < times->count; i++)
        ns += times->time[i].ns;
    return ns;
}

static double ms_per_token(const cli_times *times, uint64_t ns)
{
    return times->tokens > 0 ? (double)ns / 1e6 / (double)times->tokens : 0;
}

static void print_row(void (*print)(const char *line), const char *kind, const char *type, double ms,
                      double share)
{
    char name[32];
    char line[80];

    snprintf(name, sizeof name, "%s%s%s", kind, type[0] ? " " : "", type);
    snprintf(line, sizeof line, "         %-20s %11.3f ms %8.1f %%", name, ms, share * 100);
    print(line);
}

void cli_times_print(const cli_times *times, void (*print)(const char *line))
{
    const uint64_t whole = whole_ns(times);

    for (size_t i = 0; i < times->count; i++) {
        const snug_time *time = &times->time[i];

        print_row(print, time->kind, time->type, ms_per_token(times, time->ns),
                  (double)time->ns / (double)whole);
    }
    print_row(print, "a token", "", ms_per_token(times, whole), 1);
}

json_t *cli_times_json(const cli_times *times)
{
    const uint64_t whole = whole_ns(times);
    json_t *list = json_array();

    for (size_t i = 0; i < times->count; i++) {
        const snug_time *time = &times->time[i];

        json_array_append_new(list, json_pack("{s:s,s:s,s:f,s:f}", "kind", time->kind, "type", time->type,
                                              "ms", ms_per_token(times, time->ns), "share",
                                              (double)time->ns / (double)whole));
    }
    return list;
}
