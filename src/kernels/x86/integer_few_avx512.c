/* SPDX-License-Identifier: Apache-2.0 */
/* The products of quantized weights with few tokens for AVX-512 with VNNI, on registers of 256 bits. */
#include <string.h>

#include "kernels/simd/avx512.h"
#include "kernels/x86/integer_eight.h"
#include "kernels/x86/integer_unpack.h"

#define INTEGER_FEW_FILL snug_integer_few_fill_avx512

KERNEL_INLINE v8 sums_of_four(__m256i w, __m256i x)
{
    return _mm256_cvtepi32_ps(_mm256_dpbusd_epi32(_mm256_setzero_si256(), w, x));
}

/* Sums of four products; `w` is 0 to 255. */
KERNEL_INLINE v8 dot_unsigned(const int8_t *w, const int8_t *x)
{
    return sums_of_four(load_weights(w), load_token(x));
}

/* The same; `w` is -128 to 127 and gives its sign to `x`. */
KERNEL_INLINE v8 dot_signed(const int8_t *w, const int8_t *x)
{
    const __m256i weights = load_weights(w);

    return sums_of_four(_mm256_abs_epi8(weights), _mm256_sign_epi8(load_token(x), weights));
}

#include "kernels/body/integer_few.inc"
