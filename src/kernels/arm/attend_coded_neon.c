/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arm/attend_coded_neon.c - body/attend_coded.inc with NEON and dot products. SDOT wants a sign in both
 * operands: levels always have one here, and weights without sign have 7 bits.
 */
#include "kernels/arm/attend_bytes_neon.h"

#define ATTEND_CODED_FILL     snug_attend_coded_fill_neon
#define WEIGHT_MAX            127
#define HIGH_ALONE_VALUE_BITS 4
#define REST_OF_HIGH_OK       0
#define VECTOR_FLIP           0x80

KERNEL_INLINE uint8x16_t dot_signed(uint8x16_t sum, uint8x16_t a, uint8x16_t b)
{
    return vreinterpretq_u8_s32(
        vdotq_s32(vreinterpretq_s32_u8(sum), vreinterpretq_s8_u8(a), vreinterpretq_s8_u8(b)));
}

/* u has a sign as well: weights too small for it to be set, and levels that begin at -128. */
KERNEL_INLINE vb vb_dot(vb sum, vb u, vb s)
{
    return (vb){ dot_signed(sum.low, u.low, s.low), dot_signed(sum.high, u.high, s.high) };
}

#include "kernels/body/attend_levels.inc"

#include "kernels/body/attend_lookup.inc"

#include "kernels/body/attend_coded.inc"
