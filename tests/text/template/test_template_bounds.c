/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_template_bounds.c - templates that want to hang, to exhaust or to crash us, memory that runs out at
 * every point, and several threads at one template.
 */
#include "tests/text/template/template_support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "memory/memory.h"

/* Sanitizers slow everything down some ten times. */
#define SECONDS_MAX 10

/* `piece` repeated, between a begin and an end. From malloc. */
static char *repeat(const char *begin, const char *piece, size_t times, const char *end)
{
    const size_t piece_bytes = strlen(piece);
    char *text = malloc(strlen(begin) + piece_bytes * times + strlen(end) + 1);
    char *at = text;

    assert_non_null(text);
    memcpy(at, begin, strlen(begin));
    at += strlen(begin);
    for (size_t i = 0; i < times; i++, at += piece_bytes)
        memcpy(at, piece, piece_bytes);
    memcpy(at, end, strlen(end) + 1);
    return text;
}

static void refuses_deep_nesting_in_the_source(void **state)
{
    static const struct {
        const char *begin;
        const char *piece;
        const char *end;
    } cases[] = {
        { "{{ ", "(", " }}" },         { "{{ ", "[", " }}" },          { "{{ ", "{1:", " }}" },
        { "{{ ", "not ", "1 }}" },     { "{{ ", "-", "1 }}" },         { "{{ 1", "+1", " }}" },
        { "{{ 1", "**1", " }}" },      { "{{ a", ".a", " }}" },        { "{{ a", "[0]", " }}" },
        { "{{ a", "[0", " }}" },       { "{{ a", "|upper", " }}" },    { "{{ a", "()", " }}" },
        { "", "{% if 1 %}", "" },      { "", "{% for x in y %}", "" }, { "{{ ", "1 if 1 else ", "1 }}" },
        { "{% set ", "(", "a" },       { "{{ 0", " or 0", " }}" },     { "{{ 0", " and 0", " }}" },
        { "", "{% macro f() %}", "" }, { "", "{% set x %}", "" },      { "{{ 1", " is odd", " }}" },
    };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(cases); i++) {
        char *source = repeat(cases[i].begin, cases[i].piece, 20000, cases[i].end);
        rendering result = render(source, NULL);

        if (result.status == SNUG_OK)
            print_error("%s... was not refused\n", cases[i].piece);
        assert_true(result.status == SNUG_ERR_UNSUPPORTED || result.status == SNUG_ERR_CORRUPT);
        rendering_free(&result);
        free(source);
    }
}

static void accepts_what_is_long_but_not_deep(void **state)
{
    char *elifs = repeat("{% if 0 %}", "{% elif 0 %}", 5000, "{% else %}x{% endif %}");
    char *comparisons = repeat("{{ 1", " == 1", 5000, " }}");
    char *sums = repeat("{{ 1", " + 1", 200, " }}");
    char *brackets = repeat("{{ ", "(", 80,
                            "1))))))))))))))))))))))))))))))))))))))))"
                            ")))))))))))))))))))))))))))))))))))))))) }}");

    (void)state;
    assert_renders(elifs, NULL, "x");
    assert_renders(comparisons, NULL, "True");
    assert_renders(sums, NULL, "201");
    assert_renders(brackets, NULL, "1");
    free(elifs);
    free(comparisons);
    free(sums);
    free(brackets);
}

