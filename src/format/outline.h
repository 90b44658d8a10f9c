/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outline.h - a checkpoint without files: config.json alone, and how the weights would be stored. A family
 * binds itself to it as to any other; every tensor that it asks for is there, in the shape it asks for. So
 * what is known afterwards - tensors, their types and bytes - follows from the family's own code and not
 * from a second description of it. Internal to format/.
 */
#ifndef SNUG_SRC_FORMAT_OUTLINE_H
#define SNUG_SRC_FORMAT_OUTLINE_H

#include "format/checkpoint.h"

/* How a publisher's converter stores weights. */
typedef enum snug_outline_mix {
    SNUG_OUTLINE_PLAIN = 0,  /* all of one type of floats */
    SNUG_OUTLINE_AFFINE = 1, /* MLX: matrices whose rows are whole groups, embeddings too */
    SNUG_OUTLINE_Q8_0 = 2,   /* GGUF: matrices Q8_0, vectors F32 */
    SNUG_OUTLINE_Q4_K_M = 3, /* GGUF: llama.cpp's recipe of Q4_K and Q6_K */
} snug_outline_mix;

typedef struct snug_outline_scheme {
    snug_outline_mix mix;
    snug_type type;   /* of PLAIN and AFFINE */
    uint32_t group;   /* of AFFINE */
    const char *text; /* as given */
} snug_outline_scheme;

/* "f32", "f16", "bf16", "affine4:64", "q8_0", "q4_k_m". Errors: ARGUMENT. */
SNUG_MUST_CHECK snug_status snug_outline_scheme_read(snug_outline_scheme *out, const char *text,
                                                     snug_error *error);

/* The type of the matrix `name`, and through *group_out its group (0: none). */
snug_type snug_outline_matrix_type(uint32_t *group_out, const snug_outline_scheme *scheme, const char *name,
                                   uint32_t columns, uint32_t layer_count, bool is_tied);
/* Of a vector, or of a small matrix that no converter quantizes. */
snug_type snug_outline_vector_type(const snug_outline_scheme *scheme);

/* What snug_checkpoint_weight(), _matrix() and _vector() answer while a family binds itself. */
SNUG_MUST_CHECK snug_status snug_outline_weight(snug_weight *weight_out, const snug_checkpoint *checkpoint,
                                                const char *name, uint32_t rows, uint32_t columns,
                                                snug_error *error);
/* Its data are zeros, valid until the next tensor is asked for. */
SNUG_MUST_CHECK snug_status snug_outline_tensor(const snug_tensor **tensor_out,
                                                const snug_checkpoint *checkpoint, const char *name,
                                                const snug_tensor *wanted, snug_error *error);

#endif /* SNUG_SRC_FORMAT_OUTLINE_H */
