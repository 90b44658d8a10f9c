/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86/attend_coded_avx2.c - body/attend_coded.inc with AVX2: a register is half a block. VPMADDUBSW sums two
 * products in 16 bits and saturates, so parts have 7 bits: 255 * 63 * 2 and 127 * 128 * 2 are less than 2^15.
 */
#include <string.h>

#include "kernels/simd/avx2.h"

#define ATTEND_CODED_FILL     snug_attend_coded_fill_avx2
#define PART_MAX              63
#define WEIGHT_MAX            127
#define HIGH_ALONE_KEY_BITS   0
#define REST_OF_HIGH_OK       0
#define VECTOR_FLIP           0
#define HIGH_ALONE_VALUE_BITS 4
#define SUMS_AT_MOST          8
#define SUMS_AT_ONCE          8

typedef __m256i vb;

KERNEL_INLINE vb vb_zero(void)
{
    return _mm256_setzero_si256();
}

KERNEL_INLINE vb vb_set(int byte)
{
    return _mm256_set1_epi8((char)byte);
}

KERNEL_INLINE vb vb_load(const uint8_t *x)
{
    return _mm256_loadu_si256((const void *)x);
}

KERNEL_INLINE void vb_store(uint8_t *out, vb x)
{
    _mm256_storeu_si256((void *)out, x);
}

KERNEL_INLINE vb vb_add(vb a, vb b)
{
    return _mm256_add_epi8(a, b);
}

KERNEL_INLINE vb vb_low_nibbles(vb x)
{
    return _mm256_and_si256(x, vb_set(15));
}

KERNEL_INLINE vb vb_high_nibbles(vb x)
{
    return _mm256_and_si256(_mm256_srli_epi16(x, 4), vb_set(15));
}

KERNEL_INLINE vb vb_table(const uint8_t *table)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)table));
}

KERNEL_INLINE vb vb_flip(vb x, vb bits)
{
    return _mm256_xor_si256(x, bits);
}

KERNEL_INLINE vb vb_lookup(vb table, vb index)
{
    return _mm256_shuffle_epi8(table, index);
}

/* Byte i gets byte i / 8 of the 32 bits, of which its own bit is looked at. */
KERNEL_INLINE vb vb_add_under(vb x, const unsigned char *bits, vb y)
{
    const vb bytes = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2,
                                      3, 3, 3, 3, 3, 3, 3, 3);
    const vb own = _mm256_set1_epi64x((int64_t)0x8040201008040201u);
    int32_t word;

    memcpy(&word, bits, sizeof word);

    const vb spread = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(word), bytes), own);

    return _mm256_add_epi8(x, _mm256_and_si256(_mm256_cmpeq_epi8(spread, own), y));
}

KERNEL_INLINE vb vb_pairs(const unsigned char *bits, size_t unit)
{
    const vb all = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)bits));
    const vb shifts =
        _mm256_add_epi32(_mm256_set_epi32(2, 2, 2, 2, 0, 0, 0, 0), _mm256_set1_epi32((int32_t)(4 * unit)));

    return _mm256_and_si256(_mm256_srlv_epi32(all, shifts), vb_set(3));
}

KERNEL_INLINE vb vb_if_bit(vb x, int bit, vb y)
{
    return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(x, vb_set(bit)), vb_set(bit)), y);
}

KERNEL_INLINE vb vb_odd_multiple(vb x, vb pair)
{
    const vb twice = vb_add(x, x);

    return vb_add(vb_add(x, vb_if_bit(pair, 1, twice)), vb_if_bit(pair, 2, vb_add(twice, twice)));
}

KERNEL_INLINE vb vb_quad(const unsigned char *x)
{
    int32_t quad;

    memcpy(&quad, x, sizeof quad);
    return _mm256_set1_epi32(quad);
}

KERNEL_INLINE vb vb_dot(vb sum, vb u, vb s)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1)));
}

KERNEL_INLINE vf vb_to_f32(vb x)
{
    return _mm256_cvtepi32_ps(x);
}

#include "kernels/body/attend_levels.inc"

#include "kernels/body/attend_lookup.inc"

#include "kernels/body/attend_coded.inc"
