/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The products of quantized weights with few tokens for AVX-512 with VNNI: decode, which should wait for
 * memory and for nothing else. A core of 2.2 GHz has 2.5 cycles for a block of Q4_0 before the next one is
 * here, so weights go from the file's form to their sums in registers of 512 bits, and nothing is stored on
 * the way; body/integer_few.inc needs twice to three times as long.
 *
 * 256 columns at a time are taken apart and meet every token. A register of 64 columns gives sixteen integer
 * sums of four products each, exact, which become floats times the scales of the weight and of the token.
 * Integers are unsigned (x86/integer_wide.h): what their offset adds, or the minimums of the type, needs only
 * the token's sums. A result is one chain over the columns, the same for any number of rows and tokens around
 * it.
 */
#include "kernels/variants.h"

#include <string.h>

#include "base/size.h"
#include "kernels/simd/avx512.h"
#include "kernels/x86/integer_wide.h"

#include "kernels/body/integer_few_types.inc"
#include "kernels/body/integer_input.inc"
#include "kernels/body/streams.inc"

enum {
    CHUNK_COLUMNS = 256,
    CHUNK_UNITS = CHUNK_COLUMNS / INTEGER_UNIT,
    CHUNK_WIDES = CHUNK_COLUMNS / 64,
};

/* What a type asks of the product; constant in the inner loops. */
typedef struct few_form {
    snug_type type;
    size_t run; /* columns with one scale: 16 or 32 */
    bool has_minimum;
} few_form;

/* 256 columns of one row. */
typedef struct few_chunk {
    vw integers[CHUNK_WIDES];
    vf scales;   /* 16 of them for runs of 16; 8 for runs of 32, in the lower lanes */
    vf minimums; /* for each 16 columns; of a type that has none, the scales */
} few_chunk;

/* Where the weights of a chunk lie; scales of affine types lie apart. */
typedef struct few_source {
    const unsigned char *block;
    const unsigned char *scale;
    const unsigned char *bias;
    size_t groups; /* of scales that may be read */
} few_source;

static size_t few_scratch_bytes(size_t columns)
{
    (void)columns;
    return 0;
}

/* Each of eight lanes twice. */
KERNEL_INLINE vf spread_twice(__m256 x)
{
    return _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7),
                                 _mm512_castps256_ps512(x));
}

/* The scales of sums 16 * i and on: a unit has eight sums, a half of one four. */
KERNEL_INLINE vf scales_of_sums(vf scales, const int i, const size_t run)
{
    const __m512i index = run == INTEGER_UNIT
                              ? _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1)
                              : _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);

    return _mm512_permutexvar_ps(
        _mm512_add_epi32(index, _mm512_set1_epi32(i * (run == INTEGER_UNIT ? 2 : 4))), scales);
}

/* 2^(exponent - 127) of eight blocks, or NaN; halved, since the integers are doubled to be whole. */
KERNEL_INLINE __m256 scales_of_mxfp4(const unsigned char *block)
{
    const __m256i exponent =
        _mm256_and_si256(_mm256_cvtepu16_epi32(wide_words(block, 17)), _mm256_set1_epi32(255));
    const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(exponent, _mm256_set1_epi32(1)), 23);
    const __m256i small = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), exponent);
    const __mmask8 is_small = _mm256_cmplt_epu32_mask(exponent, _mm256_set1_epi32(2));
    const __mmask8 is_nan = _mm256_cmpeq_epi32_mask(exponent, _mm256_set1_epi32(255));

    return _mm256_castsi256_ps(_mm256_mask_mov_epi32(_mm256_mask_mov_epi32(normal, is_small, small), is_nan,
                                                     _mm256_set1_epi32(0x7fc00000)));
}

/* Up to eight numbers, of which `count` exist. */
KERNEL_INLINE __m256 load_floats(snug_type type, const unsigned char *x, size_t count)
{
    const __mmask8 first = (__mmask8)((1u << count) - 1u);

    if (type == SNUG_TYPE_F32)
        return _mm256_maskz_loadu_ps(first, x);
    const __m128i words = _mm_maskz_loadu_epi16(first, x);

    return type == SNUG_TYPE_F16 ? _mm256_cvtph_ps(words)
                                 : _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(words), 16));
}

