/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.h - one request from its text to its last token, on a thread that computes.
 */
#ifndef SNUG_SERVER_ANSWER_H
#define SNUG_SERVER_ANSWER_H

#include <jansson.h>

#include <snug/catalog.h>

#include "server/kept.h"
#include "server/queue.h"
#include "server/stops.h"

#define SERVER_RELIEF_MAX 32

/* A step that was done for an answer. `text`: what the event alone cannot say; "": nothing. */
typedef struct server_relief {
    snug_relief_event event;
    char text[192];
} server_relief;

typedef struct server_answer {
    struct server *server;
    server_job *job;
    server_refusal refusal; /* status 0: none */

    size_t asked_model; /* and the one that answers now */
    size_t model;
    snug_loaded loaded;
    bool is_loaded;
    uint32_t *ids; /* the prompt */
    size_t id_count;
    uint32_t max_tokens;  /* still wanted; 0: until the context is full */
    uint32_t told_tokens; /* the last of the ids: what another model has said of this answer */
    server_buffer said;   /* the same as text */
    uint64_t seed;        /* what comes is drawn from it */

    server_profile profile;
    snug_plan plan;     /* of this request, as if nobody else were there, nor anything to go on from */
    uint64_t new_bytes; /* that it adds, less what it goes on from */
    server_reuse reuse; /* while it is being admitted */
    /* Of the process, with those beside it, also those that come, each at its full length; and for what all
     * have really reached. */
    _Atomic uint64_t predicted_peak_bytes;
    uint64_t predicted_reached_bytes;
    uint64_t bench_growth; /* of the plan: what its largest chunk adds to the workbench */
    uint32_t id_kinds;     /* that the sampler chooses among */
    server_share share;
    bool is_admitted;
    struct server_answer *next_admitted; /* that waits behind this one */

    snug_session *session;
    snug_generate_result result;
    uint32_t tokens; /* of the answer, so far */
    bool is_after_token;
    bool has_turn;
    server_stops stops;
    server_buffer text;  /* of a whole answer */
    json_t *logprobs;    /* of tokens whose text is not sent yet; of a whole answer: all. NULL: none */
    size_t token_offset; /* of the text of a completion, for logprobs */
    bool has_begun;      /* the first chunk is sent */
    uint64_t admitted_ns;
    uint64_t first_token_ns; /* since it came; 0: none yet */
    uint64_t measured_peak_bytes;
    server_relief relief[SERVER_RELIEF_MAX];
    uint32_t relief_count;
    bool has_last_event; /* that nothing is left to give back: told if nobody goes on */
    snug_relief_event last_event;
} server_answer;

/* Answers, or says why not. The job's outlet is ended then. */
void server_answer_job(struct server *server, server_job *job);

/* The prompt as ids of the model that is loaded, what was said of the answer behind it. False: refused. */
bool server_answer_read_prompt(server_answer *answer);
void server_answer_leave_turn(server_answer *answer);
/* Noted, counted, and told to whoever listens. */
void server_answer_relief(server_answer *answer, const server_relief *relief);

/* --- a smaller model (fall.c) --------------------------------------------------------------------------- */

/* After a refusal: true when a smaller model is loaded and admitted in its place. Without the turn. */
bool server_fall(server_answer *answer);

/* --- admission (admission.c) ---------------------------------------------------------------------------- */

/* Plan, and wait until it fits. True: with the turn, and with the session that it goes on from, if there is
 * one. False: refused, or the client has gone. */
bool server_admit(server_answer *answer);
/* It holds that much now, and will take so much more. */
void server_admit_update(server_answer *answer);
void server_admit_end(server_answer *answer);

/* --- what is sent (forms.c); NULL: no memory ------------------------------------------------------------ */

/* One chunk of a stream; `text` may be NULL: none. `finish` NULL: not the last. Takes answer->logprobs. */
json_t *server_form_chunk(server_answer *answer, const char *text, size_t bytes, const char *finish);
json_t *server_form_usage_chunk(const server_answer *answer);
json_t *server_form_whole(server_answer *answer, const char *finish);
/* "stop" or "length". */
const char *server_form_finish(const server_answer *answer);

/* The probabilities of the token that was just chosen are added to answer->logprobs. */
bool server_logprobs_add(server_answer *answer, uint32_t id);

#endif /* SNUG_SERVER_ANSWER_H */
