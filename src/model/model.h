/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model.h - a model inside the library: its shape, its bound weights, its family, and one pass through it.
 *
 * How a token flows: a family's forward() looks up embeddings, runs blocks (blocks/blocks.h) layer by
 * layer, and leaves the normed hidden states of all tokens of the chunk in scratch; snug_model_logits()
 * multiplies those rows that somebody wants by the head.
 *
 * A new family is one file in families/ with one snug_family, and one row in families.c.
 */
#ifndef SNUG_SRC_MODEL_MODEL_H
#define SNUG_SRC_MODEL_MODEL_H

#include <snug/model.h>

#include "base/weight.h"
#include "format/checkpoint.h"
#include "kernels/kernels.h"
#include "kv/kv.h"
#include "work/work.h"

/* Rotary frequencies for sequences of some lengths, ready to multiply by positions. */
typedef struct snug_rope_set {
    const float *frequency; /* [pair_count] radians per position, scaling applied */
    float magnitude;        /* cosines and sines are multiplied by it */
} snug_rope_set;

/* Rotary positions of one kind of layer. */
typedef struct snug_rope {
    uint32_t pair_count;    /* half the rotated dimensions */
    snug_rope_set set;      /* for all sequences, or for those of at most shape.rope_short_tokens */
    snug_rope_set long_set; /* for longer ones, where shape.rope_short_tokens is not 0 */
} snug_rope;

/* Kinds of layers that differ in their rotary frequencies. */
#define SNUG_ROPES_MAX 2
#define SNUG_ROPE_NONE UINT32_MAX /* in place of a kind: such a layer sees no positions */

/* What most families share. A family with more keeps it in its own state. */
typedef struct snug_model_shape {
    uint32_t vocabulary;
    uint32_t hidden;
    uint32_t layer_count;
    uint32_t head_count;    /* the most of any layer */
    uint32_t kv_head_count; /* the most of any layer */
    uint32_t head_dim;
    uint32_t mlp;          /* the widest of any layer */
    uint32_t widest_input; /* columns of the widest matrix: sizes the buffers of products */
    uint32_t context_tokens;
    uint32_t window_tokens; /* of the layers that see a window only; 0: there are none */
    uint32_t rope_count;    /* kinds of rotary frequencies */
    uint32_t
        rope_short_tokens; /* longer sequences use other frequencies from their first token; 0: all same */
    float norm_epsilon;
    float logit_cap;         /* logits become cap * tanh(logit / cap); 0: they stay */
    bool is_tied;            /* the head is the embedding */
    bool has_norms_with_one; /* norms are stored as 1 + w, in a family whose files hold w */
    bool has_rope_pairs; /* rotary pairs are neighbours in the rows of queries and keys, not halves apart */
} snug_model_shape;

typedef struct snug_family snug_family;
typedef struct snug_prenorm_options snug_prenorm_options; /* blocks/blocks.h */

struct snug_model {
    snug_memory *memory;
    snug_checkpoint *checkpoint;
    snug_kernels kernels;
    const snug_family *family;
    snug_model_shape shape;
    snug_kv_shape kv_shape;
    void *state;    /* of the family: its layers' weights; one block of the ledger */
    float *vectors; /* norm weights and frequencies as f32: vector_floats of them */
    size_t vector_floats;
    size_t vector_used;
    snug_weight embedding; /* [vocabulary][hidden] */
    snug_weight head;      /* [vocabulary][hidden]; the embedding itself when tied */
    uint64_t parameters;
    uint64_t token_parameters;
    uint64_t token_weight_bytes; /* weights read for one token */
    uint64_t wanted_bytes;       /* of them, that the ledger was told should stay in memory */
    uint64_t reading_bytes;      /* that may be read at once; SNUG_MEMORY_NO_LIMIT: as the system does */
    uint64_t type_bytes[SNUG_TYPE_COUNT];
    uint64_t layer_parameters[SNUG_TYPE_COUNT]; /* in the matrices that compute each token of a prompt */
    snug_type main_type;                        /* of most weight bytes */
    uint32_t matmul_types; /* bit 1 << type for each type of a matrix that is multiplied by */
    uint32_t *stop_ids;
    size_t stop_id_count;
};

/*
 * Buffers of one pass, carved from scratch in order. Run over no memory (base NULL) it counts bytes: the
 * planner and the session get their figure from the same code that later hands out pointers.
 */
typedef struct snug_scratch {
    unsigned char *base;
    size_t used_bytes;
} snug_scratch;

/* `bytes` more, 64-byte aligned; NULL while counting. */
void *snug_scratch_take(snug_scratch *scratch, size_t bytes);

/* Of every position of the chunk, for one kind of layer. */
typedef struct snug_angles {
    float *cosine; /* [tokens_max][pair_count] */
    float *sine;
} snug_angles;

