/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_serve.c - the server: what it is to do, from the command line; the rest is server/.
 */
#include "cli/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "cli/cache.h"
#include "cli/catalog.h"
#include "cli/choice.h"
#include "cli/hub_name.h"
#include "cli/input.h"
#include "cli/json_heap.h"
#include "cli/report.h"

#ifdef SNUG_HAVE_SERVER

#    include "server/server.h"

/* For answers of the server itself, whatever the limit is. */
#    define JSON_KEPT_BYTES ((uint64_t)256 << 10)

typedef struct serving {
    const cli_options *options;
    server_options server;
    cli_catalog catalog;
    char model_path[4096];
    char token[512];
    cli_buffer key;
    cli_buffer chat_template;
} serving;

/* --- who may call --------------------------------------------------------------------------------------- */

static bool is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 || strncmp(host, "127.", 4) == 0;
}

/* From a file it has no line end; a key in a process list is a key no more, so it may come otherwise. */
static cli_exit read_key(serving *s)
{
    const char *argument = cli_given(s->options, api_key) ? s->options->api_key : getenv("SNUG_API_KEY");
    snug_error error = { SNUG_OK, "" };

    if (!argument || argument[0] == '\0')
        return cli_given(s->options, api_key) ? cli_fail(CLI_USAGE, "--api-key: the key is empty") : CLI_DONE;
    if (!s->options->auth)
        return cli_fail(CLI_USAGE, "--no-auth and a key contradict each other; give one of them");
    if (cli_read_text(&s->key, argument, "the key", &error) != SNUG_OK)
        return cli_fail_error(&error);
    while (s->key.bytes > 0 && strchr("\r\n", s->key.data[s->key.bytes - 1]))
        s->key.data[--s->key.bytes] = '\0';
    if (s->key.bytes == 0 || strlen(s->key.data) != s->key.bytes)
        return cli_fail(CLI_USAGE, "--api-key: the key is empty, or has a zero byte");
    s->server.api_key = s->key.data;
    return CLI_DONE;
}

static cli_exit read_access(serving *s)
{
    const cli_options *options = s->options;
    const cli_exit status = read_key(s);

    s->server.host = options->host;
    s->server.port = (uint16_t)options->port;
    s->server.cors = options->cors;
    s->server.allow_hosts = options->allow_host;
    if (status == CLI_DONE && !is_loopback(options->host) && !s->server.api_key && options->auth)
        return cli_fail(CLI_USAGE,
                        "--host %s can be reached by others: give --api-key KEY, or say --no-auth to serve "
                        "whoever comes",
                        options->host);
    return status;
}

/* --- what is served ------------------------------------------------------------------------------------- */

static cli_exit read_template(serving *s)
{
    snug_error error = { SNUG_OK, "" };

    if (!s->options->chat_template)
        return CLI_DONE;
    if (cli_read_file(&s->chat_template, s->options->chat_template, &error) != SNUG_OK)
        return cli_fail_error(&error);
    s->server.chat_template = s->chat_template.data ? s->chat_template.data : "";
    s->server.chat_template_bytes = s->chat_template.bytes;
    return CLI_DONE;
}

static cli_exit read_model(serving *s)
{
    const cli_options *options = s->options;
    cli_exit status;

    status = cli_engine_read_model_options(&s->server.model, options);
    if (status == CLI_DONE)
        status = cli_catalog_open(&s->catalog);
    if (status == CLI_DONE)
        status = options->model ? cli_catalog_find_model(s->model_path, sizeof s->model_path, options->model)
                                : cli_catalog_choose_model(s->model_path, sizeof s->model_path, options);
    s->server.catalog = s->catalog.catalog;
    s->server.cache_folder = s->catalog.cache_folder;
    s->server.hub_endpoint = cli_hub_endpoint();
    s->server.hub_ca_file = cli_hub_certificates();
    s->server.hub_token = cli_hub_token(s->token, sizeof s->token);
    s->server.model_path = s->model_path;
    return status == CLI_DONE ? read_template(s) : status;
}

