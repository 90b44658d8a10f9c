/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gemma3n.c - Gemma 3n, text (model_type "gemma3n" with a text_config, and "gemma3n_text"): four
 * residual streams of which each layer computes one and predicts the others (AltUp), a low-rank branch
 * beside attention (LAuReL), an embedding per token and layer, layers whose gates are mostly zero, and
 * last layers that read the keys and values of earlier ones.
 *
 * The per-layer embeddings, half of the file, stay mapped: a token reads its row, one slice per layer.
 * gemma3n_bind.c reads the configuration and the tensors, this file computes.
 */
#include "model/families/gemma3n.h"

#include <math.h>

#include "base/size.h"

#define STREAMS GEMMA3N_STREAMS

typedef struct buffers {
    float *embedded;        /* [T][hidden]: scaled embeddings, for the inputs per layer */
    float *stream[STREAMS]; /* [T][hidden] each; the first is pass->hidden, the one that layers compute */
    float *normed;          /* [T][hidden]: the input of a block, then its output */
    float *branch;          /* [T][hidden]: what the layer makes of its stream */
    float *laurel;          /* [T][hidden] */
    float *low;             /* [T][rank] */
    float *input;           /* [T][input_width]: of this layer, from the embeddings */
    float *input_gate;      /* [T][input_width] */
    float *router;          /* [T][STREAMS] */
    snug_attention_buffers attention;
    snug_mlp_buffers mlp;
} buffers;

/* What a step on single tokens needs. */
typedef struct token_work {
    const snug_pass *pass;
    const gemma3n_state *state;
    const gemma3n_layer *layer;
    const buffers *b;
    size_t hidden;
    uint32_t index; /* of the layer, or of the stream */
} token_work;

void gemma3n_layout(snug_pass *pass, snug_scratch *scratch, const snug_model *model, uint32_t tokens)
{
    const snug_model_shape *s = &model->shape;
    const gemma3n_state *state = model->state;
    const size_t rows = (size_t)tokens * s->hidden * sizeof(float);
    buffers own;
    buffers *b = snug_scratch_take(scratch, sizeof *b);
    snug_scratch attention, mlp;
    const bool is_counting = !b;

    if (is_counting)
        b = &own;
    b->embedded = snug_scratch_take(scratch, rows);
    b->stream[0] = pass->hidden;
    for (int i = 1; i < STREAMS; i++)
        b->stream[i] = snug_scratch_take(scratch, rows);
    b->normed = snug_scratch_take(scratch, rows);
    b->branch = snug_scratch_take(scratch, rows);
    b->laurel = snug_scratch_take(scratch, rows);
    b->low = snug_scratch_take(scratch, (size_t)tokens * state->rank * sizeof(float));
    b->input = snug_scratch_take(scratch, (size_t)tokens * state->input_width * sizeof(float));
    b->input_gate = snug_scratch_take(scratch, (size_t)tokens * state->input_width * sizeof(float));
    b->router = snug_scratch_take(scratch, (size_t)tokens * STREAMS * sizeof(float));
    attention = mlp = *scratch;
    snug_block_attention_layout(&b->attention, &attention, s, tokens);
    snug_block_mlp_layout(&b->mlp, &mlp, s, tokens);
    scratch->used_bytes = snug_max_size(attention.used_bytes, mlp.used_bytes);
    pass->family = is_counting ? NULL : b;
}

static double mean_square(const float *x, size_t n)
{
    double sum = 0.0;

    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum / (double)n;
}

/* Give one stream of a token the magnitude of the first. */
static void match_magnitude(void *user, uint32_t token)
{
    const token_work *w = user;
    float *x = w->b->stream[w->index] + token * w->hidden;
    const double wanted = sqrt(mean_square(w->b->stream[0] + token * w->hidden, w->hidden));
    const double is = sqrt(fmax(mean_square(x, w->hidden), 1e-5));

    w->pass->model->kernels.scale(x, (float)(wanted / is), w->hidden);
}

static void make_streams(snug_pass *pass, token_work *w)
{
    const gemma3n_state *state = w->state;
    const uint32_t hidden = pass->model->shape.hidden;

    for (uint32_t i = 1; i < STREAMS; i++) {
        const snug_linear to_stream = { &state->split[i - 1], w->b->stream[i], hidden };

        snug_block_linear(pass, &to_stream, 1, w->b->stream[0], hidden);
        w->index = i;
        snug_block_each_token(pass, match_magnitude, w);
    }
}

