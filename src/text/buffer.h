/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buffer.h - bytes that grow, from the ledger; the scratch memory of one call. All zero is an empty buffer
 * except for `memory`.
 */
#ifndef SNUG_SRC_TEXT_BUFFER_H
#define SNUG_SRC_TEXT_BUFFER_H

#include "base/str.h"
#include "memory/memory.h"

typedef struct snug_buffer {
    snug_memory *memory;
    char *data; /* 64-byte aligned: may hold any type */
    size_t bytes;
    size_t capacity;
} snug_buffer;

void snug_buffer_deinit(snug_buffer *buffer);

/* Room for `more` bytes behind the `bytes` there are. Errors: OVER_LIMIT, NO_MEMORY. */
SNUG_MUST_CHECK snug_status snug_buffer_reserve(snug_buffer *buffer, size_t more, snug_error *error);
/* The same, but what was in the buffer is given up: no copy, no moment with both. */
SNUG_MUST_CHECK snug_status snug_buffer_restart(snug_buffer *buffer, size_t bytes, snug_error *error);
SNUG_MUST_CHECK snug_status snug_buffer_append(snug_buffer *buffer, snug_str text, snug_error *error);

/* As a JSON string, with its quotes; `text` is UTF-8. */
SNUG_MUST_CHECK snug_status snug_buffer_append_json(snug_buffer *buffer, snug_str text, snug_error *error);

static inline snug_str snug_buffer_str(const snug_buffer *buffer)
{
    return (snug_str){ buffer->data, buffer->bytes };
}

#endif /* SNUG_SRC_TEXT_BUFFER_H */
