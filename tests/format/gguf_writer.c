/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/format/gguf_writer.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <string.h>

void put_bytes(gguf_writer *file, const void *bytes, size_t count)
{
    assert_true(count <= sizeof file->bytes - file->count);
    memcpy(file->bytes + file->count, bytes, count);
    file->count += count;
}

static void put_number(gguf_writer *file, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        const unsigned char byte = (unsigned char)(value >> (8 * i));

        put_bytes(file, &byte, 1);
    }
}

void put_u32(gguf_writer *file, uint32_t value)
{
    put_number(file, value, 4);
}

void put_u64(gguf_writer *file, uint64_t value)
{
    put_number(file, value, 8);
}

void put_text(gguf_writer *file, const char *text)
{
    put_u64(file, strlen(text));
    put_bytes(file, text, strlen(text));
}

void put_head(gguf_writer *file, uint32_t version, uint64_t tensor_count, uint64_t entry_count)
{
    file->count = 0;
    put_bytes(file, "GGUF", 4);
    put_u32(file, version);
    put_u64(file, tensor_count);
    put_u64(file, entry_count);
}

void put_key(gguf_writer *file, const char *key, snug_gguf_type type)
{
    put_text(file, key);
    put_u32(file, (uint32_t)type);
}

void put_key_u32(gguf_writer *file, const char *key, uint32_t value)
{
    put_key(file, key, SNUG_GGUF_U32);
    put_u32(file, value);
}

void put_key_text(gguf_writer *file, const char *key, const char *value)
{
    put_key(file, key, SNUG_GGUF_STRING);
    put_text(file, value);
}

void put_tensor(gguf_writer *file, const char *name, uint32_t rank, const uint64_t *dimensions, uint32_t type,
                uint64_t offset)
{
    put_text(file, name);
    put_u32(file, rank);
    for (uint32_t i = 0; dimensions && i < rank; i++)
        put_u64(file, dimensions[i]);
    put_u32(file, type);
    put_u64(file, offset);
}

void put_data(gguf_writer *file, size_t alignment, size_t bytes)
{
    while (file->count % alignment != 0)
        put_bytes(file, "", 1);
    for (size_t i = 0; i < bytes; i++)
        put_number(file, i % 251, 1);
}
