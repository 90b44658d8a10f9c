/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint.c - opening a folder of model files, and looking tensors up in it. What is particular to GGUF
 * files is in checkpoint_gguf.c.
 */
#include "format/checkpoint.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "base/utf8.h"
#include "format/checkpoint_private.h"
#include "format/outline.h"
#include "format/safetensors.h"
#include "format/tensor.h"
#include "memory/memory.h"
#include "os/machine.h"

#define CHAT_TEMPLATE_NAME   "chat_template.jinja"
#define TOKENIZER_MODEL_NAME "tokenizer.model"
#define SAFETENSORS_SUFFIX   ".safetensors"

const char *snug_checkpoint_file_name(snug_checkpoint_file file)
{
    static const char *const names[SNUG_FILE_COUNT] = {
        [SNUG_FILE_GENERATION_CONFIG] = "generation_config.json",
        [SNUG_FILE_TOKENIZER] = "tokenizer.json",
        [SNUG_FILE_TOKENIZER_CONFIG] = "tokenizer_config.json",
        [SNUG_FILE_CONFIG] = "config.json",
    };

    SNUG_ASSERT((size_t)file < SNUG_FILE_COUNT);
    return names[file];
}

/* --- opening: the small files --------------------------------------------------------------------------- */

static bool has_suffix(const char *name, const char *suffix)
{
    const size_t bytes = strlen(name);
    const size_t suffix_bytes = strlen(suffix);

    return bytes > suffix_bytes && strcmp(name + bytes - suffix_bytes, suffix) == 0;
}

/* `path` is a folder, or a weight file: then *only_out is its name and the folder is the part before. */
static snug_status split_path(const char *path, size_t *folder_bytes_out, const char **only_out,
                              snug_error *error)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t folder_bytes = strlen(path);

    *only_out = NULL;
    if (!snug_os_is_folder(path)) {
        if (!snug_os_is_file(path))
            SNUG_FAIL(error, SNUG_ERR_IO, "%.300s: no such folder or file", path);
        if (strlen(name) > SNUG_FILE_NAME_BYTES_MAX ||
            (!has_suffix(name, SAFETENSORS_SUFFIX) && !has_suffix(name, SNUG_GGUF_SUFFIX)))
            SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                      "%.300s: expected a folder with config.json and safetensors files, a .safetensors file "
                      "in one, or a .gguf file",
                      path);
        *only_out = name;
        folder_bytes = (size_t)(name - path);
    }
    while (folder_bytes > 1 && path[folder_bytes - 1] == '/')
        folder_bytes--;
    *folder_bytes_out = folder_bytes;
    return SNUG_OK;
}

static snug_status create(snug_checkpoint **checkpoint_out, const char **only_out, snug_memory *memory,
                          const char *path, snug_error *error)
{
    const size_t path_bytes = strlen(path);
    snug_checkpoint *checkpoint;
    size_t folder_bytes = 0;
    size_t folder_room;
    uint64_t bytes;

    SNUG_TRY(split_path(path, &folder_bytes, only_out, error));
    folder_room = snug_max_size(folder_bytes, 1) + 1;
    bytes = sizeof *checkpoint + path_bytes + 1 + 2 * folder_room + SNUG_FILE_NAME_BYTES_MAX + 1;
    checkpoint = snug_memory_alloc(memory, SNUG_MEMORY_OTHER, bytes, "the checkpoint", error);
    if (!checkpoint)
        return error ? error->status : SNUG_ERR_NO_MEMORY;
    checkpoint->memory = memory;
    checkpoint->struct_bytes = bytes;
    checkpoint->path = (char *)(checkpoint + 1);
    checkpoint->folder = checkpoint->path + path_bytes + 1;
    checkpoint->config_path = checkpoint->folder + folder_room;
    memcpy(checkpoint->path, path, path_bytes + 1);
    memcpy(checkpoint->folder, folder_bytes ? path : ".", folder_room - 1);
    *checkpoint_out = checkpoint;
    return SNUG_OK;
}

