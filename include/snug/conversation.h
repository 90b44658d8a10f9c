/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snug/conversation.h - roles and texts, and the model that answers them: which may be another one tomorrow.
 *
 * A conversation holds its messages, one use of a loaded model, and a session with it. It moves to another
 * model when asked to, or, where that is allowed, to a smaller one when memory is short and back when it is
 * there again. Texts and roles are kept; the other model's template and tokenizer make its own tokens of
 * them, which are read again in chunks.
 *
 * A move that fails, at any point, leaves the conversation as it was, token for token. The other model is
 * planned and admitted before anything of the old one is let go. Where both sessions do not fit beside each
 * other, the old one is written to disk first (its model stays open), and read back should the move fail.
 *
 * Threads: one at a time per conversation, and per pool; between requests any.
 */
#ifndef SNUG_CONVERSATION_H
#define SNUG_CONVERSATION_H

#include <snug/catalog.h>
#include <snug/session.h>

SNUG_BEGIN_DECLS

typedef struct snug_conversation snug_conversation;

/* --- moving -------------------------------------------------------------------------------------------- */

typedef enum snug_switch_mode {
    SNUG_SWITCH_AUTO = 0,    /* beside the old session if both fit, else that one goes to disk first */
    SNUG_SWITCH_BESIDE = 1,  /* only if both fit */
    SNUG_SWITCH_RELEASE = 2, /* the old session goes to disk first, whether both fit or not */
} snug_switch_mode;

typedef enum snug_switch_reason {
    SNUG_SWITCH_ASKED = 1,
    SNUG_SWITCH_PRESSURE = 2, /* memory is short, and nothing else helps */
    SNUG_SWITCH_ROOM = 3,     /* there is memory again for the model that was left */
} snug_switch_reason;

/* "asked", "pressure", "room". */
SNUG_API const char *snug_switch_reason_name(snug_switch_reason reason);

typedef enum snug_switch_phase {
    SNUG_SWITCH_LOAD = 0,    /* the other model: headers, tokenizer, perhaps a download. Bytes */
    SNUG_SWITCH_SAVE = 1,    /* the old session to disk. Bytes */
    SNUG_SWITCH_PREFILL = 2, /* the conversation is read by the other model. Tokens */
} snug_switch_phase;

typedef struct snug_switch_progress {
    snug_switch_phase phase;
    double fraction; /* of this phase, 0 to 1 */
    uint64_t done;
    uint64_t total; /* 0: not known */
} snug_switch_progress;

typedef struct snug_switch_options {
    size_t struct_size;
    snug_switch_mode mode;
    snug_keep_going_fn keep_going; /* false ends it with CANCELLED; may be NULL */
    void (*on_progress)(void *user, const snug_switch_progress *progress);
    void *user;
} snug_switch_options;

/* What a move was and cost. Plain data. */
typedef struct snug_switch_report {
    size_t struct_size; /* set by the caller */
    char from[128];     /* names as they were given; "" where there was no model */
    char to[128];
    snug_switch_reason reason;
    bool was_released;    /* the old session was on disk meanwhile */
    uint32_t tokens;      /* of the conversation, read by the other model */
    uint32_t from_tokens; /* that the old session held */
    uint64_t duration_ns;
    uint64_t before_bytes; /* of the ledger */
    uint64_t most_bytes; /* at most while it lasted, as far as it was looked at: after each step and chunk */
    uint64_t after_bytes;
    snug_plan plan; /* of the session with the other model */
    char sentence[576];
} snug_switch_report;

typedef void (*snug_switch_fn)(void *user, const snug_switch_report *report);

/* --- a conversation ------------------------------------------------------------------------------------ */

typedef struct snug_conversation_options {
    size_t struct_size;
    /*
     * As for snug_session_create(). What is set holds for every model, which is refused where it cannot be
     * obeyed; what is 0 or AUTO is chosen for each anew, with `adapt` by the strategy.
     */
    snug_session_options session;
    snug_load_options load; /* as for snug_catalog_load(); its callbacks are not used */
    /* A file for the old session while a move needs its memory; removed when it is over. NULL: such moves
     * are refused. */
    const char *checkpoint_path;
    /* The note of that file (snug_suspend_options); may be NULL. */
    const char *(*checkpoint_note)(void *user);
    int64_t now_unix; /* the clock that templates see (snug_chat_options); 0: none */
    /* A smaller model may answer when memory is critical, even where the strategy does not allow it. */
    bool may_switch;
    snug_switch_fn on_switch; /* it has moved by itself; may be NULL */
    void *user;
} snug_conversation_options;

/* `pool` and the paths must outlive it. Errors: OVER_LIMIT, NO_MEMORY, ARGUMENT. */
SNUG_API SNUG_MUST_CHECK snug_status snug_conversation_create(snug_conversation **conversation_out,
                                                              snug_pool *pool,
                                                              const snug_conversation_options *options,
                                                              snug_error *error);
/* Ends its session and its use of the model. NULL is allowed. */
SNUG_API void snug_conversation_destroy(snug_conversation *conversation);

