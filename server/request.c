/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.c - see the header. The members are a table: a new parameter is a row.
 */
#include "server/request.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/status.h"
#include "server/heap.h"

typedef struct parser {
    server_request *out;
    server_refusal *refusal;
    char *texts; /* room for all strings of the body */
    size_t used;
    const char *name; /* of the member, for sentences */
} parser;

enum {
    OF_CHAT = 1 << SERVER_REQUEST_CHAT,
    OF_COMPLETION = 1 << SERVER_REQUEST_COMPLETION,
    OF_BOTH = OF_CHAT | OF_COMPLETION,
};

typedef struct member {
    const char *name;
    unsigned kinds;
    bool (*take)(parser *p, snug_json value);
} member;

/* --- values -------------------------------------------------------------------------------------------- */

static bool wrong(parser *p, const char *expected, snug_json value)
{
    const snug_str text = snug_json_text(value);

    return server_refuse(p->refusal, 400, "invalid_value", p->name, "\"%s\" takes %s, not %.*s%s", p->name,
                         expected, (int)(text.bytes < 60 ? text.bytes : 60), text.data,
                         text.bytes < 60 ? "" : "...");
}

/* The text of a string value, terminated; the JSON reader lets no zero byte through. */
static char *keep_text(parser *p, snug_json value, size_t *bytes_out)
{
    char *text = p->texts + p->used;
    const size_t bytes = snug_json_unescape(text, snug_json_string(value));

    text[bytes] = '\0';
    p->used += bytes + 1;
    if (bytes_out)
        *bytes_out = bytes;
    return text;
}

static bool take_number(double *out, parser *p, snug_json value, double least, double most)
{
    char range[64];
    double number;

    snprintf(range, sizeof range, "a number from %g to %g", least, most);
    if (!snug_json_f64(&number, value) || number < least || number > most)
        return wrong(p, range, value);
    *out = number;
    return true;
}

static bool take_count(uint32_t *out, parser *p, snug_json value, uint32_t least, uint32_t most)
{
    char range[64];
    uint64_t number;

    snprintf(range, sizeof range, "a whole number from %u to %u", least, most);
    if (!snug_json_u64(&number, value) || number < least || number > most)
        return wrong(p, range, value);
    *out = (uint32_t)number;
    return true;
}

static bool take_bool(bool *out, parser *p, snug_json value)
{
    return snug_json_bool(out, value) || wrong(p, "true or false", value);
}

/* --- what only looks like a wish ------------------------------------------------------------------------ */

static bool take_nothing(parser *p, snug_json value)
{
    (void)p;
    (void)value;
    return true;
}

/* Members that ask for something we do not do, unless they are empty or say what is so anyway. */
static bool take_only_one(parser *p, snug_json value)
{
    uint64_t n;

    if (snug_json_u64(&n, value) && n == 1)
        return true;
    return server_refuse(p->refusal, 400, "unsupported_parameter", p->name,
                         "\"%s\" can only be 1 here: send the request again for another answer", p->name);
}

static bool take_only_empty(parser *p, snug_json value)
{
    bool is_true = true;

    if ((snug_json_bool(&is_true, value) && !is_true) ||
        (snug_json_kind_of(value) >= SNUG_JSON_ARRAY && snug_json_count(value) == 0) ||
        snug_json_string_is(value, "") || snug_json_string_is(value, "none"))
        return true;
    return server_refuse(p->refusal, 400, "unsupported_parameter", p->name,
                         "\"%s\" is not supported by this server: leave it out", p->name);
}

static bool take_response_format(parser *p, snug_json value)
{
    if (snug_json_string_is(snug_json_get(value, "type"), "text"))
        return true;
    return server_refuse(p->refusal, 400, "unsupported_parameter", p->name,
                         "\"response_format\" can only be {\"type\": \"text\"} here: leave it out");
}

/* --- OpenAI's members ----------------------------------------------------------------------------------- */

static bool take_model(parser *p, snug_json value)
{
    if (snug_json_kind_of(value) != SNUG_JSON_STRING)
        return wrong(p, "the name of a model", value);
    p->out->model = keep_text(p, value, NULL);
    return true;
}

static bool take_temperature(parser *p, snug_json value)
{
    return take_number(&p->out->temperature, p, value, 0, 2);
}

static bool take_top_p(parser *p, snug_json value)
{
    return take_number(&p->out->top_p, p, value, 0, 1);
}