static void average_token(void *user, uint32_t token)
{
    const token_work *w = user;
    const snug_kernels *k = &w->pass->model->kernels;
    float *x = w->b->stream[0] + token * w->hidden;

    for (int i = 1; i < STREAMS; i++)
        k->add(x, w->b->stream[i] + token * w->hidden, w->hidden);
    k->scale(x, 1.0f / STREAMS, w->hidden);
}

static void merge_streams(snug_pass *pass, token_work *w)
{
    const gemma3n_state *state = w->state;
    const uint32_t hidden = pass->model->shape.hidden;

    for (uint32_t i = 1; i < STREAMS; i++) {
        const snug_linear from_stream = { &state->merge[i - 1], w->b->stream[i], hidden };

        /* In place: the input is brought into the kernel's form before anything is written. */
        snug_block_linear(pass, &from_stream, 1, w->b->stream[i], hidden);
        w->index = i;
        snug_block_each_token(pass, match_magnitude, w);
    }
    snug_block_each_token(pass, average_token, w);
}

/* b->router[t] = what the router says about x[t]; tanh(x / hidden) is left to the reader. */
static void route(snug_pass *pass, const token_work *w, const float *x)
{
    const uint32_t hidden = pass->model->shape.hidden;
    const snug_linear router = { &w->layer->router, w->b->router, STREAMS };

    snug_block_rms_norm(pass, w->b->normed, x, w->layer->router_norm, hidden);
    snug_block_linear(pass, &router, 1, w->b->normed, hidden);
}

static void read_route(float modality[STREAMS], const token_work *w, uint32_t token)
{
    for (size_t i = 0; i < STREAMS; i++)
        modality[i] = tanhf(w->b->router[(size_t)token * STREAMS + i] / (float)w->hidden);
}

/* stream[b] += sum over a of c[b][a] * stream[a] */
static void predict_token(void *user, uint32_t token)
{
    const token_work *w = user;
    float modality[STREAMS];
    float c[STREAMS][STREAMS];

    read_route(modality, w, token);
    for (size_t i = 0; i < STREAMS * STREAMS; i++) {
        float sum = 0.0f;

        for (size_t m = 0; m < STREAMS; m++)
            sum += w->layer->prediction[i * STREAMS + m] * modality[m];
        c[i / STREAMS][i % STREAMS] = sum;
    }
    for (size_t i = token * w->hidden; i < (token + 1) * w->hidden; i++) {
        float x[STREAMS];

        for (int a = 0; a < STREAMS; a++)
            x[a] = w->b->stream[a][i];
        for (int b = 0; b < STREAMS; b++)
            w->b->stream[b][i] = x[b] + (c[b][0] * x[0] + c[b][1] * x[1] + c[b][2] * x[2] + c[b][3] * x[3]);
    }
}

/* Every stream moves by a share of what the layer changed in the first. */
static void correct_token(void *user, uint32_t token)
{
    const token_work *w = user;
    float modality[STREAMS];
    float share[STREAMS];

    read_route(modality, w, token);
    for (int b = 0; b < STREAMS; b++) {
        share[b] = 1.0f;
        for (int m = 0; m < STREAMS; m++)
            share[b] += w->layer->correction[b * STREAMS + m] * modality[m];
    }
    for (size_t i = token * w->hidden; i < (token + 1) * w->hidden; i++) {
        const float change = w->b->branch[i] - w->b->stream[0][i];

        for (int b = 0; b < STREAMS; b++)
            w->b->stream[b][i] += change * share[b];
    }
}

/* From the product with the embeddings to the layer's input: normed, the table's slice added. */
static void finish_input(void *user, uint32_t token)
{
    const token_work *w = user;
    const gemma3n_state *state = w->state;
    const snug_model *model = w->pass->model;
    const snug_kernels *k = &model->kernels;
    const size_t width = state->input_width;
    const uint32_t id = w->pass->ids[token];
    float *input = w->b->input + token * width;
    float *looked_up = w->b->input_gate + token * width;

    k->scale(input, 1.0f / sqrtf((float)w->hidden), width);
    k->rms_norm(input, input, state->input_norm, width, model->shape.norm_epsilon);
    k->unpack[state->input_table.type](looked_up, &state->input_table, id < state->input_table.rows ? id : 0,
                                       w->index * width, width);
    k->scale(looked_up, state->input_scale, width);
    k->add(input, looked_up, width);
    k->scale(input, 0.70710678118654752f, width);
}

static void scale_output(void *user, uint32_t token)
{
    const token_work *w = user;

    for (size_t i = 0; i < w->hidden; i++)
        w->b->normed[token * w->hidden + i] =
            w->b->stream[0][token * w->hidden + i] * w->layer->output_scale[i];
}

