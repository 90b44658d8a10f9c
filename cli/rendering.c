/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rendering.c - a file of messages through the chat template. Messages go to the template as the file has
 * them, tool calls and all: as the variable `messages`, in front of those of --template-args.
 */
#include "cli/rendering.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/status.h"
#include "cli/input.h"

/* Days from 1970-01-01 to a date of the Gregorian calendar. */
static int64_t days_before(int64_t year, int month, int day)
{
    static const int before_month[12] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
    const bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    const int64_t earlier = year - 1;

    return 365 * (year - 1970) + (earlier / 4 - 1969 / 4) - (earlier / 100 - 1969 / 100) +
           (earlier / 400 - 1969 / 400) + before_month[month - 1] + (is_leap && month > 2) + day - 1;
}

static bool is_date(int year, int month, int day)
{
    static const int days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    const bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return year >= 1970 && year <= 9999 && month >= 1 && month <= 12 && day >= 1 &&
           day <= days[month - 1] + (is_leap && month == 2);
}

/* "2025-07-08T12:00:00": the local time that the template is told. */
static snug_status read_now(int64_t *out, const char *now, snug_error *error)
{
    int year, month, day, hour, minute, second, end = 0;

    if (sscanf(now, "%4d-%2d-%2dT%2d:%2d:%2d%n", &year, &month, &day, &hour, &minute, &second, &end) != 6 ||
        now[end] != '\0' || !is_date(year, month, day) || hour < 0 || hour > 23 || minute < 0 ||
        minute > 59 || second < 0 || second > 59)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "--now takes a time such as 2025-07-08T12:00:00, not \"%.60s\"",
                  now);
    *out = days_before(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    return SNUG_OK;
}

static snug_status no_memory(snug_error *error)
{
    SNUG_FAIL(error, SNUG_ERR_NO_MEMORY, "the system has no memory left for the messages");
}

/* A file of messages: an array, or an object with them and other variables. */
static snug_status add_messages(cli_buffer *variables, const char *path, snug_error *error)
{
    cli_buffer file = { 0 };
    snug_json root;
    snug_status status = cli_read_json(&file, &root, path, error);
    snug_str text = { "", 0 };
    bool is_array;

    if (status != SNUG_OK)
        return status;
    is_array = snug_json_kind_of(root) == SNUG_JSON_ARRAY;
    if (!is_array && snug_json_kind_of(snug_json_get(root, "messages")) != SNUG_JSON_ARRAY) {
        status = snug_fail(error, SNUG_ERR_CORRUPT,
                           "%.300s: expected an array of messages, or an object with \"messages\"", path);
    } else {
        text = snug_json_text(root);
        if (!is_array)
            text = (snug_str){ text.data + 1, text.bytes - 2 };
        if ((is_array && !cli_buffer_add(variables, "\"messages\":", 11)) ||
            !cli_buffer_add(variables, text.data, text.bytes))
            status = no_memory(error);
    }
    cli_buffer_free(&file);
    return status;
}

static snug_status add_arguments(cli_buffer *variables, const char *arguments, snug_error *error)
{
    snug_json root;
    snug_str text;

    if (snug_json_check(&root, snug_str_from(arguments), error) != SNUG_OK)
        return snug_fail_prefix(error, SNUG_ERR_ARGUMENT, "--template-args");
    if (snug_json_kind_of(root) != SNUG_JSON_OBJECT)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "--template-args takes a JSON object, not %s",
                  snug_json_kind_name(snug_json_kind_of(root)));
    text = snug_json_text(root);
    if (snug_json_count(root) == 0)
        return SNUG_OK;
    return cli_buffer_add(variables, ",", 1) && cli_buffer_add(variables, text.data + 1, text.bytes - 2)
               ? SNUG_OK
               : no_memory(error);
}

static snug_status write_variables(cli_buffer *variables, const cli_options *options, snug_error *error)
{
    if (!cli_buffer_add(variables, "{", 1))
        return no_memory(error);
    SNUG_TRY(add_messages(variables, options->chat, error));
    if (options->template_args)
        SNUG_TRY(add_arguments(variables, options->template_args, error));
    return cli_buffer_add(variables, "}", 1) ? SNUG_OK : no_memory(error);
}

snug_status cli_render_chat(char **rendered_out, size_t *bytes_out, const snug_text *text,
                            const cli_options *options, snug_error *error)
{
    snug_chat_options chat = { .struct_size = sizeof chat,
                               .no_generation_prompt = !options->generation_prompt };
    cli_buffer variables = { 0 };
    snug_status status = SNUG_OK;

    *rendered_out = NULL;
    if (options->now)
        status = read_now(&chat.now_unix, options->now, error);
    if (status == SNUG_OK)
        status = write_variables(&variables, options, error);
    chat.variables_json = variables.data;
    if (status == SNUG_OK)
        status = snug_text_chat(text, rendered_out, bytes_out, NULL, 0, &chat, error);
    cli_buffer_free(&variables);
    return status;
}
