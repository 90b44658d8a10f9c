/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_bench.c - how fast a model reads a prompt (prefill) and writes token by token (decode), with a
 * cache filled to given depths, beside what the machine reads and multiplies, measured before and after each
 * test: on a shared host it moves within a minute.
 */
#include "cli/commands.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/status.h"
#include "cli/cache.h"
#include "cli/engine.h"
#include "cli/input.h"
#include "cli/limits.h"
#include "cli/report.h"
#include "cli/system.h"
#include "cli/times.h"
#include "cli/value.h"

#define DEPTHS_MAX            16
#define PROCESSOR_CACHE_BYTES ((uint64_t)32 << 20)   /* models below this may never be read from memory */
#define FRESH_NS              ((uint64_t)1000000000) /* so long limits count as of now */
#define REPETITIONS_MAX       1000                   /* of --repetitions */

/* What the machine does at most, with as many threads as the session has. */
typedef struct limits {
    double read_bytes_per_second; /* 0: too little memory may be used */
    double operations_per_second[SNUG_MODEL_PRODUCTS_MAX];
} limits;

typedef struct bench {
    const cli_options *options;
    cli_options adjusted; /* the context made as large as the tests need */
    cli_engine engine;
    snug_model_product product[SNUG_MODEL_PRODUCTS_MAX]; /* that a prompt is read by */
    uint32_t product_count;
    limits best;
    limits last; /* as measured at last_ns */
    uint64_t last_ns;
    uint32_t depth[DEPTHS_MAX];
    uint32_t depth_count;
    uint32_t longest; /* tokens in the cache at the end of the longest test */
    cli_ids ids;      /* [longest] arbitrary tokens, the same in every run */
    cli_times times;  /* of the last test, with --profile */
    json_t *tests;    /* NULL for the table */
} bench;

typedef struct speeds {
    double median;
    double min;
    double max;
    limits machine; /* the mean of just before and just after */
} speeds;

/* --- what to measure ----------------------------------------------------------------------------------- */

static cli_exit read_depths(bench *run)
{
    const char *at = run->options->depth;

    for (;;) {
        const size_t bytes = strcspn(at, ",");
        char word[16];
        uint64_t depth;

        snprintf(word, sizeof word, "%.*s", bytes < sizeof word ? (int)bytes : (int)sizeof word - 1, at);
        if (bytes >= sizeof word || !cli_value_count(&depth, word) || depth > UINT32_MAX / 2)
            return cli_fail(CLI_USAGE, "--depth takes numbers of tokens such as 0,4096, not \"%s\"",
                            run->options->depth);
        if (run->depth_count == DEPTHS_MAX)
            return cli_fail(CLI_USAGE, "--depth takes at most %d numbers", DEPTHS_MAX);
        run->depth[run->depth_count++] = (uint32_t)depth;
        if (at[bytes] == '\0')
            return CLI_DONE;
        at += bytes + 1;
    }
}

static cli_exit make_ids(bench *run)
{
    const uint32_t vocabulary = run->engine.info.vocabulary;
    snug_random random = { 1 };
    snug_error error = { SNUG_OK, "" };

    if (cli_ids_alloc(&run->ids, run->longest, &error) != SNUG_OK)
        return cli_fail_error(&error);
    for (; run->ids.count < run->longest; run->ids.count++)
        run->ids.id[run->ids.count] = (uint32_t)(snug_random_next(&random) % vocabulary);
    return CLI_DONE;
}

/* --- measuring ----------------------------------------------------------------------------------------- */

static snug_status eval(const bench *run, uint32_t first, uint32_t count, snug_error *error)
{
    const snug_eval_options options = { .struct_size = sizeof options, .keep_going = cli_keep_going };

    if (count == 0)
        return SNUG_OK;
    return snug_session_eval(run->engine.session, run->ids.id + first, count, &options, error);
}

