/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - llm-tool: read the command line, run one command.
 */
#include <locale.h>
#include <stdio.h>

#include <snug/snug.h>

#include "base/status.h"
#include "cli/choice.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/json_heap.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/pressure.h"
#include "cli/system.h"

#if defined(__clang__)
#    define COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#    define COMPILER "gcc " __VERSION__
#else
#    define COMPILER "an unknown compiler"
#endif

static cli_exit (*const run[])(const cli_options *options) = {
#define COMMAND(name, operands, help) cli_command_##name,
#include "cli/options.def"
};

static cli_exit print_version(void)
{
    cli_print("llm-tool (Snug) %s\ncompiler: %s\ninstruction set in use: %s\n", SNUG_VERSION_TEXT, COMPILER,
              snug_cpu_level_name(snug_cpu_detect()));
    return CLI_DONE;
}

static cli_exit print_help(const cli_options *options)
{
    if (options->has_command)
        cli_help_command(stdout, options->command);
    else
        cli_help_tool(stdout);
    return CLI_DONE;
}

/* What is about memory is taken by every command, and checked here for those that have nothing to choose. */
static cli_exit run_command(const cli_options *options)
{
    snug_strategy strategy;
    cli_exit status = cli_choice_read_strategy(&strategy, options);

    if (status == CLI_DONE && cli_given(options, adaptive_memory) && !options->adaptive_memory &&
        (options->command == CLI_COMMAND_models || options->command == CLI_COMMAND_serve))
        status = cli_fail(CLI_USAGE, "%s always plans by a strategy: --no-adaptive-memory cannot be obeyed",
                          cli_command(options->command)->name);
    if (status != CLI_DONE)
        return status;
    cli_pressure_begin(options);
    status = run[options->command](options);
    cli_pressure_end();
    return status;
}

int main(int count, char **words)
{
    cli_options options;
    snug_error error = { SNUG_OK, "" };
    cli_exit status;

    /* For line editing alone: which bytes are a character. Numbers are written the same everywhere. */
    (void)setlocale(LC_CTYPE, "");
    cli_signals_init();
    cli_json_init();
    if (cli_options_parse(&options, count - 1, words + 1, &error) != SNUG_OK)
        return (int)cli_fail(CLI_USAGE, "%s", error.text);
    if (options.help)
        status = print_help(&options);
    else if (options.version)
        status = print_version();
    else
        status = run_command(&options);
    return (int)cli_output_finish(status);
}
