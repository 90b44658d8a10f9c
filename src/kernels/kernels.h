/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernels.h - the numeric inner loops: one table of functions, filled with the C reference and overwritten
 * upwards by the levels this machine has (dispatch.c).
 *
 * Contract: a kernel reads and writes only what its arguments name, allocates nothing, locks nothing, reports
 * nothing; callers have checked sizes. Activations are f32 and aligned to 4 bytes; weights lie in a mapped
 * file at any address, so they are read unaligned. The result of one output value never depends on how the
 * rows are split over threads: the same bits with any number of them.
 */
#ifndef SNUG_SRC_KERNELS_KERNELS_H
#define SNUG_SRC_KERNELS_KERNELS_H

#include <snug/cpu.h>

#include "base/weight.h"
#include "codec/tile.h"

#define SNUG_PRODUCT_SUM_BYTES 64 /* one register, of the widest */

/* Up to this many tokens a product is bound by reading the weights: it reads each row once for all of them.
 * Beyond, it is bound by arithmetic and unpacks panels of weights into scratch. */
#define SNUG_MATMUL_FEW_TOKENS 8

/*
 * out[t][r] = sum over c of input[t][c] * weight[r][c], for `tokens` tokens and all rows of the weight.
 */
typedef struct snug_matmul_task {
    float *out; /* [tokens][out_stride], the first weight.rows of each written */
    size_t out_stride;
    snug_weight weight; /* the rows of this task only */
    const void *input;  /* [tokens][input_bytes], each made by prepare(); 64-byte aligned */
    size_t input_bytes;
    size_t tokens;
    void *scratch; /* scratch_bytes(columns) of the calling thread; 64-byte aligned */
} snug_matmul_task;

/* One way to multiply by weights of one type. */
typedef struct snug_matmul {
    const char *name; /* "bf16 x f32, avx512": for reports */
    /* Bytes of one prepared input row, a multiple of 64. */
    size_t (*input_bytes)(size_t columns);
    /* Bring one row of activations into the form run() reads: copied, rounded to bf16, quantized. */
    void (*prepare)(void *input_out, const float *x, size_t columns);
    size_t (*scratch_bytes)(size_t columns);
    void (*run)(const snug_matmul_task *task);
} snug_matmul;

/* The instruction that a product with many tokens is made of, by itself: the limit that such a product is
 * compared with. What it needs beside (unpacking, scales, sums) is not in it. */
typedef struct snug_product {
    const char *name;    /* "VPDPBUSD, 64 bytes": for reports */
    uint64_t operations; /* of a round: a multiplication and an addition each count */
    /* `rounds` rounds on registers alone, in as many chains as fill the units. What comes out is kept, or the
     * work might be left out. */
    void (*run)(unsigned char sums_out[SNUG_PRODUCT_SUM_BYTES], uint64_t rounds);
} snug_product;

/*
 * One tile of the cache against a set of queries of one KV head, with running softmax: after all tiles,
 * out[q] / sum[q] is the attention output. `max` starts at -INFINITY, `sum` and `out` at 0.
 * Query q sees tokens [begin[q], end[q]) of the tile; an empty range leaves its state alone.
 */
typedef struct snug_attend_task {
    const float *query;    /* [queries][head_dim], already multiplied by the attention scale */
    const void *key;       /* [SNUG_TILE_TOKENS][head_dim] in the format's type, 64-byte aligned */
    const void *value;     /* the same */
    const uint32_t *begin; /* [queries] */
    const uint32_t *end;   /* [queries], at most SNUG_TILE_TOKENS; tokens from max(end) on are never read */
    size_t queries;
    size_t head_dim; /* a multiple of 2; any size up to SNUG_HEAD_DIM_MAX */
    float *max;      /* [queries] */
    float *sum;      /* [queries] */
    float *out;      /* [queries][head_dim] */
    void *scratch;   /* snug_attend_scratch_bytes(head_dim) of the calling thread; 64-byte aligned */

    /* Keys that the thread's next call will read, or NULL: they are fetched meanwhile. */
    const void *next_key;

    /* Keys are taken as they lie, not unpacked once for all queries: faster for a few queries, which wait for
     * memory. Sums run in another order than without, so the last bits differ. */
    bool takes_rows;
} snug_attend_task;

#define SNUG_ATTEND_QUERIES_MAX 64 /* most queries of one call */
#define SNUG_ATTEND_RUN_TILES   4  /* most tiles of one call */

/*
 * The same where keys or values are codes (codec/tile.h), for a run of tiles: keys and values of `attend` are
 * not looked at. A tile of codes is whole, so all of it may be read. Queries have been turned if the keys are
 * planes, and the output is turned if the values are.
 *
 * A run shares one softmax and is read in several places at once: worth up to half of the time where a token
 * waits for memory. Of more than one tile it must be codes on both sides, tiles of a side alike
 * (snug_tile_is_like()), and tiles x queries at most SNUG_ATTEND_QUERIES_MAX.
 */
