/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ref/unpack.c - stretches of quantized rows as f32, bit for bit what the formats mean: body/decode.inc, and
 * the products put together.
 */
#include "kernels/variants.h"

#include "base/size.h"
#include "kernels/body/decode.inc"

KERNEL_INLINE void unpack(snug_type type, float *out, const snug_weight *weight, size_t row,
                          size_t first_column, size_t columns)
{
    snug_decoded decoded;

    for (size_t column = 0; column < columns; column += SNUG_DECODE_COLUMNS) {
        const size_t n = snug_min_size(SNUG_DECODE_COLUMNS, columns - column);

        decode_columns(&decoded, type, weight, row, first_column + column, n);
        decode_values(out + column, &decoded, n);
    }
}

#define UNPACK(TYPE, name)                                                                                   \
    static void unpack_##TYPE(float *out, const snug_weight *weight, size_t row, size_t first_column,        \
                              size_t columns)                                                                \
    {                                                                                                        \
        unpack(SNUG_TYPE_##TYPE, out, weight, row, first_column, columns);                                   \
    }
SNUG_DECODED_TYPES(UNPACK)
#undef UNPACK

snug_unpack_fn *const snug_unpack_c[SNUG_TYPE_COUNT] = {
#define ROW(TYPE, name) [SNUG_TYPE_##TYPE] = unpack_##TYPE,
    SNUG_DECODED_TYPES(ROW)
#undef ROW
};

void snug_unpack_fill_c(snug_kernels *kernels)
{
    for (int type = 0; type < SNUG_TYPE_COUNT; type++)
        if (snug_unpack_c[type])
            kernels->unpack[type] = snug_unpack_c[type];
}
