/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fits.c - see the header.
 */
#include "server/fits.h"

#include "base/status.h"
#include "server/state.h"

/* Of a limit that moves by itself, what makes no difference worth planning anew. */
#define BAND_PART 32u

void server_fits_init(struct server *server)
{
    SNUG_ASSERT(pthread_mutex_init(&server->fits.lock, NULL) == 0);
}

void server_fits_deinit(struct server *server)
{
    snug_catalog_choice_destroy(server->fits.choice);
    (void)pthread_mutex_destroy(&server->fits.lock);
}

static snug_catalog_query ask(struct server *server, bool *is_set_out)
{
    const uint64_t set = atomic_load(&server->memory_limit);
    snug_memory_state state;

    snug_memory_read_state(&state, server->options.memory);
    *is_set_out = set > 0 && set <= state.machine_limit_bytes;
    return (snug_catalog_query){
        .struct_size = sizeof(snug_catalog_query),
        .limit_bytes = *is_set_out ? set : state.machine_limit_bytes,
        .strategy = (snug_strategy)atomic_load(&server->strategy),
        .context_tokens = server->options.context_tokens,
    };
}

static bool is_answered(const server_fits *fits, const snug_catalog_query *query, bool is_set)
{
    const uint64_t then = fits->query.limit_bytes;
    const uint64_t between =
        then > query->limit_bytes ? then - query->limit_bytes : query->limit_bytes - then;

    return fits->choice && fits->query.strategy == query->strategy &&
           (is_set ? between == 0 : between <= then / BAND_PART);
}

snug_status server_fits_take(const snug_catalog_choice **choice_out, struct server *server, snug_error *error)
{
    server_fits *fits = &server->fits;
    snug_catalog_choice *choice;
    snug_catalog_query query;
    snug_status status;
    bool is_set;

    (void)pthread_mutex_lock(&fits->lock);
    query = ask(server, &is_set);
    if (!is_answered(fits, &query, is_set)) {
        status = snug_catalog_best(&choice, server->options.catalog, &query, error);
        if (status != SNUG_OK) {
            (void)pthread_mutex_unlock(&fits->lock);
            return status;
        }
        snug_catalog_choice_destroy(fits->choice);
        fits->choice = choice;
        fits->query = query;
        server_count(server, SERVER_COUNT_PLANNED);
    }
    *choice_out = fits->choice;
    return SNUG_OK;
}

void server_fits_leave(struct server *server)
{
    (void)pthread_mutex_unlock(&server->fits.lock);
}
