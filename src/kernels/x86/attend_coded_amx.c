/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86/attend_coded_amx.c - body/attend_coded.inc with AMX-INT8, levels made with AVX-512 and VBMI.
 *
 * A tile register is 16 rows of 64 bytes. Levels lie as the second operand wants them: a row is a quad of
 * steps of 16 lanes, which is a block. The first operand is split vectors as they lie, a row each. So one
 * product of tiles is 64 steps of 16 lanes for up to 16 vectors, in the time of 32 products of registers.
 */
#include "kernels/x86/attend_levels_vbmi.h"

#include "kernels/variants.h"

#define HAS_TILES 1

/* What LDTILECFG reads (Intel SDM volume 2). */
typedef struct tile_shapes {
    uint8_t palette;
    uint8_t start_row;
    uint8_t reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

/* Tiles 0 to 2 are sums of high parts, low parts and rests; 3 and 4 high and low parts; 5 and 6 levels and
 * rests. The compiler does not know what the instructions read: memory is written before them. */
KERNEL_INLINE void vt_begin(size_t rows)
{
    _Alignas(64) tile_shapes shapes = { .palette = 1 };

    for (size_t i = 0; i < 7; i++) {
        shapes.row_bytes[i] = 64;
        shapes.rows[i] = i < 5 ? (uint8_t)rows : 16;
    }
    __asm__ volatile("" : : "r"(&shapes) : "memory");
    _tile_loadconfig(&shapes);
}

KERNEL_INLINE void vt_end(void)
{
    _tile_release();
}

KERNEL_INLINE void vt_zero(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
}

/* Add products of 64 steps: of split vectors, one every `stride` bytes, with 16 blocks of levels. */
KERNEL_INLINE void vt_step(const unsigned char *high, const unsigned char *low, size_t stride,
                           const uint8_t *level, const uint8_t *rest, const bool level_has_sign)
{
    __asm__ volatile("" : : : "memory");
    _tile_loadd(3, high, stride);
    _tile_loadd(5, level, 64);
    if (level_has_sign)
        _tile_dpbusd(0, 3, 5);
    else
        _tile_dpbsud(0, 3, 5);
    if (low) {
        _tile_loadd(4, low, stride);
        if (level_has_sign)
            _tile_dpbusd(1, 4, 5);
        else
            _tile_dpbsud(1, 4, 5);
    }
    if (rest) {
        _tile_loadd(6, rest, 64);
        if (level_has_sign)
            _tile_dpbusd(2, 3, 6);
        else
            _tile_dpbsud(2, 3, 6);
    }
}

/* [rows][16] each. */
KERNEL_INLINE void vt_store(int32_t (*high)[VF_LANES], int32_t (*low)[VF_LANES], int32_t (*rest)[VF_LANES])
{
    _tile_stored(0, high, 64);
    if (low)
        _tile_stored(1, low, 64);
    if (rest)
        _tile_stored(2, rest, 64);
    __asm__ volatile("" : : : "memory");
}

#include "kernels/body/attend_coded.inc"

enum {
    TILE_QUERIES = 8 /* for fewer, products are waited for and sums go through memory: slower than VNNI */
};

static void attend_coded_of_many(const snug_attend_coded_task *task)
{
    if (task->attend.queries < TILE_QUERIES)
        snug_attend_coded_vbmi(task);
    else
        attend_coded(task);
}

void snug_attend_coded_fill_amx(snug_kernels *kernels)
{
    kernels->attend_coded = attend_coded_of_many;
}
