/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalog.c - opens the catalogue and answers questions about its rows.
 */
#include "catalog/catalog.h"

#include <stdio.h>

#include "base/size.h"
#include "base/status.h"
#include "catalog/rows.h"
#include "memory/memory.h"

const char *snug_catalog_tier_name(unsigned tier)
{
    static const char *const names[SNUG_CATALOG_TIERS] = { "under-2", "2-to-4", "4-to-8", "over-8" };

    SNUG_ASSERT(tier < SNUG_CATALOG_TIERS);
    return names[tier];
}

/* --- opening -------------------------------------------------------------------------------------------- */

static snug_str our_text(void)
{
    return (snug_str){ snug_catalog_text, snug_catalog_text_bytes };
}

static snug_status read_user_file(snug_catalog *catalog, const char *path, snug_error *error)
{
    snug_status status;

    if (!path || !snug_os_is_file(path))
        return SNUG_OK;
    SNUG_TRY(snug_os_map_open(&catalog->user_map, path, error));
    status = snug_catalog_read_rows(catalog, (snug_str){ catalog->user_map.data, catalog->user_map.bytes },
                                    our_text(), 1, error);
    return status == SNUG_OK ? SNUG_OK : snug_fail_prefix(error, status, path);
}

static void add_bundled(snug_catalog *catalog, const char *folder)
{
    const char *slash = folder ? strrchr(folder, '/') : NULL;
    const char *name = slash ? slash + 1 : folder;
    catalog_model *model;

    if (!folder || !name[0] || strlen(name) >= CATALOG_NAME_BYTES || strlen(folder) >= CATALOG_PATH_BYTES)
        return;
    model = snug_catalog_add(catalog, name);
    snprintf(model->name, sizeof model->name, "%s", name);
    snprintf(model->title, sizeof model->title, "bundled");
    model->source_count = 1;
    snprintf(model->source[0].path, sizeof model->source[0].path, "%s", folder);
}

static void find_installed(snug_catalog *catalog)
{
    for (size_t i = 0; i < catalog->model_count; i++)
        for (size_t s = 0; s < catalog->models[i].source_count; s++) {
            catalog_source *source = &catalog->models[i].source[s];

            if (source->repository[0] &&
                !snug_hub_locate(source->path, sizeof source->path, catalog->cache_folder, source->repository,
                                 source->file))
                source->path[0] = '\0';
        }
}

static snug_status fill(snug_catalog *catalog, const snug_catalog_options *options, snug_error *error)
{
    SNUG_TRY(snug_catalog_read_rows(catalog, our_text(), our_text(), 1, error));
    if (!options)
        return SNUG_OK;
    if (options->cache_folder && strlen(options->cache_folder) >= sizeof catalog->cache_folder)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "the path of the hub's cache folder is longer than %d bytes",
                  CATALOG_PATH_BYTES);
    snprintf(catalog->cache_folder, sizeof catalog->cache_folder, "%s",
             options->cache_folder ? options->cache_folder : "");
    SNUG_TRY(read_user_file(catalog, options->user_file, error));
    add_bundled(catalog, options->bundled_folder);
    find_installed(catalog);
    return SNUG_OK;
}

snug_status snug_catalog_open(snug_catalog **catalog_out, snug_memory *memory,
                              const snug_catalog_options *options, snug_error *error)
{
    snug_error own = { SNUG_OK, "" };
    snug_catalog *catalog;
    snug_status status;

    *catalog_out = NULL;
    if (!error)
        error = &own;
    catalog = snug_memory_alloc(memory, SNUG_MEMORY_OTHER, sizeof *catalog, "the catalogue", error);
    if (!catalog)
        return error->status;
    catalog->memory = memory;
    status = fill(catalog, options, error);
    if (status != SNUG_OK) {
        snug_catalog_close(catalog);
        return status;
    }
    *catalog_out = catalog;
    return SNUG_OK;
}

void snug_catalog_close(snug_catalog *catalog)
{
    if (!catalog)
        return;
    snug_memory_free(catalog->memory, catalog->models);
    snug_os_map_close(&catalog->user_map);
    snug_memory_free(catalog->memory, catalog);
}

/* --- questions ------------------------------------------------------------------------------------------ */

size_t snug_catalog_model_count(const snug_catalog *catalog)
{
    return catalog->model_count;
}

void snug_catalog_read_model(snug_catalog_model *out, const snug_catalog *catalog, size_t model)
{
    const catalog_model *row = &catalog->models[model];

    SNUG_ASSERT(model < catalog->model_count);
    *out = (snug_catalog_model){
        .struct_size = out->struct_size,
        .name = row->name,
        .title = row->title,
        .publisher = row->publisher,
        .licence = row->licence,
        .tiers = row->tiers,
        .source_count = row->source_count,
    };
}

void snug_catalog_read_source(snug_catalog_source *out, const snug_catalog *catalog, size_t model,
                              size_t source)
{
    const catalog_source *row = &catalog->models[model].source[source];

    SNUG_ASSERT(model < catalog->model_count && source < catalog->models[model].source_count);
    *out = (snug_catalog_source){
        .struct_size = out->struct_size,
        .repository = row->repository,
        .file = row->file,
        .weights = row->weights,
        .path = row->path[0] ? row->path : NULL,
    };
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Whether they are the same but for case; `b` is terminated. */
static bool is_alike(snug_str a, const char *b)
{
    for (size_t i = 0; i < a.bytes; i++)
        if (!b[i] || lower(a.data[i]) != lower(b[i]))
            return false;
    return b[a.bytes] == '\0';
}

static size_t first_source(const catalog_model *model)
{
    for (size_t s = 0; s < model->source_count; s++)
        if (model->source[s].path[0])
            return s;
    return 0;
}

bool snug_catalog_find(size_t *model_out, size_t *source_out, const snug_catalog *catalog, const char *name)
{
    const char *colon = strchr(name, ':');
    const snug_str whole = { name, colon ? (size_t)(colon - name) : strlen(name) };
    const snug_str file = snug_str_from(colon ? colon + 1 : "");

    for (size_t i = 0; i < catalog->model_count; i++) {
        const catalog_model *model = &catalog->models[i];

        *model_out = i;
        *source_out = first_source(model);
        if (!colon && is_alike(whole, model->name))
            return true;
        for (size_t s = 0; s < model->source_count; s++) {
            *source_out = s;
            if (model->source[s].repository[0] && is_alike(whole, model->source[s].repository) &&
                (!colon || is_alike(file, model->source[s].file)))
                return true;
        }
    }
    return false;
}
