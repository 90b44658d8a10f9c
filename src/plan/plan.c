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

/* A session's own struct and tables, and what it watches memory with; less than this for any model. */
#define SESSION_STRUCT_BYTES ((uint64_t)32 * 1024)

const char *snug_plan_phase_name(snug_plan_phase phase)
{
    static const char *const names[] = { "load", "prefill", "decode" };

    return (size_t)phase < SNUG_COUNT(names) ? names[phase] : "unknown";
}

/* --- what is there ------------------------------------------------------------------------------------- */

void snug_plan_look(snug_plan_situation *out, const snug_memory *memory, uint64_t text_bytes,
                    uint64_t user_limit_bytes)
{
    const uint64_t anonymous = snug_os_process_memory_read().anonymous_bytes;
    const uint64_t used = snug_memory_read_all(memory).used_bytes;
    snug_memory_state state;

    memset(out, 0, sizeof *out);
    out->fixed_bytes = GROWTH_BYTES;
    out->threads = (uint32_t)snug_min_size(snug_os_cpu_count(), SNUG_WORK_THREADS_MAX);
    if (anonymous != SNUG_OS_UNKNOWN && anonymous > used)
        out->fixed_bytes += anonymous - used;
    for (int use = 0; use < SNUG_MEMORY_USE_COUNT; use++)
        out->use_bytes[use] = snug_memory_read(memory, (snug_memory_use)use).used_bytes;
    if (text_bytes > out->use_bytes[SNUG_MEMORY_TEXT])
        out->use_bytes[SNUG_MEMORY_TEXT] = text_bytes;

    snug_memory_read_state(&state, memory);
    out->machine_limit_bytes = out->limit_bytes = state.limit_bytes;
    out->own_bytes = state.own_bytes;
    out->comfort_bytes = state.comfort_bytes;
    out->wanted_weight_bytes = state.wanted_weight_bytes;
    out->counted_bytes = state.wanted_weight_bytes;
    if (state.process_file_bytes < SNUG_MEMORY_NO_LIMIT && state.process_file_bytes > out->counted_bytes)
        out->counted_bytes = state.process_file_bytes;
    snprintf(out->limited_by, sizeof out->limited_by, "%.*s", (int)sizeof out->limited_by - 1,
             state.binding_text);
    if (user_limit_bytes > 0 && user_limit_bytes < out->limit_bytes) {
        out->limit_bytes = user_limit_bytes;
        snprintf(out->limited_by, sizeof out->limited_by, "the memory limit that was set");
    }
}

void snug_plan_leave(snug_plan_situation *situation, uint64_t bytes)
{
    static const snug_memory_use order[] = { SNUG_MEMORY_KV, SNUG_MEMORY_SCRATCH, SNUG_MEMORY_OTHER,
                                             SNUG_MEMORY_TEXT };

    for (size_t i = 0; i < SNUG_COUNT(order) && bytes > 0; i++) {
        uint64_t *use_bytes = &situation->use_bytes[order[i]];
        const uint64_t part = bytes < *use_bytes ? bytes : *use_bytes;

        *use_bytes -= part;
        situation->own_bytes -= part < situation->own_bytes ? part : situation->own_bytes;
        bytes -= part;
    }
}

/* --- one plan ------------------------------------------------------------------------------------------ */

static snug_plan_settings settings_of(const snug_plan *plan)
{
    return (snug_plan_settings){
        .context_tokens = plan->context_tokens,
        .prefill_chunk = plan->prefill_chunk,
        .threads = plan->threads,
        .logits_rows = plan->logits_rows,
        .kv = plan->kv,
    };
}

