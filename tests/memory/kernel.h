/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel.h - what the kernel counts for this process, read without any code of the library.
 */
#ifndef SNUG_TESTS_MEMORY_KERNEL_H
#define SNUG_TESTS_MEMORY_KERNEL_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sanitizers keep tables and delayed frees of their own: what the kernel counts is not ours alone then. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#    define IS_SANITIZED 1
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#        define IS_SANITIZED 1
#    endif
#endif
#ifndef IS_SANITIZED
#    define IS_SANITIZED 0
#endif

/* The bytes behind `key` ("RssAnon:") in /proc/self/status; 0 when it is not there. */
static inline uint64_t read_kernel_bytes(const char *key)
{
    FILE *file = fopen("/proc/self/status", "r");
    unsigned long long kilobytes = 0;
    char line[256];

    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)) == 0)
            kilobytes = strtoull(line + strlen(key), NULL, 10);
    }
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

#endif /* SNUG_TESTS_MEMORY_KERNEL_H */
