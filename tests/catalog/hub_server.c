/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub_server.c - a server for tests that answers as the hub does, on loopback, and misbehaves on request.
 *
 *   hub_server FOLDER PORT_FILE     serves the model in FOLDER as test/mini; writes its port to PORT_FILE
 *
 * It is also a proxy, for names that nobody has: what it is asked for as one it has itself.
 *
 * What a repository is called says what is wrong with it: see `cases`. Big files have made-up content, the
 * byte at each place following from the place, so that nothing needs to be stored.
 */
#define _DEFAULT_SOURCE

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/sha.h"

#define COMMIT      "0123456789abcdef0123456789abcdef01234567"
#define BIG_BYTES   (UINT64_C(200) << 20)
#define SMALL_BYTES 300000u

typedef struct hub_case {
    const char *name; /* after "test/" */
    uint64_t bytes;   /* of its model.gguf; 0: it is the folder's model */
    /* What is wrong; numbers count requests for the file. */
    int list_status;    /* of the list, not 200 */
    int first_status;   /* of the first request for the file */
    int always_status;  /* of all of them */
    int cuts;           /* connections cut, evenly over the file */
    int redirections;   /* before the content */
    int wrong_contents; /* answers with another content than is listed */
    int no_ranges;      /* answers 200 to a range */
    int long_by;        /* bytes more than listed */
    int short_by;       /* bytes fewer than Content-Length says */
    int changing_etag;  /* another etag, and another content, in the first answer, which is cut */
    int slow;           /* milliseconds between 64 KiB */
    int wants_token;
    const char *file; /* its name, where it is not model.gguf */
    int requests;     /* counted */
} hub_case;

static hub_case cases[] = {
    { .name = "mini" },
    { .name = "plain", .bytes = SMALL_BYTES },
    { .name = "big", .bytes = BIG_BYTES },
    { .name = "cut", .bytes = BIG_BYTES, .cuts = 20 },
    { .name = "slow", .bytes = 8u << 20, .slow = 10 },
    { .name = "redirect", .bytes = SMALL_BYTES, .redirections = 3 },
    { .name = "loop", .bytes = SMALL_BYTES, .redirections = 1000000 },
    { .name = "busy", .bytes = SMALL_BYTES, .first_status = 429 },
    { .name = "busylist", .bytes = SMALL_BYTES, .list_status = 429 },
    { .name = "flaky", .bytes = SMALL_BYTES, .first_status = 503 },
    { .name = "range416", .bytes = SMALL_BYTES, .first_status = 416 },
    { .name = "private", .bytes = SMALL_BYTES, .list_status = 401 },
    { .name = "gated", .bytes = SMALL_BYTES, .always_status = 403 },
    { .name = "token", .bytes = SMALL_BYTES, .wants_token = 1 },
    { .name = "gone", .bytes = SMALL_BYTES, .always_status = 404 },
    { .name = "wrong", .bytes = SMALL_BYTES, .wrong_contents = 1000000 },
    { .name = "wrongonce", .bytes = SMALL_BYTES, .wrong_contents = 1 },
    { .name = "noranges", .bytes = SMALL_BYTES, .no_ranges = 1, .cuts = 1 },
    { .name = "long", .bytes = SMALL_BYTES, .long_by = 1000 },
    { .name = "short", .bytes = SMALL_BYTES, .short_by = 1000 },
    { .name = "changing", .bytes = SMALL_BYTES, .changing_etag = 1 },
    { .name = "parent", .bytes = SMALL_BYTES, .file = "../../x" },
    { .name = "absolute", .bytes = SMALL_BYTES, .file = "/tmp/x" },
    { .name = "backslash", .bytes = SMALL_BYTES, .file = "..\\\\x" },
    { .name = "huge", .bytes = UINT64_C(1) << 50 },
    { .name = "broken", .bytes = SMALL_BYTES, .list_status = 299 },
    { .name = "folder", .bytes = SMALL_BYTES, .file = "a b/c#d.gguf" },
};

static const char *folder;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int port;

/* --- content -------------------------------------------------------------------------------------------- */

