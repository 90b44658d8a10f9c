/* SPDX-License-Identifier: Apache-2.0 */
/*
 * models.h - the models this server has: by which names clients know them, which are loaded, what is chosen
 * for each.
 *
 * Only what the catalogue knows and is on this machine can be asked for, and the server's own model: a name
 * is never a path.
 */
#ifndef SNUG_SERVER_MODELS_H
#define SNUG_SERVER_MODELS_H

#include <stdatomic.h>

#include <pthread.h>

#include <snug/catalog.h>
#include <snug/session.h>

#include "server/refusal.h"

#define SERVER_MODEL_NAME_BYTES 192

struct server;
struct server_request;

/* One that can be asked for. */
typedef struct server_model {
    char id[SERVER_MODEL_NAME_BYTES];    /* server_models_id() */
    char alias[SERVER_MODEL_NAME_BYTES]; /* the catalogue's name of it: the first that has it is meant */
    char path[1024];
    uint64_t parameters;   /* that compute a token; of both as its headers say when it was listed */
    uint64_t weight_bytes; /* 0: it could not be read */
    uint32_t users;        /* answers, and conversations that are kept */
    bool is_loaded;
    snug_loaded loaded;    /* the one use that the server has of it in the pool */
    snug_workbench *bench; /* that all its sessions share: there as long as it is loaded */
    uint64_t used_ns;      /* when it was last used */
} server_model;

/*
 * Two locks: a model is loaded with the first held, and memory is reserved meanwhile, so nothing that may be
 * asked to give memory back takes it. The second is held for counting alone.
 */
typedef struct server_models {
    pthread_mutex_t loading;
    snug_pool *pool;
    pthread_mutex_t lock;
    server_model *model;
    _Atomic size_t count; /* grows when one is fetched */
    size_t capacity;
    size_t own;        /* index of the server's own */
    bool is_own_known; /* to the catalogue */
    bool is_loading;
} server_models;

void server_models_init(struct server *server);
SNUG_MUST_CHECK snug_status server_models_open(struct server *server, snug_error *error);
void server_models_close(struct server *server);

/* How a source of the catalogue is called: the first of a model as the model, others as their repository. */
void server_models_id(char out[SERVER_MODEL_NAME_BYTES], const snug_catalog_model *model,
                      const snug_catalog_source *source, size_t place);

/* One of the catalogue's is on this machine from now on. */
void server_models_add(struct server *server, size_t model, size_t place, const char *path);

typedef struct server_model_state {
    char id[SERVER_MODEL_NAME_BYTES];
    bool is_installed;
    bool is_loaded;
    bool is_in_use;
} server_model_state;

void server_models_read(server_model_state *out, struct server *server, size_t index);

/* The model of that name; "" is the server's own. False with the refusal. */
bool server_models_find(size_t *index_out, struct server *server, const char *name, server_refusal *refusal);

/* Loaded from here on, until it is released. False with the refusal. May take long. */
bool server_models_take(snug_loaded *loaded_out, struct server *server, size_t index,
                        server_refusal *refusal);
/* The scratch of its workbench; 0: it is not loaded. The same. */
uint64_t server_models_bench_bytes(struct server *server, size_t index);
/* One use is over. Any thread; waits for nobody. */
void server_models_release(struct server *server, size_t index);

/* Those that read fewer bytes for a token than this one, from the largest down. Returns how many. */
#define SERVER_SMALLER_MAX 16
size_t server_models_smaller(size_t out[SERVER_SMALLER_MAX], struct server *server, size_t index);
/* What nobody uses is closed, because memory has run out. */
void server_models_drop_idle(struct server *server);

/* Close it, if nobody uses it; kept conversations go. False with the refusal. */
bool server_models_unload(struct server *server, size_t index, server_refusal *refusal);

/* What nobody has used for so long is unloaded. Returns nanoseconds until it is worth looking again;
 * UINT64_MAX: nothing is loaded. */
uint64_t server_models_unload_idle(struct server *server, uint64_t idle_ns);

#endif /* SNUG_SERVER_MODELS_H */
