/* SPDX-License-Identifier: Apache-2.0 */
/*
 * float16.h - the two 16-bit float formats in plain C; the reference for every vector variant.
 * f16 is IEEE 754 binary16; bf16 is the upper half of binary32. Both round to nearest, ties to even.
 */
#ifndef SNUG_SRC_BASE_FLOAT16_H
#define SNUG_SRC_BASE_FLOAT16_H

#include <stdint.h>
#include <string.h>

static inline float snug_f32_from_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t snug_bits_from_f32(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float snug_f32_from_bf16(uint16_t bits)
{
    return snug_f32_from_bits((uint32_t)bits << 16);
}

static inline uint16_t snug_bf16_from_f32(float value)
{
    const uint32_t bits = snug_bits_from_f32(value);

    if ((bits & 0x7fffffffu) > 0x7f800000u) /* NaN: keep it one, quietly */
        return (uint16_t)((bits >> 16) | 0x40u);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

static inline float snug_f32_from_f16(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t exponent = (half >> 10) & 0x1fu;
    const uint32_t fraction = half & 0x3ffu;

    if (exponent == 0x1fu)
        return snug_f32_from_bits(sign | 0x7f800000u | (fraction << 13));
    if (exponent != 0)
        return snug_f32_from_bits(sign | ((exponent + 112u) << 23) | (fraction << 13));
    /* Subnormal: fraction x 2^-24, exact in binary32. */
    return snug_f32_from_bits(sign | snug_bits_from_f32((float)fraction * 0x1p-24f));
}

static inline uint16_t snug_f16_from_f32(float value)
{
    const uint32_t bits = snug_bits_from_f32(value);
    const uint32_t sign = (bits >> 16) & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;

    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
    if (magnitude >= 0x477ff000u) /* rounds to 65520 or more: infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) { /* below 2^-14: subnormal; adding 0.5 lets the FPU round at 2^-24 */
        const uint32_t rounded = snug_bits_from_f32(snug_f32_from_bits(magnitude) + 0.5f);

        return (uint16_t)(sign | (rounded - 0x3f000000u));
    }
    return (uint16_t)(sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13));
}

#endif /* SNUG_SRC_BASE_FLOAT16_H */
