/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_text_stored_damaged.c - GGUF vocabularies and tokenizer.model files that are wrong, or of a kind that
 * is not known: refused with a sentence that says what is wrong, or read and used without harm.
 */
#include "tests/text/stored_support.h"

#include <stdio.h>

#include "memory/memory.h"

enum {
    NORMAL = 1,
    UNKNOWN,
    CONTROL,
    DEFINED,
    UNUSED,
    BYTE
};

static const made_token few[] = {
    { "<unk>", 0, UNKNOWN }, { "<s>", 0, CONTROL },          { "</s>", 0, CONTROL },   { "a", -2, NORMAL },
    { "b", -3, NORMAL },     { "\xe2\x96\x81", -4, NORMAL }, { "<tool>", 0, DEFINED }, { "ab", -1, NORMAL },
};

/* Whatever opens must encode and decode; what does not must say why. */
static void open_and_use(const snug_text_files *files)
{
    static const char text[] = "ab <s>a<tool> \xc3\xa9";
    opened_text opened = { NULL, NULL };
    snug_error error = { 0 };
    uint32_t ids[256];
    size_t count = 0;
    char out[1024];
    size_t bytes;

    assert_int_equal(snug_memory_create(&opened.memory, NULL), SNUG_OK);
    if (snug_text_create_from(&opened.text, opened.memory, files, &error) == SNUG_OK) {
        assert_int_equal(snug_text_encode(opened.text, ids, SNUG_COUNT(ids), &count, text, sizeof text - 1,
                                          SNUG_ENCODE_ADD_SPECIAL, NULL),
                         SNUG_OK);
        assert_int_equal(snug_text_decode(opened.text, out, sizeof out, &bytes, ids, count, 0), SNUG_OK);
    } else {
        assert_true(error.text[0] != '\0');
    }
    opened_text_close(&opened);
}

/* --- tokenizer.model ----------------------------------------------------------------------------------- */

static void make_model(growing_text *model)
{
    *model = (growing_text){ NULL, 0, 0 };
    add_pieces(model, few, SNUG_COUNT(few));
    add_settings(model);
}

/* In a block of exactly its size, so that the sanitizer sees one byte too far. */
static void use_copy(const char *data, size_t bytes)
{
    char *copy = malloc(bytes + (bytes == 0));

    assert_non_null(copy);
    if (bytes > 0)
        memcpy(copy, data, bytes);
    open_and_use(&(snug_text_files){ .tokenizer_model = { copy, bytes } });
    free(copy);
}

static void every_cut_and_every_changed_byte_is_survived(void **state)
{
    growing_text model;

    (void)state;
    make_model(&model);
    for (size_t bytes = 0; bytes <= model.bytes; bytes++)
        use_copy(model.data, bytes);
    for (size_t i = 0; i < model.bytes; i++) {
        static const unsigned char values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
        const char before = model.data[i];

        for (size_t j = 0; j < SNUG_COUNT(values); j++) {
            model.data[i] = (char)values[j];
            use_copy(model.data, model.bytes);
        }
        for (unsigned bit = 0; bit < 8; bit++) {
            model.data[i] = (char)((unsigned char)before ^ 1u << bit);
            use_copy(model.data, model.bytes);
        }
        model.data[i] = before;
    }
    free(model.data);
}

static void every_cut_of_a_fixture_is_survived(void **state)
{
    size_t bytes;
    char *data;

    (void)state;
    if (!shared_has("fixtures/openelm/tokenizer.model"))
        skip();
    data = file_read(SNUG_SHARED_FOLDER "/fixtures/openelm/tokenizer.model", &bytes);
    assert_non_null(data);
    for (size_t cut = 0; cut < bytes; cut += 13)
        use_copy(data, cut);
    free(data);
}

