/* SPDX-License-Identifier: Apache-2.0 */
/* x86/plain_avx2.c - body/plain.inc in the words of simd/avx2.h. */
#define PLAIN_FILL snug_plain_fill_avx2

#include "kernels/simd/avx2.h"

#include "kernels/body/plain.inc"
