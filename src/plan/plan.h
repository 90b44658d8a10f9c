/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.h - what planner and session must agree on: how options become figures, and how many bytes follow
 * from them.
 */
#ifndef SNUG_SRC_PLAN_PLAN_H
#define SNUG_SRC_PLAN_PLAN_H

#include <snug/plan.h>

#include "model/model.h"

/* A session's options with every default replaced by its figure, checked. */
typedef struct snug_plan_settings {
    uint32_t context_tokens;
    uint32_t prefill_chunk;
    uint32_t threads;
    uint32_t logits_rows;
    snug_kv_config kv;
} snug_plan_settings;

/* In and out: 0 becomes the default. Errors: ARGUMENT (a context beyond the model's, too many threads). */
SNUG_MUST_CHECK snug_status snug_plan_resolve(snug_plan_settings *settings, const snug_model *model,
                                              snug_error *error);

/* The cache of a session with these settings. */
snug_kv_options snug_plan_kv_options(const snug_plan_settings *settings);

/* Bytes of a session's scratch: the pass, then logits. Where logits start is in *logits_at_out (may be
 * NULL). */
size_t snug_plan_scratch_bytes(const snug_model *model, const snug_plan_settings *settings,
                               size_t *logits_at_out);

#endif /* SNUG_SRC_PLAN_PLAN_H */
