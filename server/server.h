/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.h - the local server: OpenAI's API, memory in the open, and two pages; see docs/server.md.
 *
 * One thread speaks HTTP and never computes. A few threads answer requests; they take turns, so that one
 * token of one conversation is computed at a time, on all processors. One thread waits for whatever else
 * happens: signals, clients that go away, memory that gets short, time.
 */
#ifndef SNUG_SERVER_SERVER_H
#define SNUG_SERVER_SERVER_H

#include <snug/catalog.h>
#include <snug/session.h>

#define SERVER_ANSWERS_MAX 64
#define SERVER_QUEUE_MAX   4096

typedef struct server_options {
    const char *host;             /* an address or "localhost" */
    uint16_t port;                /* 0: any that is free */
    const char *api_key;          /* NULL: none is asked for */
    const char *cors;             /* the origin that may call from a browser; NULL: none */
    const char *allow_hosts;      /* more names by which it may be called, with commas; NULL: none */
    const char *web_folder;       /* pages from there instead of the built-in ones; NULL */
    uint32_t queue;               /* requests that may wait */
    uint32_t answers;             /* written at the same time */
    uint32_t kept;                /* conversations kept for what comes next */
    uint32_t idle_unload_seconds; /* 0: never */
    uint32_t grace_seconds;       /* for what runs when it is to end */
    uint32_t stall_seconds;       /* a client that has read nothing for so long is gone */
    size_t body_bytes;            /* the most of a request */
    bool may_switch;              /* a smaller model goes on where memory has run out; else by strategy */

    snug_memory *memory;
    uint64_t memory_limit; /* of this process; 0: what the machine has */
    const snug_catalog *catalog;
    const char *cache_folder; /* of the hub; "": none is known */
    const char *hub_endpoint; /* NULL: its own */
    const char *hub_token;    /* NULL: none */
    const char *hub_ca_file;  /* NULL: the system's */
    const char *model_path;   /* of the server's own model */
    snug_model_options model;
    const char *chat_template; /* Jinja, in place of the model's; NULL */
    size_t chat_template_bytes;

    /* Where a request says nothing. */
    snug_strategy strategy;
    uint32_t max_tokens;     /* 0: until the context is full */
    uint32_t context_tokens; /* 0: the model's, or 4096 */
    uint32_t prefill_chunk;
    uint32_t threads;
    snug_kv_config kv;

    /* A note for whoever looks after it, a line without its end. On any thread, one at a time. */
    void (*on_note)(void *user, const char *text);
    /* It listens on this address ("http://127.0.0.1:8080"). */
    void (*on_ready)(void *user, const char *address);
    /*
     * An answer that has to stop before its end is to be kept: writes the session somewhere and its name to
     * `name_out` (64 bytes). NULL: nowhere.
     */
    bool (*on_suspend)(void *user, char *name_out, snug_session *session, const char *model_path,
                       const char *reason);
    /* What llm-tool plan --json says, as JSON of jansson; NULL: it could not, and has said why. */
    struct json_t *(*on_plan)(void *user, const char *model_path, uint32_t context_tokens,
                              snug_strategy strategy);
    void *user;
} server_options;

/*
 * Serve until SIGTERM or SIGINT, which it takes for itself. Errors: IO (the address cannot be had), and those
 * of opening the model.
 */
SNUG_MUST_CHECK snug_status server_run(const server_options *options, snug_error *error);

#endif /* SNUG_SERVER_SERVER_H */