typedef struct wrong_model {
    unsigned message; /* 2: trainer, 3: normalizer; 0: the field itself goes behind the others */
    unsigned number;
    uint64_t value;
    const char *bytes; /* instead of the value */
    snug_status status;
    const char *sentence;
} wrong_model;

static const wrong_model wrong_models[] = {
    { 2, 3, 1, NULL, SNUG_ERR_UNSUPPORTED, "UNIGRAM" },
    { 2, 3, 4, NULL, SNUG_ERR_UNSUPPORTED, "CHAR" },
    { 2, 3, 77, NULL, SNUG_ERR_UNSUPPORTED, "77" },
    { 2, 24, 1, NULL, SNUG_ERR_UNSUPPORTED, "treat_whitespace_as_suffix" },
    { 2, 41, 8, NULL, SNUG_ERR_CORRUPT, "bos_id is 8, but there are only 8 pieces" },
    { 2, 42, 4294967296, NULL, SNUG_ERR_CORRUPT, "eos_id is 4294967296" },
    { 2, 41, 0, "text", SNUG_ERR_CORRUPT, "field 41 of the trainer's settings should be a number" },
    { 3, 2, 0, "table", SNUG_ERR_UNSUPPORTED, "the normalizer \"identity\" has a table of 5 bytes" },
    { 3, 5, 0, NULL, SNUG_ERR_UNSUPPORTED, "escape_whitespaces" },
    { 0, 1, 7, NULL, SNUG_ERR_CORRUPT, "damaged at byte" }, /* a piece that is a number */
    { 0, 1, 0,
      "\x0a\x05"
      "ab",
      SNUG_ERR_CORRUPT, "piece 8, at" },                      /* a text longer than its piece */
    { 0, 1, 0, "\x10\x01", SNUG_ERR_CORRUPT, "piece 8, at" }, /* a score that is a number */
    { 0, 1, 0, "\x18\x07", SNUG_ERR_CORRUPT, "piece 8, at" }, /* a type that does not exist */
    { 0, 1, 0, "\x0a\x02\xc3\x28", SNUG_ERR_CORRUPT, "token 8 is not UTF-8" },
    { 0, 1, 0, "\x0a\x01z\x15\x01\x01\xc0\x7f", SNUG_ERR_CORRUPT, "the score of token 8 is not a number" },
    { 0, 1, 0,
      "\x0a\x02"
      "ab",
      SNUG_ERR_CORRUPT, "the token \"ab\" has two ids: 7 and 8" },
};

static void models_of_other_kinds_are_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(wrong_models); i++) {
        const wrong_model *wrong = &wrong_models[i];
        growing_text field = { NULL, 0, 0 };
        growing_text model;

        make_model(&model);
        if (wrong->bytes)
            add_bytes_field(&field, wrong->number, wrong->bytes, strlen(wrong->bytes));
        else
            add_number_field(&field, wrong->number, wrong->value);
        if (wrong->message == 0)
            growing_add(&model, field.data, field.bytes);
        else /* messages given twice are merged, the last value counts */
            add_bytes_field(&model, wrong->message, field.data, field.bytes);
        check_refusal(&(snug_text_files){ .tokenizer_model = { model.data, model.bytes } }, wrong->status,
                      wrong->sentence);
        free(field.data);
        free(model.data);
    }
}

static void other_files_of_that_name_are_refused(void **state)
{
    static const char tiktoken[] = "IQ== 0\nIg== 1\nIw== 2\n";
    growing_text model = { NULL, 0, 0 };

    (void)state;
    check_refusal(&(snug_text_files){ .tokenizer_model = { tiktoken, sizeof tiktoken - 1 } },
                  SNUG_ERR_UNSUPPORTED, "tokenizer.model: this is a list of tiktoken");
    check_refusal(&(snug_text_files){ .tokenizer_model = { "{\"a\": 1}", 8 } }, SNUG_ERR_CORRUPT,
                  "no SentencePiece model");
    add_settings(&model);
    check_refusal(&(snug_text_files){ .tokenizer_model = { model.data, model.bytes } }, SNUG_ERR_CORRUPT,
                  "has no pieces");
    add_pieces(&model, few + 1, SNUG_COUNT(few) - 1);
    check_refusal(&(snug_text_files){ .tokenizer_model = { model.data, model.bytes } }, SNUG_ERR_CORRUPT,
                  "no piece for what is unknown");
    free(model.data);
}

