/* SPDX-License-Identifier: Apache-2.0 */
/*
 * random.h - a small seeded generator (SplitMix64; Steele, Lea, Flood, OOPSLA 2014). The same seed gives the
 * same numbers on every machine. Not for secrets.
 */
#ifndef SNUG_SRC_BASE_RANDOM_H
#define SNUG_SRC_BASE_RANDOM_H

#include <stdint.h>

typedef struct snug_random {
    uint64_t state;
} snug_random;

static inline uint64_t snug_random_next(snug_random *random)
{
    uint64_t z = (random->state += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* Uniform in [0, 1), 53 bits. */
static inline double snug_random_unit(snug_random *random)
{
    return (double)(snug_random_next(random) >> 11) * 0x1p-53;
}

#endif /* SNUG_SRC_BASE_RANDOM_H */
