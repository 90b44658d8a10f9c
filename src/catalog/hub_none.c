/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub_none.c - snug_hub_pull() of a build without libcurl's header (-DSNUG_HUB=OFF).
 */
#include <snug/hub.h>

#include "base/status.h"

snug_status snug_hub_pull(char *path_out, size_t capacity, snug_memory *memory, const char *repository,
                          const char *file, const snug_hub_options *options, snug_error *error)
{
    (void)path_out;
    (void)capacity;
    (void)memory;
    (void)file;
    (void)options;
    SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
              "%.200s: this build cannot fetch models (it was made without libcurl)", repository);
}
