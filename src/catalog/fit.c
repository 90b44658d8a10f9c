/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fit.c - plans one candidate: from its files where they are on this machine, else from the shape in its row.
 */
#include "catalog/fit.h"

#include <stdio.h>

#include "base/size.h"
#include "base/status.h"
#include "memory/memory.h"
#include "plan/plan.h"
#include "text/text.h"

#define CONTEXT_DEFAULT 4096u /* as for a session */
#define CONTEXT_LEAST   256u  /* the shortest worth having */
#define CHUNK_LEAST     32u   /* of the planner's search */

/* A model opened to be planned. */
typedef struct subject {
    snug_memory *memory;
    snug_model *model;
    snug_model_info info;
    uint64_t text_bytes;
    const catalog_question *question;
} subject;

catalog_size_text snug_catalog_size(uint64_t bytes)
{
    catalog_size_text out;

    if (bytes < UINT64_C(1) << 30)
        snprintf(out.text, sizeof out.text, "%.1f MiB", (double)bytes / (1 << 20));
    else
        snprintf(out.text, sizeof out.text, "%.2f GiB", (double)bytes / (1 << 30));
    return out;
}

static snug_status open_outline(snug_model **model_out, snug_memory *memory, const catalog_model *row,
                                const char *weights, snug_error *error)
{
    const snug_model_outline outline = {
        .struct_size = sizeof outline,
        .name = row->name,
        .config = row->config.data,
        .config_bytes = row->config.bytes,
        .weights = weights,
    };

    return snug_model_open_outline(model_out, memory, &outline, NULL, error);
}

static uint64_t text_bytes_of(const catalog_model *row)
{
    return snug_text_estimate_counts(row->tokenizer.pieces, row->tokenizer.piece_bytes,
                                     row->tokenizer.merges);
}

snug_status snug_catalog_open_outline(snug_model **model_out, uint64_t *text_bytes_out,
                                      const snug_catalog *catalog, size_t model, size_t source,
                                      snug_memory *memory, snug_error *error)
{
    const catalog_model *row = &catalog->models[model];

    *model_out = NULL;
    SNUG_ASSERT(model < catalog->model_count && source < row->source_count);
    if (row->config.bytes == 0)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                  "%s has no shape in the catalogue: it is planned from its files", row->name);
    *text_bytes_out = text_bytes_of(row);
    return open_outline(model_out, memory, row, row->source[source].weights, error);
}

/* Files decide where there are any: they may be another version than the catalogue describes. */
static snug_status open_subject(subject *s, const catalog_model *row, const catalog_source *source,
                                snug_error *error)
{
    if (snug_memory_create(&s->memory, NULL) != SNUG_OK)
        SNUG_FAIL(error, SNUG_ERR_NO_MEMORY, "the system has no memory left to plan a model in");
    if (source->path[0]) {
        SNUG_TRY(snug_model_open(&s->model, s->memory, source->path, NULL, error));
        SNUG_TRY(snug_text_estimate_path(&s->text_bytes, s->memory, source->path, error));
    } else {
        SNUG_TRY(open_outline(&s->model, s->memory, row, source->weights, error));
        s->text_bytes = text_bytes_of(row);
    }
    s->info.struct_size = sizeof s->info;
    snug_model_read_info(&s->info, s->model);
    return SNUG_OK;
}

static void close_subject(subject *s)
{
    snug_model_close(s->model);
    snug_memory_destroy(s->memory);
}

/* --- the search ----------------------------------------------------------------------------------------- */

/*
 * The limit that is held against what cannot be given back. A strategy plans with its share of it; where the
 * weights leave less than that share, it is lowered so that the share of it is what they leave.
 */
static uint64_t limit_beside_weights(const subject *s)
{
    const catalog_question *q = s->question;
    const uint64_t left = q->limit_bytes > s->info.weight_bytes ? q->limit_bytes - s->info.weight_bytes : 0;
    const double scaled = (double)left / q->rules->plan_share;

    return scaled < (double)q->limit_bytes ? (uint64_t)scaled : q->limit_bytes;
}

static snug_plan_options options_for(const subject *s, uint32_t context_tokens)
{
    const uint32_t otherwise =
        s->info.context_tokens < CONTEXT_DEFAULT ? s->info.context_tokens : CONTEXT_DEFAULT;

    return (snug_plan_options){
        .struct_size = sizeof(snug_plan_options),
        .context_tokens = context_tokens ? context_tokens : otherwise,
        .kv = { .retention = { .kind = SNUG_KV_RETENTION_ALL } },
    };
}

