/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pages.h - the files of server/web, as the build has put them into the program.
 */
#ifndef SNUG_SERVER_PAGES_H
#define SNUG_SERVER_PAGES_H

#include <stddef.h>

typedef struct server_page {
    const char *name; /* "chat.html" */
    const unsigned char *data;
    size_t bytes;
} server_page;

/* Made by cmake/embed.cmake. Ends with a row whose name is NULL. */
extern const server_page server_pages[];

#endif /* SNUG_SERVER_PAGES_H */
