/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snug/plan.h - what a model, a context and a cache format will need, before anything is computed; and which
 * of them to choose, given a limit and a strategy.
 *
 * The prediction is arithmetic on file headers and on the same layout functions that later allocate, so it is
 * exact for everything in the ledger. Around it stands what this process holds already, read from the kernel.
 * Promise: never below the measured unreclaimable peak, at most 3 % + 2 MB above it.
 */
#ifndef SNUG_PLAN_H
#define SNUG_PLAN_H

#include <snug/model.h>
#include <snug/pressure.h>

SNUG_BEGIN_DECLS

/* One way to run a request that snug_plan_search() tried. */
typedef struct snug_plan_candidate {
    snug_kv_config kv;
    uint32_t prefill_chunk;
    uint32_t context_tokens;
    uint64_t peak_bytes;
    uint64_t allowed_bytes; /* what the peak was held against */
    bool fits;              /* and therefore chosen */
} snug_plan_candidate;

typedef void (*snug_plan_candidate_fn)(void *user, const snug_plan_candidate *candidate);

typedef struct snug_plan_options {
    size_t struct_size;
    uint32_t context_tokens;             /* as for the session; 0: its default */
    uint32_t prompt_tokens;              /* of the request; 0: a full context */
    uint32_t max_tokens;                 /* of the request; 0: until the context is full */
    uint32_t prefill_chunk;              /* as for the session */
    uint32_t threads;                    /* as for the session */
    snug_kv_config kv;                   /* as for the session */
    uint32_t id_count;                   /* tokens of the vocabulary, for the sampler; 0: the model's */
    uint64_t user_limit_bytes;           /* 0: none; bounds the unreclaimable peak */
    uint32_t logits_rows;                /* as for the session */
    snug_plan_candidate_fn on_candidate; /* of a search: told each one tried, in order; may be NULL */
    void *user;
    /* In the ledger now, and given back before the request needs it: by sessions that will have ended, or are
     * kept only as long as there is room. */
    uint64_t leaving_bytes;
    /* It computes at a workbench that others use, too (snug_workbench_create()), with so much scratch now: of
     * that only what is missing for the largest chunk of the prompt is added, and no threads. */
    bool has_workbench;
    uint64_t workbench_scratch_bytes;
} snug_plan_options;

typedef enum snug_plan_phase {
    SNUG_PLAN_LOAD = 0,    /* the model's tables and the tokenizer */
    SNUG_PLAN_PREFILL = 1, /* the prompt, chunk by chunk */
    SNUG_PLAN_DECODE = 2,  /* the answer, token by token */
} snug_plan_phase;

/* "load", "prefill", "decode". Never NULL. */
SNUG_API const char *snug_plan_phase_name(snug_plan_phase phase);

/* What a search chose; the rest was set by the caller, or has no choice. */
enum {
    SNUG_PLAN_CHOSE_FORMAT = 1 << 0,
    SNUG_PLAN_CHOSE_CHUNK = 1 << 1,
    SNUG_PLAN_CHOSE_CONTEXT = 1 << 2, /* fewer than the default */
    SNUG_PLAN_CHOSE_WINDOW = 1 << 3,  /* a rotating cache, which forgets the middle: to be announced */
};

typedef struct snug_plan {
    size_t struct_size; /* set by the caller */

    /* The request it is for. */
    uint32_t context_tokens;
    uint32_t prompt_tokens; /* 0: not known */
    uint32_t cache_tokens;  /* tokens of the conversation at the end; a bounded cache holds fewer of them */
    uint32_t prefill_chunk;
    uint32_t threads;
    uint32_t logits_rows;
    snug_kv_config kv; /* nothing AUTO */

    /* Unreclaimable bytes at the peak, by use: what the ledger will show. */
    uint64_t use_bytes[SNUG_MEMORY_USE_COUNT];
    uint64_t fixed_bytes;        /* outside the ledger: program, libraries, stacks */
    uint64_t load_peak_bytes;    /* while loading */
    uint64_t prefill_peak_bytes; /* when the prompt has been read */
    uint64_t peak_bytes;         /* the highest of all: what is promised */
    snug_plan_phase peak_phase;  /* when it is reached */
    uint32_t peak_tokens;        /* of the conversation then: a bounded cache stays at its peak */
    uint64_t load_use_bytes[SNUG_MEMORY_USE_COUNT]; /* as use_bytes, before there is a session */

    /* Mapped weights: needed to be fast, but the kernel's to drop. */
    uint64_t weight_bytes;

    /* Against what is there. */
    uint64_t limit_bytes; /* effective limit of unreclaimable bytes of this process */
    char limited_by[128]; /* "--memory-limit", "cgroup /a/b memory.max", "physical memory" ... */
    bool fits;            /* peak_bytes <= limit_bytes; after a search: <= most_bytes */
    bool weights_fit;     /* the mapped weights stay in memory beside it: full speed */

    /* Of snug_plan_search(); zero after snug_plan_make(). */
    snug_strategy strategy;   /* not AUTO */
    unsigned chosen;          /* SNUG_PLAN_CHOSE_... */
    uint64_t planned_bytes;   /* the strategy's share of the limit */
    uint64_t most_bytes;      /* what it may fill at most, with a warning */
    bool is_tight;            /* above planned_bytes: warn */
    uint32_t candidate_count; /* tried */
} snug_plan;

