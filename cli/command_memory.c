/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_memory.c - how much this process may use, derived level by level, who binds, and how tight it is;
 * once, or again and again (--watch).
 */
#include "cli/commands.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <snug/monitor.h>

#include "cli/choice.h"
#include "cli/report.h"
#include "cli/system.h"
#include "cli/value.h"

/* A number of bytes that may be unknown or without limit. */
static cli_size_text amount(uint64_t bytes)
{
    cli_size_text out;

    if (bytes < SNUG_MEMORY_NO_LIMIT)
        return cli_size(bytes);
    snprintf(out.text, sizeof out.text, "%s", bytes == SNUG_MEMORY_UNKNOWN ? "unknown" : "no limit");
    return out;
}

static json_t *number(uint64_t bytes)
{
    if (bytes < SNUG_MEMORY_NO_LIMIT)
        return json_integer((json_int_t)bytes);
    return bytes == SNUG_MEMORY_UNKNOWN ? json_null() : json_string("no limit");
}

/* "12 %"; "-" for a vote that is not cast. */
typedef struct percent_text {
    char text[16];
} percent_text;

static percent_text percent(double share)
{
    percent_text out = { "-" };

    if (share >= 0.0)
        snprintf(out.text, sizeof out.text, "%.0f %%", share * 100.0);
    return out;
}

static uint64_t share_of(uint64_t bytes, double share)
{
    return bytes >= SNUG_MEMORY_NO_LIMIT ? bytes : (uint64_t)((double)bytes * share);
}

/* --- JSON ---------------------------------------------------------------------------------------------- */

static json_t *levels_json(const snug_memory_state *state)
{
    json_t *levels = json_array();

    for (size_t i = 0; i < state->level_count; i++) {
        const snug_memory_level *level = &state->level[i];

        json_array_append_new(
            levels, json_pack("{s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "path", level->path, "max_bytes",
                              number(level->max_bytes), "high_bytes", number(level->high_bytes),
                              "current_bytes", number(level->current_bytes), "reclaimable_bytes",
                              number(level->reclaimable_bytes), "reserve_bytes", number(level->reserve_bytes),
                              "headroom_bytes", number(level->headroom_bytes), "hard_bytes",
                              number(level->hard_bytes), "comfort_bytes", number(level->comfort_bytes)));
    }
    return levels;
}

static json_t *vote(double share)
{
    return share >= 0.0 ? json_real(share) : json_null();
}

static json_t *pressure_json(const snug_memory_state *state)
{
    return json_pack("{s:s,s:o,s:o,s:o,s:o,s:o}", "level", snug_pressure_name(state->pressure), "usage",
                     vote(state->usage), "hard_usage", vote(state->hard_usage), "ledger_vote",
                     vote(state->ledger_vote), "container_vote", vote(state->container_vote), "host_vote",
                     vote(state->host_vote));
}

static json_t *process_json(const snug_memory_state *state)
{
    return json_pack("{s:o,s:o,s:o}", "anonymous_bytes", number(state->process_anonymous_bytes), "file_bytes",
                     number(state->process_file_bytes), "resident_bytes",
                     number(state->process_resident_bytes));
}

static json_t *host_json(const snug_memory_state *state)
{
    return json_pack("{s:o,s:o,s:o,s:o}", "total_bytes", number(state->host_total_bytes), "available_bytes",
                     number(state->host_available_bytes), "reserve_bytes", number(state->host_reserve_bytes),
                     "headroom_bytes", number(state->host_headroom_bytes));
}

static json_t *rlimits_json(const snug_memory_state *state)
{
    return json_pack("{s:o,s:o,s:o,s:o}", "address_space_bytes", number(state->address_space_bytes),
                     "address_space_used_bytes", number(state->address_space_used_bytes), "data_bytes",
                     number(state->data_bytes), "data_used_bytes", number(state->data_used_bytes));
}

static json_t *strategy_json(const snug_memory_state *state, snug_strategy strategy)
{
    const snug_strategy_rules *rules = snug_strategy_rules_of(strategy);

    return json_pack("{s:s,s:o,s:o,s:s}", "name", snug_strategy_name(strategy), "planned_bytes",
                     number(share_of(state->limit_bytes, rules->plan_share)), "most_bytes",
                     number(share_of(state->limit_bytes, rules->warn_share)), "relief_from",
                     snug_pressure_name(rules->relief_from));
}

static void print_json(const snug_memory_state *state, snug_strategy strategy)
{
    cli_write_json(
        json_pack("{s:o,s:o,s:o,s:o,s:o,s:s,s:s,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:i,s:b,s:o}", "limit_bytes",
                  number(state->limit_bytes), "own_bytes", number(state->own_bytes), "headroom_bytes",
                  number(state->headroom_bytes), "hard_bytes", number(state->hard_bytes), "comfort_bytes",
                  number(state->comfort_bytes), "limited_by", state->binding_text, "source",
                  snug_memory_source_name(state->binding), "is_complete", state->is_complete,
                  "user_limit_bytes", number(state->user_hard_bytes), "pressure", pressure_json(state),
                  "strategy", strategy_json(state, strategy), "process", process_json(state), "host",
                  host_json(state), "rlimits", rlimits_json(state), "cgroup_version", state->cgroup_version,
                  "is_cgroup_cut", state->is_cgroup_cut, "cgroups", levels_json(state)));
    cli_print("\n");
}

