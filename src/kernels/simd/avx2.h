/* SPDX-License-Identifier: Apache-2.0 */
/*
 * simd/avx2.h - the vocabulary of the vector kernels, on AVX2, FMA and F16C: 8 lanes of f32.
 * simd/avx512.h has the same words and explains them.
 */
#ifndef SNUG_SRC_KERNELS_SIMD_AVX2_H
#define SNUG_SRC_KERNELS_SIMD_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/simd/inline.h"

#define VF_NAME         "avx2"
#define VF_LANES        8
#define VF_ACCUMULATORS 12 /* of 16 registers */

typedef __m256 vf;

KERNEL_INLINE __m256i vf_first(size_t n)
{
    static const int32_t ones_then_zeros[16] = { -1, -1, -1, -1, -1, -1, -1, -1 };

    return _mm256_loadu_si256((const void *)(ones_then_zeros + 8 - n));
}

KERNEL_INLINE vf vf_zero(void)
{
    return _mm256_setzero_ps();
}

KERNEL_INLINE vf vf_set(float x)
{
    return _mm256_set1_ps(x);
}

KERNEL_INLINE vf vf_load(const void *x)
{
    return _mm256_castsi256_ps(_mm256_loadu_si256(x));
}

KERNEL_INLINE vf vf_load_part(const void *x, size_t n)
{
    return _mm256_maskload_ps(x, vf_first(n));
}

KERNEL_INLINE void vf_store(float *out, vf x)
{
    _mm256_storeu_ps(out, x);
}

KERNEL_INLINE void vf_store_part(float *out, vf x, size_t n)
{
    _mm256_maskstore_ps(out, vf_first(n), x);
}

/* AVX2 has no masks for 16 bits: a short run goes through the stack. */
KERNEL_INLINE __m128i load_halves_part(const void *x, size_t n)
{
    uint16_t halves[8] = { 0 };

    memcpy(halves, x, n * sizeof *halves);
    return _mm_loadu_si128((const void *)halves);
}

KERNEL_INLINE vf vf_load_f16(const void *x)
{
    return _mm256_cvtph_ps(_mm_loadu_si128(x));
}

KERNEL_INLINE vf vf_load_f16_part(const void *x, size_t n)
{
    return _mm256_cvtph_ps(load_halves_part(x, n));
}

KERNEL_INLINE vf vf_from_bf16(__m128i x)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
}

KERNEL_INLINE vf vf_load_bf16(const void *x)
{
    return vf_from_bf16(_mm_loadu_si128(x));
}

KERNEL_INLINE vf vf_load_bf16_part(const void *x, size_t n)
{
    return vf_from_bf16(load_halves_part(x, n));
}

KERNEL_INLINE void vf_store_f16(void *out, vf x)
{
    _mm_storeu_si128(out, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

KERNEL_INLINE void vf_store_f16_part(void *out, vf x, size_t n)
{
    uint16_t halves[8];

    vf_store_f16(halves, x);
    memcpy(out, halves, n * sizeof *halves);
}

KERNEL_INLINE vf vf_add(vf a, vf b)
{
    return _mm256_add_ps(a, b);
}

KERNEL_INLINE vf vf_subtract(vf a, vf b)
{
    return _mm256_sub_ps(a, b);
}

KERNEL_INLINE vf vf_multiply(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}

KERNEL_INLINE vf vf_divide(vf a, vf b)
{
    return _mm256_div_ps(a, b);
}

KERNEL_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}

KERNEL_INLINE vf vf_fma_negated(vf a, vf b, vf c)
{
    return _mm256_fnmadd_ps(a, b, c);
}

KERNEL_INLINE vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}

KERNEL_INLINE vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}

KERNEL_INLINE vf vf_round(vf x)
{
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

KERNEL_INLINE vf vf_floor(vf x)
{
    return _mm256_round_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}

/* 2^n for whole n from -126 to 127 */
KERNEL_INLINE vf vf_power(__m256i n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

/* In two steps, since 2^n alone may lie outside of f32 where the product lies inside; n from -252 to 254. */
KERNEL_INLINE vf vf_times_power(vf x, vf n)
{
    const __m256i whole = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(whole, 1);

    return _mm256_mul_ps(_mm256_mul_ps(x, vf_power(half)), vf_power(_mm256_sub_epi32(whole, half)));
}

KERNEL_INLINE float vf_sum(vf x)
{
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));

    sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
    return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

KERNEL_INLINE vf vf_larger_magnitude(vf a, vf b)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);

    return _mm256_castsi256_ps(_mm256_max_epu32(_mm256_and_si256(_mm256_castps_si256(a), magnitude),
                                                _mm256_and_si256(_mm256_castps_si256(b), magnitude)));
}

KERNEL_INLINE float vf_largest_magnitude(vf x)
{
    const __m256i bits = _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff));
    __m128i max = _mm_max_epu32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));

    max = _mm_max_epu32(max, _mm_unpackhi_epi64(max, max));
    return _mm_cvtss_f32(_mm_castsi128_ps(_mm_max_epu32(max, _mm_srli_epi64(max, 32))));
}

KERNEL_INLINE void vf_store_i8(int8_t *out, vf x)
{
    const __m256i whole = _mm256_cvtps_epi32(x);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));

    _mm_storel_epi64((void *)out, _mm_packs_epi16(words, words));
}

KERNEL_INLINE vf vf_first_or(vf x, vf other, size_t n)
{
    return _mm256_blendv_ps(other, x, _mm256_castsi256_ps(vf_first(n)));
}

KERNEL_INLINE float vf_largest(vf x)
{
    __m128 max = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));

    max = _mm_max_ps(max, _mm_movehl_ps(max, max));
    return _mm_cvtss_f32(_mm_max_ss(max, _mm_movehdup_ps(max)));
}

/* Rows become columns: 4x4 inside each half of the registers, then the halves themselves. */
KERNEL_INLINE void vf_transpose(vf x[VF_LANES])
{
    vf a[8];
    vf b[8];

    UNROLL
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        a[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    UNROLL
    for (int i = 0; i < 8; i += 4) {
        b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
        b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
        b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
        b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
    }
    UNROLL
    for (int i = 0; i < 4; i++) {
        x[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
        x[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
    }
}

/* Lane i of the result is the sum of the lanes of x[i], each added up in the same order. */
KERNEL_INLINE vf vf_sums(const vf x[VF_LANES])
{
    const vf low = _mm256_hadd_ps(_mm256_hadd_ps(x[0], x[1]), _mm256_hadd_ps(x[2], x[3]));
    const vf high = _mm256_hadd_ps(_mm256_hadd_ps(x[4], x[5]), _mm256_hadd_ps(x[6], x[7]));

    return _mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
}

#endif /* SNUG_SRC_KERNELS_SIMD_AVX2_H */
