/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/text/template/template_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory/memory.h"

rendering render_within(uint64_t hard_bytes, snug_str source, const char *variables, bool has_clock,
                        int64_t now_unix)
{
    const snug_memory_options options = { .struct_size = sizeof options, .hard_bytes = hard_bytes };
    snug_template_input input = { .has_clock = has_clock, .now_unix = now_unix };
    rendering result = { .status = SNUG_OK };
    snug_template *template_ = NULL;
    snug_memory *memory = NULL;
    char *text = NULL;

    assert_int_equal(snug_memory_create(&memory, &options), SNUG_OK);
    assert_int_equal(
        snug_json_check(&input.variables, snug_str_from(variables ? variables : "{}"), &result.error),
        SNUG_OK);
    result.status = snug_template_create(&template_, memory, source, &result.error);
    if (result.status == SNUG_OK)
        result.status = snug_template_render(&text, &result.bytes, template_, memory, &input, &result.error);
    if (result.status == SNUG_OK) {
        assert_int_equal(text[result.bytes], '\0');
        result.text = malloc(result.bytes + 1);
        assert_non_null(result.text);
        memcpy(result.text, text, result.bytes + 1);
    } else {
        assert_null(text);
        assert_int_equal(result.error.status, result.status);
        assert_true(strlen(result.error.text) > 0);
    }
    result.peak_bytes = snug_memory_read(memory, SNUG_MEMORY_TEXT).peak_bytes;
    snug_memory_free(memory, text);
    snug_template_destroy(template_);
    assert_int_equal(snug_memory_read_all(memory).blocks, 0);
    assert_int_equal(snug_memory_read_all(memory).used_bytes, 0);
    snug_memory_destroy(memory);
    return result;
}

rendering render(const char *source, const char *variables)
{
    return render_within(0, snug_str_from(source), variables, false, 0);
}

void rendering_free(rendering *result)
{
    free(result->text);
    result->text = NULL;
}

void assert_renders(const char *source, const char *variables, const char *expected)
{
    rendering result = render(source, variables);

    if (result.status != SNUG_OK)
        print_error("%s\n  failed: %s\n", source, result.error.text);
    assert_int_equal(result.status, SNUG_OK);
    assert_string_equal(result.text, expected);
    rendering_free(&result);
}

void assert_fails(const char *source, snug_status status, const char *part)
{
    rendering result = render(source, NULL);

    if (result.status == SNUG_OK || !strstr(result.error.text, part))
        print_error("%.200s\n  expected: ... %s ...\n  came: %s\n", source, part,
                    result.text ? result.text : result.error.text);
    assert_int_equal(result.status, status);
    assert_non_null(strstr(result.error.text, part));
    rendering_free(&result);
}

char *read_file(const char *path, size_t *bytes_out)
{
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    size_t capacity = 0;

    *bytes_out = 0;
    if (!file)
        return NULL;
    do {
        capacity += 65536;
        text = realloc(text, capacity + 1);
        assert_non_null(text);
        *bytes_out += fread(text + *bytes_out, 1, capacity - *bytes_out, file);
    } while (*bytes_out == capacity);
    text[*bytes_out] = '\0';
    fclose(file);
    return text;
}