typedef struct snug_attend_coded_task {
    snug_attend_task attend; /* begin and end: [tiles][queries] */
    const snug_tile *key;    /* [tiles] */
    const snug_tile *value;  /* [tiles] */
    size_t tiles;            /* 1 .. SNUG_ATTEND_RUN_TILES */
    const void *prepared;    /* attend_prepare() of the queries; 64-byte aligned */

    /* Keys that the thread's next call will read: fetched meanwhile. */
    const snug_tile *next_key; /* [next_tiles] */
    size_t next_tiles;         /* 0 .. SNUG_ATTEND_RUN_TILES */
} snug_attend_coded_task;

/* Tiles of codes, of the side with more bits, that a call over a long cache takes: 4, 2 or 1, which are
 * fetched from four places in turn. The side that is used and the one that is fetched about fill the first
 * level of the processor's caches: two tiles of 8 bits read at 85 % of the bandwidth where four had 77. */
static inline size_t snug_attend_call_tiles(size_t bits, size_t head_dim)
{
    const size_t side_bytes = 24576;
    size_t tiles = SNUG_ATTEND_RUN_TILES;

    while (tiles > 1 && tiles * bits * (SNUG_TILE_TOKENS / 8) * head_dim > side_bytes)
        tiles /= 2;
    return tiles;
}

/* Scratch of one attend call: a tile of keys and one of values as f32, and scores for the most queries. */
static inline size_t snug_attend_scratch_bytes(size_t head_dim)
{
    return (2 * SNUG_TILE_TOKENS * ((head_dim + 15) & ~(size_t)15) +
            SNUG_ATTEND_QUERIES_MAX * SNUG_TILE_TOKENS) *
           4;
}

/* A query as codes want it: two bytes for each dim, padded, and 128 bytes for its scale and sums. */
static inline size_t snug_attend_prepared_bytes(size_t head_dim)
{
    return 2 * ((head_dim + 63) & ~(size_t)63) + 128;
}

typedef void snug_attend_fn(const snug_attend_task *task);

typedef void snug_unpack_fn(float *out, const snug_weight *weight, size_t row, size_t first_column,
                            size_t columns);

typedef struct snug_kernels {
    snug_cpu_level level;
    bool exact; /* f32 activations and accumulation, no shortcut */

    /* By type of weight; NULL where the type cannot be multiplied by. `few` for 1 ..
     * SNUG_MATMUL_FEW_TOKENS. */
    const snug_matmul *matmul_few[SNUG_TYPE_COUNT];
    const snug_matmul *matmul_many[SNUG_TYPE_COUNT];
    const snug_product *product[SNUG_TYPE_COUNT]; /* that matmul_many is made of */

    /* `columns` values of one row as f32, from `first_column` on, both multiples of the type's block (of
     * `group` too for affine types, unless less is left of the row): the exact values that the file means.
     * For every type; reads a few values of a row, for embeddings, and is what exact products multiply. */
    snug_unpack_fn *unpack[SNUG_TYPE_COUNT];

    /* Plain floats as f32, and back (round to nearest even): norm weights, the cache. F32, F16, BF16. */
    void (*row_to_f32[SNUG_TYPE_COUNT])(float *out, const void *row, size_t n);
    void (*f16_from_f32)(uint16_t *out, const float *x, size_t n);

    /* By type of the cache: F32 and F16. */
    snug_attend_fn *attend[SNUG_TYPE_COUNT];

    /* Any kinds of keys and values, of which one at least is codes. attend_prepare() brings queries into the
     * form that products of codes read, into `queries` x snug_attend_prepared_bytes(head_dim) bytes. */
    void (*attend_prepare)(void *prepared_out, const float *query, size_t queries, size_t head_dim);
    void (*attend_coded)(const snug_attend_coded_task *task);

    /* out[i] = x[i] / sqrt(mean(x^2) + epsilon) * weight[i]; out may be x. (Zhang, Sennrich 2019) */
    void (*rms_norm)(float *out, const float *x, const float *weight, size_t n, float epsilon);
    /* Rotate the pairs (x[i], x[i + half]) by the angle whose cosine and sine are given, in place.
     * (RoFormer, half-split) */
    void (*rope_half)(float *x, const float *cosine, const float *sine, size_t half);
    /* The same for the pairs (x[2i], x[2i + 1]): rows of queries and keys that a file has interleaved. */
    void (*rope_pairs)(float *x, const float *cosine, const float *sine, size_t half);
    /* out[i] = silu(gate[i]) * up[i], silu(x) = x / (1 + exp(-x)); out may be gate. Within 4 ulp of libm. */
    void (*swiglu)(float *out, const float *gate, const float *up, size_t n);
    /*
     * out[i] = gelu(gate[i]) * up[i], gelu(x) = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))); out
     * may be gate. (Hendrycks, Gimpel 2016)
     */
    void (*geglu)(float *out, const float *gate, const float *up, size_t n);
    /* x[i] += y[i] */
    void (*add)(float *x, const float *y, size_t n);
    /* x[i] *= factor */
    void (*scale)(float *x, float factor, size_t n);
} snug_kernels;

/*
 * Fill the table for `level` (SNUG_CPU_AUTO: the best of this machine; so is a level that the machine has
 * not). With `exact` the matmuls take f32 activations only.
 */
void snug_kernels_init(snug_kernels *kernels, snug_cpu_level level, bool exact);

#endif /* SNUG_SRC_KERNELS_KERNELS_H */
