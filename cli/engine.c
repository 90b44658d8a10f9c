/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.c - see the header.
 */
#include "cli/engine.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "cli/input.h"
#include "cli/json_heap.h"
#include "cli/cache.h"
#include "cli/cache_file.h"
#include "cli/catalog.h"
#include "cli/choice.h"
#include "cli/report.h"
#include "cli/system.h"
#include "cli/value.h"

/* Sampling where neither the user nor the model says anything. */
#define TEMPERATURE_DEFAULT 0.6

cli_exit cli_engine_find_model(cli_engine *engine, const cli_options *options)
{
    *engine = (cli_engine){ .options = options };
    if (options->model && options->command == CLI_COMMAND_plan && cli_catalog_is_absent(options->model)) {
        engine->is_outline = true;
        snprintf(engine->path, sizeof engine->path, "%s", options->model);
        return CLI_DONE;
    }
    if (options->model)
        return cli_catalog_find_model(engine->path, sizeof engine->path, options->model);
    return cli_catalog_choose_model(engine->path, sizeof engine->path, options);
}

snug_model_options cli_engine_model_options(const cli_engine *engine)
{
    snug_model_options model = { .struct_size = sizeof model, .exact = engine->options->exact };

    if (engine->options->cpu && !snug_cpu_level_parse(&model.cpu, engine->options->cpu))
        model.cpu = SNUG_CPU_AUTO; /* which cli_engine_open() has refused */
    return model;
}

static cli_exit open_model(cli_engine *engine, const snug_model_options *model)
{
    snug_error error = { snug_memory_create(&engine->memory, NULL), "" };
    cli_exit status = CLI_DONE;

    /* No limit yet: the plan compares with it, and its figures say more than a ledger that is full. */
    if (error.status != SNUG_OK || cli_json_count_in(engine->memory, &error) != SNUG_OK)
        return cli_fail_error(&error);
    if (engine->is_outline)
        status = cli_catalog_open_outline(&engine->model, &engine->text_bytes, engine->path, engine->memory);
    else if (snug_model_open(&engine->model, engine->memory, engine->path, model, &error) != SNUG_OK)
        return cli_fail_error(&error);
    if (status != CLI_DONE)
        return status;
    engine->info.struct_size = sizeof engine->info;
    snug_model_read_info(&engine->info, engine->model);
    return CLI_DONE;
}

static bool is_answering(const cli_options *options)
{
    return options->command == CLI_COMMAND_generate || options->command == CLI_COMMAND_chat ||
           options->command == CLI_COMMAND_profile;
}

cli_exit cli_engine_read_model_options(snug_model_options *out, const cli_options *options)
{
    *out = (snug_model_options){ .struct_size = sizeof *out, .exact = options->exact };
    if (options->cpu && !snug_cpu_level_parse(&out->cpu, options->cpu))
        return cli_fail(CLI_USAGE,
                        "--cpu takes auto, c, avx2, avx512, avx512bf16, amx, neon or i8mm, not \"%s\"",
                        options->cpu);
    if (out->cpu != SNUG_CPU_AUTO && !snug_cpu_has(out->cpu))
        return cli_fail(CLI_USAGE, "--cpu %s: this machine cannot do that; its best is %s", options->cpu,
                        snug_cpu_level_name(snug_cpu_detect()));
    return CLI_DONE;
}

cli_exit cli_engine_open(cli_engine *engine, const cli_options *options)
{
    cli_exit status = cli_engine_find_model(engine, options);
    snug_model_options model;

    if (status == CLI_DONE)
        status = cli_cache_read(&engine->kv, options);
    engine->is_adaptive = cli_choice_is_adaptive(options);
    if (status == CLI_DONE)
        status = cli_choice_read_strategy(&engine->strategy, options);
    if (status != CLI_DONE)
        return status;
    if (options->memory_monitoring && !engine->is_adaptive && is_answering(options))
        return cli_fail(CLI_USAGE, "--memory-monitoring tells what a session sees that adapts: leave out "
                                   "--no-adaptive-memory");
    cli_cache_file_adopt(engine);
    status = cli_engine_read_model_options(&model, options);
    if (status != CLI_DONE)
        return status;
    return open_model(engine, &model);
}

cli_exit cli_engine_estimate_text(cli_engine *engine)
{
    snug_error error = { SNUG_OK, "" };

    if (engine->is_outline)
        return CLI_DONE; /* the catalogue has said it */
    if (snug_text_estimate_path(&engine->text_bytes, engine->memory, engine->path, &error) != SNUG_OK)
        return cli_fail_error(&error);
    return CLI_DONE;
}

