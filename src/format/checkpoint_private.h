/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint_private.h - what a checkpoint is made of, for checkpoint.c, checkpoint_gguf.c and config.c.
 */
#ifndef SNUG_SRC_FORMAT_CHECKPOINT_PRIVATE_H
#define SNUG_SRC_FORMAT_CHECKPOINT_PRIVATE_H

#include <stdatomic.h>

#include "format/checkpoint.h"
#include "format/warm.h"
#include "format/weight_files.h"

typedef struct checkpoint_outline checkpoint_outline;

typedef struct checkpoint_json {
    snug_os_map map;
    snug_json root; /* an object of checked JSON, or absent */
} checkpoint_json;

/*
 * Three blocks in the ledger: this struct with its paths behind it, the list of weight files, and the table
 * of tensors with unescaped or translated names behind it; of GGUF files a fourth, the JSON texts written
 * from the metadata. Everything else is a pointer into a mapped file.
 */
struct snug_checkpoint {
    snug_memory *memory;
    char *path;            /* as given */
    char *folder;          /* the same, or the folder of the file that was given */
    char *config_path;     /* FOLDER/config.json, or the first GGUF file */
    uint64_t struct_bytes; /* of this block, paths included */

    checkpoint_json json[SNUG_FILE_COUNT];
    snug_os_map chat_template_file;
    snug_str chat_template;      /* in that file, or in the GGUF file */
    snug_os_map tokenizer_model; /* only where there is no tokenizer.json */
    bool is_gguf;
    snug_stored_vocabulary vocabulary; /* of a GGUF file */
    char *texts;                       /* JSON of a GGUF file, or NULL */
    uint64_t texts_bytes;
    snug_str model_type;

    snug_weight_files weights;
    _Atomic bool is_in_huge_pages; /* as far as the system follows */
    snug_warming *warming;         /* or NULL */
    snug_tensor *tensors;          /* sorted by name, no two alike */
    size_t tensor_count;
    uint64_t table_bytes;

    bool is_outline;             /* there are no files: outline.h */
    checkpoint_outline *outline; /* while a family binds itself to it; else NULL */
    uint64_t outline_bytes;      /* of all its tensors */
};

/* Everything that a GGUF checkpoint has beside its mapped files, which are open already. */
SNUG_MUST_CHECK snug_status snug_checkpoint_read_gguf(snug_checkpoint *checkpoint, snug_error *error);

/* The table of tensors, empty. */
SNUG_MUST_CHECK snug_status snug_checkpoint_allocate_table(snug_checkpoint *checkpoint, uint64_t tensor_count,
                                                           uint64_t name_bytes, snug_error *error);
/* Bring the full table into its order; refuses two tensors of one name. */
SNUG_MUST_CHECK snug_status snug_checkpoint_sort_table(snug_checkpoint *checkpoint, snug_error *error);
/* Put the path of a weight file in front of the sentence. Returns `status`. */
snug_status snug_checkpoint_weight_file_fail(const snug_checkpoint *checkpoint, size_t file,
                                             snug_status status, snug_error *error);

/* MLX: the entry that config.json has for this module alone: an object, false (it is not quantized), or
 * absent. */
snug_json snug_checkpoint_quantization(const snug_checkpoint *checkpoint, const char *module);
/* Of so many bits a value; NONE when there is no such type. */
snug_type snug_affine_type(uint64_t bits);

/* While a family binds itself to an outline: stands for any tensor. */
const snug_tensor *snug_outline_any(const snug_checkpoint *checkpoint);
void snug_outline_free(snug_checkpoint *checkpoint);

/* Finds model_type; part of opening, after config.json was read. */
SNUG_MUST_CHECK snug_status snug_checkpoint_read_model_type(snug_checkpoint *checkpoint, snug_error *error);

#endif /* SNUG_SRC_FORMAT_CHECKPOINT_PRIVATE_H */
