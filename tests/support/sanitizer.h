/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sanitizer.h - whether a test runs under one: their own memory would be in the kernel's figures, and some
 * tests would take minutes.
 */
#ifndef SNUG_TESTS_SUPPORT_SANITIZER_H
#define SNUG_TESTS_SUPPORT_SANITIZER_H

#if defined(__has_feature) /* clang */
#    define TEST_UNDER_ASAN __has_feature(address_sanitizer)
#    define TEST_UNDER_TSAN __has_feature(thread_sanitizer)
#else
#    if defined(__SANITIZE_ADDRESS__)
#        define TEST_UNDER_ASAN 1
#    else
#        define TEST_UNDER_ASAN 0
#    endif
#    if defined(__SANITIZE_THREAD__)
#        define TEST_UNDER_TSAN 1
#    else
#        define TEST_UNDER_TSAN 0
#    endif
#endif

/* In a test that looks at the kernel's figures. */
#define TEST_SKIP_UNDER_SANITIZERS()                                                                         \
    do {                                                                                                     \
        if (TEST_UNDER_ASAN || TEST_UNDER_TSAN) {                                                            \
            printf("SKIPPED: a sanitizer's own memory would be measured\n");                                 \
            skip();                                                                                          \
        }                                                                                                    \
    } while (0)

#endif /* SNUG_TESTS_SUPPORT_SANITIZER_H */
