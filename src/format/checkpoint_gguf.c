/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint_gguf.c - a checkpoint out of one GGUF file, or out of the parts of a split one: the first part
 * has the metadata, all have tensors. The metadata becomes the JSON texts of a Hugging Face checkpoint, the
 * names of tensors become Hugging Face's; nothing that reads a checkpoint has to know.
 */
#include "base/size.h"
#include "base/status.h"
#include "base/utf8.h"
#include "format/checkpoint_private.h"
#include "format/gguf.h"
#include "format/gguf_config.h"
#include "format/gguf_names.h"
#include "memory/memory.h"

/* Needed only while opening. */
typedef struct gguf_parts {
    snug_gguf *views; /* one for each weight file; entries of the first only */
    snug_gguf_entry *entries;
    snug_tensor *tensors; /* of all parts, by GGUF's names */
    size_t tensor_count;
} gguf_parts;

/* A block for `count` things; their sizes are bounded by the file's. */
static snug_status allocate(void **out, const snug_checkpoint *checkpoint, uint64_t count, size_t thing_bytes,
                            const char *what, snug_error *error)
{
    uint64_t bytes;

    if (!snug_multiply_u64(&bytes, count, thing_bytes))
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "%llu entries are too many", (unsigned long long)count);
    *out = snug_memory_alloc(checkpoint->memory, SNUG_MEMORY_OTHER, bytes, what, error);
    return *out ? SNUG_OK : error->status;
}

/* --- parts ---------------------------------------------------------------------------------------------- */

static snug_status check_key(const snug_gguf *view, const char *key, uint64_t expected, snug_error *error)
{
    const snug_gguf_value value = snug_gguf_find(view, key);
    uint64_t number;

    if (!snug_gguf_u64(&number, value))
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "%s is %s, expected %llu", key,
                  value.at ? "no whole number" : "missing", (unsigned long long)expected);
    if (number != expected)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "%s is %llu, expected %llu", key, (unsigned long long)number,
                  (unsigned long long)expected);
    return SNUG_OK;
}

/* What part `index` of `count` says of itself. A file that is no part need not say anything. */
static snug_status check_part(const snug_gguf *view, size_t index, size_t count, snug_error *error)
{
    const snug_gguf_value stated = snug_gguf_find(view, "split.count");
    uint64_t stated_count;

    if (!stated.at && count == 1)
        return SNUG_OK;
    if (count == 1 && snug_gguf_u64(&stated_count, stated) && stated_count > 1)
        SNUG_FAIL(
            error, SNUG_ERR_CORRUPT,
            "split.count is %llu: this is one part of a model, expected the others beside it, with names "
            "like NAME-00001-of-%05llu.gguf",
            (unsigned long long)stated_count, (unsigned long long)stated_count);
    SNUG_TRY(check_key(view, "split.count", count, error));
    return check_key(view, "split.no", index, error);
}

/* A part's entries, in a block of their own; view->entries points to it. */
static snug_status read_entries(snug_gguf_entry **entries_out, const snug_checkpoint *checkpoint,
                                snug_gguf *view, snug_error *error)
{
    void *block;

    SNUG_TRY(allocate(&block, checkpoint, view->entry_count, sizeof **entries_out, "the table of metadata",
                      error));
    *entries_out = block;
    return snug_gguf_read_entries(view, *entries_out, error);
}

static snug_status open_part(gguf_parts *parts, const snug_checkpoint *checkpoint, size_t index,
                             snug_error *error)
{
    const snug_os_map *map = &checkpoint->weights.files[index].map;
    snug_gguf *view = &parts->views[index];
    snug_gguf_entry *entries = NULL;
    snug_status status;

    SNUG_TRY(snug_gguf_open(view, map->data, map->bytes, error));
    parts->tensor_count += view->tensor_count;
    status = read_entries(&entries, checkpoint, view, error);
    if (status == SNUG_OK)
        status = check_part(view, index, checkpoint->weights.count, error);
    if (index == 0) {
        parts->entries = entries;
    } else {
        snug_memory_free(checkpoint->memory, entries);
        view->entries = NULL;
    }
    return status;
}

/* Of the metadata in the first part. */
static snug_status check_total(const gguf_parts *parts, size_t count, snug_error *error)
{
    static const char key[] = "split.tensors.count";

    if (count == 1 && !snug_gguf_find(&parts->views[0], key).at)
        return SNUG_OK;
    return check_key(&parts->views[0], key, parts->tensor_count, error);
}

