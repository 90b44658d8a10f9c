/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relief.h - a session gives memory back: what ladder.h orders is done here, cheapest step first.
 */
#ifndef SNUG_SRC_SESSION_RELIEF_H
#define SNUG_SRC_SESSION_RELIEF_H

#include <snug/monitor.h>
#include <snug/session.h>

#include "session/ladder.h"
#include "session/trend.h"
#include "work/work.h"

typedef struct snug_relief {
    /* What each token reads stands together: between two tokens the weights have been through the caches. */
    bool is_on;
    bool is_quiet;              /* the last look found nothing to do */
    bool is_unread;             /* a reading came while tokens were computed */
    snug_work_going_fn goes_on; /* snug_relief_goes_on(), but in tests */
    uint64_t due_ns;            /* when a sample is */
    uint32_t passes;            /* since the monitor was told */
    uint32_t tokens_since;      /* the last look at pressure */
    uint32_t foreseen_until;    /* up to so many tokens nothing will be missed, */
    uint64_t foreseen_room;     /* with so much room */

    bool keeps_format; /* the user set it: it is obeyed */
    bool keeps_chunk;
    uint32_t chunk_most;  /* the prefill chunk that the session was made with */
    snug_kv_config first; /* the cache that it was made with */
    snug_strategy strategy;
    const snug_strategy_rules *rules;
    snug_ladder ladder;
    snug_release_fn release;
    void *release_user;
    snug_monitor *monitor;
    /* In place of the monitor, for tests; fills a reading as it does. */
    void (*read)(void *user, snug_pressure_reading *out);
    void *read_user;
    snug_pressure_reading reading; /* the newest */
    snug_trend trend;
    uint64_t ahead_ns; /* what others take is seen so far ahead */
    uint64_t ran_ns;   /* this thread, and others while it could have, when that was set */
    uint64_t waited_ns;
    bool is_spent;  /* more is in use than the limit, and nothing more can go back */
    uint32_t asked; /* parts of products, while tokens are computed */
    uint32_t stops; /* passes given up since one came to its end */

    /* Of the request that runs. */
    snug_relief_fn on_relief;
    snug_pressure_fn on_pressure;
    void *user;
    uint32_t interval_tokens; /* between looks; 0: every token */
    uint32_t end_tokens;      /* where it ends at the latest; before the first: the context */
    bool is_promised;         /* it did fit, once, to its end: */
    uint64_t left_bytes;      /* so much would be left of the limit then */
    snug_pressure told_level;
    uint32_t steps;
    uint64_t returned_bytes;
} snug_relief;

/* Errors: OVER_LIMIT, NO_MEMORY. */
SNUG_MUST_CHECK snug_status snug_relief_init(snug_session *session, const snug_session_options *options,
                                             snug_error *error);
void snug_relief_deinit(snug_session *session);

/* The options that it was made with, as far as they are about relief. */
snug_session_options snug_relief_options(const snug_session *session);

/* A request of snug_session_generate() with a prompt of so many tokens begins; `options` outlive it. */
void snug_relief_begin(snug_session *session, const snug_generate_options *options, size_t prompt_tokens);

/*
 * Before tokens are computed, at that time: look at memory, and do what the ladder orders. Errors:
 * OVER_LIMIT: more is in use than the limit, and nothing is left to give back.
 */
SNUG_MUST_CHECK snug_status snug_relief_look(snug_session *session, uint64_t now_ns, snug_error *error);

/*
 * Asked while tokens are computed, with the session: false when more is in use than a limit that was lowered
 * meanwhile. What was begun is then given up, because a pass may take longer than a neighbour needs to take
 * the rest; snug_relief_look() gives back what it must, and it is begun again.
 */
bool snug_relief_goes_on(void *user);

/* `missing` bytes more were refused, with that status: give them back, or what one step can. False when
 * nothing is left to give back, or the status is another. */
bool snug_relief_refused(snug_session *session, snug_status status, uint64_t missing);

#endif /* SNUG_SRC_SESSION_RELIEF_H */
