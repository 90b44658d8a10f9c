/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalog.h - the catalogue as the tool opens it: the user's file, the hub's cache folder, the bundled model.
 */
#ifndef SNUG_CLI_CATALOG_H
#define SNUG_CLI_CATALOG_H

#include <snug/catalog.h>

#include "cli/options.h"
#include "cli/output.h"

/* With its own ledger; close both. */
typedef struct cli_catalog {
    snug_memory *memory;
    snug_catalog *catalog;
    char cache_folder[1024]; /* "": no home is known */
} cli_catalog;

cli_exit cli_catalog_open(cli_catalog *out);
void cli_catalog_close(cli_catalog *catalog);

/*
 * Where the model of --model lies: a path, or what llm-tool models and pull call it, if it is on this
 * machine.
 */
cli_exit cli_catalog_find_model(char *path_out, size_t capacity, const char *name);

/* Whether the catalogue knows it and this machine does not have it. */
bool cli_catalog_is_absent(const char *name);
/* The shape of such a one, to be planned. */
cli_exit cli_catalog_open_outline(snug_model **model_out, uint64_t *text_bytes_out, const char *name,
                                  snug_memory *memory);

/* Without --model: the best on this machine that fits, the bundled one at least. Says which and why. */
cli_exit cli_catalog_choose_model(char *path_out, size_t capacity, const cli_options *options);

#endif /* SNUG_CLI_CATALOG_H */
