/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.c - see the header.
 */
#include "server/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/status.h"
#include "server/access.h"
#include "server/json.h"
#include "server/routes.h"
#include "server/state.h"

/* Of one connection: headers, and what is being sent. More headers than fit are refused with 431. */
#define CONNECTION_BYTES ((size_t)16 << 10)

/* Without a byte from a client that has not sent its request yet. */
#define TIMEOUT_SECONDS 30

/* Beside those that wait and are answered: pages, events, whoever asks how it is. */
#define CONNECTIONS_BESIDE 64

/* --- answers ------------------------------------------------------------------------------------------- */

struct MHD_Response *server_http_response(char *data, size_t bytes)
{
    if (!data)
        return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    return MHD_create_response_from_buffer_with_free_callback(bytes, data, server_free);
}

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

enum MHD_Result server_http_send(const struct server *server, struct MHD_Connection *connection,
                                 struct MHD_Response *response, unsigned status, const char *type)
{
    const char *origin = header(connection, "Origin");
    enum MHD_Result result;

    if (!response)
        return MHD_NO;
    if (type)
        (void)MHD_add_response_header(response, "Content-Type", type);
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    (void)MHD_add_response_header(response, "Cache-Control", "no-store");
    if (server_access_is_cors(&server->options, origin)) {
        (void)MHD_add_response_header(response, "Access-Control-Allow-Origin", origin);
        (void)MHD_add_response_header(response, "Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
        (void)MHD_add_response_header(response, "Vary", "Origin");
    }
    if (status == 401)
        (void)MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

enum MHD_Result server_reply(server_call *call, unsigned status, json_t *body)
{
    server_buffer text = { .memory = call->server->options.memory };
    struct MHD_Response *response;
    char seconds[16];
    const bool is_made = server_refusal_or_body(&text, body);

    json_decref(body);
    response = server_http_response(text.data, text.bytes);
    snprintf(seconds, sizeof seconds, "%u", call->refusal.retry_seconds);
    if (response && call->refusal.retry_seconds > 0)
        (void)MHD_add_response_header(response, "Retry-After", seconds);
    return server_http_send(call->server, call->connection, response, is_made ? status : 503,
                            "application/json");
}

enum MHD_Result server_reply_refusal(server_call *call)
{
    server_count(call->server, SERVER_COUNT_REFUSED);
    return server_reply(call, (unsigned)call->refusal.status, server_refusal_json(&call->refusal));
}

/* What our pages may do: talk to us, and nothing else. */
#define PAGE_POLICY                                                                                          \
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "    \
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static enum MHD_Result send_page(server_call *call, const char *type, struct MHD_Response *response)
{
    if (response) {
        (void)MHD_add_response_header(response, "Content-Security-Policy", PAGE_POLICY);
        (void)MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    }
    return server_http_send(call->server, call->connection, response, 200, type);
}

enum MHD_Result server_reply_static(server_call *call, const char *type, const char *bytes, size_t count)
{
    const struct MHD_IoVec whole = { bytes, count };

    return send_page(call, type, MHD_create_response_from_iovec(&whole, 1, NULL, NULL));
}

enum MHD_Result server_reply_page(server_call *call, const char *type, server_buffer *page)
{
    struct MHD_Response *response = server_http_response(page->data, page->bytes);

    *page = (server_buffer){ .memory = page->memory };
    return send_page(call, type, response);
}

enum MHD_Result server_reply_text(server_call *call, const char *type, server_buffer *text)
{
    struct MHD_Response *response = server_http_response(text->data, text->bytes);

    *text = (server_buffer){ .memory = text->memory };
    return server_http_send(call->server, call->connection, response, 200, type);
}

enum MHD_Result server_reply_elsewhere(server_call *call, const char *location)
{
    struct MHD_Response *response = server_http_response(NULL, 0);

    if (response)
        (void)MHD_add_response_header(response, "Location", location);
    return server_http_send(call->server, call->connection, response, 302, NULL);
}

enum MHD_Result server_reply_later(server_call *call, server_outlet *outlet)
{
    call->outlet = outlet;
    server_outlet_attach(outlet, call->connection);
    return MHD_YES;
}

/* --- requests ------------------------------------------------------------------------------------------ */

static bool is_route(const server_route *route, const char *path)
{
    const size_t bytes = strlen(route->path);

    return strcmp(route->path, path) == 0 ||
           ((route->flags & SERVER_ROUTE_TREE) && strncmp(route->path, path, bytes) == 0);
}

/* NULL with the refusal. */
static const server_route *find_route(const char *method, const char *path, server_refusal *refusal)
{
    bool is_known = false;

    if (strcmp(method, "HEAD") == 0)
        method = "GET"; /* MHD leaves the body out */
    for (const server_route *route = server_routes; route->path; route++) {
        if (!is_route(route, path))
            continue;
        if (strcmp(route->method, method) == 0)
            return route;
        is_known = true;
    }
    server_refuse(refusal, is_known ? 405 : 404, is_known ? "method_not_allowed" : "not_found", NULL,
                  is_known ? "%.10s is not for %.200s" : "there is no %.10s %.200s here", method, path);
    return NULL;
}

static void check(server_call *call, const char *method)
{
    const server_options *options = &call->server->options;
    const server_visitor visitor = {
        .host = header(call->connection, "Host"),
        .origin = header(call->connection, "Origin"),
        .authorization = header(call->connection, "Authorization"),
    };
    const char *length = header(call->connection, "Content-Length");

    call->route = find_route(method, call->path, &call->refusal);
    if (!server_access_check(options, &visitor, call->route && (call->route->flags & SERVER_ROUTE_OPEN),
                             &call->refusal))
        return;
    if (length && strtoull(length, NULL, 10) > options->body_bytes)
        (void)server_refuse(&call->refusal, 413, "body_too_large", NULL,
                            "the body has %.20s bytes; at most %zu are taken", length, options->body_bytes);
}

/* A browser asks before it calls from another origin. */
static enum MHD_Result reply_preflight(server_call *call)
{
    struct MHD_Response *response = server_http_response(NULL, 0);

    if (response) {
        (void)MHD_add_response_header(response, "Access-Control-Allow-Methods", "GET, POST");
        (void)MHD_add_response_header(response, "Access-Control-Allow-Headers",
                                      "authorization, content-type");
        (void)MHD_add_response_header(response, "Access-Control-Max-Age", "600");
    }
    return server_http_send(call->server, call->connection, response, 204, NULL);
}

static enum MHD_Result begin(void **state, struct server *server, struct MHD_Connection *connection,
                             const char *path, const char *method)
{
    server_call *call = server_alloc(server->options.memory, sizeof *call, "a call", NULL);
    const char *length = header(connection, "Content-Length");

    if (!call)
        return MHD_NO;
    *state = call;
    call->server = server;
    call->connection = connection;
    call->path = path;
    call->body.memory = server->options.memory;
    if (strcmp(method, "OPTIONS") == 0 &&
        server_access_is_cors(&server->options, header(connection, "Origin")))
        return reply_preflight(call);
    check(call, method);
    /* What is too large is not read at all; other refusals can wait until the client listens. */
    if (call->refusal.status == 413 || (call->refusal.status && !length))
        return server_reply_refusal(call);
    return MHD_YES;
}

static void take_body(server_call *call, const char *bytes, size_t count)
{
    if (call->refusal.status)
        return;
    if (call->body.bytes + count > call->server->options.body_bytes)
        (void)server_refuse(&call->refusal, 413, "body_too_large", NULL,
                            "the body has more than the %zu bytes that are taken",
                            call->server->options.body_bytes);
    else if (!server_buffer_add(&call->body, bytes, count)) {
        (void)server_refuse(&call->refusal, 503, "out_of_memory", NULL,
                            "there is no memory for the body of this request");
        call->refusal.retry_seconds = 5;
    }
    if (call->refusal.status)
        server_buffer_free(&call->body);
}

static enum MHD_Result answer(void *user, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_bytes, void **state)
{
    server_call *call = *state;

    (void)version;
    if (!call)
        return begin(state, user, connection, path, method);
    if (*upload_bytes > 0) {
        take_body(call, upload, *upload_bytes);
        *upload_bytes = 0;
        return MHD_YES;
    }
    if (call->outlet)
        return server_outlet_respond(call->outlet, connection);
    if (call->refusal.status)
        return server_reply_refusal(call);
    return call->route->handle(call);
}

static void complete(void *user, struct MHD_Connection *connection, void **state,
                     enum MHD_RequestTerminationCode code)
{
    server_call *call = *state;

    (void)user;
    (void)connection;
    (void)code;
    if (!call)
        return;
    if (call->outlet)
        server_outlet_detach(call->outlet);
    server_buffer_free(&call->body);
    server_free(call);
    *state = NULL;
}

/* Each connection is in the ledger while it is open. One that is refused memory is served all the same, for
 * it has to be told so. */
static void count_connection(void *user, struct MHD_Connection *connection, void **state,
                             enum MHD_ConnectionNotificationCode code)
{
    const struct server *server = user;
    snug_memory *memory = server->options.memory;
    static char is_counted;

    (void)connection;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *state = NULL;
        if (snug_memory_reserve(memory, SNUG_MEMORY_OTHER, CONNECTION_BYTES, "a connection", NULL) == SNUG_OK)
            *state = &is_counted;
    } else if (*state) {
        snug_memory_unreserve(memory, SNUG_MEMORY_OTHER, CONNECTION_BYTES);
        *state = NULL;
    }
}

/* --- listening ----------------------------------------------------------------------------------------- */

static int listen_on(const struct addrinfo *address)
{
    const int yes = 1;
    const int found = socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (found < 0)
        return -1;
    (void)setsockopt(found, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(found, address->ai_addr, address->ai_addrlen) == 0 && listen(found, 128) == 0)
        return found;
    (void)close(found);
    return -1;
}

static snug_status open_socket(int *socket_out, const server_options *options, snug_error *error)
{
    const struct addrinfo hints = { .ai_family = AF_UNSPEC,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    const bool is_localhost = strcmp(options->host, "localhost") == 0;
    struct addrinfo *found = NULL;
    char port[8];
    int code;

    snprintf(port, sizeof port, "%u", options->port);
    code = getaddrinfo(is_localhost ? "127.0.0.1" : options->host, port, &hints, &found);
    if (code != 0)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "--host %.100s is no address of this machine: %s", options->host,
                  gai_strerror(code));
    *socket_out = listen_on(found);
    freeaddrinfo(found);
    if (*socket_out < 0)
        SNUG_FAIL(error, SNUG_ERR_IO, "%.100s:%s cannot be listened on: %s", options->host, port,
                  strerror(errno));
    return SNUG_OK;
}

static void write_address(char *out, int socket_number, const char *host)
{
    struct sockaddr_storage address;
    socklen_t bytes = sizeof address;
    unsigned port = 0;

    memset(&address, 0, sizeof address);
    if (getsockname(socket_number, (struct sockaddr *)&address, &bytes) == 0)
        port = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                                   : ((struct sockaddr_in *)&address)->sin_port);
    snprintf(out, 128, strchr(host, ':') ? "http://[%.90s]:%u" : "http://%.90s:%u", host, port);
}

