/* SPDX-License-Identifier: Apache-2.0 */
#include "memory/thrash.h"

#include <snug/memory.h>

/* False where a total is not known, or went back: another group's counter now. */
static bool difference(double *out, uint64_t from, uint64_t to)
{
    if (from == UINT64_MAX || to == UINT64_MAX || to < from)
        return false;
    *out = (double)(to - from);
    return true;
}

static void step_refaults(snug_thrash *thrash, const snug_thrash_input *input)
{
    const uint64_t passes = input->passes - thrash->refaults_from.passes;
    double bytes;

    if (passes == 0)
        return; /* what is read meanwhile counts for the next pass */
    thrash->refault_share = SNUG_VOTE_NONE;
    if (input->weight_bytes > 0 &&
        difference(&bytes, thrash->refaults_from.refault_bytes, input->refault_bytes))
        thrash->refault_share = bytes / ((double)input->weight_bytes * (double)passes);
    thrash->bad_passes = thrash->refault_share > SNUG_THRASH_REFAULT_SHARE ? thrash->bad_passes + passes : 0;
    thrash->refaults_from = *input;
}

bool snug_thrash_needs_stalls(const snug_thrash *thrash, uint64_t now_ns)
{
    return !thrash->is_started || now_ns - thrash->stalls_from.now_ns >= SNUG_THRASH_WINDOW_NS;
}

static void step_stalls(snug_thrash *thrash, const snug_thrash_input *input)
{
    const uint64_t ns = input->now_ns - thrash->stalls_from.now_ns;
    double us;

    if (!snug_thrash_needs_stalls(thrash, input->now_ns))
        return;
    thrash->stall_share = SNUG_VOTE_NONE;
    if (difference(&us, thrash->stalls_from.stall_us, input->stall_us))
        thrash->stall_share = us * 1000.0 / (double)ns;
    thrash->stalls_from = *input;
}

bool snug_thrash_step(snug_thrash *thrash, const snug_thrash_input *input)
{
    if (!thrash->is_started) {
        thrash->is_started = true;
        thrash->refaults_from = *input;
        thrash->stalls_from = *input;
        thrash->refault_share = SNUG_VOTE_NONE;
        thrash->stall_share = SNUG_VOTE_NONE;
    }
    step_refaults(thrash, input);
    step_stalls(thrash, input);
    return thrash->bad_passes >= SNUG_THRASH_PASSES || thrash->stall_share >= SNUG_THRASH_STALL_SHARE;
}
