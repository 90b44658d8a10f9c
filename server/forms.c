/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forms.c - answers in OpenAI's form, with `snug` for what it has no words for.
 */
#include <string.h>

#include "base/status.h"
#include "server/answer.h"
#include "server/json.h"
#include "server/state.h"

static bool is_chat(const server_answer *answer)
{
    return answer->job->request.kind == SERVER_REQUEST_CHAT;
}

const char *server_form_finish(const server_answer *answer)
{
    return answer->stops.is_met || answer->result.stop == SNUG_STOP_EOS ? "stop" : "length";
}

/* The members that all have. */
static json_t *form(const server_answer *answer, const char *chat_object)
{
    const server_job *job = answer->job;

    return json_pack("{s:s,s:s,s:I,s:s}", "id", job->outlet->id, "object",
                     is_chat(answer) ? chat_object : "text_completion", "created", (json_int_t)job->created,
                     "model", answer->server->models.model[answer->model].id);
}

static json_t *usage(const server_answer *answer)
{
    const snug_generate_result *r = &answer->result;

    return json_pack("{s:I,s:I,s:I,s:{s:I}}", "prompt_tokens", (json_int_t)r->prompt_tokens,
                     "completion_tokens", (json_int_t)r->generated_tokens, "total_tokens",
                     (json_int_t)r->prompt_tokens + r->generated_tokens, "prompt_tokens_details",
                     "cached_tokens", (json_int_t)r->reused_tokens);
}

/* --- snug ---------------------------------------------------------------------------------------------- */

static double per_second(uint64_t tokens, uint64_t ns)
{
    return ns > 0 ? (double)tokens * 1e9 / (double)ns : 0;
}

static uint32_t bits_of(const snug_kv_coding *coding)
{
    return coding->format == SNUG_KV_FORMAT_F32   ? 32
           : coding->format <= SNUG_KV_FORMAT_F16 ? 16
                                                  : coding->bits;
}

static const char *kind_of(const snug_kv_config *config)
{
    if (config->retention.kind == SNUG_KV_RETENTION_ROTATING)
        return "rotating";
    if (config->retention.kind == SNUG_KV_RETENTION_CHUNKED)
        return "chunked";
    return bits_of(&config->key) < 16 || bits_of(&config->value) < 16 ? "quantized" : "simple";
}

static json_t *kv_json(const server_answer *answer)
{
    const snug_kv *kv = snug_session_kv(answer->session);
    const uint64_t bytes = snug_kv_committed_bytes(kv) + snug_kv_shared_bytes(kv);
    snug_kv_info info = { .struct_size = sizeof info };

    snug_kv_read_info(&info, kv);
    return json_pack("{s:s,s:s,s:I,s:I,s:I,s:I}", "kind", kind_of(&info.config), "format",
                     snug_kv_format_name(info.config.key.format), "key_bits",
                     (json_int_t)bits_of(&info.config.key), "value_bits",
                     (json_int_t)bits_of(&info.config.value), "bytes", (json_int_t)bytes, "bytes_per_token",
                     (json_int_t)info.token_bytes);
}

static json_t *relief_json(const server_answer *answer)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < answer->relief_count; i++)
        json_array_append_new(list, server_relief_json(&answer->relief[i], NULL));
    return list;
}

static json_t *warnings(const server_answer *answer)
{
    json_t *list = json_array();

    if (answer->plan.is_tight)
        json_array_append_new(list, json_string("memory is tight: the plan fills more of the limit than this "
                                                "strategy plans with"));
    if (answer->profile.kv.retention.kind == SNUG_KV_RETENTION_ROTATING && !answer->profile.keeps_format)
        json_array_append_new(list, json_string("memory is short: what lies between the first and the newest "
                                                "tokens of a long conversation is forgotten"));
    if (answer->result.stop == SNUG_STOP_CONTEXT)
        json_array_append_new(list, json_string("the context is full: the answer ends here"));
    return list;
}

