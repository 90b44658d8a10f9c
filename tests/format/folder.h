/* SPDX-License-Identifier: Apache-2.0 */
/*
 * folder.h - temporary folders with small checkpoints, for the tests of format/.
 */
#ifndef SNUG_TESTS_FORMAT_FOLDER_H
#define SNUG_TESTS_FORMAT_FOLDER_H

#include <stddef.h>

#define FOLDER_PATH_BYTES 512

/* A new, empty folder; its path is kept in a buffer of the caller's. Failures fail the running test. */
void folder_create(char path_out[FOLDER_PATH_BYTES]);
void folder_write(const char *folder, const char *name, const void *bytes, size_t count);
void folder_write_text(const char *folder, const char *name, const char *text);
/* A safetensors file: length, `header`, then data_bytes bytes of data: 0, 1, 2 ... 250, 0 ... */
void folder_write_tensors(const char *folder, const char *name, const char *header, size_t data_bytes);
void folder_make_folder(const char *folder, const char *name);
void folder_delete(const char *folder, const char *name);
/* Removes the folder with the files and empty folders in it. */
void folder_remove(const char *folder);

/* The same file in memory, from malloc: exactly as long as its content. */
unsigned char *tensors_file(const char *header, size_t data_bytes, size_t *bytes_out);

#endif /* SNUG_TESTS_FORMAT_FOLDER_H */
