/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.c - a conversation answers: with its model, or, when memory gets critical on the way, with a smaller
 * one that goes on where the first had to stop.
 */
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "catalog/conversation.h"
#include "os/machine.h"
#include "session/session.h"

/* Room for an answer's text that is taken before it begins: so many bytes a token, but not for a novel. */
#define TOKEN_BYTES      6u
#define ANSWER_BYTES_MAX ((size_t)64 << 10)
#define AHEAD_BYTES      ((size_t)1 << 10)

/* --- callbacks of the session --------------------------------------------------------------------------- */

uint64_t snug_conversation_release(void *user, snug_relief_step step, uint64_t want_bytes)
{
    snug_conversation *conversation = user;
    const snug_session_options *options = &conversation->options.session;
    uint64_t bytes = 0;

    if (step == SNUG_RELIEF_IDLE) {
        const uint64_t before = snug_memory_read_all(conversation->memory).used_bytes;

        (void)snug_pool_trim(conversation->pool, 0);
        bytes = before - snug_memory_read_all(conversation->memory).used_bytes;
    }
    if (bytes < want_bytes && options->on_release)
        bytes += options->on_release(options->release_user, step, want_bytes - bytes);
    return bytes;
}

static void on_pressure(void *user, const snug_pressure_reading *reading)
{
    snug_conversation *conversation = user;
    const snug_generate_options *asked = conversation->asked;

    snug_fall_see(&conversation->fall, reading->time_ns, reading->level);
    if (asked->on_pressure)
        asked->on_pressure(asked->user, reading);
}

static void tell_relief(const snug_conversation *conversation, const snug_relief_event *event)
{
    if (conversation->asked->on_relief)
        conversation->asked->on_relief(conversation->asked->user, event);
}

/* That nothing is left is not the end where a smaller model may go on. */
static void on_relief(void *user, const snug_relief_event *event)
{
    snug_conversation *conversation = user;

    if (event->step == SNUG_RELIEF_SUSPEND && conversation->smaller_count > 0) {
        conversation->has_last_event = true;
        conversation->last_event = *event;
        return;
    }
    tell_relief(conversation, event);
}

/* A smaller model goes on: the step of relief that this was. */
static void tell_model_step(snug_conversation *conversation, const snug_switch_report *report)
{
    const snug_relief_event *last = &conversation->last_event;
    const uint64_t returned =
        report->before_bytes > report->after_bytes ? report->before_bytes - report->after_bytes : 0;
    snug_memory_limits limits;

    snug_memory_read_limits(&limits, conversation->memory);
    tell_relief(conversation,
                &(snug_relief_event){
                    .struct_size = sizeof(snug_relief_event),
                    .step = SNUG_RELIEF_MODEL,
                    .reason = conversation->has_last_event ? last->reason : SNUG_RELIEF_PRESSURE,
                    .level = conversation->has_last_event ? last->level : SNUG_PRESSURE_CRITICAL,
                    .promised_bytes = returned,
                    .returned_bytes = returned,
                    .used_before_bytes = report->before_bytes,
                    .used_after_bytes = report->after_bytes,
                    .limit_bytes = limits.hard_bytes,
                    .duration_ns = report->duration_ns,
                    .tokens = report->tokens,
                    .key_bits = report->plan.kv.key.bits ? report->plan.kv.key.bits : 16,
                    .value_bits = report->plan.kv.value.bits ? report->plan.kv.value.bits : 16,
                    .prefill_chunk = report->plan.prefill_chunk,
                });
}

static void on_recompute(void *user, const snug_recompute *recompute)
{
    const snug_conversation *conversation = user;

    if (conversation->asked->on_recompute)
        conversation->asked->on_recompute(conversation->asked->user, recompute);
}

