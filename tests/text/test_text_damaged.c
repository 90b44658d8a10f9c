/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_text_damaged.c - tokenizer files that are wrong in one way each (fixtures/bad): refused with a
 * sentence that says what is wrong, or read and used without harm.
 */
#include "tests/text/text_support.h"

#include <stdio.h>
#include <time.h>

typedef struct damaged_case {
    const char *name;
    const char *sentence; /* part of the refusal; NULL: opens */
    const char *encoding; /* part of what encoding is refused with; NULL: encodes */
} damaged_case;

static const damaged_case cases[] = {
    { "good-folder", NULL, NULL },
    { "tokenizer-added-empty", NULL, NULL },
    { "tokenizer-added-id-beyond", NULL, NULL },
    { "tokenizer-byte-missing", "is no token", NULL },
    { "tokenizer-cut", "tokenizer.json", NULL },
    { "tokenizer-deep", "tokenizer.json", NULL },
    { "tokenizer-id-2e32", "4294967301", NULL },
    { "tokenizer-id-beyond-embedding", NULL, NULL },
    { "tokenizer-id-duplicate", "two tokens have the id 65", NULL },
    { "tokenizer-id-gap", NULL, NULL },
    { "tokenizer-id-negative", "but is -1", NULL },
    { "tokenizer-merge-result-missing", "gives something that is no token", NULL },
    { "tokenizer-merge-three", "a merge should be two tokens", NULL },
    { "tokenizer-model-unknown", "model type \"Telepathy\"", NULL },
    { "tokenizer-none", "no tokenizer.json", NULL },
    { "tokenizer-normalizer-replace-empty", "empty string", NULL },
    { "tokenizer-normalizer-unknown", "normalizer type \"Polish\"", NULL },
    { "tokenizer-regex-empty-match", NULL, NULL },
    { "tokenizer-regex-invalid", "missing terminating ]", NULL },
    { "tokenizer-regex-slow", NULL, "takes too long" },
    { "good.gguf", NULL, NULL },
    { "gguf-merge-missing-token.gguf", "begins with something that is no token", NULL },
    { "gguf-pre-unknown.gguf", "tokenizer.ggml.pre is \"nobody-knows\"", NULL },
};

/* The text of fixtures/bad/README.md, with a run of `run` letters. */
static char *text_with_run(size_t run, size_t *bytes_out)
{
    static const char before[] = "the man and the hen in a ton, ";
    static const char after[] = "b <|far|> e";
    char *text = malloc(sizeof before + run + sizeof after);

    assert_non_null(text);
    memcpy(text, before, sizeof before - 1);
    memset(text + sizeof before - 1, 'a', run);
    memcpy(text + sizeof before - 1 + run, after, sizeof after - 1);
    *bytes_out = sizeof before - 1 + run + sizeof after - 1;
    return text;
}

static void check_encoding(const opened_text *opened, const damaged_case *expected)
{
    snug_error error = { 0 };
    size_t bytes;
    char *text = text_with_run(5000, &bytes);
    const size_t bound = snug_text_encode_bound(opened->text, bytes);
    uint32_t *ids = malloc(bound * sizeof *ids);
    size_t count = 0;
    const snug_status status = snug_text_encode(opened->text, ids, bound, &count, text, bytes, 0, &error);

    if (expected->encoding) {
        assert_int_equal(status, SNUG_ERR_CORRUPT);
        assert_non_null(strstr(error.text, expected->encoding));
    } else {
        assert_int_equal(status, SNUG_OK);
        assert_true(count > 0);
        for (size_t i = 0; i < count; i++)
            assert_true(ids[i] < snug_text_id_count(opened->text));
    }
    free(ids);
    free(text);
}

static void refuses_or_survives_each_damage(void **state)
{
    (void)state;
    if (!shared_has("fixtures/bad/README.md"))
        skip();
    for (size_t i = 0; i < SNUG_COUNT(cases); i++) {
        const clock_t start = clock();
        opened_text opened = { NULL, NULL };
        snug_error error = { 0 };
        char path[1024];

        snprintf(path, sizeof path, "%s/fixtures/bad/%s", SNUG_SHARED_FOLDER, cases[i].name);
        assert_int_equal(snug_memory_create(&opened.memory, NULL), SNUG_OK);
        if (snug_text_open(&opened.text, opened.memory, path, &error) == SNUG_OK) {
            if (cases[i].sentence)
                fail_msg("%s was not refused", cases[i].name);
            check_encoding(&opened, &cases[i]);
        } else if (!cases[i].sentence || !strstr(error.text, cases[i].sentence)) {
            fail_msg("%s: %s", cases[i].name, error.text);
        }
        opened_text_close(&opened);
        assert_true(clock() - start < 5 * CLOCKS_PER_SEC);
    }
}

static void loads_the_tokenizer_beside_a_broken_template(void **state)
{
    static const char *const names[] = { "template-unclosed", "template-wrong-type" };

    (void)state;
    if (!shared_has("fixtures/bad/README.md"))
        skip();
    for (size_t i = 0; i < SNUG_COUNT(names); i++) {
        snug_message message = { "user", "hello" };
        snug_error error = { 0 };
        opened_text opened;
        char path[1024];
        char *rendered;
        size_t bytes;

        snprintf(path, sizeof path, "%s/fixtures/bad/%s", SNUG_SHARED_FOLDER, names[i]);
        opened_text_open(&opened, path);
        assert_false(snug_text_has_chat(opened.text, &error));
        assert_true(error.text[0] != '\0');
        assert_int_equal(snug_text_chat(opened.text, &rendered, &bytes, &message, 1, NULL, &error),
                         SNUG_ERR_UNSUPPORTED);
        check_encoding(&opened, &cases[0]);
        opened_text_close(&opened);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_or_survives_each_damage),
        cmocka_unit_test(loads_the_tokenizer_beside_a_broken_template),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
