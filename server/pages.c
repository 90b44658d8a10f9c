/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pages.c - the two pages and what belongs to them: by their exact names, so there is no path to climb. With
 * --web-folder they are read from a folder instead, for whoever works on them.
 */
#include "server/pages.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "server/routes.h"
#include "server/state.h"

static const char *type_of(const char *name)
{
    static const struct {
        const char *ending;
        const char *type;
    } types[] = {
        { ".html", "text/html; charset=utf-8" },
        { ".css", "text/css; charset=utf-8" },
        { ".js", "text/javascript; charset=utf-8" },
        { ".svg", "image/svg+xml" },
    };
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot && i < SNUG_COUNT(types); i++)
        if (strcmp(dot, types[i].ending) == 0)
            return types[i].type;
    return NULL;
}

/* A plain name: letters, digits and ._- , not beginning with a dot. */
static bool is_plain(const char *name)
{
    return name[0] != '.' && name[0] != '\0' &&
           name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] == '\0';
}

static bool read_file(server_buffer *out, const char *folder, const char *name)
{
    char path[4096];
    char block[4096];
    size_t count;
    FILE *file;
    bool is_read = true;

    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return false;
    file = fopen(path, "rb");
    if (!file)
        return false;
    while (is_read && (count = fread(block, 1, sizeof block, file)) > 0)
        is_read = server_buffer_add(out, block, count);
    is_read = is_read && !ferror(file);
    (void)fclose(file);
    if (!is_read)
        server_buffer_free(out);
    return is_read;
}

/* The page of "/chat" is "chat.html". */
static void name_of(char *out, size_t capacity, const char *path)
{
    if (strncmp(path, "/web/", 5) == 0)
        snprintf(out, capacity, "%s", path + 5);
    else
        snprintf(out, capacity, "%s.html", path + 1);
}

enum MHD_Result server_handle_page(server_call *call)
{
    const char *folder = call->server->options.web_folder;
    server_buffer file = { .memory = call->server->options.memory };
    char name[128];
    const char *type;

    name_of(name, sizeof name, call->path);
    type = type_of(name);
    if (folder && type && is_plain(name) && read_file(&file, folder, name))
        return server_reply_page(call, type, &file);
    for (const server_page *page = server_pages; page->name && !folder; page++)
        if (type && strcmp(page->name, name) == 0)
            return server_reply_static(call, type, (const char *)page->data, page->bytes);
    server_refuse(&call->refusal, 404, "not_found", NULL, "there is no page of that name here");
    return server_reply_refusal(call);
}

enum MHD_Result server_handle_home(server_call *call)
{
    return server_reply_elsewhere(call, "/chat");
}
