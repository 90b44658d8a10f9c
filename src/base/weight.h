/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weight.h - a matrix as a file stores it: where it lies and how its values are written. It is never copied
 * into another layout that stays; kernels read it where it is.
 */
#ifndef SNUG_SRC_BASE_WEIGHT_H
#define SNUG_SRC_BASE_WEIGHT_H

#include "base/type.h"

/*
 * Types of blocks keep their scales among the values. Affine types keep them in two matrices of their own:
 * value = scale * q + bias, with one scale and one bias for `group` neighbouring values of a row (MLX).
 */
typedef struct snug_weight {
    const void *data; /* [rows][row_bytes], at any address */
    snug_type type;
    uint32_t rows;
    uint32_t columns;
    size_t row_bytes;

    /* Affine types only; else 0. */
    const void *scale;    /* [rows][columns / group] of scale_type, at any address */
    const void *bias;     /* the same */
    snug_type scale_type; /* F32, F16 or BF16 */
    uint32_t group;       /* 32, 64 or 128 */
} snug_weight;

static inline size_t snug_weight_scale_row_bytes(const snug_weight *weight)
{
    return weight->group ? snug_type_row_bytes(weight->scale_type, weight->columns / weight->group) : 0;
}

/* `rows` of a matrix, from `first_row` on. */
static inline snug_weight snug_weight_rows(const snug_weight *weight, uint32_t first_row, uint32_t rows)
{
    const size_t scale_offset = first_row * snug_weight_scale_row_bytes(weight);
    snug_weight part = *weight;

    part.data = (const unsigned char *)weight->data + first_row * weight->row_bytes;
    part.rows = rows;
    if (weight->group) {
        part.scale = (const unsigned char *)weight->scale + scale_offset;
        part.bias = (const unsigned char *)weight->bias + scale_offset;
    }
    return part;
}

/* All bytes of it in the file. */
static inline uint64_t snug_weight_bytes(const snug_weight *weight)
{
    return (uint64_t)weight->rows * (weight->row_bytes + 2 * snug_weight_scale_row_bytes(weight));
}

#endif /* SNUG_SRC_BASE_WEIGHT_H */
