/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trend.c - see the header.
 */
#include "session/trend.h"

#include <string.h>

#define APART_NS ((uint64_t)200 * 1000 * 1000)

void snug_trend_add(snug_trend *trend, uint64_t now_ns, uint64_t limit_bytes)
{
    const uint64_t ns = now_ns - trend->time_ns;
    uint64_t lost = 0;

    if (ns == 0)
        return;
    if (ns > APART_NS) {
        memset(trend->fall, 0, sizeof trend->fall);
        memset(trend->lost, 0, sizeof trend->lost);
    } else if (limit_bytes < trend->limit_bytes) {
        lost = trend->limit_bytes - limit_bytes;
    }
    trend->fall[trend->next] = (double)lost / (double)ns;
    trend->lost[trend->next] = lost;
    trend->next = (trend->next + 1) % SNUG_TREND_STEPS;
    trend->time_ns = now_ns;
    trend->limit_bytes = limit_bytes;
}

uint64_t snug_trend_fall(const snug_trend *trend, uint64_t ns)
{
    double least = trend->fall[0];

    for (uint32_t i = 1; i < SNUG_TREND_STEPS; i++)
        if (trend->fall[i] < least)
            least = trend->fall[i];
    return (uint64_t)(least * (double)ns);
}

uint64_t snug_trend_lost(const snug_trend *trend)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < SNUG_TREND_STEPS; i++)
        sum += trend->lost[i];
    return sum;
}