/* `name` is that of a file in the folder, at most SNUG_FILE_NAME_BYTES_MAX bytes. */
static void set_config_path(snug_checkpoint *checkpoint, const char *name)
{
    const size_t room = strlen(checkpoint->folder) + 1 + SNUG_FILE_NAME_BYTES_MAX + 1;

    snprintf(checkpoint->config_path, room, "%s/%s", checkpoint->folder, name);
}

/* Map a file that may be missing; what is there but no file is refused. */
static snug_status map_optional(snug_os_map *map_out, const char *path, snug_error *error)
{
    if (!snug_os_is_file(path) && !snug_os_is_folder(path))
        return SNUG_OK;
    return snug_os_map_open(map_out, path, error);
}

static snug_status open_json(snug_checkpoint *checkpoint, snug_checkpoint_file file, snug_error *error)
{
    checkpoint_json *json = &checkpoint->json[file];
    char path[SNUG_PATH_BYTES_MAX];
    snug_json root;
    snug_status status;
    bool is_there;

    SNUG_TRY(snug_path_join(path, checkpoint->folder, snug_checkpoint_file_name(file), error));
    is_there = snug_os_is_file(path) || snug_os_is_folder(path);
    if (!is_there && file == SNUG_FILE_CONFIG)
        SNUG_FAIL(error, SNUG_ERR_IO,
                  "%.300s: no config.json and no .gguf file, expected the folder of a model",
                  checkpoint->folder);
    if (!is_there)
        return SNUG_OK;
    SNUG_TRY(snug_os_map_open(&json->map, path, error));
    status = snug_json_check(&root, (snug_str){ json->map.data, json->map.bytes }, error);
    if (status == SNUG_OK && snug_json_kind_of(root) != SNUG_JSON_OBJECT)
        status = snug_fail(error, SNUG_ERR_CORRUPT, "the file is %s, expected a JSON object",
                           snug_json_kind_name(snug_json_kind_of(root)));
    if (status != SNUG_OK)
        return snug_path_fail(error, status, path);
    json->root = root;
    return SNUG_OK;
}

static snug_status open_chat_template(snug_checkpoint *checkpoint, snug_error *error)
{
    snug_os_map *map = &checkpoint->chat_template_file;
    char path[SNUG_PATH_BYTES_MAX];
    size_t valid;

    SNUG_TRY(snug_path_join(path, checkpoint->folder, CHAT_TEMPLATE_NAME, error));
    SNUG_TRY(map_optional(map, path, error));
    valid = map->bytes ? snug_utf8_valid_bytes(map->data, map->bytes) : 0;
    checkpoint->chat_template = (snug_str){ map->data, map->bytes };
    if (valid == map->bytes)
        return SNUG_OK;
    (void)snug_fail(error, SNUG_ERR_CORRUPT, "not UTF-8 at byte %zu", valid);
    return snug_path_fail(error, SNUG_ERR_CORRUPT, path);
}

static snug_status open_tokenizer_model(snug_checkpoint *checkpoint, snug_error *error)
{
    char path[SNUG_PATH_BYTES_MAX];

    if (checkpoint->json[SNUG_FILE_TOKENIZER].root.at)
        return SNUG_OK;
    SNUG_TRY(snug_path_join(path, checkpoint->folder, TOKENIZER_MODEL_NAME, error));
    return map_optional(&checkpoint->tokenizer_model, path, error);
}

/* --- opening: the tensors ------------------------------------------------------------------------------- */

/* First pass over a file's header: adds what its part of the table needs. */
static snug_status count_file(uint64_t *tensor_count, uint64_t *name_bytes, const snug_weight_file *file,
                              snug_error *error)
{
    snug_safetensors view;

    SNUG_TRY(snug_safetensors_open(&view, file->map.data, file->map.bytes, error));
    *tensor_count += view.tensor_count;
    *name_bytes += view.escaped_name_bytes;
    return SNUG_OK;
}

