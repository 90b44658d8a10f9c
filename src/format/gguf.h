/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gguf.h - one GGUF file as it stands: its metadata and its tensors, checked against the file. Internal to
 * format/; what keys and names mean is translated to Hugging Face's in gguf_config.h and gguf_names.h.
 *
 * A file is: magic, version, two counts; the metadata (key, type, value); the descriptions of the tensors
 * (name, dimensions, type, offset); then, aligned, the data. Versions 2 and 3 have this layout; version 1 and
 * files of big-endian machines are refused. (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)
 *
 * Two steps, so that the caller can allocate in between: open walks the whole header and counts, read fills.
 * Errors: CORRUPT, UNSUPPORTED. Sentences do not name the file: the caller puts it in front.
 */
#ifndef SNUG_SRC_FORMAT_GGUF_H
#define SNUG_SRC_FORMAT_GGUF_H

#include "base/str.h"
#include "format/checkpoint.h"

/* Value types, as files number them. */
typedef enum snug_gguf_type {
    SNUG_GGUF_U8 = 0,
    SNUG_GGUF_I8 = 1,
    SNUG_GGUF_U16 = 2,
    SNUG_GGUF_I16 = 3,
    SNUG_GGUF_U32 = 4,
    SNUG_GGUF_I32 = 5,
    SNUG_GGUF_F32 = 6,
    SNUG_GGUF_BOOL = 7,
    SNUG_GGUF_STRING = 8,
    SNUG_GGUF_ARRAY = 9,
    SNUG_GGUF_U64 = 10,
    SNUG_GGUF_I64 = 11,
    SNUG_GGUF_F64 = 12,
} snug_gguf_type;

/* A value in the file; absent when `at` is NULL. Of a string, `at` is its length; of an array, its first
 * element. */
typedef struct snug_gguf_value {
    snug_gguf_type type;
    const unsigned char *at;
    snug_gguf_type element_type; /* of an array */
    uint64_t count;              /* of an array */
} snug_gguf_value;

typedef struct snug_gguf_entry {
    snug_str key;
    snug_gguf_value value;
} snug_gguf_entry;

typedef struct snug_gguf {
    const unsigned char *file;
    uint64_t file_bytes;
    const unsigned char *first_entry;
    size_t entry_count;
    const unsigned char *first_tensor;
    size_t tensor_count;
    const unsigned char *data; /* what the offsets count from */
    uint64_t data_bytes;
    uint64_t alignment;
    snug_gguf_entry *entries; /* [entry_count]; NULL until the caller has them read */
} snug_gguf;

/* The file's bytes must outlive the view and all that is read from it. */
SNUG_MUST_CHECK snug_status snug_gguf_open(snug_gguf *view_out, const void *file, size_t file_bytes,
                                           snug_error *error);
/* Fill entry_count entries, sorted by key, and set view->entries. No key twice. */
SNUG_MUST_CHECK snug_status snug_gguf_read_entries(snug_gguf *view, snug_gguf_entry *entries_out,
                                                   snug_error *error);
/*
 * Fill tensor_count tensors, in the order of their data: names in place and GGUF's (UTF-8), shapes outermost
 * first (the reverse of the file), without trailing dimensions of 1 beyond the second. No two share a name or
 * bytes, all lie in the file.
 */
SNUG_MUST_CHECK snug_status snug_gguf_read_tensors(snug_tensor *tensors_out, const snug_gguf *view,
                                                   uint32_t file, snug_error *error);

/* --- values: each false when the value is absent or of another kind ---------------------------------- */

/* Among entries that have been read; logarithmic. */
snug_gguf_value snug_gguf_find(const snug_gguf *view, const char *key);
/* Any integer type, not negative; writers differ in the widths. */
bool snug_gguf_u64(uint64_t *out, snug_gguf_value value);
/* Any number. */
bool snug_gguf_f64(double *out, snug_gguf_value value);
bool snug_gguf_bool(bool *out, snug_gguf_value value);
bool snug_gguf_string(snug_str *out, snug_gguf_value value);
/* Element `index` of an array of numbers or bools, in constant time; absent beyond the end and for others. */
snug_gguf_value snug_gguf_element(snug_gguf_value array, uint64_t index);

#endif /* SNUG_SRC_FORMAT_GGUF_H */