static bool take_max_tokens(parser *p, snug_json value)
{
    return take_count(&p->out->max_tokens, p, value, 1, UINT32_MAX);
}

static bool take_presence_penalty(parser *p, snug_json value)
{
    return take_number(&p->out->presence_penalty, p, value, -2, 2);
}

static bool take_frequency_penalty(parser *p, snug_json value)
{
    return take_number(&p->out->frequency_penalty, p, value, -2, 2);
}

static bool take_seed(parser *p, snug_json value)
{
    int64_t number;

    if (!snug_json_u64(&p->out->seed, value)) {
        if (!snug_json_i64(&number, value))
            return wrong(p, "a whole number", value);
        p->out->seed = (uint64_t)number;
    }
    p->out->has_seed = true;
    return true;
}

static bool take_one_stop(parser *p, snug_json value)
{
    size_t bytes;

    if (snug_json_kind_of(value) != SNUG_JSON_STRING)
        return wrong(p, "a string or an array of up to 4 strings", value);
    if (p->out->stop_count == SERVER_STOPS_MAX)
        return server_refuse(p->refusal, 400, "invalid_value", p->name, "\"stop\" takes at most %d strings",
                             SERVER_STOPS_MAX);
    p->out->stop[p->out->stop_count++] = keep_text(p, value, &bytes);
    if (bytes == 0 || bytes > SERVER_STOP_BYTES_MAX)
        return server_refuse(p->refusal, 400, "invalid_value", p->name,
                             "\"stop\": a string of %zu bytes came; 1 to %d are taken", bytes,
                             SERVER_STOP_BYTES_MAX);
    return true;
}

static bool take_stop(parser *p, snug_json value)
{
    snug_json_iterator each = snug_json_iterate(value);
    snug_json element;

    if (snug_json_kind_of(value) != SNUG_JSON_ARRAY)
        return take_one_stop(p, value);
    while (snug_json_next(&each, NULL, &element))
        if (!take_one_stop(p, element))
            return false;
    return true;
}

static bool take_stream(parser *p, snug_json value)
{
    return take_bool(&p->out->is_stream, p, value);
}

static bool take_stream_options(parser *p, snug_json value)
{
    snug_json_iterator each = snug_json_iterate(value);
    snug_json element;
    snug_str key;

    if (snug_json_kind_of(value) != SNUG_JSON_OBJECT)
        return wrong(p, "an object", value);
    while (snug_json_next(&each, &key, &element)) {
        bool ignored;

        p->name = "stream_options";
        if (snug_json_raw_is(key, "include_usage") && !take_bool(&p->out->has_usage, p, element))
            return false;
        /* It pads chunks against eavesdroppers of a network; there is nothing to pad where it is false. */
        if (snug_json_raw_is(key, "include_usage") ||
            (snug_json_raw_is(key, "include_obfuscation") && snug_json_bool(&ignored, element)))
            continue;
        return server_refuse(p->refusal, 400, "unsupported_parameter", "stream_options",
                             "\"stream_options.%.*s\" is not known here",
                             (int)(key.bytes < 60 ? key.bytes : 60), key.data);
    }
    return true;
}

static bool take_chat_logprobs(parser *p, snug_json value)
{
    return take_bool(&p->out->has_logprobs, p, value);
}

static bool take_top_logprobs(parser *p, snug_json value)
{
    return take_count(&p->out->top_logprobs, p, value, 0, SERVER_TOP_LOGPROBS_MAX);
}

static bool take_completion_logprobs(parser *p, snug_json value)
{
    p->out->has_logprobs = true;
    return take_count(&p->out->top_logprobs, p, value, 0, 5);
}

/* --- messages and prompts ------------------------------------------------------------------------------- */

static bool wrong_message(parser *p, size_t index, const char *what)
{
    char name[64];

    snprintf(name, sizeof name, "messages[%zu]", index);
    return server_refuse(p->refusal, 400, "invalid_value", name, "\"%s\": %s", name, what);
}

