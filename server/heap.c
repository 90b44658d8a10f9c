/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap.c - see the header. A few words in front of each block say whose it is and how large.
 */
#include "server/heap.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

typedef struct front {
    alignas(max_align_t) snug_memory *memory; /* NULL: from the desk */
    size_t bytes;
} front;

static struct {
    snug_memory *memory;
    uint64_t bytes;
    _Atomic uint64_t free_bytes;
} desk;

/* What is larger has to ask. */
#define DESK_BLOCK_BYTES ((uint64_t)8 << 10)

/* The heap's own for a block: a size, and rounding. */
#define HEAP_BYTES ((uint64_t)16)

static uint64_t cost_of(size_t bytes)
{
    return (uint64_t)bytes + sizeof(front) + HEAP_BYTES;
}

static void give(snug_memory *memory, size_t bytes)
{
    if (memory)
        snug_memory_unreserve(memory, SNUG_MEMORY_OTHER, cost_of(bytes));
    else
        atomic_fetch_add(&desk.free_bytes, cost_of(bytes));
}

snug_status server_desk_open(snug_memory *memory, uint64_t bytes, snug_error *error)
{
    SNUG_TRY(
        snug_memory_reserve(memory, SNUG_MEMORY_OTHER, bytes, "what a server must be able to say", error));
    desk.memory = memory;
    desk.bytes = bytes;
    atomic_store(&desk.free_bytes, bytes);
    return SNUG_OK;
}

void server_desk_close(void)
{
    if (!desk.memory)
        return;
    SNUG_ASSERT(atomic_load(&desk.free_bytes) == desk.bytes);
    snug_memory_unreserve(desk.memory, SNUG_MEMORY_OTHER, desk.bytes);
    desk.memory = NULL;
    atomic_store(&desk.free_bytes, 0);
}

static bool take_from_desk(uint64_t bytes)
{
    uint64_t left = atomic_load(&desk.free_bytes);

    while (bytes <= DESK_BLOCK_BYTES && bytes <= left)
        if (atomic_compare_exchange_weak(&desk.free_bytes, &left, left - bytes))
            return true;
    return false;
}

void *server_alloc(snug_memory *memory, size_t bytes, const char *what, snug_error *error)
{
    const bool is_from_desk = take_from_desk(cost_of(bytes));
    front *block;

    if (!is_from_desk &&
        snug_memory_reserve(memory, SNUG_MEMORY_OTHER, cost_of(bytes), what, error) != SNUG_OK)
        return NULL;
    block = calloc(1, sizeof *block + bytes);
    if (!block) {
        give(is_from_desk ? NULL : memory, bytes);
        if (error) {
            error->status = SNUG_ERR_NO_MEMORY;
            snprintf(error->text, sizeof error->text, "the system has no memory left for %s", what);
        }
        return NULL;
    }
    block->memory = is_from_desk ? NULL : memory;
    block->bytes = bytes;
    return block + 1;
}

void server_free(void *block)
{
    front *at;

    if (!block)
        return;
    at = (front *)block - 1;
    give(at->memory, at->bytes);
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
