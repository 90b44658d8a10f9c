/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.c - see the header. The way of a request: its model, its prompt as ids, admission, a session, its
 * tokens, and what becomes of the session.
 */
#include "server/answer.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "server/events.h"
#include "server/heap.h"
#include "server/json.h"
#include "server/memory.h"
#include "server/state.h"

/* Sampling where neither the request nor the model says anything. */
#define TEMPERATURE_DEFAULT 0.6

/* OpenAI's, for a completion that does not say how long. */
#define COMPLETION_TOKENS_DEFAULT 16

/* What the kernel says of this process, every so many tokens. */
#define MEASURE_TOKENS 64

/* --- the prompt ---------------------------------------------------------------------------------------- */

static bool encode(server_answer *answer, const char *text, size_t bytes, unsigned flags)
{
    const size_t capacity = snug_text_encode_bound(answer->loaded.text, bytes);
    snug_error error = { SNUG_OK, "" };

    server_free(answer->ids);
    answer->ids = server_alloc(answer->server->options.memory, capacity * sizeof *answer->ids,
                               "the ids of a prompt", &error);
    if (!answer->ids || snug_text_encode(answer->loaded.text, answer->ids, capacity, &answer->id_count, text,
                                         bytes, flags, &error) != SNUG_OK)
        return server_refuse_error(&answer->refusal, &error);
    return true;
}

static bool encode_chat(server_answer *answer, const char *begun)
{
    const server_request *request = &answer->job->request;
    const snug_chat_options chat = { .struct_size = sizeof chat,
                                     .guards_tokens = true,
                                     .now_unix = answer->job->created,
                                     .answer_begun = begun };
    snug_error error = { SNUG_OK, "" };
    char *rendered;
    size_t bytes;
    bool is_encoded;

    if (!snug_text_has_chat(answer->loaded.text, &error))
        return server_refuse(&answer->refusal, 400, "no_chat_template", NULL,
                             "this model has no chat template that can be used%s%.300s: POST /v1/completions "
                             "continues a text",
                             error.text[0] ? ": " : "", error.text);
    if (snug_text_chat(answer->loaded.text, &rendered, &bytes, request->messages, request->message_count,
                       &chat, &error) != SNUG_OK) {
        if (error.status == SNUG_ERR_CORRUPT) /* the template's own words about these messages */
            return server_refuse(&answer->refusal, 400, "invalid_value", "messages", "%s", error.text);
        return server_refuse_error(&answer->refusal, &error);
    }
    is_encoded = encode(answer, rendered, bytes, SNUG_ENCODE_GUARDED);
    snug_text_free_string(answer->loaded.text, rendered);
    return is_encoded;
}

static bool copy_ids(server_answer *answer)
{
    const server_request *request = &answer->job->request;
    snug_error error = { SNUG_OK, "" };

    answer->ids = server_alloc(answer->server->options.memory, request->id_count * sizeof *answer->ids,
                               "the ids of a prompt", &error);
    if (!answer->ids)
        return server_refuse_error(&answer->refusal, &error);
    memcpy(answer->ids, request->ids, request->id_count * sizeof *answer->ids);
    answer->id_count = request->id_count;
    return true;
}

static bool encode_completion(server_answer *answer, const char *begun)
{
    const server_request *request = &answer->job->request;
    server_buffer text = { .memory = answer->server->options.memory };
    bool is_encoded;

    if (!begun)
        return encode(answer, request->prompt, request->prompt_bytes, SNUG_ENCODE_ADD_SPECIAL);
    if (!server_buffer_add(&text, request->prompt, request->prompt_bytes) ||
        !server_buffer_add(&text, begun, answer->said.bytes))
        is_encoded = server_refuse(&answer->refusal, 503, "out_of_memory", NULL,
                                   "there is no memory for what was said so far");
    else
        is_encoded = encode(answer, text.data, text.bytes, SNUG_ENCODE_ADD_SPECIAL);
    server_buffer_free(&text);
    return is_encoded;
}

