/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_json.c - the checker on texts that RFC 8259 allows and forbids, and the readers on what it let pass.
 *
 * Every text is copied to the end of a block of exactly its size, so that under the address sanitizer one
 * byte read too many stops the test. Where the grammar is ours to choose nothing, jansson gives the verdict.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/json.h"
#include "base/random.h"
#include "base/status.h"

static char *copy_of(const char *text, size_t bytes)
{
    char *copy = malloc(bytes ? bytes : 1);

    assert_non_null(copy);
    if (bytes)
        memcpy(copy, text, bytes);
    return copy;
}

static snug_status check(const char *text, size_t bytes, snug_error *error)
{
    char *copy = copy_of(text, bytes);
    snug_json root = { NULL };
    const snug_status status = snug_json_check(&root, (snug_str){ copy, bytes }, error);

    if (status == SNUG_OK) {
        /* Reading what passed must stay inside, too. */
        assert_true(root.at >= copy && root.at < copy + bytes);
        assert_true(snug_json_text(root).bytes <= bytes);
        (void)snug_json_count(root);
    } else {
        assert_null(root.at);
    }
    free(copy);
    return status;
}

/* The root of text that must be valid; the text stays where it is. */
static snug_json parse(const char *text)
{
    snug_error error = { .text = "" };
    snug_json root;

    if (snug_json_check(&root, snug_str_from(text), &error) != SNUG_OK)
        fail_msg("%s: %s", text, error.text);
    return root;
}

static const char *const valid_texts[] = {
    "{}",
    "[]",
    " \t\r\n[ \t\r\n] \t\r\n",
    "null",
    "true",
    "false",
    "\"\"",
    "\"a\"",
    "0\n",
    "-0 ",
    "[0]",
    "[-0]",
    "[0.0]",
    "[1e1,1E1,1e+1,1e-1,1.5e10]",
    "[123456789012345678901234567890]",
    "[1e999]",
    "[0e0]",
    "{\"a\":1,\"a\":2}",
    "{\"\":0}",
    "[[[[[[]]]]]]",
    "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]",
    "[\"\\u0041\\u00e9\\u20AC\\uD83D\\uDE00\"]",
    "[\"\\uDBFF\\uDFFF\"]",
    "[\"\\uFFFF\\uE000\\ud7ff\"]",
    "[\"\x7f\"]",
    "[\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"]",
    "[\"\xf4\x8f\xbf\xbf\xee\x80\x80\xed\x9f\xbf\xc2\x80\xe0\xa0\x80\xf0\x90\x80\x80\"]",
    "\xef\xbb\xbf{}",
    "{\"a\":{\"b\":[1,{\"c\":null}]},\"d\":[]}",
};

static void accepts_what_the_grammar_allows(void **state)
{
    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(valid_texts); i++) {
        snug_error error = { .text = "" };

        if (check(valid_texts[i], strlen(valid_texts[i]), &error) != SNUG_OK)
            fail_msg("%s: %s", valid_texts[i], error.text);
    }
}

static const char *const invalid_texts[] = {
    "",
    " ",
    "\xef\xbb\xbf",
    "{",
    "}",
    "[",
    "]",
    "[}",
    "{]",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[,]",
    "[1 2]",
    "[1]]",
    "[1][",
    "{}{}",
    "[] x",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{,}",
    "{a:1}",
    "{'a':1}",
    "{1:2}",
    "{\"a\" 1}",
    "{\"a\":1 \"b\":2}",
    "{\"a\":1:2}",
    "[\"a\":1]",
    "{\"a\":1",
    "{\"a\":",
    "{\"a",
    "nul",
    "nulL",
    "True",
    "truex",
    "tru",
    "f",
    "nan",
    "NaN",
    "Infinity",
    "-Infinity",
    "[-]",
    "[+1]",
    "[01]",
    "[-01]",
    "[1.]",
    "[.5]",
    "[1.e5]",
    "[1e]",
    "[1e+]",
    "[1e-]",
    "[1E 5]",
    "[0x10]",
    "[1_000]",
    "[1,000,]",
    "[--1]",
    "[1-]",
    "[1.2.3]",
    "[1e5.5]",
    "[-",
    "-",
    "\"",
    "\"a",
    "\"\\\"",
    "\"\\",
    "[\"\\x41\"]",
    "[\"\\a\"]",
    "[\"\\'\"]",
    "[\"\\0\"]",
    "[\"\\U0041\"]",
    "[\"\\u\"]",
    "[\"\\u12\"]",
    "[\"\\u12G4\"]",
    "[\"\\u 123\"]",
    "[\"\\u-123\"]",
    "[\"\\uD800\"]",
    "[\"\\uDC00\"]",
    "[\"\\uDC00\\uDC00\"]",
    "[\"\\uD800x\"]",
    "[\"\\uD800\\n\"]",
    "[\"\\uD800\\u0041\"]",
    "[\"\\uD800\\uD800\"]",
    "[\"\\uD83D\\u",
    "[\"\\uDE00\\uD83D\"]",
    "[\"\\u0000\"]",
    "[\"a\\u0000b\"]",
    "[\"\n\"]",
    "[\"\t\"]",
    "[\"\x1f\"]",
    "[\"\x80\"]",
    "[\"\xff\"]",
    "[\"\xc0\x80\"]",
    "[\"\xc1\xbf\"]",
    "[\"\xc3\"]",
    "[\"\xc3(\"]",
    "[\"\xe0\x80\x80\"]",
    "[\"\xe0\x9f\xbf\"]",
    "[\"\xe2\x82\"]",
    "[\"\xe2(\xa1\"]",
    "[\"\xed\xa0\x80\"]",
    "[\"\xed\xbf\xbf\"]",
    "[\"\xf0\x80\x80\x80\"]",
    "[\"\xf0\x8f\xbf\xbf\"]",
    "[\"\xf0\x9f\x98\"]",
    "[\"\xf4\x90\x80\x80\"]",
    "[\"\xf5\x80\x80\x80\"]",
    "[\"\xf0\x9f\x98",
    "/* c */ []",
    "// c\n[]",
    "[1] // c",
    "[\xc2\xa0]",
    "[\x0b]",
    "[\x0c]",
    "\xef\xbb\xbf\xef\xbb\xbf[]",
    "[\xef\xbb\xbf]",
    "\xfe\xff[]",
    "#",
    "*",
    "\\u0041",
    "[1}",
    "{\"a\":1]",
    "[\"a\",\n\"b]",
};

