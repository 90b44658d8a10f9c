/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_chat.c - a conversation. Each turn renders all of it with the model's template; the session
 * computes only what it does not hold already. Nothing is dropped when the context is full: it is said.
 */
#include "cli/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "cli/cache.h"
#include "cli/cache_file.h"
#include "cli/conversation.h"
#include "cli/engine.h"
#include "cli/input.h"
#include "cli/line.h"
#include "cli/moves.h"
#include "cli/report.h"
#include "cli/system.h"
#include "cli/value.h"

typedef struct chat {
    const cli_options *options;
    cli_engine engine;
    cli_moves moves; /* with the conversation */
    cli_buffer line;
    snug_generate_result result; /* of the last turn */
    uint64_t answers;
    const cli_stored *stored; /* goes on with this one; NULL: a new conversation */
    cli_buffer note;          /* for a suspension */
    cli_relief_log relief;
    bool is_left;
    bool is_suspended;
    bool has_text;   /* of this answer something was printed */
    cli_exit status; /* of the last thing that failed: the exit status when nobody is at the keyboard */
} chat;

static const snug_message *messages_of(const chat *talk, size_t *count_out)
{
    return snug_conversation_messages(talk->moves.conversation, count_out);
}

static size_t count_of(const chat *talk)
{
    size_t count;

    (void)messages_of(talk, &count);
    return count;
}

static bool has_system(const chat *talk)
{
    size_t count;
    const snug_message *messages = messages_of(talk, &count);

    return count > 0 && strcmp(messages[0].role, "system") == 0;
}

/* What it takes to go on, noted while there is memory for it. */
static void prepare_note(chat *talk)
{
    size_t count;
    const snug_message *messages = messages_of(talk, &count);

    cli_suspend_prepare(&talk->note, &talk->engine, messages, count);
}

/* --- an answer ----------------------------------------------------------------------------------------- */

static bool on_token(void *user, uint32_t id, const char *text, size_t bytes)
{
    chat *talk = user;

    (void)id;
    cli_write(text, bytes);
    cli_flush();
    talk->has_text = talk->has_text || bytes > 0;
    return !cli_output_is_broken();
}

static void on_relief(void *user, const snug_relief_event *event)
{
    chat *talk = user;

    if (event->step != SNUG_RELIEF_MODEL) /* which is announced as the move that it is */
        cli_report_relief(&talk->relief, event, talk->options->quiet);
}

static void on_pressure(void *user, const snug_pressure_reading *reading)
{
    chat *talk = user;

    cli_report_pressure(&talk->engine, reading);
}

static snug_generate_options answer_options(chat *talk)
{
    snug_generate_options generate = cli_engine_generate_options(&talk->engine, talk);

    if (!cli_given(talk->options, max_tokens)) /* the model ends its turn */
        generate.max_tokens = 0;
    generate.ignore_eos = false;
    generate.on_token = on_token;
    generate.on_relief = on_relief;
    generate.on_pressure = on_pressure;
    return generate;
}

static snug_status generate(chat *talk, snug_error *error)
{
    snug_generate_options options = answer_options(talk);
    snug_status status;

    /* Another draw for each answer, the same for the same conversation. */
    options.sample.seed += talk->answers;
    prepare_note(talk);
    talk->result = (snug_generate_result){ .struct_size = sizeof talk->result };
    cli_interrupt_arm();
    status = snug_conversation_answer(&talk->result, talk->moves.conversation, &options, error);
    talk->answers += status != SNUG_ERR_FULL;
    return status;
}

/* What the user should know about how it ended. */
static void say_how_it_ended(const chat *talk)
{
    if (talk->result.stop == SNUG_STOP_CONTEXT)
        cli_note(
            "the answer stops here because the context is full (%u tokens); /reset begins anew, /save FILE "
            "keeps the conversation",
            talk->engine.plan.context_tokens);
    else if (talk->result.stop == SNUG_STOP_MAX_TOKENS)
        cli_note("the answer stops here after --max-tokens %u", talk->result.generated_tokens);
}

