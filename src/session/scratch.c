/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scratch.c - the buffers of a pass, laid out for as many tokens as are computed together: fewer of them give
 * their memory back, and it is taken again when more come.
 */
#include "session/session.h"

#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "os/pages.h"
#include "plan/plan.h"

static size_t bytes_for(const snug_session *session, uint32_t tokens, size_t *logits_at)
{
    const snug_plan_settings settings = { .prefill_chunk = tokens,
                                          .threads = snug_work_threads(session->work),
                                          .logits_rows = session->logits_rows };

    return snug_plan_scratch_bytes(session->model, &settings, logits_at);
}

size_t snug_session_scratch_bytes(const snug_session *session, uint32_t tokens)
{
    return snug_round_up(bytes_for(session, tokens, NULL), snug_os_page_bytes());
}

snug_status snug_session_set_scratch(snug_session *session, uint32_t tokens, snug_error *error)
{
    size_t logits_at;
    const size_t bytes = bytes_for(session, tokens, &logits_at);
    snug_scratch scratch = { NULL, 0 };
    float *logits;

    SNUG_TRY(snug_arena_commit(&session->scratch, bytes, "scratch for one prefill chunk", error));
    logits = (float *)(void *)(session->scratch.base + logits_at);
    /* Before the layout, which writes where they may lie. */
    if (session->has_logits)
        memmove(logits, session->logits, session->model->shape.vocabulary * sizeof *logits);
    scratch.base = session->scratch.base;
    snug_pass_layout(&session->pass, &scratch, session->model, tokens, snug_work_threads(session->work));
    SNUG_ASSERT(scratch.used_bytes == logits_at);
    session->logits = logits;
    session->scratch_tokens = tokens;
    snug_arena_decommit(&session->scratch, bytes);
    return SNUG_OK;
}

snug_status snug_session_fit_chunk(uint32_t *chunk_out, snug_session *session, snug_error *error)
{
    const uint32_t wanted = (uint32_t)snug_min_size(session->prefill_chunk, session->pending);
    uint32_t tokens = wanted;

    while (tokens > session->scratch_tokens) {
        const snug_status status = snug_session_set_scratch(session, tokens, error);

        if (status != SNUG_OK && session->relief.keeps_chunk)
            return status;
        tokens = status == SNUG_OK ? session->scratch_tokens : tokens / 2;
    }
    *chunk_out = (uint32_t)snug_min_size(wanted, session->scratch_tokens);
    return SNUG_OK;
}
