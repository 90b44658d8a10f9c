/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rotation.c - signs and Walsh-Hadamard in plain C: the reference for every variant.
 */
#include "codec/rotation.h"

#include <math.h>

#include "base/random.h"
#include "base/status.h"
#include "codec/tile.h"

static void flip_signs(float *x, size_t head_dim, uint64_t seed)
{
    snug_random random = { .state = seed };
    uint64_t signs = 0;

    for (size_t i = 0; i < head_dim; i++) {
        if (i % 64 == 0)
            signs = snug_random_next(&random);
        if (signs >> (i % 64) & 1)
            x[i] = -x[i];
    }
}

/* One block; `size` is a power of two. Its own inverse. */
static void hadamard(float *x, size_t size)
{
    const float norm = 1.0f / sqrtf((float)size);

    for (size_t half = 1; half < size; half *= 2) {
        for (size_t start = 0; start < size; start += 2 * half) {
            for (size_t i = start; i < start + half; i++) {
                const float a = x[i];
                const float b = x[i + half];

                x[i] = a + b;
                x[i + half] = a - b;
            }
        }
    }
    for (size_t i = 0; i < size; i++)
        x[i] *= norm;
}

/* Every power of two in head_dim is one block, the largest first. */
static void transform_blocks(float *x, size_t head_dim)
{
    SNUG_ASSERT(head_dim % 2 == 0 && head_dim <= SNUG_HEAD_DIM_MAX);
    for (size_t size = SNUG_HEAD_DIM_MAX; size > 1; size /= 2) {
        if (head_dim & size) {
            hadamard(x, size);
            x += size;
        }
    }
}

void snug_rotation_apply(float *x, size_t head_dim, uint64_t seed)
{
    flip_signs(x, head_dim, seed);
    transform_blocks(x, head_dim);
}

void snug_rotation_undo(float *x, size_t head_dim, uint64_t seed)
{
    transform_blocks(x, head_dim);
    flip_signs(x, head_dim, seed);
}
