/* SPDX-License-Identifier: Apache-2.0 */
/*
 * choice.c - see the header.
 */
#include "cli/choice.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "cli/cache.h"
#include "cli/layers.h"
#include "cli/value.h"

bool cli_choice_is_adaptive(const cli_options *options)
{
    if (cli_given(options, adaptive_memory))
        return options->adaptive_memory;
    if (cli_given(options, optimization_strategy))
        return true;
    return options->command != CLI_COMMAND_logits && options->command != CLI_COMMAND_perplexity &&
           options->command != CLI_COMMAND_bench && options->command != CLI_COMMAND_inspect;
}

cli_exit cli_choice_read_strategy(snug_strategy *strategy_out, const cli_options *options)
{
    *strategy_out = SNUG_STRATEGY_BALANCED;
    if (options->optimization_strategy &&
        (!snug_strategy_parse(strategy_out, options->optimization_strategy) ||
         *strategy_out == SNUG_STRATEGY_AUTO))
        return cli_fail(CLI_USAGE,
                        "--optimization-strategy takes conservative, balanced or aggressive, not \"%s\"",
                        options->optimization_strategy);
    return CLI_DONE;
}

/* --- in words ------------------------------------------------------------------------------------------ */

cli_choice_text cli_choice_in_words(const snug_plan *plan)
{
    cli_choice_text out;

    snprintf(out.text, sizeof out.text, "a cache of %s, %u tokens of context and a prefill chunk of %u",
             cli_cache_in_words(&plan->kv).text, plan->context_tokens, plan->prefill_chunk);
    return out;
}

