/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The products of quantized weights with many tokens for NEON with dot products: SDOT multiplies bytes with
 * sign and sums in 32 bits at once, so a token's integers need no offset.
 */
#include <string.h>

#include "kernels/simd/neon.h"
#include "kernels/arm/integer_unpack.h"

#define INTEGER_MANY_FILL    snug_integer_many_fill_neon
#define INTEGER_MANY_PRODUCT snug_product_bytes_neon
#define INTEGER_TOKENS       4 /* by two pairs of registers of rows: 16 of 32 registers */

#define vi_offset(kind) 0

typedef struct vi {
    int32x4_t low;
    int32x4_t high;
} vi;

/* All the same here. */
typedef enum integer_kind {
    BITS_ANY,
} integer_kind;

#define BITS_5 BITS_ANY
#define BITS_6 BITS_ANY
#define BITS_8 BITS_ANY

#define INTEGER_FORMS(X) X(BITS_ANY, 16, 0) X(BITS_ANY, 16, 1) X(BITS_ANY, 32, 0) X(BITS_ANY, 32, 1)

KERNEL_INLINE size_t vi_depth(integer_kind kind)
{
    (void)kind;
    return 4;
}

KERNEL_INLINE vi vi_set(int32_t x)
{
    return (vi){ vdupq_n_s32(x), vdupq_n_s32(x) };
}

KERNEL_INLINE vi vi_zero(void)
{
    return vi_set(0);
}

KERNEL_INLINE vi vi_load(const void *x)
{
    const int8_t *bytes = x;

    return (vi){ vreinterpretq_s32_s8(vld1q_s8(bytes)), vreinterpretq_s32_s8(vld1q_s8(bytes + 16)) };
}

KERNEL_INLINE void vi_store(int32_t *out, vi x)
{
    vst1q_s32(out, x.low);
    vst1q_s32(out + 4, x.high);
}

KERNEL_INLINE vi vi_quad(const unsigned char *x)
{
    int32_t quad;

    memcpy(&quad, x, sizeof quad);
    return vi_set(quad);
}

KERNEL_INLINE vi vi_negate(vi x)
{
    return (vi){ vnegq_s32(x.low), vnegq_s32(x.high) };
}

KERNEL_INLINE vf vi_to_float(vi x)
{
    return (vf){ vcvtq_f32_s32(x.low), vcvtq_f32_s32(x.high) };
}

KERNEL_INLINE vi vi_begin(integer_kind kind, vi sum)
{
    (void)kind;
    return sum;
}

KERNEL_INLINE int32x4_t sums_of_four(int32x4_t sum, int32x4_t x, int32x4_t w)
{
    return vdotq_s32(sum, vreinterpretq_s8_s32(x), vreinterpretq_s8_s32(w));
}

KERNEL_INLINE vi vi_step(integer_kind kind, vi part, vi x, vi w)
{
    (void)kind;
    return (vi){ sums_of_four(part.low, x.low, w.low), sums_of_four(part.high, x.high, w.high) };
}

KERNEL_INLINE vi vi_end(integer_kind kind, vi sum, vi part)
{
    (void)kind;
    (void)sum;
    return part;
}

#include "kernels/body/integer_many.inc"
