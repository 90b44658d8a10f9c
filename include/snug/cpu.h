/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snug/cpu.h - the levels of instruction set that kernels are written for.
 *
 * A level names what real machines have together, so that few variants exist and each is tested. The level in
 * use is the best that the machine has and the mask (`--cpu`) allows. C is the reference: slow, always right.
 */
#ifndef SNUG_CPU_H
#define SNUG_CPU_H

#include <snug/base.h>

SNUG_BEGIN_DECLS

typedef enum snug_cpu_level {
    SNUG_CPU_AUTO = 0,       /* the best level of this machine */
    SNUG_CPU_C = 1,          /* plain C */
    SNUG_CPU_AVX2 = 2,       /* AVX2, FMA, F16C: Intel Haswell, AMD Zen and later */
    SNUG_CPU_AVX512 = 3,     /* AVX-512 F, BW, DQ, VL, VNNI: Intel Ice Lake, AMD Zen 4 and later */
    SNUG_CPU_AVX512BF16 = 4, /* the same with BF16 and VBMI: Intel Sapphire Rapids, AMD Zen 4 and later */
} snug_cpu_level;

/* The best level of this machine. Reads CPUID each time: keep the answer. */
SNUG_API snug_cpu_level snug_cpu_detect(void);

/* "c", "avx2", "avx512", "avx512bf16"; "auto" for SNUG_CPU_AUTO. Never NULL. */
SNUG_API const char *snug_cpu_level_name(snug_cpu_level level);

/* The level with that name; false when there is none. */
SNUG_API bool snug_cpu_level_parse(snug_cpu_level *level_out, const char *name);

SNUG_END_DECLS
#endif /* SNUG_CPU_H */
