/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_gguf_checkpoint.c - GGUF files as checkpoints: which file a path or a folder stands for, split sets,
 * what a checkpoint shows of the file, and the shared models, counted against the table they came with.
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
#include "tests/format/folder.h"
#include "tests/format/gguf_writer.h"

#define FIXTURES SNUG_SHARED_FOLDER "/fixtures/gguf"

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

/* `name` is a file of the folder, or NULL for the folder itself. */
static snug_status try_open(snug_checkpoint **checkpoint_out, fixture *made, const char *name)
{
    char path[FOLDER_PATH_BYTES + 300];

    made->error = (snug_error){ .text = "" };
    snprintf(path, sizeof path, "%s%s%s", made->folder, name ? "/" : "", name ? name : "");
    return snug_checkpoint_open(checkpoint_out, made->memory, path, &made->error);
}

static snug_checkpoint *open_sound(fixture *made, const char *name)
{
    snug_checkpoint *checkpoint = NULL;

    if (try_open(&checkpoint, made, name) != SNUG_OK)
        fail_msg("%s", made->error.text);
    assert_int_equal(snug_memory_read_all(made->memory).used_bytes, snug_checkpoint_ledger_bytes(checkpoint));
    return checkpoint;
}

static void expect_refusal(fixture *made, const char *name, snug_status status, const char *first,
                           const char *second)
{
    snug_checkpoint *checkpoint = NULL;

    assert_int_equal(try_open(&checkpoint, made, name), status);
    assert_null(checkpoint);
    if (!strstr(made->error.text, first) || !strstr(made->error.text, second))
        fail_msg("'%s' lacks '%s' or '%s'", made->error.text, first, second);
    assert_int_equal(snug_memory_read_all(made->memory).blocks, 0);
}

#define VOCABULARY_ENTRIES 5

static void put_vocabulary(gguf_writer *file)
{
    put_key_text(file, "general.architecture", "quux");
    put_key_text(file, "tokenizer.ggml.model", "gpt2");
    put_key_u32(file, "tokenizer.ggml.bos_token_id", 1);
    put_key_text(file, "tokenizer.chat_template", "{{ messages }}");
    put_key(file, "tokenizer.ggml.tokens", SNUG_GGUF_ARRAY);
    put_u32(file, SNUG_GGUF_STRING);
    put_u64(file, 3);
    put_text(file, "a");
    put_text(file, "<s>");
    put_text(file, "c");
}

static void write_file(const fixture *made, const char *name, const gguf_writer *file)
{
    folder_write(made->folder, name, file->bytes, file->count);
}

/* One tensor of 4 values of F32, named "one"; its bytes are 0 .. 15. */
static void write_single(const fixture *made, const char *name)
{
    gguf_writer file;

    put_head(&file, 3, 1, VOCABULARY_ENTRIES);
    put_vocabulary(&file);
    put_tensor(&file, "one", 1, (const uint64_t[]){ 4 }, 0, 0);
    put_data(&file, 32, 16);
    write_file(made, name, &file);
}

static void shows_what_the_file_says(void **state)
{
    fixture *made = *state;
    const snug_stored_vocabulary *vocabulary;
    snug_stored_strings tokens;
    snug_checkpoint *checkpoint;
    const snug_tensor *tensor;
    snug_json json;

    write_single(made, "m.gguf");
    checkpoint = open_sound(made, "m.gguf");
    assert_non_null(strstr(snug_checkpoint_path(checkpoint), "/m.gguf"));
    assert_string_equal(snug_checkpoint_config_path(checkpoint), snug_checkpoint_path(checkpoint));
    assert_true(snug_str_is(snug_checkpoint_model_type(checkpoint), "quux"));
    assert_true(snug_str_is(snug_checkpoint_chat_template(checkpoint), "{{ messages }}"));
    assert_int_equal(snug_checkpoint_tokenizer_model(checkpoint).bytes, 0);
    assert_null(snug_checkpoint_json(checkpoint, SNUG_FILE_TOKENIZER).at);
    json = snug_json_get(snug_checkpoint_json(checkpoint, SNUG_FILE_TOKENIZER_CONFIG), "bos_token");
    assert_true(snug_json_string_is(json, "<s>"));
    assert_int_equal(snug_json_kind_of(snug_checkpoint_json(checkpoint, SNUG_FILE_GENERATION_CONFIG)),
                     SNUG_JSON_OBJECT);
    vocabulary = snug_checkpoint_vocabulary(checkpoint);
    assert_non_null(vocabulary);
    assert_int_equal(vocabulary->bos_id, 1);
    tokens = vocabulary->tokens;
    assert_int_equal(tokens.count, 3);
    assert_true(snug_str_is(snug_stored_strings_next(&tokens), "a"));
    assert_int_equal(snug_checkpoint_tensor_count(checkpoint), 1);
    tensor = snug_checkpoint_find(checkpoint, "one");
    assert_memory_equal(tensor->data, "\0\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f", 16);
    assert_int_equal(snug_checkpoint_weight_file_count(checkpoint), 1);
    assert_string_equal(snug_checkpoint_weight_file_name(checkpoint, tensor->file), "m.gguf");
    snug_checkpoint_close(checkpoint);
}

