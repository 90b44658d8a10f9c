/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_checkpoint.c - folders of model files made on the spot: which files are read, what is refused, what
 * tensors and configuration values come out, and that the ledger is exact.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "format/checkpoint.h"
#include "memory/memory.h"
#include "tests/format/folder.h"

#define CONFIG "{\"model_type\":\"llama\",\"hidden_size\":32}"

/* Two tensors of bytes and one matrix of BF16; 20 bytes of data. */
#define HEADER                                                                                               \
    "{\"b\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[0,12]},"                                   \
    "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[12,16]},"                                      \
    "\"ids\":{\"dtype\":\"I16\",\"shape\":[2],\"data_offsets\":[16,20]}}"
#define HEADER_BYTES 20

typedef struct fixture {
    snug_memory *memory;
    char folder[FOLDER_PATH_BYTES];
    snug_error error;
} fixture;

static int set_up(void **state)
{
    static fixture made;

    made.error = (snug_error){ .text = "" };
    assert_int_equal(snug_memory_create(&made.memory, NULL), SNUG_OK);
    folder_create(made.folder);
    folder_write_text(made.folder, "config.json", CONFIG);
    *state = &made;
    return 0;
}

static int tear_down(void **state)
{
    fixture *made = *state;

    folder_remove(made->folder);
    assert_int_equal(snug_memory_read_all(made->memory).used_bytes, 0);
    snug_memory_destroy(made->memory);
    return 0;
}

static snug_checkpoint *open_sound(fixture *made)
{
    snug_checkpoint *checkpoint = NULL;

    if (snug_checkpoint_open(&checkpoint, made->memory, made->folder, &made->error) != SNUG_OK)
        fail_msg("%s", made->error.text);
    return checkpoint;
}

/* Opening must fail so, with a sentence that holds both texts, and leave nothing in the ledger. */
static void expect_refusal(fixture *made, const char *path, snug_status status, const char *first,
                           const char *second)
{
    snug_checkpoint *checkpoint = NULL;

    made->error = (snug_error){ .text = "" };
    assert_int_equal(snug_checkpoint_open(&checkpoint, made->memory, path, &made->error), status);
    assert_null(checkpoint);
    if (!strstr(made->error.text, first) || !strstr(made->error.text, second))
        fail_msg("'%s' lacks '%s' or '%s'", made->error.text, first, second);
    assert_int_equal(made->error.status, status);
    assert_int_equal(snug_memory_read_all(made->memory).blocks, 0);
    assert_int_equal(snug_checkpoint_open(&checkpoint, made->memory, path, NULL), status);
}

/* A config.json of this text, beside sound weights. */
static snug_checkpoint *open_config(fixture *made, const char *config)
{
    folder_write_text(made->folder, "config.json", config);
    folder_write_tensors(made->folder, "model.safetensors", HEADER, HEADER_BYTES);
    return open_sound(made);
}

static void opens_a_single_file(void **state)
{
    fixture *made = *state;
    snug_checkpoint *checkpoint;
    const snug_tensor *tensor;

    folder_write_tensors(made->folder, "model.safetensors", HEADER, HEADER_BYTES);
    checkpoint = open_sound(made);
    assert_string_equal(snug_checkpoint_path(checkpoint), made->folder);
    assert_int_equal(snug_checkpoint_tensor_count(checkpoint), 3);
    assert_true(snug_str_is(snug_checkpoint_tensor(checkpoint, 0)->name, "a"));
    assert_true(snug_str_is(snug_checkpoint_tensor(checkpoint, 1)->name, "b"));
    assert_true(snug_str_is(snug_checkpoint_tensor(checkpoint, 2)->name, "ids"));
    tensor = snug_checkpoint_find(checkpoint, "a");
    assert_ptr_equal(tensor, snug_checkpoint_tensor(checkpoint, 0));
    assert_memory_equal(tensor->data, "\x0c\x0d\x0e\x0f", 4);
    assert_memory_equal(snug_checkpoint_find(checkpoint, "b")->data, "\0\1\2\3\4\5\6\7\x08\x09\x0a\x0b", 12);
    assert_null(snug_checkpoint_find(checkpoint, "c"));
    assert_null(snug_checkpoint_find(checkpoint, ""));
    assert_null(snug_checkpoint_find(checkpoint, "id"));
    assert_null(snug_checkpoint_find(checkpoint, "idss"));
    assert_int_equal(snug_checkpoint_mapped_bytes(checkpoint), 8 + strlen(HEADER) + HEADER_BYTES);
    assert_true(snug_checkpoint_resident_bytes(checkpoint) <= snug_checkpoint_mapped_bytes(checkpoint));
    assert_int_equal(snug_checkpoint_weight_file_count(checkpoint), 1);
    assert_string_equal(snug_checkpoint_weight_file_name(checkpoint, 0), "model.safetensors");
    snug_checkpoint_close(checkpoint);
    snug_checkpoint_close(NULL);
}

