/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mlp.c - the gated MLP, down(activation(gate(x)) * up(x)). (Shazeer 2020, SwiGLU and GeGLU)
 */
#include "model/blocks/blocks.h"

#include <math.h>
#include <stdio.h>

#include "base/status.h"

snug_status snug_block_mlp_bind(snug_mlp *mlp, snug_model *model, const char *prefix,
                                const snug_mlp_names *names, snug_error *error)
{
    const uint32_t hidden = model->shape.hidden;
    const uint32_t width = mlp->width;
    snug_weight fused;
    char name[160];

    if (snug_block_find_fused(name, sizeof name, model, prefix, names->fused, names->gate)) {
        SNUG_TRY(snug_model_bind_matrix(&fused, model, name, 2 * width, hidden, error));
        mlp->gate = snug_weight_rows(&fused, 0, width);
        mlp->up = snug_weight_rows(&fused, width, width);
    } else {
        snprintf(name, sizeof name, "%s%s", prefix, names->gate);
        SNUG_TRY(snug_model_bind_matrix(&mlp->gate, model, name, width, hidden, error));
        snprintf(name, sizeof name, "%s%s", prefix, names->up);
        SNUG_TRY(snug_model_bind_matrix(&mlp->up, model, name, width, hidden, error));
    }
    snprintf(name, sizeof name, "%s%s", prefix, names->down);
    return snug_model_bind_matrix(&mlp->down, model, name, hidden, width, error);
}

void snug_block_mlp_layout(snug_mlp_buffers *buffers, snug_scratch *scratch, const snug_model_shape *shape,
                           uint32_t tokens)
{
    const size_t bytes = (size_t)tokens * shape->mlp * sizeof(float);

    buffers->gate = snug_scratch_take(scratch, bytes);
    buffers->up = snug_scratch_take(scratch, bytes);
}

typedef struct sparsity_work {
    const snug_mlp *mlp;
    float *gate;
} sparsity_work;

/* The deviation divides by n. (Gemma 3n; "statistical top-k", a normal distribution assumed) */
static void cut_gate(void *user, uint32_t token)
{
    const sparsity_work *w = user;
    const size_t width = w->mlp->width;
    float *gate = w->gate + token * width;
    double sum = 0.0, squares = 0.0;

    for (size_t i = 0; i < width; i++)
        sum += (double)gate[i];

    const double mean = sum / (double)width;

    for (size_t i = 0; i < width; i++)
        squares += ((double)gate[i] - mean) * ((double)gate[i] - mean);

    const float cut = (float)(mean + (double)w->mlp->sparsity * sqrt(squares / (double)width));

    for (size_t i = 0; i < width; i++)
        gate[i] = fmaxf(gate[i] - cut, 0.0f);
}

void snug_block_mlp(snug_pass *pass, float *out, const float *x, const snug_mlp *mlp,
                    const snug_mlp_buffers *buffers)
{
    const uint32_t hidden = pass->model->shape.hidden;
    const snug_linear inputs[] = {
        { &mlp->gate, buffers->gate, mlp->width },
        { &mlp->up, buffers->up, mlp->width },
    };
    const snug_linear output = { &mlp->down, out, hidden };

    snug_block_linear(pass, inputs, SNUG_COUNT(inputs), x, hidden);
    if (mlp->sparsity > 0.0f)
        snug_block_each_token(pass, cut_gate, &(sparsity_work){ mlp, buffers->gate });
    snug_block_gate(pass, mlp->activation, buffers->gate, buffers->up, mlp->width);
    snug_block_linear(pass, &output, 1, buffers->gate, mlp->width);
}
