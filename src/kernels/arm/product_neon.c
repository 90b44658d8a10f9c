/* SPDX-License-Identifier: Apache-2.0 */
/* What products of many tokens are made of with NEON and dot products (body/product.inc). */
#include <arm_neon.h>

#include "kernels/body/product.inc"

#define PRODUCT_SET(n)       vdupq_n_f32((float)(n))
#define PRODUCT_ADD(s, a, b) vfmaq_f32(s, a, b)
#define PRODUCT_JOIN(a, b)   vaddq_f32(a, b)
PRODUCT_LOOP(multiply_floats, float32x4_t, float32x4_t, vdupq_n_f32(0.5f))
#undef PRODUCT_SET
#undef PRODUCT_ADD
#undef PRODUCT_JOIN

#define PRODUCT_SET(n)       vdupq_n_s32(n)
#define PRODUCT_ADD(s, a, b) vdotq_s32(s, a, b)
#define PRODUCT_JOIN(a, b)   vaddq_s32(a, b)
PRODUCT_LOOP(multiply_bytes, int32x4_t, int8x16_t, vdupq_n_s8(1))

const snug_product snug_product_floats_neon = { "FMLA, 4 floats", PRODUCT_OPERATIONS(4), multiply_floats };
const snug_product snug_product_bytes_neon = { "SDOT, 16 bytes", PRODUCT_OPERATIONS(16), multiply_bytes };
