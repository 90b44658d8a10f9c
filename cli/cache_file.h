/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache_file.h - --prompt-cache-file FILE: what a session computed is read from it when it is there, and
 * written to it in the end. Without the option these do nothing.
 */
#ifndef SNUG_CLI_CACHE_FILE_H
#define SNUG_CLI_CACHE_FILE_H

#include "cli/engine.h"

bool cli_cache_file_is_there(const cli_options *options);

/* What the user left open about the cache is as in the file: only such a session can take it. */
void cli_cache_file_adopt(cli_engine *engine);

/* Into the session. A file that cannot be used is refused, and stays as it is. */
cli_exit cli_cache_file_load(cli_engine *engine);

/* The session as it is now; `last_id`, where there is one, is computed first. */
cli_exit cli_cache_file_save(cli_engine *engine, const uint32_t *last_id);

#endif /* SNUG_CLI_CACHE_FILE_H */
