/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.c - see the header.
 */
#define _XOPEN_SOURCE 700

#include "cli/store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/status.h"

#define SUFFIX     ".snug"
#define PATH_BYTES 4096

/* --- the folder ---------------------------------------------------------------------------------------- */

static cli_exit find_folder(char out[PATH_BYTES], const cli_options *options)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int bytes;

    if (options->session_folder)
        bytes = snprintf(out, PATH_BYTES, "%s", options->session_folder);
    else if (state && state[0] == '/')
        bytes = snprintf(out, PATH_BYTES, "%s/snug/sessions", state);
    else if (home && home[0] == '/')
        bytes = snprintf(out, PATH_BYTES, "%s/.local/state/snug/sessions", home);
    else
        return cli_fail(CLI_USAGE, "there is no HOME: where suspended conversations are, --session-folder "
                                   "FOLDER says");
    if (bytes < 0 || bytes >= PATH_BYTES - 2 * CLI_ID_BYTES)
        return cli_fail(CLI_USAGE, "the path of the folder of sessions is too long");
    return CLI_DONE;
}

/* With all folders above it; only their owner may look into new ones. */
static bool make_folder(const char *folder)
{
    char path[PATH_BYTES];

    snprintf(path, sizeof path, "%s", folder);
    for (char *at = path + 1;; at++)
        if (*at == '/' || *at == '\0') {
            const char end = *at;

            *at = '\0';
            if (mkdir(path, 0700) != 0 && errno != EEXIST)
                return false;
            *at = end;
            if (end == '\0')
                return true;
        }
}

/* --- the note ------------------------------------------------------------------------------------------ */

static bool add_text(cli_buffer *out, const char *text)
{
    return cli_buffer_add(out, text, strlen(text));
}

static bool add_json_string(cli_buffer *out, const char *text)
{
    bool is_added = add_text(out, "\"");

    for (const char *at = text; *at && is_added; at++) {
        const unsigned char byte = (unsigned char)*at;
        char escape[8];

        if (byte == '"' || byte == '\\')
            snprintf(escape, sizeof escape, "\\%c", byte);
        else if (byte < 0x20)
            snprintf(escape, sizeof escape, "\\u%04x", byte);
        else
            snprintf(escape, sizeof escape, "%c", byte);
        is_added = add_text(out, escape);
    }
    return is_added && add_text(out, "\"");
}

/* What a conversation is begun with, and not gone on with. */
static bool is_of_the_beginning(cli_option_id id)
{
    return id == CLI_OPTION_prompt || id == CLI_OPTION_prompt_ids || id == CLI_OPTION_system ||
           id == CLI_OPTION_raw || id == CLI_OPTION_model || id == CLI_OPTION_max_tokens ||
           id == CLI_OPTION_json || id == CLI_OPTION_session_folder;
}

/* A path that means the same elsewhere; itself where it names nothing. */
static const char *absolute(char out[PATH_BYTES], const char *path)
{
    return realpath(path, out) ? out : path;
}

/* ", \"--name=value\"" */
static bool add_option(cli_buffer *out, const cli_options *options, cli_option_id id)
{
    const cli_option_row row = cli_option(id);
    const void *field = (const char *)options + row.offset;
    char word[PATH_BYTES + 64], path[PATH_BYTES];
    const char *text;
    uint64_t count;
    double number;
    bool is_on;

    switch (row.kind) {
    case CLI_SWITCH:
        memcpy(&is_on, field, sizeof is_on);
        snprintf(word, sizeof word, "--%s%s", is_on ? "" : "no-", row.long_name);
        break;
    case CLI_COUNT:
    case CLI_SIZE:
        memcpy(&count, field, sizeof count);
        snprintf(word, sizeof word, "--%s=%llu", row.long_name, (unsigned long long)count);
        break;
    case CLI_NUMBER:
        memcpy(&number, field, sizeof number);
        snprintf(word, sizeof word, "--%s=%.17g", row.long_name, number);
        break;
    case CLI_TEXT:
        memcpy(&text, field, sizeof text);
        if (id == CLI_OPTION_chat_template || id == CLI_OPTION_prompt_cache_file)
            text = absolute(path, text);
        snprintf(word, sizeof word, "--%s=%s", row.long_name, text);
        break;
    }
    return add_text(out, ", ") && add_json_string(out, word);
}

