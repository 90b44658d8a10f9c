/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_text_vocabularies.c - the real vocabularies (tokenizers/README.md) against ids that llama.cpp and
 * swift-transformers publish. They come as GPT-2 style pairs of vocabulary and merges, or inside a GGUF file:
 * the tests put a tokenizer.json together in a temporary folder.
 */
#include "tests/text/text_support.h"

#include <stdio.h>

#include "base/random.h"
#include "base/utf8.h"

#include <utf8proc.h>

#define LETTERS  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|"
#define THE_REST "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define SPLIT(text)                                                                                          \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" text "\"},"    \
    "\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"        \
    "\"trim_offsets\":true,\"use_regex\":false}]}"

typedef struct published {
    const char *vocabulary_file; /* and merges_file, or NULL where `gguf` has both */
    const char *merges_file;
    const char *gguf;
    const char *golden; /* .inp and .out */
    const char *normalizer;
    const char *pre_tokenizer;
    const char *ignore_merges;
    const char *special;
    unsigned special_id;
    double megabytes_max;
} published;

static const published llama3 = {
    .vocabulary_file = "llama3.2-encoder.json",
    .merges_file = "llama3.2-merges.txt",
    .golden = "ggml-vocab-llama-bpe.gguf",
    .normalizer = "null",
    .pre_tokenizer = SPLIT(LETTERS "\\\\p{N}{1,3}" THE_REST),
    .ignore_merges = "true",
    .special = "<|begin_of_text|>",
    .special_id = 128000,
    .megabytes_max = 7,
};

static const published qwen2 = {
    .vocabulary_file = "qwen2-vocab.json",
    .merges_file = "qwen2-merges.txt",
    .golden = "ggml-vocab-qwen2.gguf",
    .normalizer = "{\"type\":\"NFC\"}",
    .pre_tokenizer = SPLIT(LETTERS "\\\\p{N}" THE_REST),
    .ignore_merges = "false",
    .special = "<|endoftext|>",
    .special_id = 151643,
    .megabytes_max = 7,
};

static const published gpt2 = {
    .gguf = "ggml-vocab-gpt-2.gguf",
    .golden = "ggml-vocab-gpt-2.gguf",
    .normalizer = "null",
    .pre_tokenizer = "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}",
    .ignore_merges = "false",
    .special = "<|endoftext|>",
    .special_id = 50256,
    .megabytes_max = 3,
};

/* --- tokenizer.json from parts ---------------------------------------------------------------------- */

/* Lines "left right"; a first line "#version" and \r before \n are left out. */
static void add_merges(growing_text *json, const published *vocabulary)
{
    size_t bytes;
    char *data = read_shared(vocabulary->merges_file, "", &bytes);
    const char *separator = "";

    for (char *line = data, *end; line < data + bytes; line = end + 1) {
        size_t length;

        end = memchr(line, '\n', (size_t)(data + bytes - line));
        if (!end)
            end = data + bytes;
        length = (size_t)(end - line);
        if (length > 0 && line[length - 1] == '\r')
            length--;
        if (length == 0 || (line == data && strncmp(line, "#version", 8) == 0))
            continue;
        growing_add(json, separator, strlen(separator));
        growing_add_json(json, line, length);
        separator = ",";
    }
    free(data);
}

/* The strings of a GGUF metadata array: key, u32 type 9, u32 element type 8, u64 count, u64 + bytes each.
 * `as_object`: "piece": index, else "piece". */
static void add_gguf_strings(growing_text *json, const char *data, size_t bytes, const char *key,
                             bool as_object)
{
    const char *at = data;
    uint64_t count;

    while ((at = memchr(at, key[0], (size_t)(data + bytes - at))) && memcmp(at, key, strlen(key)) != 0)
        at++;
    assert_non_null(at);
    at += strlen(key) + 8;
    memcpy(&count, at, sizeof count);
    at += sizeof count;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t length;

        memcpy(&length, at, sizeof length);
        assert_true(length < (uint64_t)(data + bytes - at));
        growing_add(json, ",", i > 0);
        growing_add_json(json, at + sizeof length, length);
        if (as_object)
            growing_print(json, ":%llu", (unsigned long long)i);
        at += sizeof length + length;
    }
}

static void add_model(growing_text *json, const published *vocabulary)
{
    size_t bytes;
    char *data;

    growing_print(json,
                  "\"model\":{\"type\":\"BPE\",\"ignore_merges\":%s,\"vocab\":", vocabulary->ignore_merges);
    if (vocabulary->gguf) {
        data = read_shared(vocabulary->gguf, "", &bytes);
        growing_print(json, "{");
        add_gguf_strings(json, data, bytes, "tokenizer.ggml.tokens", true);
        growing_print(json, "},\"merges\":[");
        add_gguf_strings(json, data, bytes, "tokenizer.ggml.merges", false);
    } else {
        data = read_shared(vocabulary->vocabulary_file, "", &bytes);
        growing_add(json, data, bytes);
        growing_print(json, ",\"merges\":[");
        add_merges(json, vocabulary);
    }
    growing_print(json, "]}");
    free(data);
}

