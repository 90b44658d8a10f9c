/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gemma3n_bind.c - Gemma 3n: its configuration, which stands in text_config of the published multimodal
 * files, and its tensors, whose prefix differs between exports. Vision and audio are left alone.
 */
#include <math.h>
#include <stdio.h>

#include "base/size.h"
#include "base/status.h"
#include "model/families/families.h"
#include "model/families/gemma3n.h"

#define STREAMS GEMMA3N_STREAMS

enum {
    ROPE_GLOBAL,
    ROPE_LOCAL
};

/* Where the text model stands in config.json: a section of its own, or the file itself. */
static const char *key_of(char *out, size_t capacity, const snug_model *model, const char *key)
{
    const bool has_section =
        snug_json_kind_of(snug_checkpoint_config(model->checkpoint, "text_config")) != SNUG_JSON_ABSENT;

    snprintf(out, capacity, "%s%s", has_section ? "text_config." : "", key);
    return out;
}

#define KEY_BYTES 96

static snug_status read_u32(uint32_t *out, const snug_model *model, const char *key, uint32_t min,
                            uint32_t max, snug_error *error)
{
    char path[KEY_BYTES];

    return snug_checkpoint_u32(out, model->checkpoint, key_of(path, sizeof path, model, key), min, max,
                               error);
}

static snug_status read_f64_or(double *inout, const snug_model *model, const char *key, double min,
                               double max, snug_error *error)
{
    char path[KEY_BYTES];

    return snug_checkpoint_f64_or(inout, model->checkpoint, key_of(path, sizeof path, model, key), min, max,
                                  error);
}

/* Entry `index` of a list with one per layer, or the value itself where it is none. */
static snug_json layer_value(const snug_model *model, const char *key, uint32_t index)
{
    char path[KEY_BYTES];
    snug_json value = snug_checkpoint_config(model->checkpoint, key_of(path, sizeof path, model, key));
    snug_json_iterator each = snug_json_iterate(value);

    if (snug_json_kind_of(value) != SNUG_JSON_ARRAY)
        return value;
    for (uint32_t i = 0; i <= index; i++)
        if (!snug_json_next(&each, NULL, &value))
            return (snug_json){ NULL };
    return value;
}

static snug_status fail(const snug_model *model, const char *key, snug_status status, const char *expected,
                        snug_error *error)
{
    char path[KEY_BYTES];

    return snug_checkpoint_config_fail(model->checkpoint, key_of(path, sizeof path, model, key), status,
                                       expected, error);
}

static const char *tensor_prefix(const snug_model *model)
{
    static const char *const prefixes[] = { "model.language_model.", "language_model.model.",
                                            "language_model." };
    char name[160];

    /* An outline has a tensor of any name: published by itself, the text model has no prefix. */
    if (snug_checkpoint_is_outline(model->checkpoint) &&
        !snug_checkpoint_config(model->checkpoint, "text_config").at)
        return "model.";
    for (size_t i = 0; i < SNUG_COUNT(prefixes); i++) {
        snprintf(name, sizeof name, "%sembed_tokens.weight", prefixes[i]);
        if (snug_checkpoint_find(model->checkpoint, name))
            return prefixes[i];
    }
    return "model.";
}

/* --- shape --------------------------------------------------------------------------------------------- */

/* What this build computes in one way only. */
static snug_status check_fixed(const snug_model *model, snug_error *error)
{
    uint32_t streams, active;
    bool is_scaled = true;
    char path[KEY_BYTES];
    const snug_json activation =
        snug_checkpoint_config(model->checkpoint, key_of(path, sizeof path, model, "hidden_activation"));

    SNUG_TRY(read_u32(&streams, model, "altup_num_inputs", STREAMS, STREAMS, error));
    SNUG_TRY(read_u32(&active, model, "altup_active_idx", 0, 0, error));
    SNUG_TRY(snug_checkpoint_bool_or(&is_scaled, model->checkpoint,
                                     key_of(path, sizeof path, model, "altup_correct_scale"), error));
    if (!is_scaled)
        return fail(model, "altup_correct_scale", SNUG_ERR_UNSUPPORTED, "true", error);
    if (activation.at && !snug_json_string_is(activation, "gelu_pytorch_tanh"))
        return fail(model, "hidden_activation", SNUG_ERR_UNSUPPORTED, "gelu_pytorch_tanh", error);
    return SNUG_OK;
}

