/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86/matmul_fixed_avx512.c - products with many tokens in 16-bit fixed point (AVX-512 VNNI): for 16-bit
 * weights, where the caller has not asked for exact mode.
 *
 * VPDPWSSD multiplies 32 pairs of int16 and sums in int32, at the rate at which an fma multiplies 16 pairs of
 * f32. So blocks of 32 columns of a row, and of a token, become integers of 13 bits and a sign with one scale
 * each. 2^13 * 2^13 * 32 = 2^31 is never reached, since a token's integers stop at 8191: a block's dot
 * product is exact, and goes times both scales into an f32 sum.
 *
 * The error is that of rounding alone: below 2^-14 of the largest of 32 values, where bf16 loses 2^-9 of
 * each. Weights are scaled by powers of two, which leaves every bf16 above 1/32 of its block's largest
 * value as it is. Largest difference of any logit from f32 over the golden prompts, in standard deviations
 * of the logits (all linear layers but the head; limit 1e-2):
 *
 *                            Llama bf16   Llama f16   Qwen3 bf16   cost against f32 (fma = 1)
 *   activations in bf16         7.3e-2      8.1e-2       6.2e-2      0.5, VDPBF16PS
 *   the same in two terms       1.3e-4      1.0e-4       1.0e-4      1
 *   this file                   4.3e-3      5.2e-3       3.0e-3      0.57
 *
 * A block with an infinity, a NaN in it has the scale NaN. A block below 2^-100 counts as 0.
 */
#include "kernels/variants.h"

#include <math.h>
#include <string.h>

#include "base/float16.h"
#include "base/size.h"
#include "kernels/simd/avx512.h"

enum {
    BLOCK = 32,          /* columns with one scale */
    PAIRS = BLOCK / 2,   /* VPDPWSSD takes neighbouring columns together */
    PANEL_ROWS = 32,     /* two registers of int32 sums */
    PANEL_TOKENS = 8,    /* by so many tokens: 16 accumulators */
    COLUMNS_BLOCK = 1024 /* columns of a panel: 68 KiB of scratch */
};

/* BLOCK columns of PANEL_ROWS rows. */
typedef struct fixed_block {
    int16_t weights[PAIRS][PANEL_ROWS][2];
    float scales[PANEL_ROWS];
} fixed_block;

/* A token is [blocks][BLOCK] int16, then [blocks] f32 scales; the number of cache lines is odd, for the
 * reason given in body/matmul.inc. */
static size_t input_bytes(size_t columns)
{
    const size_t blocks = snug_divide_up(columns, BLOCK);

    return snug_round_up(blocks * (BLOCK * sizeof(int16_t) + sizeof(float)), 64) | 64;
}

static size_t scratch_bytes(size_t columns)
{
    return snug_divide_up(snug_min_size(columns, COLUMNS_BLOCK), BLOCK) * sizeof(fixed_block);
}

/* Write 32 integers and return their scale. */
KERNEL_INLINE float quantize_block(int16_t *out, vf low, vf high)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    const __m512i larger = _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(low), magnitude),
                                            _mm512_and_si512(_mm512_castps_si512(high), magnitude));
    const float max = snug_f32_from_bits(_mm512_reduce_max_epu32(larger)); /* as bits: a NaN is largest */
    const bool is_finite = max <= 0x1.fffffep+127f;
    const vf inverse = vf_set(is_finite && max >= 0x1p-100f ? 8191.0f / max : 0.0f);

    _mm256_storeu_si256((void *)out, _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(vf_multiply(low, inverse))));
    _mm256_storeu_si256((void *)(out + 16),
                        _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(vf_multiply(high, inverse))));
    if (!is_finite)
        return NAN;
    return max >= 0x1p-100f ? max / 8191.0f : 0.0f;
}

