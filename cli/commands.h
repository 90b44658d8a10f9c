/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commands.h - one function per command, each in its own file command_NAME.c. Returns the exit status of
 * the tool, after it has said what went wrong.
 */
#ifndef SNUG_CLI_COMMANDS_H
#define SNUG_CLI_COMMANDS_H

#include "cli/options.h"
#include "cli/output.h"
#include "cli/store.h"

#define COMMAND(name, operands, help) cli_exit cli_command_##name(const cli_options *options);
#include "cli/options.def"

/* session resume: the two commands that go on with a suspended conversation. `options` are those it was begun
 * with. */
cli_exit cli_resume_generate(const cli_options *options, const cli_stored *stored);
cli_exit cli_resume_chat(const cli_options *options, const cli_stored *stored);

/* What plan --json prints; NULL after it has said why not. */
json_t *cli_plan_json(const cli_options *options);

#endif /* SNUG_CLI_COMMANDS_H */
