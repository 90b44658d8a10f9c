/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.h - the way from a command line to a session, the same for every command that computes:
 *
 *   cli_engine_open       headers of the model only
 *   cli_engine_plan       refuse with the figures, before a weight is read, what cannot fit
 *   cli_engine_open_text  the tokenizer
 *   cli_engine_plan       again, now with the length of the prompt
 *   cli_engine_start      hard limit of the ledger, session
 *
 * Each step returns CLI_DONE, or the exit status of the tool after it has said why.
 */
#ifndef SNUG_CLI_ENGINE_H
#define SNUG_CLI_ENGINE_H

#include <snug/snug.h>

#include "cli/options.h"
#include "cli/output.h"

/* More than a search tries. */
#define CLI_CANDIDATES_MAX 192

/* What the session has seen of memory pressure while it computed. */
typedef struct cli_pressure_log {
    snug_pressure highest;
    uint32_t changes;
    uint64_t notifications; /* as of the last change */
} cli_pressure_log;

typedef struct cli_engine {
    const cli_options *options;
    char path[4096]; /* of the model */
    snug_memory *memory;
    snug_model *model;
    snug_model_info info;
    snug_kv_config kv;   /* as the user asked */
    uint64_t text_bytes; /* the tokenizer, estimated before it is opened */
    snug_text *text;     /* NULL until opened, and for commands that need none */
    bool is_adaptive;    /* what is open is chosen by `strategy` */
    snug_strategy strategy;
    snug_plan plan;                                    /* the last one made */
    snug_plan_candidate candidate[CLI_CANDIDATES_MAX]; /* tried for it */
    size_t candidate_count;
    snug_session *session;
    bool is_outline;  /* a plan of a known model whose files are not here */
    bool is_borrowed; /* model, text and session are a conversation's */
    cli_pressure_log pressure;
} cli_engine;

/* A request, as far as it is known. Zero: not known, or none. */
typedef struct cli_request {
    uint32_t prompt_tokens;
    uint32_t max_tokens; /* 0: until the context is full */
    bool fits_chunk;     /* the prefill chunk need not be larger than this prompt */
} cli_request;

/* Find the model: --model, or the bundled one, which is said unless --quiet. */
cli_exit cli_engine_find_model(cli_engine *engine, const cli_options *options);

/* --exact and --cpu. */
cli_exit cli_engine_read_model_options(snug_model_options *out, const cli_options *options);

cli_exit cli_engine_open(cli_engine *engine, const cli_options *options);

/* Estimate the tokenizer; without this the plan counts none. */
cli_exit cli_engine_estimate_text(cli_engine *engine);

/* Predict, and choose what is open; engine->plan has the answer whether it fits or not. */
cli_exit cli_engine_predict(cli_engine *engine, const cli_request *request);

/* The plan that another strategy would make, or, for AUTO, that is made without choosing anything. */
cli_exit cli_engine_predict_as(snug_plan *plan, const cli_engine *engine, const cli_request *request,
                               snug_strategy strategy);

/* Predict, and refuse what does not fit with the cheapest ways to make it fit. */
cli_exit cli_engine_plan(cli_engine *engine, const cli_request *request);

cli_exit cli_engine_open_text(cli_engine *engine);
/* The same without --chat-template, and with the sentence to the caller. */
snug_status cli_engine_read_text(cli_engine *engine, snug_error *error);

/* With --verbose every number that was chosen is printed first, on standard error. */
cli_exit cli_engine_start(cli_engine *engine);

/* With --memory-stats of commands that have no report: what the memory was for, on standard error. */
void cli_engine_close(cli_engine *engine);

/* The session as the user asked for it: what is open is 0 or AUTO. */
snug_session_options cli_engine_session_options(const cli_engine *engine);
snug_model_options cli_engine_model_options(const cli_engine *engine);

/* Whether memory pressure is looked at while tokens are computed: --memory-monitoring. */
bool cli_engine_is_watched(const cli_engine *engine);

/* How to generate, as the user asked for it, until he interrupts; who hears of it is added by the command. */
snug_generate_options cli_engine_generate_options(const cli_engine *engine, void *user);

/* What would make engine->plan fit. Returns how many ways there are. */
size_t cli_engine_suggest(snug_plan_way ways_out[SNUG_PLAN_WAYS_MAX], const cli_engine *engine,
                          const cli_request *request);

/* The sampling to use: what the user gave, else what the model says, else ours. */
snug_sample_options cli_engine_sampling(const cli_engine *engine);

/* Cache bytes after that many tokens, as the plan has it. */
uint64_t cli_engine_cache_bytes(const cli_engine *engine, uint32_t tokens);

#endif /* SNUG_CLI_ENGINE_H */
