/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The products of quantized weights with many tokens for NEON with I8MM. SMMLA multiplies two rows by two
 * tokens, eight columns deep: 32 products and sums in an instruction, twice as many as SDOT, and each
 * register of weights or of tokens that is loaded serves twice as many.
 *
 * So eight columns of a row lie together, and two rows in a register. A block is two pairs of tokens by all
 * 16 rows of a panel: 16 registers of sums, 2 of tokens, 8 of weights. With three pairs gcc 12 kept four of
 * the sums in memory. Sums of a run become floats as in body/integer_many.inc, one chain over the columns for
 * each total.
 */
#include <string.h>

#include "kernels/simd/neon.h"
#include "kernels/arm/integer_unpack.h"

#undef VF_NAME
#define VF_NAME "i8mm"

#define INTEGER_MANY_FILL    snug_integer_many_fill_i8mm
#define INTEGER_MANY_PRODUCT snug_product_matrices_i8mm
#define INTEGER_TOKENS       4
#define INTEGER_SPAN         8

#define vi_offset(kind) 0

typedef struct vi {
    int32x4_t low;
    int32x4_t high;
} vi;

typedef enum integer_kind {
    BITS_ANY,
} integer_kind;

#define BITS_5 BITS_ANY
#define BITS_6 BITS_ANY
#define BITS_8 BITS_ANY

#define INTEGER_FORMS(X) X(BITS_ANY, 16, 0) X(BITS_ANY, 16, 1) X(BITS_ANY, 32, 0) X(BITS_ANY, 32, 1)

KERNEL_INLINE vf vi_to_float(vi x)
{
    return (vf){ vcvtq_f32_s32(x.low), vcvtq_f32_s32(x.high) };
}

#include "kernels/body/integer_panel.inc"

/* The integers of VF_LANES rows of a panel: spans of eight columns, those of two rows side by side. */
static void pack_integers(integer_block *blocks, const integer_stage *stage, size_t first_row, size_t columns,
                          integer_form form)
{
    (void)form;
    for (size_t row = first_row; row < first_row + VF_LANES; row += 2) {
        for (size_t column = 0; column < columns; column += (size_t)2 * INTEGER_SPAN) {
            const int64x2_t a = vreinterpretq_s64_s8(vld1q_s8(stage->integers[row] + column));
            const int64x2_t b = vreinterpretq_s64_s8(vld1q_s8(stage->integers[row + 1] + column));
            integer_block *block = blocks + column / INTEGER_UNIT;
            const size_t span = column % INTEGER_UNIT / INTEGER_SPAN;

            vst1q_s8(block->weights[span][row], vreinterpretq_s8_s64(vzip1q_s64(a, b)));
            vst1q_s8(block->weights[span + 1][row], vreinterpretq_s8_s64(vzip2q_s64(a, b)));
        }
    }
}

/* A span of two tokens. */
KERNEL_INLINE int8x16_t load_tokens(const unsigned char *first, const unsigned char *second)
{
    return vreinterpretq_s8_u8(vcombine_u8(vld1_u8(first), vld1_u8(second)));
}

/* Sums of two pairs of rows, [token][row] each: the four rows of the first token, and of the second. */
KERNEL_INLINE int32x4_t first_token(int32x4_t a, int32x4_t b)
{
    return vreinterpretq_s32_s64(vzip1q_s64(vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b)));
}

KERNEL_INLINE int32x4_t second_token(int32x4_t a, int32x4_t b)
{
    return vreinterpretq_s32_s64(vzip2q_s64(vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b)));
}

/* Run `i` of one unit: all rows by `tokens` tokens, 4, or 1, which its register holds twice then. All
 * constant but the pointers. */
KERNEL_INLINE void multiply_run(float totals[INTEGER_TOKENS][PANEL_ROWS], const integer_block *block,
                                const unsigned char *values, const float *scales, const float *sums,
                                size_t stride, const integer_form form, const size_t i, const size_t tokens)
{
    const size_t second = tokens > 1 ? stride : 0;

#define ZERO(r)                                                                                              \
    int32x4_t sum0_##r = vdupq_n_s32(0);                                                                     \
    int32x4_t sum1_##r = vdupq_n_s32(0);
#define STEP(r)                                                                                              \
    {                                                                                                        \
        const int8x16_t w = vld1q_s8(block->weights[span][2 * r]);                                           \
                                                                                                             \
        sum0_##r = vmmlaq_s32(sum0_##r, x0, w);                                                              \
        if (tokens > 2)                                                                                      \
            sum1_##r = vmmlaq_s32(sum1_##r, x1, w);                                                          \
    }
#define TOTAL(n, of, pair)                                                                                   \
    if (n < tokens) {                                                                                        \
        const vf token_scale = vf_set(scales[n * stride / sizeof(float)]);                                   \
        const vi low = { of(pair##_0, pair##_1), of(pair##_2, pair##_3) };                                   \
        const vi high = { of(pair##_4, pair##_5), of(pair##_6, pair##_7) };                                  \
                                                                                                             \
        add_to_total(totals[n], low, low_scale, token_scale);                                                \
        add_to_total(totals[n] + VF_LANES, high, high_scale, token_scale);                                   \
    }

    EACH_OF_8(ZERO)
    /* Not unrolled: loads of the next spans would come early, and take the registers of sums. */
    for (size_t span = i * form.run / INTEGER_SPAN; span < (i + 1) * form.run / INTEGER_SPAN; span++) {
        const unsigned char *at = values + span * INTEGER_SPAN;
        const int8x16_t x0 = load_tokens(at, at + second);
        const int8x16_t x1 = tokens > 2 ? load_tokens(at + 2 * stride, at + 3 * stride) : x0;

        EACH_OF_8(STEP)
    }

    const vf low_scale = vf_load(block->scales[i]);
    const vf high_scale = vf_load(block->scales[i] + VF_LANES);

    TOTAL(0, first_token, sum0)
    TOTAL(1, second_token, sum0)
    TOTAL(2, first_token, sum1)
    TOTAL(3, second_token, sum1)
    if (form.has_minimum)
        add_minimums(totals, block, sums, stride, form, i, tokens);
#undef ZERO
#undef STEP
#undef TOTAL
}

#include "kernels/body/integer_run.inc"
