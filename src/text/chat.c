/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat.c - conversations to prompts: finds the model's template, and tells it what Hugging Face's
 * apply_chat_template() tells: messages, add_generation_prompt, tools, documents, names of special tokens.
 */
#include "text/tables.h"

#include "base/status.h"
#include "base/utf8.h"
#include "text/character.h"

/* Special tokens that tokenizer_config.json may name; templates see them under these names. */
static const char *const token_names[] = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
};

/* --- reading ------------------------------------------------------------------------------------------- */

/* A named token is a string or an object with its content; absent for null and anything else. */
static snug_json token_string(snug_json config, const char *name)
{
    const snug_json value = snug_json_get(config, name);
    const snug_json content = snug_json_get(value, "content");

    if (snug_json_kind_of(value) == SNUG_JSON_STRING)
        return value;
    return snug_json_kind_of(content) == SNUG_JSON_STRING ? content : (snug_json){ NULL };
}

uint32_t snug_chat_token_id(const snug_text *text, snug_json config, const char *name)
{
    const snug_str raw = snug_json_string(token_string(config, name));
    char content[512];
    const snug_added_token *added;
    snug_str token = { content, 0 };

    if (!raw.data || raw.bytes > sizeof content)
        return SNUG_ID_NONE;
    token.bytes = snug_json_unescape(content, raw);
    added = snug_added_by_content(text, token);
    return added ? added->id : snug_vocabulary_find(text, token);
}

/* "bos_token":"<s>", for each name: strings as the file writes them are JSON already. */
static size_t write_names(char *out, snug_json config)
{
    size_t bytes = 0;

    for (size_t i = 0; i < SNUG_COUNT(token_names); i++) {
        const snug_json value = token_string(config, token_names[i]);
        const snug_str parts[] = {
            { "\"", 1 }, snug_str_from(token_names[i]), { "\":", 2 }, snug_json_text(value), { ",", 1 }
        };

        for (size_t j = 0; snug_json_kind_of(value) == SNUG_JSON_STRING && j < SNUG_COUNT(parts); j++) {
            if (out)
                memcpy(out + bytes, parts[j].data, parts[j].bytes);
            bytes += parts[j].bytes;
        }
    }
    return bytes;
}

static snug_status read_names(snug_text *text, snug_json config, snug_error *error)
{
    const size_t bytes = write_names(NULL, config);

    if (bytes == 0)
        return SNUG_OK;
    text->names = snug_memory_alloc(text->memory, SNUG_MEMORY_TEXT, bytes, "names of special tokens", error);
    if (!text->names)
        return error ? error->status : SNUG_ERR_OVER_LIMIT;
    text->names_bytes = write_names(text->names, config);
    return SNUG_OK;
}

/* chat_template is a string, or a list of {name, template} with one "default". */
static snug_json template_string(snug_json config)
{
    const snug_json value = snug_json_get(config, "chat_template");
    snug_json_iterator iterator = snug_json_iterate(value);
    snug_json item;

    if (snug_json_kind_of(value) != SNUG_JSON_ARRAY)
        return value;
    while (snug_json_next(&iterator, NULL, &item)) {
        if (snug_json_string_is(snug_json_get(item, "name"), "default"))
            return snug_json_get(item, "template");
    }
    return (snug_json){ NULL };
}

static snug_status create_from_json(snug_text *text, snug_json value, snug_error *error)
{
    const snug_str raw = snug_json_string(value);
    snug_buffer source = { .memory = text->memory };
    snug_status status;

    if (snug_json_kind_of(value) == SNUG_JSON_ABSENT || snug_json_kind_of(value) == SNUG_JSON_NULL)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "the model has no chat template");
    if (snug_json_kind_of(value) != SNUG_JSON_STRING)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "chat_template should be a string, but is %s",
                  snug_json_kind_name(snug_json_kind_of(value)));
    SNUG_TRY(snug_buffer_restart(&source, raw.bytes, error));
    source.bytes = snug_json_unescape(source.data, raw);
    status = snug_template_create(&text->chat, text->memory, snug_buffer_str(&source), error);
    snug_buffer_deinit(&source);
    return status;
}

