/* SPDX-License-Identifier: Apache-2.0 */
/*
 * refusal.c - see the header.
 */
#include "server/refusal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/json.h"

/* Time enough for an answer or two to end. */
#define MEMORY_RETRY_SECONDS 5

bool server_refuse(server_refusal *refusal, int status, const char *code, const char *param,
                   const char *format, ...)
{
    va_list arguments;

    *refusal = (server_refusal){ .status = status, .code = code };
    if (param)
        snprintf(refusal->param, sizeof refusal->param, "%s", param);
    va_start(arguments, format);
    vsnprintf(refusal->text, sizeof refusal->text, format, arguments);
    va_end(arguments);
    return false;
}

bool server_refuse_error(server_refusal *refusal, const snug_error *error)
{
    switch (error->status) {
    case SNUG_ERR_OVER_LIMIT:
    case SNUG_ERR_NO_MEMORY:
        server_refuse(refusal, 503, "out_of_memory", NULL, "%s", error->text);
        refusal->retry_seconds = MEMORY_RETRY_SECONDS;
        return false;
    case SNUG_ERR_FULL:
        return server_refuse(refusal, 400, "context_length_exceeded", NULL, "%s", error->text);
    case SNUG_ERR_ARGUMENT:
    case SNUG_ERR_UNSUPPORTED:
        return server_refuse(refusal, 400, NULL, NULL, "%s", error->text);
    default:
        return server_refuse(refusal, 500, NULL, NULL, "%s", error->text);
    }
}

bool server_refusal_is_memory(const server_refusal *refusal)
{
    return refusal->status != 0 && refusal->code &&
           (strcmp(refusal->code, "out_of_memory") == 0 || strcmp(refusal->code, "does_not_fit") == 0);
}

static const char *type_of(const server_refusal *refusal)
{
    switch (refusal->status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 429:
        return "rate_limit_error";
    default:
        return refusal->status < 500 ? "invalid_request_error" : "server_error";
    }
}

json_t *server_refusal_json(const server_refusal *refusal)
{
    json_t *error =
        json_pack("{s:o,s:s,s:o,s:s?}", "message", server_json_text(refusal->text, strlen(refusal->text)),
                  "type", type_of(refusal), "param",
                  refusal->param[0] ? server_json_text(refusal->param, strlen(refusal->param)) : json_null(),
                  "code", refusal->code);

    if (error && refusal->need_bytes > 0)
        json_object_set_new(error, "snug",
                            json_pack("{s:I,s:I}", "need_bytes", (json_int_t)refusal->need_bytes,
                                      "limit_bytes", (json_int_t)refusal->limit_bytes));
    return json_pack("{s:o}", "error", error);
}

bool server_refusal_or_body(server_buffer *text, const json_t *body)
{
    server_refusal refusal;
    json_t *said;

    if (body && server_json_write(text, body))
        return true;
    server_buffer_free(text); /* half of an answer is none */
    server_refuse(&refusal, 503, "out_of_memory", NULL, "there is no memory for so long an answer");
    said = server_refusal_json(&refusal);
    if (!said || !server_json_write(text, said))
        server_buffer_free(text);
    json_decref(said);
    return false;
}
