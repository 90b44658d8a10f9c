/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - the command line, parsed: one field per row of options.def.
 *
 * A field holds the given value, the default of its row, or zero; cli_given() tells whether the user
 * wrote it. Texts point into argv. A new option is one row in options.def, a new command one row and one
 * file.
 */
#ifndef SNUG_CLI_OPTIONS_H
#define SNUG_CLI_OPTIONS_H

#include <snug/base.h>

typedef enum cli_kind {
    CLI_SWITCH,
    CLI_COUNT,
    CLI_SIZE,
    CLI_NUMBER,
    CLI_TEXT,
} cli_kind;

typedef bool cli_type_SWITCH;
typedef uint64_t cli_type_COUNT;
typedef uint64_t cli_type_SIZE;
typedef double cli_type_NUMBER;
typedef const char *cli_type_TEXT;

typedef enum cli_command_id {
#define COMMAND(name, operands, help) CLI_COMMAND_##name,
#include "cli/options.def"
    CLI_COMMAND_COUNT
} cli_command_id;

enum {
#define COMMAND(name, operands, help) CLI_FOR_##name = 1 << CLI_COMMAND_##name,
#include "cli/options.def"
    CLI_FOR_ALL = (1 << CLI_COMMAND_COUNT) - 1,
    CLI_IN_MANUAL = 1 << 30 /* --help only names it */
};

typedef enum cli_option_id {
#define OPTION(name, short, kind, argument, preset, least, most, commands, help) CLI_OPTION_##name,
#include "cli/options.def"
    CLI_OPTION_COUNT
} cli_option_id;

typedef struct cli_options {
    cli_command_id command;
    bool has_command;    /* false: `generate`, because nothing was said */
    const char *operand; /* what follows the command without a flag; NULL */
    const char *second_operand;
    bool given[CLI_OPTION_COUNT];
#define OPTION(name, short, kind, argument, preset, least, most, commands, help) cli_type_##kind name;
#include "cli/options.def"
} cli_options;

#define cli_given(options, name) ((options)->given[CLI_OPTION_##name])

typedef struct cli_command_row {
    const char *name;
    const char *operands;
    const char *help;
} cli_command_row;

typedef struct cli_option_row {
    char long_name[32]; /* "max-tokens" */
    char short_name;    /* or 0 */
    cli_kind kind;
    size_t offset; /* of its field in cli_options */
    const char *argument;
    const char *preset;
    double least;
    double most;
    unsigned commands;
    const char *help;
} cli_option_row;

const cli_command_row *cli_command(cli_command_id id);

/* The row of an option, its name with "-". By value: rows are made when asked for. */
cli_option_row cli_option(cli_option_id id);

/* Whether the command takes the option. */
bool cli_takes(cli_command_id command, cli_option_id option);

/* Read the command line. On failure the sentence says what is wrong and what was probably meant. */
SNUG_MUST_CHECK snug_status cli_options_parse(cli_options *options_out, int count, char *const *words,
                                              snug_error *error);

#endif /* SNUG_CLI_OPTIONS_H */