snug_status snug_chat_read(snug_text *text, snug_str source, snug_json config, snug_error *error)
{
    snug_status status;

    SNUG_TRY(read_names(text, config, error));
    if (source.bytes > 0)
        status = snug_template_create(&text->chat, text->memory, source, &text->chat_error);
    else
        status = create_from_json(text, template_string(config), &text->chat_error);
    if (status == SNUG_ERR_OVER_LIMIT || status == SNUG_ERR_NO_MEMORY)
        SNUG_FAIL(error, status, "%s", text->chat_error.text);
    return SNUG_OK; /* a template that cannot be read is told when somebody wants to chat */
}

void snug_chat_deinit(snug_text *text)
{
    snug_template_destroy(text->chat);
    snug_memory_free(text->memory, text->names);
}

bool snug_text_has_chat(const snug_text *text, snug_error *error)
{
    if (!text->chat && error)
        *error = text->chat_error;
    return text->chat != NULL;
}

/* --- rendering ----------------------------------------------------------------------------------------- */

static snug_status append(snug_buffer *json, const char *text, snug_error *error)
{
    return snug_buffer_append(json, snug_str_from(text), error);
}

/* Whether a special token begins at `at`. */
static bool is_special_at(const snug_text *text, snug_str content, size_t at)
{
    const unsigned char first = (unsigned char)content.data[at];

    if (!(text->added_raw.first_bytes[first / 8] >> (first % 8) & 1))
        return false;
    for (uint32_t i = 0; i < text->added_count; i++) {
        const snug_str name = snug_added_content(text, &text->added[i]);

        if (text->added[i].is_special && name.bytes > 0 && name.bytes <= content.bytes - at &&
            memcmp(content.data + at, name.data, name.bytes) == 0)
            return true;
    }
    return false;
}

/* The content with a mark behind the first character of each special token. */
static snug_status guard(snug_buffer *out, const snug_text *text, snug_str content, snug_error *error)
{
    size_t done = 0;

    for (size_t at = 0; at < content.bytes; at++) {
        size_t length;

        if (!is_special_at(text, content, at))
            continue;
        (void)snug_utf8_read(&length, content.data + at);
        SNUG_TRY(snug_buffer_append(out, (snug_str){ content.data + done, at + length - done }, error));
        SNUG_TRY(append(out, SNUG_TEXT_GUARD, error));
        done = at + length;
    }
    return snug_buffer_append(out, (snug_str){ content.data + done, content.bytes - done }, error);
}

static snug_status append_guarded(snug_buffer *json, const snug_text *text, snug_str content,
                                  snug_error *error)
{
    snug_buffer guarded = { .memory = text->memory };
    snug_status status = guard(&guarded, text, content, error);

    if (status == SNUG_OK)
        status = snug_buffer_append_json(json, snug_buffer_str(&guarded), error);
    snug_buffer_deinit(&guarded);
    return status;
}

/* `guarding` has the special tokens to mark; NULL: none are marked. */
static snug_status append_message_part(snug_buffer *json, const char *key, const char *text, size_t index,
                                       const snug_text *guarding, snug_error *error)
{
    const snug_str value = snug_str_from(text ? text : "");
    const size_t valid = snug_utf8_valid_bytes(value.data, value.bytes);

    if (!text || valid < value.bytes)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "the %s of message %zu %s (at byte %zu)", key, index,
                  text ? "is not UTF-8" : "is missing", valid);
    SNUG_TRY(snug_buffer_append_json(json, snug_str_from(key), error));
    SNUG_TRY(append(json, ":", error));
    return guarding ? append_guarded(json, guarding, value, error)
                    : snug_buffer_append_json(json, value, error);
}

static snug_status append_messages(snug_buffer *json, const snug_message *messages, size_t count,
                                   const snug_text *guarding, snug_error *error)
{
    SNUG_TRY(append(json, "\"messages\":[", error));
    for (size_t i = 0; i < count; i++) {
        SNUG_TRY(append(json, i > 0 ? ",{" : "{", error));
        SNUG_TRY(append_message_part(json, "role", messages[i].role, i, guarding, error));
        SNUG_TRY(append(json, ",", error));
        SNUG_TRY(append_message_part(json, "content", messages[i].content, i, guarding, error));
        SNUG_TRY(append(json, "}", error));
    }
    return append(json, "],", error);
}

