/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.h - what a run took: speed, and memory as predicted, as in the ledger and as the kernel measured
 * it.
 */
#ifndef SNUG_CLI_REPORT_H
#define SNUG_CLI_REPORT_H

#include "cli/engine.h"

/* Tokens per second; 0 where nothing was timed. */
double cli_tokens_per_second(uint64_t tokens, uint64_t nanoseconds);

/* The end report, at most ten lines on standard error. */
void cli_report_run(const cli_engine *engine, const snug_generate_result *result);

/* A snug_recompute_fn that says what is computed again and why, before it begins. */
void cli_report_recompute(void *user, const snug_recompute *recompute);

/* The steps by which a run gave memory back. */
typedef struct cli_relief_log {
    snug_relief_event event[64]; /* the first ones; later ones are only counted */
    size_t count;
} cli_relief_log;

/* Keep it, and say it in one line unless `is_quiet`. */
void cli_report_relief(cli_relief_log *log, const snug_relief_event *event, bool is_quiet);
json_t *cli_relief_json(const cli_relief_log *log);

/* Another level of pressure: keep the highest, and with --memory-monitoring say it in one line. */
void cli_report_pressure(cli_engine *engine, const snug_pressure_reading *reading);

/* One line: how full memory is, what a full context will take, who limits it. */
void cli_report_gauge(const cli_engine *engine);

/*
 * One line: the measured peak beside the predicted one, after the run of a command that has no other report.
 * Not with --quiet, --json, or --memory-stats, which says more. `sessions` other than 1: the plan is for one.
 */
void cli_report_peak(const cli_engine *engine, size_t sessions);

/* The memory lines alone: /memory of the chat. */
void cli_report_memory(const cli_engine *engine);

/* Every use and the timeline: --memory-stats. Without a plan nothing was predicted. */
void cli_report_memory_stats(snug_memory *memory, const snug_plan *plan);

/* The same, if it was asked for, of a command without a plan. */
void cli_report_ledger(const cli_options *options, snug_memory *memory);

/* The member "memory" of the JSON of generate. NULL when memory ran out. */
json_t *cli_report_memory_json(const cli_engine *engine);

/* Bytes by use, as a JSON object. */
json_t *cli_report_uses_json(const uint64_t use_bytes[SNUG_MEMORY_USE_COUNT]);

/* "weights 0, kv 4.0 MiB ..." without what is zero. */
typedef struct cli_uses_text {
    char text[256];
} cli_uses_text;

cli_uses_text cli_report_uses(const uint64_t use_bytes[SNUG_MEMORY_USE_COUNT]);

#endif /* SNUG_CLI_REPORT_H */
