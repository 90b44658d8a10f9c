/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_perplexity.c - what cache formats cost in quality: the same tokens through an f16 cache that keeps
 * everything, and through each format, compared position by position.
 *
 * All sessions go through a window in step, some tokens at a time, so that only the logits of those tokens
 * are ever held. The second half of each window is scored: there every position has looked back far.
 */
#include "cli/commands.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "cli/cache.h"
#include "cli/engine.h"
#include "cli/input.h"
#include "cli/quality.h"
#include "cli/recall.h"
#include "cli/report.h"
#include "cli/system.h"

#define FORMATS_MAX  32
#define CONTEXT      2048u
#define LOGITS_BYTES ((size_t)16 << 20) /* of the reference, held at once */
#define LOGITS_ROWS  8

typedef struct tested {
    char name[160];
    snug_kv_config config;
    snug_session *session;
    cli_quality quality;
    cli_recall_score recall;
    uint64_t bytes_per_token; /* of a full window, all told */
} tested;

typedef struct comparison {
    const cli_options *options;
    cli_engine engine;
    cli_ids ids;  /* of the whole text */
    uint32_t bos; /* before every window, or SNUG_ID_NONE */
    uint32_t context;
    uint32_t windows;
    uint32_t step;    /* tokens that all sessions take before any goes on */
    uint32_t *window; /* [context] */
    float *reference; /* [step][vocabulary] */
    cli_recall_score reference_recall;
    tested format[FORMATS_MAX];
    size_t format_count;
    tested *now;    /* whose logits come; NULL: the reference's */
    uint32_t first; /* position of the first row of `reference` */
} comparison;

/* --- what is compared ---------------------------------------------------------------------------------- */

static cli_exit add_format(comparison *c, const char *name, size_t bytes)
{
    tested *t = &c->format[c->format_count];

    if (c->format_count == FORMATS_MAX)
        return cli_fail(CLI_USAGE, "--kv-formats takes at most %d formats", FORMATS_MAX);
    if (bytes >= sizeof t->name)
        return cli_fail(CLI_USAGE, "--kv-formats: \"%.40s...\" is too long for the name of a format", name);
    memcpy(t->name, name, bytes);
    t->name[bytes] = '\0';
    c->format_count++;
    return cli_cache_read_named(&t->config, t->name, c->options);
}

/* Where none is named: the one that a session would have. */
static void test_planned_format(comparison *c)
{
    tested *t = &c->format[c->format_count++];

    t->config = c->engine.plan.kv;
    snprintf(t->name, sizeof t->name, "%.*s", (int)sizeof t->name - 1, cli_cache_in_words(&t->config).text);
}

static cli_exit read_formats(comparison *c)
{
    const char *list = c->options->kv_formats;
    cli_exit status = CLI_DONE;

    while (status == CLI_DONE && list) {
        const char *comma = strchr(list, ',');

        status = add_format(c, list, comma ? (size_t)(comma - list) : strlen(list));
        list = comma ? comma + 1 : NULL;
    }
    return status;
}

/* A text as people give it to --text: a file. */
static cli_exit read_text(comparison *c)
{
    cli_buffer text = { 0 };
    snug_error error = { SNUG_OK, "" };
    cli_exit status = CLI_DONE;
    uint32_t prefix[8];
    size_t count;

    if (cli_read_file(&text, c->options->text, &error) != SNUG_OK ||
        cli_ids_alloc(&c->ids, snug_text_encode_bound(c->engine.text, text.bytes), &error) != SNUG_OK ||
        snug_text_encode(c->engine.text, c->ids.id, snug_text_encode_bound(c->engine.text, text.bytes),
                         &c->ids.count, text.data ? text.data : "", text.bytes, SNUG_ENCODE_NO_PARSE_SPECIAL,
                         &error) != SNUG_OK)
        status = cli_fail_error(&error);
    c->bos = SNUG_ID_NONE;
    if (status == CLI_DONE &&
        snug_text_encode(c->engine.text, prefix, SNUG_COUNT(prefix), &count, "", 0, SNUG_ENCODE_ADD_SPECIAL,
                         &error) == SNUG_OK &&
        count > 0 && prefix[0] == snug_text_bos_id(c->engine.text))
        c->bos = prefix[0];
    cli_buffer_free(&text);
    return status;
}

