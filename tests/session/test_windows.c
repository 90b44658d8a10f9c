/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weights read in windows, as in a small group: the same bits come out, every weight is asked for, and never
 * more of it at once than is allowed. What the system is asked is seen by a wrapper around madvise().
 */
#define _DEFAULT_SOURCE /* madvise */

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/mman.h>

#include <snug/snug.h>

#include "os/thread.h"
#include "session/session.h"
#include "tests/support/sanitizer.h"

#define MODEL   SNUG_SOURCE_FOLDER "/models/mini"
#define THREADS 2
#define TOKENS  24 /* more than a product of few */
#define PAGE    ((size_t)4096)

#ifndef MADV_POPULATE_READ
#    define MADV_POPULATE_READ 22
#endif

int __real_madvise(void *address, size_t bytes, int advice);
int __wrap_madvise(void *address, size_t bytes, int advice);

static _Atomic uint64_t asked_bytes;
static _Atomic uint64_t largest_bytes;
static _Atomic uint64_t huge_bytes; /* of mapped weights advised to lie in huge pages */
static const snug_model *watched;   /* whose weights */
static _Atomic uint64_t populated_bytes;
static _Atomic bool is_populate_refused;

/* The mapping begins before its first tensor, with the header. */
static bool is_mapped(const void *address)
{
    const unsigned char *first = snug_checkpoint_tensor(watched->checkpoint, 0)->data;
    const uint64_t mapped = snug_checkpoint_mapped_bytes(watched->checkpoint);

    return (uintptr_t)address + mapped > (uintptr_t)first && (uintptr_t)address < (uintptr_t)first + mapped;
}

int __wrap_madvise(void *address, size_t bytes, int advice)
{
    uint64_t largest = atomic_load(&largest_bytes);

    if (advice == MADV_HUGEPAGE && watched && is_mapped(address))
        atomic_fetch_add(&huge_bytes, bytes);
    if (advice == MADV_WILLNEED) {
        atomic_fetch_add(&asked_bytes, bytes);
        while (bytes > largest && !atomic_compare_exchange_weak(&largest_bytes, &largest, bytes))
            continue;
    }
    if (advice == MADV_POPULATE_READ) {
        const int result = __real_madvise(address, bytes, advice);

        if (result == 0)
            atomic_fetch_add(&populated_bytes, bytes);
        else
            atomic_store(&is_populate_refused, true);
        return result;
    }
    return __real_madvise(address, bytes, advice);
}

