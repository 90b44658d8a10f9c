/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_generate.c - one prompt, one answer: streamed to standard output, or one JSON object.
 */
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "cli/cache.h"
#include "cli/cache_file.h"
#include "cli/choice.h"
#include "cli/engine.h"
#include "cli/json_heap.h"
#include "cli/prompt.h"
#include "cli/report.h"
#include "cli/system.h"
#include "cli/times.h"

typedef struct generation {
    cli_engine engine;
    cli_prompt prompt;
    cli_ids answer_ids;
    cli_buffer answer; /* only for JSON */
    bool is_json;
    bool is_begun; /* its JSON is */
    bool is_short_of_memory;
    snug_generate_result result;
    const cli_stored *stored; /* goes on with this one; NULL: from a prompt */
    cli_buffer note;          /* for a suspension */
    cli_suspension suspension;
    cli_relief_log relief;
    cli_times times; /* with --profile */
} generation;

/* --- the prompt ---------------------------------------------------------------------------------------- */

/* The prompt is what was known when it was suspended. */
static cli_exit read_stored_ids(generation *run)
{
    const snug_suspended_info *info = &run->stored->info;
    const uint32_t count = info->unfinished.known_tokens;
    snug_error error = { SNUG_OK, "" };

    if (!info->is_unfinished)
        return cli_fail(CLI_USAGE, "the answer of %s had come to its end: there is nothing to go on with",
                        run->stored->id);
    if (cli_ids_alloc(&run->prompt.ids, count, &error) != SNUG_OK)
        return cli_fail_error(&error);
    memcpy(run->prompt.ids.id, info->ids, count * sizeof *info->ids);
    run->prompt.ids.count = count;
    return CLI_DONE;
}

static cli_exit read_prompt(generation *run, const cli_options *options)
{
    if (run->stored)
        return read_stored_ids(run);
    if (!options->prompt && !options->prompt_ids && cli_cache_file_is_there(options))
        return CLI_DONE; /* it goes on where the file ends */
    return cli_prompt_read(&run->prompt, options);
}

/* What the cache file holds is the prompt where there is no other. */
static cli_exit continue_cache_file(generation *run)
{
    const snug_session *session = run->engine.session;
    snug_error error = { SNUG_OK, "" };

    if (snug_session_tokens(session) == 0)
        return cli_fail(CLI_USAGE, "there is no prompt, and the cache file holds no tokens to go on from");
    if (cli_ids_alloc(&run->prompt.ids, snug_session_tokens(session), &error) != SNUG_OK)
        return cli_fail_error(&error);
    run->prompt.ids.count = snug_session_tokens(session);
    memcpy(run->prompt.ids.id, snug_session_ids(session), run->prompt.ids.count * sizeof *run->prompt.ids.id);
    return CLI_DONE;
}

/* --- the answer ---------------------------------------------------------------------------------------- */

static void on_relief(void *user, const snug_relief_event *event)
{
    generation *run = user;

    cli_report_relief(&run->relief, event, run->engine.options->quiet);
}

static void on_pressure(void *user, const snug_pressure_reading *reading)
{
    generation *run = user;

    cli_report_pressure(&run->engine, reading);
}

/* JSON begins with the ids, each written when it is chosen, so that one sees how far the answer is. A list of
 * JSON values would take 40 bytes for each, which no plan counts. */
static void print_id(generation *run, uint32_t id)
{
    if (id == SNUG_ID_NONE)
        return;
    cli_print("%s%u", run->is_begun ? ", " : "{\"ids\": [", id);
    run->is_begun = true;
    cli_flush();
}

static bool on_token(void *user, uint32_t id, const char *text, size_t bytes)
{
    generation *run = user;

    if (run->is_json) {
        print_id(run, id);
        run->is_short_of_memory = !cli_buffer_add(&run->answer, text, bytes);
        return !run->is_short_of_memory && !cli_output_is_broken();
    }
    cli_write(text, bytes);
    cli_flush();
    return !cli_output_is_broken();
}

/* The rest of it. */
static cli_exit print_json(generation *run, bool is_suspended)
{
    const snug_generate_result *result = &run->result;
    const uint32_t read = result->prompt_tokens - result->reused_tokens;

    cli_print("%s], ", run->is_begun ? "" : "{\"ids\": [");
    cli_write_json_members(
        json_pack("{s:s%,s:I,s:I,s:I,s:I,s:s,s:s,s:o,s:f,s:f,s:f,s:s,s:o,s:o,s:o,s:o,s:o}", "text",
                  run->answer.data ? run->answer.data : "", run->answer.bytes, "prompt_tokens",
                  (json_int_t)result->prompt_tokens, "reused_tokens", (json_int_t)result->reused_tokens,
                  "generated_tokens", (json_int_t)result->generated_tokens, "recomputed_tokens",
                  (json_int_t)result->recomputed_tokens, "recompute_reason",
                  snug_recompute_reason_name(result->recompute_reason), "stop",
                  is_suspended ? "suspended" : snug_stop_name(result->stop), "session",
                  is_suspended ? json_string(run->suspension.id) : json_null(), "prefill_tokens_per_second",
                  cli_tokens_per_second(read, result->prefill_ns), "decode_tokens_per_second",
                  cli_tokens_per_second(result->generated_tokens > 0 ? result->generated_tokens - 1 : 0,
                                        result->decode_ns),
                  "first_token_ms", (double)result->first_token_ns / 1e6, "model", run->engine.path, "kv",
                  cli_cache_json(&run->engine), "memory", cli_report_memory_json(&run->engine), "plan",
                  cli_choice_json(&run->engine), "relief", cli_relief_json(&run->relief), "times",
                  cli_times_json(&run->times)));
    cli_print("}\n");
    if (is_suspended)
        return CLI_SUSPENDED;
    return result->stop == SNUG_STOP_INTERRUPTED ? CLI_INTERRUPTED : CLI_DONE;
}

