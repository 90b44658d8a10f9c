/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snug/plan.h - what a model, a context and a cache format will need, before anything is computed.
 *
 * The prediction is arithmetic on file headers and on the same layout functions that later allocate, so it is
 * exact for everything in the ledger. Around it stands what this process holds already, read from the kernel.
 * Promise: never below the measured unreclaimable peak, at most 3 % + 2 MB above it.
 */
#ifndef SNUG_PLAN_H
#define SNUG_PLAN_H

#include <snug/model.h>

SNUG_BEGIN_DECLS

typedef struct snug_plan_options {
    size_t struct_size;
    uint32_t context_tokens;   /* as for the session; 0: its default */
    uint32_t prompt_tokens;    /* of the request; 0: a full context */
    uint32_t max_tokens;       /* of the request; 0: until the context is full */
    uint32_t prefill_chunk;    /* as for the session */
    uint32_t threads;          /* as for the session */
    snug_kv_config kv;         /* as for the session */
    uint32_t id_count;         /* tokens of the vocabulary, for the sampler; 0: the model's */
    uint64_t user_limit_bytes; /* 0: none; bounds the unreclaimable peak */
} snug_plan_options;

typedef struct snug_plan {
    size_t struct_size; /* set by the caller */

    /* The request it is for. */
    uint32_t context_tokens;
    uint32_t cache_tokens; /* tokens of the conversation at the end; a bounded cache holds fewer of them */
    uint32_t prefill_chunk;
    uint32_t threads;
    snug_kv_config kv; /* nothing AUTO */

    /* Unreclaimable bytes at the peak, by use: what the ledger will show. */
    uint64_t use_bytes[SNUG_MEMORY_USE_COUNT];
    uint64_t fixed_bytes;        /* outside the ledger: program, libraries, stacks */
    uint64_t load_peak_bytes;    /* while loading */
    uint64_t prefill_peak_bytes; /* when the prompt has been read */
    uint64_t peak_bytes;         /* the highest of all: what is promised */

    /* Mapped weights: needed to be fast, but the kernel's to drop. */
    uint64_t weight_bytes;

    /* Against what is there. */
    uint64_t limit_bytes; /* effective limit of unreclaimable bytes of this process */
    char limited_by[128]; /* "--memory-limit", "cgroup /a/b memory.max", "physical memory" ... */
    bool fits;            /* peak_bytes <= limit_bytes */
    bool weights_fit;     /* the mapped weights stay in memory beside it: full speed */
} snug_plan;

/*
 * `memory` is the ledger the model was opened in. `text_bytes` is what the tokenizer holds or will hold
 * (snug_text_estimate_path()). Costs a few file reads of /proc. Errors: those of the session's options.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_plan_make(snug_plan *plan_out, const snug_model *model,
                                                    const snug_memory *memory, uint64_t text_bytes,
                                                    const snug_plan_options *options, snug_error *error);

/* --- while a request runs ------------------------------------------------------------------------------ */

/*
 * Tokens that the cache holds at the end of a request with a conversation of `prompt_tokens` (all of it, not
 * only what is new) and an answer of at most `max_tokens` (0: until the context is full).
 */
SNUG_API uint32_t snug_plan_end_tokens(uint32_t context_tokens, uint32_t prompt_tokens, uint32_t max_tokens);

/* What a running request comes to, with the cache in the widths that it has now. Plain data. */
typedef struct snug_projection {
    size_t struct_size;    /* set by the caller */
    uint32_t tokens;       /* of the conversation at the end */
    uint64_t cache_bytes;  /* then */
    uint64_t growth_bytes; /* of it, what the cache has not got yet */
    uint64_t ledger_bytes; /* all that the ledger will show, if nothing else is taken or given back */
    uint64_t peak_bytes;   /* with `fixed_bytes`: unreclaimable bytes of the process */
} snug_projection;

/*
 * Project to `end_tokens`, no fewer than now and no more than the context. `fixed_bytes` is what lies outside
 * the ledger: snug_plan.fixed_bytes. Exact for the cache; it grows and never shrinks by itself, so the end is
 * also the peak. Cost: microseconds; no memory is taken, no file is read: for every token, if you like.
 */
SNUG_API void snug_plan_project(snug_projection *out, const snug_memory *memory, const snug_kv *kv,
                                uint32_t end_tokens, uint64_t fixed_bytes);

/*
 * The longest conversation, at most the context, with which the projected peak stays within `limit_bytes`;
 * what there is now counts as within. Cost as above, some twenty times.
 */
SNUG_API uint32_t snug_plan_tokens_within(const snug_memory *memory, const snug_kv *kv, uint64_t limit_bytes,
                                          uint64_t fixed_bytes);

SNUG_END_DECLS
#endif /* SNUG_PLAN_H */