static void refuses_what_the_grammar_forbids(void **state)
{
    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(invalid_texts); i++) {
        snug_error error = { .text = "" };

        if (check(invalid_texts[i], strlen(invalid_texts[i]), &error) != SNUG_ERR_CORRUPT)
            fail_msg("text %zu was accepted: %s", i, invalid_texts[i]);
        assert_non_null(strstr(error.text, "expected"));
        assert_non_null(strstr(error.text, "byte"));
    }
    assert_int_equal(check("[1\0]", 4, NULL), SNUG_ERR_CORRUPT);
    assert_int_equal(check("\"a\0\"", 4, NULL), SNUG_ERR_CORRUPT);
    assert_int_equal(check("{}\0", 3, NULL), SNUG_ERR_CORRUPT);
}

/* A value is a pointer without an end, so a number has to be followed by something. */
static void refuses_a_number_that_ends_the_text(void **state)
{
    (void)state;
    assert_int_equal(check("1", 1, NULL), SNUG_ERR_CORRUPT);
    assert_int_equal(check("-1.5e3", 6, NULL), SNUG_ERR_CORRUPT);
    assert_int_equal(check("1\n", 2, NULL), SNUG_OK);
}

static void says_where_and_what_was_expected(void **state)
{
    static const struct {
        const char *text;
        const char *sentence;
    } cases[] = {
        { "{\n  \"a\": 1\n  \"b\": 2\n}", "line 3, byte 13: expected ',' or '}', found '\"'" },
        { "[1, 2", "line 1, byte 5: expected ',' or ']', found the end of the text" },
        { "[nan]", "byte 2: expected true, false or null, found 'a'" },
        { "[\"a\tb\"]", "found the byte 0x09" },
        { "[1] 2", "byte 4: expected the end of the text, found '2'" },
        { "\n\n[01]", "line 3, byte 4: expected ',' or ']', found '1'" },
    };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(cases); i++) {
        snug_error error = { .text = "" };

        assert_int_equal(check(cases[i].text, strlen(cases[i].text), &error), SNUG_ERR_CORRUPT);
        if (!strstr(error.text, cases[i].sentence))
            fail_msg("'%s' lacks '%s'", error.text, cases[i].sentence);
    }
}

static void bounds_the_nesting(void **state)
{
    char text[2 * 100000];

    (void)state;
    for (size_t depth = 1; depth <= 70; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_int_equal(check(text, 2 * depth, NULL),
                         depth <= SNUG_JSON_DEPTH_MAX ? SNUG_OK : SNUG_ERR_CORRUPT);
    }
    memset(text, '[', sizeof text);
    assert_int_equal(check(text, sizeof text, NULL), SNUG_ERR_CORRUPT);
    /* Objects and arrays in turn: each level remembers which it is. */
    for (size_t i = 0; i < SNUG_JSON_DEPTH_MAX / 2; i++)
        memcpy(text + 6 * i, "[{\"k\":", 6);
    text[6 * 32] = '0';
    for (size_t i = 0; i < SNUG_JSON_DEPTH_MAX / 2; i++)
        memcpy(text + 6 * 32 + 1 + 2 * i, "}]", 2);
    assert_int_equal(check(text, 6 * 32 + 1 + 64, NULL), SNUG_OK);
    text[6 * 32 + 1 + 10] = ']';
    assert_int_equal(check(text, 6 * 32 + 1 + 64, NULL), SNUG_ERR_CORRUPT);
}

