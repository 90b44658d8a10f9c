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

/*
 * Below this part of every limit in unreclaimable bytes, headroom is plentiful: no kill is near. Mapped
 * weights that are pushed out, or stalls, then make the level HIGH at most.
 */
#define SNUG_PRESSURE_PLENTIFUL_BELOW 0.70

/* From the usage by unreclaimable bytes (`hard`) and the one that counts what is needed to be fast
 * (`comfort`): the larger; but comfort is no reason for CRITICAL while headroom is plentiful. Negative:
 * unknown. */
double snug_pressure_usage(double hard, double comfort, bool is_plentiful);

typedef struct snug_pressure_input {
    uint64_t now_ns; /* never before the one of the last step */
    double usage;    /* the largest vote; not a number: nothing is known, and counts as 0 */
    bool is_thrashing;
    bool is_plentiful;
} snug_pressure_input;

/* All zero at the begin. */
typedef struct snug_pressure_machine {
    snug_pressure level;
    uint64_t held_ns[SNUG_PRESSURE_CRITICAL + 1]; /* when that level, or more, was last worth holding */
} snug_pressure_machine;

snug_pressure snug_pressure_step(snug_pressure_machine *machine, const snug_pressure_input *input);

#endif /* SNUG_SRC_MEMORY_PRESSURE_H */