static snug_status read_width(uint32_t *out, const snug_model *model, uint32_t index, snug_error *error)
{
    uint64_t width = 0;

    if (!snug_json_u64(&width, layer_value(model, "intermediate_size", index)) || width < 1 ||
        width > SNUG_DIMENSION_MAX)
        return fail(model, "intermediate_size", SNUG_ERR_CORRUPT, "a width for each layer", error);
    *out = (uint32_t)width;
    return SNUG_OK;
}

static snug_status read_extra_widths(uint32_t *rank_out, uint32_t *input_width_out, const snug_model *model,
                                     snug_error *error)
{
    SNUG_TRY(read_u32(rank_out, model, "laurel_rank", 1, SNUG_DIMENSION_MAX, error));
    return read_u32(input_width_out, model, "hidden_size_per_layer_input", 1, 1u << 16, error);
}

static snug_status read_heads(snug_model *model, snug_error *error)
{
    snug_model_shape *s = &model->shape;

    SNUG_TRY(read_u32(&s->head_count, model, "num_attention_heads", 1, 4096, error));
    SNUG_TRY(read_u32(&s->kv_head_count, model, "num_key_value_heads", 1, 4096, error));
    SNUG_TRY(read_u32(&s->head_dim, model, "head_dim", 2, SNUG_HEAD_DIM_MAX, error));
    SNUG_TRY(read_u32(&s->window_tokens, model, "sliding_window", 1, SNUG_CONTEXT_MAX, error));
    if (s->head_dim % 2 != 0)
        return fail(model, "head_dim", SNUG_ERR_CORRUPT, "an even number", error);
    s->rope_count = 2;
    return snug_prenorm_check_heads(model, s->head_count, s->kv_head_count, error);
}

static snug_status read_shape(snug_model *model, snug_error *error)
{
    snug_model_shape *s = &model->shape;
    double epsilon = 1e-6, cap = 0.0;
    uint32_t rank, input_width;
    uint32_t width = 0;
    char name[160];

    SNUG_TRY(read_u32(&s->vocabulary, model, "vocab_size", 1, SNUG_VOCABULARY_MAX, error));
    SNUG_TRY(read_u32(&s->hidden, model, "hidden_size", 1, SNUG_DIMENSION_MAX, error));
    SNUG_TRY(read_u32(&s->layer_count, model, "num_hidden_layers", 1, SNUG_LAYERS_MAX, error));
    SNUG_TRY(read_u32(&s->context_tokens, model, "max_position_embeddings", 1, SNUG_CONTEXT_MAX, error));
    snprintf(name, sizeof name, "%sembed_tokens.weight", tensor_prefix(model));
    SNUG_TRY(snug_model_check_shape(model, name, error));
    SNUG_TRY(check_fixed(model, error));
    SNUG_TRY(read_heads(model, error));
    SNUG_TRY(read_extra_widths(&rank, &input_width, model, error));
    SNUG_TRY(read_f64_or(&epsilon, model, "rms_norm_eps", 0.0, 1.0, error));
    SNUG_TRY(read_f64_or(&cap, model, "final_logit_softcapping", 0.0, 1e6, error));
    s->norm_epsilon = (float)epsilon;
    s->logit_cap = (float)cap;
    s->is_tied = true;
    for (uint32_t i = 0; i < s->layer_count; i++) {
        SNUG_TRY(read_width(&width, model, i, error));
        s->mlp = (uint32_t)snug_max_size(s->mlp, width);
    }
    s->widest_input = (uint32_t)snug_max_size(
        snug_max_size(s->hidden, s->mlp),
        snug_max_size((size_t)s->head_count * s->head_dim, snug_max_size(rank, input_width)));
    return SNUG_OK;
}

