/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_text_stored.c - tokenizers from GGUF files and from tokenizer.model: against the ids that Hugging
 * Face's tokenizers library and llama.cpp computed, and one rule at a time with vocabularies made on the
 * spot.
 */
#include "tests/text/stored_support.h"

#include <stdio.h>

#include "base/random.h"
#include "memory/memory.h"

#define MARK "\xe2\x96\x81"

enum {
    NORMAL = 1,
    UNKNOWN,
    CONTROL,
    DEFINED,
    UNUSED,
    BYTE
};

/* --- goldens ------------------------------------------------------------------------------------------- */

static void copy_file(const model_folder *folder, const char *fixture, const char *name)
{
    char path[1024];
    size_t bytes;
    char *data;

    snprintf(path, sizeof path, "%s/fixtures/%s/%s", SNUG_SHARED_FOLDER, fixture, name);
    data = file_read(path, &bytes);
    assert_non_null(data);
    model_folder_write(folder, name, data, bytes);
    free(data);
}

static void tokenizer_model_gives_the_ids_of_tokenizer_json(void **state)
{
    static const char *const fixtures[] = { "phi3", "openelm", "gemma3", "gemma3n" };
    static const known_difference none[] = { { NULL, NULL, 0 } };

    (void)state;
    if (!shared_has("fixtures/README.md"))
        skip();
    for (size_t i = 0; i < SNUG_COUNT(fixtures); i++) {
        model_folder folder;
        opened_text opened;

        model_folder_create(&folder);
        copy_file(&folder, fixtures[i], "tokenizer.model");
        copy_file(&folder, fixtures[i], "tokenizer_config.json");
        opened_text_open(&opened, folder.path);
        check_fixture(&opened, fixtures[i], none);
        opened_text_close(&opened);
        model_folder_remove(&folder);
    }
}

/* The converter calls Gemma's <unused1> a control token, which the tokenizer's own files do not. */
#define AS_SPECIAL (COMPARE_IDS_NO_PARSE | COMPARE_DECODED_SKIP)

static const known_difference of_converter[] = {
    { "gemma3", "<unused1>", AS_SPECIAL },
    { "gemma3", "a<unused1>b", AS_SPECIAL },
    { "gemma3", "<unused1>\nthinking\n<unused1>", AS_SPECIAL },
    { "gemma3n-text", "<unused1>", AS_SPECIAL },
    { "gemma3n-text", "a<unused1>b", AS_SPECIAL },
    { "gemma3n-text", "<unused1>\nthinking\n<unused1>", AS_SPECIAL },
    { NULL, NULL, 0 },
};

static void gguf_gives_the_ids_of_tokenizer_json(void **state)
{
    static const char *const files[][2] = {
        { "llama-tied-bf16", "llama-tied" }, { "llama-untied-f16", "llama-untied" },
        { "qwen3-Q4_K_M", "qwen3" },         { "phi3-bf16", "phi3" },
        { "smollm3-bf16", "smollm3" },       { "openelm-bf16", "openelm" },
        { "gemma3-Q8_0", "gemma3" },         { "gemma3n-bf16", "gemma3n-text" },
    };

    (void)state;
    if (!shared_has("fixtures/gguf/README.md"))
        skip();
    for (size_t i = 0; i < SNUG_COUNT(files); i++) {
        char path[1024];
        opened_text opened;

        snprintf(path, sizeof path, "%s/fixtures/gguf/%s.gguf", SNUG_SHARED_FOLDER, files[i][0]);
        opened_text_open(&opened, path);
        check_fixture(&opened, files[i][1], of_converter);
        opened_text_close(&opened);
    }
}

static void real_vocabularies_give_the_ids_of_llama_cpp(void **state)
{
    static const char *const names[] = { "ggml-vocab-llama-spm.gguf", "ggml-vocab-phi-3.gguf",
                                         "ggml-vocab-gpt-2.gguf" };

    (void)state;
    if (!shared_has("tokenizers/README.md"))
        skip();
    for (size_t i = 0; i < SNUG_COUNT(names); i++) {
        char path[1024];
        opened_text opened;

        snprintf(path, sizeof path, "%s/tokenizers/%s", SNUG_SHARED_FOLDER, names[i]);
        opened_text_open(&opened, path);
        check_published(&opened, names[i]);
        opened_text_close(&opened);
    }
}

