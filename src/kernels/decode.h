/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decode.h - quantized weights taken apart: integers, and what to make of them. The one form that all
 * quantized types have in common; exact products, panels and embeddings start from it.
 */
#ifndef SNUG_SRC_KERNELS_DECODE_H
#define SNUG_SRC_KERNELS_DECODE_H

#include <stdint.h>

#include "base/weight.h"

#define SNUG_DECODE_COLUMNS 256 /* most columns decoded at once */
#define SNUG_DECODE_RUN     16  /* columns that surely share a scale */

/*
 * Up to 256 values of a row: value[i] = scale[i / 16] * integer[i] + minimum[i / 16], the product rounded to
 * f32 before the sum. That gives every type's values bit for bit; a type without minimums has -0, which
 * changes nothing. Integers of blocks are -128 .. 127,
 * those of AFFINE8 0 .. 255.
 */
typedef struct snug_decoded {
    int16_t integer[SNUG_DECODE_COLUMNS];
    float scale[SNUG_DECODE_COLUMNS / SNUG_DECODE_RUN];
    float minimum[SNUG_DECODE_COLUMNS / SNUG_DECODE_RUN];
} snug_decoded;

/* X(TYPE, "name"): all types that are taken apart. */
#define SNUG_DECODED_TYPES(X)                                                                                \
    X(Q4_0, "q4_0")                                                                                          \
    X(Q4_1, "q4_1")                                                                                          \
    X(Q5_0, "q5_0")                                                                                          \
    X(Q5_1, "q5_1")                                                                                          \
    X(Q8_0, "q8_0")                                                                                          \
    X(Q2_K, "q2_k")                                                                                          \
    X(Q3_K, "q3_k")                                                                                          \
    X(Q4_K, "q4_k")                                                                                          \
    X(Q5_K, "q5_k")                                                                                          \
    X(Q6_K, "q6_k")                                                                                          \
    X(IQ4_NL, "iq4_nl")                                                                                      \
    X(IQ4_XS, "iq4_xs")                                                                                      \
    X(MXFP4, "mxfp4")                                                                                        \
    X(AFFINE2, "affine2")                                                                                    \
    X(AFFINE3, "affine3")                                                                                    \
    X(AFFINE4, "affine4")                                                                                    \
    X(AFFINE5, "affine5")                                                                                    \
    X(AFFINE6, "affine6")                                                                                    \
    X(AFFINE8, "affine8")

#endif /* SNUG_SRC_KERNELS_DECODE_H */
