/* SPDX-License-Identifier: Apache-2.0 */
/*
 * saved.c - a conversation in a file: a head, the ids of its tokens, the cache (kv/saved.c), and a checksum
 * of all of it. docs/cache-file.md has the layout. Nothing of a file is used before its checksum agreed.
 */
#include "session/session.h"

#include <string.h>

#include "base/checksum.h"
#include "base/size.h"
#include "base/status.h"
#include "os/file.h"
#include "os/replace.h"

#define MAGIC   "SNUG-KV\n"
#define VERSION 3

/* In the file as it is here, little-endian. */
typedef struct file_head {
    char magic[8];
    uint32_t version;
    uint32_t tokens;
    uint64_t fingerprint; /* of the model */
    uint64_t parameters;
    uint32_t span_tokens; /* the length that the sequence was computed for */
    char family[28];      /* for sentences */
} file_head;

_Static_assert(sizeof(file_head) == 64, "no padding in the file");

/* --- saving --------------------------------------------------------------------------------------------- */

typedef struct saving {
    snug_os_replace *file;
    snug_checksum sum;
} saving;

static snug_status put(void *user, const void *data, size_t bytes, snug_error *error)
{
    saving *s = user;

    snug_checksum_add(&s->sum, data, bytes);
    return snug_os_replace_write(s->file, data, bytes, error);
}

static snug_status put_all(saving *s, const snug_session *session, snug_error *error)
{
    file_head head = {
        .magic = MAGIC,
        .version = VERSION,
        .tokens = session->tokens,
        .fingerprint = snug_model_fingerprint(session->model),
        .parameters = session->model->parameters,
        .span_tokens = session->pass.span_tokens,
    };
    const char *family = session->model->family->model_type;
    uint64_t checksum;

    memcpy(head.family, family, snug_min_size(strlen(family), sizeof head.family - 1));
    SNUG_TRY(put(s, &head, sizeof head, error));
    SNUG_TRY(put(s, session->ids, session->tokens * sizeof *session->ids, error));
    SNUG_TRY(snug_kv_save(session->kv, &(snug_kv_sink){ put, s }, error));
    checksum = snug_checksum_end(&s->sum);
    return put(s, &checksum, sizeof checksum, error);
}

snug_status snug_saved_write(snug_os_replace *file, const snug_session *session, snug_error *error)
{
    saving s = { file, snug_checksum_begin() };

    return put_all(&s, session, error);
}

snug_status snug_session_save(const snug_session *session, const char *path, snug_error *error)
{
    snug_os_replace file;
    snug_status status;

    SNUG_TRY(snug_os_replace_begin(&file, path, error));
    status = snug_saved_write(&file, session, error);
    if (status != SNUG_OK) {
        snug_os_replace_cancel(&file);
        return status;
    }
    return snug_os_replace_end(&file, error);
}

/* --- loading -------------------------------------------------------------------------------------------- */

static bool has_sound_checksum(const snug_os_map *map)
{
    snug_checksum sum = snug_checksum_begin();
    const size_t bytes = map->bytes - sizeof(uint64_t);
    uint64_t expected;

    memcpy(&expected, (const unsigned char *)map->data + bytes, sizeof expected);
    snug_checksum_add(&sum, map->data, bytes);
    return snug_checksum_end(&sum) == expected;
}

static snug_status check_file(const file_head *head, const snug_os_map *map, const char *path,
                              snug_error *error)
{
    if (head->version != VERSION)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                  "'%.300s' is a conversation in format %u; this build reads format %u", path, head->version,
                  VERSION);
    if (!has_sound_checksum(map))
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "'%.300s' is damaged or cut short: its checksum does not agree with its %zu bytes", path,
                  map->bytes);
    return SNUG_OK;
}

static snug_status check_head(const file_head *head, const snug_session *session, const snug_os_map *map,
                              const char *path, snug_error *error)
{
    const snug_model *model = session->model;

    SNUG_TRY(check_file(head, map, path, error));
    if (head->fingerprint != snug_model_fingerprint(model))
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT,
                  "'%.300s' was saved with another model (%.27s, %.0f million parameters), not with this one "
                  "(%s, %.0f million)",
                  path, head->family, (double)head->parameters / 1e6, model->family->model_type,
                  (double)model->parameters / 1e6);
    if (head->tokens > session->context_tokens)
        SNUG_FAIL(error, SNUG_ERR_FULL,
                  "the conversation in '%.300s' has %u tokens, but the context holds %u: raise the context",
                  path, head->tokens, session->context_tokens);
    return SNUG_OK;
}