/* Logits after a prompt, and after one token more. */
static float *run(snug_memory *memory, snug_model *model, uint64_t reading_bytes)
{
    const snug_session_options options = { .struct_size = sizeof options,
                                           .context_tokens = 64,
                                           .threads = THREADS };
    const size_t bytes = model->shape.vocabulary * sizeof(float);
    float *logits = malloc(2 * bytes);
    snug_session *session;
    uint32_t ids[TOKENS + 1];
    snug_error error = { SNUG_OK, "" };

    assert_non_null(logits);
    for (uint32_t i = 0; i <= TOKENS; i++)
        ids[i] = 7 + 31 * i;
    model->reading_bytes = reading_bytes;
    if (snug_session_create(&session, model, memory, &options, &error) != SNUG_OK ||
        snug_session_eval(session, ids, TOKENS, NULL, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    memcpy(logits, snug_session_logits(session), bytes);
    if (snug_session_eval(session, &ids[TOKENS], 1, NULL, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    memcpy((unsigned char *)logits + bytes, snug_session_logits(session), bytes);
    snug_session_destroy(session);
    return logits;
}

/* All that a pass reads, without the head that comes after it. */
static uint64_t layer_bytes(const snug_model *model)
{
    return model->token_weight_bytes - (uint64_t)model->head.rows * model->head.row_bytes;
}

/* What is in memory is asked for in one pass, and no more; once it is gone, it is again, in the same pass. */
static void windows_end_where_weights_are_in_memory(void **state)
{
    const snug_session_options options = { .struct_size = sizeof options, .threads = THREADS };
    uint32_t ids[4 * TOKENS];
    snug_memory *memory;
    snug_model *model;
    snug_session *session;

    (void)state;
    for (uint32_t i = 0; i < 4 * TOKENS; i++)
        ids[i] = 7 + 31 * i % 400;
    assert_int_equal(snug_memory_create(&memory, NULL), SNUG_OK);
    assert_int_equal(snug_model_open(&model, memory, MODEL, NULL, NULL), SNUG_OK);
    model->reading_bytes = 1 << 20;
    assert_int_equal(snug_session_create(&session, model, memory, &options, NULL), SNUG_OK);
    for (int pass = 0; pass < 3; pass++) { /* the first may read, the second asks */
        atomic_store(&asked_bytes, 0);
        assert_int_equal(snug_session_eval(session, &ids[pass], 1, NULL, NULL), SNUG_OK);
        assert_true(pass != 0 || atomic_load(&asked_bytes) >= layer_bytes(model));
    }
    assert_int_equal(atomic_load(&asked_bytes), 0);
    /* As if many pages had been waited for since the pass began: all that comes next is asked for. */
    session->pass.reading.is_resident = true;
    snug_read_watch_begin(&session->pass.reading);
    assert_false(snug_read_watch_asks(&session->pass.reading));
    session->pass.reading.faults -= 100;
    assert_true(snug_read_watch_asks(&session->pass.reading));
    assert_true(snug_read_watch_asks(&session->pass.reading));
    /* As if something had been read meanwhile. */
    session->pass.reading.blocks--;
    snug_read_watch_end(&session->pass.reading, true);
    assert_true(snug_read_watch_asks(&session->pass.reading));
    snug_session_destroy(session);
    snug_model_close(model);
    snug_memory_destroy(memory);
}

/* Of files, in this process; by the kernel. */
static uint64_t mapped_resident_bytes(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    unsigned long long kib = 0;
    char line[256];

    assert_non_null(status);
    while (fgets(line, sizeof line, status))
        if (sscanf(line, "RssFile: %llu", &kib) == 1)
            break;
    (void)fclose(status);
    return kib << 10;
}

/* Once they were used: they stay in the page cache, but the process no longer counts as holding them. */
static void windows_are_unmapped_behind_the_product(void **state)
{
    const snug_session_options options = { .struct_size = sizeof options, .threads = THREADS };
    snug_memory *memory;
    snug_model *model;
    snug_session *session;
    uint64_t before, in_memory;

    (void)state;
    TEST_SKIP_UNDER_SANITIZERS();
    assert_int_equal(snug_memory_create(&memory, NULL), SNUG_OK);
    assert_int_equal(snug_model_open(&model, memory, MODEL, NULL, NULL), SNUG_OK);
    assert_int_equal(snug_session_create(&session, model, memory, &options, NULL), SNUG_OK);
    snug_checkpoint_read_around(model->checkpoint, false);
    model->reading_bytes = 1 << 20;
    before = mapped_resident_bytes();
    assert_int_equal(snug_session_eval(session, (uint32_t[]){ 7 }, 1, NULL, NULL), SNUG_OK);
    in_memory = snug_model_resident_bytes(model);
    printf("of %llu KiB in memory %llu more are mapped\n", (unsigned long long)in_memory >> 10,
           (unsigned long long)(mapped_resident_bytes() - before) >> 10);
    assert_true(in_memory >= layer_bytes(model));
    assert_true(mapped_resident_bytes() < before + layer_bytes(model) / 2);
    snug_session_destroy(session);
    snug_model_close(model);
    snug_memory_destroy(memory);
}

static void windows_change_no_bit(void **state)
{
    static const uint64_t reading_bytes[] = { 1, 128 * 1024, 300 * 1000, 1 << 20 };
    snug_memory *memory;
    snug_model *model;
    float *usual;

    (void)state;
    assert_int_equal(snug_memory_create(&memory, NULL), SNUG_OK);
    assert_int_equal(snug_model_open(&model, memory, MODEL, NULL, NULL), SNUG_OK);
    atomic_store(&asked_bytes, 0);
    usual = run(memory, model, SNUG_MEMORY_NO_LIMIT);
    assert_int_equal(atomic_load(&asked_bytes), 0); /* the system reads ahead by itself */
    for (size_t i = 0; i < sizeof reading_bytes / sizeof *reading_bytes; i++) {
        /* For each thread what is multiplied and what comes next, but at least 16 KiB; whole pages. */
        const uint64_t share = reading_bytes[i] / (2 * THREADS);
        const uint64_t window = share > 16 * 1024 ? share : 16 * 1024;
        float *windows;

        atomic_store(&asked_bytes, 0);
        atomic_store(&largest_bytes, 0);
        windows = run(memory, model, reading_bytes[i]);
        assert_memory_equal(windows, usual, 2 * model->shape.vocabulary * sizeof *usual);
        /* In the first pass; after it they are in memory. */
        assert_true(atomic_load(&asked_bytes) >= layer_bytes(model));
        assert_true(atomic_load(&largest_bytes) <= window + 2 * PAGE);
        free(windows);
    }
    free(usual);
    snug_model_close(model);
    assert_int_equal(snug_memory_read_all(memory).used_bytes, 0);
    snug_memory_destroy(memory);
}

static uint64_t huge_bytes_of(const snug_model *model, snug_memory *memory)
{
    const snug_session_options options = { .struct_size = sizeof options, .context_tokens = 64 };
    snug_session *session;

    atomic_store(&huge_bytes, 0);
    watched = model;
    assert_int_equal(snug_session_create(&session, model, memory, &options, NULL), SNUG_OK);
    watched = NULL;
    snug_session_destroy(session);
    return atomic_load(&huge_bytes);
}

/* None where they are read in windows, or do not fit beside it (another model wants more than any machine
 * has); all of them, once for all sessions, where they stay in memory. */
static void weights_that_stay_may_lie_in_huge_pages(void **state)
{
    const uint64_t more_than_there_is = UINT64_MAX / 4;
    snug_memory *memory;
    snug_model *model;
    uint64_t mapped;

    (void)state;
    assert_int_equal(snug_memory_create(&memory, NULL), SNUG_OK);
    assert_int_equal(snug_model_open(&model, memory, MODEL, NULL, NULL), SNUG_OK);
    mapped = snug_checkpoint_mapped_bytes(model->checkpoint);
    model->reading_bytes = 1 << 20;
    assert_true(huge_bytes_of(model, memory) == 0);
    model->reading_bytes = SNUG_MEMORY_NO_LIMIT;
    snug_memory_want_weights(memory, more_than_there_is);
    assert_true(huge_bytes_of(model, memory) == 0);
    snug_memory_unwant_weights(memory, more_than_there_is);
    assert_true(huge_bytes_of(model, memory) == mapped);
    assert_true(huge_bytes_of(model, memory) == 0);
    snug_model_close(model);
    snug_memory_destroy(memory);
}

/* Until as much was populated, or the system has said that it does not do it. */
static void wait_for(uint64_t bytes)
{
    while (atomic_load(&populated_bytes) < bytes && !atomic_load(&is_populate_refused))
        snug_os_thread_yield();
}

static void weights_are_read_ahead_once(void **state)
{
    snug_memory *memory;
    snug_model *model;
    uint64_t pages;
    uint64_t used;

    (void)state;
    assert_int_equal(snug_memory_create(&memory, NULL), SNUG_OK);
    assert_int_equal(snug_model_open(&model, memory, MODEL, NULL, NULL), SNUG_OK);
    pages = (snug_checkpoint_mapped_bytes(model->checkpoint) + PAGE - 1) / PAGE * PAGE;
    used = snug_memory_read_all(memory).used_bytes;
    atomic_store(&populated_bytes, 0);
    model->reading_bytes = 1 << 20; /* in windows: not at all */
    snug_model_warm(model);
    assert_int_equal(snug_memory_read_all(memory).used_bytes, used);
    model->reading_bytes = SNUG_MEMORY_NO_LIMIT;
    assert_int_equal(snug_memory_set_limits(memory, 0, used), SNUG_OK); /* no room for the thread */
    snug_model_warm(model);
    assert_int_equal(snug_memory_read_all(memory).used_bytes, used);
    assert_int_equal(atomic_load(&populated_bytes), 0);
    assert_int_equal(snug_memory_set_limits(memory, 0, 0), SNUG_OK);
    snug_model_warm(model);
    snug_model_warm(model);
    assert_true(snug_memory_read_all(memory).used_bytes > used);
    wait_for(pages);
    snug_model_close(model);
    assert_int_equal(snug_memory_read_all(memory).used_bytes, 0);
    if (atomic_load(&is_populate_refused))
        skip();
    assert_int_equal(atomic_load(&populated_bytes), pages);
    snug_memory_destroy(memory);
}

/* Closed before it is done. */
static void reading_ahead_ends_with_the_model(void **state)
{
    snug_memory *memory;
    snug_model *model;

    (void)state;
    assert_int_equal(snug_memory_create(&memory, NULL), SNUG_OK);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(snug_model_open(&model, memory, MODEL, NULL, NULL), SNUG_OK);
        snug_model_warm(model);
        snug_model_close(model);
        assert_int_equal(snug_memory_read_all(memory).used_bytes, 0);
    }
    snug_memory_destroy(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_end_where_weights_are_in_memory),
        cmocka_unit_test(windows_change_no_bit),
        cmocka_unit_test(windows_are_unmapped_behind_the_product),
        cmocka_unit_test(weights_that_stay_may_lie_in_huge_pages),
        cmocka_unit_test(weights_are_read_ahead_once),
        cmocka_unit_test(reading_ahead_ends_with_the_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
