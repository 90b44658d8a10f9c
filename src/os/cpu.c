/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu.c - snug/cpu.h. A processor that has an instruction is not enough: the system must also save its
 * registers at a thread switch, which XCR0 tells (Intel SDM volume 1, 14.3 and 15.2). On arm64 the system
 * itself says what programs may use, in the auxiliary vector (Linux, arch/arm64/elf_hwcaps.rst).
 */
#define _DEFAULT_SOURCE

#include <snug/cpu.h>

#include <string.h>

#if defined(__x86_64__)
#    include <cpuid.h>
#    include <sys/syscall.h>
#    include <unistd.h>
#elif defined(__aarch64__)
#    include <sys/auxv.h>
#endif

/* NULL where there is no such level. */
static const char *const level_names[] = {
    [SNUG_CPU_AUTO] = "auto",
    [SNUG_CPU_C] = "c",
    [SNUG_CPU_AVX2] = "avx2",
    [SNUG_CPU_AVX512] = "avx512",
    [SNUG_CPU_AVX512BF16] = "avx512bf16",
    [SNUG_CPU_AMX] = "amx",
    [SNUG_CPU_NEON] = "neon",
    [SNUG_CPU_I8MM] = "i8mm",
};

#define LEVEL_COUNT (sizeof level_names / sizeof level_names[0])

const char *snug_cpu_level_name(snug_cpu_level level)
{
    size_t number = (size_t)level;

    return number < LEVEL_COUNT && level_names[number] ? level_names[number] : "unknown";
}

bool snug_cpu_level_parse(snug_cpu_level *level_out, const char *name)
{
    for (size_t i = 0; i < LEVEL_COUNT; i++) {
        if (level_names[i] && strcmp(name, level_names[i]) == 0) {
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
    LEAF7_EDX_AMX = 1u << 24 | 1u << 25,                           /* AMX_TILE, AMX_INT8 */
    LEAF7_1_EAX_BF16 = 1u << 5,                                    /* AVX512_BF16 */
    XCR0_AVX = 1u << 1 | 1u << 2,                                  /* XMM, YMM */
    XCR0_AVX512 = 1u << 1 | 1u << 2 | 1u << 5 | 1u << 6 | 1u << 7, /* and masks, both halves of ZMM */
    XCR0_AMX = 1u << 17 | 1u << 18,                                /* the shapes of tiles, and their data */
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

/* Tiles are 8 KiB of a thread's registers, which Linux saves only for a process that has asked: from then on
 * every thread of it may use them, and the frames of its signals may be that much larger. Asked again it
 * costs a system call. (Linux, arch/x86/xstate.rst) */
static bool may_use_tiles(void)
{
    enum {
        REQUEST_PERMISSION = 0x1023, /* ARCH_REQ_XCOMP_PERM, unknown to older headers */
        TILE_DATA = 18
    };

    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

snug_cpu_level snug_cpu_detect(void)
{
    unsigned eax;
    unsigned ebx;
    unsigned ecx;
    unsigned edx;
    unsigned xcr0;
    unsigned leaf7_ecx;
    unsigned leaf7_edx;

    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !has_all(ecx, LEAF1_ECX))
        return SNUG_CPU_C;
    xcr0 = read_xcr0();
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !has_all(ebx, LEAF7_EBX_AVX2) ||
        !has_all(xcr0, XCR0_AVX))
        return SNUG_CPU_C;
    leaf7_ecx = ecx;
    leaf7_edx = edx;
    if (!has_all(ebx, LEAF7_EBX_AVX512 | LEAF7_EBX_VL) || !has_all(leaf7_ecx, LEAF7_ECX_VNNI) ||
        !has_all(xcr0, XCR0_AVX512))
        return SNUG_CPU_AVX2;
    if (eax < 1 || !__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) || !has_all(eax, LEAF7_1_EAX_BF16) ||
        !has_all(leaf7_ecx, LEAF7_ECX_VBMI))
        return SNUG_CPU_AVX512;
    if (!has_all(leaf7_edx, LEAF7_EDX_AMX) || !has_all(xcr0, XCR0_AMX) || !may_use_tiles())
        return SNUG_CPU_AVX512BF16;
    return SNUG_CPU_AMX;
}

#elif defined(__aarch64__)

/* Bits of AT_HWCAP and AT_HWCAP2; C libraries before glibc 2.30 have no names for the later ones. */
enum {
    HAS_ASIMD = 1u << 1,
    HAS_DOT_PRODUCT = 1u << 20, /* FEAT_DotProd: SDOT */
    HAS_I8MM = 1u << 13,        /* FEAT_I8MM: SMMLA, USDOT; in AT_HWCAP2 */
};

snug_cpu_level snug_cpu_detect(void)
{
    const unsigned long has = getauxval(AT_HWCAP);

    if (!(has & HAS_ASIMD) || !(has & HAS_DOT_PRODUCT))
        return SNUG_CPU_C;
    return getauxval(AT_HWCAP2) & HAS_I8MM ? SNUG_CPU_I8MM : SNUG_CPU_NEON;
}

#else

snug_cpu_level snug_cpu_detect(void)
{
    return SNUG_CPU_C;
}

#endif

bool snug_cpu_has(snug_cpu_level level)
{
    const snug_cpu_level best = snug_cpu_detect();

    /* The levels of a chain have numbers that share all but the last four bits. */
    return level == SNUG_CPU_C || (level > SNUG_CPU_C && level <= best && (level | 15) == (best | 15));
}
