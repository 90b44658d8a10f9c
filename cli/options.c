/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.c - the tables made of options.def, and the parser: `--name value`, `--name=value`, `-n value`,
 * `--no-name` for a switch, `--` before an operand that begins with a dash.
 */
#include "cli/options.h"

#include <stdio.h>
#include <string.h>

#include <snug/memory.h>

#include "base/status.h"
#include "cli/value.h"

static const cli_command_row commands[] = {
#define COMMAND(name, operands, help) { #name, operands, help },
#include "cli/options.def"
};

static const cli_option_row option_rows[] = {
#define OPTION(name, short, kind, argument, preset, least, most, commands, help)                             \
    { #name,  short,           CLI_##kind,     offsetof(cli_options, name), argument,                        \
      preset, (double)(least), (double)(most), (unsigned)(commands),        help },
#include "cli/options.def"
};

const cli_command_row *cli_command(cli_command_id id)
{
    return &commands[id];
}

cli_option_row cli_option(cli_option_id id)
{
    cli_option_row row = option_rows[id];

    for (char *at = row.long_name; *at; at++)
        if (*at == '_')
            *at = '-';
    return row;
}

bool cli_takes(cli_command_id command, cli_option_id option)
{
    return (option_rows[option].commands >> command & 1u) != 0;
}

/* --- the nearest name ---------------------------------------------------------------------------------- */

#define NAME_BYTES 32

/* How many letters must be inserted, removed, replaced or swapped with their neighbour (Damerau). */
static size_t distance(const char *a, const char *b)
{
    size_t cost[NAME_BYTES + 1][NAME_BYTES + 1];
    const size_t rows = strlen(a), columns = strlen(b);

    if (rows > NAME_BYTES || columns > NAME_BYTES)
        return NAME_BYTES;
    for (size_t i = 0; i <= rows; i++)
        cost[i][0] = i;
    for (size_t j = 0; j <= columns; j++)
        cost[0][j] = j;
    for (size_t i = 1; i <= rows; i++)
        for (size_t j = 1; j <= columns; j++) {
            size_t least = cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

            if (cost[i - 1][j] + 1 < least)
                least = cost[i - 1][j] + 1;
            if (cost[i][j - 1] + 1 < least)
                least = cost[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                cost[i - 2][j - 2] + 1 < least)
                least = cost[i - 2][j - 2] + 1;
            cost[i][j] = least;
        }
    return cost[rows][columns];
}

/* Near enough that somebody may have meant it: a third of the letters, at least two. */
static bool is_near(size_t distance, const char *name)
{
    return distance <= (strlen(name) < 6 ? 2 : strlen(name) / 3);
}

static snug_status unknown_command(const char *word, snug_error *error)
{
    size_t best = NAME_BYTES;
    const char *nearest = commands[0].name;

    for (size_t i = 0; i < SNUG_COUNT(commands); i++) {
        const size_t d = distance(word, commands[i].name);

        if (d < best) {
            best = d;
            nearest = commands[i].name;
        }
    }
    if (is_near(best, nearest))
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "there is no command \"%.60s\"; did you mean %s?", word, nearest);
    SNUG_FAIL(
        error, SNUG_ERR_ARGUMENT,
        "\"%.60s\" is no command; to give a prompt write --prompt \"%.60s\" (llm-tool --help lists all)",
        word, word);
}

static snug_status unknown_option(const cli_options *options, const char *name, snug_error *error)
{
    const char *command = commands[options->command].name;
    size_t best = NAME_BYTES;
    cli_option_row nearest = cli_option(CLI_OPTION_help);

    for (int i = 0; i < CLI_OPTION_COUNT; i++) {
        const cli_option_row row = cli_option((cli_option_id)i);
        const size_t d = distance(name, row.long_name);

        if (cli_takes(options->command, (cli_option_id)i) && d < best) {
            best = d;
            nearest = row;
        }
    }
    if (is_near(best, nearest.long_name))
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "%s has no option --%.60s; did you mean --%s?", command, name,
                  nearest.long_name);
    SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "%s has no option --%.60s; llm-tool %s --help lists all", command,
              name, command);
}

/* The option exists, but this command does not take it: say which do. */
static snug_status misplaced_option(const cli_options *options, cli_option_id id, snug_error *error)
{
    char takers[128] = "";
    size_t used = 0;

    for (int i = 0; i < CLI_COMMAND_COUNT; i++)
        if (cli_takes((cli_command_id)i, id) && used < sizeof takers)
            used += (size_t)snprintf(takers + used, sizeof takers - used, "%s%s", used ? ", " : "",
                                     commands[i].name);
    SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "%s has no option --%s: it belongs to %s",
              commands[options->command].name, cli_option(id).long_name, takers);
}

