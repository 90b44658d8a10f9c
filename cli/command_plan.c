/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_plan.c - what a model and a context will need, without loading either: whether it fits, what is
 * chosen so that it does, when it takes how much, and what would help if it does not.
 */
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "cli/cache.h"
#include "cli/choice.h"
#include "cli/engine.h"
#include "cli/layers.h"
#include "cli/report.h"
#include "cli/value.h"

/* The strategies side by side, then a cache of f16 that keeps everything. */
static const snug_strategy alternatives[] = { SNUG_STRATEGY_CONSERVATIVE, SNUG_STRATEGY_BALANCED,
                                              SNUG_STRATEGY_AGGRESSIVE, SNUG_STRATEGY_AUTO };

#define ALTERNATIVES (sizeof alternatives / sizeof alternatives[0])

typedef struct planning {
    cli_options options; /* the operand is the model, too */
    cli_engine engine;
    snug_plan alternative[ALTERNATIVES];
    snug_plan_way way[SNUG_PLAN_WAYS_MAX];
    size_t way_count;
    snug_plan_point point[16];
    size_t point_count;
} planning;

/* --- looking ahead ------------------------------------------------------------------------------------- */

static void add_point(planning *p, uint32_t tokens)
{
    snug_plan_at(&p->point[p->point_count++], &p->engine.plan, p->engine.model, tokens);
}

/* An empty session, then so many tokens that each step doubles, up to the end. */
static void look_ahead(planning *p)
{
    const uint32_t end = p->engine.plan.cache_tokens;
    uint32_t tokens = end;

    while (tokens / 2 >= 256 && end / (tokens / 2) < 1 << 8)
        tokens /= 2;
    add_point(p, 0);
    for (; tokens < end; tokens = tokens < end / 2 ? tokens * 2 : end)
        add_point(p, tokens);
    add_point(p, end);
}

static cli_exit prepare(planning *p, const cli_options *options)
{
    const cli_request request = { 0 }; /* a full context */
    cli_exit status;

    p->options = *options;
    if (options->operand)
        p->options.model = options->operand;
    status = options->operand && options->model
                 ? cli_fail(CLI_USAGE, "plan takes one model: MODEL or --model, not both")
                 : cli_engine_open(&p->engine, &p->options);

    if (status == CLI_DONE)
        status = cli_engine_estimate_text(&p->engine);
    if (status == CLI_DONE)
        status = cli_engine_predict(&p->engine, &request);
    for (size_t i = 0; i < ALTERNATIVES && status == CLI_DONE; i++)
        status = cli_engine_predict_as(&p->alternative[i], &p->engine, &request, alternatives[i]);
    if (status != CLI_DONE)
        return status;
    look_ahead(p);
    if (!p->engine.plan.fits)
        p->way_count = cli_engine_suggest(p->way, &p->engine, &request);
    return CLI_DONE;
}

static const char *alternative_name(size_t index)
{
    return alternatives[index] == SNUG_STRATEGY_AUTO ? "nothing chosen"
                                                     : snug_strategy_name(alternatives[index]);
}

static bool is_ours(const planning *p, size_t index)
{
    return alternatives[index] == (p->engine.is_adaptive ? p->engine.strategy : SNUG_STRATEGY_AUTO);
}

/* --- as data ------------------------------------------------------------------------------------------- */

