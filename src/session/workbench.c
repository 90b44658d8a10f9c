/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workbench.c - threads, and the buffers of a pass, laid out for as many tokens as are computed together:
 * fewer of them give their memory back, and it is taken again when more come.
 */
#include "session/workbench.h"

#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "os/pages.h"
#include "plan/plan.h"

static const char what[] = "scratch for one prefill chunk";

static size_t bytes_for(const snug_workbench *bench, uint32_t tokens, size_t *logits_at)
{
    const snug_plan_settings settings = { .prefill_chunk = tokens,
                                          .threads = snug_work_threads(bench->work),
                                          .logits_rows = bench->logits_rows };

    return snug_plan_scratch_bytes(bench->model, &settings, logits_at);
}

size_t snug_workbench_bytes_for(const snug_workbench *bench, uint32_t tokens)
{
    return snug_round_up(bytes_for(bench, tokens, NULL), snug_os_page_bytes());
}

void snug_workbench_fill(const snug_workbench *bench, snug_pass *pass)
{
    snug_scratch scratch = { .base = bench->scratch.base };

    snug_pass_layout(pass, &scratch, bench->model, bench->scratch_tokens, snug_work_threads(bench->work));
}

snug_status snug_workbench_lay_out(snug_workbench *bench, uint32_t tokens, snug_error *error)
{
    size_t logits_at;
    const size_t bytes = bytes_for(bench, tokens, &logits_at);
    snug_pass pass = { 0 };
    float *logits;

    SNUG_ASSERT(tokens > 0 && tokens <= bench->most_tokens);
    SNUG_TRY(snug_arena_commit(&bench->scratch, bytes, what, error));
    logits = (float *)(void *)(bench->scratch.base + logits_at);
    /* Before the layout, which writes where they may lie. */
    if (bench->logits_of)
        memmove(logits, bench->logits, bench->model->shape.vocabulary * sizeof *logits);
    bench->logits = logits;
    bench->scratch_tokens = tokens;
    bench->layout++;
    snug_workbench_fill(bench, &pass);
    snug_arena_decommit(&bench->scratch, bytes);
    atomic_store(&bench->shown_bytes, bench->scratch.committed_bytes);
    return SNUG_OK;
}

static snug_status make_parts(snug_workbench *bench, uint32_t threads, snug_error *error)
{
    SNUG_TRY(snug_work_create(&bench->work, bench->memory, threads, error));
    SNUG_TRY(snug_arena_init(&bench->scratch, bench->memory, SNUG_MEMORY_SCRATCH,
                             snug_workbench_bytes_for(bench, bench->most_tokens), what, error));
    return snug_workbench_lay_out(bench, 1, error);
}

snug_status snug_workbench_create(snug_workbench **workbench_out, const snug_model *model,
                                  snug_memory *memory, const snug_session_options *options, snug_error *error)
{
    snug_plan_settings settings = { 0 };
    snug_error own = { SNUG_OK, "" };
    snug_workbench *bench;
    snug_status status;

    *workbench_out = NULL;
    if (!error)
        error = &own;
    if (options) {
        settings.context_tokens = options->context_tokens;
        settings.prefill_chunk = options->prefill_chunk;
        settings.threads = options->threads;
        settings.logits_rows = options->logits_rows;
    }
    SNUG_TRY(snug_plan_resolve(&settings, model, error));
    bench = snug_memory_alloc(memory, SNUG_MEMORY_OTHER, sizeof *bench, "the workbench", error);
    if (!bench)
        return error->status;
    bench->model = model;
    bench->memory = memory;
    bench->most_tokens = settings.prefill_chunk;
    bench->logits_rows = settings.logits_rows;
    status = make_parts(bench, settings.threads, error);
    if (status != SNUG_OK) {
        snug_workbench_destroy(bench);
        return status;
    }
    *workbench_out = bench;
    return SNUG_OK;
}

void snug_workbench_destroy(snug_workbench *workbench)
{
    if (!workbench)
        return;
    snug_arena_deinit(&workbench->scratch);
    snug_work_destroy(workbench->work);
    snug_memory_free(workbench->memory, workbench);
}

uint64_t snug_workbench_scratch_bytes(const snug_workbench *workbench)
{
    return atomic_load(&workbench->shown_bytes);
}

uint64_t snug_workbench_trim(snug_workbench *workbench)
{
    const uint64_t before = workbench->scratch.committed_bytes;
    const snug_status status = snug_workbench_lay_out(workbench, 1, NULL);

    SNUG_ASSERT(status == SNUG_OK);
    return before - workbench->scratch.committed_bytes;
}