/* One repetition from `depth` on: `count` tokens together, or one by one. */
static snug_status measure_once(double *speed_out, const bench *run, uint32_t depth, uint32_t count,
                                bool is_decode, snug_error *error)
{
    const uint32_t kept = snug_session_truncate(run->engine.session, depth);
    uint64_t start;

    SNUG_TRY(eval(run, kept, depth - kept, error)); /* what a bounded cache could not rewind to */
    start = cli_clock_ns();
    for (uint32_t done = 0; done < count; done += is_decode ? 1 : count)
        SNUG_TRY(eval(run, depth + done, is_decode ? 1 : count, error));
    *speed_out = (double)count * 1e9 / (double)(cli_clock_ns() - start);
    return SNUG_OK;
}

/* A quarter of what may be used at most: the measurement must not push out what it is compared with. */
static limits measure_limits(bench *run)
{
    const uint32_t threads = run->engine.plan.threads;
    snug_memory_state state;
    uint64_t room;
    limits found = { .read_bytes_per_second = 0 };

    snug_memory_read_state(&state, run->engine.memory);
    room = state.headroom_bytes < SNUG_MEMORY_NO_LIMIT ? state.headroom_bytes / 4 : UINT64_MAX;
    found.read_bytes_per_second = cli_limit_of_reading(threads, room);
    run->best.read_bytes_per_second = fmax(run->best.read_bytes_per_second, found.read_bytes_per_second);
    for (uint32_t i = 0; i < run->product_count; i++) {
        found.operations_per_second[i] = cli_limit_of_product(threads, &run->product[i]);
        run->best.operations_per_second[i] =
            fmax(run->best.operations_per_second[i], found.operations_per_second[i]);
    }
    run->last = found;
    run->last_ns = cli_clock_ns();
    return found;
}

/* What was measured after the test before this one is as good, if it was just now. */
static limits recent_limits(bench *run)
{
    return cli_clock_ns() - run->last_ns < FRESH_NS ? run->last : measure_limits(run);
}

static limits mean_of_limits(const limits *a, const limits *b)
{
    limits mean = { .read_bytes_per_second = (a->read_bytes_per_second + b->read_bytes_per_second) / 2 };

    for (size_t i = 0; i < SNUG_MODEL_PRODUCTS_MAX; i++)
        mean.operations_per_second[i] = (a->operations_per_second[i] + b->operations_per_second[i]) / 2;
    return mean;
}

