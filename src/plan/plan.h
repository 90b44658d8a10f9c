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

/* A request for a session with these settings, and nothing else set. */
snug_plan_options snug_plan_options_of(const snug_plan_settings *settings);

/* The cache of a session with these settings. */
snug_kv_options snug_plan_kv_options(const snug_plan_settings *settings);

/* Bytes of a session's scratch: the pass, then logits. Where logits start is in *logits_at_out (may be
 * NULL). */
size_t snug_plan_scratch_bytes(const snug_model *model, const snug_plan_settings *settings,
                               size_t *logits_at_out);

/* What there is before a request is planned: read once, for as many plans as are tried. */
typedef struct snug_plan_situation {
    uint64_t fixed_bytes;                      /* outside the ledger, with what is to come there */
    uint64_t use_bytes[SNUG_MEMORY_USE_COUNT]; /* once model and tokenizer are loaded */
    uint32_t threads;                          /* where the options say none */
    uint64_t limit_bytes;
    char limited_by[128];
    uint64_t machine_limit_bytes; /* without the limit in the options */
    uint64_t own_bytes;           /* these three as in snug_memory_state */
    uint64_t comfort_bytes;
    uint64_t wanted_weight_bytes;
    uint64_t counted_bytes; /* of mapped files and wanted weights, that comfort_bytes counts as needed */
} snug_plan_situation;

/* Reads /proc and control groups. */
void snug_plan_look(snug_plan_situation *out, const snug_memory *memory, uint64_t text_bytes,
                    uint64_t user_limit_bytes);

/* As it will be once so many bytes of the ledger have been given back: of the cache first. */
void snug_plan_leave(snug_plan_situation *situation, uint64_t bytes);

/* One plan, but for what snug_plan_complete() adds: arithmetic. Errors: those of the session's options. */
SNUG_MUST_CHECK snug_status snug_plan_predict(snug_plan *plan, const snug_plan_situation *situation,
                                              const snug_model *model, const snug_plan_options *options,
                                              snug_error *error);

/* What need not be known to compare plans: when the peak is, whether the weights stay beside it. */
void snug_plan_complete(snug_plan *plan, const snug_plan_situation *situation, const snug_model *model);

/* Whether the mapped weights stay in memory beside the plan's peak. */
bool snug_plan_weights_fit(const snug_plan *plan, const snug_plan_situation *situation,
                           const snug_model *model);

/* snug_plan_search() in a situation. */
SNUG_MUST_CHECK snug_status snug_plan_search_in(snug_plan *plan, const snug_plan_situation *situation,
                                                const snug_model *model, const snug_plan_options *options,
                                                snug_strategy strategy, snug_error *error);

/*
 * The choice that a session makes when it is to adapt: what is 0 or AUTO in the settings is filled in by a
 * search within the ledger's and the machine's limit; *plan_out is what was found. The tokenizer must be in
 * the ledger already. Errors: those of the options; OVER_LIMIT, with the figures, when nothing fits.
 */
SNUG_MUST_CHECK snug_status snug_plan_choose(snug_plan_settings *settings, const snug_model *model,
                                             const snug_memory *memory, snug_strategy strategy,
                                             snug_plan *plan_out, snug_error *error);

/* Formats of the cache in the order in which quality is given up: [index], 16 is f16. Returns how many. */
typedef struct snug_plan_bits {
    uint32_t key;
    uint32_t value;
} snug_plan_bits;

size_t snug_plan_formats(const snug_plan_bits **formats_out);

/* `kv` with these widths, in planes. What stays exact is as in `kv` where that has codes, too; else the
 * defaults. */
snug_kv_config snug_plan_config_of(const snug_kv_config *kv, snug_plan_bits bits);

#endif /* SNUG_SRC_PLAN_PLAN_H */
