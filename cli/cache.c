/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.c - see the header.
 */
#include "cli/cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/layers.h"

static bool is_coded(const snug_kv_coding *coding)
{
    return coding->format == SNUG_KV_FORMAT_PLANES || coding->format == SNUG_KV_FORMAT_AFFINE;
}

/* --- formats ------------------------------------------------------------------------------------------- */

/* One number of "8", "8/4" or "16/4"; NULL when it is none. */
static const char *read_bits(uint32_t *bits_out, const char *text)
{
    static const uint32_t possible[] = { 16, 2, 3, 4, 5, 6, 8 };
    char *end;
    const unsigned long bits = text[0] >= '0' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;

    for (size_t i = 0; bits > 0 && i < sizeof possible / sizeof possible[0]; i++) {
        if (possible[i] == bits) {
            *bits_out = possible[i];
            return end;
        }
    }
    return NULL;
}

bool cli_cache_parse_bits(uint32_t *key_out, uint32_t *value_out, const char *text)
{
    const char *rest = read_bits(key_out, text);

    *value_out = *key_out;
    if (rest && *rest == '/')
        rest = read_bits(value_out, rest + 1);
    return rest && *rest == '\0';
}

static cli_exit read_format(snug_kv_config *config, const cli_options *options)
{
    const bool is_quantized = options->kv && strcmp(options->kv, "quantized") == 0;
    const bool is_given = options->kv_format || options->kv_bits;
    snug_kv_format format = SNUG_KV_FORMAT_PLANES;
    uint32_t key_bits = 8;
    uint32_t value_bits = 8;
    cli_codings codings;

    if (options->kv_format && (!snug_kv_format_parse(&format, options->kv_format) ||
                               format == SNUG_KV_FORMAT_AUTO || format == SNUG_KV_FORMAT_F32))
        return cli_fail(CLI_USAGE, "--kv-format takes f16, planes or affine, not \"%s\"", options->kv_format);
    if (options->kv_bits && !cli_cache_parse_bits(&key_bits, &value_bits, options->kv_bits))
        return cli_fail(CLI_USAGE,
                        "--kv-bits takes 2, 3, 4, 5, 6, 8 or 16, or two of them as K/V, not \"%s\"",
                        options->kv_bits);
    if (format == SNUG_KV_FORMAT_F16 && options->kv_bits && (key_bits != 16 || value_bits != 16))
        return cli_fail(CLI_USAGE,
                        "--kv-format f16 has 16 bits, so --kv-bits %s cannot be obeyed; "
                        "--kv-format planes or affine can",
                        options->kv_bits);
    if (cli_given(options, kv_group_size) &&
        (format != SNUG_KV_FORMAT_AFFINE ||
         (options->kv_group_size != 32 && options->kv_group_size != 64 && options->kv_group_size != 128)))
        return cli_fail(CLI_USAGE,
                        format == SNUG_KV_FORMAT_AFFINE
                            ? "--kv-group-size takes 32, 64 or 128, not %llu"
                            : "--kv-group-size %llu is for --kv-format affine: others have no groups",
                        (unsigned long long)options->kv_group_size);
    if (options->kv && strcmp(options->kv, "simple") == 0 && !is_given && !options->exact)
        config->key.format = config->value.format = SNUG_KV_FORMAT_F16;
    if (!is_given && !is_quantized)
        return CLI_DONE; /* whoever makes the session chooses */
    codings = cli_layers_codings(format, key_bits, value_bits, (uint32_t)options->kv_group_size);
    config->key = codings.key;
    config->value = codings.value;
    if (is_quantized && !snug_kv_config_has_codes(config))
        return cli_fail(CLI_USAGE, "--kv quantized has fewer than 16 bits: leave --kv-format and --kv-bits "
                                   "away, or --kv quantized");
    return CLI_DONE;
}

