/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub_transfer.h - one request to the hub, and what its answer's headers say.
 */
#ifndef SNUG_SRC_CATALOG_HUB_TRANSFER_H
#define SNUG_SRC_CATALOG_HUB_TRANSFER_H

#include <snug/hub.h>

#include "catalog/hub_curl.h"

#define HUB_ETAG_BYTES 128

/* What all requests of a pull have in common. */
typedef struct hub_client {
    hub_curl curl;
    const char *endpoint;
    struct curl_slist *headers; /* the token */
    const char *ca_file;        /* NULL: the system's certificates */
    uint64_t pause_ns;          /* before the first try that follows one */
} hub_client;

typedef struct hub_transfer {
    const hub_client *client;
    CURL *easy;
    uint64_t from; /* the first byte that was asked for */

    /* Takes a part of the body; false ends the transfer. */
    bool (*take)(void *user, const void *data, size_t bytes);
    void *user;

    /* Of the last answer; earlier ones were redirections. */
    char etag[HUB_ETAG_BYTES];
    bool has_range;
    uint64_t range_first;
    uint64_t range_total;
    uint32_t retry_after_seconds;
} hub_transfer;

SNUG_MUST_CHECK snug_status snug_hub_client_open(hub_client *client, const snug_hub_options *options,
                                                 snug_error *error);
void snug_hub_client_close(hub_client *client);

/* Prepare a request for `url` from byte `from` on; `take` and `user` have been set. False: out of memory. */
bool snug_hub_transfer_open(hub_transfer *transfer, const hub_client *client, const char *url, uint64_t from);
void snug_hub_transfer_close(hub_transfer *transfer);

/* Status of the answer whose body is coming or has come. */
long snug_hub_transfer_status(const hub_transfer *transfer);

/* The sentence for an answer that is none of those wanted. `what` is "ORG/NAME" or "ORG/NAME:FILE". */
snug_status snug_hub_refused(const hub_transfer *transfer, const char *what, bool has_token,
                             snug_error *error);

#endif /* SNUG_SRC_CATALOG_HUB_TRANSFER_H */
