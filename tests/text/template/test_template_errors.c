/* SPDX-License-Identifier: Apache-2.0 */
/* test_template_errors.c - what the sentences say: the line, what was expected, what came. */
#include "tests/text/template/template_support.h"

#include <string.h>

static void names_the_line_of_a_syntax_error(void **state)
{
    (void)state;
    assert_fails("a\nb\n{{ 1 + }}", SNUG_ERR_CORRUPT, "line 3: expected an expression, not }}");
    assert_fails("{% if x %}\n\n{{ y", SNUG_ERR_CORRUPT, "line 3: a tag has no end, expected }}");
    assert_fails("{{ 'abc }}", SNUG_ERR_CORRUPT, "line 1: a string has no closing '");
    assert_fails("\n{# x", SNUG_ERR_CORRUPT, "line 2: a comment has no end, expected #}");
    assert_fails("{% raw %}", SNUG_ERR_CORRUPT, "line 1: a raw block has no endraw");
    assert_fails("{{ a b }}", SNUG_ERR_CORRUPT, "line 1: expected }}, not 'b'");
    assert_fails("{{ f(a=1, 2) }}", SNUG_ERR_CORRUPT, "an argument without a name follows one with a name");
    assert_fails("{{ $ }}", SNUG_ERR_CORRUPT, "line 1: unexpected character '$'");
    assert_fails("{{ (1 }}", SNUG_ERR_CORRUPT, "line 1: expected ')', not '}'");
}

static void says_which_block_is_open(void **state)
{
    (void)state;
    assert_fails("\n{% for x in y %}\n\n", SNUG_ERR_CORRUPT, "begins at line 2, expected 'endfor'");
    assert_fails("{% if x %}a", SNUG_ERR_CORRUPT, "expected 'endif'");
    assert_fails("{% endfor %}", SNUG_ERR_CORRUPT, "line 1: 'endfor' belongs to no open block");
    assert_fails("{% if x %}{% endfor %}", SNUG_ERR_CORRUPT, "'endfor' belongs to no open block");
    assert_fails("{% break %}", SNUG_ERR_CORRUPT, "break or continue outside a loop");
}

static void names_what_it_does_not_support(void **state)
{
    (void)state;
    assert_fails("{{ x | nosuch }}", SNUG_ERR_UNSUPPORTED, "line 1: there is no filter 'nosuch'");
    assert_fails("{{ x is nosuch }}", SNUG_ERR_UNSUPPORTED, "line 1: there is no test 'nosuch'");
    assert_fails("\n{% include 'x' %}", SNUG_ERR_UNSUPPORTED, "line 2: there is no statement 'include'");
    assert_fails("{{ 99999999999999999999 }}", SNUG_ERR_UNSUPPORTED, "outside of 64 bits");
}

static void names_the_line_of_a_failure_in_rendering(void **state)
{
    (void)state;
    assert_fails("a\n{{ nope.x }}", SNUG_ERR_CORRUPT, "line 2: 'nope' is undefined");
    assert_fails("{{ {'a': 1}.b.c }}", SNUG_ERR_CORRUPT, "'dict' has no attribute or element 'b'");
    assert_fails("{{ [1][5].x }}", SNUG_ERR_CORRUPT, "'list' has no attribute or element '5'");
    assert_fails("{{ 'a' + 1 }}", SNUG_ERR_CORRUPT, "line 1: the operator + cannot take 'str' and 'int'");
    assert_fails("\n\n{{ 1 / 0 }}", SNUG_ERR_CORRUPT, "line 3: division by zero");
    assert_fails("{{ 1 < 'a' }}", SNUG_ERR_CORRUPT, "'int' and 'str' have no order");
    assert_fails("{{ 5() }}", SNUG_ERR_CORRUPT, "a value of type 'int' cannot be called");
    assert_fails("{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", SNUG_ERR_CORRUPT,
                 "the macro 'f' takes at most 1 arguments, not 2");
    assert_fails("{{ 'a'.replace('b') }}", SNUG_ERR_CORRUPT, "replace() expects 2 arguments");
    assert_fails("{% set x.y = 1 %}", SNUG_ERR_CORRUPT, "only attributes of a namespace can be set");
}

