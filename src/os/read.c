/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read.c - the readers of read.h. Numbers are taken only when they end where the field ends: "12x" is not 12.
 */
#define _POSIX_C_SOURCE 200809L

#include "os/read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/machine.h"

void snug_os_error_text(int code, char *out, size_t capacity)
{
    if (strerror_r(code, out, capacity) != 0)
        snprintf(out, capacity, "error %d", code);
}

/* read() that goes on after a signal. */
static ssize_t read_some(int file, char *out, size_t capacity)
{
    ssize_t got;

    do
        got = read(file, out, capacity);
    while (got < 0 && errno == EINTR);
    return got;
}

bool snug_os_read_text(const char *path, char *out, size_t capacity)
{
    size_t length = 0;
    ssize_t got = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);

    if (file < 0)
        return false;
    /* The kernel may hand out a file of /proc in pieces. */
    while (length < capacity - 1 && (got = read_some(file, out + length, capacity - 1 - length)) > 0)
        length += (size_t)got;
    close(file);
    out[length] = '\0';
    return got >= 0;
}

/* Files of the kernel are handed out in whole pages at least: after less than half a one nothing follows. */
#define PIECE_BYTES_MIN 2048

bool snug_os_read_again(int file, char *out, size_t capacity)
{
    size_t length = 0;
    ssize_t got;

    out[0] = '\0';
    if (file < 0)
        return false;
    do {
        got = pread(file, out + length, capacity - 1 - length, (off_t)length);
        if (got > 0)
            length += (size_t)got;
    } while ((got < 0 && errno == EINTR) || (got >= PIECE_BYTES_MIN && length < capacity - 1));
    out[length] = '\0';
    return got >= 0;
}

bool snug_os_parse_u64(uint64_t *out, const char **at)
{
    const char *digit = *at;
    uint64_t value = 0;

    if (*digit < '0' || *digit > '9')
        return false;
    for (; *digit >= '0' && *digit <= '9'; digit++) {
        uint64_t next = (uint64_t)(*digit - '0');

        if (value > (UINT64_MAX - next) / 10)
            return false;
        value = value * 10 + next;
    }
    *out = value;
    *at = digit;
    return true;
}

uint64_t snug_os_find_number(const char *text, const char *key)
{
    size_t key_length = strlen(key);

    for (const char *line = text; line; line = strchr(line, '\n')) {
        uint64_t value;

        line += *line == '\n';
        if (strncmp(line, key, key_length) != 0)
            continue;
        line += key_length;
        line += strspn(line, " \t");
        if (snug_os_parse_u64(&value, &line) && (*line == '\n' || *line == ' ' || *line == '\0'))
            return value;
        return SNUG_OS_UNKNOWN;
    }
    return SNUG_OS_UNKNOWN;
}

uint64_t snug_os_find_kilobytes(const char *text, const char *key)
{
    uint64_t kilobytes = snug_os_find_number(text, key);

    return kilobytes < SNUG_OS_NO_LIMIT / 1024 ? kilobytes * 1024 : SNUG_OS_UNKNOWN;
}

bool snug_os_has_word(const char *list, char separator, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = list; (at = strstr(at, word)); at += length) {
        char after = at[length];
        bool begins = at == list || at[-1] == separator;

        if (begins && (after == separator || after == '\0' || after == '\n'))
            return true;
    }
    return false;
}

bool snug_os_lines_open(snug_os_lines *lines, const char *path)
{
    lines->file = open(path, O_RDONLY | O_CLOEXEC);
    lines->is_end = lines->file < 0;
    lines->begin = 0;
    lines->end = 0;
    return lines->file >= 0;
}

void snug_os_lines_close(snug_os_lines *lines)
{
    if (lines->file >= 0)
        close(lines->file);
    lines->file = -1;
}

/* Moves what is left to the front and reads behind it. */
static void fill(snug_os_lines *lines)
{
    size_t left = lines->end - lines->begin;
    ssize_t got;

    memmove(lines->buffer, lines->buffer + lines->begin, left);
    lines->begin = 0;
    lines->end = left;
    got = read_some(lines->file, lines->buffer + left, sizeof lines->buffer - 1 - left);
    if (got > 0)
        lines->end += (size_t)got;
    else
        lines->is_end = true;
}

char *snug_os_lines_next(snug_os_lines *lines)
{
    bool is_too_long = false; /* the begin of this line was thrown away */

    for (;;) {
        char *line = lines->buffer + lines->begin;
        size_t left = lines->end - lines->begin;
        char *end = memchr(line, '\n', left);

        if (!end && !lines->is_end) {
            if (left == sizeof lines->buffer - 1) {
                is_too_long = true;
                lines->begin = lines->end;
            }
            fill(lines);
            continue;
        }
        if (!end && left == 0)
            return NULL;
        if (end)
            lines->begin += (size_t)(end - line) + 1;
        else
            lines->begin = lines->end; /* the last line has no newline; the buffer has room for the zero */
        lines->buffer[end ? lines->begin - 1 : lines->begin] = '\0';
        if (!is_too_long)
            return line;
        is_too_long = false;
    }
}
