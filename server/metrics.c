/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.c - /metrics, in the text form that Prometheus reads.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <snug/version.h>

#include "base/status.h"
#include "server/routes.h"
#include "server/state.h"

typedef struct page {
    server_buffer text;
    bool is_whole;
} page;

static void add(page *p, const char *format, ...) SNUG_PRINTF(2, 3);

static void add(page *p, const char *format, ...)
{
    char line[512];
    va_list arguments;
    int bytes;

    va_start(arguments, format);
    bytes = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    p->is_whole = p->is_whole && bytes >= 0 && (size_t)bytes < sizeof line &&
                  server_buffer_add(&p->text, line, (size_t)bytes);
}

static void head(page *p, const char *name, const char *type, const char *help)
{
    add(p, "# HELP snug_%s %s\n# TYPE snug_%s %s\n", name, help, name, type);
}

static void one(page *p, const char *name, const char *type, const char *help, uint64_t value)
{
    head(p, name, type, help);
    add(p, "snug_%s %llu\n", name, (unsigned long long)value);
}

/* Bytes, where they are known and there is a limit at all. */
static void bytes(page *p, const char *name, const char *help, uint64_t value)
{
    if (value < SNUG_MEMORY_NO_LIMIT)
        one(p, name, "gauge", help, value);
}

/* --- memory -------------------------------------------------------------------------------------------- */

static void add_uses(page *p, const snug_memory *memory)
{
    head(p, "memory_use_bytes", "gauge", "Bytes in the ledger, by use.");
    for (int i = 0; i < SNUG_MEMORY_USE_COUNT; i++)
        add(p, "snug_memory_use_bytes{use=\"%s\"} %llu\n", snug_memory_use_name((snug_memory_use)i),
            (unsigned long long)snug_memory_read(memory, (snug_memory_use)i).used_bytes);
}

static void add_relief(page *p, const server_counts *counts)
{
    head(p, "relief_steps_total", "counter", "Steps by which memory was given back.");
    for (int step = SNUG_RELIEF_SLACK; step <= SNUG_RELIEF_RECOVER; step++)
        add(p, "snug_relief_steps_total{step=\"%s\"} %llu\n", snug_relief_step_name((snug_relief_step)step),
            (unsigned long long)atomic_load(&counts->relief_steps[step]));
    head(p, "relief_bytes_total", "counter", "Bytes that these steps gave back.");
    for (int step = SNUG_RELIEF_SLACK; step <= SNUG_RELIEF_RECOVER; step++)
        add(p, "snug_relief_bytes_total{step=\"%s\"} %llu\n", snug_relief_step_name((snug_relief_step)step),
            (unsigned long long)atomic_load(&counts->relief_bytes[step]));
}

static void add_memory(page *p, struct server *server)
{
    const snug_memory *memory = server->options.memory;
    const uint64_t set = atomic_load(&server->memory_limit);
    snug_memory_state state;

    snug_memory_read_state(&state, memory);
    state.limit_bytes = state.machine_limit_bytes; /* the ledger's own is less, by what lies outside it */
    if (set > 0 && set < state.limit_bytes)
        state.limit_bytes = set;
    bytes(p, "memory_limit_bytes", "What this process may use: the least of all limits.", state.limit_bytes);
    one(p, "memory_used_bytes", "gauge", "Unreclaimable bytes of this process, or promised by the ledger.",
        state.own_bytes);
    if (state.limit_bytes < SNUG_MEMORY_NO_LIMIT)
        one(p, "memory_headroom_bytes", "gauge", "Until the limit.",
            state.limit_bytes > state.own_bytes ? state.limit_bytes - state.own_bytes : 0);
    bytes(p, "memory_resident_bytes", "Resident bytes of this process, mapped weights included.",
          state.process_resident_bytes);
    bytes(p, "memory_mapped_bytes", "Of them, mapped files: the kernel may drop them.",
          state.process_file_bytes);
    one(p, "memory_measured_peak_bytes", "gauge", "The most unreclaimable bytes that the kernel has shown.",
        snug_memory_measured_peak(memory));
    one(p, "memory_predicted_peak_bytes", "gauge",
        "The most that was predicted for requests, each at its full length.",
        atomic_load(&server->counts.predicted_peak_bytes));
    one(p, "memory_predicted_reached_bytes", "gauge",
        "The same for the lengths that answers really reached: what the measured peak is held against.",
        atomic_load(&server->counts.predicted_reached_bytes));
    one(p, "memory_kept_bytes", "gauge", "Of conversations that are kept for what comes next.",
        server_kept_bytes(server));
    one(p, "memory_pressure_level", "gauge", "0 low, 1 medium, 2 high, 3 critical.",
        (uint64_t)state.pressure);
    head(p, "memory_pressure", "gauge", "The part of the limit that is in use.");
    add(p, "snug_memory_pressure %.4f\n", state.usage > 0 ? state.usage : 0);
    add_uses(p, memory);
    add_relief(p, &server->counts);
}

