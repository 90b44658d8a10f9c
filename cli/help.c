/* SPDX-License-Identifier: Apache-2.0 */
/*
 * help.c - see the header. Nothing here knows a command or an option by name, except in the examples.
 */
#include "cli/help.h"

#include <string.h>

#include "base/status.h"

void cli_help_tool(FILE *out)
{
    fputs("usage: llm-tool [command] [options]\n\n"
          "Runs large language models inside the memory you have.\n\n"
          "commands:\n",
          out);
    for (int i = 0; i < CLI_COMMAND_COUNT; i++) {
        const cli_command_row *row = cli_command((cli_command_id)i);

        fprintf(out, "  %-10s %s\n", row->name, row->help);
    }
    fputs("\n"
          "llm-tool COMMAND --help lists the options of a command; man llm-tool says it all.\n\n"
          "  llm-tool --prompt \"Tell me a story about a dog named Max.\"\n"
          "  llm-tool chat --model NAME\n"
          "  llm-tool plan --model NAME --context 4096\n\n"
          "exit status: 0 done, 1 failed, 2 wrong usage, 3 does not fit, 4 bad input file, 5 interrupted,\n"
          "6 suspended to disk\n",
          out);
}

/* "-m, --model PATH" or "--no-parse-special": the form that does something. */
static int write_form(char *out, size_t capacity, const cli_option_row *row)
{
    char letter[8] = "    ";

    if (row->short_name)
        snprintf(letter, sizeof letter, "-%c, ", row->short_name);
    return snprintf(out, capacity, "%s--%s%s%s%s", letter, strcmp(row->preset, "on") == 0 ? "no-" : "",
                    row->long_name, row->argument[0] ? " " : "", row->argument);
}

/* A switch that is on by default is shown as --no-NAME: so is what it does. */
static const char *help_prefix(const cli_option_row *row)
{
    return strcmp(row->preset, "on") == 0 ? "do not " : "";
}

#define LINE_COLUMNS 98

/* Options that few need are only named. */
static void write_names_in_manual(FILE *out, cli_command_id command)
{
    int column = 0;

    for (int i = 0; i < CLI_OPTION_COUNT; i++) {
        const cli_option_row option = cli_option((cli_option_id)i);
        const int width = (int)strlen(option.long_name) + 3;

        if (!cli_takes(command, (cli_option_id)i) || !(option.commands & CLI_IN_MANUAL))
            continue;
        if (column == 0)
            column = fprintf(out, "  see the manual for:");
        if (column + width > LINE_COLUMNS)
            column = fprintf(out, "\n%20s", "") - 1;
        column += fprintf(out, " --%s", option.long_name);
    }
    if (column > 0)
        fputc('\n', out);
}

void cli_help_command(FILE *out, cli_command_id command)
{
    const cli_command_row *row = cli_command(command);

    fprintf(out, "usage: llm-tool %s%s%s [options]\n\n%s\n\n", row->name, row->operands[0] ? " " : "",
            row->operands, row->help);
    for (int i = 0; i < CLI_OPTION_COUNT; i++) {
        const cli_option_row option = cli_option((cli_option_id)i);
        const bool shows_preset = option.preset[0] && strcmp(option.preset, "on") != 0;
        char form[64];

        if (!cli_takes(command, (cli_option_id)i) || (option.commands & CLI_IN_MANUAL))
            continue;
        write_form(form, sizeof form, &option);
        fprintf(out, "  %-34s%s%s", form, help_prefix(&option), option.help);
        if (shows_preset &&
            strlen(help_prefix(&option)) + strlen(option.help) + strlen(option.preset) > LINE_COLUMNS - 39)
            fprintf(out, "\n%36s", "");
        else if (shows_preset)
            fputc(' ', out);
        fprintf(out, shows_preset ? "[%s]\n" : "\n", option.preset);
    }
    write_names_in_manual(out, command);
    fputs("\n[default]; --no-NAME undoes a switch; --name=value works too.\n", out);
}

/* --- manual page --------------------------------------------------------------------------------------- */

/* Text in mdoc: a backslash and a dot or quote at the start of a line mean something. */
static void write_mdoc(FILE *out, const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", out);
    for (; *text; text++)
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
}

