/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub.c - fetching a model: ask for its files, bring those that are missing, some at once, and give them
 * their names.
 */
#include <snug/hub.h>

#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "catalog/hub_file.h"
#include "memory/memory.h"
#include "os/machine.h"
#include "os/replace.h"

#define PARALLEL_DEFAULT   4u
#define PARALLEL_MAX       16u
#define ANSWER_BYTES_MAX   ((size_t)16 << 20) /* of the list of files */
#define DISK_RESERVE_BYTES ((uint64_t)64 << 20)
#define URL_BYTES          1024
#define POLL_MS            100
#define SECOND_NS          1000000000u
#define SPEED_SECONDS      4u /* over which the speed is measured */

struct hub_pull {
    const snug_hub_options *options;
    snug_memory *memory;
    snug_error *error;
    hub_client client;
    CURLM *multi;
    const char *repository;
    const char *only;                /* NULL: the whole model */
    char folder[CATALOG_PATH_BYTES]; /* models--ORG--NAME */
    const char *revision;
    bool has_token;

    /* The answer to the first question. */
    char *answer;
    size_t answer_bytes;
    size_t answer_capacity;

    hub_list list;
    hub_file *files;
    uint32_t running;

    /* Progress. */
    uint64_t said_ns;
    uint64_t speed_ns[SPEED_SECONDS + 1];
    uint64_t speed_bytes[SPEED_SECONDS + 1];
    size_t speed_count;
};

/* --- progress ------------------------------------------------------------------------------------------- */

/* Bytes per second since the oldest of the last few seconds. */
static uint64_t measure_speed(hub_pull *pull, uint64_t now_ns, uint64_t bytes)
{
    const size_t last = pull->speed_count ? pull->speed_count - 1 : 0;
    uint64_t ns;

    if (pull->speed_count == 0 || now_ns - pull->speed_ns[last] >= SECOND_NS) {
        if (pull->speed_count == SNUG_COUNT(pull->speed_ns)) {
            memmove(pull->speed_ns, pull->speed_ns + 1, last * sizeof pull->speed_ns[0]);
            memmove(pull->speed_bytes, pull->speed_bytes + 1, last * sizeof pull->speed_bytes[0]);
            pull->speed_count--;
        }
        pull->speed_ns[pull->speed_count] = now_ns;
        pull->speed_bytes[pull->speed_count++] = bytes;
    }
    ns = now_ns - pull->speed_ns[0];
    if (ns == 0 || bytes < pull->speed_bytes[0])
        return 0;
    return (uint64_t)((double)(bytes - pull->speed_bytes[0]) * SECOND_NS / (double)ns);
}

static void say(hub_pull *pull, snug_hub_phase phase, uint64_t now_ns)
{
    snug_hub_progress progress = { .phase = phase, .file = "", .seconds_left = UINT64_MAX };

    if (!pull->options->on_progress)
        return;
    progress.total_files = pull->files ? pull->list.count : 0;
    for (size_t i = 0; i < progress.total_files; i++) {
        const hub_file *file = &pull->files[i];

        progress.total_bytes += file->entry->bytes;
        progress.done_bytes += file->have_bytes;
        progress.done_files += file->state == HUB_FILE_DONE;
        if (file->state != HUB_FILE_DONE && file->have_bytes > 0 && !progress.file[0])
            progress.file = file->entry->name;
    }
    progress.bytes_per_second = measure_speed(pull, now_ns, progress.done_bytes);
    if (progress.bytes_per_second > 0)
        progress.seconds_left = (progress.total_bytes - progress.done_bytes) / progress.bytes_per_second;
    pull->options->on_progress(pull->options->user, &progress);
}

/* Ten times a second. */
static bool is_going(hub_pull *pull, snug_hub_phase phase)
{
    const uint64_t now_ns = snug_os_clock_ns();

    if (now_ns - pull->said_ns >= SECOND_NS / 10) {
        pull->said_ns = now_ns;
        say(pull, phase, now_ns);
    }
    return !pull->options->keep_going || pull->options->keep_going(pull->options->user);
}

