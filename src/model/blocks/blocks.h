/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blocks.h - the parts that families are put together from. A block works on all tokens of the chunk,
 * splits itself over the threads, and uses the scratch of the pass. Shapes are written beside each
 * pointer; T is pass->tokens.
 */
#ifndef SNUG_SRC_MODEL_BLOCKS_BLOCKS_H
#define SNUG_SRC_MODEL_BLOCKS_BLOCKS_H

#include "model/model.h"

/* --- linear.c ------------------------------------------------------------------------------------------ */

/* One product with a shared input: out[t] = weight . input[t]. */
typedef struct snug_linear {
    const snug_weight *weight; /* [rows][columns] */
    float *out;                /* [T][out_stride] */
    size_t out_stride;
} snug_linear;

#define SNUG_LINEARS_MAX 4

/* `count` products of the same input, in one go over the threads; their columns agree. */
void snug_block_linear(snug_pass *pass, const snug_linear *linears, size_t count,
                       const float *input /* [T][input_stride] */, size_t input_stride);

/* Bytes per token of pass->prepared for inputs of that many columns, whatever the weight types and the
 * path. */
size_t snug_block_prepared_bytes(const snug_model *model, uint32_t columns);
/* The most scratch that one thread needs for a product with that many columns. */
size_t snug_block_linear_scratch_bytes(const snug_model *model, uint32_t columns);

/* --- elementwise.c ------------------------------------------------------------------------------------- */

/* hidden[t] = row ids[t] of the embedding, as f32. */
void snug_block_embed(snug_pass *pass, float *out /* [T][hidden] */, const snug_weight *embedding);
/* out[t] = rms_norm(x[t]) * weight; out may be x. */
void snug_block_rms_norm(snug_pass *pass, float *out /* [T][width] */, const float *x /* [T][width] */,
                         const float *weight /* [width] */, uint32_t width);
/* x[t] += y[t] */
void snug_block_add(snug_pass *pass, float *x /* [T][width] */, const float *y /* [T][width] */,
                    uint32_t width);
/* The nearest value that a type of 16 bits holds; any other type: the value itself. References cast constants
 * to the type of the weights before they multiply. */
float snug_block_round_to_type(float value, snug_type type);
/* x[t] *= factor */
void snug_block_scale(snug_pass *pass, float *x /* [T][width] */, float factor, uint32_t width);

typedef enum snug_activation {
    SNUG_ACTIVATION_SILU = 0,
    SNUG_ACTIVATION_GELU_TANH = 1,
} snug_activation;

/* gate[t] = activation(gate[t]) * up[t] */
void snug_block_gate(snug_pass *pass, snug_activation activation, float *gate /* [T][width] */,
                     const float *up /* [T][width] */, uint32_t width);

/* --- rope.c -------------------------------------------------------------------------------------------- */

/* Where config.json says how a kind of layer rotates. A file has the first two or the third. */
typedef struct snug_rope_keys {
    const char *theta;      /* "rope_theta" */
    const char *scaling;    /* "rope_scaling"; NULL: layers of this kind are not scaled */
    const char *parameters; /* "rope_parameters", where newer files have theta and scaling both */
    double default_theta;
} snug_rope_keys;

#define SNUG_ROPE_KEYS(theta_default)                                                                        \
    {                                                                                                        \
        "rope_theta", "rope_scaling", "rope_parameters", theta_default                                       \
    }

/*
 * Compute the frequencies into model->vectors; kinds: default, linear, llama3, longrope. Longrope sets
 * shape.rope_short_tokens. Errors: UNSUPPORTED, CORRUPT.
 */
SNUG_MUST_CHECK snug_status snug_block_rope_read(snug_rope *rope_out, snug_model *model,
                                                 const snug_rope_keys *keys, snug_error *error);
/* The most floats of model->vectors that one call takes. */
size_t snug_block_rope_floats(const snug_model_shape *shape);
/* pass->angles[kind] for the positions of the chunk. */
void snug_block_rope_angles(snug_pass *pass, uint32_t kind, const snug_rope *rope);

/* --- attention.c --------------------------------------------------------------------------------------- */

/* Attention of one layer: its shape, then its weights. */
typedef struct snug_attention {
    uint32_t head_count; /* of queries */
    uint32_t rope;       /* which angles of the pass, or SNUG_ROPE_NONE */
    float scale;
    snug_kv_layer kv;
    snug_weight query;       /* [head_count x head_dim][hidden] */
    snug_weight key;         /* [kv_head_count x head_dim][hidden]; unused when kv.is_shared */
    snug_weight value;       /* the same */
    snug_weight output;      /* [hidden][head_count x head_dim] */
    const float *query_norm; /* [head_dim], per head before rope; NULL: none */
    const float *key_norm;
    const float *value_norm;
} snug_attention;

