/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_shared_checkpoints.c - the shared fixtures: every damaged folder or GGUF file is refused here or left
 * to the layer that can see its fault, and every sound file is compared with a second reading by jansson and
 * stdio.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "format/checkpoint.h"

#define FIXTURES SNUG_SHARED_FOLDER "/fixtures"

/* Cases whose fault lies in what format/ reads, and the file that the sentence must name. */
static const struct {
    const char *name;
    const char *file;
} refused_here[] = {
    { "config-cut", "config.json" },
    { "config-deep", "config.json" },
    { "config-directory", "config.json" },
    { "config-eps-infinite", "config.json" },
    { "config-invalid-utf8", "config.json" },
    { "config-no-model-type", "config.json" },
    { "config-none", "config.json" },
    { "config-rope-theta-nan", "config.json" },
    { "index-absolute-path", "model.safetensors.index.json" },
    { "index-missing-file", ".safetensors" },
    { "index-not-json", "model.safetensors.index.json" },
    { "index-parent-good", "model.safetensors.index.json" },
    { "index-parent-path", "model.safetensors.index.json" },
    { "st-data-cut", "model.safetensors" },
    { "st-data-trailing", "model.safetensors" },
    { "st-dtype-unknown", "model.safetensors" },
    { "st-duplicate-name", "model.safetensors" },
    { "st-empty", "model.safetensors" },
    { "st-header-cut", "model.safetensors" },
    { "st-header-deep", "model.safetensors" },
    { "st-header-invalid-utf8", "model.safetensors" },
    { "st-header-length-0", "model.safetensors" },
    { "st-header-length-2e63", "model.safetensors" },
    { "st-header-length-max", "model.safetensors" },
    { "st-header-length-past-end", "model.safetensors" },
    { "st-header-not-json", "model.safetensors" },
    { "st-header-nul-name", "model.safetensors" },
    { "st-header-surrogate", "model.safetensors" },
    { "st-offsets-2e64", "model.safetensors" },
    { "st-offsets-negative", "model.safetensors" },
    { "st-offsets-overlap", "model.safetensors" },
    { "st-offsets-past-end", "model.safetensors" },
    { "st-offsets-reversed", "model.safetensors" },
    { "st-shape-negative", "model.safetensors" },
    { "st-shape-size-mismatch", "model.safetensors" },
    { "st-shape-wraps", "model.safetensors" },
    { "tokenizer-cut", "tokenizer.json" },
    { "tokenizer-deep", "tokenizer.json" },
};

/* GGUF files whose structure is at fault, and what the sentence must hold. */
static const struct {
    const char *name;
    const char *sentence;
} refused_gguf[] = {
    { "gguf-alignment-0.gguf", "general.alignment is 0" },
    { "gguf-alignment-3.gguf", "general.alignment is 3" },
    { "gguf-array-count-2e61.gguf", "2305843009213693952 elements" },
    { "gguf-array-nested.gguf", "array of arrays" },
    { "gguf-array-of-arrays.gguf", "array of arrays" },
    { "gguf-array-strings-2e40.gguf", "1099511627776 elements" },
    { "gguf-array-type-unknown.gguf", "type 77" },
    { "gguf-big-endian.gguf", "big-endian" },
    { "gguf-cut-data.gguf", "cut" },
    { "gguf-cut-metadata.gguf", "tokenizer.ggml.tokens" },
    { "gguf-dim-count-2e32.gguf", "4294967295 dimensions" },
    { "gguf-dim-negative.gguf", "dimension of -32" },
    { "gguf-dim-zero.gguf", "dimension of 0" },
    { "gguf-dims-wrap.gguf", "more than 2^64 bytes" },
    { "gguf-empty.gguf", "not a GGUF file" },
    { "gguf-key-duplicate.gguf", "given twice" },
    { "gguf-key-length-max.gguf", "key of metadata 0" },
    { "gguf-magic.gguf", "not a GGUF file" },
    { "gguf-name-duplicate.gguf", "'blk.0.ffn_gate.weight' is described twice" },
    { "gguf-offset-overlap.gguf", "share bytes" },
    { "gguf-offset-past-end.gguf", "offset 1099511627776" },
    { "gguf-offset-unaligned.gguf", "multiple of 32" },
    { "gguf-offset-wraps.gguf", "offset 18446744073709551584" },
    { "gguf-split.gguf", "split.count is 5" },
    { "gguf-tensor-count-2e63.gguf", "9223372036854775808 tensors" },
    { "gguf-tensor-count-one-more.gguf", "no name" },
    { "gguf-type-removed.gguf", "type 4" },
    { "gguf-type-row-not-whole.gguf", "block of Q4_K" },
    { "gguf-type-unknown.gguf", "type 1000" },
    { "gguf-value-type-unknown.gguf", "type 77" },
    { "gguf-version-0.gguf", "version 0" },
    { "gguf-version-1.gguf", "version 1" },
    { "gguf-version-99.gguf", "version 99" },
};

