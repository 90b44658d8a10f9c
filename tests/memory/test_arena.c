/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arenas and blocks: what the ledger says against what the kernel counts (RssAnon).
 */
#define _XOPEN_SOURCE 700

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/random.h"
#include "memory/memory.h"
#include "os/pages.h"
#include "tests/memory/kernel.h"

#define MIB   ((size_t)1 << 20)
#define SLACK ((uint64_t)64 * 1024) /* what the C library touches between two readings */

static snug_memory *make(uint64_t hard_bytes)
{
    snug_memory_options options = { .struct_size = sizeof options, .hard_bytes = hard_bytes };
    snug_memory *memory = NULL;

    assert_int_equal(snug_memory_create(&memory, &options), SNUG_OK);
    return memory;
}

static uint64_t used(const snug_memory *memory)
{
    return snug_memory_read_all(memory).used_bytes;
}

static void assert_near(uint64_t actual, uint64_t expected)
{
    if (actual > expected + SLACK || expected > actual + SLACK)
        fail_msg("%llu bytes are not within %llu of %llu", (unsigned long long)actual,
                 (unsigned long long)SLACK, (unsigned long long)expected);
}

static bool is_zero(const unsigned char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != 0)
            return false;
    }
    return true;
}

/* --- arenas ------------------------------------------------------------------------------------------- */

static void reserves_without_memory(void **state)
{
    snug_memory *memory = make(MIB);
    uint64_t before = read_kernel_bytes("RssAnon:");
    snug_arena arena = { 0 };

    (void)state;
    assert_int_equal(snug_arena_init(&arena, memory, SNUG_MEMORY_KV, (size_t)64 << 30, "cache", NULL),
                     SNUG_OK);
    assert_near(read_kernel_bytes("RssAnon:"), before);
    assert_int_equal(used(memory), 0);
    snug_arena_deinit(&arena);
    snug_arena_deinit(&arena); /* again: nothing left */
    snug_memory_destroy(memory);
}

/* The heart of the matter: what is taken appears in the kernel's count, and what is given back leaves it. */
static void returns_pages_to_the_system(void **state)
{
    snug_memory *memory = make(0);
    snug_arena arena = { 0 };
    uint64_t before;

    (void)state;
    assert_int_equal(snug_arena_init(&arena, memory, SNUG_MEMORY_KV, 256 * MIB, "cache", NULL), SNUG_OK);
    before = read_kernel_bytes("RssAnon:");
    assert_int_equal(snug_arena_commit(&arena, 48 * MIB, "cache", NULL), SNUG_OK);
    memset(arena.base, 1, 48 * MIB);
    assert_int_equal(used(memory), 48 * MIB);
    if (!IS_SANITIZED)
        assert_near(read_kernel_bytes("RssAnon:") - before, 48 * MIB);
    snug_arena_decommit(&arena, 16 * MIB);
    assert_int_equal(used(memory), 16 * MIB);
    if (!IS_SANITIZED)
        assert_near(read_kernel_bytes("RssAnon:") - before, 16 * MIB);
    assert_int_equal(arena.base[16 * MIB - 1], 1); /* what was kept is as it was */
    assert_int_equal(snug_arena_commit(&arena, 64 * MIB, "cache", NULL), SNUG_OK);
    assert_true(is_zero(arena.base + 16 * MIB, 48 * MIB)); /* what came back is new */
    if (!IS_SANITIZED)
        assert_true(read_kernel_bytes("RssAnon:") - before <= 64 * MIB + SLACK);
    snug_arena_deinit(&arena);
    if (!IS_SANITIZED)
        assert_near(read_kernel_bytes("RssAnon:"), before);
    assert_int_equal(used(memory), 0);
    assert_int_equal(snug_memory_read(memory, SNUG_MEMORY_KV).peak_bytes, 64 * MIB);
    snug_memory_destroy(memory);
}

