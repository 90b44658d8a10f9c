/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86/integer_wide.h - quantized weights taken apart in registers of 512 bits: 64 columns at a time as
 * unsigned bytes, for products that read a weight once. AVX-512 BW multiplies unsigned by signed bytes, so
 * integers are taken `wide_offset()` larger than the file means; what that adds to a product depends on the
 * token's sums alone.
 *
 * Two units of 32 columns fill a register. Blocks of K types hold them as the low and the high bits of the
 * same bytes: one load, spread over both halves, and one shift by another count in each.
 */
#ifndef SNUG_SRC_KERNELS_X86_INTEGER_WIDE_H
#define SNUG_SRC_KERNELS_X86_INTEGER_WIDE_H

#include "kernels/x86/integer_unpack.h"

typedef __m512i vw;

KERNEL_INLINE int wide_offset(snug_type type)
{
    switch (type) {
    case SNUG_TYPE_Q3_K:
        return 4;
    case SNUG_TYPE_Q4_0:
        return 8;
    case SNUG_TYPE_MXFP4:
        return 12;
    case SNUG_TYPE_Q5_0:
        return 16;
    case SNUG_TYPE_Q6_K:
        return 32;
    case SNUG_TYPE_Q8_0:
    case SNUG_TYPE_IQ4_NL:
    case SNUG_TYPE_IQ4_XS:
        return 128;
    default:
        return 0;
    }
}

KERNEL_INLINE vw wide_and(vw x, const int mask)
{
    return _mm512_and_si512(x, _mm512_set1_epi8((char)mask));
}

/* 32 bytes in both halves. */
KERNEL_INLINE vw wide_twice(const unsigned char *x)
{
    return _mm512_broadcast_i64x4(load_32(x));
}

/* `low` in words of the lower half, `high` in those of the upper one. */
KERNEL_INLINE vw wide_halves(const short low, const short high)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_set1_epi16(low)), _mm256_set1_epi16(high), 1);
}

/* Of 32 bytes the bits from `low` on, then those from `high` on. */
KERNEL_INLINE vw wide_bits(const unsigned char *x, const short low, const short high, const int mask)
{
    return wide_and(_mm512_srlv_epi16(wide_twice(x), wide_halves(low, high)), mask);
}

/* The same bytes with `value` more where bit `bit` of 32 bytes is 1, then where the bit after it is. */
KERNEL_INLINE vw wide_add_bit(vw x, const unsigned char *bits, const int bit, const char value)
{
    const short one = (short)((1 << bit) * 0x0101);
    const __mmask64 chosen =
        _mm512_test_epi8_mask(wide_twice(bits), wide_halves(one, (short)(2u * (unsigned short)one)));

    return _mm512_mask_add_epi8(x, chosen, x, _mm512_set1_epi8(value));
}

/* The low halves of 16 bytes, their high halves, and the same of 16 others. */
KERNEL_INLINE vw wide_split(vw twice_each)
{
    const vw shift = _mm512_set_epi64(0x0004000400040004, 0x0004000400040004, 0, 0, 0x0004000400040004,
                                      0x0004000400040004, 0, 0);

    return wide_and(_mm512_srlv_epi16(twice_each, shift), 15);
}

KERNEL_INLINE vw wide_nibbles(const unsigned char *first, const unsigned char *second)
{
    return wide_split(
        _mm512_mask_broadcast_i32x4(_mm512_broadcast_i32x4(load_16(first)), 0xff00, load_16(second)));
}

/* 32 bytes: each gives two columns, the low half first. */
KERNEL_INLINE vw wide_nibble_stream(const unsigned char *x)
{
    const vw words = _mm512_cvtepu8_epi16(load_32(x));

    return wide_and(_mm512_or_si512(words, _mm512_slli_epi16(words, 4)), 15);
}

KERNEL_INLINE vw wide_look_up(const unsigned char *codebook, vw index)
{
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(load_16(codebook)), index);
}

KERNEL_INLINE vw wide_join(vu low, vu high)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

static const unsigned char wide_iq4[16] = { 1,   24,  45,  63,  79,  93,  106, 118,
                                            129, 141, 153, 166, 181, 197, 217, 241 };
static const unsigned char wide_mxfp4[16] = { 12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0 };

/* 32 bits of one block, 32 of the next. */
KERNEL_INLINE __mmask64 wide_mask(const unsigned char *first, const unsigned char *second)
{
    return (uint64_t)(uint32_t)load_word(second) << 32 | (uint32_t)load_word(first);
}

