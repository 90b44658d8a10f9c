/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access.c - see the header.
 */
#include "server/access.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

/* "NAME:PORT" without the port, "[::1]:80" without the brackets. */
static snug_str name_of(const char *host)
{
    const char *colon = strrchr(host, ':');
    const char *bracket = strchr(host, ']');

    if (host[0] == '[' && bracket)
        return (snug_str){ host + 1, (size_t)(bracket - host - 1) };
    return (snug_str){ host, colon ? (size_t)(colon - host) : strlen(host) };
}

static bool is_name(snug_str name, const char *text, size_t bytes)
{
    return name.bytes == bytes && strncasecmp(name.data, text, bytes) == 0;
}

static bool is_address(snug_str name)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char address[16];

    if (name.bytes >= sizeof text)
        return false;
    snprintf(text, sizeof text, "%.*s", SNUG_STR_ARGS(name));
    return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

/* One of a list with commas; "*" is any. */
static bool is_listed(snug_str name, const char *list)
{
    while (list && *list) {
        const size_t bytes = strcspn(list, ",");

        if ((bytes == 1 && *list == '*') || is_name(name, list, bytes))
            return true;
        list += bytes + (list[bytes] == ',');
    }
    return false;
}

static bool is_ours(const server_options *options, const char *host)
{
    const snug_str name = name_of(host);

    return is_address(name) || is_name(name, "localhost", 9) ||
           is_name(name, options->host, strlen(options->host)) || is_listed(name, options->allow_hosts);
}

bool server_access_is_cors(const server_options *options, const char *origin)
{
    return options->cors && origin && (strcmp(options->cors, "*") == 0 || strcmp(options->cors, origin) == 0);
}

/* Our own page: its origin is the name that it calls. */
static bool is_same_origin(const server_visitor *visitor)
{
    const char *rest = strstr(visitor->origin, "://");

    return rest && visitor->host && strcasecmp(rest + 3, visitor->host) == 0;
}

/* Takes as long for a wrong key as for the right one; only its length shows. */
static bool is_key(const char *key, const char *authorization)
{
    const char *given = authorization + 7;
    const size_t bytes = strlen(key);
    unsigned difference;

    if (strncasecmp(authorization, "Bearer ", 7) != 0)
        return false;
    difference = strlen(given) != bytes;
    for (size_t i = 0; given[i] && bytes > 0; i++)
        difference |= (unsigned char)given[i] ^ (unsigned char)key[i % bytes];
    return difference == 0;
}

bool server_access_check(const server_options *options, const server_visitor *visitor, bool is_open,
                         server_refusal *refusal)
{
    if (visitor->host && !is_ours(options, visitor->host))
        return server_refuse(
            refusal, 403, "wrong_host", NULL,
            "this server is not known as \"%.200s\": call it by its address, or start it with "
            "--allow-host NAME",
            visitor->host);
    if (visitor->origin && !is_same_origin(visitor) && !server_access_is_cors(options, visitor->origin))
        return server_refuse(refusal, 403, "wrong_origin", NULL,
                             "a page from %.200s may not call this server; --cors ORIGIN allows it",
                             visitor->origin);
    if (!is_open && options->api_key &&
        (!visitor->authorization || !is_key(options->api_key, visitor->authorization)))
        return server_refuse(refusal, 401, "invalid_api_key", NULL,
                             "%s: send \"Authorization: Bearer KEY\" with the key of --api-key",
                             visitor->authorization ? "that is not the key of this server"
                                                    : "this server asks for a key");
    return true;
}
