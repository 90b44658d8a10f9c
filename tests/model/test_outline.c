/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_outline.c - a model opened from its config.json alone, against the same model opened from its files:
 * tensors, cache, plan.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <snug/snug.h>

#define FIXTURES SNUG_SHARED_FOLDER "/fixtures/"

typedef struct rig {
    snug_memory *memory;
    snug_model *model;
    snug_model_info info;
} rig;

static void rig_make(rig *r)
{
    assert_int_equal(snug_memory_create(&r->memory, NULL), SNUG_OK);
    r->info.struct_size = sizeof r->info;
}

static bool rig_open_files(rig *r, const char *path)
{
    snug_error error = { SNUG_OK, "" };

    rig_make(r);
    if (snug_model_open(&r->model, r->memory, path, NULL, &error) != SNUG_OK) {
        snug_memory_destroy(r->memory);
        if (error.status != SNUG_ERR_IO)
            fail_msg("%s", error.text);
        return false;
    }
    snug_model_read_info(&r->info, r->model);
    return true;
}

static snug_status rig_outline(rig *r, const char *config, const char *weights, snug_error *error)
{
    const snug_model_outline outline = { .struct_size = sizeof outline,
                                         .name = "the outline",
                                         .config = config,
                                         .config_bytes = strlen(config),
                                         .weights = weights };

    return snug_model_open_outline(&r->model, r->memory, &outline, NULL, error);
}

static char *read_config(const char *folder)
{
    char *text = calloc(1, 1u << 16);
    char path[512];
    FILE *file;

    assert_non_null(text);
    snprintf(path, sizeof path, "%s/config.json", folder);
    file = fopen(path, "rb");
    assert_non_null(file);
    assert_true(fread(text, 1, (1u << 16) - 1, file) > 0);
    fclose(file);
    return text;
}

static void rig_open_outline(rig *r, const char *folder, const char *weights)
{
    snug_error error = { SNUG_OK, "" };
    char *config = read_config(folder);

    rig_make(r);
    if (rig_outline(r, config, weights, &error) != SNUG_OK)
        fail_msg("%s: %s", folder, error.text);
    free(config);
    snug_model_read_info(&r->info, r->model);
}

static void rig_close(rig *r)
{
    snug_model_close(r->model);
    snug_memory_destroy(r->memory);
}

static snug_tensor_info tensor_at(const rig *r, size_t index)
{
    snug_tensor_info info = { .struct_size = sizeof info };

    snug_model_read_tensor(&info, r->model, index);
    return info;
}

static int compare_names(const snug_tensor_info *a, const snug_tensor_info *b)
{
    const size_t shorter = a->name_bytes < b->name_bytes ? a->name_bytes : b->name_bytes;
    const int order = memcmp(a->name, b->name, shorter);

    return order ? order : (a->name_bytes > b->name_bytes) - (a->name_bytes < b->name_bytes);
}

/* Every tensor of the outline is in the files, the same; the files may have more (vision, audio). */
static uint64_t compare_tensors(const rig *outline, const rig *files)
{
    size_t at = 0;
    uint64_t bytes = 0;

    for (size_t i = 0; i < snug_model_tensor_count(outline->model); i++) {
        const snug_tensor_info expected = tensor_at(outline, i);
        snug_tensor_info found;

        do {
            if (at == snug_model_tensor_count(files->model))
                fail_msg("%.*s is not in the files", (int)expected.name_bytes, expected.name);
            found = tensor_at(files, at++);
        } while (compare_names(&found, &expected) != 0);
        assert_string_equal(found.file_type, expected.file_type);
        assert_int_equal(found.rank, expected.rank);
        assert_memory_equal(found.shape, expected.shape, sizeof found.shape);
        assert_int_equal(found.bytes, expected.bytes);
        bytes += found.bytes;
    }
    return bytes;
}

