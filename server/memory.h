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
json_t *server_queue_json(struct server *server);

#endif /* SNUG_SERVER_MEMORY_H */
