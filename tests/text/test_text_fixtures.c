/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_text_fixtures.c - tokenizers of every kind against ids and texts that Hugging Face's tokenizers
 * library computed, and chat templates against what apply_chat_template() rendered (fixtures/README.md).
 */
#include "tests/text/text_support.h"

#include <stdio.h>

static const char *const fixtures[] = { "llama-tied", "llama-untied", "qwen3",   "qwen3-mlx4",
                                        "llama-mlx8", "smollm3",      "phi3",    "gemma3",
                                        "gemma3n",    "gemma3n-text", "openelm", "gemma3-mlx-mixed" };

static json_t *load(const char *fixture, const char *name)
{
    char path[1024];
    json_error_t error;
    json_t *root;

    snprintf(path, sizeof path, "%s/fixtures/%s/%s", SNUG_SHARED_FOLDER, fixture, name);
    root = json_load_file(path, JSON_ALLOW_NUL, &error);
    if (!root)
        fail_msg("%s: %s", path, error.text);
    return root;
}

/* A fixture, or a file below it. */
static void open_fixture(opened_text *opened, const char *fixture)
{
    char path[1024];

    snprintf(path, sizeof path, "%s/fixtures/%s", SNUG_SHARED_FOLDER, fixture);
    opened_text_open(opened, path);
}

static const json_t *member_or(const json_t *object, const char *key, const char *otherwise)
{
    const json_t *value = json_object_get(object, key);

    return value ? value : json_object_get(object, otherwise);
}

static void check_case_ids(const opened_text *opened, const json_t *item, const json_t *list, unsigned flags)
{
    const json_t *text = json_object_get(item, "text");
    size_t count;
    uint32_t *ids = ids_from_json(list, &count);

    assert_true(json_is_array(list));
    check_ids(opened, json_string_value(text), json_string_length(text), flags, ids, count);
    free(ids);
}

static void check_case_decoded(const opened_text *opened, const json_t *item, const json_t *text,
                               unsigned flags)
{
    size_t count;
    uint32_t *ids = ids_from_json(json_object_get(item, "ids"), &count);

    assert_true(json_is_string(text));
    check_decoded(opened, ids, count, flags, json_string_value(text), json_string_length(text));
    free(ids);
}

static void encodes_and_decodes_as_the_tokenizers_library(void **state)
{
    (void)state;
    if (!shared_has("fixtures/README.md"))
        skip();
    for (size_t i = 0; i < SNUG_COUNT(fixtures); i++) {
        json_t *root = load(fixtures[i], "tokenizer.expected.json");
        const json_t *cases = json_object_get(root, "cases");
        opened_text opened;

        assert_true(json_array_size(cases) >= 90);
        open_fixture(&opened, fixtures[i]);
        for (size_t j = 0; j < json_array_size(cases); j++) {
            const json_t *item = json_array_get(cases, j);

            check_case_ids(&opened, item, json_object_get(item, "ids"), 0);
            check_case_ids(&opened, item, json_object_get(item, "ids_with_special"), SNUG_ENCODE_ADD_SPECIAL);
            check_case_ids(&opened, item, member_or(item, "ids_no_parse_special", "ids"),
                           SNUG_ENCODE_NO_PARSE_SPECIAL);
            check_case_decoded(&opened, item, json_object_get(item, "decoded"), 0);
            check_case_decoded(&opened, item, member_or(item, "decoded_skip_special", "decoded"),
                               SNUG_DECODE_SKIP_SPECIAL);
        }
        opened_text_close(&opened);
        json_decref(root);
    }
}

/* "now" of every chat.expected.json: 2025-07-08T12:00:00 */
#define NOW_UNIX 1751976000