/*
 * `memory` is the ledger the model was opened in. `text_bytes` is what the tokenizer holds or will hold
 * (snug_text_estimate_path()). Costs a few file reads of /proc. Errors: those of the session's options.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_plan_make(snug_plan *plan_out, const snug_model *model,
                                                    const snug_memory *memory, uint64_t text_bytes,
                                                    const snug_plan_options *options, snug_error *error);

/*
 * The same, and choose what the options leave open (0, AUTO) so that the peak stays within the strategy's
 * share of the limit. In this order, the first that fits is taken:
 *
 *   1. cache format: the strategy's first, then always the next lower down to its floor (docs/quality.md has
 *      the order and why); f16 in place of one that would take no less. With each format the prefill chunk:
 *      512 tokens, or the whole prompt if that is shorter, then powers of two down to 32. A smaller chunk
 *      costs speed, fewer bits cost quality. Where the mapped weights do not stay in memory every chunk reads
 *      them from the disk: chunks below 128 come there after all formats.
 *   2. a shorter context, by eighths of the default down to 512 tokens, never shorter than the request needs:
 *      the longest with which the lowest format fits, and then the highest format that does.
 *   3. if the strategy allows: a rotating cache, in the same way.
 *
 * If none fits, the first that stays within the strategy's most (95 %) is taken, and `is_tight` set. If there
 * is none either, `fits` is false and the plan is the one that needs least. What is set is never changed. A
 * model opened as exact keeps f32. The same figures give the same choice. Cost: as above, once, and
 * some microseconds per candidate and layer.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_plan_search(snug_plan *plan_out, const snug_model *model,
                                                      const snug_memory *memory, uint64_t text_bytes,
                                                      const snug_plan_options *options,
                                                      snug_strategy strategy, snug_error *error);

/* What is predicted at one moment. Plain data. */
typedef struct snug_plan_point {
    snug_plan_phase phase;
    uint32_t tokens; /* of the conversation */
    uint64_t use_bytes[SNUG_MEMORY_USE_COUNT];
    uint64_t bytes; /* of them all, with fixed_bytes */
} snug_plan_point;

/*
 * The prediction while the conversation has `tokens` tokens, at most the context: 0 is a session that has
 * just been made. The cache grows at the beginning of a chunk for all of it, so a chunk is as high as its
 * last token. `model` is the plan's. Cost: microseconds.
 */
SNUG_API void snug_plan_at(snug_plan_point *out, const snug_plan *plan, const snug_model *model,
                           uint32_t tokens);

/* --- what would fit ------------------------------------------------------------------------------------ */

/* One way to make a request fit: what to set instead, 0 for what may stay. Plain data. */
typedef struct snug_plan_way {
    uint32_t prefill_chunk;
    uint32_t key_bits; /* of planes, or of affine if that was asked for; what stays exact is as asked */
    uint32_t value_bits;
    uint32_t context_tokens;
    uint32_t max_kv_tokens; /* of a rotating cache: its sinks as asked, or SNUG_KV_SINKS_DEFAULT */
    uint64_t limit_bytes;   /* raise the limit that was set to so much: the machine has it */
    uint64_t peak_bytes;    /* needed then */
} snug_plan_way;

#define SNUG_PLAN_WAYS_MAX 3

/*
 * The ways that cost least for a request whose plan does not fit, each tried: planned with it and otherwise
 * the same options (and searched, if the plan came from a search), it fits. In the order of what they
 * cost: speed, quality, length, what is remembered, memory. Returns how many there are; 0: nothing helps.
 * Cost: some hundred plans, without reading a file for each.
 */
SNUG_API size_t snug_plan_suggest(snug_plan_way ways_out[SNUG_PLAN_WAYS_MAX], const snug_plan *plan,
                                  const snug_model *model, const snug_memory *memory, uint64_t text_bytes,
                                  const snug_plan_options *options);

/* --- parameters of a generation ------------------------------------------------------------------------ */

/* What a plan comes to, by the names that mlx-lm gave them. Plain data. */
typedef struct snug_generation_params {
    size_t struct_size;   /* set by the caller */
    uint32_t max_tokens;  /* the longest answer that fits after the plan's prompt; 0: none does */
    uint32_t max_kv_size; /* tokens that the cache keeps: the context's, or those of a bounded cache */
    uint32_t key_bits;    /* 32, 16, 8 ... 2 */
    uint32_t value_bits;
    uint32_t group_size;         /* of affine; 0: a scale for each vector (planes), or none */
    uint32_t quantized_kv_start; /* first tokens that stay f16; all of them where nothing has codes */
    uint32_t prefill_chunk;
} snug_generation_params;

/* From the plan alone: there is no other table. `model` is the plan's. */
SNUG_API void snug_memory_generation_params(snug_generation_params *out, const snug_plan *plan,
                                            const snug_model *model);

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