static json_t *bytes(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *alternatives_json(const planning *p)
{
    json_t *list = json_array();

    for (size_t i = 0; i < ALTERNATIVES; i++) {
        const snug_plan *plan = &p->alternative[i];
        const bool is_strategy = alternatives[i] != SNUG_STRATEGY_AUTO;

        json_array_append_new(
            list,
            json_pack("{s:o,s:s,s:{s:I,s:I},s:I,s:I,s:o,s:o,s:b,s:b,s:b}", "strategy",
                      is_strategy ? json_string(snug_strategy_name(alternatives[i])) : json_null(), "kv_kind",
                      cli_cache_kind(&plan->kv), "kv_bits", "key", (json_int_t)cli_cache_bits(&plan->kv.key),
                      "value", (json_int_t)cli_cache_bits(&plan->kv.value), "prefill_chunk",
                      (json_int_t)plan->prefill_chunk, "context_tokens", (json_int_t)plan->context_tokens,
                      "predicted_peak_bytes", bytes(plan->peak_bytes), "planned_bytes",
                      is_strategy ? bytes(plan->planned_bytes) : json_null(), "fits", plan->fits, "is_tight",
                      plan->is_tight, "is_used", is_ours(p, i)));
    }
    return list;
}

static json_t *points_json(const planning *p)
{
    json_t *list = json_array();

    json_array_append_new(list, json_pack("{s:s,s:i,s:o,s:o}", "phase", "load", "tokens", 0, "bytes",
                                          bytes(p->engine.plan.load_peak_bytes), "by_use",
                                          cli_report_uses_json(p->engine.plan.load_use_bytes)));
    for (size_t i = 0; i < p->point_count; i++) {
        const snug_plan_point *point = &p->point[i];

        json_array_append_new(list,
                              json_pack("{s:s,s:I,s:o,s:o}", "phase", snug_plan_phase_name(point->phase),
                                        "tokens", (json_int_t)point->tokens, "bytes", bytes(point->bytes),
                                        "by_use", cli_report_uses_json(point->use_bytes)));
    }
    return list;
}

static json_t *ways_json(const planning *p)
{
    json_t *list = json_array();

    for (size_t i = 0; i < p->way_count; i++)
        json_array_append_new(list, json_pack("{s:s,s:o}", "options",
                                              cli_choice_way_options(&p->engine, &p->way[i]).text,
                                              "predicted_peak_bytes", bytes(p->way[i].peak_bytes)));
    return list;
}

static json_t *plan_json(const planning *p)
{
    const cli_engine *engine = &p->engine;
    const snug_plan *plan = &engine->plan;
    json_t *object = json_pack(
        "{s:o,s:o,s:b,s:o,s:s,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:s,s:{s:I,s:I},s:o,s:s,s:o,s:o,s:s}",
        "predicted_peak_bytes", bytes(plan->peak_bytes), "by_use", cli_report_uses_json(plan->use_bytes),
        "fits", plan->fits, "limit_bytes", bytes(plan->limit_bytes), "limited_by", plan->limited_by,
        "weights_fit", plan->weights_fit, "weights_bytes", bytes(plan->weight_bytes), "fixed_bytes",
        bytes(plan->fixed_bytes), "load_peak_bytes", bytes(plan->load_peak_bytes), "prefill_peak_bytes",
        bytes(plan->prefill_peak_bytes), "context_tokens", bytes(plan->context_tokens), "cache_tokens",
        bytes(plan->cache_tokens), "prefill_chunk", bytes(plan->prefill_chunk), "threads",
        bytes(plan->threads), "kv", snug_kv_format_name(plan->kv.key.format), "kv_bits", "key",
        (json_int_t)cli_cache_bits(&plan->kv.key), "value", (json_int_t)cli_cache_bits(&plan->kv.value),
        "kv_layers", cli_layers_json(&plan->kv), "kv_kind", cli_cache_kind(&plan->kv), "kv_max_tokens",
        plan->kv.retention.max_tokens ? bytes(plan->kv.retention.max_tokens) : json_null(), "kv_sink_tokens",
        bytes(plan->kv.retention.sink_tokens), "model", engine->path);

    json_object_set_new(object, "is_fetched", json_boolean(!engine->is_outline));
    json_object_set_new(object, "plan", cli_choice_json(engine));
    json_object_set_new(object, "parameters", cli_choice_parameters_json(engine));
    json_object_set_new(object, "over_time", points_json(p));
    json_object_set_new(object, "strategies", alternatives_json(p));
    json_object_set_new(object, "candidates", cli_choice_candidates_json(engine));
    json_object_set_new(object, "ways", ways_json(p));
    return object;
}

json_t *cli_plan_json(const cli_options *options)
{
    planning p = { .point_count = 0 };
    json_t *object = prepare(&p, options) == CLI_DONE ? plan_json(&p) : NULL;

    cli_engine_close(&p.engine);
    return object;
}

/* --- as a page ----------------------------------------------------------------------------------------- */

static const char *use_in_words(snug_memory_use use)
{
    switch (use) {
    case SNUG_MEMORY_WEIGHTS:
        return "tables made from the weights";
    case SNUG_MEMORY_KV:
        return "cache of keys and values";
    case SNUG_MEMORY_SCRATCH:
        return "scratch of a prefill chunk";
    case SNUG_MEMORY_TEXT:
        return "tokenizer and ids";
    case SNUG_MEMORY_OTHER:
        return "session, threads, what was read of the headers";
    default:
        return "";
    }
}

static void print_verdict(const planning *p)
{
    const snug_plan *plan = &p->engine.plan;

    if (!plan->fits)
        cli_print("It does not fit: it needs %s, and may use %s (limited by %s)",
                  cli_size(plan->peak_bytes).text, cli_size(plan->limit_bytes).text, plan->limited_by);
    else if (plan->limit_bytes < SNUG_MEMORY_NO_LIMIT)
        cli_print("It fits: %s of %s (limited by %s), %.0f %%", cli_size(plan->peak_bytes).text,
                  cli_size(plan->limit_bytes).text, plan->limited_by,
                  100.0 * (double)plan->peak_bytes / (double)plan->limit_bytes);
    else
        cli_print("It fits: %s, and nothing limits it", cli_size(plan->peak_bytes).text);
    if (plan->is_tight && plan->fits)
        cli_print(". That is tight");
    else if (!plan->fits && p->engine.is_adaptive)
        cli_print("; at most %s of it are planned with", cli_size(plan->most_bytes).text);
    cli_print(".\n%s of weights are mapped from the file beside it; %s.\n", cli_size(plan->weight_bytes).text,
              plan->weights_fit ? "there is room to keep them in memory: full speed"
                                : "there is no room to keep all of them in memory: it will be slow");
}

static void print_ways(const planning *p)
{
    cli_print("\nWhat would fit:\n");
    for (size_t i = 0; i < p->way_count; i++)
        cli_print("  %s\n", cli_choice_way_in_words(&p->engine, &p->way[i]).text);
    if (p->way_count == 0)
        cli_print("  nothing smaller will do: a smaller model, or more memory\n");
}

static void print_uses(const snug_plan *plan)
{
    cli_print("\n");
    for (int i = 0; i < SNUG_MEMORY_USE_COUNT; i++)
        if (plan->use_bytes[i] > 0)
            cli_print("  %-12s %12s  %s\n", snug_memory_use_name((snug_memory_use)i),
                      cli_size(plan->use_bytes[i]).text, use_in_words((snug_memory_use)i));
    cli_print("  %-12s %12s  program and libraries\n", "fixed", cli_size(plan->fixed_bytes).text);
    cli_print("  %-12s %12s  from %u token%s on\n", "peak", cli_size(plan->peak_bytes).text,
              plan->peak_tokens, cli_plural(plan->peak_tokens));
}

#define COLUMNS 7

/* Loaded, ready, and as many of the later points as have room. */
static void print_points(const planning *p)
{
    const size_t first = p->point_count > COLUMNS ? p->point_count - COLUMNS + 1 : 1;

    cli_print("\n  %-8s %10s %10s", "tokens", "loaded", "ready");
    for (size_t i = first; i < p->point_count; i++)
        cli_print(" %10u", p->point[i].tokens);
    cli_print("\n  %-8s %10s %10s", "memory", cli_size(p->engine.plan.load_peak_bytes).text,
              cli_size(p->point[0].bytes).text);
    for (size_t i = first; i < p->point_count; i++)
        cli_print(" %10s", cli_size(p->point[i].bytes).text);
    cli_print("\n");
}

/* "planes 8/6", "planes 4/4 of 2048 tokens". */
static cli_cache_text short_cache(const snug_kv_config *kv)
{
    snug_kv_config whole = *kv;
    cli_cache_text out;

    whole.retention = (snug_kv_retention){ .kind = SNUG_KV_RETENTION_ALL };
    out = cli_cache_in_words(&whole);
    if (kv->retention.max_tokens > 0)
        snprintf(out.text + strlen(out.text), sizeof out.text - strlen(out.text), " of %u tokens",
                 kv->retention.max_tokens);
    return out;
}

static void print_alternatives(const planning *p)
{
    cli_print("\n    %-15s %-24s %6s %8s %10s\n", "strategy", "cache", "chunk", "context", "peak");
    for (size_t i = 0; i < ALTERNATIVES; i++) {
        const snug_plan *plan = &p->alternative[i];

        cli_print("  %s %-15s %-24s %6u %8u %10s  %s\n", is_ours(p, i) ? "*" : " ", alternative_name(i),
                  short_cache(&plan->kv).text, plan->prefill_chunk, plan->context_tokens,
                  cli_size(plan->peak_bytes).text,
                  !plan->fits      ? "does not fit"
                  : plan->is_tight ? "tight"
                                   : "fits");
    }
}

static void print_page(const planning *p)
{
    const cli_engine *engine = &p->engine;
    const snug_plan *plan = &engine->plan;

    cli_print("%s: %s, %.2f million parameters, mostly %s\n", engine->path, engine->info.family,
              (double)engine->info.parameters / 1e6, engine->info.weight_type);
    if (engine->is_outline)
        cli_print("It is not on this machine (llm-tool pull %s): planned from its shape in the catalogue.\n",
                  engine->path);
    cli_print("%s, %u thread%s\n\n", cli_choice_in_words(plan).text, plan->threads,
              cli_plural(plan->threads));
    print_verdict(p);
    if (!plan->fits)
        print_ways(p);
    print_uses(plan);
    print_points(p);
    print_alternatives(p);
    if (engine->options->verbose) {
        cli_flush();
        cli_choice_explain(engine);
    }
}

cli_exit cli_command_plan(const cli_options *options)
{
    planning p = { .point_count = 0 };
    cli_exit status = prepare(&p, options);

    if (status == CLI_DONE) {
        if (options->json) {
            cli_write_json(plan_json(&p));
            cli_print("\n");
        } else {
            print_page(&p);
        }
        status = p.engine.plan.fits ? CLI_DONE : CLI_DOES_NOT_FIT;
    }
    cli_engine_close(&p.engine);
    return status;
}