static void prepare(void *input_out, const float *x, size_t columns)
{
    const size_t blocks = snug_divide_up(columns, BLOCK);
    int16_t *integers = input_out;
    unsigned char *scales = (unsigned char *)(integers + blocks * BLOCK);
    const size_t used = blocks * (BLOCK * sizeof(int16_t) + sizeof(float));

    for (size_t block = 0; block < blocks; block++) {
        const size_t n = snug_min_size(BLOCK, columns - block * BLOCK);
        const size_t low = snug_min_size(n, VF_LANES);
        const float *values = x + block * BLOCK;
        const float scale = quantize_block(integers + block * BLOCK, vf_load_part(values, low),
                                           vf_load_part(values + low, n - low));

        memcpy(scales + block * sizeof scale, &scale, sizeof scale);
    }
    memset((unsigned char *)input_out + used, 0, input_bytes(columns) - used);
}

/* Both halves of 16 pairs of stored 16-bit floats. */
KERNEL_INLINE void split_pairs(snug_type type, vf *low, vf *high, __m512i pairs)
{
    if (type == SNUG_TYPE_BF16) {
        *low = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
        *high = _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int32_t)0xffff0000)));
    } else {
        *low = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(pairs));
        *high = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(pairs, 16)));
    }
}

/* Scale (and its inverse) of 16 rows, given the largest magnitude of each: the power of two that brings it
 * between 2^12 and 2^13. */
KERNEL_INLINE vf scales_of(vf *inverse, vf max)
{
    const __m512i exponent = _mm512_srli_epi32(_mm512_castps_si512(max), 23);
    const __mmask16 is_tiny = _mm512_cmplt_epu32_mask(exponent, _mm512_set1_epi32(127 - 100));
    const __mmask16 is_special = _mm512_cmpeq_epi32_mask(exponent, _mm512_set1_epi32(255));
    const __m512i scale = _mm512_slli_epi32(_mm512_sub_epi32(exponent, _mm512_set1_epi32(12)), 23);
    const __m512i back = _mm512_slli_epi32(_mm512_sub_epi32(_mm512_set1_epi32(266), exponent), 23);

    *inverse = _mm512_castsi512_ps(_mm512_maskz_mov_epi32((__mmask16) ~(is_tiny | is_special), back));
    return _mm512_mask_mov_ps(_mm512_castsi512_ps(_mm512_maskz_mov_epi32((__mmask16)~is_tiny, scale)),
                              is_special, vf_set(NAN));
}

/* n columns of 16 rows, of which `count` exist, into one half of a block. Rows become lanes first, so that
 * the largest values of 16 rows are found at once. */
KERNEL_INLINE void pack_half(snug_type type, fixed_block *block, size_t first_row, const unsigned char *rows,
                             size_t row_bytes, size_t count, size_t n)
{
    const __mmask32 columns = n < BLOCK ? ((__mmask32)1 << n) - 1 : (__mmask32)-1;
    __m512i largest = _mm512_setzero_si512();
    vf pairs[VF_LANES];
    vf inverse;

    for (size_t row = 0; row < VF_LANES; row++)
        pairs[row] = row < count
                         ? _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(columns, rows + row * row_bytes))
                         : vf_zero();
    vf_transpose(pairs);
    for (size_t pair = 0; pair < PAIRS; pair++)
        largest = _mm512_max_epu16(
            largest, _mm512_and_si512(_mm512_castps_si512(pairs[pair]), _mm512_set1_epi32(0x7fff7fff)));

    vf low;
    vf high;

    split_pairs(type, &low, &high, largest);
    vf_store(block->scales + first_row, scales_of(&inverse, vf_max(low, high)));
    for (size_t pair = 0; pair < PAIRS; pair++) {
        split_pairs(type, &low, &high, _mm512_castps_si512(pairs[pair]));

        const __m512i whole_low = _mm512_cvtps_epi32(vf_multiply(low, inverse));
        const __m512i whole_high = _mm512_cvtps_epi32(vf_multiply(high, inverse));

        _mm512_storeu_si512(block->weights[pair][first_row],
                            _mm512_mask_mov_epi16(_mm512_slli_epi32(whole_high, 16), 0x55555555, whole_low));
    }
}

