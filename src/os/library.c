/* SPDX-License-Identifier: Apache-2.0 */
/*
 * library.c - library.h on dlopen. A pointer to a function is stored as bytes: C has no conversion from an
 * object's address, POSIX promises that they are the same.
 */
#define _DEFAULT_SOURCE

#include "os/library.h"

#include <dlfcn.h>
#include <string.h>

void *snug_os_library_load(const char *name)
{
    return dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

bool snug_os_library_find(void *function_out, void *library, const char *name)
{
    void *address = dlsym(library, name);

    memcpy(function_out, &address, sizeof address);
    return address != NULL;
}
