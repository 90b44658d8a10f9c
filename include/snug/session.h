/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snug/session.h - one timeline of tokens: prefill, decode, generate.
 *
 * A session owns a cache, and computes at a workbench: a pool of threads, and scratch for its largest prefill
 * chunk. All memory is taken when it is made, but for the cache, which grows by tiles of 64 tokens before the
 * tokens are computed. While a token is computed nothing is allocated.
 *
 * Threads: one thread at a time per session.
 */
#ifndef SNUG_SESSION_H
#define SNUG_SESSION_H

#include <snug/model.h>
#include <snug/monitor.h>
#include <snug/plan.h>
#include <snug/sample.h>
#include <snug/text.h>

SNUG_BEGIN_DECLS

typedef struct snug_session snug_session;
typedef struct snug_workbench snug_workbench;

/* --- giving memory back -------------------------------------------------------------------------------- */

/* In this order, cheapest and most easily undone first. */
typedef enum snug_relief_step {
    SNUG_RELIEF_NONE = 0,
    SNUG_RELIEF_SLACK = 1,    /* scratch that decode does not need; what the heap keeps unused */
    SNUG_RELIEF_PREFIX = 2,   /* prefixes for later conversations: relievers of that rank, the embedder */
    SNUG_RELIEF_CHUNK = 3,    /* half the prefill chunk */
    SNUG_RELIEF_IDLE = 4,     /* idle models and sessions: relievers of that rank, the embedder */
    SNUG_RELIEF_DEMOTE = 5,   /* the cache in fewer bits */
    SNUG_RELIEF_WEIGHTS = 6,  /* weights that are not needed soon: the embedder's */
    SNUG_RELIEF_WINDOW = 7,   /* forget the middle of the conversation, where the strategy allows it */
    SNUG_RELIEF_MODEL = 8,    /* a smaller model: the embedder's */
    SNUG_RELIEF_REFUSE = 9,   /* no new work: the embedder's */
    SNUG_RELIEF_SUSPEND = 10, /* nothing is left: the request ends with SNUG_ERR_OVER_LIMIT */
    SNUG_RELIEF_RECOVER = 11, /* one step taken back */
} snug_relief_step;

/* "slack", "prefix", "chunk" ...: the name in reports and in JSON. */
SNUG_API const char *snug_relief_step_name(snug_relief_step step);

typedef enum snug_relief_reason {
    SNUG_RELIEF_PRESSURE = 1, /* the level of pressure */
    SNUG_RELIEF_FORECAST = 2, /* the request would soon bring it there */
    SNUG_RELIEF_LIMIT = 3,    /* the limit was lowered below what is in use */
    SNUG_RELIEF_REFUSED = 4,  /* the cache had to grow, and was refused */
    SNUG_RELIEF_RECOVERY = 5, /* there has been room for 5 s */
} snug_relief_reason;

/* "pressure", "forecast", "limit", "refused", "recovery". */
SNUG_API const char *snug_relief_reason_name(snug_relief_reason reason);

/* One step that was done. Bytes are those of the ledger. */
typedef struct snug_relief_event {
    size_t struct_size;
    snug_relief_step step;
    snug_relief_reason reason;
    snug_pressure level;
    uint64_t promised_bytes; /* before it was done */
    uint64_t returned_bytes;
    uint64_t used_before_bytes;
    uint64_t used_after_bytes;
    uint64_t limit_bytes; /* NO_LIMIT when there is none */
    uint64_t duration_ns;
    uint32_t tokens;   /* of the conversation */
    uint32_t key_bits; /* the fewest in any layer, now; 16: f16 */
    uint32_t value_bits;
    uint32_t prefill_chunk; /* now */
} snug_relief_event;

/* On the session's thread, between tokens; it must not call the session. */
typedef void (*snug_relief_fn)(void *user, const snug_relief_event *event);

/* The same: the level of pressure is another than before. */
typedef void (*snug_pressure_fn)(void *user, const snug_pressure_reading *reading);

