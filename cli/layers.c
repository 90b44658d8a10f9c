/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layers.c - see the header.
 */
#include "cli/layers.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "cli/cache.h"
#include "cli/output.h"
#include "cli/value.h"

/* --- a format ------------------------------------------------------------------------------------------ */

static snug_kv_coding coding_of(snug_kv_format format, uint32_t bits, uint32_t group)
{
    if (format == SNUG_KV_FORMAT_F32)
        return (snug_kv_coding){ .format = SNUG_KV_FORMAT_F32 };
    if (bits == 16 || format == SNUG_KV_FORMAT_F16)
        return (snug_kv_coding){ .format = SNUG_KV_FORMAT_F16 };
    return (snug_kv_coding){ .format = format,
                             .bits = bits,
                             .group = format == SNUG_KV_FORMAT_AFFINE ? group : 0 };
}

cli_codings cli_layers_codings(snug_kv_format format, uint32_t key_bits, uint32_t value_bits, uint32_t group)
{
    return (cli_codings){ coding_of(format, key_bits, group), coding_of(format, value_bits, group) };
}

/* What comes before `mark`, or all that is left, off the front of *rest. False when it is too long. */
static bool take_part(char *out, size_t capacity, const char **rest, char mark)
{
    const char *end = strchr(*rest, mark);
    const size_t bytes = end ? (size_t)(end - *rest) : strlen(*rest);

    if (bytes >= capacity)
        return false;
    memcpy(out, *rest, bytes);
    out[bytes] = '\0';
    *rest = end ? end + 1 : NULL;
    return true;
}

static bool parse_group(uint32_t *group_out, const char *text)
{
    static const uint32_t groups[] = { 32, 64, 128 };
    char word[8];

    for (size_t i = 0; i < SNUG_COUNT(groups); i++) {
        snprintf(word, sizeof word, "%u", groups[i]);
        if (strcmp(text, word) == 0) {
            *group_out = groups[i];
            return true;
        }
    }
    return false;
}

bool cli_layers_parse_format(cli_codings *out, const char *name, const snug_kv_coding *usual)
{
    const char *rest = name;
    snug_kv_format format = SNUG_KV_FORMAT_AUTO;
    uint32_t key_bits = 8, value_bits = 8, group = 64;
    bool is_coded, is_right;
    char part[16];

    if (usual && cli_cache_parse_bits(&key_bits, &value_bits, name)) {
        *out = cli_layers_codings(usual->format, key_bits, value_bits, usual->group);
        return true;
    }
    is_right = take_part(part, sizeof part, &rest, ':') && snug_kv_format_parse(&format, part) &&
               format != SNUG_KV_FORMAT_AUTO;
    is_coded = format == SNUG_KV_FORMAT_PLANES || format == SNUG_KV_FORMAT_AFFINE;
    if (is_right && rest)
        is_right = is_coded && take_part(part, sizeof part, &rest, ':') &&
                   cli_cache_parse_bits(&key_bits, &value_bits, part);
    if (is_right && rest)
        is_right = format == SNUG_KV_FORMAT_AFFINE && parse_group(&group, rest);
    *out = cli_layers_codings(format, key_bits, value_bits, group);
    return is_right;
}

/* --- layers -------------------------------------------------------------------------------------------- */

/* One number up to `mark`; false when it is none that a layer can have. */
static bool parse_layer(uint32_t *out, const char *text)
{
    const size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > 9 || text[digits] != '\0')
        return false;
    *out = (uint32_t)strtoul(text, NULL, 10);
    return true;
}

/* "3" or "0-1". */
static bool parse_layers(uint32_t *first_out, uint32_t *last_out, const char *text)
{
    const char *rest = text;
    char part[16];

    if (!take_part(part, sizeof part, &rest, '-') || !parse_layer(first_out, part))
        return false;
    *last_out = *first_out;
    return !rest || parse_layer(last_out, rest);
}

