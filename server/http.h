/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - HTTP: who may call, what is taken, which function answers. One thread, which never computes and
 * never waits.
 */
#ifndef SNUG_SERVER_HTTP_H
#define SNUG_SERVER_HTTP_H

#include <jansson.h>

#include "base/str.h"
#include "server/heap.h"
#include "server/mhd.h"
#include "server/outlet.h"
#include "server/refusal.h"

struct server;

/* One request while it comes in, and until it is answered. */
typedef struct server_call {
    struct server *server;
    struct MHD_Connection *connection;
    const struct server_route *route;
    const char *path;
    server_buffer body;
    server_refusal refusal; /* status 0: none */
    server_outlet *outlet;  /* the answer comes later, from another thread */
} server_call;

/* Answers with one of the functions below, or sets call->outlet. */
typedef enum MHD_Result (*server_handler)(server_call *call);

enum {
    SERVER_ROUTE_OPEN = 1u << 0, /* without a key */
    SERVER_ROUTE_TREE = 1u << 1, /* paths that begin so, too */
};

typedef struct server_route {
    const char *method;
    const char *path;
    unsigned flags;
    server_handler handle;
} server_route;

/* Takes the reference; NULL means that memory ran out. */
enum MHD_Result server_reply(server_call *call, unsigned status, json_t *body);
enum MHD_Result server_reply_refusal(server_call *call);
/* A page: with the policy that it may talk to us alone. `bytes` stay as long as the program. */
enum MHD_Result server_reply_static(server_call *call, const char *type, const char *bytes, size_t count);
/* The same; takes the buffer's memory. */
enum MHD_Result server_reply_page(server_call *call, const char *type, server_buffer *page);
/* Anything else; the same. */
enum MHD_Result server_reply_text(server_call *call, const char *type, server_buffer *text);
enum MHD_Result server_reply_elsewhere(server_call *call, const char *location);

/* Call it with an outlet that its writer holds, too. */
enum MHD_Result server_reply_later(server_call *call, server_outlet *outlet);

/* A body that server_alloc() gave. */
struct MHD_Response *server_http_response(char *data, size_t bytes);
/* With the headers that every answer has. Destroys the response. */
enum MHD_Result server_http_send(const struct server *server, struct MHD_Connection *connection,
                                 struct MHD_Response *response, unsigned status, const char *type);

/* Listen. `address_out` (128 bytes) gets "http://127.0.0.1:8080". */
SNUG_MUST_CHECK snug_status server_http_start(struct server *server, char *address_out, snug_error *error);
/* No new connections; those that are open get answers. */
void server_http_quiesce(struct server *server);
void server_http_stop(struct server *server);

#endif /* SNUG_SERVER_HTTP_H */