/* --- layers -------------------------------------------------------------------------------------------- */

/*
 * Standard deviations below which a share `p` of a normal distribution lies: Newton's method on its CDF,
 * which from 0 approaches from one side.
 */
static float normal_quantile(double p)
{
    double z = 0.0;

    for (int i = 0; i < 60; i++)
        z -= (0.5 * erfc(-z / sqrt(2.0)) - p) / (exp(-z * z / 2.0) / sqrt(2.0 * 3.14159265358979323846));
    return (float)z;
}

static snug_status read_is_global(bool *is_global_out, const snug_model *model, uint32_t index,
                                  snug_error *error)
{
    const snug_json type = layer_value(model, "layer_types", index);

    *is_global_out = snug_json_string_is(type, "full_attention");
    if (*is_global_out || snug_json_string_is(type, "sliding_attention"))
        return SNUG_OK;
    return fail(model, "layer_types", SNUG_ERR_CORRUPT,
                "\"full_attention\" or \"sliding_attention\" for each layer", error);
}

/* The last layers read what the last layer of their kind that has a cache of its own keeps. */
static snug_status describe_sharing(snug_kv_layer *kv, const snug_model *model, uint32_t index,
                                    bool is_global, snug_error *error)
{
    uint32_t shared;
    bool is_same = false;

    SNUG_TRY(read_u32(&shared, model, "num_kv_shared_layers", 0, model->shape.layer_count - 1, error));
    kv->source = model->shape.layer_count - shared;
    kv->is_shared = index >= kv->source;
    if (!kv->is_shared) {
        kv->source = 0;
        return SNUG_OK;
    }
    while (!is_same && kv->source > 0) {
        kv->source--;
        SNUG_TRY(read_is_global(&is_same, model, kv->source, error));
        is_same = is_same == is_global;
    }
    if (!is_same)
        return fail(model, "layer_types", SNUG_ERR_CORRUPT, "a layer of each kind that is not shared", error);
    return SNUG_OK;
}

/* Published files give the share of gates that become 0, GGUF files the deviations it stands for. */
static snug_status read_sparsity(float *out, const snug_model *model, uint32_t index, snug_error *error)
{
    const snug_json shares = layer_value(model, "activation_sparsity_pattern", index);
    const snug_json scales = layer_value(model, "activation_sparsity_scale", index);
    double share = 0.0, scale = 0.0;

    if (scales.at && (!snug_json_f64(&scale, scales) || !(scale >= 0.0 && scale < 10.0)))
        return fail(model, "activation_sparsity_scale", SNUG_ERR_CORRUPT,
                    "a number from 0 to below 10 for each layer", error);
    if (shares.at && (!snug_json_f64(&share, shares) || !(share == 0.0 || (share >= 0.5 && share < 1.0))))
        return fail(model, "activation_sparsity_pattern", SNUG_ERR_CORRUPT,
                    "0 or a share from 0.5 to below 1 for each layer", error);
    *out = share > 0.0 ? normal_quantile(share) : (float)scale;
    return SNUG_OK;
}

static snug_status describe(snug_prenorm_layer *layer, const snug_model *model, uint32_t index,
                            snug_error *error)
{
    const snug_model_shape *s = &model->shape;
    bool is_global;

    SNUG_TRY(read_is_global(&is_global, model, index, error));
    layer->attention.head_count = s->head_count;
    layer->attention.rope = is_global ? ROPE_GLOBAL : ROPE_LOCAL;
    layer->attention.scale = 1.0f;
    layer->attention.kv = (snug_kv_layer){ .kv_head_count = s->kv_head_count,
                                           .head_dim = s->head_dim,
                                           .window_tokens = is_global ? 0 : s->window_tokens };
    SNUG_TRY(describe_sharing(&layer->attention.kv, model, index, is_global, error));
    SNUG_TRY(read_sparsity(&layer->mlp.sparsity, model, index, error));
    layer->mlp.activation = SNUG_ACTIVATION_GELU_TANH;
    return read_width(&layer->mlp.width, model, index, error);
}

