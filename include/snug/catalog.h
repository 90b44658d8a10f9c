/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snug/catalog.h - known models: where they are published, which are on this machine, which fits best.
 *
 * The catalogue is a table of names, repositories and shapes (src/catalog/catalog.json), to which a user may
 * add a file of the same form. It holds no sizes: what a model needs is planned from its shape, or from its
 * files where they are on this machine.
 *
 * Threads: a catalogue is read-only once opened; a choice belongs to one thread.
 */
#ifndef SNUG_CATALOG_H
#define SNUG_CATALOG_H

#include <snug/hub.h>
#include <snug/plan.h>
#include <snug/pressure.h>
#include <snug/text.h>

SNUG_BEGIN_DECLS

typedef struct snug_catalog snug_catalog;

typedef struct snug_catalog_options {
    size_t struct_size;
    const char *user_file; /* a catalogue of the user's own, added to ours; one that is not there is none */
    const char *cache_folder;   /* of the hub, with models--ORG--NAME folders: those are installed */
    const char *bundled_folder; /* a model that is always at hand */
} snug_catalog_options;

/*
 * Where these are by the environment. The user's file: $XDG_CONFIG_HOME/snug/catalog.json, else ~/.config/...
 * The hub's folder as other tools have it: $HF_HUB_CACHE, $HUGGINGFACE_HUB_CACHE, $HF_HOME/hub,
 * $XDG_CACHE_HOME/huggingface/hub, ~/.cache/huggingface/hub. False when no home is known, or it is too long.
 */
SNUG_API bool snug_catalog_user_file(char *path_out, size_t capacity);
SNUG_API bool snug_catalog_cache_folder(char *path_out, size_t capacity);

/*
 * Parts that are NULL are left out; `options` too. Looks which models are installed. Errors: CORRUPT (a
 * damaged user's file, by key), IO, OVER_LIMIT.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_catalog_open(snug_catalog **catalog_out, snug_memory *memory,
                                                       const snug_catalog_options *options,
                                                       snug_error *error);
SNUG_API void snug_catalog_close(snug_catalog *catalog);

/* The document's tiers of memory, as bits. */
#define SNUG_CATALOG_TIERS 4
SNUG_API const char *snug_catalog_tier_name(unsigned tier); /* 0: "under-2", "2-to-4", "4-to-8", "over-8" */

/* Texts are valid while the catalogue lives. */
typedef struct snug_catalog_model {
    size_t struct_size;    /* set by the caller */
    const char *name;      /* "qwen3-4b" */
    const char *title;     /* "Qwen3 4B" */
    const char *publisher; /* "" for a bundled model */
    const char *licence;
    unsigned tiers;      /* bit N: named in tier N */
    size_t source_count; /* at least 1 */
} snug_catalog_model;

/* One place where a model is published, in one format. */
typedef struct snug_catalog_source {
    size_t struct_size;     /* set by the caller */
    const char *repository; /* "Qwen/Qwen3-4B-GGUF"; "" for a bundled model */
    const char *file;       /* "Qwen3-4B-Q4_K_M.gguf"; "" where the whole repository is the model */
    const char *weights;    /* "bf16", "affine4:64", "q4_k_m"; see snug_model_outline */
    const char *path;       /* to open it: the folder or the file; NULL: not on this machine */
} snug_catalog_source;

SNUG_API size_t snug_catalog_model_count(const snug_catalog *catalog);
SNUG_API void snug_catalog_read_model(snug_catalog_model *out, const snug_catalog *catalog, size_t model);
SNUG_API void snug_catalog_read_source(snug_catalog_source *out, const snug_catalog *catalog, size_t model,
                                       size_t source);

/*
 * The model of that name, or the one and the source with that repository ("ORG/NAME" or "ORG/NAME:FILE"; of a
 * name the first source that is installed, else the first). Case does not count. False when there is none.
 */
SNUG_API bool snug_catalog_find(size_t *model_out, size_t *source_out, const snug_catalog *catalog,
                                const char *name);

/*
 * A model of the catalogue by its shape alone, whether its files are here or not: to be planned, as
 * snug_model_open_outline() has it. *text_bytes_out is what its tokenizer will hold, within 0.3 MB. Errors:
 * those of that, and UNSUPPORTED (the bundled model and rows without a shape: they are planned from files).
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_catalog_open_outline(snug_model **model_out,
                                                               uint64_t *text_bytes_out,
                                                               const snug_catalog *catalog, size_t model,
                                                               size_t source, snug_memory *memory,
                                                               snug_error *error);

/* --- which one fits best ------------------------------------------------------------------------------- */

typedef struct snug_catalog_query {
    size_t struct_size;
    uint64_t limit_bytes;    /* for everything, weights too; 0: what this process may use now */
    snug_strategy strategy;  /* how full the limit may be planned, and the cache formats to try */
    uint32_t context_tokens; /* 0: 4096, or the model's longest if that is less */
    bool is_installed_only;
} snug_catalog_query;

typedef struct snug_catalog_candidate {
    size_t struct_size; /* set by the caller */
    size_t model;
    size_t source;
    const char *path; /* NULL: not on this machine; planned from the catalogue then */
    bool is_planned;  /* false: its files cannot be read; `why` has the sentence */
    bool fits;
    bool is_chosen;
    uint64_t parameters;     /* that compute each token: tables that are only looked up do not count */
    uint64_t file_bytes;     /* of the weight files */
    uint64_t weight_bytes;   /* of them, read for each token: they must stay in memory for full speed */
    uint64_t need_bytes;     /* plan.peak_bytes + weight_bytes */
    uint32_t longest_tokens; /* the longest context that fits with the strategy's smallest cache; 0: none */
    snug_plan plan;          /* with the first cache format and prefill chunk that fit, or the smallest */
    char why[256];
} snug_catalog_candidate;

