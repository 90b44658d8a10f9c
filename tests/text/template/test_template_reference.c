/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_template_reference.c - templates whose results were computed by Jinja2 3.1.6 itself (Python 3.11),
 * in the environment that transformers uses for chat templates: sandboxed, trim_blocks, lstrip_blocks,
 * loop controls, its tojson, raise_exception and strftime_now. They are in cases.json: [template, result],
 * result null where Jinja2 raises.
 *
 * Left out on purpose, where we differ: integers beyond 64 bits, what Python prints of methods (addresses),
 * a few letters whose case is more than one character, joiner, cycler, lipsum and self, template inheritance.
 */
#include "tests/text/template/template_support.h"

#include <stdlib.h>
#include <string.h>

#define CASES_PATH SNUG_SOURCE_FOLDER "/tests/text/template/cases.json"

static void renders_what_jinja2_renders(void **state)
{
    json_error_t error;
    json_t *root = json_load_file(CASES_PATH, JSON_ALLOW_NUL, &error);
    json_t *cases = json_object_get(root, "cases");
    const json_int_t now = json_integer_value(json_object_get(root, "now"));
    char *variables = json_dumps(json_object_get(root, "variables"), JSON_REAL_PRECISION(17));
    size_t wrong = 0;
    size_t index;
    json_t *entry;

    (void)state;
    assert_non_null(variables);
    assert_true(json_array_size(cases) > 1000);
    json_array_foreach(cases, index, entry)
    {
        const json_t *source = json_array_get(entry, 0);
        const json_t *expected = json_array_get(entry, 1);
        const snug_str text = { json_string_value(source), json_string_length(source) };
        rendering result = render_within(0, text, variables, true, now);
        const bool is_right = json_is_string(expected)
                                  ? result.status == SNUG_OK &&
                                        result.bytes == json_string_length(expected) &&
                                        memcmp(result.text, json_string_value(expected), result.bytes) == 0
                                  : result.status != SNUG_OK;

        if (!is_right) {
            print_error("%s\n  expected: %s\n  came: %s\n", text.data,
                        json_is_string(expected) ? json_string_value(expected) : "a failure",
                        result.text ? result.text : result.error.text);
            wrong++;
        }
        rendering_free(&result);
    }
    free(variables);
    json_decref(root);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renders_what_jinja2_renders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
