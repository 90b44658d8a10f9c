/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_demotion_memory.c - what snug_kv_demote() promises, by the kernel's figures: the process shrinks by
 * the bytes reported, and down to 4 bits it does not grow first.
 */
#define _XOPEN_SOURCE 700

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/status.h"
#include "kv/kv.h"
#include "os/machine.h"
#include "tests/support/sanitizer.h"

/* 64 MiB of codes at 8 bits: of each plane more than a huge page, and a part of one. */
enum {
    LAYERS = 2,
    KV_HEADS = 8,
    HEAD_DIM = 128,
    TOKENS = 16500,
    WIDTH = KV_HEADS * HEAD_DIM
};

static const snug_kv_coding planes = { SNUG_KV_FORMAT_PLANES, 8, 0 };
static const snug_kv_coding f16 = { SNUG_KV_FORMAT_F16, 0, 0 };

typedef struct rig {
    snug_memory *memory;
    snug_kernels kernels;
    snug_work *work;
    snug_kv_layer layer[LAYERS];
    snug_kv_shape shape;
    snug_kv *kv;
    void *scratch; /* of two threads */
} rig;

static void fill(rig *r)
{
    snug_random random = { 5 };
    float *x = malloc(WIDTH * sizeof *x);

    r->scratch = aligned_alloc(64, (2 * snug_kv_thread_scratch_bytes(HEAD_DIM) + 63) / 64 * 64);
    assert_true(x && r->scratch);
    memset(r->scratch, 0, 2 * snug_kv_thread_scratch_bytes(HEAD_DIM)); /* there before anything is measured */
    for (uint32_t i = 0; i < WIDTH; i++)
        x[i] = (float)snug_random_unit(&random) - 0.5f;
    assert_int_equal(snug_kv_grow(r->kv, TOKENS, NULL), SNUG_OK);
    for (uint32_t layer = 0; layer < LAYERS; layer++)
        for (uint32_t t = 0; t < TOKENS; t++) {
            if (t % SNUG_TILE_TOKENS == 0)
                assert_true(snug_kv_make_room(r->kv, r->work, layer, t, r->scratch) >= SNUG_TILE_TOKENS);
            x[t % WIDTH] = -x[t % WIDTH];
            snug_kv_write(r->kv, layer, t, x, x);
        }
    snug_kv_set_tokens(r->kv, TOKENS);
    free(x);
}

static uint64_t anonymous_bytes(void)
{
    return snug_os_process_memory_read_exact("").anonymous_bytes;
}

/* Huge pages, where the system has them: what is resident stays the same to some dozen pages. */
static void settle(rig *r)
{
    const uint64_t before = anonymous_bytes();

    snug_kv_settle(r->kv, UINT32_MAX);
    assert_in_range(anonymous_bytes(), before - 128 * 1024, before + 128 * 1024);
    assert_true(snug_kv_is_valid(r->kv));
}

static void rig_open(rig *r, snug_kv_coding coding, bool is_settled)
{
    const snug_kv_options options = { .struct_size = sizeof options,
                                      .context_tokens = TOKENS,
                                      .config = { .key = coding, .value = coding } };

    *r = (rig){ .shape = { LAYERS, r->layer } };
    assert_int_equal(
        snug_memory_create(&r->memory, &(snug_memory_options){ .struct_size = sizeof(snug_memory_options) }),
        SNUG_OK);
    assert_int_equal(snug_work_create(&r->work, r->memory, 2, NULL), SNUG_OK);
    snug_kernels_init(&r->kernels, SNUG_CPU_AUTO, false);
    for (int i = 0; i < LAYERS; i++)
        r->layer[i] = (snug_kv_layer){ .kv_head_count = KV_HEADS, .head_dim = HEAD_DIM };
    assert_int_equal(snug_kv_create(&r->kv, &r->shape, r->memory, &r->kernels, &options, NULL), SNUG_OK);
    fill(r);
    if (is_settled)
        settle(r);
}

static void rig_close(rig *r)
{
    snug_kv_destroy(r->kv);
    snug_work_destroy(r->work);
    assert_int_equal(snug_memory_read_all(r->memory).used_bytes, 0);
    snug_memory_destroy(r->memory);
    free(r->scratch);
}

/* The most that was resident since reset_peak(). */
static uint64_t peak_bytes(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    unsigned long long kilobytes = 0;

    assert_non_null(file);
    while (kilobytes == 0 && fgets(line, sizeof line, file))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kilobytes = strtoull(line + 6, NULL, 10);
    fclose(file);
    assert_true(kilobytes > 0);
    return kilobytes * 1024;
}

static bool reset_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");
    bool is_reset = file && fputs("5", file) >= 0;

    if (file && fclose(file) != 0)
        is_reset = false;
    return is_reset;
}