static void damaged_added_tokens_of_the_config_are_refused(void **state)
{
    static const struct {
        const char *config;
        const char *sentence;
    } cases[] = {
        { "{\"added_tokens_decoder\":{\"x\":{\"content\":\"a\"}}}", "should have ids, but has \"x\"" },
        { "{\"added_tokens_decoder\":{\"4294967295\":{\"content\":\"a\"}}}", "should have ids" },
        { "{\"added_tokens_decoder\":{\"99999999999999999999999\":{\"content\":\"a\"}}}", "should have ids" },
        { "{\"added_tokens_decoder\":{\"5\":{}}}", "no content for the id 5" },
        { "{\"added_tokens_decoder\":{\"5\":7}}", "no content for the id 5" },
    };
    growing_text model;

    (void)state;
    make_model(&model);
    for (size_t i = 0; i < SNUG_COUNT(cases); i++) {
        snug_text_files files = { .tokenizer_model = { model.data, model.bytes } };

        assert_int_equal(snug_json_check(&files.tokenizer_config, snug_str_from(cases[i].config), NULL),
                         SNUG_OK);
        check_refusal(&files, SNUG_ERR_CORRUPT, cases[i].sentence);
    }
    free(model.data);
}

static void a_folder_without_a_tokenizer_says_what_was_looked_for(void **state)
{
    model_folder folder;
    snug_memory *memory;
    snug_text *text;
    snug_error error;

    (void)state;
    model_folder_create(&folder);
    assert_int_equal(snug_memory_create(&memory, NULL), SNUG_OK);
    assert_int_equal(snug_text_open(&text, memory, folder.path, &error), SNUG_ERR_IO);
    assert_non_null(strstr(error.text, "no tokenizer.json and no tokenizer.model"));
    snug_memory_destroy(memory);
    model_folder_remove(&folder);
}

/* --- GGUF ---------------------------------------------------------------------------------------------- */

static void check_gguf(const snug_stored_vocabulary *vocabulary, snug_status status, const char *sentence)
{
    check_refusal(&(snug_text_files){ .vocabulary = vocabulary }, status, sentence);
}

static void rules_that_are_not_known_are_refused_by_name(void **state)
{
    static const char *const merges[] = { "a b", NULL };
    made_vocabulary made;
    snug_stored_vocabulary *v = &made.vocabulary;

    (void)state;
    made_vocabulary_create(&made, "gpt2", few, SNUG_COUNT(few), merges);
    v->pre = snug_str_from("telepathy");
    check_gguf(v, SNUG_ERR_UNSUPPORTED, "tokenizer.ggml.pre is \"telepathy\"");
    v->pre = snug_str_from("");
    check_gguf(v, SNUG_ERR_UNSUPPORTED, "tokenizer.ggml.pre is missing");
    v->pre = snug_str_from("default");
    check_gguf(v, SNUG_ERR_UNSUPPORTED, "tokenizer.ggml.pre is \"default\"");
    v->pre = snug_str_from("qwen2");
    open_and_use(&(snug_text_files){ .vocabulary = v });
    v->model = snug_str_from("t5");
    check_gguf(v, SNUG_ERR_UNSUPPORTED, "tokenizer.ggml.model is \"t5\"");
    v->model = snug_str_from("");
    check_gguf(v, SNUG_ERR_UNSUPPORTED, "tokenizer.ggml.model is \"\"");
    v->model = snug_str_from("gpt2");
    v->merges.count = 0;
    check_gguf(v, SNUG_ERR_CORRUPT, "tokenizer.ggml.merges is missing");
    v->model = snug_str_from("llama");
    v->scores = NULL;
    check_gguf(v, SNUG_ERR_CORRUPT, "tokenizer.ggml.scores is missing");
    made_vocabulary_destroy(&made);
}

