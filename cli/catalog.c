/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalog.c - see the header.
 */
#include "cli/catalog.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <snug/hub.h>

#include "cli/choice.h"
#include "cli/system.h"

cli_exit cli_catalog_open(cli_catalog *out)
{
    char user_file[1024], bundled[1024];
    snug_error error = { SNUG_OK, "" };
    snug_catalog_options options = { .struct_size = sizeof options };

    *out = (cli_catalog){ 0 };
    if (snug_catalog_user_file(user_file, sizeof user_file))
        options.user_file = user_file;
    if (snug_catalog_cache_folder(out->cache_folder, sizeof out->cache_folder))
        options.cache_folder = out->cache_folder;
    else
        out->cache_folder[0] = '\0';
    if (cli_bundled_model(bundled, sizeof bundled))
        options.bundled_folder = bundled;
    error.status = snug_memory_create(&out->memory, NULL);
    if (error.status != SNUG_OK ||
        snug_catalog_open(&out->catalog, out->memory, &options, &error) != SNUG_OK) {
        cli_catalog_close(out);
        return cli_fail_error(&error);
    }
    return CLI_DONE;
}

void cli_catalog_close(cli_catalog *catalog)
{
    snug_catalog_close(catalog->catalog);
    snug_memory_destroy(catalog->memory);
    catalog->catalog = NULL;
    catalog->memory = NULL;
}

/* --- which model ---------------------------------------------------------------------------------------- */

static cli_exit copy_path(char *path_out, size_t capacity, const char *path)
{
    if (snprintf(path_out, capacity, "%s", path) < (int)capacity)
        return CLI_DONE;
    return cli_fail(CLI_USAGE, "the path of --model is longer than %zu bytes", capacity - 1);
}

/* A row of the catalogue, or a repository that was fetched. */
static cli_exit find_known(char *path_out, size_t capacity, const cli_catalog *c, const char *name)
{
    snug_catalog_source source = { .struct_size = sizeof source };
    const char *colon = strchr(name, ':');
    char repository[128];
    size_t model, index;

    if (snug_catalog_find(&model, &index, c->catalog, name)) {
        snug_catalog_read_source(&source, c->catalog, model, index);
        if (!source.path)
            return cli_fail(CLI_BAD_INPUT, "%s is not on this machine; fetch it: llm-tool pull %s", name,
                            name);
        return copy_path(path_out, capacity, source.path);
    }
    snprintf(repository, sizeof repository, "%.*s", (int)(colon ? colon - name : (long)strlen(name)), name);
    if (!snug_hub_locate(path_out, capacity, c->cache_folder, repository, colon ? colon + 1 : ""))
        return copy_path(path_out, capacity, name); /* opening it will say that there is no such path */
    return CLI_DONE;
}

cli_exit cli_catalog_find_model(char *path_out, size_t capacity, const char *name)
{
    cli_catalog c;
    cli_exit status;

    if (access(name, F_OK) == 0)
        return copy_path(path_out, capacity, name);
    status = cli_catalog_open(&c);
    if (status == CLI_DONE)
        status = find_known(path_out, capacity, &c, name);
    cli_catalog_close(&c);
    return status;
}

/* The row of that name, if there is one whose files are not here. */
static bool find_absent(size_t *model_out, size_t *source_out, const cli_catalog *c, const char *name)
{
    snug_catalog_source source = { .struct_size = sizeof source };

    if (!snug_catalog_find(model_out, source_out, c->catalog, name))
        return false;
    snug_catalog_read_source(&source, c->catalog, *model_out, *source_out);
    return !source.path;
}

bool cli_catalog_is_absent(const char *name)
{
    size_t model, source;
    bool is_absent = false;
    cli_catalog c;

    if (access(name, F_OK) == 0)
        return false;
    if (cli_catalog_open(&c) == CLI_DONE)
        is_absent = find_absent(&model, &source, &c, name);
    cli_catalog_close(&c);
    return is_absent;
}

cli_exit cli_catalog_open_outline(snug_model **model_out, uint64_t *text_bytes_out, const char *name,
                                  snug_memory *memory)
{
    snug_error error = { SNUG_OK, "" };
    size_t model, source;
    cli_catalog c;
    cli_exit status = cli_catalog_open(&c);

    if (status == CLI_DONE && !find_absent(&model, &source, &c, name))
        status = cli_fail(CLI_BAD_INPUT, "%s is no model of the catalogue", name);
    if (status == CLI_DONE && snug_catalog_open_outline(model_out, text_bytes_out, c.catalog, model, source,
                                                        memory, &error) != SNUG_OK)
        status = cli_fail_error(&error);
    cli_catalog_close(&c);
    return status;
}

static cli_exit use_bundled(char *path_out, size_t capacity, bool is_quiet)
{
    if (!cli_bundled_model(path_out, capacity))
        return cli_fail(CLI_BAD_INPUT,
                        "the bundled model is not where it belongs (%s); name one with --model", path_out);
    if (!is_quiet)
        cli_note(
            "no --model given: using the bundled one, %s.\n"
            "          It is tiny and tells short stories; for anything else give --model NAME (llm-tool "
            "models lists them).",
            path_out);
    return CLI_DONE;
}

static bool is_any_fetched(const snug_catalog *catalog)
{
    for (size_t i = 0; i < snug_catalog_model_count(catalog); i++) {
        snug_catalog_model model = { .struct_size = sizeof model };

        snug_catalog_read_model(&model, catalog, i);
        for (size_t s = 0; s < model.source_count; s++) {
            snug_catalog_source source = { .struct_size = sizeof source };

            snug_catalog_read_source(&source, catalog, i, s);
            if (source.path && source.repository[0])
                return true;
        }
    }
    return false;
}

/* Writes the path and says why; false when the bundled one is to be used. */
static bool choose(char *path_out, size_t capacity, const cli_catalog *c, snug_strategy strategy,
                   const cli_options *options)
{
    const snug_catalog_query query = {
        .struct_size = sizeof query,
        .limit_bytes = options->memory_limit,
        .strategy = strategy,
        .context_tokens = (uint32_t)options->context,
        .is_installed_only = true,
    };
    snug_catalog_candidate best = { .struct_size = sizeof best };
    snug_catalog_choice *choice = NULL;
    bool is_chosen = false;

    if (is_any_fetched(c->catalog) && snug_catalog_best(&choice, c->catalog, &query, NULL) == SNUG_OK &&
        snug_catalog_chosen(choice) != SIZE_MAX) {
        snug_catalog_read_candidate(&best, choice, snug_catalog_chosen(choice));
        is_chosen = snprintf(path_out, capacity, "%s", best.path) < (int)capacity;
        if (is_chosen && !options->quiet)
            cli_note("no --model given: %s.", snug_catalog_explanation(choice));
    }
    snug_catalog_choice_destroy(choice);
    return is_chosen;
}

cli_exit cli_catalog_choose_model(char *path_out, size_t capacity, const cli_options *options)
{
    cli_catalog c;
    snug_strategy strategy;
    bool is_chosen;
    cli_exit status = cli_choice_read_strategy(&strategy, options);

    if (status == CLI_DONE)
        status = cli_catalog_open(&c);
    if (status != CLI_DONE)
        return status;
    is_chosen = choose(path_out, capacity, &c, strategy, options);
    cli_catalog_close(&c);
    return is_chosen ? CLI_DONE : use_bundled(path_out, capacity, options->quiet);
}
