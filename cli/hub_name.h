/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub_name.h - what people call a model, as the hub knows it.
 */
#ifndef SNUG_CLI_HUB_NAME_H
#define SNUG_CLI_HUB_NAME_H

#include "cli/catalog.h"

typedef struct cli_hub_name {
    char repository[128];
    char file[192]; /* "": the whole repository */
} cli_hub_name;

/* "qwen3-4b", "ORG/NAME", "ORG/NAME:FILE"; of a name in the catalogue its first source. */
cli_exit cli_hub_name_read(cli_hub_name *out, const cli_catalog *catalog, const char *text);

/* $HF_ENDPOINT, or NULL. */
const char *cli_hub_endpoint(void);

/* Certificates to trust in place of the system's, as other tools of the hub have it; NULL: those. */
const char *cli_hub_certificates(void);

/* $HF_TOKEN, else what the hub's own tools keep in a file; NULL: none. It may point to `out`. */
const char *cli_hub_token(char *out, size_t capacity);

#endif /* SNUG_CLI_HUB_NAME_H */