static uint32_t least(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

/* Without a search the chunk that is not set is the session's, or the prompt's if that needs no more. */
static uint32_t chunk_for(const cli_engine *engine, const cli_request *request, bool is_searched)
{
    const uint32_t chunk = (uint32_t)engine->options->prefill_chunk;

    if (is_searched)
        return cli_given(engine->options, prefill_chunk) ? chunk : 0;
    return request->fits_chunk && request->prompt_tokens > 0 ? least(chunk, request->prompt_tokens) : chunk;
}

static snug_plan_options plan_options(const cli_engine *engine, const cli_request *request, bool is_searched)
{
    return (snug_plan_options){
        .struct_size = sizeof(snug_plan_options),
        .context_tokens = (uint32_t)engine->options->context,
        .prompt_tokens = request->prompt_tokens,
        .max_tokens = request->max_tokens,
        .prefill_chunk = chunk_for(engine, request, is_searched),
        .threads = (uint32_t)engine->options->threads,
        .kv = engine->kv,
        .id_count = engine->text ? least(snug_text_id_count(engine->text), engine->info.vocabulary) : 0,
        .user_limit_bytes = engine->options->memory_limit,
    };
}

/* The tokenizer, as far as it is not in the ledger yet. */
static uint64_t text_to_come(const cli_engine *engine)
{
    return engine->text ? 0 : engine->text_bytes;
}

static snug_status make_plan(snug_plan *plan, const cli_engine *engine, const snug_plan_options *options,
                             snug_strategy strategy, snug_error *error)
{
    *plan = (snug_plan){ .struct_size = sizeof *plan };
    if (strategy == SNUG_STRATEGY_AUTO)
        SNUG_TRY(snug_plan_make(plan, engine->model, engine->memory, text_to_come(engine), options, error));
    else
        SNUG_TRY(snug_plan_search(plan, engine->model, engine->memory, text_to_come(engine), options,
                                  strategy, error));
    /* The tool's own words for its own option. */
    if (engine->options->memory_limit > 0 && plan->limit_bytes == engine->options->memory_limit)
        snprintf(plan->limited_by, sizeof plan->limited_by, "--memory-limit");
    return SNUG_OK;
}

cli_exit cli_engine_predict_as(snug_plan *plan, const cli_engine *engine, const cli_request *request,
                               snug_strategy strategy)
{
    const snug_plan_options options = plan_options(engine, request, strategy != SNUG_STRATEGY_AUTO);
    snug_error error = { SNUG_OK, "" };

    return make_plan(plan, engine, &options, strategy, &error) == SNUG_OK ? CLI_DONE : cli_fail_error(&error);
}

static void keep_candidate(void *user, const snug_plan_candidate *candidate)
{
    cli_engine *engine = user;

    if (engine->candidate_count < CLI_CANDIDATES_MAX)
        engine->candidate[engine->candidate_count++] = *candidate;
}

cli_exit cli_engine_predict(cli_engine *engine, const cli_request *request)
{
    const snug_strategy strategy = engine->is_adaptive ? engine->strategy : SNUG_STRATEGY_AUTO;
    snug_plan_options options = plan_options(engine, request, engine->is_adaptive);
    snug_error error = { SNUG_OK, "" };

    options.on_candidate = keep_candidate;
    options.user = engine;
    engine->candidate_count = 0;
    return make_plan(&engine->plan, engine, &options, strategy, &error) == SNUG_OK ? CLI_DONE
                                                                                   : cli_fail_error(&error);
}

size_t cli_engine_suggest(snug_plan_way ways_out[SNUG_PLAN_WAYS_MAX], const cli_engine *engine,
                          const cli_request *request)
{
    const snug_plan_options options = plan_options(engine, request, engine->is_adaptive);

    return snug_plan_suggest(ways_out, &engine->plan, engine->model, engine->memory, text_to_come(engine),
                             &options);
}

static void say_what_would_fit(const cli_engine *engine, const cli_request *request)
{
    snug_plan_way ways[SNUG_PLAN_WAYS_MAX];
    size_t count = 0;

    /* Else the ledger's limit, which is the user's, counts as all there is, and none is named above it. */
    if (snug_memory_set_limits(engine->memory, 0, 0) == SNUG_OK)
        count = cli_engine_suggest(ways, engine, request);
    for (size_t i = 0; i < count; i++)
        cli_report("  %s", cli_choice_way_in_words(engine, &ways[i]).text);
    if (count == 0)
        cli_report("  nothing smaller will do: a smaller model, or more memory");
}

cli_exit cli_engine_plan(cli_engine *engine, const cli_request *request)
{
    const cli_exit status = cli_engine_predict(engine, request);
    const snug_plan *plan = &engine->plan;
    const snug_error error = { snug_memory_set_limits(engine->memory, 0, engine->options->memory_limit), "" };
    char planned[96] = "";

    if (status != CLI_DONE)
        return status;
    if (error.status != SNUG_OK)
        return cli_fail_error(&error);
    if (plan->fits)
        return CLI_DONE;
    if (engine->is_adaptive)
        snprintf(planned, sizeof planned, "; at most %s of it are planned with",
                 cli_size(plan->most_bytes).text);
    (void)cli_fail(CLI_DOES_NOT_FIT,
                   "this does not fit: it needs %s with %s, and may use %s (limited by %s)%s. What would:",
                   cli_size(plan->peak_bytes).text, cli_choice_in_words(plan).text,
                   cli_size(plan->limit_bytes).text, plan->limited_by, planned);
    say_what_would_fit(engine, request);
    return CLI_DOES_NOT_FIT;
}

/* --- text and session ---------------------------------------------------------------------------------- */

/* --chat-template */
static snug_status use_chat_template(cli_engine *engine, snug_error *error)
{
    const char *path = engine->options->chat_template;
    cli_buffer source = { 0 };
    snug_status status;

    if (!path)
        return SNUG_OK;
    SNUG_TRY(cli_read_file(&source, path, error));
    status = snug_text_set_chat_template(engine->text, source.data ? source.data : "", source.bytes, error);
    if (status != SNUG_OK)
        status = snug_fail_prefix(error, status, path);
    cli_buffer_free(&source);
    return status;
}

snug_status cli_engine_read_text(cli_engine *engine, snug_error *error)
{
    if (engine->model)
        return snug_text_open_files(&engine->text, engine->memory, snug_model_files(engine->model), error);
    return snug_text_open(&engine->text, engine->memory, engine->path, error);
}

cli_exit cli_engine_open_text(cli_engine *engine)
{
    snug_error error = { SNUG_OK, "" };

    if (cli_engine_read_text(engine, &error) != SNUG_OK || use_chat_template(engine, &error) != SNUG_OK)
        return cli_fail_error(&error);
    return CLI_DONE;
}

/*
 * --memory-limit is for the whole process: what lies outside the ledger comes off it. Beside it stands what
 * control groups and the machine allow, so that a refusal says which of them it was.
 */
static snug_status limit_ledger(const cli_engine *engine)
{
    const uint64_t limit = engine->options->memory_limit;
    const uint64_t fixed = engine->plan.fixed_bytes;

    if (limit > fixed)
        SNUG_TRY(snug_memory_set_limits(engine->memory, 0, limit - fixed));
    return snug_memory_set_adaptive_limits(engine->memory, engine->strategy, NULL);
}

/* Asked for explicitly, so it is done; but nobody should wonder about the answers. */
static void warn_about_context(const cli_engine *engine)
{
    if (engine->plan.context_tokens > engine->info.context_tokens && !engine->options->quiet)
        cli_note("the context of %u tokens is longer than the %u this model was made for: answers get worse "
                 "beyond that",
                 engine->plan.context_tokens, engine->info.context_tokens);
}

/* What the user set about the cache is obeyed. */
static bool is_format_given(const cli_options *options)
{
    return options->exact || cli_given(options, kv) || cli_given(options, kv_format) ||
           cli_given(options, kv_bits) || cli_given(options, kv_layers) || cli_given(options, max_kv_size);
}

/* Every number that was chosen. */
static void explain(const cli_engine *engine)
{
    const snug_model_info *info = &engine->info;
    const snug_plan *plan = &engine->plan;
    const snug_sample_options sample = cli_engine_sampling(engine);

    cli_report("model     %s: %s, %.2f million parameters, mostly %s, %u layers", engine->path, info->family,
               (double)info->parameters / 1e6, info->weight_type, info->layer_count);
    cli_report("compute   %s%s, %u thread%s, prefill chunk %u", snug_cpu_level_name(info->cpu),
               info->exact ? ", exact" : "", plan->threads, cli_plural(plan->threads), plan->prefill_chunk);
    cli_report("context   %u tokens (the model's longest: %u), cache %s", plan->context_tokens,
               info->context_tokens, cli_cache_in_words(&plan->kv).text);
    cli_report(
        "sampling  temperature %g, top-p %g, top-k %u, min-p %g, repetition penalty %g over %u, seed %llu",
        sample.temperature, sample.top_p, sample.top_k, sample.min_p, sample.repetition_penalty,
        sample.repetition_window, (unsigned long long)sample.seed);
    cli_choice_explain(engine);
}

/* Relief changes what is computed: not what is compared, or timed. */
static bool does_adapt(const cli_engine *engine)
{
    return engine->is_adaptive && is_answering(engine->options);
}

bool cli_engine_is_watched(const cli_engine *engine)
{
    const cli_options *options = engine->options;

    return does_adapt(engine) && (options->memory_monitoring || !cli_given(options, memory_monitoring));
}

snug_generate_options cli_engine_generate_options(const cli_engine *engine, void *user)
{
    const cli_options *options = engine->options;

    return (snug_generate_options){
        .struct_size = sizeof(snug_generate_options),
        .max_tokens = (uint32_t)options->max_tokens,
        .ignore_eos = options->ignore_eos,
        .sample = cli_engine_sampling(engine),
        .keep_going = cli_keep_going,
        .user = user,
        .on_recompute = options->quiet ? NULL : cli_report_recompute,
        .monitor_interval_tokens = cli_engine_is_watched(engine) ? 0 : UINT32_MAX,
    };
}

snug_session_options cli_engine_session_options(const cli_engine *engine)
{
    const cli_options *options = engine->options;

    return (snug_session_options){
        .struct_size = sizeof(snug_session_options),
        .context_tokens = (uint32_t)options->context,
        .prefill_chunk = cli_given(options, prefill_chunk) ? (uint32_t)options->prefill_chunk : 0,
        .threads = (uint32_t)options->threads,
        .kv = engine->kv,
        .adapt = does_adapt(engine),
        .strategy = engine->strategy,
        .keeps_format = is_format_given(options),
        .keeps_chunk = cli_given(options, prefill_chunk),
    };
}

cli_exit cli_engine_start(cli_engine *engine)
{
    snug_session_options options = cli_engine_session_options(engine);
    snug_error error = { SNUG_OK, "" };

    options.context_tokens = engine->plan.context_tokens;
    options.prefill_chunk = engine->plan.prefill_chunk;
    options.threads = engine->plan.threads;
    options.kv = engine->plan.kv;

    if (engine->options->verbose)
        explain(engine);
    warn_about_context(engine);
    cli_choice_warn(engine);
    error.status = limit_ledger(engine);
    if (error.status != SNUG_OK ||
        snug_session_create(&engine->session, engine->model, engine->memory, &options, &error) != SNUG_OK)
        return cli_fail_error(&error);
    return CLI_DONE;
}

/* --memory-stats of commands that have no report of their own. */
static void report_memory(const cli_engine *engine)
{
    const cli_options *options = engine->options;

    if (!options || !options->memory_stats || !engine->memory || options->command == CLI_COMMAND_generate ||
        options->command == CLI_COMMAND_chat)
        return;
    cli_flush();
    if (engine->session)
        cli_report_memory(engine);
    cli_report_memory_stats(engine->memory, engine->plan.struct_size > 0 ? &engine->plan : NULL);
}

void cli_engine_close(cli_engine *engine)
{
    report_memory(engine);
    snug_session_destroy(engine->session);
    snug_text_close(engine->text);
    snug_model_close(engine->model);
    cli_json_count_no_more(engine->memory);
    snug_memory_destroy(engine->memory);
    *engine = (cli_engine){ 0 };
}

/* --- choices ------------------------------------------------------------------------------------------- */

static double choose(bool is_given, double given, double of_model, double otherwise)
{
    return is_given ? given : of_model >= 0 ? of_model : otherwise;
}

snug_sample_options cli_engine_sampling(const cli_engine *engine)
{
    const cli_options *options = engine->options;
    const snug_model_sampling model = snug_model_read_sampling(engine->model);

    return (snug_sample_options){
        .struct_size = sizeof(snug_sample_options),
        .temperature = choose(cli_given(options, temperature), options->temperature, model.temperature,
                              TEMPERATURE_DEFAULT),
        .top_k = (uint32_t)choose(cli_given(options, top_k), (double)options->top_k, model.top_k, 0),
        .top_p = choose(cli_given(options, top_p), options->top_p, model.top_p, 1),
        .min_p = choose(cli_given(options, min_p), options->min_p, model.min_p, 0),
        .repetition_penalty = choose(cli_given(options, repetition_penalty), options->repetition_penalty,
                                     model.repetition_penalty, 1),
        .repetition_window = (uint32_t)options->repetition_context_size,
        .seed = options->seed,
    };
}

uint64_t cli_engine_cache_bytes(const cli_engine *engine, uint32_t tokens)
{
    const snug_kv_options options = {
        .struct_size = sizeof options,
        .context_tokens = engine->plan.context_tokens,
        .pass_tokens = engine->plan.prefill_chunk,
        .config = engine->plan.kv,
    };
    uint64_t bytes;

    if (snug_kv_estimate(&bytes, snug_model_kv_shape(engine->model), &options, tokens, NULL) != SNUG_OK)
        return 0;
    return bytes;
}
