/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model.c - opens a model: finds its family, lets it check and bind the checkpoint, and answers questions
 * about it.
 */
#include "model/model.h"

#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "memory/memory.h"

/* More stop ids than any publisher lists; a longer list is a damaged file. */
#define STOP_IDS_MAX 64

static const snug_family *find_family(const snug_checkpoint *checkpoint, snug_error *error)
{
    const snug_str type = snug_checkpoint_model_type(checkpoint);
    const snug_family *family = snug_family_find(type);
    char known[256];

    if (family)
        return family;
    snug_family_names(known, sizeof known);
    snug_fail(error, SNUG_ERR_UNSUPPORTED,
              "%.300s: model_type \"%.*s\" is not a family this build knows (%s)",
              snug_checkpoint_config_path(checkpoint), (int)snug_min_size(type.bytes, 60),
              type.data ? type.data : "", known);
    return NULL;
}

static snug_status allocate(snug_model *model, snug_error *error)
{
    model->vector_floats = model->family->vector_floats(model);
    model->state = snug_memory_alloc(model->memory, SNUG_MEMORY_WEIGHTS, model->family->state_bytes(model),
                                     "the table of the model's weights", error);
    if (!model->state)
        return error->status;
    model->vectors =
        snug_memory_alloc(model->memory, SNUG_MEMORY_WEIGHTS, model->vector_floats * sizeof(float),
                          "the model's norm vectors", error);
    if (!model->vectors)
        return error->status;
    model->stop_ids = snug_memory_alloc(model->memory, SNUG_MEMORY_WEIGHTS,
                                        2 * STOP_IDS_MAX * sizeof *model->stop_ids, "the stop ids", error);
    return model->stop_ids ? SNUG_OK : error->status;
}

/* What each layer keeps is known once the layers are bound. */
static snug_status make_kv_shape(snug_model *model, snug_error *error)
{
    const uint32_t layer_count = model->shape.layer_count;
    snug_kv_layer *layers;

    layers = snug_memory_alloc(model->memory, SNUG_MEMORY_WEIGHTS, layer_count * sizeof *layers,
                               "the shape of the cache", error);
    if (!layers)
        return error->status;
    for (uint32_t i = 0; i < layer_count; i++)
        layers[i] = model->family->kv_layer(model, i);
    model->kv_shape = (snug_kv_shape){ .layer_count = layer_count, .layer = layers };
    return SNUG_OK;
}

static void add_stop_id(snug_model *model, snug_json value)
{
    uint64_t id;

    if (!snug_json_u64(&id, value) || id >= model->shape.vocabulary ||
        model->stop_id_count == 2 * STOP_IDS_MAX)
        return; /* an id that no token can have never stops anything */
    for (size_t i = 0; i < model->stop_id_count; i++)
        if (model->stop_ids[i] == id)
            return;
    model->stop_ids[model->stop_id_count++] = (uint32_t)id;
}

/* eos_token_id of one file: a number or a list of them. */
static void add_stop_ids(snug_model *model, snug_json ids)
{
    snug_json_iterator each = snug_json_iterate(ids);
    snug_json value;

    if (snug_json_kind_of(ids) == SNUG_JSON_NUMBER)
        add_stop_id(model, ids);
    while (snug_json_next(&each, NULL, &value))
        add_stop_id(model, value);
}

/* The checkpoint is open. */
static snug_status load(snug_model *model, snug_error *error)
{
    model->family = find_family(model->checkpoint, error);
    if (!model->family)
        return error->status;
    SNUG_TRY(model->family->read_shape(model, error));
    SNUG_TRY(allocate(model, error));
    /* It reads small vectors all over the files: with what lies around them that would be all weights. */
    snug_checkpoint_read_around(model->checkpoint, false);
    SNUG_TRY(model->family->bind(model, error));
    if (snug_checkpoint_is_outline(model->checkpoint))
        SNUG_TRY(snug_checkpoint_outline_end(model->checkpoint, error));
    SNUG_TRY(make_kv_shape(model, error));
    add_stop_ids(model, snug_json_get(snug_checkpoint_json(model->checkpoint, SNUG_FILE_GENERATION_CONFIG),
                                      "eos_token_id"));
    add_stop_ids(model, snug_checkpoint_config(model->checkpoint, "eos_token_id"));
    return SNUG_OK;
}

/* After load(): for as long as the model is open, by the groups as they are now. */
static void choose_reading(snug_model *model)
{
    snug_memory_state state;

    snug_memory_read_state(&state, model->memory);
    model->reading_bytes = snug_memory_reading_bytes(&state);
    snug_checkpoint_read_around(model->checkpoint, model->reading_bytes == SNUG_MEMORY_NO_LIMIT);
}

