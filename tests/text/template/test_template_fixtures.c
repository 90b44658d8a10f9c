/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_template_fixtures.c - every conversation of the fixtures through the template of its checkpoint,
 * against the text that transformers rendered, byte for byte; and the damaged templates among the bad
 * fixtures.
 */
#include "tests/text/template/template_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIXTURES SNUG_SHARED_FOLDER "/fixtures"

/* Some have a model_max_length of 10^30, which jansson can only read as a float. */
#define CONFIG_FLAGS JSON_DECODE_INT_AS_REAL

static json_t *load(const char *folder, const char *name, size_t flags)
{
    char path[1024];
    json_error_t error;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return json_load_file(path, flags, &error);
}

/* The template of a checkpoint: its own file, or in tokenizer_config.json. From malloc; NULL: none. */
static char *load_template(const char *folder, const json_t *config, size_t *bytes_out)
{
    const json_t *inside = json_object_get(config, "chat_template");
    char path[1024];
    char *text;

    snprintf(path, sizeof path, "%s/chat_template.jinja", folder);
    text = read_file(path, bytes_out);
    if (text || !json_is_string(inside))
        return text;
    *bytes_out = json_string_length(inside);
    text = malloc(*bytes_out + 1);
    assert_non_null(text);
    memcpy(text, json_string_value(inside), *bytes_out + 1);
    return text;
}

/* bos_token and the like, as strings or as objects with a "content". */
static void add_tokens(json_t *variables, json_t *config)
{
    const char *key;
    json_t *value;

    json_object_foreach(config, key, value)
    {
        const size_t length = strlen(key);

        if (length < 6 || strcmp(key + length - 6, "_token") != 0)
            continue;
        if (json_is_object(value))
            value = json_object_get(value, "content");
        if (json_is_string(value))
            json_object_set(variables, key, value);
    }
}

/* "2025-07-08T12:00:00" to seconds since 1970, the calendar's formula turned around by hand. */
static int64_t seconds_of(const char *text)
{
    static const int days_before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
    int year = 0;
    int month = 0;
    int day = 0;
    int hour = 0;
    int minute = 0;
    int second = 0;
    int64_t days;

    assert_int_equal(sscanf(text, "%d-%d-%dT%d:%d:%d", &year, &month, &day, &hour, &minute, &second), 6);
    assert_in_range(month, 1, 12);
    days = (int64_t)(year - 1970) * 365 + (year - 1969) / 4 + days_before[month - 1] + day - 1;
    if (month > 2 && year % 4 == 0) /* from 1970 to 2099 every fourth year */
        days++;
    return ((days * 24 + hour) * 60 + minute) * 60 + second;
}

static bool check_case(const char *name, snug_str source, json_t *config, const json_t *chat, int64_t now)
{
    const json_t *expected = json_object_get(chat, "rendered");
    const json_t *raised = json_object_get(chat, "error");
    json_t *variables = json_copy(json_object_get(chat, "variables"));
    bool is_right;
    rendering result;
    char *text;

    add_tokens(variables, config);
    json_object_set(variables, "messages", json_object_get(chat, "messages"));
    json_object_set(variables, "add_generation_prompt", json_object_get(chat, "add_generation_prompt"));
    text = json_dumps(variables, JSON_REAL_PRECISION(17));
    result = render_within(0, source, text, true, now);
    if (expected)
        is_right = result.status == SNUG_OK && strcmp(result.text, json_string_value(expected)) == 0;
    else
        is_right =
            result.status == SNUG_ERR_CORRUPT && strcmp(result.error.text, json_string_value(raised)) == 0;
    if (!is_right)
        print_error(
            "%s, %s\n  expected: %s\n  came: %s\n", name, json_string_value(json_object_get(chat, "name")),
            json_string_value(expected ? expected : raised), result.text ? result.text : result.error.text);
    rendering_free(&result);
    free(text);
    json_decref(variables);
    return is_right;
}

