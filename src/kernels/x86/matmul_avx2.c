/* SPDX-License-Identifier: Apache-2.0 */
/* x86/matmul_avx2.c - body/matmul.inc in the words of simd/avx2.h. */
#define MATMUL_FILL    snug_matmul_fill_avx2
#define MATMUL_PRODUCT snug_product_floats_avx2

#include "kernels/simd/avx2.h"

#include "kernels/body/matmul.inc"