/* Growing a little at a time must not leave a trail of mappings: the kernel allows 65530 of them. */
static void grows_as_one_mapping(void **state)
{
    snug_memory *memory = make(0);
    size_t page = snug_os_page_bytes();
    snug_arena arena = { 0 };
    unsigned long long last_end = 0;
    size_t mappings = 0;
    char line[512];
    FILE *maps;

    (void)state;
    assert_int_equal(snug_arena_init(&arena, memory, SNUG_MEMORY_KV, 4096 * page, "cache", NULL), SNUG_OK);
    for (size_t i = 1; i <= 2000; i++) {
        assert_int_equal(snug_arena_commit(&arena, i * page, "cache", NULL), SNUG_OK);
        if (i % 3 == 0)
            snug_arena_decommit(&arena, (i - 2) * page);
    }
    maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps)) {
        char *end;
        unsigned long long begin = strtoull(line, &end, 16);

        last_end = strtoull(end + 1, NULL, 16);
        mappings += last_end > (uintptr_t)arena.base && begin < (uintptr_t)arena.base + arena.reserved_bytes;
    }
    fclose(maps);
    assert_in_range(mappings, 1, 2);
    assert_int_equal(snug_memory_read(memory, SNUG_MEMORY_KV).blocks, 1); /* in however many pieces */
    snug_arena_deinit(&arena);
    snug_memory_destroy(memory);
}

static void rounds_to_pages(void **state)
{
    snug_memory *memory = make(0);
    size_t page = snug_os_page_bytes();
    snug_arena arena = { 0 };

    (void)state;
    assert_int_equal(snug_arena_init(&arena, memory, SNUG_MEMORY_KV, 3 * page - 1, "cache", NULL), SNUG_OK);
    assert_int_equal(arena.reserved_bytes, 3 * page);
    assert_int_equal((uintptr_t)arena.base % page, 0);
    assert_int_equal(snug_arena_commit(&arena, 0, "cache", NULL), SNUG_OK);
    assert_int_equal(used(memory), 0);
    assert_int_equal(snug_arena_commit(&arena, 1, "cache", NULL), SNUG_OK);
    assert_int_equal(arena.committed_bytes, page);
    assert_int_equal(snug_arena_commit(&arena, page + 1, "cache", NULL), SNUG_OK);
    assert_int_equal(used(memory), 2 * page);
    assert_int_equal(snug_arena_commit(&arena, page, "cache", NULL), SNUG_OK); /* less: stays */
    assert_int_equal(used(memory), 2 * page);
    snug_arena_decommit(&arena, page + 1);
    assert_int_equal(used(memory), 2 * page);
    snug_arena_decommit(&arena, 3 * page);
    snug_arena_decommit(&arena, page);
    assert_int_equal(used(memory), page);
    snug_arena_decommit(&arena, 0);
    assert_int_equal(used(memory), 0);
    assert_int_equal(snug_memory_read_all(memory).blocks, 0);
    snug_arena_deinit(&arena);
    snug_memory_destroy(memory);
}

/* Pages [first, last) of a bitmap, and how many runs it has. */
static void mark(bool *pages, size_t first, size_t last, bool is_usable)
{
    for (size_t i = first; i < last; i++)
        pages[i] = is_usable;
}

static size_t count_pages(const bool *pages, size_t count)
{
    size_t usable = 0;

    for (size_t i = 0; i < count; i++)
        usable += pages[i];
    return usable;
}

static size_t count_runs(const bool *pages, size_t count)
{
    size_t runs = 0;

    for (size_t i = 0; i < count; i++)
        runs += pages[i] && (i == 0 || !pages[i - 1]);
    return runs;
}

/* Every page that should be there is zero where new and keeps what was written; the sum is the ledger's. */
static void check_pages(snug_arena *arena, const bool *pages, bool *written, size_t count, uint64_t charged)
{
    const size_t page = snug_os_page_bytes();
    const size_t usable = count_pages(pages, count);

    for (size_t i = 0; i < count; i++) {
        if (pages[i])
            assert_int_equal(arena->base[i * page + 7], written[i] ? 1 : 0);
        if (pages[i])
            arena->base[i * page + 7] = 1;
        written[i] = pages[i];
    }
    assert_int_equal(arena->committed_bytes, usable * page);
    assert_int_equal(charged, usable * page);
    assert_int_equal(arena->range_count, count_runs(pages, count));
}