static double percent_of(uint64_t part, uint64_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

static bool has_limit(const snug_plan *plan)
{
    return plan->limit_bytes < SNUG_MEMORY_NO_LIMIT;
}

/* Fewer bits than the strategy begins with. */
static bool has_lost_bits(const cli_engine *engine)
{
    const snug_strategy_rules *rules = snug_strategy_rules_of(engine->strategy);
    const snug_kv_config *kv = &engine->plan.kv;

    return (engine->plan.chosen & SNUG_PLAN_CHOSE_FORMAT) &&
           (cli_cache_bits(&kv->key) < rules->first_key_bits ||
            cli_cache_bits(&kv->value) < rules->first_value_bits);
}

void cli_choice_warn(const cli_engine *engine)
{
    const snug_plan *plan = &engine->plan;
    const bool is_less =
        has_lost_bits(engine) || (plan->chosen & (SNUG_PLAN_CHOSE_CONTEXT | SNUG_PLAN_CHOSE_WINDOW));

    if (!engine->is_adaptive || engine->options->quiet || !has_limit(plan) || (!is_less && !plan->is_tight))
        return;
    cli_note("memory is short (%s may be used, limited by %s): %s%s; that needs %s, %.0f %% of it%s",
             cli_size(plan->limit_bytes).text, plan->limited_by, cli_choice_in_words(plan).text,
             plan->chosen & SNUG_PLAN_CHOSE_WINDOW ? ", so what lies between is forgotten" : "",
             cli_size(plan->peak_bytes).text, percent_of(plan->peak_bytes, plan->limit_bytes),
             plan->is_tight ? ", which is tight" : "");
}

/* Whether the next candidate differs only by a smaller chunk: then it says more. */
static bool is_followed_by_smaller_chunk(const cli_engine *engine, size_t index)
{
    const snug_plan_candidate *now = &engine->candidate[index];
    const snug_plan_candidate *next = now + 1;

    return index + 1 < engine->candidate_count && next->context_tokens == now->context_tokens &&
           next->prefill_chunk < now->prefill_chunk &&
           next->kv.retention.max_tokens == now->kv.retention.max_tokens;
}

static void explain_candidates(const cli_engine *engine)
{
    const char *label = "tried";

    for (size_t i = 0; i < engine->candidate_count; i++) {
        const snug_plan_candidate *c = &engine->candidate[i];

        if (!c->fits && is_followed_by_smaller_chunk(engine, i))
            continue;
        cli_report("%-9s %s, context %u, chunk %u: %s of %s, %s", label, cli_cache_in_words(&c->kv).text,
                   c->context_tokens, c->prefill_chunk, cli_size(c->peak_bytes).text,
                   cli_size(c->allowed_bytes).text, c->fits ? "taken" : "too much");
        label = "";
    }
}

void cli_choice_explain(const cli_engine *engine)
{
    const snug_plan *plan = &engine->plan;

    if (engine->is_adaptive && has_limit(plan)) {
        const snug_strategy_rules *rules = snug_strategy_rules_of(engine->strategy);

        cli_report("strategy  %s: plans with %.0f %% of %s, %.0f %% with a warning",
                   snug_strategy_name(engine->strategy), rules->plan_share * 100,
                   cli_size(plan->limit_bytes).text, rules->warn_share * 100);
        explain_candidates(engine);
    }
    cli_report("plan      %s of %s (limited by %s), from %u token%s on\n", cli_size(plan->peak_bytes).text,
               cli_size(plan->limit_bytes).text, plan->limited_by, plan->peak_tokens,
               cli_plural(plan->peak_tokens));
}

/* --- as data ------------------------------------------------------------------------------------------- */

static json_t *bytes(uint64_t value)
{
    return value < SNUG_MEMORY_NO_LIMIT ? json_integer((json_int_t)value) : json_null();
}

static json_t *kv_json(const snug_kv_config *kv)
{
    return json_pack("{s:s,s:s,s:s,s:I,s:I,s:o,s:o}", "kind", cli_cache_kind(kv), "key_format",
                     snug_kv_format_name(kv->key.format), "value_format",
                     snug_kv_format_name(kv->value.format), "key_bits", (json_int_t)cli_cache_bits(&kv->key),
                     "value_bits", (json_int_t)cli_cache_bits(&kv->value), "layers", cli_layers_json(kv),
                     "max_tokens", kv->retention.max_tokens ? bytes(kv->retention.max_tokens) : json_null());
}

static json_t *chosen_json(unsigned chosen)
{
    static const struct {
        unsigned flag;
        const char *name;
    } names[] = { { SNUG_PLAN_CHOSE_FORMAT, "format" },
                  { SNUG_PLAN_CHOSE_CHUNK, "prefill_chunk" },
                  { SNUG_PLAN_CHOSE_CONTEXT, "context_tokens" },
                  { SNUG_PLAN_CHOSE_WINDOW, "max_kv_size" } };
    json_t *list = json_array();

    for (size_t i = 0; i < SNUG_COUNT(names); i++)
        if (chosen & names[i].flag)
            json_array_append_new(list, json_string(names[i].name));
    return list;
}

json_t *cli_choice_json(const cli_engine *engine)
{
    const snug_plan *plan = &engine->plan;

    return json_pack("{s:b,s:o,s:o,s:o,s:o,s:b,s:o,s:I,s:I,s:I,s:{s:s,s:I},s:I}", "adaptive",
                     engine->is_adaptive, "strategy",
                     engine->is_adaptive ? json_string(snug_strategy_name(engine->strategy)) : json_null(),
                     "chosen", chosen_json(plan->chosen), "planned_bytes",
                     engine->is_adaptive ? bytes(plan->planned_bytes) : json_null(), "most_bytes",
                     engine->is_adaptive ? bytes(plan->most_bytes) : json_null(), "is_tight", plan->is_tight,
                     "kv", kv_json(&plan->kv), "prefill_chunk", (json_int_t)plan->prefill_chunk,
                     "context_tokens", (json_int_t)plan->context_tokens, "threads", (json_int_t)plan->threads,
                     "peak", "phase", snug_plan_phase_name(plan->peak_phase), "tokens",
                     (json_int_t)plan->peak_tokens, "tried", (json_int_t)plan->candidate_count);
}

json_t *cli_choice_candidates_json(const cli_engine *engine)
{
    json_t *list = json_array();

    for (size_t i = 0; i < engine->candidate_count; i++) {
        const snug_plan_candidate *c = &engine->candidate[i];

        json_array_append_new(list,
                              json_pack("{s:o,s:I,s:I,s:o,s:o,s:b}", "kv", kv_json(&c->kv), "prefill_chunk",
                                        (json_int_t)c->prefill_chunk, "context_tokens",
                                        (json_int_t)c->context_tokens, "peak_bytes", bytes(c->peak_bytes),
                                        "allowed_bytes", bytes(c->allowed_bytes), "fits", c->fits));
    }
    return list;
}

json_t *cli_choice_parameters_json(const cli_engine *engine)
{
    snug_generation_params p = { .struct_size = sizeof p };

    snug_memory_generation_params(&p, &engine->plan, engine->model);
    return json_pack("{s:I,s:I,s:{s:I,s:I},s:I,s:I,s:I}", "max_tokens", (json_int_t)p.max_tokens,
                     "max_kv_size", (json_int_t)p.max_kv_size, "kv_bits", "key", (json_int_t)p.key_bits,
                     "value", (json_int_t)p.value_bits, "kv_group_size", (json_int_t)p.group_size,
                     "quantized_kv_start", (json_int_t)p.quantized_kv_start, "prefill_chunk",
                     (json_int_t)p.prefill_chunk);
}

/* --- what would fit ------------------------------------------------------------------------------------ */

/* Appends what a printf prints; what has no room is left away. */
static void append(cli_choice_text *out, const char *option, unsigned long long value, const char *unit)
{
    const size_t used = strlen(out->text);

    snprintf(out->text + used, sizeof out->text - used, "%s%s %llu%s", used ? " " : "", option, value, unit);
}

cli_choice_text cli_choice_way_options(const cli_engine *engine, const snug_plan_way *way)
{
    const cli_options *options = engine->options;
    cli_choice_text out = { "" };
    char bits[64];

    if (way->context_tokens)
        append(&out, "--context", way->context_tokens, "");
    if (way->prefill_chunk)
        append(&out, "--prefill-chunk", way->prefill_chunk, "");
    if (way->key_bits) {
        /* Other words of the user's must not contradict. */
        snprintf(bits, sizeof bits, "%s%s--kv-bits",
                 options->kv && strcmp(options->kv, "simple") == 0 ? "--kv quantized " : "",
                 options->kv_format && strcmp(options->kv_format, "f16") == 0 ? "--kv-format planes " : "");
        append(&out, bits, way->key_bits, "");
        if (way->value_bits != way->key_bits)
            snprintf(out.text + strlen(out.text), sizeof out.text - strlen(out.text), "/%u", way->value_bits);
    }
    if (way->max_kv_tokens)
        append(&out,
               options->kv && strcmp(options->kv, "simple") == 0 ? "--kv rotating --max-kv-size"
                                                                 : "--max-kv-size",
               way->max_kv_tokens, "");
    if (way->limit_bytes)
        append(&out, "--memory-limit", way->limit_bytes >> 20, "M");
    return out;
}

cli_choice_text cli_choice_way_in_words(const cli_engine *engine, const snug_plan_way *way)
{
    const cli_choice_text options = cli_choice_way_options(engine, way);
    cli_choice_text out;

    snprintf(out.text, sizeof out.text, "%.200s needs %s%s", options.text, cli_size(way->peak_bytes).text,
             way->max_kv_tokens ? "; what lies between the first and the newest tokens is forgotten" : "");
    return out;
}
