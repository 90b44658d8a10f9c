/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static unsigned char *read_file(const char *path, size_t *bytes_out)
{
    FILE *file = fopen(path, "rb");
    unsigned char *data;
    long bytes;

    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    bytes = ftell(file);
    assert_true(bytes > 0);
    rewind(file);
    data = malloc((size_t)bytes);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, (size_t)bytes, file), (size_t)bytes);
    fclose(file);
    *bytes_out = (size_t)bytes;
    return data;
}

static uint32_t *read_ids(const json_t *array, size_t *count_out)
{
    const size_t count = json_array_size(array);
    uint32_t *ids = malloc((count + 1) * sizeof *ids);

    assert_non_null(ids);
    for (size_t i = 0; i < count; i++)
        ids[i] = (uint32_t)json_integer_value(json_array_get(array, i));
    *count_out = count;
    return ids;
}

/* Copies a tensor of floats: the file's bytes may lie at any address. */
static float *read_logits(const json_t *header, const unsigned char *data, const char *name, size_t *rows_out,
                          size_t *columns_out)
{
    const json_t *tensor = json_object_get(header, name);
    const json_t *shape = json_object_get(tensor, "shape");
    const json_t *offsets = json_object_get(tensor, "data_offsets");
    const size_t begin = (size_t)json_integer_value(json_array_get(offsets, 0));
    const size_t end = (size_t)json_integer_value(json_array_get(offsets, 1));
    float *logits = malloc(end - begin);

    assert_non_null(logits);
    assert_string_equal(json_string_value(json_object_get(tensor, "dtype")), "F32");
    *rows_out = (size_t)json_integer_value(json_array_get(shape, 0));
    *columns_out = (size_t)json_integer_value(json_array_get(shape, 1));
    assert_int_equal(end - begin, *rows_out * *columns_out * sizeof(float));
    memcpy(logits, data + begin, end - begin);
    return logits;
}

static void read_prompt(golden *g, golden_prompt *prompt, const json_t *json, const json_t *header,
                        const unsigned char *data)
{
    const json_t *greedy = json_object_get(json, "greedy");

    if (!greedy) /* where rotary frequencies change on the way, computed anew with those for the length */
        greedy = json_object_get(json, "greedy_crossing");
    prompt->name = json_string_value(json_object_get(json, "name"));
    prompt->ids = read_ids(json_object_get(json, "ids"), &prompt->id_count);
    prompt->first_position = (uint32_t)json_integer_value(json_object_get(json, "first_position"));
    prompt->logits = read_logits(header, data, json_string_value(json_object_get(json, "logits")),
                                 &prompt->rows, &g->vocabulary);
    if (greedy)
        prompt->greedy = read_ids(json_object_get(greedy, "ids"), &prompt->greedy_count);
}

bool golden_open(golden *out, const char *folder)
{
    char path[512];
    json_error_t error;
    json_t *prompts, *header;
    uint64_t header_bytes;
    size_t bytes;

    memset(out, 0, sizeof *out);
    snprintf(path, sizeof path, "%s/expected.json", folder);
    out->json = json_load_file(path, 0, &error);
    if (!out->json)
        return false;
    out->logits_std = json_number_value(json_object_get(out->json, "logits_std"));
    out->tolerance = json_number_value(json_object_get(out->json, "tolerance_max_abs"));
    snprintf(path, sizeof path, "%s/expected.safetensors", folder);
    out->tensors = read_file(path, &bytes);
    memcpy(&header_bytes, out->tensors, sizeof header_bytes);
    header = json_loadb((const char *)out->tensors + 8, (size_t)header_bytes, 0, &error);
    assert_non_null(header);
    prompts = json_object_get(out->json, "prompts");
    out->prompt_count = json_array_size(prompts);
    out->prompts = calloc(out->prompt_count, sizeof *out->prompts);
    assert_non_null(out->prompts);
    for (size_t i = 0; i < out->prompt_count; i++)
        read_prompt(out, &out->prompts[i], json_array_get(prompts, i), header,
                    out->tensors + 8 + header_bytes);
    json_decref(header);
    return true;
}

