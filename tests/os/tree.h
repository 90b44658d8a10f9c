/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree.h - a temporary folder of small files that a test reads as if it were /proc and /sys.
 */
#ifndef SNUG_TESTS_OS_TREE_H
#define SNUG_TESTS_OS_TREE_H

#define TREE_PATH_BYTES 512

typedef struct tree {
    char root[TREE_PATH_BYTES];
} tree;

/* Each of these fails the running test when the system refuses. */
void tree_create(tree *tree_out);
/* Write `text` to the file `path` ("/proc/meminfo") of the tree, with its folders. */
void tree_write(const tree *made, const char *path, const char *text);
void tree_make_folder(const tree *made, const char *path);
void tree_remove(tree *made);

/* A test's set-up and tear-down: *state is an empty tree. */
int tree_set_up(void **state);
int tree_tear_down(void **state);

#endif /* SNUG_TESTS_OS_TREE_H */
