/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.h - the figures of memory, as they are told.
 */
#ifndef SNUG_SERVER_MEMORY_H
#define SNUG_SERVER_MEMORY_H

#include <stdint.h>

#include <jansson.h>

struct server;

/* What GET /api/memory says. Reads the machine's state: 0.2 ms. NULL: no memory. */
json_t *server_memory_json(struct server *server);
/* The limit is for the process: what lies outside the ledger now comes off the ledger's. 0.2 ms. */
void server_limit_apply(struct server *server);
/* Not the ledger's for a moment, until it is applied again. */
void server_limit_lift(const struct server *server);

/* What this process may use now: the limit that was set, or the machine's if that is less. */
uint64_t server_limit_read(struct server *server);

json_t *server_queue_json(struct server *server);

#endif /* SNUG_SERVER_MEMORY_H */
