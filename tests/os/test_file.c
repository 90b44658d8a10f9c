/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mapped files, what they say when they cannot be mapped, and lists of folders.
 */
#define _XOPEN_SOURCE 700

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/file.h"
#include "tests/os/tree.h"

static const char *path_in(const tree *fixture, const char *name)
{
    static char path[2 * TREE_PATH_BYTES];

    snprintf(path, sizeof path, "%s/%s", fixture->root, name);
    return path;
}

static void maps_what_the_file_holds(void **state)
{
    snug_os_map map = { NULL, 0 };
    snug_error error = { SNUG_OK, "" };

    tree_write(*state, "/text", "seven b");
    assert_int_equal(snug_os_map_open(&map, path_in(*state, "text"), &error), SNUG_OK);
    assert_int_equal(map.bytes, 7);
    assert_memory_equal(map.data, "seven b", 7);
    snug_os_map_close(&map);
    assert_null(map.data);
    snug_os_map_close(&map); /* again: all zero */
}

static void maps_an_empty_file_to_nothing(void **state)
{
    snug_os_map map = { "x", 9 };

    tree_write(*state, "/empty", "");
    assert_int_equal(snug_os_map_open(&map, path_in(*state, "empty"), NULL), SNUG_OK);
    assert_null(map.data);
    assert_int_equal(map.bytes, 0);
    assert_int_equal(snug_os_map_resident_bytes(&map), 0);
    snug_os_map_close(&map);
}

static void refuses(const char *path, const char *reason)
{
    snug_os_map map = { NULL, 0 };
    snug_error error = { SNUG_OK, "" };

    assert_int_equal(snug_os_map_open(&map, path, &error), SNUG_ERR_IO);
    assert_int_equal(error.status, SNUG_ERR_IO);
    if (!strstr(error.text, reason) || !strstr(error.text, path))
        fail_msg("'%s' does not name '%s' and '%s'", error.text, path, reason);
    assert_null(map.data);
}

static void says_why_a_path_cannot_be_mapped(void **state)
{
    const char *pipe_path = path_in(*state, "pipe");
    char long_path[1000];
    snug_os_map map = { NULL, 0 };
    snug_error error;

    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    refuses(pipe_path, "a pipe"); /* and does not wait for a writer */
    refuses(path_in(*state, "absent"), "No such file");
    refuses("/dev/null", "a device");
    refuses("/", "a folder");
    memset(long_path, 'l', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    assert_int_equal(snug_os_map_open(&map, long_path, &error), SNUG_ERR_IO);
    assert_non_null(strstr(error.text, "too long")); /* the reason is not cut off */
}

/* Bytes of mapped files in this process, by the kernel. */
static uint64_t read_rss_file(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    unsigned long long kilobytes = 0;
    char line[256];

    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "RssFile:", 8) == 0)
            kilobytes = strtoull(line + 8, NULL, 10);
    }
    fclose(file);
    return kilobytes * 1024;
}

static unsigned char byte_at(size_t i)
{
    return (unsigned char)(i * 2654435761u >> 13);
}

static void write_big(const char *path, size_t bytes)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    for (size_t i = 0; i < bytes; i++)
        fputc(byte_at(i), file);
    assert_int_equal(fflush(file), 0);
    assert_int_equal(fsync(fileno(file)), 0); /* the kernel can drop only what is on the disk */
    assert_int_equal(fclose(file), 0);
}

static void assert_holds(const snug_os_map *map)
{
    const unsigned char *bytes = map->data;

    for (size_t i = 0; i < map->bytes; i++) {
        if (bytes[i] != byte_at(i))
            fail_msg("byte %zu is %u, not %u", i, bytes[i], byte_at(i));
    }
}

static void lets_go_of_pages_and_reads_them_again(void **state)
{
    const size_t mib = (size_t)1 << 20;
    const size_t bytes = 24 * mib - 100; /* the last page is not full */
    snug_os_map map = { NULL, 0 };
    uint64_t before;
    uint64_t after;

    write_big(path_in(*state, "big"), bytes);
    assert_int_equal(snug_os_map_open(&map, path_in(*state, "big"), NULL), SNUG_OK);
    assert_holds(&map);
    assert_int_equal(snug_os_map_resident_bytes(&map), bytes);
    before = read_rss_file();
    snug_os_map_dont_need((const char *)map.data + 4 * mib + 1, 16 * mib);
    after = read_rss_file();
    print_message("page cache of the file after dont_need of 16 MiB of 24: %zu MiB\n",
                  snug_os_map_resident_bytes(&map) / mib);
    assert_true(before - after > 15 * mib && before - after <= 16 * mib); /* the neighbours stay */
    assert_true(snug_os_map_resident_bytes(&map) >= bytes - 16 * mib);
    assert_holds(&map);
    snug_os_map_will_need((const char *)map.data + 5, map.bytes - 5);
    snug_os_map_will_need(map.data, 0);
    assert_int_equal(snug_os_map_resident_bytes(&map), bytes);
    snug_os_map_close(&map);
}

