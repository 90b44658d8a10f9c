/* SPDX-License-Identifier: Apache-2.0 */
/*
 * simd/avx512.h - the vocabulary of the vector kernels, on AVX-512 F, BW, DQ, VL: 16 lanes of f32.
 * simd/avx2.h has the same words; body/ is written in them.
 *
 * Pointers may have any alignment. The _part forms touch only the first n values in memory (n at most
 * VF_LANES); a load leaves the other lanes 0.
 */
#ifndef SNUG_SRC_KERNELS_SIMD_AVX512_H
#define SNUG_SRC_KERNELS_SIMD_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/simd/inline.h"

#define VF_NAME  "avx512"
#define VF_LANES 16
/* Registers that hold accumulators, of 32: the rest is for weights and inputs. */
#define VF_ACCUMULATORS 24

typedef __m512 vf;

KERNEL_INLINE __mmask16 vf_first(size_t n)
{
    return (__mmask16)((1u << n) - 1u);
}

KERNEL_INLINE vf vf_zero(void)
{
    return _mm512_setzero_ps();
}

KERNEL_INLINE vf vf_set(float x)
{
    return _mm512_set1_ps(x);
}

KERNEL_INLINE vf vf_load(const void *x)
{
    return _mm512_loadu_ps(x);
}

KERNEL_INLINE vf vf_load_part(const void *x, size_t n)
{
    return _mm512_maskz_loadu_ps(vf_first(n), x);
}

KERNEL_INLINE void vf_store(float *out, vf x)
{
    _mm512_storeu_ps(out, x);
}

KERNEL_INLINE void vf_store_part(float *out, vf x, size_t n)
{
    _mm512_mask_storeu_ps(out, vf_first(n), x);
}

KERNEL_INLINE vf vf_load_f16(const void *x)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256(x));
}

KERNEL_INLINE vf vf_load_f16_part(const void *x, size_t n)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(vf_first(n), x));
}

KERNEL_INLINE vf vf_from_bf16(__m256i x)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}

KERNEL_INLINE vf vf_load_bf16(const void *x)
{
    return vf_from_bf16(_mm256_loadu_si256(x));
}

KERNEL_INLINE vf vf_load_bf16_part(const void *x, size_t n)
{
    return vf_from_bf16(_mm256_maskz_loadu_epi16(vf_first(n), x));
}

KERNEL_INLINE void vf_store_f16(void *out, vf x)
{
    _mm256_storeu_si256(out, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

KERNEL_INLINE void vf_store_f16_part(void *out, vf x, size_t n)
{
    _mm256_mask_storeu_epi16(out, vf_first(n),
                             _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

KERNEL_INLINE vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}

KERNEL_INLINE vf vf_subtract(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}

KERNEL_INLINE vf vf_multiply(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}

KERNEL_INLINE vf vf_divide(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}

/* a * b + c */
KERNEL_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* c - a * b */
KERNEL_INLINE vf vf_fma_negated(vf a, vf b, vf c)
{
    return _mm512_fnmadd_ps(a, b, c);
}

/* The larger and the smaller; b where one is a NaN. */
KERNEL_INLINE vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}

KERNEL_INLINE vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}

KERNEL_INLINE vf vf_round(vf x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

KERNEL_INLINE vf vf_floor(vf x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}

/* x * 2^n for whole n, with infinity and gradual underflow. */
KERNEL_INLINE vf vf_times_power(vf x, vf n)
{
    return _mm512_scalef_ps(x, n);
}

KERNEL_INLINE float vf_sum(vf x)
{
    return _mm512_reduce_add_ps(x);
}

/* The larger of |a| and |b|, and the largest |x|; a NaN counts as larger than anything. */
KERNEL_INLINE vf vf_larger_magnitude(vf a, vf b)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);

    return _mm512_castsi512_ps(_mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(a), magnitude),
                                                _mm512_and_si512(_mm512_castps_si512(b), magnitude)));
}

KERNEL_INLINE float vf_largest_magnitude(vf x)
{
    const __m512i bits = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff));

    return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((int32_t)_mm512_reduce_max_epu32(bits))));
}

/* Whole numbers from -128 to 127 as integers of 8 bits; with AVX-512 to 255, without sign then. */
KERNEL_INLINE void vf_store_i8(int8_t *out, vf x)
{
    _mm_storeu_si128((void *)out, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
}

/* The first n lanes of x, and `other` in the rest. */
KERNEL_INLINE vf vf_first_or(vf x, vf other, size_t n)
{
    return _mm512_mask_blend_ps(vf_first(n), other, x);
}

KERNEL_INLINE float vf_largest(vf x)
{
    return _mm512_reduce_max_ps(x);
}

/* Rows become columns: 4x4 inside each quarter of the registers, then the quarters themselves. */
KERNEL_INLINE void vf_transpose(vf x[VF_LANES])
{
    vf a[16];
    vf b[16];

    UNROLL
    for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
        a[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
    }
    UNROLL
    for (int i = 0; i < 16; i += 4) {
        const __m512d low0 = _mm512_castps_pd(a[i]);
        const __m512d high0 = _mm512_castps_pd(a[i + 1]);
        const __m512d low1 = _mm512_castps_pd(a[i + 2]);
        const __m512d high1 = _mm512_castps_pd(a[i + 3]);

        b[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(low0, low1));
        b[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low0, low1));
        b[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(high0, high1));
        b[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(high0, high1));
    }
    UNROLL
    for (int i = 0; i < 4; i++) { /* 0x88 takes the even quarters of both, 0xdd the odd ones */
        const vf even0 = _mm512_shuffle_f32x4(b[i], b[i + 4], 0x88);
        const vf odd0 = _mm512_shuffle_f32x4(b[i], b[i + 4], 0xdd);
        const vf even1 = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0x88);
        const vf odd1 = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0xdd);

        x[i] = _mm512_shuffle_f32x4(even0, even1, 0x88);
        x[i + 4] = _mm512_shuffle_f32x4(odd0, odd1, 0x88);
        x[i + 8] = _mm512_shuffle_f32x4(even0, even1, 0xdd);
        x[i + 12] = _mm512_shuffle_f32x4(odd0, odd1, 0xdd);
    }
}

/* Lane i of the result is the sum of the lanes of x[i], each added up in the same order. */
KERNEL_INLINE vf vf_sums(const vf x[VF_LANES])
{
    vf quarters[4];

    UNROLL
    for (int i = 0; i < 4; i++) {
        const vf *four = x + i * 4;
        const vf low =
            _mm512_add_ps(_mm512_unpacklo_ps(four[0], four[1]), _mm512_unpackhi_ps(four[0], four[1]));
        const vf high =
            _mm512_add_ps(_mm512_unpacklo_ps(four[2], four[3]), _mm512_unpackhi_ps(four[2], four[3]));
        const __m512d low_pairs = _mm512_castps_pd(low);
        const __m512d high_pairs = _mm512_castps_pd(high);

        quarters[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(low_pairs, high_pairs)),
                                    _mm512_castpd_ps(_mm512_unpackhi_pd(low_pairs, high_pairs)));
    }

    const vf low = _mm512_add_ps(_mm512_shuffle_f32x4(quarters[0], quarters[1], 0x88),
                                 _mm512_shuffle_f32x4(quarters[0], quarters[1], 0xdd));
    const vf high = _mm512_add_ps(_mm512_shuffle_f32x4(quarters[2], quarters[3], 0x88),
                                  _mm512_shuffle_f32x4(quarters[2], quarters[3], 0xdd));

    return _mm512_add_ps(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
}

#endif /* SNUG_SRC_KERNELS_SIMD_AVX512_H */