static void opens_a_file_by_its_own_path(void **state)
{
    fixture *made = *state;
    snug_checkpoint *checkpoint = NULL;
    char path[FOLDER_PATH_BYTES + 32];

    folder_write_tensors(made->folder, "other.safetensors", HEADER, HEADER_BYTES);
    folder_write_text(made->folder, "weights.gguf", "GGUF");
    snprintf(path, sizeof path, "%s/other.safetensors", made->folder);
    assert_int_equal(snug_checkpoint_open(&checkpoint, made->memory, path, &made->error), SNUG_OK);
    assert_string_equal(snug_checkpoint_path(checkpoint), path);
    assert_int_equal(snug_checkpoint_tensor_count(checkpoint), 3);
    assert_true(snug_str_is(snug_checkpoint_model_type(checkpoint), "llama"));
    snug_checkpoint_close(checkpoint);

    expect_refusal(made, made->folder, SNUG_ERR_IO, made->folder, "no weights");
    snprintf(path, sizeof path, "%s/weights.gguf", made->folder);
    expect_refusal(made, path, SNUG_ERR_CORRUPT, "weights.gguf", "it is cut");
    snprintf(path, sizeof path, "%s/nothing", made->folder);
    expect_refusal(made, path, SNUG_ERR_IO, "nothing", "no such");
    snprintf(path, sizeof path, "%s//", made->folder);
    expect_refusal(made, path, SNUG_ERR_IO, made->folder, "no weights");
    expect_refusal(made, "", SNUG_ERR_IO, "no such", "");
    folder_delete(made->folder, "config.json");
    snprintf(path, sizeof path, "%s/other.safetensors", made->folder);
    expect_refusal(made, path, SNUG_ERR_IO, made->folder, "no config.json");
}

static void write_shards(fixture *made)
{
    folder_write_tensors(made->folder, "model-00001-of-00002.safetensors",
                         "{\"c\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[0,8]}}", 8);
    folder_write_tensors(made->folder, "model-00002-of-00002.safetensors", HEADER, HEADER_BYTES);
}

static void expect_both_shards(fixture *made)
{
    snug_checkpoint *checkpoint = open_sound(made);
    const snug_tensor *tensor;

    assert_int_equal(snug_checkpoint_tensor_count(checkpoint), 4);
    assert_int_equal(snug_checkpoint_weight_file_count(checkpoint), 2);
    tensor = snug_checkpoint_find(checkpoint, "c");
    assert_string_equal(snug_checkpoint_weight_file_name(checkpoint, tensor->file),
                        "model-00001-of-00002.safetensors");
    tensor = snug_checkpoint_find(checkpoint, "a");
    assert_string_equal(snug_checkpoint_weight_file_name(checkpoint, tensor->file),
                        "model-00002-of-00002.safetensors");
    assert_memory_equal(tensor->data, "\x0c\x0d\x0e\x0f", 4);
    snug_checkpoint_close(checkpoint);
}

static void joins_shards_with_and_without_an_index(void **state)
{
    fixture *made = *state;

    write_shards(made);
    folder_write_text(made->folder, "modelling.txt", "");
    folder_write_text(made->folder, "optimizer.safetensors", "not read");
    expect_both_shards(made);
    folder_write_text(
        made->folder, "model.safetensors.index.json",
        "{\"metadata\":{},\"weight_map\":{\"a\":\"model-00002-of-00002.safetensors\","
        "\"c\":\"model-00001-of-00002.safetensors\",\"b\":\"model-00002-of-00002.safetensors\"}}");
    folder_write_text(made->folder, "model-extra.safetensors", "not read, the index does not name it");
    expect_both_shards(made);
}