static void raises_in_the_words_of_the_template(void **state)
{
    rendering result = render("a\n{{ raise_exception('roles must alternate') }}", NULL);

    (void)state;
    assert_int_equal(result.status, SNUG_ERR_CORRUPT);
    assert_string_equal(result.error.text, "roles must alternate");
    rendering_free(&result);
}

static void has_a_clock_only_when_it_is_given_one(void **state)
{
    const char *source = "{{ strftime_now('%d %b %Y') if strftime_now is defined else 'none' }}";
    rendering result = render_within(0, snug_str_from(source), "{}", true, 1751976000);

    (void)state;
    assert_string_equal(result.text, "08 Jul 2025");
    rendering_free(&result);
    assert_renders(source, NULL, "none");
    assert_fails("{{ strftime_now('%d') }}", SNUG_ERR_CORRUPT, "'strftime_now' is undefined");
}

static void formats_dates_of_the_whole_calendar(void **state)
{
    static const struct {
        int64_t now;
        const char *text;
    } cases[] = {
        { 0, "1970-01-01 00:00:00 Thu 001 01" },           { 951825599, "2000-02-29 11:59:59 Tue 060 09" },
        { 1735689599, "2024-12-31 23:59:59 Tue 366 01" },  { -1, "1969-12-31 23:59:59 Wed 365 01" },
        { -2203977600, "1900-02-28 00:00:00 Wed 059 09" }, { 4107542399, "2100-02-28 23:59:59 Sun 059 08" },
        { 1609459200, "2021-01-01 00:00:00 Fri 001 53" },  { INT64_MAX, "9999-12-31 23:59:59 Fri 365 52" },
        { INT64_MIN, "1-01-01 00:00:00 Mon 001 01" },
    };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(cases); i++) {
        rendering result = render_within(0, snug_str_from("{{ strftime_now('%Y-%m-%d %H:%M:%S %a %j %V') }}"),
                                         "{}", true, cases[i].now);

        assert_int_equal(result.status, SNUG_OK);
        assert_string_equal(result.text, cases[i].text);
        rendering_free(&result);
    }
}

static void refuses_a_source_that_is_no_utf8(void **state)
{
    (void)state;
    assert_fails("ab\xff", SNUG_ERR_CORRUPT, "wrong byte at 2");
    assert_fails("{{ '\\ud800' }}", SNUG_ERR_CORRUPT, "an escape that is no character");
}

static void refuses_variables_that_are_no_object(void **state)
{
    rendering result = render("x", "[1]");

    (void)state;
    assert_int_equal(result.status, SNUG_ERR_ARGUMENT);
    assert_non_null(strstr(result.error.text, "must be a JSON object, not an array"));
    rendering_free(&result);
}

static void does_without_an_error_struct(void **state)
{
    snug_template *template_ = NULL;
    snug_memory *memory = NULL;

    (void)state;
    assert_int_equal(snug_memory_create(&memory, NULL), SNUG_OK);
    assert_int_equal(snug_template_create(&template_, memory, snug_str_from("{{"), NULL), SNUG_ERR_CORRUPT);
    assert_null(template_);
    snug_template_destroy(NULL);
    snug_memory_destroy(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_the_line_of_a_syntax_error),
        cmocka_unit_test(says_which_block_is_open),
        cmocka_unit_test(names_what_it_does_not_support),
        cmocka_unit_test(names_the_line_of_a_failure_in_rendering),
        cmocka_unit_test(raises_in_the_words_of_the_template),
        cmocka_unit_test(has_a_clock_only_when_it_is_given_one),
        cmocka_unit_test(formats_dates_of_the_whole_calendar),
        cmocka_unit_test(refuses_a_source_that_is_no_utf8),
        cmocka_unit_test(refuses_variables_that_are_no_object),
        cmocka_unit_test(does_without_an_error_struct),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
