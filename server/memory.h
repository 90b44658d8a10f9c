/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.h - the figures of memory, as they are told.
 */
#ifndef SNUG_SERVER_MEMORY_H
#define SNUG_SERVER_MEMORY_H

#include <jansson.h>

struct server;

/* What GET /api/memory says. Reads the machine's state: 0.2 ms. NULL: no memory. */
json_t *server_memory_json(struct server *server);
/* The limit is for the process: what lies outside the ledger now comes off the ledger's. 0.2 ms. */
void server_limit_apply(struct server *server);

json_t *server_queue_json(struct server *server);

#endif /* SNUG_SERVER_MEMORY_H */