static bool keep_going(void *user)
{
    snug_conversation *conversation = user;
    const snug_generate_options *asked = conversation->asked;

    if (asked->keep_going && !asked->keep_going(asked->user))
        conversation->is_stopped = true;
    else if (conversation->smaller_count > 0 && snug_fall_must(&conversation->fall, snug_os_clock_ns()))
        conversation->wants_smaller = true;
    return !conversation->is_stopped && !conversation->wants_smaller;
}

/* Behind what there is, and terminated. More room is asked for while there is some: where memory is short it
 * may be there again before it is needed. */
static snug_status add_text(snug_buffer *answer, const char *text, size_t bytes, snug_error *error)
{
    const snug_status status = snug_buffer_reserve(answer, bytes + 1 + AHEAD_BYTES, NULL);

    if (status != SNUG_OK)
        SNUG_TRY(snug_buffer_reserve(answer, bytes + 1, error));
    if (bytes > 0)
        memcpy(answer->data + answer->bytes, text, bytes);
    answer->bytes += bytes;
    answer->data[answer->bytes] = '\0';
    return SNUG_OK;
}

static bool on_token(void *user, uint32_t id, const char *text, size_t bytes)
{
    snug_conversation *conversation = user;
    const snug_generate_options *asked = conversation->asked;

    /* A character that is not whole will be, by whoever goes on. */
    if (id == SNUG_ID_NONE && conversation->wants_smaller)
        return true;
    conversation->answer_status = add_text(&conversation->answer, text, bytes, NULL);
    if (asked->on_token && !asked->on_token(asked->user, id, text, bytes))
        conversation->is_stopped = true;
    return conversation->answer_status == SNUG_OK && !conversation->is_stopped;
}

/* --- one model's part ----------------------------------------------------------------------------------- */

/* What was computed by all who wrote it. */
static void add_up(snug_generate_result *sum, const snug_generate_result *part)
{
    if (sum->prompt_tokens == 0) {
        sum->prompt_tokens = part->prompt_tokens;
        sum->reused_tokens = part->reused_tokens;
        sum->first_token_ns = part->first_token_ns;
    }
    sum->stop = part->stop;
    sum->generated_tokens += part->generated_tokens;
    sum->prefill_ns += part->prefill_ns;
    sum->decode_ns += part->decode_ns;
    sum->recomputed_tokens += part->recomputed_tokens;
    if (part->recompute_reason != SNUG_RECOMPUTE_NONE)
        sum->recompute_reason = part->recompute_reason;
    sum->relief_steps += part->relief_steps;
    sum->relief_bytes += part->relief_bytes;
}

static snug_generate_options part_options(snug_conversation *conversation)
{
    snug_generate_options options = *conversation->asked;

    options.keep_going = keep_going;
    options.on_token = on_token;
    options.on_recompute = on_recompute;
    options.on_relief = on_relief;
    options.on_pressure = on_pressure;
    options.user = conversation;
    return options;
}

/* The session's unfinished answer goes on. */
static snug_status resume_part(snug_generate_result *result, snug_conversation *conversation,
                               snug_error *error)
{
    snug_generate_options options = part_options(conversation);
    snug_unfinished unfinished = { .struct_size = sizeof unfinished };

    if (!snug_session_unfinished(conversation->session, &unfinished))
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "there is no unfinished answer to go on with");
    options.told_tokens = unfinished.told_tokens;
    options.max_tokens = unfinished.max_tokens;
    options.ignore_eos = unfinished.ignore_eos;
    options.show_special = unfinished.show_special;
    options.sample = unfinished.sample;
    return snug_session_generate(result, conversation->session, conversation->loaded.text,
                                 snug_session_ids(conversation->session), unfinished.known_tokens, NULL,
                                 &options, error);
}

/* The messages, and what was answered so far, as the model of now reads them; then on. `left` is the
 * unfinished answer of another model; NULL: it begins. */