/* Scales, or biases, of eight units of an affine type. */
KERNEL_INLINE __m256 floats_of_groups(const snug_weight *weight, const unsigned char *x, size_t groups)
{
    const __m256i unit = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const int shift = weight->group == 32 ? 0 : weight->group == 64 ? 1 : 2;

    return _mm256_permutevar8x32_ps(load_floats(weight->scale_type, x, groups),
                                    _mm256_srli_epi32(unit, shift));
}

/* In halves, as they were stored: a load of both would wait until they have reached the cache. */
KERNEL_INLINE vf load_16_floats(const float *x)
{
    return _mm512_castpd_ps(_mm512_insertf64x4(_mm512_castps_pd(_mm512_castps256_ps512(_mm256_loadu_ps(x))),
                                               _mm256_castps_pd(_mm256_loadu_ps(x + 8)), 1));
}

/* Q4_K, Q5_K: eight scales, then eight minimums, of 6 bits in 12 bytes; the last four of each are in two
 * parts. Before them the factors of both. */
KERNEL_INLINE void load_scales_in_12_bytes(few_chunk *chunk, const unsigned char *block)
{
    const __m128i words = load_16(block); /* factors, scales, minimums, low parts of the last of both */
    const __m128i low = _mm_srlv_epi32(_mm_shuffle_epi32(words, 0xed), _mm_setr_epi32(0, 0, 0, 4));
    const __m128i high = _mm_srli_epi32(_mm_shuffle_epi32(words, 0xa5), 2);
    const __m128i six =
        _mm_or_si128(_mm_and_si128(low, _mm_setr_epi32(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f)),
                     _mm_and_si128(high, _mm_setr_epi32(0, 0x30303030, 0, 0x30303030)));
    const __m256i factors = _mm256_permutexvar_epi16(
        _mm256_setr_epi16(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1), _mm256_castsi128_si256(words));
    const __m256i negative =
        _mm256_setr_epi32(0, 0, 0, 0, (int)0x80008000, (int)0x80008000, (int)0x80008000, (int)0x80008000);

    chunk->scales = vf_multiply(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(six)),
                                _mm512_cvtph_ps(_mm256_xor_si256(factors, negative)));
    chunk->minimums = _mm512_permutexvar_ps(
        _mm512_setr_epi32(8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15), chunk->scales);
}

KERNEL_INLINE void load_scales(few_chunk *chunk, const snug_weight *weight, const few_source *source,
                               const few_form form)
{
    const snug_type type = form.type;
    const unsigned char *block = source->block;
    const size_t block_bytes = block_bytes_of(type);
    __m256 scale;
    __m256 minimum;

    if (type == SNUG_TYPE_Q4_K || type == SNUG_TYPE_Q5_K) {
        load_scales_in_12_bytes(chunk, block);
        return;
    }
    if (type >= SNUG_TYPE_AFFINE2) {
        scale = floats_of_groups(weight, source->scale, source->groups);
        minimum = floats_of_groups(weight, source->bias, source->groups);
    } else if (block_columns_of(type) == CHUNK_COLUMNS) {
        float scales[16], minimums[16];

        unpack_scales(type, scales, minimums, block);
        if (form.run == INTEGER_HALF) {
            chunk->scales = load_16_floats(scales);
            chunk->minimums = form.has_minimum ? load_16_floats(minimums) : chunk->scales;
            return;
        }
        scale = _mm256_loadu_ps(scales);
        minimum = form.has_minimum ? _mm256_loadu_ps(minimums) : scale;
    } else {
        scale = type == SNUG_TYPE_MXFP4 ? scales_of_mxfp4(block)
                                        : _mm256_cvtph_ps(wide_words(block, block_bytes));
        minimum = form.has_minimum ? _mm256_cvtph_ps(wide_words(block + 2, block_bytes)) : scale;
    }
    chunk->scales = _mm512_castps256_ps512(scale);
    chunk->minimums = spread_twice(minimum);
}

KERNEL_INLINE void load_chunk(few_chunk *chunk, const snug_weight *weight, const few_source *source,
                              const few_form form)
{
    const size_t pair_bytes = 2 * block_bytes_of(form.type);

    load_scales(chunk, weight, source, form);
    UNROLL
    for (int i = 0; i < CHUNK_WIDES; i++)
        chunk->integers[i] = block_columns_of(form.type) == CHUNK_COLUMNS
                                 ? wide_part(form.type, source->block, i)
                                 : wide_pair(form.type, source->block + (size_t)i * pair_bytes);
}

