/* SPDX-License-Identifier: Apache-2.0 */
/*
 * params.c - a plan as the parameters of a generation.
 */
#include "plan/plan.h"

static bool has_codes(const snug_kv_coding *coding)
{
    return coding->format == SNUG_KV_FORMAT_AFFINE || coding->format == SNUG_KV_FORMAT_PLANES;
}

static uint32_t bits_of(const snug_kv_coding *coding)
{
    if (has_codes(coding))
        return coding->bits ? coding->bits : 8;
    return coding->format == SNUG_KV_FORMAT_F32 ? 32 : 16;
}

static uint32_t group_of(const snug_kv_coding *coding)
{
    if (coding->format != SNUG_KV_FORMAT_AFFINE)
        return 0;
    return coding->group ? coding->group : 64;
}

/* The longest conversation up to the context that stays within `bytes`; 0: none. */
static uint32_t tokens_within(const snug_plan *plan, const snug_model *model, uint64_t bytes)
{
    uint32_t within = 0;
    uint32_t beyond = plan->context_tokens + 1;

    while (beyond - within > 1) {
        const uint32_t middle = within + (beyond - within) / 2;
        snug_plan_point point;

        snug_plan_at(&point, plan, model, middle);
        if (point.bytes <= bytes)
            within = middle;
        else
            beyond = middle;
    }
    return within;
}

void snug_memory_generation_params(snug_generation_params *out, const snug_plan *plan,
                                   const snug_model *model)
{
    const snug_kv_config *kv = &plan->kv;
    const uint64_t allowed = plan->strategy == SNUG_STRATEGY_AUTO ? plan->limit_bytes
                             : plan->is_tight                     ? plan->most_bytes
                                                                  : plan->planned_bytes;
    const uint32_t longest = tokens_within(plan, model, allowed);
    const bool is_coded = snug_kv_config_has_codes(kv);

    /* The last token of an answer is never put into the cache. */
    out->max_tokens = longest > 0 && longest >= plan->prompt_tokens ? longest - plan->prompt_tokens + 1 : 0;
    out->max_kv_size = kv->retention.max_tokens ? kv->retention.max_tokens : plan->context_tokens;
    out->key_bits = bits_of(&kv->key);
    out->value_bits = bits_of(&kv->value);
    out->group_size = group_of(&kv->key) ? group_of(&kv->key) : group_of(&kv->value);
    out->quantized_kv_start = is_coded ? kv->first_exact_tokens : plan->context_tokens;
    out->prefill_chunk = plan->prefill_chunk;
}
