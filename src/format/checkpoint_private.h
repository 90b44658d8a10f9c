/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint_private.h - what a checkpoint is made of, for checkpoint.c and config.c.
 */
#ifndef SNUG_SRC_FORMAT_CHECKPOINT_PRIVATE_H
#define SNUG_SRC_FORMAT_CHECKPOINT_PRIVATE_H

#include "format/checkpoint.h"
#include "format/weight_files.h"

typedef struct checkpoint_json {
    snug_os_map map;
    snug_json root; /* an object of checked JSON, or absent */
} checkpoint_json;

/*
 * Three blocks in the ledger: this struct with its two paths behind it, the list of weight files, and the
 * table of tensors with unescaped names behind it. Everything else is a pointer into a mapped file.
 */
struct snug_checkpoint {
    snug_memory *memory;
    char *path;            /* as given */
    char *folder;          /* the same, or the folder of the file that was given */
    uint64_t struct_bytes; /* of this block, paths included */

    checkpoint_json json[SNUG_FILE_COUNT];
    snug_os_map chat_template;
    snug_os_map tokenizer_model; /* only where there is no tokenizer.json */
    const snug_stored_vocabulary *vocabulary;
    snug_str model_type;

    snug_weight_files weights;
    snug_tensor *tensors; /* sorted by name, no two alike */
    size_t tensor_count;
    uint64_t table_bytes;
};

/* Finds model_type; part of opening, after config.json was read. */
SNUG_MUST_CHECK snug_status snug_checkpoint_read_model_type(snug_checkpoint *checkpoint, snug_error *error);

#endif /* SNUG_SRC_FORMAT_CHECKPOINT_PRIVATE_H */
