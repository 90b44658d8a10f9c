/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line.c - see the header. libedit where the build has it and both ends are a terminal.
 */
#include "cli/line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef SNUG_HAVE_LIBEDIT
#    include <histedit.h>
#endif

#include "cli/system.h"

struct cli_line_reader {
    char *line; /* getline's */
    size_t capacity;
#ifdef SNUG_HAVE_LIBEDIT
    EditLine *edit; /* NULL: plain */
    History *history;
#endif
};

#ifdef SNUG_HAVE_LIBEDIT
#    define HISTORY_LINES 500

static char *show_prompt(EditLine *edit)
{
    static char prompt[] = "> ";

    (void)edit;
    return prompt;
}

/* Without editing when libedit cannot start: it is a comfort, not a need. */
static void open_edit(cli_line_reader *reader)
{
    HistEvent event;

    if (!cli_input_is_terminal() || !cli_output_is_terminal())
        return;
    reader->edit = el_init("llm-tool", stdin, stdout, stderr);
    reader->history = history_init();
    if (!reader->edit)
        return;
    el_set(reader->edit, EL_PROMPT, show_prompt);
    el_set(reader->edit, EL_EDITOR, "emacs");
    if (reader->history) {
        history(reader->history, &event, H_SETSIZE, HISTORY_LINES);
        el_set(reader->edit, EL_HIST, history, reader->history);
    }
    el_source(reader->edit, NULL); /* the user's own ~/.editrc */
}

static cli_line_result read_edited(cli_line_reader *reader, cli_buffer *out)
{
    int count = 0;
    const char *line = el_gets(reader->edit, &count);
    HistEvent event;

    if (cli_is_interrupted()) {
        el_reset(reader->edit);
        return CLI_LINE_INTERRUPTED;
    }
    if (!line || count <= 0)
        return CLI_LINE_END;
    if (reader->history && line[0] != '\n')
        history(reader->history, &event, H_ENTER, line);
    if (line[count - 1] == '\n')
        count--;
    return cli_buffer_add(out, line, (size_t)count) ? CLI_LINE : CLI_LINE_END;
}
#endif

cli_line_reader *cli_line_open(void)
{
    cli_line_reader *reader = calloc(1, sizeof *reader);

#ifdef SNUG_HAVE_LIBEDIT
    if (reader)
        open_edit(reader);
#endif
    return reader;
}

void cli_line_close(cli_line_reader *reader)
{
    if (!reader)
        return;
#ifdef SNUG_HAVE_LIBEDIT
    if (reader->history)
        history_end(reader->history);
    if (reader->edit)
        el_end(reader->edit);
#endif
    free(reader->line);
    free(reader);
}

cli_line_result cli_line_read(cli_line_reader *reader, cli_buffer *out)
{
    ssize_t count;

    out->bytes = 0;
#ifdef SNUG_HAVE_LIBEDIT
    if (reader->edit)
        return read_edited(reader, out);
#endif
    if (cli_input_is_terminal())
        (void)(fputs("> ", stderr), fflush(stderr));
    count = getline(&reader->line, &reader->capacity, stdin);
    if (cli_is_interrupted()) {
        clearerr(stdin);
        return CLI_LINE_INTERRUPTED;
    }
    if (count <= 0)
        return CLI_LINE_END;
    if (reader->line[count - 1] == '\n')
        count--;
    return cli_buffer_add(out, reader->line, (size_t)count) ? CLI_LINE : CLI_LINE_END;
}
