/* SPDX-License-Identifier: Apache-2.0 */
/*
 * type.h - the element types of weights and caches: one row each, and nowhere else a list of them.
 *
 * A type stores its values in blocks of fixed size; plain floats are blocks of one value. A matrix row always
 * begins a block. Data is little-endian and may lie at any address: readers use unaligned loads.
 */
#ifndef SNUG_SRC_BASE_TYPE_H
#define SNUG_SRC_BASE_TYPE_H

#include <stddef.h>
#include <stdint.h>

/* X(name, number, values per block, bytes per block) */
#define SNUG_TYPE_MAP(X)                                                                                     \
    X(F32, 1, 1, 4)                                                                                          \
    X(F16, 2, 1, 2)                                                                                          \
    X(BF16, 3, 1, 2)

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
