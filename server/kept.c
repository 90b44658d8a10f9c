/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept.c - see the header.
 *
 * A session is taken out of the list before it is destroyed, and destroyed without the lock: giving back may
 * run on a thread that reserves, and must not wait for one that does.
 */
#include "server/kept.h"

#include <string.h>

#include "base/status.h"
#include "server/heap.h"
#include "server/state.h"

/* Fewer tokens in common than this are as quickly computed. */
#define COMMON_TOKENS_MIN 16

/* Of small numbers without gaps between them. */
static bool is_same_cache(const snug_kv_config *a, const snug_kv_config *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* Nor has it lost bits: an answer does not depend on what happened to another one. */
static bool is_fit(const server_kept_session *kept, const server_profile *profile)
{
    const server_profile *own = &kept->profile;
    snug_kv_info now = { .struct_size = sizeof now };

    if (own->model != profile->model || own->strategy != profile->strategy ||
        own->context_tokens != profile->context_tokens || own->keeps_format != profile->keeps_format ||
        !is_same_cache(&own->kv, &profile->kv))
        return false;
    snug_kv_read_info(&now, snug_session_kv(kept->session));
    return now.config.key.bits >= profile->kv.key.bits && now.config.value.bits >= profile->kv.value.bits &&
           (profile->kv.key.format != SNUG_KV_FORMAT_F16 || now.config.key.format == SNUG_KV_FORMAT_F16) &&
           (profile->kv.value.format != SNUG_KV_FORMAT_F16 || now.config.value.format == SNUG_KV_FORMAT_F16);
}

static uint32_t common_tokens(const snug_session *session, const uint32_t *ids, size_t count)
{
    const uint32_t *own = snug_session_ids(session);
    const uint32_t tokens = snug_session_tokens(session);
    uint32_t common = 0;

    while (common < tokens && common < count && own[common] == ids[common])
        common++;
    return common;
}

/* --- the list, with the lock held ---------------------------------------------------------------------- */

static server_kept_session *unlink_kept(server_kept *kept, server_kept_session **at)
{
    server_kept_session *found = *at;

    *at = found->next;
    kept->count--;
    return found;
}

static server_kept_session *unlink_last(server_kept *kept)
{
    server_kept_session **at = &kept->first;

    while (*at && (*at)->next)
        at = &(*at)->next;
    return *at ? unlink_kept(kept, at) : NULL;
}

static server_kept_session **find_best(server_kept *kept, const server_profile *profile, const uint32_t *ids,
                                       size_t count, uint32_t *common_out)
{
    server_kept_session **best = NULL;

    *common_out = COMMON_TOKENS_MIN - 1;
    for (server_kept_session **at = &kept->first; *at; at = &(*at)->next) {
        const uint32_t common = is_fit(*at, profile) ? common_tokens((*at)->session, ids, count) : 0;

        if (common > *common_out) {
            *common_out = common;
            best = at;
        }
    }
    return best;
}

/* --- the rest ------------------------------------------------------------------------------------------ */

static uint64_t destroy(struct server *server, server_kept_session *kept)
{
    const uint64_t before = snug_memory_read_all(server->options.memory).used_bytes;
    uint64_t after;

    if (!kept)
        return 0;
    snug_session_destroy(kept->session);
    server_models_release(server, kept->profile.model);
    server_free(kept);
    after = snug_memory_read_all(server->options.memory).used_bytes;
    return before > after ? before - after : 1; /* others may have taken some since */
}

static uint64_t give_back(void *user, uint64_t want)
{
    return server_kept_drop(user, want);
}

void server_kept_init(struct server *server)
{
    server_kept *kept = &server->kept;

    SNUG_ASSERT(pthread_mutex_init(&kept->lock, NULL) == 0);
    kept->reliever = (snug_memory_reliever){
        .name = "kept conversations", .rank = SNUG_MEMORY_RANK_PREFIX, .release = give_back, .user = server
    };
    snug_memory_add_reliever(server->options.memory, &kept->reliever);
}

void server_kept_deinit(struct server *server)
{
    snug_memory_remove_reliever(server->options.memory, &server->kept.reliever);
    (void)server_kept_drop(server, UINT64_MAX);
    (void)pthread_mutex_destroy(&server->kept.lock);
}

uint64_t server_kept_drop(struct server *server, uint64_t bytes)
{
    server_kept_session *last;
    uint64_t returned = 0;

    do {
        (void)pthread_mutex_lock(&server->kept.lock);
        last = unlink_last(&server->kept);
        server->kept.dropped += last != NULL;
        (void)pthread_mutex_unlock(&server->kept.lock);
        returned += destroy(server, last);
    } while (last && returned < bytes);
    return returned;
}

void server_kept_drop_model(struct server *server, size_t model)
{
    server_kept_session *found;

    do {
        server_kept_session **at = &server->kept.first;

        (void)pthread_mutex_lock(&server->kept.lock);
        while (*at && (*at)->profile.model != model)
            at = &(*at)->next;
        found = *at ? unlink_kept(&server->kept, at) : NULL;
        (void)pthread_mutex_unlock(&server->kept.lock);
        (void)destroy(server, found);
    } while (found);
}

/* What comes and goes with a session beside its cache: ids, tables, a sampler's. */
#define SESSION_BYTES ((uint64_t)64 << 10)

uint64_t server_kept_bytes(struct server *server)
{
    uint64_t bytes = 0;

    (void)pthread_mutex_lock(&server->kept.lock);
    for (const server_kept_session *kept = server->kept.first; kept; kept = kept->next)
        bytes += snug_kv_committed_bytes(snug_session_kv(kept->session)) +
                 (uint64_t)snug_session_context_tokens(kept->session) * sizeof(uint32_t) + SESSION_BYTES;
    (void)pthread_mutex_unlock(&server->kept.lock);
    return bytes;
}

uint64_t server_kept_shared_bytes(struct server *server)
{
    uint64_t bytes = 0;

    (void)pthread_mutex_lock(&server->kept.lock);
    for (const server_kept_session *kept = server->kept.first; kept; kept = kept->next)
        bytes += snug_kv_shared_bytes(snug_session_kv(kept->session));
    (void)pthread_mutex_unlock(&server->kept.lock);
    return bytes;
}

uint32_t server_kept_count(struct server *server, size_t model)
{
    uint32_t count = 0;

    (void)pthread_mutex_lock(&server->kept.lock);
    for (const server_kept_session *kept = server->kept.first; kept; kept = kept->next)
        count += kept->profile.model == model;
    (void)pthread_mutex_unlock(&server->kept.lock);
    return count;
}

static void link_first(struct server *server, server_kept_session *kept)
{
    (void)pthread_mutex_lock(&server->kept.lock);
    kept->next = server->kept.first;
    server->kept.first = kept;
    server->kept.count++;
    (void)pthread_mutex_unlock(&server->kept.lock);
}

/* More than a quarter of it, and more than a tile, would be forgotten: that is another conversation's. */
static bool is_worth_keeping(const snug_session *session, uint32_t common)
{
    const uint32_t beside = snug_session_tokens(session) - common;

    return beside > 64 && beside > snug_session_tokens(session) / 4;
}

void server_kept_take(server_reuse *out, struct server *server, const server_profile *profile,
                      const uint32_t *ids, size_t count)
{
    server_kept_session **at, *found = NULL;
    uint32_t common;

    *out = (server_reuse){ .session = NULL };
    (void)pthread_mutex_lock(&server->kept.lock);
    at = find_best(&server->kept, profile, ids, count, &common);
    if (at)
        found = unlink_kept(&server->kept, at);
    (void)pthread_mutex_unlock(&server->kept.lock);
    if (!found)
        return;
    if (is_worth_keeping(found->session, common) &&
        snug_session_fork(&out->session, found->session, NULL) == SNUG_OK) {
        link_first(server, found);
        (void)snug_session_truncate(out->session, common < count ? common : common - 1);
        return;
    }
    out->session = found->session;
    out->whole = found;
}

void server_kept_return(struct server *server, server_reuse *reuse)
{
    if (reuse->whole)
        link_first(server, reuse->whole);
    else
        snug_session_destroy(reuse->session);
    *reuse = (server_reuse){ .session = NULL };
}

snug_session *server_kept_use(struct server *server, server_reuse *reuse)
{
    snug_session *session = reuse->session;

    if (reuse->whole) { /* the request has a use of its own */
        server_models_release(server, reuse->whole->profile.model);
        server_free(reuse->whole);
    }
    *reuse = (server_reuse){ .session = NULL };
    return session;
}

void server_kept_put(struct server *server, snug_session *session, const server_profile *profile)
{
    const bool is_wanted = server->options.kept > 0 && !atomic_load(&server->is_ending) &&
                           snug_session_tokens(session) >= COMMON_TOKENS_MIN;
    server_kept_session *kept = NULL, *last = NULL;

    if (is_wanted)
        kept = server_alloc(server->options.memory, sizeof *kept, "a kept conversation", NULL);
    if (!kept) {
        snug_session_destroy(session);
        server_models_release(server, profile->model);
        return;
    }
    *kept = (server_kept_session){ .session = session, .profile = *profile };
    link_first(server, kept);
    (void)pthread_mutex_lock(&server->kept.lock);
    if (server->kept.count > server->options.kept)
        last = unlink_last(&server->kept);
    (void)pthread_mutex_unlock(&server->kept.lock);
    (void)destroy(server, last);
}
