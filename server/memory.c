/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.c - how much memory there is, who holds it, and the two figures that may be changed while it runs.
 */
#include "server/memory.h"

#include <string.h>

#include "base/json.h"
#include "base/status.h"
#include "server/json.h"
#include "server/routes.h"
#include "server/state.h"

/* The ledger's own is less, by what lies outside it. */
static uint64_t limit_of(const struct server *server, const snug_memory_state *state)
{
    const uint64_t set = atomic_load(&server->memory_limit);

    return set > 0 && set < state->machine_limit_bytes ? set : state->machine_limit_bytes;
}

uint64_t server_limit_read(struct server *server)
{
    snug_memory_state state;

    snug_memory_read_state(&state, server->options.memory);
    return limit_of(server, &state);
}

json_t *server_queue_json(struct server *server)
{
    const server_queue_count count = server_queue_read(server);

    return json_pack("{s:I,s:I,s:I}", "running", (json_int_t)count.running, "waiting",
                     (json_int_t)count.waiting, "capacity", (json_int_t)count.capacity);
}

static json_t *uses_json(const struct server *server)
{
    json_t *list = json_array();

    for (int i = 0; i < SNUG_MEMORY_USE_COUNT; i++) {
        const snug_memory_count count = snug_memory_read(server->options.memory, (snug_memory_use)i);

        json_array_append_new(
            list, json_pack("{s:s,s:I,s:I}", "name", snug_memory_use_name((snug_memory_use)i), "bytes",
                            (json_int_t)count.used_bytes, "peak_bytes", (json_int_t)count.peak_bytes));
    }
    return list;
}

json_t *server_memory_json(struct server *server)
{
    const uint64_t set = atomic_load(&server->memory_limit);
    uint64_t peak = snug_memory_measured_peak(server->options.memory);
    const uint64_t ledger_peak = snug_memory_read_all(server->options.memory).peak_bytes;
    snug_memory_state state;
    uint64_t predicted;
    uint64_t limit;
    double usage;

    snug_memory_read_state(&state, server->options.memory);
    if (ledger_peak > peak) /* of one kind with what is used: had, or promised */
        peak = ledger_peak;
    if (state.own_bytes > peak)
        peak = state.own_bytes;
    limit = limit_of(server, &state);
    usage = state.usage > 0 ? state.usage : 0;
    predicted = state.own_bytes + server_queue_growth(server);
    return json_pack("{s:o,s:I,s:I,s:I,s:o,s:o,s:o,s:s,s:s,s:f,s:[f,f,f],s:s,s:I,s:I,s:o,s:o}", "limit_bytes",
                     server_json_bytes(limit), "used_bytes", (json_int_t)state.own_bytes, "peak_bytes",
                     (json_int_t)peak, "predicted_bytes", (json_int_t)predicted, "headroom_bytes",
                     server_json_bytes(limit >= SNUG_MEMORY_NO_LIMIT ? limit
                                       : limit > state.own_bytes     ? limit - state.own_bytes
                                                                     : 0),
                     "rss_bytes", server_json_bytes(state.process_resident_bytes), "mapped_bytes",
                     server_json_bytes(state.process_file_bytes), "binding",
                     set > 0 && limit == set ? "the memory limit that was set" : state.binding_text, "level",
                     snug_pressure_name(state.pressure), "usage", usage, "bands", 0.5, 0.7, 0.85, "strategy",
                     snug_strategy_name((snug_strategy)atomic_load(&server->strategy)), "ledger_bytes",
                     (json_int_t)state.ledger_used_bytes, "kept_bytes", (json_int_t)server_kept_bytes(server),
                     "uses", uses_json(server), "queue", server_queue_json(server));
}

enum MHD_Result server_handle_memory(server_call *call)
{
    return server_reply(call, 200, server_memory_json(call->server));
}

/* Busy loading a model is no reason to be taken for dead. */
enum MHD_Result server_handle_health(server_call *call)
{
    server_models *models = &call->server->models;
    bool is_loading;

    (void)pthread_mutex_lock(&models->lock);
    is_loading = models->is_loading;
    (void)pthread_mutex_unlock(&models->lock);
    if (atomic_load(&call->server->is_ending))
        return server_reply(call, 503, json_pack("{s:s}", "status", "stopping"));
    return server_reply(call, 200,
                        json_pack("{s:s,s:s}", "status", is_loading ? "loading" : "ok", "model",
                                  models->model[models->own].id));
}