/* Sums over even registers and over odd ones: two chains, so that the latency of one hides behind the
 * other; and of the minimums. */
typedef struct few_total {
    vf even;
    vf odd;
    vf minimums;
} few_total;

KERNEL_INLINE few_total add_chunk(few_total total, const few_chunk *chunk, const int8_t *values,
                                  const float *token_scales, const float *sums, const few_form form)
{
    const __m256 token = _mm256_loadu_ps(token_scales);
    const vf scales = vf_multiply(chunk->scales, form.run == INTEGER_UNIT ? _mm512_castps256_ps512(token)
                                                                          : spread_twice(token));

    total.minimums = vf_fma(chunk->minimums, vf_load(sums), total.minimums);
    UNROLL
    for (int i = 0; i < CHUNK_WIDES; i++) {
        const __m512i products = _mm512_dpbusd_epi32(_mm512_setzero_si512(), chunk->integers[i],
                                                     _mm512_loadu_si512(values + i * 64));
        const vf scale = scales_of_sums(scales, i, form.run);

        if (i % 2 == 0)
            total.even = vf_fma(_mm512_cvtepi32_ps(products), scale, total.even);
        else
            total.odd = vf_fma(_mm512_cvtepi32_ps(products), scale, total.odd);
    }
    return total;
}

KERNEL_INLINE float sum_of_total(few_total total, const few_form form)
{
    const vf offset = vf_set(form.has_minimum ? 1.0f : (float)-wide_offset(form.type));

    return vf_sum(vf_fma(total.minimums, offset, vf_add(total.even, total.odd)));
}

/* The end of a row: what is missing to 256 columns counts as zeros. */
typedef struct few_end {
    _Alignas(64) unsigned char blocks[CHUNK_UNITS * 34]; /* Q8_0 has the longest for 32 columns */
    _Alignas(64) int8_t values[CHUNK_COLUMNS];
    float scales[CHUNK_UNITS];
    float sums[2 * CHUNK_UNITS];
} few_end;

static void copy_token(few_end *end, const int8_t *values, const float *scales, const float *sums,
                       size_t units)
{
    memset(end->values, 0, sizeof end->values);
    memset(end->scales, 0, sizeof end->scales);
    memset(end->sums, 0, sizeof end->sums);
    memcpy(end->values, values, units * INTEGER_UNIT);
    memcpy(end->scales, scales, units * sizeof *scales);
    memcpy(end->sums, sums, 2 * units * sizeof *sums);
}

KERNEL_INLINE few_source source_of_row(const snug_weight *weight, size_t row)
{
    few_source source = { (const unsigned char *)weight->data + row * weight->row_bytes, NULL, NULL, 0 };

    if (weight->group) {
        source.scale = (const unsigned char *)weight->scale + row * snug_weight_scale_row_bytes(weight);
        source.bias = (const unsigned char *)weight->bias + row * snug_weight_scale_row_bytes(weight);
    }
    return source;
}

/* `columns` of a row further. */
KERNEL_INLINE void advance(few_source *source, const snug_weight *weight, size_t columns, const few_form form)
{
    source->block += columns / block_columns_of(form.type) * block_bytes_of(form.type);
    if (form.type >= SNUG_TYPE_AFFINE2) {
        const size_t bytes = columns / weight->group * (weight->scale_type == SNUG_TYPE_F32 ? 4 : 2);

        source->scale += bytes;
        source->bias += bytes;
    }
}

/* One chunk of a row with every token. */
KERNEL_INLINE void add_tokens(few_total *totals, const snug_matmul_task *task, const few_chunk *chunk,
                              size_t column, const size_t tokens, const few_form form)
{
    for (size_t token = 0; token < tokens; token++) {
        const void *input = (const unsigned char *)task->input + token * task->input_bytes;

        totals[token] = add_chunk(totals[token], chunk, integer_values(input) + column,
                                  integer_scales(input, task->weight.columns) + column / INTEGER_UNIT,
                                  integer_sums(input, task->weight.columns) + column / INTEGER_HALF, form);
    }
}