/* --- requests ------------------------------------------------------------------------------------------ */

static void add_histogram(page *p, const char *name, const char *help, const server_histogram *histogram)
{
    uint64_t count = 0;

    head(p, name, "histogram", help);
    for (unsigned i = 0; i < SERVER_BUCKETS; i++) {
        count += atomic_load(&histogram->bucket[i]);
        add(p, "snug_%s_bucket{le=\"%g\"} %llu\n", name, server_bucket_seconds(i), (unsigned long long)count);
    }
    count += atomic_load(&histogram->bucket[SERVER_BUCKETS]);
    add(p, "snug_%s_bucket{le=\"+Inf\"} %llu\nsnug_%s_sum %.6f\nsnug_%s_count %llu\n", name,
        (unsigned long long)count, name, (double)atomic_load(&histogram->sum_ns) / 1e9, name,
        (unsigned long long)count);
}

static void add_requests(page *p, struct server *server)
{
    static const struct {
        server_count_of what;
        const char *name;
        const char *help;
    } counters[] = {
        { SERVER_COUNT_REQUESTS, "requests_total", "Requests for an answer that were accepted." },
        { SERVER_COUNT_ANSWERED, "requests_answered_total", "Of them, answered to their end." },
        { SERVER_COUNT_REFUSED, "requests_refused_total", "Requests of any kind that were refused." },
        { SERVER_COUNT_QUEUE_FULL, "requests_queue_full_total", "Refused because the queue was full." },
        { SERVER_COUNT_NO_MEMORY, "requests_no_memory_total", "Refused because memory was short." },
        { SERVER_COUNT_ABANDONED, "requests_abandoned_total", "Requests whose clients went away." },
        { SERVER_COUNT_SUSPENDED, "requests_suspended_total", "Answers suspended when the server ended." },
        { SERVER_COUNT_PLANNED, "catalog_plans_total", "Times that the whole catalogue was planned." },
        { SERVER_COUNT_PROMPT_TOKENS, "prompt_tokens_total", "Tokens of prompts." },
        { SERVER_COUNT_CACHED_TOKENS, "cached_tokens_total", "Of them, not computed again." },
        { SERVER_COUNT_GENERATED_TOKENS, "generated_tokens_total", "Tokens of answers." },
    };
    const server_queue_count queue = server_queue_read(server);

    for (size_t i = 0; i < SNUG_COUNT(counters); i++)
        one(p, counters[i].name, "counter", counters[i].help,
            atomic_load(&server->counts.of[counters[i].what]));
    one(p, "requests_running", "gauge", "Answers that are being written.", queue.running);
    one(p, "requests_waiting", "gauge", "Requests that wait.", queue.waiting);
    one(p, "queue_capacity", "gauge", "Requests that may wait.", queue.capacity);
    add_histogram(p, "queue_seconds", "From a request to its beginning.", &server->counts.queue_time);
    add_histogram(p, "first_token_seconds", "From a request to the first token of its answer.",
                  &server->counts.first_token_time);
    add_histogram(p, "answer_seconds", "From a request to the end of its answer.",
                  &server->counts.answer_time);
}

enum MHD_Result server_handle_metrics(server_call *call)
{
    page p = { .text = { .memory = call->server->options.memory }, .is_whole = true };

    head(&p, "build_info", "gauge", "The version of this server.");
    add(&p, "snug_build_info{version=\"%s\"} 1\n", SNUG_VERSION_TEXT);
    add_memory(&p, call->server);
    add_requests(&p, call->server);
    if (p.is_whole)
        return server_reply_text(call, "text/plain; version=0.0.4; charset=utf-8", &p.text);
    server_buffer_free(&p.text);
    server_refuse(&call->refusal, 503, "out_of_memory", NULL, "there is no memory for the metrics");
    return server_reply_refusal(call);
}
