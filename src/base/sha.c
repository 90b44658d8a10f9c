/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sha.c - sha.h as FIPS 180-4 has it, sections 6.1 and 6.2.
 */
#include "base/sha.h"

#include <string.h>

static uint32_t rotate_left(uint32_t x, unsigned bits)
{
    return x << bits | x >> (32 - bits);
}

static uint32_t rotate_right(uint32_t x, unsigned bits)
{
    return x >> bits | x << (32 - bits);
}

static uint32_t read_big_endian(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* --- SHA-256 -------------------------------------------------------------------------------------------- */

static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/*
 * One round. The eight variables move by one place from round to round; here they stay, and `at` says where
 * the first of them is.
 */
static inline void turn(uint32_t v[8], unsigned at, uint32_t constant, uint32_t word)
{
    const uint32_t a = v[at & 7], e = v[(at + 4) & 7];
    const uint32_t first = v[(at + 7) & 7] +
                           (rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25)) +
                           ((e & v[(at + 5) & 7]) ^ (~e & v[(at + 6) & 7])) + constant + word;
    const uint32_t second =
        (rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22)) +
        ((a & v[(at + 1) & 7]) ^ (a & v[(at + 2) & 7]) ^ (v[(at + 1) & 7] & v[(at + 2) & 7]));

    v[(at + 3) & 7] += first;
    v[(at + 7) & 7] = first + second;
}

static void take_sha256(uint32_t state[8], const unsigned char *block)
{
    uint32_t v[8], w[64];

    for (int i = 0; i < 16; i++)
        w[i] = read_big_endian(block + 4 * i);
    for (int i = 16; i < 64; i++) {
        const uint32_t a = w[i - 15], b = w[i - 2];

        w[i] = w[i - 16] + w[i - 7] + (rotate_right(a, 7) ^ rotate_right(a, 18) ^ a >> 3) +
               (rotate_right(b, 17) ^ rotate_right(b, 19) ^ b >> 10);
    }
    memcpy(v, state, sizeof v);
    for (unsigned i = 0; i < 64; i += 8) {
        turn(v, 0, constants[i], w[i]);
        turn(v, 7, constants[i + 1], w[i + 1]);
        turn(v, 6, constants[i + 2], w[i + 2]);
        turn(v, 5, constants[i + 3], w[i + 3]);
        turn(v, 4, constants[i + 4], w[i + 4]);
        turn(v, 3, constants[i + 5], w[i + 5]);
        turn(v, 2, constants[i + 6], w[i + 6]);
        turn(v, 1, constants[i + 7], w[i + 7]);
    }
    for (int i = 0; i < 8; i++)
        state[i] += v[i];
}

/* --- SHA-1 ---------------------------------------------------------------------------------------------- */

static uint32_t mix(int round, uint32_t b, uint32_t c, uint32_t d)
{
    if (round < 20)
        return ((b & c) | (~b & d)) + 0x5a827999;
    if (round < 40)
        return (b ^ c ^ d) + 0x6ed9eba1;
    if (round < 60)
        return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
    return (b ^ c ^ d) + 0xca62c1d6;
}

static void take_sha1(uint32_t state[5], const unsigned char *block)
{
    uint32_t v[5], w[80];

    for (int i = 0; i < 16; i++)
        w[i] = read_big_endian(block + 4 * i);
    for (int i = 16; i < 80; i++)
        w[i] = rotate_left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    memcpy(v, state, sizeof v);
    for (int i = 0; i < 80; i++) {
        const uint32_t t = rotate_left(v[0], 5) + mix(i, v[1], v[2], v[3]) + v[4] + w[i];

        v[4] = v[3];
        v[3] = v[2];
        v[2] = rotate_left(v[1], 30);
        v[1] = v[0];
        v[0] = t;
    }
    for (int i = 0; i < 5; i++)
        state[i] += v[i];
}

/* --- both ----------------------------------------------------------------------------------------------- */

void snug_sha_begin(snug_sha *sha, bool is_sha1)
{
    static const uint32_t first256[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                          0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
    static const uint32_t first1[8] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 };

    *sha = (snug_sha){ .is_sha1 = is_sha1 };
    memcpy(sha->state, is_sha1 ? first1 : first256, sizeof sha->state);
}

static void take(snug_sha *sha, const unsigned char *block)
{
    if (sha->is_sha1)
        take_sha1(sha->state, block);
    else
        take_sha256(sha->state, block);
}

void snug_sha_add(snug_sha *sha, const void *data, size_t bytes)
{
    const unsigned char *at = data;
    size_t filled = sha->bytes % 64;

    sha->bytes += bytes;
    while (bytes > 0) {
        const size_t room = 64 - filled;
        const size_t part = bytes < room ? bytes : room;

        if (part == 64) {
            take(sha, at);
        } else {
            memcpy(sha->block + filled, at, part);
            if (part == room)
                take(sha, sha->block);
        }
        filled = (filled + part) % 64;
        at += part;
        bytes -= part;
    }
}

void snug_sha_end(snug_sha *sha, char out[SNUG_SHA_HEX_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    static const unsigned char padding[64] = { 0x80 };
    const uint64_t bits = sha->bytes * 8;
    const size_t words = sha->is_sha1 ? 5 : 8;
    unsigned char length[8];

    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)(bits >> (56 - 8 * i));
    snug_sha_add(sha, padding, 1 + (119 - sha->bytes % 64) % 64);
    snug_sha_add(sha, length, sizeof length);
    for (size_t i = 0; i < 8 * words; i++)
        out[i] = digits[sha->state[i / 8] >> (28 - 4 * (i % 8)) & 15];
    out[8 * words] = '\0';
}