typedef struct snug_attention_buffers {
    float *query; /* [T][head_count][head_dim] */
    float *key;   /* [T][kv_head_count][head_dim] */
    float *value; /* the same */
    float *mixed; /* [T][head_count][head_dim]: what attention puts out */
} snug_attention_buffers;

/* Names of an attention's matrices behind the prefix of its layer. */
typedef struct snug_attention_names {
    const char
        *fused; /* rows of queries, keys, values in one matrix, where the file has it; NULL: in three */
    const char *query;
    const char *key;
    const char *value;
    const char *output;
    const char *query_norm; /* NULL: none */
    const char *key_norm;
} snug_attention_names;

/* Whether to bind `fused`: it has a name, and is in the file or has no separate parts to look for instead. */
bool snug_block_find_fused(char *name_out, size_t capacity, const snug_model *model, const char *prefix,
                           const char *fused, const char *separate);
/* Find the matrices; the shape in *attention is filled in already. Norms are left to the caller. */
SNUG_MUST_CHECK snug_status snug_block_attention_bind(snug_attention *attention, snug_model *model,
                                                      const char *prefix, const snug_attention_names *names,
                                                      snug_error *error);
/* Room for any layer of that shape. */
void snug_block_attention_layout(snug_attention_buffers *buffers, snug_scratch *scratch,
                                 const snug_model_shape *shape, uint32_t tokens);
/* out = attention of the layer over its cache, after writing this chunk's keys and values to it. */
void snug_block_attention(snug_pass *pass, float *out /* [T][hidden] */, const float *x /* [T][hidden] */,
                          const snug_attention *attention, const snug_attention_buffers *buffers,
                          uint32_t layer);

/* --- mlp.c --------------------------------------------------------------------------------------------- */

/* The gated MLP of one layer: its shape, then its weights. */
typedef struct snug_mlp {
    uint32_t width;
    snug_activation activation;
    float sparsity;   /* gates below their mean plus this many standard deviations become 0; 0: all stay */
    snug_weight gate; /* [width][hidden] */
    snug_weight up;   /* [width][hidden] */
    snug_weight down; /* [hidden][width] */
} snug_mlp;

typedef struct snug_mlp_buffers {
    float *gate; /* [T][width] */
    float *up;   /* [T][width] */
} snug_mlp_buffers;

/* Names of an MLP's matrices behind the prefix of its layer. */
typedef struct snug_mlp_names {
    const char *fused; /* rows of gate and up in one matrix, where the file has it; NULL: in two */
    const char *gate;
    const char *up;
    const char *down;
} snug_mlp_names;

/* Find the matrices; the shape in *mlp is filled in already. */
SNUG_MUST_CHECK snug_status snug_block_mlp_bind(snug_mlp *mlp, snug_model *model, const char *prefix,
                                                const snug_mlp_names *names, snug_error *error);
/* Room for any layer of that shape. */
void snug_block_mlp_layout(snug_mlp_buffers *buffers, snug_scratch *scratch, const snug_model_shape *shape,
                           uint32_t tokens);
/* out = down(activation(gate(x)) * up(x)) */
void snug_block_mlp(snug_pass *pass, float *out /* [T][hidden] */, const float *x /* [T][hidden] */,
                    const snug_mlp *mlp, const snug_mlp_buffers *buffers);

/* --- prenorm.c, prenorm_shape.c ------------------------------------------------------------------------ */

/*
 * The plain decoder that Llama introduced and many families keep: x += attention(norm(x)); x += mlp(norm(x)).
 * Its functions have the signatures of snug_family, so that such a family is its names, its keys of the
 * configuration and, where layers differ, a function that says how.
 */
typedef struct snug_prenorm_layer {
    const float *attention_norm;      /* [hidden] */
    const float *attention_post_norm; /* [hidden], of what attention puts out; NULL: none */
    const float *mlp_norm;            /* [hidden] */
    const float *mlp_post_norm;       /* [hidden]; NULL: none */
    snug_attention attention;
    snug_mlp mlp;
} snug_prenorm_layer;

typedef struct snug_prenorm {
    const float *final_norm; /* [hidden] */
    float embedding_scale;   /* of what the layers get; the head is not scaled. 1 unless the family sets it */
    snug_rope rope[SNUG_ROPES_MAX];
    snug_prenorm_layer layer[]; /* [layer_count] */
} snug_prenorm;

