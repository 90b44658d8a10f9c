/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.c - see tree.h.
 */
#define _XOPEN_SOURCE 700

#include "tests/os/tree.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

void tree_create(tree *tree_out)
{
    const char *base = getenv("TMPDIR");

    snprintf(tree_out->root, sizeof tree_out->root, "%.400s/snug-tree-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(tree_out->root));
}

void tree_make_folder(const tree *made, const char *path)
{
    char full[4 * TREE_PATH_BYTES];

    snprintf(full, sizeof full, "%s%s", made->root, path);
    for (char *slash = full + strlen(made->root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        (void)mkdir(full, 0700); /* there already, or the last one tells */
        *slash = '/';
    }
    (void)mkdir(full, 0700);
}

void tree_write(const tree *made, const char *path, const char *text)
{
    char full[4 * TREE_PATH_BYTES];
    char folder[2 * TREE_PATH_BYTES];
    FILE *file;

    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = '\0';
    tree_make_folder(made, folder);
    snprintf(full, sizeof full, "%s%s", made->root, path);
    file = fopen(full, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

void tree_remove(tree *made)
{
    assert_int_equal(nftw(made->root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

int tree_set_up(void **state)
{
    static tree fixture;

    tree_create(&fixture);
    *state = &fixture;
    return 0;
}

int tree_tear_down(void **state)
{
    tree_remove(*state);
    return 0;
}
