/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turn.c - see the header. The turn is handed over, never thrown open: who leaves it names the next.
 */
#include "server/turn.h"

#include "base/status.h"
#include "server/state.h"

void server_turn_init(server_turn *turn)
{
    *turn = (server_turn){ .is_taken = false };
    SNUG_ASSERT(pthread_mutex_init(&turn->lock, NULL) == 0);
}

void server_turn_deinit(server_turn *turn)
{
    SNUG_ASSERT(!turn->is_taken && !turn->first);
    (void)pthread_mutex_destroy(&turn->lock);
}

/* With the lock held. */
static void wait_in_line(server_turn *turn)
{
    server_turn_waiter self = { .has_turn = false };

    SNUG_ASSERT(pthread_cond_init(&self.is_mine, NULL) == 0);
    /* Out of the line before this returns: hand_over() takes it out, and only then is has_turn set. */
    if (turn->last)
        turn->last->next = &self;
    else
        turn->first = &self; /* cppcheck-suppress autoVariables ; as above */
    turn->last = &self;      /* cppcheck-suppress autoVariables ; as above */
    while (!self.has_turn)
        (void)pthread_cond_wait(&self.is_mine, &turn->lock);
    (void)pthread_cond_destroy(&self.is_mine);
}

/* With the lock held, and somebody in line. */
static void hand_over(server_turn *turn)
{
    server_turn_waiter *next = turn->first;

    turn->first = next->next;
    if (!turn->first)
        turn->last = NULL;
    next->has_turn = true;
    (void)pthread_cond_signal(&next->is_mine);
}

void server_turn_take(server_turn *turn)
{
    (void)pthread_mutex_lock(&turn->lock);
    if (turn->is_taken)
        wait_in_line(turn);
    turn->is_taken = true;
    turn->taken_ns = server_clock_ns();
    (void)pthread_mutex_unlock(&turn->lock);
}

void server_turn_leave(server_turn *turn)
{
    (void)pthread_mutex_lock(&turn->lock);
    SNUG_ASSERT(turn->is_taken);
    if (turn->first)
        hand_over(turn);
    else
        turn->is_taken = false;
    (void)pthread_mutex_unlock(&turn->lock);
}

void server_turn_pass(server_turn *turn)
{
    (void)pthread_mutex_lock(&turn->lock);
    SNUG_ASSERT(turn->is_taken);
    if (turn->first && server_clock_ns() - turn->taken_ns >= SERVER_TURN_NS) {
        hand_over(turn);
        wait_in_line(turn);
        turn->taken_ns = server_clock_ns();
    }
    (void)pthread_mutex_unlock(&turn->lock);
}
