/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mhd.c - see the header. A pointer to a function is stored as bytes: C has no conversion from an object's
 * address, POSIX promises that they are the same.
 */
#include "server/mhd.h"

#include <dlfcn.h>
#include <string.h>

#include "base/status.h"

#define LIBRARY "libmicrohttpd.so.12"

server_mhd_functions server_mhd;

static bool find(void *function_out, void *library, const char *name)
{
    void *address = dlsym(library, name);

    memcpy(function_out, &address, sizeof address);
    return address != NULL;
}

snug_status server_mhd_load(snug_error *error)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    bool is_whole = library != NULL;

    if (!library)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                  "the server needs " LIBRARY
                  ", which is not on this machine; on Debian it is in the package libmicrohttpd12");
#define FIND(name) is_whole = is_whole && find(&server_mhd.name, library, "MHD_" #name);
    SERVER_MHD_FUNCTIONS(FIND)
#undef FIND
    if (!is_whole)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "the server needs a newer " LIBRARY ": 0.9.75 or later");
    return SNUG_OK;
}
