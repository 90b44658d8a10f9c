/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turn.h - whose turn it is to compute. First come, first served, and who has computed goes to the end: so
 * conversations get a token or a few each in turn, and a short one does not wait for a long one to end. One
 * at a time, because each uses all processors and, to write a token, reads all weights: two at once would
 * take each other's cache and memory bandwidth.
 */
#ifndef SNUG_SERVER_TURN_H
#define SNUG_SERVER_TURN_H

#include <pthread.h>

#include <snug/base.h>

/* At least: handing over takes tens of microseconds, and a token of a tiny model not many more. A larger one
 * passes it with each token. */
#define SERVER_TURN_NS ((uint64_t)4 * 1000000)

typedef struct server_turn_waiter {
    pthread_cond_t is_mine;
    bool has_turn;
    struct server_turn_waiter *next;
} server_turn_waiter;

typedef struct server_turn {
    pthread_mutex_t lock;
    bool is_taken;
    uint64_t taken_ns;
    server_turn_waiter *first;
    server_turn_waiter *last;
} server_turn;

void server_turn_init(server_turn *turn);
void server_turn_deinit(server_turn *turn);

void server_turn_take(server_turn *turn);
void server_turn_leave(server_turn *turn);
/* To the end of the line, where somebody waits and it has lasted SERVER_TURN_NS; else it stays. */
void server_turn_pass(server_turn *turn);

#endif /* SNUG_SERVER_TURN_H */
