/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu.c - snug/cpu.h. A processor that has an instruction is not enough: the system must also save its
 * registers at a thread switch, which XCR0 tells (Intel SDM volume 1, 14.3 and 15.2).
 */
#include <snug/cpu.h>

#include <string.h>

#if defined(__x86_64__)
#    include <cpuid.h>
#endif

/* Indexed by snug_cpu_level. */
static const char *const level_names[] = { "auto", "c", "avx2", "avx512", "avx512bf16" };

#define LEVEL_COUNT (sizeof level_names / sizeof level_names[0])

const char *snug_cpu_level_name(snug_cpu_level level)
{
    size_t number = (size_t)level;

    return number < LEVEL_COUNT ? level_names[number] : "unknown";
}

bool snug_cpu_level_parse(snug_cpu_level *level_out, const char *name)
{
    for (size_t i = 0; i < LEVEL_COUNT; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *level_out = (snug_cpu_level)i;
            return true;
        }
    }
    return false;
}

#if defined(__x86_64__)

/* Bits of CPUID's answers (Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E). */
enum {
    LEAF1_ECX = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29,         /* FMA, OSXSAVE, AVX, F16C */
    LEAF7_EBX_AVX2 = 1u << 5,                                      /* AVX2 */
    LEAF7_EBX_AVX512 = 1u << 16 | 1u << 17 | 1u << 30,             /* F, DQ, BW; VL is bit 31, see below */
    LEAF7_ECX_VNNI = 1u << 11,                                     /* AVX512_VNNI */
    LEAF7_ECX_VBMI = 1u << 1,                                      /* AVX512_VBMI */
    LEAF7_1_EAX_BF16 = 1u << 5,                                    /* AVX512_BF16 */
    XCR0_AVX = 1u << 1 | 1u << 2,                                  /* XMM, YMM */
    XCR0_AVX512 = 1u << 1 | 1u << 2 | 1u << 5 | 1u << 6 | 1u << 7, /* and masks, both halves of ZMM */
};
#    define LEAF7_EBX_VL (1u << 31) /* too large for an enum constant in C11 */

static bool has_all(unsigned word, unsigned bits)
{
    return (word & bits) == bits;
}

/* Which register sets the system saves. Only where CPUID says OSXSAVE. */
static unsigned read_xcr0(void)
{
    unsigned low;
    unsigned high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    (void)high;
    return low;
}

snug_cpu_level snug_cpu_detect(void)
{
    unsigned eax;
    unsigned ebx;
    unsigned ecx;
    unsigned edx;
    unsigned xcr0;
    unsigned leaf7_ecx;

    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !has_all(ecx, LEAF1_ECX))
        return SNUG_CPU_C;
    xcr0 = read_xcr0();
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !has_all(ebx, LEAF7_EBX_AVX2) ||
        !has_all(xcr0, XCR0_AVX))
        return SNUG_CPU_C;
    leaf7_ecx = ecx;
    if (!has_all(ebx, LEAF7_EBX_AVX512 | LEAF7_EBX_VL) || !has_all(leaf7_ecx, LEAF7_ECX_VNNI) ||
        !has_all(xcr0, XCR0_AVX512))
        return SNUG_CPU_AVX2;
    if (eax < 1 || !__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) || !has_all(eax, LEAF7_1_EAX_BF16) ||
        !has_all(leaf7_ecx, LEAF7_ECX_VBMI))
        return SNUG_CPU_AVX512;
    return SNUG_CPU_AVX512BF16;
}

#else

snug_cpu_level snug_cpu_detect(void)
{
    return SNUG_CPU_C;
}

#endif
