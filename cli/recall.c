/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recall.c - see the header.
 */
#include "cli/recall.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "cli/system.h"

#define ANSWER_TOKENS 32u

cli_exit cli_recall_load(cli_recall *recall_out, const char *path)
{
    snug_error error = { SNUG_OK, "" };

    *recall_out = (cli_recall){ 0 };
    if (cli_read_json(&recall_out->text, &recall_out->root, path, &error) != SNUG_OK)
        return cli_fail_error(&error);
    if (snug_json_kind_of(recall_out->root) != SNUG_JSON_ARRAY || snug_json_count(recall_out->root) == 0)
        return cli_fail(CLI_BAD_INPUT, "%s: expected a JSON array of {\"user\": TEXT, \"answer\": TEXT}",
                        path);
    return CLI_DONE;
}

void cli_recall_free(cli_recall *recall)
{
    cli_buffer_free(&recall->text);
}

/* A string of the task, to be freed; NULL where there is none. */
static char *string_of(snug_json task, const char *key)
{
    const snug_json value = snug_json_get(task, key);
    const snug_str raw = snug_json_string(value);
    char *text = snug_json_kind_of(value) == SNUG_JSON_STRING ? malloc(raw.bytes + 1) : NULL;

    if (text)
        text[snug_json_unescape(text, raw)] = '\0';
    return text;
}

/* The answer so far, as long as it can still be compared. */
typedef struct answer {
    const char *expected;
    size_t matched;
    bool differs;
} answer;

static bool take_text(void *user, uint32_t id, const char *text, size_t bytes)
{
    answer *a = user;
    const size_t left = strlen(a->expected) - a->matched;
    const size_t compared = bytes < left ? bytes : left;

    (void)id;
    a->differs = memcmp(a->expected + a->matched, text, compared) != 0;
    a->matched += compared;
    return !a->differs && a->expected[a->matched] != '\0';
}

static snug_status encode(cli_ids *ids, const cli_engine *engine, const char *question, snug_error *error)
{
    const snug_chat_options guarded = { .struct_size = sizeof guarded, .guards_tokens = true };
    const snug_message message = { .role = "user", .content = question };
    char *rendered;
    size_t bytes;
    snug_status status;

    SNUG_TRY(snug_text_chat(engine->text, &rendered, &bytes, &message, 1, &guarded, error));
    status = cli_ids_alloc(ids, snug_text_encode_bound(engine->text, bytes), error);
    if (status == SNUG_OK)
        status = snug_text_encode(engine->text, ids->id, snug_text_encode_bound(engine->text, bytes),
                                  &ids->count, rendered, bytes, SNUG_ENCODE_GUARDED, error);
    snug_text_free_string(engine->text, rendered);
    return status;
}

static snug_status ask(cli_recall_score *score, const cli_engine *engine, snug_session *session,
                       const char *question, const char *expected, snug_error *error)
{
    answer a = { .expected = expected };
    const snug_generate_options options = { .struct_size = sizeof options,
                                            .max_tokens = ANSWER_TOKENS,
                                            .sample = { .struct_size = sizeof options.sample },
                                            .keep_going = cli_keep_going,
                                            .on_token = take_text,
                                            .user = &a };
    snug_generate_result result = { .struct_size = sizeof result };
    cli_ids ids = { 0 };
    snug_status status = encode(&ids, engine, question, error);

    (void)snug_session_truncate(session, 0);
    if (status == SNUG_OK && ids.count + ANSWER_TOKENS <= engine->plan.context_tokens) {
        status =
            snug_session_generate(&result, session, engine->text, ids.id, ids.count, NULL, &options, error);
        score->tasks++;
        score->right += !a.differs && expected[a.matched] == '\0';
    }
    cli_ids_free(&ids);
    return status;
}

cli_exit cli_recall_run(cli_recall_score *score_out, const cli_recall *recall, const cli_engine *engine,
                        snug_session *session)
{
    snug_json_iterator tasks = snug_json_iterate(recall->root);
    snug_error error = { SNUG_OK, "" };
    cli_exit status = CLI_DONE;
    snug_json task;
    snug_str key;

    *score_out = (cli_recall_score){ 0 };
    while (status == CLI_DONE && snug_json_next(&tasks, &key, &task)) {
        char *question = string_of(task, "user");
        char *expected = string_of(task, "answer");

        if (!question || !expected)
            status = cli_fail(CLI_BAD_INPUT, "--recall: a task is not {\"user\": TEXT, \"answer\": TEXT}");
        else if (ask(score_out, engine, session, question, expected, &error) != SNUG_OK)
            status = cli_fail_error(&error);
        else if (cli_is_interrupted())
            status = cli_fail(CLI_INTERRUPTED, "interrupted: nothing was measured");
        free(question);
        free(expected);
    }
    if (status == CLI_DONE && score_out->tasks == 0)
        cli_note("no task of --recall fits a context of %u tokens", engine->plan.context_tokens);
    return status;
}
