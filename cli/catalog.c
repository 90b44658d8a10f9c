/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalog.c - see the header.
 */
#include "cli/catalog.h"

#include "cli/system.h"

cli_exit cli_catalog_open(cli_catalog *out)
{
    char user_file[1024], bundled[1024];
    snug_error error = { SNUG_OK, "" };
    snug_catalog_options options = { .struct_size = sizeof options };

    *out = (cli_catalog){ 0 };
    if (snug_catalog_user_file(user_file, sizeof user_file))
        options.user_file = user_file;
    if (snug_catalog_cache_folder(out->cache_folder, sizeof out->cache_folder))
        options.cache_folder = out->cache_folder;
    else
        out->cache_folder[0] = '\0';
    if (cli_bundled_model(bundled, sizeof bundled))
        options.bundled_folder = bundled;
    error.status = snug_memory_create(&out->memory, NULL);
    if (error.status != SNUG_OK ||
        snug_catalog_open(&out->catalog, out->memory, &options, &error) != SNUG_OK) {
        cli_catalog_close(out);
        return cli_fail_error(&error);
    }
    return CLI_DONE;
}

void cli_catalog_close(cli_catalog *catalog)
{
    snug_catalog_close(catalog->catalog);
    snug_memory_destroy(catalog->memory);
    catalog->catalog = NULL;
    catalog->memory = NULL;
}