/* Two blocks of a type whose blocks are 32 columns. */
KERNEL_INLINE vw wide_pair(snug_type type, const unsigned char *block)
{
    const unsigned char *next = block + block_bytes_of(type);
    vw x;

    switch (type) {
    case SNUG_TYPE_Q4_0:
        return wide_nibbles(block + 2, next + 2);
    case SNUG_TYPE_Q4_1:
        return wide_nibbles(block + 4, next + 4);
    case SNUG_TYPE_Q5_0:
        x = wide_nibbles(block + 6, next + 6);
        return _mm512_mask_add_epi8(x, wide_mask(block + 2, next + 2), x, _mm512_set1_epi8(16));
    case SNUG_TYPE_Q5_1:
        x = wide_nibbles(block + 8, next + 8);
        return _mm512_mask_add_epi8(x, wide_mask(block + 4, next + 4), x, _mm512_set1_epi8(16));
    case SNUG_TYPE_Q8_0:
        return _mm512_xor_si512(wide_join(load_32(block + 2), load_32(next + 2)), _mm512_set1_epi8(-128));
    case SNUG_TYPE_IQ4_NL:
        return wide_look_up(wide_iq4, wide_nibbles(block + 2, next + 2));
    case SNUG_TYPE_MXFP4:
        return wide_look_up(wide_mxfp4, wide_nibbles(block + 1, next + 1));
    case SNUG_TYPE_AFFINE4:
        return wide_nibble_stream(block);
    case SNUG_TYPE_AFFINE8:
        return _mm512_loadu_si512(block);
    default: /* AFFINE2, 3, 5, 6 */
        return wide_join(unpack_unit(type, block), unpack_unit(type, next));
    }
}

/* Columns i * 64 and on of a type whose blocks are 256 columns. */
KERNEL_INLINE vw wide_part(snug_type type, const unsigned char *block, const int i)
{
    const int half = i / 2; /* of 128 columns */
    const short shift = (short)(i % 2 * 4);
    vw low;
    vw high;

    switch (type) {
    case SNUG_TYPE_Q2_K:
        return wide_bits(block + 16 + half * 32, shift, shift + 2, 3);
    case SNUG_TYPE_Q3_K: /* 4 less where the third bit is 0: four more where it is 1, and an offset */
        return wide_add_bit(wide_bits(block + 32 + half * 32, shift, shift + 2, 3), block, i * 2, 4);
    case SNUG_TYPE_Q4_K:
        return wide_bits(block + 16 + i * 32, 0, 4, 15);
    case SNUG_TYPE_Q5_K:
        return wide_add_bit(wide_bits(block + 48 + i * 32, 0, 4, 15), block + 16, i * 2, 16);
    case SNUG_TYPE_Q6_K: /* two bits above four */
        low = _mm512_srli_epi16(_mm512_loadu_si512(block + half * 64), (unsigned)shift);
        high = wide_twice(block + 128 + half * 32);
        high =
            shift ? _mm512_srlv_epi16(high, wide_halves(0, 2)) : _mm512_sllv_epi16(high, wide_halves(4, 2));
        return _mm512_or_si512(wide_and(low, 15), wide_and(high, 0x30));
    default: { /* IQ4_XS */
        const vw each_twice = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 1, 0, 1, 2, 3, 2, 3),
                                                       wide_twice(block + 8 + i * 32));

        return wide_look_up(wide_iq4, wide_split(each_twice));
    }
    }
}

KERNEL_INLINE int load_half(const unsigned char *x)
{
    uint16_t half;

    memcpy(&half, x, sizeof half);
    return half;
}

/* Eight numbers of 16 bits, one in each block. */
KERNEL_INLINE __m128i wide_words(const unsigned char *x, const size_t block_bytes)
{
    __m128i even = _mm_setzero_si128();
    __m128i odd = _mm_setzero_si128();

#define WORD(i) (load_half(x + (i)*block_bytes))
    if (block_bytes == 18 || block_bytes == 20) { /* four of them lie within 64 bytes */
        const short step = (short)(block_bytes / 2);
        const __m512i index = _mm512_castsi128_si512(_mm_setr_epi16(0, step, 2 * step, 3 * step, 0, 0, 0, 0));
        const __m512i low = _mm512_permutexvar_epi16(index, _mm512_loadu_si512(x));
        const __m512i high = _mm512_permutexvar_epi16(index, _mm512_loadu_si512(x + 4 * block_bytes));

        return _mm_unpacklo_epi64(_mm512_castsi512_si128(low), _mm512_castsi512_si128(high));
    }
    even = _mm_insert_epi16(_mm_insert_epi16(even, WORD(0), 0), WORD(1), 1);
    odd = _mm_insert_epi16(_mm_insert_epi16(odd, WORD(4), 0), WORD(5), 1);
    even = _mm_insert_epi16(_mm_insert_epi16(even, WORD(2), 2), WORD(3), 3);
    odd = _mm_insert_epi16(_mm_insert_epi16(odd, WORD(6), 2), WORD(7), 3);
    return _mm_unpacklo_epi64(even, odd);
#undef WORD
}

#endif /* SNUG_SRC_KERNELS_X86_INTEGER_WIDE_H */