static void goes_on_where_another_came_to_the_end(void **state)
{
    snug_json_iterator outer = snug_json_iterate(parse("[{\"a\":1,\"b\":[2]} , [] ,\n[3,\"]\"],4]"));
    snug_json value, inner_value;
    size_t elements = 0;
    size_t count = 0;

    (void)state;
    while (snug_json_next(&outer, NULL, &value)) {
        snug_json_iterator inner = snug_json_iterate(value);

        elements++;
        if (elements == 4)
            assert_true(snug_str_is(snug_json_text(value), "4"));
        if (!inner.at)
            continue;
        while (snug_json_next(&inner, NULL, &inner_value))
            count++;
        snug_json_continue(&outer, &inner);
    }
    assert_int_equal(elements, 4);
    assert_int_equal(count, 4);
    assert_false(snug_json_next(&outer, NULL, &value));
}

static void iterates_in_order(void **state)
{
    const char *const keys[] = { "a", "b\\n", "", "c" };
    snug_json root =
        parse("{ \"a\" : [1, [2, \"]}\\\"\"], {}] , \"b\\n\":{\"x\":{}},\"\":null\n,\"c\" :\"s\" }");
    snug_json_iterator iterator = snug_json_iterate(root);
    size_t count = 0;
    snug_json value;
    snug_str key;

    (void)state;
    while (snug_json_next(&iterator, &key, &value)) {
        assert_true(count < 4);
        assert_true(snug_str_is(key, keys[count]));
        count++;
    }
    assert_int_equal(count, 4);
    assert_false(snug_json_next(&iterator, &key, &value));
    assert_true(snug_str_is(snug_json_text(snug_json_get(root, "a")), "[1, [2, \"]}\\\"\"], {}]"));
    iterator = snug_json_iterate(snug_json_get(root, "a"));
    assert_true(snug_json_next(&iterator, &key, &value));
    assert_int_equal(key.bytes, 0);
    assert_true(snug_str_is(snug_json_text(value), "1"));
    assert_true(snug_json_next(&iterator, NULL, &value));
    assert_int_equal(snug_json_count(value), 2);
    assert_true(snug_json_next(&iterator, NULL, &value));
    assert_int_equal(snug_json_kind_of(value), SNUG_JSON_OBJECT);
    assert_int_equal(snug_json_count(value), 0);
    assert_false(snug_json_next(&iterator, NULL, &value));
    assert_false(snug_json_next(&iterator, NULL, &value));
}

static void the_last_of_duplicates_counts(void **state)
{
    snug_json root = parse("{\"a\":1,\"b\":5,\"\\u0061\":2,\"c\":{\"a\":3}}");
    uint64_t value = 0;

    (void)state;
    assert_true(snug_json_u64(&value, snug_json_get(root, "a")));
    assert_int_equal(value, 2);
    assert_int_equal(snug_json_count(root), 4);
}

static void everything_accepts_an_absent_value(void **state)
{
    const snug_json absent = { NULL };
    snug_json_iterator iterator = snug_json_iterate(absent);
    snug_json value;
    uint64_t natural = 7;
    int64_t integer = 7;
    double real = 7;
    bool truth = true;

    (void)state;
    assert_int_equal(snug_json_kind_of(absent), SNUG_JSON_ABSENT);
    assert_false(snug_json_next(&iterator, NULL, &value));
    assert_null(snug_json_get(absent, "a").at);
    assert_null(snug_json_get(parse("[1]"), "a").at);
    assert_null(snug_json_get(parse("{\"a\":1}"), "b").at);
    assert_int_equal(snug_json_count(absent), 0);
    assert_int_equal(snug_json_count(parse("\"text\"")), 0);
    assert_false(snug_json_u64(&natural, absent) || snug_json_i64(&integer, absent));
    assert_false(snug_json_f64(&real, absent) || snug_json_bool(&truth, absent));
    assert_true(natural == 7 && integer == 7 && truth);
    assert_true(real > 6 && real < 8);
    assert_null(snug_json_string(absent).data);
    assert_null(snug_json_text(absent).data);
    assert_false(snug_json_string_is(absent, ""));
    assert_string_equal(snug_json_kind_name(SNUG_JSON_NUMBER), "a number");
}