/*
 * A step of the embedder's: give `want` bytes back. Returns how many it was; 0: there are none. The same.
 * What sessions share, a prefix cache or idle models, is better a reliever of the ledger: see
 * snug_memory_reliever. Relievers are asked first, this for what is still missing.
 */
typedef uint64_t (*snug_release_fn)(void *user, snug_relief_step step, uint64_t want_bytes);

/* --- what sessions compute with ------------------------------------------------------------------------- */

/* (The options of sessions stand below.) */
struct snug_session_options;

/*
 * Threads and scratch for any number of sessions of one model. Those that share one take turns: they are
 * called as if they were one session, each token or chunk by whichever thread, but for destroying one, which
 * disturbs no other. Logits are those of the session that computed last; a fork begins without.
 * Of the options context_tokens, prefill_chunk, threads and logits_rows count: the most that a session may
 * ask for. Scratch is that of one token until a chunk is computed, then the chunk's, until it is trimmed.
 * `model` and `memory` must outlive it. Errors: ARGUMENT, OVER_LIMIT, NO_MEMORY.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_workbench_create(snug_workbench **workbench_out,
                                                           const snug_model *model, snug_memory *memory,
                                                           const struct snug_session_options *options,
                                                           snug_error *error);
SNUG_API void snug_workbench_destroy(snug_workbench *workbench); /* NULL is allowed */
/* In memory now. Any thread. */
SNUG_API uint64_t snug_workbench_scratch_bytes(const snug_workbench *workbench);
/* Back to the scratch of one token; returns the bytes. In turn with the sessions. */
SNUG_API uint64_t snug_workbench_trim(snug_workbench *workbench);

/* --- where the time goes ------------------------------------------------------------------------------- */

/* Time of the thread that computes, spent on one thing. */
typedef struct snug_time {
    const char *kind; /* "matmul", "inputs", "attention", "elementwise", "sampling", "waiting", "rest" */
    const char *type; /* of a matmul's weights, "q4_0"; else "" */
    uint64_t ns;
} snug_time;

#define SNUG_TIMES_MAX 64

/*
 * Take the times of what the sessions of a session's workbench compute, from zero on; or no more. Off at
 * first, and no clock is read then; on, it is read at each change of kind, 16 to 26 times in a layer of most
 * models (19 ns each on an Intel Xeon of 2023). In turn with the sessions, as snug_session_read_times().
 */
SNUG_API void snug_session_take_times(snug_session *session, bool is_on);
/*
 * Those since, which add up to the whole time since: inputs is bringing activations into the products' form,
 * waiting is for other threads at the end of a job, rest is outside of any of it, the caller's own included.
 * Kinds that took no time are left out. Returns how many; 0 while they are not taken.
 */
SNUG_API size_t snug_session_read_times(snug_time times_out[SNUG_TIMES_MAX], snug_session *session);

/* --- a session ----------------------------------------------------------------------------------------- */

#define SNUG_PREFILL_CHUNK_DEFAULT 512

typedef struct snug_session_options {
    size_t struct_size;
    /* 0: the model's own, at most 4096. More than the model was made for is allowed; it may answer badly
     * then. */
    uint32_t context_tokens;
    uint32_t prefill_chunk; /* tokens computed together; 0: 512. At most context_tokens is used */
    uint32_t
        threads; /* 0: one per physical core that it may run on and that quotas of control groups pay for */
    uint32_t
        logits_rows;   /* positions whose logits on_logits computes at once, 1 .. 8; 0: 1. Scratch for each */
    snug_kv_config kv; /* AUTO: f16, f32 for a model opened as exact; all tokens */
    /*
     * When memory is short, give some back step by step (snug_relief_step) and go on: by the strategy's
     * rules, while tokens are computed, at most 20 ms after the kernel or the ledger shows it (50 ms while
     * pressure is low); limits follow the machine. Costs 20 KiB and some twenty descriptors.
     */
    bool adapt;
    snug_strategy strategy;
    bool keeps_format; /* adapt: neither the cache's format nor what it keeps may change: the user set it */
    bool keeps_chunk;  /* nor the prefill chunk */
    snug_release_fn on_release; /* may be NULL */
    void *release_user;
    snug_workbench *workbench; /* shared with others, which must outlive it; NULL: one of its own */
} snug_session_options;

