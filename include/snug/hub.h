/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snug/hub.h - models from the Hugging Face hub, or from a server that speaks as it does, into the cache
 * folder that other tools use too: what one has fetched the other need not fetch again.
 *
 * Every file is checked against the hash that the hub lists. A file that was cut off goes on where it
 * ended, in this run or another one; it gets its name when it is whole. Two processes may fetch the same
 * model: one of them fetches, the other waits for it.
 *
 * Threads: a call belongs to one thread; several may run at once.
 */
#ifndef SNUG_HUB_H
#define SNUG_HUB_H

#include <snug/memory.h>

SNUG_BEGIN_DECLS

typedef enum snug_hub_phase {
    SNUG_HUB_RESOLVE = 0,  /* asking which files there are */
    SNUG_HUB_DOWNLOAD = 1, /* and checking, as they come */
    SNUG_HUB_VERIFY = 2,   /* reading what an earlier run has left */
    SNUG_HUB_WAIT = 3,     /* another process is fetching the same file, or the server asked to wait */
    SNUG_HUB_DONE = 4,
} snug_hub_phase;

typedef struct snug_hub_progress {
    snug_hub_phase phase;
    uint64_t done_bytes;  /* of all files, those included that were there already */
    uint64_t total_bytes; /* 0: not known yet */
    uint64_t bytes_per_second;
    uint64_t seconds_left; /* UINT64_MAX: not known */
    size_t done_files;
    size_t total_files;
    const char *file; /* one of those under way; "" for none */
} snug_hub_progress;

typedef struct snug_hub_options {
    size_t struct_size;
    const char *endpoint;     /* NULL: https://huggingface.co */
    const char *token;        /* for repositories that ask for one; sent to the endpoint only. NULL: none */
    const char *cache_folder; /* must be given */
    const char *revision;     /* branch, tag or commit. NULL: main */
    uint32_t parallel;        /* files at once; 0: 4 */
    uint32_t retry_pause_ms;  /* before another try, twice as long each time, up to 32 times; 0: 250 */
    const char *ca_file;      /* certificates to trust (PEM) in place of the system's; NULL: those */
    /* Asked some ten times a second; false ends the call with CANCELLED, what has come stays. */
    bool (*keep_going)(void *user);
    void (*on_progress)(void *user, const snug_hub_progress *progress);
    void *user;
} snug_hub_options;

/*
 * Fetch the model: all files it is made of, or only `file`. `path_out` gets what snug_model_open() takes:
 * the snapshot's folder, or the file in it. Proxies as the environment has them (http_proxy, https_proxy,
 * no_proxy). Memory: 64 KiB for each file at once, the list of files, and what libcurl needs.
 *
 * Errors: ARGUMENT (a name that is none), UNSUPPORTED (built without, or libcurl is not there), IO (the
 * server refuses, is not there, or what comes is not what was listed; the disk is full: asked beforehand),
 * CORRUPT (the list is damaged, or has names that would lead out of the folder), CANCELLED.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_hub_pull(char *path_out, size_t capacity, snug_memory *memory,
                                                   const char *repository, const char *file,
                                                   const snug_hub_options *options, snug_error *error);

/* One repository in the cache folder. */
typedef struct snug_hub_repository {
    char name[128]; /* "ORG/NAME" */
    uint64_t bytes; /* of all that is there of it, cut-off files too */
    int64_t
        used_seconds; /* since 1970, by the last read of its files; as exact as the file system notes it */
} snug_hub_repository;

/* All of them, in any order, until `visit` returns false. A folder that is not there has none. */
SNUG_API void snug_hub_list(const char *cache_folder, bool (*visit)(void *user, const snug_hub_repository *),
                            void *user);

/*
 * Where a repository that was fetched can be opened: its snapshot's folder, or `file` in it. False when it
 * is not there, or nothing in it that could be opened.
 */
SNUG_API bool snug_hub_locate(char *path_out, size_t capacity, const char *cache_folder,
                              const char *repository, const char *file);

/*
 * Delete what is there of a repository, or, with `file`, that file alone. `*bytes_out` is what that freed.
 * Errors: ARGUMENT, IO (not there; another process is fetching it).
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_hub_remove(uint64_t *bytes_out, const char *cache_folder,
                                                     const char *repository, const char *file,
                                                     snug_error *error);

SNUG_END_DECLS
#endif /* SNUG_HUB_H */
