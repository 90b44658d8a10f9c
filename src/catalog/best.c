/* SPDX-License-Identifier: Apache-2.0 */
/*
 * best.c - the choice among candidates, and the sentences about it.
 */
#include <stdio.h>

#include "base/status.h"
#include "catalog/fit.h"
#include "memory/memory.h"

struct snug_catalog_choice {
    snug_memory *memory;
    const snug_catalog *catalog;
    catalog_question question;
    size_t count;
    size_t chosen; /* SIZE_MAX: none */
    char explanation[512];
    snug_catalog_candidate candidate[];
};

static bool is_candidate(const catalog_source *source, const snug_catalog_query *query)
{
    return source->path[0] || (!query->is_installed_only && source->repository[0]);
}

static size_t count_candidates(const snug_catalog *catalog, const snug_catalog_query *query)
{
    size_t count = 0;

    for (size_t i = 0; i < catalog->model_count; i++)
        for (size_t s = 0; s < catalog->models[i].source_count; s++)
            count += is_candidate(&catalog->models[i].source[s], query);
    return count;
}

static snug_status fit_all(snug_catalog_choice *choice, const snug_catalog_query *query, snug_error *error)
{
    for (size_t i = 0; i < choice->catalog->model_count; i++) {
        const catalog_model *model = &choice->catalog->models[i];

        for (size_t s = 0; s < model->source_count; s++) {
            snug_catalog_candidate *candidate = &choice->candidate[choice->count];

            if (!is_candidate(&model->source[s], query))
                continue;
            *candidate = (snug_catalog_candidate){ .model = i, .source = s };
            SNUG_TRY(snug_catalog_fit(candidate, model, s, &choice->question, error));
            choice->count++;
        }
    }
    return SNUG_OK;
}

/* More parameters; of one model the earlier source, of two with as many the earlier row: what comes first. */
static void choose(snug_catalog_choice *choice)
{
    choice->chosen = SIZE_MAX;
    for (size_t i = 0; i < choice->count; i++)
        if (choice->candidate[i].fits &&
            (choice->chosen == SIZE_MAX ||
             choice->candidate[i].parameters > choice->candidate[choice->chosen].parameters))
            choice->chosen = i;
    if (choice->chosen != SIZE_MAX)
        choice->candidate[choice->chosen].is_chosen = true;
}

static const char *name_of(const snug_catalog_choice *choice, const snug_catalog_candidate *candidate)
{
    return choice->catalog->models[candidate->model].name;
}

/* "f16", "8 bits", "5/4 bits" */
static const char *cache_in_words(char *out, size_t capacity, const snug_kv_config *kv)
{
    const uint32_t key = kv->key.bits ? kv->key.bits : 16, value = kv->value.bits ? kv->value.bits : 16;

    if (key == 16 && value == 16)
        snprintf(out, capacity, "f16");
    else if (key == value)
        snprintf(out, capacity, "%u bits", key);
    else
        snprintf(out, capacity, "%u/%u bits", key, value);
    return out;
}

static void say_why(snug_catalog_choice *choice)
{
    const snug_catalog_candidate *best = &choice->candidate[choice->chosen];
    char cache[40];

    for (size_t i = 0; i < choice->count; i++) {
        snug_catalog_candidate *c = &choice->candidate[i];

        if (!c->fits)
            continue;
        if (c->is_chosen)
            snprintf(c->why, sizeof c->why, "the best that fits: needs %s of %s at %u tokens, cache %s",
                     snug_catalog_size(c->need_bytes).text,
                     snug_catalog_size(choice->question.limit_bytes).text, c->plan.context_tokens,
                     cache_in_words(cache, sizeof cache, &c->plan.kv));
        else if (c->model == best->model)
            snprintf(c->why, sizeof c->why, "fits; another source of the same model comes first");
        else
            snprintf(c->why, sizeof c->why,
                     "fits; %s computes with more parameters: %.2f against %.2f billion",
                     name_of(choice, best), (double)best->parameters / 1e9, (double)c->parameters / 1e9);
    }
}

