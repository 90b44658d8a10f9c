/* SPDX-License-Identifier: Apache-2.0 */
/*
 * moves.c - see the header.
 */
#include "cli/moves.h"

#include <stdio.h>
#include <string.h>

#include "cli/cache.h"
#include "cli/system.h"
#include "cli/value.h"

/* --- following ------------------------------------------------------------------------------------------ */

/* The engine shows what is there now. */
static void follow(const cli_moves *moves)
{
    cli_engine *engine = moves->engine;
    const snug_loaded *loaded = snug_conversation_loaded(moves->conversation);

    engine->model = loaded->model;
    engine->text = loaded->text;
    engine->session = snug_conversation_session(moves->conversation);
    engine->info.struct_size = sizeof engine->info;
    snug_model_read_info(&engine->info, engine->model);
}

static void follow_move(const cli_moves *moves, const snug_switch_report *report)
{
    cli_engine *engine = moves->engine;
    const snug_plan before = engine->plan;

    follow(moves);
    snprintf(engine->path, sizeof engine->path, "%s", snug_conversation_model(moves->conversation));
    engine->plan = report->plan;
    /* The limit in the ledger is the one that the first plan came to. */
    if (engine->plan.limit_bytes <= before.limit_bytes)
        memcpy(engine->plan.limited_by, before.limited_by, sizeof engine->plan.limited_by);
    engine->candidate_count = 0;
}

static void on_switch(void *user, const snug_switch_report *report)
{
    const cli_moves *moves = user;

    follow_move(moves, report);
    cli_flush();
    if (!moves->engine->options->quiet)
        cli_note("%s", report->sentence);
}

static const char *note_of(void *user)
{
    const cli_moves *moves = user;

    return moves->note->bytes > 0 ? moves->note->data : NULL;
}

/* --- beginning and end ---------------------------------------------------------------------------------- */

/* Where a session goes that another one needs the memory of. */
static cli_exit make_folder(cli_moves *moves)
{
    const cli_exit status = moves->has_folder ? CLI_DONE : cli_store_make_folder(moves->engine->options);

    moves->has_folder = moves->has_folder || status == CLI_DONE;
    return status;
}

static bool may_switch(const cli_engine *engine)
{
    return engine->options->allow_switch || snug_strategy_rules_of(engine->strategy)->may_switch;
}

cli_exit cli_moves_prepare(cli_moves *moves, cli_engine *engine, const cli_buffer *note)
{
    const cli_options *options = engine->options;
    snug_conversation_options conversation = { .struct_size = sizeof conversation,
                                               .session = cli_engine_session_options(engine),
                                               .load = { .struct_size = sizeof conversation.load,
                                                         .model = cli_engine_model_options(engine) },
                                               .checkpoint_path = moves->checkpoint,
                                               .checkpoint_note = note_of,
                                               .now_unix = cli_local_time(),
                                               .may_switch = options->allow_switch,
                                               .on_switch = on_switch,
                                               .user = moves };
    snug_error error = { SNUG_OK, "" };
    cli_exit status;

    *moves = (cli_moves){ .engine = engine, .note = note };
    status = cli_catalog_open(&moves->catalog);
    if (status == CLI_DONE)
        status = cli_store_checkpoint(moves->checkpoint, moves->checkpoint_id, options);
    if (status == CLI_DONE && may_switch(engine))
        status = make_folder(moves);
    if (status != CLI_DONE)
        return status;
    if (snug_pool_create(&moves->pool, engine->memory, moves->catalog.catalog, 0, &error) != SNUG_OK ||
        snug_conversation_create(&moves->conversation, moves->pool, &conversation, &error) != SNUG_OK)
        return cli_fail_error(&error);
    return CLI_DONE;
}

cli_exit cli_moves_begin(cli_moves *moves)
{
    cli_engine *engine = moves->engine;
    snug_error error = { SNUG_OK, "" };
    snug_loaded loaded;

    if (snug_pool_adopt(&loaded, moves->pool, engine->path, engine->model, engine->text, &error) != SNUG_OK)
        return cli_fail_error(&error);
    snprintf(moves->first, sizeof moves->first, "%s",
             engine->options->model ? engine->options->model : engine->path);
    snug_conversation_adopt(moves->conversation, &loaded, engine->session, moves->first);
    engine->is_borrowed = true;
    follow(moves);
    return CLI_DONE;
}

void cli_moves_end(cli_moves *moves)
{
    snug_conversation_destroy(moves->conversation);
    snug_pool_destroy(moves->pool);
    cli_catalog_close(&moves->catalog);
    if (moves->engine && moves->engine->is_borrowed) {
        moves->engine->session = NULL;
        moves->engine->text = NULL;
        moves->engine->model = NULL;
    }
}

/* --- the list ------------------------------------------------------------------------------------------- */

