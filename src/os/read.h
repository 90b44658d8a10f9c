/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read.h - small text files of /proc and /sys, read without the heap: these readings must still work when
 * memory is short. Only os/ includes it.
 */
#ifndef SNUG_SRC_OS_READ_H
#define SNUG_SRC_OS_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the system says about an errno value. */
void snug_os_error_text(int code, char *out, size_t capacity);

/* The first capacity - 1 bytes of a file, terminated. False when it cannot be read. */
bool snug_os_read_text(const char *path, char *out, size_t capacity);

/* The same of a file that stays open, from its begin each time. False, and an empty text, when it cannot be
 * read or file < 0. */
bool snug_os_read_again(int file, char *out, size_t capacity);

/* The decimal number at *at, which moves behind it. False when there is none or it exceeds 64 bits. */
bool snug_os_parse_u64(uint64_t *out, const char **at);

/*
 * The number behind `key` at the begin of a line, or SNUG_OS_UNKNOWN. The key includes what ends it:
 * "MemTotal:", "inactive_file ".
 */
uint64_t snug_os_find_number(const char *text, const char *key);
/* The same for files that count in kB: the result is in bytes. */
uint64_t snug_os_find_kilobytes(const char *text, const char *key);

/* Whether `word` is one of the words of `list`, which are separated by the character `separator`. */
bool snug_os_has_word(const char *list, char separator, const char *word);

/* Reads a file of any length line by line. */
typedef struct snug_os_lines {
    int file; /* -1: could not be opened, no lines */
    bool is_end;
    size_t begin; /* of what was read and not yet handed out */
    size_t end;
    char buffer[8192];
} snug_os_lines;

bool snug_os_lines_open(snug_os_lines *lines, const char *path);
/* The next line without its end, valid until the next call; NULL at the end. Lines longer than the buffer are
 * left out. */
char *snug_os_lines_next(snug_os_lines *lines);
void snug_os_lines_close(snug_os_lines *lines);

#endif /* SNUG_SRC_OS_READ_H */
