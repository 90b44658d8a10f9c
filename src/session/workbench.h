/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workbench.h - a workbench inside the library: what sessions compute with, one at a time.
 */
#ifndef SNUG_SRC_SESSION_WORKBENCH_H
#define SNUG_SRC_SESSION_WORKBENCH_H

#include <stdatomic.h>

#include <snug/session.h>

#include "memory/memory.h"
#include "model/model.h"
#include "work/work.h"

/*
 * Scratch holds the buffers of a pass for scratch_tokens tokens, then logits. Each session has pointers into
 * it (its pass), which are those of layout number `layout`; whose logits lie there is in logits_of.
 */
struct snug_workbench {
    const snug_model *model;
    snug_memory *memory;
    snug_work *work;
    snug_arena scratch;
    float *logits;                 /* [logits_rows][vocabulary]: the last token's are in the first row */
    const snug_session *logits_of; /* only compared; NULL: nobody's */
    uint64_t layout;
    uint32_t scratch_tokens; /* that scratch is laid out for */
    uint32_t most_tokens;    /* that there is address space for */
    uint32_t logits_rows;
    _Atomic uint64_t shown_bytes; /* committed, for whoever plans on another thread */
};

/* Bytes of memory that scratch for so many tokens takes. */
size_t snug_workbench_bytes_for(const snug_workbench *bench, uint32_t tokens);

/* Lay it out for `tokens` tokens, at most most_tokens; logits stay. Fewer than before give memory back and
 * cannot fail. Errors: OVER_LIMIT, NO_MEMORY: it is as it was. */
SNUG_MUST_CHECK snug_status snug_workbench_lay_out(snug_workbench *bench, uint32_t tokens, snug_error *error);

/* The pointers of a pass, as it is laid out now. Writes only what stands there already. */
void snug_workbench_fill(const snug_workbench *bench, snug_pass *pass);

#endif /* SNUG_SRC_SESSION_WORKBENCH_H */
