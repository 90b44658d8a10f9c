/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - a session inside the library: what session.c and generate.c share.
 */
#ifndef SNUG_SRC_SESSION_SESSION_H
#define SNUG_SRC_SESSION_SESSION_H

#include <snug/session.h>

#include "memory/memory.h"
#include "model/model.h"

/*
 * Invariants: tokens <= kv's tokens' capacity; ids[0 .. tokens) are the tokens in the cache; logits are
 * those after the last of them while has_logits.
 */
struct snug_session {
    const snug_model *model;
    snug_memory *memory;
    snug_work *work;
    snug_kv *kv;
    snug_arena scratch; /* the buffers of `pass`, then logits */
    snug_pass pass;
    float *logits; /* [SNUG_MATMUL_FEW_TOKENS][vocabulary]: the last token's are in the first row */
    uint32_t *ids; /* [context_tokens] */
    uint32_t tokens;
    uint32_t context_tokens;
    uint32_t prefill_chunk;
    uint32_t logits_rows;
    bool has_logits;
};

/*
 * The sequence is going to have `tokens` tokens. Models with two sets of rotary frequencies choose one by
 * it: if that is another than what is in the cache was computed with, the session is emptied, and what it
 * held is to be computed again. A new session expects to fill its context; in exact mode the length that is
 * really reached decides. Returns what is lost: reason NONE when nothing is.
 */
snug_recompute snug_session_expect(snug_session *session, uint32_t tokens);

#endif /* SNUG_SRC_SESSION_SESSION_H */