static bool write_note(cli_buffer *out, const cli_engine *engine, const snug_message *messages, size_t count)
{
    const cli_options *options = engine->options;
    const char *command = cli_command(options->command)->name;
    char path[PATH_BYTES];
    bool is_written = add_text(out, "{\"command\": ") && add_json_string(out, command) &&
                      add_text(out, ", \"model\": ") && add_json_string(out, absolute(path, engine->path)) &&
                      add_text(out, ", \"words\": [") && add_json_string(out, command);

    for (int id = 0; id < CLI_OPTION_COUNT && is_written; id++)
        if (options->given[id] && !is_of_the_beginning((cli_option_id)id))
            is_written = add_option(out, options, (cli_option_id)id);
    is_written = is_written && add_text(out, "], \"messages\": [");
    for (size_t i = 0; i < count && is_written; i++)
        is_written = add_text(out, i > 0 ? ", {\"role\": " : "{\"role\": ") &&
                     add_json_string(out, messages[i].role) && add_text(out, ", \"content\": ") &&
                     add_json_string(out, messages[i].content) && add_text(out, "}");
    return is_written && add_text(out, "]}");
}

void cli_suspend_prepare(cli_buffer *note, const cli_engine *engine, const snug_message *messages,
                         size_t count)
{
    note->bytes = 0;
    if (!write_note(note, engine, messages, count))
        note->bytes = 0;
}

/* --- suspending ---------------------------------------------------------------------------------------- */

static void make_id(char id[CLI_ID_BYTES], int attempt)
{
    const time_t now = time(NULL);
    struct tm utc = { 0 };
    char when[20];

    (void)gmtime_r(&now, &utc);
    (void)strftime(when, sizeof when, "%Y%m%d-%H%M%S", &utc);
    if (attempt == 0)
        snprintf(id, CLI_ID_BYTES, "%s", when);
    else
        snprintf(id, CLI_ID_BYTES, "%s-%d", when, attempt + 1);
}

cli_exit cli_store_make_folder(const cli_options *options)
{
    char folder[PATH_BYTES];
    const cli_exit status = find_folder(folder, options);

    if (status == CLI_DONE && !make_folder(folder))
        return cli_fail(CLI_FAILED, "cannot make the folder %s: %s", folder, strerror(errno));
    return status;
}

cli_exit cli_store_checkpoint(char path_out[4096], char id_out[CLI_ID_BYTES], const cli_options *options)
{
    char folder[PATH_BYTES], when[CLI_ID_BYTES];
    const cli_exit status = find_folder(folder, options);

    if (status != CLI_DONE)
        return status;
    make_id(when, 0);
    snprintf(id_out, CLI_ID_BYTES, "%.16s-p%ld", when, (long)getpid());
    snprintf(path_out, PATH_BYTES, "%.*s/%s" SUFFIX, PATH_BYTES - 2 * CLI_ID_BYTES, folder, id_out);
    return CLI_DONE;
}

static void say_where(const cli_suspension *suspension, const cli_engine *engine, const char *folder)
{
    const cli_options *options = engine->options;

    if (!suspension->result.has_cache && snug_session_tokens(engine->session) > 0)
        cli_note("the disk has no room for what was computed, only for what was said: %s",
                 suspension->result.cache_error);
    cli_note("suspended: %u tokens are in %s/%s" SUFFIX
             ". To go on:\n          llm-tool session resume %s%s%s",
             snug_session_tokens(engine->session), folder, suspension->id, suspension->id,
             options->session_folder ? " --session-folder " : "",
             options->session_folder ? options->session_folder : "");
}

cli_exit cli_suspend(cli_suspension *out, const cli_engine *engine, const cli_buffer *note,
                     const char *reason)
{
    const snug_suspend_options suspend = { .struct_size = sizeof suspend,
                                           .note = note->bytes > 0 ? note->data : NULL,
                                           .reason = reason };
    char folder[PATH_BYTES], path[PATH_BYTES];
    snug_error error = { SNUG_OK, "" };
    cli_exit status = find_folder(folder, engine->options);
    snug_status written = SNUG_ERR_IO;

    if (status != CLI_DONE)
        return status;
    if (note->bytes == 0)
        return cli_fail(CLI_DOES_NOT_FIT, "the conversation cannot be suspended: there was no memory to note "
                                          "down how it goes on");
    if (!make_folder(folder))
        return cli_fail(CLI_FAILED, "cannot make the folder %s: %s", folder, strerror(errno));
    for (int attempt = 0; attempt < 100; attempt++) {
        make_id(out->id, attempt);
        snprintf(path, sizeof path, "%.*s/%s" SUFFIX, PATH_BYTES - 2 * CLI_ID_BYTES, folder, out->id);
        if (access(path, F_OK) == 0)
            continue;
        out->result.struct_size = sizeof out->result;
        written = snug_session_suspend(&out->result, engine->session, path, &suspend, &error);
        if (written == SNUG_OK || access(path, F_OK) != 0)
            break;
    }
    if (written != SNUG_OK)
        return cli_fail_error(&error);
    say_where(out, engine, folder);
    return CLI_SUSPENDED;
}

