/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rendering.h - tokenize --chat: a file of messages through the chat template.
 */
#ifndef SNUG_CLI_RENDERING_H
#define SNUG_CLI_RENDERING_H

#include <snug/text.h>

#include "cli/options.h"

/*
 * Render options->chat with --generation-prompt, --template-args and --now into a string for
 * snug_text_free_string(). Errors name the option or the file: ARGUMENT, CORRUPT, IO, UNSUPPORTED,
 * OVER_LIMIT.
 */
SNUG_MUST_CHECK snug_status cli_render_chat(char **rendered_out, size_t *bytes_out, const snug_text *text,
                                            const cli_options *options, snug_error *error);

#endif /* SNUG_CLI_RENDERING_H */