/* What would run for ever, write without end, or recurse without end. */
static void stops_hostile_templates_in_time(void **state)
{
    static const char *const sources[] = {
        "{% for i in range(1000000000000) %}x{% endfor %}",
        "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f() %}{% set x %}{{ f() }}{% endset %}{% endmacro %}{{ f() }}",
        "{% macro f() %}{% call g() %}{{ f() }}{% endcall %}{% endmacro %}"
        "{% macro g() %}{{ caller() }}{% endmacro %}{{ f() }}",
        "{% macro f(n) %}{{ f(n + 1) ~ f(n + 1) }}{% endmacro %}{{ f(0) }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{% set n = namespace(x=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}",
        "{% set n = namespace(x=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}"
        "{{ n.x | tojson }}",
        "{% set n = namespace(x=[], y=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}"
        "{% set n.y = [n.y] %}{% endfor %}{{ n.x == n.y }}",
        "{% set n = namespace() %}{% set n.x = n %}{{ n }}",
        "{% set n = namespace(s='aaaaaaaa') %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
        "{% set n = namespace(s=[1]) %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
        "{{ 'a' * 1000000000000 }}",
        "{{ ['a'] * 100000000 }}",
        "{% set a = 'a' * 1000000 %}{{ (a ~ 'b') in (a ~ a) }}",
        "{% set a = 'a' * 1000000 %}{{ (a ~ a).rfind('b' ~ a) }}",
        "{% set a = 'a' * 1000000 %}{{ a.strip(a) }}",
        "{% set a = 'a' * 1000000 %}{{ range(100000) | join(a) }}",
        "{% set a = 'ab' * 1000000 %}{% for i in range(100000) %}{{ a[i] }}{% endfor %}",
        "{{ range(100000) | unique | list | length }}",
        "{{ [1] | batch(1000000000000, 1) | list }}",
        "{{ [1] | slice(1000000000000, 1) | list }}",
        "{{ 3 ** 100000000000 }}",
        "{{ '%999999999d' % 1 }}",
        "{{ '{:999999999}'.format(1) }}",
        "{{ 'a'.center(1000000000000) }}",
        "{{ 'a\\n' | indent(1000000000) }}",
        "{{ [[]] | tojson(indent=100000000) }}",
        "{{ range(-9223372036854775807, 9223372036854775807) }}",
        "{% macro f() %}{{ f(*range(1000)) }}{{ varargs }}{% endmacro %}{{ f() }}",
    };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(sources); i++) {
        const clock_t begin = clock();
        rendering result = render(sources[i], NULL);

        if (result.status == SNUG_OK || clock() - begin > SECONDS_MAX * CLOCKS_PER_SEC)
            print_error("%s\n  took %.1f s\n", sources[i], (double)(clock() - begin) / CLOCKS_PER_SEC);
        assert_true(result.status == SNUG_ERR_OVER_LIMIT || result.status == SNUG_ERR_CORRUPT);
        assert_true(clock() - begin < SECONDS_MAX * CLOCKS_PER_SEC);
        /* The limits of parsing and rendering, and blocks half as large being copied. */
        assert_true(result.peak_bytes < (uint64_t)400 << 20);
        rendering_free(&result);
    }
}

static void survives_numbers_at_the_ends_of_their_range(void **state)
{
    (void)state;
    assert_renders("{{ 'abc'[::9223372036854775807] }}{{ 'abc'[::-9223372036854775807] }}", NULL, "ac");
    assert_renders("{{ [1, 2][9223372036854775807:-9223372036854775807:-1] }}", NULL, "[2, 1]");
    assert_renders("{{ range(0, 9223372036854775807, 9223372036854775807) | list }}", NULL, "[0]");
    assert_renders("{{ (-9223372036854775807 - 1) // 1 }}", NULL, "-9223372036854775808");
    assert_fails("{{ (-9223372036854775807 - 1) // -1 }}", SNUG_ERR_CORRUPT, "outside of 64 bits");
    assert_fails("{{ -(-9223372036854775807 - 1) }}", SNUG_ERR_CORRUPT, "outside of 64 bits");
    assert_fails("{{ 9223372036854775807 + 1 }}", SNUG_ERR_CORRUPT, "outside of 64 bits");
    assert_fails("{{ 'x'.find('x', 'y') }}", SNUG_ERR_CORRUPT, "'start' expects an integer");
    assert_renders("{{ 'abc'.find('c', -9223372036854775807, 9223372036854775807) }}", NULL, "2");
}

static const char working_source[] =
    "{%- set ns = namespace(text='') -%}"
    "{%- macro show(item, depth=0) -%}"
    "{%- if item is mapping -%}{%- for k, v in item | dictsort -%}{{ k }}={{ show(v, depth + 1) }};{%- "
    "endfor -%}"
    "{%- else -%}{{ item | string | upper }}@{{ depth }}{%- endif -%}{%- endmacro -%}"
    "{%- for m in messages if m.content -%}"
    "{%- set ns.text = ns.text ~ m.role ~ ': ' ~ (m.content | trim) ~ '\n' -%}"
    "{{ show(m) }}{{ m | tojson(indent=1) }}{{ m.content.split(' ') | map('length') | list }}"
    "{{ messages[1:] | selectattr('role', 'eq', 'user') | map(attribute='content') | join(',') }}"
    "{%- endfor -%}{{ ns.text }}{{ '%s %05.1f' % ('x', 2.25) }}{{ [3, 1, 2] | sort }}";
