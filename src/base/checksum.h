/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checksum.h - XXH64 (Y. Collet, xxHash specification 0.1.1), with seed 0: finds damage in files at memory
 * speed, the same on every machine. Anyone can make one on purpose: it proves nothing about who wrote a file.
 */
#ifndef SNUG_SRC_BASE_CHECKSUM_H
#define SNUG_SRC_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Fed in pieces of any size. */
typedef struct snug_checksum {
    uint64_t lane[4];
    uint64_t bytes;         /* so far */
    unsigned char rest[32]; /* bytes % 32 of them wait for more */
} snug_checksum;

snug_checksum snug_checksum_begin(void);
void snug_checksum_add(snug_checksum *sum, const void *data, size_t bytes);
uint64_t snug_checksum_end(const snug_checksum *sum); /* more may be added afterwards */

#endif /* SNUG_SRC_BASE_CHECKSUM_H */
