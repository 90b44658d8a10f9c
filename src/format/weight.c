/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weight.c - matrices of a checkpoint, and what MLX makes of them: a module P that it quantized has its
 * packed integers in P.weight (U32), its scales and biases in P.scales and P.biases.
 *
 * Bits and group follow from the three shapes, since the caller knows how many columns the matrix has.
 * config.json says them too, for all modules and for single ones by path; what contradicts is refused.
 */
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "format/checkpoint.h"
#include "format/checkpoint_private.h"
#include "format/outline.h"
#include "format/tensor.h"

#define NAME_BYTES_MAX 256

typedef struct packed_parts {
    const snug_tensor *weight;
    const snug_tensor *scales;
    const snug_tensor *biases;
    char module[NAME_BYTES_MAX];
} packed_parts;

static const snug_tensor *find_part(const snug_checkpoint *checkpoint, const char *module, const char *part)
{
    char name[NAME_BYTES_MAX + 16];

    snprintf(name, sizeof name, "%s.%s", module, part);
    return snug_checkpoint_find(checkpoint, name);
}

/* Whether `name` is the weight of a module that has scales. */
static bool find_parts(packed_parts *parts, const snug_checkpoint *checkpoint, const char *name)
{
    static const char suffix[] = ".weight";
    const size_t bytes = strlen(name);

    if (bytes < sizeof suffix || bytes - (sizeof suffix - 1) >= NAME_BYTES_MAX ||
        strcmp(name + bytes - (sizeof suffix - 1), suffix) != 0)
        return false;
    memcpy(parts->module, name, bytes - (sizeof suffix - 1));
    parts->module[bytes - (sizeof suffix - 1)] = '\0';
    parts->scales = find_part(checkpoint, parts->module, "scales");
    if (!parts->scales)
        return false;
    parts->weight = snug_checkpoint_find(checkpoint, name);
    parts->biases = find_part(checkpoint, parts->module, "biases");
    return true;
}

static snug_json settings_of_all(const snug_checkpoint *checkpoint)
{
    const snug_json all = snug_checkpoint_config(checkpoint, "quantization");

    return all.at ? all : snug_checkpoint_config(checkpoint, "quantization_config");
}

snug_json snug_checkpoint_quantization(const snug_checkpoint *checkpoint, const char *module)
{
    return snug_json_get(settings_of_all(checkpoint), module);
}

/* What config.json says of the module: its own entry, or else the one for all. Absent when it says
 * nothing. */
static snug_json settings_of(const snug_checkpoint *checkpoint, const char *module)
{
    const snug_json own = snug_checkpoint_quantization(checkpoint, module);

    return snug_json_kind_of(own) == SNUG_JSON_OBJECT ? own : settings_of_all(checkpoint);
}

static snug_status check_mode(const snug_checkpoint *checkpoint, const packed_parts *parts,
                              snug_json settings, snug_error *error)
{
    const snug_json mode = snug_json_get(settings, "mode");
    const snug_str text = snug_json_text(mode);

    if (mode.at && !snug_json_string_is(mode, "affine"))
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                  "%.300s: %s is quantized in the mode %.*s, expected \"affine\"",
                  snug_checkpoint_path(checkpoint), parts->module, (int)(text.bytes < 40 ? text.bytes : 40),
                  text.data);
    if (!parts->biases)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "%.300s: tensor '%s.biases' is missing beside '%s.scales'",
                  snug_checkpoint_path(checkpoint), parts->module, parts->module);
    return SNUG_OK;
}

snug_type snug_affine_type(uint64_t bits)
{
    switch (bits) {
    case 2:
        return SNUG_TYPE_AFFINE2;
    case 3:
        return SNUG_TYPE_AFFINE3;
    case 4:
        return SNUG_TYPE_AFFINE4;
    case 5:
        return SNUG_TYPE_AFFINE5;
    case 6:
        return SNUG_TYPE_AFFINE6;
    case 8:
        return SNUG_TYPE_AFFINE8;
    default:
        return SNUG_TYPE_NONE;
    }
}

static bool is_plain_float(snug_type type)
{
    return type == SNUG_TYPE_F32 || type == SNUG_TYPE_F16 || type == SNUG_TYPE_BF16;
}

/* The three tensors fit each other and the matrix they stand for. */
static bool parts_fit(const packed_parts *parts, uint32_t rows)
{
    const snug_tensor *w = parts->weight;
    const snug_tensor *s = parts->scales;
    const snug_tensor *b = parts->biases;

    return w && snug_str_is(w->type_name, "U32") && w->rank == 2 && w->shape[0] == rows && s->rank == 2 &&
           s->shape[0] == rows && b->rank == 2 && b->shape[0] == rows && s->shape[1] == b->shape[1] &&
           s->type == b->type && is_plain_float(s->type);
}

