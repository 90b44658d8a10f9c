/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replace.h - writing a file as a whole or not at all: into PATH.partial beside it, which takes the place of
 * PATH when everything has reached the disk. Whoever is killed meanwhile leaves the old file as it was. Uses
 * no heap: it must work when memory is short.
 */
#ifndef SNUG_SRC_OS_REPLACE_H
#define SNUG_SRC_OS_REPLACE_H

#include <snug/base.h>

#define SNUG_OS_PATH_BYTES 4096

typedef struct snug_os_replace {
    int file;
    uint64_t bytes; /* so far */
    size_t unsynced_bytes;
    char path[SNUG_OS_PATH_BYTES];
    char partial[SNUG_OS_PATH_BYTES];
} snug_os_replace;

/*
 * Begin; the file can be read and written by its owner only. What an earlier run left in PATH.partial is
 * overwritten, but not while another process writes it. On failure nothing is to be ended. Errors: IO,
 * ARGUMENT (path too long).
 */
SNUG_MUST_CHECK snug_status snug_os_replace_begin(snug_os_replace *replace, const char *path,
                                                  snug_error *error);
SNUG_MUST_CHECK snug_status snug_os_replace_write(snug_os_replace *replace, const void *data, size_t bytes,
                                                  snug_error *error);

/* Put the new file in its place. Whatever comes back, it is over. Errors: IO: the old file is as it was. */
SNUG_MUST_CHECK snug_status snug_os_replace_end(snug_os_replace *replace, snug_error *error);

/* The same where there must be no file of that name yet. Errors: IO: there is one (it stays), or it cannot be
 * written. */
SNUG_MUST_CHECK snug_status snug_os_replace_end_new(snug_os_replace *replace, snug_error *error);

/* Instead of the end: the old file stays. */
void snug_os_replace_cancel(snug_os_replace *replace);

#endif /* SNUG_SRC_OS_REPLACE_H */