static void refuses_what_an_index_must_not_say(void **state)
{
    static const struct {
        const char *index;
        const char *sentence;
    } cases[] = {
        { "", "not valid JSON" },
        { "[]", "weight_map is absent" },
        { "{\"weight_map\":[]}", "weight_map is an array" },
        { "{\"weight_map\":{}}", "weight_map is empty" },
        { "{\"weight_map\":{\"a\":1}}", "weight_map names 1" },
        { "{\"weight_map\":{\"a\":\"\"}}", "weight_map names \"\"" },
        { "{\"weight_map\":{\"a\":\"/etc/model.safetensors\"}}", "plain name" },
        { "{\"weight_map\":{\"a\":\"../model.safetensors\"}}", "plain name" },
        { "{\"weight_map\":{\"a\":\"..\\\\model.safetensors\"}}", "plain name" },
        { "{\"weight_map\":{\"a\":\"x\\/model.safetensors\"}}", "plain name" },
        { "{\"weight_map\":{\"a\":\"x\\u002fmodel.safetensors\"}}", "plain name" },
        { "{\"weight_map\":{\"a\":\"sub/model.safetensors\"}}", "plain name" },
        { "{\"weight_map\":{\"a\":\"config.json\"}}", "plain name" },
        { "{\"weight_map\":{\"a\":\"..\"}}", "plain name" },
        { "{\"weight_map\":{\"a\":\".safetensors\"}}", "plain name" },
    };
    fixture *made = *state;
    char long_index[600];

    write_shards(made);
    for (size_t i = 0; i < SNUG_COUNT(cases); i++) {
        folder_write_text(made->folder, "model.safetensors.index.json", cases[i].index);
        expect_refusal(made, made->folder, SNUG_ERR_CORRUPT, "model.safetensors.index.json",
                       cases[i].sentence);
    }
    memset(long_index, 'x', sizeof long_index);
    memcpy(long_index, "{\"weight_map\":{\"a\":\"", 20);
    snprintf(long_index + 400, sizeof long_index - 400, ".safetensors\"}}");
    folder_write_text(made->folder, "model.safetensors.index.json", long_index);
    expect_refusal(made, made->folder, SNUG_ERR_CORRUPT, "index.json", "plain name");
    folder_write_text(made->folder, "model.safetensors.index.json",
                      "{\"weight_map\":{\"a\":\"model-00001-of-00002.safetensors\","
                      "\"b\":\"model-00003-of-00003.safetensors\"}}");
    expect_refusal(made, made->folder, SNUG_ERR_IO, "model-00003-of-00003.safetensors", "");
}

static void refuses_a_tensor_described_twice(void **state)
{
    fixture *made = *state;

    folder_write_tensors(made->folder, "model.safetensors",
                         "{\"ab\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                         "\"c\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]},"
                         "\"a\\u0062\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}",
                         3);
    expect_refusal(made, made->folder, SNUG_ERR_CORRUPT, "model.safetensors: tensor 'ab'", "twice");
    folder_delete(made->folder, "model.safetensors");
    write_shards(made);
    folder_write_tensors(made->folder, "model-00003-of-00003.safetensors", HEADER, HEADER_BYTES);
    expect_refusal(made, made->folder, SNUG_ERR_CORRUPT, "model-00003-of-00003.safetensors",
                   "model-00002-of-00002.safetensors");
}

static void finds_names_written_with_escapes(void **state)
{
    fixture *made = *state;
    snug_checkpoint *checkpoint;

    folder_write_tensors(made->folder, "model.safetensors",
                         "{\"z\\u00e9\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                         "\"plain\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]},"
                         "\"a\\/b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}",
                         3);
    checkpoint = open_sound(made);
    assert_memory_equal(snug_checkpoint_find(checkpoint, "z\xc3\xa9")->data, "\0", 1);
    assert_memory_equal(snug_checkpoint_find(checkpoint, "plain")->data, "\1", 1);
    assert_memory_equal(snug_checkpoint_find(checkpoint, "a/b")->data, "\2", 1);
    assert_int_equal(snug_checkpoint_ledger_bytes(checkpoint), snug_memory_read_all(made->memory).used_bytes);
    snug_checkpoint_close(checkpoint);
}

