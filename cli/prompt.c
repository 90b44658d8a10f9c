/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prompt.c - see the header.
 */
#include "cli/prompt.h"

#include <string.h>

#include "base/status.h"
#include "cli/system.h"

cli_exit cli_prompt_read(cli_prompt *prompt, const cli_options *options)
{
    snug_error error = { SNUG_OK, "" };

    if (!options->prompt == !options->prompt_ids)
        return cli_fail(CLI_USAGE,
                        options->prompt
                            ? "--prompt and --prompt-ids are two prompts; give one"
                            : "there is no prompt: --prompt TEXT, --prompt @FILE, or --prompt - for "
                              "standard input (llm-tool --help says more)");
    if (options->prompt && cli_read_text(&prompt->text, options->prompt, "the prompt", &error) != SNUG_OK)
        return cli_fail_error(&error);
    if (options->prompt_ids && cli_read_ids(&prompt->ids, options->prompt_ids, &error) != SNUG_OK)
        return cli_fail_error(&error);
    if ((options->prompt && prompt->text.bytes == 0) || (options->prompt_ids && prompt->ids.count == 0))
        return cli_fail(CLI_USAGE, "the prompt is empty");
    return CLI_DONE;
}

static snug_status encode(cli_ids *ids, const snug_text *text, const char *from, size_t bytes, unsigned flags,
                          snug_error *error)
{
    const size_t capacity = snug_text_encode_bound(text, bytes);

    SNUG_TRY(cli_ids_alloc(ids, capacity, error));
    return snug_text_encode(text, ids->id, capacity, &ids->count, from, bytes, flags, error);
}

static snug_status encode_chat(cli_prompt *prompt, const cli_engine *engine, snug_error *error)
{
    const char *system = engine->options->system;
    const snug_message messages[] = { { "system", system }, { "user", prompt->text.data } };
    const snug_chat_options chat = { .struct_size = sizeof chat,
                                     .guards_tokens = true,
                                     .now_unix = cli_local_time() };
    const size_t skipped = system ? 0 : 1;
    char *rendered;
    size_t bytes;
    snug_status status;

    if (strlen(prompt->text.data) != prompt->text.bytes)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT,
                  "the prompt has a zero byte at position %zu, which a chat message "
                  "cannot hold; --raw takes it",
                  strlen(prompt->text.data));
    SNUG_TRY(snug_text_chat(engine->text, &rendered, &bytes, messages + skipped, 2 - skipped, &chat, error));
    status = encode(&prompt->ids, engine->text, rendered, bytes, SNUG_ENCODE_GUARDED, error);
    snug_text_free_string(engine->text, rendered);
    return status;
}

cli_exit cli_prompt_encode(cli_prompt *prompt, const cli_engine *engine)
{
    const cli_options *options = engine->options;
    snug_error error = { SNUG_OK, "" };
    snug_status status;

    if (!options->prompt)
        return CLI_DONE;
    if (options->raw && options->system)
        return cli_fail(CLI_USAGE, "--system needs the chat template that --raw leaves out");
    if (options->raw || !snug_text_has_chat(engine->text, &error)) {
        if (!options->raw && !options->quiet)
            cli_note(
                "this model has no chat template that can be used%s%s: the prompt is continued as plain text",
                error.text[0] ? ": " : "", error.text);
        if (options->system)
            return cli_fail(CLI_USAGE, "--system needs a chat template");
        status = encode(&prompt->ids, engine->text, prompt->text.data, prompt->text.bytes,
                        SNUG_ENCODE_ADD_SPECIAL, &error);
    } else {
        status = encode_chat(prompt, engine, &error);
    }
    if (status == SNUG_OK && prompt->ids.count == 0)
        return cli_fail(CLI_USAGE, "the prompt has no tokens");
    return status == SNUG_OK ? CLI_DONE : cli_fail_error(&error);
}

void cli_prompt_free(cli_prompt *prompt)
{
    cli_ids_free(&prompt->ids);
    cli_buffer_free(&prompt->text);
}
