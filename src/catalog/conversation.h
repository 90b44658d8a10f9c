/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conversation.h - a conversation inside the library: what conversation.c, answer.c and switch.c share.
 */
#ifndef SNUG_SRC_CATALOG_CONVERSATION_H
#define SNUG_SRC_CATALOG_CONVERSATION_H

#include <snug/conversation.h>

#include "catalog/catalog.h"
#include "catalog/fall.h"
#include "os/replace.h"
#include "text/buffer.h"

#define CONVERSATION_NAME_BYTES  (2 * CATALOG_PATH_BYTES)
#define CONVERSATION_SMALLER_MAX 16

/* A model that needs less memory. */
typedef struct catalog_smaller {
    char path[CATALOG_PATH_BYTES];
    char name[CATALOG_NAME_BYTES];
    uint64_t parameters; /* that compute a token */
    uint64_t weight_bytes;
} catalog_smaller;

/* How a session on disk is made again. */
typedef struct conversation_sleep {
    bool is_asleep;
    bool has_cache;
    uint32_t tokens; /* computed */
    uint32_t chunk_most;
    snug_session_options options;
} conversation_sleep;

/*
 * Invariants: loaded.model is NULL exactly while there is no model; then there is no session either. With a
 * model there is a session, or sleep.is_asleep and its file.
 */
struct snug_conversation {
    snug_memory *memory;
    snug_pool *pool;
    snug_conversation_options options;

    snug_message *message; /* texts are blocks of their own; roles too */
    size_t count;
    size_t capacity;

    char name[CONVERSATION_NAME_BYTES];
    snug_loaded loaded;
    snug_session *session;
    conversation_sleep sleep;

    /* Moving by itself. */
    catalog_fall fall;
    char home[CONVERSATION_NAME_BYTES]; /* the model that was left for want of memory; "": none */
    catalog_smaller smaller[CONVERSATION_SMALLER_MAX]; /* from the largest down */
    size_t smaller_count;
    bool is_smaller_known;
    uint64_t look_ns; /* when moving back was last thought of */
    uint64_t idle_ns; /* since when nothing is asked */

    /* The answer that is written. */
    snug_buffer answer;
    const snug_generate_options *asked; /* NULL: none is */
    snug_status answer_status;          /* why its text could not be kept */
    bool is_stopped;                    /* by the caller */
    bool wants_smaller;                 /* stop: a smaller model is to go on */
    bool has_last_event;                /* that nothing is left to give back: told if nobody goes on */
    snug_relief_event last_event;
};

static inline bool snug_is_memory_out(snug_status status)
{
    return status == SNUG_ERR_OVER_LIMIT || status == SNUG_ERR_NO_MEMORY;
}

/* The messages as ids of `text`, behind them an opened answer that begins with `begun` (NULL: no answer is
 * opened). *ids_out is a block of the ledger. Errors: those of the template and the tokenizer. */
SNUG_MUST_CHECK snug_status snug_conversation_encode(uint32_t **ids_out, size_t *count_out,
                                                     const snug_conversation *conversation,
                                                     const snug_text *text, const char *begun,
                                                     snug_error *error);

/* A session that went to disk comes back. Errors: those of reading it, OVER_LIMIT: it is still there. */
SNUG_MUST_CHECK snug_status snug_conversation_wake(snug_conversation *conversation, snug_error *error);

/* The move itself, for any reason. */
SNUG_MUST_CHECK snug_status snug_conversation_move(snug_switch_report *report_out,
                                                   snug_conversation *conversation, const char *name,
                                                   const char *shown_name, snug_switch_reason reason,
                                                   const snug_switch_options *options, snug_error *error);

/* To the largest of the smaller models that fits; false when none does (fallback.c). */
SNUG_MUST_CHECK bool snug_conversation_fall(snug_conversation *conversation, snug_switch_report *report_out);
/* Whether it may, by its options or the strategy. */
bool snug_conversation_may_switch(const snug_conversation *conversation);
/* While it is calm: which models are smaller. */
void snug_conversation_list_smaller(snug_conversation *conversation);

/* The session's on_release: what a conversation has to give, or a wish for a smaller model. */
uint64_t snug_conversation_release(void *user, snug_relief_step step, uint64_t want_bytes);

#endif /* SNUG_SRC_CATALOG_CONVERSATION_H */
