/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weight_files.c - see weight_files.h. The names in an index come from outside: only plain names of
 * safetensors files are taken, so that no index can make the library read elsewhere.
 */
#include "format/weight_files.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/size.h"
#include "base/status.h"
#include "memory/memory.h"

#define WEIGHTS_NAME   "model.safetensors"
#define INDEX_NAME     "model.safetensors.index.json"
#define WEIGHTS_SUFFIX ".safetensors"

/* --- paths ---------------------------------------------------------------------------------------------- */

snug_status snug_path_join(char *out, const char *folder, const char *name, snug_error *error)
{
    const int bytes = snprintf(out, SNUG_PATH_BYTES_MAX, "%s/%s", folder, name);

    if (bytes < 0 || bytes >= SNUG_PATH_BYTES_MAX)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "%s: the path of its folder is longer than %d bytes", name,
                  SNUG_PATH_BYTES_MAX);
    return SNUG_OK;
}

snug_status snug_path_fail(snug_error *error, snug_status status, const char *path)
{
    const size_t shown = 180;
    const size_t bytes = strlen(path);
    char cut[200];

    if (bytes <= shown)
        return snug_fail_prefix(error, status, path);
    snprintf(cut, sizeof cut, "...%s", path + bytes - shown);
    return snug_fail_prefix(error, status, cut);
}

/* --- the list ------------------------------------------------------------------------------------------- */

/* The place of `name`: of the file that has it, or where it would go. */
static size_t place_of(const snug_weight_files *list, snug_str name, bool *is_there_out)
{
    size_t low = 0;
    size_t high = list->count;

    *is_there_out = false;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const char *candidate = list->files[middle].name;
        int order = strncmp(candidate, name.data, name.bytes);

        if (order == 0)
            order = candidate[name.bytes] != '\0';
        if (order == 0) {
            *is_there_out = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static snug_status grow(snug_weight_files *list, snug_error *error)
{
    const size_t capacity = list->capacity ? list->capacity * 2 : 1;
    snug_weight_file *files = snug_memory_alloc(list->memory, SNUG_MEMORY_OTHER, capacity * sizeof *files,
                                                "the list of weight files", error);

    if (!files)
        return error ? error->status : SNUG_ERR_NO_MEMORY;
    if (list->count)
        memcpy(files, list->files, list->count * sizeof *files);
    snug_memory_free(list->memory, list->files);
    list->files = files;
    list->capacity = capacity;
    return SNUG_OK;
}

/* Put a name of 1 to SNUG_FILE_NAME_BYTES_MAX bytes into its place, unless it is there. */
static snug_status add(snug_weight_files *list, snug_str name, snug_error *error)
{
    snug_weight_file *file;
    bool is_there;
    const size_t place = place_of(list, name, &is_there);

    if (is_there)
        return SNUG_OK;
    if (list->count == SNUG_WEIGHT_FILE_COUNT_MAX)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "more than %d weight files", SNUG_WEIGHT_FILE_COUNT_MAX);
    if (list->count == list->capacity)
        SNUG_TRY(grow(list, error));
    file = &list->files[place];
    memmove(file + 1, file, (list->count - place) * sizeof *file);
    *file = (snug_weight_file){ .map = { NULL, 0 } };
    memcpy(file->name, name.data, name.bytes);
    list->count++;
    return SNUG_OK;
}

/* --- who names the files -------------------------------------------------------------------------------- */

/* A plain name of a safetensors file. Escapes are refused with the backslash: no real name needs them. */
static bool is_plain_name(snug_str name)
{
    const size_t suffix = sizeof WEIGHTS_SUFFIX - 1;

    return name.bytes > suffix && name.bytes <= SNUG_FILE_NAME_BYTES_MAX &&
           memcmp(name.data + name.bytes - suffix, WEIGHTS_SUFFIX, suffix) == 0 &&
           !memchr(name.data, '/', name.bytes) && !memchr(name.data, '\\', name.bytes) && name.data[0] != '.';
}

/* The files of weight_map. */
static snug_status add_indexed(snug_weight_files *list, const snug_os_map *index, snug_error *error)
{
    const snug_str text = { index->data, index->bytes };
    snug_json_iterator iterator;
    snug_json root, map, value;

    SNUG_TRY(snug_json_check(&root, text, error));
    map = snug_json_get(root, "weight_map");
    if (snug_json_kind_of(map) != SNUG_JSON_OBJECT)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "weight_map is %s, expected an object of tensor and file names",
                  snug_json_kind_name(snug_json_kind_of(map)));
    iterator = snug_json_iterate(map);
    while (snug_json_next(&iterator, NULL, &value)) {
        const snug_str name = snug_json_string(value);
        const snug_str shown = snug_json_text(value);

        if (!name.data || !is_plain_name(name))
            SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                      "weight_map names %.*s, expected the plain name of a .safetensors file in this folder",
                      (int)snug_min_size(shown.bytes, 120), shown.data);
        SNUG_TRY(add(list, name, error));
    }
    if (list->count == 0)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "weight_map is empty, expected tensor and file names");
    return SNUG_OK;
}

