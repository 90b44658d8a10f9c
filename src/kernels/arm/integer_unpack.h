/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arm/integer_unpack.h - the words of body/integer_unpack.inc with NEON: a unit is two registers of bytes.
 */
#ifndef SNUG_SRC_KERNELS_ARM_INTEGER_UNPACK_H
#define SNUG_SRC_KERNELS_ARM_INTEGER_UNPACK_H

#include <arm_neon.h>
#include <string.h>

#include "kernels/simd/inline.h"

/* The first 16 columns, and the others. */
typedef struct vu {
    uint8x16_t low;
    uint8x16_t high;
} vu;

KERNEL_INLINE float load_f16(const unsigned char *x)
{
    float16_t half;

    memcpy(&half, x, sizeof half);
    return (float)half;
}

KERNEL_INLINE uint32_t load_word(const unsigned char *x)
{
    uint32_t word;

    memcpy(&word, x, sizeof word);
    return word;
}

KERNEL_INLINE vu load_32(const unsigned char *x)
{
    return (vu){ vld1q_u8(x), vld1q_u8(x + 16) };
}

KERNEL_INLINE vu unit_or(vu a, vu b)
{
    return (vu){ vorrq_u8(a.low, b.low), vorrq_u8(a.high, b.high) };
}

KERNEL_INLINE vu unit_minus(vu x, const int subtracted)
{
    const uint8x16_t each = vdupq_n_u8((uint8_t)subtracted);

    return (vu){ vsubq_u8(x.low, each), vsubq_u8(x.high, each) };
}

/* Each byte shifted left. */
KERNEL_INLINE vu unit_up(vu x, const int shift)
{
    const int8x16_t each = vdupq_n_s8((int8_t)shift);

    return (vu){ vshlq_u8(x.low, each), vshlq_u8(x.high, each) };
}

KERNEL_INLINE void store_unit(int8_t *out, vu integers, const int offset)
{
    const vu values = unit_minus(integers, offset);

    vst1q_s8(out, vreinterpretq_s8_u8(values.low));
    vst1q_s8(out + 16, vreinterpretq_s8_u8(values.high));
}

KERNEL_INLINE vu unit_and(vu x, const int mask)
{
    const uint8x16_t each = vdupq_n_u8((uint8_t)mask);

    return (vu){ vandq_u8(x.low, each), vandq_u8(x.high, each) };
}

KERNEL_INLINE vu bits_of(vu x, const int shift, const int mask)
{
    return unit_and(unit_up(x, -shift), mask);
}

KERNEL_INLINE vu nibbles(const unsigned char *x)
{
    const uint8x16_t bytes = vld1q_u8(x);

    return (vu){ vandq_u8(bytes, vdupq_n_u8(15)), vshrq_n_u8(bytes, 4) };
}

KERNEL_INLINE vu look_up(const int8_t *codebook, vu index)
{
    const uint8x16_t table = vreinterpretq_u8_s8(vld1q_s8(codebook));

    return (vu){ vqtbl1q_u8(table, index.low), vqtbl1q_u8(table, index.high) };
}

KERNEL_INLINE vu where_bit(const unsigned char *bits, const int value)
{
    const uint8x16_t bytes = vreinterpretq_u8_u32(vdupq_n_u32(load_word(bits)));
    const uint8x16_t spread = vcombine_u8(vdup_n_u8(0), vdup_n_u8(1));
    const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201u));
    const vu chosen = { vtstq_u8(vqtbl1q_u8(bytes, spread), bit),
                        vtstq_u8(vqtbl1q_u8(bytes, vaddq_u8(spread, vdupq_n_u8(2))), bit) };

    return unit_and(chosen, value);
}