/* Ranges committed, released and kept at random, against a bitmap; with and without a credit. */
static void holds_any_ranges(void **state)
{
    enum {
        PAGES = 40,
        STEPS = 4000
    };
    const size_t page = snug_os_page_bytes();
    snug_memory *memory = make(0);
    snug_arena_credit credit = { 0 };
    snug_arena arena = { 0 };
    bool pages[PAGES] = { false }, written[PAGES] = { false };
    snug_random random = { 3 };

    (void)state;
    assert_int_equal(snug_arena_init(&arena, memory, SNUG_MEMORY_KV, PAGES * page, "cache", NULL), SNUG_OK);
    assert_int_equal(snug_memory_take(memory, SNUG_MEMORY_KV, PAGES * page, "ahead", NULL), SNUG_OK);
    credit.bytes = PAGES * page;
    for (int step = 0; step < STEPS; step++) {
        const size_t a = snug_random_next(&random) % (PAGES * page);
        const size_t b = a + snug_random_next(&random) % (PAGES * page - a);
        const snug_arena_range two[2] = { { a / 3, a / 2 }, { a, b } };
        bool next[PAGES];

        memcpy(next, pages, sizeof next);
        switch (snug_random_next(&random) % 3) {
        case 0:
            mark(next, a / page, a < b ? (b + page - 1) / page : a / page, true);
            if (count_runs(next, PAGES) > SNUG_ARENA_RANGES_MAX)
                continue;
            assert_int_equal(snug_arena_commit_range(&arena, a, b, "cache", NULL), SNUG_OK);
            break;
        case 1:
            mark(next, (a + page - 1) / page, b / page, false);
            if (count_runs(next, PAGES) > SNUG_ARENA_RANGES_MAX)
                continue;
            snug_arena_release(&arena, a, b);
            break;
        default:
            memset(next, 0, sizeof next);
            mark(next, a / 3 / page, a / 3 < a / 2 ? (a / 2 + page - 1) / page : 0, true);
            mark(next, a / page, a < b ? (b + page - 1) / page : 0, true);
            assert_int_equal(snug_arena_ranges_bytes(two, 2), page * count_pages(next, PAGES));
            for (size_t i = 0; i < PAGES; i++)
                next[i] = next[i] && pages[i];
            snug_arena_keep(&arena, two, 2);
        }
        memcpy(pages, next, sizeof pages);
        check_pages(&arena, pages, written, PAGES,
                    arena.credit ? PAGES * page - credit.bytes : used(memory) - PAGES * page);
        if (arena.committed_bytes == 0)
            arena.credit = arena.credit ? NULL : &credit;
    }
    snug_arena_deinit(&arena);
    snug_memory_give(memory, SNUG_MEMORY_KV, PAGES * page);
    assert_int_equal(used(memory), 0);
    assert_int_equal(snug_memory_read_all(memory).blocks, 0);
    snug_memory_destroy(memory);
}

static void keeps_what_it_had_when_refused(void **state)
{
    snug_memory *memory = make(2 * MIB);
    snug_arena arena = { 0 };
    snug_error error = { SNUG_OK, "" };

    (void)state;
    assert_int_equal(snug_arena_init(&arena, memory, SNUG_MEMORY_KV, 16 * MIB, "cache", NULL), SNUG_OK);
    assert_int_equal(snug_arena_commit(&arena, MIB, "cache", NULL), SNUG_OK);
    memset(arena.base, 7, MIB);
    assert_int_equal(snug_arena_commit(&arena, 3 * MIB, "64 more tokens", &error), SNUG_ERR_OVER_LIMIT);
    assert_string_equal(error.text,
                        "64 more tokens needs 2.0 MiB, but 1.0 MiB are left of the memory limit of "
                        "2.0 MiB (1.0 MiB in use)");
    assert_int_equal(arena.committed_bytes, MIB);
    assert_int_equal(arena.base[MIB - 1], 7);
    assert_int_equal(used(memory), MIB);
    snug_arena_deinit(&arena);
    snug_memory_destroy(memory);
}

