/* SPDX-License-Identifier: Apache-2.0 */
/* x86/attend_avx2.c - body/attend.inc in the words of simd/avx2.h. */
#define ATTEND_FILL snug_attend_fill_avx2

#include "kernels/simd/avx2.h"

#include "kernels/body/attend.inc"
