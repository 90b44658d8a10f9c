/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status.h - the four control-flow macros and the assertions. No other macro of this project returns.
 *
 * Three kinds of trouble, three answers: a bug of ours or the caller's is asserted; the outside world gets a
 * status; a user's mistake gets a sentence through SNUG_FAIL.
 */
#ifndef SNUG_SRC_BASE_STATUS_H
#define SNUG_SRC_BASE_STATUS_H

#include <snug/base.h>

/* Write the sentence and return the status. Internal, kept out of the public header. */
snug_status snug_fail(snug_error *error, snug_status status, const char *format, ...) SNUG_PRINTF(3, 4);

/* Put "PREFIX: " in front of the sentence already in `error`, if there is room. Returns `status`. */
snug_status snug_fail_prefix(snug_error *error, snug_status status, const char *prefix);

_Noreturn void snug_assert_failed(const char *file, int line, const char *condition);

/* Always on, also in release builds: a broken invariant must not become a wrong answer. */
#define SNUG_ASSERT(condition) ((condition) ? (void)0 : snug_assert_failed(__FILE__, __LINE__, #condition))

#ifdef NDEBUG
#    define SNUG_ASSERT_DEBUG(condition) ((void)0)
#else
#    define SNUG_ASSERT_DEBUG(condition) SNUG_ASSERT(condition)
#endif

#define SNUG_TRY(call)                                                                                       \
    do {                                                                                                     \
        snug_status try_status_ = (call);                                                                    \
        if (try_status_ != SNUG_OK)                                                                          \
            return try_status_;                                                                              \
    } while (0)

#define SNUG_RETURN_IF(condition, status)                                                                    \
    do {                                                                                                     \
        if (condition)                                                                                       \
            return (status);                                                                                 \
    } while (0)

/*
 * Write the sentence and leave the function: a macro so that a reader sees the return. The status itself is
 * returned, not what snug_fail() hands back: so the compiler knows, too, that outputs are not looked at.
 */
#define SNUG_FAIL(error, status, ...)                                                                        \
    do {                                                                                                     \
        (void)snug_fail((error), (status), __VA_ARGS__);                                                     \
        return (status);                                                                                     \
    } while (0)

#define SNUG_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif /* SNUG_SRC_BASE_STATUS_H */
