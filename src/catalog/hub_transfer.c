/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub_transfer.c - a request as libcurl is told it, and the headers that matter.
 */
#include "catalog/hub_transfer.h"

#include <snug/version.h>

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "base/str.h"

#define DEFAULT_ENDPOINT "https://huggingface.co"
#define PAUSE_MS         250u
#define BUFFER_BYTES     65536L
#define REDIRECTIONS_MAX 8L
#define CONNECT_SECONDS  30L
#define STALLED_SECONDS  60L /* with less than a byte per second */
#define RETRY_AFTER_MOST 300u

snug_status snug_hub_client_open(hub_client *client, const snug_hub_options *options, snug_error *error)
{
    const char *endpoint = options->endpoint ? options->endpoint : DEFAULT_ENDPOINT;
    const char *token = options->token;
    char header[512];

    *client = (hub_client){ .endpoint = endpoint,
                            .ca_file = options->ca_file,
                            .pause_ns = (uint64_t)1000000 *
                                        (options->retry_pause_ms ? options->retry_pause_ms : PAUSE_MS) };
    if (strncmp(endpoint, "https://", 8) != 0 && strncmp(endpoint, "http://", 7) != 0)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT,
                  "the hub's address is \"%.200s\", expected one that begins with https", endpoint);
    SNUG_TRY(snug_hub_curl_load(&client->curl, error));
    if (!token || !*token)
        return SNUG_OK;
    for (const char *at = token; *at; at++)
        if (*at <= ' ' || *at > '~')
            SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "the hub's token has characters that no token has");
    if (snprintf(header, sizeof header, "Authorization: Bearer %s", token) >= (int)sizeof header)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "the hub's token is longer than any token");
    client->headers = client->curl.slist_append(NULL, header);
    if (!client->headers)
        SNUG_FAIL(error, SNUG_ERR_NO_MEMORY, "no memory for a request");
    return SNUG_OK;
}

void snug_hub_client_close(hub_client *client)
{
    if (client->headers)
        client->curl.slist_free_all(client->headers);
    client->headers = NULL;
}

/* --- headers -------------------------------------------------------------------------------------------- */

static bool is_header(snug_str line, const char *name, snug_str *value_out)
{
    const size_t bytes = strlen(name);

    if (line.bytes <= bytes || line.data[bytes] != ':')
        return false;
    for (size_t i = 0; i < bytes; i++) {
        const char c = line.data[i];

        if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != name[i])
            return false;
    }
    *value_out = (snug_str){ line.data + bytes + 1, line.bytes - bytes - 1 };
    while (value_out->bytes > 0 && (value_out->data[0] == ' ' || value_out->data[0] == '\t')) {
        value_out->data++;
        value_out->bytes--;
    }
    while (value_out->bytes > 0 && (unsigned char)value_out->data[value_out->bytes - 1] <= ' ')
        value_out->bytes--;
    return true;
}

/* Digits at *at, which moves behind them. False when there are none or too many. */
static bool read_number(uint64_t *out, snug_str *at)
{
    size_t count = 0;

    *out = 0;
    while (count < at->bytes && at->data[count] >= '0' && at->data[count] <= '9' && count < 18)
        *out = *out * 10 + (uint64_t)(at->data[count++] - '0');
    at->data += count;
    at->bytes -= count;
    return count > 0;
}

static bool skip(snug_str *at, const char *text)
{
    const size_t bytes = strlen(text);

    if (at->bytes < bytes || memcmp(at->data, text, bytes) != 0)
        return false;
    at->data += bytes;
    at->bytes -= bytes;
    return true;
}

/* "bytes 100-199/200" */
static void read_range(hub_transfer *transfer, snug_str value)
{
    uint64_t last;

    transfer->has_range = skip(&value, "bytes ") && read_number(&transfer->range_first, &value) &&
                          skip(&value, "-") && read_number(&last, &value) && skip(&value, "/") &&
                          read_number(&transfer->range_total, &value) && value.bytes == 0;
}

static void read_header(hub_transfer *transfer, snug_str line)
{
    snug_str value;
    uint64_t seconds;

    if (line.bytes > 5 && memcmp(line.data, "HTTP/", 5) == 0) { /* the next answer begins */
        transfer->etag[0] = '\0';
        transfer->has_range = false;
        transfer->retry_after_seconds = 0;
    } else if (is_header(line, "etag", &value) && value.bytes < sizeof transfer->etag) {
        memcpy(transfer->etag, value.data, value.bytes);
        transfer->etag[value.bytes] = '\0';
    } else if (is_header(line, "content-range", &value)) {
        read_range(transfer, value);
    } else if (is_header(line, "retry-after", &value) && read_number(&seconds, &value)) {
        transfer->retry_after_seconds = seconds > RETRY_AFTER_MOST ? RETRY_AFTER_MOST : (uint32_t)seconds;
    }
}

