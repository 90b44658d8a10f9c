/* SPDX-License-Identifier: Apache-2.0 */
/* What products of many tokens are made of with I8MM (body/product.inc): two rows by two tokens. */
#include <arm_neon.h>

#include "kernels/body/product.inc"

#define PRODUCT_SET(n)       vdupq_n_s32(n)
#define PRODUCT_ADD(s, a, b) vmmlaq_s32(s, a, b)
#define PRODUCT_JOIN(a, b)   vaddq_s32(a, b)
PRODUCT_LOOP(multiply_matrices, int32x4_t, int8x16_t, vdupq_n_s8(1))

const snug_product snug_product_matrices_i8mm = { "SMMLA, 2 x 2 x 8 bytes", PRODUCT_OPERATIONS(32),
                                                  multiply_matrices };