static void names_the_file_where_configuration_fails(void **state)
{
    fixture *made = *state;
    snug_checkpoint *checkpoint;
    uint32_t value;

    write_single(made, "m.gguf");
    checkpoint = open_sound(made, NULL);
    assert_string_equal(snug_checkpoint_path(checkpoint), made->folder);
    assert_int_equal(snug_checkpoint_u32(&value, checkpoint, "hidden_size", 1, 9, &made->error),
                     SNUG_ERR_CORRUPT);
    assert_non_null(strstr(made->error.text, "/m.gguf: hidden_size is missing"));
    assert_null(strstr(made->error.text, "config.json"));
    snug_checkpoint_close(checkpoint);
}

static void the_path_decides(void **state)
{
    fixture *made = *state;
    snug_checkpoint *checkpoint;

    write_single(made, "m.gguf");
    folder_write_text(made->folder, "config.json", "{\"model_type\":\"llama\"}");
    folder_write_text(made->folder, "tokenizer.json", "damaged");
    checkpoint = open_sound(made, "m.gguf"); /* neighbours are not read */
    assert_null(snug_checkpoint_config(checkpoint, "hidden_size").at);
    assert_true(snug_str_is(snug_checkpoint_model_type(checkpoint), "quux"));
    snug_checkpoint_close(checkpoint);
    folder_delete(made->folder, "tokenizer.json");
    expect_refusal(made, NULL, SNUG_ERR_IO, "no weights", "");
    folder_write_tensors(made->folder, "model.safetensors", "{}", 0);
    checkpoint = open_sound(made, NULL);
    assert_true(snug_str_is(snug_checkpoint_model_type(checkpoint), "llama"));
    assert_null(snug_checkpoint_vocabulary(checkpoint));
    assert_non_null(strstr(snug_checkpoint_config_path(checkpoint), "/config.json"));
    snug_checkpoint_close(checkpoint);
}

static void refuses_a_folder_of_several_models(void **state)
{
    fixture *made = *state;

    expect_refusal(made, NULL, SNUG_ERR_IO, "no config.json and no .gguf file", "");
    write_single(made, "b.gguf");
    write_single(made, ".hidden.gguf");
    snug_checkpoint_close(open_sound(made, NULL));
    write_single(made, "a.gguf");
    expect_refusal(made, NULL, SNUG_ERR_UNSUPPORTED, "a.gguf and b.gguf", made->folder);
    snug_checkpoint_close(open_sound(made, "a.gguf"));
    folder_delete(made->folder, "a.gguf");
    write_single(made, "b-00001-of-00002.gguf");
    expect_refusal(made, NULL, SNUG_ERR_UNSUPPORTED, "b-00001-of-00002.gguf and b.gguf", made->folder);
}

/* --- split files ---------------------------------------------------------------------------------------- */

/* What a part says; the sound values are those of its place. */
typedef struct part_fields {
    uint32_t number;
    uint32_t count;
    uint32_t total;
    const char *tensor; /* NULL: none */
} part_fields;

static void write_part(const fixture *made, unsigned place, unsigned count, const part_fields *part)
{
    const bool is_first = place == 1;
    gguf_writer file;
    char name[64];

    put_head(&file, 3, part->tensor ? 1 : 0, 3 + (is_first ? VOCABULARY_ENTRIES : 0));
    put_key(&file, "split.no", SNUG_GGUF_U16);
    put_bytes(&file, (const unsigned char[]){ (unsigned char)part->number, 0 }, 2);
    put_key(&file, "split.count", SNUG_GGUF_U16);
    put_bytes(&file, (const unsigned char[]){ (unsigned char)part->count, 0 }, 2);
    put_key(&file, "split.tensors.count", SNUG_GGUF_I32);
    put_u32(&file, part->total);
    if (is_first)
        put_vocabulary(&file);
    if (part->tensor)
        put_tensor(&file, part->tensor, 1, (const uint64_t[]){ place }, 0, 0);
    put_data(&file, 32, (size_t)place * 4);
    snprintf(name, sizeof name, "m-%05u-of-%05u.gguf", place, count);
    write_file(made, name, &file);
}