static void checks_shapes_and_types(void **state)
{
    fixture *made = *state;
    const snug_tensor *tensor = NULL;
    snug_checkpoint *checkpoint;
    snug_error *error = &made->error;

    folder_write_tensors(made->folder, "model.safetensors", HEADER, HEADER_BYTES);
    checkpoint = open_sound(made);
    assert_int_equal(snug_checkpoint_matrix(&tensor, checkpoint, "b", 2, 3, error), SNUG_OK);
    assert_ptr_equal(tensor, snug_checkpoint_find(checkpoint, "b"));
    assert_int_equal(snug_checkpoint_vector(&tensor, checkpoint, "a", 1, error), SNUG_OK);
    tensor = NULL;
    assert_int_equal(snug_checkpoint_matrix(&tensor, checkpoint, "b", 3, 2, error), SNUG_ERR_CORRUPT);
    assert_non_null(
        strstr(error->text, "model.safetensors: tensor 'b' has the shape [2, 3], expected [3, 2]"));
    assert_int_equal(snug_checkpoint_vector(&tensor, checkpoint, "b", 6, error), SNUG_ERR_CORRUPT);
    assert_int_equal(snug_checkpoint_matrix(&tensor, checkpoint, "a", 1, 1, error), SNUG_ERR_CORRUPT);
    assert_int_equal(snug_checkpoint_vector(&tensor, checkpoint, "c", 6, error), SNUG_ERR_CORRUPT);
    assert_non_null(strstr(error->text, "tensor 'c' is missing, expected one of shape [6]"));
    assert_non_null(strstr(error->text, made->folder));
    assert_int_equal(snug_checkpoint_vector(&tensor, checkpoint, "ids", 2, error), SNUG_ERR_UNSUPPORTED);
    assert_non_null(strstr(error->text, "is I16, expected one of F32 F16 BF16"));
    assert_int_equal(snug_checkpoint_vector(&tensor, checkpoint, "ids", 2, NULL), SNUG_ERR_UNSUPPORTED);
    assert_null(tensor);
    snug_checkpoint_close(checkpoint);
}

static void reads_configuration_values(void **state)
{
    fixture *made = *state;
    snug_error *error = &made->error;
    snug_checkpoint *checkpoint =
        open_config(made, "{\"model_type\":\"x\",\"n\":32,\"big\":4294967296,\"s\":\"32\",\"r\":1e-05,"
                          "\"inf\":1e999,\"t\":true,\"null\":null,\"rope\":{\"factor\":8,\"in\":{\"k\":5}}}");
    uint32_t natural = 7;
    double real = 7;
    bool truth = false;

    assert_int_equal(snug_checkpoint_u32(&natural, checkpoint, "n", 1, 32, error), SNUG_OK);
    assert_int_equal(natural, 32);
    assert_int_equal(snug_checkpoint_u32(&natural, checkpoint, "rope.in.k", 5, 5, error), SNUG_OK);
    assert_int_equal(natural, 5);
    assert_int_equal(snug_checkpoint_f64(&real, checkpoint, "r", 0, 1, error), SNUG_OK);
    assert_true(real > 0.999e-05 && real < 1.001e-05);
    assert_int_equal(snug_checkpoint_bool(&truth, checkpoint, "t", error), SNUG_OK);
    assert_true(truth);

    assert_int_equal(snug_checkpoint_u32(&natural, checkpoint, "n", 33, 99, error), SNUG_ERR_CORRUPT);
    assert_non_null(strstr(error->text, "config.json: n is 32, expected an integer from 33 to 99"));
    assert_int_equal(snug_checkpoint_u32(&natural, checkpoint, "n", 1, 31, error), SNUG_ERR_CORRUPT);
    assert_int_equal(snug_checkpoint_u32(&natural, checkpoint, "big", 0, UINT32_MAX, error),
                     SNUG_ERR_CORRUPT);
    assert_int_equal(snug_checkpoint_u32(&natural, checkpoint, "s", 1, 99, error), SNUG_ERR_CORRUPT);
    assert_non_null(strstr(error->text, "s is \"32\", expected an integer"));
    assert_int_equal(snug_checkpoint_u32(&natural, checkpoint, "rope.none", 1, 99, error), SNUG_ERR_CORRUPT);
    assert_non_null(strstr(error->text, "rope.none is missing, expected an integer from 1 to 99"));
    assert_int_equal(snug_checkpoint_u32(&natural, checkpoint, "null", 1, 99, error), SNUG_ERR_CORRUPT);
    assert_int_equal(snug_checkpoint_f64(&real, checkpoint, "inf", 0, 1e300, error), SNUG_ERR_CORRUPT);
    assert_non_null(strstr(error->text, "inf is 1e999, expected a number from 0 to 1e+300"));
    assert_int_equal(snug_checkpoint_f64(&real, checkpoint, "t", 0, 1, NULL), SNUG_ERR_CORRUPT);
    assert_int_equal(snug_checkpoint_bool(&truth, checkpoint, "n", error), SNUG_ERR_CORRUPT);
    assert_true(natural == 5 && truth && real < 1);

    assert_int_equal(snug_checkpoint_u32_or(&natural, checkpoint, "none", 1, 99, error), SNUG_OK);
    assert_int_equal(snug_checkpoint_u32_or(&natural, checkpoint, "null", 1, 99, error), SNUG_OK);
    assert_int_equal(snug_checkpoint_u32_or(&natural, checkpoint, "n.deeper", 1, 99, error), SNUG_OK);
    assert_int_equal(natural, 5);
    assert_int_equal(snug_checkpoint_u32_or(&natural, checkpoint, "rope.factor", 1, 99, error), SNUG_OK);
    assert_int_equal(natural, 8);
    assert_int_equal(snug_checkpoint_u32_or(&natural, checkpoint, "s", 1, 99, error), SNUG_ERR_CORRUPT);
    assert_int_equal(snug_checkpoint_f64_or(&real, checkpoint, "none", 0, 1, error), SNUG_OK);
    assert_int_equal(snug_checkpoint_f64_or(&real, checkpoint, "n", 0, 31, error), SNUG_ERR_CORRUPT);
    assert_int_equal(snug_checkpoint_bool_or(&truth, checkpoint, "none", error), SNUG_OK);
    assert_int_equal(snug_checkpoint_bool_or(&truth, checkpoint, "r", error), SNUG_ERR_CORRUPT);
    assert_int_equal(snug_json_kind_of(snug_checkpoint_config(checkpoint, "rope")), SNUG_JSON_OBJECT);
    assert_int_equal(snug_checkpoint_config_fail(checkpoint, "rope.factor", SNUG_ERR_UNSUPPORTED, "9", error),
                     SNUG_ERR_UNSUPPORTED);
    assert_non_null(strstr(error->text, "config.json: rope.factor is 8, expected 9"));
    snug_checkpoint_close(checkpoint);
}