/* Bits alone are of the format that is named, or planes. */
static cli_exit read_layers(snug_kv_config *config, const cli_options *options)
{
    snug_kv_coding usual = { .format = SNUG_KV_FORMAT_PLANES, .group = (uint32_t)options->kv_group_size };

    if (options->kv_format && strcmp(options->kv_format, "affine") == 0)
        usual.format = SNUG_KV_FORMAT_AFFINE;
    if (options->kv_layers && options->kv_formats)
        return cli_fail(CLI_USAGE, "--kv-layers is for one cache, --kv-formats for several: give the layers "
                                   "with each format, as in planes:4/4+0-1=8/8");
    return options->kv_layers ? cli_layers_read(config, options->kv_layers, ',', &usual, "--kv-layers")
                              : CLI_DONE;
}

static cli_exit check_kind(const snug_kv_config *config, const cli_options *options)
{
    if (options->kv && strcmp(options->kv, "simple") == 0 && snug_kv_config_has_codes(config))
        return cli_fail(CLI_USAGE, "--kv simple keeps keys and values as f16; --kv quantized has fewer bits");
    return CLI_DONE;
}

/* --- which tokens -------------------------------------------------------------------------------------- */

/* --max-kv-size alone means rotating, as in mlx-lm. */
static cli_exit read_kind(snug_kv_retention_kind *kind_out, const cli_options *options)
{
    const bool is_bounded = cli_given(options, max_kv_size);

    *kind_out = is_bounded ? SNUG_KV_RETENTION_ROTATING : SNUG_KV_RETENTION_AUTO;
    if (!options->kv || strcmp(options->kv, "quantized") == 0)
        return CLI_DONE;
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
        return cli_fail(CLI_USAGE, "--kv takes simple, rotating, quantized or chunked, not \"%s\"",
                        options->kv);
    if (!is_bounded)
        return cli_fail(CLI_USAGE, "--kv %s needs --max-kv-size N: how many tokens to keep", options->kv);
    return CLI_DONE;
}

static cli_exit read_retention(snug_kv_config *config, const cli_options *options)
{
    snug_kv_retention retention = { .kind = SNUG_KV_RETENTION_AUTO };
    const cli_exit status = read_kind(&retention.kind, options);

    if (status != CLI_DONE)
        return status;
    if (retention.kind != SNUG_KV_RETENTION_ROTATING && !snug_kv_config_has_codes(config) &&
        cli_given(options, kv_sinks) && !options->kv_formats)
        return cli_fail(CLI_USAGE,
                        "--kv-sinks is for a rotating or a quantized cache: give --max-kv-size "
                        "N%s, or --kv-bits N",
                        retention.kind == SNUG_KV_RETENTION_CHUNKED ? " with --kv rotating" : "");
    if (retention.kind > SNUG_KV_RETENTION_ALL)
        retention.max_tokens = (uint32_t)options->max_kv_size;
    if (retention.kind == SNUG_KV_RETENTION_ROTATING) {
        retention.sink_tokens =
            cli_given(options, kv_sinks) ? (uint32_t)options->kv_sinks : SNUG_KV_SINKS_DEFAULT;
        if (retention.sink_tokens >= retention.max_tokens)
            return cli_fail(CLI_USAGE, "--kv-sinks %u%s must be less than --max-kv-size %u",
                            retention.sink_tokens, cli_given(options, kv_sinks) ? "" : " (the default)",
                            retention.max_tokens);
    }
    config->retention = retention;
    return CLI_DONE;
}

/* --- what stays exact ---------------------------------------------------------------------------------- */