static void report_line(const char *line)
{
    cli_report("%s", line);
}

static cli_exit print_report(const generation *run, const cli_options *options)
{
    cli_print("\n");
    cli_flush();
    if (!options->quiet && !cli_output_is_broken()) {
        cli_report_run(&run->engine, &run->result);
        if (options->memory_stats)
            cli_report_memory_stats(run->engine.memory, &run->engine.plan);
        if (options->profile)
            cli_times_print(&run->times, report_line);
    }
    return run->result.stop == SNUG_STOP_INTERRUPTED ? CLI_INTERRUPTED : CLI_DONE;
}

/* Of a suspended answer, what is left of it, unless more or less is asked for now. */
static uint32_t wanted_tokens(const generation *run, const cli_options *options)
{
    return (uint32_t)(run->stored && !cli_given(options, max_tokens) ? run->stored->info.unfinished.max_tokens
                                                                     : options->max_tokens);
}

static snug_generate_options generate_options(generation *run, const cli_options *options)
{
    const snug_unfinished *unfinished = run->stored ? &run->stored->info.unfinished : NULL;
    snug_generate_options generate = cli_engine_generate_options(&run->engine, run);

    generate.on_token = on_token;
    generate.on_relief = on_relief;
    generate.on_pressure = on_pressure;
    if (unfinished) {
        generate.max_tokens = wanted_tokens(run, options);
        generate.ignore_eos = unfinished->ignore_eos;
        generate.sample = unfinished->sample;
        generate.told_tokens = unfinished->told_tokens;
    }
    return generate;
}

/* Memory has run out: to disk with it. What was said so far is printed in any case. */
static cli_exit suspend(generation *run, const snug_error *error)
{
    cli_exit status;

    if (!run->is_json && run->result.generated_tokens > 0)
        cli_print("\n");
    cli_flush();
    cli_note("%s", error->text);
    status = cli_suspend(&run->suspension, &run->engine, &run->note, error->text);
    if (status != CLI_SUSPENDED)
        return CLI_DOES_NOT_FIT;
    if (run->stored)
        (void)cli_stored_remove(run->stored); /* the newer one has it all */
    return run->is_json ? print_json(run, true) : CLI_SUSPENDED;
}

/* An answer that fails: JSON that was begun comes to an end, and says why. */
static void break_off(const generation *run, const char *why)
{
    if (run->is_begun) {
        cli_print("], ");
        cli_write_json_members(json_pack("{s:s}", "error", why));
        cli_print("}\n");
    } else if (run->result.generated_tokens > 0) {
        cli_print("\n");
    }
}

static cli_exit answer(generation *run, const cli_options *options)
{
    const snug_generate_options generate = generate_options(run, options);
    const uint32_t context = run->engine.plan.context_tokens;
    snug_unfinished unfinished = { .struct_size = sizeof unfinished };
    snug_error error = { SNUG_OK, "" };
    snug_status status;

    if (cli_ids_alloc(&run->answer_ids,
                      generate.max_tokens && generate.max_tokens < context ? generate.max_tokens : context,
                      &error) != SNUG_OK)
        return cli_fail_error(&error);
    cli_suspend_prepare(&run->note, &run->engine, NULL, 0);
    run->result.struct_size = sizeof run->result;
    snug_session_take_times(run->engine.session, options->profile);
    status = snug_session_generate(&run->result, run->engine.session, run->engine.text, run->prompt.ids.id,
                                   run->prompt.ids.count, run->answer_ids.id, &generate, &error);
    cli_times_read(&run->times, run->engine.session,
                   run->result.prompt_tokens - run->result.reused_tokens + run->result.generated_tokens);
    if ((status == SNUG_ERR_OVER_LIMIT || status == SNUG_ERR_NO_MEMORY) &&
        snug_session_unfinished(run->engine.session, &unfinished))
        return suspend(run, &error);
    if (status != SNUG_OK && status != SNUG_ERR_CANCELLED) {
        break_off(run, error.text);
        return cli_fail_error(&error);
    }
    if (run->is_short_of_memory) {
        break_off(run, "the system has no memory left for the text of the answer");
        return cli_fail(CLI_DOES_NOT_FIT, "the system has no memory left for the text of the answer");
    }
    if (status == SNUG_ERR_CANCELLED)
        run->result.stop = SNUG_STOP_INTERRUPTED;
    if (run->stored && run->result.stop != SNUG_STOP_INTERRUPTED)
        (void)cli_stored_remove(run->stored);
    return run->is_json ? print_json(run, false) : print_report(run, options);
}

