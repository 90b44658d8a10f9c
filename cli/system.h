/* SPDX-License-Identifier: Apache-2.0 */
/*
 * system.h - what the tool itself asks of the operating system: signals, its own place, clock, terminal.
 */
#ifndef SNUG_CLI_SYSTEM_H
#define SNUG_CLI_SYSTEM_H

#include <snug/base.h>

/* Ignore SIGPIPE: writing to a reader that went away is an error like any other. */
void cli_signals_init(void);

/* Clears the flag. From here the next Ctrl-C (SIGINT, SIGTERM) sets it; the one after ends the program. */
void cli_interrupt_arm(void);
bool cli_is_interrupted(void);
bool cli_is_terminated(void); /* by SIGTERM: the program is to end, not just what it is doing */

/* A snug_keep_going_fn: goes on until the flag is set or standard output is broken. */
bool cli_keep_going(void *user);

uint64_t cli_clock_ns(void); /* monotonic */

bool cli_input_is_terminal(void);
bool cli_output_is_terminal(void);
bool cli_error_is_terminal(void);

int64_t cli_local_time(void); /* seconds since 1970 that a clock here has shown */

/* "AMD EPYC ...": as the system calls its processor; "unknown" when it does not. */
void cli_cpu_name(char *out, size_t capacity);

/*
 * Folder of the model that comes with the tool: beside the installed tool, else in the source tree it was
 * built from. False when neither has it.
 */
bool cli_bundled_model(char *path_out, size_t capacity);

#endif /* SNUG_CLI_SYSTEM_H */
