/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trend.h - a limit that falls because others take what is left: by how much it will be lower in a moment.
 */
#ifndef SNUG_SRC_SESSION_TREND_H
#define SNUG_SRC_SESSION_TREND_H

#include <snug/base.h>

#define SNUG_TREND_STEPS 3

typedef struct snug_trend {
    uint64_t time_ns; /* of the last reading; 0: none yet */
    uint64_t limit_bytes;
    double fall[SNUG_TREND_STEPS];   /* bytes a nanosecond between the last readings; 0: it did not fall */
    uint64_t lost[SNUG_TREND_STEPS]; /* bytes between them */
    uint32_t next;
} snug_trend;

/* A reading of the limit. Readings more than 200 ms apart begin a new trend. */
void snug_trend_add(snug_trend *trend, uint64_t now_ns, uint64_t limit_bytes);

/*
 * By how much the limit will be lower after `ns`. It falls as slowly as it did between any two of the last
 * four readings: so one that was set lower, once, does not count as falling.
 */
uint64_t snug_trend_fall(const snug_trend *trend, uint64_t ns);

/* By how much it has fallen between the last four readings. */
uint64_t snug_trend_lost(const snug_trend *trend);

#endif /* SNUG_SRC_SESSION_TREND_H */
