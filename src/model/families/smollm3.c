/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smollm3.c - SmolLM3 (model_type "smollm3"): Llama's decoder, in which some layers, by default every fourth,
 * see no positions ("NoPE"; Kazemnejad et al. 2023). Those layers are full attention like the others.
 */
#include "model/blocks/blocks.h"
#include "model/families/families.h"

#include "base/status.h"

#define DEFAULT_ROPE_THETA 2000000.0
#define DEFAULT_INTERVAL   4u

/* One entry of a list in config.json that has one per layer. */
static snug_json entry(const snug_checkpoint *checkpoint, const char *key, uint32_t index)
{
    snug_json_iterator each = snug_json_iterate(snug_checkpoint_config(checkpoint, key));
    snug_json value = { NULL };

    for (uint32_t i = 0; i <= index; i++)
        if (!snug_json_next(&each, NULL, &value))
            return (snug_json){ NULL };
    return value;
}

static snug_status describe(snug_prenorm_layer *layer, const snug_model *model, uint32_t index,
                            snug_error *error)
{
    const snug_checkpoint *c = model->checkpoint;
    const snug_json listed = entry(c, "no_rope_layers", index); /* 1: rotated, 0: not */
    const snug_json type = entry(c, "layer_types", index);
    uint32_t interval = DEFAULT_INTERVAL;
    uint64_t is_rotated;

    SNUG_TRY(snug_checkpoint_u32_or(&interval, c, "no_rope_layer_interval", 1, SNUG_LAYERS_MAX, error));
    is_rotated = (index + 1) % interval != 0;
    if (snug_json_kind_of(snug_checkpoint_config(c, "no_rope_layers")) != SNUG_JSON_ABSENT &&
        (!snug_json_u64(&is_rotated, listed) || is_rotated > 1))
        return snug_checkpoint_config_fail(c, "no_rope_layers", SNUG_ERR_CORRUPT, "a 0 or a 1 for each layer",
                                           error);
    if (type.at && !snug_json_string_is(type, "full_attention"))
        return snug_checkpoint_config_fail(c, "layer_types", SNUG_ERR_UNSUPPORTED,
                                           "\"full_attention\" in every layer", error);
    layer->attention.rope = is_rotated ? 0 : SNUG_ROPE_NONE;
    return SNUG_OK;
}

static const snug_prenorm_options options = {
    .names = &snug_prenorm_llama_names,
    .rope = { SNUG_ROPE_KEYS(DEFAULT_ROPE_THETA) },
    .describe = describe,
};

static snug_status read_shape(snug_model *model, snug_error *error)
{
    model->shape.is_tied = true; /* of a file that does not say */
    return snug_prenorm_read_shape(model, error);
}

const snug_family snug_family_smollm3 = {
    .model_type = "smollm3",
    .prenorm = &options,
    .read_shape = read_shape,
    .bind = snug_prenorm_bind,
    SNUG_PRENORM_FAMILY,
};
