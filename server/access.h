/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access.h - who may call: the key, the name by which the server was called, the page from which.
 *
 * The name is checked against DNS rebinding: a page from elsewhere whose own name suddenly means this machine
 * still calls us by that name. Addresses are no names, so they pass. The origin is checked, because a browser
 * sends simple requests from any page without asking.
 */
#ifndef SNUG_SERVER_ACCESS_H
#define SNUG_SERVER_ACCESS_H

#include <stdbool.h>

#include "server/refusal.h"
#include "server/server.h"

/* What the headers say; NULL where one is missing. */
typedef struct server_visitor {
    const char *host;
    const char *origin;
    const char *authorization;
} server_visitor;

/* Whether a browser's page from there may read what we answer. */
bool server_access_is_cors(const server_options *options, const char *origin);

/* `is_open`: no key is needed. False with the refusal. */
bool server_access_check(const server_options *options, const server_visitor *visitor, bool is_open,
                         server_refusal *refusal);

#endif /* SNUG_SERVER_ACCESS_H */