static void fail(chat *talk, const snug_error *error)
{
    if (error->status == SNUG_ERR_FULL)
        talk->status = cli_fail(
            cli_exit_of(error->status),
            "%s, and the message was not added. /reset begins anew; /save FILE keeps the conversation, and "
            "--context N (this model was made for %u) makes room for it",
            error->text, talk->engine.info.context_tokens);
    else
        talk->status = cli_fail_error(error);
}

static void leave_suspended(chat *talk)
{
    if (talk->stored)
        (void)cli_stored_remove(talk->stored); /* the newer one has it all */
    talk->is_left = talk->is_suspended = true;
}

/* To disk, and leave: true when it is there. */
static bool suspend(chat *talk, const char *reason)
{
    cli_suspension suspension;

    if (cli_moves_is_on_disk(&talk->moves))
        cli_moves_say_where(&talk->moves);
    else if (cli_suspend(&suspension, &talk->engine, &talk->note, reason) != CLI_SUSPENDED)
        return false;
    leave_suspended(talk);
    return true;
}

static bool can_be_suspended(const chat *talk)
{
    snug_unfinished unfinished = { .struct_size = sizeof unfinished };

    return cli_moves_is_on_disk(&talk->moves) || snug_session_unfinished(talk->engine.session, &unfinished);
}

/* After an answer, whole or not: `before` messages were there without it and its question. */
static void end_answer(chat *talk, size_t before, snug_status status, snug_error *error)
{
    const bool is_memory_out = status == SNUG_ERR_OVER_LIMIT || status == SNUG_ERR_NO_MEMORY;

    talk->engine.session = snug_conversation_session(talk->moves.conversation);
    if (talk->has_text || status == SNUG_OK)
        cli_print("\n");
    cli_flush();
    if (is_memory_out && can_be_suspended(talk)) {
        cli_note("%s", error->text);
        if (suspend(talk, error->text))
            return;
    }
    if (status != SNUG_OK) {
        snug_conversation_truncate(talk->moves.conversation, before);
        fail(talk, error);
    } else if (!talk->options->quiet) {
        say_how_it_ended(talk);
    }
}

static void answer_message(chat *talk, const char *message)
{
    const size_t before = count_of(talk);
    snug_error error = { SNUG_OK, "" };
    snug_status status = snug_conversation_add(talk->moves.conversation, "user", message, &error);

    talk->has_text = false;
    if (status == SNUG_OK)
        status = generate(talk, &error);
    end_answer(talk, before, status, &error);
}

/* --- going on with a suspended conversation ------------------------------------------------------------- */

/* An answer that was interrupted by the user is one, and nothing is awaited. */
static bool awaits_answer(const chat *talk)
{
    size_t count;
    const snug_message *messages = messages_of(talk, &count);

    return count > 0 && strcmp(messages[count - 1].role, "user") == 0;
}

static void show_begun(void *user, const char *text, size_t bytes)
{
    chat *talk = user;

    cli_write(text, bytes);
    talk->has_text = talk->has_text || bytes > 0;
}

/* The answer that was being written goes on. */
static void go_on(chat *talk)
{
    const snug_generate_options options = answer_options(talk);
    snug_error error = { SNUG_OK, "" };
    const size_t count = count_of(talk);
    snug_status status;

    talk->has_text = false;
    prepare_note(talk);
    talk->result = (snug_generate_result){ .struct_size = sizeof talk->result };
    cli_interrupt_arm();
    status = snug_conversation_go_on(&talk->result, talk->moves.conversation, &options, show_begun, &error);
    talk->answers++;
    end_answer(talk, count - (count > 0), status, &error);
}

/* Messages in place of those of now. */
static snug_status take_messages(chat *talk, cli_messages *messages, snug_error *error)
{
    const snug_status status =
        snug_conversation_replace(talk->moves.conversation, messages->message, messages->count, error);

    cli_messages_free(messages);
    return status;
}

static cli_exit take_stored(chat *talk)
{
    cli_messages messages = { 0 };
    snug_error error = { SNUG_OK, "" };

    if (cli_messages_from_json(&messages, talk->stored->note, &error) != SNUG_OK)
        return cli_fail_error(&error);
    for (size_t i = 0; i < messages.count; i++) /* each had another draw */
        talk->answers += strcmp(messages.message[i].role, "assistant") == 0;
    return take_messages(talk, &messages, &error) == SNUG_OK ? CLI_DONE : cli_fail_error(&error);
}

