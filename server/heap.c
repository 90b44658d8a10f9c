/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap.c - see the header. A few words in front of each block say whose it is and how large.
 */
#include "server/heap.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

typedef struct front {
    alignas(max_align_t) snug_memory *memory;
    size_t bytes;
} front;

/* The heap's own for a block: a size, and rounding. */
#define HEAP_BYTES ((uint64_t)16)

static uint64_t cost_of(size_t bytes)
{
    return (uint64_t)bytes + sizeof(front) + HEAP_BYTES;
}

void *server_alloc(snug_memory *memory, size_t bytes, const char *what, snug_error *error)
{
    front *block;

    if (snug_memory_reserve(memory, SNUG_MEMORY_OTHER, cost_of(bytes), what, error) != SNUG_OK)
        return NULL;
    block = calloc(1, sizeof *block + bytes);
    if (!block) {
        snug_memory_unreserve(memory, SNUG_MEMORY_OTHER, cost_of(bytes));
        if (error) {
            error->status = SNUG_ERR_NO_MEMORY;
            snprintf(error->text, sizeof error->text, "the system has no memory left for %s", what);
        }
        return NULL;
    }
    block->memory = memory;
    block->bytes = bytes;
    return block + 1;
}

void server_free(void *block)
{
    front *at;

    if (!block)
        return;
    at = (front *)block - 1;
    snug_memory_unreserve(at->memory, SNUG_MEMORY_OTHER, cost_of(at->bytes));
    free(at);
}

/* --- bytes that grow ----------------------------------------------------------------------------------- */

#define FIRST_BYTES 512

bool server_buffer_add(server_buffer *buffer, const char *bytes, size_t count)
{
    const size_t needed = buffer->bytes + count + 1;

    if (needed > buffer->capacity) {
        size_t capacity = buffer->capacity ? 2 * buffer->capacity : FIRST_BYTES;
        char *data;

        while (capacity < needed)
            capacity *= 2;
        data = server_alloc(buffer->memory, capacity, "what is to be sent", NULL);
        if (!data)
            return false;
        if (buffer->bytes > 0)
            memcpy(data, buffer->data, buffer->bytes);
        server_free(buffer->data);
        buffer->data = data;
        buffer->capacity = capacity;
    }
    if (count > 0)
        memcpy(buffer->data + buffer->bytes, bytes, count);
    buffer->bytes += count;
    buffer->data[buffer->bytes] = '\0';
    return true;
}

void server_buffer_drop(server_buffer *buffer, size_t count)
{
    SNUG_ASSERT(count <= buffer->bytes);
    buffer->bytes -= count;
    if (buffer->bytes > 0)
        memmove(buffer->data, buffer->data + count, buffer->bytes);
    if (buffer->data)
        buffer->data[buffer->bytes] = '\0';
}

void server_buffer_free(server_buffer *buffer)
{
    server_free(buffer->data);
    *buffer = (server_buffer){ .memory = buffer->memory };
}
