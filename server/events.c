/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.c - see the header.
 */
#include "server/events.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "server/answer.h"
#include "server/memory.h"
#include "server/routes.h"
#include "server/state.h"

#define MILLISECOND ((uint64_t)1000000)

/* Between two events about memory: while something runs, and while nothing does. */
#define BUSY_NS (250 * MILLISECOND)
#define IDLE_NS (2000 * MILLISECOND)

/* Between two signs of life. */
#define ALIVE_NS (15000 * MILLISECOND)

void server_events_init(struct server *server)
{
    SNUG_ASSERT(pthread_mutex_init(&server->events.lock, NULL) == 0);
}

void server_events_deinit(struct server *server)
{
    (void)pthread_mutex_destroy(&server->events.lock);
}

/* With the lock held. */
static void drop_gone(server_events *events)
{
    uint32_t left = 0;

    for (uint32_t i = 0; i < events->count; i++) {
        if (atomic_load(&events->listener[i]->is_gone))
            server_outlet_release(events->listener[i]);
        else
            events->listener[left++] = events->listener[i];
    }
    events->count = left;
}

/* Takes the reference. */
static void tell(struct server *server, const char *name, json_t *data)
{
    server_events *events = &server->events;

    (void)pthread_mutex_lock(&events->lock);
    drop_gone(events);
    for (uint32_t i = 0; i < events->count && data; i++)
        if (!server_outlet_is_full(events->listener[i]))
            (void)server_outlet_event(events->listener[i], name, json_incref(data));
    (void)pthread_mutex_unlock(&events->lock);
    json_decref(data);
}

static bool is_anybody_there(struct server *server)
{
    bool is_there;

    (void)pthread_mutex_lock(&server->events.lock);
    is_there = server->events.count > 0;
    (void)pthread_mutex_unlock(&server->events.lock);
    return is_there;
}

/* --- what happens -------------------------------------------------------------------------------------- */

static void write_relief(char *out, size_t capacity, const snug_relief_event *event)
{
    const double returned = (double)event->returned_bytes / (1 << 20);
    const char *step = snug_relief_step_name(event->step);

    if (event->step == SNUG_RELIEF_DEMOTE)
        snprintf(out, capacity, "The cache now has %u bits for keys and %u for values: %.1f MiB given back.",
                 event->key_bits, event->value_bits, returned);
    else if (event->step == SNUG_RELIEF_CHUNK)
        snprintf(out, capacity, "The prompt is read in chunks of %u tokens from here on.",
                 event->prefill_chunk);
    else if (event->step == SNUG_RELIEF_SUSPEND)
        snprintf(out, capacity, "Memory has run out: the answer ends here.");
    else if (event->step == SNUG_RELIEF_WINDOW)
        snprintf(out, capacity, "The middle of the conversation is forgotten: %.1f MiB given back.",
                 returned);
    else if (event->step == SNUG_RELIEF_PREFIX)
        snprintf(out, capacity, "Conversations that were kept have gone: %.1f MiB given back.", returned);
    else if (event->step == SNUG_RELIEF_RECOVER)
        snprintf(out, capacity, "There is room again: a step was taken back.");
    else
        snprintf(out, capacity, "Memory was given back (%s): %.1f MiB.", step, returned);
}

json_t *server_relief_json(const server_relief *relief, const char *request)
{
    const snug_relief_event *event = &relief->event;
    char text[sizeof relief->text];
    json_t *object;

    if (relief->text[0])
        memcpy(text, relief->text, sizeof text);
    else
        write_relief(text, sizeof text, event);
    object = json_pack("{s:s,s:I,s:I,s:s,s:s}", "step", snug_relief_step_name(event->step), "promised_bytes",
                       (json_int_t)event->promised_bytes, "returned_bytes", (json_int_t)event->returned_bytes,
                       "reason", snug_relief_reason_name(event->reason), "text", text);
    if (request && object)
        json_object_set_new(object, "request", json_string(request));
    return object;
}

void server_events_relief(struct server *server, const char *request, const server_relief *relief)
{
    if (is_anybody_there(server))
        tell(server, "relief", server_relief_json(relief, request));
}

void server_events_switch(struct server *server, const char *request, const char *model, const char *text)
{
    if (is_anybody_there(server))
        tell(server, "model",
             json_pack("{s:s,s:s,s:s,s:s}", "model", model, "state", "switched", "text", text, "request",
                       request));
}