/* --- commands ------------------------------------------------------------------------------------------ */

static void do_help(chat *talk, const char *argument);

static void do_memory(chat *talk, const char *argument)
{
    snug_kv_info info = { .struct_size = sizeof info };

    (void)argument;
    cli_report_gauge(&talk->engine);
    snug_kv_read_info(&info, snug_session_kv(talk->engine.session));
    cli_report("context  %u of %u tokens; cache %s, %s", snug_session_tokens(talk->engine.session),
               talk->engine.plan.context_tokens, cli_cache_in_words(&info.config).text,
               cli_size(snug_kv_committed_bytes(snug_session_kv(talk->engine.session))).text);
    if (talk->options->memory_stats)
        cli_report_memory_stats(talk->engine.memory, &talk->engine.plan);
}

static void do_cleanup(chat *talk, const char *argument)
{
    const uint64_t scratch = snug_session_trim(talk->engine.session);
    const uint64_t slack = snug_memory_cleanup(talk->engine.memory);

    (void)argument;
    cli_note("given back: %s of scratch, which the next message takes again, and %s that the heap kept",
             cli_size(scratch).text, cli_size(slack).text);
}

static void do_strategy(chat *talk, const char *argument)
{
    snug_strategy strategy = talk->engine.strategy;
    const snug_strategy_rules *rules;
    cli_exit status;

    if (argument[0] && !snug_strategy_parse(&strategy, argument)) {
        talk->status = cli_fail(
            CLI_USAGE, "/strategy takes conservative, balanced or aggressive, not \"%.40s\"", argument);
        return;
    }
    status = cli_moves_set_strategy(&talk->moves, strategy);
    if (status != CLI_DONE) {
        talk->status = status;
        return;
    }
    rules = snug_strategy_rules_of(strategy);
    cli_note("%s: memory is given back from level %s on, the cache down to %u/%u bits%s%s",
             snug_strategy_name(strategy == SNUG_STRATEGY_AUTO ? SNUG_STRATEGY_BALANCED : strategy),
             snug_pressure_name(rules->relief_from), rules->floor_key_bits, rules->floor_value_bits,
             rules->may_slide ? ", the middle of the conversation may be forgotten" : "",
             rules->may_switch ? ", and a smaller model may go on" : "");
}

static void do_stats(chat *talk, const char *argument)
{
    (void)argument;
    if (talk->result.stop == 0)
        cli_note("there is no answer yet");
    else
        cli_report_run(&talk->engine, &talk->result);
}

static void do_reset(chat *talk, const char *argument)
{
    const bool is_kept = has_system(talk);

    (void)argument;
    snug_conversation_truncate(talk->moves.conversation, is_kept ? 1 : 0);
    (void)snug_session_truncate(talk->engine.session, 0);
    cli_note("forgotten%s", is_kept ? "; the system message stays" : "");
}

static void do_system(chat *talk, const char *argument)
{
    snug_error error = { SNUG_OK, "" };

    if (snug_conversation_set_system(talk->moves.conversation, argument, &error) != SNUG_OK)
        fail(talk, &error);
    else
        cli_note(argument[0] ? "the next answer follows it" : "there is no system message now");
}

static void do_save(chat *talk, const char *argument)
{
    snug_error error = { SNUG_OK, "" };
    size_t count;
    const snug_message *messages = messages_of(talk, &count);

    if (!argument[0])
        cli_note("/save needs the name of a file");
    else if (cli_messages_save(messages, count, argument, &error) != SNUG_OK)
        fail(talk, &error);
    else
        cli_note("%zu message%s saved to %s", count, cli_plural(count), argument);
}