static uint64_t eight_at(uint64_t place, unsigned salt)
{
    uint64_t x = (place + salt) * UINT64_C(0x9E3779B97F4A7C15);

    x ^= x >> 29;
    return x * UINT64_C(0xBF58476D1CE4E5B9);
}

/* Eight bytes at a time where they lie so. */
static void fill(unsigned char *out, uint64_t from, size_t bytes, unsigned salt)
{
    size_t i = 0;

    while (i < bytes) {
        if ((from + i) % 8 == 0 && bytes - i >= 8) {
            const uint64_t x = eight_at((from + i) / 8, salt);

            for (unsigned b = 0; b < 8; b++)
                out[i + b] = (unsigned char)(x >> 8 * b);
            i += 8;
        } else {
            out[i] = (unsigned char)(eight_at((from + i) / 8, salt) >> 8 * ((from + i) % 8));
            i++;
        }
    }
}

/* The hash of made-up content; that of the two sizes that are used often is kept. */
static void hash_of(char out[SNUG_SHA_HEX_BYTES], uint64_t bytes)
{
    static char small[SNUG_SHA_HEX_BYTES], big[SNUG_SHA_HEX_BYTES];
    char *kept = bytes == SMALL_BYTES ? small : bytes == BIG_BYTES ? big : NULL;
    unsigned char piece[65536];
    snug_sha sha;

    pthread_mutex_lock(&lock);
    if (kept && kept[0]) {
        memcpy(out, kept, SNUG_SHA_HEX_BYTES);
    } else {
        snug_sha_begin(&sha, false);
        for (uint64_t at = 0; at < bytes && bytes <= BIG_BYTES; at += sizeof piece) {
            const size_t part = bytes - at < sizeof piece ? (size_t)(bytes - at) : sizeof piece;

            fill(piece, at, part, 0);
            snug_sha_add(&sha, piece, part);
        }
        snug_sha_end(&sha, out);
        if (kept)
            memcpy(kept, out, SNUG_SHA_HEX_BYTES);
    }
    pthread_mutex_unlock(&lock);
}

/* --- answers -------------------------------------------------------------------------------------------- */

static int send_all(int client, const void *data, size_t bytes)
{
    const char *at = data;

    while (bytes > 0) {
        const ssize_t sent = send(client, at, bytes, MSG_NOSIGNAL);

        if (sent <= 0)
            return 0;
        at += sent;
        bytes -= (size_t)sent;
    }
    return 1;
}

static void send_head(int client, int status, const char *headers, uint64_t bytes)
{
    char text[1024];
    const int count =
        snprintf(text, sizeof text, "HTTP/1.1 %d x\r\nContent-Length: %llu\r\nConnection: close\r\n%s\r\n",
                 status, (unsigned long long)bytes, headers);

    (void)send_all(client, text, (size_t)count);
}

static void send_text(int client, int status, const char *headers, const char *text)
{
    send_head(client, status, headers, strlen(text));
    (void)send_all(client, text, strlen(text));
}

/* --- the list of files ---------------------------------------------------------------------------------- */

static unsigned char *read_file(const char *name, size_t *bytes_out)
{
    char path[1024];
    struct stat info;
    unsigned char *data;
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "rb");
    if (!file || fstat(fileno(file), &info) != 0)
        return NULL;
    data = malloc((size_t)info.st_size + 1);
    *bytes_out = data ? fread(data, 1, (size_t)info.st_size, file) : 0;
    (void)fclose(file);
    return data;
}

static void list_folder(char *out, size_t capacity)
{
    static const char *const names[] = { "config.json",    "generation_config.json", "model.safetensors",
                                         "tokenizer.json", "tokenizer_config.json",  "README.md" };
    size_t used = (size_t)snprintf(out, capacity, "{\"sha\":\"" COMMIT "\",\"siblings\":[");

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const int is_large = strstr(names[i], "safetensors") != NULL;
        size_t bytes = 0;
        unsigned char *data = read_file(names[i], &bytes);
        char hash[SNUG_SHA_HEX_BYTES], header[40];
        snug_sha sha;

        snug_sha_begin(&sha, !is_large);
        snprintf(header, sizeof header, "blob %zu", bytes);
        if (!is_large)
            snug_sha_add(&sha, header, strlen(header) + 1);
        if (data)
            snug_sha_add(&sha, data, bytes);
        snug_sha_end(&sha, hash);
        free(data);
        used += (size_t)snprintf(out + used, capacity - used,
                                 is_large ? "%s{\"rfilename\":\"%s\",\"size\":%zu,\"blobId\":\"0\",\"lfs\":"
                                            "{\"sha256\":\"%s\",\"size\":%zu}}"
                                          : "%s{\"rfilename\":\"%s\",\"size\":%zu,\"blobId\":\"%s\"}",
                                 i ? "," : "", names[i], bytes, hash, bytes);
    }
    snprintf(out + used, capacity - used, "]}");
}