static void llama_2_model_gives_the_ids_of_llama_cpp(void **state)
{
    model_folder folder;
    opened_text opened;
    size_t bytes;
    char *data;

    (void)state;
    if (!shared_has("tokenizers/README.md"))
        skip();
    model_folder_create(&folder);
    data = read_shared("llama2_tokenizer.model", "", &bytes);
    model_folder_write(&folder, "tokenizer.model", data, bytes);
    free(data);
    opened_text_open(&opened, folder.path);
    assert_int_equal(snug_text_id_count(opened.text), 32000);
    assert_int_equal(snug_text_find(opened.text, "</s>"), 2);
    check_published(&opened, "ggml-vocab-llama-spm.gguf");
    assert_true(snug_memory_read_all(opened.memory).used_bytes < 1000000);
    opened_text_close(&opened);
    model_folder_remove(&folder);
}

/* --- merging by scores --------------------------------------------------------------------------------- */

static void check_words(const opened_text *opened, const char *text, unsigned flags, const uint32_t *ids,
                        size_t count)
{
    check_ids(opened, text, strlen(text), flags, ids, count);
}

#define IDS(...) (const uint32_t[]){ __VA_ARGS__ }, SNUG_COUNT(((const uint32_t[]){ __VA_ARGS__ }))

static void the_best_score_merges_first_and_then_the_leftmost(void **state)
{
    static const made_token tokens[] = {
        { "<unk>", 0, UNKNOWN }, { "a", -9, NORMAL },  { "b", -9, NORMAL },   { "aa", -2, NORMAL },
        { "ab", -2, NORMAL },    { "ba", -1, NORMAL }, { "bab", -5, NORMAL }, { "aabb", 5, NORMAL },
    };
    made_vocabulary made;
    opened_text opened;

    (void)state;
    made_vocabulary_create(&made, "llama", tokens, SNUG_COUNT(tokens), NULL);
    made.vocabulary.add_bos = SNUG_STORED_NO;
    made.vocabulary.add_space_prefix = SNUG_STORED_NO;
    opened_text_create(&opened, &(snug_text_files){ .vocabulary = &made.vocabulary });
    made_vocabulary_destroy(&made);
    check_words(&opened, "aab", 0, IDS(3, 2));
    check_words(&opened, "aaab", 0, IDS(3, 4));
    check_words(&opened, "aba", 0, IDS(1, 5));
    check_words(&opened, "abab", 0, IDS(1, 6));
    check_words(&opened, "aabb", 0, IDS(3, 2, 2)); /* only neighbours that are symbols become a piece */
    opened_text_close(&opened);
}

/* The definition, word for word: of all neighbours that together are a piece, the best, the leftmost. */
static size_t merge_slowly(uint32_t *ids, const char *text, const made_token *tokens, size_t token_count)
{
    size_t starts[64];
    size_t count = strlen(text);

    for (size_t i = 0; i <= count; i++)
        starts[i] = i;
    for (;;) {
        size_t best = count;
        float best_score = 0;

        for (size_t i = 0; i <= count; i++) {
            for (size_t j = 1; i + 2 <= count && j < token_count; j++) {
                const size_t bytes = starts[i + 2] - starts[i];
                const bool is_here =
                    strlen(tokens[j].text) == bytes && memcmp(tokens[j].text, text + starts[i], bytes) == 0;

                if (is_here && (best == count || tokens[j].score > best_score)) {
                    best = i;
                    best_score = tokens[j].score;
                }
            }
        }
        if (best == count)
            break;
        memmove(starts + best + 1, starts + best + 2, (count - best - 1) * sizeof *starts);
        count--;
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 1; j < token_count; j++) {
            if (strlen(tokens[j].text) == starts[i + 1] - starts[i] &&
                memcmp(tokens[j].text, text + starts[i], starts[i + 1] - starts[i]) == 0)
                ids[i] = (uint32_t)j;
        }
    }
    return count;
}

static void random_vocabularies_merge_as_the_definition_says(void **state)
{
    snug_random random = { 5 };

    (void)state;
    for (int round = 0; round < 200; round++) {
        char texts[40][8];
        made_token tokens[40] = { { "<unk>", 0, UNKNOWN }, { "a", 0, NORMAL }, { "b", 0, NORMAL } };
        size_t count = 3;
        made_vocabulary made;
        opened_text opened;

        while (count < SNUG_COUNT(tokens)) { /* new strings of a and b; scores repeat, of both signs */
            const size_t bytes = 2 + snug_random_next(&random) % 5;
            bool is_new = true;

            for (size_t i = 0; i < bytes; i++)
                texts[count][i] = (char)('a' + snug_random_next(&random) % 2);
            texts[count][bytes] = '\0';
            for (size_t i = 0; i < count; i++)
                is_new = is_new && strcmp(tokens[i].text, texts[count]) != 0;
            if (is_new) {
                tokens[count] = (made_token){ texts[count], 0, NORMAL };
                tokens[count++].score = (float)(snug_random_next(&random) % 17) - 8;
            }
        }
        made_vocabulary_create(&made, "llama", tokens, count, NULL);
        made.vocabulary.add_space_prefix = SNUG_STORED_NO;
        opened_text_create(&opened, &(snug_text_files){ .vocabulary = &made.vocabulary });
        made_vocabulary_destroy(&made);
        for (int i = 0; i < 20; i++) {
            char text[64] = "";
            uint32_t ids[64];
            const size_t bytes = 1 + snug_random_next(&random) % 60;

            for (size_t j = 0; j < bytes; j++)
                text[j] = (char)('a' + snug_random_next(&random) % 2);
            check_words(&opened, text, 0, ids, merge_slowly(ids, text, tokens, count));
        }
        opened_text_close(&opened);
    }
}

