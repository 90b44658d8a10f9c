/* SPDX-License-Identifier: Apache-2.0 */
/*
 * safetensors.h - the header of one safetensors file, checked against the file. Internal to format/.
 *
 * A file is: 8 bytes with the length of the header (little-endian), the header (a JSON object: tensor name
 * to dtype, shape and range of bytes), then the data, which the ranges must cover exactly: no holes, no
 * overlaps, nothing behind (https://github.com/huggingface/safetensors). Data may lie at any alignment.
 *
 * Two steps, so that the caller can allocate the table in between: open counts, read fills.
 * Errors: CORRUPT, UNSUPPORTED (an unknown dtype). Sentences do not name the file: the caller puts it in
 * front.
 */
#ifndef SNUG_SRC_FORMAT_SAFETENSORS_H
#define SNUG_SRC_FORMAT_SAFETENSORS_H

#include "base/json.h"
#include "format/checkpoint.h"

/* Longest header accepted; the format's own limit. */
#define SNUG_SAFETENSORS_HEADER_BYTES_MAX 100000000u

typedef struct snug_safetensors {
    snug_json header;          /* an object, valid JSON */
    const unsigned char *data; /* what the ranges count from */
    uint64_t data_bytes;
    size_t tensor_count;
    size_t escaped_name_bytes; /* at most this much is written to names_out below */
} snug_safetensors;

/* The file's bytes must outlive the view and all tensors read from it. */
SNUG_MUST_CHECK snug_status snug_safetensors_open(snug_safetensors *view_out, const void *file,
                                                  size_t file_bytes, snug_error *error);

/*
 * Fill tensor_count tensors, in the order of their data. Names point into the file, or into names_out where
 * the header writes them with escapes. Names may repeat: only the caller sees all files.
 */
SNUG_MUST_CHECK snug_status snug_safetensors_read(snug_tensor *tensors_out, char *names_out,
                                                  const snug_safetensors *view, uint32_t file,
                                                  snug_error *error);

#endif /* SNUG_SRC_FORMAT_SAFETENSORS_H */
