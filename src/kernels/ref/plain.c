/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ref/plain.c - the kernels that walk once over a vector: what each of them means, in plain C.
 */
#include "kernels/variants.h"

#include <math.h>

/* The mean is taken in double, so that no order of summation is the right one. */
static void rms_norm(float *out, const float *x, const float *weight, size_t n, float epsilon)
{
    double sum = 0.0;

    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];

    const float factor = (float)(1.0 / sqrt(sum / (double)n + (double)epsilon));

    for (size_t i = 0; i < n; i++)
        out[i] = x[i] * factor * weight[i];
}

static void rope_half(float *x, const float *cosine, const float *sine, size_t half)
{
    for (size_t i = 0; i < half; i++) {
        const float a = x[i];
        const float b = x[i + half];

        x[i] = a * cosine[i] - b * sine[i];
        x[i + half] = b * cosine[i] + a * sine[i];
    }
}

static void rope_pairs(float *x, const float *cosine, const float *sine, size_t half)
{
    for (size_t i = 0; i < half; i++) {
        const float a = x[2 * i];
        const float b = x[2 * i + 1];

        x[2 * i] = a * cosine[i] - b * sine[i];
        x[2 * i + 1] = b * cosine[i] + a * sine[i];
    }
}

/* Minus infinity counts as the lowest finite number: the limit is -0, where the formula has inf / inf. */
static float silu(float x)
{
    if (x == -INFINITY)
        return -0.0f;
    return x / (1.0f + expf(-x));
}

static void swiglu(float *out, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = silu(gate[i]) * up[i];
}

/* Below -20 one plus the tangent is 0 in float; infinity times that would be no number. */
static float gelu(float x)
{
    if (x < -20.0f)
        return -0.0f;
    return 0.5f * x * (1.0f + tanhf(0.7978845608028654f * (x + 0.044715f * x * x * x)));
}

static void geglu(float *out, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = gelu(gate[i]) * up[i];
}

static void add(float *x, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] += y[i];
}

static void scale(float *x, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= factor;
}

void snug_plain_fill_c(snug_kernels *kernels)
{
    kernels->rms_norm = rms_norm;
    kernels->rope_half = rope_half;
    kernels->rope_pairs = rope_pairs;
    kernels->swiglu = swiglu;
    kernels->geglu = geglu;
    kernels->add = add;
    kernels->scale = scale;
}
