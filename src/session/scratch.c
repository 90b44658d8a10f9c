/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scratch.c - a session at its workbench: room for the tokens that it computes together, and its pass's
 * pointers, which are old when another session had it laid out anew.
 */
#include "session/session.h"

#include "base/size.h"
#include "base/status.h"

size_t snug_session_scratch_bytes(const snug_session *session, uint32_t tokens)
{
    return snug_workbench_bytes_for(session->bench, tokens);
}

void snug_session_come(snug_session *session)
{
    if (session->layout == session->bench->layout)
        return;
    snug_workbench_fill(session->bench, &session->pass);
    session->layout = session->bench->layout;
}

snug_status snug_session_set_scratch(snug_session *session, uint32_t tokens, snug_error *error)
{
    SNUG_TRY(snug_workbench_lay_out(session->bench, tokens, error));
    snug_session_come(session);
    return SNUG_OK;
}

snug_status snug_session_fit_chunk(uint32_t *chunk_out, snug_session *session, snug_error *error)
{
    const uint32_t wanted = (uint32_t)snug_min_size(session->prefill_chunk, session->pending);
    uint32_t tokens = wanted;

    while (tokens > session->bench->scratch_tokens) {
        const snug_status status = snug_session_set_scratch(session, tokens, error);

        if (status != SNUG_OK && session->relief.keeps_chunk)
            return status;
        tokens = status == SNUG_OK ? session->bench->scratch_tokens : tokens / 2;
    }
    snug_session_come(session);
    *chunk_out = (uint32_t)snug_min_size(wanted, session->bench->scratch_tokens);
    return SNUG_OK;
}

bool snug_session_has_logits(const snug_session *session)
{
    return session->has_logits && session->bench->logits_of == session;
}