snug_status server_http_start(struct server *server, char *address_out, snug_error *error)
{
    const server_options *options = &server->options;
    const unsigned connections = options->queue + options->answers + CONNECTIONS_BESIDE;

    SNUG_TRY(open_socket(&server->socket, options, error));
    write_address(address_out, server->socket, options->host);
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC, 0, NULL, NULL, answer, server,
        MHD_OPTION_LISTEN_SOCKET, server->socket, MHD_OPTION_CONNECTION_LIMIT, connections,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)TIMEOUT_SECONDS, MHD_OPTION_NOTIFY_COMPLETED, complete, server,
        MHD_OPTION_NOTIFY_CONNECTION, count_connection, server, MHD_OPTION_THREAD_STACK_SIZE, (size_t)1 << 20,
        MHD_OPTION_END);
    if (server->daemon)
        return SNUG_OK;
    (void)close(server->socket);
    SNUG_FAIL(error, SNUG_ERR_IO, "the HTTP server cannot be started: %s", strerror(errno));
}

void server_http_quiesce(struct server *server)
{
    const int closed = MHD_quiesce_daemon(server->daemon);

    if (closed >= 0)
        (void)close(closed);
}

void server_http_stop(struct server *server)
{
    if (server->daemon)
        MHD_stop_daemon(server->daemon);
    server->daemon = NULL;
}