KERNEL_INLINE void pack_panel(snug_type type, fixed_block *panel, const unsigned char *rows, size_t row_bytes,
                              size_t count, size_t columns)
{
    const size_t low = snug_min_size(count, VF_LANES);

    for (size_t column = 0; column < columns; column += BLOCK) {
        const unsigned char *values = rows + column * 2;
        const size_t n = snug_min_size(BLOCK, columns - column);

        pack_half(type, panel, 0, values, row_bytes, low, n);
        if (count > VF_LANES)
            pack_half(type, panel, VF_LANES, values + VF_LANES * row_bytes, row_bytes, count - VF_LANES, n);
        panel++;
    }
}

typedef struct panel_task {
    const fixed_block *panel;
    size_t rows; /* of the panel that are wanted */
    size_t blocks;
    const unsigned char *input;  /* integers of the first block, token 0 */
    const unsigned char *scales; /* and its scale */
    size_t input_bytes;
    float *out; /* [tokens][out_stride] */
    size_t out_stride;
    bool adds; /* to what is in out: a further stretch of columns */
} panel_task;

KERNEL_INLINE void store_sum(float *out, vf sum, size_t n, bool adds)
{
    if (n >= VF_LANES)
        vf_store(out, adds ? vf_add(vf_load(out), sum) : sum);
    else
        vf_store_part(out, adds ? vf_add(vf_load_part(out, n), sum) : sum, n);
}

/* Two neighbouring integers of a token, and a scale, in every lane. */
KERNEL_INLINE __m512i load_pair(const unsigned char *input)
{
    int32_t pair;

    memcpy(&pair, input, sizeof pair);
    return _mm512_set1_epi32(pair);
}

KERNEL_INLINE vf load_scale(const unsigned char *input)
{
    float scale;

    memcpy(&scale, input, sizeof scale);
    return vf_set(scale);
}

KERNEL_INLINE void add_to_total(float *total, __m512i sum, vf scale)
{
    vf_store(total, vf_fma(_mm512_cvtepi32_ps(sum), scale, vf_load(total)));
}