static bool read_prompt(server_answer *answer, const char *begun)
{
    const server_request *request = &answer->job->request;
    bool is_read;

    if (request->kind == SERVER_REQUEST_CHAT)
        is_read = encode_chat(answer, begun);
    else if (request->prompt)
        is_read = encode_completion(answer, begun);
    else
        is_read = copy_ids(answer);
    if (is_read && answer->id_count == 0)
        return server_refuse(&answer->refusal, 400, "invalid_value", NULL, "the prompt has no tokens");
    return is_read;
}

bool server_answer_read_prompt(server_answer *answer)
{
    size_t without;

    answer->told_tokens = 0;
    if (!read_prompt(answer, NULL))
        return false;
    if (answer->said.bytes == 0)
        return true;
    without = answer->id_count;
    if (!read_prompt(answer, answer->said.data))
        return false;
    answer->told_tokens = answer->id_count > without ? (uint32_t)(answer->id_count - without) : 0;
    return true;
}

/* --- the session --------------------------------------------------------------------------------------- */

/* A step of the ladder that is ours: what is kept goes before a conversation loses anything. */
static uint64_t release(void *user, snug_relief_step step, uint64_t want_bytes)
{
    server_answer *answer = user;

    if (step == SNUG_RELIEF_PREFIX || step == SNUG_RELIEF_IDLE)
        return server_kept_drop(answer->server, want_bytes);
    return 0;
}

static bool make_session(server_answer *answer)
{
    const server_profile *profile = &answer->profile;
    const snug_session_options options = {
        .struct_size = sizeof options,
        .context_tokens = profile->context_tokens,
        .prefill_chunk = profile->prefill_chunk,
        .threads = profile->threads,
        .kv = profile->kv,
        .adapt = true,
        .strategy = profile->strategy,
        .keeps_format = profile->keeps_format,
        .keeps_chunk = answer->server->options.prefill_chunk > 0,
        .on_release = release,
        .release_user = answer,
        .workbench = answer->server->models.model[answer->model].bench,
    };
    snug_error error = { SNUG_OK, "" };

    if (answer->id_count > profile->context_tokens)
        return server_refuse(&answer->refusal, 400, "context_length_exceeded", "messages",
                             "the prompt has %zu tokens, but the context holds %u: shorten it, or raise the "
                             "context",
                             answer->id_count, profile->context_tokens);
    if (answer->session) /* it goes on from one that was kept */
        return true;
    if (snug_session_create(&answer->session, answer->loaded.model, answer->server->options.memory, &options,
                            &error) != SNUG_OK)
        return server_refuse_error(&answer->refusal, &error);
    return true;
}

/* --- its tokens ---------------------------------------------------------------------------------------- */

static bool goes_on(const server_answer *answer)
{
    return !atomic_load(&answer->job->outlet->is_gone) && !atomic_load(&answer->server->is_over);
}

static void take_turn(server_answer *answer)
{
    server_turn_take(&answer->server->turn);
    answer->has_turn = true;
}

void server_answer_leave_turn(server_answer *answer)
{
    if (answer->has_turn)
        server_turn_leave(&answer->server->turn);
    answer->has_turn = false;
}

/* Before each chunk of the prompt and each token: others have their turn. */
static bool keep_going(void *user)
{
    server_answer *answer = user;

    if (answer->is_after_token) { /* asked once more, and nothing was computed between */
        answer->is_after_token = false;
    } else {
        server_admit_update(answer);
        server_turn_pass(&answer->server->turn);
    }
    return goes_on(answer);
}

/* Nobody waits for a client that reads slowly but its own answer. */
static bool send_chunk(server_answer *answer, json_t *chunk)
{
    const bool may_wait = server_outlet_is_full(answer->job->outlet);
    bool is_sent;

    if (may_wait)
        server_answer_leave_turn(answer);
    is_sent = server_outlet_event(answer->job->outlet, NULL, chunk);
    if (may_wait)
        take_turn(answer);
    return is_sent;
}