static snug_status open_parts(gguf_parts *parts, const snug_checkpoint *checkpoint, snug_error *error)
{
    const size_t count = checkpoint->weights.count;
    snug_tensor *tensors;
    snug_status status;
    void *block;

    SNUG_TRY(allocate(&block, checkpoint, count, sizeof *parts->views, "the list of parts", error));
    parts->views = block;
    for (size_t i = 0; i < count; i++) {
        status = open_part(parts, checkpoint, i, error);
        if (status != SNUG_OK)
            return snug_checkpoint_weight_file_fail(checkpoint, i, status, error);
    }
    status = check_total(parts, count, error);
    if (status != SNUG_OK)
        return snug_checkpoint_weight_file_fail(checkpoint, 0, status, error);
    SNUG_TRY(
        allocate(&block, checkpoint, parts->tensor_count, sizeof *tensors, "the table of tensors", error));
    parts->tensors = tensors = block;
    for (size_t i = 0; i < count; i++) {
        status = snug_gguf_read_tensors(tensors, &parts->views[i], (uint32_t)i, error);
        if (status != SNUG_OK)
            return snug_checkpoint_weight_file_fail(checkpoint, i, status, error);
        tensors += parts->views[i].tensor_count;
    }
    return SNUG_OK;
}

static void free_parts(gguf_parts *parts, const snug_checkpoint *checkpoint)
{
    snug_memory_free(checkpoint->memory, parts->tensors);
    snug_memory_free(checkpoint->memory, parts->entries);
    snug_memory_free(checkpoint->memory, parts->views);
}

/* --- translation ---------------------------------------------------------------------------------------- */

static snug_status write_texts(snug_checkpoint *checkpoint, const gguf_parts *parts, snug_error *error)
{
    const snug_gguf *first = &parts->views[0];
    snug_gguf_texts texts;
    size_t counted, written;
    size_t valid;
    void *block;

    SNUG_TRY(
        snug_gguf_write_config(&texts, NULL, &counted, first, parts->tensors, parts->tensor_count, error));
    SNUG_TRY(allocate(&block, checkpoint, counted, 1, "the configuration", error));
    checkpoint->texts = block;
    checkpoint->texts_bytes = counted;
    SNUG_TRY(snug_gguf_write_config(&texts, checkpoint->texts, &written, first, parts->tensors,
                                    parts->tensor_count, error));
    SNUG_ASSERT(written == counted);
    SNUG_TRY(snug_json_check(&checkpoint->json[SNUG_FILE_CONFIG].root, texts.config, error));
    SNUG_TRY(
        snug_json_check(&checkpoint->json[SNUG_FILE_GENERATION_CONFIG].root, texts.generation_config, error));
    SNUG_TRY(
        snug_json_check(&checkpoint->json[SNUG_FILE_TOKENIZER_CONFIG].root, texts.tokenizer_config, error));
    valid = snug_utf8_valid_bytes(texts.chat_template.data, texts.chat_template.bytes);
    if (valid != texts.chat_template.bytes)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "tokenizer.chat_template is not UTF-8 at byte %zu", valid);
    checkpoint->chat_template = texts.chat_template;
    checkpoint->vocabulary = texts.vocabulary;
    return SNUG_OK;
}

static snug_status translate_tensors(snug_checkpoint *checkpoint, const gguf_parts *parts, snug_error *error)
{
    const snug_str architecture = snug_gguf_architecture(&parts->views[0]);
    size_t tensor_count = 0;
    size_t name_bytes = 0;
    snug_status status = snug_gguf_count_names(&tensor_count, &name_bytes, parts->tensors,
                                               parts->tensor_count, architecture, error);

    if (status != SNUG_OK)
        return snug_path_fail(error, status, checkpoint->config_path);
    SNUG_TRY(snug_checkpoint_allocate_table(checkpoint, tensor_count, name_bytes, error));
    checkpoint->tensor_count = tensor_count;
    snug_gguf_translate_names(checkpoint->tensors, (char *)(checkpoint->tensors + tensor_count),
                              parts->tensors, parts->tensor_count, architecture);
    return snug_checkpoint_sort_table(checkpoint, error);
}

snug_status snug_checkpoint_read_gguf(snug_checkpoint *checkpoint, snug_error *error)
{
    gguf_parts parts = { NULL, NULL, NULL, 0 };
    snug_status status = open_parts(&parts, checkpoint, error);

    if (status == SNUG_OK) {
        status = write_texts(checkpoint, &parts, error);
        if (status != SNUG_OK)
            (void)snug_path_fail(error, status, checkpoint->config_path);
    }
    if (status == SNUG_OK)
        status = translate_tensors(checkpoint, &parts, error);
    free_parts(&parts, checkpoint);
    return status;
}