static int compare_speeds(const void *a, const void *b)
{
    double x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static snug_status measure(speeds *out, bench *run, uint32_t depth, uint32_t count, bool is_decode,
                           snug_error *error)
{
    const size_t repetitions = (size_t)run->options->repetitions;
    double speed[REPETITIONS_MAX];
    double warm_up;

    /* Once without counting: pages are touched, threads are awake. */
    SNUG_TRY(measure_once(&warm_up, run, depth, is_decode && count > 4 ? 4 : count, is_decode, error));
    snug_session_take_times(run->engine.session, run->options->profile);
    for (size_t i = 0; i < repetitions; i++)
        SNUG_TRY(measure_once(&speed[i], run, depth, count, is_decode, error));
    cli_times_read(&run->times, run->engine.session, (uint64_t)count * repetitions);
    qsort(speed, repetitions, sizeof speed[0], compare_speeds);
    *out = (speeds){
        .median = (speed[(repetitions - 1) / 2] + speed[repetitions / 2]) / 2,
        .min = speed[0],
        .max = speed[repetitions - 1],
    };
    return SNUG_OK;
}

/* --- what was read ------------------------------------------------------------------------------------- */

/* Bytes of one vector, as old tokens are stored. */
static double vector_bytes(const snug_kv_coding *coding, uint32_t head_dim)
{
    const double codes = cli_cache_bits(coding) / 8.0 * head_dim;

    if (coding->format == SNUG_KV_FORMAT_PLANES)
        return codes + 2; /* a scale */
    if (coding->format == SNUG_KV_FORMAT_AFFINE)
        return codes + 4.0 * head_dim / coding->group; /* scales and biases */
    return codes;
}

/* Bytes of keys and values that a pass reads after `held` tokens: in a bounded layer fewer than all. */
static double cache_bytes_read(const bench *run, double held)
{
    const snug_kv_shape *shape = snug_model_kv_shape(run->engine.model);
    const snug_kv_config *kv = &run->engine.plan.kv;
    const double most = kv->retention.max_tokens;
    double bytes = 0;

    for (uint32_t i = 0; i < shape->layer_count; i++) {
        const snug_kv_layer *layer = &shape->layer[i];
        const snug_kv_coding key = snug_kv_config_key(kv, i);
        const snug_kv_coding value = snug_kv_config_value(kv, i);
        double seen = held;

        if (layer->window_tokens > 0 && layer->window_tokens < seen)
            seen = layer->window_tokens;
        if (most > 0 && most < seen)
            seen = most;
        bytes += layer->kv_head_count * seen *
                 (vector_bytes(&key, layer->head_dim) + vector_bytes(&value, layer->head_dim));
    }
    return bytes;
}

/*
 * Bytes that must be read from memory for a token, on average over a test: the weights once for each pass,
 * and once for each pass what the cache holds by then.
 */
static double bytes_per_token(const bench *run, uint32_t depth, uint32_t count, bool is_decode)
{
    const uint32_t chunk = is_decode ? 1 : snug_session_prefill_chunk(run->engine.session);
    const uint32_t passes = (count + chunk - 1) / chunk;
    const double held = depth + count / 2.0;

    return ((double)run->engine.info.weight_bytes + cache_bytes_read(run, held)) * passes / count;
}

/* --- shares of the limits ------------------------------------------------------------------------------ */

/* What a test asks of the machine, and how much of the time the machine would need for it at its limits. */
typedef struct demand {
    double bytes;           /* of a token, read from memory */
    double operations;      /* of a token, in products; 0 in decode, which waits for memory */
    double operation_limit; /* a second, of the kinds of products that a token has, in that mixture */
    double bandwidth_share;
    double product_share;
} demand;

static demand demand_of(const bench *run, const speeds *speed, uint32_t depth, uint32_t count, bool is_decode)
{
    demand d = { .bytes = bytes_per_token(run, depth, count, is_decode) };
    double seconds = 0; /* of a token, if products were all */

    for (uint32_t i = 0; i < run->product_count && !is_decode; i++) {
        const double operations = (double)run->product[i].token_operations;

        d.operations += operations;
        if (speed->machine.operations_per_second[i] > 0)
            seconds += operations / speed->machine.operations_per_second[i];
    }
    if (speed->machine.read_bytes_per_second > 0)
        d.bandwidth_share = speed->median * d.bytes / speed->machine.read_bytes_per_second;
    if (seconds > 0) {
        d.operation_limit = d.operations / seconds;
        d.product_share = speed->median * seconds;
    }
    return d;
}

/* The limit that binds is the one that more of is used of. */
static bool is_bound_by_products(const demand *d)
{
    return d->product_share > d->bandwidth_share;
}

/* --- results ------------------------------------------------------------------------------------------- */

static void print_line(const char *line)
{
    cli_print("%s\n", line);
}

static json_t *test_json(const bench *run, const speeds *speed, const demand *d, uint32_t depth,
                         uint32_t count, bool is_decode)
{
    const snug_kv_config *kv = &run->engine.plan.kv;

    return json_pack("{s:s,s:I,s:I,s:I,s:s,s:s,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:s,s:f,s:o}", "kind",
                     is_decode ? "decode" : "prefill", "depth", (json_int_t)depth, "tokens",
                     (json_int_t)count, "threads", (json_int_t)run->engine.plan.threads, "kv",
                     snug_kv_format_name(kv->key.format), "kv_kind", cli_cache_kind(kv), "median",
                     speed->median, "min", speed->min, "max", speed->max, "bytes_per_token", d->bytes,
                     "read_bytes_per_second", speed->machine.read_bytes_per_second, "bandwidth_share",
                     d->bandwidth_share, "operations_per_token", d->operations, "operations_per_second",
                     d->operation_limit, "product_share", d->product_share, "limit",
                     is_bound_by_products(d) ? "products" : "bandwidth", "share",
                     is_bound_by_products(d) ? d->product_share : d->bandwidth_share, "times",
                     cli_times_json(&run->times));
}

static void report(bench *run, const speeds *speed, uint32_t depth, uint32_t count, bool is_decode)
{
    const demand d = demand_of(run, speed, depth, count, is_decode);
    char limit[32];

    if (is_bound_by_products(&d))
        snprintf(limit, sizeof limit, "%.0f Gop/s", d.operation_limit / 1e9);
    else
        snprintf(limit, sizeof limit, "%.1f GB/s", speed->machine.read_bytes_per_second / 1e9);
    if (run->tests)
        json_array_append_new(run->tests, test_json(run, speed, &d, depth, count, is_decode));
    else
        cli_print("%-8s %7u %7u %9.1f %9.1f %9.1f %12s %12s %7.1f %%\n", is_decode ? "decode" : "prefill",
                  depth, count, speed->median, speed->min, speed->max, cli_size((uint64_t)d.bytes).text,
                  limit, 100 * fmax(d.product_share, d.bandwidth_share));
    if (!run->tests && run->options->profile)
        cli_times_print(&run->times, print_line);
    cli_flush();
}

static cli_exit run_test(bench *run, uint32_t depth, uint32_t count, bool is_decode)
{
    snug_error error = { SNUG_OK, "" };
    speeds speed;

    const limits before = recent_limits(run);
    limits after;

    if (measure(&speed, run, depth, count, is_decode, &error) != SNUG_OK)
        return error.status == SNUG_ERR_CANCELLED ? cli_fail(CLI_INTERRUPTED, "interrupted")
                                                  : cli_fail_error(&error);
    after = measure_limits(run);
    speed.machine = mean_of_limits(&before, &after);
    report(run, &speed, depth, count, is_decode);
    return CLI_DONE;
}

static cli_exit run_depth(bench *run, uint32_t depth)
{
    snug_error error = { SNUG_OK, "" };
    cli_exit status;

    (void)snug_session_truncate(run->engine.session, 0);
    if (eval(run, 0, depth, &error) != SNUG_OK)
        return cli_fail_error(&error);
    status = run_test(run, depth, (uint32_t)run->options->prompt_tokens, false);
    if (status == CLI_DONE)
        status = run_test(run, depth, (uint32_t)run->options->gen_tokens, true);
    return status;
}

static void print_machine(bench *run, const char *cpu)
{
    const cli_engine *engine = &run->engine;
    const limits *machine = &run->best;

    cli_print("%s: %s, %.2f million parameters, mostly %s, %s of weights for a token\n", engine->path,
              engine->info.family, (double)engine->info.parameters / 1e6, engine->info.weight_type,
              cli_size(engine->info.weight_bytes).text);
    cli_print("%s, %s%s, %u thread%s, cache %s", cpu, snug_cpu_level_name(engine->info.cpu),
              engine->info.exact ? ", exact" : "", engine->plan.threads, cli_plural(engine->plan.threads),
              cli_cache_in_words(&engine->plan.kv).text);
    if (machine->read_bytes_per_second > 0)
        cli_print(", reads %.1f GB/s\n", machine->read_bytes_per_second / 1e9);
    else
        cli_print(", bandwidth not measured: too little memory may be used\n");
    for (uint32_t i = 0; i < run->product_count; i++)
        cli_print("prompts by %s: %.0f Gop/s\n", run->product[i].name,
                  machine->operations_per_second[i] / 1e9);
    cli_print("\n%-8s %7s %7s %9s %9s %9s %12s %12s %9s\n", "test", "depth", "tokens", "tokens/s", "least",
              "most", "bytes/token", "limit", "share");
    cli_flush();
}

static json_t *products_json(const bench *run)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < run->product_count; i++)
        json_array_append_new(list, json_pack("{s:s,s:f}", "name", run->product[i].name,
                                              "operations_per_second", run->best.operations_per_second[i]));
    return list;
}

