/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.h - which cache the user asked for: --kv, --max-kv-size and --kv-sinks, and how it is told again.
 */
#ifndef SNUG_CLI_CACHE_H
#define SNUG_CLI_CACHE_H

#include "cli/engine.h"

/* From the options; refuses what does not go together. */
cli_exit cli_cache_read(snug_kv_retention *retention_out, const cli_options *options);

/* "simple", "rotating", "chunked": the word for --kv. */
const char *cli_cache_kind(const snug_kv_retention *retention);

/* "f16", "f16, rotating over 256 tokens, the first 4 kept". */
typedef struct cli_cache_text {
    char text[96];
} cli_cache_text;

cli_cache_text cli_cache_in_words(const snug_kv_config *config);

/* The member "kv" of the JSON of generate: what the session has now. NULL when memory ran out. */
json_t *cli_cache_json(const cli_engine *engine);

#endif /* SNUG_CLI_CACHE_H */
