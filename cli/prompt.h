/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prompt.h - the prompt of a command line, as text and as token ids: --prompt, --prompt-ids, --system, --raw.
 */
#ifndef SNUG_CLI_PROMPT_H
#define SNUG_CLI_PROMPT_H

#include "cli/engine.h"
#include "cli/input.h"

typedef struct cli_prompt {
    cli_buffer text;
    cli_ids ids;
} cli_prompt;

/* Read it; ids are there now if they were given. */
cli_exit cli_prompt_read(cli_prompt *prompt, const cli_options *options);

/* To ids, through the chat template unless --raw; needs the engine's text. Nothing to do for ids. */
cli_exit cli_prompt_encode(cli_prompt *prompt, const cli_engine *engine);

void cli_prompt_free(cli_prompt *prompt);

#endif /* SNUG_CLI_PROMPT_H */
