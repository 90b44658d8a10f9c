/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gguf_value.h - what gguf.c and gguf_value.c share.
 */
#ifndef SNUG_SRC_FORMAT_GGUF_VALUE_H
#define SNUG_SRC_FORMAT_GGUF_VALUE_H

#include "format/gguf.h"

/* A little-endian number of 1 to 8 bytes. */
static inline uint64_t snug_gguf_read_bytes(const unsigned char *at, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

/* Bytes of a single number or bool; 0 for all other types, known or not. */
unsigned snug_gguf_scalar_bytes(uint32_t type);

/* The order of entries. */
int snug_gguf_compare_keys(snug_str a, snug_str b);

#endif /* SNUG_SRC_FORMAT_GGUF_VALUE_H */