static void print_json(bench *run, const char *cpu)
{
    const cli_engine *engine = &run->engine;

    cli_write_json(json_pack(
        "{s:{s:s,s:s,s:I,s:f,s:o},s:{s:s,s:s,s:I,s:I,s:b},s:O,s:o}", "machine", "cpu", cpu, "level",
        snug_cpu_level_name(engine->info.cpu), "threads", (json_int_t)engine->plan.threads,
        "read_bytes_per_second", run->best.read_bytes_per_second, "products", products_json(run), "model",
        "path", engine->path, "family", engine->info.family, "parameters",
        (json_int_t)engine->info.parameters, "weight_bytes", (json_int_t)engine->info.weight_bytes, "exact",
        engine->info.exact, "tests", run->tests, "memory", cli_report_memory_json(engine)));
    cli_print("\n");
}

static cli_exit run_tests(bench *run)
{
    cli_exit status = CLI_DONE;
    char cpu[128];

    cli_cpu_name(cpu, sizeof cpu);
    if (!run->tests)
        print_machine(run, cpu);
    for (uint32_t i = 0; i < run->depth_count && status == CLI_DONE && !cli_output_is_broken(); i++)
        status = run_depth(run, run->depth[i]);
    if (run->tests && status == CLI_DONE)
        print_json(run, cpu);
    if (!run->tests && run->engine.info.weight_bytes < PROCESSOR_CACHE_BYTES)
        cli_print(
            "\nThe weights fit into the processor's caches: the share of the bandwidth says little here.\n");
    if (status == CLI_DONE)
        cli_report_peak(&run->engine, 1);
    return status;
}