/* Where eight integers of a stream lie: a window of 16 bits for each, and how far up in it. */
#define BYTES(i, bits) (i) * (bits) / 8, (i) * (bits) / 8 + 1
#define DOWN(i, bits)  -((i) * (bits) % 8)
#define WINDOWS(bits)                                                                                        \
    {                                                                                                        \
        BYTES(0, bits), BYTES(1, bits), BYTES(2, bits), BYTES(3, bits), BYTES(4, bits), BYTES(5, bits),      \
            BYTES(6, bits), BYTES(7, bits)                                                                   \
    }
#define SHIFTS(bits)                                                                                         \
    {                                                                                                        \
        DOWN(0, bits), DOWN(1, bits), DOWN(2, bits), DOWN(3, bits), DOWN(4, bits), DOWN(5, bits),            \
            DOWN(6, bits), DOWN(7, bits)                                                                     \
    }

static const uint8_t stream_windows[7][16] = {
    [2] = WINDOWS(2), [3] = WINDOWS(3), [4] = WINDOWS(4), [5] = WINDOWS(5), [6] = WINDOWS(6)
};
static const int16_t stream_shifts[7][8] = {
    [2] = SHIFTS(2), [3] = SHIFTS(3), [4] = SHIFTS(4), [5] = SHIFTS(5), [6] = SHIFTS(6)
};

/* Sixteen integers of `bits` bits, from byte `at` of a register on. */
KERNEL_INLINE uint8x16_t sixteen_of_stream(uint8x16_t bytes, const int at, const int bits)
{
    const uint8x16_t first = vaddq_u8(vld1q_u8(stream_windows[bits]), vdupq_n_u8((uint8_t)at));
    const uint8x16_t second = vaddq_u8(first, vdupq_n_u8((uint8_t)bits));
    const int16x8_t shifts = vld1q_s16(stream_shifts[bits]);
    const uint16x8_t a = vshlq_u16(vreinterpretq_u16_u8(vqtbl1q_u8(bytes, first)), shifts);
    const uint16x8_t b = vshlq_u16(vreinterpretq_u16_u8(vqtbl1q_u8(bytes, second)), shifts);

    return vandq_u8(vuzp1q_u8(vreinterpretq_u8_u16(a), vreinterpretq_u8_u16(b)),
                    vdupq_n_u8((uint8_t)((1 << bits) - 1)));
}

KERNEL_INLINE vu unpack_stream(const unsigned char *x, const int bits)
{
    uint8x16_t bytes;

    if (bits >= 4) { /* the last 16 bytes hold the second half, or all there is */
        const int half = bits == 4 ? 8 : 16 - bits * 2;

        return (vu){ sixteen_of_stream(vld1q_u8(x), 0, bits),
                     sixteen_of_stream(vld1q_u8(x + bits * 4 - 16), half, bits) };
    }
    bytes =
        vcombine_u8(vld1_u8(x), bits == 3 ? vreinterpret_u8_u32(vdup_n_u32(load_word(x + 8))) : vdup_n_u8(0));
    return (vu){ sixteen_of_stream(bytes, 0, bits), sixteen_of_stream(bytes, bits * 2, bits) };
}

KERNEL_INLINE void store_four_scales(float *out, int32x4_t integers, float factor)
{
    vst1q_f32(out, vmulq_n_f32(vcvtq_f32_s32(integers), factor));
}

/* Eight integers of 8 bits, times a factor. */
KERNEL_INLINE void store_scales(float *out, int8x8_t integers, float factor)
{
    const int16x8_t words = vmovl_s8(integers);

    store_four_scales(out, vmovl_s16(vget_low_s16(words)), factor);
    store_four_scales(out + 4, vmovl_high_s16(words), factor);
}

KERNEL_INLINE void store_16_scales(float *out, uint8x16_t integers, float factor)
{
    const int8x16_t bytes = vreinterpretq_s8_u8(integers);

    store_scales(out, vget_low_s8(bytes), factor);
    store_scales(out + 8, vget_high_s8(bytes), factor);
}