/* One pass of up to `tokens_max` tokens through the model. Made by snug_pass_layout(); owned by the
 * session. */
typedef struct snug_pass {
    const snug_model *model;
    snug_kv *kv;
    snug_work *work;

    /* The chunk. */
    const uint32_t *ids; /* [tokens] */
    uint32_t tokens;
    uint32_t first_position;
    /* The length that the sequence is computed for: chooses the rotary frequencies, see rope_short_tokens.
     * The same for all chunks of a sequence. */
    uint32_t span_tokens;

    /* Scratch common to all families. */
    float *hidden;  /* [tokens_max][hidden]: the residual stream, at the end the normed result */
    void *prepared; /* [tokens_max][prepared_bytes]: input of matmuls in the kernel's form */
    snug_angles angles[SNUG_ROPES_MAX]; /* of snug_block_rope_angles() */
    void *thread_scratch;               /* [threads][thread_scratch_bytes] */
    size_t thread_scratch_bytes;
    snug_read_watch reading; /* where what may be read at once is limited */
    void *parts_scratch;     /* for attention over a long context */
    void *family;            /* the family's own buffers */
} snug_pass;

struct snug_family {
    const char *model_type; /* in config.json */
    /* Of families that are a pre-norm decoder with options, else NULL. */
    const snug_prenorm_options *prenorm;

    /* Check the configuration and fill model->shape, which it has snug_model_check_shape() check against
     * the tensors. No memory yet. */
    snug_status (*read_shape)(snug_model *model, snug_error *error);
    /* Bytes of its state, and floats of vectors it will take, for the shape read. */
    size_t (*state_bytes)(const snug_model *model);
    size_t (*vector_floats)(const snug_model *model);
    /* Find every tensor, check it, fill model->state. */
    snug_status (*bind)(snug_model *model, snug_error *error);
    /* What layer `layer` keeps in the cache. After bind(). */
    snug_kv_layer (*kv_layer)(const snug_model *model, uint32_t layer);
    /* Take its buffers for `tokens` tokens; with scratch->base NULL it only counts. */
    void (*layout)(snug_pass *pass, snug_scratch *scratch, const snug_model *model, uint32_t tokens);
    /* ids -> pass->hidden, all layers and the final norm. Writes the cache, allocates nothing, cannot
     * fail. */
    void (*forward)(snug_pass *pass);
};

/* The row of that model_type, or NULL. */
const snug_family *snug_family_find(snug_str model_type);
/* All names, for sentences: "llama, qwen3". */
void snug_family_names(char *out, size_t capacity);

/*
 * Which model this is: the same files give the same number. Cost: a page or two of each tensor. Not proof
 * against somebody who wants it to be the same.
 */
uint64_t snug_model_fingerprint(const snug_model *model);

/* --- what families use to bind ------------------------------------------------------------------------- */

/*
 * Sizes that config.json claims must be backed by the files before memory is taken for them: as many tensors
 * as layers at least, and an embedding of that name of [vocabulary][hidden].
 */
SNUG_MUST_CHECK snug_status snug_model_check_shape(const snug_model *model, const char *embedding_name,
                                                   snug_error *error);

/* The matrix of that name, checked; counted into the model's sums. */
SNUG_MUST_CHECK snug_status snug_model_bind_matrix(snug_weight *weight_out, snug_model *model,
                                                   const char *name, uint32_t rows, uint32_t columns,
                                                   snug_error *error);
/* A norm vector of that name as f32, copied into model->vectors. */
SNUG_MUST_CHECK snug_status snug_model_bind_vector(const float **vector_out, snug_model *model,
                                                   const char *name, uint32_t values, snug_error *error);
/* All values of a small tensor, of which there are `count`, as f32. Its type has a row_to_f32. */
void snug_model_read_values(float *out, const snug_model *model, const snug_tensor *tensor, size_t count);
/* Room in model->vectors. */
float *snug_model_take_vector(snug_model *model, size_t floats);

/* --- one pass ------------------------------------------------------------------------------------------ */

/*
 * Lay out a pass of up to `tokens_max` tokens for `threads` threads. With scratch->base NULL only
 * scratch->used_bytes is of use: the bytes the session must commit.
 */
void snug_pass_layout(snug_pass *pass, snug_scratch *scratch, const snug_model *model, uint32_t tokens_max,
                      uint32_t threads);

/* Compute the chunk that pass describes; pass->kv has been grown to hold it. Where the watch of pass->work
 * gives up, it returns soon, and nothing that it wrote counts. */
void snug_model_forward(snug_pass *pass);

/* Logits of token `token` of the chunk, [vocabulary]; up to SNUG_MATMUL_FEW_TOKENS tokens at once. */
void snug_model_logits(float *logits_out, snug_pass *pass, uint32_t first_token, uint32_t tokens);

#endif /* SNUG_SRC_MODEL_MODEL_H */