/* `model` and `memory` must outlive it. Errors: ARGUMENT, OVER_LIMIT, NO_MEMORY, UNSUPPORTED. */
SNUG_API SNUG_MUST_CHECK snug_status snug_session_create(snug_session **session_out, const snug_model *model,
                                                         snug_memory *memory,
                                                         const snug_session_options *options,
                                                         snug_error *error);

/*
 * A session that chooses for itself what the options leave open (cache format, prefill chunk, context), and
 * goes on adapting: snug_plan_search() for a full context, by options->strategy, within the limits that the
 * ledger and the machine set now; then as above with `adapt`. What the options set is obeyed, now and later,
 * or refused. Open the tokenizer before, so that its bytes are counted. *plan_out (may be NULL; its
 * struct_size need not be set) is what was chosen and what it will need.
 * Errors: as above; OVER_LIMIT with the figures when nothing that may be chosen fits.
 */
SNUG_API SNUG_MUST_CHECK snug_status
snug_session_create_adaptive(snug_session **session_out, snug_plan *plan_out, const snug_model *model,
                             snug_memory *memory, const snug_session_options *options, snug_error *error);
SNUG_API void snug_session_destroy(snug_session *session);

SNUG_API uint32_t snug_session_tokens(const snug_session *session);         /* computed so far */
SNUG_API const uint32_t *snug_session_ids(const snug_session *session);     /* their ids */
SNUG_API uint32_t snug_session_context_tokens(const snug_session *session); /* the most it can hold */
SNUG_API uint32_t snug_session_prefill_chunk(const snug_session *session);  /* now: relief may halve it */
SNUG_API uint32_t snug_session_threads(const snug_session *session);
SNUG_API const snug_kv *snug_session_kv(const snug_session *session);

/* Polled between chunks and tokens; false stops with SNUG_ERR_CANCELLED (eval) or stop INTERRUPTED
 * (generate). */
typedef bool (*snug_keep_going_fn)(void *user);

/* Logits of one position, [vocabulary]; valid during the call. False stops. */
typedef bool (*snug_logits_fn)(void *user, uint32_t position, const float *logits);

/*
 * Some models (Phi-3's "longrope") compute a sequence of more than so many tokens otherwise, from its first
 * token on (snug_model_rope_short_tokens()). A sequence is computed for the length that its request may
 * reach: snug_session_generate() takes prompt and max_tokens, eval in a new session what it can hold. A
 * sequence that outgrows this is computed again from its beginning: by generate before the first token of
 * an answer, and only once, for a conversation that has grown long stays long. A model opened as exact does
 * as the reference does: the length reached at every step decides.
 */
typedef enum snug_recompute_reason {
    SNUG_RECOMPUTE_NONE = 0,
    SNUG_RECOMPUTE_LONGER = 1,  /* beyond the limit: the long factors */
    SNUG_RECOMPUTE_SHORTER = 2, /* within it again: the short factors */
    SNUG_RECOMPUTE_REWOUND = 3, /* the cache no longer holds what the tokens after a common beginning see */
} snug_recompute_reason;

/* "none", "longer", "shorter", "rewound". */
SNUG_API const char *snug_recompute_reason_name(snug_recompute_reason reason);

typedef struct snug_recompute {
    snug_recompute_reason reason;
    uint32_t tokens;       /* the session held and computes again */
    uint32_t limit_tokens; /* snug_model_rope_short_tokens() */
} snug_recompute;

/* Told before it begins: it takes as long as a prompt of that many tokens. */
typedef void (*snug_recompute_fn)(void *user, const snug_recompute *recompute);

typedef struct snug_eval_options {
    size_t struct_size;
    snug_keep_going_fn keep_going; /* NULL: never stops */
    uint32_t logits_from;          /* with on_logits: positions before this one are not reported */
    snug_logits_fn on_logits;      /* NULL: only the last token's logits are computed */
    void *user;
    snug_recompute_fn on_recompute; /* may be NULL */
} snug_eval_options;

