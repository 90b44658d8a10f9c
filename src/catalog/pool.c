/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.c - loaded models. A model's bytes are what it maps and what the ledger grew by while it was loaded.
 */
#include "catalog/pool.h"

#include <snug/text.h>

#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "catalog/fit.h"
#include "memory/memory.h"
#include "model/model.h"
#include "os/file.h"
#include "os/pages.h"

#define POOL_MODELS_MAX 32
#define WARM_STEP_BYTES ((size_t)4 << 20)

typedef struct pool_entry {
    char path[2 * CATALOG_PATH_BYTES]; /* "": free */
    snug_model *model;
    snug_text *text;
    uint64_t bytes;
    uint32_t uses;
    uint64_t used_at; /* a counter: larger is later */
} pool_entry;

struct snug_pool {
    snug_memory *memory;
    const snug_catalog *catalog;
    uint64_t budget_bytes;
    uint64_t clock;
    uint64_t loads;
    uint64_t evictions;
    pool_entry entry[POOL_MODELS_MAX];
};

/* --- progress ------------------------------------------------------------------------------------------- */

static void say(const snug_load_options *options, snug_load_phase phase, uint64_t done, uint64_t total)
{
    const snug_load_progress progress = {
        .phase = phase,
        .fraction = total > 0  ? (double)done / (double)total
                    : done > 0 ? 1.0
                               : 0.0,
        .done_bytes = total > 0 ? done : 0,
        .total_bytes = total,
    };

    if (options->on_progress)
        options->on_progress(options->user, &progress);
}

static bool is_going(const snug_load_options *options)
{
    return !options->keep_going || options->keep_going(options->user);
}

static bool hub_is_going(void *user)
{
    return is_going(user);
}

static void hub_progress(void *user, const snug_hub_progress *progress)
{
    say(user, SNUG_LOAD_DOWNLOAD, progress->done_bytes, progress->total_bytes);
}

/* --- room ----------------------------------------------------------------------------------------------- */

static uint64_t used_bytes(const snug_pool *pool)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < POOL_MODELS_MAX; i++)
        sum += pool->entry[i].bytes;
    return sum;
}

static void evict(snug_pool *pool, pool_entry *entry)
{
    SNUG_ASSERT(entry->uses == 0);
    snug_text_close(entry->text);
    snug_model_close(entry->model);
    memset(entry, 0, sizeof *entry);
    pool->evictions++;
}

/* The one that was used longest ago and is not in use, or NULL. */
static pool_entry *oldest(snug_pool *pool)
{
    pool_entry *found = NULL;

    for (size_t i = 0; i < POOL_MODELS_MAX; i++) {
        pool_entry *entry = &pool->entry[i];

        if (entry->path[0] && entry->uses == 0 && (!found || entry->used_at < found->used_at))
            found = entry;
    }
    return found;
}

uint64_t snug_pool_trim(snug_pool *pool, uint64_t bytes)
{
    const uint64_t before = used_bytes(pool);
    pool_entry *entry;

    while (used_bytes(pool) > bytes && (entry = oldest(pool)))
        evict(pool, entry);
    return before - used_bytes(pool);
}

static pool_entry *free_entry(snug_pool *pool)
{
    pool_entry *entry;

    for (size_t i = 0; i < POOL_MODELS_MAX; i++)
        if (!pool->entry[i].path[0])
            return &pool->entry[i];
    entry = oldest(pool);
    if (entry)
        evict(pool, entry);
    return entry;
}

static pool_entry *find(snug_pool *pool, const char *path)
{
    for (size_t i = 0; i < POOL_MODELS_MAX; i++)
        if (strcmp(pool->entry[i].path, path) == 0)
            return &pool->entry[i];
    return NULL;
}

/* --- loading -------------------------------------------------------------------------------------------- */

/* Make room for `bytes` more, or say what stands in the way. */
static snug_status make_room(snug_pool *pool, uint64_t bytes, const char *path, snug_error *error)
{
    if (pool->budget_bytes == 0)
        return SNUG_OK;
    if (bytes <= pool->budget_bytes)
        (void)snug_pool_trim(pool, pool->budget_bytes - bytes);
    if (bytes <= pool->budget_bytes && used_bytes(pool) <= pool->budget_bytes - bytes)
        return SNUG_OK;
    SNUG_FAIL(error, SNUG_ERR_OVER_LIMIT,
              "%.200s takes %s; models in use hold %s of the %s that loaded models may take", path,
              snug_catalog_size(bytes).text, snug_catalog_size(used_bytes(pool)).text,
              snug_catalog_size(pool->budget_bytes).text);
}

