/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clock, processor, memory readings: against the kernel's own words, read here in another way.
 */
#define _DEFAULT_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__aarch64__)
#    include <sys/auxv.h>
#endif

#include <cmocka.h>

#include "os/machine.h"
#include "os/thread.h"
#include "tests/os/tree.h"

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/* The number behind `key` in a file of lines "key: number kB", in bytes. */
static uint64_t read_line(const char *path, const char *key)
{
    FILE *file = fopen(path, "r");
    char line[512];
    unsigned long long kilobytes = 0;

    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)) == 0)
            kilobytes = strtoull(line + strlen(key), NULL, 10);
    }
    fclose(file);
    return kilobytes * 1024;
}

#if !defined(__aarch64__)
static bool has_flag(const char *flag)
{
    FILE *file = fopen("/proc/cpuinfo", "r");
    char padded[64];
    static char line[16384];
    bool is_found = false;

    assert_non_null(file);
    snprintf(padded, sizeof padded, " %s ", flag);
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = ' ';
        if (strncmp(line, "flags", 5) == 0)
            is_found = strstr(line, padded) != NULL;
    }
    fclose(file);
    return is_found;
}

static bool has_flags(const char *const *flags)
{
    for (; *flags; flags++) {
        if (!has_flag(*flags))
            return false;
    }
    return true;
}

enum {
    ARCH_GET_PERMISSION = 0x1022, /* ARCH_GET_XCOMP_PERM, unknown to older headers */
    TILE_DATA = 1u << 18
};

/* The kernel lists an instruction set only when it saves its registers: the same question, another answer. */
static void detects_what_the_kernel_lists(void **state)
{
    static const char *const avx2[] = { "avx2", "fma", "f16c", NULL };
    static const char *const avx512[] = {
        "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", NULL
    };
    static const char *const bf16[] = { "avx512_bf16", "avx512_vbmi", NULL };
    static const char *const amx[] = { "amx_tile", "amx_int8", NULL };
    snug_cpu_level expected = SNUG_CPU_C;

    (void)state;
    if (has_flags(avx2))
        expected = SNUG_CPU_AVX2;
    if (expected == SNUG_CPU_AVX2 && has_flags(avx512))
        expected = SNUG_CPU_AVX512;
    if (expected == SNUG_CPU_AVX512 &&
        (has_flags(bf16) || (has_flag("avx512_bf16") && has_flag("avx512vbmi"))))
        expected = SNUG_CPU_AVX512BF16;

    const snug_cpu_level detected = snug_cpu_detect();
    unsigned long granted = 0;

    /* Tiles only where the kernel says that this process may use them, which detection has asked for. */
    (void)syscall(SYS_arch_prctl, ARCH_GET_PERMISSION, &granted);
    if (expected == SNUG_CPU_AVX512BF16 && has_flags(amx) && granted & TILE_DATA)
        expected = SNUG_CPU_AMX;
    assert_string_equal(snug_cpu_level_name(detected), snug_cpu_level_name(expected));
}
#else
/* The same question to the processor's identification registers, which the kernel lets programs read. */
static void detects_what_the_kernel_lists(void **state)
{
    snug_cpu_level expected = SNUG_CPU_C;
    uint64_t instructions0;
    uint64_t instructions1;

    (void)state;
    if (!(getauxval(AT_HWCAP) & 1u << 11)) { /* HWCAP_CPUID */
        print_message("the kernel keeps the identification registers to itself\n");
        skip();
    }
    __asm__ volatile("mrs %0, id_aa64isar0_el1" : "=r"(instructions0));
    __asm__ volatile("mrs %0, id_aa64isar1_el1" : "=r"(instructions1));
    if (instructions0 >> 44 & 15) /* DP */
        expected = instructions1 >> 52 & 15 ? SNUG_CPU_I8MM : SNUG_CPU_NEON;
    assert_string_equal(snug_cpu_level_name(snug_cpu_detect()), snug_cpu_level_name(expected));
}
#endif

