/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache_file.c - see the header.
 */
#define _XOPEN_SOURCE 700

#include "cli/cache_file.h"

#include <unistd.h>

bool cli_cache_file_is_there(const cli_options *options)
{
    return options->prompt_cache_file && access(options->prompt_cache_file, F_OK) == 0;
}

void cli_cache_file_adopt(cli_engine *engine)
{
    const cli_options *options = engine->options;
    snug_saved_info saved = { .struct_size = sizeof saved };
    snug_kv_config *kv = &engine->kv;
    const snug_kv_retention retention = kv->retention;

    if (!engine->is_adaptive || options->exact || kv->key.format != SNUG_KV_FORMAT_AUTO ||
        !cli_cache_file_is_there(options) ||
        snug_session_read_saved(&saved, options->prompt_cache_file, NULL) != SNUG_OK)
        return; /* what is wrong with a file is said when it is loaded */
    *kv = saved.kv;
    if (retention.kind != SNUG_KV_RETENTION_AUTO)
        kv->retention = retention;
}

cli_exit cli_cache_file_load(cli_engine *engine)
{
    const cli_options *options = engine->options;
    snug_error error = { SNUG_OK, "" };

    if (!cli_cache_file_is_there(options))
        return CLI_DONE;
    if (snug_session_load(engine->session, options->prompt_cache_file, &error) != SNUG_OK)
        return cli_fail_error(&error);
    if (!options->quiet)
        cli_note("%u tokens are there from %s", snug_session_tokens(engine->session),
                 options->prompt_cache_file);
    return CLI_DONE;
}

cli_exit cli_cache_file_save(cli_engine *engine, const uint32_t *last_id)
{
    const char *path = engine->options->prompt_cache_file;
    snug_session *session = engine->session;
    snug_error error = { SNUG_OK, "" };

    if (!path || snug_session_tokens(session) == 0)
        return CLI_DONE;
    /* Where the context is full, or memory is, the file ends one token earlier. */
    if (last_id && snug_session_tokens(session) < snug_session_context_tokens(session) &&
        snug_session_eval(session, last_id, 1, NULL, &error) != SNUG_OK)
        cli_note("the last token is not in %s: %s", path, error.text);
    if (snug_session_save(session, path, &error) != SNUG_OK)
        return cli_fail_error(&error);
    return CLI_DONE;
}
