/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap.h - memory of the server's own, counted in the ledger before it is taken, as all else is.
 *
 * Threads: blocks may be taken and freed on any thread; a buffer belongs to one at a time.
 */
#ifndef SNUG_SERVER_HEAP_H
#define SNUG_SERVER_HEAP_H

#include <snug/memory.h>

/*
 * So many bytes are reserved beforehand for what a server must always be able to say: as long as they last,
 * small blocks cannot be refused. One ledger at a time has a desk. Errors: OVER_LIMIT.
 */
SNUG_MUST_CHECK snug_status server_desk_open(snug_memory *memory, uint64_t bytes, snug_error *error);
void server_desk_close(void);

/* Zeroed, `what` names it in a refusal. NULL: OVER_LIMIT or NO_MEMORY in `error`, which may be NULL. */
void *server_alloc(snug_memory *memory, size_t bytes, const char *what, snug_error *error);
void server_free(void *block); /* NULL is allowed */

/* Bytes that grow. Zero but for `memory` is an empty one. */
typedef struct server_buffer {
    snug_memory *memory;
    char *data; /* terminated where there is any */
    size_t bytes;
    size_t capacity;
} server_buffer;

/* False: no memory; the buffer is as it was. */
SNUG_MUST_CHECK bool server_buffer_add(server_buffer *buffer, const char *bytes, size_t count);
/* The first bytes go. */
void server_buffer_drop(server_buffer *buffer, size_t count);
void server_buffer_free(server_buffer *buffer);

#endif /* SNUG_SERVER_HEAP_H */
