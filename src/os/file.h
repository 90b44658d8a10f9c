/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.h - files mapped read-only, and the few questions about paths that checkpoints need.
 */
#ifndef SNUG_SRC_OS_FILE_H
#define SNUG_SRC_OS_FILE_H

#include <snug/base.h>

#include "base/str.h"

typedef struct snug_os_map {
    const void *data; /* NULL for an empty file */
    size_t bytes;
} snug_os_map;

/*
 * Map a whole regular file, private and read-only. The sentence names the path and what the system said; a
 * directory, a device or a pipe is refused by name. Errors: IO.
 */
SNUG_MUST_CHECK snug_status snug_os_map_open(snug_os_map *map_out, const char *path, snug_error *error);
void snug_os_map_close(snug_os_map *map); /* an all-zero map is allowed */

/* Advice about part of a map; rounded to pages, errors ignored: it is advice. */
void snug_os_map_will_need(const void *at, size_t bytes);
/* This process is done with it for now: its pages are no longer mapped, but stay in the page cache. */
void snug_os_map_unmap(const void *at, size_t bytes);
void snug_os_map_dont_need(const void *at, size_t bytes);
/* Whether a page that is read brings those around it along, as is usual. */
void snug_os_map_read_around(const snug_os_map *map, bool is_wanted);
/* The system may read it, and reach it, in pages of the size that snug_os_huge_page_bytes() says. What is in
 * memory in small ones stays so. */
void snug_os_map_in_huge_pages(const snug_os_map *map);
/* Reads what is not in memory of the range, and maps it. False where the system cannot. */
bool snug_os_map_populate(const void *at, size_t bytes);
/* Whether all pages that hold the range are in memory (page cache), by mincore. */
bool snug_os_map_is_resident(const void *at, size_t bytes);
/* The pages that hold the range leave this process, and memory if nobody else maps them and we may say so. */
void snug_os_map_forget(const void *at, size_t bytes);
/* Bytes of the map that are in memory now (page cache), by mincore. */
size_t snug_os_map_resident_bytes(const snug_os_map *map);

bool snug_os_is_folder(const char *path);
bool snug_os_is_file(const char *path);

/*
 * Names in a folder that begin with `prefix` and end with `suffix`, passed to `visit` in any order until
 * it returns false. False when the folder cannot be read.
 */
typedef bool (*snug_os_visit_fn)(void *user, const char *name);
bool snug_os_list_folder(const char *path, const char *prefix, const char *suffix, snug_os_visit_fn visit,
                         void *user);

#endif /* SNUG_SRC_OS_FILE_H */