static size_t on_header(char *data, size_t size, size_t count, void *user)
{
    read_header(user, (snug_str){ data, size * count });
    return size * count;
}

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
    hub_transfer *transfer = user;

    /* Anything but the whole count makes libcurl stop. */
    return transfer->take(transfer->user, data, size * count) ? size * count : 0;
}

/* --- the request ---------------------------------------------------------------------------------------- */

static CURLcode set_options(const hub_transfer *transfer, const char *url)
{
    const hub_curl *curl = &transfer->client->curl;
    const bool is_secure = strncmp(transfer->client->endpoint, "https:", 6) == 0;
    const char *protocols = is_secure ? "https" : "https,http";
    CURL *easy = transfer->easy;
    char range[32];
    CURLcode code;

#define SET(option, value)                                                                                   \
    if ((code = curl->easy_setopt(easy, option, value)) != CURLE_OK)                                         \
    return code
    SET(CURLOPT_URL, url);
    SET(CURLOPT_PROTOCOLS_STR, protocols);
    SET(CURLOPT_REDIR_PROTOCOLS_STR, protocols); /* nothing leaves an encrypted connection */
    SET(CURLOPT_FOLLOWLOCATION, 1L);
    SET(CURLOPT_MAXREDIRS, REDIRECTIONS_MAX);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
    SET(CURLOPT_LOW_SPEED_TIME, STALLED_SECONDS);
    SET(CURLOPT_BUFFERSIZE, BUFFER_BYTES);
    SET(CURLOPT_USERAGENT, "snug/" SNUG_VERSION_TEXT);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, (const void *)transfer);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, (const void *)transfer);
    SET(CURLOPT_PRIVATE, transfer->user);
    if (transfer->client->ca_file)
        SET(CURLOPT_CAINFO, transfer->client->ca_file);
    if (transfer->client->headers) /* libcurl does not send it to another host it is led to */
        SET(CURLOPT_HTTPHEADER, transfer->client->headers);
    if (transfer->from > 0) {
        snprintf(range, sizeof range, "%llu-", (unsigned long long)transfer->from);
        SET(CURLOPT_RANGE, range);
    }
#undef SET
    return CURLE_OK;
}

bool snug_hub_transfer_open(hub_transfer *transfer, const hub_client *client, const char *url, uint64_t from)
{
    transfer->client = client;
    transfer->from = from;
    transfer->etag[0] = '\0';
    transfer->has_range = false;
    transfer->retry_after_seconds = 0;
    transfer->easy = client->curl.easy_init();
    if (transfer->easy && set_options(transfer, url) == CURLE_OK)
        return true;
    snug_hub_transfer_close(transfer);
    return false;
}

void snug_hub_transfer_close(hub_transfer *transfer)
{
    if (transfer->easy)
        transfer->client->curl.easy_cleanup(transfer->easy);
    transfer->easy = NULL;
}

long snug_hub_transfer_status(const hub_transfer *transfer)
{
    long status = 0;

    if (transfer->client->curl.easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK)
        return 0;
    return status;
}

snug_status snug_hub_refused(const hub_transfer *transfer, const char *what, bool has_token,
                             snug_error *error)
{
    const long status = snug_hub_transfer_status(transfer);

    if (status == 404)
        SNUG_FAIL(error, SNUG_ERR_IO, "%.200s is not on %.100s (404)", what, transfer->client->endpoint);
    if ((status == 401 || status == 403) && !has_token)
        SNUG_FAIL(error, SNUG_ERR_IO,
                  "%.200s: %.100s wants to know who you are (%ld): accept the model's licence there, make a "
                  "token and set HF_TOKEN to it; or there is no such model",
                  what, transfer->client->endpoint, status);
    if (status == 401 || status == 403)
        SNUG_FAIL(error, SNUG_ERR_IO,
                  "%.200s: %.100s does not accept the token in HF_TOKEN for it (%ld): accept the model's "
                  "licence there with the account that the token is of",
                  what, transfer->client->endpoint, status);
    if (status == 429)
        SNUG_FAIL(error, SNUG_ERR_IO,
                  "%.200s: %.100s says, again and again, that it is asked too often (429)", what,
                  transfer->client->endpoint);
    SNUG_FAIL(error, SNUG_ERR_IO, "%.200s: %.100s answered with status %ld", what, transfer->client->endpoint,
              status);
}