static void has_the_levels_up_to_its_best_one(void **state)
{
    (void)state;
    assert_true(snug_cpu_has(SNUG_CPU_C));
    assert_true(snug_cpu_has(snug_cpu_detect()));
    assert_false(snug_cpu_has(SNUG_CPU_AUTO));
#if defined(__aarch64__)
    assert_false(snug_cpu_has(SNUG_CPU_AVX2));
    assert_true(snug_cpu_detect() < SNUG_CPU_NEON || snug_cpu_has(SNUG_CPU_NEON));
#else
    assert_false(snug_cpu_has(SNUG_CPU_NEON));
    assert_true(snug_cpu_detect() < SNUG_CPU_AVX2 || snug_cpu_has(SNUG_CPU_AVX2));
#endif
    assert_false(snug_cpu_has((snug_cpu_level)((int)snug_cpu_detect() + 1)));
}

static void parses_every_level_name(void **state)
{
    snug_cpu_level level = SNUG_CPU_C;

    (void)state;
    for (int i = SNUG_CPU_AUTO; i <= SNUG_CPU_I8MM; i++) {
        if (i > SNUG_CPU_AMX && i < SNUG_CPU_NEON) {
            assert_string_equal(snug_cpu_level_name((snug_cpu_level)i), "unknown");
            continue;
        }
        assert_true(snug_cpu_level_parse(&level, snug_cpu_level_name((snug_cpu_level)i)));
        assert_int_equal(level, i);
    }
    assert_false(snug_cpu_level_parse(&level, "AVX2"));
    assert_false(snug_cpu_level_parse(&level, ""));
    assert_false(snug_cpu_level_parse(&level, "avx"));
    assert_int_equal(level, SNUG_CPU_I8MM); /* left alone */
}

static void knows_the_processor(void **state)
{
    char name[128] = "";
    char cut[5];
    uint32_t count = snug_os_cpu_count();

    (void)state;
    assert_true(count >= 1 && count <= (uint32_t)sysconf(_SC_NPROCESSORS_ONLN));
    snug_os_cpu_name(name, sizeof name);
    assert_true(strlen(name) > 0 && !strchr(name, '\n') && name[0] != ' ');
    snug_os_cpu_name(cut, sizeof cut);
    assert_memory_equal(cut, name, 4);
}

static void has_a_clock_that_moves_forward(void **state)
{
    uint64_t begin = snug_os_clock_ns();
    uint64_t end;

    (void)state;
    nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
    end = snug_os_clock_ns();
    assert_true(end - begin >= 2000000 && end - begin < 2000000000);
}

#define TOUCHED_BYTES ((size_t)32 << 20)
#define SLACK_BYTES   ((uint64_t)1 << 20)

static void sees_memory_that_was_touched(void **state)
{
    snug_os_process_memory before = snug_os_process_memory_read();
    snug_os_process_memory after;
    snug_os_process_memory exact;
    char *bytes = malloc(TOUCHED_BYTES);

    (void)state;
    assert_non_null(bytes);
    memset(bytes, 1, TOUCHED_BYTES);
    after = snug_os_process_memory_read();
    exact = snug_os_process_memory_read_exact("");
    assert_true(after.anonymous_bytes - before.anonymous_bytes > TOUCHED_BYTES - SLACK_BYTES);
    assert_true(after.resident_bytes == after.anonymous_bytes + after.file_bytes);
    assert_true(distance(exact.anonymous_bytes, read_line("/proc/self/status", "RssAnon:") +
                                                    read_line("/proc/self/status", "RssShmem:")) <
                SLACK_BYTES);
    assert_true(distance(exact.file_bytes, read_line("/proc/self/status", "RssFile:")) < SLACK_BYTES);
    assert_true(distance(exact.anonymous_bytes, after.anonymous_bytes) < SLACK_BYTES);
    free(bytes);
}

/* It runs at each token. Measured on a virtual machine of an AMD EPYC: 1.3 us; the bound is for slow ones. */
static void reads_process_memory_in_microseconds(void **state)
{
    uint64_t begin = snug_os_clock_ns();
    uint64_t ns;

    (void)state;
    for (int i = 0; i < 1000; i++)
        (void)snug_os_process_memory_read();
    ns = (snug_os_clock_ns() - begin) / 1000;
    print_message("process memory: %llu ns a reading\n", (unsigned long long)ns);
    assert_true(ns < 100000);
}