/* Second pass: fills the part that begins at *tensor_count and *names, and moves both behind it. */
static snug_status read_file(snug_checkpoint *checkpoint, char **names, uint32_t file, snug_error *error)
{
    const snug_os_map *map = &checkpoint->weights.files[file].map;
    snug_safetensors view;

    SNUG_TRY(snug_safetensors_open(&view, map->data, map->bytes, error));
    SNUG_TRY(
        snug_safetensors_read(checkpoint->tensors + checkpoint->tensor_count, *names, &view, file, error));
    checkpoint->tensor_count += view.tensor_count;
    *names += view.escaped_name_bytes;
    return SNUG_OK;
}

snug_status snug_checkpoint_weight_file_fail(const snug_checkpoint *checkpoint, size_t file,
                                             snug_status status, snug_error *error)
{
    char path[SNUG_PATH_BYTES_MAX];

    SNUG_TRY(snug_path_join(path, checkpoint->folder, checkpoint->weights.files[file].name, error));
    return snug_path_fail(error, status, path);
}

snug_status snug_checkpoint_allocate_table(snug_checkpoint *checkpoint, uint64_t tensor_count,
                                           uint64_t name_bytes, snug_error *error)
{
    uint64_t bytes;

    if (!snug_multiply_u64(&bytes, tensor_count, sizeof *checkpoint->tensors) ||
        !snug_add_u64(&bytes, bytes, name_bytes))
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "%.300s: %llu tensors", checkpoint->folder,
                  (unsigned long long)tensor_count);
    checkpoint->tensors =
        snug_memory_alloc(checkpoint->memory, SNUG_MEMORY_OTHER, bytes, "the table of tensors", error);
    if (!checkpoint->tensors)
        return error ? error->status : SNUG_ERR_NO_MEMORY;
    checkpoint->table_bytes = bytes;
    return SNUG_OK;
}

snug_status snug_checkpoint_sort_table(snug_checkpoint *checkpoint, snug_error *error)
{
    snug_tensor_sort(checkpoint->tensors, checkpoint->tensor_count, snug_tensor_compare_names);
    for (size_t i = 1; i < checkpoint->tensor_count; i++) {
        const snug_tensor *a = &checkpoint->tensors[i - 1];
        const snug_tensor *b = &checkpoint->tensors[i];

        if (!snug_str_equal(a->name, b->name))
            continue;
        if (a->file == b->file)
            (void)snug_fail(error, SNUG_ERR_CORRUPT, "tensor '%.*s' is described twice",
                            SNUG_STR_ARGS(snug_tensor_name_for_text(a)));
        else
            (void)snug_fail(error, SNUG_ERR_CORRUPT, "tensor '%.*s' is in %.100s too",
                            SNUG_STR_ARGS(snug_tensor_name_for_text(a)),
                            snug_checkpoint_weight_file_name(checkpoint, b->file));
        return snug_checkpoint_weight_file_fail(checkpoint, a->file, SNUG_ERR_CORRUPT, error);
    }
    return SNUG_OK;
}

static snug_status read_tensors(snug_checkpoint *checkpoint, snug_error *error)
{
    const snug_weight_files *weights = &checkpoint->weights;
    uint64_t tensor_count = 0;
    uint64_t name_bytes = 0;
    snug_status status;
    char *names;

    for (size_t i = 0; i < weights->count; i++) {
        status = count_file(&tensor_count, &name_bytes, &weights->files[i], error);
        if (status != SNUG_OK)
            return snug_checkpoint_weight_file_fail(checkpoint, i, status, error);
    }
    SNUG_TRY(snug_checkpoint_allocate_table(checkpoint, tensor_count, name_bytes, error));
    names = (char *)(checkpoint->tensors + tensor_count);
    for (size_t i = 0; i < weights->count; i++) {
        status = read_file(checkpoint, &names, (uint32_t)i, error);
        if (status != SNUG_OK)
            return snug_checkpoint_weight_file_fail(checkpoint, i, status, error);
    }
    return snug_checkpoint_sort_table(checkpoint, error);
}

