/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *snug_status_name(snug_status status)
{
    switch (status) {
#define STATUS_NAME(name, number, text)                                                                      \
    case SNUG_##name:                                                                                        \
        return #name;
        SNUG_STATUS_MAP(STATUS_NAME)
#undef STATUS_NAME
    }
    return "unknown status";
}

const char *snug_status_text(snug_status status)
{
    switch (status) {
#define STATUS_TEXT(name, number, text)                                                                      \
    case SNUG_##name:                                                                                        \
        return text;
        SNUG_STATUS_MAP(STATUS_TEXT)
#undef STATUS_TEXT
    }
    return "unknown status";
}

snug_status snug_fail(snug_error *error, snug_status status, const char *format, ...)
{
    va_list arguments;

    if (!error)
        return status;
    error->status = status;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return status;
}

snug_status snug_fail_prefix(snug_error *error, snug_status status, const char *prefix)
{
    char sentence[SNUG_ERROR_TEXT_BYTES];

    if (!error)
        return status;
    memcpy(sentence, error->text, sizeof sentence);
    sentence[sizeof sentence - 1] = '\0';
    return snug_fail(error, status, "%.200s: %.300s", prefix, sentence);
}

void snug_assert_failed(const char *file, int line, const char *condition)
{
    /* tidy-allow output: a bug of ours, and nobody is left to be told by a status */
    fprintf(stderr, "snug: broken invariant at %s:%d: %s\n", file, line, condition);
    abort(); /* tidy-allow output: nothing may go on */
}