/* Everything through variables_json: messages of the cases have members that snug_message has not. */
static void check_chat(const opened_text *opened, const json_t *item)
{
    const json_t *expected = json_object_get(item, "rendered");
    json_t *variables = json_deep_copy(json_object_get(item, "variables"));
    snug_chat_options options = { .struct_size = sizeof options };
    snug_error error = { 0 };
    char *rendered;
    size_t bytes;
    char *text;
    snug_status status;

    if (!variables)
        variables = json_object();
    json_object_set(variables, "messages", json_object_get(item, "messages"));
    text = json_dumps(variables, 0);
    options.variables_json = text;
    options.no_generation_prompt = !json_is_true(json_object_get(item, "add_generation_prompt"));
    options.now_unix = NOW_UNIX;
    status = snug_text_chat(opened->text, &rendered, &bytes, NULL, 0, &options, &error);
    if (!expected) {
        assert_int_equal(status, SNUG_ERR_CORRUPT);
        assert_true(error.text[0] != '\0');
    } else {
        size_t count;
        uint32_t *ids = ids_from_json(json_object_get(item, "ids"), &count);

        if (status != SNUG_OK)
            fail_msg("%s: %s", text, error.text);
        assert_string_equal(rendered, json_string_value(expected));
        assert_int_equal(bytes, json_string_length(expected));
        check_ids(opened, rendered, bytes, 0, ids, count);
        free(ids);
    }
    snug_text_free_string(opened->text, rendered);
    free(text);
    json_decref(variables);
}

static void renders_conversations_as_transformers(void **state)
{
    (void)state;
    if (!shared_has("fixtures/README.md"))
        skip();
    for (size_t i = 0; i < SNUG_COUNT(fixtures); i++) {
        opened_text opened;
        json_t *root;

        open_fixture(&opened, fixtures[i]);
        if (strcmp(fixtures[i], "openelm") == 0) {
            snug_error error = { 0 };

            assert_false(snug_text_has_chat(opened.text, &error));
            assert_int_equal(error.status, SNUG_ERR_UNSUPPORTED);
            opened_text_close(&opened);
            continue;
        }
        root = load(fixtures[i], "chat.expected.json");
        for (size_t j = 0; j < json_array_size(json_object_get(root, "cases")); j++)
            check_chat(&opened, json_array_get(json_object_get(root, "cases"), j));
        json_decref(root);
        opened_text_close(&opened);
    }
}

static void renders_conversations_from_gguf(void **state)
{
    static const char *const files[][2] = {
        { "gguf/llama-tied-bf16.gguf", "llama-tied" }, { "gguf/llama-untied-f16.gguf", "llama-untied" },
        { "gguf/qwen3-bf16.gguf", "qwen3" },           { "gguf/phi3-bf16.gguf", "phi3" },
        { "gguf/smollm3-bf16.gguf", "smollm3" },       { "gguf/gemma3-bf16.gguf", "gemma3" },
        { "gguf/gemma3n-bf16.gguf", "gemma3n-text" },
    };

    (void)state;
    if (!shared_has("fixtures/gguf/README.md"))
        skip();
    for (size_t i = 0; i < SNUG_COUNT(files); i++) {
        json_t *root = load(files[i][1], "chat.expected.json");
        const json_t *cases = json_object_get(root, "cases");
        opened_text opened;

        open_fixture(&opened, files[i][0]);
        for (size_t j = 0; j < json_array_size(cases); j++)
            check_chat(&opened, json_array_get(cases, j));
        json_decref(root);
        opened_text_close(&opened);
    }
}

static void knows_the_ids_that_files_name(void **state)
{
    opened_text opened;

    (void)state;
    if (!shared_has("fixtures/README.md"))
        skip();
    open_fixture(&opened, "llama-tied");
    assert_int_equal(snug_text_bos_id(opened.text), 750);
    assert_int_equal(snug_text_eos_id(opened.text), snug_text_find(opened.text, "<|eot_id|>"));
    assert_int_equal(snug_text_find(opened.text, "<|begin_of_text|>"), 750);
    assert_int_equal(snug_text_find(opened.text, "no such piece"), SNUG_ID_NONE);
    opened_text_close(&opened);
    open_fixture(&opened, "qwen3");
    assert_int_equal(snug_text_bos_id(opened.text), SNUG_ID_NONE);
    assert_int_equal(snug_text_eos_id(opened.text), 722);
    opened_text_close(&opened);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_and_decodes_as_the_tokenizers_library),
        cmocka_unit_test(renders_conversations_as_transformers),
        cmocka_unit_test(renders_conversations_from_gguf),
        cmocka_unit_test(knows_the_ids_that_files_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
