/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86/integer_eight.h - words for eight floats with AVX2, for body/integer_few.inc.
 */
#ifndef SNUG_SRC_KERNELS_X86_INTEGER_EIGHT_H
#define SNUG_SRC_KERNELS_X86_INTEGER_EIGHT_H

#include <immintrin.h>
#include <stdint.h>

#include "kernels/simd/inline.h"

typedef __m256 v8;

KERNEL_INLINE v8 v8_zero(void)
{
    return _mm256_setzero_ps();
}

/* A value in memory in all lanes. */
KERNEL_INLINE v8 v8_spread(const float *x)
{
    return _mm256_broadcast_ss(x);
}

/* One in the first four lanes, the next in the others. */
KERNEL_INLINE v8 v8_spread_pair(const float *x)
{
    return _mm256_set_m128(_mm_broadcast_ss(x + 1), _mm_broadcast_ss(x));
}

KERNEL_INLINE v8 v8_load(const float *x)
{
    return _mm256_loadu_ps(x);
}

KERNEL_INLINE void v8_store(float *out, v8 x)
{
    _mm256_storeu_ps(out, x);
}

KERNEL_INLINE v8 v8_add(v8 a, v8 b)
{
    return _mm256_add_ps(a, b);
}

KERNEL_INLINE v8 v8_multiply(v8 a, v8 b)
{
    return _mm256_mul_ps(a, b);
}

/* a * b + c */
KERNEL_INLINE v8 v8_fma(v8 a, v8 b, v8 c)
{
    return _mm256_fmadd_ps(a, b, c);
}

/* Each of the first four lanes twice, and of the others. */
KERNEL_INLINE v8 v8_low_twice(v8 x)
{
    return _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
}

KERNEL_INLINE v8 v8_high_twice(v8 x)
{
    return _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7));
}

/* Of sixteen lanes in order. */
KERNEL_INLINE v8 v8_sums_of_pairs(v8 a, v8 b)
{
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_hadd_ps(a, b)), 0xd8));
}

KERNEL_INLINE float v8_sum(v8 x)
{
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));

    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* A unit of 32 bytes; that of weights is aligned to them. */
KERNEL_INLINE __m256i load_weights(const int8_t *w)
{
    return _mm256_load_si256((const void *)w);
}

KERNEL_INLINE __m256i load_token(const int8_t *x)
{
    return _mm256_loadu_si256((const void *)x);
}

#endif /* SNUG_SRC_KERNELS_X86_INTEGER_EIGHT_H */