static bool send_text(void *user, const char *text, size_t bytes)
{
    server_answer *answer = user;

    if (answer->job->request.is_stream)
        return send_chunk(answer, server_form_chunk(answer, text, bytes, NULL));
    return server_buffer_add(&answer->text, text, bytes);
}

static void measure(server_answer *answer)
{
    snug_memory_state state;

    snug_memory_read_state(&state, answer->server->options.memory);
    if (state.process_anonymous_bytes < SNUG_MEMORY_NO_LIMIT &&
        state.process_anonymous_bytes > answer->measured_peak_bytes)
        answer->measured_peak_bytes = state.process_anonymous_bytes;
}

static bool on_token(void *user, uint32_t id, const char *text, size_t bytes)
{
    server_answer *answer = user;
    const bool is_last = id == SNUG_ID_NONE;

    answer->is_after_token = !is_last;
    if (!is_last) {
        if (answer->first_token_ns == 0)
            answer->first_token_ns = server_clock_ns() - answer->job->came_ns;
        if (answer->tokens++ % MEASURE_TOKENS == 0)
            measure(answer);
        server_admit_update(answer);
        if (answer->job->request.has_logprobs && !server_logprobs_add(answer, id))
            return false;
        answer->token_offset += bytes;
    }
    return (bytes == 0 || server_stops_push(&answer->stops, text, bytes, send_text, answer)) &&
           goes_on(answer);
}

void server_answer_relief(server_answer *answer, const server_relief *relief)
{
    if (answer->relief_count < SERVER_RELIEF_MAX)
        answer->relief[answer->relief_count++] = *relief;
    server_count_relief(answer->server, &relief->event);
    server_events_relief(answer->server, answer->job->outlet->id, relief);
}

/* That nothing is left to give back is not the end where another model may go on. */
static void on_relief(void *user, const snug_relief_event *event)
{
    server_answer *answer = user;
    const server_relief relief = { .event = *event };

    if (event->step == SNUG_RELIEF_SUSPEND) {
        answer->has_last_event = true;
        answer->last_event = *event;
        return;
    }
    server_answer_relief(answer, &relief);
}

static void on_pressure(void *user, const snug_pressure_reading *reading)
{
    server_answer *answer = user;

    server_events_pressure(answer->server, answer->job->outlet->id, reading);
}

static double choose(double given, double of_model, double otherwise)
{
    return given >= 0 ? given : of_model >= 0 ? of_model : otherwise;
}

static snug_sample_options sampling(const server_answer *answer)
{
    const server_request *request = &answer->job->request;
    const snug_model_sampling model = snug_model_read_sampling(answer->loaded.model);
    snug_sample_options sample = {
        .struct_size = sizeof sample,
        .temperature = choose(request->temperature, model.temperature, TEMPERATURE_DEFAULT),
        .top_k = (uint32_t)choose(request->top_k, model.top_k, 0),
        .top_p = choose(request->top_p, model.top_p, 1),
        .min_p = choose(request->min_p, model.min_p, 0),
        .repetition_penalty = choose(request->repetition_penalty, model.repetition_penalty, 1),
        .presence_penalty = request->presence_penalty,
        .frequency_penalty = request->frequency_penalty,
        .seed = answer->seed,
    };

    if (request->top_p == 0) /* as little as there can be, not everything */
        sample.top_p = 1e-9;
    return sample;
}

/* What was computed by all that wrote it. */
static void add_up(snug_generate_result *sum, const snug_generate_result *part)
{
    if (sum->prompt_tokens == 0) {
        sum->prompt_tokens = part->prompt_tokens;
        sum->reused_tokens = part->reused_tokens;
    }
    sum->stop = part->stop;
    sum->generated_tokens += part->generated_tokens;
    sum->prefill_ns += part->prefill_ns;
    sum->decode_ns += part->decode_ns;
}

