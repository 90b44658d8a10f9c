/* SPDX-License-Identifier: Apache-2.0 */
/*
 * suspended.c - a conversation that left memory: what it takes to go on, then the file of saved.c, if there
 * was room for it. docs/cache-file.md has the layout. The first part has a checksum of its own, so that lists
 * need not read caches, and that ids survive a cache that does not.
 */
#include "session/session.h"

#include <string.h>
#include <time.h>

#include "base/checksum.h"
#include "base/size.h"
#include "base/status.h"

#define MAGIC   "SNUG-SU\n"
#define VERSION 3

/* In the file as it is here, little-endian; then the note, the ids, the checksum, the cache file. */
typedef struct file_head {
    char magic[8];
    uint32_t version;
    uint32_t known_tokens;
    uint64_t fingerprint; /* of the model */
    uint64_t parameters;
    uint64_t time_s;
    uint64_t note_bytes; /* with zero bytes at its end, at least one: a multiple of 8 */
    uint64_t seed;
    double temperature;
    double top_p;
    double min_p;
    double repetition_penalty;
    double presence_penalty;
    double frequency_penalty;
    uint32_t top_k;
    uint32_t repetition_window;
    uint32_t computed_tokens; /* 0: no cache file follows */
    uint32_t context_tokens;
    uint32_t prefill_chunk;
    uint32_t logits_rows;
    uint32_t is_unfinished;
    uint32_t told_tokens;
    uint32_t max_tokens;
    uint32_t ignore_eos;
    uint32_t show_special;
    snug_kv_config kv; /* 11 numbers of 32 bits, and bytes of its layers */
    char family[28];
    char reason[260];
} file_head;

_Static_assert(sizeof(file_head) == 104 + 11 * 4 + 11 * 4 + 6 * SNUG_KV_LAYERS_MAX + 28 + 260,
               "no padding in the file");
_Static_assert(sizeof(file_head) % 8 == 0, "what follows is aligned");

struct snug_suspended {
    snug_memory *memory;
    snug_os_map map;
    file_head head;
    const char *note;
    const uint32_t *ids;
    snug_os_map cache; /* the part of the map that is a file of saved.c */
    char path[SNUG_OS_PATH_BYTES];
};

/* --- suspending ----------------------------------------------------------------------------------------- */

static void copy_text(char *out, size_t capacity, const char *text)
{
    const size_t bytes = snug_min_size(strlen(text), capacity - 1);

    memcpy(out, text, bytes);
    out[bytes] = '\0';
}

static file_head head_of(const snug_session *session, const snug_suspend_options *options)
{
    const snug_unfinished *unfinished = &session->unfinished;
    const snug_sample_options *sample = &unfinished->sample;
    file_head head = {
        .magic = MAGIC,
        .version = VERSION,
        .known_tokens = session->tokens + session->pending,
        .fingerprint = snug_model_fingerprint(session->model),
        .parameters = session->model->parameters,
        .time_s = (uint64_t)time(NULL),
        .note_bytes = options->note ? snug_round_up(strlen(options->note) + 1, 8) : 8,
        .seed = sample->seed,
        .temperature = sample->temperature,
        .top_p = sample->top_p,
        .min_p = sample->min_p,
        .repetition_penalty = sample->repetition_penalty,
        .presence_penalty = sample->presence_penalty,
        .frequency_penalty = sample->frequency_penalty,
        .top_k = sample->top_k,
        .repetition_window = sample->repetition_window,
        .computed_tokens = options->without_cache ? 0 : session->tokens,
        .context_tokens = session->context_tokens,
        .prefill_chunk = session->prefill_chunk,
        .logits_rows = session->logits_rows,
        .is_unfinished = session->is_unfinished,
        .told_tokens = unfinished->told_tokens,
        .max_tokens = unfinished->max_tokens,
        .ignore_eos = unfinished->ignore_eos,
        .show_special = unfinished->show_special,
        .kv = *snug_kv_made_of(session->kv),
    };

    copy_text(head.family, sizeof head.family, session->model->family->model_type);
    copy_text(head.reason, sizeof head.reason, options->reason ? options->reason : "");
    return head;
}

static snug_status put(snug_os_replace *file, snug_checksum *sum, const void *data, size_t bytes,
                       snug_error *error)
{
    snug_checksum_add(sum, data, bytes);
    return snug_os_replace_write(file, data, bytes, error);
}

static snug_status write_all(snug_os_replace *file, const snug_session *session,
                             const snug_suspend_options *options, snug_error *error)
{
    static const char zeros[8];
    const file_head head = head_of(session, options);
    const size_t text_bytes = options->note ? strlen(options->note) : 0;
    snug_checksum sum = snug_checksum_begin();
    uint64_t checksum;

    SNUG_TRY(put(file, &sum, &head, sizeof head, error));
    if (text_bytes > 0)
        SNUG_TRY(put(file, &sum, options->note, text_bytes, error));
    SNUG_TRY(put(file, &sum, zeros, (size_t)head.note_bytes - text_bytes, error));
    SNUG_TRY(put(file, &sum, session->ids, head.known_tokens * sizeof *session->ids, error));
    checksum = snug_checksum_end(&sum);
    SNUG_TRY(snug_os_replace_write(file, &checksum, sizeof checksum, error));
    return head.computed_tokens > 0 ? snug_saved_write(file, session, error) : SNUG_OK;
}