static bool is_verifying(hub_pull *pull)
{
    return is_going(pull, SNUG_HUB_VERIFY);
}

static snug_status stopped(const hub_pull *pull)
{
    SNUG_FAIL(pull->error, SNUG_ERR_CANCELLED, "stopped; what has come stays and is not fetched again");
}

/* "ORG/NAME" or "ORG/NAME:FILE" */
static const char *what_is(char *out, size_t capacity, const hub_pull *pull, const char *file)
{
    snprintf(out, capacity, "%s%s%s", pull->repository, file ? ":" : "", file ? file : "");
    return out;
}

/* --- the list of files ---------------------------------------------------------------------------------- */

static bool take_answer(void *user, const void *data, size_t bytes)
{
    hub_pull *pull = user;

    if (bytes > ANSWER_BYTES_MAX - pull->answer_bytes)
        return false;
    if (pull->answer_bytes + bytes > pull->answer_capacity) {
        const size_t capacity = snug_max_size(2 * pull->answer_capacity, 16384 + pull->answer_bytes + bytes);
        char *larger = snug_memory_alloc(pull->memory, SNUG_MEMORY_OTHER, capacity, "the hub's list of files",
                                         pull->error);

        if (!larger)
            return false;
        if (pull->answer_bytes)
            memcpy(larger, pull->answer, pull->answer_bytes);
        snug_memory_free(pull->memory, pull->answer);
        pull->answer = larger;
        pull->answer_capacity = capacity;
    }
    memcpy(pull->answer + pull->answer_bytes, data, bytes);
    pull->answer_bytes += bytes;
    return true;
}

/* Wait until the one request is over. */
static snug_status run_alone(CURLcode *code_out, hub_pull *pull, hub_transfer *transfer)
{
    const hub_curl *curl = &pull->client.curl;
    int running = 1, left;
    CURLMsg *message;
    snug_status status = SNUG_OK;

    if (curl->multi_add_handle(pull->multi, transfer->easy) != CURLM_OK)
        SNUG_FAIL(pull->error, SNUG_ERR_NO_MEMORY, "no memory for a request");
    while (running > 0 && status == SNUG_OK) {
        if (curl->multi_perform(pull->multi, &running) != CURLM_OK)
            status = snug_fail(pull->error, SNUG_ERR_IO, "libcurl does not go on");
        else if (!is_going(pull, SNUG_HUB_RESOLVE))
            status = stopped(pull);
        else if (running > 0)
            (void)curl->multi_poll(pull->multi, NULL, 0, POLL_MS, NULL);
    }
    *code_out = CURLE_OK;
    while ((message = curl->multi_info_read(pull->multi, &left)))
        if (message->msg == CURLMSG_DONE)
            *code_out = message->data.result;
    (void)curl->multi_remove_handle(pull->multi, transfer->easy);
    return status;
}

/* Pause, as long as the caller wants to go on. */
static snug_status pause_until(hub_pull *pull, uint64_t due_ns, snug_hub_phase phase)
{
    while (snug_os_clock_ns() < due_ns) {
        if (!is_going(pull, phase))
            return stopped(pull);
        (void)pull->client.curl.multi_poll(pull->multi, NULL, 0, POLL_MS, NULL);
    }
    return SNUG_OK;
}

/* It will not be by asking again. */
static bool is_not_trusted(CURLcode code)
{
    return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE;
}