/* --- for people ---------------------------------------------------------------------------------------- */

static const char *mark(const snug_memory_state *state, snug_memory_source source)
{
    return state->binding == source ? "   <- this one binds" : "";
}

static void print_levels(const snug_memory_state *state)
{
    if (state->level_count == 0) {
        cli_print("control groups  none has a say about memory\n");
        return;
    }
    cli_print("control groups  version %d, our own first%s\n", state->cgroup_version,
              state->is_cgroup_cut ? "; those above are hidden from us" : "");
    for (size_t i = 0; i < state->level_count; i++) {
        const snug_memory_level *level = &state->level[i];
        const bool binds = i == state->binding_level && (state->binding == SNUG_MEMORY_SOURCE_CGROUP_MAX ||
                                                         state->binding == SNUG_MEMORY_SOURCE_CGROUP_HIGH);

        cli_print("  %s\n", level->path);
        cli_print("                max %s, high %s, used %s (%s of it can be dropped)%s%s; room %s%s\n",
                  amount(level->max_bytes).text, amount(level->high_bytes).text,
                  amount(level->current_bytes).text, amount(level->reclaimable_bytes).text,
                  level->reserve_bytes > 0 ? ", less a reserve of " : "",
                  level->reserve_bytes > 0 ? amount(level->reserve_bytes).text : "",
                  amount(level->headroom_bytes).text, binds ? "   <- this one binds" : "");
    }
}

static void print_table(const snug_memory_state *state, snug_strategy strategy)
{
    const snug_strategy_rules *rules = snug_strategy_rules_of(strategy);

    cli_print("This process may use %s; it has %s, so %s more can be taken.\n",
              amount(state->limit_bytes).text, amount(state->own_bytes).text,
              amount(state->headroom_bytes).text);
    cli_print("Limited by: %s.\n", state->binding_text);
    cli_print("It stays fast for %s more: what is mapped and in memory now counts as needed here.\n",
              amount(state->comfort_bytes).text);
    cli_print(
        "The %s strategy plans with %s of it, %s where nothing smaller fits, and gives memory back from "
        "%s pressure on.\n",
        snug_strategy_name(strategy), amount(share_of(state->limit_bytes, rules->plan_share)).text,
        amount(share_of(state->limit_bytes, rules->warn_share)).text, snug_pressure_name(rules->relief_from));
    cli_print("Pressure: %s, at %s (own %s, control groups %s, machine %s).\n\n",
              snug_pressure_name(state->pressure), percent(state->usage).text,
              percent(state->ledger_vote).text, percent(state->container_vote).text,
              percent(state->host_vote).text);
    cli_print("--memory-limit  %s%s\n", amount(state->user_hard_bytes).text,
              mark(state, SNUG_MEMORY_SOURCE_USER));
    print_levels(state);
    cli_print("machine         %s, available %s, less a reserve of %s; room %s%s\n",
              amount(state->host_total_bytes).text, amount(state->host_available_bytes).text,
              amount(state->host_reserve_bytes).text, amount(state->host_headroom_bytes).text,
              mark(state, SNUG_MEMORY_SOURCE_HOST));
    cli_print("address space   %s, used %s%s\n", amount(state->address_space_bytes).text,
              amount(state->address_space_used_bytes).text, mark(state, SNUG_MEMORY_SOURCE_ADDRESS_SPACE));
    cli_print("data segment    %s, used %s%s\n", amount(state->data_bytes).text,
              amount(state->data_used_bytes).text, mark(state, SNUG_MEMORY_SOURCE_DATA));
    cli_print("process         %s resident: %s its own, %s mapped files\n",
              amount(state->process_resident_bytes).text, amount(state->process_anonymous_bytes).text,
              amount(state->process_file_bytes).text);
    if (!state->is_complete)
        cli_print("\nNot everything could be read: the real limit may be lower.\n");
}

/* --- again and again ----------------------------------------------------------------------------------- */

typedef struct watcher {
    snug_memory *memory;
    snug_monitor *monitor;
    snug_strategy strategy;
    bool as_json;
    bool in_place; /* on a terminal */
    uint64_t started_ns;
    char last[512]; /* what was said last, without the time */
    uint64_t notifications;
} watcher;

/* What matters of a reading, as text: it has changed when the text has. */
static void write_line(char *out, size_t capacity, const snug_pressure_reading *now)
{
    snprintf(out, capacity, "%-8s %5s (own %s, groups %s, machine %s)%s, limited by %s",
             snug_pressure_name(now->level), percent(now->usage).text, percent(now->ledger_vote).text,
             percent(now->container_vote).text, percent(now->host_vote).text,
             now->is_thrashing ? ", thrashing" : "", now->binding_text);
}

