/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snug/model.h - a model: its weights, mapped from the files as published, and how to compute with them.
 *
 * Opening reads headers and binds tensors; no weight is read, nothing is copied but norm vectors (a few KB).
 * Weights stay in the page cache and are the kernel's to drop; only small tables are charged to the ledger.
 *
 * Threads: read-only after opening; any number of sessions may share one model.
 */
#ifndef SNUG_MODEL_H
#define SNUG_MODEL_H

#include <snug/cpu.h>
#include <snug/kv.h>
#include <snug/memory.h>

SNUG_BEGIN_DECLS

typedef struct snug_model snug_model;

typedef struct snug_model_options {
    size_t struct_size;
    snug_cpu_level cpu; /* 0: the best of this machine */
    bool exact;         /* f32 activations and accumulation: the mode that is compared with references */
} snug_model_options;

/*
 * Open the checkpoint at `path`: a folder with config.json, or a weight file in one. `memory` must outlive
 * it.
 * Errors: IO, CORRUPT (a tensor missing or of a wrong shape, a value out of range), UNSUPPORTED (a family or
 * type this build does not know, by name), OVER_LIMIT.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_model_open(snug_model **model_out, snug_memory *memory,
                                                     const char *path, const snug_model_options *options,
                                                     snug_error *error);
SNUG_API void snug_model_close(snug_model *model);

/* A model as its config.json describes it, for a plan before there are files. */
typedef struct snug_model_outline {
    size_t struct_size;
    const char *name;   /* for sentences, in place of a path */
    const char *config; /* text of config.json, by Hugging Face's keys; need not outlive the call */
    size_t config_bytes;
    const char *weights; /* how they are stored: "f32", "f16", "bf16", "affine4:64", "q8_0", "q4_k_m" */
} snug_model_outline;

/*
 * A model without weights: it can be planned and asked for its shape, tensors and bytes, like one whose files
 * are there, but no session can be made of it. Costs as much memory as the tables of a real one.
 * Errors: ARGUMENT (an unknown way to store weights), CORRUPT, UNSUPPORTED, OVER_LIMIT.
 */
SNUG_API SNUG_MUST_CHECK snug_status snug_model_open_outline(snug_model **model_out, snug_memory *memory,
                                                             const snug_model_outline *outline,
                                                             const snug_model_options *options,
                                                             snug_error *error);

typedef struct snug_model_info {
    size_t struct_size;      /* set by the caller */
    const char *family;      /* "llama": the row of the family table */
    const char *path;        /* as opened */
    const char *weight_type; /* of most weights: "BF16" */
    uint32_t layer_count;
    uint32_t hidden;
    uint32_t head_count;
    uint32_t kv_head_count;
    uint32_t head_dim;
    uint32_t vocabulary;     /* rows of the output: may be more than there are tokens */
    uint32_t context_tokens; /* the longest context the model was made for */
    uint64_t parameters;
    uint64_t token_parameters; /* of them, in the matrices that compute each token */
    uint64_t weight_bytes; /* read for one token: all matrices and, of the embedding, what the head reads */
    uint64_t mapped_bytes; /* of the weight files */
    snug_cpu_level cpu;    /* in use */
    bool exact;
} snug_model_info;

/* Its files, as long as the model lives: for snug_text_open_files(). */
typedef struct snug_checkpoint snug_checkpoint;
SNUG_API const snug_checkpoint *snug_model_files(const snug_model *model);

SNUG_API void snug_model_read_info(snug_model_info *info_out, const snug_model *model);

/*
 * What reading a prompt is made of: an instruction of the processor that the kernels in use multiply by, and
 * how often a token needs it. Counted are the matrices of the layers, two operations for each weight (a
 * multiplication and an addition). Not counted are the head, which is for the last token only, attention, and
 * what the kernels do beside multiplying.
 */
typedef struct snug_model_product {
    const char *name;          /* "VPDPBUSD, 64 bytes" */
    uint64_t token_operations; /* for each token of a prompt */
    uint64_t round_operations; /* of a round of: */
    /* That instruction and nothing else, on registers, `rounds` rounds in as many chains as the processor can
     * take: what a thread does at most. Some nanoseconds a round; sums come out, to be kept. */
    void (*run)(unsigned char sums_out[64], uint64_t rounds);
} snug_model_product;

/* Most kinds of products that a model has. */
#define SNUG_MODEL_PRODUCTS_MAX 4

/* Returns how many there are. Valid while the model lives. */
SNUG_API uint32_t snug_model_read_products(snug_model_product products_out[SNUG_MODEL_PRODUCTS_MAX],
                                           const snug_model *model);