static void finds_the_model_type(void **state)
{
    static const struct {
        const char *config;
        const char *model_type;
    } cases[] = {
        { "{\"model_type\":\"gemma3_text\",\"architectures\":[\"LlamaForCausalLM\"]}", "gemma3_text" },
        { "{\"architectures\":[\"LlamaForCausalLM\"]}", "llama" },
        { "{\"model_type\":null,\"architectures\":[\"SmolLM3ForCausalLM\",\"LlamaForCausalLM\"]}",
          "smollm3" },
        { "{\"architectures\":[\"QuuxForCausalLM\"]}", "QuuxForCausalLM" },
    };
    static const char *const refused[] = { "{}",
                                           "{\"model_type\":\"\"}",
                                           "{\"model_type\":5}",
                                           "{\"model_type\":5,\"architectures\":[\"LlamaForCausalLM\"]}",
                                           "{\"architectures\":[]}",
                                           "{\"architectures\":[1]}",
                                           "{\"architectures\":\"LlamaForCausalLM\"}" };
    fixture *made = *state;

    for (size_t i = 0; i < SNUG_COUNT(cases); i++) {
        snug_checkpoint *checkpoint = open_config(made, cases[i].config);

        assert_true(snug_str_is(snug_checkpoint_model_type(checkpoint), cases[i].model_type));
        snug_checkpoint_close(checkpoint);
    }
    for (size_t i = 0; i < SNUG_COUNT(refused); i++) {
        folder_write_text(made->folder, "config.json", refused[i]);
        expect_refusal(made, made->folder, SNUG_ERR_CORRUPT, "config.json", "model_type");
    }
}

static void opens_the_other_files(void **state)
{
    fixture *made = *state;
    snug_checkpoint *checkpoint = open_config(made, CONFIG);

    for (int file = 0; file < SNUG_FILE_COUNT; file++)
        assert_int_equal(!snug_checkpoint_json(checkpoint, (snug_checkpoint_file)file).at,
                         file != SNUG_FILE_CONFIG);
    assert_int_equal(snug_checkpoint_chat_template(checkpoint).bytes, 0);
    snug_checkpoint_close(checkpoint);
    folder_write_text(made->folder, "tokenizer.json", "\n{\"k\":\"tokenizer\"}");
    folder_write_text(made->folder, "tokenizer_config.json", "{\"k\":\"tokenizer_config\"}");
    folder_write_text(made->folder, "generation_config.json", "{\"k\":\"generation_config\"}");
    folder_write_text(made->folder, "chat_template.jinja", "{{ messages }} \xc3\xa9");
    checkpoint = open_sound(made);
    assert_true(snug_json_string_is(snug_json_get(snug_checkpoint_json(checkpoint, SNUG_FILE_TOKENIZER), "k"),
                                    "tokenizer"));
    assert_true(
        snug_json_string_is(snug_json_get(snug_checkpoint_json(checkpoint, SNUG_FILE_TOKENIZER_CONFIG), "k"),
                            "tokenizer_config"));
    assert_true(
        snug_json_string_is(snug_json_get(snug_checkpoint_json(checkpoint, SNUG_FILE_GENERATION_CONFIG), "k"),
                            "generation_config"));
    assert_true(snug_str_is(snug_checkpoint_chat_template(checkpoint), "{{ messages }} \xc3\xa9"));
    snug_checkpoint_close(checkpoint);
}

