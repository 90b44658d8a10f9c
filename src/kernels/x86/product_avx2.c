/* SPDX-License-Identifier: Apache-2.0 */
/* What products of many tokens are made of with AVX2 (body/product.inc). */
#include <immintrin.h>

#include "kernels/body/product.inc"

#define PRODUCT_SET(n)       _mm256_set1_ps((float)(n))
#define PRODUCT_ADD(s, a, b) _mm256_fmadd_ps(a, b, s)
#define PRODUCT_JOIN(a, b)   _mm256_add_ps(a, b)
PRODUCT_LOOP(multiply_floats, __m256, __m256, _mm256_set1_ps(0.5f))
#undef PRODUCT_SET
#undef PRODUCT_ADD
#undef PRODUCT_JOIN

/* VPMADDUBSW does not add to a sum: what came out is multiplied again. */
#define PRODUCT_SET(n)       _mm256_set1_epi8((char)((n) + 1))
#define PRODUCT_ADD(s, a, b) ((void)(b), _mm256_maddubs_epi16(s, a))
#define PRODUCT_JOIN(a, b)   _mm256_add_epi16(a, b)
PRODUCT_LOOP(multiply_bytes, __m256i, __m256i, _mm256_set1_epi8(3))
#undef PRODUCT_SET
#undef PRODUCT_ADD
#undef PRODUCT_JOIN

const snug_product snug_product_floats_avx2 = { "VFMADD, 8 floats", PRODUCT_OPERATIONS(8), multiply_floats };
const snug_product snug_product_bytes_avx2 = { "VPMADDUBSW, 32 bytes", PRODUCT_OPERATIONS(32),
                                               multiply_bytes };
