/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gguf_value.c - values of a GGUF file's metadata, read from where they lie: any address, little-endian.
 */
#include "format/gguf_value.h"

#include "base/size.h"
#include "base/status.h"

unsigned snug_gguf_scalar_bytes(uint32_t type)
{
    static const unsigned char bytes[] = {
        [SNUG_GGUF_U8] = 1,  [SNUG_GGUF_I8] = 1,  [SNUG_GGUF_U16] = 2, [SNUG_GGUF_I16] = 2,
        [SNUG_GGUF_U32] = 4, [SNUG_GGUF_I32] = 4, [SNUG_GGUF_F32] = 4, [SNUG_GGUF_BOOL] = 1,
        [SNUG_GGUF_U64] = 8, [SNUG_GGUF_I64] = 8, [SNUG_GGUF_F64] = 8,
    };

    return type < SNUG_COUNT(bytes) ? bytes[type] : 0;
}

int snug_gguf_compare_keys(snug_str a, snug_str b)
{
    const size_t common = snug_min_size(a.bytes, b.bytes);
    const int order = common ? memcmp(a.data, b.data, common) : 0;

    return order ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

snug_gguf_value snug_gguf_find(const snug_gguf *view, const char *key)
{
    const snug_str wanted = snug_str_from(key);
    size_t low = 0;
    size_t high = view->entry_count;

    SNUG_ASSERT(view->entries || view->entry_count == 0);
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = snug_gguf_compare_keys(view->entries[middle].key, wanted);

        if (order == 0)
            return view->entries[middle].value;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return (snug_gguf_value){ .at = NULL };
}

/* An integer of any type, its sign extended to 64 bits. */
static bool read_integer(uint64_t *out, bool *is_negative_out, snug_gguf_value value)
{
    const unsigned bytes = snug_gguf_scalar_bytes(value.type);
    const bool is_signed = value.type == SNUG_GGUF_I8 || value.type == SNUG_GGUF_I16 ||
                           value.type == SNUG_GGUF_I32 || value.type == SNUG_GGUF_I64;
    uint64_t sign;

    if (!value.at || bytes == 0 || value.type == SNUG_GGUF_F32 || value.type == SNUG_GGUF_F64 ||
        value.type == SNUG_GGUF_BOOL)
        return false;
    sign = (uint64_t)1 << (8 * bytes - 1);
    *out = snug_gguf_read_bytes(value.at, bytes);
    *is_negative_out = is_signed && (*out & sign) != 0;
    if (*is_negative_out)
        *out |= ~(sign - 1);
    return true;
}

bool snug_gguf_u64(uint64_t *out, snug_gguf_value value)
{
    uint64_t integer;
    bool is_negative;

    if (!read_integer(&integer, &is_negative, value) || is_negative)
        return false;
    *out = integer;
    return true;
}

bool snug_gguf_f64(double *out, snug_gguf_value value)
{
    uint64_t bits;
    uint32_t low_bits;
    float single;
    bool is_negative;

    if (read_integer(&bits, &is_negative, value)) {
        *out = is_negative ? -(double)(0 - bits) : (double)bits;
        return true;
    }
    if (!value.at || (value.type != SNUG_GGUF_F32 && value.type != SNUG_GGUF_F64))
        return false;
    bits = snug_gguf_read_bytes(value.at, snug_gguf_scalar_bytes(value.type));
    if (value.type == SNUG_GGUF_F64) {
        memcpy(out, &bits, sizeof *out);
        return true;
    }
    low_bits = (uint32_t)bits;
    memcpy(&single, &low_bits, sizeof single);
    *out = (double)single;
    return true;
}

bool snug_gguf_bool(bool *out, snug_gguf_value value)
{
    if (!value.at || value.type != SNUG_GGUF_BOOL || *value.at > 1)
        return false;
    *out = *value.at == 1;
    return true;
}

bool snug_gguf_string(snug_str *out, snug_gguf_value value)
{
    if (!value.at || value.type != SNUG_GGUF_STRING)
        return false;
    *out = (snug_str){ (const char *)value.at + sizeof(uint64_t), (size_t)snug_gguf_read_bytes(value.at, 8) };
    return true;
}

snug_gguf_value snug_gguf_element(snug_gguf_value array, uint64_t index)
{
    const unsigned bytes = snug_gguf_scalar_bytes(array.element_type);

    if (!array.at || array.type != SNUG_GGUF_ARRAY || bytes == 0 || index >= array.count)
        return (snug_gguf_value){ .at = NULL };
    return (snug_gguf_value){ .type = array.element_type, .at = array.at + index * bytes };
}
