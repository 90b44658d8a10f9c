/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replace.c - replace.h on flock, fsync and rename.
 */
#define _DEFAULT_SOURCE

#include "os/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/status.h"
#include "os/read.h"

#define PARTIAL ".partial"

/* Written pages are charged to our own control group until they are on the disk: never more than so many, for
 * files are written when memory is short, down to half of the 4 MiB that are kept free in a small group. */
#define UNSYNCED_BYTES ((size_t)1 << 20)

static snug_status fail_with_errno(const snug_os_replace *replace, int code, snug_error *error)
{
    char reason[128];

    snug_os_error_text(code, reason, sizeof reason);
    return snug_fail(error, SNUG_ERR_IO, "cannot write '%.300s': %s", replace->path, reason);
}

/* Not an errno: what was opened is no longer what the name stands for. */
#define MOVED (-1)

/* 0, MOVED or the errno: another process may have put it in its place between our opening and our locking. */
static int check_still_there(const snug_os_replace *replace)
{
    struct stat opened, named;

    if (fstat(replace->file, &opened) != 0)
        return errno;
    if (stat(replace->partial, &named) != 0)
        return errno == ENOENT ? MOVED : errno;
    return opened.st_ino == named.st_ino && opened.st_dev == named.st_dev ? 0 : MOVED;
}

/* A file that a killed process had given its name, without taking this one away, is complete and must not be
 * written to: then this name goes, and it is MOVED. */
static int leave_complete(const snug_os_replace *replace)
{
    struct stat opened;

    if (fstat(replace->file, &opened) != 0)
        return errno;
    if (opened.st_nlink < 2)
        return 0;
    return unlink(replace->partial) == 0 ? MOVED : errno;
}

/* 0, locked, ours and empty; MOVED or the errno: then it is closed, and with that unlocked. */
static int take(const snug_os_replace *replace)
{
    int code = flock(replace->file, LOCK_EX | LOCK_NB) == 0 ? check_still_there(replace) : errno;

    if (code == 0)
        code = leave_complete(replace);
    if (code == 0 && ftruncate(replace->file, 0) != 0)
        code = errno;
    if (code != 0)
        close(replace->file);
    return code;
}

/* Opened, locked and ours; else the errno. */
static int open_partial(snug_os_replace *replace)
{
    int code;

    do {
        replace->file = open(replace->partial, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (replace->file < 0)
            return errno;
        code = take(replace);
    } while (code == MOVED);
    return code;
}

snug_status snug_os_replace_begin(snug_os_replace *replace, const char *path, snug_error *error)
{
    struct stat info;
    int code;

    replace->bytes = replace->unsynced_bytes = 0;
    if (strlen(path) + sizeof PARTIAL > sizeof replace->partial)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "the path '%.100s...' is longer than %zu bytes", path,
                  sizeof replace->partial - sizeof PARTIAL);
    snprintf(replace->path, sizeof replace->path, "%s", path);
    snprintf(replace->partial, sizeof replace->partial, "%.*s%s",
             (int)(sizeof replace->partial - sizeof PARTIAL), path, PARTIAL);
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        SNUG_FAIL(error, SNUG_ERR_IO, "cannot write '%.300s': it is there, and not a file", path);
    code = open_partial(replace);
    if (code == EWOULDBLOCK)
        SNUG_FAIL(error, SNUG_ERR_IO, "cannot write '%.300s': another process is just writing it", path);
    return code == 0 ? SNUG_OK : fail_with_errno(replace, code, error);
}

snug_status snug_os_replace_write(snug_os_replace *replace, const void *data, size_t bytes, snug_error *error)
{
    const unsigned char *at = data;

    while (bytes > 0) {
        const size_t room = UNSYNCED_BYTES - replace->unsynced_bytes;
        const ssize_t written = write(replace->file, at, bytes < room ? bytes : room);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return fail_with_errno(replace, errno, error);
        at += written;
        bytes -= (size_t)written;
        replace->bytes += (uint64_t)written;
        replace->unsynced_bytes += (size_t)written;
        if (replace->unsynced_bytes >= UNSYNCED_BYTES) {
            /* What went wrong is said once only: not again at the end. */
            if (fdatasync(replace->file) != 0)
                return fail_with_errno(replace, errno, error);
            (void)posix_fadvise(replace->file, 0, 0, POSIX_FADV_DONTNEED);
            replace->unsynced_bytes = 0;
        }
    }
    return SNUG_OK;
}

/* The name itself must reach the disk, too. Not every file system can do that for a folder: no error. */
static void sync_folder(const char *path)
{
    char folder[SNUG_OS_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    int file;

    if (!slash)
        snprintf(folder, sizeof folder, ".");
    else
        snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    file = open(folder, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (file < 0)
        return;
    (void)fsync(file);
    close(file);
}

snug_status snug_os_replace_end(snug_os_replace *replace, snug_error *error)
{
    if (fsync(replace->file) != 0 || rename(replace->partial, replace->path) != 0) {
        const int code = errno;

        snug_os_replace_cancel(replace);
        return fail_with_errno(replace, code, error);
    }
    close(replace->file);
    sync_folder(replace->path);
    return SNUG_OK;
}

/* The name is given only if nothing has it; false with errno. */
static bool name_new(const snug_os_replace *replace)
{
    struct stat info;

    if (link(replace->partial, replace->path) == 0) {
        (void)unlink(replace->partial);
        return true;
    }
    if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)
        return false;
    /* A file system without links: the best there is. */
    if (stat(replace->path, &info) == 0) {
        errno = EEXIST;
        return false;
    }
    return rename(replace->partial, replace->path) == 0;
}

snug_status snug_os_replace_end_new(snug_os_replace *replace, snug_error *error)
{
    if (fsync(replace->file) != 0 || !name_new(replace)) {
        const int code = errno;

        snug_os_replace_cancel(replace);
        return fail_with_errno(replace, code, error);
    }
    close(replace->file);
    sync_folder(replace->path);
    return SNUG_OK;
}

void snug_os_replace_cancel(snug_os_replace *replace)
{
    (void)unlink(replace->partial); /* while it is locked: nobody else's */
    close(replace->file);
}
