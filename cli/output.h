/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output.h - everything the tool writes: checked standard output, sentences on standard error, exit
 * statuses.
 *
 * Results go to standard output and are checked to the last byte. Notes, reports and errors go to
 * standard error. A reader that went away (`| head`) ends the tool quietly, with status 1.
 */
#ifndef SNUG_CLI_OUTPUT_H
#define SNUG_CLI_OUTPUT_H

#include <jansson.h>

#include <snug/base.h>

/* How the tool ends. In the manual page; these numbers never change. */
typedef enum cli_exit {
    CLI_DONE = 0,
    CLI_FAILED = 1, /* anything that is not below */
    CLI_USAGE = 2,
    CLI_DOES_NOT_FIT = 3,
    CLI_BAD_INPUT = 4,
    CLI_INTERRUPTED = 5,
    CLI_SUSPENDED = 6, /* memory ran out; the conversation is on disk, and can go on */
} cli_exit;

/* What a status of the library means to the shell. */
cli_exit cli_exit_of(snug_status status);

/* "llm-tool: SENTENCE" on standard error. */
void cli_note(const char *format, ...) SNUG_PRINTF(1, 2);

/* The same, and the exit status to return. */
cli_exit cli_fail(cli_exit status, const char *format, ...) SNUG_PRINTF(2, 3);
cli_exit cli_fail_error(const snug_error *error);

/* A line of a report, on standard error, without the prefix. */
void cli_report(const char *format, ...) SNUG_PRINTF(1, 2);

/* To standard output. After a failure nothing more is written, and cli_output_finish() tells. */
void cli_print(const char *format, ...) SNUG_PRINTF(1, 2);
void cli_write(const char *bytes, size_t count);
void cli_write_json(json_t *value);          /* takes the reference; NULL means that memory ran out */
void cli_write_json_members(json_t *object); /* the same without the braces around it */
void cli_flush(void);

/* Whether writing failed. */
bool cli_output_is_broken(void);

/* Flush; `status`, or CLI_FAILED with a sentence when not everything could be written. */
cli_exit cli_output_finish(cli_exit status);

/* "s" after 1 is "", after anything else "s". */
const char *cli_plural(uint64_t count);

#endif /* SNUG_CLI_OUTPUT_H */