/* --- changing it --------------------------------------------------------------------------------------- */

/* The one member of an object. Absent, with the refusal, where there is something else. */
static snug_json only_member(server_call *call, const char *name)
{
    snug_error error = { SNUG_OK, "" };
    snug_json root, value = { NULL };

    if (call->body.bytes == 0 ||
        snug_json_check(&root, (snug_str){ call->body.data, call->body.bytes }, &error) != SNUG_OK ||
        snug_json_count(root) != 1 ||
        snug_json_kind_of(value = snug_json_get(root, name)) == SNUG_JSON_ABSENT) {
        (void)server_refuse(&call->refusal, 400, "invalid_value", name,
                            "the body is an object with the one member \"%s\"%s%.200s", name,
                            error.text[0] ? ": " : "", error.text);
        return (snug_json){ NULL };
    }
    return value;
}

void server_limit_lift(const struct server *server)
{
    if (snug_memory_set_limits(server->options.memory, 0, 0) != SNUG_OK)
        server_note(server, "the memory limit could not be lifted");
}

void server_limit_apply(struct server *server)
{
    const uint64_t limit = atomic_load(&server->memory_limit);
    snug_memory_state state;
    uint64_t fixed = 0;

    snug_memory_read_state(&state, server->options.memory);
    if (state.process_anonymous_bytes < SNUG_MEMORY_NO_LIMIT &&
        state.process_anonymous_bytes > state.ledger_used_bytes)
        fixed = state.process_anonymous_bytes - state.ledger_used_bytes;
    if (limit > 0 && limit <= fixed)
        fixed = limit - 1; /* nothing more is granted */
    if (snug_memory_set_limits(server->options.memory, 0, limit > 0 ? limit - fixed : 0) != SNUG_OK)
        server_note(server, "the memory limit could not be set");
}

/* Relief begins with the next token; where nothing runs, what is kept goes now. */
static void change_limit(struct server *server, uint64_t limit)
{
    snug_memory_limits limits;

    atomic_store(&server->memory_limit, limit);
    server_queue_forget_choices(server);
    (void)snug_memory_cleanup(NULL); /* what the heap keeps is not outside the ledger for good */
    server_limit_apply(server);
    snug_memory_read_limits(&limits, server->options.memory);
    if (limits.used_bytes > limits.hard_bytes)
        (void)server_kept_drop(server, limits.used_bytes - limits.hard_bytes);
    server_queue_look(server);
}

enum MHD_Result server_handle_limit(server_call *call)
{
    const uint64_t most = call->server->options.memory_limit;
    const snug_json value = only_member(call, "bytes");
    uint64_t bytes = most;

    if (call->refusal.status)
        return server_reply_refusal(call);
    if (snug_json_kind_of(value) != SNUG_JSON_NULL && (!snug_json_u64(&bytes, value) || bytes == 0))
        (void)server_refuse(&call->refusal, 400, "invalid_value", "bytes",
                            "\"bytes\" takes a number of bytes, or null for the limit it was started with");
    else if (most > 0 && bytes > most)
        (void)server_refuse(&call->refusal, 400, "invalid_value", "bytes",
                            "the server was started with a limit of %llu bytes: it cannot be raised here",
                            (unsigned long long)most);
    if (call->refusal.status)
        return server_reply_refusal(call);
    change_limit(call->server, bytes);
    return server_handle_memory(call);
}

enum MHD_Result server_handle_strategy(server_call *call)
{
    const snug_json value = only_member(call, "strategy");
    const snug_str raw = snug_json_string(value);
    snug_strategy strategy;
    char name[16] = "";

    if (call->refusal.status)
        return server_reply_refusal(call);
    if (raw.bytes < sizeof name && raw.bytes > 0)
        memcpy(name, raw.data, raw.bytes);
    if (!snug_strategy_parse(&strategy, name) || strategy == SNUG_STRATEGY_AUTO) {
        (void)server_refuse(&call->refusal, 400, "invalid_value", "strategy",
                            "\"strategy\" takes conservative, balanced or aggressive");
        return server_reply_refusal(call);
    }
    atomic_store(&call->server->strategy, (int)strategy);
    server_wake(call->server);
    return server_handle_memory(call);
}
