/* SPDX-License-Identifier: Apache-2.0 */
/* x86/attend_avx512.c - body/attend.inc in the words of simd/avx512.h. */
#define ATTEND_FILL snug_attend_fill_avx512

#include "kernels/simd/avx512.h"

#include "kernels/body/attend.inc"