static snug_status begin_part(snug_generate_result *result, snug_conversation *conversation,
                              const snug_unfinished *left, snug_error *error)
{
    snug_generate_options options = part_options(conversation);
    const uint32_t context = snug_session_context_tokens(conversation->session);
    uint32_t *ids;
    size_t count, opened = 0;
    snug_status status = SNUG_OK;

    if (left) {
        SNUG_TRY(snug_conversation_encode(&ids, &opened, conversation, conversation->loaded.text, "", error));
        snug_memory_free(conversation->memory, ids);
        options.max_tokens = left->max_tokens;
        options.sample = left->sample;
    }
    SNUG_TRY(snug_conversation_encode(&ids, &count, conversation, conversation->loaded.text,
                                      conversation->answer.data, error));
    if (count >= context)
        status = snug_fail(error, SNUG_ERR_FULL,
                           "the context is full: with this message the conversation has %zu tokens, and the "
                           "context holds %u. Nothing was dropped",
                           count, context);
    options.told_tokens = left && count > opened ? (uint32_t)(count - opened) : 0;
    if (status == SNUG_OK)
        status = snug_session_generate(result, conversation->session, conversation->loaded.text, ids, count,
                                       NULL, &options, error);
    snug_memory_free(conversation->memory, ids);
    return status;
}

/* --- the answer ----------------------------------------------------------------------------------------- */

/* What is left to be written. False when there is nothing. */
static bool read_left(snug_unfinished *left, const snug_conversation *conversation, snug_status status)
{
    const snug_generate_options *asked = conversation->asked;

    if (snug_session_unfinished(conversation->session, left))
        return true;
    /* Refused before anything was begun: all of it. */
    left->max_tokens = asked->max_tokens;
    left->sample = asked->sample;
    return snug_is_memory_out(status) && conversation->answer.bytes == 0;
}

/* After a part ended with `status`: whether it is to go on, and whether with another model. */
static bool goes_on(snug_conversation *conversation, snug_status status, snug_unfinished *left,
                    bool *has_moved_out)
{
    const bool is_wanted = conversation->wants_smaller && status == SNUG_OK;

    snug_switch_report report;

    *has_moved_out = false;
    conversation->wants_smaller = false;
    if (conversation->is_stopped || (!is_wanted && !snug_is_memory_out(status)) ||
        !read_left(left, conversation, status))
        return false;
    if (conversation->smaller_count > 0 && snug_conversation_fall(conversation, &report)) {
        *has_moved_out = true;
        tell_model_step(conversation, &report);
        conversation->has_last_event = false;
        return true;
    }
    if (conversation->has_last_event)
        tell_relief(conversation, &conversation->last_event);
    conversation->has_last_event = false;
    snug_fall_stays(&conversation->fall, snug_os_clock_ns());
    return is_wanted && conversation->session;
}

/* As many parts as it takes. `is_resumed`: the first goes on with what the session has. */
static snug_status write_answer(snug_generate_result *result, snug_conversation *conversation,
                                bool is_resumed, snug_error *error)
{
    snug_unfinished left = { .struct_size = sizeof left };
    bool has_moved = false;
    snug_status status;

    for (;;) {
        snug_generate_result part = { .struct_size = sizeof part };

        if (is_resumed)
            status = resume_part(&part, conversation, error);
        else
            status = begin_part(&part, conversation, has_moved ? &left : NULL, error);
        add_up(result, &part);
        if (conversation->answer_status != SNUG_OK)
            SNUG_FAIL(error, conversation->answer_status,
                      "there is no memory left for the text of the answer");
        if (!goes_on(conversation, status, &left, &has_moved))
            return status;
        is_resumed = !has_moved;
    }
}

static void end(snug_conversation *conversation)
{
    conversation->asked = NULL;
    conversation->idle_ns = snug_os_clock_ns();
    conversation->has_last_event = false;
    conversation->is_stopped = conversation->wants_smaller = false;
}

