/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalog.c - /api/models: what there is and what fits, loading, unloading and fetching.
 */
#include <stdio.h>
#include <string.h>

#include <snug/hub.h>

#include "base/status.h"
#include "server/body.h"
#include "server/errands.h"
#include "server/json.h"
#include "server/routes.h"
#include "server/state.h"

/* --- the list ------------------------------------------------------------------------------------------ */

static uint32_t bits_of(const snug_kv_coding *coding)
{
    return coding->format == SNUG_KV_FORMAT_F32   ? 32
           : coding->format <= SNUG_KV_FORMAT_F16 ? 16
                                                  : coding->bits;
}

static json_t *candidate_json(struct server *server, const snug_catalog_candidate *c)
{
    snug_catalog_model model = { .struct_size = sizeof model };
    snug_catalog_source source = { .struct_size = sizeof source };
    char id[SERVER_MODEL_NAME_BYTES];
    size_t index;
    server_model_state state = { .is_installed = false };

    snug_catalog_read_model(&model, server->options.catalog, c->model);
    snug_catalog_read_source(&source, server->options.catalog, c->model, c->source);
    server_models_id(id, &model, &source, c->source);
    if (server_models_find(&index, server, id, &(server_refusal){ 0 }))
        server_models_read(&state, server, index);
    return json_pack(
        "{s:s,s:s,s:s,s:s,s:b,s:b,s:b,s:b,s:I,s:I,s:I,s:I,s:s,s:{s:s,s:I,s:I}}", "id", id, "title",
        model.title, "repository", source.repository, "weights", source.weights, "installed",
        state.is_installed, "loaded", state.is_loaded, "in_use", state.is_in_use, "fits", c->fits,
        "need_bytes", (json_int_t)c->need_bytes, "file_bytes", (json_int_t)c->file_bytes, "weight_bytes",
        (json_int_t)c->weight_bytes, "longest_tokens", (json_int_t)c->longest_tokens, "why", c->why, "kv",
        "format", snug_kv_format_name(c->plan.kv.key.format), "key_bits",
        (json_int_t)bits_of(&c->plan.kv.key), "value_bits", (json_int_t)bits_of(&c->plan.kv.value));
}

/* The server's own model, where the catalogue does not know it. */
static json_t *own_json(struct server *server, size_t index)
{
    server_model_state state;

    server_models_read(&state, server, index);
    return json_pack("{s:s,s:s,s:s,s:s,s:b,s:b,s:b,s:b,s:s}", "id", state.id, "title", state.id, "repository",
                     "", "weights", "", "installed", 1, "loaded", state.is_loaded, "in_use", state.is_in_use,
                     "fits", 1, "why", "it was given with --model");
}

static json_t *list_json(struct server *server, const snug_catalog_choice *choice, const char **chosen_out)
{
    json_t *list = json_array();

    for (size_t i = 0; i < snug_catalog_candidate_count(choice); i++) {
        snug_catalog_candidate c = { .struct_size = sizeof c };
        json_t *object;

        snug_catalog_read_candidate(&c, choice, i);
        object = candidate_json(server, &c);
        json_array_append_new(list, object);
        if (i == snug_catalog_chosen(choice))
            *chosen_out = json_string_value(json_object_get(object, "id"));
    }
    if (!server->models.is_own_known)
        json_array_insert_new(list, 0, own_json(server, server->models.own));
    return list;
}

static void list_models(server_errand *errand)
{
    struct server *server = errand->server;
    const snug_catalog_choice *choice;
    snug_error error = { SNUG_OK, "" };
    server_refusal refusal = { 0 };
    const char *chosen = NULL;
    json_t *list;

    if (server_fits_take(&choice, server, &error) != SNUG_OK) {
        (void)server_refuse_error(&refusal, &error);
        server_errand_refuse(errand, &refusal);
        return;
    }
    list = list_json(server, choice, &chosen);
    list = json_pack("{s:o,s:s?,s:s,s:s,s:o}", "limit_bytes",
                     server_json_bytes(snug_catalog_limit_bytes(choice)), "chosen", chosen, "why",
                     snug_catalog_explanation(choice), "default", server->models.model[server->models.own].id,
                     "models", list);
    server_fits_leave(server);
    server_outlet_reply(errand->outlet, 200, list);
}

enum MHD_Result server_handle_models(server_call *call)
{
    return server_errand_start(call, list_models);
}

/* --- loading and unloading ------------------------------------------------------------------------------ */

/* The name in the body; false with the refusal. */
static bool read_name(char out[SERVER_MODEL_NAME_BYTES], const server_errand *errand, server_refusal *refusal)
{
    static const char *const names[] = { "model", NULL };
    const snug_json root = server_body_read(&errand->body, names, refusal);

    return !refusal->status && server_body_text(out, SERVER_MODEL_NAME_BYTES, root, "model", true, refusal);
}

static void reply_loaded(server_errand *errand, size_t index, server_refusal *refusal)
{
    server_model_state state;

    if (refusal->status) {
        server_errand_refuse(errand, refusal);
        return;
    }
    server_models_read(&state, errand->server, index);
    server_outlet_reply(errand->outlet, 200,
                        json_pack("{s:s,s:b}", "model", state.id, "loaded", state.is_loaded));
}

static void load_model(server_errand *errand)
{
    server_refusal refusal = { 0 };
    char name[SERVER_MODEL_NAME_BYTES];
    snug_loaded loaded;
    size_t index = 0;

    if (read_name(name, errand, &refusal) && server_models_find(&index, errand->server, name, &refusal) &&
        server_models_take(&loaded, errand->server, index, &refusal))
        server_models_release(errand->server, index);
    reply_loaded(errand, index, &refusal);
}