static void write_set(const fixture *made)
{
    write_part(made, 1, 3, &(part_fields){ 0, 3, 2, NULL });
    write_part(made, 2, 3, &(part_fields){ 1, 3, 2, "two" });
    write_part(made, 3, 3, &(part_fields){ 2, 3, 2, "three" });
}

static void any_part_opens_the_whole_set(void **state)
{
    static const char *const paths[] = { "m-00001-of-00003.gguf", "m-00002-of-00003.gguf",
                                         "m-00003-of-00003.gguf", NULL };
    fixture *made = *state;

    write_set(made);
    for (size_t i = 0; i < SNUG_COUNT(paths); i++) {
        snug_checkpoint *checkpoint = open_sound(made, paths[i]);
        const snug_tensor *tensor = snug_checkpoint_find(checkpoint, "three");

        assert_int_equal(snug_checkpoint_tensor_count(checkpoint), 2);
        assert_int_equal(snug_checkpoint_weight_file_count(checkpoint), 3);
        assert_int_equal(tensor->bytes, 12);
        assert_memory_equal(tensor->data, "\0\1\2\3\4\5\6\7\x08\x09\x0a\x0b", 12);
        assert_string_equal(snug_checkpoint_weight_file_name(checkpoint, tensor->file),
                            "m-00003-of-00003.gguf");
        assert_int_equal(snug_checkpoint_find(checkpoint, "two")->file, 1);
        assert_non_null(strstr(snug_checkpoint_config_path(checkpoint), "/m-00001-of-00003.gguf"));
        assert_true(snug_str_is(snug_checkpoint_model_type(checkpoint), "quux"));
        snug_checkpoint_close(checkpoint);
    }
}

static void refuses_a_set_that_is_not_whole(void **state)
{
    static const char first[] = "m-00001-of-00003.gguf";
    fixture *made = *state;

    write_set(made);
    folder_delete(made->folder, "m-00002-of-00003.gguf");
    expect_refusal(made, first, SNUG_ERR_IO, "m-00002-of-00003.gguf: no such file", "part 2 of the 3");
    expect_refusal(made, NULL, SNUG_ERR_IO, "m-00002-of-00003.gguf: no such file", "part 2 of the 3");
    write_part(made, 2, 3, &(part_fields){ 2, 3, 2, "two" });
    expect_refusal(made, first, SNUG_ERR_CORRUPT, "m-00002-of-00003.gguf", "split.no is 2, expected 1");
    write_part(made, 2, 3, &(part_fields){ 1, 4, 2, "two" });
    expect_refusal(made, first, SNUG_ERR_CORRUPT, "m-00002-of-00003.gguf", "split.count is 4, expected 3");
    write_part(made, 2, 3, &(part_fields){ 1, 3, 2, NULL });
    expect_refusal(made, first, SNUG_ERR_CORRUPT, first, "split.tensors.count is 2, expected 1");
    write_part(made, 2, 3, &(part_fields){ 1, 3, 2, "three" });
    expect_refusal(made, first, SNUG_ERR_CORRUPT, "'three' is in m-00003-of-00003.gguf too",
                   "m-00002-of-00003.gguf:");
    write_single(made, "m-00002-of-00003.gguf");
    expect_refusal(made, first, SNUG_ERR_CORRUPT, "m-00002-of-00003.gguf", "split.count is missing");
}

