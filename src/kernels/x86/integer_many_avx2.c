/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The products of quantized weights with many tokens for AVX2. VPMADDUBSW sums two products in 16 bits and
 * saturates, so it depends on the size of the weights how many of its results may be added before they go to
 * 32 bits: 255 * 2 * 16 * 4 and 255 * 2 * 32 * 2 are less than 2^15. Weights of 8 bits give their sign to the
 * token's integers instead: 127 * 2 * 128 is less than 2^15.
 */
#include <string.h>

#include "kernels/simd/avx2.h"
#include "kernels/x86/integer_unpack.h"

#define INTEGER_MANY_FILL    snug_integer_many_fill_avx2
#define INTEGER_MANY_PRODUCT snug_product_bytes_avx2
#define INTEGER_TOKENS       4 /* by two registers of rows: 8 of 16 registers */

#define vi_offset(kind) ((kind) == BITS_8 ? 0 : 128) /* constant in initializers */

typedef __m256i vi;

typedef enum integer_kind {
    BITS_5, /* -16 .. 16 */
    BITS_6, /* -32 .. 32 */
    BITS_8,
} integer_kind;

#define INTEGER_FORMS(X)                                                                                     \
    X(BITS_5, 16, 0)                                                                                         \
    X(BITS_5, 16, 1)                                                                                         \
    X(BITS_5, 32, 0) X(BITS_5, 32, 1) X(BITS_6, 16, 0) X(BITS_6, 32, 1) X(BITS_8, 32, 0) X(BITS_8, 32, 1)

KERNEL_INLINE size_t vi_depth(integer_kind kind)
{
    return kind == BITS_5 ? 4 : kind == BITS_6 ? 2 : 1;
}

KERNEL_INLINE vi vi_zero(void)
{
    return _mm256_setzero_si256();
}

KERNEL_INLINE vi vi_set(int32_t x)
{
    return _mm256_set1_epi32(x);
}

KERNEL_INLINE vi vi_load(const void *x)
{
    return _mm256_load_si256(x);
}

KERNEL_INLINE void vi_store(void *out, vi x)
{
    _mm256_store_si256(out, x);
}

KERNEL_INLINE vi vi_quad(const unsigned char *x)
{
    int32_t quad;

    memcpy(&quad, x, sizeof quad);
    return _mm256_set1_epi32(quad);
}

KERNEL_INLINE vi vi_negate(vi x)
{
    return _mm256_sub_epi32(_mm256_setzero_si256(), x);
}

KERNEL_INLINE vf vi_to_float(vi x)
{
    return _mm256_cvtepi32_ps(x);
}

KERNEL_INLINE vi vi_begin(integer_kind kind, vi sum)
{
    (void)kind;
    (void)sum;
    return _mm256_setzero_si256();
}

KERNEL_INLINE vi vi_step(integer_kind kind, vi part, vi x, vi w)
{
    if (kind == BITS_8)
        return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    return _mm256_add_epi16(part, _mm256_maddubs_epi16(x, w));
}

KERNEL_INLINE vi vi_end(integer_kind kind, vi sum, vi part)
{
    (void)kind;
    return _mm256_add_epi32(sum, _mm256_madd_epi16(part, _mm256_set1_epi16(1)));
}

#include "kernels/body/integer_many.inc"