/* One text, or parts of one. */
static bool take_content(parser *p, size_t index, snug_json value, const char **content_out)
{
    char *all = p->texts + p->used;
    snug_json_iterator each = snug_json_iterate(value);
    snug_json part;

    *content_out = "";
    if (snug_json_kind_of(value) == SNUG_JSON_STRING) {
        *content_out = keep_text(p, value, NULL);
        return true;
    }
    if (snug_json_kind_of(value) != SNUG_JSON_ARRAY)
        return wrong_message(p, index, "content is a string, or an array of parts of type \"text\"");
    *all = '\0';
    p->used++;
    while (snug_json_next(&each, NULL, &part)) {
        const snug_json text = snug_json_get(part, "text");

        if (!snug_json_string_is(snug_json_get(part, "type"), "text") ||
            snug_json_kind_of(text) != SNUG_JSON_STRING)
            return wrong_message(p, index,
                                 "this model reads text alone: each part is {\"type\": \"text\", \"text\": "
                                 "...}");
        p->used--; /* over the end of what is there */
        (void)keep_text(p, text, NULL);
    }
    *content_out = all;
    return true;
}

static const char *role_of(snug_json value)
{
    static const char *const roles[] = { "system", "user", "assistant", "tool" };

    if (snug_json_string_is(value, "developer"))
        return "system";
    for (size_t i = 0; i < SNUG_COUNT(roles); i++)
        if (snug_json_string_is(value, roles[i]))
            return roles[i];
    return NULL;
}

static bool take_message(parser *p, size_t index, snug_json value)
{
    snug_message *message = &p->out->messages[index];
    snug_json_iterator each = snug_json_iterate(value);
    snug_json element;
    snug_str key;
    char sentence[160];

    if (snug_json_kind_of(value) != SNUG_JSON_OBJECT)
        return wrong_message(p, index, "a message is an object with \"role\" and \"content\"");
    *message = (snug_message){ NULL, "" };
    while (snug_json_next(&each, &key, &element)) {
        /* An answer that is sent back as it came has many members that are null or empty. */
        if (snug_json_kind_of(element) == SNUG_JSON_NULL || snug_json_raw_is(key, "tool_call_id") ||
            (snug_json_kind_of(element) == SNUG_JSON_ARRAY && snug_json_count(element) == 0))
            continue;
        if (snug_json_raw_is(key, "role")) {
            message->role = role_of(element);
        } else if (snug_json_raw_is(key, "content")) {
            if (!take_content(p, index, element, &message->content))
                return false;
        } else {
            snprintf(sentence, sizeof sentence, "the member \"%.*s\" is not supported here",
                     (int)(key.bytes < 60 ? key.bytes : 60), key.data);
            (void)wrong_message(p, index, sentence);
            p->refusal->code = "unsupported_parameter";
            return false;
        }
    }
    return message->role ||
           wrong_message(p, index, "role is \"system\", \"developer\", \"user\", \"assistant\" or \"tool\"");
}

static bool take_messages(parser *p, snug_json value)
{
    snug_json_iterator each = snug_json_iterate(value);
    const size_t count = snug_json_count(value);
    snug_json element;

    if (snug_json_kind_of(value) != SNUG_JSON_ARRAY || count == 0)
        return wrong(p, "an array with at least one message", value);
    if (count > SERVER_MESSAGES_MAX)
        return server_refuse(p->refusal, 400, "invalid_value", p->name,
                             "%zu messages came; at most %d are taken", count, SERVER_MESSAGES_MAX);
    p->out->message_count = count;
    for (size_t i = 0; snug_json_next(&each, NULL, &element); i++)
        if (!take_message(p, i, element))
            return false;
    return true;
}

static bool take_ids(parser *p, snug_json value)
{
    snug_json_iterator each = snug_json_iterate(value);
    snug_json element;
    uint64_t id;

    while (snug_json_next(&each, NULL, &element)) {
        if (!snug_json_u64(&id, element) || id > UINT32_MAX)
            return wrong(p, "a string, or an array of token ids", element);
        p->out->ids[p->out->id_count++] = (uint32_t)id;
    }
    return true;
}

static bool take_prompt(parser *p, snug_json value)
{
    snug_json_iterator each = snug_json_iterate(value);
    snug_json first;

    if (snug_json_kind_of(value) == SNUG_JSON_ARRAY) {
        if (!snug_json_next(&each, NULL, &first))
            return wrong(p, "a prompt: this one is empty", value);
        if (snug_json_kind_of(first) == SNUG_JSON_NUMBER)
            return take_ids(p, value);
        if (snug_json_count(value) > 1)
            return server_refuse(p->refusal, 400, "unsupported_parameter", p->name,
                                 "several prompts in one request are not supported: send one request each");
        if (snug_json_kind_of(first) == SNUG_JSON_ARRAY && snug_json_count(first) > 0)
            return take_ids(p, first);
        value = first;
    }
    if (snug_json_kind_of(value) != SNUG_JSON_STRING)
        return wrong(p, "a string, or an array of token ids", value);
    p->out->prompt = keep_text(p, value, &p->out->prompt_bytes);
    return p->out->prompt_bytes > 0 || wrong(p, "a prompt: this one is empty", value);
}