bool golden_tensors_open(golden_tensors *out, const char *path)
{
    FILE *file = fopen(path, "rb");
    json_error_t error;
    uint64_t header_bytes;
    size_t bytes;

    if (!file)
        return false;
    fclose(file);
    out->file = read_file(path, &bytes);
    memcpy(&header_bytes, out->file, sizeof header_bytes);
    out->header = json_loadb((const char *)out->file + 8, (size_t)header_bytes, 0, &error);
    assert_non_null(out->header);
    out->data = out->file + 8 + header_bytes;
    return true;
}

void golden_tensors_close(golden_tensors *tensors)
{
    json_decref(tensors->header);
    free(tensors->file);
}

golden_tensor golden_tensor_find(const golden_tensors *tensors, const char *name)
{
    const json_t *tensor = json_object_get(tensors->header, name);
    const json_t *shape = json_object_get(tensor, "shape");
    const json_t *offsets = json_object_get(tensor, "data_offsets");

    assert_non_null(tensor);
    assert_int_equal(json_array_size(shape), 2);
    return (golden_tensor){ tensors->data + json_integer_value(json_array_get(offsets, 0)),
                            (size_t)json_integer_value(json_array_get(shape, 0)),
                            (size_t)json_integer_value(json_array_get(shape, 1)) };
}

static uint32_t *read_id_tensor(const json_t *header, const unsigned char *data, const char *name,
                                size_t *count_out)
{
    const json_t *tensor = json_object_get(header, name);
    const json_t *offsets = json_object_get(tensor, "data_offsets");
    const size_t begin = (size_t)json_integer_value(json_array_get(offsets, 0));
    const size_t end = (size_t)json_integer_value(json_array_get(offsets, 1));
    uint32_t *ids = malloc(end - begin);

    assert_non_null(ids);
    assert_string_equal(json_string_value(json_object_get(tensor, "dtype")), "I32");
    memcpy(ids, data + begin, end - begin);
    *count_out = (end - begin) / sizeof *ids;
    return ids;
}

bool golden_pair_open(golden_pair *out, const char *path)
{
    static const char *const names[2] = { "short", "long" };
    FILE *file = fopen(path, "rb");
    json_error_t error;
    json_t *header;
    uint64_t header_bytes;
    unsigned char *tensors;
    size_t bytes;
    char name[32];

    memset(out, 0, sizeof *out);
    if (!file)
        return false;
    fclose(file);
    tensors = read_file(path, &bytes);
    memcpy(&header_bytes, tensors, sizeof header_bytes);
    header = json_loadb((const char *)tensors + 8, (size_t)header_bytes, 0, &error);
    assert_non_null(header);
    for (size_t i = 0; i < 2; i++) {
        golden_prompt *prompt = &out->prompts[i];

        prompt->name = names[i];
        snprintf(name, sizeof name, "ids.%s", names[i]);
        prompt->ids = read_id_tensor(header, tensors + 8 + header_bytes, name, &prompt->id_count);
        snprintf(name, sizeof name, "logits.%s", names[i]);
        prompt->logits =
            read_logits(header, tensors + 8 + header_bytes, name, &prompt->rows, &out->vocabulary);
        prompt->first_position = (uint32_t)(prompt->id_count - prompt->rows);
    }
    json_decref(header);
    free(tensors);
    return true;
}

void golden_pair_close(golden_pair *pair)
{
    for (size_t i = 0; i < 2; i++) {
        free(pair->prompts[i].ids);
        free(pair->prompts[i].logits);
    }
}

void golden_close(golden *g)
{
    for (size_t i = 0; i < g->prompt_count; i++) {
        free(g->prompts[i].ids);
        free(g->prompts[i].logits);
        free(g->prompts[i].greedy);
    }
    free(g->prompts);
    free(g->tensors);
    json_decref(g->json);
}