/* One question; *is_answered_out is false when it is worth asking again. */
static snug_status ask_once(hub_pull *pull, const char *url, bool *is_answered_out, uint32_t tries)
{
    hub_transfer transfer = { .take = take_answer, .user = pull };
    char what[CATALOG_REPOSITORY_BYTES + CATALOG_FILE_BYTES];
    CURLcode code = CURLE_OK;
    snug_status status;
    long answer;

    pull->answer_bytes = 0;
    if (!snug_hub_transfer_open(&transfer, &pull->client, url, 0))
        SNUG_FAIL(pull->error, SNUG_ERR_NO_MEMORY, "no memory for a request");
    status = run_alone(&code, pull, &transfer);
    answer = snug_hub_transfer_status(&transfer);
    *is_answered_out = code == CURLE_OK && answer == 200;
    if (status == SNUG_OK && !*is_answered_out) {
        if (answer >= 400 && (tries == 0 || (answer != 429 && answer != 408 && answer < 500)))
            status = snug_hub_refused(&transfer, what_is(what, sizeof what, pull, NULL), pull->has_token,
                                      pull->error);
        else if (is_not_trusted(code))
            status =
                snug_fail(pull->error, SNUG_ERR_IO,
                          "%.150s is not who it says it is, as far as the certificates here tell (%.150s): "
                          "SSL_CERT_FILE names a file of certificates to trust",
                          pull->client.endpoint, pull->client.curl.easy_strerror(code));
        else if (answer < 400 && tries == 0)
            status = snug_fail(pull->error, SNUG_ERR_IO, "cannot reach %.150s: %.200s", pull->client.endpoint,
                               pull->client.curl.easy_strerror(code));
        else
            status =
                pause_until(pull,
                            snug_os_clock_ns() + (transfer.retry_after_seconds
                                                      ? (uint64_t)transfer.retry_after_seconds * SECOND_NS
                                                      : 2 * pull->client.pause_ns),
                            SNUG_HUB_WAIT);
    }
    snug_hub_transfer_close(&transfer);
    return status;
}

static snug_status ask_for_list(hub_pull *pull)
{
    char url[URL_BYTES], what[CATALOG_REPOSITORY_BYTES];
    bool is_answered = false;
    snug_status status;

    snprintf(url, sizeof url, "%s/api/models/%s/revision/%s?blobs=true", pull->client.endpoint,
             pull->repository, pull->revision);
    for (uint32_t tries = 4; !is_answered; tries--)
        SNUG_TRY(ask_once(pull, url, &is_answered, tries));
    status = snug_hub_list_read(&pull->list, pull->memory, (snug_str){ pull->answer, pull->answer_bytes },
                                pull->only, pull->error);
    snug_memory_free(pull->memory, pull->answer);
    pull->answer = NULL;
    if (status == SNUG_OK)
        return SNUG_OK;
    return snug_fail_prefix(pull->error, status, what_is(what, sizeof what, pull, NULL));
}

/* --- the files ------------------------------------------------------------------------------------------ */

static snug_status prepare_files(hub_pull *pull)
{
    char blobs[CATALOG_PATH_BYTES + 8];
    int bytes = 0;

    pull->files = snug_memory_alloc(pull->memory, SNUG_MEMORY_OTHER, pull->list.count * sizeof *pull->files,
                                    "a model's files under way", pull->error);
    if (!pull->files)
        return pull->error->status;
    snprintf(blobs, sizeof blobs, "%s/blobs", pull->folder);
    SNUG_TRY(snug_os_make_folders(blobs, pull->error));
    for (size_t i = 0; i < pull->list.count; i++) {
        hub_file *file = &pull->files[i];

        file->pull = pull;
        file->entry = &pull->list.entries[i];
        file->part.file = -1;
        bytes = snprintf(file->partial, sizeof file->partial, "%s/%s.incomplete", blobs, file->entry->hash);
        if (bytes < 0 || (size_t)bytes >= sizeof file->partial)
            SNUG_FAIL(pull->error, SNUG_ERR_ARGUMENT, "the path of the cache folder is too long");
        snprintf(file->blob, sizeof file->blob, "%.*s", bytes - (int)strlen(".incomplete"), file->partial);
    }
    return SNUG_OK;
}