/* --- the way ------------------------------------------------------------------------------------------- */

/* A prompt of ids alone needs no tokenizer: without one it is only the text that is missing. */
static cli_exit open_text(generation *run, const cli_options *options)
{
    snug_error error = { SNUG_OK, "" };

    if (!options->prompt_ids && !run->stored)
        return cli_engine_open_text(&run->engine);
    if (cli_engine_read_text(&run->engine, &error) != SNUG_OK) {
        run->engine.text_bytes = 0;
        cli_note("the answer will have ids but no text: %s", error.text);
    }
    return CLI_DONE;
}

/* What the JSON about a run takes, with the text of a long answer. */
#define REPORT_BYTES ((uint64_t)256 << 10)

/* More than any tokenizer takes. */
#define AMPLE_BYTES ((uint64_t)128 << 20)

/*
 * Before the prompt is encoded nobody knows its length: refuse what is too much even for one token. Measuring
 * the tokenizer takes half as long as opening it, so that is left out where memory is ample.
 */
static cli_exit refuse_early(generation *run)
{
    const cli_request request = { .prompt_tokens = 1, .max_tokens = 1, .fits_chunk = true };
    cli_engine *engine = &run->engine;
    cli_exit status = cli_engine_predict(engine, &request);

    if (status == CLI_DONE && engine->plan.fits && engine->plan.weights_fit)
        snug_model_warm(engine->model);
    if (status != CLI_DONE ||
        (engine->plan.fits && engine->plan.limit_bytes - engine->plan.peak_bytes > AMPLE_BYTES))
        return status;
    if (snug_text_estimate_path(&engine->text_bytes, engine->memory, engine->path, NULL) != SNUG_OK)
        engine->text_bytes = 0; /* opening it will say what is wrong */
    return cli_engine_plan(engine, &request);
}

static cli_exit prepare(generation *run, const cli_options *options)
{
    cli_request request = { .fits_chunk = true };
    cli_exit status = cli_engine_open(&run->engine, options);
    snug_error error = { SNUG_OK, "" };

    /* Before the plan, which counts it: an answer that memory ran out on can still be told. */
    if (status == CLI_DONE && run->is_json && cli_json_hold(REPORT_BYTES, &error) != SNUG_OK)
        status = cli_fail_error(&error);
    if (run->stored)
        run->engine.kv = run->stored->info.session.kv;
    if (status == CLI_DONE)
        status = refuse_early(run);
    if (status == CLI_DONE)
        status = open_text(run, options);
    if (status == CLI_DONE)
        status = cli_prompt_encode(&run->prompt, &run->engine);
    request.prompt_tokens =
        (uint32_t)(run->prompt.ids.count < UINT32_MAX ? run->prompt.ids.count : UINT32_MAX);
    request.max_tokens = wanted_tokens(run, options);
    if (status == CLI_DONE)
        status = cli_engine_plan(&run->engine, &request);
    if (status == CLI_DONE)
        status = cli_engine_start(&run->engine);
    if (status == CLI_DONE)
        status =
            run->stored ? cli_engine_resume(&run->engine, run->stored) : cli_cache_file_load(&run->engine);
    if (status == CLI_DONE && !options->prompt && !options->prompt_ids && !run->stored)
        status = continue_cache_file(run);
    return status;
}

/* The last token was told, but not computed: it belongs to what comes next. Whether the answer succeeded or
 * not, what was computed is kept. */
static cli_exit keep(generation *run, cli_exit status)
{
    const uint32_t generated = run->result.generated_tokens;
    const uint32_t *last = generated > 0 ? &run->answer_ids.id[generated - 1] : NULL;
    const bool is_computed =
        snug_session_tokens(run->engine.session) >= run->result.prompt_tokens + generated;
    const cli_exit kept = cli_cache_file_save(&run->engine, is_computed ? NULL : last);

    return status == CLI_DONE ? kept : status;
}

static cli_exit run_all(const cli_options *options, const cli_stored *stored)
{
    generation run = { .is_json = options->json, .stored = stored };
    cli_exit status = read_prompt(&run, options);

    cli_interrupt_arm();
    if (status == CLI_DONE)
        status = prepare(&run, options);
    if (status == CLI_DONE)
        status = keep(&run, answer(&run, options));
    cli_engine_close(&run.engine);
    cli_ids_free(&run.answer_ids);
    cli_prompt_free(&run.prompt);
    cli_buffer_free(&run.answer);
    cli_buffer_free(&run.note);
    return status;
}

cli_exit cli_command_generate(const cli_options *options)
{
    return run_all(options, NULL);
}

cli_exit cli_resume_generate(const cli_options *options, const cli_stored *stored)
{
    return run_all(options, stored);
}