static const made_token few[] = {
    { "<unk>", 0, UNKNOWN },  { "<s>", 0, CONTROL },    { "</s>", 0, CONTROL },    { "<0xC3>", 0, BYTE },
    { "<0xA9>", 0, BYTE },    { MARK, -1, NORMAL },     { "a", -2, NORMAL },       { MARK "a", -3, NORMAL },
    { "<tool>", 0, DEFINED }, { "[PAD9]", -9, UNUSED }, { "<|end|>", 0, CONTROL }, { "[PAD11]", -9, UNUSED },
};

static void spaces_and_specials_follow_the_flags_of_a_gguf(void **state)
{
    made_vocabulary made;
    opened_text opened;

    (void)state;
    made_vocabulary_create(&made, "llama", few, SNUG_COUNT(few), NULL);
    opened_text_create(&opened, &(snug_text_files){ .vocabulary = &made.vocabulary });
    assert_int_equal(snug_text_bos_id(opened.text), 1);
    assert_int_equal(snug_text_eos_id(opened.text), 2);
    check_words(&opened, "a a", SNUG_ENCODE_ADD_SPECIAL, IDS(1, 7, 7)); /* BOS and the prefix by default */
    check_words(&opened, "a<|end|>\na", 0, IDS(7, 10, 5, 0, 6));        /* a prefix behind each token */
    check_words(&opened, "<tool>a", SNUG_ENCODE_NO_PARSE_SPECIAL, IDS(8, 7));
    check_words(&opened, "\xc3\xa9", 0, IDS(5, 3, 4));
    check_words(&opened, "zz", 0, IDS(5, 0)); /* neither has its byte: one unknown */
    check_decoded(&opened, IDS(7, 3, 4, 7), 0, "a\xc3\xa9 a", 5);
    assert_int_equal(snug_text_find(opened.text, "[PAD9]"), SNUG_ID_NONE);
    assert_int_equal(snug_text_id_count(opened.text), 11);
    check_decoded(&opened, IDS(9, 11, 6), 0, "a", 1);
    opened_text_close(&opened);

    made.vocabulary.architecture = snug_str_from("phi3"); /* its tokens take the white space behind them */
    made.vocabulary.add_bos = SNUG_STORED_NO;
    made.vocabulary.add_eos = SNUG_STORED_YES;
    opened_text_create(&opened, &(snug_text_files){ .vocabulary = &made.vocabulary });
    check_words(&opened, "a<|end|> \n a", SNUG_ENCODE_ADD_SPECIAL, IDS(7, 10, 7, 2));
    check_words(&opened, "<s> a", 0, IDS(1, 5, 7));
    opened_text_close(&opened);

    made.vocabulary.add_space_prefix = SNUG_STORED_NO;
    made.vocabulary.remove_extra_whitespaces = SNUG_STORED_YES;
    opened_text_create(&opened, &(snug_text_files){ .vocabulary = &made.vocabulary });
    check_words(&opened, "  a   a ", 0, IDS(6, 7));
    check_words(&opened, "   ", 0, NULL, 0);
    opened_text_close(&opened);
    made_vocabulary_destroy(&made);
}