/* --- values -------------------------------------------------------------------------------------------- */

static snug_status out_of_range(const cli_option_row *row, const char *text, snug_error *error)
{
    if (row->most >= (double)UINT32_MAX)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "--%s takes a whole number from %.0f up%s, not \"%.60s\"",
                  row->long_name, row->least, row->most > (double)UINT32_MAX ? "" : " to 4294967295", text);
    SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "--%s takes a %snumber from %g to %g, not \"%.60s\"", row->long_name,
              row->kind == CLI_COUNT ? "whole " : "", row->least, row->most, text);
}

/* A part of what this process may use, as it is now. */
static snug_status size_of_part(uint64_t *bytes_out, const cli_option_row *row, double percent,
                                snug_error *error)
{
    snug_memory_state state;

    snug_memory_read_state(&state, NULL);
    if (state.limit_bytes >= SNUG_MEMORY_NO_LIMIT)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT,
                  "--%s %g%%: this system does not say how much memory there is; give a size such as 2G",
                  row->long_name, percent);
    *bytes_out = (uint64_t)((double)state.limit_bytes * percent / 100.0);
    return SNUG_OK;
}

static snug_status read_value(cli_options *options, const cli_option_row *row, const char *text,
                              snug_error *error)
{
    void *field = (char *)options + row->offset;
    uint64_t count;
    double number;

    switch (row->kind) {
    case CLI_TEXT:
        memcpy(field, &text, sizeof text);
        return SNUG_OK;
    case CLI_COUNT:
        if (!cli_value_count(&count, text) || (double)count < row->least || (double)count > row->most)
            return out_of_range(row, text, error);
        memcpy(field, &count, sizeof count);
        return SNUG_OK;
    case CLI_SIZE:
        if (strchr(row->argument, '%') && cli_value_percent(&number, text))
            SNUG_TRY(size_of_part(&count, row, number, error));
        else if (!cli_value_size(&count, text) || count == 0)
            SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "--%s takes a size such as 512M or 1.5GiB%s, not \"%.60s\"",
                      row->long_name, strchr(row->argument, '%') ? ", or a part such as 80%" : "", text);
        memcpy(field, &count, sizeof count);
        return SNUG_OK;
    case CLI_NUMBER:
        if (!cli_value_number(&number, text) || number < row->least || number > row->most)
            return out_of_range(row, text, error);
        memcpy(field, &number, sizeof number);
        return SNUG_OK;
    case CLI_SWITCH:
        break;
    }
    SNUG_ASSERT(row->kind == CLI_SWITCH);
    memcpy(field, &(bool){ strcmp(text, "on") == 0 }, sizeof(bool));
    return SNUG_OK;
}

/* Defaults that are values: "256", "on". "256; chat: ..." gives 256. */
static void set_defaults(cli_options *options)
{
    for (int i = 0; i < CLI_OPTION_COUNT; i++) {
        const cli_option_row row = cli_option((cli_option_id)i);
        char value[32];
        const size_t bytes = strcspn(row.preset, ";");

        if (strcmp(row.preset, "on") != 0 && (row.preset[0] < '0' || row.preset[0] > '9'))
            continue;
        if (row.kind == CLI_TEXT) {
            SNUG_ASSERT(read_value(options, &option_rows[i], row.preset, NULL) == SNUG_OK);
            continue;
        }
        SNUG_ASSERT(bytes < sizeof value);
        memcpy(value, row.preset, bytes);
        value[bytes] = '\0';
        SNUG_ASSERT(read_value(options, &row, value, NULL) == SNUG_OK);
    }
}

/* --- words --------------------------------------------------------------------------------------------- */

typedef struct words_left {
    int count;
    char *const *words;
    int at;
} words_left;

static const char *next_word(words_left *left)
{
    return left->at < left->count ? left->words[left->at++] : NULL;
}

static bool is_number_next(const words_left *left)
{
    return left->at < left->count && left->words[left->at][0] >= '0' && left->words[left->at][0] <= '9';
}

/* Find a long name, "no-" in front of a switch included. */
static bool find_long(cli_option_id *id_out, bool *is_undone_out, const char *name)
{
    for (int i = 0; i < CLI_OPTION_COUNT; i++) {
        const cli_option_row row = cli_option((cli_option_id)i);
        const bool is_undone =
            row.kind == CLI_SWITCH && strncmp(name, "no-", 3) == 0 && strcmp(name + 3, row.long_name) == 0;

        if (is_undone || strcmp(name, row.long_name) == 0) {
            *id_out = (cli_option_id)i;
            *is_undone_out = is_undone;
            return true;
        }
    }
    return false;
}