/* The head, and what lies between it and the checksum. */
static snug_status read_head(file_head *head_out, snug_kv_bytes *body_out, const snug_os_map *map,
                             const char *path, snug_error *error)
{
    const unsigned char *data = map->data;

    if (map->bytes < sizeof *head_out + sizeof(uint64_t) || memcmp(data, MAGIC, sizeof MAGIC - 1) != 0)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "'%.300s' is not a saved conversation: it does not begin as one",
                  path);
    memcpy(head_out, data, sizeof *head_out);
    head_out->family[sizeof head_out->family - 1] = '\0';
    *body_out = (snug_kv_bytes){ data + sizeof *head_out, map->bytes - sizeof *head_out - sizeof(uint64_t) };
    return SNUG_OK;
}

/* What comes after the ids. */
static snug_status skip_ids(snug_kv_bytes *cache_out, const snug_kv_bytes *body, uint32_t tokens,
                            const char *path, snug_error *error)
{
    if (body->bytes / sizeof(uint32_t) < tokens)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "'%.300s' ends within the ids of its %u tokens", path, tokens);
    *cache_out =
        (snug_kv_bytes){ body->at + tokens * sizeof(uint32_t), body->bytes - tokens * sizeof(uint32_t) };
    return SNUG_OK;
}

static snug_status check_ids(const snug_session *session, const snug_kv_bytes *body, uint32_t tokens,
                             const char *path, snug_error *error)
{
    for (uint32_t i = 0; i < tokens; i++) {
        uint32_t id;

        memcpy(&id, body->at + i * sizeof id, sizeof id);
        if (id >= session->model->shape.vocabulary)
            SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                      "'%.300s': token %u has the id %u, beyond the vocabulary of %u", path, i, id,
                      session->model->shape.vocabulary);
    }
    return SNUG_OK;
}

snug_status snug_saved_read(snug_session *session, const snug_os_map *map, const char *path,
                            snug_error *error)
{
    file_head head;
    snug_kv_bytes body;
    snug_kv_bytes cache;
    snug_status status;

    SNUG_TRY(read_head(&head, &body, map, path, error));
    SNUG_TRY(check_head(&head, session, map, path, error));
    SNUG_TRY(skip_ids(&cache, &body, head.tokens, path, error));
    SNUG_TRY(check_ids(session, &body, head.tokens, path, error));
    status = snug_kv_load(session->kv, &cache, error);
    if (status == SNUG_OK && snug_kv_tokens(session->kv) != head.tokens) {
        status = snug_fail(error, SNUG_ERR_CORRUPT, "'%.300s' has the ids of %u tokens, but the cache of %u",
                           path, head.tokens, snug_kv_tokens(session->kv));
        (void)snug_kv_truncate(session->kv, 0);
    }
    if (status == SNUG_OK)
        memcpy(session->ids, body.at, head.tokens * sizeof *session->ids);
    session->tokens = snug_kv_tokens(session->kv);
    session->pending = 0;
    session->is_unfinished = false;
    session->pass.span_tokens = status == SNUG_OK ? head.span_tokens : session->pass.span_tokens;
    session->has_logits = session->has_logits && status != SNUG_OK && session->tokens > 0;
    return status;
}

snug_status snug_session_load(snug_session *session, const char *path, snug_error *error)
{
    snug_os_map map;
    snug_status status;

    SNUG_TRY(snug_os_map_open(&map, path, error));
    status = snug_saved_read(session, &map, path, error);
    snug_os_map_close(&map);
    return status;
}

snug_status snug_session_read_saved(snug_saved_info *info_out, const char *path, snug_error *error)
{
    snug_os_map map;
    snug_kv_bytes body;
    file_head head;
    snug_status status;

    SNUG_TRY(snug_os_map_open(&map, path, error));
    status = read_head(&head, &body, &map, path, error);
    if (status == SNUG_OK)
        status = check_file(&head, &map, path, error);
    if (status == SNUG_OK)
        status = skip_ids(&body, &body, head.tokens, path, error);
    if (status == SNUG_OK)
        status = snug_kv_saved_config(&info_out->kv, &body, error);
    if (status == SNUG_OK)
        info_out->tokens = head.tokens;
    snug_os_map_close(&map);
    return status;
}
