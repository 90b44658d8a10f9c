/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request.h - the body of a request for an answer, read and checked: OpenAI's members that make sense here,
 * and `snug` for what it has no words for. What is not known is refused by its name, never ignored.
 *
 * Strangers' bytes: the body is bounded by whoever reads it from the network, nesting by the JSON reader,
 * messages and stop strings here. One block of memory, of about the body's size, holds all texts.
 */
#ifndef SNUG_SERVER_REQUEST_H
#define SNUG_SERVER_REQUEST_H

#include <snug/kv.h>
#include <snug/text.h>

#include "base/str.h"
#include "server/refusal.h"

#define SERVER_MESSAGES_MAX     4096
#define SERVER_STOPS_MAX        4
#define SERVER_STOP_BYTES_MAX   256
#define SERVER_TOP_LOGPROBS_MAX 20

typedef enum server_request_kind {
    SERVER_REQUEST_CHAT = 0,       /* messages, through the model's template */
    SERVER_REQUEST_COMPLETION = 1, /* a prompt that is continued as it stands */
} server_request_kind;

/* Texts are valid until it is freed. Numbers that were not given are negative, counts 0. */
typedef struct server_request {
    server_request_kind kind;
    const char *model; /* "": the server's own */
    snug_message *messages;
    size_t message_count;
    const char *prompt; /* of a completion; NULL: ids were given */
    size_t prompt_bytes;
    uint32_t *ids;
    size_t id_count;
    bool is_stream;
    bool has_usage; /* a last chunk with the usage, in a stream */
    uint32_t max_tokens;
    double temperature;
    double top_p;
    double top_k;
    double min_p;
    double repetition_penalty;
    double presence_penalty;
    double frequency_penalty;
    uint64_t seed;
    bool has_seed;
    const char *stop[SERVER_STOPS_MAX];
    size_t stop_count;
    bool has_logprobs;
    uint32_t top_logprobs;
    snug_strategy strategy; /* AUTO: the server's */
    uint32_t context_tokens;
    snug_kv_config kv; /* AUTO where nothing was said */
    void *storage;
} server_request;

/* False with the refusal; then there is nothing to free. */
bool server_request_parse(server_request *request_out, snug_memory *memory, server_request_kind kind,
                          snug_str body, server_refusal *refusal);
void server_request_free(server_request *request);

#endif /* SNUG_SERVER_REQUEST_H */
