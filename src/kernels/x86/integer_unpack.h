/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86/integer_unpack.h - the words of body/integer_unpack.inc with AVX2: a unit is one register of bytes.
 */
#ifndef SNUG_SRC_KERNELS_X86_INTEGER_UNPACK_H
#define SNUG_SRC_KERNELS_X86_INTEGER_UNPACK_H

#include <immintrin.h>
#include <string.h>

#include "kernels/simd/inline.h"

typedef __m256i vu;

KERNEL_INLINE float load_f16(const unsigned char *x)
{
    uint16_t half;

    memcpy(&half, x, sizeof half);
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half)));
}

KERNEL_INLINE int32_t load_word(const unsigned char *x)
{
    int32_t word;

    memcpy(&word, x, sizeof word);
    return word;
}

KERNEL_INLINE __m128i load_16(const unsigned char *x)
{
    return _mm_loadu_si128((const void *)x);
}

KERNEL_INLINE vu load_32(const unsigned char *x)
{
    return _mm256_loadu_si256((const void *)x);
}

KERNEL_INLINE vu unit_or(vu a, vu b)
{
    return _mm256_or_si256(a, b);
}

KERNEL_INLINE vu unit_minus(vu x, const int subtracted)
{
    return _mm256_sub_epi8(x, _mm256_set1_epi8((char)subtracted));
}

/* Each byte shifted left; nothing may leave it. */
KERNEL_INLINE vu unit_up(vu x, const int shift)
{
    return _mm256_slli_epi16(x, shift);
}

KERNEL_INLINE void store_unit(int8_t *out, vu integers, const int offset)
{
    _mm256_storeu_si256((void *)out, unit_minus(integers, offset));
}

/* Each byte shifted right by `shift`, and its lowest bits that `mask` names. */
KERNEL_INLINE vu bits_of(vu x, const int shift, const int mask)
{
    return _mm256_and_si256(_mm256_srli_epi16(x, shift), _mm256_set1_epi8((char)mask));
}

/* 16 bytes: their low halves, then their high halves. */
KERNEL_INLINE vu nibbles(const unsigned char *x)
{
    const __m128i bytes = load_16(x);

    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(bytes, 4), bytes), _mm256_set1_epi8(15));
}

KERNEL_INLINE vu look_up(const int8_t *codebook, vu index)
{
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)codebook)), index);
}

/* `value` in each byte whose bit of the 32 is 1. */
KERNEL_INLINE vu where_bit(const unsigned char *bits, const int value)
{
    const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2,
                                            2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201u);
    const __m256i chosen =
        _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(load_word(bits)), spread), bit);

    return _mm256_and_si256(_mm256_cmpeq_epi8(chosen, bit), _mm256_set1_epi8((char)value));
}

/* 32 integers of `bits` bits one after the other, lowest bits first; for 2 to 6 bits. */
KERNEL_INLINE vu unpack_stream(const unsigned char *x, const int bits)
{
    const int half = bits <= 4 ? bits * 2 : 16 - bits * 2; /* where the second half lies in its register */
    __m256i bytes;

    if (bits == 2)
        bytes = _mm256_broadcastsi128_si256(_mm_loadl_epi64((const void *)x));
    else if (bits == 3)
        bytes = _mm256_broadcastsi128_si256(
            _mm_unpacklo_epi64(_mm_loadl_epi64((const void *)x), _mm_set1_epi32(load_word(x + 8))));
    else if (bits == 4)
        bytes = _mm256_broadcastsi128_si256(load_16(x));
    else
        bytes = _mm256_set_m128i(load_16(x + bits * 4 - 16), load_16(x));

        /* Eight integers begin a byte. Each gets a window of 16 bits, is moved to its top by a
         * multiplication, and to its bottom. */
#define AT(i)     (char)(i * bits / 8), (char)(i * bits / 8 + 1)
#define FACTOR(i) (short)(1 << (16 - bits - i * bits % 8))
    const __m128i window = _mm_setr_epi8(AT(0), AT(1), AT(2), AT(3), AT(4), AT(5), AT(6), AT(7));
    const __m256i first = _mm256_set_m128i(_mm_add_epi8(window, _mm_set1_epi8((char)half)), window);
    const __m256i second = _mm256_add_epi8(first, _mm256_set1_epi8((char)bits));
    const __m256i factor = _mm256_broadcastsi128_si256(_mm_setr_epi16(
        FACTOR(0), FACTOR(1), FACTOR(2), FACTOR(3), FACTOR(4), FACTOR(5), FACTOR(6), FACTOR(7)));
#undef AT
#undef FACTOR
    const __m256i low = _mm256_mullo_epi16(_mm256_shuffle_epi8(bytes, first), factor);
    const __m256i high = _mm256_mullo_epi16(_mm256_shuffle_epi8(bytes, second), factor);

    return _mm256_packus_epi16(_mm256_srli_epi16(low, 16 - bits), _mm256_srli_epi16(high, 16 - bits));
}