/* What is still to come must have room, before the first byte of it does. */
static snug_status check_disk(const hub_pull *pull)
{
    const uint64_t free_bytes = snug_os_free_bytes(pull->folder);
    uint64_t needed = DISK_RESERVE_BYTES;

    for (size_t i = 0; i < pull->list.count; i++) {
        const hub_file *file = &pull->files[i];
        snug_os_file_info info = { 0 };

        if (!snug_os_file_look(&info, file->blob))
            (void)snug_os_file_look(&info, file->partial);
        needed += file->entry->bytes - (info.bytes < file->entry->bytes ? info.bytes : file->entry->bytes);
    }
    if (free_bytes == SNUG_OS_UNKNOWN || free_bytes >= needed)
        return SNUG_OK;
    SNUG_FAIL(pull->error, SNUG_ERR_IO,
              "%s: %.1f GB are to come, but the disk of %.200s has only %.1f GB left", pull->repository,
              (double)needed / 1e9, pull->folder, (double)free_bytes / 1e9);
}

/* In a path of a URL: what is no plain character as %XX. */
static bool write_url(char *out, size_t capacity, const hub_pull *pull, const char *name)
{
    static const char digits[] = "0123456789ABCDEF";
    int bytes = snprintf(out, capacity, "%s/%s/resolve/%s/", pull->client.endpoint, pull->repository,
                         pull->list.commit);

    for (; bytes > 0 && (size_t)bytes + 4 < capacity && *name; name++) {
        const unsigned char c = (unsigned char)*name;

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            strchr("-._~/", *name)) {
            out[bytes++] = *name;
        } else {
            out[bytes++] = '%';
            out[bytes++] = digits[c >> 4];
            out[bytes++] = digits[c & 15];
        }
    }
    if (bytes <= 0 || *name)
        return false;
    out[bytes] = '\0';
    return true;
}

static snug_status start_file(hub_pull *pull, hub_file *file)
{
    char url[URL_BYTES];

    SNUG_TRY(snug_hub_file_begin(file, is_verifying, pull->error));
    if (file->state == HUB_FILE_DONE)
        return SNUG_OK;
    if (file->part.file < 0) { /* another process has it */
        file->due_ns = snug_os_clock_ns() + SECOND_NS / 4;
        return SNUG_OK;
    }
    if (!write_url(url, sizeof url, pull, file->entry->name))
        SNUG_FAIL(pull->error, SNUG_ERR_ARGUMENT, "the address of %.100s is too long", file->entry->name);
    SNUG_TRY(snug_hub_file_request(file, &pull->client, url, pull->error));
    if (pull->client.curl.multi_add_handle(pull->multi, file->transfer.easy) != CURLM_OK)
        SNUG_FAIL(pull->error, SNUG_ERR_NO_MEMORY, "no memory for a request");
    pull->running++;
    return SNUG_OK;
}

static snug_status start_due_files(hub_pull *pull, uint32_t parallel)
{
    for (size_t i = 0; i < pull->list.count && pull->running < parallel; i++) {
        hub_file *file = &pull->files[i];

        if (file->state == HUB_FILE_WAITING && snug_os_clock_ns() >= file->due_ns)
            SNUG_TRY(start_file(pull, file));
    }
    return SNUG_OK;
}

static snug_status end_requests(hub_pull *pull)
{
    const hub_curl *curl = &pull->client.curl;
    char what[CATALOG_REPOSITORY_BYTES + CATALOG_FILE_BYTES];
    CURLMsg *message;
    int left;

    while ((message = curl->multi_info_read(pull->multi, &left))) {
        const CURLcode code = message->data.result;
        CURL *easy = message->easy_handle;
        char *file_text = NULL;
        hub_file *file;

        if (message->msg != CURLMSG_DONE ||
            curl->easy_getinfo(easy, CURLINFO_PRIVATE, &file_text) != CURLE_OK)
            continue;
        file = (hub_file *)(void *)file_text;
        (void)curl->multi_remove_handle(pull->multi, easy);
        pull->running--;
        SNUG_TRY(snug_hub_file_end(file, code, what_is(what, sizeof what, pull, file->entry->name),
                                   pull->has_token, snug_os_clock_ns(), pull->error));
    }
    return SNUG_OK;
}

static bool are_all_done(const hub_pull *pull)
{
    for (size_t i = 0; i < pull->list.count; i++)
        if (pull->files[i].state != HUB_FILE_DONE)
            return false;
    return true;
}

