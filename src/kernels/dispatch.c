/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dispatch.c - which function runs on which machine: the C reference first, then each level that the machine
 * has overwrites the entries it is better at. Reading this file tells what any processor runs.
 */
#include "kernels/kernels.h"

#include "kernels/variants.h"

#ifdef SNUG_KERNELS_X86
static void fill_x86(snug_kernels *kernels)
{
    if (kernels->level < SNUG_CPU_AVX2) /* before Haswell (2013) and Zen (2017) */
        return;
    snug_attend_fill_avx2(kernels);
    snug_matmul_fill_avx2(kernels);
    snug_plain_fill_avx2(kernels);
    if (!kernels->exact) {
        snug_attend_coded_fill_avx2(kernels);
        snug_integer_few_fill_avx2(kernels);
        snug_integer_many_fill_avx2(kernels);
    }

    if (kernels->level < SNUG_CPU_AVX512) /* before Ice Lake (2019) and Zen 4 (2022) */
        return;
    snug_attend_fill_avx512(kernels);
    snug_matmul_fill_avx512(kernels);
    snug_plain_fill_avx512(kernels);
    if (!kernels->exact) {
        snug_attend_coded_fill_avx512(kernels);
        snug_matmul_fixed_fill_avx512(kernels);
        snug_integer_few_fill_avx512(kernels);
        snug_integer_many_fill_avx512(kernels);
    }

    if (kernels->level < SNUG_CPU_AVX512BF16) /* before Sapphire Rapids (2023) and Zen 4 */
        return;
    if (!kernels->exact)
        snug_attend_coded_fill_vbmi(kernels);

    /* BF16 itself adds nothing: a product of activations rounded to bf16 moves the logits by up to 8 % of
     * their standard deviation, and two products that repair this cost as much as f32
     * (x86/matmul_fixed_avx512.c has the figures). */

    if (kernels->level < SNUG_CPU_AMX) /* before Sapphire Rapids; no AMD */
        return;
    if (!kernels->exact)
        snug_attend_coded_fill_amx(kernels);
}
#endif

#ifdef SNUG_KERNELS_ARM
static void fill_arm(snug_kernels *kernels)
{
    if (kernels->level < SNUG_CPU_NEON) /* before Cortex-A76 and Neoverse N1 (2018) */
        return;
    snug_attend_fill_neon(kernels);
    snug_matmul_fill_neon(kernels);
    snug_plain_fill_neon(kernels);
    if (!kernels->exact) {
        snug_attend_coded_fill_neon(kernels);
        snug_integer_few_fill_neon(kernels);
        snug_integer_many_fill_neon(kernels);
    }

    if (kernels->level < SNUG_CPU_I8MM) /* before Neoverse V1 (2020) and Cortex-A710 (2021) */
        return;
    if (!kernels->exact) {
        snug_attend_coded_fill_i8mm(kernels);
        snug_integer_many_fill_i8mm(kernels);
    }
}
#endif

void snug_kernels_init(snug_kernels *kernels, snug_cpu_level level, bool exact)
{
    if (!snug_cpu_has(level))
        level = snug_cpu_detect();
    *kernels = (snug_kernels){ .level = level, .exact = exact };

    snug_attend_fill_c(kernels);
    snug_convert_fill_c(kernels);
    snug_matmul_fill_c(kernels);
    snug_plain_fill_c(kernels);
    snug_unpack_fill_c(kernels);
#ifdef SNUG_KERNELS_X86
    fill_x86(kernels);
#endif
#ifdef SNUG_KERNELS_ARM
    fill_arm(kernels);
#endif
}
