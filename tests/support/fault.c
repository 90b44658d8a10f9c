/* SPDX-License-Identifier: Apache-2.0 */
#define _DEFAULT_SOURCE

#include "tests/support/fault.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>

static atomic_bool is_armed;
static atomic_ullong left; /* calls until the first that fails */
static _Atomic(fault_kind) kind_now;
static _Atomic(const char *) failed;

void fault_arm(unsigned long long nth, fault_kind kind)
{
    atomic_store(&left, nth);
    atomic_store(&kind_now, kind);
    atomic_store(&failed, NULL);
    atomic_store(&is_armed, nth > 0);
}

const char *fault_disarm(void)
{
    atomic_store(&is_armed, false);
    return atomic_load(&failed);
}

const char *fault_seen(void)
{
    return atomic_load(&failed);
}

/* Whether this call is to fail. */
static bool fails(const char *function)
{
    const char *none = NULL;

    if (!atomic_load(&is_armed))
        return false;
    if (atomic_load(&failed))
        return atomic_load(&kind_now) == FAULT_FROM_THEN_ON;
    if (atomic_fetch_sub(&left, 1) != 1)
        return false;
    return atomic_compare_exchange_strong(&failed, &none, function);
}

/* WRAP(name, type of the result, parameters, arguments, result and errno of a failure) */
#define WRAP(name, type, parameters, arguments, failure, code)                                               \
    type __real_##name parameters;                                                                           \
    type __wrap_##name parameters;                                                                           \
    type __wrap_##name parameters                                                                            \
    {                                                                                                        \
        if (fails(#name)) {                                                                                  \
            errno = code;                                                                                    \
            return failure;                                                                                  \
        }                                                                                                    \
        return __real_##name arguments;                                                                      \
    }

WRAP(malloc, void *, (size_t bytes), (bytes), NULL, ENOMEM)
WRAP(calloc, void *, (size_t count, size_t bytes), (count, bytes), NULL, ENOMEM)
WRAP(realloc, void *, (void *block, size_t bytes), (block, bytes), NULL, ENOMEM)
WRAP(mmap, void *, (void *at, size_t bytes, int protection, int flags, int file, off_t offset),
     (at, bytes, protection, flags, file, offset), MAP_FAILED, ENOMEM)
WRAP(mprotect, int, (void *at, size_t bytes, int protection), (at, bytes, protection), -1, ENOMEM)
WRAP(madvise, int, (void *at, size_t bytes, int advice), (at, bytes, advice), -1, EAGAIN)
WRAP(read, ssize_t, (int file, void *data, size_t bytes), (file, data, bytes), -1, EIO)
WRAP(write, ssize_t, (int file, const void *data, size_t bytes), (file, data, bytes), -1, ENOSPC)
WRAP(fsync, int, (int file), (file), -1, EIO)
WRAP(fdatasync, int, (int file), (file), -1, EIO)
WRAP(link, int, (const char *from, const char *to), (from, to), -1, ENOSPC)
WRAP(ftruncate, int, (int file, off_t bytes), (file, bytes), -1, EIO)
WRAP(flock, int, (int file, int operation), (file, operation), -1, ENOLCK)
WRAP(rename, int, (const char *from, const char *to), (from, to), -1, ENOSPC)
WRAP(fstat, int, (int file, struct stat *info), (file, info), -1, EIO)
WRAP(stat, int, (const char *path, struct stat *info), (path, info), -1, EACCES)
WRAP(opendir, DIR *, (const char *path), (path), NULL, EMFILE)
WRAP(pthread_create, int,
     (pthread_t * thread, const pthread_attr_t *attributes, void *(*run)(void *), void *user),
     (thread, attributes, run, user), EAGAIN, EAGAIN)

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);

int __wrap_open(const char *path, int flags, ...)
{
    va_list more;
    mode_t mode;

    if (fails("open")) {
        errno = EMFILE;
        return -1;
    }
    va_start(more, flags);
    mode = va_arg(more, mode_t); /* not read by open() where there is none */
    va_end(more);
    return __real_open(path, flags, mode);
}
