/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conversation.c - messages, and who holds them. switch.c moves a conversation, answer.c lets it answer.
 */
#include "catalog/conversation.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "catalog/pool.h"
#include "session/session.h"

/* --- messages ------------------------------------------------------------------------------------------- */

static char *copy(snug_memory *memory, const char *text, snug_error *error)
{
    const size_t bytes = strlen(text) + 1;
    char *out = snug_memory_alloc(memory, SNUG_MEMORY_TEXT, bytes, "a message", error);

    if (out)
        memcpy(out, text, bytes);
    return out;
}

/* snug_message borrows its texts; here they are blocks of the ledger, so they may be given back. */
static void free_text(snug_memory *memory, const char *text)
{
    void *owned;

    memcpy(&owned, &text, sizeof owned);
    snug_memory_free(memory, owned);
}

static void free_message(const snug_conversation *conversation, const snug_message *message)
{
    free_text(conversation->memory, message->role);
    free_text(conversation->memory, message->content);
}

/* Room for one more. */
static snug_status grow(snug_conversation *conversation, snug_error *error)
{
    const size_t capacity = conversation->capacity * 2 + 8;
    snug_message *message;

    if (conversation->count < conversation->capacity)
        return SNUG_OK;
    message = snug_memory_alloc(conversation->memory, SNUG_MEMORY_TEXT, capacity * sizeof *message,
                                "the messages of a conversation", error);
    if (!message)
        return error->status;
    if (conversation->count > 0)
        memcpy(message, conversation->message, conversation->count * sizeof *message);
    snug_memory_free(conversation->memory, conversation->message);
    conversation->message = message;
    conversation->capacity = capacity;
    return SNUG_OK;
}

static snug_status insert(snug_conversation *conversation, size_t at, const char *role, const char *content,
                          snug_error *error)
{
    snug_error own = { SNUG_OK, "" };
    snug_message message;

    if (!error)
        error = &own;
    SNUG_TRY(grow(conversation, error));
    message.role = copy(conversation->memory, role, error);
    message.content = message.role ? copy(conversation->memory, content, error) : NULL;
    if (!message.content) {
        free_text(conversation->memory, message.role);
        return error->status;
    }
    memmove(conversation->message + at + 1, conversation->message + at,
            (conversation->count - at) * sizeof *conversation->message);
    conversation->message[at] = message;
    conversation->count++;
    return SNUG_OK;
}

static void take_out(snug_conversation *conversation, size_t at)
{
    free_message(conversation, &conversation->message[at]);
    conversation->count--;
    memmove(conversation->message + at, conversation->message + at + 1,
            (conversation->count - at) * sizeof *conversation->message);
}

snug_status snug_conversation_add(snug_conversation *conversation, const char *role, const char *content,
                                  snug_error *error)
{
    return insert(conversation, conversation->count, role, content, error);
}

snug_status snug_conversation_set_system(snug_conversation *conversation, const char *content,
                                         snug_error *error)
{
    const size_t old = content[0] ? 1 : 0;

    if (content[0])
        SNUG_TRY(insert(conversation, 0, "system", content, error));
    if (conversation->count > old && strcmp(conversation->message[old].role, "system") == 0)
        take_out(conversation, old);
    return SNUG_OK;
}

snug_status snug_conversation_replace(snug_conversation *conversation, const snug_message *messages,
                                      size_t count, snug_error *error)
{
    const size_t old = conversation->count;

    for (size_t i = 0; i < count; i++) {
        const snug_status status =
            snug_conversation_add(conversation, messages[i].role, messages[i].content, error);

        if (status != SNUG_OK) {
            snug_conversation_truncate(conversation, old);
            return status;
        }
    }
    for (size_t i = 0; i < old; i++)
        take_out(conversation, 0);
    return SNUG_OK;
}

void snug_conversation_truncate(snug_conversation *conversation, size_t count)
{
    while (conversation->count > count)
        take_out(conversation, conversation->count - 1);
}

const snug_message *snug_conversation_messages(const snug_conversation *conversation, size_t *count_out)
{
    *count_out = conversation->count;
    return conversation->message;
}

/* --- tokens --------------------------------------------------------------------------------------------- */

