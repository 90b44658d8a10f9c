/* SPDX-License-Identifier: Apache-2.0 */
/*
 * simd/neon.h - the vocabulary of the vector kernels, on NEON (ARMv8-A): 8 lanes of f32 in two registers, so
 * that bodies find 16 registers of 8 lanes, as with AVX2, and two operations in flight for each word.
 * simd/avx512.h has the same words and explains them.
 */
#ifndef SNUG_SRC_KERNELS_SIMD_NEON_H
#define SNUG_SRC_KERNELS_SIMD_NEON_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/simd/inline.h"

#define VF_NAME         "neon"
#define VF_LANES        8
#define VF_ACCUMULATORS 12 /* of 16 pairs of registers */

typedef struct vf {
    float32x4_t low;
    float32x4_t high;
} vf;

/* A word of both halves, from one of NEON: of one argument, and of two. */
#define VF_EACH(type, f, a)    ((type){ f((a).low), f((a).high) })
#define VF_BOTH(type, f, a, b) ((type){ f((a).low, (b).low), f((a).high, (b).high) })

KERNEL_INLINE vf vf_zero(void)
{
    return (vf){ vdupq_n_f32(0.0f), vdupq_n_f32(0.0f) };
}

KERNEL_INLINE vf vf_set(float x)
{
    return (vf){ vdupq_n_f32(x), vdupq_n_f32(x) };
}

/* Bytes, since a pointer to floats would have to be aligned to them. */
KERNEL_INLINE vf vf_load(const void *x)
{
    const uint8_t *bytes = x;

    return (vf){ vreinterpretq_f32_u8(vld1q_u8(bytes)), vreinterpretq_f32_u8(vld1q_u8(bytes + 16)) };
}

/* NEON has no masks in memory: a short run goes through the stack. */
KERNEL_INLINE vf vf_load_part(const void *x, size_t n)
{
    float values[VF_LANES] = { 0.0f };

    memcpy(values, x, n * sizeof *values);
    return vf_load(values);
}

KERNEL_INLINE void vf_store(float *out, vf x)
{
    vst1q_f32(out, x.low);
    vst1q_f32(out + 4, x.high);
}

KERNEL_INLINE void vf_store_part(float *out, vf x, size_t n)
{
    float values[VF_LANES];

    vf_store(values, x);
    memcpy(out, values, n * sizeof *values);
}

KERNEL_INLINE uint16x8_t load_halves(const void *x)
{
    return vreinterpretq_u16_u8(vld1q_u8(x));
}

KERNEL_INLINE uint16x8_t load_halves_part(const void *x, size_t n)
{
    uint16_t halves[VF_LANES] = { 0 };

    memcpy(halves, x, n * sizeof *halves);
    return vld1q_u16(halves);
}

KERNEL_INLINE vf vf_from_f16(uint16x8_t x)
{
    const float16x8_t halves = vreinterpretq_f16_u16(x);

    return (vf){ vcvt_f32_f16(vget_low_f16(halves)), vcvt_high_f32_f16(halves) };
}

KERNEL_INLINE vf vf_load_f16(const void *x)
{
    return vf_from_f16(load_halves(x));
}

KERNEL_INLINE vf vf_load_f16_part(const void *x, size_t n)
{
    return vf_from_f16(load_halves_part(x, n));
}

KERNEL_INLINE vf vf_from_bf16(uint16x8_t x)
{
    return (vf){ vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(x), 16)),
                 vreinterpretq_f32_u32(vshll_high_n_u16(x, 16)) };
}

KERNEL_INLINE vf vf_load_bf16(const void *x)
{
    return vf_from_bf16(load_halves(x));
}

KERNEL_INLINE vf vf_load_bf16_part(const void *x, size_t n)
{
    return vf_from_bf16(load_halves_part(x, n));
}

KERNEL_INLINE void vf_store_f16(void *out, vf x)
{
    const float16x8_t halves = vcvt_high_f16_f32(vcvt_f16_f32(x.low), x.high);

    vst1q_u8(out, vreinterpretq_u8_f16(halves));
}

KERNEL_INLINE void vf_store_f16_part(void *out, vf x, size_t n)
{
    uint16_t halves[VF_LANES];

    vf_store_f16(halves, x);
    memcpy(out, halves, n * sizeof *halves);
}

KERNEL_INLINE vf vf_add(vf a, vf b)
{
    return VF_BOTH(vf, vaddq_f32, a, b);
}

KERNEL_INLINE vf vf_subtract(vf a, vf b)
{
    return VF_BOTH(vf, vsubq_f32, a, b);
}

KERNEL_INLINE vf vf_multiply(vf a, vf b)
{
    return VF_BOTH(vf, vmulq_f32, a, b);
}

KERNEL_INLINE vf vf_divide(vf a, vf b)
{
    return VF_BOTH(vf, vdivq_f32, a, b);
}

KERNEL_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return (vf){ vfmaq_f32(c.low, a.low, b.low), vfmaq_f32(c.high, a.high, b.high) };
}

KERNEL_INLINE vf vf_fma_negated(vf a, vf b, vf c)
{
    return (vf){ vfmsq_f32(c.low, a.low, b.low), vfmsq_f32(c.high, a.high, b.high) };
}