static FILE *open_list(void)
{
    FILE *list = fopen(FIXTURES "/bad/cases.tsv", "r");

    if (!list) {
        print_message("skipped: the shared fixtures are not there (" FIXTURES ")\n");
        skip();
    }
    return list;
}

static snug_memory *new_memory(void)
{
    snug_memory *memory = NULL;

    assert_int_equal(snug_memory_create(&memory, NULL), SNUG_OK);
    return memory;
}

static const char *file_to_name(const char *name)
{
    for (size_t i = 0; i < SNUG_COUNT(refused_here); i++)
        if (strcmp(refused_here[i].name, name) == 0)
            return refused_here[i].file;
    return NULL;
}

/* One case of the list; returns whether it was refused. */
static bool try_case(snug_memory *memory, const char *name, const char *expect)
{
    const char *file = file_to_name(name);
    snug_checkpoint *checkpoint = NULL;
    snug_error error = { .text = "" };
    char path[512];
    snug_status status;

    snprintf(path, sizeof path, FIXTURES "/bad/%s", name);
    status = snug_checkpoint_open(&checkpoint, memory, path, &error);
    snug_checkpoint_close(checkpoint);
    if (file) {
        assert_string_equal(expect, "refuse");
        if (status == SNUG_OK)
            fail_msg("%s was opened", name);
        /* Behind the folder's own name, which may hold the same word. */
        if (!strstr(error.text, file) || error.status != status)
            fail_msg("%s: '%s' does not name %s", name, error.text, file);
        print_message("refused %-26s %s\n", name, strstr(error.text, name) + strlen(name));
    } else if (status != SNUG_OK) {
        fail_msg("%s (%s) was refused: %s", name, expect, error.text);
    }
    return status != SNUG_OK;
}

static void refuses_what_can_be_seen_here(void **state)
{
    FILE *list = open_list();
    snug_memory *memory = new_memory();
    size_t refused_count = 0;
    size_t opened_count = 0;
    char line[512];

    (void)state;
    while (fgets(line, sizeof line, list)) {
        char name[128];
        char expect[32];

        assert_int_equal(sscanf(line, "%127[^\t]\t%31[^\t]", name, expect), 2);
        if (strstr(name, ".gguf"))
            continue;
        if (try_case(memory, name, expect)) {
            refused_count++;
        } else {
            print_message("opened  %-26s (%s)\n", name, expect);
            opened_count++;
        }
    }
    fclose(list);
    print_message("%zu folders refused here, %zu opened and left to later layers\n", refused_count,
                  opened_count);
    assert_int_equal(refused_count, SNUG_COUNT(refused_here));
    snug_memory_destroy(memory);
}

static const char *sentence_of(const char *name)
{
    for (size_t i = 0; i < SNUG_COUNT(refused_gguf); i++)
        if (strcmp(refused_gguf[i].name, name) == 0)
            return refused_gguf[i].sentence;
    return NULL;
}

static void try_gguf_case(snug_memory *memory, const char *name, const char *expect)
{
    const char *sentence = sentence_of(name);
    snug_checkpoint *checkpoint = NULL;
    snug_error error = { .text = "" };
    char path[512];
    snug_status status;

    snprintf(path, sizeof path, FIXTURES "/bad/%s", name);
    status = snug_checkpoint_open(&checkpoint, memory, path, &error);
    snug_checkpoint_close(checkpoint);
    print_message("%-7s %-30s %s\n", status == SNUG_OK ? "opened" : "refused", name,
                  status == SNUG_OK ? "" : error.text);
    if (status == SNUG_OK && sentence)
        fail_msg("%s was opened", name);
    if (status != SNUG_OK && (strcmp(expect, "accept") == 0 || !strstr(error.text, name) ||
                              (sentence && !strstr(error.text, sentence))))
        fail_msg("%s (%s): %s", name, expect, error.text);
}

