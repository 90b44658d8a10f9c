/* SPDX-License-Identifier: Apache-2.0 */
#define _XOPEN_SOURCE 700

#include "tests/format/folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void folder_create(char path_out[FOLDER_PATH_BYTES])
{
    const char *parent = getenv("TMPDIR");

    snprintf(path_out, FOLDER_PATH_BYTES, "%s/snug-format-XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(path_out));
}

static void join(char out[FOLDER_PATH_BYTES], const char *folder, const char *name)
{
    const int bytes = snprintf(out, FOLDER_PATH_BYTES, "%s/%s", folder, name);

    assert_true(bytes > 0 && bytes < FOLDER_PATH_BYTES);
}

void folder_write(const char *folder, const char *name, const void *bytes, size_t count)
{
    char path[FOLDER_PATH_BYTES];
    FILE *file;

    join(path, folder, name);
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

void folder_write_text(const char *folder, const char *name, const char *text)
{
    folder_write(folder, name, text, strlen(text));
}

unsigned char *tensors_file(const char *header, size_t data_bytes, size_t *bytes_out)
{
    const size_t header_bytes = strlen(header);
    unsigned char *file = malloc(8 + header_bytes + data_bytes);

    assert_non_null(file);
    for (unsigned i = 0; i < 8; i++)
        file[i] = (unsigned char)((uint64_t)header_bytes >> (8 * i));
    memcpy(file + 8, header, header_bytes);
    for (size_t i = 0; i < data_bytes; i++)
        file[8 + header_bytes + i] = (unsigned char)(i % 251);
    *bytes_out = 8 + header_bytes + data_bytes;
    return file;
}

void folder_write_tensors(const char *folder, const char *name, const char *header, size_t data_bytes)
{
    size_t bytes;
    unsigned char *file = tensors_file(header, data_bytes, &bytes);

    folder_write(folder, name, file, bytes);
    free(file);
}

void folder_make_folder(const char *folder, const char *name)
{
    char path[FOLDER_PATH_BYTES];

    join(path, folder, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

void folder_delete(const char *folder, const char *name)
{
    char path[FOLDER_PATH_BYTES];

    join(path, folder, name);
    assert_int_equal(remove(path), 0);
}

void folder_remove(const char *folder)
{
    DIR *entries = opendir(folder);
    struct dirent *entry;

    assert_non_null(entries);
    while ((entry = readdir(entries)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            folder_delete(folder, entry->d_name);
    closedir(entries);
    assert_int_equal(rmdir(folder), 0);
}