/* FMAX makes a NaN of one; here the second counts then, as on x86. */
KERNEL_INLINE float32x4_t larger(float32x4_t a, float32x4_t b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

KERNEL_INLINE float32x4_t smaller(float32x4_t a, float32x4_t b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}

KERNEL_INLINE vf vf_max(vf a, vf b)
{
    return VF_BOTH(vf, larger, a, b);
}

KERNEL_INLINE vf vf_min(vf a, vf b)
{
    return VF_BOTH(vf, smaller, a, b);
}

KERNEL_INLINE vf vf_round(vf x)
{
    return VF_EACH(vf, vrndnq_f32, x);
}

KERNEL_INLINE vf vf_floor(vf x)
{
    return VF_EACH(vf, vrndmq_f32, x);
}

/* 2^n for whole n from -126 to 127 */
KERNEL_INLINE float32x4_t power_of_2(int32x4_t n)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}

/* In two steps, since 2^n alone may lie outside of f32 where the product lies inside; n from -252 to 254. */
KERNEL_INLINE float32x4_t times_power(float32x4_t x, float32x4_t n)
{
    const int32x4_t whole = vcvtnq_s32_f32(n);
    const int32x4_t half = vshrq_n_s32(whole, 1);

    return vmulq_f32(vmulq_f32(x, power_of_2(half)), power_of_2(vsubq_s32(whole, half)));
}

KERNEL_INLINE vf vf_times_power(vf x, vf n)
{
    return VF_BOTH(vf, times_power, x, n);
}

KERNEL_INLINE float vf_sum(vf x)
{
    return vaddvq_f32(vaddq_f32(x.low, x.high));
}

KERNEL_INLINE uint32x4_t magnitude(float32x4_t x)
{
    return vreinterpretq_u32_f32(vabsq_f32(x));
}

KERNEL_INLINE float32x4_t larger_magnitude(float32x4_t a, float32x4_t b)
{
    return vreinterpretq_f32_u32(vmaxq_u32(magnitude(a), magnitude(b)));
}

KERNEL_INLINE vf vf_larger_magnitude(vf a, vf b)
{
    return VF_BOTH(vf, larger_magnitude, a, b);
}

KERNEL_INLINE float vf_largest_magnitude(vf x)
{
    const uint32_t bits = vmaxvq_u32(vmaxq_u32(magnitude(x.low), magnitude(x.high)));
    float largest;

    memcpy(&largest, &bits, sizeof largest);
    return largest;
}

/* Whole numbers from -128 to 127 as integers of 8 bits, or to 255, without sign then. */
KERNEL_INLINE void vf_store_i8(int8_t *out, vf x)
{
    const int16x8_t words = vcombine_s16(vmovn_s32(vcvtnq_s32_f32(x.low)), vmovn_s32(vcvtnq_s32_f32(x.high)));

    vst1_s8(out, vmovn_s16(words));
}

KERNEL_INLINE vf vf_first_or(vf x, vf other, size_t n)
{
    static const uint32_t ones_then_zeros[16] = { ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u };
    const uint32_t *first = ones_then_zeros + 8 - n;

    return (vf){ vbslq_f32(vld1q_u32(first), x.low, other.low),
                 vbslq_f32(vld1q_u32(first + 4), x.high, other.high) };
}

KERNEL_INLINE float vf_largest(vf x)
{
    return vmaxnmvq_f32(vmaxnmq_f32(x.low, x.high));
}

/* 4x4: pairs of rows, then pairs of these. */
KERNEL_INLINE void transpose_4(float32x4_t x[4])
{
    const float64x2_t a = vreinterpretq_f64_f32(vtrn1q_f32(x[0], x[1]));
    const float64x2_t b = vreinterpretq_f64_f32(vtrn2q_f32(x[0], x[1]));
    const float64x2_t c = vreinterpretq_f64_f32(vtrn1q_f32(x[2], x[3]));
    const float64x2_t d = vreinterpretq_f64_f32(vtrn2q_f32(x[2], x[3]));

    x[0] = vreinterpretq_f32_f64(vtrn1q_f64(a, c));
    x[1] = vreinterpretq_f32_f64(vtrn1q_f64(b, d));
    x[2] = vreinterpretq_f32_f64(vtrn2q_f64(a, c));
    x[3] = vreinterpretq_f32_f64(vtrn2q_f64(b, d));
}

/* Rows become columns: the four quarters by themselves, of which two change places. */
KERNEL_INLINE void vf_transpose(vf x[VF_LANES])
{
    float32x4_t quarter[4][4];

    UNROLL
    for (int i = 0; i < 4; i++) {
        quarter[0][i] = x[i].low;
        quarter[1][i] = x[i].high;
        quarter[2][i] = x[i + 4].low;
        quarter[3][i] = x[i + 4].high;
    }
    UNROLL
    for (int i = 0; i < 4; i++)
        transpose_4(quarter[i]);
    UNROLL
    for (int i = 0; i < 4; i++) {
        x[i] = (vf){ quarter[0][i], quarter[2][i] };
        x[i + 4] = (vf){ quarter[1][i], quarter[3][i] };
    }
}

/* Lane i of the result is the sum of the lanes of x[i], each added up in the same order. */
KERNEL_INLINE vf vf_sums(const vf x[VF_LANES])
{
    float32x4_t sums[VF_LANES];

    UNROLL
    for (int i = 0; i < VF_LANES; i++)
        sums[i] = vaddq_f32(x[i].low, x[i].high);
    return (vf){ vpaddq_f32(vpaddq_f32(sums[0], sums[1]), vpaddq_f32(sums[2], sums[3])),
                 vpaddq_f32(vpaddq_f32(sums[4], sums[5]), vpaddq_f32(sums[6], sums[7])) };
}

#endif /* SNUG_SRC_KERNELS_SIMD_NEON_H */