static void open_vocabulary(opened_text *opened, model_folder *folder, const published *vocabulary)
{
    growing_text json = { NULL, 0, 0 };

    model_folder_create(folder);
    growing_print(&json,
                  "{\"added_tokens\":[{\"id\":%u,\"content\":\"%s\",\"normalized\":false,\"special\":true}],"
                  "\"normalizer\":%s,\"pre_tokenizer\":%s,\"decoder\":{\"type\":\"ByteLevel\"},"
                  "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":"
                  "\"%s\"}},{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"%s\":{\"ids\":[%u]}}},",
                  vocabulary->special_id, vocabulary->special, vocabulary->normalizer,
                  vocabulary->pre_tokenizer, vocabulary->special, vocabulary->special,
                  vocabulary->special_id);
    add_model(&json, vocabulary);
    growing_print(&json, "}");
    model_folder_write(folder, "tokenizer.json", json.data, json.bytes);
    free(json.data);
    opened_text_open(opened, folder->path);
    assert_true((double)snug_memory_read_all(opened->memory).used_bytes < vocabulary->megabytes_max * 1e6);
}

/* --- comparisons -------------------------------------------------------------------------------------- */

static void check_goldens(const published *vocabulary)
{
    model_folder folder;
    opened_text opened;

    open_vocabulary(&opened, &folder, vocabulary);
    check_published(&opened, vocabulary->golden);
    opened_text_close(&opened);
    model_folder_remove(&folder);
}

static void encodes_llama_3_as_published(void **state)
{
    (void)state;
    if (!shared_has("tokenizers/README.md"))
        skip();
    check_goldens(&llama3);
}

static void encodes_qwen_2_as_published(void **state)
{
    (void)state;
    if (!shared_has("tokenizers/README.md"))
        skip();
    check_goldens(&qwen2);
}

static void encodes_gpt_2_as_published(void **state)
{
    (void)state;
    if (!shared_has("tokenizers/README.md"))
        skip();
    check_goldens(&gpt2);
}

static void check_swift(const published *vocabulary, const char *key)
{
    json_error_t error;
    json_t *root =
        json_load_file(SNUG_SHARED_FOLDER "/tokenizers/swift-transformers-tokenizer_tests.json", 0, &error);
    const json_t *cases = json_object_get(root, key);
    model_folder folder;
    opened_text opened;

    assert_true(json_array_size(cases) > 10);
    open_vocabulary(&opened, &folder, vocabulary);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *item = json_array_get(cases, i);
        const json_t *input = json_object_get(item, "input");
        const json_t *list = json_object_get(json_object_get(item, "encoded"), "input_ids");
        size_t count;
        uint32_t *ids = ids_from_json(list, &count);
        const unsigned flags = count > 0 && ids[0] == vocabulary->special_id ? SNUG_ENCODE_ADD_SPECIAL : 0u;

        check_ids(&opened, json_string_value(input), json_string_length(input), flags, ids, count);
        check_decoded(&opened, ids, count, SNUG_DECODE_SKIP_SPECIAL, json_string_value(input),
                      json_string_length(input));
        free(ids);
    }
    opened_text_close(&opened);
    model_folder_remove(&folder);
    json_decref(root);
}

static void encodes_as_swift_transformers(void **state)
{
    (void)state;
    if (!shared_has("tokenizers/README.md"))
        skip();
    check_swift(&llama3, "pcuenq/Llama-3.2-1B-Instruct-tokenizer");
    check_swift(&gpt2, "distilgpt2");
}

/* --- what must hold for any text ---------------------------------------------------------------------- */

static size_t random_text(char *out, size_t characters, snug_random *random)
{
    static const uint32_t ranges[][2] = { { 0x20, 0x5f },     { 0x00, 0x20 },    { 0x80, 0x200 },
                                          { 0x300, 0x70 },    { 0x400, 0x800 },  { 0x1100, 0x100 },
                                          { 0x2000, 0x100 },  { 0x3040, 0x100 }, { 0x4e00, 0x5000 },
                                          { 0xac00, 0x2ba0 }, { 0x1f300, 0x400 } };
    size_t bytes = 0;

    for (size_t i = 0; i < characters; i++) {
        const uint32_t *range = ranges[snug_random_next(random) % SNUG_COUNT(ranges)];
        const uint32_t code = range[0] + (uint32_t)(snug_random_next(random) % range[1]);

        /* utf8proc, which the results are compared with, composes U+11A7 where Unicode does not. */
        bytes += snug_utf8_write(out + bytes, code == 0x11a7 ? 0x11a8 : code);
    }
    return bytes;
}