/* One block of columns: `vectors` registers of rows by `tokens` tokens, both constant, into totals. */
KERNEL_INLINE void multiply_block(float totals[PANEL_TOKENS][PANEL_ROWS], const fixed_block *block,
                                  const unsigned char *input, const unsigned char *scales, size_t stride,
                                  const size_t vectors, const size_t tokens)
{
#define ZERO(n)                                                                                              \
    __m512i low_##n = _mm512_setzero_si512();                                                                \
    __m512i high_##n = _mm512_setzero_si512();
#define STEP(n)                                                                                              \
    if (n < tokens) {                                                                                        \
        const __m512i x = load_pair(input + n * stride + pair * sizeof(int32_t));                            \
                                                                                                             \
        low_##n = _mm512_dpwssd_epi32(low_##n, low, x);                                                      \
        if (vectors > 1)                                                                                     \
            high_##n = _mm512_dpwssd_epi32(high_##n, high, x);                                               \
    }
#define TOTAL(n)                                                                                             \
    if (n < tokens) {                                                                                        \
        const vf scale = load_scale(scales + n * stride);                                                    \
                                                                                                             \
        add_to_total(totals[n], low_##n, vf_multiply(low_scale, scale));                                     \
        if (vectors > 1)                                                                                     \
            add_to_total(totals[n] + VF_LANES, high_##n, vf_multiply(high_scale, scale));                    \
    }

    EACH_OF_8(ZERO)
    UNROLL
    for (size_t pair = 0; pair < PAIRS; pair++) {
        const __m512i low = _mm512_loadu_si512(block->weights[pair][0]);
        const __m512i high = _mm512_loadu_si512(block->weights[pair][(vectors - 1) * VF_LANES]);

        EACH_OF_8(STEP)
    }

    const vf low_scale = vf_load(block->scales);
    const vf high_scale = vf_load(block->scales + (vectors - 1) * VF_LANES);

    EACH_OF_8(TOTAL)
#undef ZERO
#undef STEP
#undef TOTAL
}

/* The integer sums take all registers, so the totals live in the first level cache. */
KERNEL_INLINE void panel_block(const panel_task *task, size_t first_token, const size_t vectors,
                               const size_t tokens)
{
    const size_t stride = task->input_bytes;
    const unsigned char *input = task->input + first_token * stride;
    const unsigned char *scales = task->scales + first_token * stride;
    float *out = task->out + first_token * task->out_stride;
    _Alignas(64) float totals[PANEL_TOKENS][PANEL_ROWS];

    memset(totals, 0, tokens * sizeof totals[0]);
    for (size_t block = 0; block < task->blocks; block++)
        multiply_block(totals, task->panel + block, input + block * BLOCK * sizeof(int16_t),
                       scales + block * sizeof(float), stride, vectors, tokens);
    for (size_t token = 0; token < tokens; token++) {
        store_sum(out + token * task->out_stride, vf_load(totals[token]), task->rows, task->adds);
        if (vectors > 1)
            store_sum(out + token * task->out_stride + VF_LANES, vf_load(totals[token] + VF_LANES),
                      task->rows - VF_LANES, task->adds);
    }
}

KERNEL_INLINE void panel_tokens(const panel_task *task, size_t tokens, const size_t vectors)
{
    size_t token = 0;

    for (; token + PANEL_TOKENS <= tokens; token += PANEL_TOKENS)
        panel_block(task, token, vectors, PANEL_TOKENS);
    if (token + 4 <= tokens) {
        panel_block(task, token, vectors, 4);
        token += 4;
    }
    if (token + 2 <= tokens) {
        panel_block(task, token, vectors, 2);
        token += 2;
    }
    if (token < tokens)
        panel_block(task, token, vectors, 1);
}

static void panel_multiply(const panel_task *task, size_t tokens)
{
    if (task->rows > VF_LANES)
        panel_tokens(task, tokens, 2);
    else
        panel_tokens(task, tokens, 1);
}

KERNEL_INLINE void run(const snug_matmul_task *task, snug_type type)
{
    const unsigned char *integers = task->input;
    const unsigned char *scales =
        integers + snug_divide_up(task->weight.columns, BLOCK) * BLOCK * sizeof(int16_t);

    for (size_t row = 0; row < task->weight.rows; row += PANEL_ROWS) {
        const unsigned char *weight = (const unsigned char *)task->weight.data + row * task->weight.row_bytes;

        for (size_t column = 0; column < task->weight.columns; column += COLUMNS_BLOCK) {
            const size_t columns = snug_min_size(COLUMNS_BLOCK, task->weight.columns - column);
            const panel_task panel = {
                .panel = task->scratch,
                .rows = snug_min_size(PANEL_ROWS, task->weight.rows - row),
                .blocks = snug_divide_up(columns, BLOCK),
                .input = integers + column * sizeof(int16_t),
                .scales = scales + column / BLOCK * sizeof(float),
                .input_bytes = task->input_bytes,
                .out = task->out + row,
                .out_stride = task->out_stride,
                .adds = column > 0,
            };

            pack_panel(type, task->scratch, weight + column * 2, task->weight.row_bytes, panel.rows, columns);
            panel_multiply(&panel, task->tokens);
        }
    }
}

static void run_f16(const snug_matmul_task *task)
{
    run(task, SNUG_TYPE_F16);
}

static void run_bf16(const snug_matmul_task *task)
{
    run(task, SNUG_TYPE_BF16);
}

void snug_matmul_fixed_fill_avx512(snug_kernels *kernels)
{
    static const snug_matmul matmul_f16 = { "f16 x fixed, many, avx512", input_bytes, prepare, scratch_bytes,
                                            run_f16 };
    static const snug_matmul matmul_bf16 = { "bf16 x fixed, many, avx512", input_bytes, prepare,
                                             scratch_bytes, run_bf16 };

    kernels->matmul_many[SNUG_TYPE_F16] = &matmul_f16;
    kernels->matmul_many[SNUG_TYPE_BF16] = &matmul_bf16;
    kernels->product[SNUG_TYPE_F16] = kernels->product[SNUG_TYPE_BF16] = &snug_product_words_avx512;
}