/* The same where fewer than 256 columns are left. */
KERNEL_INLINE void add_last_tokens(few_total *totals, const snug_matmul_task *task, const few_source *source,
                                   size_t column, const few_form form)
{
    const size_t units = (task->weight.columns - column) / INTEGER_UNIT;
    few_end end = { .blocks = { 0 } };
    few_source copy = *source;
    few_chunk chunk;

    memcpy(end.blocks, source->block, units * block_bytes_of(form.type));
    copy.block = end.blocks;
    load_chunk(&chunk, &task->weight, &copy, form);
    for (size_t token = 0; token < task->tokens; token++) {
        const void *input = (const unsigned char *)task->input + token * task->input_bytes;

        copy_token(&end, integer_values(input) + column,
                   integer_scales(input, task->weight.columns) + column / INTEGER_UNIT,
                   integer_sums(input, task->weight.columns) + column / INTEGER_HALF, units);
        totals[token] = add_chunk(totals[token], &chunk, end.values, end.scales, end.sums, form);
    }
}

/* `rows` rows from `row` on, each `step` after the one before: together, as many streams from memory. */
KERNEL_INLINE void few_rows(const snug_matmul_task *task, size_t row, size_t step, const size_t rows,
                            const size_t tokens, const few_form form)
{
    const size_t columns = task->weight.columns;
    const size_t whole = columns - columns % CHUNK_COLUMNS;
    const size_t group = task->weight.group;
    const size_t chunk_bytes = CHUNK_COLUMNS / block_columns_of(form.type) * block_bytes_of(form.type);
    few_total totals[STREAMS > SNUG_MATMUL_FEW_TOKENS ? STREAMS : SNUG_MATMUL_FEW_TOKENS];
    few_source source[STREAMS];

    for (size_t i = 0; i < rows * tokens; i++)
        totals[i] = (few_total){ vf_zero(), vf_zero(), vf_zero() };
    for (size_t i = 0; i < rows; i++)
        source[i] = source_of_row(&task->weight, row + i * step);
    for (size_t column = 0; column < whole; column += CHUNK_COLUMNS) {
        UNROLL
        for (size_t i = 0; i < rows; i++) {
            few_chunk chunk;

            source[i].groups = group ? CHUNK_COLUMNS / group : 0;
            fetch_ahead(source[i].block, chunk_bytes);
            load_chunk(&chunk, &task->weight, &source[i], form);
            add_tokens(&totals[i * tokens], task, &chunk, column, tokens, form);
            advance(&source[i], &task->weight, CHUNK_COLUMNS, form);
        }
    }
    for (size_t i = 0; i < rows; i++) {
        if (block_columns_of(form.type) < CHUNK_COLUMNS && whole < columns) {
            source[i].groups = group ? (columns - whole) / group : 0;
            add_last_tokens(&totals[i * tokens], task, &source[i], whole, form);
        }
        for (size_t token = 0; token < tokens; token++)
            task->out[token * task->out_stride + row + i * step] =
                sum_of_total(totals[i * tokens + token], form);
    }
}

KERNEL_INLINE void few_run(const snug_matmul_task *task, const few_form form)
{
    const size_t rows = task->weight.rows;
    const size_t step = task->tokens == 1 ? rows / STREAMS : 0;

    fetch_beginnings(&task->weight, step);
    for (size_t row = 0; row < step; row++)
        few_rows(task, row, step, STREAMS, 1, form);
    for (size_t row = step * STREAMS; row < rows; row++)
        few_rows(task, row, 0, 1, task->tokens, form);
}

#define RUN(TYPE, name, run, has_minimum)                                                                    \
    static void few_##TYPE(const snug_matmul_task *task)                                                     \
    {                                                                                                        \
        few_run(task, (few_form){ SNUG_TYPE_##TYPE, run, has_minimum });                                     \
    }
FEW_TYPES(RUN)
#undef RUN

void snug_integer_few_fill_avx512(snug_kernels *kernels)
{
#define ENTER(TYPE, name, run, has_minimum)                                                                  \
    static const snug_matmul matmul_##TYPE = { name " x i8, few, " VF_NAME, integer_input_bytes,             \
                                               integer_prepare, few_scratch_bytes, few_##TYPE };             \
                                                                                                             \
    kernels->matmul_few[SNUG_TYPE_##TYPE] = &matmul_##TYPE;
    FEW_TYPES(ENTER)
#undef ENTER
}
