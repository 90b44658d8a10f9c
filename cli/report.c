/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.c - see the header.
 */
#include "cli/report.h"

#include <stdio.h>

#include "base/status.h"
#include "cli/cache.h"
#include "cli/layers.h"
#include "cli/value.h"

double cli_tokens_per_second(uint64_t tokens, uint64_t nanoseconds)
{
    return nanoseconds ? (double)tokens * 1e9 / (double)nanoseconds : 0;
}

static const char *stop_in_words(snug_stop stop)
{
    switch (stop) {
    case SNUG_STOP_EOS:
        return "the model ended its answer";
    case SNUG_STOP_MAX_TOKENS:
        return "stopped after --max-tokens";
    case SNUG_STOP_CONTEXT:
        return "stopped because the context is full";
    case SNUG_STOP_INTERRUPTED:
        return "interrupted";
    }
    return "failed";
}

cli_uses_text cli_report_uses(const uint64_t use_bytes[SNUG_MEMORY_USE_COUNT])
{
    cli_uses_text out = { "" };
    size_t used = 0;

    for (int use = 0; use < SNUG_MEMORY_USE_COUNT && used < sizeof out.text; use++)
        if (use_bytes[use] > 0)
            used +=
                (size_t)snprintf(out.text + used, sizeof out.text - used, "%s%s %s", used ? ", " : "",
                                 snug_memory_use_name((snug_memory_use)use), cli_size(use_bytes[use]).text);
    return out;
}

/* What it is made of in the end, and what was chosen beside it. */
static void report_cache(const cli_engine *engine)
{
    const snug_kv *kv = snug_session_kv(engine->session);
    snug_kv_info info = { .struct_size = sizeof info };

    snug_kv_read_info(&info, kv);
    cli_report("cache    %s, %s for %u tokens of at most %u; prefill chunk %u",
               cli_cache_in_words(&info.config).text, cli_size(snug_kv_committed_bytes(kv)).text,
               snug_kv_tokens(kv), snug_kv_context_tokens(kv), snug_session_prefill_chunk(engine->session));
    if (engine->options->verbose)
        cli_layers_report(kv);
}

static void print_peak(const cli_engine *engine)
{
    const snug_plan *plan = &engine->plan;

    cli_report("memory   peak %s as measured by the kernel; %s was predicted%s",
               cli_size(snug_memory_measured_peak(engine->memory)).text, cli_size(plan->peak_bytes).text,
               plan->cache_tokens == plan->context_tokens ? " for a full context" : "");
}

void cli_report_peak(const cli_engine *engine, size_t sessions)
{
    const cli_options *options = engine->options;

    if (options->quiet || options->json || options->memory_stats)
        return;
    cli_flush();
    snug_memory_sample(engine->memory);
    if (sessions == 1)
        print_peak(engine);
    else
        cli_report("memory   peak %s as measured by the kernel, of %zu sessions; %s was predicted for one",
                   cli_size(snug_memory_measured_peak(engine->memory)).text, sessions,
                   cli_size(engine->plan.peak_bytes).text);
}

void cli_report_memory(const cli_engine *engine)
{
    const snug_plan *plan = &engine->plan;
    uint64_t peaks[SNUG_MEMORY_USE_COUNT];

    snug_memory_sample(engine->memory);
    for (int use = 0; use < SNUG_MEMORY_USE_COUNT; use++)
        peaks[use] = snug_memory_read(engine->memory, (snug_memory_use)use).peak_bytes;
    print_peak(engine);
    cli_report("         %s in the ledger: %s",
               cli_size(snug_memory_read_all(engine->memory).peak_bytes).text, cli_report_uses(peaks).text);
    cli_report("         limit %s (%s)%s%s", cli_size(plan->limit_bytes).text, plan->limited_by,
               engine->is_adaptive ? ", strategy " : "",
               engine->is_adaptive ? snug_strategy_name(engine->strategy) : "");
    if (engine->options->memory_monitoring && cli_engine_is_watched(engine))
        cli_report("         pressure at most %s, %u change%s of level",
                   snug_pressure_name(engine->pressure.highest), engine->pressure.changes,
                   cli_plural(engine->pressure.changes));
    if (engine->session)
        report_cache(engine);
    cli_report("weights  %s mapped, %s of it in memory; the kernel may drop them",
               cli_size(engine->info.mapped_bytes).text,
               cli_size(snug_model_resident_bytes(engine->model)).text);
}

