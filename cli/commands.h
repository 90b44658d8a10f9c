/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commands.h - one function per command, each in its own file command_NAME.c. Returns the exit status of
 * the tool, after it has said what went wrong.
 */
#ifndef SNUG_CLI_COMMANDS_H
#define SNUG_CLI_COMMANDS_H

#include "cli/options.h"
#include "cli/output.h"

#define COMMAND(name, operands, help) cli_exit cli_command_##name(const cli_options *options);
#include "cli/options.def"

#endif /* SNUG_CLI_COMMANDS_H */
