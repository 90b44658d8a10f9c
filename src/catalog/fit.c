/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fit.c - plans one candidate: from its files where they are on this machine, else from the shape in its row.
 */
#include "catalog/fit.h"

#include <stdio.h>

#include "base/size.h"
#include "base/status.h"
#include "memory/memory.h"
#include "text/text.h"

/* The shortest context worth having. */
#define CONTEXT_LEAST 256u

/* What a quantized cache keeps exact, as llm-tool --kv quantized does. */
#define EXACT_FIRST  16u
#define EXACT_RECENT 128u

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

static snug_status open_outline(subject *s, const catalog_model *row, const char *weights, snug_error *error)
{
    const snug_model_outline outline = {
        .struct_size = sizeof outline,
        .name = row->name,
        .config = row->config.data,
        .config_bytes = row->config.bytes,
        .weights = weights,
    };

    return snug_model_open_outline(&s->model, s->memory, &outline, NULL, error);
}

/* Files decide where there are any: they may be another version than the catalogue describes. */
static snug_status open_subject(subject *s, const catalog_model *row, const catalog_source *source,
                                snug_error *error)
{
    SNUG_TRY(snug_memory_create(&s->memory, NULL));
    if (source->path[0]) {
        SNUG_TRY(snug_model_open(&s->model, s->memory, source->path, NULL, error));
        SNUG_TRY(snug_text_estimate_path(&s->text_bytes, s->memory, source->path, error));
    } else {
        SNUG_TRY(open_outline(s, row, source->weights, error));
        s->text_bytes = snug_text_estimate_counts(row->tokenizer.pieces, row->tokenizer.piece_bytes,
                                                  row->tokenizer.merges);
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

/* Cache formats in the order in which quality falls. */
static const struct {
    uint32_t key_bits, value_bits;
} ladder[] = { { 16, 16 }, { 8, 8 }, { 6, 6 }, { 5, 4 }, { 4, 4 }, { 4, 3 }, { 3, 3 }, { 2, 2 } };

static bool is_allowed(size_t rung, const snug_strategy_rules *rules)
{
    return ladder[rung].key_bits <= rules->first_key_bits &&
           ladder[rung].value_bits <= rules->first_value_bits &&
           ladder[rung].key_bits >= rules->floor_key_bits &&
           ladder[rung].value_bits >= rules->floor_value_bits;
}

static snug_kv_coding coding_of(uint32_t bits)
{
    if (bits == 16)
        return (snug_kv_coding){ .format = SNUG_KV_FORMAT_F16 };
    return (snug_kv_coding){ .format = SNUG_KV_FORMAT_PLANES, .bits = bits };
}

static snug_kv_config config_of(size_t rung)
{
    const bool is_exact = ladder[rung].key_bits == 16 && ladder[rung].value_bits == 16;

    return (snug_kv_config){
        .key = coding_of(ladder[rung].key_bits),
        .value = coding_of(ladder[rung].value_bits),
        .first_exact_tokens = is_exact ? 0 : EXACT_FIRST,
        .recent_exact_tokens = is_exact ? 0 : EXACT_RECENT,
    };
}

static snug_status plan_with(snug_plan *plan, const subject *s, size_t rung, uint32_t chunk, uint32_t context,
                             snug_error *error)
{
    const snug_plan_options options = {
        .struct_size = sizeof options,
        .context_tokens = context,
        .prefill_chunk = chunk,
        .kv = config_of(rung),
    };

    plan->struct_size = sizeof *plan;
    return snug_plan_make(plan, s->model, s->memory, s->text_bytes, &options, error);
}

/* What cannot be given back within the strategy's share, and with the weights within the limit. */
static bool does_fit(const snug_plan *plan, const subject *s)
{
    const catalog_question *q = s->question;

    return (double)plan->peak_bytes <= q->rules->plan_share * (double)q->limit_bytes &&
           plan->peak_bytes <= q->limit_bytes && s->info.weight_bytes <= q->limit_bytes - plan->peak_bytes;
}

/* The first cache format with the largest chunk that fits; else the plan with the smallest of both. */
static snug_status search(snug_catalog_candidate *out, const subject *s, snug_error *error)
{
    static const uint32_t chunks[] = { 512, 128, 32 };

    for (size_t rung = 0; rung < SNUG_COUNT(ladder); rung++)
        for (size_t c = 0; is_allowed(rung, s->question->rules) && c < SNUG_COUNT(chunks); c++) {
            SNUG_TRY(plan_with(&out->plan, s, rung, chunks[c], s->question->context_tokens, error));
            out->fits = does_fit(&out->plan, s);
            if (out->fits)
                return SNUG_OK;
        }
    return SNUG_OK;
}

static size_t last_rung(const snug_strategy_rules *rules)
{
    size_t last = 0;

    for (size_t rung = 0; rung < SNUG_COUNT(ladder); rung++)
        if (is_allowed(rung, rules))
            last = rung;
    return last;
}

static bool fits_tokens(const subject *s, uint32_t tokens)
{
    snug_plan plan;

    return plan_with(&plan, s, last_rung(s->question->rules), 32, tokens, NULL) == SNUG_OK &&
           does_fit(&plan, s);
}

static uint32_t longest_that_fits(const subject *s)
{
    uint32_t low = (uint32_t)snug_min_size(CONTEXT_LEAST, s->info.context_tokens);
    uint32_t high = s->info.context_tokens;

    if (!fits_tokens(s, low))
        return 0;
    if (fits_tokens(s, high))
        return high;
    while (high - low > 64) {
        const uint32_t middle = low + (high - low) / 2;

        if (fits_tokens(s, middle))
            low = middle;
        else
            high = middle;
    }
    return low / 64 * 64;
}

static snug_status plan_subject(snug_catalog_candidate *out, const subject *s, snug_error *error)
{
    out->file_bytes = s->info.mapped_bytes;
    out->weight_bytes = s->info.weight_bytes;
    SNUG_TRY(search(out, s, error));
    out->need_bytes = out->plan.peak_bytes + out->weight_bytes;
    out->longest_tokens = longest_that_fits(s);
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
