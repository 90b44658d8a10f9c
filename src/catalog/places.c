/* SPDX-License-Identifier: Apache-2.0 */
/*
 * places.c - where things are on this machine: the user's catalogue, the hub's cache folder, and in it the
 * models that this or another program has fetched. Its layout is the hub's:
 *
 *   models--ORG--NAME/refs/main                the commit
 *   models--ORG--NAME/snapshots/COMMIT/FILE -> ../../blobs/HASH
 */
#include "catalog/catalog.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "os/store.h"

#define COMMIT_BYTES 64

static bool join(char *out, size_t capacity, const char *folder, const char *rest)
{
    const int bytes = snprintf(out, capacity, "%s%s", folder, rest);

    return bytes > 0 && (size_t)bytes < capacity;
}

/* The first variable that is set, with what belongs behind it. */
static bool find_place(char *out, size_t capacity, const char *const (*rows)[2], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *value = getenv(rows[i][0]);

        if (value && *value)
            return join(out, capacity, value, rows[i][1]);
    }
    return false;
}

bool snug_catalog_user_file(char *path_out, size_t capacity)
{
    static const char *const rows[][2] = {
        { "XDG_CONFIG_HOME", "/snug/catalog.json" },
        { "HOME", "/.config/snug/catalog.json" },
    };

    return find_place(path_out, capacity, rows, SNUG_COUNT(rows));
}

bool snug_catalog_cache_folder(char *path_out, size_t capacity)
{
    static const char *const rows[][2] = {
        { "HF_HUB_CACHE", "" },
        { "HUGGINGFACE_HUB_CACHE", "" },
        { "HF_HOME", "/hub" },
        { "XDG_CACHE_HOME", "/huggingface/hub" },
        { "HOME", "/.cache/huggingface/hub" },
    };

    return find_place(path_out, capacity, rows, SNUG_COUNT(rows));
}

bool snug_catalog_repository_folder(char *out, size_t capacity, const char *cache_folder,
                                    const char *repository)
{
    const char *slash = strchr(repository, '/');
    const int bytes = slash ? snprintf(out, capacity, "%s/models--%.*s--%s", cache_folder,
                                       (int)(slash - repository), repository, slash + 1)
                            : -1;

    return bytes > 0 && (size_t)bytes < capacity;
}

/* A commit is the name of a folder: nothing else may stand in the file. */
static bool is_commit(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
            return false;
    return bytes >= 7 && bytes < COMMIT_BYTES;
}

static bool read_reference(char *commit_out, const char *repository_folder)
{
    char path[CATALOG_PATH_BYTES];
    size_t bytes = 0;

    if (!join(path, sizeof path, repository_folder, "/refs/main") ||
        !snug_os_read_small(commit_out, COMMIT_BYTES, &bytes, path))
        return false;
    while (bytes > 0 && (commit_out[bytes - 1] == '\n' || commit_out[bytes - 1] == '\r'))
        commit_out[--bytes] = '\0';
    return is_commit(commit_out, bytes);
}

static bool keep_last(void *user, const char *name)
{
    char *last = user;

    if (is_commit(name, strlen(name)) && strcmp(name, last) > 0)
        snprintf(last, COMMIT_BYTES, "%s", name);
    return true;
}

bool snug_catalog_snapshot(char *out, size_t capacity, const char *cache_folder, const char *repository)
{
    char folder[CATALOG_PATH_BYTES], snapshots[CATALOG_PATH_BYTES];
    char commit[COMMIT_BYTES] = "";
    int bytes;

    if (!snug_catalog_repository_folder(folder, sizeof folder, cache_folder, repository) ||
        !join(snapshots, sizeof snapshots, folder, "/snapshots"))
        return false;
    if (!read_reference(commit, folder)) {
        commit[0] = '\0';
        (void)snug_os_list_folder(snapshots, "", "", keep_last, commit);
    }
    if (!commit[0])
        return false;
    bytes = snprintf(out, capacity, "%s/%s", snapshots, commit);
    return bytes > 0 && (size_t)bytes < capacity;
}

static bool is_gguf(void *user, const char *name)
{
    bool *is_there = user;

    *is_there = name[0] != '.';
    return !*is_there;
}

/* What snug_model_open() takes: config.json, or GGUF files. */
static bool is_model_folder(const char *folder)
{
    char path[CATALOG_PATH_BYTES];
    bool is_there = false;

    if (join(path, sizeof path, folder, "/config.json") && snug_os_is_file(path))
        return true;
    return snug_os_list_folder(folder, "", ".gguf", is_gguf, &is_there) && is_there;
}

bool snug_hub_locate(char *path_out, size_t capacity, const char *cache_folder, const char *repository,
                     const char *file)
{
    char snapshot[CATALOG_PATH_BYTES];
    int bytes;

    if (!cache_folder[0] || !snug_hub_is_repository(snug_str_from(repository)) ||
        (file[0] && !snug_hub_is_file(snug_str_from(file))) ||
        !snug_catalog_snapshot(snapshot, sizeof snapshot, cache_folder, repository))
        return false;
    if (!file[0])
        return is_model_folder(snapshot) && join(path_out, capacity, snapshot, "");
    bytes = snprintf(path_out, capacity, "%s/%s", snapshot, file);
    return bytes > 0 && (size_t)bytes < capacity && snug_os_is_file(path_out);
}
