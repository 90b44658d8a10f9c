/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub_file.h - one file on its way into the cache folder: what is there of it, its hash so far, its requests.
 *
 * The content goes to blobs/HASH.incomplete, of which one process has the lock; it is renamed to blobs/HASH
 * when all of it is there and the hash is right.
 */
#ifndef SNUG_SRC_CATALOG_HUB_FILE_H
#define SNUG_SRC_CATALOG_HUB_FILE_H

#include "catalog/hub_list.h"
#include "catalog/hub_transfer.h"
#include "os/store.h"

typedef enum hub_file_state {
    HUB_FILE_WAITING = 0, /* for its turn, for another process, or for the server: until due_ns */
    HUB_FILE_RUNNING = 1,
    HUB_FILE_DONE = 2,
} hub_file_state;

typedef struct hub_pull hub_pull;

typedef struct hub_file {
    hub_pull *pull;
    const hub_entry *entry;
    hub_file_state state;
    char blob[CATALOG_PATH_BYTES];    /* blobs/HASH */
    char partial[CATALOG_PATH_BYTES]; /* blobs/HASH.incomplete */
    snug_os_part part;
    snug_sha sha; /* of the first have_bytes */
    uint64_t have_bytes;
    hub_transfer transfer;
    bool is_body_begun;        /* of the answer that is coming */
    bool is_refused;           /* its status is none that brings content: the body is dropped */
    char etag[HUB_ETAG_BYTES]; /* of the first answer with content */
    uint64_t begin_bytes;      /* have_bytes when the request began */
    uint32_t failures;         /* in a row, without a byte between them */
    uint32_t restarts;         /* from the first byte, because something was wrong */
    uint64_t due_ns;
    bool is_waiting_for_process;
    int write_code;   /* why the disk refused; 0: it did not */
    bool is_too_long; /* more came than was listed */
} hub_file;

/* Reads what an earlier run left, a piece at a time, as long as this says so. */
typedef bool (*hub_file_going)(hub_pull *pull);

/*
 * Get the lock and take in what is there. Afterwards the state is DONE (it was there, or is complete now),
 * WAITING (another process has it) or unchanged: a request may begin. Errors: IO, CANCELLED.
 */
SNUG_MUST_CHECK snug_status snug_hub_file_begin(hub_file *file, hub_file_going is_going, snug_error *error);

/* Begin a request. Errors: NO_MEMORY. */
SNUG_MUST_CHECK snug_status snug_hub_file_request(hub_file *file, const hub_client *client, const char *url,
                                                  snug_error *error);

/*
 * The request is over, with libcurl's code. Afterwards the state is DONE, or WAITING for another try.
 * Errors: IO.
 */
SNUG_MUST_CHECK snug_status snug_hub_file_end(hub_file *file, CURLcode code, const char *what, bool has_token,
                                              uint64_t now_ns, snug_error *error);
void snug_hub_file_close(hub_file *file);

#endif /* SNUG_SRC_CATALOG_HUB_FILE_H */
