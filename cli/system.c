/* SPDX-License-Identifier: Apache-2.0 */
/*
 * system.c - see the header. POSIX, but for the two reads under /proc, which may fail without harm.
 */
#include "cli/system.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/status.h"
#include "cli/output.h"

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int signal_number)
{
    is_interrupted = signal_number;
}

void cli_signals_init(void)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN };

    sigemptyset(&ignore.sa_mask);
    (void)sigaction(SIGPIPE, &ignore, NULL);
}

void cli_interrupt_arm(void)
{
    /* Once only: a second Ctrl-C has its usual effect, should the first one not be heard. */
    struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND };

    is_interrupted = 0;
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

bool cli_is_interrupted(void)
{
    return is_interrupted != 0;
}

bool cli_is_terminated(void)
{
    return is_interrupted == SIGTERM;
}

bool cli_keep_going(void *user)
{
    (void)user;
    return !is_interrupted && !cli_output_is_broken();
}

uint64_t cli_clock_ns(void)
{
    struct timespec now;

    SNUG_ASSERT(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool cli_input_is_terminal(void)
{
    return isatty(STDIN_FILENO) == 1;
}

bool cli_output_is_terminal(void)
{
    return isatty(STDOUT_FILENO) == 1;
}

bool cli_error_is_terminal(void)
{
    return isatty(STDERR_FILENO) == 1;
}

int64_t cli_local_time(void)
{
    const time_t now = time(NULL);
    struct tm here = { 0 }, there = { 0 };
    int64_t offset_minutes;

    if (!localtime_r(&now, &here) || !gmtime_r(&now, &there))
        return (int64_t)now;
    offset_minutes = (here.tm_hour - there.tm_hour) * 60 + here.tm_min - there.tm_min;
    if (here.tm_year != there.tm_year)
        offset_minutes += here.tm_year > there.tm_year ? 24 * 60 : -24 * 60;
    else
        offset_minutes += (here.tm_yday - there.tm_yday) * 24 * 60;
    return (int64_t)now + offset_minutes * 60;
}

void cli_cpu_name(char *out, size_t capacity)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");

    snprintf(out, capacity, "unknown");
    while (file && fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');

        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(out, capacity, "%s", colon + 1 + strspn(colon + 1, " "));
        break;
    }
    if (file)
        (void)fclose(file);
}

/* Folder of the running program, without the last slash. */
static bool own_folder(char *out, size_t capacity)
{
    const ssize_t bytes = readlink("/proc/self/exe", out, capacity - 1);

    if (bytes <= 0)
        return false;
    out[bytes] = '\0';
    char *slash = strrchr(out, '/');

    if (!slash)
        return false;
    *slash = '\0';
    return true;
}

bool cli_bundled_model(char *path_out, size_t capacity)
{
    char folder[4096];
    int bytes = -1;

    if (own_folder(folder, sizeof folder)) {
        bytes =
            snprintf(path_out, capacity, "%s/%s", folder, SNUG_MODELS_FROM_PROGRAM "/" SNUG_BUNDLED_MODEL);
        if (bytes > 0 && (size_t)bytes < capacity && access(path_out, R_OK) == 0)
            return true;
    }
    bytes = snprintf(path_out, capacity, "%s", SNUG_MODELS_IN_SOURCE "/" SNUG_BUNDLED_MODEL);
    return bytes > 0 && (size_t)bytes < capacity && access(path_out, R_OK) == 0;
}
