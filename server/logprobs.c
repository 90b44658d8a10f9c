/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logprobs.c - how likely the tokens of an answer were, by the model's own word: the logits as they are,
 * without temperature and penalties.
 */
#include <math.h>
#include <string.h>

#include "server/answer.h"
#include "server/heap.h"
#include "server/json.h"
#include "server/state.h"

typedef struct likely {
    uint32_t id;
    float logit;
} likely;

/* The text of one token inside a text, and its bytes, which may be a part of a character. */
typedef struct piece {
    char text[256];
    size_t text_bytes;
    unsigned char bytes[256];
    size_t byte_count;
} piece;

static void read_piece(piece *out, const snug_text *text, uint32_t id)
{
    char buffer[1024];
    snug_decoder decoder;
    size_t bytes;

    *out = (piece){ .text_bytes = 0 };
    if (snug_decoder_bound(text) > sizeof buffer)
        return;
    snug_decoder_init(&decoder, text, 0);
    decoder.is_started = true;
    bytes = snug_decoder_push(&decoder, id, buffer);
    if (bytes + decoder.held > sizeof out->bytes || bytes + sizeof "\xef\xbf\xbd" > sizeof out->text)
        return;
    memcpy(out->bytes, buffer, bytes);
    memcpy(out->bytes + bytes, decoder.hold, decoder.held);
    out->byte_count = bytes + decoder.held;
    memcpy(out->text, buffer, bytes);
    out->text_bytes = bytes;
    if (decoder.held > 0) {
        memcpy(out->text + bytes, "\xef\xbf\xbd", 3);
        out->text_bytes += 3;
    }
}

/* log of the sum of exp, without overflow; at least one. */
static double log_sum(const float *logits, uint32_t count)
{
    float most = logits[0];
    double sum;

    for (uint32_t i = 1; i < count; i++)
        if (logits[i] > most)
            most = logits[i];
    sum = exp((double)logits[0] - most);
    for (uint32_t i = 1; i < count; i++)
        sum += exp((double)logits[i] - most);
    return most + log(sum);
}

/* The likeliest, best first. */
static uint32_t find_top(likely *top, uint32_t wanted, const float *logits, uint32_t count)
{
    uint32_t found = 0;

    for (uint32_t id = 0; id < count; id++) {
        uint32_t place = found;

        while (place > 0 && logits[id] > top[place - 1].logit)
            place--;
        if (place >= wanted)
            continue;
        if (found < wanted)
            found++;
        memmove(top + place + 1, top + place, (found - 1 - place) * sizeof *top);
        top[place] = (likely){ id, logits[id] };
    }
    return found;
}

static json_t *bytes_json(const piece *p)
{
    json_t *list = json_array();

    for (size_t i = 0; i < p->byte_count; i++)
        json_array_append_new(list, json_integer(p->bytes[i]));
    return list;
}

static json_t *entry(const snug_text *text, uint32_t id, double logprob)
{
    piece p;

    read_piece(&p, text, id);
    return json_pack("{s:o,s:f,s:o}", "token", json_stringn(p.text, p.text_bytes), "logprob", logprob,
                     "bytes", bytes_json(&p));
}

/* One element of a chat's `content`. */
static bool add_chat(server_answer *answer, uint32_t id, double logprob, const likely *top, uint32_t count,
                     double sum)
{
    json_t *of_token = entry(answer->loaded.text, id, logprob);
    json_t *list = json_array();

    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(list, entry(answer->loaded.text, top[i].id, top[i].logit - sum));
    json_object_set_new(of_token, "top_logprobs", list);
    if (!answer->logprobs)
        answer->logprobs = json_pack("{s:[],s:n}", "content", "refusal");
    return json_array_append_new(json_object_get(answer->logprobs, "content"), of_token) == 0;
}

/* The parallel arrays of a completion. */
static bool add_completion(server_answer *answer, uint32_t id, double logprob, const likely *top,
                           uint32_t count, double sum)
{
    json_t *map = json_object();
    piece p;

    for (uint32_t i = 0; i < count; i++) {
        read_piece(&p, answer->loaded.text, top[i].id);
        json_object_setn_new(map, p.text, p.text_bytes, json_real(top[i].logit - sum));
    }
    read_piece(&p, answer->loaded.text, id);
    if (!answer->logprobs)
        answer->logprobs =
            json_pack("{s:[],s:[],s:[],s:[]}", "tokens", "token_logprobs", "top_logprobs", "text_offset");
    json_array_append_new(json_object_get(answer->logprobs, "tokens"), json_stringn(p.text, p.text_bytes));
    json_array_append_new(json_object_get(answer->logprobs, "token_logprobs"), json_real(logprob));
    json_array_append_new(json_object_get(answer->logprobs, "text_offset"),
                          json_integer((json_int_t)answer->token_offset));
    return json_array_append_new(json_object_get(answer->logprobs, "top_logprobs"), map) == 0;
}

bool server_logprobs_add(server_answer *answer, uint32_t id)
{
    const float *logits = snug_session_logits(answer->session);
    const server_request *request = &answer->job->request;
    snug_model_info info = { .struct_size = sizeof info };
    likely top[SERVER_TOP_LOGPROBS_MAX + 1];
    uint32_t count;
    double sum;

    if (!logits)
        return false;
    snug_model_read_info(&info, answer->loaded.model);
    count = snug_text_id_count(answer->loaded.text);
    if (count > info.vocabulary)
        count = info.vocabulary;
    sum = log_sum(logits, count);
    count = find_top(top, request->top_logprobs, logits, count);
    return request->kind == SERVER_REQUEST_CHAT
               ? add_chat(answer, id, logits[id] - sum, top, count, sum)
               : add_completion(answer, id, logits[id] - sum, top, count, sum);
}
