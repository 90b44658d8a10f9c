/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub_file.c - see hub_file.h. What is trusted is the hash: bytes of an earlier run are read again before
 * more are added, and a file whose hash is wrong is begun once more from nothing.
 */
#include "catalog/hub_file.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"

#define VERIFY_BYTES 32768u /* read at once */
#define FAILURES_MAX 8u
#define RESTARTS_MAX 2u
#define SECOND_NS    1000000000u
#define LOCK_WAIT_NS (SECOND_NS / 4)

/* --- the hash ------------------------------------------------------------------------------------------- */

static void begin_hash(hub_file *file)
{
    char header[40];

    file->have_bytes = 0;
    snug_sha_begin(&file->sha, file->entry->is_git);
    if (!file->entry->is_git)
        return;
    snprintf(header, sizeof header, "blob %llu", (unsigned long long)file->entry->bytes);
    snug_sha_add(&file->sha, header, strlen(header) + 1);
}

/* Nothing of it is of use. */
static snug_status drop(hub_file *file, snug_error *error)
{
    int code = 0;

    begin_hash(file);
    file->etag[0] = '\0';
    if (!snug_os_part_cut(&file->part, 0, &code))
        return snug_os_part_fail(file->partial, code, error);
    return SNUG_OK;
}

static snug_status take_in(hub_file *file, hub_file_going is_going, snug_error *error)
{
    const uint64_t there = snug_os_part_bytes(&file->part);
    unsigned char piece[VERIFY_BYTES];

    begin_hash(file);
    if (there > file->entry->bytes)
        return drop(file, error);
    while (file->have_bytes < there) {
        const uint64_t left = there - file->have_bytes;
        const size_t bytes = left < sizeof piece ? (size_t)left : sizeof piece;

        if (!is_going(file->pull))
            SNUG_FAIL(error, SNUG_ERR_CANCELLED, "stopped; what has come stays and is not fetched again");
        if (!snug_os_part_read(&file->part, file->have_bytes, piece, bytes))
            return drop(file, error);
        snug_sha_add(&file->sha, piece, bytes);
        file->have_bytes += bytes;
    }
    return SNUG_OK;
}

/* All bytes are there. Wrong ones are dropped, twice at most. */
static snug_status finish(hub_file *file, snug_error *error)
{
    char hash[SNUG_SHA_HEX_BYTES];

    snug_sha_end(&file->sha, hash);
    if (strcmp(hash, file->entry->hash) == 0) {
        file->state = HUB_FILE_DONE;
        return snug_os_part_finish(&file->part, file->partial, file->blob, error);
    }
    SNUG_TRY(drop(file, error));
    if (file->restarts++ < RESTARTS_MAX)
        return SNUG_OK;
    SNUG_FAIL(error, SNUG_ERR_IO,
              "%.150s: what the server sends has the checksum %.16s..., listed is %.16s...: nothing was kept",
              file->entry->name, hash, file->entry->hash);
}

/* --- the lock ------------------------------------------------------------------------------------------- */

static bool is_there(const hub_file *file)
{
    snug_os_file_info info;

    return snug_os_file_look(&info, file->blob) && info.bytes == file->entry->bytes;
}

snug_status snug_hub_file_begin(hub_file *file, hub_file_going is_going, snug_error *error)
{
    bool is_ours;

    if (is_there(file)) {
        snug_os_part_close(&file->part);
        file->have_bytes = file->entry->bytes;
        file->state = HUB_FILE_DONE;
        return SNUG_OK;
    }
    if (file->part.file < 0) {
        SNUG_TRY(snug_os_part_open(&file->part, &is_ours, file->partial, error));
        file->is_waiting_for_process = !is_ours;
        if (!is_ours)
            return SNUG_OK;
        /* Another process may have finished it while we looked. */
        if (is_there(file)) {
            SNUG_TRY(snug_os_delete(file->partial, error));
            return snug_hub_file_begin(file, is_going, error);
        }
        SNUG_TRY(take_in(file, is_going, error));
    }
    return file->have_bytes == file->entry->bytes ? finish(file, error) : SNUG_OK;
}

void snug_hub_file_close(hub_file *file)
{
    snug_hub_transfer_close(&file->transfer);
    snug_os_part_close(&file->part);
}

/* --- a request ------------------------------------------------------------------------------------------ */

/* The first bytes of an answer: do they go on where we are? */
static bool begin_body(hub_file *file)
{
    const long status = snug_hub_transfer_status(&file->transfer);
    const char *etag = file->transfer.etag;
    bool goes_on = status == 206 && file->transfer.has_range &&
                   file->transfer.range_first == file->have_bytes &&
                   file->transfer.range_total == file->entry->bytes;

    file->is_body_begun = true;
    file->is_refused = status != 200 && status != 206;
    if (file->is_refused)
        return true;
    /* Another content under the same name: what is there belongs to the old one. */
    if (file->etag[0] && etag[0] && strcmp(file->etag, etag) != 0)
        goes_on = false;
    if (!goes_on && file->have_bytes > 0) {
        if (drop(file, NULL) != SNUG_OK)
            return false;
        if (status == 206) /* of what we dropped: ask again, from the first byte */
            return false;
    }
    snprintf(file->etag, sizeof file->etag, "%s", etag);
    return status == 200 || goes_on;
}

