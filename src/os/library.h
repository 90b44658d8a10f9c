/* SPDX-License-Identifier: Apache-2.0 */
/*
 * library.h - a shared library that is loaded only when it is needed, and what it exports.
 */
#ifndef SNUG_SRC_OS_LIBRARY_H
#define SNUG_SRC_OS_LIBRARY_H

#include <stdbool.h>

/* Load it by its file's name, "libcurl.so.4"; NULL when it is not there. It stays until the program ends. */
void *snug_os_library_load(const char *name);

/* Store the address of a function in the pointer at `function_out`; false when the library has none. */
bool snug_os_library_find(void *function_out, void *library, const char *name);

#endif /* SNUG_SRC_OS_LIBRARY_H */
