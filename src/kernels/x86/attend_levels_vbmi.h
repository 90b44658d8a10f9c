/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86/attend_levels_vbmi.h - levels of codes by tables of 64 entries, with VBMI. A code's bits meet in one
 * byte, whatever lies above them: VPMULTISHIFTQB spreads a plane of one bit over a register, and a table has
 * the same entry for every value of the bits that do not count. So two blocks of 4 bits take three
 * instructions, where tables of 16 entries take seven.
 */
#ifndef SNUG_SRC_KERNELS_X86_ATTEND_LEVELS_VBMI_H
#define SNUG_SRC_KERNELS_X86_ATTEND_LEVELS_VBMI_H

#include "kernels/x86/attend_bytes_avx512.h"

/* Above the lowest 4 bits of these, 2 of pairs, anything may stand. */
KERNEL_INLINE vb vb_low_nibbles(vb x)
{
    return x;
}

KERNEL_INLINE vb vb_high_nibbles(vb x)
{
    return _mm512_srli_epi16(x, 4);
}

/* Codes of 2 bits, at bit `place` of each byte: byte j of 16 holds those of bytes j, j + 16, j + 32, j + 48.
 */
KERNEL_INLINE vb pairs_at(const unsigned char *bits, const int place)
{
    const vb all = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)bits));
    const vb turns = _mm512_set_epi32(6, 6, 6, 6, 4, 4, 4, 4, 2, 2, 2, 2, 0, 0, 0, 0);

    return _mm512_rorv_epi32(all, _mm512_sub_epi32(turns, _mm512_set1_epi32(place)));
}

KERNEL_INLINE vb vb_pairs(const unsigned char *bits, size_t unit)
{
    (void)unit;
    return pairs_at(bits, 0);
}

/* The bits of x, and of y where `mask` has ones. */
KERNEL_INLINE vb choose_bits(vb x, vb y, int mask)
{
    return _mm512_ternarylogic_epi32(x, y, vb_set(mask), 0xd8);
}

/* A plane of one bit for each byte of the register, at bit `place` of it. */
KERNEL_INLINE vb ones_at(const unsigned char *bits, const int place)
{
    const vb first =
        _mm512_set_epi64(0x3f3e3d3c3b3a3938, 0x3736353433323130, 0x2f2e2d2c2b2a2928, 0x2726252423222120,
                         0x1f1e1d1c1b1a1918, 0x1716151413121110, 0x0f0e0d0c0b0a0908, 0x0706050403020100);
    int64_t word;

    memcpy(&word, bits, sizeof word);
    return _mm512_multishift_epi64_epi8(_mm512_sub_epi8(first, vb_set(place)), _mm512_set1_epi64(word));
}

#include "kernels/body/attend_levels.inc"

/* By index: nibble or pair, then the bits of the two planes at FIRST_PLACE and SECOND_PLACE; and for the
 * second byte of 8 bits by nibble and pair. */
typedef struct level_words {
    vb level;
    vb rest;
} level_words;

enum {
    FIRST_PLACE = 4,
    SECOND_PLACE = 5,
    PAIR_PLACE = 4
};

#define BYTES_WITH_FIRST  0xffff0000ffff0000u
#define BYTES_WITH_SECOND 0xffffffff00000000u

KERNEL_INLINE level_words level_words_of(const level_tables *tables, const level_form form, int flip)
{
    const int ones = ones_of(form);
    vb level = vb_table(tables->base);

    if (!has_nibbles(form)) { /* the pair is what stands first in a code */
        vb code = _mm512_set1_epi32(0x03020100);

        if (ones >= 1)
            code = vb_add(code, code);
        if (ones == 2)
            code = vb_add(code, code);
        if (ones >= 1)
            code = _mm512_mask_add_epi8(code, BYTES_WITH_FIRST, code, vb_set(ones));
        if (ones == 2)
            code = _mm512_mask_add_epi8(code, BYTES_WITH_SECOND, code, vb_set(1));
        level = _mm512_shuffle_epi8(level, code);
    } else {
        if (ones >= 1)
            level = _mm512_mask_add_epi8(level, BYTES_WITH_FIRST, level, vb_table(tables->first));
        if (ones == 2)
            level = _mm512_mask_add_epi8(level, BYTES_WITH_SECOND, level, vb_table(tables->second));
    }
    return (level_words){ .level = vb_flip(level, vb_set(flip)), .rest = vb_load(rests[0]) };
}

KERNEL_INLINE vb level_of(const level_words *words, const level_form form, vb upper, const codes_at *at)
{
    vb index = upper;

    if (ones_of(form) >= 1)
        index = choose_bits(index, ones_at(at->ones_a, FIRST_PLACE), 1 << FIRST_PLACE);
    if (ones_of(form) == 2)
        index = choose_bits(index, ones_at(at->ones_b, SECOND_PLACE), 1 << SECOND_PLACE);

    const vb level = _mm512_permutexvar_epi8(index, words->level);

    return form == FORM_8 ? choose_bits(level, pairs_at(at->pairs, 0), 3) : level;
}

KERNEL_INLINE vb rest_of(const level_words *words, vb upper, const codes_at *at)
{
    const vb index = choose_bits(upper, pairs_at(at->pairs, PAIR_PLACE), 3 << PAIR_PLACE);

    return _mm512_permutexvar_epi8(index, words->rest);
}

#endif /* SNUG_SRC_KERNELS_X86_ATTEND_LEVELS_VBMI_H */