static void check_round_trip(const opened_text *opened, const char *text, size_t bytes, bool is_nfc)
{
    const size_t bound = snug_text_encode_bound(opened->text, bytes);
    uint32_t *ids = malloc((bound + 1) * sizeof *ids);
    utf8proc_uint8_t *form = NULL;
    size_t count;

    assert_int_equal(snug_text_encode(opened->text, ids, bound, &count, text, bytes, 0, NULL), SNUG_OK);
    if (is_nfc) {
        const utf8proc_ssize_t length = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)bytes,
                                                     &form, UTF8PROC_STABLE | UTF8PROC_COMPOSE);

        assert_true(length >= 0);
        text = (const char *)form;
        bytes = (size_t)length;
    }
    check_decoded(opened, ids, count, 0, text, bytes);
    free(form);
    free(ids);
}

static void decoding_undoes_encoding_up_to_nfc(void **state)
{
    static const published *const all[] = { &llama3, &qwen2, &gpt2 };
    char text[4 * 40];
    snug_random random = { 11 };

    (void)state;
    if (!shared_has("tokenizers/README.md"))
        skip();
    for (size_t i = 0; i < SNUG_COUNT(all); i++) {
        model_folder folder;
        opened_text opened;

        open_vocabulary(&opened, &folder, all[i]);
        for (int round = 0; round < 2000; round++) {
            const size_t bytes = random_text(text, snug_random_next(&random) % 40, &random);

            check_round_trip(&opened, text, bytes, all[i] == &qwen2);
        }
        opened_text_close(&opened);
        model_folder_remove(&folder);
    }
}

static void reads_a_published_tokenizer_json(void **state)
{
    /* From the tokenizers library, version 0.23. */
    static const uint32_t room_ids[] = { 42122, 216, 34, 32, 34, 36, 42, 357, 506, 4979, 198 };
    model_folder folder;
    opened_text opened;
    size_t bytes;
    char *data;

    (void)state;
    if (!shared_has("tokenizers/README.md"))
        skip();
    model_folder_create(&folder);
    data = read_shared("smollm-135m-tokenizer.json", "", &bytes);
    model_folder_write(&folder, "tokenizer.json", data, bytes);
    free(data);
    opened_text_open(&opened, folder.path);
    assert_int_equal(snug_text_id_count(opened.text), 49152);
    check_ids(&opened, "Room 2024: it's fine\n", 21, 0, room_ids, SNUG_COUNT(room_ids));
    data = read_shared("ggml-vocab-gpt-2.gguf", ".inp", &bytes);
    check_round_trip(&opened, data, bytes, false);
    free(data);
    opened_text_close(&opened);
    model_folder_remove(&folder);
}

/* Of the worst text there is: one word. The ids are those of the longest pieces of such letters. */
static void encodes_a_megabyte_in_bounded_memory(void **state)
{
    const size_t bytes = (size_t)1 << 20;
    uint32_t *ids = malloc((bytes + 1) * sizeof *ids);
    char *text = malloc(bytes);
    model_folder folder;
    opened_text opened;
    size_t count;

    (void)state;
    assert_non_null(ids);
    assert_non_null(text);
    if (!shared_has("tokenizers/README.md")) {
        free(ids);
        free(text);
        skip();
    }
    open_vocabulary(&opened, &folder, &llama3);
    memset(text, 'a', bytes);
    assert_int_equal(snug_text_encode(opened.text, ids, bytes + 1, &count, text, bytes, 0, NULL), SNUG_OK);
    assert_int_equal(count, bytes / 8);
    memset(text, ' ', bytes);
    assert_int_equal(snug_text_encode(opened.text, ids, bytes + 1, &count, text, bytes, 0, NULL), SNUG_OK);
    assert_int_equal(count, bytes / 128);
    assert_true(snug_memory_read_all(opened.memory).peak_bytes < 40000000);
    opened_text_close(&opened);
    model_folder_remove(&folder);
    free(text);
    free(ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_llama_3_as_published),
        cmocka_unit_test(encodes_qwen_2_as_published),
        cmocka_unit_test(encodes_gpt_2_as_published),
        cmocka_unit_test(encodes_as_swift_transformers),
        cmocka_unit_test(decoding_undoes_encoding_up_to_nfc),
        cmocka_unit_test(reads_a_published_tokenizer_json),
        cmocka_unit_test(encodes_a_megabyte_in_bounded_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
