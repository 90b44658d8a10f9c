/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_inspect.c - what the library tells about a model's files: against the file's size and the model's own
 * count of parameters.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <snug/snug.h>

#define MODEL SNUG_SOURCE_FOLDER "/models/mini"

typedef struct rig {
    snug_memory *memory;
    snug_model *model;
    snug_model_info info;
} rig;

static void rig_open(rig *r, const char *path)
{
    snug_error error = { SNUG_OK, "" };

    assert_int_equal(snug_memory_create(&r->memory, NULL), SNUG_OK);
    if (snug_model_open(&r->model, r->memory, path, NULL, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    r->info.struct_size = sizeof r->info;
    snug_model_read_info(&r->info, r->model);
}

static void rig_close(rig *r)
{
    snug_model_close(r->model);
    snug_memory_destroy(r->memory);
}

static void tensors_add_up_to_the_model(void **state)
{
    char last[256] = "";
    uint64_t weights = 0, bytes = 0;
    snug_weight_file_info file = { .struct_size = sizeof file };
    rig r;

    (void)state;
    rig_open(&r, MODEL);
    for (size_t i = 0; i < snug_model_tensor_count(r.model); i++) {
        snug_tensor_info tensor = { .struct_size = sizeof tensor };
        char name[256];
        uint64_t values = 1;

        snug_model_read_tensor(&tensor, r.model, i);
        assert_true(tensor.name_bytes > 0 && tensor.name_bytes < sizeof name);
        memcpy(name, tensor.name, tensor.name_bytes);
        name[tensor.name_bytes] = '\0';
        assert_true(strcmp(last, name) < 0); /* in order, none twice */
        memcpy(last, name, sizeof last);
        assert_string_equal(tensor.type, "BF16");
        assert_string_equal(tensor.file_type, "BF16");
        assert_int_equal(tensor.group, 0);
        for (uint32_t d = 0; d < tensor.rank; d++)
            values *= tensor.shape[d];
        assert_int_equal(tensor.weights, values);
        assert_int_equal(tensor.bytes, 2 * values);
        weights += tensor.weights;
        bytes += tensor.bytes;
    }
    assert_int_equal(weights, r.info.parameters); /* this model uses every tensor once */
    assert_int_equal(snug_model_weight_file_count(r.model), 1);
    snug_model_read_weight_file(&file, r.model, 0);
    assert_string_equal(file.name, "model.safetensors");
    assert_string_equal(file.format, "safetensors");
    assert_int_equal(file.tensor_count, snug_model_tensor_count(r.model));
    assert_int_equal(file.bytes, bytes);
    assert_in_range(r.info.mapped_bytes - bytes, 1, 16384); /* the header */
    rig_close(&r);
}

static void layers_and_text_files_are_told(void **state)
{
    snug_text_files_info text = { .struct_size = sizeof text };
    rig r;

    (void)state;
    rig_open(&r, MODEL);
    for (uint32_t i = 0; i < r.info.layer_count; i++) {
        snug_layer_info layer = { .struct_size = sizeof layer };

        snug_model_read_layer(&layer, r.model, i);
        assert_int_equal(layer.head_count, r.info.head_count);
        assert_int_equal(layer.kv_head_count, r.info.kv_head_count);
        assert_int_equal(layer.head_dim, r.info.head_dim);
        assert_int_equal(layer.mlp, 384);
    }
    snug_model_read_text_files(&text, r.model);
    assert_string_equal(text.tokenizer, "byte-level BPE");
    assert_string_equal(text.tokenizer_file, "tokenizer.json");
    assert_string_equal(text.template_file, "tokenizer_config.json");
    assert_in_range(text.chat_template_bytes, 1, 4096);
    assert_int_equal(snug_model_rope_short_tokens(r.model), 0);
    rig_close(&r);
}

static void looking_takes_no_memory(void **state)
{
    snug_tensor_info tensor = { .struct_size = sizeof tensor };
    uint64_t before;
    rig r;

    (void)state;
    rig_open(&r, MODEL);
    before = snug_memory_read_all(r.memory).used_bytes;
    for (size_t i = 0; i < snug_model_tensor_count(r.model); i++)
        snug_model_read_tensor(&tensor, r.model, i);
    assert_int_equal(snug_memory_read_all(r.memory).used_bytes, before);
    rig_close(&r);
}

static void an_open_model_wants_its_weights_in_memory(void **state)
{
    rig r;

    (void)state;
    rig_open(&r, MODEL);
    assert_true(r.info.weight_bytes > 0);
    assert_int_equal(snug_memory_wanted_weights(r.memory), r.info.weight_bytes);
    snug_model_close(r.model);
    assert_int_equal(snug_memory_wanted_weights(r.memory), 0);
    snug_memory_destroy(r.memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_add_up_to_the_model),
        cmocka_unit_test(layers_and_text_files_are_told),
        cmocka_unit_test(looking_takes_no_memory),
        cmocka_unit_test(an_open_model_wants_its_weights_in_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
