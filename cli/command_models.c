/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_models.c - the catalogue, planned: which models fit, with which context and cache.
 */
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <snug/hub.h>

#include "cli/cache.h"
#include "cli/catalog.h"
#include "cli/choice.h"
#include "cli/report.h"
#include "cli/value.h"

static snug_catalog_candidate candidate_at(const snug_catalog_choice *choice, size_t index)
{
    snug_catalog_candidate candidate = { .struct_size = sizeof candidate };

    snug_catalog_read_candidate(&candidate, choice, index);
    return candidate;
}

static snug_catalog_model model_of(const cli_catalog *c, const snug_catalog_candidate *candidate)
{
    snug_catalog_model model = { .struct_size = sizeof model };

    snug_catalog_read_model(&model, c->catalog, candidate->model);
    return model;
}

static snug_catalog_source source_of(const cli_catalog *c, const snug_catalog_candidate *candidate)
{
    snug_catalog_source source = { .struct_size = sizeof source };

    snug_catalog_read_source(&source, c->catalog, candidate->model, candidate->source);
    return source;
}

/* "f16", "8/8", "5/4" */
static const char *cache_text(char *out, size_t capacity, const snug_kv_config *kv)
{
    const uint32_t key = cli_cache_bits(&kv->key), value = cli_cache_bits(&kv->value);

    if (key == 16 && value == 16)
        snprintf(out, capacity, "f16");
    else
        snprintf(out, capacity, "%u/%u", key, value);
    return out;
}

/* --- JSON ----------------------------------------------------------------------------------------------- */

