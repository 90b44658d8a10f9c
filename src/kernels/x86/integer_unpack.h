/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86/integer_unpack.h - quantized weights taken apart with AVX2, for products of integers: what decode.inc
 * does for all types, in 0.02 to 0.06 ns a weight instead of 0.06 to 1.1 (Zen 4, gcc 12).
 *
 * A unit is 32 columns in one register of bytes. Nothing is read past the end of a block.
 */
#ifndef SNUG_SRC_KERNELS_X86_INTEGER_UNPACK_H
#define SNUG_SRC_KERNELS_X86_INTEGER_UNPACK_H

#include <immintrin.h>
#include <string.h>

#include "base/weight.h"
#include "kernels/simd/inline.h"

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

KERNEL_INLINE __m256i load_32(const unsigned char *x)
{
    return _mm256_loadu_si256((const void *)x);
}

KERNEL_INLINE void store_unit(int8_t *out, __m256i integers, const int offset)
{
    _mm256_storeu_si256((void *)out, _mm256_sub_epi8(integers, _mm256_set1_epi8((char)offset)));
}

/* Each byte shifted right by `shift`, and its lowest bits that `mask` names. */
KERNEL_INLINE __m256i bits_of(__m256i x, const int shift, const int mask)
{
    return _mm256_and_si256(_mm256_srli_epi16(x, shift), _mm256_set1_epi8((char)mask));
}

/* 16 bytes: their low halves, then their high halves. */
KERNEL_INLINE __m256i nibbles(const unsigned char *x)
{
    const __m128i bytes = load_16(x);

    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(bytes, 4), bytes), _mm256_set1_epi8(15));
}

KERNEL_INLINE __m256i look_up(const int8_t *codebook, __m256i index)
{
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)codebook)), index);
}

/* `value` in each byte whose bit of the 32 is 1. */
KERNEL_INLINE __m256i where_bit(const unsigned char *bits, const int value)
{
    const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2,
                                            2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201u);
    const __m256i chosen =
        _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(load_word(bits)), spread), bit);

    return _mm256_and_si256(_mm256_cmpeq_epi8(chosen, bit), _mm256_set1_epi8((char)value));
}

/* 32 integers of `bits` bits one after the other, lowest bits first; for 2 to 6 bits. */
KERNEL_INLINE __m256i unpack_stream(const unsigned char *x, const int bits)
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

/* One unit of a type whose blocks are one unit; `block` is where its integers begin. */
KERNEL_INLINE __m256i unpack_unit(snug_type type, const unsigned char *block)
{
    static const int8_t iq4[16] = {
        -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113
    };
    static const int8_t mxfp4[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };

    switch (type) {
    case SNUG_TYPE_Q4_0:
        return _mm256_sub_epi8(nibbles(block + 2), _mm256_set1_epi8(8));
    case SNUG_TYPE_Q4_1:
        return nibbles(block + 4);
    case SNUG_TYPE_Q5_0: /* 16 less where the fifth bit is 0 */
        return _mm256_sub_epi8(_mm256_or_si256(nibbles(block + 6), where_bit(block + 2, 16)),
                               _mm256_set1_epi8(16));
    case SNUG_TYPE_Q5_1:
        return _mm256_or_si256(nibbles(block + 8), where_bit(block + 4, 16));
    case SNUG_TYPE_Q8_0:
        return load_32(block + 2);
    case SNUG_TYPE_IQ4_NL:
        return look_up(iq4, nibbles(block + 2));
    case SNUG_TYPE_MXFP4:
        return look_up(mxfp4, nibbles(block + 1));
    case SNUG_TYPE_AFFINE2:
        return unpack_stream(block, 2);
    case SNUG_TYPE_AFFINE3:
        return unpack_stream(block, 3);
    case SNUG_TYPE_AFFINE4:
        return unpack_stream(block, 4);
    case SNUG_TYPE_AFFINE5:
        return unpack_stream(block, 5);
    case SNUG_TYPE_AFFINE6:
        return unpack_stream(block, 6);
    default: /* AFFINE8 */
        return load_32(block);
    }
}

