/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_plan.c - what a model and a context will need, without loading either.
 */
#include "cli/commands.h"

#include "cli/cache.h"
#include "cli/engine.h"
#include "cli/report.h"
#include "cli/value.h"

static json_t *bytes(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static void print_json(const cli_engine *engine)
{
    const snug_plan *plan = &engine->plan;

    cli_write_json(json_pack(
        "{s:o,s:o,s:b,s:o,s:s,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:s,s:{s:I,s:I},s:s,s:o,s:o,s:s}",
        "predicted_peak_bytes", bytes(plan->peak_bytes), "by_use", cli_report_plan_uses_json(plan), "fits",
        plan->fits, "limit_bytes", bytes(plan->limit_bytes), "limited_by", plan->limited_by, "weights_fit",
        plan->weights_fit, "weights_bytes", bytes(plan->weight_bytes), "fixed_bytes",
        bytes(plan->fixed_bytes), "load_peak_bytes", bytes(plan->load_peak_bytes), "prefill_peak_bytes",
        bytes(plan->prefill_peak_bytes), "context_tokens", bytes(plan->context_tokens), "cache_tokens",
        bytes(plan->cache_tokens), "prefill_chunk", bytes(plan->prefill_chunk), "threads",
        bytes(plan->threads), "kv", snug_kv_format_name(plan->kv.key.format), "kv_bits", "key",
        (json_int_t)cli_cache_bits(&plan->kv.key), "value", (json_int_t)cli_cache_bits(&plan->kv.value),
        "kv_kind", cli_cache_kind(&plan->kv), "kv_max_tokens",
        plan->kv.retention.max_tokens ? bytes(plan->kv.retention.max_tokens) : json_null(), "kv_sink_tokens",
        bytes(plan->kv.retention.sink_tokens), "model", engine->path));
    cli_print("\n");
}

static void print_suggestion(const char *sentence)
{
    cli_print("  %s\n", sentence);
}

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
    default:
        return "";
    }
}

static void print_table(cli_engine *engine, const cli_request *request)
{
    const snug_plan *plan = &engine->plan;

    cli_print("%s: %s, %.2f million parameters, mostly %s\n", engine->path, engine->info.family,
              (double)engine->info.parameters / 1e6, engine->info.weight_type);
    cli_print("context %u tokens, cache %s, prefill chunk %u, %u thread%s\n\n", plan->context_tokens,
              cli_cache_in_words(&plan->kv).text, plan->prefill_chunk, plan->threads,
              cli_plural(plan->threads));
    for (int i = 0; i < SNUG_MEMORY_USE_COUNT; i++)
        if (plan->use_bytes[i] > 0)
            cli_print("  %-12s %12s  %s\n", snug_memory_use_name((snug_memory_use)i),
                      cli_size(plan->use_bytes[i]).text, use_in_words((snug_memory_use)i));
    cli_print("  %-12s %12s  program and libraries\n", "fixed", cli_size(plan->fixed_bytes).text);
    cli_print("  %-12s %12s  at most %s while loading, %s after the prompt\n", "peak",
              cli_size(plan->peak_bytes).text, cli_size(plan->load_peak_bytes).text,
              cli_size(plan->prefill_peak_bytes).text);
    cli_print("  %-12s %12s  %s\n", "limit", cli_size(plan->limit_bytes).text, plan->limited_by);
    cli_print("\nBeside it %s of weights are mapped from the file; %s.\n", cli_size(plan->weight_bytes).text,
              plan->weights_fit ? "there is room to keep them in memory: full speed"
                                : "there is no room to keep all of them in memory: it will be slow");
    cli_print(plan->fits ? "It fits.\n" : "It does not fit. What would:\n");
    if (!plan->fits)
        cli_engine_suggest(engine, request, print_suggestion);
}

cli_exit cli_command_plan(const cli_options *options)
{
    const cli_request request = { 0 }; /* a full context */
    cli_engine engine;
    cli_exit status = cli_engine_open(&engine, options);

    if (status == CLI_DONE)
        status = cli_engine_estimate_text(&engine);
    if (status == CLI_DONE)
        status = cli_engine_predict(&engine, &request);
    if (status == CLI_DONE) {
        if (options->json)
            print_json(&engine);
        else
            print_table(&engine, &request);
        status = engine.plan.fits ? CLI_DONE : CLI_DOES_NOT_FIT;
    }
    cli_engine_close(&engine);
    return status;
}
