/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weight_files.h - which files of a folder hold a model's weights, and their mappings. Internal to format/.
 *
 * Safetensors, in this order: the file the caller named; model.safetensors; the files that
 * model.safetensors.index.json names; all of model*.safetensors. The index decides only which files there
 * are, not what is in them.
 *
 * GGUF: the file the caller named, or the only model in the folder. A name like "NAME-00002-of-00003.gguf" is
 * a part: it stands for the whole set.
 */
#ifndef SNUG_SRC_FORMAT_WEIGHT_FILES_H
#define SNUG_SRC_FORMAT_WEIGHT_FILES_H

#include <snug/memory.h>

#include "base/str.h"
#include "os/file.h"

/* Longest path handed to the system, with its terminating zero. */
#define SNUG_PATH_BYTES_MAX 4096

#define SNUG_FILE_NAME_BYTES_MAX   255
#define SNUG_WEIGHT_FILE_COUNT_MAX 1024 /* the largest published checkpoints have about 200 */

typedef struct snug_weight_file {
    char name[SNUG_FILE_NAME_BYTES_MAX + 1];
    snug_os_map map; /* all zero until opened */
} snug_weight_file;

#define SNUG_GGUF_SUFFIX ".gguf"

/* Sorted by name (parts thus in their order), none twice. All zero is an empty list. */
typedef struct snug_weight_files {
    snug_memory *memory;
    snug_weight_file *files;
    size_t count;
    size_t capacity;
} snug_weight_files;

/* Find and map them. `only` names one file of the folder, or is NULL. On failure the list is empty again. */
SNUG_MUST_CHECK snug_status snug_weight_files_open(snug_weight_files *list_out, snug_memory *memory,
                                                   const char *folder, const char *only, snug_error *error);
SNUG_MUST_CHECK snug_status snug_weight_files_open_gguf(snug_weight_files *list_out, snug_memory *memory,
                                                        const char *folder, const char *only,
                                                        snug_error *error);
void snug_weight_files_close(snug_weight_files *list);

/* Whether any GGUF file lies in the folder. */
bool snug_folder_holds_gguf(const char *folder);

/* Write "folder/name" to SNUG_PATH_BYTES_MAX bytes, or refuse a path that is longer. */
SNUG_MUST_CHECK snug_status snug_path_join(char *out, const char *folder, const char *name,
                                           snug_error *error);

/* Put the file in front of the sentence; of a long path the end, which says more. Returns `status`. */
snug_status snug_path_fail(snug_error *error, snug_status status, const char *path);

#endif /* SNUG_SRC_FORMAT_WEIGHT_FILES_H */
