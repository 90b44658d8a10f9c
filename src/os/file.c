/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.c - file.h on open, mmap and madvise.
 */
#define _DEFAULT_SOURCE

#include "os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/size.h"
#include "base/status.h"
#include "os/pages.h"
#include "os/read.h"

#if defined(__linux__) && !defined(MADV_POPULATE_READ)
#    define MADV_POPULATE_READ 22 /* Linux 5.14; unknown to glibc before 2.35 */
#endif

/* Long paths are cut in sentences, so that the reason behind them is not. */
#define PATH_IN_SENTENCE "'%.300s'"

static snug_status fail_with_errno(snug_error *error, const char *verb, const char *path, int code)
{
    char reason[128];

    snug_os_error_text(code, reason, sizeof reason);
    return snug_fail(error, SNUG_ERR_IO, "cannot %s " PATH_IN_SENTENCE ": %s", verb, path, reason);
}

static const char *kind_name(mode_t mode)
{
    if (S_ISDIR(mode))
        return "a folder";
    if (S_ISCHR(mode) || S_ISBLK(mode))
        return "a device";
    if (S_ISFIFO(mode))
        return "a pipe";
    return "a socket or something else";
}

snug_status snug_os_map_open(snug_os_map *map_out, const char *path, snug_error *error)
{
    snug_status status = SNUG_OK;
    struct stat info;
    void *data = NULL;
    /* O_NONBLOCK: opening a pipe must not wait for its writer. It means nothing for a regular file. */
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (file < 0)
        return fail_with_errno(error, "open", path, errno);
    if (fstat(file, &info) != 0) {
        status = fail_with_errno(error, "look at", path, errno);
        goto done;
    }
    if (!S_ISREG(info.st_mode)) {
        status = snug_fail(error, SNUG_ERR_IO, PATH_IN_SENTENCE " is %s, not a file", path,
                           kind_name(info.st_mode));
        goto done;
    }
    if (info.st_size > 0) {
        data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, file, 0);
        if (data == MAP_FAILED) {
            status = fail_with_errno(error, "map", path, errno);
            goto done;
        }
    }
    map_out->data = data;
    map_out->bytes = (size_t)info.st_size;
done:
    close(file);
    return status;
}

/* The system's calls take pointers to what may change; a read-only map goes in as it is. */
static void *mutable_address(const void *address)
{
    return (void *)(uintptr_t)address;
}

void snug_os_map_close(snug_os_map *map)
{
    if (map->data)
        munmap(mutable_address(map->data), map->bytes);
    *map = (snug_os_map){ NULL, 0 };
}

void snug_os_map_will_need(const void *at, size_t bytes)
{
    uintptr_t page = snug_os_page_bytes();
    uintptr_t begin = (uintptr_t)at & ~(page - 1);
    uintptr_t end = snug_round_up((uintptr_t)at + bytes, page);

    if (bytes > 0)
        (void)madvise((void *)begin, end - begin, MADV_WILLNEED);
}

/* Only pages that lie inside the range: the neighbours' may be in use. */
void snug_os_map_unmap(const void *at, size_t bytes)
{
    uintptr_t page = snug_os_page_bytes();
    uintptr_t begin = snug_round_up((uintptr_t)at, page);
    uintptr_t end = ((uintptr_t)at + bytes) & ~(page - 1);

    if (end > begin)
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}

bool snug_os_map_populate(const void *at, size_t bytes)
{
    uintptr_t page = snug_os_page_bytes();
    uintptr_t begin = (uintptr_t)at & ~(page - 1);
    uintptr_t end = snug_round_up((uintptr_t)at + bytes, page);

    return madvise((void *)begin, end - begin, MADV_POPULATE_READ) == 0;
}

/* Whole pages. */
static void drop(uintptr_t begin, uintptr_t end)
{
    if (end <= begin)
        return;
#ifdef MADV_PAGEOUT
    /* Drops the pages from the page cache, and with them the control group's charge. */
    (void)madvise((void *)begin, end - begin, MADV_PAGEOUT);
#endif
    /* What the kernel kept, or all where it knows no MADV_PAGEOUT, at least leaves this process. */
    (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}

/* Only pages that lie inside the range: the neighbours' may be in use. */
void snug_os_map_dont_need(const void *at, size_t bytes)
{
    uintptr_t page = snug_os_page_bytes();

    drop(snug_round_up((uintptr_t)at, page), ((uintptr_t)at + bytes) & ~(page - 1));
}

void snug_os_map_forget(const void *at, size_t bytes)
{
    uintptr_t page = snug_os_page_bytes();

    drop((uintptr_t)at & ~(page - 1), snug_round_up((uintptr_t)at + bytes, page));
}

bool snug_os_map_is_resident(const void *at, size_t bytes)
{
    uintptr_t page = snug_os_page_bytes();
    uintptr_t end = (uintptr_t)at + bytes;
    unsigned char is_there = 1;

    for (uintptr_t next = (uintptr_t)at & ~(page - 1); next < end && (is_there & 1) != 0; next += page)
        if (mincore((void *)next, page, &is_there) != 0)
            return false;
    return (is_there & 1) != 0;
}

void snug_os_map_in_huge_pages(const snug_os_map *map)
{
#ifdef MADV_HUGEPAGE
    if (map->data)
        (void)madvise(mutable_address(map->data), map->bytes, MADV_HUGEPAGE);
#else
    (void)map;
#endif
}

void snug_os_map_read_around(const snug_os_map *map, bool is_wanted)
{
    if (map->data)
        (void)madvise(mutable_address(map->data), map->bytes, is_wanted ? MADV_NORMAL : MADV_RANDOM);
}

size_t snug_os_map_resident_bytes(const snug_os_map *map)
{
    unsigned char pages[4096];
    size_t page = snug_os_page_bytes();
    size_t resident = 0;

    for (size_t offset = 0; offset < map->bytes; offset += sizeof pages * page) {
        size_t bytes = snug_min_size(map->bytes - offset, sizeof pages * page);
        const unsigned char *at = (const unsigned char *)map->data + offset;

        if (mincore(mutable_address(at), bytes, pages) != 0)
            break;
        for (size_t i = 0; i < snug_divide_up(bytes, page); i++)
            resident += (pages[i] & 1) ? snug_min_size(page, bytes - i * page) : 0;
    }
    return resident;
}

bool snug_os_is_folder(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool snug_os_is_file(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

static bool has_ends(const char *name, const char *prefix, const char *suffix)
{
    size_t name_length = strlen(name);
    size_t prefix_length = strlen(prefix);
    size_t suffix_length = strlen(suffix);

    return name_length >= prefix_length + suffix_length && memcmp(name, prefix, prefix_length) == 0 &&
           memcmp(name + name_length - suffix_length, suffix, suffix_length) == 0;
}

bool snug_os_list_folder(const char *path, const char *prefix, const char *suffix, snug_os_visit_fn visit,
                         void *user)
{
    const struct dirent *entry;
    DIR *folder = opendir(path);

    if (!folder)
        return false;
    while ((entry = readdir(folder))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (has_ends(entry->d_name, prefix, suffix) && !visit(user, entry->d_name))
            break;
    }
    closedir(folder);
    return true;
}
