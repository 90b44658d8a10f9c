/* SPDX-License-Identifier: Apache-2.0 */
/*
 * models.c - see the header.
 */
#include "server/models.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/status.h"
#include "server/heap.h"
#include "server/state.h"

/* --- names --------------------------------------------------------------------------------------------- */

/* "mini" of "/usr/share/snug/models/mini". */
static void name_by_path(server_model *model, const char *path)
{
    size_t end = strlen(path);
    size_t begin;

    while (end > 1 && path[end - 1] == '/')
        end--;
    for (begin = end; begin > 0 && path[begin - 1] != '/';)
        begin--;
    snprintf(model->id, sizeof model->id, "%.*s", (int)(end - begin), path + begin);
    snprintf(model->path, sizeof model->path, "%s", path);
}

void server_models_id(char out[SERVER_MODEL_NAME_BYTES], const snug_catalog_model *model,
                      const snug_catalog_source *source, size_t place)
{
    if (place == 0 || !source->repository[0])
        snprintf(out, SERVER_MODEL_NAME_BYTES, "%s", model->name);
    else
        snprintf(out, SERVER_MODEL_NAME_BYTES, "%s%s%s", source->repository, source->file[0] ? ":" : "",
                 source->file);
}

/* Costs the headers, and no memory that stays. */
static void look_at(server_model *model)
{
    snug_model_info info = { .struct_size = sizeof info };
    snug_memory *memory;
    snug_model *opened;

    if (snug_memory_create(&memory, NULL) != SNUG_OK)
        return;
    if (snug_model_open(&opened, memory, model->path, NULL, NULL) == SNUG_OK) {
        snug_model_read_info(&info, opened);
        model->parameters = info.token_parameters;
        model->weight_bytes = info.weight_bytes;
        snug_model_close(opened);
    }
    snug_memory_destroy(memory);
}

static void add_source(struct server *server, size_t of, size_t place, const char *path)
{
    const snug_catalog *catalog = server->options.catalog;
    server_models *models = &server->models;
    server_model *model = &models->model[models->count];
    snug_catalog_model row = { .struct_size = sizeof row };
    snug_catalog_source source = { .struct_size = sizeof source };

    snug_catalog_read_model(&row, catalog, of);
    snug_catalog_read_source(&source, catalog, of, place);
    if (!path || strlen(path) >= sizeof model->path || models->count >= models->capacity)
        return;
    *model = (server_model){ .users = 0 };
    server_models_id(model->id, &row, &source, place);
    snprintf(model->alias, sizeof model->alias, "%s", row.name);
    snprintf(model->path, sizeof model->path, "%s", path);
    look_at(model);
    atomic_fetch_add(&models->count, 1); /* whole before it is seen */
}

void server_models_add(struct server *server, size_t model, size_t place, const char *path)
{
    server_models *models = &server->models;
    bool is_there = false;

    (void)pthread_mutex_lock(&models->lock);
    for (size_t i = 0; i < models->count; i++)
        is_there = is_there || strcmp(models->model[i].path, path) == 0;
    if (!is_there)
        add_source(server, model, place, path);
    (void)pthread_mutex_unlock(&models->lock);
}

static size_t count_sources(const snug_catalog *catalog)
{
    size_t count = 0;

    for (size_t i = 0; i < snug_catalog_model_count(catalog); i++) {
        snug_catalog_model model = { .struct_size = sizeof model };

        snug_catalog_read_model(&model, catalog, i);
        count += model.source_count;
    }
    return count;
}