static snug_status read_request(snug_plan *plan, const snug_model *model, const snug_plan_options *options,
                                uint32_t threads, snug_error *error)
{
    snug_plan_settings settings = {
        .context_tokens = options->context_tokens,
        .prefill_chunk = options->prefill_chunk,
        .threads = options->threads ? options->threads : threads,
        .logits_rows = options->logits_rows,
        .kv = options->kv,
    };

    SNUG_TRY(snug_plan_resolve(&settings, model, error));
    if (options->prompt_tokens > settings.context_tokens)
        SNUG_FAIL(error, SNUG_ERR_FULL,
                  "the prompt has %u tokens, but the context holds %u: raise the context or shorten it",
                  options->prompt_tokens, settings.context_tokens);
    plan->prompt_tokens = options->prompt_tokens;
    plan->cache_tokens = settings.context_tokens;
    if (options->prompt_tokens > 0)
        plan->cache_tokens =
            snug_plan_end_tokens(settings.context_tokens, options->prompt_tokens, options->max_tokens);
    plan->context_tokens = settings.context_tokens;
    plan->prefill_chunk = settings.prefill_chunk;
    plan->threads = settings.threads;
    plan->logits_rows = settings.logits_rows;
    plan->kv = settings.kv;
    return SNUG_OK;
}

/* Scratch and threads: its own, or what a workbench has not yet. */
static void add_workbench(snug_plan *plan, const snug_model *model, const snug_plan_options *options)
{
    snug_plan_settings settings = settings_of(plan);
    const uint64_t there = options->has_workbench ? options->workbench_scratch_bytes : 0;
    uint64_t scratch;

    if (options->has_workbench && plan->prompt_tokens > 0 && plan->prompt_tokens < settings.prefill_chunk)
        settings.prefill_chunk = plan->prompt_tokens;
    scratch = snug_round_up(snug_plan_scratch_bytes(model, &settings, NULL), snug_os_page_bytes());
    plan->use_bytes[SNUG_MEMORY_SCRATCH] += scratch > there ? scratch - there : 0;
    if (!options->has_workbench)
        plan->use_bytes[SNUG_MEMORY_OTHER] += snug_work_estimate_bytes(settings.threads);
}

/* What the session adds beside its cache, to the uses it is charged to. */
static void add_session(snug_plan *plan, const snug_model *model, const snug_plan_options *options)
{
    const snug_plan_settings settings = settings_of(plan);
    const uint32_t id_count = options->id_count ? options->id_count : model->shape.vocabulary;

    add_workbench(plan, model, options);
    plan->use_bytes[SNUG_MEMORY_SCRATCH] += snug_sampler_estimate_bytes(id_count);
    plan->use_bytes[SNUG_MEMORY_TEXT] += snug_memory_block_bytes((uint64_t)settings.context_tokens * 4);
    plan->use_bytes[SNUG_MEMORY_OTHER] += snug_memory_block_bytes(SESSION_STRUCT_BYTES);
}

static uint64_t sum_of(const uint64_t use_bytes[SNUG_MEMORY_USE_COUNT])
{
    uint64_t sum = 0;

    for (int use = 0; use < SNUG_MEMORY_USE_COUNT; use++)
        sum += use_bytes[use];
    return sum;
}

static snug_status estimate_cache(uint64_t *bytes_out, const snug_plan *plan, const snug_model *model,
                                  uint32_t tokens, snug_error *error)
{
    const snug_plan_settings settings = settings_of(plan);
    const snug_kv_options kv = snug_plan_kv_options(&settings);

    return snug_kv_estimate(bytes_out, &model->kv_shape, &kv, tokens, error);
}

/* The cache of a plan that was made: its options have been checked. */
static uint64_t cache_at(const snug_plan *plan, const snug_model *model, uint32_t tokens)
{
    uint64_t bytes = 0;
    const snug_status status = estimate_cache(&bytes, plan, model, tokens, NULL);

    SNUG_ASSERT(status == SNUG_OK);
    return bytes;
}

