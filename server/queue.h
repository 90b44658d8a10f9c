/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.h - who waits for an answer, and who gets one now.
 *
 * Requests are taken in the order in which they came, by as many threads as answers may be written at the
 * same time. A thread that has read its prompt asks to be admitted: the planner says what the request will
 * need at its end, and it begins when that fits beside what those that run will still take. First come,
 * first served here too: a large request is not passed by small ones for ever.
 */
#ifndef SNUG_SERVER_QUEUE_H
#define SNUG_SERVER_QUEUE_H

#include <stdatomic.h>

#include <pthread.h>

#include "server/kept.h"
#include "server/outlet.h"
#include "server/request.h"

struct server;

typedef struct server_job {
    server_outlet *outlet;
    server_request request;
    int64_t created; /* seconds since 1970 */
    uint64_t came_ns;
    struct server_job *next;
} server_job;

/* What a request that runs holds, and will still take. Told at each token, read by whoever wants to begin.
 * Beside it stands the scratch of its model's workbench, which all that run have together. */
typedef struct server_share {
    _Atomic uint64_t held_bytes;
    _Atomic uint64_t growth_bytes;
    size_t model;
    uint64_t bench_bytes; /* that its largest chunk takes there */
    struct server_answer *answer;
    struct server_share *next;
} server_share;

struct server_answer;

/* What was asked, and what was chosen for it. */
typedef struct server_choice {
    server_profile asked;
    server_profile chosen;
    uint64_t made_ns;
} server_choice;

#define SERVER_CHOICES_MAX 8

typedef struct server_queue {
    pthread_mutex_t lock;
    pthread_cond_t job_came;
    server_job *first;
    server_job *last;
    uint32_t waiting;
    uint32_t idle; /* threads that wait for a job: what waits for them does not really */
    bool is_closed;
    bool is_stopped;
    uint32_t thread_count;
    pthread_t *threads;

    pthread_mutex_t admission;       /* of all below */
    pthread_cond_t changed;          /* somebody ended, or gave up: look again whether there is room */
    struct server_answer *admitting; /* in the order in which they came */
    server_share *shares;            /* of those that run */
    uint32_t running;
    server_choice choice[SERVER_CHOICES_MAX];
    uint32_t choice_count;
} server_queue;

typedef struct server_queue_count {
    uint32_t running;
    uint32_t waiting;
    uint32_t capacity;
} server_queue_count;

void server_queue_init(struct server *server);
void server_queue_deinit(struct server *server);
SNUG_MUST_CHECK snug_status server_queue_start(struct server *server, snug_error *error);
/* Nothing new is taken; what waits is still answered. */
void server_queue_close(struct server *server);
/* What waits is refused; the threads end when what runs has ended. */
void server_queue_stop(struct server *server);

/* Takes the job over, or refuses it: it is full, or closed. */
bool server_queue_push(struct server *server, server_job *job, server_refusal *refusal);
void server_job_free(server_job *job);

/* A client went away, or memory came back: whoever waits looks again. */
void server_queue_look(struct server *server);

server_queue_count server_queue_read(struct server *server);
/* What those that run will still take. */
uint64_t server_queue_growth(struct server *server);

/* The limit is another: choose again. */
void server_queue_forget_choices(struct server *server);

#endif /* SNUG_SERVER_QUEUE_H */