/* A load, and who is asked before anything large is opened. */
typedef struct pool_load {
    const snug_load_options *options;
    catalog_admit_fn admit; /* NULL: nobody */
    void *user;
} pool_load;

static snug_status ask(const pool_load *load, const snug_model *model, uint64_t text_bytes, snug_error *error)
{
    return load->admit ? load->admit(load->user, model, text_bytes, error) : SNUG_OK;
}

/* Room is made when the headers say what it takes: what is closed for it is no part of the sums. */
static snug_status open_parts(snug_pool *pool, pool_entry *entry, const char *path, const pool_load *load,
                              snug_error *error)
{
    const uint64_t before_model = snug_memory_read_all(pool->memory).used_bytes;
    uint64_t before_text, text_bytes, model_bytes;

    SNUG_TRY(snug_model_open(&entry->model, pool->memory, path, &load->options->model, error));
    model_bytes = snug_memory_read_all(pool->memory).used_bytes - before_model;
    model_bytes += snug_checkpoint_mapped_bytes(entry->model->checkpoint);
    SNUG_TRY(snug_text_estimate_path(&text_bytes, pool->memory, path, error));
    SNUG_TRY(make_room(pool, model_bytes + text_bytes, path, error));
    SNUG_TRY(ask(load, entry->model, text_bytes, error));
    before_text = snug_memory_read_all(pool->memory).used_bytes;
    SNUG_TRY(snug_text_open_files(&entry->text, pool->memory, entry->model->checkpoint, error));
    entry->bytes = model_bytes + snug_memory_read_all(pool->memory).used_bytes - before_text;
    return SNUG_OK;
}

/* A byte of each page is read; what the compiler must not leave out is the reading. */
static void touch(const unsigned char *data, size_t bytes)
{
    const size_t page = snug_os_page_bytes();
    volatile unsigned char sum = 0;

    snug_os_map_will_need(data, bytes);
    for (size_t at = 0; at < bytes; at += page)
        sum = (unsigned char)(sum + data[at]);
}

static snug_status warm(const snug_model *model, const snug_load_options *options, snug_error *error)
{
    const snug_checkpoint *checkpoint = model->checkpoint;
    uint64_t total = 0, done = 0;

    for (size_t i = 0; i < snug_checkpoint_tensor_count(checkpoint); i++)
        total += snug_checkpoint_tensor(checkpoint, i)->bytes;
    for (size_t i = 0; i < snug_checkpoint_tensor_count(checkpoint); i++) {
        const snug_tensor *tensor = snug_checkpoint_tensor(checkpoint, i);

        for (size_t at = 0; at < tensor->bytes; at += WARM_STEP_BYTES) {
            const size_t bytes = snug_min_size(WARM_STEP_BYTES, (size_t)tensor->bytes - at);

            if (!is_going(options))
                SNUG_FAIL(error, SNUG_ERR_CANCELLED, "stopped while the weights were read");
            touch((const unsigned char *)tensor->data + at, bytes);
            done += bytes;
            say(options, SNUG_LOAD_WARM, done, total);
        }
    }
    return SNUG_OK;
}

static void hold(snug_loaded *out, snug_pool *pool, pool_entry *entry)
{
    entry->uses++;
    entry->used_at = ++pool->clock;
    *out =
        (snug_loaded){ .model = entry->model, .text = entry->text, .place = (size_t)(entry - pool->entry) };
}

static snug_status open_entry(snug_pool *pool, pool_entry *entry, const char *path, const pool_load *load,
                              snug_error *error)
{
    const snug_load_options *options = load->options;
    snug_status status;

    say(options, SNUG_LOAD_MAP, 0, 0);
    status = open_parts(pool, entry, path, load, error);
    if (status == SNUG_OK && options->is_warm)
        status = warm(entry->model, options, error);
    if (status == SNUG_OK)
        return SNUG_OK;
    snug_text_close(entry->text);
    snug_model_close(entry->model);
    memset(entry, 0, sizeof *entry);
    return status;
}

static snug_status load_path(snug_loaded *out, snug_pool *pool, const char *path, const pool_load *load,
                             snug_error *error)
{
    pool_entry *entry = find(pool, path);

    if (!is_going(load->options))
        SNUG_FAIL(error, SNUG_ERR_CANCELLED, "stopped before anything was loaded");
    if (!entry) {
        entry = free_entry(pool);
        if (!entry)
            SNUG_FAIL(error, SNUG_ERR_FULL, "%d models are in use: no more can be loaded", POOL_MODELS_MAX);
        SNUG_TRY(open_entry(pool, entry, path, load, error));
        snprintf(entry->path, sizeof entry->path, "%s", path);
        pool->loads++;
    } else {
        SNUG_TRY(ask(load, entry->model, 0, error));
    }
    hold(out, pool, entry);
    say(load->options, SNUG_LOAD_READY, 1, 0);
    return SNUG_OK;
}

