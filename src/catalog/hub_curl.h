/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub_curl.h - libcurl, loaded when something is to be fetched: linked, it and the thirty libraries behind it
 * would cost every run 1.1 MB of memory and 6 ms (docs/decisions/0008-libcurl-when-needed.md).
 */
#ifndef SNUG_SRC_CATALOG_HUB_CURL_H
#define SNUG_SRC_CATALOG_HUB_CURL_H

#define CURL_DISABLE_TYPECHECK /* its macros are for calls by name */
#include <curl/curl.h>

#include <snug/base.h>

typedef struct hub_curl {
    CURLcode (*global_init)(long flags);
    CURL *(*easy_init)(void);
    void (*easy_cleanup)(CURL *easy);
    CURLcode (*easy_setopt)(CURL *easy, CURLoption option, ...);
    CURLcode (*easy_getinfo)(CURL *easy, CURLINFO info, ...);
    const char *(*easy_strerror)(CURLcode code);
    CURLM *(*multi_init)(void);
    CURLMcode (*multi_cleanup)(CURLM *multi);
    CURLMcode (*multi_add_handle)(CURLM *multi, CURL *easy);
    CURLMcode (*multi_remove_handle)(CURLM *multi, CURL *easy);
    CURLMcode (*multi_perform)(CURLM *multi, int *running_out);
    CURLMcode (*multi_poll)(CURLM *multi, struct curl_waitfd *extra, unsigned count, int timeout_ms,
                            int *out);
    CURLMsg *(*multi_info_read)(CURLM *multi, int *left_out);
    struct curl_slist *(*slist_append)(struct curl_slist *list, const char *text);
    void (*slist_free_all)(struct curl_slist *list);
} hub_curl;

/* Errors: UNSUPPORTED, with what to install. */
SNUG_MUST_CHECK snug_status snug_hub_curl_load(hub_curl *out, snug_error *error);

#endif /* SNUG_SRC_CATALOG_HUB_CURL_H */
