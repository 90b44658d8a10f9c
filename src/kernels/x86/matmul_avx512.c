/* SPDX-License-Identifier: Apache-2.0 */
/* x86/matmul_avx512.c - body/matmul.inc in the words of simd/avx512.h. */
#define MATMUL_FILL    snug_matmul_fill_avx512
#define MATMUL_PRODUCT snug_product_floats_avx512

#include "kernels/simd/avx512.h"

#include "kernels/body/matmul.inc"