static bool take(void *user, const void *data, size_t bytes)
{
    hub_file *file = user;

    if (!file->is_body_begun && !begin_body(file))
        return false;
    if (file->is_refused)
        return true;
    if (bytes > file->entry->bytes - file->have_bytes) {
        file->is_too_long = true;
        return false;
    }
    if (!snug_os_part_write(&file->part, file->have_bytes, data, bytes, &file->write_code))
        return false;
    snug_sha_add(&file->sha, data, bytes);
    file->have_bytes += bytes;
    return true;
}

snug_status snug_hub_file_request(hub_file *file, const hub_client *client, const char *url,
                                  snug_error *error)
{
    file->transfer = (hub_transfer){ .take = take, .user = file };
    file->is_body_begun = false;
    file->is_refused = false;
    file->is_too_long = false;
    file->begin_bytes = file->have_bytes;
    if (!snug_hub_transfer_open(&file->transfer, client, url, file->have_bytes))
        SNUG_FAIL(error, SNUG_ERR_NO_MEMORY, "no memory for a request");
    file->state = HUB_FILE_RUNNING;
    return SNUG_OK;
}

/* After a pause that doubles, 0.25 s to 8 s; at once after progress; or as the server wants it. */
static void try_again(hub_file *file, uint64_t now_ns)
{
    const uint32_t shift = file->failures < 6 ? file->failures : 6;

    file->state = HUB_FILE_WAITING;
    file->due_ns = now_ns;
    if (file->failures > 0)
        file->due_ns += file->transfer.client->pause_ns << (shift - 1);
    if (file->transfer.retry_after_seconds > 0)
        file->due_ns = now_ns + (uint64_t)file->transfer.retry_after_seconds * SECOND_NS;
}

static bool may_pass(long status)
{
    return status == 408 || status == 416 || status == 429 || status >= 500;
}

/* What went wrong is worth another try, or not: then the sentence. */
static snug_status judge(hub_file *file, CURLcode code, const char *what, bool has_token, snug_error *error)
{
    const long status = snug_hub_transfer_status(&file->transfer);
    const char *reason = file->transfer.client->curl.easy_strerror(code);

    if (file->write_code)
        return snug_os_part_fail(file->partial, file->write_code, error);
    if (file->is_too_long && file->restarts++ >= RESTARTS_MAX)
        SNUG_FAIL(error, SNUG_ERR_IO, "%.200s: the server sends more than the %llu bytes that are listed",
                  what, (unsigned long long)file->entry->bytes);
    if (code == CURLE_TOO_MANY_REDIRECTS || code == CURLE_UNSUPPORTED_PROTOCOL)
        SNUG_FAIL(error, SNUG_ERR_IO, "%.200s: the server leads nowhere: %.150s", what, reason);
    if (status >= 400 && !may_pass(status))
        return snug_hub_refused(&file->transfer, what, has_token, error);
    if (++file->failures <= FAILURES_MAX)
        return SNUG_OK;
    if (status >= 400)
        return snug_hub_refused(&file->transfer, what, has_token, error);
    SNUG_FAIL(error, SNUG_ERR_IO, "%.200s: %u tries without a byte, the last one: %.100s", what, FAILURES_MAX,
              code == CURLE_OK ? "the answer ended too early" : reason);
}

snug_status snug_hub_file_end(hub_file *file, CURLcode code, const char *what, bool has_token,
                              uint64_t now_ns, snug_error *error)
{
    snug_status status = SNUG_OK;

    if (file->have_bytes == file->entry->bytes && !file->is_too_long) {
        status = finish(file, error);
        if (status == SNUG_OK && file->state != HUB_FILE_DONE)
            try_again(file, now_ns);
    } else {
        if (file->have_bytes > file->begin_bytes)
            file->failures = 0;
        /* A range that the server does not have: what is there is not what it has. */
        if (snug_hub_transfer_status(&file->transfer) == 416 || file->is_too_long)
            status = drop(file, error);
        if (status == SNUG_OK && file->have_bytes > file->begin_bytes && !file->write_code)
            ; /* cut off after progress: go on at once */
        else if (status == SNUG_OK)
            status = judge(file, code, what, has_token, error);
        if (status == SNUG_OK)
            try_again(file, now_ns);
    }
    snug_hub_transfer_close(&file->transfer);
    return status;
}