static void print_reading_json(const snug_pressure_reading *now, double seconds, bool is_event)
{
    cli_write_json(json_pack(
        "{s:f,s:s,s:s,s:o,s:o,s:o,s:o,s:o,s:b,s:o,s:o,s:I,s:o,s:o,s:o,s:o,s:o,s:s,s:s,s:b}", "seconds",
        seconds, "event", is_event ? "pressed" : "sample", "level", snug_pressure_name(now->level), "usage",
        vote(now->usage), "hard_usage", vote(now->hard_usage), "ledger_vote", vote(now->ledger_vote),
        "container_vote", vote(now->container_vote), "host_vote", vote(now->host_vote), "is_thrashing",
        now->is_thrashing, "refault_share", vote(now->refault_share), "stall_share", vote(now->stall_share),
        "notifications", (json_int_t)now->notifications, "limit_bytes", number(now->limit_bytes),
        "used_bytes", number(now->used_bytes), "headroom_bytes", number(now->headroom_bytes), "hard_bytes",
        number(now->hard_bytes), "comfort_bytes", number(now->comfort_bytes), "limited_by", now->binding_text,
        "source", snug_memory_source_name(now->binding), "is_complete", now->is_complete));
    cli_print("\n");
}

/* Home, and clear what is below. */
#define CLEAR_SCREEN "\033[H\033[J"

static void tell(watcher *w, const snug_pressure_reading *now)
{
    const double seconds = (double)(now->time_ns - w->started_ns) * 1e-9;
    const bool is_event = now->notifications != w->notifications;
    snug_memory_state state;
    char line[sizeof w->last];

    write_line(line, sizeof line, now);
    if (!is_event && strcmp(line, w->last) == 0 && !w->in_place)
        return;
    memcpy(w->last, line, sizeof line);
    w->notifications = now->notifications;
    if (w->as_json) {
        print_reading_json(now, seconds, is_event);
    } else if (w->in_place) {
        snug_memory_read_state(&state, w->memory);
        cli_print(CLEAR_SCREEN);
        print_table(&state, w->strategy);
        cli_print("\n%.0f s: %s\n", seconds, line);
    } else {
        cli_print("%9.2f s  %s; room %s%s\n", seconds, line, amount(now->headroom_bytes).text,
                  is_event ? "; pressed" : "");
    }
    cli_flush();
}

static void watch(watcher *w, double seconds)
{
    struct pollfd wait = { .fd = snug_monitor_fd(w->monitor), .events = POLLIN };
    snug_pressure_reading now;

    (void)snug_monitor_sample(w->monitor, &now);
    w->started_ns = now.time_ns;
    tell(w, &now);
    while (!cli_is_interrupted() && !cli_output_is_broken()) {
        const int ready = poll(&wait, 1, (int)(seconds * 1000.0));

        if (ready < 0 && errno != EINTR)
            break;
        if (ready > 0)
            snug_monitor_step(w->monitor, &now);
        else
            (void)snug_monitor_sample(w->monitor, &now);
        if (!cli_is_interrupted())
            tell(w, &now);
    }
}

static cli_exit watch_memory(snug_memory *memory, snug_strategy strategy, const cli_options *options)
{
    watcher w = { .memory = memory,
                  .strategy = strategy,
                  .as_json = options->json,
                  .in_place = !options->json && cli_output_is_terminal() };
    snug_error error = { SNUG_OK, "" };

    if (snug_monitor_create(&w.monitor, memory, NULL, &error) != SNUG_OK)
        return cli_fail_error(&error);
    if (*snug_monitor_missing(w.monitor))
        cli_note("%s", snug_monitor_missing(w.monitor));
    cli_interrupt_arm();
    watch(&w, options->watch);
    snug_monitor_destroy(w.monitor);
    return CLI_DONE;
}

cli_exit cli_command_memory(const cli_options *options)
{
    const snug_memory_options limits = {
        .struct_size = sizeof limits,
        .hard_bytes = options->memory_limit,
    };
    snug_memory *memory;
    snug_memory_state state;
    snug_strategy strategy;
    cli_exit status = cli_choice_read_strategy(&strategy, options);
    snug_error error = { SNUG_OK, "" };

    if (status != CLI_DONE)
        return status;
    error.status = snug_memory_create(&memory, &limits);
    if (error.status != SNUG_OK)
        return cli_fail_error(&error);
    snug_memory_read_state(&state, memory);
    if (cli_given(options, watch))
        status = watch_memory(memory, strategy, options);
    else if (options->json)
        print_json(&state, strategy);
    else
        print_table(&state, strategy);
    cli_report_ledger(options, memory);
    snug_memory_destroy(memory);
    return status;
}