static cli_exit measure_windows(comparison *c)
{
    const uint32_t own = c->context - (c->bos != SNUG_ID_NONE);
    const uint64_t most = c->ids.count / own;

    if (most == 0)
        return cli_fail(CLI_BAD_INPUT,
                        "%s has %zu tokens, and a window takes %u: give a longer text or a smaller --context",
                        c->options->text, c->ids.count, own);
    c->windows = (uint32_t)(c->options->chunks > 0 && c->options->chunks < most ? c->options->chunks : most);
    return CLI_DONE;
}

/* A format whose exact tokens cover the window would be tested by nothing. */
static cli_exit check_is_tested(const comparison *c, const tested *t)
{
    const uint64_t exact = (uint64_t)t->config.first_exact_tokens + t->config.recent_exact_tokens;

    if (!snug_kv_config_has_codes(&t->config) || exact + 128 <= c->context / 2)
        return CLI_DONE;
    return cli_fail(
        CLI_USAGE,
        "%s: of %u tokens, the first %u and the newest %u stay f16, so that nearly nothing would be "
        "tested: raise --context or lower --kv-tail and --kv-sinks",
        t->name, c->context, t->config.first_exact_tokens, t->config.recent_exact_tokens);
}

static cli_exit make_session(comparison *c, snug_session **session_out, const snug_kv_config *config)
{
    const snug_session_options options = { .struct_size = sizeof options,
                                           .context_tokens = c->context,
                                           .prefill_chunk = c->engine.plan.prefill_chunk,
                                           .threads = c->engine.plan.threads,
                                           .logits_rows = LOGITS_ROWS,
                                           .kv = *config };
    snug_error error = { SNUG_OK, "" };

    if (snug_session_create(session_out, c->engine.model, c->engine.memory, &options, &error) != SNUG_OK)
        return cli_fail_error(&error);
    return CLI_DONE;
}

static cli_exit make_sessions(comparison *c)
{
    const snug_kv_config simple = { .retention = { .kind = SNUG_KV_RETENTION_ALL } };
    const size_t row_bytes = c->engine.info.vocabulary * sizeof(float);
    const size_t scored = (size_t)c->windows * (c->context - c->context / 2 - 1);
    cli_exit status = make_session(c, &c->engine.session, &simple);

    c->step = (uint32_t)(LOGITS_BYTES / row_bytes);
    if (c->step < LOGITS_ROWS)
        c->step = LOGITS_ROWS;
    if (c->step > c->engine.plan.prefill_chunk)
        c->step = c->engine.plan.prefill_chunk;
    c->window = malloc(c->context * sizeof *c->window);
    c->reference = malloc(c->step * row_bytes);
    if (status == CLI_DONE && (!c->window || !c->reference))
        return cli_fail(CLI_FAILED, "there is no memory for the logits of %u tokens", c->step);
    for (size_t i = 0; i < c->format_count && status == CLI_DONE; i++) {
        status = check_is_tested(c, &c->format[i]);
        if (status == CLI_DONE)
            status = make_session(c, &c->format[i].session, &c->format[i].config);
        if (status == CLI_DONE && !cli_quality_init(&c->format[i].quality, scored))
            status = cli_fail(CLI_FAILED, "there is no memory for %zu positions", scored);
    }
    return status;
}

/* --- comparing ----------------------------------------------------------------------------------------- */

/* The last position has no token after it to be scored. */
static bool take_row(void *user, uint32_t position, const float *logits)
{
    comparison *c = user;
    float *reference = c->reference + (size_t)(position - c->first) * c->engine.info.vocabulary;

    if (!c->now)
        memcpy(reference, logits, c->engine.info.vocabulary * sizeof(float));
    else if (position + 1 < c->context)
        cli_quality_add(&c->now->quality, reference, logits, c->engine.info.vocabulary,
                        c->window[position + 1]);
    return !cli_is_interrupted();
}

