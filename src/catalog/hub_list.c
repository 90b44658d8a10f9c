/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub_list.c - reads the answer to /api/models/ID/revision/REV?blobs=true:
 *
 *   {"sha": COMMIT, "siblings": [{"rfilename": NAME, "size": N, "blobId": SHA1,
 *                                 "lfs": {"sha256": H, "size": N}}]}
 *
 * Large files have "lfs", small ones are named as git names them.
 */
#include "catalog/hub_list.h"

#include <stdio.h>

#include "base/size.h"
#include "base/status.h"
#include "memory/memory.h"

static bool has_ends(const char *name, const char *prefix, const char *suffix)
{
    const size_t bytes = strlen(name), before = strlen(prefix), after = strlen(suffix);

    return bytes >= before + after && memcmp(name, prefix, before) == 0 &&
           strcmp(name + bytes - after, suffix) == 0;
}

/* A file at the root of a repository that snug_model_open() or snug_text_open() reads. */
static bool is_part_of_model(const char *name)
{
    static const char *const others[] = { "config.json",
                                          "generation_config.json",
                                          "tokenizer.json",
                                          "tokenizer_config.json",
                                          "tokenizer.model",
                                          "chat_template.jinja",
                                          "model.safetensors.index.json" };

    for (size_t i = 0; i < SNUG_COUNT(others); i++)
        if (strcmp(name, others[i]) == 0)
            return true;
    return !strchr(name, '/') && has_ends(name, "model", ".safetensors");
}

static bool is_hex(const char *text, size_t digits)
{
    size_t count = 0;

    while ((text[count] >= '0' && text[count] <= '9') || (text[count] >= 'a' && text[count] <= 'f'))
        count++;
    return text[count] == '\0' && count == digits;
}

/* Unescaped and terminated; false when it is no text or too long. */
static bool read_text(char *out, size_t capacity, snug_json value)
{
    const snug_str raw = snug_json_string(value);
    size_t bytes;

    if (!raw.data || raw.bytes >= capacity)
        return false;
    bytes = snug_json_unescape(out, raw);
    out[bytes] = '\0';
    return memchr(out, '\0', bytes) == NULL;
}

static snug_status read_name(hub_entry *entry, snug_json sibling, snug_error *error)
{
    const snug_json name = snug_json_get(sibling, "rfilename");
    const snug_str text = snug_json_text(name);

    if (read_text(entry->name, sizeof entry->name, name) && snug_hub_is_file(snug_str_from(entry->name)))
        return SNUG_OK;
    SNUG_FAIL(error, SNUG_ERR_CORRUPT,
              "names a file %.*s, expected a path inside the repository: not fetched",
              (int)snug_min_size(text.bytes, 100), text.data ? text.data : "");
}

static snug_status read_content(hub_entry *entry, snug_json sibling, snug_error *error)
{
    const snug_json large = snug_json_get(sibling, "lfs");
    const bool is_large = snug_json_kind_of(large) == SNUG_JSON_OBJECT;

    entry->is_git = !is_large;
    if (!snug_json_u64(&entry->bytes, snug_json_get(is_large ? large : sibling, "size")) ||
        entry->bytes > INT64_MAX)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "gives no size for %.100s", entry->name);
    if (!read_text(entry->hash, sizeof entry->hash,
                   is_large ? snug_json_get(large, "sha256") : snug_json_get(sibling, "blobId")) ||
        !is_hex(entry->hash, is_large ? 64 : 40))
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "gives no hash for %.100s", entry->name);
    return SNUG_OK;
}

/* What the files are for, by all their names. */
typedef struct survey {
    bool has_config;
    size_t gguf_count;
    char gguf[CATALOG_FILE_BYTES]; /* one of them */
} survey;

static snug_status look(survey *out, snug_json siblings, snug_error *error)
{
    snug_json_iterator each = snug_json_iterate(siblings);
    snug_json sibling;

    *out = (survey){ 0 };
    while (snug_json_next(&each, NULL, &sibling)) {
        hub_entry entry;

        SNUG_TRY(read_name(&entry, sibling, error));
        out->has_config = out->has_config || strcmp(entry.name, "config.json") == 0;
        if (!has_ends(entry.name, "", ".gguf"))
            continue;
        out->gguf_count++;
        memcpy(out->gguf, entry.name, sizeof out->gguf);
    }
    return SNUG_OK;
}

static snug_status add_wanted(hub_list *list, snug_json siblings, const char *only, snug_error *error)
{
    snug_json_iterator each = snug_json_iterate(siblings);
    snug_json sibling;

    while (snug_json_next(&each, NULL, &sibling)) {
        hub_entry *entry = &list->entries[list->count];

        SNUG_TRY(read_name(entry, sibling, error));
        if (only ? strcmp(entry->name, only) != 0 : !is_part_of_model(entry->name))
            continue;
        SNUG_TRY(read_content(entry, sibling, error));
        list->count++;
    }
    return SNUG_OK;
}

/* A repository of GGUF files is no one model: without a name there must be only one. */
static snug_status choose(const char **only, const survey *found, snug_error *error)
{
    if (*only || found->gguf_count == 0 || found->has_config)
        return SNUG_OK;
    if (found->gguf_count > 1)
        SNUG_FAIL(error, SNUG_ERR_IO, "has %zu GGUF files: say which one, such as REPOSITORY:%.150s",
                  found->gguf_count, found->gguf);
    *only = found->gguf;
    return SNUG_OK;
}

static snug_status read_list(hub_list *list, snug_json root, const char *only, snug_error *error)
{
    const snug_json siblings = snug_json_get(root, "siblings");
    survey found;

    if (!read_text(list->commit, sizeof list->commit, snug_json_get(root, "sha")) ||
        !is_hex(list->commit, 40))
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "no commit in the answer");
    if (snug_json_kind_of(siblings) != SNUG_JSON_ARRAY)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "no list of files in the answer");
    SNUG_TRY(look(&found, siblings, error));
    SNUG_TRY(choose(&only, &found, error));
    list->entries = snug_memory_alloc(list->memory, SNUG_MEMORY_OTHER,
                                      (snug_json_count(siblings) + 1) * sizeof *list->entries,
                                      "the list of a model's files", error);
    if (!list->entries)
        return error->status;
    SNUG_TRY(add_wanted(list, siblings, only, error));
    if (list->count == 0 && only)
        SNUG_FAIL(error, SNUG_ERR_IO, "has no file %.200s", only);
    if (list->count == 0)
        SNUG_FAIL(error, SNUG_ERR_IO, "has no config.json with safetensors, and no GGUF file");
    return SNUG_OK;
}

snug_status snug_hub_list_read(hub_list *out, snug_memory *memory, snug_str answer, const char *only,
                               snug_error *error)
{
    snug_json root;
    snug_status status = snug_json_check(&root, answer, error);

    *out = (hub_list){ .memory = memory };
    if (status == SNUG_OK)
        status = read_list(out, root, only, error);
    if (status != SNUG_OK)
        snug_hub_list_free(out);
    return status;
}

void snug_hub_list_free(hub_list *list)
{
    snug_memory_free(list->memory, list->entries);
    list->entries = NULL;
    list->count = 0;
}
