/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inspect.c - what a model's files hold, for those who want to look: tensors, files, layers, tokenizer.
 *
 * All of it is read from headers that opening has checked; no weight is touched, nothing is allocated.
 */
#include "model/model.h"

#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "model/blocks/blocks.h"

/* Longest name of a module that MLX quantized, as where weights are bound (format/weight.c). */
#define MODULE_BYTES_MAX 256

/* --- tensors ------------------------------------------------------------------------------------------- */

static void copy_type(char out[SNUG_TYPE_NAME_BYTES], snug_str name)
{
    const size_t bytes = snug_min_size(name.bytes, SNUG_TYPE_NAME_BYTES - 1);

    for (size_t i = 0; i < bytes; i++)
        out[i] = name.data[i] > ' ' && name.data[i] < 0x7f ? name.data[i] : '?';
    out[bytes] = '\0';
}

static uint64_t values_of(const snug_tensor *tensor)
{
    uint64_t values = 1;

    for (uint32_t i = 0; i < tensor->rank; i++)
        values *= tensor->shape[i]; /* checked when the file was opened: no overflow */
    return values;
}

/* The three tensors of a matrix that MLX quantized. */
typedef struct packed_module {
    const snug_tensor *weight;
    const snug_tensor *scales;
    uint64_t bits;
    uint64_t group;
} packed_module;

static bool has_ending(snug_str name, const char *ending, size_t *module_bytes_out)
{
    const size_t bytes = strlen(ending);

    if (name.bytes <= bytes || memcmp(name.data + name.bytes - bytes, ending, bytes) != 0)
        return false;
    *module_bytes_out = name.bytes - bytes;
    return true;
}

static const snug_tensor *find_part(const snug_checkpoint *checkpoint, snug_str module, const char *part)
{
    char name[MODULE_BYTES_MAX + 16];

    snprintf(name, sizeof name, "%.*s%s", SNUG_STR_ARGS(module), part);
    return snug_checkpoint_find(checkpoint, name);
}

/* What config.json says of the module, or else of all. */
static bool read_settings(packed_module *out, const snug_checkpoint *checkpoint, snug_str module)
{
    snug_json all = snug_checkpoint_config(checkpoint, "quantization");
    snug_json own;
    char name[MODULE_BYTES_MAX + 1];

    if (!all.at)
        all = snug_checkpoint_config(checkpoint, "quantization_config");
    snprintf(name, sizeof name, "%.*s", SNUG_STR_ARGS(module));
    own = snug_json_get(all, name);
    if (snug_json_kind_of(own) != SNUG_JSON_OBJECT)
        own = all;
    return snug_json_u64(&out->bits, snug_json_get(own, "bits")) && out->bits >= 1 && out->bits <= 8 &&
           snug_json_u64(&out->group, snug_json_get(own, "group_size")) && out->group >= 1 &&
           out->group <= 1024;
}

/* Whether the tensor belongs to a matrix that MLX quantized: by what is beside it, and config.json. */
static bool find_module(packed_module *out, const snug_checkpoint *checkpoint, const snug_tensor *tensor)
{
    static const char *const parts[] = { ".weight", ".scales", ".biases" };
    snug_str module = { tensor->name.data, 0 };
    bool is_part = false;

    for (size_t i = 0; i < SNUG_COUNT(parts) && !is_part; i++)
        is_part = has_ending(tensor->name, parts[i], &module.bytes);
    if (!is_part || module.bytes > MODULE_BYTES_MAX || memchr(module.data, '\0', module.bytes))
        return false;
    out->weight = find_part(checkpoint, module, ".weight");
    out->scales = find_part(checkpoint, module, ".scales");
    return out->weight && out->scales && snug_str_is(out->weight->type_name, "U32") &&
           read_settings(out, checkpoint, module);
}

static void describe_packed(snug_tensor_info *info, const packed_module *module, const snug_tensor *tensor)
{
    snprintf(info->type, sizeof info->type, "AFFINE%u", (unsigned)module->bits);
    info->group = (uint32_t)module->group;
    info->weights = tensor == module->weight ? tensor->bytes * 8 / module->bits : 0;
}

size_t snug_model_tensor_count(const snug_model *model)
{
    return snug_checkpoint_tensor_count(model->checkpoint);
}

void snug_model_read_tensor(snug_tensor_info *info_out, const snug_model *model, size_t index)
{
    const snug_tensor *tensor = snug_checkpoint_tensor(model->checkpoint, index);
    packed_module module;

    *info_out = (snug_tensor_info){
        .struct_size = info_out->struct_size,
        .name = tensor->name.data,
        .name_bytes = tensor->name.bytes,
        .rank = tensor->rank,
        .weights = values_of(tensor),
        .bytes = tensor->bytes,
        .file = tensor->file,
    };
    memcpy(info_out->shape, tensor->shape, tensor->rank * sizeof tensor->shape[0]);
    copy_type(info_out->file_type, tensor->type_name);
    memcpy(info_out->type, info_out->file_type, sizeof info_out->type);
    if (find_module(&module, model->checkpoint, tensor))
        describe_packed(info_out, &module, tensor);
}

/* --- files --------------------------------------------------------------------------------------------- */

size_t snug_model_weight_file_count(const snug_model *model)
{
    return snug_checkpoint_weight_file_count(model->checkpoint);
}

