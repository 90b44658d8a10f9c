/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread pool: every part once, never two parts with one worker's index, sleeping and waking, its memory.
 */
#define _XOPEN_SOURCE 700

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

#include "memory/memory.h"
#include "os/machine.h"
#include "tests/memory/kernel.h"
#include "work/work.h"

enum {
    PARTS_MAX = 5000,
    THREADS_MAX = 64
};

static snug_memory *make_memory(uint64_t hard_bytes)
{
    snug_memory_options options = { .struct_size = sizeof options, .hard_bytes = hard_bytes };
    snug_memory *memory = NULL;

    assert_int_equal(snug_memory_create(&memory, &options), SNUG_OK);
    return memory;
}

static snug_work *make_work(snug_memory *memory, uint32_t threads)
{
    snug_work *work = NULL;

    assert_int_equal(snug_work_create(&work, memory, threads, NULL), SNUG_OK);
    return work;
}

typedef struct tally {
    uint32_t threads;
    bool is_wrong;
    uint32_t runs[PARTS_MAX];          /* plain: only the part's own thread writes it */
    _Atomic bool is_busy[THREADS_MAX]; /* whether a part runs with that index */
} tally;

static void count_part(void *user, size_t part, uint32_t worker)
{
    tally *counts = user;

    if (worker >= counts->threads || part >= PARTS_MAX || atomic_exchange(&counts->is_busy[worker], true)) {
        counts->is_wrong = true;
        return;
    }
    counts->runs[part]++;
    atomic_store(&counts->is_busy[worker], false);
}

static void runs_every_part_once(void **state)
{
    static const uint32_t threads[] = { 1, 2, 3, 4, 7, 8, 16 };
    static const size_t parts[] = { 0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 33, 100, 1000, PARTS_MAX };
    static tally counts;
    snug_memory *memory = make_memory(0);

    (void)state;
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        snug_work *work = make_work(memory, threads[i]);

        assert_int_equal(snug_work_threads(work), threads[i]);
        for (size_t j = 0; j < sizeof parts / sizeof parts[0]; j++) {
            memset(counts.runs, 0, sizeof counts.runs);
            counts.threads = threads[i];
            snug_work_run(work, count_part, &counts, parts[j]);
            assert_false(counts.is_wrong);
            for (size_t part = 0; part < PARTS_MAX; part++)
                assert_int_equal(counts.runs[part], part < parts[j]);
        }
        snug_work_destroy(work);
    }
    snug_memory_destroy(memory);
}

/* One job after another, each reading what the one before wrote: the life of a token. Plain memory, so that
 * a thread sanitizer sees every missing order. */
typedef struct chain {
    uint64_t values[2][64];
    size_t parts;
    int side;
} chain;

static void mix_part(void *user, size_t part, uint32_t worker)
{
    chain *self = user;
    const uint64_t *from = self->values[self->side];
    uint64_t *to = self->values[!self->side];

    (void)worker;
    to[part] = from[part] * 31 + from[(part + 1) % self->parts] + part;
}

static uint64_t run_chain(snug_work *work, size_t rounds)
{
    chain self = { .side = 0 };
    uint64_t sum = 0;

    for (size_t round = 0; round < rounds; round++) {
        self.parts = 2 + round % 63;
        snug_work_run(work, mix_part, &self, self.parts);
        self.side = !self.side;
    }
    for (size_t i = 0; i < 64; i++)
        sum = sum * 1000003 + self.values[self.side][i];
    return sum;
}

static void gives_the_same_result_for_any_number_of_threads(void **state)
{
    enum {
        ROUNDS = 3000
    };
    snug_memory *memory = make_memory(0);
    uint64_t expected = 0;

    (void)state;
    for (uint32_t threads = 1; threads <= 8; threads++) {
        snug_work *work = make_work(memory, threads);
        uint64_t begin = snug_os_clock_ns();
        uint64_t result = run_chain(work, ROUNDS);

        print_message("%u threads: %llu ns a job\n", threads,
                      (unsigned long long)(snug_os_clock_ns() - begin) / ROUNDS);
        if (threads == 1)
            expected = result;
        assert_true(result == expected);
        snug_work_destroy(work);
    }
    snug_memory_destroy(memory);
}

/* Pauses longer than the workers spin: they sleep, and must be woken; and pauses of about that length, where
 * falling asleep and waking meet. */
