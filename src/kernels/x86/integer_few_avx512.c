/* SPDX-License-Identifier: Apache-2.0 */
/* The products of quantized weights with few tokens for AVX-512 with VNNI, on registers of 256 bits. */
#include <string.h>

#include "kernels/simd/avx512.h"
#include "kernels/x86/integer_unpack.h"

#define INTEGER_FEW_FILL snug_integer_few_fill_avx512

/* Sums of four products; `w` is 0 to 255. */
KERNEL_INLINE __m256i dot_unsigned(__m256i w, __m256i x)
{
    return _mm256_dpbusd_epi32(_mm256_setzero_si256(), w, x);
}

/* The same; `w` is -128 to 127 and gives its sign to `x`. */
KERNEL_INLINE __m256i dot_signed(__m256i w, __m256i x)
{
    return dot_unsigned(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
}

#include "kernels/body/integer_few.inc"
