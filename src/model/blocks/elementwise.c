/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elementwise.c - what is done to each token by itself: embedding, norms, sums, the gate of the MLP.
 */
#include "model/blocks/blocks.h"

#include "base/float16.h"
#include "base/size.h"

/* A chunk is handed out in runs of tokens; fewer tokens than one run stay on the calling thread. */
#define TOKENS_PER_PART 16

typedef struct token_job {
    snug_token_work_fn fn;
    void *user;
    uint32_t tokens;
} token_job;

static void run_tokens(void *user, size_t part, uint32_t worker)
{
    const token_job *job = user;
    const uint32_t first = (uint32_t)part * TOKENS_PER_PART;
    const uint32_t end = (uint32_t)snug_min_size(first + TOKENS_PER_PART, job->tokens);

    (void)worker;
    for (uint32_t t = first; t < end; t++)
        job->fn(job->user, t);
}

void snug_block_each_token(snug_pass *pass, snug_token_work_fn fn, void *user)
{
    token_job job = { .fn = fn, .user = user, .tokens = pass->tokens };

    snug_work_run(pass->work, run_tokens, &job, snug_divide_up(pass->tokens, TOKENS_PER_PART));
}

typedef struct row_work {
    const snug_pass *pass;
    float *out;
    const float *x;
    const float *weight;
    const snug_weight *embedding;
    size_t width;
    float factor;
    snug_activation activation;
} row_work;

static void embed_token(void *user, uint32_t token)
{
    const row_work *w = user;

    w->pass->model->kernels.unpack[w->embedding->type](w->out + token * w->width, w->embedding,
                                                       w->pass->ids[token], 0, w->width);
}

void snug_block_embed(snug_pass *pass, float *out, const snug_weight *embedding)
{
    row_work work = { .pass = pass, .out = out, .embedding = embedding, .width = embedding->columns };

    snug_block_each_token(pass, embed_token, &work);
}

static void norm_token(void *user, uint32_t token)
{
    const row_work *w = user;

    w->pass->model->kernels.rms_norm(w->out + token * w->width, w->x + token * w->width, w->weight, w->width,
                                     w->pass->model->shape.norm_epsilon);
}

void snug_block_rms_norm(snug_pass *pass, float *out, const float *x, const float *weight, uint32_t width)
{
    row_work work = { .pass = pass, .out = out, .x = x, .weight = weight, .width = width };

    snug_block_each_token(pass, norm_token, &work);
}

static void add_token(void *user, uint32_t token)
{
    const row_work *w = user;

    w->pass->model->kernels.add(w->out + token * w->width, w->x + token * w->width, w->width);
}

void snug_block_add(snug_pass *pass, float *x, const float *y, uint32_t width)
{
    row_work work = { .pass = pass, .out = x, .x = y, .width = width };

    snug_block_each_token(pass, add_token, &work);
}

float snug_block_round_to_type(float value, snug_type type)
{
    if (type == SNUG_TYPE_BF16)
        return snug_f32_from_bf16(snug_bf16_from_f32(value));
    if (type == SNUG_TYPE_F16)
        return snug_f32_from_f16(snug_f16_from_f32(value));
    return value;
}

static void scale_token(void *user, uint32_t token)
{
    const row_work *w = user;

    w->pass->model->kernels.scale(w->out + token * w->width, w->factor, w->width);
}

void snug_block_scale(snug_pass *pass, float *x, float factor, uint32_t width)
{
    row_work work = { .pass = pass, .out = x, .factor = factor, .width = width };

    if (factor != 1.0f)
        snug_block_each_token(pass, scale_token, &work);
}

static void gate_token(void *user, uint32_t token)
{
    const row_work *w = user;
    const snug_kernels *k = &w->pass->model->kernels;
    float *gate = w->out + token * w->width;

    if (w->activation == SNUG_ACTIVATION_SILU)
        k->swiglu(gate, gate, w->x + token * w->width, w->width);
    else
        k->geglu(gate, gate, w->x + token * w->width, w->width);
}

void snug_block_gate(snug_pass *pass, snug_activation activation, float *gate, const float *up,
                     uint32_t width)
{
    row_work work = { .pass = pass, .out = gate, .x = up, .width = width, .activation = activation };

    snug_block_each_token(pass, gate_token, &work);
}
