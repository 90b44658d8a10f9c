/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rotation.h - random signs, then an orthonormal Walsh-Hadamard transform over one head.
 *
 * It spreads what sits in a few dims over all of them, so that one scale per vector serves every dim. It is
 * orthonormal: keys and queries turned by the same seed keep their scores, and an attention output over
 * turned values is turned back once. (QuaRot, arXiv 2404.00456)
 *
 * A head size that is no power of two is cut into blocks that are, largest first: 80 = 64 + 16, 96 = 64 + 32,
 * 160 = 128 + 32. Each block is transformed by itself.
 *
 * Signs follow from the seed alone, so a saved cache carries only that: dim i changes its sign when bit i %
 * 64 of the (i / 64 + 1)-th number of base/random.h, started at state = seed, is set.
 */
#ifndef SNUG_SRC_CODEC_ROTATION_H
#define SNUG_SRC_CODEC_ROTATION_H

#include <stddef.h>
#include <stdint.h>

/* Turn x[head_dim] in place. head_dim is even, at most SNUG_HEAD_DIM_MAX. head_dim x log2(head_dim) adds. */
void snug_rotation_apply(float *x, size_t head_dim, uint64_t seed);

/* Turn back: apply, then undo gives x again, up to rounding. */
void snug_rotation_undo(float *x, size_t head_dim, uint64_t seed);

#endif /* SNUG_SRC_CODEC_ROTATION_H */
