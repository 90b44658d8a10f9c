/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snug/cpu.h - the levels of instruction set that kernels are written for.
 *
 * A level names what real machines have together, so that few variants exist and each is tested. The level in
 * use is the best that the machine has and the mask (`--cpu`) allows. C is the reference: slow, always right.
 *
 * Every machine has C. The others are one chain for each kind of processor, each level with all of those
 * below it in its chain: 2 to 15 are of x86-64, 16 to 31 of arm64.
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
    SNUG_CPU_AMX = 5,        /* the same with AMX-INT8: Intel Sapphire Rapids and later */
    SNUG_CPU_NEON = 16,      /* NEON with dot products: Arm Cortex-A76, Neoverse N1, Apple A13 and later */
    SNUG_CPU_I8MM = 17, /* the same with products of matrices: Neoverse V1, Cortex-A710, Apple M2 and later */
} snug_cpu_level;

/* The best level of this machine. Asks the processor each time: keep the answer. Where it has AMX, the kernel
 * is asked to let this process use it; if it refuses, the level is the one below. */
SNUG_API snug_cpu_level snug_cpu_detect(void);

/* Whether this machine has that level. Not AUTO, which is none. */
SNUG_API bool snug_cpu_has(snug_cpu_level level);

/* "c", "avx2", "avx512", "avx512bf16", "amx", "neon", "i8mm"; "auto" for SNUG_CPU_AUTO. Never NULL. */
SNUG_API const char *snug_cpu_level_name(snug_cpu_level level);

/* The level with that name; false when there is none. */
SNUG_API bool snug_cpu_level_parse(snug_cpu_level *level_out, const char *name);

SNUG_END_DECLS
#endif /* SNUG_CPU_H */