/*
 * Take over a model in use of the pool, by that name, and a session with it (in `session_options`): both are
 * the conversation's from now on, in place of those it had. Cannot fail.
 */
SNUG_API void snug_conversation_adopt(snug_conversation *conversation, const snug_loaded *loaded,
                                      snug_session *session, const char *name);

/*
 * Go on with another model: a name of the catalogue, a repository or a path. A conversation without a model
 * gets its first one so. *report_out (may be NULL; its struct_size need not be set) is filled on success. The
 * model that it is there already is no error: nothing is done.
 *
 * Cost: opening the model, and a prefill of the conversation; with RELEASE its cache written, too. Errors:
 * those of snug_catalog_load(), of its template and of a session; OVER_LIMIT with the figures; FULL (longer
 * than the context that fits); CANCELLED. The conversation is as it was. Only if memory that the old session
 * gave up for the move was taken by somebody else meanwhile, it stays on disk, and the sentence names the
 * file: each later call that needs a session tries to read it back.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_conversation_switch(snug_switch_report *report_out,
                                                              snug_conversation *conversation,
                                                              const char *name,
                                                              const snug_switch_options *options,
                                                              snug_error *error);

/*
 * What a move would need, from the model's headers; nothing is loaded, nothing changes. *plan_out (its
 * struct_size need not be set) is the session it would get, without the old one, and `fits` tells;
 * *is_beside_out (may be NULL) whether both would fit beside each other. Errors: those of finding and opening
 * the model.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_conversation_foresee(snug_plan *plan_out, bool *is_beside_out,
                                                               snug_conversation *conversation,
                                                               const char *name, snug_error *error);

/* By these rules from now on, whatever the model. Errors: ARGUMENT (it does not adapt, no such strategy). */
SNUG_API SNUG_MUST_CHECK snug_status snug_conversation_set_strategy(snug_conversation *conversation,
                                                                    snug_strategy strategy,
                                                                    snug_error *error);

/* Valid until it moves; NULL before there is a model, or while it is on disk. */
SNUG_API snug_session *snug_conversation_session(const snug_conversation *conversation);
SNUG_API const snug_loaded *snug_conversation_loaded(const snug_conversation *conversation);
SNUG_API const char *snug_conversation_model(const snug_conversation *conversation); /* its name; "": none */

/* --- messages ------------------------------------------------------------------------------------------ */

/* Texts are copied, and checked when they are used. Errors: OVER_LIMIT, NO_MEMORY: nothing changed. */
SNUG_API SNUG_MUST_CHECK snug_status snug_conversation_add(snug_conversation *conversation, const char *role,
                                                           const char *content, snug_error *error);
/* Set, replace or, with "", remove the system message, which is the first. The same. */
SNUG_API SNUG_MUST_CHECK snug_status snug_conversation_set_system(snug_conversation *conversation,
                                                                  const char *content, snug_error *error);
/* All of them anew, in place of what there was; nothing changed on failure. The same. */
SNUG_API SNUG_MUST_CHECK snug_status snug_conversation_replace(snug_conversation *conversation,
                                                               const snug_message *messages, size_t count,
                                                               snug_error *error);
/* Forget all after the first `count`. The session keeps what they have in common with what comes. */
SNUG_API void snug_conversation_truncate(snug_conversation *conversation, size_t count);

/* Valid until one is added, removed or set. */
SNUG_API const snug_message *snug_conversation_messages(const snug_conversation *conversation,
                                                        size_t *count_out);

/* --- answers ------------------------------------------------------------------------------------------- */

/*
 * Answer the messages, and add what was answered (whole, or as far as it came when the caller stopped it) as
 * the assistant's. Callbacks and results are those of snug_session_generate(), summed up where the answer was
 * written by more than one model. An answer that is running moves to a smaller model when memory is critical
 * and nothing else helps, if that is allowed, and goes on there: a step of relief, SNUG_RELIEF_MODEL. Before
 * an answer begins the conversation moves back to the model it had, once there has been room for it for a
 * while.
 *
 * Errors: those of rendering, encoding and generating; FULL: nothing was computed. No message was added; what
 * there is of the answer is the session's (snug_session_unfinished()).
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_conversation_answer(snug_generate_result *result_out,
                                                              snug_conversation *conversation,
                                                              const snug_generate_options *options,
                                                              snug_error *error);

/*
 * The same for an answer that was interrupted by want of memory or in another process: what the session has
 * as unfinished goes on. Of the options the callbacks count, the rest is the unfinished answer's. on_begun
 * (may be NULL) is told what was answered so far, as text.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_conversation_go_on(
    snug_generate_result *result_out, snug_conversation *conversation, const snug_generate_options *options,
    void (*on_begun)(void *user, const char *text, size_t bytes), snug_error *error);

/*
 * Move back to the model that was left for want of memory, if there has been room for it long enough; true
 * when it has (on_switch is told). An answer does so before it begins; call it also when nothing is asked.
 */
SNUG_API bool snug_conversation_return(snug_conversation *conversation);

SNUG_END_DECLS
#endif /* SNUG_CONVERSATION_H */
