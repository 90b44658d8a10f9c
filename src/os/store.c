/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.c - store.h on POSIX files.
 */
#define _DEFAULT_SOURCE

#include "os/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/status.h"
#include "os/machine.h"
#include "os/read.h"
#include "os/replace.h"

static snug_status fail_with_errno(const char *verb, const char *path, int code, snug_error *error)
{
    char reason[128];

    snug_os_error_text(code, reason, sizeof reason);
    return snug_fail(error, SNUG_ERR_IO, "cannot %s '%.300s': %s", verb, path, reason);
}

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

bool snug_os_is_link(const char *path)
{
    struct stat info;

    return lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
}

bool snug_os_read_link(char *out, size_t capacity, const char *path)
{
    const ssize_t bytes = readlink(path, out, capacity);

    if (bytes < 0 || (size_t)bytes >= capacity)
        return false;
    out[bytes] = '\0';
    return true;
}

/* --- folders and links ---------------------------------------------------------------------------------- */

static bool make_folder(const char *path)
{
    struct stat info;

    return mkdir(path, 0777) == 0 || (errno == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode));
}

snug_status snug_os_make_folders(const char *path, snug_error *error)
{
    char part[SNUG_OS_PATH_BYTES];
    const size_t bytes = strlen(path);

    if (bytes >= sizeof part)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "the path '%.100s...' is longer than %zu bytes", path,
                  sizeof part);
    for (size_t i = 1; i <= bytes; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (!make_folder(part))
            return fail_with_errno("make the folder", part, errno, error);
    }
    return SNUG_OK;
}

snug_status snug_os_make_link(const char *path, const char *target, snug_error *error)
{
    char made[SNUG_OS_PATH_BYTES];
    int code;

    if (snprintf(made, sizeof made, "%s.%ld.link", path, (long)getpid()) >= (int)sizeof made)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "the path '%.100s...' is too long", path);
    (void)unlink(made);
    if (symlink(target, made) == 0 && rename(made, path) == 0)
        return SNUG_OK;
    code = errno;
    (void)unlink(made);
    return fail_with_errno("make the link", path, code, error);
}

/* Below `folder`, an open one; files first, then the folders they were in. */
static int delete_below(int folder, unsigned depth)
{
    const struct dirent *entry;
    DIR *list = fdopendir(folder);
    int code = list ? 0 : errno;

    if (!list)
        close(folder);
    while (list && code == 0 && (entry = readdir(list))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(list), entry->d_name, 0) == 0)
            continue;
        if (errno == EISDIR || errno == EPERM) {
            const int inner = depth > 0 ? openat(dirfd(list), entry->d_name,
                                                 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                                        : -1;

            code = inner < 0 ? errno : delete_below(inner, depth - 1);
            if (code == 0 && unlinkat(dirfd(list), entry->d_name, AT_REMOVEDIR) != 0)
                code = errno;
        } else {
            code = errno;
        }
    }
    if (list)
        closedir(list);
    return code;
}

snug_status snug_os_delete(const char *path, snug_error *error)
{
    int code = 0;

    if (unlink(path) == 0)
        return SNUG_OK;
    if (errno == EISDIR || errno == EPERM) {
        const int folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        code = folder < 0 ? errno : delete_below(folder, 16);
        if (code == 0 && rmdir(path) != 0)
            code = errno;
    } else {
        code = errno;
    }
    return code == 0 ? SNUG_OK : fail_with_errno("delete", path, code, error);
}

uint64_t snug_os_free_bytes(const char *path)
{
    char folder[SNUG_OS_PATH_BYTES];
    struct statvfs info;
    char *slash;

    if (strlen(path) >= sizeof folder)
        return SNUG_OS_UNKNOWN;
    memcpy(folder, path, strlen(path) + 1);
    /* The folder may not be there yet: then the one it will be made in. */
    while (statvfs(folder, &info) != 0) {
        slash = strrchr(folder, '/');
        if (!slash || slash == folder)
            return SNUG_OS_UNKNOWN;
        *slash = '\0';
    }
    return (uint64_t)info.f_bavail * info.f_frsize;
}

/* --- a file in the making ------------------------------------------------------------------------------- */

/* Whether what was opened is still what the name stands for: another process may have finished it between our
 * opening and our locking. */
static bool is_still_there(int file, const char *path)
{
    struct stat opened, named;

    return fstat(file, &opened) == 0 && stat(path, &named) == 0 && opened.st_ino == named.st_ino &&
           opened.st_dev == named.st_dev;
}

snug_status snug_os_part_open(snug_os_part *part, bool *is_ours_out, const char *path, snug_error *error)
{
    int code;

    *is_ours_out = false;
    part->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (part->file < 0)
        return fail_with_errno("write", path, errno, error);
    if (flock(part->file, LOCK_EX | LOCK_NB) == 0) {
        *is_ours_out = is_still_there(part->file, path);
        if (!*is_ours_out)
            snug_os_part_close(part);
        return SNUG_OK;
    }
    code = errno;
    snug_os_part_close(part);
    return code == EWOULDBLOCK ? SNUG_OK : fail_with_errno("lock", path, code, error);
}

void snug_os_part_close(snug_os_part *part)
{
    if (part->file >= 0)
        close(part->file);
    part->file = -1;
}

uint64_t snug_os_part_bytes(const snug_os_part *part)
{
    struct stat info;

    return fstat(part->file, &info) == 0 ? (uint64_t)info.st_size : 0;
}

bool snug_os_part_write(const snug_os_part *part, uint64_t offset, const void *data, size_t bytes,
                        int *code_out)
{
    const unsigned char *at = data;

    while (bytes > 0) {
        const ssize_t written = pwrite(part->file, at, bytes, (off_t)offset);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0) {
            *code_out = errno;
            return false;
        }
        at += written;
        offset += (uint64_t)written;
        bytes -= (size_t)written;
    }
    return true;
}

bool snug_os_part_read(const snug_os_part *part, uint64_t offset, void *data, size_t bytes)
{
    unsigned char *at = data;

    while (bytes > 0) {
        const ssize_t count = pread(part->file, at, bytes, (off_t)offset);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        at += count;
        offset += (uint64_t)count;
        bytes -= (size_t)count;
    }
    return true;
}

bool snug_os_part_cut(const snug_os_part *part, uint64_t bytes, int *code_out)
{
    if (ftruncate(part->file, (off_t)bytes) == 0)
        return true;
    *code_out = errno;
    return false;
}

snug_status snug_os_part_finish(snug_os_part *part, const char *path, const char *final_path,
                                snug_error *error)
{
    const bool is_done = fsync(part->file) == 0 && rename(path, final_path) == 0;
    const int code = errno;

    snug_os_part_close(part);
    return is_done ? SNUG_OK : fail_with_errno("write", final_path, code, error);
}

snug_status snug_os_part_fail(const char *path, int code, snug_error *error)
{
    return fail_with_errno("write", path, code, error);
}
