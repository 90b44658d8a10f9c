/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pressure.c - see the header. A thread, because these commands have no loop in common: it waits for the
 * monitor's descriptor, and looks ten times a second.
 */
#include "cli/pressure.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <snug/monitor.h>

#include "cli/output.h"
#include "cli/value.h"

#define LOOK_MS 100

/* The monitor needs a ledger; its own, so that those of the command may come and go. */
static struct {
    bool is_on;
    snug_memory *memory;
    snug_monitor *monitor;
    snug_pressure told;
    uint64_t notifications; /* as of then */
    int stop[2];            /* the thread ends when the writing end is closed */
    pthread_t thread;
} watch;

static void tell(const snug_pressure_reading *now)
{
    const bool is_said = now->notifications > watch.notifications;

    if (now->level == watch.told)
        return;
    watch.told = now->level;
    watch.notifications = now->notifications;
    cli_note("memory pressure is %s: %.0f %%, %s in use, %s more can be taken (%s)%s",
             snug_pressure_name(now->level), now->usage > 0 ? 100 * now->usage : 0,
             cli_size(now->used_bytes).text, cli_size(now->headroom_bytes).text, now->binding_text,
             is_said ? "; somebody said that memory is short" : "");
}

static void *look(void *unused)
{
    struct pollfd wait[] = { { .fd = watch.stop[0], .events = POLLIN },
                             { .fd = snug_monitor_fd(watch.monitor), .events = POLLIN } };
    snug_pressure_reading now;

    (void)unused;
    do {
        if (wait[1].revents != 0)
            snug_monitor_step(watch.monitor, &now);
        else
            (void)snug_monitor_sample(watch.monitor, &now);
        tell(&now);
    } while (poll(wait, 2, LOOK_MS) >= 0 && wait[0].revents == 0);
    return NULL;
}

/* Signals are the command's. */
static bool start_thread(void)
{
    sigset_t all, before;
    bool is_started;

    if (pipe(watch.stop) != 0)
        return false;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    is_started = pthread_create(&watch.thread, NULL, look, NULL) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!is_started) {
        (void)close(watch.stop[0]);
        (void)close(watch.stop[1]);
    }
    return is_started;
}

static bool does_session_tell(const cli_options *options)
{
    return options->command == CLI_COMMAND_generate || options->command == CLI_COMMAND_chat ||
           options->command == CLI_COMMAND_profile ||
           (options->command == CLI_COMMAND_session && options->operand &&
            strcmp(options->operand, "resume") == 0);
}

void cli_pressure_begin(const cli_options *options)
{
    if (!options->memory_monitoring || options->quiet || does_session_tell(options))
        return;
    watch.is_on = snug_memory_create(&watch.memory, NULL) == SNUG_OK &&
                  snug_monitor_create(&watch.monitor, watch.memory, NULL, NULL) == SNUG_OK && start_thread();
    if (!watch.is_on)
        cli_note("--memory-monitoring: memory pressure cannot be looked at here");
}

void cli_pressure_end(void)
{
    if (watch.is_on) {
        (void)close(watch.stop[1]);
        (void)pthread_join(watch.thread, NULL);
        (void)close(watch.stop[0]);
    }
    snug_monitor_destroy(watch.monitor);
    snug_memory_destroy(watch.memory);
    memset(&watch, 0, sizeof watch);
}
