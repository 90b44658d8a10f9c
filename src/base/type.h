/* SPDX-License-Identifier: Apache-2.0 */
/*
 * type.h - the element types of weights and caches: one row each, and nowhere else a list of them.
 *
 * A type stores its values in blocks of fixed size; plain floats are blocks of one value. A matrix row always
 * begins a block. Data is little-endian and may lie at any address: readers use unaligned loads. No block is
 * longer than 256 values, and all divide 256.
 */
#ifndef SNUG_SRC_BASE_TYPE_H
#define SNUG_SRC_BASE_TYPE_H

#include <stddef.h>
#include <stdint.h>

/*
 * X(name, number, values per block, bytes per block)
 *
 * Q4_0 to MXFP4 are the blocks of GGUF files. AFFINE2 to AFFINE8 are MLX's: only the packed integers are in
 * the row, base/weight.h says where their scales are; any group is a whole number of these blocks.
 */
#define SNUG_TYPE_MAP(X)                                                                                     \
    X(F32, 1, 1, 4)                                                                                          \
    X(F16, 2, 1, 2)                                                                                          \
    X(BF16, 3, 1, 2)                                                                                         \
    X(Q4_0, 4, 32, 18)                                                                                       \
    X(Q4_1, 5, 32, 20)                                                                                       \
    X(Q5_0, 6, 32, 22)                                                                                       \
    X(Q5_1, 7, 32, 24)                                                                                       \
    X(Q8_0, 8, 32, 34)                                                                                       \
    X(Q2_K, 9, 256, 84)                                                                                      \
    X(Q3_K, 10, 256, 110)                                                                                    \
    X(Q4_K, 11, 256, 144)                                                                                    \
    X(Q5_K, 12, 256, 176)                                                                                    \
    X(Q6_K, 13, 256, 210)                                                                                    \
    X(IQ4_NL, 14, 32, 18)                                                                                    \
    X(IQ4_XS, 15, 256, 136)                                                                                  \
    X(MXFP4, 16, 32, 17)                                                                                     \
    X(AFFINE2, 17, 32, 8)                                                                                    \
    X(AFFINE3, 18, 32, 12)                                                                                   \
    X(AFFINE4, 19, 32, 16)                                                                                   \
    X(AFFINE5, 20, 32, 20)                                                                                   \
    X(AFFINE6, 21, 32, 24)                                                                                   \
    X(AFFINE8, 22, 32, 32)

typedef enum snug_type {
    SNUG_TYPE_NONE = 0,
#define SNUG_TYPE_ENUM(name, number, values, bytes) SNUG_TYPE_##name = number,
    SNUG_TYPE_MAP(SNUG_TYPE_ENUM)
#undef SNUG_TYPE_ENUM
    SNUG_TYPE_COUNT
} snug_type;

typedef struct snug_type_layout {
    const char *name; /* "BF16" */
    uint32_t block_values;
    uint32_t block_bytes;
} snug_type_layout;

/* For any type of the list. */
const snug_type_layout *snug_type_layout_of(snug_type type);

/* Bytes of a row of `columns` values; `columns` must be a multiple of the block. */
static inline size_t snug_type_row_bytes(snug_type type, size_t columns)
{
    const snug_type_layout *layout = snug_type_layout_of(type);

    return columns / layout->block_values * layout->block_bytes;
}

#endif /* SNUG_SRC_BASE_TYPE_H */
