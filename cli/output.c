/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output.c - see the header. The one piece of state is the first error of standard output.
 */
#include "cli/output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/json_heap.h"

static int output_errno;

cli_exit cli_exit_of(snug_status status)
{
    switch (status) {
    case SNUG_OK:
        return CLI_DONE;
    case SNUG_ERR_ARGUMENT:
    case SNUG_ERR_FULL:
        return CLI_USAGE;
    case SNUG_ERR_OVER_LIMIT:
    case SNUG_ERR_NO_MEMORY:
        return CLI_DOES_NOT_FIT;
    case SNUG_ERR_IO:
    case SNUG_ERR_CORRUPT:
    case SNUG_ERR_UNSUPPORTED:
        return CLI_BAD_INPUT;
    case SNUG_ERR_CANCELLED:
        return CLI_INTERRUPTED;
    }
    return CLI_FAILED;
}

static void write_sentence(const char *prefix, const char *format, va_list arguments)
{
    fputs(prefix, stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

void cli_note(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    write_sentence("llm-tool: ", format, arguments);
    va_end(arguments);
}

cli_exit cli_fail(cli_exit status, const char *format, ...)
{
    va_list arguments;

    cli_flush();
    va_start(arguments, format);
    write_sentence("llm-tool: ", format, arguments);
    va_end(arguments);
    return status;
}

cli_exit cli_fail_error(const snug_error *error)
{
    const char *text = error->text[0] ? error->text : snug_status_text(error->status);

    return cli_fail(cli_exit_of(error->status), "%s", text);
}

void cli_report(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    write_sentence("", format, arguments);
    va_end(arguments);
}

static void check_output(bool is_written)
{
    if (!is_written && output_errno == 0)
        output_errno = errno ? errno : EIO;
}

void cli_print(const char *format, ...)
{
    va_list arguments;

    if (output_errno)
        return;
    va_start(arguments, format);
    check_output(vprintf(format, arguments) >= 0);
    va_end(arguments);
}

void cli_write(const char *bytes, size_t count)
{
    if (!output_errno && count > 0)
        check_output(fwrite(bytes, 1, count, stdout) == count);
}

static void write_json(json_t *value, size_t flags)
{
    if (!value) {
        output_errno = ENOMEM;
        return;
    }
    if (!output_errno)
        check_output(json_dumpf(value, stdout, JSON_ENCODE_ANY | JSON_REAL_PRECISION(12) | flags) == 0);
    json_decref(value);
}

void cli_write_json(json_t *value)
{
    write_json(value, 0);
}

void cli_write_json_members(json_t *object)
{
    write_json(object, JSON_EMBED);
}

void cli_flush(void)
{
    if (!output_errno)
        check_output(fflush(stdout) == 0);
}

bool cli_output_is_broken(void)
{
    return output_errno != 0;
}

cli_exit cli_output_finish(cli_exit status)
{
    cli_flush();
    if (cli_json_refusal())
        return cli_fail(CLI_DOES_NOT_FIT, "%s", cli_json_refusal());
    if (output_errno == 0)
        return status;
    if (output_errno != EPIPE)
        cli_note("cannot write to standard output: %s", strerror(output_errno));
    return CLI_FAILED;
}

const char *cli_plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}