/* The strategy's first cache format with the largest chunk that fits; else the plan that needs least. */
static snug_status search(snug_catalog_candidate *out, const subject *s, snug_plan_situation *situation,
                          snug_error *error)
{
    const snug_plan_options options = options_for(s, s->question->context_tokens);

    situation->limit_bytes = limit_beside_weights(s);
    out->plan.struct_size = sizeof out->plan;
    SNUG_TRY(snug_plan_search_in(&out->plan, situation, s->model, &options, s->question->strategy, error));
    out->fits = out->plan.fits && !out->plan.is_tight;
    return SNUG_OK;
}

/* Whether so many tokens fit with the smallest cache of the strategy, read in small chunks. */
static bool fits_tokens(const subject *s, const snug_plan_situation *situation, uint32_t tokens)
{
    const snug_strategy_rules *rules = s->question->rules;
    const snug_plan_bits floor_bits = { rules->floor_key_bits, rules->floor_value_bits };
    snug_plan_options options = options_for(s, tokens);
    snug_plan plan;

    options.prefill_chunk = CHUNK_LEAST;
    options.kv = snug_plan_config_of(&options.kv, floor_bits);
    plan.struct_size = sizeof plan;
    return snug_plan_predict(&plan, situation, s->model, &options, NULL) == SNUG_OK &&
           (double)plan.peak_bytes <= rules->plan_share * (double)situation->limit_bytes;
}

static uint32_t longest_that_fits(const subject *s, const snug_plan_situation *situation)
{
    uint32_t low = (uint32_t)snug_min_size(CONTEXT_LEAST, s->info.context_tokens);
    uint32_t high = s->info.context_tokens;

    if (!fits_tokens(s, situation, low))
        return 0;
    if (fits_tokens(s, situation, high))
        return high;
    while (high - low > 64) {
        const uint32_t middle = low + (high - low) / 2;

        if (fits_tokens(s, situation, middle))
            low = middle;
        else
            high = middle;
    }
    return low / 64 * 64;
}

static snug_status plan_subject(snug_catalog_candidate *out, const subject *s, snug_error *error)
{
    snug_plan_situation situation;

    snug_plan_look(&situation, s->memory, s->text_bytes, 0);
    out->file_bytes = s->info.mapped_bytes;
    out->weight_bytes = s->info.weight_bytes;
    SNUG_TRY(search(out, s, &situation, error));
    out->need_bytes = out->plan.peak_bytes + out->weight_bytes;
    out->longest_tokens = longest_that_fits(s, &situation);
    out->is_planned = true;
    return SNUG_OK;
}

static void say_why_not(snug_catalog_candidate *out, const subject *s)
{
    const catalog_question *q = s->question;

    if (out->need_bytes > q->limit_bytes)
        snprintf(out->why, sizeof out->why,
                 "needs %s at %u tokens: %s of weights and %s beside them; the limit is %s",
                 snug_catalog_size(out->need_bytes).text, out->plan.context_tokens,
                 snug_catalog_size(out->weight_bytes).text, snug_catalog_size(out->plan.peak_bytes).text,
                 snug_catalog_size(q->limit_bytes).text);
    else
        snprintf(out->why, sizeof out->why,
                 "needs %s beside its weights at %u tokens; the strategy plans at most %.0f %% of %s",
                 snug_catalog_size(out->plan.peak_bytes).text, out->plan.context_tokens,
                 100 * q->rules->plan_share, snug_catalog_size(q->limit_bytes).text);
}

snug_status snug_catalog_fit(snug_catalog_candidate *out, const catalog_model *model, size_t source,
                             const catalog_question *question, snug_error *error)
{
    subject s = { .question = question };
    snug_error own = { SNUG_OK, "" };
    snug_status status;

    out->path = model->source[source].path[0] ? model->source[source].path : NULL;
    status = open_subject(&s, model, &model->source[source], &own);
    if (status == SNUG_OK)
        status = plan_subject(out, &s, &own);
    if (status == SNUG_OK) {
        out->parameters = s.info.token_parameters;
        if (!out->fits)
            say_why_not(out, &s);
    } else {
        snprintf(out->why, sizeof out->why, "%.250s", own.text);
    }
    close_subject(&s);
    if (status == SNUG_ERR_NO_MEMORY || status == SNUG_ERR_OVER_LIMIT)
        SNUG_FAIL(error, status, "%s", own.text);
    return SNUG_OK;
}
