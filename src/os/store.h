/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - files of a folder that several programs share: what is there, how large, when used.
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

#endif /* SNUG_SRC_OS_STORE_H */