/* --- tensors ------------------------------------------------------------------------------------------- */

/* A name behind a prefix, for the calls below. */
typedef struct binder {
    snug_model *model;
    const char *prefix;
    snug_error *error;
    char name[160];
} binder;

static const char *name_of(binder *b, const char *suffix)
{
    snprintf(b->name, sizeof b->name, "%s%s", b->prefix, suffix);
    return b->name;
}

static snug_status matrix(snug_weight *weight, binder *b, const char *suffix, uint32_t rows, uint32_t columns)
{
    return snug_model_bind_matrix(weight, b->model, name_of(b, suffix), rows, columns, b->error);
}

static snug_status vector(const float **values, binder *b, const char *suffix, uint32_t count)
{
    return snug_model_bind_vector(values, b->model, name_of(b, suffix), count, b->error);
}

/* A matrix of a few values as f32, none beyond `limit`. */
static snug_status small(const float **values_out, binder *b, const char *suffix, uint32_t rows,
                         uint32_t columns, float limit)
{
    const snug_tensor *tensor;
    const size_t count = (size_t)rows * columns;
    float *values = snug_model_take_vector(b->model, count);

    SNUG_TRY(
        snug_checkpoint_matrix(&tensor, b->model->checkpoint, name_of(b, suffix), rows, columns, b->error));
    if (!b->model->kernels.row_to_f32[tensor->type])
        SNUG_FAIL(b->error, SNUG_ERR_UNSUPPORTED, "%s: tensor %s is quantized, which no published file does",
                  snug_checkpoint_path(b->model->checkpoint), b->name);
    snug_model_read_values(values, b->model, tensor, count);
    for (size_t i = 0; i < count; i++)
        values[i] = fminf(fmaxf(values[i], -limit), limit);
    b->model->parameters += count;
    *values_out = values;
    return SNUG_OK;
}

/* The table of embeddings per layer: rows are looked up, nothing is multiplied by it. */
static snug_status bind_table(gemma3n_state *state, binder *b)
{
    snug_model *model = b->model;
    const uint32_t columns = model->shape.layer_count * state->input_width;
    snug_weight *table = &state->input_table;
    uint32_t ids, block;

    SNUG_TRY(read_u32(&ids, model, "vocab_size_per_layer_input", 1, SNUG_VOCABULARY_MAX, b->error));
    SNUG_TRY(snug_checkpoint_weight(table, model->checkpoint, name_of(b, "embed_tokens_per_layer.weight"),
                                    ids, columns, b->error));
    block = table->group ? table->group : snug_type_layout_of(table->type)->block_values;
    if (state->input_width % block != 0)
        SNUG_FAIL(b->error, SNUG_ERR_UNSUPPORTED,
                  "%s: tensor %s is %s in blocks of %u; the %u values of a layer are no whole number of them",
                  snug_checkpoint_path(model->checkpoint), b->name, snug_type_layout_of(table->type)->name,
                  block, state->input_width);
    model->parameters += (uint64_t)ids * columns;
    return SNUG_OK;
}

static snug_status bind_streams(gemma3n_state *state, binder *b)
{
    const uint32_t hidden = b->model->shape.hidden;
    char suffix[64];

    for (int i = 0; i < STREAMS - 1; i++) {
        snprintf(suffix, sizeof suffix, "altup_projections.%d.weight", i);
        SNUG_TRY(matrix(&state->split[i], b, suffix, hidden, hidden));
        snprintf(suffix, sizeof suffix, "altup_unembed_projections.%d.weight", i);
        SNUG_TRY(matrix(&state->merge[i], b, suffix, hidden, hidden));
    }
    return SNUG_OK;
}

