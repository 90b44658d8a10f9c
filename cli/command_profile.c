/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_profile.c - one prompt, one answer, and where the memory went meanwhile: as a table, as JSON, as
 * CSV, as a picture; and what would save some, by the planner's arithmetic.
 */
#include "cli/commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "cli/cache.h"
#include "cli/engine.h"
#include "cli/profile.h"
#include "cli/prompt.h"
#include "cli/report.h"
#include "cli/system.h"
#include "cli/value.h"

enum {
    SUGGESTIONS_MAX = 6,
    CHUNK_LEAST = 32,
};

typedef struct suggestion {
    char flags[48];
    uint64_t saved_bytes; /* of the peak */
    char remark[64];
} suggestion;

typedef struct profiling {
    cli_engine engine;
    cli_prompt prompt;
    cli_profile *profile;
    uint32_t last_tokens; /* when keep_going was asked before */
    bool is_answering;
    snug_generate_result result;
    suggestion suggestion[SUGGESTIONS_MAX];
    size_t suggestion_count;
} profiling;

/* --- what would save memory ---------------------------------------------------------------------------- */

/* The peak of the same request with another cache or chunk; 0 when there is no such plan. */
static uint64_t peak_with(const profiling *run, const snug_kv_config *kv, uint32_t chunk)
{
    const snug_plan *plan = &run->engine.plan;
    const snug_plan_options options = {
        .struct_size = sizeof options,
        .context_tokens = plan->context_tokens,
        .prompt_tokens = (uint32_t)run->prompt.ids.count,
        .max_tokens = (uint32_t)run->engine.options->max_tokens,
        .prefill_chunk = chunk,
        .threads = plan->threads,
        .kv = *kv,
    };
    snug_plan other = { .struct_size = sizeof other };

    if (snug_plan_make(&other, run->engine.model, run->engine.memory, 0, &options, NULL) != SNUG_OK)
        return 0;
    return other.peak_bytes;
}

static void suggest(profiling *run, uint64_t peak, const char *flags, const char *remark)
{
    suggestion *next = &run->suggestion[run->suggestion_count];

    /* A hundredth is not worth a word. */
    if (peak == 0 || peak + run->engine.plan.peak_bytes / 100 >= run->engine.plan.peak_bytes ||
        run->suggestion_count == SUGGESTIONS_MAX)
        return;
    snprintf(next->flags, sizeof next->flags, "%s", flags);
    snprintf(next->remark, sizeof next->remark, "%s", remark);
    next->saved_bytes = run->engine.plan.peak_bytes - peak;
    run->suggestion_count++;
}

static void suggest_bits(profiling *run, const char *bits)
{
    const snug_plan *plan = &run->engine.plan;
    cli_options options = *run->engine.options;
    snug_kv_config kv;
    uint32_t key_bits, value_bits;
    char flags[48];

    if (!cli_cache_parse_bits(&key_bits, &value_bits, bits) || key_bits >= cli_cache_bits(&plan->kv.key))
        return;
    options.kv_bits = bits;
    options.given[CLI_OPTION_kv_bits] = true;
    if (plan->kv.key.format == SNUG_KV_FORMAT_F16) {
        options.kv_format = NULL; /* which has no bits to choose */
        options.given[CLI_OPTION_kv_format] = false;
    }
    options.kv = options.kv && strcmp(options.kv, "simple") == 0 ? NULL : options.kv;
    if (cli_cache_read(&kv, &options) != CLI_DONE)
        return;
    snprintf(flags, sizeof flags, "--kv-bits %s", bits);
    suggest(run, peak_with(run, &kv, plan->prefill_chunk), flags, "docs/quality.md says what it costs");
}

/* The largest chunk with which most is saved of what the smallest would save. */
static void suggest_chunk(profiling *run)
{
    const snug_plan *plan = &run->engine.plan;
    const uint64_t least = peak_with(run, &plan->kv, CHUNK_LEAST);
    uint32_t chunk = plan->prefill_chunk / 2;
    char flags[48];

    while (chunk > CHUNK_LEAST &&
           (peak_with(run, &plan->kv, chunk) - least) * 5 > run->engine.plan.peak_bytes - least)
        chunk /= 2;
    if (chunk < CHUNK_LEAST)
        return;
    snprintf(flags, sizeof flags, "--prefill-chunk %u", chunk);
    suggest(run, peak_with(run, &plan->kv, chunk), flags, "the prompt is read more slowly");
}

