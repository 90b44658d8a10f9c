/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_memory.c - how much this process may use, derived level by level, and who binds.
 */
#include "cli/commands.h"

#include <stdio.h>

#include <snug/memory.h>

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

/* --- JSON ---------------------------------------------------------------------------------------------- */

static json_t *levels_json(const snug_memory_state *state)
{
    json_t *levels = json_array();

    for (size_t i = 0; i < state->level_count; i++) {
        const snug_memory_level *level = &state->level[i];

        json_array_append_new(
            levels, json_pack("{s:s,s:o,s:o,s:o,s:o,s:o,s:o}", "path", level->path, "max_bytes",
                              number(level->max_bytes), "high_bytes", number(level->high_bytes),
                              "current_bytes", number(level->current_bytes), "reclaimable_bytes",
                              number(level->reclaimable_bytes), "reserve_bytes", number(level->reserve_bytes),
                              "headroom_bytes", number(level->headroom_bytes)));
    }
    return levels;
}

static void print_json(const snug_memory_state *state)
{
    cli_write_json(json_pack(
        "{s:o,s:o,s:o,s:o,s:s,s:s,s:b,s:o,s:{s:o,s:o,s:o},s:{s:o,s:o,s:o,s:o},s:{s:o,s:o,s:o,s:o},s:i,s:b,s:"
        "o}",
        "limit_bytes", number(state->limit_bytes), "own_bytes", number(state->own_bytes), "headroom_bytes",
        number(state->headroom_bytes), "comfort_bytes", number(state->comfort_bytes), "limited_by",
        state->binding_text, "source", snug_memory_source_name(state->binding), "is_complete",
        state->is_complete, "user_limit_bytes", number(state->user_hard_bytes), "process", "anonymous_bytes",
        number(state->process_anonymous_bytes), "file_bytes", number(state->process_file_bytes),
        "resident_bytes", number(state->process_resident_bytes), "host", "total_bytes",
        number(state->host_total_bytes), "available_bytes", number(state->host_available_bytes),
        "reserve_bytes", number(state->host_reserve_bytes), "headroom_bytes",
        number(state->host_headroom_bytes), "rlimits", "address_space_bytes",
        number(state->address_space_bytes), "address_space_used_bytes",
        number(state->address_space_used_bytes), "data_bytes", number(state->data_bytes), "data_used_bytes",
        number(state->data_used_bytes), "cgroup_version", state->cgroup_version, "is_cgroup_cut",
        state->is_cgroup_cut, "cgroups", levels_json(state)));
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
        cli_print("                max %s, high %s, used %s (%s of it can be dropped); room %s%s\n",
                  amount(level->max_bytes).text, amount(level->high_bytes).text,
                  amount(level->current_bytes).text, amount(level->reclaimable_bytes).text,
                  amount(level->headroom_bytes).text, binds ? "   <- this one binds" : "");
    }
}

static void print_table(const snug_memory_state *state)
{
    cli_print("This process may use %s; it has %s, so %s more can be taken.\n",
              amount(state->limit_bytes).text, amount(state->own_bytes).text,
              amount(state->headroom_bytes).text);
    cli_print("Limited by: %s.\n", state->binding_text);
    cli_print("It stays fast for %s more: what is mapped and in memory now counts as needed here.\n\n",
              amount(state->comfort_bytes).text);
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

cli_exit cli_command_memory(const cli_options *options)
{
    const snug_memory_options limits = {
        .struct_size = sizeof limits,
        .hard_bytes = options->memory_limit,
    };
    snug_memory *memory;
    snug_memory_state state;
    const snug_error error = { snug_memory_create(&memory, &limits), "" };

    if (error.status != SNUG_OK)
        return cli_fail_error(&error);
    snug_memory_read_state(&state, memory);
    if (options->json)
        print_json(&state);
    else
        print_table(&state);
    snug_memory_destroy(memory);
    return CLI_DONE;
}
