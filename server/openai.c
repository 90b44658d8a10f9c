/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openai.c - the paths of OpenAI's API.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "server/routes.h"
#include "server/state.h"

static server_job *make_job(server_call *call, server_request_kind kind)
{
    struct server *server = call->server;
    snug_memory *memory = server->options.memory;
    server_job *job = server_alloc(memory, sizeof *job, "a request", NULL);
    snug_error error = { SNUG_OK, "" };
    char id[48];

    if (!job) {
        server_refuse(&call->refusal, 503, "out_of_memory", NULL, "there is no memory for another request");
        call->refusal.retry_seconds = 5;
        return NULL;
    }
    job->created = (int64_t)time(NULL);
    job->came_ns = server_clock_ns();
    snprintf(id, sizeof id, "%s-%llx%04llx", kind == SERVER_REQUEST_CHAT ? "chatcmpl" : "cmpl",
             (unsigned long long)job->created, (unsigned long long)atomic_load(&server->next_number));
    if (server_request_parse(&job->request, memory, kind, (snug_str){ call->body.data, call->body.bytes },
                             &call->refusal)) {
        size_t ignored;

        job->outlet = server_outlet_create(server, id, &error);
        if (job->outlet && server_models_find(&ignored, server, job->request.model, &call->refusal))
            return job;
        if (!job->outlet)
            (void)server_refuse_error(&call->refusal, &error);
    }
    server_job_free(job);
    return NULL;
}

static enum MHD_Result handle(server_call *call, server_request_kind kind)
{
    server_job *job = make_job(call, kind);
    server_outlet *outlet;
    enum MHD_Result result;

    server_buffer_free(&call->body);
    if (!job)
        return server_reply_refusal(call);
    outlet = job->outlet;
    server_outlet_hold(outlet); /* the job may be over before it is attached */
    if (server_queue_push(call->server, job, &call->refusal)) {
        result = server_reply_later(call, outlet);
    } else {
        server_job_free(job);
        result = server_reply_refusal(call);
    }
    server_outlet_release(outlet);
    return result;
}

enum MHD_Result server_handle_chat(server_call *call)
{
    return handle(call, SERVER_REQUEST_CHAT);
}

enum MHD_Result server_handle_completion(server_call *call)
{
    return handle(call, SERVER_REQUEST_COMPLETION);
}

enum MHD_Result server_handle_embeddings(server_call *call)
{
    server_refuse(&call->refusal, 501, "not_implemented", NULL,
                  "this server does not compute embeddings yet; it answers /v1/chat/completions and "
                  "/v1/completions");
    return server_reply_refusal(call);
}

static json_t *model_json(const struct server *server, size_t index)
{
    return json_pack("{s:s,s:s,s:I,s:s}", "id", server->models.model[index].id, "object", "model", "created",
                     (json_int_t)server->started_s, "owned_by", "snug");
}

enum MHD_Result server_handle_model_list(server_call *call)
{
    const server_models *models = &call->server->models;
    json_t *list = json_array();

    json_array_append_new(list, model_json(call->server, models->own)); /* the default comes first */
    for (size_t i = 0; i < models->count; i++)
        if (i != models->own)
            json_array_append_new(list, model_json(call->server, i));
    return server_reply(call, 200, json_pack("{s:s,s:o}", "object", "list", "data", list));
}

enum MHD_Result server_handle_model(server_call *call)
{
    size_t index;

    if (!server_models_find(&index, call->server, call->path + strlen("/v1/models/"), &call->refusal))
        return server_reply_refusal(call);
    return server_reply(call, 200, model_json(call->server, index));
}