/* RLIMIT_DATA makes mprotect fail: a refusal by the system, with the ledger as before. */
static void reports_a_refusal_by_the_system(void **state)
{
    snug_memory *memory = NULL;
    snug_arena arena = { 0 };
    snug_error error = { SNUG_OK, "" };
    struct rlimit before;
    struct rlimit tight;
    snug_status status;
    void *block;

    (void)state;
    if (IS_SANITIZED) {
        print_message("skipped: a sanitizer cannot live under RLIMIT_DATA\n");
        skip();
    }
    memory = make(0);
    assert_int_equal(snug_arena_init(&arena, memory, SNUG_MEMORY_KV, 64 * MIB, "cache", NULL), SNUG_OK);
    assert_int_equal(getrlimit(RLIMIT_DATA, &before), 0);
    tight = before;
    tight.rlim_cur = (rlim_t)(read_kernel_bytes("VmData:") + 8 * MIB);
    assert_int_equal(setrlimit(RLIMIT_DATA, &tight), 0);
    status = snug_arena_commit(&arena, 32 * MIB, "cache", &error);
    block = snug_memory_alloc(memory, SNUG_MEMORY_TEXT, 32 * MIB, "a table", NULL);
    assert_int_equal(setrlimit(RLIMIT_DATA, &before), 0);
    assert_int_equal(status, SNUG_ERR_NO_MEMORY);
    assert_non_null(strstr(error.text, "which the system refuses"));
    assert_null(block);
    assert_int_equal(arena.committed_bytes, 0);
    assert_int_equal(used(memory), 0);
    assert_int_equal(snug_memory_read_all(memory).blocks, 0);
    assert_int_equal(
        snug_arena_init(&(snug_arena){ 0 }, memory, SNUG_MEMORY_KV, SIZE_MAX, "everything", &error),
        SNUG_ERR_NO_MEMORY);
    snug_arena_deinit(&arena);
    snug_memory_destroy(memory);
}

static void remembers_the_highest_sample(void **state)
{
    snug_memory *memory = make(0);
    snug_arena arena = { 0 };
    uint64_t before = read_kernel_bytes("RssAnon:");

    (void)state;
    assert_int_equal(snug_memory_measured_peak(memory), 0);
    assert_int_equal(snug_arena_init(&arena, memory, SNUG_MEMORY_KV, 32 * MIB, "cache", NULL), SNUG_OK);
    assert_int_equal(snug_arena_commit(&arena, 32 * MIB, "cache", NULL), SNUG_OK);
    memset(arena.base, 1, 32 * MIB);
    snug_memory_sample(memory);
    snug_arena_deinit(&arena);
    snug_memory_sample(memory);
    if (!IS_SANITIZED)
        assert_near(snug_memory_measured_peak(memory), before + 32 * MIB);
    snug_memory_destroy(memory);
}

/* --- huge pages --------------------------------------------------------------------------------------- */

/* An arena of which `bytes` are committed and written to, and as much of it as can be lies in huge pages.
 * Skips the test where there are none. */
static void make_settled(snug_arena *arena, snug_memory *memory, size_t bytes)
{
    if (snug_os_huge_page_bytes() == 0) {
        snug_memory_destroy(memory);
        print_message("SKIPPED: this system has no huge pages\n");
        skip();
    }
    assert_int_equal(snug_arena_init(arena, memory, SNUG_MEMORY_KV, 64 * MIB, "cache", NULL), SNUG_OK);
    assert_int_equal(snug_arena_commit(arena, bytes, "cache", NULL), SNUG_OK);
    for (size_t i = 0; i < bytes; i++)
        arena->base[i] = (unsigned char)(i / 4096 + i);
    while (snug_arena_settle(arena, bytes)) {
    }
}

static void assert_kept(const snug_arena *arena, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (arena->base[i] != (unsigned char)(i / 4096 + i))
            fail_msg("byte %zu is %u", i, arena->base[i]);
}

/* Whether the kernel says that the page at `at` is part of a huge one; -1: it does not tell (not root). */
static int is_huge(const unsigned char *at)
{
    const size_t page = snug_os_page_bytes();
    const int map = open("/proc/self/pagemap", O_RDONLY);
    const int flags = open("/proc/kpageflags", O_RDONLY);
    uint64_t entry = 0, word = 0;
    int result = -1;

    if (map >= 0 && flags >= 0 &&
        pread(map, &entry, sizeof entry, (off_t)((uintptr_t)at / page * sizeof entry)) == sizeof entry &&
        (entry & (((uint64_t)1 << 55) - 1)) != 0 &&
        pread(flags, &word, sizeof word, (off_t)((entry & (((uint64_t)1 << 55) - 1)) * sizeof word)) ==
            sizeof word)
        result = word >> 22 & 1; /* KPF_THP */
    if (map >= 0)
        close(map);
    if (flags >= 0)
        close(flags);
    return result;
}

