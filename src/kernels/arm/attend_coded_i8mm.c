/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arm/attend_coded_i8mm.c - body/attend_coded.inc with NEON and I8MM, whose USDOT multiplies bytes without
 * sign by bytes with one: weights without sign have 8 bits, as with VNNI.
 */
#include "kernels/arm/attend_bytes_neon.h"

#define ATTEND_CODED_FILL     snug_attend_coded_fill_i8mm
#define WEIGHT_MAX            255
#define HIGH_ALONE_VALUE_BITS 5
#define REST_OF_HIGH_OK       1
#define VECTOR_FLIP           0

KERNEL_INLINE uint8x16_t dot_mixed(uint8x16_t sum, uint8x16_t u, uint8x16_t s)
{
    return vreinterpretq_u8_s32(vusdotq_s32(vreinterpretq_s32_u8(sum), u, vreinterpretq_s8_u8(s)));
}

KERNEL_INLINE vb vb_dot(vb sum, vb u, vb s)
{
    return (vb){ dot_mixed(sum.low, u.low, s.low), dot_mixed(sum.high, u.high, s.high) };
}

#include "kernels/body/attend_levels.inc"

#include "kernels/body/attend_lookup.inc"

#include "kernels/body/attend_coded.inc"
