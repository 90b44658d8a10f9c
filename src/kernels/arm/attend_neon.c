/* SPDX-License-Identifier: Apache-2.0 */
/* arm/attend_neon.c - body/attend.inc in the words of simd/neon.h. */
#define ATTEND_FILL snug_attend_fill_neon

#include "kernels/simd/neon.h"

#include "kernels/body/attend.inc"
