/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - files of a folder that several programs share: what is there, how large, when used; and files
 * that are put into it, piece by piece, by one process at a time.
 */
#ifndef SNUG_SRC_OS_STORE_H
#define SNUG_SRC_OS_STORE_H

#include <snug/base.h>

/* A small text file as a whole, terminated; false when it cannot be read or does not fit. */
bool snug_os_read_small(char *out, size_t capacity, size_t *bytes_out, const char *path);

typedef struct snug_os_file_info {
    uint64_t bytes;
    int64_t read_seconds;  /* last read, since 1970; where the file system notes it */
    int64_t write_seconds; /* last written */
    uint64_t number;       /* the same file has the same, under any name */
} snug_os_file_info;

/* Of the file that `path` leads to; false for anything but a file. */
bool snug_os_file_look(snug_os_file_info *out, const char *path);

bool snug_os_is_link(const char *path); /* itself, wherever it leads */
/* Where a link leads, as it is written; false for anything but a link. */
bool snug_os_read_link(char *out, size_t capacity, const char *path);

/* Make the folder and those above it. Errors: IO. */
SNUG_MUST_CHECK snug_status snug_os_make_folders(const char *path, snug_error *error);
/* Make `path` a link to `target`, in place of what was there, in one step. Errors: IO. */
SNUG_MUST_CHECK snug_status snug_os_make_link(const char *path, const char *target, snug_error *error);
/* Delete a file, or a folder with all that is in it, following no links. Errors: IO. */
SNUG_MUST_CHECK snug_status snug_os_delete(const char *path, snug_error *error);

/* What may still be written where `path` is or would be; SNUG_OS_UNKNOWN when the system does not say. */
uint64_t snug_os_free_bytes(const char *path);

/* --- a file in the making ------------------------------------------------------------------------------- */

/* Opened for one process: others wait. What an earlier one left is there. */
typedef struct snug_os_part {
    int file; /* -1: closed */
} snug_os_part;

/* False in *is_ours_out when another process has it. Errors: IO. */
SNUG_MUST_CHECK snug_status snug_os_part_open(snug_os_part *part, bool *is_ours_out, const char *path,
                                              snug_error *error);
void snug_os_part_close(snug_os_part *part);
uint64_t snug_os_part_bytes(const snug_os_part *part);
/* False when the system refuses; the reason is in *code_out, for snug_os_part_fail(). */
bool snug_os_part_write(const snug_os_part *part, uint64_t offset, const void *data, size_t bytes,
                        int *code_out);
bool snug_os_part_read(const snug_os_part *part, uint64_t offset, void *data, size_t bytes);
bool snug_os_part_cut(const snug_os_part *part, uint64_t bytes, int *code_out);
/* To the disk, then under its final name; closed afterwards. Errors: IO. */
SNUG_MUST_CHECK snug_status snug_os_part_finish(snug_os_part *part, const char *path, const char *final_path,
                                                snug_error *error);
/* The sentence for a refused write. */
snug_status snug_os_part_fail(const char *path, int code, snug_error *error);

#endif /* SNUG_SRC_OS_STORE_H */