/* Eight integers of 8 bits, times a factor. */
KERNEL_INLINE void store_scales(float *out, __m128i integers, float factor)
{
    _mm256_storeu_ps(
        out, _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(integers)), _mm256_set1_ps(factor)));
}

KERNEL_INLINE void store_16_scales(float *out, __m128i integers, float factor)
{
    store_scales(out, integers, factor);
    store_scales(out + 8, _mm_bsrli_si128(integers, 8), factor);
}

/* Q4_K, Q5_K: eight scales and eight minimums of 6 bits in 12 bytes; the last four of each are in two
 * parts. */
KERNEL_INLINE void scales_in_12_bytes(float *scales, float *minimums, const unsigned char *block)
{
    const unsigned char *packed = block + 4;
    const uint32_t a = (uint32_t)load_word(packed);
    const uint32_t b = (uint32_t)load_word(packed + 4);
    const uint32_t c = (uint32_t)load_word(packed + 8);
    const uint32_t late_scales = (c & 0x0f0f0f0fu) | (a >> 2 & 0x30303030u);
    const uint32_t late_minimums = (c >> 4 & 0x0f0f0f0fu) | (b >> 2 & 0x30303030u);

    store_scales(scales, _mm_setr_epi32((int32_t)(a & 0x3f3f3f3fu), (int32_t)late_scales, 0, 0),
                 load_f16(block));
    store_scales(minimums, _mm_setr_epi32((int32_t)(b & 0x3f3f3f3fu), (int32_t)late_minimums, 0, 0),
                 -load_f16(block + 2));
}

/* Q3_K: 16 scales of 6 bits, 32 too large: the low four bits in 8 bytes, the high two in 4 bytes. */
KERNEL_INLINE void scales_of_q3_k(float *scales, const unsigned char *block)
{
    const __m128i packed = _mm_loadl_epi64((const void *)(block + 96));
    const __m128i low =
        _mm_and_si128(_mm_unpacklo_epi64(packed, _mm_srli_epi16(packed, 4)), _mm_set1_epi8(15));
    const __m128i high = _mm_and_si128(
        _mm_srlv_epi32(_mm_set1_epi32(load_word(block + 104)), _mm_setr_epi32(0, 2, 4, 6)), _mm_set1_epi8(3));

    store_16_scales(scales, _mm_sub_epi8(_mm_or_si128(low, _mm_slli_epi16(high, 4)), _mm_set1_epi8(32)),
                    load_f16(block + 108));
}

/* IQ4_XS: eight scales of 6 bits, 32 too large: two high bits in 16 bits, four low ones in 32. */
KERNEL_INLINE void scales_of_iq4_xs(float *scales, const unsigned char *block)
{
    const __m256i word = _mm256_set1_epi32(load_word(block + 4));
    const __m256i two = _mm256_set1_epi32((int32_t)((uint32_t)load_word(block) >> 16));
    const __m256i low = _mm256_srlv_epi32(word, _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
    const __m256i high = _mm256_srlv_epi32(two, _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14));
    const __m256i whole = _mm256_or_si256(_mm256_and_si256(low, _mm256_set1_epi32(15)),
                                          _mm256_slli_epi32(_mm256_and_si256(high, _mm256_set1_epi32(3)), 4));

    _mm256_storeu_ps(scales, _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(whole, _mm256_set1_epi32(32))),
                                           _mm256_set1_ps(load_f16(block))));
}

KERNEL_INLINE void scales_of_q2_k(float *scales, float *minimums, const unsigned char *block)
{
    const __m128i packed = load_16(block);
    const __m128i mask = _mm_set1_epi8(15);

    store_16_scales(scales, _mm_and_si128(packed, mask), load_f16(block + 80));
    store_16_scales(minimums, _mm_and_si128(_mm_srli_epi16(packed, 4), mask), -load_f16(block + 82));
}

KERNEL_INLINE void scales_of_q6_k(float *scales, const unsigned char *block)
{
    store_16_scales(scales, load_16(block + 192), load_f16(block + 208));
}

#include "kernels/body/integer_unpack.inc"

#endif /* SNUG_SRC_KERNELS_X86_INTEGER_UNPACK_H */