/* Demote and compare: the ledger exactly, the kernel within 1 %. */
static void check_step(rig *r, const snug_kv_target *target)
{
    const uint64_t ledger = snug_memory_read(r->memory, SNUG_MEMORY_KV).used_bytes;
    const uint64_t before = anonymous_bytes();
    snug_kv_demotion foreseen = { .struct_size = sizeof foreseen };
    uint64_t bytes, fell;

    assert_int_equal(snug_kv_foresee_demotion(&foreseen, r->kv, target, NULL), SNUG_OK);
    assert_int_equal(snug_kv_demote_rows(r->kv, target, r->work, r->scratch, &bytes, NULL), SNUG_OK);
    fell = before - anonymous_bytes();
    assert_int_equal(bytes, foreseen.returned_bytes);
    assert_true(bytes >= (uint64_t)1 << 20);
    assert_int_equal(ledger - snug_memory_read(r->memory, SNUG_MEMORY_KV).used_bytes, bytes);
    if (fell < bytes - bytes / 100 || fell > bytes + bytes / 100)
        fail_msg("to %u/%u bits: %llu bytes promised, the process shrank by %llu", target->key_bits,
                 target->value_bits, (unsigned long long)bytes, (unsigned long long)fell);
}

static void the_process_shrinks_by_what_is_promised(void **state)
{
    static const uint32_t steps[][6] = { { 6, 5, 4, 3, 2 }, { 4, 2 } };

    (void)state;
    TEST_SKIP_UNDER_SANITIZERS();
    for (size_t i = 0; i < SNUG_COUNT(steps); i++) {
        rig r;

        rig_open(&r, planes, i == 0);
        for (int s = 0; steps[i][s]; s++)
            check_step(&r, &(snug_kv_target){ .struct_size = sizeof(snug_kv_target),
                                              .key_bits = steps[i][s],
                                              .value_bits = steps[i][s] });
        rig_close(&r);
    }
}

static void so_it_does_for_a_side_or_some_layers(void **state)
{
    const snug_kv_target keys = { .struct_size = sizeof keys, .key_bits = 4 };
    const snug_kv_target layers = {
        .struct_size = sizeof layers, .first_layer = 1, .layer_count = 1, .key_bits = 2, .value_bits = 5
    };
    rig r;

    (void)state;
    TEST_SKIP_UNDER_SANITIZERS();
    rig_open(&r, planes, true);
    check_step(&r, &keys);
    check_step(&r, &layers);
    rig_close(&r);
}

/* Planes are given back, nothing is taken before: the kernel's counters are right to some dozen pages. */
static void down_to_4_bits_nothing_is_taken_first(void **state)
{
    const snug_kv_target target = { .struct_size = sizeof target, .key_bits = 4, .value_bits = 4 };
    uint64_t before;
    rig r;

    (void)state;
    TEST_SKIP_UNDER_SANITIZERS();
    rig_open(&r, planes, true);
    if (!reset_peak()) {
        rig_close(&r);
        printf("SKIPPED: this kernel does not reset VmHWM (/proc/self/clear_refs)\n");
        skip();
    }
    before = peak_bytes();
    assert_int_equal(snug_kv_demote(r.kv, &target, NULL, NULL), SNUG_OK);
    assert_true(peak_bytes() < before + 256 * 1024);
    rig_close(&r);
}

/* Half of a cache of f16, and all of it; the kernel's peak rises by no more than what is foreseen. */
static void f16_becomes_codes_in_its_own_memory(void **state)
{
    const snug_kv_target half = {
        .struct_size = sizeof half, .layer_count = LAYERS / 2, .key_bits = 8, .value_bits = 4
    };
    const snug_kv_target rest = { .struct_size = sizeof rest, .key_bits = 8, .value_bits = 8 };
    snug_kv_demotion foreseen = { .struct_size = sizeof foreseen };
    bool can_reset;
    uint64_t before;
    rig r;

    (void)state;
    TEST_SKIP_UNDER_SANITIZERS();
    rig_open(&r, f16, true);
    can_reset = reset_peak();
    before = can_reset ? peak_bytes() : 0;
    assert_int_equal(snug_kv_foresee_demotion(&foreseen, r.kv, &half, NULL), SNUG_OK);
    assert_true(foreseen.extra_bytes < 4 * (uint64_t)SNUG_TILE_TOKENS * WIDTH);
    check_step(&r, &half);
    check_step(&r, &rest);
    if (can_reset)
        assert_true(peak_bytes() < before + foreseen.extra_bytes + 256 * 1024);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_process_shrinks_by_what_is_promised),
        cmocka_unit_test(so_it_does_for_a_side_or_some_layers),
        cmocka_unit_test(down_to_4_bits_nothing_is_taken_first),
        cmocka_unit_test(f16_becomes_codes_in_its_own_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