/* Opens the files at `path`, or the outline. */
static snug_status open_model(snug_model **model_out, snug_memory *memory, const char *path,
                              const snug_model_outline *outline, const snug_model_options *options,
                              snug_error *error)
{
    snug_model *model;
    snug_status status;

    *model_out = NULL;
    model = snug_memory_alloc(memory, SNUG_MEMORY_WEIGHTS, sizeof *model, "the model", error);
    if (!model)
        return error->status;
    model->memory = memory;
    model->reading_bytes = SNUG_MEMORY_NO_LIMIT;
    snug_kernels_init(&model->kernels, options ? options->cpu : SNUG_CPU_AUTO, options && options->exact);
    if (outline)
        status = snug_checkpoint_outline(&model->checkpoint, memory, outline->name,
                                         (snug_str){ outline->config, outline->config_bytes },
                                         outline->weights, error);
    else
        status = snug_checkpoint_open(&model->checkpoint, memory, path, error);
    if (status == SNUG_OK)
        status = load(model, error);
    if (status != SNUG_OK) {
        snug_model_close(model);
        return status;
    }
    *model_out = model;
    return SNUG_OK;
}

snug_status snug_model_open(snug_model **model_out, snug_memory *memory, const char *path,
                            const snug_model_options *options, snug_error *error)
{
    snug_error own = { SNUG_OK, "" };

    SNUG_TRY(open_model(model_out, memory, path, NULL, options, error ? error : &own));
    choose_reading(*model_out);
    (*model_out)->wanted_bytes = (*model_out)->token_weight_bytes;
    snug_memory_want_weights(memory, (*model_out)->wanted_bytes);
    return SNUG_OK;
}

snug_status snug_model_open_outline(snug_model **model_out, snug_memory *memory,
                                    const snug_model_outline *outline, const snug_model_options *options,
                                    snug_error *error)
{
    snug_error own = { SNUG_OK, "" };

    return open_model(model_out, memory, NULL, outline, options, error ? error : &own);
}

void snug_model_close(snug_model *model)
{
    if (!model)
        return;
    snug_memory_unwant_weights(model->memory, model->wanted_bytes);
    snug_memory_free(model->memory, model->stop_ids);
    snug_memory_free(model->memory, (void *)(uintptr_t)model->kv_shape.layer);
    snug_memory_free(model->memory, model->vectors);
    snug_memory_free(model->memory, model->state);
    snug_checkpoint_close(model->checkpoint);
    snug_memory_free(model->memory, model);
}

/* --- binding ------------------------------------------------------------------------------------------- */

snug_status snug_model_check_shape(const snug_model *model, const char *embedding_name, snug_error *error)
{
    const snug_model_shape *s = &model->shape;
    snug_weight embedding;

    if (!snug_checkpoint_is_outline(model->checkpoint) &&
        s->layer_count > snug_checkpoint_tensor_count(model->checkpoint))
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "%.300s: num_hidden_layers is %u, but the weight files hold only %zu tensors",
                  snug_checkpoint_config_path(model->checkpoint), s->layer_count,
                  snug_checkpoint_tensor_count(model->checkpoint));
    return snug_checkpoint_weight(&embedding, model->checkpoint, embedding_name, s->vocabulary, s->hidden,
                                  error);
}

/* The type of most weight bytes so far. */
static void count_type(snug_model *model, const snug_weight *weight)
{
    model->type_bytes[weight->type] += snug_weight_bytes(weight);
    if (model->type_bytes[weight->type] > model->type_bytes[model->main_type])
        model->main_type = weight->type;
}

snug_status snug_model_bind_matrix(snug_weight *weight_out, snug_model *model, const char *name,
                                   uint32_t rows, uint32_t columns, snug_error *error)
{
    SNUG_TRY(snug_checkpoint_weight(weight_out, model->checkpoint, name, rows, columns, error));
    if (!model->kernels.matmul_few[weight_out->type])
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "%s: tensor %s is %s, which this build cannot multiply by",
                  snug_checkpoint_path(model->checkpoint), name, snug_type_layout_of(weight_out->type)->name);
    SNUG_ASSERT(columns <= model->shape.widest_input);
    model->matmul_types |= 1u << weight_out->type;
    count_type(model, weight_out);
    model->parameters += (uint64_t)rows * columns;
    if (weight_out != &model->embedding && weight_out != &model->head)
        model->layer_parameters[weight_out->type] += (uint64_t)rows * columns;
    /* The embedding is read by rows, unless it is also the head. */
    if (weight_out != &model->embedding || model->shape.is_tied) {
        model->token_parameters += (uint64_t)rows * columns;
        model->token_weight_bytes += snug_weight_bytes(weight_out);
    }
    return SNUG_OK;
}

float *snug_model_take_vector(snug_model *model, size_t floats)
{
    float *vector = model->vectors + model->vector_used;

    SNUG_ASSERT(floats <= model->vector_floats - model->vector_used);
    model->vector_used += floats;
    return vector;
}