void cli_report_run(const cli_engine *engine, const snug_generate_result *result)
{
    const uint32_t read = result->prompt_tokens - result->reused_tokens;
    const uint32_t timed = result->generated_tokens > 0 ? result->generated_tokens - 1 : 0;
    char reused[48] = "";

    if (result->reused_tokens > 0)
        snprintf(reused, sizeof reused, ", %u of them known already", result->reused_tokens);
    cli_report("\nprompt   %u token%s%s, %.1f tokens/s", result->prompt_tokens,
               cli_plural(result->prompt_tokens), reused, cli_tokens_per_second(read, result->prefill_ns));
    cli_report("answer   %u token%s, %.1f tokens/s, the first after %.1f ms; %s", result->generated_tokens,
               cli_plural(result->generated_tokens), cli_tokens_per_second(timed, result->decode_ns),
               (double)result->first_token_ns / 1e6, stop_in_words(result->stop));
    cli_report_memory(engine);
}

void cli_report_recompute(void *user, const snug_recompute *recompute)
{
    const bool is_longer = recompute->reason == SNUG_RECOMPUTE_LONGER;
    const char *are = recompute->tokens == 1 ? " is" : "s are";

    (void)user;
    cli_flush();
    if (recompute->reason == SNUG_RECOMPUTE_REWOUND) {
        cli_note("the cache has dropped what comes before this point: %u token%s computed again",
                 recompute->tokens, are);
        return;
    }
    cli_note("context %s %u tokens%s: %u token%s computed again with the model's %s factors",
             is_longer ? "grew beyond" : "is within", recompute->limit_tokens, is_longer ? "" : " again",
             recompute->tokens, are, is_longer ? "long" : "short");
}

/* --- giving back ---------------------------------------------------------------------------------------- */

static const char *reason_in_words(snug_relief_reason reason)
{
    switch (reason) {
    case SNUG_RELIEF_PRESSURE:
        return "memory is short";
    case SNUG_RELIEF_FORECAST:
        return "memory would soon be short";
    case SNUG_RELIEF_LIMIT:
        return "the memory limit was lowered";
    case SNUG_RELIEF_REFUSED:
        return "the memory limit is reached";
    case SNUG_RELIEF_RECOVERY:
        return "there is room again";
    }
    return "memory";
}

static void write_step(char *out, size_t capacity, const snug_relief_event *event)
{
    switch (event->step) {
    case SNUG_RELIEF_SLACK:
        snprintf(out, capacity, "what is not needed now goes back");
        break;
    case SNUG_RELIEF_RECOVER:
        snprintf(out, capacity, "the cache has %u/%u bits, prompts are read %u tokens at a time",
                 event->key_bits, event->value_bits, event->prefill_chunk);
        break;
    case SNUG_RELIEF_CHUNK:
        snprintf(out, capacity, "prompts are read %u tokens at a time", event->prefill_chunk);
        break;
    case SNUG_RELIEF_DEMOTE:
        snprintf(out, capacity, "the cache goes down to %u/%u bits", event->key_bits, event->value_bits);
        break;
    case SNUG_RELIEF_WINDOW:
        snprintf(out, capacity, "the middle of the conversation is forgotten");
        break;
    case SNUG_RELIEF_SUSPEND:
        snprintf(out, capacity, "nothing more can be given back");
        break;
    default:
        snprintf(out, capacity, "%s", snug_relief_step_name(event->step));
    }
}

