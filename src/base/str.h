/* SPDX-License-Identifier: Apache-2.0 */
/*
 * str.h - a borrowed run of bytes: text in a mapped file, a piece of a token, a part of a path.
 * Not terminated, may hold zero bytes, owns nothing.
 */
#ifndef SNUG_SRC_BASE_STR_H
#define SNUG_SRC_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct snug_str {
    const char *data;
    size_t bytes;
} snug_str;

/* For printf: "%.*s" with SNUG_STR_ARGS(s). */
#define SNUG_STR_ARGS(s) (int)(s).bytes, (s).data

static inline snug_str snug_str_from(const char *terminated)
{
    return (snug_str){ terminated, strlen(terminated) };
}

static inline bool snug_str_equal(snug_str a, snug_str b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

static inline bool snug_str_is(snug_str a, const char *terminated)
{
    return snug_str_equal(a, snug_str_from(terminated));
}

/* FNV-1a, 64 bits: good enough for tables of our own; not against an adversary, so tables bound their
 * probes. */
static inline unsigned long long snug_str_hash(snug_str s)
{
    unsigned long long hash = 14695981039346656037ull;

    for (size_t i = 0; i < s.bytes; i++)
        hash = (hash ^ (unsigned char)s.data[i]) * 1099511628211ull;
    return hash;
}

#endif /* SNUG_SRC_BASE_STR_H */
