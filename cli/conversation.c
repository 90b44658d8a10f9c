/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conversation.c - see the header.
 */
#include "cli/conversation.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "cli/input.h"

static char *copy(const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *out = malloc(bytes);

    if (out)
        memcpy(out, text, bytes);
    return out;
}

/* snug_message borrows its texts; here they are owned, so they may be freed. */
static void free_content(const snug_message *message)
{
    void *owned;

    memcpy(&owned, &message->content, sizeof owned);
    free(owned);
}

static bool add(cli_messages *messages, const char *role, const char *content)
{
    char *owned = copy(content);

    if (owned && messages->count == messages->capacity) {
        const size_t capacity = messages->capacity * 2 + 8;
        snug_message *message = realloc(messages->message, capacity * sizeof *message);

        if (!message) {
            free(owned);
            return false;
        }
        messages->message = message;
        messages->capacity = capacity;
    }
    if (owned)
        messages->message[messages->count++] = (snug_message){ role, owned };
    return owned != NULL;
}

void cli_messages_free(cli_messages *messages)
{
    while (messages->count > 0)
        free_content(&messages->message[--messages->count]);
    free(messages->message);
    *messages = (cli_messages){ 0 };
}

/* --- file ---------------------------------------------------------------------------------------------- */

static json_t *to_json(const snug_message *messages, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        if (json_array_append_new(list, json_pack("{s:s,s:s}", "role", messages[i].role, "content",
                                                  messages[i].content)) != 0) {
            json_decref(list);
            return NULL;
        }
    return json_pack("{s:o}", "messages", list);
}

snug_status cli_messages_save(const snug_message *messages, size_t count, const char *path, snug_error *error)
{
    json_t *root = to_json(messages, count);
    char partial[4200];
    snug_status status = SNUG_OK;
    FILE *file;

    if (!root)
        SNUG_FAIL(error, SNUG_ERR_NO_MEMORY, "the system has no memory left to write the conversation");
    snprintf(partial, sizeof partial, "%.4000s.partial", path);
    file = fopen(partial, "w");
    if (!file || json_dumpf(root, file, JSON_INDENT(2)) != 0 || fputc('\n', file) == EOF)
        status = snug_fail(error, SNUG_ERR_IO, "cannot write %.300s: %s", path, strerror(errno));
    if (file && fclose(file) != 0 && status == SNUG_OK)
        status = snug_fail(error, SNUG_ERR_IO, "cannot write %.300s: %s", path, strerror(errno));
    if (status == SNUG_OK && rename(partial, path) != 0)
        status = snug_fail(error, SNUG_ERR_IO, "cannot write %.300s: %s", path, strerror(errno));
    if (status != SNUG_OK && file)
        (void)remove(partial);
    json_decref(root);
    return status;
}

/* The constant that a role is: messages point to it. */
static const char *known_role(snug_json role)
{
    static const char *const roles[] = { "system", "user", "assistant", "tool" };

    for (size_t i = 0; i < SNUG_COUNT(roles); i++)
        if (snug_json_string_is(role, roles[i]))
            return roles[i];
    return NULL;
}

static snug_status add_message(cli_messages *messages, snug_json message, snug_error *error)
{
    const char *role = known_role(snug_json_get(message, "role"));
    const snug_json content = snug_json_get(message, "content");
    cli_buffer text = { 0 };
    bool is_added;

    if (!role || snug_json_kind_of(content) != SNUG_JSON_STRING)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "message %zu has no role (system, user, assistant or tool) or no content", messages->count);
    is_added = cli_buffer_add_json_string(&text, content) && add(messages, role, text.data);
    cli_buffer_free(&text);
    if (!is_added)
        SNUG_FAIL(error, SNUG_ERR_NO_MEMORY, "the system has no memory left for the conversation");
    return SNUG_OK;
}

snug_status cli_messages_from_json(cli_messages *out, snug_json root, snug_error *error)
{
    snug_json message;
    snug_json_iterator iterator = snug_json_iterate(snug_json_get(root, "messages"));
    snug_status status = SNUG_OK;

    if (snug_json_kind_of(snug_json_get(root, "messages")) != SNUG_JSON_ARRAY)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "expected {\"messages\": [...]}");
    while (status == SNUG_OK && snug_json_next(&iterator, NULL, &message))
        status = add_message(out, message, error);
    if (status != SNUG_OK)
        cli_messages_free(out);
    return status;
}

snug_status cli_messages_load(cli_messages *out, const char *path, snug_error *error)
{
    cli_buffer file;
    snug_json root;
    snug_status status = cli_read_json(&file, &root, path, error);

    if (status != SNUG_OK)
        return status;
    status = cli_messages_from_json(out, root, error);
    cli_buffer_free(&file);
    return status == SNUG_OK ? SNUG_OK : snug_fail_prefix(error, status, path);
}