/* Unit `unit` of 0 .. 7 of a type whose blocks are 256 columns. */
KERNEL_INLINE __m256i unpack_part(snug_type type, const unsigned char *block, const int unit)
{
    static const int8_t iq4[16] = {
        -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113
    };
    const int half = unit / 4; /* of 128 columns */
    const int part = unit % 4;

    switch (type) {
    case SNUG_TYPE_Q2_K:
        return bits_of(load_32(block + 16 + half * 32), part * 2, 3);
    case SNUG_TYPE_Q3_K: { /* 4 less where the third bit is 0 */
        const __m256i low = bits_of(load_32(block + 32 + half * 32), part * 2, 3);
        const __m256i high = bits_of(load_32(block), unit, 1);

        return _mm256_sub_epi8(_mm256_or_si256(low, _mm256_slli_epi16(high, 2)), _mm256_set1_epi8(4));
    }
    case SNUG_TYPE_Q4_K:
        return bits_of(load_32(block + 16 + unit / 2 * 32), unit % 2 * 4, 15);
    case SNUG_TYPE_Q5_K: {
        const __m256i low = bits_of(load_32(block + 48 + unit / 2 * 32), unit % 2 * 4, 15);
        const __m256i high = bits_of(load_32(block + 16), unit, 1);

        return _mm256_or_si256(low, _mm256_slli_epi16(high, 4));
    }
    case SNUG_TYPE_Q6_K: {
        const __m256i low = bits_of(load_32(block + half * 64 + part % 2 * 32), part / 2 * 4, 15);
        const __m256i high = bits_of(load_32(block + 128 + half * 32), part * 2, 3);

        return _mm256_sub_epi8(_mm256_or_si256(low, _mm256_slli_epi16(high, 4)), _mm256_set1_epi8(32));
    }
    default: /* IQ4_XS */
        return look_up(iq4, nibbles(block + 8 + unit * 16));
    }
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

/* The scales of 256 columns: 16 of Q2_K, Q3_K and Q6_K, 8 of the others. */
KERNEL_INLINE void unpack_scales(snug_type type, float *scales, float *minimums, const unsigned char *block)
{
    switch (type) {
    case SNUG_TYPE_Q2_K: {
        const __m128i packed = load_16(block);
        const __m128i mask = _mm_set1_epi8(15);

        store_16_scales(scales, _mm_and_si128(packed, mask), load_f16(block + 80));
        store_16_scales(minimums, _mm_and_si128(_mm_srli_epi16(packed, 4), mask), -load_f16(block + 82));
        break;
    }
    case SNUG_TYPE_Q3_K:
        scales_of_q3_k(scales, block);
        break;
    case SNUG_TYPE_Q6_K:
        store_16_scales(scales, load_16(block + 192), load_f16(block + 208));
        break;
    case SNUG_TYPE_IQ4_XS:
        scales_of_iq4_xs(scales, block);
        break;
    default: /* Q4_K, Q5_K */
        scales_in_12_bytes(scales, minimums, block);
        break;
    }
}

/* The scale of MXFP4: 2^(exponent - 127), or a NaN; halved, since the integers are doubled to be whole. */
KERNEL_INLINE float load_exponent(uint32_t exponent)
{
    const uint32_t bits = exponent < 2      ? 0x00200000u << exponent
                          : exponent == 255 ? 0x7fc00000u
                                            : (exponent - 1) << 23;
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Number `at` of an affine type's scales or biases. */
KERNEL_INLINE float load_float(snug_type type, const void *values, size_t at)
{
    const unsigned char *bytes = values;
    uint16_t half;
    uint32_t bits;
    float value;

    if (type == SNUG_TYPE_F16)
        return load_f16(bytes + at * 2);
    if (type == SNUG_TYPE_BF16) {
        memcpy(&half, bytes + at * 2, sizeof half);
        bits = (uint32_t)half << 16;
    } else {
        memcpy(&bits, bytes + at * 4, sizeof bits);
    }
    memcpy(&value, &bits, sizeof value);
    return value;
}

KERNEL_INLINE size_t block_bytes_of(snug_type type)
{
#define CASE(name, number, values, bytes)                                                                    \
case SNUG_TYPE_##name:                                                                                       \
    return bytes;
    switch (type) {
        SNUG_TYPE_MAP(CASE)
    default:
        return 0;
    }
#undef CASE
}

KERNEL_INLINE size_t block_columns_of(snug_type type)
{
    return (type >= SNUG_TYPE_Q2_K && type <= SNUG_TYPE_Q6_K) || type == SNUG_TYPE_IQ4_XS ? 256 : 32;
}

/* 256 columns of a type whose blocks are as long. */
KERNEL_INLINE void unpack_block(snug_type type, int8_t *integers, float *scales, float *minimums,
                                const unsigned char *block, const int offset)
{
    UNROLL
    for (int unit = 0; unit < 8; unit++)
        store_unit(integers + unit * 32, unpack_part(type, block, unit), offset);
    unpack_scales(type, scales, minimums, block);
}

/* `columns` of a type whose blocks are 32 columns. */
KERNEL_INLINE void unpack_small_blocks(snug_type type, int8_t *integers, float *scales, float *minimums,
                                       const unsigned char *block, size_t columns, const int offset)
{
    for (size_t unit = 0; unit < columns / 32; unit++) {
        store_unit(integers + unit * 32, unpack_unit(type, block), offset);
        scales[unit] = type == SNUG_TYPE_MXFP4 ? load_exponent(block[0]) : load_f16(block);
        if (type == SNUG_TYPE_Q4_1 || type == SNUG_TYPE_Q5_1)
            minimums[unit] = load_f16(block + 2);
        block += block_bytes_of(type);
    }
}

/* `columns` of an affine type, from a column on that begins a group; `block` is where they begin. */
KERNEL_INLINE void unpack_affine(snug_type type, int8_t *integers, float *scales, float *minimums,
                                 const unsigned char *block, const snug_weight *weight, size_t first_group,
                                 size_t columns, const int offset)
{
    const size_t group_units = weight->group / 32;
    size_t group = first_group;

    for (size_t unit = 0; unit < columns / 32; unit++)
        store_unit(integers + unit * 32, unpack_unit(type, block + unit * block_bytes_of(type)), offset);
    for (size_t first = 0; first < columns / 32; first += group_units) {
        const float scale = load_float(weight->scale_type, weight->scale, group);
        const float minimum = load_float(weight->scale_type, weight->bias, group);

        for (size_t unit = first; unit < first + group_units && unit < columns / 32; unit++) {
            scales[unit] = scale;
            minimums[unit] = minimum;
        }
        group++;
    }
}

/*
 * Up to 256 columns of a row, from a multiple of 256 on: value = scale * (integer + offset) + minimum, which
 * becomes scale * integer + minimum. There is a scale for each 16 columns of Q2_K, Q3_K and Q6_K and for each
 * 32 of the others, and as many minimums if the type has them. `type` and `offset` are constants.
 */
KERNEL_INLINE void unpack_row(snug_type type, int8_t *integers, float *scales, float *minimums,
                              const snug_weight *weight, size_t row, size_t first_column, size_t columns,
                              const int offset)
{
    const size_t block_columns = block_columns_of(type);
    const unsigned char *block = (const unsigned char *)weight->data + row * weight->row_bytes +
                                 first_column / block_columns * block_bytes_of(type);

    if (type >= SNUG_TYPE_AFFINE2)
        unpack_affine(type, integers, scales, minimums, block, weight,
                      (row * weight->columns + first_column) / weight->group, columns, offset);
    else if (block_columns == 256)
        unpack_block(type, integers, scales, minimums, block, offset);
    else
        unpack_small_blocks(type, integers, scales, minimums, block, columns, offset);
    if (offset)
        for (size_t unit = 0; unit < columns / 32; unit++)
            minimums[unit] += (float)offset * scales[unit];
}

#endif /* SNUG_SRC_KERNELS_X86_INTEGER_UNPACK_H */