static void wakes_sleeping_workers(void **state)
{
    snug_memory *memory = make_memory(0);
    snug_work *work = make_work(memory, 2);
    static tally counts;

    (void)state;
    counts.threads = 2;
    for (int round = 0; round < 400; round++) {
        struct timespec pause = { .tv_nsec = round % 8 == 0 ? 1000000 : 5000 * (round % 16) };

        nanosleep(&pause, NULL);
        memset(counts.runs, 0, sizeof counts.runs);
        snug_work_run(work, count_part, &counts, 5);
        assert_false(counts.is_wrong);
        for (size_t part = 0; part < 6; part++)
            assert_int_equal(counts.runs[part], part < 5);
    }
    snug_work_destroy(work);
    snug_memory_destroy(memory);
}

static void work_hard(void *user, size_t part, uint32_t worker)
{
    struct timespec pause = { .tv_nsec = part == 0 ? 3000000 : 0 };

    (void)worker;
    nanosleep(&pause, NULL); /* one slow part: the caller runs out of parts, and sleeps */
    atomic_fetch_add((_Atomic int *)user, 1);
}

static void waits_for_a_slow_part(void **state)
{
    snug_memory *memory = make_memory(0);
    snug_work *work = make_work(memory, 3);
    _Atomic int done = 0;

    (void)state;
    for (int round = 1; round <= 30; round++) {
        snug_work_run(work, work_hard, &done, 4);
        assert_int_equal(done, 4 * round);
    }
    snug_work_destroy(work);
    snug_memory_destroy(memory);
}

static void uses_no_processor_when_idle(void **state)
{
    struct timespec pause = { .tv_nsec = 200000000 };
    struct timespec before;
    struct timespec after;
    snug_memory *memory = make_memory(0);
    snug_work *work = make_work(memory, 2);
    _Atomic int done = 0;
    int64_t used_ns;

    (void)state;
    snug_work_run(work, work_hard, &done, 4);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    nanosleep(&pause, NULL);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    used_ns = (after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec;
    assert_true(used_ns < 20000000); /* of 200 ms; spinning all the time would take 200 */
    snug_work_destroy(work);
    snug_memory_destroy(memory);
}

/* --- memory ------------------------------------------------------------------------------------------- */

static void use_stack(void *user, size_t part, uint32_t worker)
{
    volatile unsigned char frame[6000]; /* as kernels may have */

    (void)worker;
    for (size_t i = 0; i < sizeof frame; i += 64)
        frame[i] = (unsigned char)part;
    atomic_fetch_add((_Atomic int *)user, frame[64] == (unsigned char)part);
    nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL); /* so that every worker gets some */
}

static void costs_what_it_estimates(void **state)
{
    enum {
        THREADS = 33
    };
    snug_memory *memory = make_memory(0);
    snug_work *work;
    _Atomic int done = 0;
    uint64_t estimate = snug_work_estimate_bytes(THREADS);
    uint64_t before;
    uint64_t cost;

    (void)state;
    snug_work_destroy(make_work(memory, 2)); /* what the first thread of a process costs once */
    before = read_kernel_bytes("RssAnon:");
    work = make_work(memory, THREADS);
    assert_int_equal(snug_memory_read_all(memory).used_bytes, estimate);
    snug_work_run(work, use_stack, &done, 8 * THREADS);
    assert_int_equal(done, 8 * THREADS);
    cost = read_kernel_bytes("RssAnon:") - before;
    print_message("a worker: estimated %llu bytes, cost %llu\n", (unsigned long long)estimate / (THREADS - 1),
                  (unsigned long long)cost / (THREADS - 1));
    if (!IS_SANITIZED)
        assert_true(cost <= estimate && cost >= estimate / 2);
    snug_work_destroy(work);
    assert_int_equal(snug_memory_read_all(memory).used_bytes, 0);
    snug_memory_destroy(memory);
}