static snug_status bind_layer(gemma3n_layer *layer, binder *b, const gemma3n_state *state)
{
    const uint32_t hidden = b->model->shape.hidden;
    const uint32_t width = state->input_width;
    double limit = INFINITY;

    SNUG_TRY(read_f64_or(&limit, b->model, "altup_coef_clip", 1e-3, 1e9, b->error));
    SNUG_TRY(snug_prenorm_bind_layer(&layer->core, b->model, b->prefix, b->error));
    layer->core.attention.value_norm = state->value_norm;
    SNUG_TRY(vector(&layer->router_norm, b, "altup.router_norm.weight", hidden));
    SNUG_TRY(matrix(&layer->router, b, "altup.modality_router.weight", STREAMS, hidden));
    SNUG_TRY(
        small(&layer->prediction, b, "altup.prediction_coefs.weight", STREAMS * STREAMS, STREAMS, INFINITY));
    SNUG_TRY(small(&layer->correction, b, "altup.correction_coefs.weight", STREAMS, STREAMS, (float)limit));
    SNUG_TRY(vector(&layer->output_scale, b, "altup.correct_output_scale", hidden));
    SNUG_TRY(matrix(&layer->laurel_left, b, "laurel.linear_left.weight", state->rank, hidden));
    SNUG_TRY(matrix(&layer->laurel_right, b, "laurel.linear_right.weight", hidden, state->rank));
    SNUG_TRY(vector(&layer->laurel_norm, b, "laurel.post_laurel_norm.weight", hidden));
    SNUG_TRY(matrix(&layer->input_gate, b, "per_layer_input_gate.weight", width, hidden));
    SNUG_TRY(matrix(&layer->input_projection, b, "per_layer_projection.weight", hidden, width));
    return vector(&layer->input_post_norm, b, "post_per_layer_input_norm.weight", hidden);
}

static snug_status bind_layers(gemma3n_state *state, binder *top)
{
    snug_model *model = top->model;
    const uint32_t width = state->input_width;
    snug_weight projections;

    SNUG_TRY(matrix(&projections, top, "per_layer_model_projection.weight", model->shape.layer_count * width,
                    model->shape.hidden));
    for (uint32_t i = 0; i < model->shape.layer_count; i++) {
        gemma3n_layer *layer = &state->layer[i];
        char prefix[96];
        binder b = { .model = model, .prefix = prefix, .error = top->error };

        snprintf(prefix, sizeof prefix, "%slayers.%u.", top->prefix, i);
        layer->embedding_projection = snug_weight_rows(&projections, i * width, width);
        SNUG_TRY(describe(&layer->core, model, i, top->error));
        SNUG_TRY(bind_layer(layer, &b, state));
    }
    return SNUG_OK;
}

static snug_status bind_ropes(gemma3n_state *state, snug_model *model, snug_error *error)
{
    static const char *const names[][3] = {
        [ROPE_GLOBAL] = { "rope_theta", "rope_scaling", "rope_parameters.full_attention" },
        [ROPE_LOCAL] = { "rope_local_base_freq", NULL, "rope_parameters.sliding_attention" },
    };

    for (uint32_t kind = 0; kind < model->shape.rope_count; kind++) {
        char paths[3][KEY_BYTES];
        const snug_rope_keys keys = {
            .theta = key_of(paths[0], KEY_BYTES, model, names[kind][0]),
            .scaling = names[kind][1] ? key_of(paths[1], KEY_BYTES, model, names[kind][1]) : NULL,
            .parameters = key_of(paths[2], KEY_BYTES, model, names[kind][2]),
            .default_theta = kind == ROPE_GLOBAL ? 1000000.0 : 10000.0,
        };

        SNUG_TRY(snug_block_rope_read(&state->rope[kind], model, &keys, error));
    }
    return SNUG_OK;
}

