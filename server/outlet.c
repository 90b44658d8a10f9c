/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outlet.c - see the header.
 */
#include "server/outlet.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "base/status.h"
#include "server/http.h"
#include "server/json.h"
#include "server/state.h"

server_outlet *server_outlet_create(struct server *server, const char *id, snug_error *error)
{
    server_outlet *outlet = server_alloc(server->options.memory, sizeof *outlet, "an answer to come", error);
    pthread_condattr_t monotonic;

    if (!outlet)
        return NULL;
    outlet->server = server;
    outlet->number = atomic_fetch_add(&server->next_number, 1);
    outlet->socket = -1;
    outlet->out.memory = server->options.memory;
    atomic_store(&outlet->references, 1);
    snprintf(outlet->id, sizeof outlet->id, "%s", id);
    SNUG_ASSERT(pthread_mutex_init(&outlet->lock, NULL) == 0);
    SNUG_ASSERT(pthread_condattr_init(&monotonic) == 0);
    SNUG_ASSERT(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    SNUG_ASSERT(pthread_cond_init(&outlet->drained, &monotonic) == 0);
    (void)pthread_condattr_destroy(&monotonic);
    return outlet;
}

void server_outlet_hold(server_outlet *outlet)
{
    atomic_fetch_add(&outlet->references, 1);
}

void server_outlet_release(server_outlet *outlet)
{
    if (!outlet || atomic_fetch_sub(&outlet->references, 1) > 1)
        return;
    server_buffer_free(&outlet->out);
    (void)pthread_cond_destroy(&outlet->drained);
    (void)pthread_mutex_destroy(&outlet->lock);
    server_free(outlet);
}

/* With the lock held. */
static void wake(server_outlet *outlet)
{
    if (outlet->is_asleep && outlet->connection) {
        outlet->is_asleep = false;
        MHD_resume_connection(outlet->connection);
    }
}

/* --- the writer ---------------------------------------------------------------------------------------- */

/* With the lock held: until there is room. A client that does not read for so long has gone. */
static bool wait_for_room(server_outlet *outlet)
{
    struct timespec until;

    SNUG_ASSERT(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_sec += outlet->server->options.stall_seconds;
    while (outlet->out.bytes > SERVER_OUTLET_BYTES && !atomic_load(&outlet->is_gone))
        if (pthread_cond_timedwait(&outlet->drained, &outlet->lock, &until) != 0)
            atomic_store(&outlet->is_gone, true);
    return !atomic_load(&outlet->is_gone);
}

bool server_outlet_write(server_outlet *outlet, const char *bytes, size_t count)
{
    bool is_written;

    (void)pthread_mutex_lock(&outlet->lock);
    outlet->is_stream = outlet->is_begun = true;
    is_written = wait_for_room(outlet) && server_buffer_add(&outlet->out, bytes, count);
    wake(outlet);
    (void)pthread_mutex_unlock(&outlet->lock);
    return is_written;
}

bool server_outlet_event(server_outlet *outlet, const char *name, json_t *data)
{
    server_buffer text = { .memory = outlet->server->options.memory };
    bool is_written = data != NULL;

    if (name)
        is_written = is_written && server_buffer_add(&text, "event: ", 7) &&
                     server_buffer_add(&text, name, strlen(name)) && server_buffer_add(&text, "\n", 1);
    is_written = is_written && server_buffer_add(&text, "data: ", 6) && server_json_write(&text, data) &&
                 server_buffer_add(&text, "\n\n", 2) && server_outlet_write(outlet, text.data, text.bytes);
    server_buffer_free(&text);
    json_decref(data);
    return is_written;
}

bool server_outlet_is_full(server_outlet *outlet)
{
    bool is_full;

    (void)pthread_mutex_lock(&outlet->lock);
    is_full = outlet->out.bytes > SERVER_OUTLET_BYTES / 2;
    (void)pthread_mutex_unlock(&outlet->lock);
    return is_full;
}

void server_outlet_end(server_outlet *outlet)
{
    (void)pthread_mutex_lock(&outlet->lock);
    outlet->is_ended = true;
    wake(outlet);
    (void)pthread_mutex_unlock(&outlet->lock);
}

void server_outlet_reply(server_outlet *outlet, int status, json_t *body)
{
    server_buffer text = { .memory = outlet->server->options.memory };
    const bool is_made = server_refusal_or_body(&text, body);

    json_decref(body);
    (void)pthread_mutex_lock(&outlet->lock);
    SNUG_ASSERT(!outlet->is_begun);
    server_buffer_free(&outlet->out);
    outlet->out = text;
    outlet->status = is_made ? status : 503;
    (void)pthread_mutex_unlock(&outlet->lock);
    server_outlet_end(outlet);
}

void server_outlet_refuse(server_outlet *outlet, const server_refusal *refusal)
{
    if (outlet->is_begun) { /* only the writer sets it */
        (void)server_outlet_event(outlet, NULL, server_refusal_json(refusal));
        server_outlet_end(outlet);
        return;
    }
    outlet->retry_seconds = refusal->retry_seconds;
    server_outlet_reply(outlet, refusal->status, server_refusal_json(refusal));
}

/* --- HTTP's thread ------------------------------------------------------------------------------------- */

static void join(server_outlet *outlet)
{
    struct server *server = outlet->server;
    struct epoll_event event = { .events = EPOLLRDHUP, .data.u64 = outlet->number };

    (void)pthread_mutex_lock(&server->outlets_lock);
    outlet->next = server->outlets;
    if (outlet->next)
        outlet->next->previous = outlet;
    server->outlets = outlet;
    (void)epoll_ctl(server->watch_poll, EPOLL_CTL_ADD, outlet->socket, &event);
    (void)pthread_mutex_unlock(&server->outlets_lock);
}

static void leave(server_outlet *outlet)
{
    struct server *server = outlet->server;

    (void)pthread_mutex_lock(&server->outlets_lock);
    if (outlet->next)
        outlet->next->previous = outlet->previous;
    if (outlet->previous)
        outlet->previous->next = outlet->next;
    else
        server->outlets = outlet->next;
    (void)epoll_ctl(server->watch_poll, EPOLL_CTL_DEL, outlet->socket, NULL);
    (void)pthread_mutex_unlock(&server->outlets_lock);
}

void server_outlet_attach(server_outlet *outlet, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

    server_outlet_hold(outlet);
    outlet->socket = info ? info->connect_fd : -1;
    join(outlet);
    (void)pthread_mutex_lock(&outlet->lock);
    outlet->connection = connection;
    outlet->is_asleep = true;
    MHD_suspend_connection(connection);
    if (outlet->is_begun || outlet->is_ended) /* it was quicker */
        wake(outlet);
    (void)pthread_mutex_unlock(&outlet->lock);
}

/* MHD's: up to `most` bytes of the stream; none yet: the connection sleeps. */
static ssize_t read_stream(void *user, uint64_t position, char *bytes, size_t most)
{
    server_outlet *outlet = user;
    ssize_t count = 0;

    (void)position;
    (void)pthread_mutex_lock(&outlet->lock);
    if (outlet->out.bytes > 0) {
        count = (ssize_t)(outlet->out.bytes < most ? outlet->out.bytes : most);
        memcpy(bytes, outlet->out.data, (size_t)count);
        server_buffer_drop(&outlet->out, (size_t)count);
        (void)pthread_cond_signal(&outlet->drained);
    } else if (outlet->is_ended) {
        count = MHD_CONTENT_READER_END_OF_STREAM;
    } else if (atomic_load(&outlet->is_gone)) {
        count = MHD_CONTENT_READER_END_WITH_ERROR;
    } else {
        outlet->is_asleep = true;
        MHD_suspend_connection(outlet->connection);
    }
    (void)pthread_mutex_unlock(&outlet->lock);
    return count;
}

static void release_stream(void *user)
{
    server_outlet_release(user);
}

#define BLOCK_BYTES 4096

static struct MHD_Response *make_response(server_outlet *outlet)
{
    struct MHD_Response *response;

    if (outlet->is_begun) {
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_stream, outlet,
                                                     release_stream);
        if (response)
            server_outlet_hold(outlet);
        return response;
    }
    response = server_http_response(outlet->out.data, outlet->out.bytes);
    outlet->out = (server_buffer){ .memory = outlet->out.memory };
    return response;
}

enum MHD_Result server_outlet_respond(server_outlet *outlet, struct MHD_Connection *connection)
{
    struct MHD_Response *response;
    enum MHD_Result result = MHD_NO;
    const char *type = "text/event-stream";
    int status = 200;
    char seconds[16];

    (void)pthread_mutex_lock(&outlet->lock);
    if (outlet->is_begun || outlet->is_ended) {
        response = make_response(outlet);
        if (!outlet->is_begun) {
            status = outlet->status;
            type = "application/json";
        }
        outlet->was_answered = true;
        (void)pthread_mutex_unlock(&outlet->lock);
        if (!response)
            return MHD_NO;
        (void)MHD_add_response_header(response, "X-Request-Id", outlet->id);
        snprintf(seconds, sizeof seconds, "%u", outlet->retry_seconds);
        if (outlet->retry_seconds > 0)
            (void)MHD_add_response_header(response, "Retry-After", seconds);
        result = server_http_send(outlet->server, connection, response, (unsigned)status, type);
        return result;
    }
    if (!atomic_load(&outlet->is_gone)) { /* woken for nothing */
        outlet->is_asleep = true;
        MHD_suspend_connection(connection);
        result = MHD_YES;
    }
    (void)pthread_mutex_unlock(&outlet->lock);
    return result;
}

static void mark_gone(server_outlet *outlet)
{
    atomic_store(&outlet->is_gone, true);
    (void)pthread_cond_signal(&outlet->drained);
}

void server_outlet_detach(server_outlet *outlet)
{
    leave(outlet);
    (void)pthread_mutex_lock(&outlet->lock);
    outlet->connection = NULL;
    mark_gone(outlet);
    (void)pthread_mutex_unlock(&outlet->lock);
    server_queue_look(outlet->server);
    server_outlet_release(outlet);
}

/* --- hang-ups ------------------------------------------------------------------------------------------ */

void server_outlet_hang_up(struct server *server, uint64_t number)
{
    server_outlet *outlet;

    (void)pthread_mutex_lock(&server->outlets_lock);
    for (outlet = server->outlets; outlet && outlet->number != number;)
        outlet = outlet->next;
    if (outlet) {
        (void)epoll_ctl(server->watch_poll, EPOLL_CTL_DEL, outlet->socket, NULL);
        (void)pthread_mutex_lock(&outlet->lock);
        mark_gone(outlet);
        wake(outlet);
        (void)pthread_mutex_unlock(&outlet->lock);
    }
    (void)pthread_mutex_unlock(&server->outlets_lock);
    if (outlet)
        server_queue_look(server);
}