static void refuses_damaged_other_files(void **state)
{
    static const char *const names[] = { "config.json", "tokenizer.json", "tokenizer_config.json",
                                         "generation_config.json" };
    fixture *made = *state;

    folder_write_tensors(made->folder, "model.safetensors", HEADER, HEADER_BYTES);
    for (size_t i = 0; i < SNUG_COUNT(names); i++) {
        folder_write_text(made->folder, names[i], "{\"model_type\":\"llama\"");
        expect_refusal(made, made->folder, SNUG_ERR_CORRUPT, names[i], "',' or '}'");
        folder_write_text(made->folder, names[i], "");
        expect_refusal(made, made->folder, SNUG_ERR_CORRUPT, names[i], "a value");
        folder_write_text(made->folder, names[i], "[1]");
        expect_refusal(made, made->folder, SNUG_ERR_CORRUPT, names[i], "an array");
        folder_delete(made->folder, names[i]);
        folder_make_folder(made->folder, names[i]);
        expect_refusal(made, made->folder, SNUG_ERR_IO, names[i], "folder");
        folder_delete(made->folder, names[i]);
        if (i == 0)
            folder_write_text(made->folder, names[i], CONFIG);
    }
    folder_write_text(made->folder, "chat_template.jinja", "ab\xff");
    expect_refusal(made, made->folder, SNUG_ERR_CORRUPT, "chat_template.jinja", "not UTF-8 at byte 2");
}

static void the_ledger_is_exact(void **state)
{
    fixture *made = *state;
    snug_checkpoint *checkpoint;

    write_shards(made);
    checkpoint = open_sound(made);
    assert_int_equal(snug_memory_read(made->memory, SNUG_MEMORY_OTHER).used_bytes,
                     snug_checkpoint_ledger_bytes(checkpoint));
    assert_int_equal(snug_memory_read_all(made->memory).used_bytes, snug_checkpoint_ledger_bytes(checkpoint));
    snug_checkpoint_close(checkpoint);
}

/* Refuse memory at every point in turn by a lower and lower limit: each time a sentence, nothing left. */
static void survives_every_refusal_of_memory(void **state)
{
    fixture *made = *state;
    snug_memory_options options = { .struct_size = sizeof options };
    size_t refused_count = 0;
    uint64_t peak;

    write_shards(made);
    snug_checkpoint_close(open_sound(made));
    peak = snug_memory_read_all(made->memory).peak_bytes;
    for (uint64_t limit = 1; limit <= peak; limit += 16) {
        snug_memory *memory;
        snug_checkpoint *checkpoint = NULL;
        snug_status status;

        options.hard_bytes = limit;
        assert_int_equal(snug_memory_create(&memory, &options), SNUG_OK);
        status =
            snug_checkpoint_open(&checkpoint, memory, made->folder, limit % 32 < 16 ? &made->error : NULL);
        if (status != SNUG_OK) {
            assert_int_equal(status, SNUG_ERR_OVER_LIMIT);
            assert_null(checkpoint);
            refused_count++;
        }
        snug_checkpoint_close(checkpoint);
        assert_int_equal(snug_memory_read_all(memory).used_bytes, 0);
        snug_memory_destroy(memory);
    }
    assert_true(refused_count > 10);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(opens_a_single_file),
        TEST(opens_a_file_by_its_own_path),
        TEST(joins_shards_with_and_without_an_index),
        TEST(refuses_what_an_index_must_not_say),
        TEST(refuses_a_tensor_described_twice),
        TEST(finds_names_written_with_escapes),
        TEST(checks_shapes_and_types),
        TEST(reads_configuration_values),
        TEST(finds_the_model_type),
        TEST(opens_the_other_files),
        TEST(refuses_damaged_other_files),
        TEST(the_ledger_is_exact),
        TEST(survives_every_refusal_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
