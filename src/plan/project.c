/* SPDX-License-Identifier: Apache-2.0 */
/*
 * project.c - from a running conversation to the end of its request.
 */
#include "plan/plan.h"

#include "base/status.h"

uint32_t snug_plan_end_tokens(uint32_t context_tokens, uint32_t prompt_tokens, uint32_t max_tokens)
{
    /* The last token generated is never put into the cache. */
    const uint64_t last = (uint64_t)prompt_tokens + max_tokens - (max_tokens > 0);

    return max_tokens == 0 || last > context_tokens ? context_tokens : (uint32_t)last;
}

void snug_plan_project(snug_projection *out, const snug_memory *memory, const snug_kv *kv,
                       uint32_t end_tokens, uint64_t fixed_bytes)
{
    const uint64_t held = snug_kv_committed_bytes(kv);

    SNUG_ASSERT(end_tokens <= snug_kv_context_tokens(kv));
    out->tokens = end_tokens;
    out->cache_bytes = snug_kv_projected_bytes(kv, end_tokens);
    out->growth_bytes = out->cache_bytes > held ? out->cache_bytes - held : 0;
    out->ledger_bytes = snug_memory_read_all(memory).used_bytes + out->growth_bytes;
    out->peak_bytes = out->ledger_bytes + fixed_bytes;
}

uint32_t snug_plan_tokens_within(const snug_memory *memory, const snug_kv *kv, uint64_t limit_bytes,
                                 uint64_t fixed_bytes)
{
    uint32_t within = snug_kv_tokens(kv);
    uint32_t beyond = snug_kv_context_tokens(kv) + 1;
    snug_projection projection = { .struct_size = sizeof projection };

    while (beyond - within > 1) {
        const uint32_t middle = within + (beyond - within) / 2;

        snug_plan_project(&projection, memory, kv, middle, fixed_bytes);
        if (projection.peak_bytes <= limit_bytes)
            within = middle;
        else
            beyond = middle;
    }
    return within;
}