static snug_status add_from_index(snug_weight_files *list, const char *path, snug_error *error)
{
    snug_os_map index = { NULL, 0 };
    snug_status status;

    SNUG_TRY(snug_os_map_open(&index, path, error));
    status = add_indexed(list, &index, error);
    if (status != SNUG_OK)
        snug_path_fail(error, status, path);
    snug_os_map_close(&index);
    return status;
}

typedef struct listing {
    snug_weight_files *list;
    snug_status status;
    snug_error *error;
} listing;

static bool visit(void *user, const char *name)
{
    listing *state = user;

    if (is_plain_name(snug_str_from(name)))
        state->status = add(state->list, snug_str_from(name), state->error);
    return state->status == SNUG_OK;
}

static snug_status add_from_folder(snug_weight_files *list, const char *folder, snug_error *error)
{
    listing state = { .list = list, .status = SNUG_OK, .error = error };

    if (!snug_os_list_folder(folder, "model", WEIGHTS_SUFFIX, visit, &state))
        SNUG_FAIL(error, SNUG_ERR_IO, "%.300s: cannot list the folder", folder);
    if (state.status != SNUG_OK)
        return snug_path_fail(error, state.status, folder);
    if (list->count == 0)
        SNUG_FAIL(error, SNUG_ERR_IO, "%.300s: no weights: expected model.safetensors or model-*.safetensors",
                  folder);
    return SNUG_OK;
}

static snug_status find(snug_weight_files *list, const char *folder, const char *only, snug_error *error)
{
    char path[SNUG_PATH_BYTES_MAX];

    if (only)
        return add(list, snug_str_from(only), error);
    SNUG_TRY(snug_path_join(path, folder, WEIGHTS_NAME, error));
    if (snug_os_is_file(path))
        return add(list, snug_str_from(WEIGHTS_NAME), error);
    SNUG_TRY(snug_path_join(path, folder, INDEX_NAME, error));
    if (snug_os_is_file(path))
        return add_from_index(list, path, error);
    return add_from_folder(list, folder, error);
}

/* --- GGUF files ----------------------------------------------------------------------------------------- */

/* "NAME-00002-of-00003.gguf" */
typedef struct part_name {
    snug_str prefix; /* "NAME" */
    unsigned number; /* from 1 */
    unsigned count;
} part_name;

#define PART_DIGITS 5u

/* Five digits; false for anything else. */
static bool read_part_digits(unsigned *out, const char *at)
{
    *out = 0;
    for (unsigned i = 0; i < PART_DIGITS; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        *out = *out * 10 + (unsigned)(at[i] - '0');
    }
    return true;
}

/* False for the name of a file that stands for itself. */
static bool is_part(part_name *out, const char *name)
{
    static const char pattern[] = "-00000-of-00000" SNUG_GGUF_SUFFIX;
    const size_t bytes = strlen(name);
    const char *tail;

    if (bytes < sizeof pattern)
        return false;
    tail = name + bytes - (sizeof pattern - 1);
    out->prefix = (snug_str){ name, (size_t)(tail - name) };
    return tail[0] == '-' && read_part_digits(&out->number, tail + 1) && memcmp(tail + 6, "-of-", 4) == 0 &&
           read_part_digits(&out->count, tail + 10) && strcmp(tail + 15, SNUG_GGUF_SUFFIX) == 0 &&
           out->number >= 1 && out->number <= out->count;
}

static bool are_parts_of_one(const char *a, const char *b)
{
    part_name part_a, part_b;

    return is_part(&part_a, a) && is_part(&part_b, b) && part_a.count == part_b.count &&
           snug_str_equal(part_a.prefix, part_b.prefix);
}

/* The file, or all parts of the set it belongs to. */
static snug_status add_gguf_set(snug_weight_files *list, const char *name, snug_error *error)
{
    char part[SNUG_FILE_NAME_BYTES_MAX + 1];
    part_name set;

    if (!is_part(&set, name))
        return add(list, snug_str_from(name), error);
    for (unsigned i = 1; i <= set.count; i++) {
        snprintf(part, sizeof part, "%.*s-%05u-of-%05u" SNUG_GGUF_SUFFIX, SNUG_STR_ARGS(set.prefix), i,
                 set.count);
        SNUG_TRY(add(list, snug_str_from(part), error));
    }
    return SNUG_OK;
}