static snug_status run_step(comparison *c, snug_session *session, tested *now, uint32_t tokens,
                            snug_error *error)
{
    const snug_eval_options eval = { .struct_size = sizeof eval,
                                     .keep_going = cli_keep_going,
                                     .logits_from = c->context / 2,
                                     .on_logits = take_row,
                                     .user = c };

    c->now = now;
    return snug_session_eval(session, c->window + c->first, tokens, &eval, error);
}

static snug_status run_window(comparison *c, snug_error *error)
{
    uint32_t tokens;

    (void)snug_session_truncate(c->engine.session, 0);
    for (size_t i = 0; i < c->format_count; i++)
        (void)snug_session_truncate(c->format[i].session, 0);
    for (c->first = 0; c->first < c->context; c->first += tokens) {
        tokens = c->context - c->first < c->step ? c->context - c->first : c->step;
        SNUG_TRY(run_step(c, c->engine.session, NULL, tokens, error));
        for (size_t i = 0; i < c->format_count; i++)
            SNUG_TRY(run_step(c, c->format[i].session, &c->format[i], tokens, error));
    }
    return SNUG_OK;
}

static cli_exit run_windows(comparison *c)
{
    const uint32_t lead = c->bos != SNUG_ID_NONE;
    const uint32_t own = c->context - lead;
    snug_error error = { SNUG_OK, "" };
    snug_status status = SNUG_OK;

    for (uint32_t w = 0; w < c->windows && status == SNUG_OK; w++) {
        if (!c->options->quiet)
            cli_note("window %u of %u", w + 1, c->windows);
        c->window[0] = c->bos;
        memcpy(c->window + lead, c->ids.id + (size_t)w * own, own * sizeof *c->window);
        status = run_window(c, &error);
    }
    if (status == SNUG_ERR_CANCELLED)
        return cli_fail(CLI_INTERRUPTED, "interrupted: nothing was measured");
    for (size_t i = 0; i < c->format_count; i++)
        c->format[i].bytes_per_token =
            snug_kv_committed_bytes(snug_session_kv(c->format[i].session)) / c->context;
    return status == SNUG_OK ? CLI_DONE : cli_fail_error(&error);
}

static cli_exit run_recall(comparison *c)
{
    cli_exit status = CLI_DONE;
    cli_recall tasks;

    if (!c->options->recall)
        return CLI_DONE;
    status = cli_recall_load(&tasks, c->options->recall);
    if (status == CLI_DONE)
        status = cli_recall_run(&c->reference_recall, &tasks, &c->engine, c->engine.session);
    for (size_t i = 0; i < c->format_count && status == CLI_DONE; i++) {
        if (!c->options->quiet)
            cli_note("recall through %s", c->format[i].name);
        status = cli_recall_run(&c->format[i].recall, &tasks, &c->engine, c->format[i].session);
    }
    cli_recall_free(&tasks);
    return status;
}

/* --- telling ------------------------------------------------------------------------------------------- */

static json_t *recall_json(const comparison *c, const cli_recall_score *score)
{
    return c->options->recall && score->tasks > 0 ? json_real((double)score->right / (double)score->tasks)
                                                  : json_null();
}

static void print_json(comparison *c)
{
    json_t *results = json_array();
    double reference = 0;

    for (size_t i = 0; i < c->format_count; i++) {
        tested *t = &c->format[i];
        const cli_quality_summary s = cli_quality_summarize(&t->quality);

        reference = s.reference_perplexity;
        json_array_append_new(results,
                              json_pack("{s:s,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:o,s:o,s:I,s:s}", "kv",
                                        t->name, "perplexity", s.perplexity, "perplexity_ratio", s.ratio,
                                        "perplexity_ratio_error", s.ratio_error, "kld_mean", s.mean,
                                        "kld_median", s.median, "kld_p99", s.p99, "kld_p999", s.p999,
                                        "same_top", s.same_top, "recall", recall_json(c, &t->recall),
                                        "recall_reference", recall_json(c, &c->reference_recall),
                                        "bytes_per_token", (json_int_t)t->bytes_per_token, "grade", s.grade));
    }
    snug_memory_sample(c->engine.memory);
    cli_write_json(json_pack("{s:{s:f},s:o,s:I,s:I,s:I,s:s,s:{s:I,s:I,s:I}}", "reference", "perplexity",
                             reference, "results", results, "context", (json_int_t)c->context, "windows",
                             (json_int_t)c->windows, "scored_tokens", (json_int_t)c->format[0].quality.count,
                             "model", c->engine.path, "memory", "sessions", (json_int_t)c->format_count + 1,
                             "measured_peak_bytes", (json_int_t)snug_memory_measured_peak(c->engine.memory),
                             "predicted_session_peak_bytes", (json_int_t)c->engine.plan.peak_bytes));
    cli_print("\n");
}

