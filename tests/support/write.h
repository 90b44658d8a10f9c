/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write.h - a small file written in one go, as the kernel's control files want it.
 */
#ifndef SNUG_TESTS_SUPPORT_WRITE_H
#define SNUG_TESTS_SUPPORT_WRITE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* False when the system refuses: no such file, no permission, or a value that it does not take. */
static inline bool test_write(const char *folder, const char *name, const char *text)
{
    char path[512];
    FILE *file;
    bool is_written;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "w");
    if (!file)
        return false;
    is_written = fputs(text, file) >= 0;
    return fclose(file) == 0 && is_written;
}

static inline bool test_write_number(const char *folder, const char *name, uint64_t number)
{
    char text[32];

    snprintf(text, sizeof text, "%llu\n", (unsigned long long)number);
    return test_write(folder, name, text);
}

#endif /* SNUG_TESTS_SUPPORT_WRITE_H */