static snug_status open_hugging_face(snug_checkpoint *checkpoint, const char *only, snug_error *error)
{
    set_config_path(checkpoint, snug_checkpoint_file_name(SNUG_FILE_CONFIG));
    for (int file = SNUG_FILE_COUNT; file-- > 0;)
        SNUG_TRY(open_json(checkpoint, (snug_checkpoint_file)file, error));
    SNUG_TRY(snug_checkpoint_read_model_type(checkpoint, error));
    SNUG_TRY(open_chat_template(checkpoint, error));
    SNUG_TRY(open_tokenizer_model(checkpoint, error));
    SNUG_TRY(
        snug_weight_files_open(&checkpoint->weights, checkpoint->memory, checkpoint->folder, only, error));
    return read_tensors(checkpoint, error);
}

static snug_status open_gguf(snug_checkpoint *checkpoint, const char *only, snug_error *error)
{
    checkpoint->is_gguf = true;
    SNUG_TRY(snug_weight_files_open_gguf(&checkpoint->weights, checkpoint->memory, checkpoint->folder, only,
                                         error));
    set_config_path(checkpoint, checkpoint->weights.files[0].name);
    SNUG_TRY(snug_checkpoint_read_gguf(checkpoint, error));
    return snug_checkpoint_read_model_type(checkpoint, error);
}

/* The path decides: neighbours of a GGUF file are not looked at, nor is a GGUF file beside config.json. */
static snug_status open_either(snug_checkpoint *checkpoint, const char *only, snug_error *error)
{
    char config[SNUG_PATH_BYTES_MAX];
    bool is_gguf;

    if (only) {
        is_gguf = has_suffix(only, SNUG_GGUF_SUFFIX);
    } else {
        SNUG_TRY(
            snug_path_join(config, checkpoint->folder, snug_checkpoint_file_name(SNUG_FILE_CONFIG), error));
        is_gguf = !snug_os_is_file(config) && !snug_os_is_folder(config) &&
                  snug_folder_holds_gguf(checkpoint->folder);
    }
    return is_gguf ? open_gguf(checkpoint, only, error) : open_hugging_face(checkpoint, only, error);
}

snug_status snug_checkpoint_open(snug_checkpoint **checkpoint_out, snug_memory *memory, const char *path,
                                 snug_error *error)
{
    snug_checkpoint *checkpoint = NULL;
    snug_error local = { .status = SNUG_OK }; /* where a caller wants no sentence, we still need the status */
    const char *only;
    snug_status status;

    *checkpoint_out = NULL;
    if (!error)
        error = &local;
    SNUG_TRY(create(&checkpoint, &only, memory, path, error));
    status = open_either(checkpoint, only, error);
    if (status != SNUG_OK) {
        snug_checkpoint_close(checkpoint);
        return status;
    }
    *checkpoint_out = checkpoint;
    return SNUG_OK;
}

void snug_checkpoint_close(snug_checkpoint *checkpoint)
{
    if (!checkpoint)
        return;
    snug_outline_free(checkpoint);
    snug_memory_free(checkpoint->memory, checkpoint->texts);
    snug_memory_free(checkpoint->memory, checkpoint->tensors);
    snug_warming_end(checkpoint->warming);
    snug_weight_files_close(&checkpoint->weights);
    snug_os_map_close(&checkpoint->tokenizer_model);
    snug_os_map_close(&checkpoint->chat_template_file);
    for (size_t i = 0; i < SNUG_FILE_COUNT; i++)
        snug_os_map_close(&checkpoint->json[i].map);
    snug_memory_free(checkpoint->memory, checkpoint);
}

/* --- looking -------------------------------------------------------------------------------------------- */

const char *snug_checkpoint_path(const snug_checkpoint *checkpoint)
{
    return checkpoint->path;
}

const char *snug_checkpoint_config_path(const snug_checkpoint *checkpoint)
{
    return checkpoint->config_path;
}

uint64_t snug_checkpoint_ledger_bytes(const snug_checkpoint *checkpoint)
{
    const snug_weight_files *weights = &checkpoint->weights;

    return snug_memory_block_bytes(checkpoint->struct_bytes) +
           snug_memory_block_bytes(weights->capacity * sizeof *weights->files) +
           snug_memory_block_bytes(checkpoint->table_bytes) +
           (checkpoint->texts ? snug_memory_block_bytes(checkpoint->texts_bytes) : 0);
}

