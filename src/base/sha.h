/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sha.h - SHA-256 and SHA-1 (FIPS 180-4), a piece at a time: the names that the hub gives to contents. SHA-1
 * is here because git names small files by it; it proves that a file came whole, not who made it.
 */
#ifndef SNUG_SRC_BASE_SHA_H
#define SNUG_SRC_BASE_SHA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SNUG_SHA_HEX_BYTES 65 /* of the longer, with its end */

typedef struct snug_sha {
    uint32_t state[8];
    uint64_t bytes; /* taken so far */
    bool is_sha1;
    unsigned char block[64]; /* bytes % 64 of it are filled */
} snug_sha;

void snug_sha_begin(snug_sha *sha, bool is_sha1);
void snug_sha_add(snug_sha *sha, const void *data, size_t bytes);
/* Writes lower-case hexadecimal digits, 64 or 40 of them. The state is used up. */
void snug_sha_end(snug_sha *sha, char out[SNUG_SHA_HEX_BYTES]);

#endif /* SNUG_SRC_BASE_SHA_H */