static cli_exit read_defaults(serving *s)
{
    const cli_options *options = s->options;
    cli_exit status = cli_choice_read_strategy(&s->server.strategy, options);

    if (status == CLI_DONE)
        status = cli_cache_read(&s->server.kv, options);
    s->server.max_tokens = cli_given(options, max_tokens) ? (uint32_t)options->max_tokens : 0;
    s->server.context_tokens = (uint32_t)options->context;
    s->server.prefill_chunk = cli_given(options, prefill_chunk) ? (uint32_t)options->prefill_chunk : 0;
    s->server.threads = (uint32_t)options->threads;
    s->server.memory_limit = options->memory_limit;
    s->server.may_switch = options->allow_switch;
    s->server.queue = (uint32_t)options->queue;
    s->server.answers = (uint32_t)options->answers;
    s->server.kept = (uint32_t)options->keep;
    s->server.idle_unload_seconds = (uint32_t)options->idle_unload;
    s->server.grace_seconds = (uint32_t)options->grace;
    s->server.stall_seconds = (uint32_t)options->stall;
    s->server.body_bytes = options->max_body;
    s->server.web_folder = options->web_folder;
    return status;
}

/* --- what it says --------------------------------------------------------------------------------------- */

static void on_note(void *user, const char *text)
{
    const serving *s = user;

    if (!s->options->quiet)
        cli_note("%s", text);
}

static void on_ready(void *user, const char *address)
{
    const serving *s = user;

    cli_print("%s\n", address);
    cli_flush();
    if (!s->options->quiet)
        cli_note("listening on %s: the page is %s/chat, the API %s/v1", address, address, address);
}

/* --- what only the tool can do -------------------------------------------------------------------------- */

static struct json_t *on_plan(void *user, const char *model_path, uint32_t context_tokens,
                              snug_strategy strategy)
{
    const serving *s = user;
    cli_options options = *s->options;

    options.command = CLI_COMMAND_plan;
    options.model = model_path;
    options.context = context_tokens;
    options.optimization_strategy = snug_strategy_name(strategy);
    options.given[CLI_OPTION_optimization_strategy] = true;
    return cli_plan_json(&options);
}

/* As llm-tool generate would have suspended it: with what of our options is its own, too. */
static bool on_suspend(void *user, char *name_out, snug_session *session, const char *model_path,
                       const char *reason)
{
    const serving *s = user;
    cli_options options = *s->options;
    cli_engine engine = { .options = &options, .session = session };
    cli_suspension suspension;
    cli_buffer note = { 0 };
    cli_exit status;

    options.command = CLI_COMMAND_generate;
    for (int id = 0; id < CLI_OPTION_COUNT; id++)
        options.given[id] = options.given[id] && cli_takes(CLI_COMMAND_generate, (cli_option_id)id);
    snprintf(engine.path, sizeof engine.path, "%s", model_path);
    cli_suspend_prepare(&note, &engine, NULL, 0);
    status = cli_suspend(&suspension, &engine, &note, reason);
    cli_buffer_free(&note);
    if (status == CLI_SUSPENDED)
        snprintf(name_out, 64, "%s", suspension.id);
    return status == CLI_SUSPENDED;
}

static cli_exit serve(serving *s)
{
    snug_error error = { SNUG_OK, "" };

    error.status = snug_memory_create(&s->server.memory, NULL);
    if (error.status != SNUG_OK || cli_json_count_in(s->server.memory, &error) != SNUG_OK ||
        cli_json_hold(JSON_KEPT_BYTES, &error) != SNUG_OK)
        return cli_fail_error(&error);
    s->server.on_note = on_note;
    s->server.on_ready = on_ready;
    s->server.on_plan = on_plan;
    s->server.on_suspend = on_suspend;
    s->server.user = s;
    return server_run(&s->server, &error) == SNUG_OK ? CLI_DONE : cli_fail_error(&error);
}

cli_exit cli_command_serve(const cli_options *options)
{
    serving s = { .options = options };
    cli_exit status = read_access(&s);

    if (status == CLI_DONE)
        status = read_defaults(&s);
    if (status == CLI_DONE)
        status = read_model(&s);
    if (status == CLI_DONE)
        status = serve(&s);
    cli_report_ledger(options, s.server.memory);
    cli_json_count_no_more(s.server.memory);
    snug_memory_destroy(s.server.memory);
    cli_catalog_close(&s.catalog);
    cli_buffer_free(&s.chat_template);
    cli_buffer_free(&s.key);
    return status;
}

#else

cli_exit cli_command_serve(const cli_options *options)
{
    (void)options;
    return cli_fail(CLI_FAILED, "this llm-tool was built without its server; build it with libmicrohttpd and "
                                "-DSNUG_SERVER=ON");
}

#endif