/* --- `snug`: ours --------------------------------------------------------------------------------------- */

static bool take_strategy(parser *p, snug_json value)
{
    char name[16] = "";
    const snug_str raw = snug_json_string(value);

    if (raw.bytes < sizeof name && raw.bytes > 0)
        memcpy(name, raw.data, raw.bytes);
    if (!snug_strategy_parse(&p->out->strategy, name) || p->out->strategy == SNUG_STRATEGY_AUTO)
        return wrong(p, "conservative, balanced or aggressive", value);
    return true;
}

static bool take_context(parser *p, snug_json value)
{
    return take_count(&p->out->context_tokens, p, value, 1, UINT32_MAX);
}

static bool take_kv_format(parser *p, snug_json value)
{
    const char *name = snug_json_kind_of(value) == SNUG_JSON_STRING ? keep_text(p, value, NULL) : "";
    snug_kv_format format;

    if (!snug_kv_format_parse(&format, name) || format == SNUG_KV_FORMAT_AUTO || format == SNUG_KV_FORMAT_F32)
        return wrong(p, "f16, planes or affine", value);
    p->out->kv.key.format = p->out->kv.value.format = format;
    return true;
}

static bool is_width(uint64_t bits)
{
    return bits == 16 || bits == 8 || (bits >= 2 && bits <= 6);
}

/* "8", "5/4", or the number 8. */
static bool take_kv_bits(parser *p, snug_json value)
{
    const char *text = snug_json_kind_of(value) == SNUG_JSON_STRING ? keep_text(p, value, NULL) : "";
    unsigned key = 0, of_value = 0;
    uint64_t both;
    char rest;
    const int count = sscanf(text, "%2u/%2u%c", &key, &of_value, &rest);

    if (snug_json_u64(&both, value))
        key = of_value = both <= 16 ? (unsigned)both : 0;
    else if (count == 1 && strspn(text, "0123456789") == strlen(text))
        of_value = key;
    else if (count != 2)
        key = 0;
    if (!is_width(key) || !is_width(of_value))
        return wrong(p, "2, 3, 4, 5, 6, 8 or 16, or two of them as \"K/V\"", value);
    p->out->kv.key.bits = key;
    p->out->kv.value.bits = of_value;
    return true;
}

static bool take_max_kv_size(parser *p, snug_json value)
{
    return take_count(&p->out->kv.retention.max_tokens, p, value, SNUG_KV_SINKS_DEFAULT + 1, UINT32_MAX);
}

static bool take_top_k(parser *p, snug_json value)
{
    return take_number(&p->out->top_k, p, value, 0, UINT32_MAX);
}

static bool take_min_p(parser *p, snug_json value)
{
    return take_number(&p->out->min_p, p, value, 0, 1);
}

static bool take_repetition_penalty(parser *p, snug_json value)
{
    return take_number(&p->out->repetition_penalty, p, value, 0, 100);
}

/* What one side of the cache is: 16 bits are f16. */
static bool settle_coding(snug_kv_coding *coding, parser *p)
{
    if (coding->format == SNUG_KV_FORMAT_F16 && coding->bits != 0 && coding->bits != 16)
        return server_refuse(
            p->refusal, 400, "invalid_value", "snug.kv_bits",
            "\"snug.kv_format\" f16 has 16 bits, so %u cannot be obeyed; planes or affine can", coding->bits);
    if (coding->bits == 16)
        coding->format = SNUG_KV_FORMAT_F16;
    else if (coding->format == SNUG_KV_FORMAT_AUTO && coding->bits > 0)
        coding->format = SNUG_KV_FORMAT_PLANES;
    if (coding->format == SNUG_KV_FORMAT_F16)
        coding->bits = 0;
    return true;
}