static snug_status generate(server_answer *answer, snug_error *error)
{
    const snug_generate_options options = {
        .struct_size = sizeof options,
        .max_tokens = answer->max_tokens,
        .told_tokens = answer->told_tokens,
        .sample = sampling(answer),
        .keep_going = keep_going,
        .on_token = on_token,
        .on_relief = on_relief,
        .on_pressure = on_pressure,
        .user = answer,
    };

    snug_generate_result part = { .struct_size = sizeof part };
    const snug_status status = snug_session_generate(&part, answer->session, answer->loaded.text, answer->ids,
                                                     answer->id_count, NULL, &options, error);

    add_up(&answer->result, &part);
    return status;
}

/* --- its end ------------------------------------------------------------------------------------------- */

/* The server ends before the answer does. */
static void suspend(server_answer *answer)
{
    const server_options *options = &answer->server->options;
    char name[64] = "";

    if (options->on_suspend &&
        options->on_suspend(options->user, name, answer->session,
                            answer->server->models.model[answer->model].path, "the server was stopped")) {
        server_count(answer->server, SERVER_COUNT_SUSPENDED);
        server_refuse(&answer->refusal, 503, "server_stopping", NULL,
                      "this server is stopping before your answer was at its end; it is kept: llm-tool "
                      "session resume %s goes on with it",
                      name);
    } else {
        server_refuse(&answer->refusal, 503, "server_stopping", NULL,
                      "this server is stopping before your answer was at its end");
    }
}

/* Where nobody computes any more the scratch of a prompt goes; without the turn. */
static void leave_bench(server_answer *answer)
{
    if (!answer->session || server_queue_read(answer->server).running > 1)
        return;
    take_turn(answer);
    (void)snug_workbench_trim(answer->server->models.model[answer->model].bench);
    server_answer_leave_turn(answer);
}

/* What the session holds is kept for what comes next, unless it failed; and its room is free. */
static void put_away(server_answer *answer)
{
    leave_bench(answer);
    if (answer->session && !answer->refusal.status)
        server_kept_put(answer->server, answer->session, &answer->profile);
    else
        snug_session_destroy(answer->session);
    if (answer->is_loaded && (!answer->session || answer->refusal.status))
        server_models_release(answer->server, answer->model);
    answer->session = NULL;
    answer->is_loaded = false;
    server_admit_end(answer);
}

/* The session is put away before the client knows the end: what it says next finds it. */
static void send_end(server_answer *answer)
{
    const server_request *request = &answer->job->request;
    server_outlet *outlet = answer->job->outlet;
    json_t *usage = NULL;
    json_t *last;

    (void)server_stops_finish(&answer->stops, send_text, answer);
    if (!request->is_stream) {
        last = server_form_whole(answer, server_form_finish(answer));
        put_away(answer);
        server_outlet_reply(outlet, 200, last);
        return;
    }
    last = server_form_chunk(answer, NULL, 0, server_form_finish(answer));
    if (request->has_usage)
        usage = server_form_usage_chunk(answer);
    put_away(answer);
    (void)server_outlet_event(outlet, NULL, last);
    if (usage)
        (void)server_outlet_event(outlet, NULL, usage);
    (void)server_outlet_write(outlet, "data: [DONE]\n\n", 14);
    server_outlet_end(outlet);
}

static void count_answer(server_answer *answer)
{
    struct server *server = answer->server;
    const snug_generate_result *r = &answer->result;

    server_count_more(server, SERVER_COUNT_PROMPT_TOKENS, r->prompt_tokens);
    server_count_more(server, SERVER_COUNT_CACHED_TOKENS, r->reused_tokens);
    server_count_more(server, SERVER_COUNT_GENERATED_TOKENS, r->generated_tokens);
    server_count_time(&server->counts.queue_time, answer->admitted_ns - answer->job->came_ns);
    if (answer->first_token_ns > 0)
        server_count_time(&server->counts.first_token_time, answer->first_token_ns);
    server_count_time(&server->counts.answer_time, server_clock_ns() - answer->job->came_ns);
}