static const char working_variables[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"be \\u00e9 \\\"brief\\\"\"},"
    "{\"role\":\"user\",\"content\":\"one two three\"},"
    "{\"role\":\"user\",\"content\":\"\"}]}";

/* From nothing upward: each limit either suffices or is refused, nothing is left behind (render_within
 * asserts that), and what is rendered is always the same. */
static void survives_memory_that_runs_out_anywhere(void **state)
{
    rendering whole = render(working_source, working_variables);
    bool has_succeeded = false;
    size_t refusals = 0;

    (void)state;
    assert_int_equal(whole.status, SNUG_OK);
    for (uint64_t limit = 64; !has_succeeded; limit += 512) {
        rendering result = render_within(limit, snug_str_from(working_source), working_variables, false, 0);

        assert_true(limit <= whole.peak_bytes + 512);
        if (result.status == SNUG_OK) {
            assert_string_equal(result.text, whole.text);
            has_succeeded = true;
        } else {
            assert_int_equal(result.status, SNUG_ERR_OVER_LIMIT);
            refusals++;
        }
        rendering_free(&result);
    }
    print_message("%zu refusals, then it fits into %llu bytes\n", refusals,
                  (unsigned long long)whole.peak_bytes);
    assert_true(refusals > 10);
    rendering_free(&whole);
}

/* A prompt takes memory in proportion to its text, not to the square of it. */
static void takes_memory_in_proportion_to_the_text(void **state)
{
    const char *source =
        "{% for m in messages %}{{ '<|' ~ m.role ~ '|>' ~ m.content ~ '<|end|>\n' }}{% endfor %}";
    char *content = repeat("{\"messages\":[{\"role\":\"user\",\"content\":\"", "lorem ipsum ", 50000, "\"}");
    char *variables = repeat(content, ",{\"role\":\"user\",\"content\":\"x\"}", 1000, "]}");
    rendering result = render(source, variables);

    (void)state;
    assert_int_equal(result.status, SNUG_OK);
    assert_true(result.bytes > 600000);
    print_message("%zu bytes of prompt: %llu bytes at most\n", result.bytes,
                  (unsigned long long)result.peak_bytes);
    assert_true(result.peak_bytes < 7 * result.bytes);
    rendering_free(&result);
    free(variables);
    free(content);
}

typedef struct shared_rendering {
    const snug_template *template_;
    snug_memory *memory;
    snug_json variables;
    const char *expected;
    size_t wrong;
} shared_rendering;

static void *render_often(void *user)
{
    shared_rendering *shared = user;
    const snug_template_input input = { .variables = shared->variables };

    for (size_t i = 0; i < 100; i++) {
        char *text = NULL;
        size_t bytes;

        if (snug_template_render(&text, &bytes, shared->template_, shared->memory, &input, NULL) != SNUG_OK ||
            strcmp(text, shared->expected) != 0)
            shared->wrong++;
        snug_memory_free(shared->memory, text);
    }
    return NULL;
}

static void renders_one_template_on_several_threads(void **state)
{
    rendering whole = render(working_source, working_variables);
    shared_rendering shared[4];
    pthread_t threads[SNUG_COUNT(shared)];
    snug_template *template_ = NULL;
    snug_memory *memory = NULL;
    snug_json variables;

    (void)state;
    assert_int_equal(snug_memory_create(&memory, NULL), SNUG_OK);
    assert_int_equal(snug_json_check(&variables, snug_str_from(working_variables), NULL), SNUG_OK);
    assert_int_equal(snug_template_create(&template_, memory, snug_str_from(working_source), NULL), SNUG_OK);
    for (size_t i = 0; i < SNUG_COUNT(shared); i++) {
        shared[i] = (shared_rendering){ template_, memory, variables, whole.text, 0 };
        assert_int_equal(pthread_create(&threads[i], NULL, render_often, &shared[i]), 0);
    }
    for (size_t i = 0; i < SNUG_COUNT(shared); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(shared[i].wrong, 0);
    }
    snug_template_destroy(template_);
    snug_memory_destroy(memory);
    rendering_free(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_deep_nesting_in_the_source),
        cmocka_unit_test(accepts_what_is_long_but_not_deep),
        cmocka_unit_test(stops_hostile_templates_in_time),
        cmocka_unit_test(survives_numbers_at_the_ends_of_their_range),
        cmocka_unit_test(survives_memory_that_runs_out_anywhere),
        cmocka_unit_test(takes_memory_in_proportion_to_the_text),
        cmocka_unit_test(renders_one_template_on_several_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