static void huge_pages_change_neither_content_nor_what_is_resident(void **state)
{
    const size_t huge = snug_os_huge_page_bytes();
    snug_memory *memory = make(0);
    uint64_t before = read_kernel_bytes("RssAnon:");
    snug_arena arena = { 0 };

    (void)state;
    make_settled(&arena, memory, 9 * MIB);
    assert_int_equal(arena.settled_bytes, 9 * MIB / huge * huge);
    assert_kept(&arena, 9 * MIB);
    assert_int_equal(used(memory), 9 * MIB);
    assert_int_equal(snug_memory_read(memory, SNUG_MEMORY_KV).peak_bytes, 9 * MIB);
    if (!IS_SANITIZED)
        assert_near(read_kernel_bytes("RssAnon:") - before, 9 * MIB);
    if (is_huge(arena.base) == 1)
        assert_int_not_equal(is_huge(arena.base + arena.settled_bytes), 1);
    else
        print_message("the kernel made, or showed, no huge page\n");
    snug_arena_deinit(&arena);
    if (!IS_SANITIZED)
        assert_near(read_kernel_bytes("RssAnon:"), before);
    snug_memory_destroy(memory);
}

/* Half a huge page would stay charged to the control group: the kernel must have split it. */
static void a_part_of_a_huge_page_goes_back_too(void **state)
{
    static const size_t cuts[] = { 8 * MIB, 7 * MIB + 4096, 6 * MIB - 4096, 4 * MIB + 1, 3 * MIB, 4096 };
    const size_t huge = snug_os_huge_page_bytes();
    snug_memory *memory = make(0);
    uint64_t before = read_kernel_bytes("RssAnon:");
    snug_arena arena = { 0 };

    (void)state;
    make_settled(&arena, memory, 9 * MIB);
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        snug_arena_decommit(&arena, cuts[i]);
        assert_int_equal(arena.settled_bytes, arena.committed_bytes / huge * huge);
        assert_kept(&arena, cuts[i]);
        if (!IS_SANITIZED)
            assert_near(read_kernel_bytes("RssAnon:") - before, arena.committed_bytes);
        if (arena.committed_bytes % huge > 0)
            assert_int_not_equal(is_huge(arena.base + arena.committed_bytes - 1), 1);
    }
    assert_int_equal(snug_arena_commit(&arena, 9 * MIB, "cache", NULL), SNUG_OK);
    assert_kept(&arena, 4096);
    assert_true(is_zero(arena.base + 4096, 9 * MIB - 4096));
    snug_arena_deinit(&arena);
    assert_int_equal(used(memory), 0);
    snug_memory_destroy(memory);
}

static void makes_no_huge_page_that_the_limit_has_no_room_for(void **state)
{
    const size_t huge = snug_os_huge_page_bytes();
    snug_memory *memory = make(9 * MIB + huge - 1);
    snug_arena arena = { 0 };

    (void)state;
    make_settled(&arena, memory, 9 * MIB);
    assert_int_equal(arena.settled_bytes, 0);
    assert_int_equal(snug_memory_set_limits(memory, 0, 9 * MIB + huge), SNUG_OK);
    assert_true(snug_arena_settle(&arena, 9 * MIB));
    assert_int_equal(arena.settled_bytes, huge);
    assert_false(snug_arena_settle(&arena, 2 * huge - 1)); /* not filled */
    assert_true(snug_arena_settle(&arena, 2 * huge));
    snug_arena_deinit(&arena);
    snug_memory_destroy(memory);
}

/* --- blocks ------------------------------------------------------------------------------------------- */

static void gives_zeroed_aligned_blocks_of_every_size(void **state)
{
    static const size_t sizes[] = { 0,     1,     63,    64,    65,    4095,  4096,    65407,
                                    65408, 65471, 65472, 65473, 65535, 65536, 1000000, 3 * MIB };
    snug_memory *memory = make(0);

    (void)state;
    for (size_t round = 0; round < 2; round++) { /* the second round gets what the first left dirty */
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            unsigned char *block = snug_memory_alloc(memory, SNUG_MEMORY_TEXT, sizes[i], "a block", NULL);

            assert_non_null(block);
            assert_int_equal((uintptr_t)block % 64, 0);
            assert_true(is_zero(block, sizes[i]));
            assert_int_equal(used(memory), snug_memory_block_bytes(sizes[i]));
            assert_true(used(memory) >= sizes[i] && used(memory) <= sizes[i] + 64 * 3 + 4096);
            assert_int_equal(snug_memory_read(memory, SNUG_MEMORY_TEXT).blocks, 1);
            memset(block, 0xff, sizes[i]);
            snug_memory_free(memory, block);
            assert_int_equal(used(memory), 0);
        }
    }
    snug_memory_free(memory, NULL);
    snug_memory_destroy(memory);
}