/* With the turn, which it keeps. */
static void compute(server_answer *answer)
{
    snug_error error = { SNUG_OK, "" };
    snug_status status;

    if (!make_session(answer))
        return;
    server_admit_update(answer);
    status = generate(answer, &error);
    measure(answer);
    if (status == SNUG_ERR_OVER_LIMIT || status == SNUG_ERR_NO_MEMORY)
        server_count(answer->server, SERVER_COUNT_NO_MEMORY);
    if (status != SNUG_OK)
        (void)server_refuse_error(&answer->refusal, &error);
    else if (answer->result.stop == SNUG_STOP_INTERRUPTED && atomic_load(&answer->server->is_over))
        suspend(answer);
    if (answer->refusal.status == 503) {
        answer->refusal.need_bytes = answer->plan.peak_bytes;
        answer->refusal.limit_bytes = server_limit_read(answer->server);
    }
}

static bool prepare(server_answer *answer)
{
    const server_request *request = &answer->job->request;

    answer->max_tokens = request->max_tokens > 0 ? request->max_tokens : answer->server->options.max_tokens;
    if (answer->max_tokens == 0 && request->kind == SERVER_REQUEST_COMPLETION)
        answer->max_tokens = COMPLETION_TOKENS_DEFAULT;
    answer->seed = request->has_seed ? request->seed : server_clock_ns() ^ answer->job->outlet->number << 48;
    if (!server_models_find(&answer->model, answer->server, request->model, &answer->refusal))
        return false;
    answer->asked_model = answer->model;
    if (!server_models_take(&answer->loaded, answer->server, answer->model, &answer->refusal))
        return false;
    answer->is_loaded = true;
    return server_answer_read_prompt(answer) && server_admit(answer);
}

/* As many parts as it takes: the first by the model that was asked for. */
static void write_answer(server_answer *answer)
{
    bool is_ready = prepare(answer);

    do {
        if (is_ready) {
            server_events_queue(answer->server);
            compute(answer);
            server_answer_leave_turn(answer);
        }
        is_ready = server_fall(answer);
    } while (is_ready);
    if (answer->has_last_event && answer->refusal.status) {
        const server_relief relief = { .event = answer->last_event };

        server_answer_relief(answer, &relief);
    }
}

static void finish(server_answer *answer)
{
    struct server *server = answer->server;
    server_outlet *outlet = answer->job->outlet;

    if (answer->admitted_ns > 0)
        count_answer(answer);
    if (!answer->refusal.status && atomic_load(&server->is_over) && !answer->is_admitted)
        server_refuse(&answer->refusal, 503, "server_stopping", NULL, "this server is stopping");
    if (answer->refusal.status) {
        server_count(server, SERVER_COUNT_REFUSED);
        server_outlet_refuse(outlet, &answer->refusal);
    } else if (atomic_load(&outlet->is_gone)) {
        server_count(server, SERVER_COUNT_ABANDONED);
        server_outlet_end(outlet);
    } else {
        server_count(server, SERVER_COUNT_ANSWERED);
        send_end(answer);
    }
}

void server_answer_job(struct server *server, server_job *job)
{
    server_answer answer = { .server = server,
                             .job = job,
                             .text = { .memory = server->options.memory },
                             .stops = { .stop = job->request.stop, .count = job->request.stop_count } };

    write_answer(&answer);
    finish(&answer);
    put_away(&answer);
    server_events_queue(server);
    json_decref(answer.logprobs);
    server_buffer_free(&answer.text);
    server_buffer_free(&answer.said);
    server_free(answer.ids);
    server_limit_apply(server); /* of what it left outside the ledger, too */
}