static void answer_list(int client, hub_case *c)
{
    char text[4096], hash[SNUG_SHA_HEX_BYTES];

    if (c->list_status == 401) {
        send_text(client, 401, "", "who are you?");
        return;
    }
    if (c->list_status == 429 && c->requests++ == 0) {
        send_text(client, 429, "Retry-After: 1\r\n", "later");
        return;
    }
    if (c->list_status == 299) {
        send_text(client, 200, "", "{\"sha\": \"" COMMIT "\", \"siblings\": [");
        return;
    }
    if (c->bytes == 0) {
        list_folder(text, sizeof text);
    } else {
        hash_of(hash, c->bytes);
        snprintf(text, sizeof text,
                 "{\"sha\":\"" COMMIT "\",\"siblings\":[{\"rfilename\":\".gitattributes\",\"size\":1,"
                 "\"blobId\":\"x\"},{\"rfilename\":\"%s\",\"size\":1,\"blobId\":\"0\",\"lfs\":{\"sha256\":"
                 "\"%s\",\"size\":%llu}}]}",
                 c->file ? c->file : "model.gguf", hash, (unsigned long long)c->bytes);
    }
    send_text(client, 200, "", text);
}

/* --- content, and what goes wrong with it --------------------------------------------------------------- */

static void answer_file(int client, const char *name, uint64_t from)
{
    size_t bytes = 0;
    unsigned char *data = read_file(name, &bytes);

    if (!data || from > bytes) {
        send_text(client, 404, "", "no");
    } else {
        send_head(client, 200, "", bytes);
        (void)send_all(client, data, bytes);
    }
    free(data);
}

static void send_content(int client, const hub_case *c, uint64_t from, uint64_t until, unsigned salt)
{
    unsigned char piece[65536];

    for (uint64_t at = from; at < until; at += sizeof piece) {
        const size_t part = until - at < sizeof piece ? (size_t)(until - at) : sizeof piece;

        fill(piece, at, part, salt);
        if (!send_all(client, piece, part))
            return;
        if (c->slow) {
            const struct timespec pause = { 0, c->slow * 1000000L };

            nanosleep(&pause, NULL);
        }
    }
}

static void answer_content(int client, hub_case *c, int request, uint64_t from, int has_range)
{
    const unsigned salt = request <= c->wrong_contents || (c->changing_etag && request == 1) ? 1 : 0;
    const uint64_t listed = c->bytes + (uint64_t)c->long_by;
    uint64_t until = listed - (uint64_t)c->short_by;
    char headers[256];

    if (c->no_ranges) {
        from = 0;
        has_range = 0;
    }
    snprintf(headers, sizeof headers, "ETag: \"%u\"\r\nAccept-Ranges: bytes\r\n", salt);
    if (has_range)
        snprintf(headers + strlen(headers), sizeof headers - strlen(headers),
                 "Content-Range: bytes %llu-%llu/%llu\r\n", (unsigned long long)from,
                 (unsigned long long)listed - 1, (unsigned long long)listed);
    if (request <= c->cuts) {
        const uint64_t step = c->bytes / (uint64_t)(c->cuts + 1);

        until = from + step < until ? from + step : until;
    }
    if (c->changing_etag && request == 1)
        until = c->bytes / 2;
    send_head(client, has_range ? 206 : 200, headers, listed - from);
    send_content(client, c, from, until, salt);
}