static void compare_caches(const snug_kv_shape *a, const snug_kv_shape *b)
{
    assert_int_equal(a->layer_count, b->layer_count);
    for (uint32_t i = 0; i < a->layer_count; i++) {
        assert_int_equal(a->layer[i].kv_head_count, b->layer[i].kv_head_count);
        assert_int_equal(a->layer[i].head_dim, b->layer[i].head_dim);
        assert_int_equal(a->layer[i].window_tokens, b->layer[i].window_tokens);
        assert_int_equal(a->layer[i].is_shared, b->layer[i].is_shared);
        assert_int_equal(a->layer[i].source, b->layer[i].source);
    }
}

static snug_plan plan_of(const rig *r)
{
    const snug_plan_options options = { .struct_size = sizeof options, .context_tokens = 2048 };
    snug_plan plan = { .struct_size = sizeof plan };
    snug_error error = { SNUG_OK, "" };

    if (snug_plan_make(&plan, r->model, r->memory, 0, &options, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    return plan;
}

static void assert_near(uint64_t value, uint64_t reference)
{
    const uint64_t distance = value > reference ? value - reference : reference - value;

    if (distance > reference / 100)
        fail_msg("%llu is not within 1 %% of %llu", (unsigned long long)value, (unsigned long long)reference);
}

static void compare_plans(const rig *outline, const rig *files)
{
    const snug_plan expected = plan_of(files);
    const snug_plan found = plan_of(outline);
    uint64_t expected_sum = 0, found_sum = 0;

    /* Layout is the same code: exact, but for tensors the model does not use and the text of config.json. */
    assert_int_equal(found.use_bytes[SNUG_MEMORY_KV], expected.use_bytes[SNUG_MEMORY_KV]);
    assert_int_equal(found.use_bytes[SNUG_MEMORY_SCRATCH], expected.use_bytes[SNUG_MEMORY_SCRATCH]);
    assert_int_equal(found.use_bytes[SNUG_MEMORY_WEIGHTS], expected.use_bytes[SNUG_MEMORY_WEIGHTS]);
    for (int use = 0; use < SNUG_MEMORY_USE_COUNT; use++) {
        expected_sum += expected.use_bytes[use];
        found_sum += found.use_bytes[use];
    }
    assert_near(found_sum, expected_sum);
    assert_near(found.peak_bytes - found.fixed_bytes, expected.peak_bytes - expected.fixed_bytes);
}

static void equals_the_files_of_every_family(void **state)
{
    static const struct {
        const char *folder;
        const char *weights;
    } rows[] = {
        { FIXTURES "llama-tied", "bf16" },
        { FIXTURES "llama-untied", "f16" },
        { FIXTURES "qwen3", "bf16" },
        { FIXTURES "phi3", "bf16" },
        { FIXTURES "gemma3", "bf16" },
        { FIXTURES "gemma3n", "bf16" },
        { FIXTURES "gemma3n-text", "bf16" },
        { FIXTURES "gemma3-mlx-mixed", "affine4:64" },
        { FIXTURES "smollm3", "bf16" },
        { FIXTURES "openelm", "f32" },
        { FIXTURES "qwen3-mlx4", "affine4:64" },
        { FIXTURES "llama-mlx8", "affine8:64" },
        { SNUG_SOURCE_FOLDER "/models/mini", "bf16" },
    };
    size_t compared = 0;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rig files = { 0 }, outline = { 0 };
        uint64_t bytes;

        if (!rig_open_files(&files, rows[i].folder))
            continue;
        print_message("%s\n", rows[i].folder);
        rig_open_outline(&outline, rows[i].folder, rows[i].weights);
        bytes = compare_tensors(&outline, &files);
        assert_int_equal(outline.info.mapped_bytes, bytes);
        assert_int_equal(outline.info.parameters, files.info.parameters);
        assert_int_equal(outline.info.weight_bytes, files.info.weight_bytes);
        assert_int_equal(outline.info.context_tokens, files.info.context_tokens);
        compare_caches(snug_model_kv_shape(outline.model), snug_model_kv_shape(files.model));
        compare_plans(&outline, &files);
        rig_close(&outline);
        rig_close(&files);
        compared++;
    }
    if (compared < sizeof rows / sizeof rows[0])
        skip(); /* without ../shared only the bundled model was compared */
}

/* Of an embedding beside a head of its own only rows are read. */
static void counts_the_bytes_read_for_one_token(void **state)
{
    static const char config[] =
        "{\"model_type\": \"llama\", \"vocab_size\": 1000, \"hidden_size\": 64, \"intermediate_size\": 96,"
        " \"num_hidden_layers\": 1, \"num_attention_heads\": 1, \"tie_word_embeddings\": %s}";
    const uint64_t layer = 2u * (4 * 64 * 64 + 3 * 64 * 96), table = 2u * 1000 * 64;
    char text[512];

    (void)state;
    for (int is_tied = 0; is_tied < 2; is_tied++) {
        snug_error error = { SNUG_OK, "" };
        rig r = { 0 };

        rig_make(&r);
        snprintf(text, sizeof text, config, is_tied ? "true" : "false");
        if (rig_outline(&r, text, "bf16", &error) != SNUG_OK)
            fail_msg("%s", error.text);
        snug_model_read_info(&r.info, r.model);
        assert_int_equal(r.info.weight_bytes, layer + table);
        assert_int_equal(r.info.mapped_bytes, layer + (is_tied ? 1 : 2) * table + 3 * 2 * 64);
        rig_close(&r);
    }
}

static void has_no_session(void **state)
{
    snug_error error = { SNUG_OK, "" };
    snug_session *session = NULL;
    rig r = { 0 };

    (void)state;
    rig_open_outline(&r, SNUG_SOURCE_FOLDER "/models/mini", "bf16");
    assert_int_equal(snug_session_create(&session, r.model, r.memory, NULL, &error), SNUG_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "has no weights"));
    rig_close(&r);
}