/*
 * Begin to read the weights and to map them, by a thread of its own, while the caller opens the tokenizer and
 * makes a session: the first pass then waits for less. Only for who knows that they will stay in memory
 * (snug_plan.weights_fit); nothing is done where they are read in windows, or a second time. The thread ends
 * when all is there, at the latest with the model. Cost: 12 KB of the ledger until then.
 */
SNUG_API void snug_model_warm(snug_model *model);

/* Weight bytes in memory now, by the kernel's word (mincore). */
SNUG_API uint64_t snug_model_resident_bytes(const snug_model *model);

/* What its cache must hold. Valid while the model lives. */
SNUG_API const snug_kv_shape *snug_model_kv_shape(const snug_model *model);

/* Ids that end an answer: the union of generation_config's and config's eos_token_id. */
SNUG_API const uint32_t *snug_model_stop_ids(const snug_model *model, size_t *count_out);

/* Sampling defaults of generation_config.json; a negative value where the file says nothing. */
typedef struct snug_model_sampling {
    double temperature; /* 0 when the file says do_sample false */
    double top_p;
    double top_k;
    double min_p;
    double repetition_penalty;
} snug_model_sampling;

SNUG_API snug_model_sampling snug_model_read_sampling(const snug_model *model);

/* --- what the files hold ------------------------------------------------------------------------------- */

/*
 * Names below are a file's own bytes: any byte may be in them, so escape them before they reach a terminal.
 * They are valid while the model lives.
 */

#define SNUG_TENSOR_DIMENSIONS_MAX 8
#define SNUG_TYPE_NAME_BYTES       16

typedef struct snug_tensor_info {
    size_t struct_size; /* set by the caller */
    const char *name;   /* Hugging Face's, also for a GGUF file; not terminated */
    size_t name_bytes;
    /* "BF16", "Q4_K"; "AFFINE4" for each of the three tensors of a matrix that MLX quantized. Terminated,
     * printable. */
    char type[SNUG_TYPE_NAME_BYTES];
    char file_type[SNUG_TYPE_NAME_BYTES]; /* as the file calls its elements: "U32" for packed integers */
    uint32_t group;                       /* values that share an AFFINE type's scale and bias; else 0 */
    uint32_t rank;
    uint64_t shape[SNUG_TENSOR_DIMENSIONS_MAX]; /* as in the file, outermost first; `rank` of them */
    uint64_t weights; /* it stands for: 0 for scales and biases, which stand for none */
    uint64_t bytes;
    size_t file; /* which weight file it is in */
} snug_tensor_info;

/* All tensors of the weight files in the order of their names, also those that this model does not use. */
SNUG_API size_t snug_model_tensor_count(const snug_model *model);
SNUG_API void snug_model_read_tensor(snug_tensor_info *info_out, const snug_model *model, size_t index);

typedef struct snug_weight_file_info {
    size_t struct_size;  /* set by the caller */
    const char *name;    /* in the model's folder; terminated */
    const char *format;  /* "safetensors" or "GGUF" */
    size_t tensor_count; /* in it */
    uint64_t bytes;      /* of these tensors */
} snug_weight_file_info;

SNUG_API size_t snug_model_weight_file_count(const snug_model *model);
SNUG_API void snug_model_read_weight_file(snug_weight_file_info *info_out, const snug_model *model,
                                          size_t index);

/* One layer. What it keeps in the cache is in snug_model_kv_shape(). */
typedef struct snug_layer_info {
    size_t struct_size; /* set by the caller */
    uint32_t head_count;
    uint32_t kv_head_count;
    uint32_t head_dim;
    uint32_t mlp; /* width of its feed-forward part */
} snug_layer_info;

SNUG_API void snug_model_read_layer(snug_layer_info *info_out, const snug_model *model, uint32_t layer);

/* The files a tokenizer is made of, before one is opened (snug/text.h). */
typedef struct snug_text_files_info {
    size_t struct_size;         /* set by the caller */
    const char *tokenizer;      /* "byte-level BPE", "SentencePiece BPE" or "unknown" */
    const char *tokenizer_file; /* "tokenizer.json", "tokenizer.model" or "GGUF"; "" when there is none */
    const char *template_file; /* "chat_template.jinja", "tokenizer_config.json" or "GGUF"; "": no template */
    uint64_t chat_template_bytes;
} snug_text_files_info;

SNUG_API void snug_model_read_text_files(snug_text_files_info *info_out, const snug_model *model);

/* Sequences of more tokens than this are computed with other rotary frequencies from their first token on
 * ("longrope"); 0: all alike. See snug_recompute in snug/session.h. */
SNUG_API uint32_t snug_model_rope_short_tokens(const snug_model *model);

SNUG_END_DECLS
#endif /* SNUG_MODEL_H */
