/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings.c - defaults and bounds of a session, in one place for planner and session.
 */
#include "plan/plan.h"

#include "base/size.h"
#include "base/status.h"
#include "os/machine.h"

#define CONTEXT_DEFAULT_MAX   4096u
#define CONTEXT_MAX           (1u << 24)
#define PREFILL_CHUNK_DEFAULT 512u /* SNUG_PREFILL_CHUNK_DEFAULT of snug/session.h */

snug_status snug_plan_resolve(snug_plan_settings *settings, const snug_model *model, snug_error *error)
{
    const uint32_t longest = model->shape.context_tokens;
    const snug_kv_format exact = model->kernels.exact ? SNUG_KV_FORMAT_F32 : SNUG_KV_FORMAT_F16;

    if (settings->context_tokens == 0)
        settings->context_tokens = longest < CONTEXT_DEFAULT_MAX ? longest : CONTEXT_DEFAULT_MAX;
    /* Beyond the model's own length is the caller's choice: the arithmetic holds, the quality may not. */
    if (settings->context_tokens > CONTEXT_MAX)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "a context of %u tokens was asked for; at most %u are possible",
                  settings->context_tokens, CONTEXT_MAX);
    if (settings->prefill_chunk == 0)
        settings->prefill_chunk = PREFILL_CHUNK_DEFAULT;
    if (settings->prefill_chunk > settings->context_tokens)
        settings->prefill_chunk = settings->context_tokens;
    if (settings->threads == 0)
        settings->threads = snug_os_cpu_count();
    if (settings->threads > SNUG_WORK_THREADS_MAX)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "%u threads were asked for; at most %d are possible",
                  settings->threads, SNUG_WORK_THREADS_MAX);
    if (settings->logits_rows == 0)
        settings->logits_rows = 1;
    if (settings->logits_rows > SNUG_MATMUL_FEW_TOKENS)
        settings->logits_rows = SNUG_MATMUL_FEW_TOKENS;
    if (settings->kv.key.format == SNUG_KV_FORMAT_AUTO)
        settings->kv.key.format = exact;
    if (settings->kv.value.format == SNUG_KV_FORMAT_AUTO)
        settings->kv.value.format = exact;
    if (settings->kv.retention.kind == SNUG_KV_RETENTION_AUTO)
        settings->kv.retention.kind = SNUG_KV_RETENTION_ALL;
    return SNUG_OK;
}

snug_plan_options snug_plan_options_of(const snug_plan_settings *settings)
{
    return (snug_plan_options){
        .struct_size = sizeof(snug_plan_options),
        .context_tokens = settings->context_tokens,
        .prefill_chunk = settings->prefill_chunk,
        .threads = settings->threads,
        .kv = settings->kv,
        .logits_rows = settings->logits_rows,
    };
}

snug_kv_options snug_plan_kv_options(const snug_plan_settings *settings)
{
    return (snug_kv_options){
        .struct_size = sizeof(snug_kv_options),
        .context_tokens = settings->context_tokens,
        .pass_tokens = settings->prefill_chunk,
        .config = settings->kv,
    };
}

size_t snug_plan_scratch_bytes(const snug_model *model, const snug_plan_settings *settings,
                               size_t *logits_at_out)
{
    snug_scratch scratch = { NULL, 0 };
    snug_pass pass = { 0 };

    snug_pass_layout(&pass, &scratch, model, settings->prefill_chunk, settings->threads);
    if (logits_at_out)
        *logits_at_out = scratch.used_bytes;
    return scratch.used_bytes + (size_t)settings->logits_rows * model->shape.vocabulary * sizeof(float);
}