static void do_load(chat *talk, const char *argument)
{
    cli_messages messages = { 0 };
    snug_error error = { SNUG_OK, "" };

    if (!argument[0])
        cli_note("/load needs the name of a file");
    else if (cli_messages_load(&messages, argument, &error) != SNUG_OK ||
             take_messages(talk, &messages, &error) != SNUG_OK)
        fail(talk, &error);
    else
        cli_note("%zu message%s loaded; your next message continues them", count_of(talk),
                 cli_plural(count_of(talk)));
}

static void do_suspend(chat *talk, const char *argument)
{
    (void)argument;
    prepare_note(talk);
    if (count_of(talk) == 0)
        cli_note("there is no conversation yet");
    else
        (void)suspend(talk, "you asked for it");
}

static void do_model(chat *talk, const char *argument)
{
    if (!argument[0]) {
        cli_moves_list(&talk->moves);
        return;
    }
    prepare_note(talk);

    const cli_exit status = cli_moves_to(&talk->moves, argument);

    if (status != CLI_DONE)
        talk->status = status;
    if (cli_moves_is_on_disk(&talk->moves))
        (void)suspend(talk, "it could not move to another model");
}

static void do_quit(chat *talk, const char *argument)
{
    (void)argument;
    talk->is_left = true;
}

static const struct {
    const char *name;
    const char *argument;
    void (*run)(chat *talk, const char *argument);
    const char *help;
} commands[] = {
    { "/help", "", do_help, "this list" },
    { "/memory", "", do_memory, "how full memory is, and what the conversation takes of it" },
    { "/stats", "", do_stats, "speed and memory of the last answer" },
    { "/cleanup", "", do_cleanup, "give back what is not needed now" },
    { "/strategy", "NAME", do_strategy, "conservative, balanced or aggressive; none: which it is" },
    { "/model", "NAME", do_model, "go on with another model; none: which there are, and which would fit" },
    { "/system", "TEXT", do_system, "how the model should behave; empty: no system message" },
    { "/reset", "", do_reset, "forget the conversation" },
    { "/save", "FILE", do_save, "write the conversation to a file" },
    { "/load", "FILE", do_load, "go on with a conversation from a file" },
    { "/suspend", "", do_suspend, "write it to disk and leave; session resume goes on" },
    { "/quit", "", do_quit, "leave (or Ctrl-D)" },
};

static void do_help(chat *talk, const char *argument)
{
    (void)talk;
    (void)argument;
    for (size_t i = 0; i < SNUG_COUNT(commands); i++)
        cli_report("%-9s %-5s %s", commands[i].name, commands[i].argument, commands[i].help);
    cli_report("Ctrl-C stops an answer.");
}

static void run_command(chat *talk, char *line)
{
    const size_t bytes = strcspn(line, " ");
    const char *argument = line + bytes + strspn(line + bytes, " ");

    for (size_t i = 0; i < SNUG_COUNT(commands); i++)
        if (bytes == strlen(commands[i].name) && strncmp(line, commands[i].name, bytes) == 0) {
            commands[i].run(talk, argument);
            return;
        }
    talk->status = cli_fail(CLI_USAGE, "there is no command %.*s; /help lists them", (int)bytes, line);
}

/* --- the loop ------------------------------------------------------------------------------------------ */

static void take_line(chat *talk)
{
    const cli_buffer *line = &talk->line;
    const size_t valid = cli_utf8_valid_bytes((snug_str){ line->data, line->bytes });

    if (valid < line->bytes)
        talk->status =
            cli_fail(CLI_USAGE, "the message is not valid UTF-8: the byte at position %zu is wrong", valid);
    else if (strlen(line->data) < line->bytes)
        talk->status = cli_fail(CLI_USAGE, "the message has a zero byte at position %zu", strlen(line->data));
    else if (line->data[strspn(line->data, " \t\r")] == '\0')
        return;
    else if (line->data[0] == '/')
        run_command(talk, line->data);
    else
        answer_message(talk, line->data);
}

