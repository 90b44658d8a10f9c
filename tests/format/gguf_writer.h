/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gguf_writer.h - GGUF files field by field, for tests: sound ones as easily as damaged ones.
 */
#ifndef SNUG_TESTS_FORMAT_GGUF_WRITER_H
#define SNUG_TESTS_FORMAT_GGUF_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "format/gguf.h"

#define GGUF_WRITER_BYTES_MAX 16384

typedef struct gguf_writer {
    unsigned char bytes[GGUF_WRITER_BYTES_MAX];
    size_t count;
} gguf_writer;

/* Begins a new file: magic, version and counts. What follows must agree with the counts, or not. */
void put_head(gguf_writer *file, uint32_t version, uint64_t tensor_count, uint64_t entry_count);

void put_bytes(gguf_writer *file, const void *bytes, size_t count);
void put_u32(gguf_writer *file, uint32_t value);
void put_u64(gguf_writer *file, uint64_t value);
void put_text(gguf_writer *file, const char *text); /* length and bytes */

void put_key(gguf_writer *file, const char *key, snug_gguf_type type); /* the value follows */
void put_key_u32(gguf_writer *file, const char *key, uint32_t value);
void put_key_text(gguf_writer *file, const char *key, const char *value);

/* `dimensions` innermost first; NULL writes none, whatever the rank. */
void put_tensor(gguf_writer *file, const char *name, uint32_t rank, const uint64_t *dimensions, uint32_t type,
                uint64_t offset);
/* Padding, then data: 0, 1, 2 ... 250, 0 ... */
void put_data(gguf_writer *file, size_t alignment, size_t bytes);

#endif /* SNUG_TESTS_FORMAT_GGUF_WRITER_H */