snug_status snug_plan_predict(snug_plan *plan, const snug_plan_situation *situation, const snug_model *model,
                              const snug_plan_options *options, snug_error *error)
{
    const size_t struct_size = plan->struct_size;
    uint64_t cache_at_end;

    memset(plan, 0, sizeof *plan);
    plan->struct_size = struct_size;
    SNUG_TRY(read_request(plan, model, options, situation->threads, error));
    SNUG_TRY(estimate_cache(&cache_at_end, plan, model, plan->cache_tokens, error));
    plan->fixed_bytes = situation->fixed_bytes;
    memcpy(plan->use_bytes, situation->use_bytes, sizeof plan->use_bytes);
    memcpy(plan->load_use_bytes, situation->use_bytes, sizeof plan->use_bytes);
    plan->load_peak_bytes = plan->fixed_bytes + sum_of(plan->use_bytes);
    add_session(plan, model, options);
    plan->use_bytes[SNUG_MEMORY_KV] += cache_at_end;
    plan->peak_bytes = plan->fixed_bytes + sum_of(plan->use_bytes);
    plan->limit_bytes = situation->limit_bytes;
    memcpy(plan->limited_by, situation->limited_by, sizeof plan->limited_by);
    plan->fits = plan->peak_bytes <= plan->limit_bytes;
    return SNUG_OK;
}

/* The fewest tokens with which the cache has become as large as it will be. */
static uint32_t tokens_at_peak(const snug_plan *plan, const snug_model *model)
{
    const uint64_t peak = cache_at(plan, model, plan->cache_tokens);
    uint32_t below = 0;
    uint32_t reached = plan->cache_tokens;

    while (reached - below > 1) {
        const uint32_t middle = below + (reached - below) / 2;

        if (cache_at(plan, model, middle) == peak)
            reached = middle;
        else
            below = middle;
    }
    return reached;
}

bool snug_plan_weights_fit(const snug_plan *plan, const snug_plan_situation *situation,
                           const snug_model *model)
{
    const uint64_t own = situation->own_bytes;
    const uint64_t growth = plan->peak_bytes > own ? plan->peak_bytes - own : 0;
    const uint64_t others = situation->wanted_weight_bytes - model->wanted_bytes;

    return situation->comfort_bytes >= SNUG_MEMORY_NO_LIMIT ||
           situation->comfort_bytes + situation->counted_bytes >=
               growth + others + snug_checkpoint_mapped_bytes(model->checkpoint);
}

void snug_plan_complete(snug_plan *plan, const snug_plan_situation *situation, const snug_model *model)
{
    snug_plan_point prompt_read;

    snug_plan_at(&prompt_read, plan, model, plan->prompt_tokens ? plan->prompt_tokens : plan->cache_tokens);
    plan->prefill_peak_bytes = prompt_read.bytes;
    plan->peak_tokens = tokens_at_peak(plan, model);
    plan->peak_phase = plan->peak_tokens <= prompt_read.tokens ? SNUG_PLAN_PREFILL : SNUG_PLAN_DECODE;
    plan->weight_bytes = snug_checkpoint_mapped_bytes(model->checkpoint);
    plan->weights_fit = snug_plan_weights_fit(plan, situation, model);
}

void snug_plan_at(snug_plan_point *out, const snug_plan *plan, const snug_model *model, uint32_t tokens)
{
    out->phase = tokens <= plan->prompt_tokens ? SNUG_PLAN_PREFILL : SNUG_PLAN_DECODE;
    out->tokens = tokens;
    memcpy(out->use_bytes, plan->use_bytes, sizeof out->use_bytes);
    out->use_bytes[SNUG_MEMORY_KV] = plan->load_use_bytes[SNUG_MEMORY_KV] + cache_at(plan, model, tokens);
    out->bytes = plan->fixed_bytes + sum_of(out->use_bytes);
}

snug_status snug_plan_make(snug_plan *plan_out, const snug_model *model, const snug_memory *memory,
                           uint64_t text_bytes, const snug_plan_options *options, snug_error *error)
{
    snug_plan_situation situation;

    snug_plan_look(&situation, memory, text_bytes, options->user_limit_bytes);
    snug_plan_leave(&situation, options->leaving_bytes);
    SNUG_TRY(snug_plan_predict(plan_out, &situation, model, options, error));
    snug_plan_complete(plan_out, &situation, model);
    return SNUG_OK;
}