void snug_model_read_weight_file(snug_weight_file_info *info_out, const snug_model *model, size_t index)
{
    const snug_checkpoint *checkpoint = model->checkpoint;
    size_t count = 0;
    uint64_t bytes = 0;

    for (size_t i = 0; i < snug_checkpoint_tensor_count(checkpoint); i++) {
        const snug_tensor *tensor = snug_checkpoint_tensor(checkpoint, i);

        count += tensor->file == index;
        bytes += tensor->file == index ? tensor->bytes : 0;
    }
    *info_out = (snug_weight_file_info){
        .struct_size = info_out->struct_size,
        .name = snug_checkpoint_weight_file_name(checkpoint, index),
        .format = snug_checkpoint_vocabulary(checkpoint) ? "GGUF" : "safetensors",
        .tensor_count = count,
        .bytes = bytes,
    };
}

/* --- layers -------------------------------------------------------------------------------------------- */

void snug_model_read_layer(snug_layer_info *info_out, const snug_model *model, uint32_t layer)
{
    const snug_kv_layer *kv = &model->kv_shape.layer[layer];

    SNUG_ASSERT(layer < model->shape.layer_count);
    *info_out = (snug_layer_info){
        .struct_size = info_out->struct_size,
        .head_count = model->shape.head_count,
        .kv_head_count = kv->kv_head_count,
        .head_dim = kv->head_dim,
        .mlp = model->shape.mlp,
    };
    if (model->family->forward ==
        snug_prenorm_forward) { /* only these differ, and only their state is this */
        const snug_prenorm *state = model->state;

        info_out->head_count = state->layer[layer].attention.head_count;
        info_out->mlp = state->layer[layer].mlp.width;
    }
}

uint32_t snug_model_rope_short_tokens(const snug_model *model)
{
    return model->shape.rope_short_tokens;
}

/* --- tokenizer ----------------------------------------------------------------------------------------- */

static const char byte_level[] = "byte-level BPE";
static const char sentencepiece[] = "SentencePiece BPE";

static void read_tokenizer(snug_text_files_info *info, const snug_checkpoint *checkpoint)
{
    const snug_stored_vocabulary *stored = snug_checkpoint_vocabulary(checkpoint);
    const snug_json rules = snug_json_get(snug_checkpoint_json(checkpoint, SNUG_FILE_TOKENIZER), "model");
    bool has_byte_pieces = false;

    if (snug_json_kind_of(rules) == SNUG_JSON_OBJECT) {
        (void)snug_json_bool(&has_byte_pieces, snug_json_get(rules, "byte_fallback"));
        info->tokenizer_file = snug_checkpoint_file_name(SNUG_FILE_TOKENIZER);
        if (snug_json_string_is(snug_json_get(rules, "type"), "BPE") || !snug_json_get(rules, "type").at)
            info->tokenizer = has_byte_pieces ? sentencepiece : byte_level;
    } else if (stored) {
        info->tokenizer_file = "GGUF";
        if (snug_str_is(stored->model, "gpt2"))
            info->tokenizer = byte_level;
        else if (snug_str_is(stored->model, "llama"))
            info->tokenizer = sentencepiece;
    } else if (snug_checkpoint_tokenizer_model(checkpoint).bytes > 0) {
        info->tokenizer_file = "tokenizer.model";
        info->tokenizer = sentencepiece;
    }
}

/* chat_template is a string, or a list of {name, template} with one "default" (text/chat.c). */
static snug_json template_in_json(const snug_checkpoint *checkpoint)
{
    const snug_json value =
        snug_json_get(snug_checkpoint_json(checkpoint, SNUG_FILE_TOKENIZER_CONFIG), "chat_template");
    snug_json_iterator each = snug_json_iterate(value);
    snug_json item;

    if (snug_json_kind_of(value) != SNUG_JSON_ARRAY)
        return value;
    while (snug_json_next(&each, NULL, &item))
        if (snug_json_string_is(snug_json_get(item, "name"), "default"))
            return snug_json_get(item, "template");
    return (snug_json){ NULL };
}

/* Bytes of the string that the raw one of a checked JSON text stands for. */
static uint64_t unescaped_bytes(snug_str raw)
{
    char piece[16];
    uint64_t bytes = 0;

    for (size_t i = 0; i < raw.bytes;) {
        size_t step = 1;

        if (raw.data[i] == '\\')
            step = raw.data[i + 1] == 'u' ? 6 : 2;
        /* A character beyond 16 bits is two escapes. */
        if (step == 6 && (raw.data[i + 2] == 'd' || raw.data[i + 2] == 'D') && raw.data[i + 3] >= '8')
            step = 12;
        bytes += step == 1 ? 1 : snug_json_unescape(piece, (snug_str){ raw.data + i, step });
        i += step;
    }
    return bytes;
}

static void read_template(snug_text_files_info *info, const snug_checkpoint *checkpoint)
{
    const snug_str own = snug_checkpoint_chat_template(checkpoint);
    const snug_json in_json = template_in_json(checkpoint);

    if (own.bytes > 0) {
        info->template_file = snug_checkpoint_vocabulary(checkpoint) ? "GGUF" : "chat_template.jinja";
        info->chat_template_bytes = own.bytes;
    } else if (snug_json_kind_of(in_json) == SNUG_JSON_STRING) {
        info->template_file = snug_checkpoint_file_name(SNUG_FILE_TOKENIZER_CONFIG);
        info->chat_template_bytes = unescaped_bytes(snug_json_string(in_json));
    }
}

void snug_model_read_text_files(snug_text_files_info *info_out, const snug_model *model)
{
    *info_out = (snug_text_files_info){
        .struct_size = info_out->struct_size,
        .tokenizer = "unknown",
        .tokenizer_file = "",
        .template_file = "",
    };
    read_tokenizer(info_out, model->checkpoint);
    read_template(info_out, model->checkpoint);
}