static void refuses_gguf_files_of_damaged_structure(void **state)
{
    FILE *list = open_list();
    snug_memory *memory = new_memory();
    size_t listed_count = 0;
    char line[512];

    (void)state;
    while (fgets(line, sizeof line, list)) {
        char name[128];
        char expect[32];

        assert_int_equal(sscanf(line, "%127[^\t]\t%31[^\t]", name, expect), 2);
        if (!strstr(name, ".gguf"))
            continue;
        try_gguf_case(memory, name, expect);
        listed_count += sentence_of(name) != NULL;
    }
    fclose(list);
    assert_int_equal(listed_count, SNUG_COUNT(refused_gguf));
    assert_int_equal(snug_memory_read_all(memory).used_bytes, 0);
    snug_memory_destroy(memory);
}

/* Faults that show when a model asks for its tensors. */
static void refuses_tensors_that_do_not_fit(void **state)
{
    static const struct {
        const char *folder;
        const char *tensor;
        uint64_t rows;
        uint64_t columns;
        snug_status status;
    } cases[] = {
        { "good-folder", "model.embed_tokens.weight", 272, 32, SNUG_OK },
        { "good-folder", "model.layers.0.self_attn.k_proj.weight", 16, 32, SNUG_OK },
        { "st-empty-embedding", "model.embed_tokens.weight", 272, 32, SNUG_ERR_CORRUPT },
        { "st-shape-not-config", "model.layers.0.self_attn.k_proj.weight", 16, 32, SNUG_ERR_CORRUPT },
        { "st-shape-rank-3", "model.layers.0.self_attn.o_proj.weight", 32, 32, SNUG_ERR_CORRUPT },
        { "st-tensor-missing", "model.layers.0.mlp.down_proj.weight", 32, 32, SNUG_ERR_CORRUPT },
        { "index-wrong-shard", "model.layers.0.self_attn.q_proj.weight", 32, 32, SNUG_OK },
    };
    snug_memory *memory;

    (void)state;
    fclose(open_list());
    memory = new_memory();
    for (size_t i = 0; i < SNUG_COUNT(cases); i++) {
        const snug_tensor *tensor;
        snug_checkpoint *checkpoint;
        snug_error error = { .text = "" };
        char path[512];

        snprintf(path, sizeof path, FIXTURES "/bad/%s", cases[i].folder);
        assert_int_equal(snug_checkpoint_open(&checkpoint, memory, path, &error), SNUG_OK);
        if (snug_checkpoint_matrix(&tensor, checkpoint, cases[i].tensor, cases[i].rows, cases[i].columns,
                                   &error) != cases[i].status)
            fail_msg("%s: %s", cases[i].folder, error.text);
        snug_checkpoint_close(checkpoint);
    }
    snug_memory_destroy(memory);
}

/* st-dtype-integer: some weight is I16; asking for it says so. */
static void names_the_type_that_no_weight_may_have(void **state)
{
    snug_memory *memory;
    snug_checkpoint *checkpoint;
    snug_error error = { .text = "" };
    size_t integer_count = 0;

    (void)state;
    fclose(open_list());
    memory = new_memory();
    assert_int_equal(snug_checkpoint_open(&checkpoint, memory, FIXTURES "/bad/st-dtype-integer", &error),
                     SNUG_OK);
    for (size_t i = 0; i < snug_checkpoint_tensor_count(checkpoint); i++) {
        const snug_tensor *tensor = snug_checkpoint_tensor(checkpoint, i);
        const snug_tensor *found;
        char name[128];

        if (tensor->type != SNUG_TYPE_NONE)
            continue;
        integer_count++;
        snprintf(name, sizeof name, "%.*s", SNUG_STR_ARGS(tensor->name));
        assert_int_equal(tensor->rank, 2);
        assert_int_equal(
            snug_checkpoint_matrix(&found, checkpoint, name, tensor->shape[0], tensor->shape[1], &error),
            SNUG_ERR_UNSUPPORTED);
        assert_non_null(strstr(error.text, "I16"));
    }
    assert_int_equal(integer_count, 1);
    snug_checkpoint_close(checkpoint);
    snug_memory_destroy(memory);
}

/* --- the second reading --------------------------------------------------------------------------------- */

static unsigned char *read_whole_file(const char *path, size_t *bytes_out)
{
    FILE *file = fopen(path, "rb");
    unsigned char *bytes;
    long length;

    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    length = ftell(file);
    assert_true(length >= 8);
    rewind(file);
    bytes = malloc((size_t)length);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)length, file), (size_t)length);
    fclose(file);
    *bytes_out = (size_t)length;
    return bytes;
}

