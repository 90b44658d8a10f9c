/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arm/attend_bytes_neon.h - words for bytes with NEON, for body/attend_coded.inc: two registers are half a
 * block. x86/attend_bytes_avx512.h and x86/attend_coded_avx512.c have the same words and explain them; the
 * file that includes this one says how bytes are multiplied (vb_dot), and sets what follows from it.
 */
#ifndef SNUG_SRC_KERNELS_ARM_ATTEND_BYTES_NEON_H
#define SNUG_SRC_KERNELS_ARM_ATTEND_BYTES_NEON_H

#include <string.h>

#include "kernels/simd/neon.h"

#define PART_MAX            127
#define HIGH_ALONE_KEY_BITS 5
#define SUMS_AT_MOST        8
#define SUMS_AT_ONCE        8

typedef struct vb {
    uint8x16_t low;
    uint8x16_t high;
} vb;

KERNEL_INLINE vb vb_set(int byte)
{
    return (vb){ vdupq_n_u8((uint8_t)byte), vdupq_n_u8((uint8_t)byte) };
}

KERNEL_INLINE vb vb_zero(void)
{
    return vb_set(0);
}

KERNEL_INLINE vb vb_load(const uint8_t *x)
{
    return (vb){ vld1q_u8(x), vld1q_u8(x + 16) };
}

KERNEL_INLINE void vb_store(uint8_t *out, vb x)
{
    vst1q_u8(out, x.low);
    vst1q_u8(out + 16, x.high);
}

KERNEL_INLINE vb vb_table(const uint8_t *table)
{
    return (vb){ vld1q_u8(table), vld1q_u8(table) };
}

KERNEL_INLINE vb vb_flip(vb x, vb bits)
{
    return VF_BOTH(vb, veorq_u8, x, bits);
}

KERNEL_INLINE vb vb_add(vb a, vb b)
{
    return VF_BOTH(vb, vaddq_u8, a, b);
}

KERNEL_INLINE vb vb_low_nibbles(vb x)
{
    return VF_BOTH(vb, vandq_u8, x, vb_set(15));
}

KERNEL_INLINE vb vb_high_nibbles(vb x)
{
    return (vb){ vshrq_n_u8(x.low, 4), vshrq_n_u8(x.high, 4) };
}

KERNEL_INLINE vb vb_lookup(vb table, vb index)
{
    return VF_BOTH(vb, vqtbl1q_u8, table, index);
}

/* y in the 16 bytes whose bit is set, from byte `at` of the bits on; else 0. */
KERNEL_INLINE uint8x16_t under_bits(uint8x16_t bits, const uint8_t at, uint8x16_t y)
{
    const uint8x16_t spread = vcombine_u8(vdup_n_u8(at), vdup_n_u8((uint8_t)(at + 1)));
    const uint8x16_t own = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201u));

    return vandq_u8(vtstq_u8(vqtbl1q_u8(bits, spread), own), y);
}

KERNEL_INLINE vb vb_add_under(vb x, const unsigned char *bits, vb y)
{
    uint32_t word;

    memcpy(&word, bits, sizeof word);

    const uint8x16_t bytes = vreinterpretq_u8_u32(vdupq_n_u32(word));

    return vb_add(x, (vb){ under_bits(bytes, 0, y.low), under_bits(bytes, 2, y.high) });
}

KERNEL_INLINE vb vb_pairs(const unsigned char *bits, size_t unit)
{
    const uint8x16_t all = vld1q_u8(bits);
    const int8x16_t down = vdupq_n_s8((int8_t)(-4 * (int)unit));
    const uint8x16_t low = vshlq_u8(all, down);

    return (vb){ vandq_u8(low, vdupq_n_u8(3)), vandq_u8(vshrq_n_u8(low, 2), vdupq_n_u8(3)) };
}

KERNEL_INLINE vb vb_odd_multiple(vb x, vb pair)
{
    return (vb){ vmlaq_u8(x.low, x.low, vaddq_u8(pair.low, pair.low)),
                 vmlaq_u8(x.high, x.high, vaddq_u8(pair.high, pair.high)) };
}

KERNEL_INLINE vb vb_quad(const unsigned char *x)
{
    uint32_t quad;

    memcpy(&quad, x, sizeof quad);

    const uint8x16_t bytes = vreinterpretq_u8_u32(vdupq_n_u32(quad));

    return (vb){ bytes, bytes };
}

KERNEL_INLINE float32x4_t to_f32(uint8x16_t x)
{
    return vcvtq_f32_s32(vreinterpretq_s32_u8(x));
}

KERNEL_INLINE vf vb_to_f32(vb x)
{
    return VF_EACH(vf, to_f32, x);
}

#endif /* SNUG_SRC_KERNELS_ARM_ATTEND_BYTES_NEON_H */
