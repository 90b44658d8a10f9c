/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ladder.h - when to give memory back, and when to take more again, as a pure state machine: relief.c
 * feeds it what it reads, tests a simulated clock.
 *
 * What was planned to fit and still does is no reason for anything, however full it makes the limit. Else a
 * descent begins when the level of pressure reaches where the strategy begins, or when the request is about
 * to bring it there. It goes on, one step at a time, each after the effect of the one before could be seen,
 * until usage is 10 points under the level's entry. The next descent begins 5 s after this one at the
 * earliest. After 5 s without reason for one, and 5 s after the last step, steps are taken back, one a
 * second. Memory that is really missing, for a limit was lowered, waits for nothing.
 */
#ifndef SNUG_SRC_SESSION_LADDER_H
#define SNUG_SRC_SESSION_LADDER_H

#include <snug/session.h>

typedef struct snug_ladder_input {
    uint64_t now_ns; /* never before the one of the last step */
    snug_pressure level;
    double usage;         /* of limit_bytes; not a number: unknown */
    uint64_t limit_bytes; /* NO_LIMIT, UNKNOWN: only over_bytes counts */
    uint64_t over_bytes;  /* in use beyond the hard limit */
    uint64_t soon_bytes;  /* in use in a moment, if nothing is done; 0: unknown */
    bool is_promised;     /* the request fits to its end, as it did when it began */
} snug_ladder_input;

typedef enum snug_ladder_move {
    SNUG_LADDER_STAY = 0,
    SNUG_LADDER_DOWN = 1, /* give back, want_bytes or what one step gives */
    SNUG_LADDER_UP = 2,   /* take one step back */
} snug_ladder_move;

typedef struct snug_ladder_order {
    snug_ladder_move move;
    snug_relief_reason reason;
    uint64_t want_bytes;
    bool is_forced; /* all of it, now */
    bool is_first;  /* of a descent */
} snug_ladder_order;

typedef struct snug_ladder {
    snug_pressure relief_from;
    bool is_descending;
    bool has_descended;
    bool is_calm;
    uint64_t descent_ns; /* when the last descent began */
    uint64_t step_ns;    /* when its last step was done */
    uint64_t ready_ns;   /* before then, its effect cannot be seen */
    uint64_t calm_ns;    /* since when there is no reason for one */
    uint64_t up_ns;      /* when a step was last taken back */
} snug_ladder;

snug_ladder_order snug_ladder_decide(snug_ladder *ladder, const snug_ladder_input *input);

/* What was ordered has been done, in `duration_ns`, and had an effect; or could not be done at all. */
void snug_ladder_done(snug_ladder *ladder, uint64_t now_ns, uint64_t duration_ns, bool has_effect);

/* The most that may be in use after a step was taken back: there is no reason then to do it again. */
uint64_t snug_ladder_roof(const snug_ladder *ladder, uint64_t limit_bytes);

#endif /* SNUG_SRC_SESSION_LADDER_H */