/*
 * Append `count` tokens. After success snug_session_logits() are those of the last one.
 * Errors: FULL (more than the context holds: nothing was computed), ARGUMENT (an id beyond the vocabulary),
 * OVER_LIMIT (the cache could not grow), CANCELLED: the session then holds the chunks computed before.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_session_eval(snug_session *session, const uint32_t *ids,
                                                       size_t count, const snug_eval_options *options,
                                                       snug_error *error);

/* Logits after the last computed token, [vocabulary]; NULL before the first. Valid until the next call. */
SNUG_API const float *snug_session_logits(const snug_session *session);

/*
 * Forget every token after the first `tokens`; their memory goes back. Returns how many are left: at most
 * `tokens`, and none at all when the cache has given up something that the next ones would see
 * (snug_kv_truncate()): then the session is as new. Cannot fail.
 */
SNUG_API uint32_t snug_session_truncate(snug_session *session, uint32_t tokens);

/*
 * A second session that continues from the tokens of `from`, with the same options; *session_out is destroyed
 * like any other, in any order. The cache is there once: each session takes memory only for what it adds, a
 * tile of 64 tokens at a time, and either may be continued, truncated, demoted, converted, saved and forked.
 * So one session that has computed a long prompt can begin many. Cost: no pass over data; scratch and threads
 * as for any session. Fewer bits than what others share give memory back when the last of them has no more.
 * Threads: `from` may not be used meanwhile; afterwards each may be used by a thread of its own. Errors:
 * OVER_LIMIT, NO_MEMORY: nothing changed.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_session_fork(snug_session **session_out, snug_session *from,
                                                       snug_error *error);

/*
 * Give back what is not needed until the next prompt: scratch, which is taken again then. Returns the bytes.
 */
SNUG_API uint64_t snug_session_trim(snug_session *session);

/* Of a session that adapts: by these rules from now on. Errors: ARGUMENT (it does not adapt, no such one). */
SNUG_API SNUG_MUST_CHECK snug_status snug_session_set_strategy(snug_session *session, snug_strategy strategy,
                                                               snug_error *error);

/*
 * Keep the conversation in another kind of cache from now on; AUTO as in snug_session_options. What was codes
 * stays as exact as the codes were. Cost: each tile decoded and encoded; both caches are there meanwhile.
 * Errors: ARGUMENT, UNSUPPORTED (also when tokens that the new cache would see have been given up),
 * OVER_LIMIT, NO_MEMORY: the session is as it was.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_session_convert(snug_session *session, const snug_kv_config *config,
                                                          snug_error *error);

/*
 * Keep the conversation in fewer bits from now on, in place: codes lose bits, and what is f16 becomes planes
 * of that many, a tile of 64 tokens at a time. Bit for bit the cache is then as if it had been made so;
 * snug_kv_foresee_demotion() says what comes of it: *bytes_out (may be NULL) is what went back, and the bytes
 * in use are never more than before by its extra_bytes, about a tile of one layer's keys.
 * Cost: f16 is encoded once, on all threads; codes as in snug_kv_demote(). Errors: ARGUMENT; UNSUPPORTED
 * (affine, f32); OVER_LIMIT, NO_MEMORY: layers before the one that failed have changed, and the session is
 * valid. It is empty only if the system refused pages half way, which it can where overcommit is off.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_session_demote(snug_session *session, const snug_kv_target *target,
                                                         uint64_t *bytes_out, snug_error *error);

/*
 * Write the conversation to `path`, tokens and cache, as a file that takes the place of an older one as a
 * whole or not at all: whoever is killed meanwhile leaves the old one. It holds what was said: only its owner
 * may read it. Takes no memory. Cost: the bytes of the cache, written and synced. Errors: IO, ARGUMENT.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_session_save(const snug_session *session, const char *path,
                                                       snug_error *error);

/*
 * Continue the conversation saved at `path`, in place of the session's own: the cache is bit for bit what it
 * was. The model and the cache's config must be those it was saved with; context, threads and chunk may be
 * others. There are no logits before the next token is computed.
 * Errors: IO, CORRUPT (damaged, not such a file), UNSUPPORTED (of a newer version), ARGUMENT (another model
 * or config), FULL (longer than the context): the session is as it was. OVER_LIMIT, NO_MEMORY, and CORRUPT
 * where the checksum agrees with nonsense: it is empty.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_session_load(snug_session *session, const char *path,
                                                       snug_error *error);

/* What a saved conversation is. */
typedef struct snug_saved_info {
    size_t struct_size; /* set by the caller */
    uint32_t tokens;
    snug_kv_config kv; /* that a session must be made with to load it */
} snug_saved_info;

