/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit_cases.c - the unit tests that run in the browser: the pages' modules and the tests' lie in one folder,
 * which a second server shows.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "cases.h"

/* Links to all files of a folder. */
static void link_all(const char *from, const char *to)
{
    DIR *folder = opendir(from);
    const struct dirent *entry;
    char source[1024], target[1024];

    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(source, sizeof source, "%s/%s", from, entry->d_name);
        snprintf(target, sizeof target, "%s/%s", to, entry->d_name);
        assert_int_equal(symlink(source, target), 0);
    }
    (void)closedir(folder);
}

static void remove_all(const char *path)
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    char name[1024];

    while (folder && (entry = readdir(folder)) != NULL) {
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        (void)unlink(name);
    }
    if (folder)
        (void)closedir(folder);
    (void)rmdir(path);
}

static void run_unit(const char *name)
{
    char folder[] = "/tmp/snug-web-XXXXXX";
    const char *const words[] = { "--model", getenv("MODEL"), "--web-folder", folder, NULL };
    web_server server;
    char script[256], url[256];
    json_t *result;

    assert_non_null(mkdtemp(folder));
    link_all(getenv("PAGES"), folder);
    link_all(getenv("UNITS"), folder);
    web_server_start(&server, words);
    snprintf(url, sizeof url, "%s/chat", server.url);
    web_go(url);
    snprintf(script, sizeof script, "return import('/web/%s.js').then((unit) => unit.run())", name);
    result = web_run(script, NULL);
    web_go("about:blank");
    web_server_stop(&server);
    remove_all(folder);
    if (json_array_size(json_object_get(result, "failures")) > 0)
        fail_msg("%s: %s", name, json_dumps(json_object_get(result, "failures"), JSON_INDENT(1)));
    assert_true(json_integer_value(json_object_get(result, "count")) > 500);
    json_decref(result);
}

void markdown_is_elements_and_hostile_text_stays_text(void **state)
{
    (void)state;
    run_unit("unit_markdown");
}

void what_is_kept_is_read_back_or_left_alone(void **state)
{
    (void)state;
    run_unit("unit_store");
}
