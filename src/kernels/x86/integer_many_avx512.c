/* SPDX-License-Identifier: Apache-2.0 */
/* The products of quantized weights with many tokens for AVX-512 with VNNI, which multiplies bytes and
 * sums in 32 bits at once. */
#include <string.h>

#include "kernels/simd/avx512.h"
#include "kernels/x86/integer_unpack.h"

#define INTEGER_MANY_FILL    snug_integer_many_fill_avx512
#define INTEGER_MANY_PRODUCT snug_product_bytes_avx512
#define INTEGER_TOKENS       12 /* by two registers of rows: 24 of 32 registers */

#define vi_offset(kind) 128

typedef __m512i vi;

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

KERNEL_INLINE vi vi_zero(void)
{
    return _mm512_setzero_si512();
}

KERNEL_INLINE vi vi_set(int32_t x)
{
    return _mm512_set1_epi32(x);
}

KERNEL_INLINE vi vi_load(const void *x)
{
    return _mm512_load_si512(x);
}

KERNEL_INLINE void vi_store(void *out, vi x)
{
    _mm512_store_si512(out, x);
}

KERNEL_INLINE vi vi_quad(const unsigned char *x)
{
    int32_t quad;

    memcpy(&quad, x, sizeof quad);
    return _mm512_set1_epi32(quad);
}

KERNEL_INLINE vi vi_negate(vi x)
{
    return _mm512_sub_epi32(_mm512_setzero_si512(), x);
}

KERNEL_INLINE vf vi_to_float(vi x)
{
    return _mm512_cvtepi32_ps(x);
}

KERNEL_INLINE vi vi_begin(integer_kind kind, vi sum)
{
    (void)kind;
    return sum;
}

KERNEL_INLINE vi vi_step(integer_kind kind, vi part, vi x, vi w)
{
    (void)kind;
    return _mm512_dpbusd_epi32(part, x, w);
}

KERNEL_INLINE vi vi_end(integer_kind kind, vi sum, vi part)
{
    (void)kind;
    (void)sum;
    return part;
}

#include "kernels/body/integer_many.inc"