/* The caller's variables: members of a JSON object, without its braces. */
static snug_status check_variables(snug_str *members_out, const char *variables, snug_error *error)
{
    snug_json root;
    snug_str text;

    *members_out = (snug_str){ NULL, 0 };
    if (!variables)
        return SNUG_OK;
    if (snug_json_check(&root, snug_str_from(variables), error) != SNUG_OK)
        return snug_fail_prefix(error, SNUG_ERR_ARGUMENT, "variables_json");
    if (snug_json_kind_of(root) != SNUG_JSON_OBJECT)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "variables_json should be an object, but is %s",
                  snug_json_kind_name(snug_json_kind_of(root)));
    text = snug_json_text(root);
    if (snug_json_count(root) > 0)
        *members_out = (snug_str){ text.data + 1, text.bytes - 2 };
    return SNUG_OK;
}

/* The whole input. Of two members with one name the last counts, so the caller's variables come last. */
static snug_status write_input(snug_buffer *json, const snug_text *text, const snug_message *messages,
                               size_t message_count, const snug_chat_options *options, snug_error *error)
{
    snug_str variables;

    SNUG_TRY(check_variables(&variables, options->variables_json, error));
    SNUG_TRY(append(json, "{", error));
    SNUG_TRY(append_messages(json, messages, message_count, options->guards_tokens ? text : NULL, error));
    SNUG_TRY(append(json, "\"tools\":null,\"documents\":null,", error));
    SNUG_TRY(snug_buffer_append(json, (snug_str){ text->names, text->names_bytes }, error));
    SNUG_TRY(append(json, "\"add_generation_prompt\":", error));
    SNUG_TRY(append(json, options->no_generation_prompt ? "false" : "true", error));
    SNUG_TRY(append(json, variables.bytes > 0 ? "," : "", error));
    SNUG_TRY(snug_buffer_append(json, variables, error));
    return append(json, "}", error);
}

snug_status snug_text_set_chat_template(snug_text *text, const char *source, size_t bytes, snug_error *error)
{
    const size_t valid = snug_utf8_valid_bytes(source, bytes);
    snug_template *chat;

    if (valid < bytes)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the chat template is not UTF-8 (at byte %zu)", valid);
    SNUG_TRY(snug_template_create(&chat, text->memory, (snug_str){ source, bytes }, error));
    snug_template_destroy(text->chat);
    text->chat = chat;
    return SNUG_OK;
}

/* The rendered conversation with what the assistant has said so far. */
static snug_status add_answer(char **rendered, size_t *bytes, const snug_text *text,
                              const snug_chat_options *options, snug_error *error)
{
    const snug_str begun = snug_str_from(options->answer_begun);
    snug_buffer out = { .memory = text->memory };
    snug_status status = snug_buffer_append(&out, (snug_str){ *rendered, *bytes }, error);

    if (status == SNUG_OK)
        status =
            options->guards_tokens ? guard(&out, text, begun, error) : snug_buffer_append(&out, begun, error);
    if (status == SNUG_OK)
        status = snug_buffer_append(&out, (snug_str){ "", 1 }, error); /* terminated */
    snug_memory_free(text->memory, *rendered);
    *rendered = NULL;
    *bytes = 0;
    if (status != SNUG_OK) {
        snug_buffer_deinit(&out);
        return status;
    }
    *rendered = out.data;
    *bytes = out.bytes - 1;
    return SNUG_OK;
}

snug_status snug_text_chat(const snug_text *text, char **rendered_out, size_t *bytes_out,
                           const snug_message *messages, size_t message_count,
                           const snug_chat_options *options, snug_error *error)
{
    const snug_chat_options defaults = { .struct_size = sizeof defaults };
    snug_buffer json = { .memory = text->memory };
    snug_template_input input = { 0 };
    snug_status status;

    *rendered_out = NULL;
    *bytes_out = 0;
    if (!text->chat)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "%s", text->chat_error.text);
    if (!options)
        options = &defaults;
    SNUG_ASSERT(options->struct_size == sizeof *options);
    status = write_input(&json, text, messages, message_count, options, error);
    if (status == SNUG_OK)
        status = snug_json_check(&input.variables, snug_buffer_str(&json), error);
    if (status == SNUG_OK) {
        input.has_clock = options->now_unix != 0;
        input.now_unix = options->now_unix;
        status = snug_template_render(rendered_out, bytes_out, text->chat, text->memory, &input, error);
    }
    if (status == SNUG_OK && options->answer_begun)
        status = add_answer(rendered_out, bytes_out, text, options, error);
    snug_buffer_deinit(&json);
    return status;
}

void snug_text_free_string(const snug_text *text, char *string)
{
    snug_memory_free(text->memory, string);
}