static void refuses_what_it_cannot_have(void **state)
{
    snug_memory *memory = make_memory(20000);
    snug_work *work = NULL;
    snug_error error = { SNUG_OK, "" };

    (void)state;
    assert_int_equal(snug_work_create(&work, memory, SNUG_WORK_THREADS_MAX + 1, &error), SNUG_ERR_ARGUMENT);
    assert_int_equal(snug_work_create(&work, memory, 16, &error), SNUG_ERR_OVER_LIMIT);
    assert_memory_equal(error.text, "the thread pool needs", 21);
    assert_int_equal(snug_work_create(&work, memory, 16, NULL), SNUG_ERR_OVER_LIMIT);
    assert_null(work);
    assert_int_equal(snug_memory_read_all(memory).blocks, 0);
    snug_work_destroy(NULL);
    snug_memory_destroy(memory);
    for (uint64_t n = 1; n <= 2; n++) { /* each of its reservations in turn */
        snug_memory_options options = { .struct_size = sizeof options, .fail_after = n };

        assert_int_equal(snug_memory_create(&memory, &options), SNUG_OK);
        assert_int_equal(snug_work_create(&work, memory, 2, NULL), SNUG_ERR_OVER_LIMIT);
        assert_int_equal(snug_memory_read_all(memory).blocks, 0);
        snug_memory_destroy(memory);
    }
}

/* Under RLIMIT_AS the stacks find no place after some threads: those that run are ended again. */
static void cleans_up_when_a_thread_cannot_start(void **state)
{
    snug_memory *memory = NULL;
    snug_work *work = NULL;
    snug_error error = { SNUG_OK, "" };
    struct rlimit before;
    struct rlimit tight;
    snug_status status;

    (void)state;
    if (IS_SANITIZED) {
        print_message("skipped: a sanitizer cannot live under RLIMIT_AS\n");
        skip();
    }
    memory = make_memory(0);
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    tight = before;
    tight.rlim_cur = (rlim_t)(read_kernel_bytes("VmSize:") + ((uint64_t)12 << 20));
    assert_int_equal(setrlimit(RLIMIT_AS, &tight), 0);
    status = snug_work_create(&work, memory, 512, &error);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_int_equal(status, SNUG_ERR_NO_MEMORY);
    assert_memory_equal(error.text, "cannot start a thread", 21);
    assert_null(work);
    assert_int_equal(snug_memory_read_all(memory).used_bytes, 0);
    snug_memory_destroy(memory);
}

/* --- giving up ------------------------------------------------------------------------------------------ */

typedef struct patience {
    _Atomic size_t ran;
    size_t asked;
    size_t given_up_after; /* questions */
} patience;

static void run_one(void *user, size_t part, uint32_t worker)
{
    patience *p = user;

    (void)part;
    (void)worker;
    atomic_fetch_add(&p->ran, 1);
}

static bool is_patient(void *user)
{
    patience *p = user;

    return ++p->asked < p->given_up_after;
}

static void gives_up_watched_jobs_and_no_others(void **state)
{
    snug_memory *memory = make_memory(0);

    (void)state;
    for (uint32_t threads = 1; threads <= 4; threads++) {
        snug_work *work = make_work(memory, threads);

        for (size_t after = 1; after <= 64; after *= 2) {
            patience p = { .given_up_after = after };

            snug_work_run_watched(work, run_one, &p, 200); /* nobody watches */
            assert_int_equal(p.ran, 200);
            snug_work_begin_watch(work, is_patient, &p);
            while (!snug_work_is_given_up(work))
                snug_work_run_watched(work, run_one, &p, PARTS_MAX);
            assert_int_equal(p.asked, after);
            /* Alone one part is run for each question. */
            if (threads == 1)
                assert_int_equal(p.ran, 200 + after);
            p.ran = 0;
            snug_work_run_watched(work, run_one, &p, 200);
            assert_int_equal(p.ran, 0);
            snug_work_run(work, run_one, &p, 200); /* what must be whole is */
            assert_int_equal(p.ran, 200);
            assert_false(snug_work_end_watch(work));
            snug_work_run_watched(work, run_one, &p, 200);
            assert_int_equal(p.ran, 400);
            assert_true(snug_work_end_watch(work));
            assert_int_equal(p.asked, after);
        }
        snug_work_destroy(work);
    }
    snug_memory_destroy(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First: the C library keeps the stacks of ended threads for later ones. */
        cmocka_unit_test(costs_what_it_estimates),
        cmocka_unit_test(runs_every_part_once),
        cmocka_unit_test(gives_the_same_result_for_any_number_of_threads),
        cmocka_unit_test(wakes_sleeping_workers),
        cmocka_unit_test(waits_for_a_slow_part),
        cmocka_unit_test(uses_no_processor_when_idle),
        cmocka_unit_test(gives_up_watched_jobs_and_no_others),
        cmocka_unit_test(refuses_what_it_cannot_have),
        cmocka_unit_test(cleans_up_when_a_thread_cannot_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
