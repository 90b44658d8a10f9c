/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_session.c - conversations that were suspended: which there are, what one is, going on with it,
 * removing it.
 */
#include "cli/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/status.h"
#include "cli/report.h"
#include "cli/shown.h"
#include "cli/value.h"

/* A text of the note; empty when it has none. */
static snug_str note_text(const cli_stored *stored, const char *key)
{
    const snug_str raw = snug_json_string(snug_json_get(stored->note, key));

    return raw.data ? raw : (snug_str){ "", 0 };
}

static bool is_chat(const cli_stored *stored)
{
    return snug_json_string_is(snug_json_get(stored->note, "command"), "chat");
}

static void write_time(char *out, size_t capacity, const cli_stored *stored, const char *format)
{
    const time_t when = (time_t)stored->info.time_s;
    struct tm utc = { 0 };

    (void)gmtime_r(&when, &utc);
    if (strftime(out, capacity, format, &utc) == 0)
        out[0] = '\0';
}

static json_t *to_json(const cli_stored *stored)
{
    const snug_suspended_info *info = &stored->info;
    const snug_str model = note_text(stored, "model");
    char when[32];

    write_time(when, sizeof when, stored, "%Y-%m-%dT%H:%M:%SZ");
    return json_pack("{s:s,s:s,s:s,s:s,s:o,s:s,s:I,s:I,s:b,s:I,s:I}", "id", stored->id, "file", stored->path,
                     "time", when, "command", is_chat(stored) ? "chat" : "generate", "model",
                     cli_shown_json(model.data, model.bytes), "reason", info->reason, "tokens",
                     (json_int_t)info->unfinished.known_tokens, "computed_tokens",
                     (json_int_t)info->computed_tokens, "unfinished", info->is_unfinished, "answer_tokens",
                     (json_int_t)info->unfinished.told_tokens, "bytes", (json_int_t)info->file_bytes);
}

/* --- list ---------------------------------------------------------------------------------------------- */

typedef struct listing {
    const cli_options *options;
    json_t *json;
    size_t count;
    cli_exit status;
} listing;

static void list_one(void *user, const char *id)
{
    listing *list = user;
    cli_stored stored;
    const cli_exit status = cli_stored_open(&stored, list->options, id);

    if (status != CLI_DONE) {
        list->status = status; /* said; the others are listed */
    } else if (list->json) {
        if (json_array_append_new(list->json, to_json(&stored)) != 0)
            list->status = cli_fail(CLI_DOES_NOT_FIT, "the system has no memory left for the list");
    } else {
        const snug_str model = note_text(&stored, "model");
        char when[32];

        write_time(when, sizeof when, &stored, "%Y-%m-%d %H:%M");
        if (list->count == 0)
            cli_print("%-18s  %-16s  %8s  %9s  %-8s  model\n", "id", "when (UTC)", "tokens", "size", "of");
        cli_print("%-18s  %-16s  %8u  %9s  %-8s  ", stored.id, when, stored.info.unfinished.known_tokens,
                  cli_size(stored.info.file_bytes).text, is_chat(&stored) ? "chat" : "generate");
        cli_show(model.data, model.bytes, 0);
        cli_print("\n");
    }
    list->count += status == CLI_DONE;
    cli_report_ledger(list->options, stored.memory);
    cli_stored_close(&stored);
}

static cli_exit list(const cli_options *options)
{
    listing list = { .options = options, .json = options->json ? json_array() : NULL, .status = CLI_DONE };
    const cli_exit status = cli_store_list(options, list_one, &list);

    if (options->json && status == CLI_DONE) {
        cli_write_json(list.json);
        cli_print("\n");
    } else if (status == CLI_DONE && list.count == 0 && !options->quiet)
        cli_note("no conversation is suspended");
    return status == CLI_DONE ? list.status : status;
}

/* --- show ---------------------------------------------------------------------------------------------- */

static void show_messages(const cli_stored *stored)
{
    cli_messages messages = { 0 };

    if (cli_messages_from_json(&messages, stored->note, NULL) != SNUG_OK)
        return;
    for (size_t i = 0; i < messages.count; i++) {
        cli_print("\n%s: ", messages.message[i].role);
        cli_show(messages.message[i].content, strlen(messages.message[i].content), 0);
        cli_print("\n");
    }
    cli_messages_free(&messages);
}

static cli_exit show_json(const cli_stored *stored)
{
    cli_messages messages = { 0 };
    snug_error error = { SNUG_OK, "" };
    json_t *root, *list;

    if (cli_messages_from_json(&messages, stored->note, &error) != SNUG_OK)
        return cli_fail_error(&error);
    root = to_json(stored);
    list = json_array();
    for (size_t i = 0; i < messages.count; i++)
        json_array_append_new(list, json_pack("{s:s,s:s}", "role", messages.message[i].role, "content",
                                              messages.message[i].content));
    json_object_set_new(root, "messages", list);
    cli_messages_free(&messages);
    cli_write_json(root);
    cli_print("\n");
    return CLI_DONE;
}

