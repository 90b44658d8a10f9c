/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.c - numbers out of config.json, checked, with a sentence for each that cannot be used.
 */
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "format/checkpoint.h"
#include "format/checkpoint_private.h"

/* Paths are written in this program: none is longer. */
#define KEY_BYTES_MAX 128

snug_json snug_checkpoint_config(const snug_checkpoint *checkpoint, const char *path)
{
    snug_json value = snug_checkpoint_json(checkpoint, SNUG_FILE_CONFIG);
    char key[KEY_BYTES_MAX];

    while (*path && value.at) {
        const size_t bytes = strcspn(path, ".");

        SNUG_ASSERT(bytes < sizeof key);
        memcpy(key, path, bytes);
        key[bytes] = '\0';
        value = snug_json_get(value, key);
        path += bytes + (path[bytes] == '.');
    }
    if (snug_json_kind_of(value) == SNUG_JSON_NULL)
        value.at = NULL;
    return value;
}

snug_status snug_checkpoint_config_fail(const snug_checkpoint *checkpoint, const char *path,
                                        snug_status status, const char *expected, snug_error *error)
{
    const snug_json value = snug_checkpoint_config(checkpoint, path);
    const snug_str text = snug_json_text(value);
    const bool is_long = text.bytes > 60;

    if (value.at)
        (void)snug_fail(error, status, "%s is %.*s%s, expected %s", path, is_long ? 60 : (int)text.bytes,
                        text.data, is_long ? "..." : "", expected);
    else
        (void)snug_fail(error, status, "%s is missing, expected %s", path, expected);
    return snug_path_fail(error, status, checkpoint->config_path);
}

static bool is_absent(const snug_checkpoint *checkpoint, const char *path)
{
    return !snug_checkpoint_config(checkpoint, path).at;
}

snug_status snug_checkpoint_u32(uint32_t *out, const snug_checkpoint *checkpoint, const char *path,
                                uint32_t min, uint32_t max, snug_error *error)
{
    char expected[64];
    uint64_t value;

    if (snug_json_u64(&value, snug_checkpoint_config(checkpoint, path)) && value >= min && value <= max) {
        *out = (uint32_t)value;
        return SNUG_OK;
    }
    snprintf(expected, sizeof expected, "an integer from %lu to %lu", (unsigned long)min, (unsigned long)max);
    return snug_checkpoint_config_fail(checkpoint, path, SNUG_ERR_CORRUPT, expected, error);
}

snug_status snug_checkpoint_f64(double *out, const snug_checkpoint *checkpoint, const char *path, double min,
                                double max, snug_error *error)
{
    char expected[96];
    double value;

    if (snug_json_f64(&value, snug_checkpoint_config(checkpoint, path)) && value >= min && value <= max) {
        *out = value;
        return SNUG_OK;
    }
    snprintf(expected, sizeof expected, "a number from %g to %g", min, max);
    return snug_checkpoint_config_fail(checkpoint, path, SNUG_ERR_CORRUPT, expected, error);
}

snug_status snug_checkpoint_bool(bool *out, const snug_checkpoint *checkpoint, const char *path,
                                 snug_error *error)
{
    if (snug_json_bool(out, snug_checkpoint_config(checkpoint, path)))
        return SNUG_OK;
    return snug_checkpoint_config_fail(checkpoint, path, SNUG_ERR_CORRUPT, "true or false", error);
}

snug_status snug_checkpoint_u32_or(uint32_t *inout, const snug_checkpoint *checkpoint, const char *path,
                                   uint32_t min, uint32_t max, snug_error *error)
{
    SNUG_RETURN_IF(is_absent(checkpoint, path), SNUG_OK);
    return snug_checkpoint_u32(inout, checkpoint, path, min, max, error);
}

snug_status snug_checkpoint_f64_or(double *inout, const snug_checkpoint *checkpoint, const char *path,
                                   double min, double max, snug_error *error)
{
    SNUG_RETURN_IF(is_absent(checkpoint, path), SNUG_OK);
    return snug_checkpoint_f64(inout, checkpoint, path, min, max, error);
}

snug_status snug_checkpoint_bool_or(bool *inout, const snug_checkpoint *checkpoint, const char *path,
                                    snug_error *error)
{
    SNUG_RETURN_IF(is_absent(checkpoint, path), SNUG_OK);
    return snug_checkpoint_bool(inout, checkpoint, path, error);
}

/* --- model_type ----------------------------------------------------------------------------------------- */

/* What the classes of `architectures` are called as a model_type. */
static const struct {
    const char *architecture;
    const char *model_type;
} architectures[] = {
    { "LlamaForCausalLM", "llama" },
    { "MistralForCausalLM", "mistral" },
    { "Qwen2ForCausalLM", "qwen2" },
    { "Qwen3ForCausalLM", "qwen3" },
    { "Phi3ForCausalLM", "phi3" },
    { "Gemma3ForCausalLM", "gemma3_text" },
    { "Gemma3ForConditionalGeneration", "gemma3" },
    { "Gemma3nForCausalLM", "gemma3n_text" },
    { "Gemma3nForConditionalGeneration", "gemma3n" },
    { "SmolLM3ForCausalLM", "smollm3" },
    { "OpenELMForCausalLM", "openelm" },
};

snug_status snug_checkpoint_read_model_type(snug_checkpoint *checkpoint, snug_error *error)
{
    const snug_json model_type = snug_checkpoint_config(checkpoint, "model_type");
    snug_json_iterator iterator = snug_json_iterate(snug_checkpoint_config(checkpoint, "architectures"));
    snug_json architecture = { NULL };

    checkpoint->model_type = snug_json_string(model_type);
    if (!model_type.at && snug_json_next(&iterator, NULL, &architecture))
        checkpoint->model_type = snug_json_string(architecture);
    if (checkpoint->model_type.bytes == 0)
        return snug_checkpoint_config_fail(checkpoint, "model_type", SNUG_ERR_CORRUPT,
                                           "the name of a model family", error);
    for (size_t i = 0; architecture.at && i < SNUG_COUNT(architectures); i++)
        if (snug_json_string_is(architecture, architectures[i].architecture))
            checkpoint->model_type = snug_str_from(architectures[i].model_type);
    return SNUG_OK;
}

snug_str snug_checkpoint_model_type(const snug_checkpoint *checkpoint)
{
    return checkpoint->model_type;
}