/* Whoever may write to a file, as here, may say what of it need not stay in memory. */
static void forgets_a_page_and_knows_it(void **state)
{
    const size_t mib = (size_t)1 << 20;
    snug_os_map map = { NULL, 0 };
    const unsigned char *at;

    write_big(path_in(*state, "apart"), 8 * mib);
    assert_int_equal(snug_os_map_open(&map, path_in(*state, "apart"), NULL), SNUG_OK);
    snug_os_map_in_huge_pages(&map);
    assert_holds(&map);
    snug_os_map_read_around(&map, false);
    at = (const unsigned char *)map.data + 3 * mib + 100;
    assert_true(snug_os_map_is_resident(at, 8000));
    assert_true(snug_os_map_is_resident(map.data, map.bytes));
    assert_true(snug_os_map_is_resident(at, 0));
    snug_os_map_forget(at, 8000); /* two pages, or three */
    print_message("after forgetting 8000 bytes of 8 MiB %zu bytes are not in memory\n",
                  map.bytes - snug_os_map_resident_bytes(&map));
    assert_int_equal(snug_os_map_is_resident(at, 8000), snug_os_map_resident_bytes(&map) == map.bytes);
    assert_true(snug_os_map_is_resident(map.data, mib));
    assert_holds(&map);
    assert_true(snug_os_map_is_resident(at, 8000));
    snug_os_map_close(&map);
    snug_os_map_in_huge_pages(&map); /* all zero */
}

static void tells_folders_from_files(void **state)
{
    tree_write(*state, "/folder/file", "x");
    assert_true(snug_os_is_folder(path_in(*state, "folder")));
    assert_false(snug_os_is_file(path_in(*state, "folder")));
    assert_true(snug_os_is_file(path_in(*state, "folder/file")));
    assert_false(snug_os_is_folder(path_in(*state, "folder/file")));
    assert_false(snug_os_is_file(path_in(*state, "absent")));
    assert_false(snug_os_is_folder(path_in(*state, "absent")));
}

typedef struct listing {
    size_t count;
    size_t stop_after;
    bool has_one;
    bool has_two;
} listing;

static bool visit(void *user, const char *name)
{
    listing *seen = user;

    seen->count++;
    seen->has_one |= strcmp(name, "model-1.bin") == 0;
    seen->has_two |= strcmp(name, "model-22.bin") == 0;
    return seen->count != seen->stop_after;
}

static void lists_names_with_both_ends(void **state)
{
    static const char *const names[] = { "/model-1.bin", "/model-22.bin", "/model-1.txt", "/odel-1.bin",
                                         "/model.bin",   "/el-.bin",      "/model-" };
    listing seen = { 0 };
    listing first = { .stop_after = 1 };
    listing all = { 0 };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        tree_write(*state, names[i], "");
    assert_true(snug_os_list_folder(path_in(*state, ""), "model-", ".bin", visit, &seen));
    assert_int_equal(seen.count, 2);
    assert_true(seen.has_one && seen.has_two);
    assert_true(snug_os_list_folder(path_in(*state, ""), "model-", ".bin", visit, &first));
    assert_int_equal(first.count, 1);
    assert_true(snug_os_list_folder(path_in(*state, ""), "", "", visit, &all));
    assert_int_equal(all.count, sizeof names / sizeof names[0]); /* without "." and ".." */
    assert_false(snug_os_list_folder(path_in(*state, "absent"), "", "", visit, &all));
}

#define TREE_TEST(name) cmocka_unit_test_setup_teardown(name, tree_set_up, tree_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TREE_TEST(maps_what_the_file_holds),         TREE_TEST(maps_an_empty_file_to_nothing),
        TREE_TEST(says_why_a_path_cannot_be_mapped), TREE_TEST(lets_go_of_pages_and_reads_them_again),
        TREE_TEST(forgets_a_page_and_knows_it),      TREE_TEST(tells_folders_from_files),
        TREE_TEST(lists_names_with_both_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