static void damaged_merges_are_refused(void **state)
{
    static const struct {
        const char *merge;
        const char *sentence;
    } cases[] = {
        { "ab", "a merge should be two tokens, but is ab" },
        { "", "a merge should be two tokens" },
        { " b", "a merge should be two tokens" },
        { "x b", "begins with something that is no token" },
        { "a x", "ends with something that is no token" },
        { "b a", "gives something that is no token" },
        { "a ", "ends with something that is no token" },
    };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(cases); i++) {
        const char *const merges[] = { "a b", cases[i].merge, NULL };
        made_vocabulary made;

        made_vocabulary_create(&made, "gpt2", few, SNUG_COUNT(few), merges);
        made.vocabulary.pre = snug_str_from("gpt-2");
        check_gguf(&made.vocabulary, SNUG_ERR_CORRUPT, cases[i].sentence);
        made_vocabulary_destroy(&made);
    }
}

static void ids_beyond_the_tokens_are_none(void **state)
{
    made_vocabulary made;
    opened_text opened;

    (void)state;
    made_vocabulary_create(&made, "llama", few, SNUG_COUNT(few), NULL);
    made.vocabulary.bos_id = SNUG_COUNT(few);
    made.vocabulary.eos_id = SNUG_STORED_ID_NONE - 1;
    opened_text_create(&opened, &(snug_text_files){ .vocabulary = &made.vocabulary });
    assert_int_equal(snug_text_bos_id(opened.text), SNUG_ID_NONE);
    assert_int_equal(snug_text_eos_id(opened.text), SNUG_ID_NONE);
    opened_text_close(&opened);
    open_and_use(&(snug_text_files){ .vocabulary = &made.vocabulary });
    made_vocabulary_destroy(&made);
}

/* Types are numbers of the file; those that do not exist are ordinary tokens. */
static void types_and_scores_may_be_anything_but_nan(void **state)
{
    static const float scores[] = { 0.0f, -0.0f, 1e38f, -1e38f, 1e-45f, -1e-45f };
    made_token tokens[SNUG_COUNT(few)];
    made_vocabulary made;

    (void)state;
    memcpy(tokens, few, sizeof tokens);
    for (int32_t type = -2; type < 12; type++) {
        for (size_t i = 0; i < SNUG_COUNT(scores); i++) {
            tokens[3].type = type;
            tokens[3].score = scores[i];
            tokens[7].score = scores[SNUG_COUNT(scores) - 1 - i];
            made_vocabulary_create(&made, "llama", tokens, SNUG_COUNT(tokens), NULL);
            open_and_use(&(snug_text_files){ .vocabulary = &made.vocabulary });
            made.vocabulary.types = NULL;
            open_and_use(&(snug_text_files){ .vocabulary = &made.vocabulary });
            made_vocabulary_destroy(&made);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_and_every_changed_byte_is_survived),
        cmocka_unit_test(every_cut_of_a_fixture_is_survived),
        cmocka_unit_test(models_of_other_kinds_are_refused_by_name),
        cmocka_unit_test(other_files_of_that_name_are_refused),
        cmocka_unit_test(damaged_added_tokens_of_the_config_are_refused),
        cmocka_unit_test(a_folder_without_a_tokenizer_says_what_was_looked_for),
        cmocka_unit_test(rules_that_are_not_known_are_refused_by_name),
        cmocka_unit_test(damaged_merges_are_refused),
        cmocka_unit_test(ids_beyond_the_tokens_are_none),
        cmocka_unit_test(types_and_scores_may_be_anything_but_nan),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
