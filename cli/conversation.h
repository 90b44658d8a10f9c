/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conversation.h - messages as JSON, in files and in notes: {"messages": [{"role": ..., "content": ...}]}.
 */
#ifndef SNUG_CLI_CONVERSATION_H
#define SNUG_CLI_CONVERSATION_H

#include <snug/text.h>

#include "base/json.h"

/* Owns its texts; roles are constants. All zero is an empty list. */
typedef struct cli_messages {
    snug_message *message;
    size_t count;
    size_t capacity;
} cli_messages;

void cli_messages_free(cli_messages *messages);

/* Those of {"messages": [...]} into an empty list. Errors: CORRUPT, NO_MEMORY: it is empty. */
SNUG_MUST_CHECK snug_status cli_messages_from_json(cli_messages *out, snug_json root, snug_error *error);

/* The same from a file. Errors: IO, too. */
SNUG_MUST_CHECK snug_status cli_messages_load(cli_messages *out, const char *path, snug_error *error);

/* The file appears complete or not at all. Errors: IO, NO_MEMORY. */
SNUG_MUST_CHECK snug_status cli_messages_save(const snug_message *messages, size_t count, const char *path,
                                              snug_error *error);

#endif /* SNUG_CLI_CONVERSATION_H */
