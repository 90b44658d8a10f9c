/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows.c - reads a catalogue's JSON into rows. A user's file is added to ours: a model of the same name takes
 * the place of the one that was there.
 */
#include "catalog/rows.h"

#include <stdio.h>

#include "base/size.h"
#include "base/status.h"
#include "memory/memory.h"

/* More than anybody will list; a longer list is a mistake. */
#define MODELS_MAX 1024

typedef struct reading {
    snug_catalog *catalog;
    snug_json tokenizers; /* of this file */
    snug_json our_tokenizers;
    snug_json row;
    const char *model; /* for sentences; "" before it is known */
    snug_error *error;
} reading;

static snug_status fail(const reading *r, const char *key, const char *expected)
{
    const snug_json value = snug_json_get(r->row, key);
    const snug_str text = snug_json_text(value);

    if (value.at)
        SNUG_FAIL(r->error, SNUG_ERR_CORRUPT, "model \"%s\": %s is %.*s, expected %s", r->model, key,
                  (int)snug_min_size(text.bytes, 60), text.data, expected);
    SNUG_FAIL(r->error, SNUG_ERR_CORRUPT, "model \"%s\": %s is missing, expected %s", r->model, key,
              expected);
}

/* A text of the object, terminated; false when it is none, is too long or holds control characters. */
static bool read_text(char *out, size_t capacity, snug_json object, const char *key)
{
    const snug_json value = snug_json_get(object, key);
    const snug_str raw = snug_json_string(value);
    size_t bytes;

    out[0] = '\0';
    if (snug_json_kind_of(value) == SNUG_JSON_ABSENT)
        return true;
    if (!raw.data || raw.bytes >= capacity)
        return false;
    bytes = snug_json_unescape(out, raw);
    out[bytes] = '\0';
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
            return false;
    return true;
}

static snug_status read_tokenizer(catalog_model *model, const reading *r)
{
    char name[CATALOG_NAME_BYTES];
    uint64_t pieces, bytes, merges;
    snug_json row;

    if (!read_text(name, sizeof name, r->row, "tokenizer") || !name[0])
        return fail(r, "tokenizer", "the name of one of \"tokenizers\"");
    row = snug_json_get(r->tokenizers, name);
    if (!row.at)
        row = snug_json_get(r->our_tokenizers, name);
    if (!snug_json_u64(&pieces, snug_json_get(row, "pieces")) || pieces > UINT32_MAX / 4 ||
        !snug_json_u64(&bytes, snug_json_get(row, "piece_bytes")) || bytes > UINT32_MAX ||
        !snug_json_u64(&merges, snug_json_get(row, "merges")) || merges > UINT32_MAX / 16)
        return fail(r, "tokenizer", "the name of one of \"tokenizers\", with pieces, piece_bytes and merges");
    model->tokenizer = (catalog_tokenizer){ (uint32_t)pieces, bytes, (uint32_t)merges };
    return SNUG_OK;
}

static snug_status read_tiers(catalog_model *model, const reading *r)
{
    snug_json_iterator each = snug_json_iterate(snug_json_get(r->row, "tiers"));
    snug_json value;

    while (snug_json_next(&each, NULL, &value)) {
        unsigned tier = 0;

        while (tier < SNUG_CATALOG_TIERS && !snug_json_string_is(value, snug_catalog_tier_name(tier)))
            tier++;
        if (tier == SNUG_CATALOG_TIERS)
            return fail(r, "tiers", "a list of under-2, 2-to-4, 4-to-8 and over-8");
        model->tiers |= 1u << tier;
    }
    return SNUG_OK;
}

static snug_status read_source(catalog_source *source, const reading *r, snug_json value)
{
    if (!read_text(source->repository, sizeof source->repository, value, "repository") ||
        !snug_hub_is_repository(snug_str_from(source->repository)))
        return fail(r, "sources", "each with a repository \"ORG/NAME\"");
    if (!read_text(source->file, sizeof source->file, value, "file") ||
        (source->file[0] && !snug_hub_is_file(snug_str_from(source->file))))
        return fail(r, "sources", "a file to be a path inside its repository");
    if (!read_text(source->weights, sizeof source->weights, value, "weights") || !source->weights[0])
        return fail(r, "sources", "each with weights, such as \"bf16\" or \"affine4:64\"");
    return SNUG_OK;
}