static bool settle_cache(parser *p)
{
    snug_kv_config *kv = &p->out->kv;

    if (!settle_coding(&kv->key, p) || !settle_coding(&kv->value, p))
        return false;
    if (kv->key.format > SNUG_KV_FORMAT_F16 || kv->value.format > SNUG_KV_FORMAT_F16) {
        kv->first_exact_tokens = SNUG_KV_FIRST_EXACT_DEFAULT;
        kv->recent_exact_tokens = SNUG_KV_RECENT_EXACT_DEFAULT;
    }
    if (kv->retention.max_tokens > 0) {
        kv->retention.kind = SNUG_KV_RETENTION_ROTATING;
        kv->retention.sink_tokens = SNUG_KV_SINKS_DEFAULT;
    }
    return true;
}

static bool take_members(parser *p, snug_json object, const char *prefix, const member *list, size_t count);

static bool take_snug(parser *p, snug_json value)
{
    static const member members[] = {
        { "strategy", OF_BOTH, take_strategy },
        { "context", OF_BOTH, take_context },
        { "kv_format", OF_BOTH, take_kv_format },
        { "kv_bits", OF_BOTH, take_kv_bits },
        { "max_kv_size", OF_BOTH, take_max_kv_size },
        { "top_k", OF_BOTH, take_top_k },
        { "min_p", OF_BOTH, take_min_p },
        { "repetition_penalty", OF_BOTH, take_repetition_penalty },
    };

    if (snug_json_kind_of(value) != SNUG_JSON_OBJECT)
        return wrong(p, "an object", value);
    return take_members(p, value, "snug.", members, SNUG_COUNT(members)) && settle_cache(p);
}

/* --- the table ------------------------------------------------------------------------------------------ */

static const member members[] = {
    { "model", OF_BOTH, take_model },
    { "messages", OF_CHAT, take_messages },
    { "prompt", OF_COMPLETION, take_prompt },
    { "temperature", OF_BOTH, take_temperature },
    { "top_p", OF_BOTH, take_top_p },
    { "max_tokens", OF_BOTH, take_max_tokens },
    { "max_completion_tokens", OF_CHAT, take_max_tokens },
    { "stop", OF_BOTH, take_stop },
    { "seed", OF_BOTH, take_seed },
    { "stream", OF_BOTH, take_stream },
    { "stream_options", OF_BOTH, take_stream_options },
    { "logprobs", OF_CHAT, take_chat_logprobs },
    { "logprobs", OF_COMPLETION, take_completion_logprobs },
    { "top_logprobs", OF_CHAT, take_top_logprobs },
    { "presence_penalty", OF_BOTH, take_presence_penalty },
    { "frequency_penalty", OF_BOTH, take_frequency_penalty },
    { "snug", OF_BOTH, take_snug },
    { "n", OF_BOTH, take_only_one },
    { "best_of", OF_COMPLETION, take_only_one },
    { "echo", OF_COMPLETION, take_only_empty },
    { "suffix", OF_COMPLETION, take_only_empty },
    { "logit_bias", OF_BOTH, take_only_empty },
    { "tools", OF_CHAT, take_only_empty },
    { "tool_choice", OF_CHAT, take_only_empty },
    { "functions", OF_CHAT, take_only_empty },
    { "response_format", OF_CHAT, take_response_format },
    /* What clients send along for the books of the service they were written for. */
    { "user", OF_BOTH, take_nothing },
    { "metadata", OF_CHAT, take_nothing },
    { "store", OF_CHAT, take_only_empty },
    { "service_tier", OF_CHAT, take_nothing },
    { "safety_identifier", OF_CHAT, take_nothing },
    { "prompt_cache_key", OF_CHAT, take_nothing },
    { "parallel_tool_calls", OF_CHAT, take_nothing },
};

static const member *find_member(snug_str key, unsigned kind, const member *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if ((list[i].kinds & kind) && snug_json_raw_is(key, list[i].name))
            return &list[i];
    return NULL;
}