const snug_tensor *snug_checkpoint_find(const snug_checkpoint *checkpoint, const char *name)
{
    const snug_tensor wanted = { .name = snug_str_from(name) };
    size_t low = 0;
    size_t high = checkpoint->tensor_count;

    if (checkpoint->outline)
        return snug_outline_any(checkpoint);
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = snug_tensor_compare_names(&checkpoint->tensors[middle], &wanted);

        if (order == 0)
            return &checkpoint->tensors[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

size_t snug_checkpoint_tensor_count(const snug_checkpoint *checkpoint)
{
    return checkpoint->tensor_count;
}

const snug_tensor *snug_checkpoint_tensor(const snug_checkpoint *checkpoint, size_t index)
{
    SNUG_ASSERT(index < checkpoint->tensor_count);
    return &checkpoint->tensors[index];
}

size_t snug_checkpoint_weight_file_count(const snug_checkpoint *checkpoint)
{
    return checkpoint->weights.count;
}

const char *snug_checkpoint_weight_file_name(const snug_checkpoint *checkpoint, size_t file)
{
    SNUG_ASSERT(file < checkpoint->weights.count);
    return checkpoint->weights.files[file].name;
}

uint64_t snug_checkpoint_mapped_bytes(const snug_checkpoint *checkpoint)
{
    uint64_t bytes = checkpoint->outline_bytes;

    for (size_t i = 0; i < checkpoint->weights.count; i++)
        bytes += checkpoint->weights.files[i].map.bytes;
    return bytes;
}

uint64_t snug_checkpoint_resident_bytes(const snug_checkpoint *checkpoint)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < checkpoint->weights.count; i++)
        bytes += snug_os_map_resident_bytes(&checkpoint->weights.files[i].map);
    return bytes;
}

void snug_checkpoint_read_around(const snug_checkpoint *checkpoint, bool is_wanted)
{
    for (size_t i = 0; i < checkpoint->weights.count; i++)
        snug_os_map_read_around(&checkpoint->weights.files[i].map, is_wanted);
}

bool snug_checkpoint_is_resident(const snug_checkpoint *checkpoint, const snug_tensor *tensor)
{
    return snug_checkpoint_is_outline(checkpoint) ||
           snug_os_map_is_resident(tensor->data, (size_t)tensor->bytes);
}

void snug_checkpoint_forget(const snug_checkpoint *checkpoint, const snug_tensor *tensor)
{
    if (!snug_checkpoint_is_outline(checkpoint))
        snug_os_map_forget(tensor->data, (size_t)tensor->bytes);
}

void snug_checkpoint_in_huge_pages(snug_checkpoint *checkpoint)
{
    if (atomic_exchange(&checkpoint->is_in_huge_pages, true))
        return;
    for (size_t i = 0; i < checkpoint->weights.count; i++)
        snug_os_map_in_huge_pages(&checkpoint->weights.files[i].map);
}

bool snug_checkpoint_is_in_huge_pages(const snug_checkpoint *checkpoint)
{
    return atomic_load(&checkpoint->is_in_huge_pages);
}

void snug_checkpoint_warm(snug_checkpoint *checkpoint)
{
    if (!checkpoint->warming)
        checkpoint->warming = snug_warming_begin(checkpoint->memory, &checkpoint->weights);
}

void snug_checkpoint_will_need(const snug_weight *rows)
{
    const size_t scale_bytes = rows->rows * snug_weight_scale_row_bytes(rows);

    snug_os_map_will_need(rows->data, rows->rows * rows->row_bytes);
    snug_os_map_will_need(rows->scale, scale_bytes);
    snug_os_map_will_need(rows->bias, scale_bytes);
}

void snug_checkpoint_was_used(const snug_weight *rows)
{
    snug_os_map_unmap(rows->data, rows->rows * rows->row_bytes);
}

/* Pages that may be waited for one by one before they are asked for again. */
#define WAITED_MOST 16

