/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pressure.h - from votes and time to a level, as a pure state machine: the monitor feeds it what it reads,
 * tests a simulated clock.
 *
 * A level is entered at once, when usage reaches its band, and left when usage has been at least 5 points
 * below that band for 2 seconds: the level is never below what any of the last 2 seconds asked to hold. So
 * it is monotone (more usage never gives a lower level), noise of less than 5 points cannot make it flap, and
 * a fall from CRITICAL to LOW takes 2 seconds, not 6.
 */
#ifndef SNUG_SRC_MEMORY_PRESSURE_H
#define SNUG_SRC_MEMORY_PRESSURE_H

#include <snug/pressure.h>

#define SNUG_PRESSURE_LEAVE_POINTS 0.05
#define SNUG_PRESSURE_LEAVE_NS     ((uint64_t)2000000000)

/* Headroom above this part of the limit is plentiful: stalls alone do not make such a process CRITICAL. */
#define SNUG_PRESSURE_PLENTIFUL 0.30

typedef struct snug_pressure_input {
    uint64_t now_ns; /* never before the one of the last step */
    double usage;    /* the largest vote; not a number: nothing is known, and counts as 0 */
    bool is_thrashing;
    bool is_plentiful; /* hard headroom is more than SNUG_PRESSURE_PLENTIFUL of the limit */
} snug_pressure_input;

/* All zero at the begin. */
typedef struct snug_pressure_machine {
    snug_pressure level;
    uint64_t held_ns[SNUG_PRESSURE_CRITICAL + 1]; /* when that level, or more, was last worth holding */
} snug_pressure_machine;

snug_pressure snug_pressure_step(snug_pressure_machine *machine, const snug_pressure_input *input);

#endif /* SNUG_SRC_MEMORY_PRESSURE_H */