/* --- which model ---------------------------------------------------------------------------------------- */

static snug_status pull(char *path_out, size_t capacity, const snug_pool *pool, const char *repository,
                        const char *file, const snug_load_options *options, snug_error *error)
{
    snug_hub_options hub = { .struct_size = sizeof hub };
    /* The callbacks get the caller's options back, through a pointer that is not const. */
    snug_load_options own = *options;

    if (options->hub)
        hub = *options->hub;
    if (!hub.cache_folder)
        hub.cache_folder = pool->catalog->cache_folder;
    hub.keep_going = hub_is_going;
    hub.on_progress = hub_progress;
    hub.user = &own;
    return snug_hub_pull(path_out, capacity, pool->memory, repository, file, &hub, error);
}

/* A source of the catalogue: where it is, or where it will be. */
static snug_status resolve_source(char *path_out, size_t capacity, const snug_pool *pool,
                                  const catalog_source *source, const char *name,
                                  const snug_load_options *options, snug_error *error)
{
    if (source->path[0]) {
        snprintf(path_out, capacity, "%s", source->path);
        return SNUG_OK;
    }
    /* It may have been fetched since the catalogue was opened. */
    if (snug_hub_locate(path_out, capacity, pool->catalog->cache_folder, source->repository, source->file))
        return SNUG_OK;
    if (!options->may_pull)
        SNUG_FAIL(error, SNUG_ERR_IO, "%.200s is not on this machine", name);
    return pull(path_out, capacity, pool, source->repository, source->file, options, error);
}

/* "ORG/NAME" or "ORG/NAME:FILE" that was fetched, whether it is a row of the catalogue or not. */
static bool locate(char *path_out, size_t capacity, const snug_pool *pool, const char *name)
{
    const char *colon = strchr(name, ':');
    const size_t bytes = colon ? (size_t)(colon - name) : strlen(name);
    char repository[CATALOG_REPOSITORY_BYTES];

    if (bytes >= sizeof repository || !pool->catalog->cache_folder[0])
        return false;
    memcpy(repository, name, bytes);
    repository[bytes] = '\0';
    return snug_hub_locate(path_out, capacity, pool->catalog->cache_folder, repository,
                           colon ? colon + 1 : "");
}

static snug_status resolve(char *path_out, size_t capacity, const snug_pool *pool, const char *name,
                           const snug_load_options *options, snug_error *error)
{
    size_t model, source;

    say(options, SNUG_LOAD_RESOLVE, 0, 0);
    if (snug_os_is_folder(name) || snug_os_is_file(name)) {
        if (strlen(name) >= capacity)
            SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "the path of the model is longer than %zu bytes", capacity);
        memcpy(path_out, name, strlen(name) + 1);
        return SNUG_OK;
    }
    if (!snug_catalog_find(&model, &source, pool->catalog, name) && locate(path_out, capacity, pool, name))
        return SNUG_OK;
    if (!snug_catalog_find(&model, &source, pool->catalog, name))
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "\"%.200s\" is no model of the catalogue, and no path", name);
    return resolve_source(path_out, capacity, pool, &pool->catalog->models[model].source[source], name,
                          options, error);
}

snug_status snug_pool_load(snug_loaded *loaded_out, snug_pool *pool, const char *name,
                           const snug_load_options *options, catalog_admit_fn admit, void *user,
                           snug_error *error)
{
    const snug_load_options none = { .struct_size = sizeof none };
    snug_error own = { SNUG_OK, "" };
    char path[2 * CATALOG_PATH_BYTES];

    *loaded_out = (snug_loaded){ .model = NULL };
    if (!options)
        options = &none;
    if (!error)
        error = &own;
    SNUG_TRY(resolve(path, sizeof path, pool, name, options, error));
    return load_path(loaded_out, pool, path, &(pool_load){ options, admit, user }, error);
}

snug_status snug_catalog_load(snug_loaded *loaded_out, snug_pool *pool, const char *name,
                              const snug_load_options *options, snug_error *error)
{
    return snug_pool_load(loaded_out, pool, name, options, NULL, NULL, error);
}

