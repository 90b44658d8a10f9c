/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.c - the prediction: what is there now, plus what a request will add, phase by phase.
 */
#include "plan/plan.h"

#include <snug/sample.h>

#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "memory/memory.h"
#include "os/machine.h"
#include "os/pages.h"

/*
 * What the process grows by beside the ledger between plan and end: stdio and locale buffers, pages of
 * libraries that are written at first use, the heap's rounding. Measured with llm-tool generate on six
 * models: 90 to 180 KB.
 */
#define GROWTH_BYTES ((uint64_t)256 * 1024)

/* A session's own struct and tables; less than this for any model. */
#define SESSION_STRUCT_BYTES ((uint64_t)8 * 1024)

static snug_status read_request(snug_plan *plan, snug_plan_settings *settings, const snug_model *model,
                                const snug_plan_options *options, snug_error *error)
{

    *settings = (snug_plan_settings){
        .context_tokens = options->context_tokens,
        .prefill_chunk = options->prefill_chunk,
        .threads = options->threads,
        .kv = options->kv,
    };
    SNUG_TRY(snug_plan_resolve(settings, model, error));
    if (options->prompt_tokens > settings->context_tokens)
        SNUG_FAIL(error, SNUG_ERR_FULL,
                  "the prompt has %u tokens, but the context holds %u: raise the context or shorten it",
                  options->prompt_tokens, settings->context_tokens);
    plan->cache_tokens = settings->context_tokens;
    if (options->prompt_tokens > 0)
        plan->cache_tokens =
            snug_plan_end_tokens(settings->context_tokens, options->prompt_tokens, options->max_tokens);
    plan->context_tokens = settings->context_tokens;
    plan->prefill_chunk = settings->prefill_chunk;
    plan->threads = settings->threads;
    plan->kv = settings->kv;
    return SNUG_OK;
}

static uint64_t used_now(const snug_memory *memory, snug_memory_use use)
{
    return snug_memory_read(memory, use).used_bytes;
}

/* What the session adds beside its cache, to the uses it is charged to. */
static void add_session(snug_plan *plan, const snug_plan_settings *settings, const snug_model *model,
                        uint32_t id_count)
{
    const uint64_t scratch = snug_plan_scratch_bytes(model, settings, NULL);

    plan->use_bytes[SNUG_MEMORY_SCRATCH] += snug_round_up(scratch, snug_os_page_bytes());
    plan->use_bytes[SNUG_MEMORY_SCRATCH] += snug_sampler_estimate_bytes(id_count);
    plan->use_bytes[SNUG_MEMORY_SCRATCH] += snug_work_estimate_bytes(settings->threads);
    plan->use_bytes[SNUG_MEMORY_TEXT] += snug_memory_block_bytes((uint64_t)settings->context_tokens * 4);
    plan->use_bytes[SNUG_MEMORY_OTHER] += snug_memory_block_bytes(SESSION_STRUCT_BYTES);
}

static uint64_t sum_of_uses(const snug_plan *plan)
{
    uint64_t sum = 0;

    for (int use = 0; use < SNUG_MEMORY_USE_COUNT; use++)
        sum += plan->use_bytes[use];
    return sum;
}

static snug_status predict(snug_plan *plan, const snug_model *model, const snug_memory *memory,
                           uint64_t text_bytes, const snug_plan_options *options, snug_error *error)
{
    const uint64_t anonymous = snug_os_process_memory_read().anonymous_bytes;
    const uint64_t used = snug_memory_read_all(memory).used_bytes;
    const uint32_t id_count = options->id_count ? options->id_count : model->shape.vocabulary;
    const uint64_t text_now = used_now(memory, SNUG_MEMORY_TEXT);
    uint64_t cache_of_prompt, cache_at_end;
    snug_plan_settings settings;
    snug_kv_options kv;

    SNUG_TRY(read_request(plan, &settings, model, options, error));
    kv = snug_plan_kv_options(&settings);
    plan->fixed_bytes = GROWTH_BYTES;
    if (anonymous != SNUG_OS_UNKNOWN && anonymous > used)
        plan->fixed_bytes += anonymous - used;
    for (int use = 0; use < SNUG_MEMORY_USE_COUNT; use++)
        plan->use_bytes[use] = used_now(memory, (snug_memory_use)use);
    if (text_bytes > text_now)
        plan->use_bytes[SNUG_MEMORY_TEXT] += text_bytes - text_now;
    plan->load_peak_bytes = plan->fixed_bytes + sum_of_uses(plan);
    add_session(plan, &settings, model, id_count);
    SNUG_TRY(snug_kv_estimate(&cache_at_end, &model->kv_shape, &kv, plan->cache_tokens, error));
    SNUG_TRY(snug_kv_estimate(&cache_of_prompt, &model->kv_shape, &kv,
                              options->prompt_tokens ? options->prompt_tokens : plan->cache_tokens, error));
    plan->prefill_peak_bytes = plan->fixed_bytes + sum_of_uses(plan) + cache_of_prompt;
    plan->use_bytes[SNUG_MEMORY_KV] += cache_at_end;
    plan->peak_bytes = plan->fixed_bytes + sum_of_uses(plan);
    plan->weight_bytes = snug_checkpoint_mapped_bytes(model->checkpoint);
    return SNUG_OK;
}

static void compare_with_limit(snug_plan *plan, const snug_memory *memory, uint64_t user_limit_bytes)
{
    snug_memory_state state;
    uint64_t growth;

    snug_memory_read_state(&state, memory);
    plan->limit_bytes = state.limit_bytes;
    snprintf(plan->limited_by, sizeof plan->limited_by, "%.*s", (int)sizeof plan->limited_by - 1,
             state.binding_text);
    if (user_limit_bytes > 0 && user_limit_bytes < plan->limit_bytes) {
        plan->limit_bytes = user_limit_bytes;
        snprintf(plan->limited_by, sizeof plan->limited_by, "the memory limit that was set");
    }
    plan->fits = plan->peak_bytes <= plan->limit_bytes;
    growth = plan->peak_bytes > state.own_bytes ? plan->peak_bytes - state.own_bytes : 0;
    plan->weights_fit = state.comfort_bytes >= SNUG_MEMORY_NO_LIMIT ||
                        state.comfort_bytes + state.process_file_bytes >= growth + plan->weight_bytes;
}

snug_status snug_plan_make(snug_plan *plan_out, const snug_model *model, const snug_memory *memory,
                           uint64_t text_bytes, const snug_plan_options *options, snug_error *error)
{
    const size_t struct_size = plan_out->struct_size;

    memset(plan_out, 0, sizeof *plan_out);
    plan_out->struct_size = struct_size;
    SNUG_TRY(predict(plan_out, model, memory, text_bytes, options, error));
    compare_with_limit(plan_out, memory, options->user_limit_bytes);
    return SNUG_OK;
}