/* One option whose name is known; `value` is what was attached to it, or NULL. */
static snug_status take_option(cli_options *options, cli_option_id id, bool is_undone, const char *value,
                               words_left *left, snug_error *error)
{
    const cli_option_row row = cli_option(id);

    if (!cli_takes(options->command, id))
        return misplaced_option(options, id, error);
    if (row.kind == CLI_SWITCH) {
        if (value)
            SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "--%s is a switch and takes no value; --no-%s undoes it",
                      row.long_name, row.long_name);
        value = is_undone ? "off" : "on";
    } else if (!value && row.argument[0] == '[') { /* may be left out: 1 */
        value = is_number_next(left) ? next_word(left) : "1";
    } else if (!value) {
        value = next_word(left);
        if (!value)
            SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "--%s needs a value: --%s %s", row.long_name, row.long_name,
                      row.argument);
    }
    options->given[id] = true;
    return read_value(options, &row, value, error);
}

static snug_status take_long(cli_options *options, const char *word, words_left *left, snug_error *error)
{
    const char *equals = strchr(word, '=');
    const size_t bytes = equals ? (size_t)(equals - word) : strlen(word);
    char name[64];
    cli_option_id id;
    bool is_undone;

    snprintf(name, sizeof name, "%.*s", bytes < sizeof name ? (int)bytes : (int)sizeof name - 1, word);
    if (bytes >= sizeof name || !find_long(&id, &is_undone, name))
        return unknown_option(options, name, error);
    return take_option(options, id, is_undone, equals ? equals + 1 : NULL, left, error);
}

static snug_status take_short(cli_options *options, const char *letters, words_left *left, snug_error *error)
{
    for (int i = 0; i < CLI_OPTION_COUNT; i++) {
        const cli_option_row row = cli_option((cli_option_id)i);

        if (row.short_name && row.short_name == letters[0])
            return take_option(options, (cli_option_id)i, false, letters[1] ? letters + 1 : NULL, left,
                               error);
    }
    SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "%s has no option -%.20s; llm-tool %s --help lists all",
              commands[options->command].name, letters, commands[options->command].name);
}

static snug_status take_operand(cli_options *options, const char *word, snug_error *error)
{
    const char *operands = commands[options->command].operands;
    const bool is_text = options->command == CLI_COMMAND_tokenize;

    if (options->command == CLI_COMMAND_session && !options->second_operand) {
        *(options->operand ? &options->second_operand : &options->operand) = word;
        return SNUG_OK;
    }
    if (operands[0] == '\0' || operands[0] == '-' || options->command == CLI_COMMAND_session) {
        if (!options->has_command)
            return unknown_command(word, error);
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "%s does not know what to do with \"%.60s\"%s",
                  commands[options->command].name, word,
                  options->command == CLI_COMMAND_generate ? "; a prompt is given with --prompt" : "");
    }
    if (options->operand && !is_text)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "%s takes one model, and \"%.60s\" is a second",
                  commands[options->command].name, word);
    if (options->operand)
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT,
                  "tokenize takes one text, and \"%.60s\" is a second; quote a text "
                  "with spaces",
                  word);
    options->operand = word;
    return SNUG_OK;
}

static void take_command(cli_options *options, words_left *left)
{
    for (int i = 0; i < CLI_COMMAND_COUNT && left->count > 0; i++)
        if (strcmp(left->words[0], commands[i].name) == 0) {
            options->command = (cli_command_id)i;
            options->has_command = true;
            left->at = 1;
        }
}

snug_status cli_options_parse(cli_options *options_out, int count, char *const *words, snug_error *error)
{
    words_left left = { count, words, 0 };
    bool only_operands = false;
    const char *word;

    *options_out = (cli_options){ .command = CLI_COMMAND_generate };
    set_defaults(options_out);
    take_command(options_out, &left);
    while ((word = next_word(&left)) != NULL) {
        if (only_operands || word[0] != '-' || word[1] == '\0')
            SNUG_TRY(take_operand(options_out, word, error));
        else if (strcmp(word, "--") == 0)
            only_operands = true;
        else if (word[1] == '-')
            SNUG_TRY(take_long(options_out, word + 2, &left, error));
        else
            SNUG_TRY(take_short(options_out, word + 1, &left, error));
    }
    return SNUG_OK;
}