static cli_exit read_exact(snug_kv_config *config, const cli_options *options)
{
    const uint32_t start = (uint32_t)options->quantized_kv_start;
    const uint32_t sinks =
        cli_given(options, kv_sinks) ? (uint32_t)options->kv_sinks : SNUG_KV_FIRST_EXACT_DEFAULT;

    if (!snug_kv_config_has_codes(config)) {
        if (options->kv_formats || (!cli_given(options, kv_tail) && !cli_given(options, quantized_kv_start)))
            return CLI_DONE; /* formats that are named take them */
        return cli_fail(CLI_USAGE, "--%s says what stays f16 in a quantized cache: give --kv-bits N too",
                        cli_given(options, kv_tail) ? "kv-tail" : "quantized-kv-start");
    }
    config->first_exact_tokens = start > sinks ? start : sinks;
    config->recent_exact_tokens =
        cli_given(options, kv_tail) ? (uint32_t)options->kv_tail : SNUG_KV_RECENT_EXACT_DEFAULT;
    return CLI_DONE;
}

cli_exit cli_cache_read(snug_kv_config *config_out, const cli_options *options)
{
    snug_kv_config config = { 0 };
    cli_exit status = read_format(&config, options);

    if (status == CLI_DONE)
        status = read_layers(&config, options);
    if (status == CLI_DONE)
        status = check_kind(&config, options);
    if (status == CLI_DONE)
        status = read_retention(&config, options);
    if (status == CLI_DONE)
        status = read_exact(&config, options);
    *config_out = config;
    return status;
}

cli_exit cli_cache_read_named(snug_kv_config *config_out, const char *name, const cli_options *options)
{
    const char *layers = strchr(name, '+');
    cli_codings codings;
    char format[24];
    cli_exit status;

    snprintf(format, sizeof format, "%.*s", (int)strcspn(name, "+"), name);
    if (!cli_layers_parse_format(&codings, format, NULL))
        return cli_fail(CLI_USAGE,
                        "--kv-formats: \"%s\" is not f16, f32, planes:BITS or affine:BITS:GROUP, with "
                        "BITS as N or K/V, and perhaps +LAYERS=FORMAT",
                        name);
    *config_out = (snug_kv_config){ .key = codings.key, .value = codings.value };
    if (layers) {
        snug_kv_coding usual = codings.key.bits > 0 ? codings.key : codings.value;

        if (usual.bits == 0)
            usual.format = SNUG_KV_FORMAT_PLANES;
        status = cli_layers_read(config_out, layers + 1, '+', &usual, "--kv-formats");
        if (status != CLI_DONE)
            return status;
    }
    status = read_retention(config_out, options);
    return status == CLI_DONE ? read_exact(config_out, options) : status;
}

/* --- telling it again ---------------------------------------------------------------------------------- */

const char *cli_cache_kind(const snug_kv_config *config)
{
    if (config->retention.kind > SNUG_KV_RETENTION_ALL)
        return snug_kv_retention_name(config->retention.kind);
    return snug_kv_config_has_codes(config) ? "quantized" : "simple";
}

uint32_t cli_cache_bits(const snug_kv_coding *coding)
{
    if (is_coded(coding))
        return coding->bits;
    return coding->format == SNUG_KV_FORMAT_F32 ? 32 : 16;
}

/* "f16", "planes 8/4", "affine 4/4 in groups of 64". */
static int print_format(char *out, size_t capacity, const snug_kv_config *config)
{
    const snug_kv_coding *coded = is_coded(&config->key) ? &config->key : &config->value;
    const char *name = snug_kv_format_name(coded->format);

    if (!is_coded(coded))
        return snprintf(out, capacity, "%s", name);
    if (coded->format == SNUG_KV_FORMAT_AFFINE)
        return snprintf(out, capacity, "%s %u/%u in groups of %u", name, cli_cache_bits(&config->key),
                        cli_cache_bits(&config->value), coded->group);
    return snprintf(out, capacity, "%s %u/%u", name, cli_cache_bits(&config->key),
                    cli_cache_bits(&config->value));
}

