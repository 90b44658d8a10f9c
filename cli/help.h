/* SPDX-License-Identifier: Apache-2.0 */
/*
 * help.h - the pages made of options.def: --help, and what the manual page and the completion need.
 */
#ifndef SNUG_CLI_HELP_H
#define SNUG_CLI_HELP_H

#include <stdio.h>

#include "cli/options.h"

/* All commands, a line each. */
void cli_help_tool(FILE *out);

/* One command: how it is called, every option. At most 40 lines of 100 columns. */
void cli_help_command(FILE *out, cli_command_id command);

/* The sections COMMANDS and OPTIONS of the manual page, in mdoc. */
void cli_help_manual(FILE *out);

/* The completion for bash, whole. */
void cli_help_completion(FILE *out);

#endif /* SNUG_CLI_HELP_H */
