/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.c - store.h on POSIX files.
 */
#define _DEFAULT_SOURCE

#include "os/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

bool snug_os_read_small(char *out, size_t capacity, size_t *bytes_out, const char *path)
{
    size_t used = 0;
    ssize_t count = 1;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (file < 0)
        return false;
    while (count > 0 && used < capacity) {
        count = read(file, out + used, capacity - used);
        if (count < 0 && errno == EINTR)
            count = 1;
        else if (count > 0)
            used += (size_t)count;
    }
    close(file);
    if (count < 0 || used == capacity)
        return false;
    out[used] = '\0';
    *bytes_out = used;
    return true;
}

bool snug_os_file_look(snug_os_file_info *out, const char *path)
{
    struct stat info;

    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return false;
    *out = (snug_os_file_info){
        .bytes = (uint64_t)info.st_size,
        .read_seconds = (int64_t)info.st_atime,
        .write_seconds = (int64_t)info.st_mtime,
        .number = (uint64_t)info.st_ino,
    };
    return true;
}