cli_cache_text cli_cache_in_words(const snug_kv_config *config)
{
    const snug_kv_retention *retention = &config->retention;
    cli_cache_text out = { "" };
    const cli_layers_text layers = cli_layers_in_words(config);
    int used = print_format(out.text, sizeof out.text, config);
    char *rest;
    size_t left;

    if (layers.text[0])
        used += snprintf(out.text + used, sizeof out.text - (size_t)used, " (layers %s)", layers.text);
    rest = out.text + used;
    left = sizeof out.text - (size_t)used;
    if (retention->kind == SNUG_KV_RETENTION_ROTATING)
        snprintf(rest, left, ", rotating over %u tokens, the first %u kept", retention->max_tokens,
                 retention->sink_tokens);
    else if (retention->kind == SNUG_KV_RETENTION_CHUNKED)
        snprintf(rest, left, ", in chunks of %u tokens", retention->max_tokens);
    return out;
}

static json_t *side_json(const snug_kv_side_info *side)
{
    json_t *widths = json_array();

    for (uint32_t i = 0; i < side->width_count; i++)
        (void)json_array_append_new(widths, json_pack("{s:I,s:I}", "bits", (json_int_t)side->width[i].bits,
                                                      "tokens", (json_int_t)side->width[i].tokens));
    return json_pack("{s:s,s:I,s:o,s:I}", "format", snug_kv_format_name(side->coding.format), "bits",
                     (json_int_t)cli_cache_bits(&side->coding), "widths", widths, "bytes",
                     (json_int_t)side->bytes);
}

static json_t *layer_json(const snug_kv_layer_info *info)
{
    if (info->kind == SNUG_KV_LAYER_SHARED)
        return json_pack("{s:s,s:I}", "kind", snug_kv_layer_kind_name(info->kind), "source",
                         (json_int_t)info->source);
    return json_pack("{s:s,s:o,s:I,s:o,s:o,s:o}", "kind", snug_kv_layer_kind_name(info->kind), "bound_tokens",
                     info->bound_tokens ? json_integer(info->bound_tokens) : json_null(), "sink_tokens",
                     (json_int_t)info->sink_tokens, "key", side_json(&info->key), "value",
                     side_json(&info->value), "skipped",
                     info->skipped[0] ? json_string(info->skipped) : json_null());
}

static json_t *layers_json(const snug_kv *kv)
{
    json_t *layers = json_array();

    for (uint32_t i = 0; i < snug_kv_layer_count(kv); i++) {
        snug_kv_layer_info info = { .struct_size = sizeof info };

        if (snug_kv_describe(&info, kv, i, NULL) == SNUG_OK)
            (void)json_array_append_new(layers, layer_json(&info));
    }
    return layers;
}

json_t *cli_cache_json(const cli_engine *engine)
{
    const snug_kv *kv = snug_session_kv(engine->session);
    snug_kv_info info = { .struct_size = sizeof info };
    const snug_kv_retention *retention = &info.config.retention;

    snug_kv_read_info(&info, kv);
    return json_pack(
        "{s:s,s:s,s:s,s:{s:I,s:I},s:I,s:I,s:o,s:I,s:I,s:I,s:I,s:o}", "kind", cli_cache_kind(&info.config),
        "key_format", snug_kv_format_name(info.config.key.format), "value_format",
        snug_kv_format_name(info.config.value.format), "bits", "key",
        (json_int_t)cli_cache_bits(&info.config.key), "value", (json_int_t)cli_cache_bits(&info.config.value),
        "bytes", (json_int_t)snug_kv_committed_bytes(kv), "bytes_per_token", (json_int_t)info.token_bytes,
        "max_tokens", retention->max_tokens ? json_integer(retention->max_tokens) : json_null(),
        "sink_tokens", (json_int_t)retention->sink_tokens, "coded_tokens", (json_int_t)info.coded_tokens,
        "first_exact_tokens", (json_int_t)info.config.first_exact_tokens, "recent_exact_tokens",
        (json_int_t)info.config.recent_exact_tokens, "layers", layers_json(kv));
}