static snug_status fetch_files(hub_pull *pull)
{
    const hub_curl *curl = &pull->client.curl;
    uint32_t parallel = pull->options->parallel ? pull->options->parallel : PARALLEL_DEFAULT;
    int running;

    if (parallel > PARALLEL_MAX)
        parallel = PARALLEL_MAX;
    while (!are_all_done(pull)) {
        SNUG_TRY(start_due_files(pull, parallel));
        if (curl->multi_perform(pull->multi, &running) != CURLM_OK)
            SNUG_FAIL(pull->error, SNUG_ERR_IO, "libcurl does not go on");
        SNUG_TRY(end_requests(pull));
        if (!is_going(pull, pull->running > 0 ? SNUG_HUB_DOWNLOAD : SNUG_HUB_WAIT))
            return stopped(pull);
        if (!are_all_done(pull))
            (void)curl->multi_poll(pull->multi, NULL, 0, POLL_MS, NULL);
    }
    return SNUG_OK;
}

/* --- their names ---------------------------------------------------------------------------------------- */

/* snapshots/COMMIT/a/b -> ../../../blobs/HASH */
static snug_status link_file(const hub_pull *pull, const char *snapshot, const hub_entry *entry)
{
    char path[CATALOG_PATH_BYTES], target[CATALOG_PATH_BYTES] = "../../";
    size_t used = strlen(target);
    char *slash;

    if (snprintf(path, sizeof path, "%s/%s", snapshot, entry->name) >= (int)sizeof path)
        SNUG_FAIL(pull->error, SNUG_ERR_ARGUMENT, "the path of the cache folder is too long");
    for (const char *at = entry->name; *at; at++)
        if (*at == '/')
            used += (size_t)snprintf(target + used, sizeof target - used, "../");
    snprintf(target + used, sizeof target - used, "blobs/%s", entry->hash);
    slash = strrchr(path, '/');
    *slash = '\0';
    SNUG_TRY(snug_os_make_folders(path, pull->error));
    *slash = '/';
    return snug_os_make_link(path, target, pull->error);
}

static snug_status write_reference_once(const hub_pull *pull, const char *path)
{
    snug_os_replace replace;
    snug_status status;

    SNUG_TRY(snug_os_replace_begin(&replace, path, pull->error));
    status = snug_os_replace_write(&replace, pull->list.commit, strlen(pull->list.commit), pull->error);
    if (status == SNUG_OK)
        return snug_os_replace_end(&replace, pull->error);
    snug_os_replace_cancel(&replace);
    return status;
}

/* Another process may be writing the same just now: then once more. */
static snug_status write_reference(hub_pull *pull)
{
    char path[CATALOG_PATH_BYTES];
    snug_status status = SNUG_ERR_IO;
    char *slash;

    if (snprintf(path, sizeof path, "%s/refs/%s", pull->folder, pull->revision) >= (int)sizeof path)
        SNUG_FAIL(pull->error, SNUG_ERR_ARGUMENT, "the path of the cache folder is too long");
    slash = strrchr(path, '/');
    *slash = '\0';
    SNUG_TRY(snug_os_make_folders(path, pull->error));
    *slash = '/';
    for (int tries = 0; tries < 20 && status == SNUG_ERR_IO; tries++) {
        if (tries > 0)
            SNUG_TRY(pause_until(pull, snug_os_clock_ns() + SECOND_NS / 10, SNUG_HUB_WAIT));
        status = write_reference_once(pull, path);
    }
    return status;
}

