/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outlet.h - where an answer goes that is not there yet: one waiting connection, filled by another thread.
 *
 * The connection sleeps (it costs its buffers and no processor time) until there is something to send. What
 * is written waits in a bounded buffer: a client that does not read makes its writer wait, and after
 * server_options.stall_seconds it counts as gone. A client that hangs up is noticed by the kernel's word,
 * also while nothing is sent.
 *
 * Threads: the writer and HTTP's thread, each with a reference.
 */
#ifndef SNUG_SERVER_OUTLET_H
#define SNUG_SERVER_OUTLET_H

#include <stdatomic.h>

#include <pthread.h>

#include "server/heap.h"
#include "server/mhd.h"
#include "server/refusal.h"

/* Some hundred tokens, as events. */
#define SERVER_OUTLET_BYTES ((size_t)64 << 10)

struct server;

typedef struct server_outlet {
    struct server *server;
    uint64_t number; /* for whoever looks for it again */
    char id[48];     /* the header X-Request-Id */
    _Atomic uint32_t references;
    _Atomic bool is_gone;                  /* the client is: nobody will read what is written */
    struct server_outlet *next, *previous; /* of those that wait, in the server */
    int socket;

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t drained;
    struct MHD_Connection *connection; /* NULL once HTTP is done with it */
    bool is_asleep;
    bool is_begun; /* of a stream: the status is sent, only events can follow */
    bool is_ended;
    bool is_stream;
    bool was_answered;
    int status; /* of a whole answer */
    uint32_t retry_seconds;
    server_buffer out;
} server_outlet;

/* With one reference. NULL: no memory. */
server_outlet *server_outlet_create(struct server *server, const char *id, snug_error *error);
void server_outlet_hold(server_outlet *outlet);
void server_outlet_release(server_outlet *outlet);

/* --- the writer ---------------------------------------------------------------------------------------- */

/* Part of a stream of events. False: the client is gone. */
bool server_outlet_write(server_outlet *outlet, const char *bytes, size_t count);
/* "event: NAME", if there is one, and the data; takes the reference. False: gone, or no memory. */
bool server_outlet_event(server_outlet *outlet, const char *name, json_t *data);
/* Whether more would have to wait now: for events that may be left out. */
bool server_outlet_is_full(server_outlet *outlet);
/* A whole answer; takes the reference. */
void server_outlet_reply(server_outlet *outlet, int status, json_t *body);
/* As a whole answer, or as the last event of a stream that has begun. */
void server_outlet_refuse(server_outlet *outlet, const server_refusal *refusal);
void server_outlet_end(server_outlet *outlet);

/* --- HTTP's thread ------------------------------------------------------------------------------------- */

/* The connection's request is answered through this outlet: it sleeps until there is something. */
void server_outlet_attach(server_outlet *outlet, struct MHD_Connection *connection);
/* Awake again: answer. */
enum MHD_Result server_outlet_respond(server_outlet *outlet, struct MHD_Connection *connection);
/* The connection is done with it, one way or another. */
void server_outlet_detach(server_outlet *outlet);

/* --- hang-ups ------------------------------------------------------------------------------------------ */

/* The client of that outlet, if there still is one, has gone. */
void server_outlet_hang_up(struct server *server, uint64_t number);

#endif /* SNUG_SERVER_OUTLET_H */