static void reads_host_memory(void **state)
{
    snug_os_host_memory host = snug_os_host_memory_read("");

    (void)state;
    assert_int_equal(host.total_bytes, read_line("/proc/meminfo", "MemTotal:"));
    assert_true(host.available_bytes <= host.total_bytes);
    assert_true(host.free_bytes <= host.total_bytes);
    assert_true(host.swap_free_bytes <= read_line("/proc/meminfo", "SwapTotal:"));
}

static void reads_host_memory_of_a_tree(void **state)
{
    snug_os_host_memory host;
    tree fixture;

    (void)state;
    tree_create(&fixture);
    host = snug_os_host_memory_read(fixture.root);
    assert_true(host.total_bytes == SNUG_OS_UNKNOWN && host.available_bytes == SNUG_OS_UNKNOWN);
    tree_write(&fixture, "/proc/meminfo",
               "MemTotal:       24684092 kB\nMemFree:         1000 kB\nXMemAvailable: 5 kB\n"
               "SwapFree:       99999999999999999999 kB\n");
    host = snug_os_host_memory_read(fixture.root);
    assert_int_equal(host.total_bytes, 24684092ull * 1024);
    assert_int_equal(host.free_bytes, 1000 * 1024);
    assert_true(host.available_bytes == SNUG_OS_UNKNOWN); /* not there: not 5 kB, and not 0 */
    assert_true(host.swap_free_bytes == SNUG_OS_UNKNOWN); /* more than 64 bits */
    tree_write(&fixture, "/proc/meminfo",
               "MemTotal: 18014398509481984 kB\nMemAvailable: x kB\nMemFree: 12x\n");
    host = snug_os_host_memory_read(fixture.root);
    assert_true(host.total_bytes == SNUG_OS_UNKNOWN); /* in bytes it would wrap around to 0 */
    assert_true(host.available_bytes == SNUG_OS_UNKNOWN && host.free_bytes == SNUG_OS_UNKNOWN);
    tree_remove(&fixture);
}

static void reads_rlimits(void **state)
{
    struct rlimit before;
    struct rlimit lowered;
    snug_os_rlimits limits;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_DATA, &before), 0);
    lowered = before;
    lowered.rlim_cur = (rlim_t)1 << 45;
    assert_int_equal(setrlimit(RLIMIT_DATA, &lowered), 0);
    limits = snug_os_rlimits_read();
    assert_int_equal(setrlimit(RLIMIT_DATA, &before), 0);
    assert_int_equal(limits.data_bytes, (uint64_t)1 << 45);
    assert_true(distance(limits.data_used_bytes, read_line("/proc/self/status", "VmData:")) < SLACK_BYTES);
    assert_true(distance(limits.address_space_used_bytes, read_line("/proc/self/status", "VmSize:")) <
                SLACK_BYTES);
    if (before.rlim_cur == RLIM_INFINITY)
        assert_true(snug_os_rlimits_read().data_bytes == SNUG_OS_NO_LIMIT);
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec now;

    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Beside the thread's own clock; the kernel notes what it tells at each tick of its own. */
static void tells_what_a_thread_had_of_the_processors(void **state)
{
    const uint64_t tick_ns = 20000000;
    uint64_t ran, waited, ran_then, waited_then;
    const uint64_t begun = thread_cpu_ns();

    (void)state;
    if (!snug_os_thread_read_times(&ran, &waited)) {
        printf("SKIPPED: this kernel has no schedstat\n");
        skip();
    }
    while (thread_cpu_ns() - begun < 5 * tick_ns) {
    }
    assert_true(snug_os_thread_read_times(&ran_then, &waited_then));
    assert_true(waited_then >= waited);
    assert_true(distance(ran_then - ran, thread_cpu_ns() - begun) < 2 * tick_ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(detects_what_the_kernel_lists),
        cmocka_unit_test(has_the_levels_up_to_its_best_one),
        cmocka_unit_test(parses_every_level_name),
        cmocka_unit_test(knows_the_processor),
        cmocka_unit_test(has_a_clock_that_moves_forward),
        cmocka_unit_test(sees_memory_that_was_touched),
        cmocka_unit_test(reads_process_memory_in_microseconds),
        cmocka_unit_test(reads_host_memory),
        cmocka_unit_test(reads_host_memory_of_a_tree),
        cmocka_unit_test(reads_rlimits),
        cmocka_unit_test(tells_what_a_thread_had_of_the_processors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
