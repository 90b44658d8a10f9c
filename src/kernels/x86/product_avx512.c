/* SPDX-License-Identifier: Apache-2.0 */
/* What products of many tokens are made of with AVX-512 and VNNI (body/product.inc). */
#include <immintrin.h>

#include "kernels/body/product.inc"

#define PRODUCT_SET(n)       _mm512_set1_ps((float)(n))
#define PRODUCT_ADD(s, a, b) _mm512_fmadd_ps(a, b, s)
#define PRODUCT_JOIN(a, b)   _mm512_add_ps(a, b)
PRODUCT_LOOP(multiply_floats, __m512, __m512, _mm512_set1_ps(0.5f))
#undef PRODUCT_SET
#undef PRODUCT_ADD
#undef PRODUCT_JOIN

#define PRODUCT_SET(n)       _mm512_set1_epi32(n)
#define PRODUCT_JOIN(a, b)   _mm512_add_epi32(a, b)
#define PRODUCT_ADD(s, a, b) _mm512_dpwssd_epi32(s, a, b)
PRODUCT_LOOP(multiply_words, __m512i, __m512i, _mm512_set1_epi16(1))
#undef PRODUCT_ADD

#define PRODUCT_ADD(s, a, b) _mm512_dpbusd_epi32(s, a, b)
PRODUCT_LOOP(multiply_bytes, __m512i, __m512i, _mm512_set1_epi8(1))

const snug_product snug_product_floats_avx512 = { "VFMADD, 16 floats", PRODUCT_OPERATIONS(16),
                                                  multiply_floats };
const snug_product snug_product_words_avx512 = { "VPDPWSSD, 32 words", PRODUCT_OPERATIONS(32),
                                                 multiply_words };
const snug_product snug_product_bytes_avx512 = { "VPDPBUSD, 64 bytes", PRODUCT_OPERATIONS(64),
                                                 multiply_bytes };