void cli_report_relief(cli_relief_log *log, const snug_relief_event *event, bool is_quiet)
{
    char step[96];

    if (log->count < SNUG_COUNT(log->event))
        log->event[log->count] = *event;
    log->count++;
    if (is_quiet)
        return;
    write_step(step, sizeof step, event);
    cli_flush();
    if (event->returned_bytes > 0)
        cli_note("%s: %s, %s; %s in use", reason_in_words(event->reason), step,
                 cli_size(event->returned_bytes).text, cli_size(event->used_after_bytes).text);
    else
        cli_note("%s: %s; %s in use", reason_in_words(event->reason), step,
                 cli_size(event->used_after_bytes).text);
}

json_t *cli_relief_json(const cli_relief_log *log)
{
    json_t *events = json_array();

    for (size_t i = 0; i < log->count && i < SNUG_COUNT(log->event); i++) {
        const snug_relief_event *event = &log->event[i];

        json_array_append_new(
            events,
            json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:{s:I,s:I},s:I}", "step",
                      snug_relief_step_name(event->step), "reason", snug_relief_reason_name(event->reason),
                      "level", snug_pressure_name(event->level), "promised_bytes",
                      (json_int_t)event->promised_bytes, "returned_bytes", (json_int_t)event->returned_bytes,
                      "used_before_bytes", (json_int_t)event->used_before_bytes, "used_after_bytes",
                      (json_int_t)event->used_after_bytes, "duration_us",
                      (json_int_t)(event->duration_ns / 1000), "tokens", (json_int_t)event->tokens, "bits",
                      "key", (json_int_t)event->key_bits, "value", (json_int_t)event->value_bits,
                      "prefill_chunk", (json_int_t)event->prefill_chunk));
    }
    return events;
}

void cli_report_pressure(cli_engine *engine, const snug_pressure_reading *reading)
{
    cli_pressure_log *log = &engine->pressure;
    const bool is_said = reading->notifications > log->notifications;

    log->notifications = reading->notifications;
    log->changes++;
    if (reading->level > log->highest)
        log->highest = reading->level;
    if (!engine->options->memory_monitoring || engine->options->quiet)
        return;
    cli_flush();
    cli_note("memory pressure is %s: %.0f %%, %s of %s in use (%s)%s", snug_pressure_name(reading->level),
             reading->usage > 0 ? 100 * reading->usage : 0, cli_size(reading->used_bytes).text,
             cli_size(reading->limit_bytes).text,
             reading->binding == SNUG_MEMORY_SOURCE_USER ? engine->plan.limited_by : reading->binding_text,
             is_said                 ? "; somebody said that memory is short"
             : reading->is_thrashing ? "; weights are read again from the disk, or memory is waited for"
                                     : "");
}

#define GAUGE_COLUMNS 20

void cli_report_gauge(const cli_engine *engine)
{
    snug_memory_state state;
    char bar[GAUGE_COLUMNS + 1];
    double usage;

    snug_memory_read_state(&state, engine->memory);
    usage = state.usage > 0 ? state.usage < 1 ? state.usage : 1 : 0;
    for (int i = 0; i < GAUGE_COLUMNS; i++)
        bar[i] = i < (int)(usage * GAUGE_COLUMNS + 0.5) ? '#' : '.';
    bar[GAUGE_COLUMNS] = '\0';
    cli_report("memory   [%s] %.0f %%, %s: %s in use, %s predicted for a full context, limit %s (%s)", bar,
               100 * usage, snug_pressure_name(state.pressure), cli_size(state.own_bytes).text,
               cli_size(engine->plan.peak_bytes).text, cli_size(state.limit_bytes).text,
               state.binding == SNUG_MEMORY_SOURCE_USER ? engine->plan.limited_by : state.binding_text);
}

/* --- more ---------------------------------------------------------------------------------------------- */

#define TIMELINE_LINES 16

static void report_timeline(snug_memory *memory)
{
    snug_memory_point points[256];
    size_t count = snug_memory_timeline(memory, points, SNUG_COUNT(points));
    size_t step;

    if (count > SNUG_COUNT(points))
        count = SNUG_COUNT(points);
    step = (count + TIMELINE_LINES - 1) / TIMELINE_LINES;
    cli_report("\nnew peaks of the ledger, at ms since the start");
    for (size_t i = 0; i < count; i += step) {
        const size_t last =
            i + step < count ? i + step - 1 : count - 1; /* the highest of a step is its last */

        cli_report("%10.1f  %10s  %s", (double)points[last].time_ns / 1e6,
                   cli_size(points[last].used_bytes).text, cli_report_uses(points[last].use_bytes).text);
    }
}