static void write_manual_option(FILE *out, cli_option_id id)
{
    const cli_option_row row = cli_option(id);
    const char *no = strcmp(row.preset, "on") == 0 ? "no\\-" : "";

    fputs(".It ", out);
    if (row.short_name)
        fprintf(out, "Fl %c , ", row.short_name);
    fprintf(out, "Fl \\-%s", no);
    write_mdoc(out, row.long_name);
    if (row.argument[0])
        fprintf(out, " Ar %s", row.argument);
    fprintf(out, "\n");
    write_mdoc(out, help_prefix(&row));
    write_mdoc(out, row.help);
    fputs(".\n", out);
    if (row.preset[0] && strcmp(row.preset, "on") != 0) {
        fputs("Default: ", out);
        write_mdoc(out, row.preset);
        fputs(".\n", out);
    }
    if (row.commands == CLI_FOR_ALL)
        return;
    fputs("Commands: ", out);
    for (int i = 0, count = 0; i < CLI_COMMAND_COUNT; i++)
        if (cli_takes((cli_command_id)i, id))
            fprintf(out, "%s%s", count++ ? ", " : "", cli_command((cli_command_id)i)->name);
    fputs(".\n", out);
}

void cli_help_manual(FILE *out)
{
    fputs(".Sh COMMANDS\n.Bl -tag -width generate\n", out);
    for (int i = 0; i < CLI_COMMAND_COUNT; i++) {
        const cli_command_row *row = cli_command((cli_command_id)i);

        fprintf(out, ".It Cm %s ", row->name);
        write_mdoc(out, row->operands);
        fputc('\n', out);
        write_mdoc(out, row->help);
        fputs(".\n", out);
    }
    fputs(".El\n.Sh OPTIONS\n.Bl -tag -width indent\n", out);
    for (int i = 0; i < CLI_OPTION_COUNT; i++)
        write_manual_option(out, (cli_option_id)i);
    fputs(".El\n", out);
}

/* --- completion ---------------------------------------------------------------------------------------- */

void cli_help_completion(FILE *out)
{
    fputs("# SPDX-License-Identifier: Apache-2.0\n"
          "# bash completion for llm-tool, made from its table of options.\n"
          "_llm_tool() {\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} "
          "command=${COMP_WORDS[1]} options\n"
          "    case $before in\n"
          "    --model | -m | --prompt-ids | --ids | --out | --batch)\n"
          "        COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n"
          "    --cpu)\n"
          "        COMPREPLY=($(compgen -W 'auto c avx2 avx512 avx512bf16 amx neon i8mm' -- "
          "\"$word\")); return ;;\n"
          "    esac\n"
          "    case $command in\n",
          out);
    for (int i = 0; i < CLI_COMMAND_COUNT; i++) {
        const cli_command_id command = (cli_command_id)i;

        /* generate is also what happens without a command: the last case, which takes the rest. */
        if (command == CLI_COMMAND_generate)
            continue;
        fprintf(out, "    %s) options='", cli_command(command)->name);
        for (int j = 0; j < CLI_OPTION_COUNT; j++)
            if (cli_takes(command, (cli_option_id)j))
                fprintf(out, "--%s%s ", strcmp(cli_option((cli_option_id)j).preset, "on") == 0 ? "no-" : "",
                        cli_option((cli_option_id)j).long_name);
        fputs("' ;;\n", out);
    }
    fputs("    *) options='", out);
    for (int j = 0; j < CLI_OPTION_COUNT; j++)
        if (cli_takes(CLI_COMMAND_generate, (cli_option_id)j))
            fprintf(out, "--%s ", cli_option((cli_option_id)j).long_name);
    fputs("' ;;\n    esac\n    [ \"$COMP_CWORD\" -eq 1 ] && options+=' ", out);
    for (int i = 0; i < CLI_COMMAND_COUNT; i++)
        fprintf(out, "%s ", cli_command((cli_command_id)i)->name);
    fputs("'\n"
          "    COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
          "}\n"
          "complete -o default -F _llm_tool llm-tool\n",
          out);
}