/* An answer of no text, with room for it. */
static snug_status open_answer(snug_conversation *conversation, uint32_t max_tokens, snug_error *error)
{
    const uint32_t context = snug_session_context_tokens(conversation->session);
    const size_t tokens = max_tokens > 0 && max_tokens < context ? max_tokens : context;

    conversation->answer_status = SNUG_OK;
    snug_fall_stays(&conversation->fall, snug_os_clock_ns());
    SNUG_TRY(snug_buffer_restart(&conversation->answer,
                                 AHEAD_BYTES + 1 + snug_min_size(tokens * TOKEN_BYTES, ANSWER_BYTES_MAX),
                                 error));
    conversation->answer.data[0] = '\0';
    return SNUG_OK;
}

static snug_status begin(snug_conversation *conversation, const snug_generate_options *options,
                         snug_error *error)
{
    if (!conversation->loaded.model)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "the conversation has no model yet");
    SNUG_TRY(snug_conversation_wake(conversation, error));
    (void)snug_conversation_return(conversation);
    snug_conversation_list_smaller(conversation);
    SNUG_TRY(open_answer(conversation, options->max_tokens, error));
    conversation->asked = options;
    return SNUG_OK;
}

static snug_status add_answer(snug_conversation *conversation, snug_status status, snug_error *error)
{
    end(conversation);
    if (status != SNUG_OK)
        return status;
    return snug_conversation_add(conversation, "assistant", conversation->answer.data, error);
}

snug_status snug_conversation_answer(snug_generate_result *result_out, snug_conversation *conversation,
                                     const snug_generate_options *options, snug_error *error)
{
    snug_error own = { SNUG_OK, "" };

    if (!error)
        error = &own;
    *result_out = (snug_generate_result){ .struct_size = result_out->struct_size };
    SNUG_TRY(begin(conversation, options, error));
    return add_answer(conversation, write_answer(result_out, conversation, false, error), error);
}

/* What the ids of an unfinished answer say. */
static snug_status take_told(snug_conversation *conversation, const snug_unfinished *unfinished,
                             snug_error *error)
{
    const snug_text *text = conversation->loaded.text;
    const uint32_t *told =
        snug_session_ids(conversation->session) + unfinished->known_tokens - unfinished->told_tokens;
    char *piece = snug_memory_alloc(conversation->memory, SNUG_MEMORY_TEXT, snug_decoder_bound(text),
                                    "the text of one token", error);
    snug_status status = SNUG_OK;
    snug_decoder decoder;

    if (!piece)
        return error->status;
    snug_decoder_init(&decoder, text, unfinished->show_special ? 0 : SNUG_DECODE_SKIP_SPECIAL);
    for (uint32_t i = 0; i < unfinished->told_tokens && status == SNUG_OK; i++)
        status = add_text(&conversation->answer, piece, snug_decoder_push(&decoder, told[i], piece), error);
    snug_memory_free(conversation->memory, piece);
    return status;
}

snug_status snug_conversation_go_on(snug_generate_result *result_out, snug_conversation *conversation,
                                    const snug_generate_options *options,
                                    void (*on_begun)(void *user, const char *text, size_t bytes),
                                    snug_error *error)
{
    snug_unfinished unfinished = { .struct_size = sizeof unfinished };
    snug_error own = { SNUG_OK, "" };
    snug_status status;

    if (!error)
        error = &own;
    *result_out = (snug_generate_result){ .struct_size = result_out->struct_size };
    if (!conversation->session && !conversation->sleep.is_asleep)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "the conversation has no model yet");
    SNUG_TRY(snug_conversation_wake(conversation, error));
    if (!snug_session_unfinished(conversation->session, &unfinished))
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "there is no unfinished answer to go on with");
    snug_conversation_list_smaller(conversation);
    SNUG_TRY(open_answer(conversation, 0, error));
    SNUG_TRY(take_told(conversation, &unfinished, error));
    if (on_begun)
        on_begun(options->user, conversation->answer.data, conversation->answer.bytes);
    conversation->asked = options;
    status = write_answer(result_out, conversation, true, error);
    return add_answer(conversation, status, error);
}