static void compare_tensor(const snug_tensor *tensor, const json_t *entry, const unsigned char *data)
{
    const json_t *shape = json_object_get(entry, "shape");
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    const size_t begin = (size_t)json_integer_value(json_array_get(offsets, 0));
    const size_t end = (size_t)json_integer_value(json_array_get(offsets, 1));

    assert_non_null(tensor);
    assert_true(snug_str_is(tensor->type_name, dtype));
    if (tensor->type != SNUG_TYPE_NONE)
        assert_string_equal(snug_type_layout_of(tensor->type)->name, dtype);
    assert_int_equal(tensor->rank, json_array_size(shape));
    for (size_t i = 0; i < tensor->rank; i++)
        assert_int_equal(tensor->shape[i], json_integer_value(json_array_get(shape, i)));
    assert_int_equal(tensor->bytes, end - begin);
    if (end > begin)
        assert_memory_equal(tensor->data, data + begin, end - begin);
}

/* Every tensor of one weight file; returns how many there are. */
static size_t compare_file(const snug_checkpoint *checkpoint, const char *path)
{
    size_t bytes;
    unsigned char *file = read_whole_file(path, &bytes);
    uint64_t header_bytes = 0;
    json_t *header;
    const char *name;
    json_t *entry;
    size_t count = 0;

    for (unsigned i = 8; i-- > 0;)
        header_bytes = header_bytes << 8 | file[i];
    header = json_loadb((const char *)file + 8, (size_t)header_bytes, 0, NULL);
    assert_non_null(header);
    json_object_foreach(header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        compare_tensor(snug_checkpoint_find(checkpoint, name), entry, file + 8 + header_bytes);
        count++;
    }
    json_decref(header);
    free(file);
    return count;
}

static size_t compare_checkpoint(snug_memory *memory, const char *folder, const char *only)
{
    snug_checkpoint *checkpoint;
    snug_error error = { .text = "" };
    size_t count = 0;
    char path[512];

    snprintf(path, sizeof path, FIXTURES "/%s%s%s", folder, only ? "/" : "", only ? only : "");
    if (snug_checkpoint_open(&checkpoint, memory, path, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    for (size_t i = 0; i < snug_checkpoint_weight_file_count(checkpoint); i++) {
        snprintf(path, sizeof path, FIXTURES "/%s/%s", folder,
                 snug_checkpoint_weight_file_name(checkpoint, i));
        count += compare_file(checkpoint, path);
    }
    assert_int_equal(count, snug_checkpoint_tensor_count(checkpoint));
    assert_int_equal(snug_memory_read_all(memory).used_bytes, snug_checkpoint_ledger_bytes(checkpoint));
    snug_checkpoint_close(checkpoint);
    return count;
}

static void reads_every_tensor_as_a_second_reader_does(void **state)
{
    static const char *const folders[] = { "llama-tied", "llama-untied", "qwen3",        "phi3",
                                           "gemma3",     "gemma3n",      "gemma3n-text", "smollm3",
                                           "openelm",    "qwen3-mlx4",   "llama-mlx8",   "gemma3-mlx-mixed" };
    static const char *const bad_folders[] = { "bad/good-folder",        "bad/ok-shards",
                                               "bad/ok-st-order",        "bad/ok-st-mixed-dtypes",
                                               "bad/ok-st-extra-tensor", "bad/index-wrong-shard" };
    snug_memory *memory;
    size_t count = 0;

    (void)state;
    fclose(open_list());
    memory = new_memory();
    for (size_t i = 0; i < SNUG_COUNT(folders); i++) {
        count += compare_checkpoint(memory, folders[i], NULL);
        count += compare_checkpoint(memory, folders[i], "expected.safetensors");
    }
    for (size_t i = 0; i < SNUG_COUNT(bad_folders); i++)
        count += compare_checkpoint(memory, bad_folders[i], NULL);
    print_message("%zu tensors compared\n", count);
    snug_memory_destroy(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_can_be_seen_here),
        cmocka_unit_test(refuses_gguf_files_of_damaged_structure),
        cmocka_unit_test(refuses_tensors_that_do_not_fit),
        cmocka_unit_test(names_the_type_that_no_weight_may_have),
        cmocka_unit_test(reads_every_tensor_as_a_second_reader_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