static void suggest_window(profiling *run)
{
    const snug_plan *plan = &run->engine.plan;
    const cli_options *options = run->engine.options;
    const uint32_t kept = plan->cache_tokens / 2 / 64 * 64;
    snug_kv_config kv = plan->kv;
    char flags[48];

    if (kv.retention.kind != SNUG_KV_RETENTION_ALL || kept < 128)
        return;
    kv.retention = (snug_kv_retention){ SNUG_KV_RETENTION_ROTATING, kept,
                                        cli_given(options, kv_sinks) ? (uint32_t)options->kv_sinks
                                                                     : SNUG_KV_SINKS_DEFAULT };
    snprintf(flags, sizeof flags, "--max-kv-size %u", kept);
    suggest(run, peak_with(run, &kv, plan->prefill_chunk), flags, "the model forgets what is older");
}

static void find_suggestions(profiling *run)
{
    suggest_bits(run, "8");
    suggest_bits(run, "4");
    suggest_chunk(run);
    suggest_window(run);
}

/* --- the run ------------------------------------------------------------------------------------------- */

static bool keep_going(void *user)
{
    profiling *run = user;
    const uint32_t tokens = snug_session_tokens(run->engine.session);

    if (!run->is_answering && tokens > run->last_tokens)
        cli_profile_note(run->profile, "chunk", "%u tokens read", tokens - run->last_tokens);
    else
        cli_profile_tick(run->profile);
    run->last_tokens = tokens;
    return cli_keep_going(NULL);
}

static bool on_token(void *user, uint32_t id, const char *text, size_t bytes)
{
    profiling *run = user;

    (void)id;
    (void)text;
    (void)bytes;
    if (!run->is_answering)
        cli_profile_note(run->profile, "decode", "the first token of the answer");
    run->is_answering = true;
    return true;
}

static void on_relief(void *user, const snug_relief_event *event)
{
    profiling *run = user;

    cli_profile_note(run->profile, "relief", "%s, %s given back", snug_relief_step_name(event->step),
                     cli_size(event->returned_bytes).text);
}

static void on_pressure(void *user, const snug_pressure_reading *reading)
{
    profiling *run = user;

    cli_profile_note(run->profile, "pressure", "%s: %.0f %%", snug_pressure_name(reading->level),
                     reading->usage > 0 ? 100 * reading->usage : 0);
    cli_report_pressure(&run->engine, reading);
}

static cli_exit answer(profiling *run)
{
    snug_generate_options generate = cli_engine_generate_options(&run->engine, run);
    snug_error error = { SNUG_OK, "" };
    snug_status status;

    generate.keep_going = keep_going;
    generate.on_token = on_token;
    generate.on_relief = on_relief;
    generate.on_pressure = on_pressure;

    run->result.struct_size = sizeof run->result;
    cli_profile_note(run->profile, "prefill", "%zu tokens to read", run->prompt.ids.count);
    status = snug_session_generate(&run->result, run->engine.session, run->engine.text, run->prompt.ids.id,
                                   run->prompt.ids.count, NULL, &generate, &error);
    cli_profile_note(run->profile, "end", "%u tokens written", run->result.generated_tokens);
    return status == SNUG_OK || status == SNUG_ERR_CANCELLED ? CLI_DONE : cli_fail_error(&error);
}

static cli_exit prepare(profiling *run, const cli_options *options)
{
    cli_request request = { .max_tokens = (uint32_t)options->max_tokens, .fits_chunk = true };
    cli_engine *engine = &run->engine;
    cli_exit status = cli_engine_open(engine, options);

    if (status != CLI_DONE)
        return status;
    run->profile = cli_profile_create();
    if (!run->profile)
        return cli_fail(CLI_DOES_NOT_FIT, "the system has no memory left for the profile");
    run->profile->memory = engine->memory;
    cli_profile_note(run->profile, "load", "the model's headers");
    status = cli_engine_open_text(engine);
    if (status == CLI_DONE)
        status = cli_prompt_encode(&run->prompt, engine);
    if (status != CLI_DONE)
        return status;
    cli_profile_note(run->profile, "text", "tokenizer open, prompt encoded");
    request.prompt_tokens =
        (uint32_t)(run->prompt.ids.count < UINT32_MAX ? run->prompt.ids.count : UINT32_MAX);
    status = cli_engine_plan(engine, &request);
    if (status != CLI_DONE)
        return status;
    find_suggestions(run); /* before the session is there, as the plan was made */
    status = cli_engine_start(engine);
    if (status != CLI_DONE)
        return status;
    run->profile->session = engine->session;
    run->profile->fixed_bytes = engine->plan.fixed_bytes;
    run->profile->predicted_bytes = engine->plan.peak_bytes;
    cli_profile_note(run->profile, "session", "scratch and threads");
    return CLI_DONE;
}

