/* SPDX-License-Identifier: Apache-2.0 */
/*
 * x86/attend_coded_vbmi.c - body/attend_coded.inc with AVX-512, VNNI and VBMI.
 */
#include "kernels/x86/attend_levels_vbmi.h"

#define ATTEND_CODED_FILL snug_attend_coded_fill_vbmi

#include "kernels/body/attend_coded.inc"

void snug_attend_coded_vbmi(const snug_attend_coded_task *task)
{
    attend_coded(task);
}
