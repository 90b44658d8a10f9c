/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refusal.h - why a request is not answered: an HTTP status and a sentence, in the form that clients of
 * OpenAI's API read.
 */
#ifndef SNUG_SERVER_REFUSAL_H
#define SNUG_SERVER_REFUSAL_H

#include <jansson.h>

#include <snug/base.h>

#include "server/heap.h"

typedef struct server_refusal {
    int status;       /* of HTTP; 0: there is none */
    const char *code; /* "unsupported_parameter" ...; NULL: none */
    char param[64];   /* the member it is about; "": none */
    char text[640];
    uint64_t need_bytes; /* of memory, where that is the reason */
    uint64_t limit_bytes;
    uint32_t retry_seconds; /* worth trying again after; 0: not said */
} server_refusal;

/* Fills it in, and is false, so that a parser can return it. `param` may be NULL. */
bool server_refuse(server_refusal *refusal, int status, const char *code, const char *param,
                   const char *format, ...) SNUG_PRINTF(5, 6);

/* What a status of the library means here; its sentence is the text. */
bool server_refuse_error(server_refusal *refusal, const snug_error *error);

/* Memory is the reason. */
bool server_refusal_is_memory(const server_refusal *refusal);

/* {"error": {...}}; NULL when memory ran out. */
json_t *server_refusal_json(const server_refusal *refusal);

/* A body as text, into an empty buffer. Where there is no memory for it, or it is NULL because there was
 * none, false, and the buffer says so instead: that comes from the desk (heap.h). */
bool server_refusal_or_body(server_buffer *text, const json_t *body);

#endif /* SNUG_SERVER_REFUSAL_H */
