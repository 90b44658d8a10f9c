/* SPDX-License-Identifier: Apache-2.0 */
/* x86/plain_avx512.c - body/plain.inc in the words of simd/avx512.h. */
#define PLAIN_FILL snug_plain_fill_avx512

#include "kernels/simd/avx512.h"

#include "kernels/body/plain.inc"
