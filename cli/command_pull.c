/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_pull.c - a model from the hub into the cache folder, with its progress on standard error.
 */
#include "cli/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <snug/hub.h>

#include "base/status.h"
#include "cli/catalog.h"
#include "cli/hub_name.h"
#include "cli/report.h"
#include "cli/system.h"
#include "cli/value.h"

typedef struct pull_view {
    bool is_terminal;
    bool is_quiet;
    size_t shown_columns; /* of the line that is rewritten */
    uint64_t said_ns;
    unsigned said_tenths;
} pull_view;

static const char *time_left(char *out, size_t capacity, uint64_t seconds)
{
    if (seconds == UINT64_MAX)
        snprintf(out, capacity, "?");
    else if (seconds < 100)
        snprintf(out, capacity, "%llu s", (unsigned long long)seconds);
    else if (seconds < 100 * 60)
        snprintf(out, capacity, "%llu min", (unsigned long long)(seconds + 59) / 60);
    else
        snprintf(out, capacity, "%.1f h", (double)seconds / 3600);
    return out;
}

static void write_line(char *out, size_t capacity, const snug_hub_progress *p)
{
    const double percent = p->total_bytes ? 100.0 * (double)p->done_bytes / (double)p->total_bytes : 100.0;
    char left[24];

    switch (p->phase) {
    case SNUG_HUB_RESOLVE:
        snprintf(out, capacity, "asking which files there are");
        break;
    case SNUG_HUB_VERIFY:
        snprintf(out, capacity, "%s of %s (%.0f %%), reading what is there", cli_size(p->done_bytes).text,
                 cli_size(p->total_bytes).text, percent);
        break;
    case SNUG_HUB_WAIT:
        snprintf(out, capacity, "%s of %s (%.0f %%), waiting", cli_size(p->done_bytes).text,
                 cli_size(p->total_bytes).text, percent);
        break;
    case SNUG_HUB_DOWNLOAD:
    case SNUG_HUB_DONE:
        snprintf(out, capacity, "%s of %s (%.0f %%), %s/s, %s left, file %zu of %zu",
                 cli_size(p->done_bytes).text, cli_size(p->total_bytes).text, percent,
                 cli_size(p->bytes_per_second).text,
                 time_left(left, sizeof left, p->phase == SNUG_HUB_DONE ? 0 : p->seconds_left),
                 p->done_files + (p->done_files < p->total_files), p->total_files);
        break;
    }
}

/* A terminal gets one line that changes, anything else a line every tenth of the way. */
static void show(void *user, const snug_hub_progress *p)
{
    pull_view *view = user;
    const uint64_t now = cli_clock_ns();
    const unsigned tenths = p->total_bytes ? (unsigned)(10 * p->done_bytes / p->total_bytes) : 0;
    char line[160];
    int columns;

    if (view->is_quiet)
        return;
    write_line(line, sizeof line, p);
    if (view->is_terminal) {
        columns = fprintf(stderr, "\r%-*s", (int)view->shown_columns, line);
        view->shown_columns = columns > 1 ? strlen(line) : view->shown_columns;
        if (p->phase == SNUG_HUB_DONE)
            (void)fputc('\n', stderr);
    } else if (p->phase == SNUG_HUB_DOWNLOAD && tenths > view->said_tenths &&
               now - view->said_ns > 1000000000u) {
        cli_report("%s", line);
        view->said_ns = now;
        view->said_tenths = tenths;
    }
}

static cli_exit pull(const cli_catalog *catalog, const cli_hub_name *name, const cli_options *options)
{
    char path[2048], token[512];
    pull_view view = { .is_terminal = isatty(STDERR_FILENO) == 1, .is_quiet = options->quiet };
    const snug_hub_options hub = {
        .struct_size = sizeof hub,
        .endpoint = cli_hub_endpoint(),
        .token = cli_hub_token(token, sizeof token),
        .cache_folder = catalog->cache_folder,
        .parallel = (uint32_t)options->parallel,
        .retry_pause_ms = (uint32_t)(options->retry_pause * 1000),
        .ca_file = cli_hub_certificates(),
        .keep_going = cli_keep_going,
        .on_progress = show,
        .user = &view,
    };
    snug_error error = { SNUG_OK, "" };

    cli_interrupt_arm();
    if (snug_hub_pull(path, sizeof path, catalog->memory, name->repository, name->file, &hub, &error) !=
        SNUG_OK) {
        if (view.is_terminal && view.shown_columns > 0)
            (void)fputc('\n', stderr);
        return cli_fail_error(&error);
    }
    cli_print("%s\n", path);
    return CLI_DONE;
}

cli_exit cli_command_pull(const cli_options *options)
{
    cli_hub_name name;
    cli_catalog catalog;
    cli_exit status;

    if (!options->operand)
        return cli_fail(CLI_USAGE, "pull needs a name: one that llm-tool models lists, ORG/NAME or "
                                   "ORG/NAME:FILE");
    status = cli_catalog_open(&catalog);
    if (status != CLI_DONE)
        return status;
    status = cli_hub_name_read(&name, &catalog, options->operand);
    if (status == CLI_DONE && !catalog.cache_folder[0])
        status = cli_fail(CLI_FAILED, "no folder to fetch into: set HOME or HF_HOME");
    if (status == CLI_DONE)
        status = pull(&catalog, &name, options);
    cli_report_ledger(options, catalog.memory);
    cli_catalog_close(&catalog);
    return status;
}
