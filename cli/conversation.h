/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conversation.h - the messages of a chat, and their JSON file: {"messages": [{"role": ..., "content":
 * ...}]}.
 */
#ifndef SNUG_CLI_CONVERSATION_H
#define SNUG_CLI_CONVERSATION_H

#include <snug/text.h>

#include "base/json.h"

/* Owns its texts. All zero is an empty one. A system message, if any, is the first. */
typedef struct cli_conversation {
    snug_message *message;
    size_t count;
    size_t capacity;
} cli_conversation;

/* `role` must be a constant; `content` is copied. False: no memory. */
SNUG_MUST_CHECK bool cli_conversation_add(cli_conversation *conversation, const char *role,
                                          const char *content);

/* Set, replace or (with an empty text) remove the system message. False: no memory. */
SNUG_MUST_CHECK bool cli_conversation_set_system(cli_conversation *conversation, const char *content);

bool cli_conversation_has_system(const cli_conversation *conversation);

/* Forget all messages after the first `count`. */
void cli_conversation_truncate(cli_conversation *conversation, size_t count);
void cli_conversation_free(cli_conversation *conversation);

/* The messages of {"messages": [...]}, in place of what `conversation` held; else it is left alone. Errors:
 * CORRUPT, NO_MEMORY. */
SNUG_MUST_CHECK snug_status cli_conversation_from_json(cli_conversation *conversation, snug_json root,
                                                       snug_error *error);

/* The file appears complete or not at all. Errors: IO, NO_MEMORY. */
SNUG_MUST_CHECK snug_status cli_conversation_save(const cli_conversation *conversation, const char *path,
                                                  snug_error *error);

/* Replaces what `conversation` held, or leaves it alone and says why. Errors: IO, CORRUPT, NO_MEMORY. */
SNUG_MUST_CHECK snug_status cli_conversation_load(cli_conversation *conversation, const char *path,
                                                  snug_error *error);

#endif /* SNUG_CLI_CONVERSATION_H */