static snug_status suspend(snug_suspend_result *result, const snug_session *session, const char *path,
                           const snug_suspend_options *options, snug_error *error)
{
    snug_os_replace file;
    snug_status status;

    SNUG_TRY(snug_os_replace_begin(&file, path, error));
    if (snug_os_is_file(path))
        status = snug_fail(error, SNUG_ERR_IO, "cannot write '%.300s': there is a file of that name", path);
    else
        status = write_all(&file, session, options, error);
    if (status != SNUG_OK) {
        snug_os_replace_cancel(&file);
        return status;
    }
    result->bytes = file.bytes;
    result->has_cache = !options->without_cache && session->tokens > 0;
    return snug_os_replace_end_new(&file, error);
}

snug_status snug_session_suspend(snug_suspend_result *result_out, const snug_session *session,
                                 const char *path, const snug_suspend_options *options, snug_error *error)
{
    snug_suspend_options without_cache = *options;
    snug_error reason = { SNUG_OK, "" };
    snug_status status;

    *result_out = (snug_suspend_result){ .struct_size = result_out->struct_size };
    status = suspend(result_out, session, path, options, &reason);
    if (status == SNUG_ERR_IO && !options->without_cache && session->tokens > 0 && !snug_os_is_file(path)) {
        without_cache.without_cache = true;
        status = suspend(result_out, session, path, &without_cache, error);
        copy_text(result_out->cache_error, sizeof result_out->cache_error, reason.text);
        return status;
    }
    if (status != SNUG_OK)
        SNUG_FAIL(error, status, "%s", reason.text);
    return SNUG_OK;
}

/* --- opening -------------------------------------------------------------------------------------------- */

static snug_status check_size(const file_head *head, size_t file_bytes, const char *path, snug_error *error)
{
    const size_t left = file_bytes - sizeof *head - sizeof(uint64_t);

    if (head->note_bytes > left || head->note_bytes % 8 != 0 || head->note_bytes == 0 ||
        head->known_tokens > (left - head->note_bytes) / sizeof(uint32_t))
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "'%.300s' is damaged or cut short: it has %zu bytes", path,
                  file_bytes);
    return SNUG_OK;
}

static bool figures_are_sound(const file_head *head)
{
    return head->computed_tokens <= head->known_tokens && head->told_tokens <= head->known_tokens &&
           head->known_tokens <= head->context_tokens && head->is_unfinished <= 1 && head->ignore_eos <= 1 &&
           head->show_special <= 1 && !(head->is_unfinished && head->known_tokens == 0);
}

static snug_status read_parts(snug_suspended *suspended, const char *path, snug_error *error)
{
    const unsigned char *data = suspended->map.data;
    const size_t file_bytes = suspended->map.bytes;
    file_head *head = &suspended->head;
    snug_checksum sum = snug_checksum_begin();
    size_t end;
    uint64_t checksum;

    if (file_bytes < sizeof *head + sizeof(uint64_t) || memcmp(data, MAGIC, sizeof MAGIC - 1) != 0)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "'%.300s' is not a suspended conversation: it does not begin as one", path);
    memcpy(head, data, sizeof *head);
    if (head->version != VERSION)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                  "'%.300s' is a suspended conversation in format %u; this build reads format %u", path,
                  head->version, VERSION);
    SNUG_TRY(check_size(head, file_bytes, path, error));
    end = sizeof *head + (size_t)head->note_bytes + head->known_tokens * sizeof(uint32_t);
    memcpy(&checksum, data + end, sizeof checksum);
    snug_checksum_add(&sum, data, end);
    if (snug_checksum_end(&sum) != checksum)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "'%.300s' is damaged: its checksum does not agree", path);
    suspended->note = (const char *)data + sizeof *head;
    suspended->ids = (const uint32_t *)(const void *)(suspended->note + head->note_bytes);
    if (!figures_are_sound(head) || suspended->note[head->note_bytes - 1] != '\0')
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "'%.300s' is no suspended conversation: its figures make no sense",
                  path);
    head->family[sizeof head->family - 1] = '\0';
    head->reason[sizeof head->reason - 1] = '\0';
    end += sizeof checksum;
    suspended->cache = (snug_os_map){ data + end, file_bytes - end };
    return SNUG_OK;
}