static cli_exit show(const cli_stored *stored)
{
    const snug_suspended_info *info = &stored->info;
    const snug_str model = note_text(stored, "model");
    char when[32];

    write_time(when, sizeof when, stored, "%Y-%m-%d %H:%M:%S UTC");
    cli_print("id       %s\nwhen     %s\nwhy      ", stored->id, when);
    cli_show(info->reason, strlen(info->reason), 0);
    cli_print("\nof       %s\nmodel    ", is_chat(stored) ? "chat" : "generate");
    cli_show(model.data, model.bytes, 0);
    cli_print("\ntokens   %u, %u of them in the cache; a context of %u\n", info->unfinished.known_tokens,
              info->computed_tokens, info->session.context_tokens);
    if (info->is_unfinished)
        cli_print("answer   %u token%s so far, not finished\n", info->unfinished.told_tokens,
                  cli_plural(info->unfinished.told_tokens));
    cli_print("file     %s, %s\n", stored->path, cli_size(info->file_bytes).text);
    show_messages(stored);
    return CLI_DONE;
}

/* --- resume -------------------------------------------------------------------------------------------- */

/* The words it was begun with, then those of now. */
typedef struct words {
    char **word;
    int count;
    int capacity;
} words;

static bool add_word(words *all, const char *word, size_t bytes)
{
    char *copy;

    if (all->count == all->capacity) {
        const int capacity = all->capacity * 2 + 16;
        char **grown = realloc(all->word, (size_t)capacity * sizeof *grown);

        if (!grown)
            return false;
        all->word = grown;
        all->capacity = capacity;
    }
    copy = calloc(1, bytes + 1);
    if (!copy)
        return false;
    memcpy(copy, word, bytes);
    all->word[all->count++] = copy;
    return true;
}

static void free_words(words *all)
{
    for (int i = 0; i < all->count; i++)
        free(all->word[i]);
    free(all->word);
}

static bool add_stored_words(words *all, const cli_stored *stored)
{
    snug_json_iterator iterator = snug_json_iterate(snug_json_get(stored->note, "words"));
    snug_json value;
    bool is_added = true;

    while (is_added && snug_json_next(&iterator, NULL, &value)) {
        cli_buffer text = { 0 };

        is_added = cli_buffer_add_json_string(&text, value) && add_word(all, text.data, text.bytes);
        cli_buffer_free(&text);
    }
    return is_added;
}

/* Options of now stand above those of then. */
static void take_given(cli_options *options, const cli_options *now)
{
    for (int id = 0; id < CLI_OPTION_COUNT; id++)
        if (now->given[id]) {
            const cli_option_row row = cli_option((cli_option_id)id);
            static const size_t bytes[] = { [CLI_SWITCH] = sizeof(bool),
                                            [CLI_COUNT] = sizeof(uint64_t),
                                            [CLI_SIZE] = sizeof(uint64_t),
                                            [CLI_NUMBER] = sizeof(double),
                                            [CLI_TEXT] = sizeof(char *) };

            options->given[id] = true;
            memcpy((char *)options + row.offset, (const char *)now + row.offset, bytes[row.kind]);
        }
}

static cli_exit resume(const cli_stored *stored, const cli_options *now)
{
    words all = { 0 };
    cli_buffer model = { 0 };
    cli_options options;
    snug_error error = { SNUG_OK, "" };
    cli_exit status;

    if (!add_stored_words(&all, stored) ||
        !cli_buffer_add_json_string(&model, snug_json_get(stored->note, "model"))) {
        status = cli_fail(CLI_DOES_NOT_FIT, "the system has no memory left");
    } else if (cli_options_parse(&options, all.count, all.word, &error) != SNUG_OK) {
        status = cli_fail(CLI_BAD_INPUT, "%s: its options are not those of this llm-tool: %s", stored->path,
                          error.text);
    } else {
        take_given(&options, now);
        options.model = model.data;
        options.context = stored->info.session.context_tokens;
        options.given[CLI_OPTION_context] = true;
        status = is_chat(stored) ? cli_resume_chat(&options, stored) : cli_resume_generate(&options, stored);
    }
    cli_buffer_free(&model);
    free_words(&all);
    return status;
}

/* --- the command --------------------------------------------------------------------------------------- */

static cli_exit remove_one(const cli_stored *stored, const cli_options *options)
{
    const cli_exit status = cli_stored_remove(stored);

    if (status == CLI_DONE && !options->quiet)
        cli_note("removed %s", stored->id);
    return status;
}

cli_exit cli_command_session(const cli_options *options)
{
    static const char *const verbs[] = { "show", "resume", "rm" };
    const char *verb = options->operand ? options->operand : "list";
    const char *id = options->second_operand;
    cli_stored stored;
    cli_exit status;
    size_t i = 0;

    if (strcmp(verb, "list") == 0 && !id)
        return list(options);
    while (i < SNUG_COUNT(verbs) && strcmp(verb, verbs[i]) != 0)
        i++;
    if (i == SNUG_COUNT(verbs) || !id)
        return cli_fail(CLI_USAGE,
                        i < SNUG_COUNT(verbs)
                            ? "session %.20s needs an id; llm-tool session list says which there are"
                            : "session takes list, show ID, resume ID or rm ID, not \"%.20s\"",
                        verb);
    status = cli_stored_open(&stored, options, id);
    if (status == CLI_DONE && i == 0)
        status = options->json ? show_json(&stored) : show(&stored);
    else if (status == CLI_DONE && i == 1)
        status = resume(&stored, options);
    else if (i == 2 && stored.path[0]) /* a damaged one, too */
        status = remove_one(&stored, options);
    if (i != 1) /* which has a report of its own */
        cli_report_ledger(options, stored.memory);
    cli_stored_close(&stored);
    return status;
}