static snug_status fail_parts(const snug_checkpoint *checkpoint, const packed_parts *parts, uint32_t rows,
                              uint32_t columns, snug_error *error)
{
    char weight[64] = "missing", scales[64], biases[64];

    if (parts->weight)
        snug_tensor_shape_text(weight, sizeof weight, parts->weight);
    snug_tensor_shape_text(scales, sizeof scales, parts->scales);
    snug_tensor_shape_text(biases, sizeof biases, parts->biases);
    SNUG_FAIL(
        error, SNUG_ERR_CORRUPT,
        "%.300s: %s.weight is %s, .scales %s, .biases %s; expected %u rows of %u values packed in U32 words "
        "of 2, 3, 4, 5, 6 or 8 bits a value, a scale and a bias (F32, F16 or BF16) for 32, 64 or 128 of them",
        snug_checkpoint_path(checkpoint), parts->module, weight, scales, biases, rows, columns);
}

/* A number in config.json that says otherwise than the shapes. */
static snug_status check_said(const snug_checkpoint *checkpoint, const packed_parts *parts,
                              snug_json settings, const char *key, uint64_t found, snug_error *error)
{
    const snug_json value = snug_json_get(settings, key);
    const snug_str text = snug_json_text(value);
    uint64_t said = 0;

    if (!value.at || (snug_json_u64(&said, value) && said == found))
        return SNUG_OK;
    SNUG_FAIL(error, SNUG_ERR_CORRUPT, "%.300s: %s has %s %llu by its shape, but config.json says %.*s",
              snug_checkpoint_path(checkpoint), parts->module, key, (unsigned long long)found,
              (int)(text.bytes < 40 ? text.bytes : 40), text.data);
}

static snug_status read_packed(snug_weight *weight_out, const snug_checkpoint *checkpoint,
                               const packed_parts *parts, uint32_t rows, uint32_t columns, snug_error *error)
{
    const snug_json settings = settings_of(checkpoint, parts->module);
    uint64_t bits, group;
    snug_type type;

    SNUG_TRY(check_mode(checkpoint, parts, settings, error));
    if (!parts_fit(parts, rows) || parts->scales->shape[1] == 0)
        return fail_parts(checkpoint, parts, rows, columns, error);
    bits = parts->weight->shape[1] * 32 / columns;
    group = columns / parts->scales->shape[1];
    type = snug_affine_type(bits);
    if (type == SNUG_TYPE_NONE || bits * columns != parts->weight->shape[1] * 32 ||
        (group != 32 && group != 64 && group != 128) || group * parts->scales->shape[1] != columns)
        return fail_parts(checkpoint, parts, rows, columns, error);
    SNUG_TRY(check_said(checkpoint, parts, settings, "bits", bits, error));
    SNUG_TRY(check_said(checkpoint, parts, settings, "group_size", group, error));
    *weight_out = (snug_weight){
        .data = parts->weight->data,
        .type = type,
        .rows = rows,
        .columns = columns,
        .row_bytes = snug_type_row_bytes(type, columns),
        .scale = parts->scales->data,
        .bias = parts->biases->data,
        .scale_type = parts->scales->type,
        .group = (uint32_t)group,
    };
    return SNUG_OK;
}

/* Other programs' quantized files miss the tensors that we look for: say why. */
static snug_status check_method(const snug_checkpoint *checkpoint, const char *name, snug_error *error)
{
    const snug_json method = snug_checkpoint_config(checkpoint, "quantization_config.quant_method");
    const snug_str text = snug_json_text(method);
    const snug_tensor *tensor = snug_checkpoint_find(checkpoint, name);

    if (!method.at || (tensor && tensor->type != SNUG_TYPE_NONE))
        return SNUG_OK;
    SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
              "%.300s: the weights are quantized by %.*s; this build reads plain weights, MLX's affine ones "
              "and GGUF",
              snug_checkpoint_path(checkpoint), (int)(text.bytes < 40 ? text.bytes : 40), text.data);
}

snug_status snug_checkpoint_weight(snug_weight *weight_out, const snug_checkpoint *checkpoint,
                                   const char *name, uint32_t rows, uint32_t columns, snug_error *error)
{
    const snug_tensor *tensor;
    packed_parts parts;

    if (checkpoint->outline)
        return snug_outline_weight(weight_out, checkpoint, name, rows, columns, error);
    if (find_parts(&parts, checkpoint, name))
        return read_packed(weight_out, checkpoint, &parts, rows, columns, error);
    SNUG_TRY(check_method(checkpoint, name, error));
    SNUG_TRY(snug_checkpoint_matrix(&tensor, checkpoint, name, rows, columns, error));
    *weight_out = (snug_weight){
        .data = tensor->data,
        .type = tensor->type,
        .rows = rows,
        .columns = columns,
        .row_bytes = snug_type_row_bytes(tensor->type, columns),
    };
    return SNUG_OK;
}