snug_status snug_suspended_open(snug_suspended **suspended_out, snug_memory *memory, const char *path,
                                snug_error *error)
{
    snug_error own = { SNUG_OK, "" };
    snug_suspended *suspended;
    snug_status status;

    *suspended_out = NULL;
    if (!error)
        error = &own;
    suspended =
        snug_memory_alloc(memory, SNUG_MEMORY_OTHER, sizeof *suspended, "a suspended conversation", error);
    if (!suspended)
        return error->status;
    suspended->memory = memory;
    copy_text(suspended->path, sizeof suspended->path, path);
    status = snug_os_map_open(&suspended->map, path, error);
    if (status == SNUG_OK)
        status = read_parts(suspended, path, error);
    if (status != SNUG_OK) {
        snug_suspended_close(suspended);
        return status;
    }
    *suspended_out = suspended;
    return SNUG_OK;
}

void snug_suspended_close(snug_suspended *suspended)
{
    if (!suspended)
        return;
    snug_os_map_close(&suspended->map);
    snug_memory_free(suspended->memory, suspended);
}

static snug_unfinished unfinished_of(const file_head *head)
{
    return (snug_unfinished){
        .struct_size = sizeof(snug_unfinished),
        .known_tokens = head->known_tokens,
        .told_tokens = head->told_tokens,
        .max_tokens = head->max_tokens,
        .ignore_eos = head->ignore_eos != 0,
        .show_special = head->show_special != 0,
        .sample = { .struct_size = sizeof(snug_sample_options),
                    .temperature = head->temperature,
                    .top_k = head->top_k,
                    .top_p = head->top_p,
                    .min_p = head->min_p,
                    .repetition_penalty = head->repetition_penalty,
                    .repetition_window = head->repetition_window,
                    .seed = head->seed,
                    .presence_penalty = head->presence_penalty,
                    .frequency_penalty = head->frequency_penalty },
    };
}

void snug_suspended_read(snug_suspended_info *info_out, const snug_suspended *suspended)
{
    const file_head *head = &suspended->head;

    *info_out = (snug_suspended_info){
        .struct_size = info_out->struct_size,
        .time_s = head->time_s,
        .reason = head->reason,
        .note = suspended->note,
        .family = head->family,
        .parameters = head->parameters,
        .ids = suspended->ids,
        .computed_tokens = head->computed_tokens,
        .file_bytes = suspended->map.bytes,
        .session = { .struct_size = sizeof(snug_session_options),
                     .context_tokens = head->context_tokens,
                     .prefill_chunk = head->prefill_chunk,
                     .logits_rows = head->logits_rows,
                     .kv = head->kv },
        .is_unfinished = head->is_unfinished != 0,
        .unfinished = unfinished_of(head),
    };
}

/* --- going on ------------------------------------------------------------------------------------------- */

static snug_status check_session(const snug_session *session, const snug_suspended *suspended,
                                 snug_error *error)
{
    const file_head *head = &suspended->head;
    const snug_model *model = session->model;

    if (head->fingerprint != snug_model_fingerprint(model))
        SNUG_FAIL(
            error, SNUG_ERR_ARGUMENT,
            "'%.300s' is a conversation with another model (%s, %.0f million parameters), not with this "
            "one (%s, %.0f million)",
            suspended->path, head->family, (double)head->parameters / 1e6, model->family->model_type,
            (double)model->parameters / 1e6);
    if (head->known_tokens > session->context_tokens)
        SNUG_FAIL(error, SNUG_ERR_FULL, "the conversation has %u tokens, but the context holds %u",
                  head->known_tokens, session->context_tokens);
    for (uint32_t i = 0; i < head->known_tokens; i++)
        if (suspended->ids[i] >= model->shape.vocabulary)
            SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                      "'%.300s': token %u has the id %u, beyond the vocabulary of %u", suspended->path, i,
                      suspended->ids[i], model->shape.vocabulary);
    return SNUG_OK;
}

/* Whether what was loaded is the beginning of what is known. */
static bool is_beginning(const snug_session *session, const snug_suspended *suspended)
{
    return session->tokens <= suspended->head.known_tokens &&
           memcmp(session->ids, suspended->ids, session->tokens * sizeof *session->ids) == 0;
}

snug_status snug_session_resume(snug_session *session, const snug_suspended *suspended, snug_error *error)
{
    const file_head *head = &suspended->head;
    snug_status status = SNUG_ERR_CORRUPT;

    SNUG_TRY(check_session(session, suspended, error));
    if (head->computed_tokens > 0)
        status = snug_saved_read(session, &suspended->cache, suspended->path, error);
    if (status != SNUG_OK && status != SNUG_ERR_CORRUPT)
        return status;
    if (status == SNUG_ERR_CORRUPT || !is_beginning(session, suspended))
        (void)snug_session_truncate(session, 0);
    session->pending = head->known_tokens - session->tokens;
    memcpy(session->ids, suspended->ids, head->known_tokens * sizeof *session->ids);
    session->unfinished = unfinished_of(head);
    session->is_unfinished = head->is_unfinished != 0;
    return SNUG_OK;
}