/* --- what is there ------------------------------------------------------------------------------------- */

/* Every name in the folder that is an id, oldest first. */
cli_exit cli_store_list(const cli_options *options, void (*visit)(void *user, const char *id), void *user)
{
    char folder[PATH_BYTES];
    struct dirent **entries;
    cli_exit status = find_folder(folder, options);
    int count;

    if (status != CLI_DONE)
        return status;
    count = scandir(folder, &entries, NULL, alphasort);
    if (count < 0 && errno != ENOENT)
        return cli_fail(CLI_BAD_INPUT, "cannot read the folder %s: %s", folder, strerror(errno));
    for (int i = 0; i < count; i++) {
        char *name = entries[i]->d_name;
        const size_t bytes = strlen(name);

        if (bytes > strlen(SUFFIX) && bytes - strlen(SUFFIX) < CLI_ID_BYTES &&
            strcmp(name + bytes - strlen(SUFFIX), SUFFIX) == 0) {
            name[bytes - strlen(SUFFIX)] = '\0';
            visit(user, name);
        }
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return CLI_DONE;
}

typedef struct matching {
    const char *wanted;
    char id[CLI_ID_BYTES];
    int count;
    bool is_exact;
} matching;

static void match(void *user, const char *id)
{
    matching *m = user;

    if (m->is_exact || strncmp(id, m->wanted, strlen(m->wanted)) != 0)
        return;
    m->is_exact = strcmp(id, m->wanted) == 0;
    m->count = m->is_exact ? 1 : m->count + 1;
    snprintf(m->id, sizeof m->id, "%s", id);
}

static cli_exit find_id(char id_out[CLI_ID_BYTES], const cli_options *options, const char *id)
{
    matching m = { .wanted = id };
    const cli_exit status = cli_store_list(options, match, &m);

    if (status != CLI_DONE)
        return status;
    if (m.count == 0)
        return cli_fail(CLI_USAGE,
                        "there is no suspended conversation %.60s; llm-tool session list says "
                        "which there are",
                        id);
    if (m.count > 1)
        return cli_fail(CLI_USAGE, "%d suspended conversations begin with %.60s; give more of the id",
                        m.count, id);
    memcpy(id_out, m.id, CLI_ID_BYTES);
    return CLI_DONE;
}

cli_exit cli_stored_open(cli_stored *out, const cli_options *options, const char *id)
{
    char folder[PATH_BYTES];
    snug_error error = { SNUG_OK, "" };
    cli_exit status = find_folder(folder, options);

    *out = (cli_stored){ .info = { .struct_size = sizeof out->info } };
    if (status == CLI_DONE)
        status = find_id(out->id, options, id);
    if (status != CLI_DONE)
        return status;
    snprintf(out->path, sizeof out->path, "%.*s/%s" SUFFIX, PATH_BYTES - 2 * CLI_ID_BYTES, folder, out->id);
    error.status = snug_memory_create(&out->memory, NULL);
    if (error.status != SNUG_OK ||
        snug_suspended_open(&out->suspended, out->memory, out->path, &error) != SNUG_OK)
        return cli_fail_error(&error);
    snug_suspended_read(&out->info, out->suspended);
    if (snug_json_check(&out->note, (snug_str){ out->info.note, strlen(out->info.note) }, &error) != SNUG_OK)
        return cli_fail(CLI_BAD_INPUT, "%s: its note is not one of llm-tool: %s", out->path, error.text);
    return CLI_DONE;
}

void cli_stored_close(cli_stored *stored)
{
    snug_suspended_close(stored->suspended);
    snug_memory_destroy(stored->memory);
    *stored = (cli_stored){ .path = "" };
}

cli_exit cli_engine_resume(cli_engine *engine, const cli_stored *stored)
{
    const uint32_t known = stored->info.unfinished.known_tokens;
    const bool is_quiet = engine->options->quiet;
    snug_error error = { SNUG_OK, "" };
    uint32_t computed;

    if (snug_session_resume(engine->session, stored->suspended, &error) != SNUG_OK)
        return cli_fail_error(&error);
    computed = snug_session_tokens(engine->session);
    if (computed < stored->info.computed_tokens && !is_quiet)
        cli_note("the cache in %s is damaged: %u tokens are computed again", stored->path, known);
    else if (computed == 0 && known > 0 && !is_quiet)
        cli_note("the cache was not kept: %u tokens are computed again", known);
    else if (!is_quiet)
        cli_note("%u tokens are there from %s", computed, stored->path);
    return CLI_DONE;
}

cli_exit cli_stored_remove(const cli_stored *stored)
{
    if (unlink(stored->path) != 0)
        return cli_fail(CLI_FAILED, "cannot remove %s: %s", stored->path, strerror(errno));
    return CLI_DONE;
}
