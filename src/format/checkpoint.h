/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint.h - one checked, read-only view of a model's files, whatever their format.
 *
 * Opening maps files and reads headers: no weight is touched, nothing is copied. Everything in the view has
 * been checked against the files' sizes, so that readers of the view need no checks of their own.
 * Names of tensors and configuration keys are Hugging Face's; GGUF files are translated to them.
 *
 * Errors name the file, the key, what was expected and what came.
 * Threads: read-only after opening, any thread.
 */
#ifndef SNUG_SRC_FORMAT_CHECKPOINT_H
#define SNUG_SRC_FORMAT_CHECKPOINT_H

#include <snug/memory.h>

#include "base/json.h"
#include "base/str.h"
#include "base/type.h"
#include "base/weight.h"
#include "format/vocabulary.h"

typedef struct snug_checkpoint snug_checkpoint;

/* Weights have one or two dimensions; files also carry convolutions of other parts (vision, audio). */
#define SNUG_TENSOR_RANK_MAX 8

typedef struct snug_tensor {
    snug_str name;
    snug_type
        type; /* SNUG_TYPE_NONE when the file's type is one that no weight may have (type_name says it) */
    snug_str type_name; /* as the file writes it: "BF16", "I64" */
    uint32_t rank;
    uint64_t shape[SNUG_TENSOR_RANK_MAX]; /* outermost first; only `rank` of them */
    const void *data;                     /* in the mapped file, at any alignment */
    uint64_t bytes;
    uint32_t file; /* which of the checkpoint's weight files */
} snug_tensor;

/*
 * Open the checkpoint at `path`: a folder with config.json, or a safetensors file in one; a GGUF file, or a
 * folder without config.json that holds one model of that kind. Any part of a split GGUF file stands for all.
 * `memory` must outlive it. Errors: IO (not there, not readable), CORRUPT, UNSUPPORTED, OVER_LIMIT.
 */
SNUG_MUST_CHECK snug_status snug_checkpoint_open(snug_checkpoint **checkpoint_out, snug_memory *memory,
                                                 const char *path, snug_error *error);
void snug_checkpoint_close(snug_checkpoint *checkpoint);

/*
 * A checkpoint without files: the text of a config.json, and how the weights would be stored ("bf16",
 * "affine4:64", "q8_0" ..., see outline.h). A family binds itself to it as to any other, then outline_end()
 * makes the table of what it asked for. `name` stands for the path in sentences. Weights have no data;
 * vectors read as zeros. Errors: ARGUMENT (how the weights are stored), CORRUPT, OVER_LIMIT.
 */
SNUG_MUST_CHECK snug_status snug_checkpoint_outline(snug_checkpoint **checkpoint_out, snug_memory *memory,
                                                    const char *name, snug_str config, const char *weights,
                                                    snug_error *error);
SNUG_MUST_CHECK snug_status snug_checkpoint_outline_end(snug_checkpoint *checkpoint, snug_error *error);
bool snug_checkpoint_is_outline(const snug_checkpoint *checkpoint);

const char *snug_checkpoint_path(const snug_checkpoint *checkpoint); /* as given */

/* The file with the configuration, for sentences: "FOLDER/config.json", or the (first) GGUF file. */
const char *snug_checkpoint_config_path(const snug_checkpoint *checkpoint);

/* What the ledger was charged for the checkpoint, exactly; the mapped files are no part of it. */
uint64_t snug_checkpoint_ledger_bytes(const snug_checkpoint *checkpoint);

/* The tensor of that name, or NULL. Logarithmic. */
const snug_tensor *snug_checkpoint_find(const snug_checkpoint *checkpoint, const char *name);
size_t snug_checkpoint_tensor_count(const snug_checkpoint *checkpoint);
const snug_tensor *snug_checkpoint_tensor(const snug_checkpoint *checkpoint, size_t index);

/* The weight files, by snug_tensor.file: "model-00001-of-00002.safetensors". */
size_t snug_checkpoint_weight_file_count(const snug_checkpoint *checkpoint);
const char *snug_checkpoint_weight_file_name(const snug_checkpoint *checkpoint, size_t file);

/* Bytes of all weight files mapped, and how many of them are in memory now (asks the kernel, mincore). */
uint64_t snug_checkpoint_mapped_bytes(const snug_checkpoint *checkpoint);
uint64_t snug_checkpoint_resident_bytes(const snug_checkpoint *checkpoint);

/* Whether the system reads weights ahead, as it does unless told otherwise; off for scattered small ones. */
void snug_checkpoint_read_around(const snug_checkpoint *checkpoint, bool is_wanted);
/* Whether all of a tensor is in memory (an outline's always is), and letting go of the pages that hold it,
 * after which they may have to be read again. */
bool snug_checkpoint_is_resident(const snug_checkpoint *checkpoint, const snug_tensor *tensor);
void snug_checkpoint_forget(const snug_checkpoint *checkpoint, const snug_tensor *tensor);
/* All weights will stay in memory: the system may read and map them in huge pages (decision 0023). Any
 * thread; a second time does nothing. Whether that was said: */
void snug_checkpoint_in_huge_pages(snug_checkpoint *checkpoint);
bool snug_checkpoint_is_in_huge_pages(const snug_checkpoint *checkpoint);
/* Begin to read and map them all, by a thread of its own; a second time does nothing. */
void snug_checkpoint_warm(snug_checkpoint *checkpoint);
/* These rows of a matrix are multiplied by soon: the system begins to read what is not in memory. */
void snug_checkpoint_will_need(const snug_weight *rows);
/* These rows were used, and are not soon again: the kernel finds them unmapped when it wants room. */
void snug_checkpoint_was_used(const snug_weight *rows);

