/* SPDX-License-Identifier: Apache-2.0 */
/*
 * formats.c - the element formats of the cache by name, and what a side may be asked to be.
 */
#include "kv/parts.h"

#include <string.h>

#include "base/status.h"
#include "codec/affine.h"

static const char *const names[] = { "auto", "f32", "f16", "affine", "planes" }; /* by format */

const char *snug_kv_format_name(snug_kv_format format)
{
    return (size_t)format < SNUG_COUNT(names) ? names[format] : "unknown";
}

bool snug_kv_format_parse(snug_kv_format *format_out, const char *name)
{
    for (size_t i = 0; i < SNUG_COUNT(names); i++) {
        if (strcmp(names[i], name) == 0) {
            *format_out = (snug_kv_format)i;
            return true;
        }
    }
    return false;
}

snug_kv_coding snug_kv_coding_resolve(const snug_kv_coding *coding)
{
    snug_kv_coding resolved = *coding;

    if (resolved.format == SNUG_KV_FORMAT_AUTO)
        resolved.format = SNUG_KV_FORMAT_F16;
    if (snug_kv_format_is_coded(resolved.format) && resolved.bits == 0)
        resolved.bits = 8;
    if (resolved.format == SNUG_KV_FORMAT_AFFINE && resolved.group == 0)
        resolved.group = 64;
    return resolved;
}

/* --- layers of their own ------------------------------------------------------------------------------- */

static bool is_own(const snug_kv_side_format *side)
{
    return side->format != 0 || side->bits != 0 || side->group != 0;
}

static snug_kv_coding coding_of(const snug_kv_side_format *own, const snug_kv_coding *all)
{
    const snug_kv_coding coding = { (snug_kv_format)own->format, own->bits, own->group };

    return snug_kv_coding_resolve(is_own(own) ? &coding : all);
}

snug_kv_coding snug_kv_config_key(const snug_kv_config *config, uint32_t layer)
{
    return layer < SNUG_KV_LAYERS_MAX ? coding_of(&config->layer[layer].key, &config->key)
                                      : snug_kv_coding_resolve(&config->key);
}

snug_kv_coding snug_kv_config_value(const snug_kv_config *config, uint32_t layer)
{
    return layer < SNUG_KV_LAYERS_MAX ? coding_of(&config->layer[layer].value, &config->value)
                                      : snug_kv_coding_resolve(&config->value);
}

/* What is too large for a byte is no less wrong as 255. */
static uint8_t byte_of(uint32_t value)
{
    return (uint8_t)(value < UINT8_MAX ? value : UINT8_MAX);
}

static snug_kv_side_format side_format(const snug_kv_coding *coding)
{
    const snug_kv_coding own = snug_kv_coding_resolve(coding);

    if (coding->format == SNUG_KV_FORMAT_AUTO)
        return (snug_kv_side_format){ 0, 0, 0 };
    return (snug_kv_side_format){ byte_of((uint32_t)own.format), byte_of(own.bits), byte_of(own.group) };
}

void snug_kv_config_set_layer(snug_kv_config *config, uint32_t layer, const snug_kv_coding *key,
                              const snug_kv_coding *value)
{
    SNUG_ASSERT(layer < SNUG_KV_LAYERS_MAX);
    config->layer[layer] = (snug_kv_layer_format){ side_format(key), side_format(value) };
}

bool snug_kv_config_names_layer(const snug_kv_config *config, uint32_t layer)
{
    return is_own(&config->layer[layer].key) || is_own(&config->layer[layer].value);
}

bool snug_kv_config_has_layers(const snug_kv_config *config)
{
    for (uint32_t i = 0; i < SNUG_KV_LAYERS_MAX; i++)
        if (snug_kv_config_names_layer(config, i))
            return true;
    return false;
}

bool snug_kv_config_has_codes(const snug_kv_config *config)
{
    if (snug_kv_format_is_coded(config->key.format) || snug_kv_format_is_coded(config->value.format))
        return true;
    for (uint32_t i = 0; i < SNUG_KV_LAYERS_MAX; i++)
        if (snug_kv_format_is_coded((snug_kv_format)config->layer[i].key.format) ||
            snug_kv_format_is_coded((snug_kv_format)config->layer[i].value.format))
            return true;
    return false;
}

/* What a layer has of its own: nothing, where that is what all have. */
static void forget_same(snug_kv_side_format *own, const snug_kv_coding *all)
{
    const snug_kv_coding coding = coding_of(own, all);

    if (coding.format == all->format && coding.bits == all->bits && coding.group == all->group)
        *own = (snug_kv_side_format){ 0, 0, 0 };
    else
        *own = side_format(&coding);
}

snug_kv_config snug_kv_config_resolve(const snug_kv_config *config)
{
    snug_kv_config resolved = *config;

    resolved.key = snug_kv_coding_resolve(&config->key);
    resolved.value = snug_kv_coding_resolve(&config->value);
    if (resolved.retention.kind == SNUG_KV_RETENTION_AUTO)
        resolved.retention.kind = SNUG_KV_RETENTION_ALL;
    for (uint32_t i = 0; i < SNUG_KV_LAYERS_MAX; i++) {
        forget_same(&resolved.layer[i].key, &resolved.key);
        forget_same(&resolved.layer[i].value, &resolved.value);
    }
    return resolved;
}

/* --- what may be asked --------------------------------------------------------------------------------- */

snug_status snug_kv_coding_check(const snug_kv_coding *coding, const char *side, uint32_t head_dim,
                                 snug_error *error)
{
    const snug_kv_coding c = snug_kv_coding_resolve(coding);
    const char *name = snug_kv_format_name(c.format);

    if ((size_t)c.format >= SNUG_COUNT(names))
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "cache format %d of the %s is not one this build knows",
                  (int)c.format, side);
    if (!snug_kv_format_is_coded(c.format)) {
        if (c.bits != 0 || c.group != 0)
            SNUG_FAIL(error, SNUG_ERR_ARGUMENT,
                      "%s in %u bits, groups of %u: %s has no choice of bits or groups; affine and planes do",
                      side, c.bits, c.group, name);
        return SNUG_OK;
    }
    if (!snug_codes_bits_ok(c.bits))
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "%s in %u bits: %s has 2, 3, 4, 5, 6 and 8", side, c.bits, name);
    if (c.format == SNUG_KV_FORMAT_PLANES && c.group != 0)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "%s in groups of %u: planes has no groups; affine does", side,
                  c.group);
    if (c.format == SNUG_KV_FORMAT_AFFINE && !snug_affine_ok(128, c.bits, c.group))
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "%s in groups of %u: affine has groups of 32, 64 and 128", side,
                  c.group);
    if (c.format == SNUG_KV_FORMAT_AFFINE && !snug_affine_ok(head_dim, c.bits, c.group))
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                  "%s in groups of %u: they do not divide this model's heads of %u; another group may, and "
                  "planes takes any head",
                  side, c.group, head_dim);
    return SNUG_OK;
}