snug_status snug_catalog_load_best(snug_loaded *loaded_out, snug_pool *pool, const snug_catalog_query *query,
                                   const snug_load_options *options, char *why_out, snug_error *error)
{
    const snug_load_options none = { .struct_size = sizeof none };
    snug_catalog_query asked = *query;
    snug_error own = { SNUG_OK, "" };
    snug_catalog_candidate best = { .struct_size = sizeof best };
    snug_catalog_choice *choice;
    char path[2 * CATALOG_PATH_BYTES];
    snug_status status;

    *loaded_out = (snug_loaded){ .model = NULL };
    if (!options)
        options = &none;
    if (!error)
        error = &own;
    say(options, SNUG_LOAD_RESOLVE, 0, 0);
    asked.is_installed_only = asked.is_installed_only || !options->may_pull;
    SNUG_TRY(snug_catalog_best(&choice, pool->catalog, &asked, error));
    if (why_out)
        snprintf(why_out, 512, "%s", snug_catalog_explanation(choice));
    if (snug_catalog_chosen(choice) == SIZE_MAX) {
        status = snug_fail(error, SNUG_ERR_OVER_LIMIT, "%s", snug_catalog_explanation(choice));
    } else {
        snug_catalog_read_candidate(&best, choice, snug_catalog_chosen(choice));
        status =
            resolve_source(path, sizeof path, pool, &pool->catalog->models[best.model].source[best.source],
                           pool->catalog->models[best.model].name, options, error);
        if (status == SNUG_OK)
            status = load_path(loaded_out, pool, path, &(pool_load){ .options = options }, error);
    }
    snug_catalog_choice_destroy(choice);
    return status;
}

/* --- the pool ------------------------------------------------------------------------------------------- */

void snug_pool_release(snug_pool *pool, snug_loaded *loaded)
{
    pool_entry *entry = &pool->entry[loaded->place];

    SNUG_ASSERT(loaded->place < POOL_MODELS_MAX && entry->model == loaded->model && entry->uses > 0);
    entry->uses--;
    entry->used_at = ++pool->clock;
    *loaded = (snug_loaded){ .model = NULL };
}

snug_status snug_pool_adopt(snug_loaded *loaded_out, snug_pool *pool, const char *path, snug_model *model,
                            snug_text *text, snug_error *error)
{
    uint64_t text_bytes;
    pool_entry *entry;

    SNUG_ASSERT(!find(pool, path));
    if (strlen(path) >= sizeof entry->path)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "the path of the model is longer than %zu bytes",
                  sizeof entry->path - 1);
    SNUG_TRY(snug_text_estimate_path(&text_bytes, pool->memory, path, error));
    entry = free_entry(pool);
    if (!entry)
        SNUG_FAIL(error, SNUG_ERR_FULL, "%d models are in use: no more can be loaded", POOL_MODELS_MAX);
    *entry = (pool_entry){ .model = model,
                           .text = text,
                           .bytes = snug_checkpoint_mapped_bytes(model->checkpoint) + text_bytes };
    snprintf(entry->path, sizeof entry->path, "%s", path);
    hold(loaded_out, pool, entry);
    return SNUG_OK;
}

snug_memory *snug_pool_memory(const snug_pool *pool)
{
    return pool->memory;
}

const snug_catalog *snug_pool_catalog(const snug_pool *pool)
{
    return pool->catalog;
}

snug_status snug_pool_create(snug_pool **pool_out, snug_memory *memory, const snug_catalog *catalog,
                             uint64_t budget_bytes, snug_error *error)
{
    snug_error own = { SNUG_OK, "" };
    snug_pool *pool;

    *pool_out = NULL;
    if (!error)
        error = &own;
    pool = snug_memory_alloc(memory, SNUG_MEMORY_OTHER, sizeof *pool, "the table of loaded models", error);
    if (!pool)
        return error->status;
    pool->memory = memory;
    pool->catalog = catalog;
    pool->budget_bytes = budget_bytes;
    *pool_out = pool;
    return SNUG_OK;
}

void snug_pool_destroy(snug_pool *pool)
{
    if (!pool)
        return;
    (void)snug_pool_trim(pool, 0);
    SNUG_ASSERT(used_bytes(pool) == 0); /* what is in use would be left without its model */
    snug_memory_free(pool->memory, pool);
}

snug_pool_count snug_pool_read(const snug_pool *pool)
{
    snug_pool_count count = {
        .used_bytes = used_bytes(pool),
        .loads = pool->loads,
        .evictions = pool->evictions,
    };

    for (size_t i = 0; i < POOL_MODELS_MAX; i++) {
        count.models += pool->entry[i].path[0] != '\0';
        count.models_in_use += pool->entry[i].uses > 0;
    }
    return count;
}