static void list_one(const cli_moves *moves, const char *name, const snug_catalog_source *source)
{
    const char *weights = source->weights[0] ? source->weights : "-";
    snug_error error = { SNUG_OK, "" };
    snug_plan plan;
    bool is_beside;

    if (snug_conversation_foresee(&plan, &is_beside, moves->conversation, source->path, &error) != SNUG_OK)
        cli_report("  %-14s %-11s cannot be opened: %s", name, weights, error.text);
    else if (!plan.fits)
        cli_report("  %-14s %-11s does not fit: needs %s, and %s may be used", name, weights,
                   cli_size(plan.peak_bytes).text, cli_size(plan.limit_bytes).text);
    else
        cli_report("  %-14s %-11s fits: %s with %u tokens of context, cache %s%s", name, weights,
                   cli_size(plan.peak_bytes).text, plan.context_tokens, cli_cache_in_words(&plan.kv).text,
                   is_beside ? "" : "; this session would go to disk meanwhile");
}

void cli_moves_list(const cli_moves *moves)
{
    const snug_catalog *catalog = moves->catalog.catalog;
    size_t listed = 0;

    cli_report("now: %s", snug_conversation_model(moves->conversation));
    for (size_t i = 0; i < snug_catalog_model_count(catalog); i++) {
        snug_catalog_model model = { .struct_size = sizeof model };

        snug_catalog_read_model(&model, catalog, i);
        for (size_t s = 0; s < model.source_count; s++) {
            snug_catalog_source source = { .struct_size = sizeof source };

            snug_catalog_read_source(&source, catalog, i, s);
            if (source.path) {
                list_one(moves, model.name, &source);
                listed++;
            }
        }
    }
    cli_report("%s/model NAME goes on with another one; a path will do, too",
               listed == 0 ? "none of the known models is on this machine; " : "");
}

/* --- moving --------------------------------------------------------------------------------------------- */

typedef struct view {
    bool is_shown;
    size_t columns; /* of the line that is rewritten */
} view;

static void show(void *user, const snug_switch_progress *progress)
{
    static const char *const phases[] = { "loading", "writing the old session to disk",
                                          "reading the conversation again" };
    view *v = user;
    char line[80];
    int columns;

    if (!v->is_shown || progress->total == 0)
        return;
    columns = snprintf(line, sizeof line, "%s: %.0f %%", phases[progress->phase], 100 * progress->fraction);
    (void)fprintf(stderr, "\r%-*s", (int)v->columns, line);
    v->columns = columns > 0 ? (size_t)columns : v->columns;
}

cli_exit cli_moves_to(cli_moves *moves, const char *name)
{
    const cli_options *options = moves->engine->options;
    view v = { .is_shown = cli_error_is_terminal() && !options->quiet };
    const snug_switch_options how = {
        .struct_size = sizeof how, .keep_going = cli_keep_going, .on_progress = show, .user = &v
    };
    snug_error error = { SNUG_OK, "" };
    snug_switch_report report;
    snug_status moved;
    cli_exit status;

    if (options->chat_template)
        return cli_fail(CLI_USAGE,
                        "--chat-template was given for %s; another model has its own: begin "
                        "without it to move between models",
                        snug_conversation_model(moves->conversation));
    if (cli_catalog_is_absent(name))
        return cli_fail(CLI_BAD_INPUT, "%s is not on this machine; fetch it: llm-tool pull %s; %s goes on",
                        name, name, snug_conversation_model(moves->conversation));
    status = make_folder(moves);
    if (status != CLI_DONE)
        return status;
    cli_interrupt_arm();
    moved = snug_conversation_switch(&report, moves->conversation, name, &how, &error);
    if (v.columns > 0)
        (void)fprintf(stderr, "\r%-*s\r", (int)v.columns, "");
    if (moved != SNUG_OK) {
        moves->engine->session = snug_conversation_session(moves->conversation);
        return cli_fail(cli_exit_of(moved), "%s; %s goes on", error.text,
                        snug_conversation_model(moves->conversation));
    }
    if (snug_conversation_session(moves->conversation) == moves->engine->session) {
        cli_note("%s it is already", name);
        return CLI_DONE;
    }
    on_switch(moves, &report);
    return CLI_DONE;
}

cli_exit cli_moves_set_strategy(cli_moves *moves, snug_strategy strategy)
{
    snug_error error = { SNUG_OK, "" };

    if (snug_conversation_set_strategy(moves->conversation, strategy, &error) != SNUG_OK)
        return cli_fail_error(&error);
    moves->engine->strategy = strategy;
    return may_switch(moves->engine) ? make_folder(moves) : CLI_DONE;
}

bool cli_moves_is_home(const cli_moves *moves)
{
    return strcmp(snug_conversation_model(moves->conversation), moves->first) == 0;
}

bool cli_moves_is_on_disk(const cli_moves *moves)
{
    return !snug_conversation_session(moves->conversation);
}

void cli_moves_say_where(const cli_moves *moves)
{
    cli_note("the conversation is in %s. To go on:\n          llm-tool session resume %s%s%s",
             moves->checkpoint, moves->checkpoint_id,
             moves->engine->options->session_folder ? " --session-folder " : "",
             moves->engine->options->session_folder ? moves->engine->options->session_folder : "");
}