/* The longest name, but not less than a table of short ones has always had. */
static int name_columns(const comparison *c)
{
    size_t columns = 18;

    for (size_t i = 0; i < c->format_count; i++)
        columns = strlen(c->format[i].name) > columns ? strlen(c->format[i].name) : columns;
    return (int)columns;
}

static void print_table(comparison *c)
{
    const int columns = name_columns(c);

    cli_print("%zu tokens scored, in %u windows of %u\n\n", c->format[0].quality.count, c->windows,
              c->context);
    cli_print("%-*s %9s %16s %9s %9s %9s %9s %9s %7s %9s  %s\n", columns, "cache", "ppl", "ratio", "KLD mean",
              "median", "99 %", "99.9 %", "same top", "recall", "B/token", "grade");
    for (size_t i = 0; i < c->format_count; i++) {
        tested *t = &c->format[i];
        const cli_quality_summary s = cli_quality_summarize(&t->quality);

        if (i == 0)
            cli_print("%-*s %9.4f\n", columns, "reference", s.reference_perplexity);
        cli_print("%-*s %9.4f %8.5f+-%.5f %9.2e %9.2e %9.2e %9.2e %7.2f %%", columns, t->name, s.perplexity,
                  s.ratio, s.ratio_error, s.mean, s.median, s.p99, s.p999, s.same_top * 100);
        if (t->recall.tasks > 0)
            cli_print(" %3zu/%3zu", t->recall.right, c->reference_recall.right);
        else
            cli_print(" %7s", "-");
        cli_print(" %9llu  %s\n", (unsigned long long)t->bytes_per_token, s.grade);
    }
}

static cli_exit prepare(comparison *c, cli_options *adjusted)
{
    const cli_request request = { 0 };
    cli_exit status;

    *adjusted = *c->options;
    status = cli_engine_open(&c->engine, adjusted);
    if (status == CLI_DONE && adjusted->context == 0)
        adjusted->context = c->engine.info.context_tokens < CONTEXT ? c->engine.info.context_tokens : CONTEXT;
    c->context = (uint32_t)adjusted->context;
    if (status == CLI_DONE && c->context < 4)
        return cli_fail(CLI_USAGE, "--context %u: a window takes at least 4 tokens", c->context);
    if (status == CLI_DONE)
        status = read_formats(c);
    if (status == CLI_DONE)
        status = cli_engine_open_text(&c->engine);
    if (status == CLI_DONE)
        status = cli_engine_plan(&c->engine, &request);
    if (status == CLI_DONE && !adjusted->kv_formats)
        test_planned_format(c);
    if (status == CLI_DONE)
        status = read_text(c);
    if (status == CLI_DONE)
        status = measure_windows(c);
    return status == CLI_DONE ? make_sessions(c) : status;
}

cli_exit cli_command_perplexity(const cli_options *options)
{
    comparison c = { .options = options };
    cli_options adjusted;
    cli_exit status;

    if (!options->text)
        return cli_fail(CLI_USAGE, "perplexity needs --text FILE: what to measure on");
    cli_interrupt_arm();
    status = prepare(&c, &adjusted);
    if (status == CLI_DONE)
        status = run_windows(&c);
    if (status == CLI_DONE)
        status = run_recall(&c);
    if (status == CLI_DONE && options->json)
        print_json(&c);
    else if (status == CLI_DONE)
        print_table(&c);
    if (status == CLI_DONE)
        cli_report_peak(&c.engine, c.format_count + 1);
    for (size_t i = 0; i < c.format_count; i++) {
        snug_session_destroy(c.format[i].session);
        cli_quality_deinit(&c.format[i].quality);
    }
    cli_engine_close(&c.engine);
    cli_ids_free(&c.ids);
    free(c.window);
    free(c.reference);
    return status;
}
