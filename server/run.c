/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.c - the server from its first to its last moment, and the watch: one thread that sleeps until something
 * happens that no request brings about. When nothing runs it wakes for nothing.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/status.h"
#include "server/events.h"
#include "server/http.h"
#include "server/memory.h"
#include "server/state.h"

#define SECOND ((uint64_t)1000000000)

/* Some hundred small requests and what is answered to them, whatever the limit is. */
#define DESK_BYTES ((uint64_t)512 << 10)

/* What the watch waits for; above these are the numbers of outlets whose clients hang up. */
enum {
    WATCH_SIGNAL = 0,
    WATCH_WAKE = 1,
    WATCH_MEMORY = 2,
    WATCH_OUTLETS = 16,
};

typedef struct watch {
    struct server *server;
    int signals;
    snug_monitor *monitor; /* NULL: none could be had */
    uint64_t end_ns;       /* when the grace is over; 0: it is not ending */
} watch;

uint64_t server_clock_ns(void)
{
    struct timespec now;

    SNUG_ASSERT(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

void server_note(const struct server *server, const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (server->options.on_note)
        server->options.on_note(server->options.user, text);
}

void server_wake(const struct server *server)
{
    const uint64_t one = 1;

    if (write(server->watch_wake, &one, sizeof one) < 0 && errno != EAGAIN)
        server_note(server, "the watch could not be woken: %s", strerror(errno));
}

/* --- the watch ----------------------------------------------------------------------------------------- */

static bool add_to_poll(const watch *w, int descriptor, uint64_t number)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = number };

    return epoll_ctl(w->server->watch_poll, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

/* Where nothing computes, nobody else notices that memory is short. */
static void watch_memory(watch *w)
{
    snug_monitor_options options = { .struct_size = sizeof options,
                                     .follows_limits = true,
                                     .strategy = w->server->options.strategy };

    if (snug_monitor_create(&w->monitor, w->server->options.memory, &options, NULL) != SNUG_OK)
        w->monitor = NULL;
    else if (snug_monitor_fd(w->monitor) >= 0)
        (void)add_to_poll(w, snug_monitor_fd(w->monitor), WATCH_MEMORY);
}

static void see_memory(watch *w)
{
    snug_pressure_reading reading;

    snug_monitor_step(w->monitor, &reading);
    server_events_pressure(w->server, NULL, &reading);
    if (reading.level < SNUG_PRESSURE_HIGH)
        return;
    (void)server_kept_drop(w->server, UINT64_MAX);
    (void)snug_memory_cleanup(w->server->options.memory);
}

static void see_signal(watch *w)
{
    struct signalfd_siginfo info;
    struct server *server = w->server;

    if (read(w->signals, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (w->end_ns > 0) { /* a second one: no more patience */
        w->end_ns = 1;
        return;
    }
    server_note(server, "stopping: what runs has %u s to end", server->options.grace_seconds);
    w->end_ns = server_clock_ns() + server->options.grace_seconds * SECOND;
    atomic_store(&server->is_ending, true);
    server_queue_close(server);
    server_http_quiesce(server);
}

static void see(watch *w, uint64_t number)
{
    uint64_t ignored;

    if (number == WATCH_SIGNAL)
        see_signal(w);
    else if (number == WATCH_WAKE)
        (void)!read(w->server->watch_wake, &ignored, sizeof ignored);
    else if (number == WATCH_MEMORY)
        see_memory(w);
    else
        server_outlet_hang_up(w->server, number);
}

/* What is due by time; milliseconds until something is, -1: nothing will be. */
static int tick(watch *w)
{
    struct server *server = w->server;
    uint64_t wait_ns = server_events_tick(server);
    uint64_t idle_ns = UINT64_MAX;
    const uint64_t now = server_clock_ns();

    if (server->options.idle_unload_seconds > 0)
        idle_ns = server_models_unload_idle(server, server->options.idle_unload_seconds * SECOND);
    if (idle_ns < wait_ns)
        wait_ns = idle_ns;
    if (w->end_ns > 0 && (w->end_ns > now ? w->end_ns - now : 0) < wait_ns)
        wait_ns = w->end_ns > now ? w->end_ns - now : 0;
    if (wait_ns == UINT64_MAX)
        return -1;
    return (int)(wait_ns / 1000000 < 3600000 ? wait_ns / 1000000 + 1 : 3600000);
}

static bool is_time_to_end(const watch *w)
{
    server_queue_count count;

    if (w->end_ns == 0)
        return false;
    count = server_queue_read(w->server);
    return (count.running == 0 && count.waiting == 0) || server_clock_ns() >= w->end_ns;
}

static void run_watch(watch *w)
{
    struct epoll_event events[32];

    while (!is_time_to_end(w)) {
        const int count = epoll_wait(w->server->watch_poll, events, (int)SNUG_COUNT(events), tick(w));

        for (int i = 0; i < count; i++)
            see(w, events[i].data.u64);
    }
}

/* Clients have a moment to read the last bytes. */
static void let_them_read(struct server *server)
{
    for (int i = 0; i < 100; i++) {
        const struct timespec moment = { .tv_nsec = 20000000 };
        bool is_anybody_there;

        (void)pthread_mutex_lock(&server->outlets_lock);
        is_anybody_there = server->outlets != NULL;
        (void)pthread_mutex_unlock(&server->outlets_lock);
        if (!is_anybody_there)
            return;
        (void)nanosleep(&moment, NULL);
    }
}

/* --- begin and end ------------------------------------------------------------------------------------- */

static snug_status open_watch(watch *w, const sigset_t *signals, snug_error *error)
{
    struct server *server = w->server;

    server->watch_poll = epoll_create1(EPOLL_CLOEXEC);
    server->watch_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->signals = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (server->watch_poll < 0 || server->watch_wake < 0 || w->signals < 0 ||
        !add_to_poll(w, w->signals, WATCH_SIGNAL) || !add_to_poll(w, server->watch_wake, WATCH_WAKE))
        SNUG_FAIL(error, SNUG_ERR_IO, "the server cannot wait for events: %s", strerror(errno));
    watch_memory(w);
    return SNUG_OK;
}

static void close_watch(watch *w)
{
    const int descriptors[] = { w->signals, w->server->watch_wake, w->server->watch_poll };

    snug_monitor_destroy(w->monitor);
    for (size_t i = 0; i < SNUG_COUNT(descriptors); i++)
        if (descriptors[i] >= 0)
            (void)close(descriptors[i]);
}

static snug_status serve(struct server *server, const sigset_t *signals, snug_error *error)
{
    watch w = { .server = server, .signals = -1 };
    char address[128];
    snug_status status = server_mhd_load(error);

    if (status == SNUG_OK)
        status = server_desk_open(server->options.memory, DESK_BYTES, error);
    if (status == SNUG_OK)
        status = open_watch(&w, signals, error);
    if (status == SNUG_OK) /* what is opened now is held against the limit, too */
        server_limit_apply(server);
    if (status == SNUG_OK)
        status = server_models_open(server, error);
    if (status == SNUG_OK)
        status = server_queue_start(server, error);
    if (status == SNUG_OK)
        status = server_http_start(server, address, error);
    if (status == SNUG_OK) {
        if (server->options.on_ready)
            server->options.on_ready(server->options.user, address);
        server_limit_apply(server); /* threads and libraries have come, outside the ledger */
        run_watch(&w);
    }
    atomic_store(&server->is_ending, true);
    atomic_store(&server->is_over, true);
    server_queue_stop(server);
    server_errands_end(server);
    server_events_close(server);
    let_them_read(server);
    server_http_stop(server);
    server_kept_deinit(server);
    server_fits_deinit(server);
    server_models_close(server);
    close_watch(&w);
    server_desk_close();
    return status;
}

snug_status server_run(const server_options *options, snug_error *error)
{
    struct server server = { .options = *options, .watch_poll = -1, .watch_wake = -1, .socket = -1 };
    sigset_t signals, before;
    snug_status status;

    atomic_store(&server.next_number, WATCH_OUTLETS);
    atomic_store(&server.strategy, (int)options->strategy);
    atomic_store(&server.memory_limit, options->memory_limit);
    server.started_s = (int64_t)time(NULL);
    SNUG_ASSERT(pthread_mutex_init(&server.outlets_lock, NULL) == 0);
    server_turn_init(&server.turn);
    server_events_init(&server);
    server_errands_init(&server);
    server_models_init(&server);
    server_fits_init(&server);
    server_kept_init(&server);
    server_queue_init(&server);

    /* Before there are threads: signals are for the watch. */
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &signals, &before);
    status = serve(&server, &signals, error);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);

    server_queue_deinit(&server);
    server_events_deinit(&server);
    server_turn_deinit(&server.turn);
    (void)pthread_mutex_destroy(&server.outlets_lock);
    return status;
}