/* --- the command --------------------------------------------------------------------------------------- */

static cli_exit prepare(bench *run)
{
    const cli_options *options = run->options;
    const uint64_t most =
        options->prompt_tokens > options->gen_tokens ? options->prompt_tokens : options->gen_tokens;
    cli_request request = { .max_tokens = 1 };
    cli_exit status = read_depths(run);
    uint64_t longest = 0;

    for (uint32_t i = 0; i < run->depth_count; i++)
        longest = run->depth[i] > longest ? run->depth[i] : longest;
    longest += most;
    if (status == CLI_DONE && longest > UINT32_MAX / 2)
        return cli_fail(CLI_USAGE, "%llu tokens are more than any context", (unsigned long long)longest);
    if (status == CLI_DONE && options->context > 0 && options->context < longest)
        return cli_fail(CLI_USAGE,
                        "the tests need a context of %llu tokens (the deepest --depth and the larger of "
                        "--prompt-tokens and --gen-tokens), but --context is %llu",
                        (unsigned long long)longest, (unsigned long long)options->context);
    run->longest = (uint32_t)longest;
    run->adjusted = *options;
    run->adjusted.context = options->context > 0 ? options->context : longest;
    request.prompt_tokens = run->longest;
    if (status == CLI_DONE)
        status = cli_engine_open(&run->engine, &run->adjusted);
    if (status == CLI_DONE)
        status = cli_engine_plan(&run->engine, &request);
    if (status == CLI_DONE)
        status = make_ids(run);
    if (status == CLI_DONE) {
        run->product_count = snug_model_read_products(run->product, run->engine.model);
        (void)measure_limits(run);
        status = cli_engine_start(&run->engine);
    }
    return status;
}

cli_exit cli_command_bench(const cli_options *options)
{
    bench run = { .options = options };
    cli_exit status;

    cli_interrupt_arm();
    status = prepare(&run);
    if (status == CLI_DONE && options->json)
        run.tests = json_array();
    if (status == CLI_DONE)
        status = run_tests(&run);
    json_decref(run.tests);
    cli_engine_close(&run.engine);
    cli_ids_free(&run.ids);
    return status;
}