static cli_exit read_item(snug_kv_config *config, bool *is_named, const char *item,
                          const snug_kv_coding *usual, const char *option)
{
    const char *format = item;
    uint32_t first, last;
    cli_codings codings;
    char layers[24];

    if (!take_part(layers, sizeof layers, &format, '=') || !format || !parse_layers(&first, &last, layers))
        return cli_fail(CLI_USAGE, "%s: \"%s\" is not LAYERS=FORMAT, as in 0-1=8/8 or 12=f16", option, item);
    if (!cli_layers_parse_format(&codings, format, usual) || codings.key.format == SNUG_KV_FORMAT_F32)
        return cli_fail(CLI_USAGE,
                        "%s: \"%s\": a layer takes bits as N or K/V (2, 3, 4, 5, 6, 8 or 16), f16, "
                        "planes:BITS or affine:BITS:GROUP, not \"%s\"",
                        option, item, format);
    if (last < first)
        return cli_fail(CLI_USAGE, "%s: \"%s\": the layers %u to %u go backwards", option, item, first, last);
    if (last >= SNUG_KV_LAYERS_MAX)
        return cli_fail(CLI_USAGE,
                        "%s: \"%s\": layers are numbered from 0, and %u is the last that can have a "
                        "format of its own",
                        option, item, SNUG_KV_LAYERS_MAX - 1);
    for (uint32_t i = first; i <= last; i++) {
        if (is_named[i])
            return cli_fail(CLI_USAGE, "%s: \"%s\": layer %u has been given a format before", option, item,
                            i);
        is_named[i] = true;
        snug_kv_config_set_layer(config, i, &codings.key, &codings.value);
    }
    return CLI_DONE;
}

cli_exit cli_layers_read(snug_kv_config *config, const char *list, char separator,
                         const snug_kv_coding *usual, const char *option)
{
    bool is_named[SNUG_KV_LAYERS_MAX] = { false };
    cli_exit status = CLI_DONE;
    char item[64];

    while (status == CLI_DONE && list) {
        if (!take_part(item, sizeof item, &list, separator))
            return cli_fail(CLI_USAGE, "%s: \"%.40s...\" is too long for LAYERS=FORMAT", option, list);
        status = read_item(config, is_named, item, usual, option);
    }
    return status;
}

/* --- telling it again ---------------------------------------------------------------------------------- */

/* As cli_layers_parse_format() takes it; bits alone are planes. */
static void print_format(char *out, size_t capacity, const snug_kv_coding *key, const snug_kv_coding *value)
{
    const snug_kv_coding *coded = key->bits > 0 ? key : value;
    const uint32_t key_bits = cli_cache_bits(key), value_bits = cli_cache_bits(value);

    if (coded->bits == 0)
        snprintf(out, capacity, "%s", snug_kv_format_name(key->format));
    else if (coded->format == SNUG_KV_FORMAT_PLANES)
        snprintf(out, capacity, "%u/%u", key_bits, value_bits);
    else
        snprintf(out, capacity, "affine:%u/%u:%u", key_bits, value_bits, coded->group);
}

static bool is_own(const snug_kv_config *config, uint32_t layer)
{
    return config->layer[layer].key.format != 0 || config->layer[layer].value.format != 0;
}

static void print_layer(char *out, size_t capacity, const snug_kv_config *config, uint32_t layer)
{
    const snug_kv_coding key = snug_kv_config_key(config, layer);
    const snug_kv_coding value = snug_kv_config_value(config, layer);

    out[0] = '\0';
    if (is_own(config, layer))
        print_format(out, capacity, &key, &value);
}