/* As in test_checkpoint.c: a sentence at every point, nothing left. */
static void survives_every_refusal_of_memory(void **state)
{
    fixture *made = *state;
    snug_memory_options options = { .struct_size = sizeof options };
    size_t refused_count = 0;
    uint64_t peak;

    write_set(made);
    snug_checkpoint_close(open_sound(made, NULL));
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

/* A part under a name that does not say so. */
static void refuses_a_part_that_was_renamed(void **state)
{
    fixture *made = *state;
    gguf_writer file;

    put_head(&file, 3, 0, 2 + VOCABULARY_ENTRIES);
    put_vocabulary(&file);
    put_key_u32(&file, "split.count", 5);
    put_key_u32(&file, "split.no", 0);
    write_file(made, "renamed.gguf", &file);
    expect_refusal(made, "renamed.gguf", SNUG_ERR_CORRUPT, "split.count is 5", "NAME-00001-of-00005.gguf");
}

static void takes_odd_names_for_plain_ones(void **state)
{
    static const char *const names[] = { "-00001-of-00002.gguf",  "m-00003-of-00002.gguf",
                                         "m-00000-of-00002.gguf", "m-0001-of-00002.gguf",
                                         "m-00001-of-0000a.gguf", "m-00001-of-00001.gguf" };
    fixture *made = *state;

    for (size_t i = 0; i < SNUG_COUNT(names); i++) {
        write_single(made, names[i]);
        snug_checkpoint_close(open_sound(made, names[i]));
        folder_delete(made->folder, names[i]);
    }
}

/* --- the shared models ---------------------------------------------------------------------------------- */

/* "BF16 8 F32 5": types and how many tensors have them; and the size of the mapped file. */
static void compare_with_row(snug_memory *memory, const char *name, unsigned long long bytes, const char *row)
{
    snug_error error = { .text = "" };
    snug_checkpoint *checkpoint = NULL;
    size_t total = 0;
    char path[512];
    char type[16];
    unsigned count;
    int read_bytes;

    snprintf(path, sizeof path, FIXTURES "/%s", name);
    if (snug_checkpoint_open(&checkpoint, memory, path, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    assert_int_equal(snug_checkpoint_mapped_bytes(checkpoint), bytes);
    for (; sscanf(row, " %15s %u%n", type, &count, &read_bytes) == 2; row += read_bytes) {
        unsigned found = 0;

        for (size_t i = 0; i < snug_checkpoint_tensor_count(checkpoint); i++)
            found += snug_str_is(snug_checkpoint_tensor(checkpoint, i)->type_name, type) &&
                     snug_checkpoint_tensor(checkpoint, i)->type != SNUG_TYPE_NONE;
        /* Four tensors of Gemma 3n are stacks of three. */
        if (found != count && !(strstr(name, "gemma3n") && found > count))
            fail_msg("%s: %u tensors of %s, expected %u", name, found, type, count);
        total += found;
    }
    assert_int_equal(total, snug_checkpoint_tensor_count(checkpoint));
    snug_checkpoint_close(checkpoint);
}

static void opens_every_shared_model(void **state)
{
    fixture *made = *state;
    FILE *table = fopen(FIXTURES "/README.md", "r");
    unsigned models = 0;
    char line[1024];

    if (!table) {
        print_message("skipped: the shared models are not there (" FIXTURES ")\n");
        skip();
    }
    while (fgets(line, sizeof line, table)) {
        unsigned long long bytes;
        char name[64];
        char types[128];

        if (sscanf(line, "| %63[^ |] | %llu | %127[^|] |", name, &bytes, types) != 3)
            continue;
        compare_with_row(made->memory, name, bytes, types);
        models++;
    }
    fclose(table);
    print_message("%u models opened, types and sizes as in their table\n", models);
    assert_int_equal(models, 39);
}

/* Files that hold a tokenizer and nothing else. */
static void opens_files_without_tensors(void **state)
{
    static const struct {
        const char *name;
        uint64_t tokens;
        const char *model;
    } files[] = {
        { "gpt-2", 50257, "gpt2" },
        { "llama-spm", 32000, "llama" },
        { "phi-3", 32064, "llama" },
    };
    fixture *made = *state;

    for (size_t i = 0; i < SNUG_COUNT(files); i++) {
        snug_checkpoint *checkpoint = NULL;
        char path[512];

        snprintf(path, sizeof path, SNUG_SHARED_FOLDER "/tokenizers/ggml-vocab-%s.gguf", files[i].name);
        if (snug_checkpoint_open(&checkpoint, made->memory, path, &made->error) != SNUG_OK) {
            if (made->error.status != SNUG_ERR_IO)
                fail_msg("%s", made->error.text);
            print_message("skipped: %s is not there\n", path);
            skip();
        }
        assert_int_equal(snug_checkpoint_tensor_count(checkpoint), 0);
        assert_int_equal(snug_checkpoint_vocabulary(checkpoint)->tokens.count, files[i].tokens);
        assert_true(snug_str_is(snug_checkpoint_vocabulary(checkpoint)->model, files[i].model));
        snug_checkpoint_close(checkpoint);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(shows_what_the_file_says),
        TEST(names_the_file_where_configuration_fails),
        TEST(the_path_decides),
        TEST(refuses_a_folder_of_several_models),
        TEST(any_part_opens_the_whole_set),
        TEST(refuses_a_set_that_is_not_whole),
        TEST(survives_every_refusal_of_memory),
        TEST(refuses_a_part_that_was_renamed),
        TEST(takes_odd_names_for_plain_ones),
        TEST(opens_every_shared_model),
        TEST(opens_files_without_tensors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
