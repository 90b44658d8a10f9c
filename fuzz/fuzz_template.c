/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_template.c - any bytes as a chat template: parsed, and rendered with a small conversation.
 *
 * The source is copied to a block of exactly its size, so that the address sanitizer sees one byte too many.
 * The ledger has a limit: refusals for lack of memory are part of what is tried, and all must come back.
 */
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "base/utf8.h"
#include "memory/memory.h"
#include "text/template/template.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

static const char variables[] =
    "{\"bos_token\":\"<s>\",\"add_generation_prompt\":true,\"n\":5,\"f\":1.5,\"none\":null,\"messages\":["
    "{\"role\":\"system\",\"content\":\" h\\u00e9 \\\"x\\\"\\n\"},{\"role\":\"user\",\"content\":\"a b c\"},"
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":"
    "{\"a\":[1,2.5,true,null,\"\xf0\x9f\x99\x82\"]}}}]}]}";

static void render(const snug_template *template_, snug_memory *memory)
{
    snug_template_input input = { .has_clock = true, .now_unix = 1751976000 };
    snug_error error = { .status = SNUG_OK };
    char *rendered;
    size_t rendered_bytes;
    snug_status status;

    SNUG_ASSERT(snug_json_check(&input.variables, snug_str_from(variables), NULL) == SNUG_OK);
    status = snug_template_render(&rendered, &rendered_bytes, template_, memory, &input, &error);
    SNUG_ASSERT((status == SNUG_OK) == (rendered != NULL));
    SNUG_ASSERT(status == SNUG_OK || error.status == status);
    /* What comes out of UTF-8 is UTF-8. */
    SNUG_ASSERT(!rendered || snug_utf8_valid_bytes(rendered, rendered_bytes) == rendered_bytes);
    snug_memory_free(memory, rendered);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    const snug_memory_options options = { .struct_size = sizeof options, .hard_bytes = 8 << 20 };
    char *source = malloc(bytes ? bytes : 1);
    snug_template *template_ = NULL;
    snug_memory *memory = NULL;
    snug_error error = { .status = SNUG_OK };
    snug_status status;

    SNUG_ASSERT(source);
    if (bytes != 0)
        memcpy(source, data, bytes);
    SNUG_ASSERT(snug_memory_create(&memory, &options) == SNUG_OK);
    status = snug_template_create(&template_, memory, (snug_str){ source, bytes }, &error);
    SNUG_ASSERT((status == SNUG_OK) == (template_ != NULL));
    SNUG_ASSERT(status == SNUG_OK || error.status == status);
    free(source);
    if (template_)
        render(template_, memory);
    snug_template_destroy(template_);
    SNUG_ASSERT(snug_memory_read_all(memory).blocks == 0);
    snug_memory_destroy(memory);
    return 0;
}