/*
 * Whether that was of use: what is in memory already need not be asked for, but only the kernel knows what
 * is. So a watch counts what the process reads while it asks for everything; if that was nothing, it need not
 * ask, until pages are waited for that are not there any more.
 */
typedef struct snug_read_watch {
    bool is_resident; /* nothing had to be read in the last pass */
    uint64_t blocks;  /* at its begin */
    uint64_t faults;
} snug_read_watch;

/* Before and after a pass over all weights; `is_whole`: it came to its end. */
void snug_read_watch_begin(snug_read_watch *watch);
void snug_read_watch_end(snug_read_watch *watch, bool is_whole);
/* Whether to ask for what comes next. Below a microsecond. */
bool snug_read_watch_asks(snug_read_watch *watch);

/*
 * The tensor `name` with exactly this shape and a type weights may have, or a sentence.
 * Errors: CORRUPT (missing or of another shape), UNSUPPORTED (type).
 */
SNUG_MUST_CHECK snug_status snug_checkpoint_matrix(const snug_tensor **tensor_out,
                                                   const snug_checkpoint *checkpoint, const char *name,
                                                   uint64_t rows, uint64_t columns, snug_error *error);
/*
 * The matrix `name` wherever it lies: plain, in blocks, or quantized by MLX, when its tensor holds packed
 * words and NAME's scales and biases lie beside it. The rows are a whole number of the type's blocks.
 */
SNUG_MUST_CHECK snug_status snug_checkpoint_weight(snug_weight *weight_out, const snug_checkpoint *checkpoint,
                                                   const char *name, uint32_t rows, uint32_t columns,
                                                   snug_error *error);
SNUG_MUST_CHECK snug_status snug_checkpoint_vector(const snug_tensor **tensor_out,
                                                   const snug_checkpoint *checkpoint, const char *name,
                                                   uint64_t values, snug_error *error);

/* --- configuration: config.json, by Hugging Face keys ------------------------------------------------- */

/* A path of keys: "hidden_size", "rope_scaling.factor". Absent when any part is; a JSON null counts as
 * absent. */
snug_json snug_checkpoint_config(const snug_checkpoint *checkpoint, const char *path);

/*
 * The sentence for a value a family cannot use: "FOLDER/config.json: PATH is what it is: expected ...", or
 * the GGUF file in the place of config.json.
 * Returns `status`.
 */
snug_status snug_checkpoint_config_fail(const snug_checkpoint *checkpoint, const char *path,
                                        snug_status status, const char *expected, snug_error *error);

/* Required numbers: absent, another kind or outside [min, max] gives a sentence. */
SNUG_MUST_CHECK snug_status snug_checkpoint_u32(uint32_t *out, const snug_checkpoint *checkpoint,
                                                const char *path, uint32_t min, uint32_t max,
                                                snug_error *error);
SNUG_MUST_CHECK snug_status snug_checkpoint_f64(double *out, const snug_checkpoint *checkpoint,
                                                const char *path, double min, double max, snug_error *error);
SNUG_MUST_CHECK snug_status snug_checkpoint_bool(bool *out, const snug_checkpoint *checkpoint,
                                                 const char *path, snug_error *error);
/* The same, but when absent *out keeps the caller's default. */
SNUG_MUST_CHECK snug_status snug_checkpoint_u32_or(uint32_t *inout, const snug_checkpoint *checkpoint,
                                                   const char *path, uint32_t min, uint32_t max,
                                                   snug_error *error);
SNUG_MUST_CHECK snug_status snug_checkpoint_f64_or(double *inout, const snug_checkpoint *checkpoint,
                                                   const char *path, double min, double max,
                                                   snug_error *error);
SNUG_MUST_CHECK snug_status snug_checkpoint_bool_or(bool *inout, const snug_checkpoint *checkpoint,
                                                    const char *path, snug_error *error);

/*
 * model_type of config.json, or what its architectures[0] stands for ("LlamaForCausalLM" -> "llama"; one that
 * is not known stands for itself). Checked non-empty.
 */
snug_str snug_checkpoint_model_type(const snug_checkpoint *checkpoint);

/* --- the other files; each absent when the file is not there ------------------------------------------ */

typedef enum snug_checkpoint_file {
    SNUG_FILE_GENERATION_CONFIG = 0, /* generation_config.json */
    SNUG_FILE_TOKENIZER = 1,         /* tokenizer.json */
    SNUG_FILE_TOKENIZER_CONFIG = 2,  /* tokenizer_config.json */
    SNUG_FILE_CONFIG = 3,            /* config.json */
    SNUG_FILE_COUNT
} snug_checkpoint_file;

/* Root of a JSON file, checked when the checkpoint was opened; absent when there is none. */
snug_json snug_checkpoint_json(const snug_checkpoint *checkpoint, snug_checkpoint_file file);
const char *snug_checkpoint_file_name(snug_checkpoint_file file);

/* chat_template.jinja when the folder has one, or the template of a GGUF file; empty otherwise. */
snug_str snug_checkpoint_chat_template(const snug_checkpoint *checkpoint);

/* tokenizer.model, SentencePiece's file, where there is no tokenizer.json; empty otherwise. Not checked. */
snug_str snug_checkpoint_tokenizer_model(const snug_checkpoint *checkpoint);

/* The tokenizer of a GGUF file; NULL for other checkpoints. */
const snug_stored_vocabulary *snug_checkpoint_vocabulary(const snug_checkpoint *checkpoint);

#endif /* SNUG_SRC_FORMAT_CHECKPOINT_H */