typedef struct snug_catalog_choice snug_catalog_choice;

/*
 * Plan every candidate and choose. It fits when the planned peak stays within the strategy's share of the
 * limit, and within the limit together with the weights that are read for each token. Of those that fit the
 * one whose tokens are computed with the most parameters is chosen; of one model its first source. The same
 * question on the same machine gets the same answer. Costs a few milliseconds per candidate; installed ones
 * have their headers and tokenizer read. A choice without a chosen one is no error.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_catalog_best(snug_catalog_choice **choice_out,
                                                       const snug_catalog *catalog,
                                                       const snug_catalog_query *query, snug_error *error);
SNUG_API void snug_catalog_choice_destroy(snug_catalog_choice *choice);

/* In the order of the catalogue. */
SNUG_API size_t snug_catalog_candidate_count(const snug_catalog_choice *choice);
SNUG_API void snug_catalog_read_candidate(snug_catalog_candidate *out, const snug_catalog_choice *choice,
                                          size_t index);
/* Index of the chosen one, or SIZE_MAX. */
SNUG_API size_t snug_catalog_chosen(const snug_catalog_choice *choice);
/* What was chosen and why, or why nothing: one sentence. */
SNUG_API const char *snug_catalog_explanation(const snug_catalog_choice *choice);
/* What the candidates were measured against. */
SNUG_API uint64_t snug_catalog_limit_bytes(const snug_catalog_choice *choice);

/* --- loaded models -------------------------------------------------------------------------------------- */

/*
 * Models and their tokenizers, kept loaded up to a number of bytes: mapped weights and what the ledger
 * holds for them. A load makes room by closing those that nobody uses, the one that was used longest ago
 * first, and never one that is in use. Who loads a loaded model gets the same one.
 *
 * Threads: one at a time per pool; what it hands out is read-only and may be used by any.
 */
typedef struct snug_pool snug_pool;

typedef enum snug_load_phase {
    SNUG_LOAD_RESOLVE = 0,  /* which model, and where it is */
    SNUG_LOAD_DOWNLOAD = 1, /* bytes of the files; checked as they come */
    SNUG_LOAD_MAP = 2,      /* headers and tables; the tokenizer */
    SNUG_LOAD_WARM = 3,     /* bytes of the weights, read into memory */
    SNUG_LOAD_READY = 4,
} snug_load_phase;

typedef struct snug_load_progress {
    snug_load_phase phase;
    double fraction; /* of this phase, 0 to 1 */
    uint64_t done_bytes;
    uint64_t total_bytes; /* 0: this phase has none, or they are not known yet */
} snug_load_progress;

typedef struct snug_load_options {
    size_t struct_size;
    snug_model_options model;
    bool may_pull;               /* fetch it when it is not on this machine; `hub` says how */
    bool is_warm;                /* read the weights, so that the first answer is as fast as the others */
    const snug_hub_options *hub; /* its callbacks are not used: those below are */
    /* False ends the load with CANCELLED. */
    bool (*keep_going)(void *user);
    void (*on_progress)(void *user, const snug_load_progress *progress);
    void *user;
} snug_load_options;

/* One use of a loaded model. */
typedef struct snug_loaded {
    snug_model *model;
    snug_text *text;
    size_t place; /* of the pool's own */
} snug_loaded;

/* `catalog` and `memory` must outlive it. budget_bytes 0: no limit but the ledger's. */
SNUG_API SNUG_MUST_CHECK snug_status snug_pool_create(snug_pool **pool_out, snug_memory *memory,
                                                      const snug_catalog *catalog, uint64_t budget_bytes,
                                                      snug_error *error);
/* Closes all that is loaded; asserts that nothing is in use. NULL is allowed. */
SNUG_API void snug_pool_destroy(snug_pool *pool);

/*
 * Load a model by its name in the catalogue, its repository or its path, and hold it until
 * snug_pool_release(). Errors: those of opening and fetching; OVER_LIMIT when what is in use leaves too
 * little room, with the figures.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_catalog_load(snug_loaded *loaded_out, snug_pool *pool,
                                                       const char *name, const snug_load_options *options,
                                                       snug_error *error);
/* The one that snug_catalog_best() chooses. `why_out`, 512 bytes or NULL, gets the sentence why. */
SNUG_API SNUG_MUST_CHECK snug_status snug_catalog_load_best(snug_loaded *loaded_out, snug_pool *pool,
                                                            const snug_catalog_query *query,
                                                            const snug_load_options *options, char *why_out,
                                                            snug_error *error);
/*
 * A model and its tokenizer that were opened at `path` in the pool's ledger: the pool's from now on, and in
 * use. The pool must not have loaded it. Errors: ARGUMENT, FULL, and those of reading the tokenizer's size:
 * both stay the caller's.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_pool_adopt(snug_loaded *loaded_out, snug_pool *pool,
                                                     const char *path, snug_model *model, snug_text *text,
                                                     snug_error *error);
/* The use is over; it stays loaded until its room is needed. */
SNUG_API void snug_pool_release(snug_pool *pool, snug_loaded *loaded);

/* Close what nobody uses until at most `bytes` are held; returns the bytes that were given up. */
SNUG_API uint64_t snug_pool_trim(snug_pool *pool, uint64_t bytes);

typedef struct snug_pool_count {
    size_t models; /* loaded */
    size_t models_in_use;
    uint64_t used_bytes; /* of all that are loaded */
    uint64_t loads;      /* that opened files, since the pool was made */
    uint64_t evictions;
} snug_pool_count;

SNUG_API snug_pool_count snug_pool_read(const snug_pool *pool);

SNUG_END_DECLS
#endif /* SNUG_CATALOG_H */
