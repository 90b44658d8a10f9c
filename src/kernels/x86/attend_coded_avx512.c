/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86/attend_coded_avx512.c - body/attend_coded.inc with AVX-512 and VNNI; the planes of one bit are masks.
 */
#include "kernels/x86/attend_bytes_avx512.h"

#define ATTEND_CODED_FILL snug_attend_coded_fill_avx512

KERNEL_INLINE vb vb_low_nibbles(vb x)
{
    return _mm512_and_si512(x, vb_set(15));
}

KERNEL_INLINE vb vb_high_nibbles(vb x)
{
    return _mm512_and_si512(_mm512_srli_epi16(x, 4), vb_set(15));
}

/* Entry `index` of the table, 0 to 15. */
KERNEL_INLINE vb vb_lookup(vb table, vb index)
{
    return _mm512_shuffle_epi8(table, index);
}

/* x + y in the bytes whose bit is set; one bit for each byte of the register. */
KERNEL_INLINE vb vb_add_under(vb x, const unsigned char *bits, vb y)
{
    uint64_t mask;

    memcpy(&mask, bits, sizeof mask);
    return _mm512_mask_add_epi8(x, mask, x, y);
}

/* Codes of 2 bits of register `unit` of a block: byte j of 16 holds those of bytes j, j + 16, j + 32, j + 48.
 */
KERNEL_INLINE vb vb_pairs(const unsigned char *bits, size_t unit)
{
    const vb all = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)bits));
    const vb shifts = _mm512_set_epi32(6, 6, 6, 6, 4, 4, 4, 4, 2, 2, 2, 2, 0, 0, 0, 0);

    (void)unit;
    return _mm512_and_si512(_mm512_srlv_epi32(all, shifts), vb_set(3));
}

/* x * (2 * pair + 1), for pairs 0 to 3 and products that fit. */
KERNEL_INLINE vb vb_odd_multiple(vb x, vb pair)
{
    const vb twice = vb_add(x, x);
    const vb odd = _mm512_mask_add_epi8(x, _mm512_test_epi8_mask(pair, vb_set(1)), x, twice);

    return _mm512_mask_add_epi8(odd, _mm512_test_epi8_mask(pair, vb_set(2)), odd, vb_add(twice, twice));
}

#include "kernels/body/attend_levels.inc"

#include "kernels/body/attend_lookup.inc"

#include "kernels/body/attend_coded.inc"
