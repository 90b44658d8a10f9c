/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - the server as its parts share it. Each part is locked for itself; where two locks are held the
 * order is: outlets, queue, an outlet, models, kept.
 */
#ifndef SNUG_SERVER_STATE_H
#define SNUG_SERVER_STATE_H

#include <stdatomic.h>
#include <stdint.h>

#include <pthread.h>

#include "server/counts.h"
#include "server/errands.h"
#include "server/events.h"
#include "server/fits.h"
#include "server/kept.h"
#include "server/mhd.h"
#include "server/models.h"
#include "server/outlet.h"
#include "server/queue.h"
#include "server/server.h"
#include "server/turn.h"

struct server {
    server_options options;
    _Atomic uint64_t next_number;
    _Atomic int strategy;          /* the default one; may be changed while it runs */
    _Atomic uint64_t memory_limit; /* of the process; 0: what the machine has. The same */
    int64_t started_s;             /* since 1970 */

    struct MHD_Daemon *daemon;
    int socket;

    pthread_mutex_t outlets_lock;
    server_outlet *outlets;
    int watch_poll;         /* epoll: signals, hang-ups, memory, whoever wakes the watch */
    int watch_wake;         /* eventfd */
    _Atomic bool is_ending; /* nothing new is taken */
    _Atomic bool is_over;   /* what runs has to stop */

    server_queue queue;
    server_turn turn;
    server_models models;
    server_fits fits;
    server_kept kept;
    server_events events;
    server_errands errands;
    server_counts counts;
};

/* A line for whoever looks after it. */
void server_note(const struct server *server, const char *format, ...) SNUG_PRINTF(2, 3);

/* The watch looks again what is due. Any thread. */
void server_wake(const struct server *server);

/* Monotonic. */
uint64_t server_clock_ns(void);

#endif /* SNUG_SERVER_STATE_H */