cli_layers_text cli_layers_in_words(const snug_kv_config *config)
{
    cli_layers_text out = { "" };
    size_t used = 0;

    for (uint32_t first = 0, end; first < SNUG_KV_LAYERS_MAX; first = end) {
        char format[32], other[32], item[80];

        print_layer(format, sizeof format, config, first);
        for (end = first + 1; end < SNUG_KV_LAYERS_MAX; end++) {
            print_layer(other, sizeof other, config, end);
            if (strcmp(format, other) != 0)
                break;
        }
        if (format[0] == '\0')
            continue;
        if (end - first > 1)
            snprintf(item, sizeof item, "%s%u-%u=%s", used > 0 ? "," : "", first, end - 1, format);
        else
            snprintf(item, sizeof item, "%s%u=%s", used > 0 ? "," : "", first, format);
        if (used + strlen(item) + sizeof ",..." > sizeof out.text) {
            snprintf(out.text + used, sizeof out.text - used, ",...");
            break;
        }
        used += (size_t)snprintf(out.text + used, sizeof out.text - used, "%s", item);
    }
    return out;
}

json_t *cli_layers_json(const snug_kv_config *config)
{
    const cli_layers_text layers = cli_layers_in_words(config);

    return layers.text[0] ? json_string(layers.text) : json_null();
}

/* --- what there is ------------------------------------------------------------------------------------- */

typedef struct layer_line {
    char text[256];
} layer_line;

static void append(layer_line *line, const char *format, ...) SNUG_PRINTF(2, 3);
static void append(layer_line *line, const char *format, ...)
{
    const size_t used = strlen(line->text);
    va_list values;

    va_start(values, format);
    vsnprintf(line->text + used, sizeof line->text - used, format, values);
    va_end(values);
}

/* "192 tokens in 16 bits, 448 in 8". */
static void append_widths(layer_line *line, const snug_kv_side_info *side)
{
    for (uint32_t i = 0; i < side->width_count; i++)
        append(line, "%s%u %sin %u bits", i > 0 ? ", " : "", side->width[i].tokens, i > 0 ? "" : "tokens ",
               side->width[i].bits);
    if (side->width_count == 0)
        append(line, "no tokens");
}

static bool has_same_widths(const snug_kv_side_info *a, const snug_kv_side_info *b)
{
    bool same = a->width_count == b->width_count;

    for (uint32_t i = 0; same && i < a->width_count; i++)
        same = a->width[i].bits == b->width[i].bits && a->width[i].tokens == b->width[i].tokens;
    return same;
}

/* "planes 8/4, window of 512: keys 192 tokens in 16 bits, 448 in 8; values 192 tokens ...; 512 KiB". */
static layer_line describe(const snug_kv *kv, uint32_t layer)
{
    snug_kv_layer_info info = { .struct_size = sizeof info };
    layer_line line = { "" };
    char format[32];

    if (snug_kv_describe(&info, kv, layer, NULL) != SNUG_OK)
        return line;
    if (info.kind == SNUG_KV_LAYER_SHARED) {
        append(&line, "what layer %u keeps", info.source);
        return line;
    }
    print_format(format, sizeof format, &info.key.coding, &info.value.coding);
    append(&line, "%s", format);
    if (info.bound_tokens > 0)
        append(&line, ", %s over %u", snug_kv_layer_kind_name(info.kind), info.bound_tokens);
    if (has_same_widths(&info.key, &info.value)) {
        append(&line, ": ");
        append_widths(&line, &info.key);
    } else {
        append(&line, ": keys ");
        append_widths(&line, &info.key);
        append(&line, "; values ");
        append_widths(&line, &info.value);
    }
    append(&line, "; %s", cli_size(info.key.bytes + info.value.bytes).text);
    if (info.skipped[0])
        append(&line, "; %s", info.skipped);
    return line;
}

void cli_layers_report(const snug_kv *kv)
{
    const uint32_t count = snug_kv_layer_count(kv);

    for (uint32_t first = 0, end; first < count; first = end) {
        const layer_line line = describe(kv, first);

        for (end = first + 1; end < count; end++)
            if (strcmp(describe(kv, end).text, line.text) != 0)
                break;
        if (end - first > 1)
            cli_report("         layers %u-%u each %s", first, end - 1, line.text);
        else
            cli_report("         layer %u %s", first, line.text);
    }
}
