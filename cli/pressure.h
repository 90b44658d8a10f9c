/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pressure.h - --memory-monitoring of commands that have no session to tell it: each change of memory
 * pressure in one line, while they run.
 */
#ifndef SNUG_CLI_PRESSURE_H
#define SNUG_CLI_PRESSURE_H

#include "cli/options.h"

/* Begins to look, where it was asked for; not for a command whose session does. One at a time. */
void cli_pressure_begin(const cli_options *options);
void cli_pressure_end(void);

#endif /* SNUG_CLI_PRESSURE_H */
