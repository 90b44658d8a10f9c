/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are replaced as a whole or not at all, by what is in the folder afterwards.
 */
#define _XOPEN_SOURCE 700

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/replace.h"
#include "tests/os/tree.h"

static tree folder;

static int set_up(void **state)
{
    (void)state;
    tree_create(&folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tree_remove(&folder);
    return 0;
}

static const char *path_of(const char *name)
{
    static char path[2 * TREE_PATH_BYTES];

    snprintf(path, sizeof path, "%s/%s", folder.root, name);
    return path;
}

static void assert_file_is(const char *path, const char *text)
{
    char read[64] = "";
    FILE *file = fopen(path, "rb");

    assert_non_null(file);
    (void)fread(read, 1, sizeof read - 1, file);
    fclose(file);
    assert_string_equal(read, text);
}

static void assert_nothing_is_left(const char *path)
{
    char partial[3 * TREE_PATH_BYTES];

    snprintf(partial, sizeof partial, "%s.partial", path);
    assert_int_not_equal(access(partial, F_OK), 0);
}

static snug_status write_all(const char *path, const char *text, snug_error *error)
{
    snug_os_replace replace;
    snug_status status = snug_os_replace_begin(&replace, path, error);

    if (status != SNUG_OK)
        return status;
    status = snug_os_replace_write(&replace, text, strlen(text), error);
    if (status != SNUG_OK) {
        snug_os_replace_cancel(&replace);
        return status;
    }
    return snug_os_replace_end(&replace, error);
}

static void the_new_file_takes_the_place_of_the_old_one(void **state)
{
    const char *path = path_of("a");
    struct stat info;

    (void)state;
    assert_int_equal(write_all(path, "first", NULL), SNUG_OK);
    assert_file_is(path, "first");
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(write_all(path, "2nd", NULL), SNUG_OK);
    assert_file_is(path, "2nd");
    assert_nothing_is_left(path);
}

static void a_cancelled_one_leaves_the_old_file(void **state)
{
    const char *path = path_of("b");
    snug_os_replace replace;

    (void)state;
    assert_int_equal(write_all(path, "old", NULL), SNUG_OK);
    assert_int_equal(snug_os_replace_begin(&replace, path, NULL), SNUG_OK);
    assert_int_equal(snug_os_replace_write(&replace, "new", 3, NULL), SNUG_OK);
    assert_file_is(path, "old");
    snug_os_replace_cancel(&replace);
    assert_file_is(path, "old");
    assert_nothing_is_left(path);
}

/* How a process of its own ends that runs this. */
static int end_of(int (*run)(const char *path), const char *path)
{
    const pid_t child = fork();
    int end;

    assert_true(child >= 0);
    if (child == 0)
        _exit(run(path));
    assert_int_equal(waitpid(child, &end, 0), child);
    return end;
}

static int be_killed_while_writing(const char *path)
{
    snug_os_replace replace;

    if (snug_os_replace_begin(&replace, path, NULL) == SNUG_OK &&
        snug_os_replace_write(&replace, "a longer new one", 16, NULL) == SNUG_OK)
        raise(SIGKILL);
    return 1;
}

static void a_killed_writer_leaves_the_old_file_and_no_lock(void **state)
{
    const char *path = path_of("c");

    (void)state;
    assert_int_equal(write_all(path, "old", NULL), SNUG_OK);
    assert_true(WIFSIGNALED(end_of(be_killed_while_writing, path)));
    assert_file_is(path, "old");
    assert_int_equal(write_all(path, "new", NULL), SNUG_OK);
    assert_file_is(path, "new");
    assert_nothing_is_left(path);
}

static void a_new_file_never_takes_the_place_of_another(void **state)
{
    const char *path = path_of("new");
    snug_os_replace replace;
    snug_error error = { SNUG_OK, "" };
    struct stat info;

    (void)state;
    assert_int_equal(snug_os_replace_begin(&replace, path, NULL), SNUG_OK);
    assert_int_equal(snug_os_replace_write(&replace, "first", 5, NULL), SNUG_OK);
    assert_int_equal(snug_os_replace_end_new(&replace, NULL), SNUG_OK);
    assert_file_is(path, "first");
    assert_nothing_is_left(path);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(info.st_nlink, 1);
    assert_int_equal(snug_os_replace_begin(&replace, path, NULL), SNUG_OK);
    assert_int_equal(snug_os_replace_write(&replace, "second", 6, NULL), SNUG_OK);
    assert_int_equal(snug_os_replace_end_new(&replace, &error), SNUG_ERR_IO);
    assert_non_null(strstr(error.text, "File exists"));
    assert_file_is(path, "first");
    assert_nothing_is_left(path);
}

/* Killed between giving the name and taking the other one away: both are the same file. */
static void a_complete_file_with_two_names_is_not_written_to(void **state)
{
    char partial[3 * TREE_PATH_BYTES];
    const char *path = path_of("twice");
    snug_os_replace replace;

    (void)state;
    assert_int_equal(write_all(path, "complete", NULL), SNUG_OK);
    snprintf(partial, sizeof partial, "%s.partial", path);
    assert_int_equal(link(path, partial), 0);
    assert_int_equal(snug_os_replace_begin(&replace, path, NULL), SNUG_OK);
    assert_int_equal(snug_os_replace_write(&replace, "other", 5, NULL), SNUG_OK);
    assert_file_is(path, "complete");
    snug_os_replace_cancel(&replace);
    assert_file_is(path, "complete");
    assert_nothing_is_left(path);
}

static void two_writers_at_once_are_told(void **state)
{
    const char *path = path_of("d");
    snug_os_replace replace;
    snug_error error = { SNUG_OK, "" };

    (void)state;
    assert_int_equal(snug_os_replace_begin(&replace, path, NULL), SNUG_OK);
    assert_int_equal(write_all(path, "other", &error), SNUG_ERR_IO);
    assert_non_null(strstr(error.text, "another process"));
    assert_int_equal(snug_os_replace_write(&replace, "mine", 4, NULL), SNUG_OK);
    assert_int_equal(snug_os_replace_end(&replace, NULL), SNUG_OK);
    assert_file_is(path, "mine");
}

/* The limit on a file's size ends a write as a full disk does. */
static int write_too_much(const char *path)
{
    const struct rlimit small = { 8, 8 };
    snug_error error = { SNUG_OK, "" };

    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &small) != 0)
        return 1;
    return write_all(path, "longer than eight", &error) == SNUG_ERR_IO && strstr(error.text, path) ? 0 : 2;
}