/* Cases of one fixture; returns how many, and counts the wrong ones. */
static size_t check_fixture(const char *name, size_t *wrong)
{
    char folder[512];
    size_t index;
    size_t bytes = 0;
    size_t count;
    json_t *config;
    json_t *expected;
    json_t *cases;
    json_t *chat;
    char *source;

    snprintf(folder, sizeof folder, "%s/%s", FIXTURES, name);
    config = load(folder, "tokenizer_config.json", CONFIG_FLAGS);
    expected = load(folder, "chat.expected.json", 0);
    cases = json_object_get(expected, "cases");
    source = load_template(folder, config, &bytes);
    assert_non_null(source);
    count = json_array_size(cases);
    json_array_foreach(cases, index, chat)
    {
        const int64_t now = seconds_of(json_string_value(json_object_get(expected, "now")));

        *wrong += !check_case(name, (snug_str){ source, bytes }, config, chat, now);
    }
    free(source);
    json_decref(expected);
    json_decref(config);
    return count;
}

static bool has_fixtures(void)
{
    json_t *config = load(FIXTURES "/llama-tied", "tokenizer_config.json", CONFIG_FLAGS);

    if (!config)
        print_message("skipped: the fixtures (%s) are not on this machine\n", FIXTURES);
    json_decref(config);
    return config != NULL;
}

static void renders_the_conversations_of_every_family(void **state)
{
    static const char *const names[] = { "llama-tied", "llama-untied", "qwen3",           "phi3",
                                         "gemma3",     "gemma3n",      "gemma3n-text",    "smollm3",
                                         "qwen3-mlx4", "llama-mlx8",   "gemma3-mlx-mixed" };
    size_t wrong = 0;
    size_t count = 0;

    (void)state;
    if (!has_fixtures())
        skip();
    for (size_t i = 0; i < SNUG_COUNT(names); i++)
        count += check_fixture(names[i], &wrong);
    print_message("%zu conversations\n", count);
    assert_true(count >= 200);
    assert_int_equal(wrong, 0);
}

static void renders_the_template_of_the_mini_model(void **state)
{
    const char *folder = SNUG_SHARED_FOLDER "/models/mini";
    json_t *config = load(folder, "tokenizer_config.json", CONFIG_FLAGS);
    size_t bytes = 0;
    char *source;

    (void)state;
    if (!config) {
        print_message("skipped: %s is not on this machine\n", folder);
        skip();
    }
    source = load_template(folder, config, &bytes);
    assert_non_null(source);
    assert_renders(source,
                   "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"add_generation_prompt\":true}",
                   "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    free(source);
    json_decref(config);
}

static void refuses_the_damaged_templates(void **state)
{
    static const struct {
        const char *name;
        snug_status status;
        const char *part;
    } cases[] = {
        { "template-deep", SNUG_ERR_UNSUPPORTED, "line 1: the template nests deeper than" },
        { "template-endless", SNUG_ERR_OVER_LIMIT, "1000000000000" },
        { "template-unclosed", SNUG_ERR_CORRUPT, "expected 'endfor'" },
    };

    (void)state;
    if (!has_fixtures())
        skip();
    for (size_t i = 0; i < SNUG_COUNT(cases); i++) {
        const clock_t begin = clock();
        char folder[512];
        size_t bytes = 0;
        json_t *config;
        char *source;

        snprintf(folder, sizeof folder, "%s/bad/%s", FIXTURES, cases[i].name);
        config = load(folder, "tokenizer_config.json", CONFIG_FLAGS);
        source = load_template(folder, config, &bytes);
        assert_non_null(source);
        assert_fails(source, cases[i].status, cases[i].part);
        assert_true(clock() - begin < CLOCKS_PER_SEC / 2);
        free(source);
        json_decref(config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renders_the_conversations_of_every_family),
        cmocka_unit_test(renders_the_template_of_the_mini_model),
        cmocka_unit_test(refuses_the_damaged_templates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
