/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value.c - what the header says, by hand where the C library is too lenient (strtoull accepts "-1" and "
 * 7").
 */
#include "cli/value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

bool cli_value_count(uint64_t *out, const char *text)
{
    uint64_t value = 0;

    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        const uint64_t digit = (uint64_t)(*text - '0');

        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

/* The number at the front of `text`; NULL when there is none, else what follows it. */
static const char *leading_number(double *out, const char *text)
{
    char *end;

    /* strtod also takes spaces, "inf", "nan" and hexadecimal: not what anybody means here. */
    if (strspn(text, "+-.0123456789") == 0 || text[strcspn(text, "xX")])
        return NULL;
    *out = strtod(text, &end);
    return end == text || !isfinite(*out) ? NULL : end;
}

bool cli_value_number(double *out, const char *text)
{
    double value;
    const char *rest = leading_number(&value, text);

    if (!rest || *rest)
        return false;
    *out = value;
    return true;
}

bool cli_value_percent(double *out, const char *text)
{
    double value;
    const char *rest = leading_number(&value, text);

    if (!rest || strcmp(rest, "%") != 0 || value <= 0 || value > 100)
        return false;
    *out = value;
    return true;
}

bool cli_value_size(uint64_t *out, const char *text)
{
    static const struct {
        const char *unit;
        double bytes;
    } units[] = {
        { "", 1.0 },       { "B", 1.0 },      { "K", 0x1p10 },   { "k", 0x1p10 },
        { "M", 0x1p20 },   { "G", 0x1p30 },   { "T", 0x1p40 },   { "KiB", 0x1p10 },
        { "MiB", 0x1p20 }, { "GiB", 0x1p30 }, { "TiB", 0x1p40 }, { "kB", 1e3 },
        { "KB", 1e3 },     { "MB", 1e6 },     { "GB", 1e9 },     { "TB", 1e12 },
    };
    double value;
    const char *rest = leading_number(&value, text);

    if (!rest || value < 0)
        return false;
    rest += strspn(rest, " ");
    for (size_t i = 0; i < SNUG_COUNT(units); i++) {
        if (strcmp(rest, units[i].unit) != 0)
            continue;
        if (value * units[i].bytes >= 0x1p63)
            return false;
        *out = (uint64_t)(value * units[i].bytes);
        return true;
    }
    return false;
}

cli_size_text cli_size(uint64_t bytes)
{
    static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    cli_size_text out;
    double value = (double)bytes / 1024.0;
    size_t unit = 0;

    if (bytes < 1024) {
        snprintf(out.text, sizeof out.text, "%u bytes", (unsigned)bytes);
        return out;
    }
    while (value >= 999.5 && unit + 1 < SNUG_COUNT(units)) {
        value /= 1024.0;
        unit++;
    }
    snprintf(out.text, sizeof out.text, "%.*f %s", value < 99.95 ? 1 : 0, value, units[unit]);
    return out;
}
