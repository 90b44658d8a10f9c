/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buffer.c - growing by half again, so that appending stays linear.
 */
#include "text/buffer.h"

#include "base/size.h"
#include "base/status.h"

static const char what[] = "working memory of the tokenizer";

void snug_buffer_deinit(snug_buffer *buffer)
{
    snug_memory_free(buffer->memory, buffer->data);
    *buffer = (snug_buffer){ .memory = buffer->memory };
}

snug_status snug_buffer_reserve(snug_buffer *buffer, size_t more, snug_error *error)
{
    char *data;
    size_t capacity;

    if (buffer->data && more <= buffer->capacity - buffer->bytes)
        return SNUG_OK;
    if (more > SIZE_MAX / 4 - buffer->bytes)
        SNUG_FAIL(error, SNUG_ERR_OVER_LIMIT, "the text is too long for the tokenizer's working memory");
    capacity = snug_max_size(buffer->bytes + more, buffer->bytes + buffer->bytes / 2 + 64);
    data = snug_memory_alloc(buffer->memory, SNUG_MEMORY_TEXT, capacity, what, error);
    if (!data)
        return error ? error->status : SNUG_ERR_OVER_LIMIT;
    if (buffer->bytes > 0)
        memcpy(data, buffer->data, buffer->bytes);
    snug_memory_free(buffer->memory, buffer->data);
    buffer->data = data;
    buffer->capacity = capacity;
    return SNUG_OK;
}

snug_status snug_buffer_restart(snug_buffer *buffer, size_t bytes, snug_error *error)
{
    buffer->bytes = 0;
    if (buffer->data && bytes <= buffer->capacity)
        return SNUG_OK;
    snug_buffer_deinit(buffer);
    return snug_buffer_reserve(buffer, bytes, error);
}

snug_status snug_buffer_append(snug_buffer *buffer, snug_str text, snug_error *error)
{
    if (text.bytes == 0)
        return SNUG_OK;
    SNUG_TRY(snug_buffer_reserve(buffer, text.bytes, error));
    memcpy(buffer->data + buffer->bytes, text.data, text.bytes);
    buffer->bytes += text.bytes;
    return SNUG_OK;
}

snug_status snug_buffer_append_json(snug_buffer *buffer, snug_str text, snug_error *error)
{
    static const char digits[] = "0123456789abcdef";
    size_t done = 0;

    SNUG_TRY(snug_buffer_append(buffer, (snug_str){ "\"", 1 }, error));
    for (size_t i = 0; i < text.bytes; i++) {
        const unsigned byte = (unsigned char)text.data[i];
        const char escape[] = { '\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15] };

        if (byte >= 0x20 && byte != '"' && byte != '\\')
            continue;
        SNUG_TRY(snug_buffer_append(buffer, (snug_str){ text.data + done, i - done }, error));
        SNUG_TRY(snug_buffer_append(buffer, (snug_str){ escape, sizeof escape }, error));
        done = i + 1;
    }
    if (done < text.bytes)
        SNUG_TRY(snug_buffer_append(buffer, (snug_str){ text.data + done, text.bytes - done }, error));
    return snug_buffer_append(buffer, (snug_str){ "\"", 1 }, error);
}