void cli_report_memory_stats(snug_memory *memory, const snug_plan *plan)
{
    cli_report("\n%-10s %12s %12s %12s %8s", "use", "predicted", "peak", "now", "blocks");
    for (int i = 0; i < SNUG_MEMORY_USE_COUNT; i++) {
        const snug_memory_use use = (snug_memory_use)i;
        const snug_memory_count count = snug_memory_read(memory, use);

        cli_report("%-10s %12s %12s %12s %8llu", snug_memory_use_name(use),
                   plan ? cli_size(plan->use_bytes[i]).text : "-", cli_size(count.peak_bytes).text,
                   cli_size(count.used_bytes).text, (unsigned long long)count.blocks);
    }
    if (plan)
        cli_report("%-10s %12s", "fixed", cli_size(plan->fixed_bytes).text);
    report_timeline(memory);
}

void cli_report_ledger(const cli_options *options, snug_memory *memory)
{
    if (!options->memory_stats || !memory)
        return;
    cli_flush();
    cli_report_memory_stats(memory, NULL);
}

/* --- JSON ---------------------------------------------------------------------------------------------- */

json_t *cli_report_uses_json(const uint64_t use_bytes[SNUG_MEMORY_USE_COUNT])
{
    json_t *uses = json_object();

    for (int use = 0; use < SNUG_MEMORY_USE_COUNT; use++)
        json_object_set_new(uses, snug_memory_use_name((snug_memory_use)use),
                            json_integer((json_int_t)use_bytes[use]));
    return uses;
}

static json_t *pressure_json(const cli_engine *engine)
{
    if (!engine->session || !cli_engine_is_watched(engine))
        return json_null();
    return json_pack("{s:s,s:I}", "highest", snug_pressure_name(engine->pressure.highest), "changes",
                     (json_int_t)engine->pressure.changes);
}

json_t *cli_report_memory_json(const cli_engine *engine)
{
    const snug_plan *plan = &engine->plan;
    const uint32_t tokens = engine->session ? snug_session_tokens(engine->session) : 0;
    const uint64_t cache_planned = cli_engine_cache_bytes(engine, plan->cache_tokens);
    const uint64_t cache_at_end = cli_engine_cache_bytes(engine, tokens);
    const uint64_t predicted_at_end = plan->peak_bytes - cache_planned + cache_at_end;
    json_t *peaks = json_object();

    snug_memory_sample(engine->memory);
    for (int i = 0; i < SNUG_MEMORY_USE_COUNT; i++) {
        const snug_memory_use use = (snug_memory_use)i;

        json_object_set_new(peaks, snug_memory_use_name(use),
                            json_integer((json_int_t)snug_memory_read(engine->memory, use).peak_bytes));
    }
    return json_pack("{s:I,s:I,s:I,s:I,s:o,s:o,s:I,s:I,s:I,s:I,s:s,s:o}", "predicted_peak_bytes",
                     (json_int_t)plan->peak_bytes, "ledger_peak_bytes",
                     (json_int_t)snug_memory_read_all(engine->memory).peak_bytes, "measured_peak_bytes",
                     (json_int_t)snug_memory_measured_peak(engine->memory), "predicted_at_end_bytes",
                     (json_int_t)predicted_at_end, "by_use", peaks, "predicted_by_use",
                     cli_report_uses_json(plan->use_bytes), "fixed_bytes", (json_int_t)plan->fixed_bytes,
                     "weights_mapped_bytes", (json_int_t)engine->info.mapped_bytes, "weights_resident_bytes",
                     (json_int_t)snug_model_resident_bytes(engine->model), "limit_bytes",
                     (json_int_t)plan->limit_bytes, "limited_by", plan->limited_by, "pressure",
                     pressure_json(engine));
}
