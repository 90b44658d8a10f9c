/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.h - which cache the user asked for (--kv and the other --kv-... options), and how it is told again.
 */
#ifndef SNUG_CLI_CACHE_H
#define SNUG_CLI_CACHE_H

#include "cli/engine.h"

/* From the options; refuses what does not go together. */
cli_exit cli_cache_read(snug_kv_config *config_out, const cli_options *options);

/*
 * A format by name, as cli/layers.h has it; with layers of their own after it: "planes:4/4+0-1=8/8+5=f16".
 * Everything else is as the options say.
 */
cli_exit cli_cache_read_named(snug_kv_config *config_out, const char *name, const cli_options *options);

/* "8" or "8/4": 2, 3, 4, 5, 6, 8, or 16 for f16. */
bool cli_cache_parse_bits(uint32_t *key_out, uint32_t *value_out, const char *text);

/* Bits of a value, 32 and 16 for floats. */
uint32_t cli_cache_bits(const snug_kv_coding *coding);

/* "simple", "rotating", "quantized", "chunked": the word for --kv. */
const char *cli_cache_kind(const snug_kv_config *config);

/* "f16", "planes 8/4 (layers 0-1=8/8), rotating over 256 tokens, the first 4 kept". */
typedef struct cli_cache_text {
    char text[240];
} cli_cache_text;

cli_cache_text cli_cache_in_words(const snug_kv_config *config);

/* The member "kv" of the JSON of generate: what the session has now. NULL when memory ran out. */
json_t *cli_cache_json(const cli_engine *engine);

#endif /* SNUG_CLI_CACHE_H */
