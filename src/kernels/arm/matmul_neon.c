/* SPDX-License-Identifier: Apache-2.0 */
/* arm/matmul_neon.c - body/matmul.inc in the words of simd/neon.h. */
#define MATMUL_FILL    snug_matmul_fill_neon
#define MATMUL_PRODUCT snug_product_floats_neon

#include "kernels/simd/neon.h"

#include "kernels/body/matmul.inc"
