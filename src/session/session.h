/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - a session inside the library: what session.c and generate.c share.
 */
#ifndef SNUG_SRC_SESSION_SESSION_H
#define SNUG_SRC_SESSION_SESSION_H

#include <snug/session.h>

#include "memory/memory.h"
#include "model/model.h"
#include "os/file.h"
#include "os/replace.h"
#include "session/relief.h"
#include "session/workbench.h"

/*
 * Invariants: tokens <= kv's tokens' capacity; ids[0 .. tokens) are the tokens in the cache; the workbench's
 * logits are those after the last of them while snug_session_has_logits(). The `pending` ids after those are
 * known, but not computed.
 */
struct snug_session {
    const snug_model *model;
    snug_memory *memory;
    snug_workbench *bench;
    snug_workbench *own_bench; /* NULL: it is lent */
    snug_kv *kv;
    snug_pass pass;
    uint64_t layout; /* of the workbench, that the pass was made for */
    uint32_t *ids;   /* [context_tokens] */
    uint32_t tokens;
    uint32_t pending;
    uint32_t context_tokens;
    uint32_t prefill_chunk; /* at most so many together: what relief left of it */
    uint32_t logits_rows;
    bool has_logits;
    uint64_t few_tokens_ns;     /* that the last pass of few tokens took; 0: none yet */
    uint64_t sampled_ns;        /* when the kernel was asked last what the process holds */
    bool is_unfinished;         /* an answer was begun and not ended: */
    snug_unfinished unfinished; /* without known_tokens */
    snug_relief relief;
};

/*
 * The sequence is going to have `tokens` tokens. Models with two sets of rotary frequencies choose one by
 * it: if that is another than what is in the cache was computed with, the session is emptied, and what it
 * held is to be computed again. A new session expects to fill its context; in exact mode the length that is
 * really reached decides. Returns what is lost: reason NONE when nothing is.
 */
snug_recompute snug_session_expect(snug_session *session, uint32_t tokens);

/* Bytes of memory that scratch for so many tokens takes (scratch.c). */
size_t snug_session_scratch_bytes(const snug_session *session, uint32_t tokens);

/* snug_workbench_lay_out() of its workbench. */
SNUG_MUST_CHECK snug_status snug_session_set_scratch(snug_session *session, uint32_t tokens,
                                                     snug_error *error);

/* Before the pass is used: another session may have been at the workbench. */
void snug_session_come(snug_session *session);

/* They are there, and no other session has written its own over them. */
bool snug_session_has_logits(const snug_session *session);

/*
 * How many of the pending tokens can be computed together now, at least 1: as many as wanted where there is
 * scratch for them, else fewer. Errors: OVER_LIMIT, NO_MEMORY: they must not be fewer.
 */
SNUG_MUST_CHECK snug_status snug_session_fit_chunk(uint32_t *chunk_out, snug_session *session,
                                                   snug_error *error);

/* The bytes of snug_session_save() into a file that has been begun (saved.c). Takes no memory. */
SNUG_MUST_CHECK snug_status snug_saved_write(snug_os_replace *file, const snug_session *session,
                                             snug_error *error);

/* The other way, as snug_session_load() does it; `path` is for sentences. */
SNUG_MUST_CHECK snug_status snug_saved_read(snug_session *session, const snug_os_map *bytes, const char *path,
                                            snug_error *error);

#endif /* SNUG_SRC_SESSION_SESSION_H */