void server_events_pressure(struct server *server, const char *request, const snug_pressure_reading *reading)
{
    server_events *events = &server->events;
    snug_pressure before;

    (void)pthread_mutex_lock(&events->lock);
    before = events->level;
    events->level = reading->level;
    (void)pthread_mutex_unlock(&events->lock);
    if (before == reading->level) /* another conversation said so already */
        return;
    tell(server, "pressure",
         json_pack("{s:s,s:s,s:f,s:s,s:s?}", "level", snug_pressure_name(reading->level), "before",
                   snug_pressure_name(before), "usage", reading->usage > 0 ? reading->usage : 0.0, "binding",
                   reading->binding_text, "request", request));
}

void server_events_queue(struct server *server)
{
    server_wake(server);
    if (is_anybody_there(server))
        tell(server, "queue", server_queue_json(server));
}

void server_events_model(struct server *server, const char *model, const char *state, const char *text,
                         const snug_load_progress *progress)
{
    static const char *const phases[] = { "resolve", "download", "map", "warm", "ready" };
    json_t *object;

    if (!is_anybody_there(server))
        return;
    object = json_pack("{s:s,s:s,s:s}", "model", model, "state", state, "text", text);
    if (progress && object && (size_t)progress->phase < SNUG_COUNT(phases)) {
        json_object_set_new(object, "phase", json_string(phases[progress->phase]));
        json_object_set_new(object, "fraction", json_real(progress->fraction));
        json_object_set_new(object, "done_bytes", json_integer((json_int_t)progress->done_bytes));
        json_object_set_new(object, "total_bytes", json_integer((json_int_t)progress->total_bytes));
    }
    tell(server, "model", object);
}

/* --- by time ------------------------------------------------------------------------------------------- */

uint64_t server_events_tick(struct server *server)
{
    server_events *events = &server->events;
    const uint64_t now = server_clock_ns();
    const bool is_busy = server_queue_read(server).running > 0;
    const uint64_t interval = is_busy ? BUSY_NS : IDLE_NS;
    const uint64_t used = snug_memory_read_all(server->options.memory).used_bytes;

    if (!is_anybody_there(server))
        return UINT64_MAX;
    if (now - events->alive_ns >= ALIVE_NS) {
        (void)pthread_mutex_lock(&events->lock);
        drop_gone(events);
        for (uint32_t i = 0; i < events->count; i++)
            if (!server_outlet_is_full(events->listener[i]))
                (void)server_outlet_write(events->listener[i], ": alive\n\n", 9);
        (void)pthread_mutex_unlock(&events->lock);
        events->alive_ns = now;
    }
    if (now - events->told_ns >= interval) {
        events->told_ns = now;
        if (is_busy || used != events->told_used_bytes)
            tell(server, "memory", server_memory_json(server));
        events->told_used_bytes = used;
    }
    return events->told_ns + interval - now;
}

/* --- listeners ----------------------------------------------------------------------------------------- */

static bool add(struct server *server, server_outlet *outlet)
{
    server_events *events = &server->events;
    bool is_added;

    (void)pthread_mutex_lock(&events->lock);
    drop_gone(events);
    is_added = events->count < SERVER_LISTENERS_MAX && !atomic_load(&server->is_ending);
    if (is_added) {
        server_outlet_hold(outlet);
        events->listener[events->count++] = outlet;
    }
    (void)pthread_mutex_unlock(&events->lock);
    return is_added;
}

void server_events_close(struct server *server)
{
    server_events *events = &server->events;

    (void)pthread_mutex_lock(&events->lock);
    for (uint32_t i = 0; i < events->count; i++) {
        server_outlet_end(events->listener[i]);
        server_outlet_release(events->listener[i]);
    }
    events->count = 0;
    (void)pthread_mutex_unlock(&events->lock);
}

enum MHD_Result server_handle_events(server_call *call)
{
    snug_error error = { SNUG_OK, "" };
    server_outlet *outlet = server_outlet_create(call->server, "events", &error);
    enum MHD_Result result;

    if (!outlet) {
        (void)server_refuse_error(&call->refusal, &error);
        return server_reply_refusal(call);
    }
    (void)server_outlet_event(outlet, "memory", server_memory_json(call->server));
    (void)server_outlet_event(outlet, "queue", server_queue_json(call->server));
    if (add(call->server, outlet)) {
        result = server_reply_later(call, outlet);
        server_wake(call->server);
    } else {
        server_refuse(&call->refusal, 429, "too_many_listeners", NULL,
                      "%d listen to events already: close one of the pages", SERVER_LISTENERS_MAX);
        result = server_reply_refusal(call);
    }
    server_outlet_release(outlet);
    return result;
}