/* What users defined with spaces in it: GGUF writes spaces, tokenizer.model U+2581; texts may have either. */
static void defined_pieces_with_spaces_are_found_in_either_spelling(void **state)
{
    static const char *const spellings[][2] = { { "  ", " <p>" }, { MARK MARK, MARK "<p>" } };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(spellings); i++) {
        const made_token tokens[] = {
            { "<unk>", 0, UNKNOWN },
            { "<s>", 0, CONTROL },
            { "</s>", 0, CONTROL },
            { spellings[i][0], -1000, DEFINED },
            { MARK, -1, NORMAL },
            { "a", -2, NORMAL },
            { MARK "a", -3, NORMAL },
            { "a" MARK, -4, NORMAL },
            { spellings[i][1], -1000, DEFINED },
        };
        growing_text model = { NULL, 0, 0 };
        made_vocabulary made;
        opened_text opened;

        made_vocabulary_create(&made, "llama", tokens, SNUG_COUNT(tokens), NULL);
        made.vocabulary.add_space_prefix = SNUG_STORED_NO;
        add_pieces(&model, tokens, SNUG_COUNT(tokens));
        add_settings(&model);
        for (int source = 0; source < 2; source++) {
            const snug_text_files files = { .vocabulary = source == 0 ? &made.vocabulary : NULL,
                                            .tokenizer_model = { model.data, model.bytes } };

            opened_text_create(&opened, &files);
            check_words(&opened, "a  a a", 0, IDS(5, 3, 5, 6));
            check_words(&opened, "a" MARK MARK "a a", 0, IDS(5, 3, 5, 6));
            check_words(&opened, "a" MARK " a", 0, IDS(5, 3, 5));
            check_words(&opened, "a <p>a", 0, IDS(5, 8, 5));
            check_words(&opened, "a" MARK "<p>a", 0, IDS(5, 8, 5));
            check_decoded(&opened, IDS(5, 3, 5, 8), 0, "a  a <p>", 8);
            opened_text_close(&opened);
        }
        made_vocabulary_destroy(&made);
        free(model.data);
    }
}

static void tokenizer_config_overrules_tokenizer_model(void **state)
{
    static const char config[] =
        "{\"add_bos_token\":false,\"add_eos_token\":true,\"eos_token\":\"<|stop|>\",\"added_tokens_decoder\":"
        "{"
        "\"2\":{\"content\":\"</s>\",\"rstrip\":true,\"special\":false,\"normalized\":false},"
        "\"40\":{\"content\":\"<|stop|>\",\"lstrip\":true,\"special\":true}}}";
    growing_text model = { NULL, 0, 0 };
    snug_text_files files = { .tokenizer = { NULL } };
    opened_text opened;

    (void)state;
    add_pieces(&model, few, SNUG_COUNT(few));
    add_settings(&model);
    files.tokenizer_model = (snug_str){ model.data, model.bytes };
    opened_text_create(&opened, &files);
    check_words(&opened, "a", SNUG_ENCODE_ADD_SPECIAL, IDS(1, 6));
    check_words(&opened, "a</s> a", 0, IDS(6, 2, 7));
    assert_int_equal(snug_text_eos_id(opened.text), 2);
    opened_text_close(&opened);

    assert_int_equal(snug_json_check(&files.tokenizer_config, snug_str_from(config), NULL), SNUG_OK);
    opened_text_create(&opened, &files);
    check_words(&opened, "a", SNUG_ENCODE_ADD_SPECIAL, IDS(6, 2));
    check_words(&opened, "a</s> a <|stop|>", 0, IDS(6, 2, 6, 40));
    check_words(&opened, "</s>a", SNUG_ENCODE_NO_PARSE_SPECIAL, IDS(2, 6));
    check_decoded(&opened, IDS(6, 40, 2), SNUG_DECODE_SKIP_SPECIAL, "a</s>", 5);
    assert_int_equal(snug_text_eos_id(opened.text), 40);
    assert_int_equal(snug_text_id_count(opened.text), 41);
    opened_text_close(&opened);
    free(model.data);
}

/* --- byte-level rules ---------------------------------------------------------------------------------- */

static const made_token letters[] = {
    { "a", 0, NORMAL },        { "b", 0, NORMAL },        { "\xc4\xa0", 0, NORMAL }, { "1", 0, NORMAL },
    { "ab", 0, NORMAL },       { "11", 0, NORMAL },       { "111", 0, NORMAL },      { "ba", 0, NORMAL },
    { "<s>", 0, CONTROL },     { "\xc3\x83", 0, NORMAL }, { "\xc2\xa9", 0, NORMAL }, { "e", 0, NORMAL },
    { "\xc3\x8c", 0, NORMAL }, { "\xc4\xa3", 0, NORMAL },
};
static const char *const letter_merges[] = { "a b", "1 1", "11 1", NULL };

static void create_byte_level(opened_text *opened, made_vocabulary *made, const char *pre)
{
    made->vocabulary.pre = snug_str_from(pre);
    opened_text_create(opened, &(snug_text_files){ .vocabulary = &made->vocabulary });
}

