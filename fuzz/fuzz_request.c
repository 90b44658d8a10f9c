/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_request.c - bodies of requests to the server: taken or refused, never read beyond their end, nothing
 * left in the ledger. The first byte says of which kind; stop strings are then met in the request's own text.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "server/request.h"
#include "server/stops.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool count_text(void *user, const char *text, size_t bytes)
{
    size_t *sent = user;

    SNUG_ASSERT(bytes == 0 || memchr(text, '\0', bytes) == NULL);
    *sent += bytes;
    return true;
}

/* In pieces of 1, 2, 3 ... bytes: what comes out is what went in, or ends before a stop string. */
static void meet_stops(const server_request *request, const char *text)
{
    server_stops stops = { .stop = request->stop, .count = request->stop_count };
    const size_t bytes = strlen(text);
    size_t sent = 0;
    bool goes_on = true;

    for (size_t at = 0, step = 1; at < bytes && goes_on; at += step, step = step % 7 + 1)
        goes_on =
            server_stops_push(&stops, text + at, bytes - at < step ? bytes - at : step, count_text, &sent);
    SNUG_ASSERT(server_stops_finish(&stops, count_text, &sent));
    SNUG_ASSERT(stops.is_met == !goes_on && (stops.is_met ? sent < bytes : sent == bytes));
}

static void check(const server_request *request)
{
    SNUG_ASSERT(strlen(request->model) < SIZE_MAX);
    SNUG_ASSERT(request->kind == SERVER_REQUEST_CHAT ? request->message_count > 0
                                                     : request->prompt || request->id_count > 0);
    for (size_t i = 0; i < request->stop_count; i++)
        SNUG_ASSERT(strlen(request->stop[i]) > 0 && strlen(request->stop[i]) <= SERVER_STOP_BYTES_MAX);
    for (size_t i = 0; i < request->message_count; i++) {
        SNUG_ASSERT(request->messages[i].role && strlen(request->messages[i].role) > 0);
        meet_stops(request, request->messages[i].content);
    }
    if (request->prompt) {
        SNUG_ASSERT(strlen(request->prompt) == request->prompt_bytes);
        meet_stops(request, request->prompt);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    snug_memory *memory;
    server_request request;
    server_refusal refusal = { 0 };
    char *body;

    if (size == 0 || snug_memory_create(&memory, NULL) != SNUG_OK)
        return 0;
    body = malloc(size); /* exactly so large that a sanitizer sees the end */
    if (body) {
        const server_request_kind kind = data[0] & 1 ? SERVER_REQUEST_COMPLETION : SERVER_REQUEST_CHAT;

        memcpy(body, data + 1, size - 1);
        if (server_request_parse(&request, memory, kind, (snug_str){ body, size - 1 }, &refusal)) {
            check(&request);
            server_request_free(&request);
        } else {
            SNUG_ASSERT(refusal.status >= 400 && strlen(refusal.text) > 10);
        }
        SNUG_ASSERT(snug_memory_read_all(memory).used_bytes == 0);
    }
    free(body);
    snug_memory_destroy(memory);
    return 0;
}