static void a_full_disk_leaves_the_old_file(void **state)
{
    const char *path = path_of("e");

    (void)state;
    assert_int_equal(write_all(path, "old", NULL), SNUG_OK);
    assert_int_equal(end_of(write_too_much, path), 0);
    assert_file_is(path, "old");
    assert_nothing_is_left(path);
}

static void what_is_no_file_is_refused(void **state)
{
    char longer[SNUG_OS_PATH_BYTES + 1];
    snug_error error = { SNUG_OK, "" };

    (void)state;
    assert_int_equal(write_all(folder.root, "x", &error), SNUG_ERR_IO);
    assert_non_null(strstr(error.text, "not a file"));
    assert_int_equal(write_all(path_of("no/such/folder"), "x", &error), SNUG_ERR_IO);
    assert_non_null(strstr(error.text, "No such file"));
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(write_all(longer, "x", &error), SNUG_ERR_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_new_file_takes_the_place_of_the_old_one),
        cmocka_unit_test(a_cancelled_one_leaves_the_old_file),
        cmocka_unit_test(a_killed_writer_leaves_the_old_file_and_no_lock),
        cmocka_unit_test(two_writers_at_once_are_told),
        cmocka_unit_test(a_new_file_never_takes_the_place_of_another),
        cmocka_unit_test(a_complete_file_with_two_names_is_not_written_to),
        cmocka_unit_test(a_full_disk_leaves_the_old_file),
        cmocka_unit_test(what_is_no_file_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