/* However they are written: relative, through a link. */
static bool is_same_file(const char *a, const char *b)
{
    struct stat one, other;

    return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

static void list_models(struct server *server)
{
    const snug_catalog *catalog = server->options.catalog;
    const char *own_path = server->options.model_path;
    server_models *models = &server->models;

    for (size_t i = 0; i < snug_catalog_model_count(catalog); i++) {
        snug_catalog_model model = { .struct_size = sizeof model };

        snug_catalog_read_model(&model, catalog, i);
        for (size_t s = 0; s < model.source_count; s++) {
            snug_catalog_source source = { .struct_size = sizeof source };

            snug_catalog_read_source(&source, catalog, i, s);
            if (source.path && is_same_file(source.path, own_path)) {
                models->own = models->count;
                models->is_own_known = true;
            }
            add_source(server, i, s, source.path);
        }
    }
    if (models->is_own_known)
        return;
    models->own = models->count;
    models->model[models->own] = (server_model){ .users = 0 };
    name_by_path(&models->model[models->own], own_path);
    look_at(&models->model[models->own]);
    atomic_fetch_add(&models->count, 1);
}

static bool is_called(const server_model *model, const char *name)
{
    return strcasecmp(model->id, name) == 0 || (model->alias[0] && strcasecmp(model->alias, name) == 0);
}

bool server_models_find(size_t *index_out, struct server *server, const char *name, server_refusal *refusal)
{
    const server_models *models = &server->models;

    *index_out = models->own;
    if (!name[0] || is_called(&models->model[models->own], name))
        return true;
    for (size_t i = 0; i < models->count; i++)
        if (is_called(&models->model[i], name)) {
            *index_out = i;
            return true;
        }
    return server_refuse(refusal, 404, "model_not_found", "model",
                         "there is no model \"%.150s\" here; GET /v1/models lists those there are", name);
}

void server_models_read(server_model_state *out, struct server *server, size_t index)
{
    server_models *models = &server->models;
    const server_model *model = &models->model[index];
    const uint32_t kept = server_kept_count(server, index);

    *out = (server_model_state){ .is_installed = true };
    (void)pthread_mutex_lock(&models->lock);
    memcpy(out->id, model->id, sizeof out->id);
    out->is_loaded = model->is_loaded;
    out->is_in_use = model->users > kept; /* by answers */
    (void)pthread_mutex_unlock(&models->lock);
}

/* --- loading ------------------------------------------------------------------------------------------- */

/* Of those that nobody uses: the pool may close them now. With `loading` held. */
static void let_go(struct server *server, size_t index)
{
    server_models *models = &server->models;
    server_model *model = &models->model[index];
    snug_workbench *bench = NULL;
    bool is_idle;

    (void)pthread_mutex_lock(&models->lock);
    is_idle = model->is_loaded && model->users == 0;
    if (is_idle) {
        model->is_loaded = false;
        bench = model->bench;
        model->bench = NULL;
    }
    (void)pthread_mutex_unlock(&models->lock);
    if (is_idle) {
        snug_workbench_destroy(bench);
        snug_pool_release(models->pool, &model->loaded);
    }
}

/* Computing is done in turns: one set of threads and one scratch do for all sessions. */
static snug_status make_bench(struct server *server, server_model *model, snug_error *error)
{
    const server_options *options = &server->options;
    const uint32_t chunk = options->prefill_chunk > 0 ? options->prefill_chunk : SNUG_PREFILL_CHUNK_DEFAULT;
    const snug_session_options bench = { .struct_size = sizeof bench,
                                         .context_tokens = chunk,
                                         .prefill_chunk = chunk,
                                         .threads = options->threads };

    snug_workbench *made;

    SNUG_TRY(snug_workbench_create(&made, model->loaded.model, options->memory, &bench, error));
    (void)pthread_mutex_lock(&server->models.lock);
    model->bench = made;
    (void)pthread_mutex_unlock(&server->models.lock);
    return SNUG_OK;
}

uint64_t server_models_bench_bytes(struct server *server, size_t index)
{
    const snug_workbench *bench;
    uint64_t bytes;

    (void)pthread_mutex_lock(&server->models.lock);
    bench = server->models.model[index].bench;
    bytes = bench ? snug_workbench_scratch_bytes(bench) : 0;
    (void)pthread_mutex_unlock(&server->models.lock);
    return bytes;
}

/* The same of all, with what is kept. */
static void drop_idle(struct server *server)
{
    server_models *models = &server->models;

    (void)server_kept_drop(server, UINT64_MAX);
    for (size_t i = 0; i < models->count; i++)
        let_go(server, i);
    (void)snug_pool_trim(models->pool, 0);
}

typedef struct loading {
    struct server *server;
    const char *id;
} loading;

static void tell_progress(void *user, const snug_load_progress *progress)
{
    const loading *l = user;

    server_events_model(l->server, l->id, "loading", "The model is being loaded.", progress);
}

static snug_status load(struct server *server, size_t index, snug_error *error)
{
    const server_options *options = &server->options;
    server_models *models = &server->models;
    server_model *model = &models->model[index];
    loading l = { server, model->id };
    const snug_load_options how = {
        .struct_size = sizeof how, .model = options->model, .on_progress = tell_progress, .user = &l
    };
    snug_status status = snug_catalog_load(&model->loaded, models->pool, model->path, &how, error);

    if (status == SNUG_ERR_OVER_LIMIT) { /* everything that is there for later makes room */
        drop_idle(server);
        status = snug_catalog_load(&model->loaded, models->pool, model->path, &how, error);
    }
    if (status == SNUG_OK && index == models->own && options->chat_template) {
        status = snug_text_set_chat_template(model->loaded.text, options->chat_template,
                                             options->chat_template_bytes, error);
    }
    if (status == SNUG_OK)
        status = make_bench(server, model, error);
    if (status != SNUG_OK && model->loaded.model)
        snug_pool_release(models->pool, &model->loaded);
    return status;
}

/* One more use of a model that is loaded. */
static bool take_loaded(snug_loaded *loaded_out, server_models *models, size_t index)
{
    server_model *model = &models->model[index];
    bool is_loaded;

    (void)pthread_mutex_lock(&models->lock);
    is_loaded = model->is_loaded;
    if (is_loaded) {
        model->users++;
        model->used_ns = server_clock_ns();
        *loaded_out = model->loaded;
    }
    (void)pthread_mutex_unlock(&models->lock);
    return is_loaded;
}

static void set_loading(server_models *models, size_t index, bool is_loading, bool is_loaded)
{
    (void)pthread_mutex_lock(&models->lock);
    models->is_loading = is_loading;
    models->model[index].is_loaded = is_loaded;
    (void)pthread_mutex_unlock(&models->lock);
}

static snug_status take(snug_loaded *loaded_out, struct server *server, size_t index, snug_error *error)
{
    server_models *models = &server->models;
    snug_status status = SNUG_OK;

    if (take_loaded(loaded_out, models, index))
        return SNUG_OK;
    (void)pthread_mutex_lock(&models->loading);
    if (!take_loaded(loaded_out, models, index)) { /* nobody else has loaded it meanwhile */
        set_loading(models, index, true, false);
        status = load(server, index, error);
        set_loading(models, index, false, status == SNUG_OK);
        server_events_model(server, models->model[index].id, status == SNUG_OK ? "loaded" : "unloaded",
                            status == SNUG_OK ? "The model is loaded." : error->text, NULL);
        if (status == SNUG_OK)
            SNUG_ASSERT(take_loaded(loaded_out, models, index));
    }
    (void)pthread_mutex_unlock(&models->loading);
    return status;
}

bool server_models_take(snug_loaded *loaded_out, struct server *server, size_t index, server_refusal *refusal)
{
    snug_error error = { SNUG_OK, "" };

    return take(loaded_out, server, index, &error) == SNUG_OK || server_refuse_error(refusal, &error);
}

void server_models_release(struct server *server, size_t index)
{
    server_models *models = &server->models;

    (void)pthread_mutex_lock(&models->lock);
    SNUG_ASSERT(models->model[index].users > 0);
    models->model[index].users--;
    models->model[index].used_ns = server_clock_ns();
    (void)pthread_mutex_unlock(&models->lock);
}

/* --- smaller ones -------------------------------------------------------------------------------------- */

/* More parameters first, of as many the one with more bytes: what writes best. */
static bool is_before(const server_model *a, const server_model *b)
{
    return a->parameters != b->parameters ? a->parameters > b->parameters : a->weight_bytes > b->weight_bytes;
}

size_t server_models_smaller(size_t out[SERVER_SMALLER_MAX], struct server *server, size_t index)
{
    const server_models *models = &server->models;
    const size_t all = models->count;
    size_t count = 0;

    for (size_t i = 0; i < all; i++) {
        const server_model *model = &models->model[i];
        size_t at = count;

        if (model->weight_bytes == 0 || model->weight_bytes >= models->model[index].weight_bytes)
            continue;
        while (at > 0 && is_before(model, &models->model[out[at - 1]]))
            at--;
        if (at == SERVER_SMALLER_MAX)
            continue;
        if (count < SERVER_SMALLER_MAX)
            count++;
        memmove(out + at + 1, out + at, (count - 1 - at) * sizeof *out);
        out[at] = i;
    }
    return count;
}

/* --- unloading ----------------------------------------------------------------------------------------- */

bool server_models_unload(struct server *server, size_t index, server_refusal *refusal)
{
    server_models *models = &server->models;
    bool is_loaded;

    server_kept_drop_model(server, index);
    (void)pthread_mutex_lock(&models->loading);
    let_go(server, index);
    (void)snug_pool_trim(models->pool, 0);
    is_loaded = models->model[index].is_loaded;
    (void)pthread_mutex_unlock(&models->loading);
    if (!is_loaded)
        server_events_model(server, models->model[index].id, "unloaded",
                            "The model is not in memory any more.", NULL);
    return !is_loaded ||
           server_refuse(refusal, 409, "model_in_use", "model",
                         "%s is answering: unload it when it has ended", models->model[index].id);
}

void server_models_drop_idle(struct server *server)
{
    (void)pthread_mutex_lock(&server->models.loading);
    drop_idle(server);
    (void)pthread_mutex_unlock(&server->models.loading);
}

uint64_t server_models_unload_idle(struct server *server, uint64_t idle_ns)
{
    server_models *models = &server->models;
    const uint64_t now = server_clock_ns();
    uint64_t wait_ns = UINT64_MAX;
    server_refusal ignored;

    for (size_t i = 0; i < models->count; i++) {
        const server_model *model = &models->model[i];
        uint64_t idle_for, kept;
        bool is_loaded, is_busy;

        (void)pthread_mutex_lock(&models->lock);
        is_loaded = model->is_loaded;
        idle_for = now > model->used_ns ? now - model->used_ns : 0;
        kept = model->users; /* kept conversations are users, too, but none that would hold it */
        (void)pthread_mutex_unlock(&models->lock);
        is_busy = kept > server_kept_count(server, i);
        if (is_loaded && !is_busy && idle_for >= idle_ns && server_models_unload(server, i, &ignored))
            server_note(server, "%s was not used for %llu s: unloaded", model->id,
                        (unsigned long long)(idle_for / 1000000000u));
        else if (is_loaded)
            wait_ns = !is_busy && idle_for < idle_ns && idle_ns - idle_for < wait_ns ? idle_ns - idle_for
                      : wait_ns < idle_ns                                            ? wait_ns
                                                                                     : idle_ns;
    }
    return wait_ns;
}

/* --- open and close ------------------------------------------------------------------------------------ */

void server_models_init(struct server *server)
{
    SNUG_ASSERT(pthread_mutex_init(&server->models.loading, NULL) == 0);
    SNUG_ASSERT(pthread_mutex_init(&server->models.lock, NULL) == 0);
}

snug_status server_models_open(struct server *server, snug_error *error)
{
    server_models *models = &server->models;
    snug_memory *memory = server->options.memory;
    snug_loaded loaded;

    models->capacity = count_sources(server->options.catalog) + 1;
    models->model =
        server_alloc(memory, models->capacity * sizeof *models->model, "the names of models", error);
    if (!models->model)
        return error->status;
    list_models(server);
    SNUG_TRY(snug_pool_create(&models->pool, memory, server->options.catalog, 0, error));
    SNUG_TRY(take(&loaded, server, models->own, error)); /* what is wrong with it is said now */
    server_models_release(server, models->own);
    return SNUG_OK;
}

void server_models_close(struct server *server)
{
    server_models *models = &server->models;

    if (models->pool) {
        for (size_t i = 0; i < models->count; i++)
            let_go(server, i);
        snug_pool_destroy(models->pool);
    }
    server_free(models->model);
    (void)pthread_mutex_destroy(&models->lock);
    (void)pthread_mutex_destroy(&models->loading);
}
