/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub_list.h - what the hub says a repository holds, and which of it a model is made of.
 */
#ifndef SNUG_SRC_CATALOG_HUB_LIST_H
#define SNUG_SRC_CATALOG_HUB_LIST_H

#include "base/sha.h"
#include "catalog/catalog.h"

#define HUB_COMMIT_BYTES 65

typedef struct hub_entry {
    char name[CATALOG_FILE_BYTES];
    char hash[SNUG_SHA_HEX_BYTES]; /* SHA-256 of the content, or git's name of it */
    bool is_git;                   /* SHA-1 of "blob SIZE\0" and the content */
    uint64_t bytes;
} hub_entry;

typedef struct hub_list {
    snug_memory *memory;
    char commit[HUB_COMMIT_BYTES];
    hub_entry *entries;
    size_t count;
} hub_list;

/*
 * Read the hub's answer: the files of a model, or `only` one. Every name in it is checked, also of files that
 * are not wanted. Errors: CORRUPT (not such an answer, names that lead elsewhere), IO (what is wanted is not
 * there), OVER_LIMIT.
 */
SNUG_MUST_CHECK snug_status snug_hub_list_read(hub_list *out, snug_memory *memory, snug_str answer,
                                               const char *only, snug_error *error);
void snug_hub_list_free(hub_list *list);

#endif /* SNUG_SRC_CATALOG_HUB_LIST_H */