static snug_status bind(snug_model *model, snug_error *error)
{
    gemma3n_state *state = model->state;
    snug_model_shape *s = &model->shape;
    binder b = { .model = model, .prefix = tensor_prefix(model), .error = error };
    float *ones = snug_model_take_vector(model, s->head_dim);
    const snug_tensor *norm;

    for (uint32_t i = 0; i < s->head_dim; i++)
        ones[i] = 1.0f;
    state->value_norm = ones;
    SNUG_TRY(read_extra_widths(&state->rank, &state->input_width, model, error));
    SNUG_TRY(matrix(&model->embedding, &b, "embed_tokens.weight", s->vocabulary, s->hidden));
    model->head = model->embedding;
    SNUG_TRY(vector(&state->final_norm, &b, "norm.weight", s->hidden));
    /* Norms are never quantized: their type is the one that the publisher computed in. */
    SNUG_TRY(snug_checkpoint_vector(&norm, model->checkpoint, name_of(&b, "norm.weight"), s->hidden, error));
    state->embedding_scale = snug_block_round_to_type(sqrtf((float)s->hidden), norm->type);
    state->input_scale = snug_block_round_to_type(sqrtf((float)state->input_width), norm->type);
    SNUG_TRY(vector(&state->input_norm, &b, "per_layer_projection_norm.weight", state->input_width));
    SNUG_TRY(bind_table(state, &b));
    SNUG_TRY(bind_streams(state, &b));
    SNUG_TRY(bind_ropes(state, model, error));
    return bind_layers(state, &b);
}

static size_t state_bytes(const snug_model *model)
{
    return sizeof(gemma3n_state) + model->shape.layer_count * sizeof(gemma3n_layer);
}

/* Norms, scales and coefficients as f32; input_width is at most widest_input. */
static size_t vector_floats(const snug_model *model)
{
    const snug_model_shape *s = &model->shape;
    const size_t per_layer =
        8 * (size_t)s->hidden + 2 * (size_t)s->head_dim + STREAMS * STREAMS * (STREAMS + 1);
    uint32_t rank = 0, input_width = 0;

    if (read_extra_widths(&rank, &input_width, model, NULL) != SNUG_OK)
        input_width = s->widest_input; /* read_shape() has read them: never */
    return s->rope_count * snug_block_rope_floats(s) + s->hidden + s->head_dim + input_width +
           s->layer_count * per_layer;
}

static snug_kv_layer kv_layer(const snug_model *model, uint32_t layer)
{
    const gemma3n_state *state = model->state;

    return state->layer[layer].core.attention.kv;
}

static const snug_prenorm_names names = {
    .attention_norm = "input_layernorm.weight",
    .attention_post_norm = "post_attention_layernorm.weight",
    .mlp_norm = "pre_feedforward_layernorm.weight",
    .mlp_post_norm = "post_feedforward_layernorm.weight",
    .attention = { SNUG_LLAMA_ATTENTION_NAMES, .query_norm = "self_attn.q_norm.weight",
                   .key_norm = "self_attn.k_norm.weight" },
    .mlp = { SNUG_LLAMA_MLP_NAMES },
};

static const snug_prenorm_options options = {
    .names = &names,
    .activation = SNUG_ACTIVATION_GELU_TANH,
};

#define GEMMA3N_FAMILY(type)                                                                                 \
    {                                                                                                        \
        .model_type = (type), .prenorm = &options, .read_shape = read_shape, .state_bytes = state_bytes,     \
        .vector_floats = vector_floats, .bind = bind, .kv_layer = kv_layer, .layout = gemma3n_layout,        \
        .forward = gemma3n_forward,                                                                          \
    }

const snug_family snug_family_gemma3n = GEMMA3N_FAMILY("gemma3n");
const snug_family snug_family_gemma3n_text = GEMMA3N_FAMILY("gemma3n_text");
