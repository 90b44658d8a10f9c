/* SPDX-License-Identifier: Apache-2.0 */
/*
 * errands.h - requests that take longer than HTTP's thread may, and are no answers of a model: loading,
 * fetching, planning, long texts to tokens. A thread each, and only a few at a time.
 */
#ifndef SNUG_SERVER_ERRANDS_H
#define SNUG_SERVER_ERRANDS_H

#include <pthread.h>

#include "server/http.h"

#define SERVER_ERRANDS_MAX 4

struct server;

typedef struct server_errands {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    uint32_t running;
} server_errands;

/* Its body, as it came, and where the answer goes. On a thread of its own. */
typedef struct server_errand {
    struct server *server;
    server_outlet *outlet;
    server_buffer body;
    void (*run)(struct server_errand *errand);
} server_errand;

void server_errands_init(struct server *server);
/* Waits for those that run, which see that the server is over. */
void server_errands_end(struct server *server);

/* Answers the call by `run`, later. */
enum MHD_Result server_errand_start(server_call *call, void (*run)(server_errand *errand));

/* Whether it is worth going on: the client listens, and the server does not end. */
bool server_errand_goes_on(const server_errand *errand);

/* Answers with the refusal. */
void server_errand_refuse(server_errand *errand, server_refusal *refusal);

#endif /* SNUG_SERVER_ERRANDS_H */