static snug_status read_sources(catalog_model *model, const reading *r)
{
    snug_json_iterator each = snug_json_iterate(snug_json_get(r->row, "sources"));
    snug_json value;

    while (snug_json_next(&each, NULL, &value)) {
        if (model->source_count == CATALOG_SOURCES_MAX)
            return fail(r, "sources", "at most 8");
        SNUG_TRY(read_source(&model->source[model->source_count], r, value));
        model->source_count++;
    }
    return model->source_count > 0 ? SNUG_OK : fail(r, "sources", "a list of repositories");
}

static snug_status read_model(catalog_model *model, reading *r)
{
    const snug_json config = snug_json_get(r->row, "config");

    r->model = "";
    if (!read_text(model->name, sizeof model->name, r->row, "name") || !model->name[0])
        return fail(r, "name", "a short text");
    r->model = model->name;
    if (!read_text(model->title, sizeof model->title, r->row, "title"))
        return fail(r, "title", "a short text");
    if (!read_text(model->publisher, sizeof model->publisher, r->row, "publisher"))
        return fail(r, "publisher", "a short text");
    if (!read_text(model->licence, sizeof model->licence, r->row, "licence"))
        return fail(r, "licence", "a short text");
    if (snug_json_kind_of(config) != SNUG_JSON_OBJECT)
        return fail(r, "config", "the object of its config.json");
    model->config = snug_json_text(config);
    SNUG_TRY(read_tiers(model, r));
    SNUG_TRY(read_tokenizer(model, r));
    return read_sources(model, r);
}

/* Room for `count` rows more. */
static snug_status reserve(snug_catalog *catalog, size_t count, snug_error *error)
{
    const size_t capacity = catalog->model_count + count;
    catalog_model *models = snug_memory_alloc(catalog->memory, SNUG_MEMORY_OTHER, capacity * sizeof *models,
                                              "the catalogue", error);

    if (!models)
        return error ? error->status : SNUG_ERR_NO_MEMORY;
    if (catalog->model_count)
        memcpy(models, catalog->models, catalog->model_count * sizeof *models);
    snug_memory_free(catalog->memory, catalog->models);
    catalog->models = models;
    catalog->capacity = capacity;
    return SNUG_OK;
}

catalog_model *snug_catalog_add(snug_catalog *catalog, const char *name)
{
    catalog_model *model;

    for (size_t i = 0; i < catalog->model_count; i++)
        if (strcmp(catalog->models[i].name, name) == 0) {
            model = &catalog->models[i];
            memset(model, 0, sizeof *model);
            return model;
        }
    SNUG_ASSERT(catalog->model_count < catalog->capacity);
    model = &catalog->models[catalog->model_count++];
    memset(model, 0, sizeof *model);
    return model;
}

static snug_status read_models(reading *r, snug_json models)
{
    snug_json_iterator each = snug_json_iterate(models);

    while (snug_json_next(&each, NULL, &r->row)) {
        char name[CATALOG_NAME_BYTES] = "";

        (void)read_text(name, sizeof name, r->row, "name");
        SNUG_TRY(read_model(snug_catalog_add(r->catalog, name), r));
    }
    return SNUG_OK;
}

snug_status snug_catalog_read_rows(snug_catalog *catalog, snug_str text, snug_str our_text, size_t more,
                                   snug_error *error)
{
    reading r = { .catalog = catalog, .model = "", .error = error };
    snug_json root, our_root, models;
    uint64_t format = 0;

    SNUG_TRY(snug_json_check(&our_root, our_text, error));
    SNUG_TRY(snug_json_check(&root, text, error));
    if (!snug_json_u64(&format, snug_json_get(root, "format")) || format != 1)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "not a catalogue: expected an object with \"format\": 1");
    models = snug_json_get(root, "models");
    if (snug_json_kind_of(models) != SNUG_JSON_ARRAY || snug_json_count(models) > MODELS_MAX)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "models should be a list of at most %d", MODELS_MAX);
    r.tokenizers = snug_json_get(root, "tokenizers");
    r.our_tokenizers = snug_json_get(our_root, "tokenizers");
    SNUG_TRY(reserve(catalog, snug_json_count(models) + more, error));
    return read_models(&r, models);
}
