/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.c - names that come from outside and become paths: repositories and the files in them.
 */
#include "catalog/catalog.h"

static bool is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

/* "", "." and "..", and what some systems treat alike. */
static bool is_dots(snug_str part)
{
    for (size_t i = 0; i < part.bytes; i++)
        if (part.data[i] != '.')
            return false;
    return true;
}

bool snug_hub_is_repository(snug_str text)
{
    const char *slash = text.bytes > 0 ? memchr(text.data, '/', text.bytes) : NULL;
    snug_str parts[2];

    if (!slash || text.bytes >= CATALOG_REPOSITORY_BYTES)
        return false;
    parts[0] = (snug_str){ text.data, (size_t)(slash - text.data) };
    parts[1] = (snug_str){ slash + 1, text.bytes - parts[0].bytes - 1 };
    for (size_t p = 0; p < 2; p++) {
        if (is_dots(parts[p]))
            return false;
        for (size_t i = 0; i < parts[p].bytes; i++)
            if (!is_plain((unsigned char)parts[p].data[i]))
                return false;
    }
    /* "--" stands for the slash in the names of cache folders. */
    for (size_t i = 1; i < text.bytes; i++)
        if (text.data[i] == '-' && text.data[i - 1] == '-')
            return false;
    return true;
}

bool snug_hub_is_file(snug_str text)
{
    size_t begin = 0;

    if (text.bytes == 0 || text.bytes >= CATALOG_FILE_BYTES)
        return false;
    for (size_t i = 0; i <= text.bytes; i++) {
        const unsigned char c = i < text.bytes ? (unsigned char)text.data[i] : '/';

        if (c < 0x20 || c == 0x7f || c == '\\' || c == ':')
            return false;
        if (c != '/')
            continue;
        if (is_dots((snug_str){ text.data + begin, i - begin }))
            return false;
        begin = i + 1;
    }
    return true;
}