void snug_read_watch_begin(snug_read_watch *watch)
{
    const snug_os_reads reads = snug_os_reads_so_far();

    watch->blocks = reads.blocks;
    watch->faults = reads.faults;
}

void snug_read_watch_end(snug_read_watch *watch, bool is_whole)
{
    watch->is_resident = is_whole && snug_os_reads_so_far().blocks == watch->blocks;
}

bool snug_read_watch_asks(snug_read_watch *watch)
{
    if (watch->is_resident && snug_os_reads_so_far().faults - watch->faults > WAITED_MOST)
        watch->is_resident = false;
    return !watch->is_resident;
}

/* The tensor with the rank and shape of `wanted`, whose name is `name`. */
static snug_status find_shaped(const snug_tensor **tensor_out, const snug_checkpoint *checkpoint,
                               const char *name, const snug_tensor *wanted, snug_error *error)
{
#define TYPE_TEXT(type, number, values, bytes) " " #type
    static const char types[] = SNUG_TYPE_MAP(TYPE_TEXT);
#undef TYPE_TEXT
    const snug_tensor *tensor = snug_checkpoint_find(checkpoint, name);
    char expected[64];
    char found[64];

    if (checkpoint->outline)
        return snug_outline_tensor(tensor_out, checkpoint, name, wanted, error);
    snug_tensor_shape_text(expected, sizeof expected, wanted);
    if (!tensor)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "%.300s: tensor '%.100s' is missing, expected one of shape %s",
                  checkpoint->path, name, expected);
    if (tensor->rank != wanted->rank ||
        memcmp(tensor->shape, wanted->shape, tensor->rank * sizeof tensor->shape[0]) != 0) {
        snug_tensor_shape_text(found, sizeof found, tensor);
        (void)snug_fail(error, SNUG_ERR_CORRUPT, "tensor '%.100s' has the shape %s, expected %s", name, found,
                        expected);
        return snug_checkpoint_weight_file_fail(checkpoint, tensor->file, SNUG_ERR_CORRUPT, error);
    }
    if (tensor->type == SNUG_TYPE_NONE) {
        (void)snug_fail(error, SNUG_ERR_UNSUPPORTED, "tensor '%.100s' is %.*s, expected one of%s", name,
                        SNUG_STR_ARGS(tensor->type_name), types);
        return snug_checkpoint_weight_file_fail(checkpoint, tensor->file, SNUG_ERR_UNSUPPORTED, error);
    }
    *tensor_out = tensor;
    return SNUG_OK;
}

snug_status snug_checkpoint_matrix(const snug_tensor **tensor_out, const snug_checkpoint *checkpoint,
                                   const char *name, uint64_t rows, uint64_t columns, snug_error *error)
{
    const snug_tensor wanted = { .rank = 2, .shape = { rows, columns } };

    return find_shaped(tensor_out, checkpoint, name, &wanted, error);
}

snug_status snug_checkpoint_vector(const snug_tensor **tensor_out, const snug_checkpoint *checkpoint,
                                   const char *name, uint64_t values, snug_error *error)
{
    const snug_tensor wanted = { .rank = 1, .shape = { values } };

    return find_shaped(tensor_out, checkpoint, name, &wanted, error);
}

/* --- the other files ------------------------------------------------------------------------------------ */

snug_json snug_checkpoint_json(const snug_checkpoint *checkpoint, snug_checkpoint_file file)
{
    SNUG_ASSERT((size_t)file < SNUG_FILE_COUNT);
    return checkpoint->json[file].root;
}

snug_str snug_checkpoint_chat_template(const snug_checkpoint *checkpoint)
{
    return checkpoint->chat_template;
}

snug_str snug_checkpoint_tokenizer_model(const snug_checkpoint *checkpoint)
{
    return (snug_str){ checkpoint->tokenizer_model.data, checkpoint->tokenizer_model.bytes };
}

const snug_stored_vocabulary *snug_checkpoint_vocabulary(const snug_checkpoint *checkpoint)
{
    return checkpoint->is_gguf ? &checkpoint->vocabulary : NULL;
}