static bool take_members(parser *p, snug_json object, const char *prefix, const member *list, size_t count)
{
    snug_json_iterator each = snug_json_iterate(object);
    uint64_t seen = 0; /* a row each: memory was counted for one of a name */
    char name[64];
    snug_json value;
    snug_str key;

    SNUG_ASSERT(count <= 64);
    while (snug_json_next(&each, &key, &value)) {
        const member *found = find_member(key, 1u << p->out->kind, list, count);

        snprintf(name, sizeof name, "%s%.*s", prefix, (int)(key.bytes < 48 ? key.bytes : 48), key.data);
        p->name = name;
        if (!found)
            return server_refuse(p->refusal, 400, "unsupported_parameter", name,
                                 "\"%s\" is not a parameter of this server: leave it out", name);
        if (seen >> (found - list) & 1)
            return server_refuse(p->refusal, 400, "invalid_value", name, "\"%s\" is there twice", name);
        seen |= (uint64_t)1 << (found - list);
        if (snug_json_kind_of(value) != SNUG_JSON_NULL && !found->take(p, value))
            return false;
    }
    return true;
}

static bool check_whole(parser *p)
{
    const server_request *r = p->out;

    if (r->kind == SERVER_REQUEST_CHAT && r->message_count == 0)
        return server_refuse(p->refusal, 400, "missing_required_parameter", "messages",
                             "\"messages\" is missing: an array of {\"role\", \"content\"}");
    if (r->kind == SERVER_REQUEST_COMPLETION && !r->prompt && r->id_count == 0)
        return server_refuse(p->refusal, 400, "missing_required_parameter", "prompt",
                             "\"prompt\" is missing: a text to continue");
    if (r->top_logprobs > 0 && !r->has_logprobs)
        return server_refuse(p->refusal, 400, "invalid_value", "top_logprobs",
                             "\"top_logprobs\" needs \"logprobs\": true");
    if (r->has_usage && !r->is_stream)
        return server_refuse(p->refusal, 400, "invalid_value", "stream_options",
                             "\"stream_options\" is for \"stream\": true");
    return true;
}

static bool allocate(parser *p, snug_memory *memory, snug_json root, size_t body_bytes)
{
    const size_t messages = snug_json_count(snug_json_get(root, "messages"));
    const snug_json prompt = snug_json_get(root, "prompt");
    const size_t message_bytes =
        (messages < SERVER_MESSAGES_MAX ? messages : SERVER_MESSAGES_MAX) * sizeof(snug_message);
    size_t id_count = snug_json_count(prompt);
    snug_error error = { SNUG_OK, "" };
    snug_json_iterator each = snug_json_iterate(prompt);
    snug_json first;
    char *block;

    if (snug_json_next(&each, NULL, &first) && snug_json_kind_of(first) == SNUG_JSON_ARRAY)
        id_count = snug_json_count(first);
    /* A string is shorter without its quotes, and that leaves room for what ends it; one more for an empty
     * array of parts, which has two bytes. */
    block = server_alloc(memory, message_bytes + id_count * sizeof(uint32_t) + body_bytes + 1, "a request",
                         &error);
    if (!block)
        return server_refuse_error(p->refusal, &error);
    p->out->storage = block;
    p->out->messages = (void *)block;
    p->out->ids = (void *)(block + message_bytes);
    p->texts = block + message_bytes + id_count * sizeof(uint32_t);
    return true;
}

bool server_request_parse(server_request *request_out, snug_memory *memory, server_request_kind kind,
                          snug_str body, server_refusal *refusal)
{
    parser p = { .out = request_out, .refusal = refusal, .name = "" };
    snug_error error = { SNUG_OK, "" };
    snug_json root;

    *request_out = (server_request){ .kind = kind,
                                     .model = "",
                                     .temperature = -1,
                                     .top_p = -1,
                                     .top_k = -1,
                                     .min_p = -1,
                                     .repetition_penalty = -1 };
    if (body.bytes == 0)
        return server_refuse(refusal, 400, NULL, NULL, "the request has no body: a JSON object is expected");
    if (snug_json_check(&root, body, &error) != SNUG_OK)
        return server_refuse(refusal, 400, "invalid_json", NULL, "the body is not JSON: %s", error.text);
    if (snug_json_kind_of(root) != SNUG_JSON_OBJECT)
        return server_refuse(refusal, 400, "invalid_json", NULL, "the body is %s; an object is expected",
                             snug_json_kind_name(snug_json_kind_of(root)));
    if (!allocate(&p, memory, root, body.bytes))
        return false;
    if (take_members(&p, root, "", members, SNUG_COUNT(members)) && check_whole(&p))
        return true;
    server_request_free(request_out);
    return false;
}

void server_request_free(server_request *request)
{
    server_free(request->storage);
    request->storage = NULL;
}