KERNEL_INLINE int8x8_t two_words(uint32_t low, uint32_t high)
{
    return vcreate_s8((uint64_t)high << 32 | low);
}

/* Q4_K, Q5_K: eight scales and eight minimums of 6 bits in 12 bytes; the last four of each are in two
 * parts. */
KERNEL_INLINE void scales_in_12_bytes(float *scales, float *minimums, const unsigned char *block)
{
    const unsigned char *packed = block + 4;
    const uint32_t a = load_word(packed);
    const uint32_t b = load_word(packed + 4);
    const uint32_t c = load_word(packed + 8);

    store_scales(scales, two_words(a & 0x3f3f3f3fu, (c & 0x0f0f0f0fu) | (a >> 2 & 0x30303030u)),
                 load_f16(block));
    store_scales(minimums, two_words(b & 0x3f3f3f3fu, (c >> 4 & 0x0f0f0f0fu) | (b >> 2 & 0x30303030u)),
                 -load_f16(block + 2));
}

KERNEL_INLINE void scales_of_q2_k(float *scales, float *minimums, const unsigned char *block)
{
    const uint8x16_t packed = vld1q_u8(block);

    store_16_scales(scales, vandq_u8(packed, vdupq_n_u8(15)), load_f16(block + 80));
    store_16_scales(minimums, vshrq_n_u8(packed, 4), -load_f16(block + 82));
}

/* 0, 2, 4, 6 or 0, 4, 8, 12: what four lanes are shifted down by. */
KERNEL_INLINE int32x4_t shifts_by(const int step)
{
    static const int32_t down[4] = { 0, -1, -2, -3 };

    return vmulq_n_s32(vld1q_s32(down), step);
}

/* Q3_K: 16 scales of 6 bits, 32 too large: the low four bits in 8 bytes, the high two in 4 bytes. */
KERNEL_INLINE void scales_of_q3_k(float *scales, const unsigned char *block)
{
    const uint8x8_t packed = vld1_u8(block + 96);
    const uint8x16_t low = vcombine_u8(vand_u8(packed, vdup_n_u8(15)), vshr_n_u8(packed, 4));
    const uint8x16_t high =
        vreinterpretq_u8_u32(vshlq_u32(vdupq_n_u32(load_word(block + 104)), shifts_by(2)));
    const uint8x16_t whole = vorrq_u8(low, vshlq_n_u8(vandq_u8(high, vdupq_n_u8(3)), 4));

    store_16_scales(scales, vsubq_u8(whole, vdupq_n_u8(32)), load_f16(block + 108));
}

KERNEL_INLINE void scales_of_q6_k(float *scales, const unsigned char *block)
{
    store_16_scales(scales, vld1q_u8(block + 192), load_f16(block + 208));
}

/* IQ4_XS: eight scales of 6 bits, 32 too large: two high bits in 16 bits, four low ones in 32. */
KERNEL_INLINE void scales_of_iq4_xs(float *scales, const unsigned char *block)
{
    const uint32_t low_bits = load_word(block + 4);
    const uint32_t high_bits = load_word(block) >> 16;

    for (int i = 0; i < 2; i++) {
        const uint32x4_t low = vshlq_u32(vdupq_n_u32(low_bits >> 16 * i), shifts_by(4));
        const uint32x4_t high = vshlq_u32(vdupq_n_u32(high_bits >> 8 * i), shifts_by(2));
        const uint32x4_t whole =
            vorrq_u32(vandq_u32(low, vdupq_n_u32(15)), vshlq_n_u32(vandq_u32(high, vdupq_n_u32(3)), 4));

        store_four_scales(scales + 4 * i, vsubq_s32(vreinterpretq_s32_u32(whole), vdupq_n_s32(32)),
                          load_f16(block));
    }
}

#include "kernels/body/integer_unpack.inc"

#endif /* SNUG_SRC_KERNELS_ARM_INTEGER_UNPACK_H */