static bool visit_gguf(void *user, const char *name)
{
    listing *state = user;

    if (name[0] != '.' && strlen(name) <= SNUG_FILE_NAME_BYTES_MAX)
        state->status = add(state->list, snug_str_from(name), state->error);
    return state->status == SNUG_OK;
}

/* Write the name of one file of the only model in the folder. */
static snug_status find_only_gguf(char *name_out, snug_weight_files *list, const char *folder,
                                  snug_error *error)
{
    listing state = { .list = list, .status = SNUG_OK, .error = error };

    if (!snug_os_list_folder(folder, "", SNUG_GGUF_SUFFIX, visit_gguf, &state))
        SNUG_FAIL(error, SNUG_ERR_IO, "%.300s: cannot list the folder", folder);
    if (state.status != SNUG_OK)
        return snug_path_fail(error, state.status, folder);
    if (list->count == 0)
        SNUG_FAIL(error, SNUG_ERR_IO, "%.300s: no weights: expected a .gguf file", folder);
    for (size_t i = 1; i < list->count; i++)
        if (!are_parts_of_one(list->files[0].name, list->files[i].name)) {
            (void)snug_fail(error, SNUG_ERR_UNSUPPORTED,
                            "several models, such as %.100s and %.100s: give the path of one file",
                            list->files[0].name, list->files[i].name);
            return snug_path_fail(error, SNUG_ERR_UNSUPPORTED, folder);
        }
    memcpy(name_out, list->files[0].name, sizeof list->files[0].name);
    list->count = 0;
    return SNUG_OK;
}

static snug_status find_gguf(snug_weight_files *list, const char *folder, const char *only, snug_error *error)
{
    char found[SNUG_FILE_NAME_BYTES_MAX + 1];
    char path[SNUG_PATH_BYTES_MAX];

    if (!only) {
        SNUG_TRY(find_only_gguf(found, list, folder, error));
        only = found;
    }
    SNUG_TRY(add_gguf_set(list, only, error));
    for (size_t i = 0; list->count > 1 && i < list->count; i++) {
        SNUG_TRY(snug_path_join(path, folder, list->files[i].name, error));
        if (snug_os_is_file(path))
            continue;
        (void)snug_fail(error, SNUG_ERR_IO, "no such file: part %zu of the %zu of this model is missing",
                        i + 1, list->count);
        return snug_path_fail(error, SNUG_ERR_IO, path);
    }
    return SNUG_OK;
}

static bool visit_any(void *user, const char *name)
{
    bool *is_there = user;

    *is_there = name[0] != '.';
    return !*is_there;
}

bool snug_folder_holds_gguf(const char *folder)
{
    bool is_there = false;

    return snug_os_list_folder(folder, "", SNUG_GGUF_SUFFIX, visit_any, &is_there) && is_there;
}

/* --- opening -------------------------------------------------------------------------------------------- */

static snug_status map_all(snug_weight_files *list, const char *folder, snug_error *error)
{
    char path[SNUG_PATH_BYTES_MAX];

    for (size_t i = 0; i < list->count; i++) {
        SNUG_TRY(snug_path_join(path, folder, list->files[i].name, error));
        SNUG_TRY(snug_os_map_open(&list->files[i].map, path, error));
    }
    return SNUG_OK;
}

/* The last step, after the files were found or not. */
static snug_status finish(snug_weight_files *list, const char *folder, snug_status status, snug_error *error)
{
    if (status == SNUG_OK)
        status = map_all(list, folder, error);
    if (status != SNUG_OK)
        snug_weight_files_close(list);
    return status;
}

snug_status snug_weight_files_open(snug_weight_files *list_out, snug_memory *memory, const char *folder,
                                   const char *only, snug_error *error)
{
    *list_out = (snug_weight_files){ .memory = memory };
    return finish(list_out, folder, find(list_out, folder, only, error), error);
}

snug_status snug_weight_files_open_gguf(snug_weight_files *list_out, snug_memory *memory, const char *folder,
                                        const char *only, snug_error *error)
{
    *list_out = (snug_weight_files){ .memory = memory };
    return finish(list_out, folder, find_gguf(list_out, folder, only, error), error);
}

void snug_weight_files_close(snug_weight_files *list)
{
    for (size_t i = 0; i < list->count; i++)
        snug_os_map_close(&list->files[i].map);
    snug_memory_free(list->memory, list->files);
    *list = (snug_weight_files){ .memory = list->memory };
}