static void says_what_is_wrong(void **state)
{
    static const struct {
        const char *config;
        const char *weights;
        snug_status status;
        const char *text;
    } rows[] = {
        { "{\"model_type\": \"qwen3\"}", "bf17", SNUG_ERR_ARGUMENT, "weights \"bf17\" are not known" },
        { "{\"model_type\": \"qwen3\"", "bf16", SNUG_ERR_CORRUPT, "the outline: " },
        { "{}", "bf16", SNUG_ERR_CORRUPT, "model_type is missing" },
        { "{\"model_type\": \"rwkv\"}", "bf16", SNUG_ERR_UNSUPPORTED, "is not a family this build knows" },
        { "{\"model_type\": \"qwen3\"}", "bf16", SNUG_ERR_CORRUPT, "the outline: vocab_size is missing" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snug_error error = { SNUG_OK, "" };
        rig r = { 0 };

        rig_make(&r);
        assert_int_equal(rig_outline(&r, rows[i].config, rows[i].weights, &error), rows[i].status);
        if (!strstr(error.text, rows[i].text))
            fail_msg("\"%s\" is not in \"%s\"", rows[i].text, error.text);
        assert_null(r.model);
        assert_int_equal(snug_memory_read_all(r.memory).blocks, 0);
        snug_memory_destroy(r.memory);
    }
}

/* Each allocation refused in turn: a sentence, and nothing left behind. */
static void gives_all_back_when_memory_is_refused(void **state)
{
    char *config = read_config(SNUG_SOURCE_FOLDER "/models/mini");
    snug_status status = SNUG_ERR_OVER_LIMIT;

    (void)state;
    for (uint64_t n = 1; status != SNUG_OK; n++) {
        const snug_memory_options options = { .struct_size = sizeof options, .fail_after = n };
        snug_error error = { SNUG_OK, "" };
        rig r = { 0 };

        assert_true(n < 100);
        assert_int_equal(snug_memory_create(&r.memory, &options), SNUG_OK);
        status = rig_outline(&r, config, "affine4:64", &error);
        if (status != SNUG_OK)
            assert_int_equal(status, SNUG_ERR_OVER_LIMIT);
        snug_model_close(r.model);
        assert_int_equal(snug_memory_read_all(r.memory).blocks, 0);
        snug_memory_destroy(r.memory);
    }
    free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_files_of_every_family),
        cmocka_unit_test(counts_the_bytes_read_for_one_token),
        cmocka_unit_test(has_no_session),
        cmocka_unit_test(says_what_is_wrong),
        cmocka_unit_test(gives_all_back_when_memory_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
