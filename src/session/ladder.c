/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ladder.c - see the header.
 */
#include "session/ladder.h"

#include "base/status.h"

#define SECOND_NS     ((uint64_t)1000000000)
#define PAUSE_NS      (5 * SECOND_NS) /* between two descents, and before recovery */
#define EFFECT_NS     ((uint64_t)50000000)
#define TARGET_POINTS 0.10

/* Where a level is entered, as a part of the limit. */
static double entry_of(snug_pressure level)
{
    static const double entry[] = { 0.0, 0.50, 0.70, 0.85 };

    return entry[level];
}

static bool is_known(uint64_t limit_bytes)
{
    return limit_bytes > 0 && limit_bytes < SNUG_MEMORY_NO_LIMIT;
}

/* Bytes above a part of the limit; 0 when there are none. */
static uint64_t above(double bytes, double part, uint64_t limit_bytes)
{
    const double more = bytes - part * (double)limit_bytes;

    return more > 0 ? (uint64_t)more : 0;
}

/* How much is too much, and why. */
static snug_ladder_order want_of(const snug_ladder *ladder, const snug_ladder_input *input)
{
    const double limit = (double)input->limit_bytes;
    snug_ladder_order order = { SNUG_LADDER_STAY, SNUG_RELIEF_PRESSURE, 0, false, false };

    if (input->over_bytes > 0) {
        order.reason = SNUG_RELIEF_LIMIT;
        order.want_bytes = input->over_bytes;
        order.is_forced = true;
        return order;
    }
    if (!is_known(input->limit_bytes) || input->is_promised)
        return order;
    if (input->level >= ladder->relief_from && input->usage > 0)
        order.want_bytes =
            above(input->usage * limit, entry_of(input->level) - TARGET_POINTS, input->limit_bytes);
    if (order.want_bytes == 0) {
        order.reason = SNUG_RELIEF_FORECAST;
        order.want_bytes =
            above((double)input->soon_bytes, entry_of(ladder->relief_from), input->limit_bytes);
    }
    return order;
}

static snug_ladder_order decide_down(snug_ladder *ladder, uint64_t now, snug_ladder_order order)
{
    ladder->is_calm = false;
    if (!order.is_forced) {
        if (now < ladder->ready_ns)
            return order;
        if (!ladder->is_descending && ladder->has_descended && now - ladder->descent_ns < PAUSE_NS)
            return order;
    }
    order.move = SNUG_LADDER_DOWN;
    if (!ladder->is_descending) {
        order.is_first = true;
        ladder->is_descending = ladder->has_descended = true;
        ladder->descent_ns = now;
    }
    return order;
}

snug_ladder_order snug_ladder_decide(snug_ladder *ladder, const snug_ladder_input *input)
{
    const snug_ladder_order order = want_of(ladder, input);
    const uint64_t now = input->now_ns;
    snug_ladder_order up = { SNUG_LADDER_STAY, SNUG_RELIEF_RECOVERY, 0, false, false };

    if (order.want_bytes > 0)
        return decide_down(ladder, now, order);
    ladder->is_descending = false;
    if (input->level >= ladder->relief_from || input->level > SNUG_PRESSURE_MEDIUM) {
        ladder->is_calm = false;
        return up;
    }
    if (!ladder->is_calm) {
        ladder->is_calm = true;
        ladder->calm_ns = now;
    }
    if (ladder->has_descended && now - ladder->calm_ns >= PAUSE_NS && now - ladder->step_ns >= PAUSE_NS &&
        now - ladder->up_ns >= SECOND_NS) {
        ladder->up_ns = now;
        up.move = SNUG_LADDER_UP;
    }
    return up;
}

void snug_ladder_done(snug_ladder *ladder, uint64_t now_ns, uint64_t duration_ns, bool has_effect)
{
    const uint64_t wait = duration_ns > EFFECT_NS / 2 ? 2 * duration_ns : EFFECT_NS;

    ladder->ready_ns = now_ns + (has_effect ? wait : PAUSE_NS);
    if (has_effect)
        ladder->step_ns = now_ns;
}

uint64_t snug_ladder_roof(const snug_ladder *ladder, uint64_t limit_bytes)
{
    if (!is_known(limit_bytes))
        return UINT64_MAX;
    return (uint64_t)((entry_of(ladder->relief_from) - TARGET_POINTS) * (double)limit_bytes);
}