/* Names of tensors. All but `head` stand behind `prefix`, those of a layer behind `layers` and its number. */
typedef struct snug_prenorm_names {
    const char *prefix; /* "model." */
    const char *embedding;
    const char *final_norm;
    const char *head;
    const char *layers; /* "layers." */
    const char *attention_norm;
    const char *attention_post_norm; /* NULL: none */
    const char *mlp_norm;
    const char *mlp_post_norm; /* NULL: none */
    snug_attention_names attention;
    snug_mlp_names mlp;
} snug_prenorm_names;

struct snug_prenorm_options {
    const snug_prenorm_names *names;
    snug_activation activation;
    bool norms_add_one;  /* files store w of a norm that multiplies by 1 + w */
    uint32_t rope_count; /* 0 counts as 1 */
    snug_rope_keys rope[SNUG_ROPES_MAX];
    /* How this layer differs from the shape of the model, which it has when called; NULL: in nothing. */
    snug_status (*describe)(snug_prenorm_layer *layer, const snug_model *model, uint32_t index,
                            snug_error *error);
};

/* The names of Llama's files, and those of them that most families keep. */
extern const snug_prenorm_names snug_prenorm_llama_names;
#define SNUG_LLAMA_MODEL_NAMES                                                                               \
    .prefix = "model.", .embedding = "embed_tokens.weight", .final_norm = "norm.weight",                     \
    .head = "lm_head.weight", .layers = "layers.", .attention_norm = "input_layernorm.weight"
#define SNUG_LLAMA_ATTENTION_NAMES                                                                           \
    .query = "self_attn.q_proj.weight", .key = "self_attn.k_proj.weight",                                    \
    .value = "self_attn.v_proj.weight", .output = "self_attn.o_proj.weight"
#define SNUG_LLAMA_MLP_NAMES                                                                                 \
    .gate = "mlp.gate_proj.weight", .up = "mlp.up_proj.weight", .down = "mlp.down_proj.weight"

/*
 * Keys every such family has, checked; head_dim defaults to hidden / heads. A family whose defaults are
 * others sets shape.is_tied before.
 */
SNUG_MUST_CHECK snug_status snug_prenorm_read_shape(snug_model *model, snug_error *error);
/* For families with keys of their own: what must hold for any shape. Sets what follows from the rest. */
SNUG_MUST_CHECK snug_status snug_prenorm_finish_shape(snug_model *model, snug_error *error);
/* Whether queries can be dealt to keys. */
SNUG_MUST_CHECK snug_status snug_prenorm_check_heads(const snug_model *model, uint32_t head_count,
                                                     uint32_t kv_head_count, snug_error *error);
size_t snug_prenorm_state_bytes(const snug_model *model);
size_t snug_prenorm_vector_floats(const snug_model *model);
SNUG_MUST_CHECK snug_status snug_prenorm_bind(snug_model *model, snug_error *error);
/* The norms, attention and MLP of one layer whose shape is filled in, by names behind `prefix`. */
SNUG_MUST_CHECK snug_status snug_prenorm_bind_layer(snug_prenorm_layer *layer, snug_model *model,
                                                    const char *prefix, snug_error *error);
snug_kv_layer snug_prenorm_kv_layer(const snug_model *model, uint32_t layer);
void snug_prenorm_layout(snug_pass *pass, snug_scratch *scratch, const snug_model *model, uint32_t tokens);
void snug_prenorm_forward(snug_pass *pass);

/* The rows of snug_family that all of them share. */
#define SNUG_PRENORM_FAMILY                                                                                  \
    .state_bytes = snug_prenorm_state_bytes, .vector_floats = snug_prenorm_vector_floats,                    \
    .kv_layer = snug_prenorm_kv_layer, .layout = snug_prenorm_layout, .forward = snug_prenorm_forward

/* Sizes beyond these are no model but a damaged file; they also keep every product below 2^63. */
#define SNUG_DIMENSION_MAX  (1u << 20)
#define SNUG_LAYERS_MAX     4096u
#define SNUG_CONTEXT_MAX    (1u << 30)
#define SNUG_VOCABULARY_MAX (1u << 24)

/* --- shared by blocks ---------------------------------------------------------------------------------- */

/* Run fn for every token of the chunk: on this thread when there are few, else split over the threads. */
typedef void (*snug_token_work_fn)(void *user, uint32_t token);
void snug_block_each_token(snug_pass *pass, snug_token_work_fn fn, void *user);

#endif /* SNUG_SRC_MODEL_BLOCKS_BLOCKS_H */
