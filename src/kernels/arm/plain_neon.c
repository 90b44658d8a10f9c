/* SPDX-License-Identifier: Apache-2.0 */
/* arm/plain_neon.c - body/plain.inc in the words of simd/neon.h. */
#define PLAIN_FILL snug_plain_fill_neon

#include "kernels/simd/neon.h"

#include "kernels/body/plain.inc"