static json_t *snug_json(const server_answer *answer)
{
    const snug_generate_result *r = &answer->result;
    const server_job *job = answer->job;

    return json_pack(
        "{s:s,s:s,s:I,s:I,s:I,s:f,s:f,s:f,s:f,s:I,s:I,s:I,s:I,s:s,s:o,s:o,s:o}", "stop",
        answer->stops.is_met ? "stop_string" : snug_stop_name(r->stop), "asked_model",
        answer->server->models.model[answer->asked_model].id, "prompt_tokens", (json_int_t)r->prompt_tokens,
        "cached_tokens", (json_int_t)r->reused_tokens, "generated_tokens", (json_int_t)r->generated_tokens,
        "queue_ms", (double)(answer->admitted_ns - job->came_ns) / 1e6, "first_token_ms",
        (double)answer->first_token_ns / 1e6, "prefill_tokens_per_second",
        per_second(r->prompt_tokens - r->reused_tokens, r->prefill_ns), "tokens_per_second",
        per_second(r->generated_tokens > 0 ? r->generated_tokens - 1 : 0, r->decode_ns),
        "predicted_peak_bytes", (json_int_t)atomic_load(&answer->predicted_peak_bytes),
        "predicted_reached_bytes", (json_int_t)answer->predicted_reached_bytes, "measured_peak_bytes",
        (json_int_t)answer->measured_peak_bytes, "context_tokens", (json_int_t)answer->profile.context_tokens,
        "strategy", snug_strategy_name(answer->profile.strategy), "kv", kv_json(answer), "relief",
        relief_json(answer), "warnings", warnings(answer));
}

/* --- choices ------------------------------------------------------------------------------------------- */

static json_t *take_logprobs(server_answer *answer)
{
    json_t *taken = answer->logprobs;

    answer->logprobs = NULL;
    return taken ? taken : json_null();
}

static json_t *text_json(const char *text, size_t bytes)
{
    return text ? json_stringn(text, bytes) : json_string("");
}

static json_t *chat_delta(server_answer *answer, const char *text, size_t bytes)
{
    json_t *delta = json_object();

    if (!answer->has_begun)
        json_object_set_new(delta, "role", json_string("assistant"));
    if (text || !answer->has_begun)
        json_object_set_new(delta, "content", text_json(text, bytes));
    answer->has_begun = true;
    return delta;
}

json_t *server_form_chunk(server_answer *answer, const char *text, size_t bytes, const char *finish)
{
    json_t *chunk = form(answer, "chat.completion.chunk");
    json_t *choice;

    if (is_chat(answer))
        choice = json_pack("{s:i,s:o,s:o,s:s?}", "index", 0, "delta", chat_delta(answer, text, bytes),
                           "logprobs", take_logprobs(answer), "finish_reason", finish);
    else
        choice = json_pack("{s:i,s:o,s:o,s:s?}", "index", 0, "text", text_json(text, bytes), "logprobs",
                           take_logprobs(answer), "finish_reason", finish);
    json_object_set_new(chunk, "choices", json_pack("[o]", choice));
    if (answer->job->request.has_usage)
        json_object_set_new(chunk, "usage", json_null());
    if (finish)
        json_object_set_new(chunk, "snug", snug_json(answer));
    return chunk;
}

json_t *server_form_usage_chunk(const server_answer *answer)
{
    json_t *chunk = form(answer, "chat.completion.chunk");

    json_object_set_new(chunk, "choices", json_array());
    json_object_set_new(chunk, "usage", usage(answer));
    return chunk;
}

json_t *server_form_whole(server_answer *answer, const char *finish)
{
    json_t *whole = form(answer, "chat.completion");
    json_t *text = text_json(answer->text.data, answer->text.bytes);
    json_t *choice;

    if (is_chat(answer))
        choice =
            json_pack("{s:i,s:{s:s,s:o,s:n},s:o,s:s}", "index", 0, "message", "role", "assistant", "content",
                      text, "refusal", "logprobs", take_logprobs(answer), "finish_reason", finish);
    else
        choice = json_pack("{s:i,s:o,s:o,s:s}", "index", 0, "text", text, "logprobs", take_logprobs(answer),
                           "finish_reason", finish);
    json_object_set_new(whole, "choices", json_pack("[o]", choice));
    json_object_set_new(whole, "usage", usage(answer));
    json_object_set_new(whole, "snug", snug_json(answer));
    return whole;
}
