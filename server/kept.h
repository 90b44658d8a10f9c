/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept.h - conversations whose answer has ended, kept for their next message, or for another one that begins
 * as they did. They are in the ledger, and the first thing to be given back.
 */
#ifndef SNUG_SERVER_KEPT_H
#define SNUG_SERVER_KEPT_H

#include <pthread.h>

#include <snug/session.h>

struct server;

/* What a session must have been made with to serve for a request. */
typedef struct server_profile {
    size_t model;
    snug_strategy strategy;
    uint32_t context_tokens;
    uint32_t prefill_chunk;
    uint32_t threads;
    snug_kv_config kv; /* as it was made; relief may have taken bits since */
    bool keeps_format;
} server_profile;

/* It is a use of its model, too. */
typedef struct server_kept_session {
    snug_session *session;
    server_profile profile;
    struct server_kept_session *next; /* the one that was used last comes first */
} server_kept_session;

typedef struct server_kept {
    pthread_mutex_t lock; /* held for list work alone: nothing is reserved meanwhile */
    server_kept_session *first;
    uint32_t count;
    uint64_t dropped; /* given back so far */
    snug_memory_reliever reliever;
} server_kept;

/* One that a request may go on from. */
typedef struct server_reuse {
    snug_session *session;      /* NULL: there is none */
    server_kept_session *whole; /* it, out of the list; NULL: a fork, which holds what the request needs */
} server_reuse;

void server_kept_init(struct server *server);
void server_kept_deinit(struct server *server);

/*
 * The session that has the longest beginning in common with these ids, taken out, or a fork of it where what
 * it holds beside that is worth keeping. None where none is worth it. Then it is put back as it was, or used:
 * the session is the request's. All with the turn.
 */
void server_kept_take(server_reuse *out, struct server *server, const server_profile *profile,
                      const uint32_t *ids, size_t count);
void server_kept_return(struct server *server, server_reuse *reuse);
snug_session *server_kept_use(struct server *server, server_reuse *reuse);

/* Keep it, or drop it at once where nothing is kept. Takes the session and the use of its model. */
void server_kept_put(struct server *server, snug_session *session, const server_profile *profile);

/* Give at least so many bytes back, what was used longest ago first. Returns how many. Any thread. */
uint64_t server_kept_drop(struct server *server, uint64_t bytes);
/* All of one model. */
void server_kept_drop_model(struct server *server, size_t model);

/* What goes back at least when all are dropped: what each holds alone. And what they read together with
 * others: it goes back with the last who does. */
uint64_t server_kept_bytes(struct server *server);
uint64_t server_kept_shared_bytes(struct server *server);
/* Of one model. */
uint32_t server_kept_count(struct server *server, size_t model);

#endif /* SNUG_SERVER_KEPT_H */