/* The candidate that needs least. */
static const snug_catalog_candidate *smallest(const snug_catalog_choice *choice)
{
    const snug_catalog_candidate *found = NULL;

    for (size_t i = 0; i < choice->count; i++)
        if (choice->candidate[i].is_planned &&
            (!found || choice->candidate[i].need_bytes < found->need_bytes))
            found = &choice->candidate[i];
    return found;
}

/* The next larger model that does not fit: what the choice stopped at. */
static const snug_catalog_candidate *next_larger(const snug_catalog_choice *choice, uint64_t parameters)
{
    const snug_catalog_candidate *found = NULL;

    for (size_t i = 0; i < choice->count; i++) {
        const snug_catalog_candidate *c = &choice->candidate[i];

        if (c->is_planned && !c->fits && c->parameters > parameters &&
            (!found || c->parameters < found->parameters))
            found = c;
    }
    return found;
}

static void explain(snug_catalog_choice *choice)
{
    const catalog_size_text limit = snug_catalog_size(choice->question.limit_bytes);
    const snug_catalog_candidate *least = smallest(choice);
    const snug_catalog_candidate *best, *larger;
    int bytes;

    if (choice->count == 0) {
        snprintf(choice->explanation, sizeof choice->explanation, "no model is installed");
        return;
    }
    if (choice->chosen == SIZE_MAX) {
        snprintf(choice->explanation, sizeof choice->explanation,
                 least ? "nothing fits in %s: the smallest, %s, %s" : "nothing can be read", limit.text,
                 least ? name_of(choice, least) : "", least ? least->why : "");
        return;
    }
    best = &choice->candidate[choice->chosen];
    larger = next_larger(choice, best->parameters);
    bytes = snprintf(choice->explanation, sizeof choice->explanation, "%s is %s", name_of(choice, best),
                     best->why);
    if (larger && bytes > 0 && (size_t)bytes < sizeof choice->explanation)
        snprintf(choice->explanation + bytes, sizeof choice->explanation - (size_t)bytes, "; %s %s",
                 name_of(choice, larger), larger->why);
}

snug_status snug_catalog_best(snug_catalog_choice **choice_out, const snug_catalog *catalog,
                              const snug_catalog_query *query, snug_error *error)
{
    const size_t count = count_candidates(catalog, query);
    snug_error own = { SNUG_OK, "" };
    snug_memory_state state;
    snug_catalog_choice *choice;
    snug_status status;

    *choice_out = NULL;
    if (!error)
        error = &own;
    choice = snug_memory_alloc(catalog->memory, SNUG_MEMORY_OTHER,
                               sizeof *choice + count * sizeof choice->candidate[0],
                               "the candidates of a choice", error);
    if (!choice)
        return error->status;
    choice->memory = catalog->memory;
    choice->catalog = catalog;
    choice->question = (catalog_question){
        .limit_bytes = query->limit_bytes,
        .strategy = query->strategy,
        .rules = snug_strategy_rules_of(query->strategy),
        .context_tokens = query->context_tokens,
    };
    if (query->limit_bytes == 0) {
        snug_memory_read_state(&state, catalog->memory);
        choice->question.limit_bytes = state.limit_bytes;
    }
    status = fit_all(choice, query, error);
    if (status != SNUG_OK) {
        snug_catalog_choice_destroy(choice);
        return status;
    }
    choose(choice);
    if (choice->chosen != SIZE_MAX)
        say_why(choice);
    explain(choice);
    *choice_out = choice;
    return SNUG_OK;
}

void snug_catalog_choice_destroy(snug_catalog_choice *choice)
{
    if (choice)
        snug_memory_free(choice->memory, choice);
}

size_t snug_catalog_candidate_count(const snug_catalog_choice *choice)
{
    return choice->count;
}

void snug_catalog_read_candidate(snug_catalog_candidate *out, const snug_catalog_choice *choice, size_t index)
{
    const size_t struct_size = out->struct_size;

    SNUG_ASSERT(index < choice->count);
    *out = choice->candidate[index];
    out->struct_size = struct_size;
}

size_t snug_catalog_chosen(const snug_catalog_choice *choice)
{
    return choice->chosen;
}

const char *snug_catalog_explanation(const snug_catalog_choice *choice)
{
    return choice->explanation;
}

uint64_t snug_catalog_limit_bytes(const snug_catalog_choice *choice)
{
    return choice->question.limit_bytes;
}
