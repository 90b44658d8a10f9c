/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.c - see the header.
 */
#include "cli/cache.h"

#include <stdio.h>
#include <string.h>

/* --max-kv-size alone means rotating, as in mlx-lm. */
static cli_exit read_kind(snug_kv_retention_kind *kind_out, const cli_options *options)
{
    const bool is_bounded = cli_given(options, max_kv_size);

    *kind_out = is_bounded ? SNUG_KV_RETENTION_ROTATING : SNUG_KV_RETENTION_ALL;
    if (!options->kv)
        return CLI_DONE;
    if (strcmp(options->kv, "quantized") == 0)
        return cli_fail(CLI_USAGE, "--kv quantized: this build keeps keys and values as f16, or f32 with "
                                   "--exact; --kv rotating and chunked save memory too");
    if (strcmp(options->kv, "simple") == 0) {
        *kind_out = SNUG_KV_RETENTION_ALL;
        return is_bounded ? cli_fail(CLI_USAGE, "--kv simple keeps every token, so --max-kv-size cannot be "
                                                "obeyed; --kv rotating or chunked can")
                          : CLI_DONE;
    }
    if (strcmp(options->kv, "rotating") == 0)
        *kind_out = SNUG_KV_RETENTION_ROTATING;
    else if (strcmp(options->kv, "chunked") == 0)
        *kind_out = SNUG_KV_RETENTION_CHUNKED;
    else
        return cli_fail(CLI_USAGE, "--kv takes simple, rotating or chunked, not \"%s\"", options->kv);
    if (!is_bounded)
        return cli_fail(CLI_USAGE, "--kv %s needs --max-kv-size N: how many tokens to keep", options->kv);
    return CLI_DONE;
}

cli_exit cli_cache_read(snug_kv_retention *retention_out, const cli_options *options)
{
    snug_kv_retention retention = { .kind = SNUG_KV_RETENTION_ALL };
    const cli_exit status = read_kind(&retention.kind, options);

    *retention_out = retention;
    if (status != CLI_DONE)
        return status;
    if (retention.kind != SNUG_KV_RETENTION_ROTATING && cli_given(options, kv_sinks))
        return cli_fail(CLI_USAGE, "--kv-sinks is for a rotating cache: give --max-kv-size N%s",
                        retention.kind == SNUG_KV_RETENTION_CHUNKED ? " with --kv rotating" : "");
    if (retention.kind == SNUG_KV_RETENTION_ALL)
        return CLI_DONE;
    retention.max_tokens = (uint32_t)options->max_kv_size;
    if (retention.kind == SNUG_KV_RETENTION_ROTATING)
        retention.sink_tokens = (uint32_t)options->kv_sinks;
    if (retention.sink_tokens >= retention.max_tokens)
        return cli_fail(CLI_USAGE, "--kv-sinks %u%s must be less than --max-kv-size %u",
                        retention.sink_tokens, cli_given(options, kv_sinks) ? "" : " (the default)",
                        retention.max_tokens);
    *retention_out = retention;
    return CLI_DONE;
}

const char *cli_cache_kind(const snug_kv_retention *retention)
{
    return retention->kind <= SNUG_KV_RETENTION_ALL ? "simple" : snug_kv_retention_name(retention->kind);
}

cli_cache_text cli_cache_in_words(const snug_kv_config *config)
{
    const snug_kv_retention *retention = &config->retention;
    const char *name = snug_kv_format_name(config->key.format);
    cli_cache_text out;

    if (retention->kind == SNUG_KV_RETENTION_ROTATING)
        snprintf(out.text, sizeof out.text, "%s, rotating over %u tokens, the first %u kept", name,
                 retention->max_tokens, retention->sink_tokens);
    else if (retention->kind == SNUG_KV_RETENTION_CHUNKED)
        snprintf(out.text, sizeof out.text, "%s, in chunks of %u tokens", name, retention->max_tokens);
    else
        snprintf(out.text, sizeof out.text, "%s", name);
    return out;
}

json_t *cli_cache_json(const cli_engine *engine)
{
    const snug_kv *kv = snug_session_kv(engine->session);
    snug_kv_info info = { .struct_size = sizeof info };
    const bool is_f32 = engine->plan.kv.key.format == SNUG_KV_FORMAT_F32;

    snug_kv_read_info(&info, kv);
    return json_pack("{s:s,s:i,s:I,s:I,s:o,s:I}", "kind", cli_cache_kind(&info.config.retention), "bits",
                     is_f32 ? 32 : 16, "bytes", (json_int_t)snug_kv_committed_bytes(kv), "bytes_per_token",
                     (json_int_t)info.token_bytes, "max_tokens",
                     info.config.retention.max_tokens ? json_integer(info.config.retention.max_tokens)
                                                      : json_null(),
                     "sink_tokens", (json_int_t)info.config.retention.sink_tokens);
}