snug_status snug_conversation_encode(uint32_t **ids_out, size_t *count_out,
                                     const snug_conversation *conversation, const snug_text *text,
                                     const char *begun, snug_error *error)
{
    const snug_chat_options options = { .struct_size = sizeof options,
                                        .no_generation_prompt = !begun,
                                        .guards_tokens = true,
                                        .now_unix = conversation->options.now_unix,
                                        .answer_begun = begun && begun[0] ? begun : NULL };
    snug_status status = SNUG_OK;
    char *rendered;
    size_t bytes, bound;

    *ids_out = NULL;
    *count_out = 0;
    SNUG_TRY(
        snug_text_chat(text, &rendered, &bytes, conversation->message, conversation->count, &options, error));
    bound = snug_text_encode_bound(text, bytes);
    *ids_out = snug_memory_alloc(conversation->memory, SNUG_MEMORY_TEXT, bound * sizeof **ids_out,
                                 "the ids of a conversation", error);
    if (!*ids_out)
        status = error->status;
    else
        status =
            snug_text_encode(text, *ids_out, bound, count_out, rendered, bytes, SNUG_ENCODE_GUARDED, error);
    snug_text_free_string(text, rendered);
    if (status != SNUG_OK) {
        snug_memory_free(conversation->memory, *ids_out);
        *ids_out = NULL;
    }
    return status;
}

/* --- the conversation ----------------------------------------------------------------------------------- */

snug_status snug_conversation_create(snug_conversation **conversation_out, snug_pool *pool,
                                     const snug_conversation_options *options, snug_error *error)
{
    snug_memory *memory = snug_pool_memory(pool);
    snug_error own = { SNUG_OK, "" };
    snug_conversation *conversation;

    *conversation_out = NULL;
    if (!error)
        error = &own;
    if (options->checkpoint_path && strlen(options->checkpoint_path) >= SNUG_OS_PATH_BYTES)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "the path of the checkpoint is longer than %d bytes",
                  SNUG_OS_PATH_BYTES - 1);
    conversation =
        snug_memory_alloc(memory, SNUG_MEMORY_OTHER, sizeof *conversation, "a conversation", error);
    if (!conversation)
        return error->status;
    conversation->memory = memory;
    conversation->pool = pool;
    conversation->options = *options;
    conversation->options.load.keep_going = NULL;
    conversation->options.load.on_progress = NULL;
    conversation->answer.memory = memory;
    *conversation_out = conversation;
    return SNUG_OK;
}

static void let_go(snug_conversation *conversation)
{
    snug_session_destroy(conversation->session);
    conversation->session = NULL;
    if (conversation->loaded.model)
        snug_pool_release(conversation->pool, &conversation->loaded);
}

void snug_conversation_destroy(snug_conversation *conversation)
{
    if (!conversation)
        return;
    let_go(conversation);
    snug_conversation_truncate(conversation, 0);
    snug_memory_free(conversation->memory, conversation->message);
    snug_buffer_deinit(&conversation->answer);
    snug_memory_free(conversation->memory, conversation);
}

void snug_conversation_adopt(snug_conversation *conversation, const snug_loaded *loaded,
                             snug_session *session, const char *name)
{
    let_go(conversation);
    conversation->loaded = *loaded;
    conversation->session = session;
    snprintf(conversation->name, sizeof conversation->name, "%s", name);
    conversation->home[0] = '\0';
    conversation->is_smaller_known = false;
    session->relief.release = snug_conversation_release;
    session->relief.release_user = conversation;
}

snug_status snug_conversation_set_strategy(snug_conversation *conversation, snug_strategy strategy,
                                           snug_error *error)
{
    SNUG_TRY(snug_conversation_wake(conversation, error));
    if (conversation->session)
        SNUG_TRY(snug_session_set_strategy(conversation->session, strategy, error));
    conversation->options.session.strategy = strategy;
    return SNUG_OK;
}

snug_session *snug_conversation_session(const snug_conversation *conversation)
{
    return conversation->session;
}

const snug_loaded *snug_conversation_loaded(const snug_conversation *conversation)
{
    return &conversation->loaded;
}

const char *snug_conversation_model(const snug_conversation *conversation)
{
    return conversation->name;
}