static snug_status name_files(hub_pull *pull, char *path_out, size_t capacity)
{
    char snapshot[CATALOG_PATH_BYTES];
    int bytes = snprintf(snapshot, sizeof snapshot, "%s/snapshots/%s", pull->folder, pull->list.commit);
    const bool is_file = pull->list.count == 1 && strcmp(pull->list.entries[0].name, "config.json") != 0;

    if (bytes < 0 || (size_t)bytes >= sizeof snapshot)
        SNUG_FAIL(pull->error, SNUG_ERR_ARGUMENT, "the path of the cache folder is too long");
    for (size_t i = 0; i < pull->list.count; i++)
        SNUG_TRY(link_file(pull, snapshot, &pull->list.entries[i]));
    if (strcmp(pull->revision, pull->list.commit) != 0)
        SNUG_TRY(write_reference(pull));
    bytes = snprintf(path_out, capacity, "%s%s%s", snapshot, is_file ? "/" : "",
                     is_file ? pull->list.entries[0].name : "");
    if (bytes < 0 || (size_t)bytes >= capacity)
        SNUG_FAIL(pull->error, SNUG_ERR_ARGUMENT, "the path of the model is longer than %zu bytes", capacity);
    return SNUG_OK;
}

/* --- the call ------------------------------------------------------------------------------------------- */

static snug_status check_call(hub_pull *pull)
{
    if (!snug_hub_is_repository(snug_str_from(pull->repository)))
        SNUG_FAIL(pull->error, SNUG_ERR_ARGUMENT, "\"%.200s\" is no name on the hub, expected ORG/NAME",
                  pull->repository);
    if (pull->only && !snug_hub_is_file(snug_str_from(pull->only)))
        SNUG_FAIL(pull->error, SNUG_ERR_ARGUMENT, "\"%.200s\" is no path of a file in a repository",
                  pull->only);
    if (!snug_hub_is_file(snug_str_from(pull->revision)))
        SNUG_FAIL(pull->error, SNUG_ERR_ARGUMENT, "\"%.200s\" is no branch, tag or commit", pull->revision);
    if (!pull->options->cache_folder ||
        !snug_catalog_repository_folder(pull->folder, sizeof pull->folder, pull->options->cache_folder,
                                        pull->repository))
        SNUG_FAIL(pull->error, SNUG_ERR_ARGUMENT, "there is no cache folder, or its path is too long");
    return SNUG_OK;
}

static snug_status run(hub_pull *pull, char *path_out, size_t capacity)
{
    SNUG_TRY(check_call(pull));
    SNUG_TRY(snug_hub_client_open(&pull->client, pull->options, pull->error));
    pull->has_token = pull->client.headers != NULL;
    pull->multi = pull->client.curl.multi_init();
    if (!pull->multi)
        SNUG_FAIL(pull->error, SNUG_ERR_NO_MEMORY, "no memory for a request");
    SNUG_TRY(ask_for_list(pull));
    SNUG_TRY(prepare_files(pull));
    SNUG_TRY(check_disk(pull));
    SNUG_TRY(fetch_files(pull));
    SNUG_TRY(name_files(pull, path_out, capacity));
    say(pull, SNUG_HUB_DONE, snug_os_clock_ns());
    return SNUG_OK;
}

static void close_all(hub_pull *pull)
{
    for (size_t i = 0; pull->files && i < pull->list.count; i++) {
        if (pull->files[i].transfer.easy)
            (void)pull->client.curl.multi_remove_handle(pull->multi, pull->files[i].transfer.easy);
        snug_hub_file_close(&pull->files[i]);
    }
    if (pull->multi)
        (void)pull->client.curl.multi_cleanup(pull->multi);
    snug_hub_client_close(&pull->client);
    snug_memory_free(pull->memory, pull->files);
    snug_memory_free(pull->memory, pull->answer);
    snug_hub_list_free(&pull->list);
}

snug_status snug_hub_pull(char *path_out, size_t capacity, snug_memory *memory, const char *repository,
                          const char *file, const snug_hub_options *options, snug_error *error)
{
    snug_error own = { SNUG_OK, "" };
    hub_pull pull = {
        .options = options,
        .memory = memory,
        .error = error ? error : &own,
        .repository = repository,
        .only = file && *file ? file : NULL,
        .revision = options->revision ? options->revision : "main",
        .list = { .memory = memory },
    };
    const snug_status status = run(&pull, path_out, capacity);

    close_all(&pull);
    return status;
}