static void unload_model(server_errand *errand)
{
    server_refusal refusal = { 0 };
    char name[SERVER_MODEL_NAME_BYTES];
    size_t index = 0;

    if (read_name(name, errand, &refusal) && server_models_find(&index, errand->server, name, &refusal))
        (void)server_models_unload(errand->server, index, &refusal);
    reply_loaded(errand, index, &refusal);
}

enum MHD_Result server_handle_load(server_call *call)
{
    return server_errand_start(call, load_model);
}

enum MHD_Result server_handle_unload(server_call *call)
{
    return server_errand_start(call, unload_model);
}

/* --- fetching ------------------------------------------------------------------------------------------- */

static bool goes_on(void *user)
{
    return server_errand_goes_on(user);
}

static void tell_progress(void *user, const snug_hub_progress *progress)
{
    static const char *const phases[] = { "resolve", "download", "verify", "wait", "done" };
    server_errand *errand = user;
    const double fraction =
        progress->total_bytes > 0 ? (double)progress->done_bytes / (double)progress->total_bytes : 0;

    if ((size_t)progress->phase < SNUG_COUNT(phases) && !server_outlet_is_full(errand->outlet))
        (void)server_outlet_event(errand->outlet, "progress",
                                  json_pack("{s:s,s:f,s:I,s:I}", "phase", phases[progress->phase], "fraction",
                                            fraction, "done_bytes", (json_int_t)progress->done_bytes,
                                            "total_bytes", (json_int_t)progress->total_bytes));
}

static void fetch(server_errand *errand, const snug_catalog_source *source, size_t model, size_t place)
{
    struct server *server = errand->server;
    const server_options *options = &server->options;
    const snug_hub_options hub = {
        .struct_size = sizeof hub,
        .endpoint = options->hub_endpoint,
        .token = options->hub_token,
        .ca_file = options->hub_ca_file,
        .cache_folder = options->cache_folder,
        .keep_going = goes_on,
        .on_progress = tell_progress,
        .user = errand,
    };
    snug_error error = { SNUG_OK, "" };
    server_refusal refusal = { 0 };
    char path[2048];

    if (snug_hub_pull(path, sizeof path, options->memory, source->repository,
                      source->file[0] ? source->file : NULL, &hub, &error) != SNUG_OK) {
        (void)server_refuse_error(&refusal, &error);
        (void)server_outlet_event(errand->outlet, "error", server_refusal_json(&refusal));
    } else {
        server_models_add(server, model, place, path);
        (void)server_outlet_event(errand->outlet, "done", json_object());
    }
    server_outlet_end(errand->outlet);
}

/* Only what the catalogue knows: a client does not say where files come from. */
static void pull_model(server_errand *errand)
{
    const snug_catalog *catalog = errand->server->options.catalog;
    snug_catalog_source source = { .struct_size = sizeof source };
    server_refusal refusal = { 0 };
    char name[SERVER_MODEL_NAME_BYTES];
    size_t model, place;

    if (read_name(name, errand, &refusal)) {
        if (!snug_catalog_find(&model, &place, catalog, name))
            (void)server_refuse(&refusal, 404, "model_not_found", "model",
                                "\"%.150s\" is not in the catalogue; GET /api/models lists what is", name);
        else
            snug_catalog_read_source(&source, catalog, model, place);
    }
    if (!refusal.status && (!source.repository[0] || !errand->server->options.cache_folder[0]))
        (void)server_refuse(&refusal, 400, "invalid_value", "model", "%.150s is not fetched from anywhere",
                            name);
    if (refusal.status)
        server_errand_refuse(errand, &refusal);
    else
        fetch(errand, &source, model, place);
}

enum MHD_Result server_handle_pull(server_call *call)
{
    return server_errand_start(call, pull_model);
}

/* --- planning ------------------------------------------------------------------------------------------- */

static void plan_model(server_errand *errand)
{
    static const char *const names[] = { "model", "context", "strategy", NULL };
    struct server *server = errand->server;
    server_refusal refusal = { 0 };
    const snug_json root = server_body_read(&errand->body, names, &refusal);
    const snug_json context = snug_json_get(root, "context");
    char name[SERVER_MODEL_NAME_BYTES];
    uint64_t tokens = server->options.context_tokens;
    snug_strategy strategy = SNUG_STRATEGY_AUTO;
    json_t *plan = NULL;
    size_t index;

    if (!refusal.status && snug_json_kind_of(context) > SNUG_JSON_NULL &&
        (!snug_json_u64(&tokens, context) || tokens == 0 || tokens > UINT32_MAX))
        (void)server_refuse(&refusal, 400, "invalid_value", "context",
                            "\"context\" takes a number of tokens");
    if (!refusal.status && server_body_text(name, sizeof name, root, "model", false, &refusal) &&
        server_body_strategy(&strategy, root, &refusal) &&
        server_models_find(&index, server, name, &refusal)) {
        if (strategy == SNUG_STRATEGY_AUTO)
            strategy = (snug_strategy)atomic_load(&server->strategy);
        if (server->options.on_plan)
            plan = server->options.on_plan(server->options.user, server->models.model[index].path,
                                           (uint32_t)tokens, strategy);
        if (!plan)
            (void)server_refuse(&refusal, 400, "cannot_plan", "model",
                                "%.150s cannot be planned so; the server has noted why", name);
    }
    if (refusal.status)
        server_errand_refuse(errand, &refusal);
    else
        server_outlet_reply(errand->outlet, 200, plan);
}

enum MHD_Result server_handle_plan(server_call *call)
{
    return server_errand_start(call, plan_model);
}
