/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The products of quantized weights with few tokens for NEON with dot products. SDOT takes bytes with sign
 * and sums in 32 bits; weights without sign are at most 63, so they are bytes with sign, too.
 */
#include <string.h>

#include "kernels/simd/neon.h"
#include "kernels/arm/integer_unpack.h"

#define INTEGER_FEW_FILL snug_integer_few_fill_neon

typedef vf v8;

KERNEL_INLINE v8 v8_zero(void)
{
    return vf_zero();
}

KERNEL_INLINE v8 v8_spread(const float *x)
{
    return vf_set(*x);
}

KERNEL_INLINE v8 v8_spread_pair(const float *x)
{
    return (v8){ vdupq_n_f32(x[0]), vdupq_n_f32(x[1]) };
}

KERNEL_INLINE v8 v8_load(const float *x)
{
    return vf_load(x);
}

KERNEL_INLINE void v8_store(float *out, v8 x)
{
    vf_store(out, x);
}

KERNEL_INLINE v8 v8_add(v8 a, v8 b)
{
    return vf_add(a, b);
}

KERNEL_INLINE v8 v8_multiply(v8 a, v8 b)
{
    return vf_multiply(a, b);
}

KERNEL_INLINE v8 v8_fma(v8 a, v8 b, v8 c)
{
    return vf_fma(a, b, c);
}

KERNEL_INLINE v8 v8_low_twice(v8 x)
{
    return (v8){ vzip1q_f32(x.low, x.low), vzip2q_f32(x.low, x.low) };
}

KERNEL_INLINE v8 v8_high_twice(v8 x)
{
    return (v8){ vzip1q_f32(x.high, x.high), vzip2q_f32(x.high, x.high) };
}

KERNEL_INLINE v8 v8_sums_of_pairs(v8 a, v8 b)
{
    return (v8){ vpaddq_f32(a.low, a.high), vpaddq_f32(b.low, b.high) };
}

KERNEL_INLINE float v8_sum(v8 x)
{
    return vf_sum(x);
}

KERNEL_INLINE float32x4_t sums_of_four(const int8_t *w, const int8_t *x)
{
    return vcvtq_f32_s32(vdotq_s32(vdupq_n_s32(0), vld1q_s8(w), vld1q_s8(x)));
}

KERNEL_INLINE v8 dot_signed(const int8_t *w, const int8_t *x)
{
    return (v8){ sums_of_four(w, x), sums_of_four(w + 16, x + 16) };
}

KERNEL_INLINE v8 dot_unsigned(const int8_t *w, const int8_t *x)
{
    return dot_signed(w, x);
}

#include "kernels/body/integer_few.inc"