/* --- telling ------------------------------------------------------------------------------------------- */

static void print_suggestions(const profiling *run)
{
    if (run->suggestion_count == 0)
        cli_print("\nNothing here would save more than a hundredth of the peak.\n");
    else
        cli_print("\nWhat would save memory, of a peak of %s:\n", cli_size(run->engine.plan.peak_bytes).text);
    for (size_t i = 0; i < run->suggestion_count; i++)
        cli_print("  %-20s saves %9s  %s\n", run->suggestion[i].flags,
                  cli_size(run->suggestion[i].saved_bytes).text, run->suggestion[i].remark);
}

static void print_table(const profiling *run)
{
    const cli_profile *profile = run->profile;

    cli_print("%10s  %7s  %10s  %10s  what\n", "ms", "tokens", "ledger", "kernel");
    for (size_t i = 0, at = 0; i < profile->event_count; i++) {
        const cli_profile_event *event = &profile->event[i];

        while (at + 1 < profile->sample_count && profile->sample[at].time_ns < event->time_ns)
            at++;
        cli_print("%10.1f  %7u  %10s  %10s  %s: %s\n", (double)event->time_ns / 1e6, event->tokens,
                  cli_size(cli_profile_total(profile, &profile->sample[at]) - profile->fixed_bytes).text,
                  cli_size(profile->sample[at].kernel_bytes).text, event->kind, event->detail);
    }
    cli_print("\npeak %s as measured by the kernel; %s was predicted\n",
              cli_size(snug_memory_measured_peak(run->engine.memory)).text,
              cli_size(run->engine.plan.peak_bytes).text);
    print_suggestions(run);
}

static void print_json(const profiling *run)
{
    cli_print("{");
    cli_profile_write_json(run->profile);
    cli_print(",\n\"suggestions\": [");
    for (size_t i = 0; i < run->suggestion_count; i++)
        cli_print("%s{\"flags\": \"%s\", \"saved_bytes\": %llu, \"remark\": \"%s\"}", i > 0 ? ",\n" : "",
                  run->suggestion[i].flags, (unsigned long long)run->suggestion[i].saved_bytes,
                  run->suggestion[i].remark);
    cli_print("],\n");
    cli_write_json_members(json_pack("{s:I,s:I,s:o}", "prompt_tokens", (json_int_t)run->result.prompt_tokens,
                                     "generated_tokens", (json_int_t)run->result.generated_tokens, "memory",
                                     cli_report_memory_json(&run->engine)));
    cli_print("}\n");
}

static bool write_csv(const profiling *run, FILE *file)
{
    return cli_profile_write_csv(run->profile, file);
}

static bool write_svg(const profiling *run, FILE *file)
{
    char title[400];

    snprintf(title, sizeof title, "Memory: %s, %.2f million parameters, cache %s, prefill chunk %u",
             run->engine.info.family, (double)run->engine.info.parameters / 1e6,
             cli_cache_in_words(&run->engine.plan.kv).text, run->engine.plan.prefill_chunk);
    return cli_profile_write_svg(run->profile, file, title);
}

static cli_exit write_file(const profiling *run, const char *path, bool (*write)(const profiling *, FILE *))
{
    FILE *file = fopen(path, "w");
    bool is_written;

    if (!file)
        return cli_fail(CLI_FAILED, "cannot write %s: %s", path, strerror(errno));
    is_written = write(run, file);
    if (fclose(file) != 0 || !is_written)
        return cli_fail(CLI_FAILED, "cannot write %s: %s", path, strerror(errno));
    return CLI_DONE;
}

static cli_exit tell(profiling *run, const cli_options *options)
{
    cli_exit status = CLI_DONE;

    if (options->json)
        print_json(run);
    else
        print_table(run);
    if (options->csv)
        status = write_file(run, options->csv, write_csv);
    if (options->svg && status == CLI_DONE)
        status = write_file(run, options->svg, write_svg);
    return status;
}

cli_exit cli_command_profile(const cli_options *options)
{
    profiling run = { .is_answering = false };
    cli_exit status = cli_prompt_read(&run.prompt, options);

    cli_interrupt_arm();
    if (status == CLI_DONE)
        status = prepare(&run, options);
    if (status == CLI_DONE)
        status = answer(&run);
    if (status == CLI_DONE)
        status = tell(&run, options);
    if (status == CLI_DONE && run.result.stop == SNUG_STOP_INTERRUPTED)
        status = CLI_INTERRUPTED;
    cli_engine_close(&run.engine);
    cli_prompt_free(&run.prompt);
    free(run.profile);
    return status;
}
