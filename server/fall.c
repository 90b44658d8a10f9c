/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fall.c - an answer that memory runs out on goes on with a smaller model of those on this machine, where
 * that is allowed: what was said stands as the beginning of its answer.
 *
 * The session goes first, because above the limit nothing is granted, not the headers of a small model; where
 * no other model can go on the answer ends as it would have. Why the server does not move as a
 * snug_conversation does: docs/decisions/0022.
 */
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "server/answer.h"
#include "server/events.h"
#include "server/heap.h"
#include "server/memory.h"
#include "server/state.h"

static snug_strategy strategy_of(const server_answer *answer)
{
    const snug_strategy asked = answer->job->request.strategy;

    return asked != SNUG_STRATEGY_AUTO ? asked : (snug_strategy)atomic_load(&answer->server->strategy);
}

static bool is_allowed(const server_answer *answer)
{
    return answer->server->options.may_switch || snug_strategy_rules_of(strategy_of(answer))->may_switch;
}

/* Ids are those of one tokenizer. */
static bool is_of_ids(const server_answer *answer)
{
    const server_request *request = &answer->job->request;

    return request->kind == SERVER_REQUEST_COMPLETION && !request->prompt;
}

/* Whoever allowed it should know why it did not happen. */
static void tell_of_ids(server_refusal *refusal)
{
    static const char why[] = ". Another model cannot go on, because the prompt was given as ids, which are "
                              "those of one tokenizer: send it as text";
    const size_t bytes = strlen(refusal->text);

    snprintf(refusal->param, sizeof refusal->param, "prompt");
    if (bytes + sizeof why <= sizeof refusal->text)
        memcpy(refusal->text + bytes, why, sizeof why);
}

/* What was sent of the answer, by the ids that stand for it. False: there is no memory for it. */
static bool keep_what_was_said(server_answer *answer, const snug_unfinished *left)
{
    snug_memory *memory = answer->server->options.memory;
    const uint32_t *told = snug_session_ids(answer->session) + left->known_tokens - left->told_tokens;
    char *piece = server_alloc(memory, snug_decoder_bound(answer->loaded.text), "a piece of text", NULL);
    snug_decoder decoder;
    bool is_kept = piece != NULL;

    server_buffer_free(&answer->said);
    answer->said = (server_buffer){ .memory = memory };
    snug_decoder_init(&decoder, answer->loaded.text, SNUG_DECODE_SKIP_SPECIAL);
    for (uint32_t i = 0; i < left->told_tokens && is_kept; i++)
        is_kept = server_buffer_add(&answer->said, piece, snug_decoder_push(&decoder, told[i], piece));
    server_free(piece);
    return is_kept;
}

/* What is left to be written, and what was; then all that the answer holds goes. */
static bool let_go(server_answer *answer)
{
    snug_unfinished left = { .struct_size = sizeof left };
    bool is_kept = true;

    if (answer->session && snug_session_unfinished(answer->session, &left)) {
        server_limit_lift(answer->server); /* the text beside the cache that goes in a moment */
        is_kept = keep_what_was_said(answer, &left);
        server_limit_apply(answer->server);
        answer->max_tokens = left.max_tokens;
        answer->seed = left.sample.seed;
    }
    snug_session_destroy(answer->session);
    answer->session = NULL;
    if (answer->is_loaded)
        server_models_release(answer->server, answer->model);
    answer->is_loaded = false;
    server_admit_end(answer);
    server_models_drop_idle(answer->server);
    return is_kept;
}

static bool is_hopeless(const server_answer *answer)
{
    return atomic_load(&answer->job->outlet->is_gone) || atomic_load(&answer->server->is_over);
}

/* Loaded, read and admitted. */
static bool begin_with(server_answer *answer, size_t model)
{
    answer->refusal = (server_refusal){ 0 };
    answer->model = model;
    if (!server_models_take(&answer->loaded, answer->server, model, &answer->refusal))
        return false;
    answer->is_loaded = true;
    if (server_answer_read_prompt(answer) && server_admit(answer) &&
        answer->id_count < answer->profile.context_tokens)
        return true;
    snug_session_destroy(answer->session);
    answer->session = NULL;
    server_answer_leave_turn(answer);
    server_admit_end(answer);
    server_models_release(answer->server, model);
    answer->is_loaded = false;
    return false;
}

static void tell(server_answer *answer, size_t from, uint64_t before)
{
    struct server *server = answer->server;
    const server_model *model = server->models.model;
    const uint64_t after = snug_memory_read_all(server->options.memory).used_bytes;
    const uint64_t returned = before > after ? before - after : 0;
    server_relief relief = { .event = { .reason = SNUG_RELIEF_REFUSED, .level = SNUG_PRESSURE_CRITICAL } };

    if (answer->has_last_event)
        relief.event = answer->last_event;
    answer->has_last_event = false;
    relief.event.step = SNUG_RELIEF_MODEL;
    relief.event.promised_bytes = relief.event.returned_bytes = returned;
    relief.event.used_before_bytes = before;
    relief.event.used_after_bytes = after;
    snprintf(relief.text, sizeof relief.text, "%.60s %s instead of %.60s: memory has run out.",
             model[answer->model].id, answer->tokens > 0 ? "goes on" : "answers", model[from].id);
    server_answer_relief(answer, &relief);
    server_events_switch(server, answer->job->outlet->id, model[answer->model].id, relief.text);
    server_note(server, "%s", relief.text);
}

bool server_fall(server_answer *answer)
{
    const size_t from = answer->model;
    const uint64_t before = snug_memory_read_all(answer->server->options.memory).used_bytes;
    const server_refusal why = answer->refusal;
    size_t smaller[SERVER_SMALLER_MAX];
    size_t count;

    if (!server_refusal_is_memory(&why) || !is_allowed(answer))
        return false;
    if (is_of_ids(answer)) {
        tell_of_ids(&answer->refusal);
        return false;
    }
    count = server_models_smaller(smaller, answer->server, from);
    if (count > 0 && let_go(answer))
        for (size_t i = 0; i < count && !is_hopeless(answer); i++)
            if (begin_with(answer, smaller[i])) {
                tell(answer, from, before);
                return true;
            }
    answer->refusal = why;
    answer->model = from;
    return false;
}