static void names_of_rules_stand_for_patterns_and_flags(void **state)
{
    made_vocabulary made;
    opened_text opened;

    (void)state;
    made_vocabulary_create(&made, "gpt2", letters, SNUG_COUNT(letters), letter_merges);
    made.vocabulary.bos_id = 8;
    create_byte_level(&opened, &made, "llama-bpe");
    check_words(&opened, "ba", SNUG_ENCODE_ADD_SPECIAL, IDS(8, 7)); /* a word that no merge makes; and BOS */
    check_words(&opened, "1111", 0, IDS(6, 3));
    check_words(&opened, "e\xcc\x81", 0, IDS(11, 12, 13)); /* as it stands: not composed */
    opened_text_close(&opened);
    create_byte_level(&opened, &made, "smaug-bpe");
    check_words(&opened, "ba", SNUG_ENCODE_ADD_SPECIAL, IDS(1, 0));
    check_words(&opened, "1111", 0, IDS(6, 3));
    opened_text_close(&opened);
    create_byte_level(&opened, &made, "qwen2");
    check_words(&opened, "ba", SNUG_ENCODE_ADD_SPECIAL, IDS(1, 0));
    check_words(&opened, "1111", 0, IDS(3, 3, 3, 3));
    check_words(&opened, "e\xcc\x81", 0, IDS(9, 10)); /* NFC */
    opened_text_close(&opened);
    create_byte_level(&opened, &made, "gpt-2");
    check_words(&opened, "1111", 0, IDS(5, 5)); /* one word */
    check_words(&opened, "11 111", 0, IDS(5, 2, 6));
    opened_text_close(&opened);
    create_byte_level(&opened, &made, "smollm");
    check_words(&opened, " 11", 0, IDS(2, 3, 3));
    opened_text_close(&opened);
    made.vocabulary.architecture = snug_str_from("gpt2"); /* which needs no name to be known */
    create_byte_level(&opened, &made, "");
    check_words(&opened, "ab 11", 0, IDS(4, 2, 5));
    opened_text_close(&opened);
    made_vocabulary_destroy(&made);
}

static void a_merge_may_begin_with_a_space(void **state)
{
    static const made_token tokens[] = { { " ", 0, NORMAL }, { "b", 0, NORMAL }, { " b", 0, NORMAL } };
    static const char *const merges[] = { "  b", NULL };
    made_vocabulary made;
    opened_text opened;

    (void)state;
    made_vocabulary_create(&made, "gpt2", tokens, SNUG_COUNT(tokens), merges);
    create_byte_level(&opened, &made, "gpt-2");
    assert_int_equal(snug_text_find(opened.text, " b"), 2);
    opened_text_close(&opened);
    made_vocabulary_destroy(&made);
}

static void reading_refuses_when_each_allocation_fails(void **state)
{
    growing_text model = { NULL, 0, 0 };

    (void)state;
    add_pieces(&model, few, SNUG_COUNT(few));
    add_settings(&model);
    for (uint64_t limit = 0;; limit += 64) {
        const snug_memory_options options = { .struct_size = sizeof options, .hard_bytes = limit + 1 };
        const snug_text_files files = { .tokenizer_model = { model.data, model.bytes } };
        opened_text opened = { NULL, NULL };
        snug_error error = { 0 };
        snug_status status;

        assert_int_equal(snug_memory_create(&opened.memory, &options), SNUG_OK);
        status = snug_text_create_from(&opened.text, opened.memory, &files, &error);
        opened_text_close(&opened);
        if (status == SNUG_OK)
            break;
        assert_int_equal(status, SNUG_ERR_OVER_LIMIT);
        assert_true(error.text[0] != '\0' && limit < 100000);
    }
    free(model.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokenizer_model_gives_the_ids_of_tokenizer_json),
        cmocka_unit_test(gguf_gives_the_ids_of_tokenizer_json),
        cmocka_unit_test(real_vocabularies_give_the_ids_of_llama_cpp),
        cmocka_unit_test(llama_2_model_gives_the_ids_of_llama_cpp),
        cmocka_unit_test(the_best_score_merges_first_and_then_the_leftmost),
        cmocka_unit_test(random_vocabularies_merge_as_the_definition_says),
        cmocka_unit_test(spaces_and_specials_follow_the_flags_of_a_gguf),
        cmocka_unit_test(defined_pieces_with_spaces_are_found_in_either_spelling),
        cmocka_unit_test(tokenizer_config_overrules_tokenizer_model),
        cmocka_unit_test(names_of_rules_stand_for_patterns_and_flags),
        cmocka_unit_test(a_merge_may_begin_with_a_space),
        cmocka_unit_test(reading_refuses_when_each_allocation_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