/* What this layer's own embedding of the token adds to all streams but the first. */
static void add_input(snug_pass *pass, token_work *w)
{
    const uint32_t hidden = pass->model->shape.hidden;
    const uint32_t width = w->state->input_width;
    const buffers *b = w->b;
    const snug_linear project = { &w->layer->embedding_projection, b->input, width };
    const snug_linear gate = { &w->layer->input_gate, b->input_gate, width };
    const snug_linear back = { &w->layer->input_projection, b->normed, hidden };

    snug_block_linear(pass, &project, 1, b->embedded, hidden);
    snug_block_each_token(pass, finish_input, w);
    snug_block_each_token(pass, scale_output, w);
    snug_block_linear(pass, &gate, 1, b->normed, hidden);
    snug_block_gate(pass, SNUG_ACTIVATION_GELU_TANH, b->input_gate, b->input, width);
    snug_block_linear(pass, &back, 1, b->input_gate, width);
    snug_block_rms_norm(pass, b->normed, b->normed, w->layer->input_post_norm, hidden);
    for (int i = 1; i < STREAMS; i++)
        snug_block_add(pass, b->stream[i], b->normed, hidden);
}

/* laurel = y + norm(right(left(y))) for the normed input y. */
static void run_laurel(snug_pass *pass, const token_work *w)
{
    const uint32_t hidden = pass->model->shape.hidden;
    const buffers *b = w->b;
    const snug_linear left = { &w->layer->laurel_left, b->low, w->state->rank };
    const snug_linear right = { &w->layer->laurel_right, b->laurel, hidden };

    snug_block_linear(pass, &left, 1, b->normed, hidden);
    snug_block_linear(pass, &right, 1, b->low, w->state->rank);
    snug_block_rms_norm(pass, b->laurel, b->laurel, w->layer->laurel_norm, hidden);
    snug_block_add(pass, b->laurel, b->normed, hidden);
}

static void run_layer(snug_pass *pass, token_work *w, uint32_t index)
{
    const snug_prenorm_layer *core = &w->layer->core;
    const uint32_t hidden = pass->model->shape.hidden;
    const buffers *b = w->b;

    w->index = index;
    route(pass, w, b->stream[0]);
    snug_block_each_token(pass, predict_token, w);
    snug_block_rms_norm(pass, b->normed, b->stream[0], core->attention_norm, hidden);
    run_laurel(pass, w);
    snug_block_attention(pass, b->branch, b->normed, &core->attention, &b->attention, index);
    snug_block_rms_norm(pass, b->branch, b->branch, core->attention_post_norm, hidden);
    snug_block_add(pass, b->branch, b->stream[0], hidden);
    snug_block_add(pass, b->branch, b->laurel, hidden);
    snug_block_scale(pass, b->branch, 0.70710678118654752f, hidden);
    snug_block_rms_norm(pass, b->normed, b->branch, core->mlp_norm, hidden);
    snug_block_mlp(pass, b->normed, b->normed, &core->mlp, &b->mlp);
    snug_block_rms_norm(pass, b->normed, b->normed, core->mlp_post_norm, hidden);
    snug_block_add(pass, b->branch, b->normed, hidden);
    route(pass, w, b->branch);
    snug_block_each_token(pass, correct_token, w);
    add_input(pass, w);
}

static void copy_embedded(void *user, uint32_t token)
{
    const token_work *w = user;

    for (size_t i = token * w->hidden; i < (token + 1) * w->hidden; i++)
        w->b->embedded[i] = w->b->stream[0][i];
}

void gemma3n_forward(snug_pass *pass)
{
    const snug_model *model = pass->model;
    const gemma3n_state *state = model->state;
    token_work w = { .pass = pass, .state = state, .b = pass->family, .hidden = model->shape.hidden };

    snug_block_embed(pass, pass->hidden, &model->embedding);
    snug_block_scale(pass, pass->hidden, state->embedding_scale, model->shape.hidden);
    for (uint32_t kind = 0; kind < model->shape.rope_count; kind++)
        snug_block_rope_angles(pass, kind, &state->rope[kind]);
    snug_block_each_token(pass, copy_embedded, &w);
    make_streams(pass, &w);
    for (uint32_t i = 0; i < model->shape.layer_count && !snug_work_is_given_up(pass->work); i++) {
        w.layer = &state->layer[i];
        run_layer(pass, &w, i);
    }
    merge_streams(pass, &w);
    snug_block_rms_norm(pass, pass->hidden, pass->hidden, state->final_norm, model->shape.hidden);
}