static json_t *tiers_json(unsigned tiers)
{
    json_t *list = json_array();

    for (unsigned tier = 0; tier < SNUG_CATALOG_TIERS; tier++)
        if ((tiers >> tier & 1) != 0)
            json_array_append_new(list, json_string(snug_catalog_tier_name(tier)));
    return list;
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *text_or_null(const char *text)
{
    return text && *text ? json_string(text) : json_null();
}

static json_t *plan_json(const snug_catalog_candidate *c)
{
    char cache[16];

    if (!c->is_planned)
        return json_null();
    return json_pack("{s:o,s:o,s:o,s:s,s:o,s:o,s:o}", "need_bytes", number(c->need_bytes), "peak_bytes",
                     number(c->plan.peak_bytes), "weight_bytes", number(c->weight_bytes), "cache",
                     cache_text(cache, sizeof cache, &c->plan.kv), "context_tokens",
                     number(c->plan.context_tokens), "prefill_chunk", number(c->plan.prefill_chunk),
                     "longest_context_tokens", number(c->longest_tokens));
}

static json_t *candidate_json(const cli_catalog *catalog, const snug_catalog_candidate *c)
{
    const snug_catalog_model model = model_of(catalog, c);
    const snug_catalog_source source = source_of(catalog, c);

    return json_pack("{s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:b,s:b,s:s,s:o}", "name", model.name, "title",
                     model.title, "publisher", text_or_null(model.publisher), "licence",
                     text_or_null(model.licence), "tiers", tiers_json(model.tiers), "repository",
                     text_or_null(source.repository), "file", text_or_null(source.file), "weights",
                     text_or_null(source.weights), "parameters", number(c->parameters), "path",
                     text_or_null(c->path), "fits", c->fits, "chosen", c->is_chosen, "why", c->why, "plan",
                     plan_json(c));
}

static bool add_repository(void *user, const snug_hub_repository *repository)
{
    json_array_append_new(user, json_pack("{s:s,s:o,s:I}", "repository", repository->name, "bytes",
                                          number(repository->bytes), "used_seconds",
                                          (json_int_t)repository->used_seconds));
    return true;
}

static json_t *repositories_json(const cli_catalog *catalog)
{
    json_t *list = json_array();

    snug_hub_list(catalog->cache_folder, add_repository, list);
    return list;
}

static void print_json(const cli_catalog *catalog, const snug_catalog_choice *choice)
{
    const size_t chosen = snug_catalog_chosen(choice);
    json_t *list = json_array();
    const char *name = NULL;

    for (size_t i = 0; i < snug_catalog_candidate_count(choice); i++) {
        const snug_catalog_candidate c = candidate_at(choice, i);

        json_array_append_new(list, candidate_json(catalog, &c));
        if (i == chosen)
            name = model_of(catalog, &c).name;
    }
    cli_write_json(json_pack("{s:o,s:o,s:s,s:o,s:o}", "limit_bytes", number(snug_catalog_limit_bytes(choice)),
                             "chosen", text_or_null(name), "explanation", snug_catalog_explanation(choice),
                             "candidates", list, "fetched", repositories_json(catalog)));
    cli_print("\n");
}

/* --- for people ----------------------------------------------------------------------------------------- */

static void print_row(const cli_catalog *catalog, const snug_catalog_candidate *c)
{
    const snug_catalog_model model = model_of(catalog, c);
    const snug_catalog_source source = source_of(catalog, c);
    const char *weights = source.weights[0] ? source.weights : "-";
    char cache[16] = "-", longest[16] = "-", context[16] = "-";

    if (c->fits) {
        (void)cache_text(cache, sizeof cache, &c->plan.kv);
        snprintf(context, sizeof context, "%u", c->plan.context_tokens);
    }
    if (c->longest_tokens > 0)
        snprintf(longest, sizeof longest, "%u", c->longest_tokens);
    cli_print("%s %-13s %-10s %9s %9s  %-4s %7s %5s %8s  %s%s%s%s\n", c->is_chosen ? "*" : " ", model.name,
              weights, c->is_planned ? cli_size(c->file_bytes).text : "?",
              c->is_planned ? cli_size(c->need_bytes).text : "?", c->fits ? "yes" : "no", context, cache,
              longest, c->path ? "here: " : "", source.repository[0] ? source.repository : c->path,
              source.file[0] ? ":" : "", source.file);
}

static bool print_repository(void *user, const snug_hub_repository *repository)
{
    const time_t used = (time_t)repository->used_seconds;
    struct tm calendar;
    char day[16] = "never";
    bool *is_first = user;

    if (used > 0 && localtime_r(&used, &calendar))
        (void)strftime(day, sizeof day, "%Y-%m-%d", &calendar);
    cli_print("%s  %-44s %9s  last used %s\n", *is_first ? "\nFetched from the hub:\n" : "", repository->name,
              cli_size(repository->bytes).text, day);
    *is_first = false;
    return true;
}

static void print_table(const cli_catalog *catalog, const snug_catalog_choice *choice)
{
    cli_print("  %-13s %-10s %9s %9s  %-4s %7s %5s %8s  %s\n", "name", "weights", "files", "needs", "fits",
              "context", "cache", "at most", "from");
    for (size_t i = 0; i < snug_catalog_candidate_count(choice); i++) {
        const snug_catalog_candidate c = candidate_at(choice, i);

        print_row(catalog, &c);
    }
    cli_print("\n%s.\n", snug_catalog_explanation(choice));
}

cli_exit cli_command_models(const cli_options *options)
{
    snug_catalog_query query = {
        .struct_size = sizeof query,
        .limit_bytes = options->limit,
        .context_tokens = (uint32_t)options->context,
        .is_installed_only = options->installed,
    };
    snug_error error = { SNUG_OK, "" };
    snug_catalog_choice *choice = NULL;
    cli_catalog catalog;
    cli_exit status = cli_choice_read_strategy(&query.strategy, options);
    bool is_first = true;

    if (status == CLI_DONE)
        status = cli_catalog_open(&catalog);
    if (status != CLI_DONE)
        return status;
    if (snug_catalog_best(&choice, catalog.catalog, &query, &error) != SNUG_OK)
        status = cli_fail_error(&error);
    else if (options->json)
        print_json(&catalog, choice);
    else
        print_table(&catalog, choice);
    if (status == CLI_DONE && options->installed && !options->json)
        snug_hub_list(catalog.cache_folder, print_repository, &is_first);
    snug_catalog_choice_destroy(choice);
    cli_report_ledger(options, catalog.memory);
    cli_catalog_close(&catalog);
    return status;
}
