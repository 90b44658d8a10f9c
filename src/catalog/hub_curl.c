/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub_curl.c - finds libcurl's functions.
 */
#include "catalog/hub_curl.h"

#include "base/status.h"
#include "os/library.h"

snug_status snug_hub_curl_load(hub_curl *out, snug_error *error)
{
    const struct {
        void *function;
        const char *name;
    } wanted[] = {
        { &out->global_init, "curl_global_init" },
        { &out->easy_init, "curl_easy_init" },
        { &out->easy_cleanup, "curl_easy_cleanup" },
        { &out->easy_setopt, "curl_easy_setopt" },
        { &out->easy_getinfo, "curl_easy_getinfo" },
        { &out->easy_strerror, "curl_easy_strerror" },
        { &out->multi_init, "curl_multi_init" },
        { &out->multi_cleanup, "curl_multi_cleanup" },
        { &out->multi_add_handle, "curl_multi_add_handle" },
        { &out->multi_remove_handle, "curl_multi_remove_handle" },
        { &out->multi_perform, "curl_multi_perform" },
        { &out->multi_poll, "curl_multi_poll" },
        { &out->multi_info_read, "curl_multi_info_read" },
        { &out->slist_append, "curl_slist_append" },
        { &out->slist_free_all, "curl_slist_free_all" },
    };
    void *library = snug_os_library_load("libcurl.so.4");

    if (!library)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                  "fetching models needs libcurl.so.4, which is not on this machine (Debian: apt-get install "
                  "libcurl4)");
    for (size_t i = 0; i < SNUG_COUNT(wanted); i++)
        if (!snug_os_library_find(wanted[i].function, library, wanted[i].name))
            SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "libcurl.so.4 has no %s: it is older than 7.85",
                      wanted[i].name);
    if (out->global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "libcurl could not be started");
    return SNUG_OK;
}
