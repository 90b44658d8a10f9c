/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.h - /api/events: what happens, told to whoever listens. A listener that does not read misses some.
 *
 * Threads: any; a call never waits for a listener.
 */
#ifndef SNUG_SERVER_EVENTS_H
#define SNUG_SERVER_EVENTS_H

#include <jansson.h>
#include <pthread.h>

#include <snug/catalog.h>
#include <snug/session.h>

struct server;
struct server_outlet;
struct server_relief;

#define SERVER_LISTENERS_MAX 32

typedef struct server_events {
    pthread_mutex_t lock;
    struct server_outlet *listener[SERVER_LISTENERS_MAX];
    uint32_t count;
    snug_pressure level;      /* last told */
    uint64_t told_used_bytes; /* with the last event about memory */
    uint64_t told_ns;
    uint64_t alive_ns; /* the last comment that keeps connections alive */
} server_events;

void server_events_init(struct server *server);
/* Ends them all. */
void server_events_close(struct server *server);
void server_events_deinit(struct server *server);

void server_events_relief(struct server *server, const char *request, const struct server_relief *relief);
/* `request`: whose answer noticed it; NULL: nobody's. */
void server_events_pressure(struct server *server, const char *request, const snug_pressure_reading *reading);
void server_events_queue(struct server *server);
/* `text` is a sentence; `progress` may be NULL. */
void server_events_model(struct server *server, const char *model, const char *state, const char *text,
                         const snug_load_progress *progress);

/* Another model goes on with the answer to that request: the sentence is the one of its step of relief. */
void server_events_switch(struct server *server, const char *request, const char *model, const char *text);

/* What is due by time. Returns nanoseconds until it is to be called again; UINT64_MAX: nobody listens. */
uint64_t server_events_tick(struct server *server);

/* {step, promised_bytes, ...}, and the request if there is one. NULL: no memory. */
json_t *server_relief_json(const struct server_relief *relief, const char *request);

#endif /* SNUG_SERVER_EVENTS_H */
