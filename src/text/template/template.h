/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.h - chat templates: a small interpreter for the part of Jinja2 that published templates use.
 *
 * A template is parsed once and rendered many times. All memory of one rendering comes from the ledger and
 * is given back at its end; steps, nesting and output are bounded, so that a template from a stranger's
 * file can neither hang nor exhaust us. Values: none, undefined, booleans, integers (64 bits), floats,
 * strings, lists, dicts (insertion order), namespaces, functions. Trim rules as Hugging Face sets them:
 * trim_blocks and lstrip_blocks on.
 */
#ifndef SNUG_SRC_TEXT_TEMPLATE_TEMPLATE_H
#define SNUG_SRC_TEXT_TEMPLATE_TEMPLATE_H

#include <snug/memory.h>

#include "base/json.h"
#include "base/str.h"

typedef struct snug_template snug_template;

/* The source is copied. Errors: CORRUPT with line and what was expected, UNSUPPORTED (a construct by
 * name), OVER_LIMIT. */
SNUG_MUST_CHECK snug_status snug_template_create(snug_template **template_out, snug_memory *memory,
                                                 snug_str source, snug_error *error);
void snug_template_destroy(snug_template *template_);

typedef struct snug_template_input {
    snug_json variables; /* a checked JSON object: messages, tools, bos_token, add_generation_prompt ... */
    bool has_clock;      /* strftime_now is defined */
    int64_t now_unix;    /* the local time it formats, seconds since 1970 */
} snug_template_input;

/*
 * Render into a new terminated block of `memory` (snug_memory_free). A template that calls
 * raise_exception(text) fails with CORRUPT and its text. Threads: one template may be rendered by several
 * threads at a time.
 */
SNUG_MUST_CHECK snug_status snug_template_render(char **rendered_out, size_t *bytes_out,
                                                 const snug_template *template_, snug_memory *memory,
                                                 const snug_template_input *input, snug_error *error);

#endif /* SNUG_SRC_TEXT_TEMPLATE_TEMPLATE_H */