static void answer_resolve(int client, hub_case *c, const char *request_text, uint64_t from, int has_range)
{
    char headers[256];
    int request;

    pthread_mutex_lock(&lock);
    request = ++c->requests;
    pthread_mutex_unlock(&lock);
    if (c->wants_token && !strstr(request_text, "Authorization: Bearer secret\r\n"))
        send_text(client, 401, "", "who are you?");
    else if (c->always_status)
        send_text(client, c->always_status, "", "no");
    else if (c->first_status && request == 1)
        send_text(client, c->first_status, c->first_status == 429 ? "Retry-After: 1\r\n" : "", "later");
    else if (request <= c->redirections) {
        snprintf(headers, sizeof headers,
                 "Location: http://127.0.0.1:%d/test/%s/resolve/" COMMIT "/model.gguf\r\n", port, c->name);
        send_text(client, 302, headers, "");
    } else {
        answer_content(client, c, request, from, has_range);
    }
}

/* --- connections ---------------------------------------------------------------------------------------- */

static hub_case *find_case(const char *path, const char **rest_out)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const size_t bytes = strlen(cases[i].name);

        if (strncmp(path, cases[i].name, bytes) == 0 && path[bytes] == '/') {
            *rest_out = path + bytes;
            return &cases[i];
        }
    }
    return NULL;
}

/* A proxy is asked for the whole address: the same without the host, in place. */
static void be_proxy(char *request)
{
    const char *proxied = "GET http://";
    char *path;

    if (strncmp(request, proxied, strlen(proxied)) != 0)
        return;
    path = strchr(request + strlen(proxied), '/');
    if (path)
        memmove(request + 4, path, strlen(path) + 1);
}

static void answer(int client, const char *request)
{
    const char *api = "GET /api/models/test/", *resolve = "GET /test/", *rest = "";
    const char *range = strstr(request, "\r\nRange: bytes=");
    const uint64_t from = range ? strtoull(range + strlen("\r\nRange: bytes="), NULL, 10) : 0;
    hub_case *c;

    if (strncmp(request, api, strlen(api)) == 0) {
        c = find_case(request + strlen(api), &rest);
        if (c && strncmp(rest, "/revision/main?blobs=true ", 26) == 0)
            answer_list(client, c);
        else
            send_text(client, 404, "", "no such repository");
    } else if (strncmp(request, resolve, strlen(resolve)) == 0 &&
               (c = find_case(request + strlen(resolve), &rest)) &&
               strncmp(rest, "/resolve/" COMMIT "/", strlen("/resolve/" COMMIT "/")) == 0) {
        rest += strlen("/resolve/" COMMIT "/");
        if (c->bytes == 0) {
            char name[64];

            snprintf(name, sizeof name, "%.*s", (int)strcspn(rest, " /"), rest);
            answer_file(client, name, from);
        } else {
            answer_resolve(client, c, request, from, range != NULL);
        }
    } else {
        send_text(client, 404, "", "no");
    }
}

static void *serve(void *user)
{
    const int client = (int)(intptr_t)user;
    char request[8192];
    size_t used = 0;

    for (;;) {
        const ssize_t count = recv(client, request + used, sizeof request - 1 - used, 0);

        if (count <= 0)
            break;
        used += (size_t)count;
        request[used] = '\0';
        if (strstr(request, "\r\n\r\n")) {
            be_proxy(request);
            answer(client, request);
            break;
        }
    }
    (void)shutdown(client, SHUT_WR);
    close(client);
    return NULL;
}

int main(int count, char **words)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t bytes = sizeof address;
    const int server = socket(AF_INET, SOCK_STREAM, 0);
    FILE *file;

    if (count != 3 || server < 0)
        return 2;
    folder = words[1];
    (void)signal(SIGPIPE, SIG_IGN);
    (void)alarm(600); /* should whoever started it forget it */
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(server, (struct sockaddr *)&address, sizeof address) != 0 || listen(server, 64) != 0 ||
        getsockname(server, (struct sockaddr *)&address, &bytes) != 0)
        return 1;
    port = ntohs(address.sin_port);
    file = fopen(words[2], "w");
    if (!file || fprintf(file, "%d\n", port) < 0 || fclose(file) != 0)
        return 1;
    for (;;) {
        const int client = accept(server, NULL, NULL);
        pthread_t thread;

        if (client < 0)
            continue;
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)client) != 0)
            close(client);
        else
            (void)pthread_detach(thread);
    }
}
