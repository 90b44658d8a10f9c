/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.c - the two entrances: parse once, render often. A template owns one region with its source and
 * its tree; a rendering owns another with all that it computes, and leaves only its text.
 */
#include "text/template/template.h"

#include <string.h>

#include "base/status.h"
#include "base/utf8.h"
#include "text/template/parser.h"
#include "text/template/run.h"

/* Published templates have up to 30 KB. */
#define SOURCE_BYTES_MAX       ((size_t)1 << 20)
#define PARSE_REGION_BYTES_MAX ((size_t)256 << 20)

struct snug_template {
    snug_memory *memory;
    snug_region region;
    const snug_node *root;
};

/* Copy the source with newlines as \n, without the last one. */
static bool copy_source(snug_region *region, snug_str *out, snug_str source)
{
    char *copy = snug_region_text(region, source.bytes);
    size_t bytes = 0;

    if (!copy)
        return false;
    for (size_t i = 0; i < source.bytes; i++) {
        if (source.data[i] == '\r') {
            copy[bytes++] = '\n';
            i += i + 1 < source.bytes && source.data[i + 1] == '\n';
        } else
            copy[bytes++] = source.data[i];
    }
    if (bytes != 0 && copy[bytes - 1] == '\n')
        bytes--;
    *out = (snug_str){ copy, bytes };
    return true;
}

static snug_status check_source(snug_str source, snug_error *error)
{
    size_t valid_bytes;

    if (source.bytes > SOURCE_BYTES_MAX)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "the chat template has %zu bytes, at most %zu are allowed",
                  source.bytes, SOURCE_BYTES_MAX);
    valid_bytes = source.bytes != 0 ? snug_utf8_valid_bytes(source.data, source.bytes) : 0;
    if (valid_bytes != source.bytes)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the chat template is not UTF-8: wrong byte at %zu", valid_bytes);
    return SNUG_OK;
}

snug_status snug_template_create(snug_template **template_out, snug_memory *memory, snug_str source,
                                 snug_error *error)
{
    snug_region region;
    snug_template *template_;
    snug_str copy;
    const snug_node *root;

    *template_out = NULL;
    SNUG_TRY(check_source(source, error));
    snug_region_init(&region, memory, PARSE_REGION_BYTES_MAX, "the chat template", error);
    template_ = snug_region_alloc(&region, sizeof *template_);
    root = template_ && copy_source(&region, &copy, source) ? snug_parser_run(&region, copy) : NULL;
    if (!root) {
        snug_region_deinit(&region);
        return region.status;
    }
    template_->memory = memory;
    template_->region = region;
    template_->region.error = NULL;
    template_->root = root;
    *template_out = template_;
    return SNUG_OK;
}

void snug_template_destroy(snug_template *template_)
{
    snug_region region;

    if (!template_)
        return;
    region = template_->region; /* the template lies in its own region */
    snug_region_deinit(&region);
}

/* Run the template into `builder`. */
static bool run_template(snug_region *region, snug_builder *builder, const snug_template *template_,
                         const snug_template_input *input)
{
    snug_scope scope = { .parent = NULL };
    snug_run run = { .region = region,
                     .scope = &scope,
                     .out = builder,
                     .steps_left = SNUG_TEMPLATE_STEPS_MAX,
                     .has_clock = input->has_clock,
                     .now_unix = input->now_unix };
    snug_value variables;

    if (!snug_run_from_json(&run, &variables, input->variables))
        return false;
    if (variables.kind != SNUG_VALUE_DICT)
        return snug_region_fail(region, SNUG_ERR_ARGUMENT,
                                "the template's variables must be a JSON object, not %s",
                                snug_json_kind_name(snug_json_kind_of(input->variables)));
    run.variables = variables.dict;
    return snug_run_execute(&run, template_->root);
}

snug_status snug_template_render(char **rendered_out, size_t *bytes_out, const snug_template *template_,
                                 snug_memory *memory, const snug_template_input *input, snug_error *error)
{
    snug_region region;
    snug_builder builder = { .region = &region };
    char *rendered = NULL;

    *rendered_out = NULL;
    *bytes_out = 0;
    snug_region_init(&region, memory, SNUG_TEMPLATE_REGION_BYTES_MAX, "rendering the chat template", error);
    if (run_template(&region, &builder, template_, input)) {
        snug_error refusal = { .status = SNUG_OK };

        if (builder.capacity >=
            SNUG_REGION_LARGE_BYTES) /* a long prompt is copied with nothing else around */
            snug_region_drop_others(&region, builder.data);
        rendered =
            snug_memory_alloc(memory, SNUG_MEMORY_TEXT, builder.bytes + 1, "the rendered chat", &refusal);
        if (!rendered)
            snug_region_fail(&region, refusal.status, "%s", refusal.text);
    }
    if (rendered) {
        if (builder.bytes != 0)
            memcpy(rendered, builder.data, builder.bytes);
        *rendered_out = rendered;
        *bytes_out = builder.bytes;
    }
    snug_region_deinit(&region);
    return region.status;
}
