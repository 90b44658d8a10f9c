/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gemma3n.h - what gemma3n_bind.c finds in the files and gemma3n.c computes with.
 */
#ifndef SNUG_SRC_MODEL_FAMILIES_GEMMA3N_H
#define SNUG_SRC_MODEL_FAMILIES_GEMMA3N_H

#include "model/blocks/blocks.h"

/* Residual streams; all published models have four. */
#define GEMMA3N_STREAMS 4

typedef struct gemma3n_layer {
    snug_prenorm_layer core;
    const float *router_norm;         /* [hidden] */
    snug_weight router;               /* [streams][hidden] */
    const float *prediction;          /* [streams x streams][streams] */
    const float *correction;          /* [streams][streams] */
    const float *output_scale;        /* [hidden] */
    snug_weight laurel_left;          /* [rank][hidden] */
    snug_weight laurel_right;         /* [hidden][rank] */
    const float *laurel_norm;         /* [hidden] */
    snug_weight embedding_projection; /* [input_width][hidden]: this layer's rows of one matrix for all */
    snug_weight input_gate;           /* [input_width][hidden] */
    snug_weight input_projection;     /* [hidden][input_width] */
    const float *input_post_norm;     /* [hidden] */
} gemma3n_layer;

typedef struct gemma3n_state {
    uint32_t rank;        /* of the low-rank branch */
    uint32_t input_width; /* values per token and layer of the embeddings per layer */
    snug_rope rope[SNUG_ROPES_MAX];
    float embedding_scale;
    float input_scale;
    snug_weight input_table;                /* [ids][layer_count x input_width], read by rows */
    const float *input_norm;                /* [input_width] */
    snug_weight split[GEMMA3N_STREAMS - 1]; /* [hidden][hidden]: from embeddings to streams 1 .. */
    snug_weight merge[GEMMA3N_STREAMS - 1]; /* [hidden][hidden] */
    const float *final_norm;                /* [hidden] */
    const float *value_norm;                /* [head_dim] ones: values are normed without weights */
    gemma3n_layer layer[];                  /* [layer_count] */
} gemma3n_state;

void gemma3n_layout(snug_pass *pass, snug_scratch *scratch, const snug_model *model, uint32_t tokens);
void gemma3n_forward(snug_pass *pass);

#endif /* SNUG_SRC_MODEL_FAMILIES_GEMMA3N_H */