void snug_model_read_values(float *out, const snug_model *model, const snug_tensor *tensor, size_t count)
{
    const bool was_there = snug_checkpoint_is_resident(model->checkpoint, tensor);

    model->kernels.row_to_f32[tensor->type](out, tensor->data, count);
    /* It was all that is wanted of its pages for now, and where a small page lies no huge one can. */
    if (!was_there)
        snug_checkpoint_forget(model->checkpoint, tensor);
}

snug_status snug_model_bind_vector(const float **vector_out, snug_model *model, const char *name,
                                   uint32_t values, snug_error *error)
{
    const snug_tensor *tensor;
    float *vector = snug_model_take_vector(model, values);

    SNUG_TRY(snug_checkpoint_vector(&tensor, model->checkpoint, name, values, error));
    if (!model->kernels.row_to_f32[tensor->type])
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "%s: tensor %s is %s, expected F32, F16 or BF16 for a norm",
                  snug_checkpoint_path(model->checkpoint), name, snug_type_layout_of(tensor->type)->name);
    snug_model_read_values(vector, model, tensor, values);
    model->parameters += values;
    *vector_out = vector;
    return SNUG_OK;
}

/* --- questions ----------------------------------------------------------------------------------------- */

void snug_model_read_info(snug_model_info *info_out, const snug_model *model)
{
    const snug_model_shape *s = &model->shape;

    *info_out = (snug_model_info){
        .struct_size = info_out->struct_size,
        .family = model->family->model_type,
        .path = snug_checkpoint_path(model->checkpoint),
        .weight_type = snug_type_layout_of(model->main_type)->name,
        .layer_count = s->layer_count,
        .hidden = s->hidden,
        .head_count = s->head_count,
        .kv_head_count = s->kv_head_count,
        .head_dim = s->head_dim,
        .vocabulary = s->vocabulary,
        .context_tokens = s->context_tokens,
        .parameters = model->parameters,
        .token_parameters = model->token_parameters,
        .weight_bytes = model->token_weight_bytes,
        .mapped_bytes = snug_checkpoint_mapped_bytes(model->checkpoint),
        .cpu = model->kernels.level,
        .exact = model->kernels.exact,
    };
}

uint32_t snug_model_read_products(snug_model_product products_out[SNUG_MODEL_PRODUCTS_MAX],
                                  const snug_model *model)
{
    uint32_t count = 0;

    for (size_t type = 0; type < SNUG_TYPE_COUNT; type++) {
        const snug_product *product = model->kernels.product[type];
        uint32_t at = 0;

        if (model->layer_parameters[type] == 0)
            continue;
        while (at < count && products_out[at].name != product->name)
            at++;
        if (at == count) {
            SNUG_ASSERT(count < SNUG_MODEL_PRODUCTS_MAX);
            products_out[count++] =
                (snug_model_product){ product->name, 0, product->operations, product->run };
        }
        products_out[at].token_operations += 2 * model->layer_parameters[type];
    }
    return count;
}

const snug_checkpoint *snug_model_files(const snug_model *model)
{
    return model->checkpoint;
}

void snug_model_warm(snug_model *model)
{
    if (model->reading_bytes != SNUG_MEMORY_NO_LIMIT || snug_checkpoint_is_outline(model->checkpoint))
        return;
    snug_checkpoint_in_huge_pages(model->checkpoint);
    snug_checkpoint_warm(model->checkpoint);
}

uint64_t snug_model_resident_bytes(const snug_model *model)
{
    return snug_checkpoint_resident_bytes(model->checkpoint);
}

const snug_kv_shape *snug_model_kv_shape(const snug_model *model)
{
    return &model->kv_shape;
}

const uint32_t *snug_model_stop_ids(const snug_model *model, size_t *count_out)
{
    *count_out = model->stop_id_count;
    return model->stop_ids;
}

static double sampling_number(snug_json config, const char *key)
{
    double value;

    return snug_json_f64(&value, snug_json_get(config, key)) && value >= 0.0 ? value : -1.0;
}

snug_model_sampling snug_model_read_sampling(const snug_model *model)
{
    const snug_json config = snug_checkpoint_json(model->checkpoint, SNUG_FILE_GENERATION_CONFIG);
    bool do_sample = true;
    snug_model_sampling sampling = {
        .temperature = sampling_number(config, "temperature"),
        .top_p = sampling_number(config, "top_p"),
        .top_k = sampling_number(config, "top_k"),
        .min_p = sampling_number(config, "min_p"),
        .repetition_penalty = sampling_number(config, "repetition_penalty"),
    };

    if (snug_json_bool(&do_sample, snug_json_get(config, "do_sample")) && !do_sample)
        sampling.temperature = 0.0;
    return sampling;
}
