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
