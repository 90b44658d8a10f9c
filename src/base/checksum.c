/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checksum.c - XXH64: four lanes take 8 bytes each of every stripe of 32; in the end they are merged, and
 * what is left of the data, at most 31 bytes, is mixed in.
 */
#include "base/checksum.h"

#include <string.h>

#include "base/size.h"

#define STRIPE_BYTES 32
#define PRIME_1      0x9e3779b185ebca87ull
#define PRIME_2      0xc2b2ae3d27d4eb4full
#define PRIME_3      0x165667b19e3779f9ull
#define PRIME_4      0x85ebca77c2b2ae63ull
#define PRIME_5      0x27d4eb2f165667c5ull

static uint64_t rotate_left(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

/* A little-endian number, as all machines are that this is built for. */
static uint64_t read_8(const unsigned char *at)
{
    uint64_t x;

    memcpy(&x, at, sizeof x);
    return x;
}

static uint64_t read_4(const unsigned char *at)
{
    uint32_t x;

    memcpy(&x, at, sizeof x);
    return x;
}

static uint64_t round_of(uint64_t lane, uint64_t x)
{
    return rotate_left(lane + x * PRIME_2, 31) * PRIME_1;
}

static void add_stripe(snug_checksum *sum, const unsigned char *at)
{
    for (int i = 0; i < 4; i++)
        sum->lane[i] = round_of(sum->lane[i], read_8(at + (ptrdiff_t)8 * i));
}

snug_checksum snug_checksum_begin(void)
{
    return (snug_checksum){ .lane = { PRIME_1 + PRIME_2, PRIME_2, 0, 0 - PRIME_1 } };
}

void snug_checksum_add(snug_checksum *sum, const void *data, size_t bytes)
{
    const unsigned char *at = data;
    const size_t waiting = (size_t)(sum->bytes % STRIPE_BYTES);

    sum->bytes += bytes;
    if (waiting > 0) {
        const size_t missing = snug_min_size(STRIPE_BYTES - waiting, bytes);

        memcpy(sum->rest + waiting, at, missing);
        at += missing;
        bytes -= missing;
        if (waiting + missing < STRIPE_BYTES)
            return;
        add_stripe(sum, sum->rest);
    }
    for (; bytes >= STRIPE_BYTES; at += STRIPE_BYTES, bytes -= STRIPE_BYTES)
        add_stripe(sum, at);
    if (bytes > 0)
        memcpy(sum->rest, at, bytes);
}

static uint64_t merge_lanes(const snug_checksum *sum)
{
    const uint64_t *lane = sum->lane;
    uint64_t hash = rotate_left(lane[0], 1) + rotate_left(lane[1], 7) + rotate_left(lane[2], 12) +
                    rotate_left(lane[3], 18);

    for (int i = 0; i < 4; i++)
        hash = (hash ^ round_of(0, lane[i])) * PRIME_1 + PRIME_4;
    return hash;
}

uint64_t snug_checksum_end(const snug_checksum *sum)
{
    const unsigned char *at = sum->rest;
    size_t left = (size_t)(sum->bytes % STRIPE_BYTES);
    uint64_t hash = (sum->bytes >= STRIPE_BYTES ? merge_lanes(sum) : PRIME_5) + sum->bytes;

    for (; left >= 8; at += 8, left -= 8)
        hash = rotate_left(hash ^ round_of(0, read_8(at)), 27) * PRIME_1 + PRIME_4;
    for (; left >= 4; at += 4, left -= 4)
        hash = rotate_left(hash ^ read_4(at) * PRIME_1, 23) * PRIME_2 + PRIME_3;
    for (; left > 0; at++, left--)
        hash = rotate_left(hash ^ *at * PRIME_5, 11) * PRIME_1;
    hash = (hash ^ hash >> 33) * PRIME_2;
    hash = (hash ^ hash >> 29) * PRIME_3;
    return hash ^ hash >> 32;
}
