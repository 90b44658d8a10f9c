/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86/attend_bytes_avx512.h - words for bytes on AVX-512 with VNNI, for body/attend_coded.inc: a register is
 * a block of 64 codes. attend_coded_avx2.c has the same.
 */
#ifndef SNUG_SRC_KERNELS_X86_ATTEND_BYTES_AVX512_H
#define SNUG_SRC_KERNELS_X86_ATTEND_BYTES_AVX512_H

#include <string.h>

#include "kernels/simd/avx512.h"

#define PART_MAX              127
#define WEIGHT_MAX            255
#define HIGH_ALONE_KEY_BITS   5
#define HIGH_ALONE_VALUE_BITS 5
#define REST_OF_HIGH_OK       1
#define VECTOR_FLIP           0
#define SUMS_AT_MOST          16
#define SUMS_AT_ONCE          8

typedef __m512i vb;

KERNEL_INLINE vb vb_zero(void)
{
    return _mm512_setzero_si512();
}

KERNEL_INLINE vb vb_set(int byte)
{
    return _mm512_set1_epi8((char)byte);
}

KERNEL_INLINE vb vb_load(const uint8_t *x)
{
    return _mm512_loadu_si512(x);
}

KERNEL_INLINE void vb_store(uint8_t *out, vb x)
{
    _mm512_storeu_si512(out, x);
}

/* A table of 16 bytes in each quarter. */
KERNEL_INLINE vb vb_table(const uint8_t *table)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)table));
}

KERNEL_INLINE vb vb_flip(vb x, vb bits)
{
    return _mm512_xor_si512(x, bits);
}

KERNEL_INLINE vb vb_add(vb a, vb b)
{
    return _mm512_add_epi8(a, b);
}

/* Four bytes in every lane. */
KERNEL_INLINE vb vb_quad(const unsigned char *x)
{
    int32_t quad;

    memcpy(&quad, x, sizeof quad);
    return _mm512_set1_epi32(quad);
}

/* sum + the products of four bytes in each 32-bit lane: of u without sign, of s with it. */
KERNEL_INLINE vb vb_dot(vb sum, vb u, vb s)
{
    return _mm512_dpbusd_epi32(sum, u, s);
}

KERNEL_INLINE vf vb_to_f32(vb x)
{
    return _mm512_cvtepi32_ps(x);
}

#endif /* SNUG_SRC_KERNELS_X86_ATTEND_BYTES_AVX512_H */
