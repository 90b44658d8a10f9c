/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snug/base.h - what every other header needs: statuses, error text, the element types, export marks.
 *
 * A function that can fail returns a snug_status, 0 on success. Functions that touch the outside world
 * (files, limits, prompts) also take a snug_error owned by the caller, which receives one sentence: what was
 * expected, what came, what to do. It may be NULL where only the status matters.
 *
 * On failure outputs are NULL or untouched, and objects stay usable. Nothing here prints, exits, keeps
 * global state or installs a signal handler.
 */
#ifndef SNUG_BASE_H
#define SNUG_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#    define SNUG_BEGIN_DECLS extern "C" {
#    define SNUG_END_DECLS   }
#else
#    define SNUG_BEGIN_DECLS
#    define SNUG_END_DECLS
#endif

#if defined(__GNUC__)
#    define SNUG_API                 __attribute__((visibility("default")))
#    define SNUG_MUST_CHECK          __attribute__((warn_unused_result))
#    define SNUG_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#    define SNUG_API
#    define SNUG_MUST_CHECK
#    define SNUG_PRINTF(text, first)
#endif

SNUG_BEGIN_DECLS

/* X(name, number, meaning). Numbers are pinned: they never change their meaning. */
#define SNUG_STATUS_MAP(X)                                                                                   \
    X(OK, 0, "success")                                                                                      \
    X(ERR_ARGUMENT, -1, "an argument is outside what the function accepts")                                  \
    X(ERR_NO_MEMORY, -2, "the operating system refused memory")                                              \
    X(ERR_OVER_LIMIT, -3, "the memory limit would be exceeded")                                              \
    X(ERR_IO, -4, "reading or writing a file failed")                                                        \
    X(ERR_CORRUPT, -5, "a file is damaged or not of the stated format")                                      \
    X(ERR_UNSUPPORTED, -6, "valid, but this build cannot do it")                                             \
    X(ERR_FULL, -7, "the context is full")                                                                   \
    X(ERR_CANCELLED, -8, "the caller asked to stop")

typedef enum snug_status {
#define SNUG_STATUS_ENUM(name, number, text) SNUG_##name = number,
    SNUG_STATUS_MAP(SNUG_STATUS_ENUM)
#undef SNUG_STATUS_ENUM
} snug_status;

#define SNUG_ERROR_TEXT_BYTES 512

/* One sentence about the last failure that was given this struct; empty text means none yet. */
typedef struct snug_error {
    snug_status status;
    char text[SNUG_ERROR_TEXT_BYTES];
} snug_error;

/* "ERR_OVER_LIMIT" and its meaning, for any status; never NULL. */
SNUG_API const char *snug_status_name(snug_status status);
SNUG_API const char *snug_status_text(snug_status status);

SNUG_END_DECLS
#endif /* SNUG_BASE_H */