static void unescapes(void **state)
{
    snug_json value =
        parse("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\\uD83D\\uDE00\xc3\xa9\\u0001z\"");
    const char expected[] = "a\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9\x01z";
    const snug_str raw = snug_json_string(value);
    char *out = malloc(raw.bytes);

    (void)state;
    assert_non_null(out);
    assert_int_equal(snug_json_unescape(out, raw), sizeof expected - 1);
    assert_memory_equal(out, expected, sizeof expected - 1);
    free(out);
    assert_true(snug_json_string_is(value, expected));
    assert_false(snug_json_string_is(value, "a\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"));
    assert_true(snug_json_string_is(parse("\"\""), ""));
    assert_false(snug_json_string_is(parse("\"\""), "a"));
    assert_false(snug_json_string_is(parse("\"ab\""), "a"));
    assert_false(snug_json_string_is(parse("\"a\""), "ab"));
    assert_false(snug_json_string_is(parse("[\"a\"]"), "a"));
}

/* All code points but surrogates and 0, written as escapes; the independent UTF-8 is jansson's. */
static void unescapes_every_code_point_as_jansson_does(void **state)
{
    (void)state;
    for (uint32_t code = 1; code <= 0x10ffff; code += code < 0x3000 ? 1 : 97) {
        const uint32_t offset = code - 0x10000;
        char text[32];
        char out[32];
        json_t *expected;
        snug_str raw;

        if (code >= 0xd800 && code <= 0xdfff)
            continue;
        if (code < 0x10000)
            snprintf(text, sizeof text, "\"\\u%04X\"", code);
        else
            snprintf(text, sizeof text, "\"\\u%04x\\u%04x\"", 0xd800 + (offset >> 10),
                     0xdc00 + (offset & 0x3ff));
        raw = snug_json_string(parse(text));
        expected = json_loads(text, JSON_DECODE_ANY, NULL);
        assert_non_null(expected);
        assert_int_equal(snug_json_unescape(out, raw), json_string_length(expected));
        assert_memory_equal(out, json_string_value(expected), json_string_length(expected));
        json_decref(expected);
    }
}

/*
 * Random texts made of the grammar's pieces: our verdict is jansson's. Left out are the pieces where the two
 * differ by decision: \u0000 and numbers beyond a double's range.
 */
static void agrees_with_jansson_on_random_texts(void **state)
{
    static const char *const pieces[] = { "[",    "]",        "{",     "}",       ",",
                                          ":",    "\"",       "\"a\"", "\"b\":",  "1",
                                          "-",    ".",        "e",     "0",       "true",
                                          "null", " ",        "\n",    "\\u0041", "\\ud83d\\ude00",
                                          "\\",   "\xc3\xa9", "\xff",  "[1,2]",   "{\"k\":[]}",
                                          "+",    "false",    "\x01" };
    snug_random random = { .state = 20240611 };
    size_t valid_count = 0;

    (void)state;
    for (size_t i = 0; i < 200000; i++) {
        char text[128] = "[";
        size_t bytes = 1;
        json_t *expected;
        bool is_valid;

        for (size_t left = snug_random_next(&random) % 7; left > 0; left--) {
            const char *piece = pieces[snug_random_next(&random) % SNUG_COUNT(pieces)];

            memcpy(text + bytes, piece, strlen(piece));
            bytes += strlen(piece);
        }
        text[bytes++] = ']';
        expected = json_loadb(text, bytes, JSON_ALLOW_NUL, NULL);
        is_valid = check(text, bytes, NULL) == SNUG_OK;
        if (is_valid != (expected != NULL))
            fail_msg("jansson and we differ on %.*s", (int)bytes, text);
        valid_count += is_valid;
        json_decref(expected);
    }
    assert_true(valid_count > 1000);
}

/* Every prefix of a sound text is unsound, and is refused without a look behind its end. */
static void refuses_every_prefix(void **state)
{
    const char text[] =
        "{\"a\":[1,-2.5e+10,\"\\u00e9\\ud83d\\ude00\xe2\x82\xac\"],\"b\":{\"c\":[true,false,null]}}";

    (void)state;
    assert_int_equal(check(text, sizeof text - 1, NULL), SNUG_OK);
    for (size_t bytes = 0; bytes < sizeof text - 1; bytes++)
        assert_int_equal(check(text, bytes, NULL), SNUG_ERR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_what_the_grammar_allows),
        cmocka_unit_test(refuses_what_the_grammar_forbids),
        cmocka_unit_test(refuses_a_number_that_ends_the_text),
        cmocka_unit_test(says_where_and_what_was_expected),
        cmocka_unit_test(bounds_the_nesting),
        cmocka_unit_test(iterates_in_order),
        cmocka_unit_test(goes_on_where_another_came_to_the_end),
        cmocka_unit_test(the_last_of_duplicates_counts),
        cmocka_unit_test(everything_accepts_an_absent_value),
        cmocka_unit_test(unescapes),
        cmocka_unit_test(unescapes_every_code_point_as_jansson_does),
        cmocka_unit_test(agrees_with_jansson_on_random_texts),
        cmocka_unit_test(refuses_every_prefix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