static cli_exit run_loop(chat *talk)
{
    const bool is_terminal = cli_input_is_terminal();
    cli_line_reader *reader = cli_line_open();

    while (reader && !talk->is_left && !cli_output_is_broken()) {
        cli_interrupt_arm();

        const cli_line_result result = cli_line_read(reader, &talk->line);

        if (result == CLI_LINE)
            take_line(talk);
        else if (result == CLI_LINE_END || !is_terminal)
            talk->is_left = true;
        else if (!cli_is_terminated())
            cli_report("\n/quit or Ctrl-D leaves");
        if (cli_is_terminated() || (result == CLI_LINE_INTERRUPTED && !is_terminal)) {
            talk->is_left = true;
            talk->status = CLI_INTERRUPTED;
        }
        if (result == CLI_LINE_END && is_terminal)
            cli_report("%s", "");
    }
    cli_line_close(reader);
    if (!reader)
        return cli_fail(CLI_DOES_NOT_FIT, "the system has no memory left");
    if (talk->is_suspended)
        return CLI_SUSPENDED;
    return is_terminal && talk->status != CLI_INTERRUPTED ? CLI_DONE : talk->status;
}

static cli_exit prepare(chat *talk, const cli_options *options)
{
    const cli_request request = { 0 }; /* a full context */
    snug_error error = { SNUG_OK, "" };
    cli_exit status = cli_engine_open(&talk->engine, options);

    if (talk->stored)
        talk->engine.kv = talk->stored->info.session.kv;
    if (status == CLI_DONE)
        status = cli_moves_prepare(&talk->moves, &talk->engine, &talk->note);
    if (status == CLI_DONE)
        status = cli_engine_estimate_text(&talk->engine);
    if (status == CLI_DONE)
        status = cli_engine_plan(&talk->engine, &request);
    if (status == CLI_DONE)
        status = cli_engine_open_text(&talk->engine);
    if (status == CLI_DONE && !snug_text_has_chat(talk->engine.text, &error))
        return cli_fail(CLI_BAD_INPUT, "this model cannot chat: %s; generate --raw continues a text with it",
                        error.text[0] ? error.text : "it has no chat template");
    if (status == CLI_DONE)
        status = cli_engine_plan(&talk->engine, &request);
    if (status == CLI_DONE)
        status = cli_engine_start(&talk->engine);
    if (status == CLI_DONE)
        status = talk->stored ? cli_engine_resume(&talk->engine, talk->stored)
                              : cli_cache_file_load(&talk->engine);
    if (status == CLI_DONE)
        status = cli_moves_begin(&talk->moves);
    if (status == CLI_DONE && talk->stored)
        status = take_stored(talk);
    if (status == CLI_DONE && options->system &&
        snug_conversation_set_system(talk->moves.conversation, options->system, &error) != SNUG_OK)
        status = cli_fail_error(&error);
    return status;
}

/* --prompt-cache-file is of the model that it was begun with. */
static cli_exit keep_cache(chat *talk)
{
    if (cli_moves_is_on_disk(&talk->moves))
        return CLI_DONE;
    if (cli_moves_is_home(&talk->moves))
        return cli_cache_file_save(&talk->engine, NULL);
    if (talk->options->prompt_cache_file)
        cli_note("%s stays as it was: it is of another model than the one that goes on now",
                 talk->options->prompt_cache_file);
    return CLI_DONE;
}

static cli_exit run_all(const cli_options *options, const cli_stored *stored)
{
    chat talk = { .options = options, .stored = stored };
    cli_exit status = prepare(&talk, options);

    if (status == CLI_DONE) {
        if (cli_input_is_terminal() && !options->quiet)
            cli_report("%s, %u tokens of context. /help lists commands, Ctrl-D leaves.\n", talk.engine.path,
                       talk.engine.plan.context_tokens);
        if (stored && stored->info.is_unfinished && awaits_answer(&talk))
            go_on(&talk);
        status = run_loop(&talk);

        const cli_exit kept = keep_cache(&talk);

        status = status == CLI_DONE ? kept : status;
    }
    cli_moves_end(&talk.moves);
    cli_engine_close(&talk.engine);
    cli_buffer_free(&talk.line);
    cli_buffer_free(&talk.note);
    return status;
}

cli_exit cli_command_chat(const cli_options *options)
{
    return run_all(options, NULL);
}

cli_exit cli_resume_chat(const cli_options *options, const cli_stored *stored)
{
    return run_all(options, stored);
}