/* Cost: the file is read once, for its checksum. Errors: IO, CORRUPT, UNSUPPORTED as for loading. */
SNUG_API SNUG_MUST_CHECK snug_status snug_session_read_saved(snug_saved_info *info_out, const char *path,
                                                             snug_error *error);

typedef enum snug_stop {
    SNUG_STOP_EOS = 1,         /* the model ended its answer */
    SNUG_STOP_MAX_TOKENS = 2,  /* as many tokens as were asked for */
    SNUG_STOP_CONTEXT = 3,     /* the context is full */
    SNUG_STOP_INTERRUPTED = 4, /* the caller asked to stop */
} snug_stop;

/* "eos", "max_tokens", "context", "interrupted". */
SNUG_API const char *snug_stop_name(snug_stop stop);

/* One generated token: its id and the text that became complete with it (often empty inside a character). */
typedef bool (*snug_token_fn)(void *user, uint32_t id, const char *text, size_t bytes);

typedef struct snug_generate_options {
    size_t struct_size;
    uint32_t max_tokens; /* 0: until the context is full */
    bool ignore_eos;     /* stop ids are ordinary tokens */
    bool show_special;   /* special tokens appear in the text */
    snug_sample_options sample;
    snug_keep_going_fn keep_going; /* may be NULL */
    snug_token_fn on_token;        /* may be NULL; false stops */
    void *user;
    snug_recompute_fn on_recompute; /* may be NULL */
    /* The last ids of the prompt that are the answer so far, told by an earlier call: the text goes on after
     * them. */
    uint32_t told_tokens;
    /* Of a session that adapts; each may be NULL. */
    snug_relief_fn on_relief;
    snug_pressure_fn on_pressure;
    uint32_t monitor_interval_tokens; /* look at memory every so many tokens; 0: every one */
} snug_generate_options;

typedef struct snug_generate_result {
    size_t struct_size; /* set by the caller */
    snug_stop stop;
    uint32_t prompt_tokens; /* in the prompt */
    uint32_t reused_tokens; /* of these, already in the session: not computed again */
    uint32_t generated_tokens;
    uint64_t prefill_ns;     /* for prompt_tokens - reused_tokens */
    uint64_t first_token_ns; /* from the call to the first token chosen */
    uint64_t decode_ns;      /* for generated_tokens - 1 */
    /* Tokens that the session held and computed again, all told, and the last reason. Those computed again
     * before the answer are not in reused_tokens, but in prefill_ns; others are in decode_ns. */
    uint32_t recomputed_tokens;
    snug_recompute_reason recompute_reason;
    uint32_t relief_steps; /* done, recoveries included */
    uint64_t relief_bytes; /* that they returned */
} snug_generate_result;

/*
 * Generate after the prompt `ids` (all of it: what the session holds already is kept as far as it agrees, the
 * rest is forgotten). A stop id ends the answer and is not part of it. Afterwards the session holds the
 * prompt and the answer, but for its last token. `ids_out` (capacity at least max_tokens or the context;
 * may be NULL) receives the generated ids. `text` may be NULL: then no text is made.
 * Errors: FULL (the prompt does not leave room for one token), and those of eval and sampling. The result
 * is filled in every case.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_session_generate(
    snug_generate_result *result_out, snug_session *session, const snug_text *text, const uint32_t *ids,
    size_t count, uint32_t *ids_out, const snug_generate_options *options, snug_error *error);

/* --- stopping here, going on elsewhere ----------------------------------------------------------------- */