static void returns_large_blocks_to_the_system(void **state)
{
    snug_memory *memory = make(0);
    uint64_t before = read_kernel_bytes("RssAnon:");
    void *blocks[100];

    (void)state;
    for (size_t i = 0; i < 100; i++) {
        blocks[i] = snug_memory_alloc(memory, SNUG_MEMORY_SCRATCH, 100000 + i, "scratch", NULL);
        assert_non_null(blocks[i]);
        memset(blocks[i], 1, 100000 + i);
    }
    if (!IS_SANITIZED)
        assert_near(read_kernel_bytes("RssAnon:") - before, used(memory));
    for (size_t i = 0; i < 99; i++) /* the last one stays: a heap would keep all below it */
        snug_memory_free(memory, blocks[i]);
    if (!IS_SANITIZED)
        assert_near(read_kernel_bytes("RssAnon:") - before, used(memory));
    snug_memory_free(memory, blocks[99]);
    snug_memory_destroy(memory);
}

/* What is charged for small blocks is what they cost, the heap's own bookkeeping included. */
static void charges_what_small_blocks_cost(void **state)
{
    enum {
        COUNT = 20000
    };
    static const size_t sizes[] = { 8, 40, 64, 100, 200, 1000 };
    snug_memory *memory = make(0);
    void **blocks = malloc(COUNT * sizeof *blocks);

    (void)state;
    assert_non_null(blocks);
    memset(blocks, 0, COUNT * sizeof *blocks);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint64_t before = read_kernel_bytes("RssAnon:");
        uint64_t cost;

        for (size_t j = 0; j < COUNT; j++)
            blocks[j] = snug_memory_alloc(memory, SNUG_MEMORY_TEXT, sizes[i], "a small block", NULL);
        cost = read_kernel_bytes("RssAnon:") - before;
        print_message("%zu bytes: charged %llu, cost %llu\n", sizes[i],
                      (unsigned long long)used(memory) / COUNT, (unsigned long long)cost / COUNT);
        if (!IS_SANITIZED && i == 0) /* later rounds reuse what the heap kept */
            assert_true(cost <= used(memory) + SLACK && cost >= used(memory) / 2);
        for (size_t j = 0; j < COUNT; j++)
            snug_memory_free(memory, blocks[j]);
    }
    free(blocks);
    snug_memory_destroy(memory);
}

static void refuses_a_block_past_the_limit(void **state)
{
    snug_memory *memory = make(1000);
    snug_error error = { SNUG_OK, "" };
    void *block = snug_memory_alloc(memory, SNUG_MEMORY_TEXT, 500, "names", &error);

    (void)state;
    assert_non_null(block);
    assert_null(snug_memory_alloc(memory, SNUG_MEMORY_TEXT, 500, "more names", &error));
    assert_int_equal(error.status, SNUG_ERR_OVER_LIMIT);
    assert_memory_equal(error.text, "more names needs", 16);
    snug_memory_free(memory, block);
    snug_memory_destroy(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reserves_without_memory),
        cmocka_unit_test(returns_pages_to_the_system),
        cmocka_unit_test(grows_as_one_mapping),
        cmocka_unit_test(rounds_to_pages),
        cmocka_unit_test(holds_any_ranges),
        cmocka_unit_test(keeps_what_it_had_when_refused),
        cmocka_unit_test(reports_a_refusal_by_the_system),
        cmocka_unit_test(remembers_the_highest_sample),
        cmocka_unit_test(huge_pages_change_neither_content_nor_what_is_resident),
        cmocka_unit_test(a_part_of_a_huge_page_goes_back_too),
        cmocka_unit_test(makes_no_huge_page_that_the_limit_has_no_room_for),
        cmocka_unit_test(gives_zeroed_aligned_blocks_of_every_size),
        cmocka_unit_test(returns_large_blocks_to_the_system),
        cmocka_unit_test(charges_what_small_blocks_cost),
        cmocka_unit_test(refuses_a_block_past_the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
