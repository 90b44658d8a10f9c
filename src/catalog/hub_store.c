/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub_store.c - the repositories in the hub's cache folder: what is there, and taking it away.
 */
#include <snug/hub.h>

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "catalog/catalog.h"
#include "os/store.h"

#define FOLDER_PREFIX "models--"

typedef struct sum {
    const char *folder;
    uint64_t bytes;
    int64_t used_seconds;
    bool is_busy; /* another process is fetching one of the files */
} sum;

static bool add_blob(void *user, const char *name)
{
    sum *total = user;
    char path[2 * CATALOG_PATH_BYTES];
    snug_os_file_info info;
    const int64_t partial = strstr(name, ".incomplete") != NULL;

    snprintf(path, sizeof path, "%s/%s", total->folder, name);
    if (!snug_os_file_look(&info, path))
        return true;
    total->bytes += info.bytes;
    if (!partial && info.read_seconds > total->used_seconds)
        total->used_seconds = info.read_seconds;
    return true;
}

static sum sum_of(const char *repository_folder)
{
    char blobs[CATALOG_PATH_BYTES + 8];
    sum total = { .folder = blobs };

    snprintf(blobs, sizeof blobs, "%s/blobs", repository_folder);
    (void)snug_os_list_folder(blobs, "", "", add_blob, &total);
    total.folder = NULL;
    return total;
}

typedef struct walk {
    const char *cache_folder;
    bool (*visit)(void *user, const snug_hub_repository *repository);
    void *user;
} walk;

/* "models--ORG--NAME" */
static bool visit_folder(void *user, const char *name)
{
    const walk *w = user;
    const char *org = name + strlen(FOLDER_PREFIX);
    const char *dashes = strstr(org, "--");
    snug_hub_repository repository = { 0 };
    char folder[CATALOG_PATH_BYTES];
    sum total;

    if (!dashes || snprintf(repository.name, sizeof repository.name, "%.*s/%s", (int)(dashes - org), org,
                            dashes + 2) >= (int)sizeof repository.name)
        return true;
    if (!snug_hub_is_repository(snug_str_from(repository.name)) ||
        !snug_catalog_repository_folder(folder, sizeof folder, w->cache_folder, repository.name))
        return true;
    total = sum_of(folder);
    repository.bytes = total.bytes;
    repository.used_seconds = total.used_seconds;
    return w->visit(w->user, &repository);
}

void snug_hub_list(const char *cache_folder, bool (*visit)(void *user, const snug_hub_repository *),
                   void *user)
{
    walk w = { .cache_folder = cache_folder, .visit = visit, .user = user };

    (void)snug_os_list_folder(cache_folder, FOLDER_PREFIX, "", visit_folder, &w);
}

/* --- taking away ---------------------------------------------------------------------------------------- */

/* Whether some process has a file of it in the making. */
static bool look_for_lock(void *user, const char *name)
{
    sum *total = user;
    char path[2 * CATALOG_PATH_BYTES];
    snug_os_part part = { .file = -1 };
    bool is_ours = false;

    snprintf(path, sizeof path, "%s/%s", total->folder, name);
    if (snug_os_part_open(&part, &is_ours, path, NULL) == SNUG_OK && !is_ours)
        total->is_busy = true;
    snug_os_part_close(&part);
    return !total->is_busy;
}

static bool is_busy(const char *repository_folder)
{
    char blobs[CATALOG_PATH_BYTES + 8];
    sum total = { .folder = blobs };

    snprintf(blobs, sizeof blobs, "%s/blobs", repository_folder);
    (void)snug_os_list_folder(blobs, "", ".incomplete", look_for_lock, &total);
    return total.is_busy;
}

/* The link in the snapshot, and what it leads to, if that is a blob. */
static snug_status remove_file(uint64_t *bytes_out, const char *cache_folder, const char *repository,
                               const char *file, snug_error *error)
{
    char path[CATALOG_PATH_BYTES], target[CATALOG_PATH_BYTES], blob[2 * CATALOG_PATH_BYTES];
    char folder[CATALOG_PATH_BYTES];
    snug_os_file_info info;
    const char *hash;

    if (!snug_hub_locate(path, sizeof path, cache_folder, repository, file) ||
        !snug_os_file_look(&info, path))
        SNUG_FAIL(error, SNUG_ERR_IO, "%.120s:%.120s is not on this machine", repository, file);
    if (snug_os_read_link(target, sizeof target, path)) {
        hash = strrchr(target, '/');
        if (!hash || !snug_catalog_repository_folder(folder, sizeof folder, cache_folder, repository))
            SNUG_FAIL(error, SNUG_ERR_IO, "%.300s leads nowhere", path);
        snprintf(blob, sizeof blob, "%s/blobs%s", folder, hash);
        SNUG_TRY(snug_os_delete(blob, error));
    }
    *bytes_out = info.bytes;
    return snug_os_delete(path, error);
}

snug_status snug_hub_remove(uint64_t *bytes_out, const char *cache_folder, const char *repository,
                            const char *file, snug_error *error)
{
    char folder[CATALOG_PATH_BYTES];

    *bytes_out = 0;
    if (!snug_hub_is_repository(snug_str_from(repository)) ||
        (file && *file && !snug_hub_is_file(snug_str_from(file))) ||
        !snug_catalog_repository_folder(folder, sizeof folder, cache_folder, repository))
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "\"%.200s\" is no name on the hub, expected ORG/NAME",
                  repository);
    if (!snug_os_is_folder(folder))
        SNUG_FAIL(error, SNUG_ERR_IO, "%.120s is not on this machine", repository);
    if (is_busy(folder))
        SNUG_FAIL(error, SNUG_ERR_IO, "%.120s is just being fetched by another process", repository);
    if (file && *file)
        return remove_file(bytes_out, cache_folder, repository, file, error);
    *bytes_out = sum_of(folder).bytes;
    return snug_os_delete(folder, error);
}