/*
 * An answer that snug_session_generate() began and did not end: it was interrupted, or memory ran out. To go
 * on: generate with the session's ids, as many as are known, and these figures as options. Where the cache is
 * what it was, the same tokens come that would have come.
 */
typedef struct snug_unfinished {
    size_t struct_size; /* set by the caller */
    uint32_t
        known_tokens; /* of snug_session_ids(): those computed, and those after them that are still to be */
    uint32_t told_tokens; /* the last ones of these: the answer so far */
    uint32_t max_tokens;  /* still wanted; 0: until the context is full */
    bool ignore_eos;
    bool show_special;
    snug_sample_options sample; /* its seed draws what would have been drawn next */
} snug_unfinished;

/* False when the last answer ended by itself, or the session has become another since. */
SNUG_API bool snug_session_unfinished(const snug_session *session, snug_unfinished *unfinished_out);

typedef struct snug_suspend_options {
    size_t struct_size;
    const char *note;   /* the caller's own text, kept as it is: what it needs to go on; may be NULL */
    const char *reason; /* why, in words; may be NULL */
    bool without_cache; /* only the ids: they are computed again */
} snug_suspend_options;

typedef struct snug_suspend_result {
    size_t struct_size; /* set by the caller */
    uint64_t bytes;     /* of the file */
    bool has_cache;
    char cache_error[SNUG_ERROR_TEXT_BYTES]; /* why it has none, if that was not asked for */
} snug_suspend_result;

/*
 * Write the conversation, and what it takes to go on by itself, to a new file `path`, which appears as a
 * whole or not at all; only its owner may read it. A file of that name is never overwritten. Where the disk
 * has no room for the cache, the ids are kept alone. Takes no memory. The session stays as it is.
 * Cost: the bytes of the cache, written and synced. Errors: IO, ARGUMENT (path too long).
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_session_suspend(snug_suspend_result *result_out,
                                                          const snug_session *session, const char *path,
                                                          const snug_suspend_options *options,
                                                          snug_error *error);

/* A suspended conversation, open for reading. */
typedef struct snug_suspended snug_suspended;

typedef struct snug_suspended_info {
    size_t struct_size; /* set by the caller */
    uint64_t time_s;    /* when: seconds since 1970, UTC */
    const char *reason; /* all texts are valid until it is closed, and terminated; never NULL */
    const char *note;
    const char *family; /* of the model */
    uint64_t parameters;
    const uint32_t *ids;      /* [unfinished.known_tokens] */
    uint32_t computed_tokens; /* of them in the cache; 0: the cache was not kept */
    uint64_t file_bytes;
    snug_session_options session; /* to make one that takes it; threads are of now */
    bool is_unfinished;           /* else: known_tokens alone counts */
    snug_unfinished unfinished;
} snug_suspended_info;

/*
 * Read all but the cache, and check it. Takes little memory: the file is mapped. Errors: IO, CORRUPT,
 * UNSUPPORTED (of a newer version), OVER_LIMIT, NO_MEMORY.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_suspended_open(snug_suspended **suspended_out, snug_memory *memory,
                                                         const char *path, snug_error *error);
SNUG_API void snug_suspended_close(snug_suspended *suspended); /* NULL is allowed */
SNUG_API void snug_suspended_read(snug_suspended_info *info_out, const snug_suspended *suspended);

/*
 * Put the session where the suspended one was; go on as snug_session_unfinished() says. Without its cache, or
 * where that is damaged, the session is empty and all ids are still to be computed: compare
 * snug_session_tokens() with computed_tokens.
 * Errors: ARGUMENT (another model, another cache), FULL (longer than the context): the session is as it was.
 * CORRUPT (ids beyond the vocabulary), OVER_LIMIT, NO_MEMORY: it may be empty.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_session_resume(snug_session *session,
                                                         const snug_suspended *suspended, snug_error *error);

SNUG_END_DECLS
#endif /* SNUG_SESSION_H */
