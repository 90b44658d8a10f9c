/* SPDX-License-Identifier: Apache-2.0 */
/*
 * formats.c - the element formats of the cache by name and number: one row each.
 */
#include "kv/parts.h"

#include <string.h>

static const snug_kv_format_ops *const formats[] = { &snug_kv_format_f16, &snug_kv_format_f32 };

const snug_kv_format_ops *snug_kv_format_ops_of(snug_kv_format format)
{
    if (format == SNUG_KV_FORMAT_AUTO)
        return &snug_kv_format_f16;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (formats[i]->format == format)
            return formats[i];
    return NULL;
}

const char *snug_kv_format_name(snug_kv_format format)
{
    const snug_kv_format_ops *ops = snug_kv_format_ops_of(format);

    if (format == SNUG_KV_FORMAT_AUTO)
        return "auto";
    return ops ? ops->name : "unknown";
}

bool snug_kv_format_parse(snug_kv_format *format_out, const char *name)
{
    if (strcmp(name, "auto") == 0) {
        *format_out = SNUG_KV_FORMAT_AUTO;
        return true;
    }
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (strcmp(formats[i]->name, name) == 0) {
            *format_out = formats[i]->format;
            return true;
        }
    }
    return false;
}
