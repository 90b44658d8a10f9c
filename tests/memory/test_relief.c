/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relievers: who is asked, when and for how much, on one thread and on many; and what a cleanup gives back,
 * as the kernel sees it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "memory/memory.h"
#include "os/thread.h"
#include "tests/memory/kernel.h"

#define MIB ((uint64_t)1 << 20)

/* Something that holds bytes in a ledger and can give them back. */
typedef struct holder {
    snug_memory *memory;
    _Atomic uint64_t held;
    int calls;
    uint64_t asked;   /* by the last call */
    const char *name; /* added to `order` when asked */
    snug_memory_reliever reliever;
} holder;

static char order[64];

static uint64_t release(void *user, uint64_t want)
{
    holder *h = user;
    const uint64_t held = atomic_load(&h->held);
    const uint64_t given = held < want ? held : want;

    h->calls++;
    h->asked = want;
    snprintf(order + strlen(order), sizeof order - strlen(order), "%s", h->name);
    atomic_fetch_sub(&h->held, given);
    if (given > 0)
        snug_memory_give(h->memory, SNUG_MEMORY_CACHE, given);
    if (given > 0 && atomic_load(&h->held) > 0) /* what is left is a reservation still */
        assert_int_equal(snug_memory_take(h->memory, SNUG_MEMORY_CACHE, 0, "the rest", NULL), SNUG_OK);
    return given;
}

static void hold(holder *h, snug_memory *memory, const char *name, int rank, uint64_t bytes)
{
    *h = (holder){ .memory = memory,
                   .name = name,
                   .reliever = { .name = name, .rank = rank, .release = release, .user = h } };
    if (bytes > 0)
        assert_int_equal(snug_memory_take(memory, SNUG_MEMORY_CACHE, bytes, name, NULL), SNUG_OK);
    atomic_store(&h->held, bytes);
    snug_memory_add_reliever(memory, &h->reliever);
}

static void let_go(holder *h)
{
    const uint64_t held = atomic_exchange(&h->held, 0);

    snug_memory_remove_reliever(h->memory, &h->reliever);
    if (held > 0)
        snug_memory_give(h->memory, SNUG_MEMORY_CACHE, held);
}

static snug_memory *make(uint64_t soft_bytes, uint64_t hard_bytes)
{
    const snug_memory_options options = { .struct_size = sizeof options,
                                          .soft_bytes = soft_bytes,
                                          .hard_bytes = hard_bytes };
    snug_memory *memory = NULL;

    order[0] = '\0';
    assert_int_equal(snug_memory_create(&memory, &options), SNUG_OK);
    return memory;
}

static void take(snug_memory *memory, uint64_t bytes)
{
    assert_int_equal(snug_memory_take(memory, SNUG_MEMORY_KV, bytes, "a test", NULL), SNUG_OK);
}

static void makes_room_under_the_hard_limit(void **state)
{
    snug_memory *memory = make(0, 10 * MIB);
    holder h;

    (void)state;
    hold(&h, memory, "a", 0, 4 * MIB);
    take(memory, 5 * MIB);
    assert_int_equal(h.calls, 0); /* it fits as it is */
    take(memory, 3 * MIB);
    assert_int_equal(h.calls, 1);
    assert_int_equal(h.asked, 2 * MIB); /* exactly what is missing */
    assert_int_equal(snug_memory_read_all(memory).used_bytes, 10 * MIB);
    assert_int_equal(snug_memory_read_all(memory).peak_bytes, 10 * MIB); /* never above the limit */
    snug_memory_give(memory, SNUG_MEMORY_KV, 5 * MIB);
    snug_memory_give(memory, SNUG_MEMORY_KV, 3 * MIB);
    let_go(&h);
    snug_memory_destroy(memory);
}

static void refuses_with_the_figures_after_relief(void **state)
{
    snug_memory *memory = make(0, 10 * MIB);
    snug_error error = { SNUG_OK, "" };
    holder h;

    (void)state;
    hold(&h, memory, "a", 0, 4 * MIB);
    take(memory, 5 * MIB);
    assert_int_equal(snug_memory_take(memory, SNUG_MEMORY_KV, 6 * MIB, "more cache", &error),
                     SNUG_ERR_OVER_LIMIT);
    assert_int_equal(h.calls, 1);
    assert_string_equal(error.text, "more cache needs 6.0 MiB, but 5.0 MiB are left of the memory limit of "
                                    "10.0 MiB (5.0 MiB in use)");
    /* What would not even fit into an empty ledger costs nobody anything. */
    take(memory, 5 * MIB);
    snug_memory_give(memory, SNUG_MEMORY_KV, 5 * MIB);
    assert_int_equal(snug_memory_take(memory, SNUG_MEMORY_KV, 11 * MIB, "too much", &error),
                     SNUG_ERR_OVER_LIMIT);
    assert_int_equal(h.calls, 1);
    snug_memory_give(memory, SNUG_MEMORY_KV, 5 * MIB);
    let_go(&h);
    snug_memory_destroy(memory);
}

static void asks_the_cheapest_first_and_no_more_than_needed(void **state)
{
    snug_memory *memory = make(0, 10 * MIB);
    holder a, b, c;

    (void)state;
    hold(&a, memory, "a", 30, 2 * MIB);
    hold(&b, memory, "b", 10, 2 * MIB);
    hold(&c, memory, "c", 20, 2 * MIB);
    take(memory, 7 * MIB); /* 13 of 10: two give, the third is spared */
    assert_string_equal(order, "bc");
    assert_int_equal(c.asked, MIB);
    assert_int_equal(a.calls, 0);
    snug_memory_remove_reliever(memory, &c.reliever);
    take(memory, MIB);
    assert_string_equal(order, "bcba"); /* b has nothing left, c is not asked any more */
    snug_memory_give(memory, SNUG_MEMORY_KV, 7 * MIB);
    snug_memory_give(memory, SNUG_MEMORY_KV, MIB);
    let_go(&a);
    let_go(&b);
    let_go(&c);
    snug_memory_destroy(memory);
}

static void relieves_when_the_soft_limit_is_passed(void **state)
{
    snug_memory *memory = make(6 * MIB, 10 * MIB);
    holder h;

    (void)state;
    hold(&h, memory, "a", 0, 3 * MIB);
    take(memory, 3 * MIB);
    assert_int_equal(h.calls, 0); /* at it, not past it */
    take(memory, MIB);
    assert_int_equal(h.calls, 1);
    assert_int_equal(h.asked, MIB);
    assert_int_equal(snug_memory_read_all(memory).used_bytes, 6 * MIB);
    snug_memory_give(memory, SNUG_MEMORY_KV, 3 * MIB);
    snug_memory_give(memory, SNUG_MEMORY_KV, MIB);
    let_go(&h);
    snug_memory_destroy(memory);
}

/* A reliever that reserves, as one does that writes codes in place of what it gives back. */
typedef struct reserver {
    snug_memory *memory;
    int calls;
    snug_status small;
    snug_status large;
} reserver;

static uint64_t reserve_inside(void *user, uint64_t want)
{
    reserver *r = user;

    (void)want;
    r->calls++;
    r->small = snug_memory_take(r->memory, SNUG_MEMORY_SCRATCH, MIB, "scratch", NULL);
    r->large = snug_memory_take(r->memory, SNUG_MEMORY_SCRATCH, 9 * MIB, "scratch", NULL);
    if (r->small == SNUG_OK)
        snug_memory_give(r->memory, SNUG_MEMORY_SCRATCH, MIB);
    snug_memory_give(r->memory, SNUG_MEMORY_KV, 4 * MIB);
    return 4 * MIB;
}

static void does_not_recurse_from_a_reliever(void **state)
{
    snug_memory *memory = make(0, 10 * MIB);
    reserver r = { .memory = memory };
    snug_memory_reliever reliever = { .name = "r", .release = reserve_inside, .user = &r };

    (void)state;
    snug_memory_add_reliever(memory, &reliever);
    take(memory, 4 * MIB);
    take(memory, 4 * MIB);
    take(memory, 4 * MIB);
    assert_int_equal(r.calls, 1);
    assert_int_equal(r.small, SNUG_OK);
    assert_int_equal(r.large, SNUG_ERR_OVER_LIMIT);
    snug_memory_remove_reliever(memory, &reliever);
    snug_memory_remove_reliever(memory, &reliever); /* twice is no error */
    snug_memory_give(memory, SNUG_MEMORY_KV, 4 * MIB);
    snug_memory_give(memory, SNUG_MEMORY_KV, 4 * MIB);
    snug_memory_destroy(memory);
}

/* --- many threads --------------------------------------------------------------------------------------- */

#define THREADS 4
#define ROUNDS  4000

typedef struct shared {
    snug_memory *memory;
    _Atomic uint64_t spare; /* what the reliever can give back */
    _Atomic int inside;     /* relievers that run now */
    _Atomic int most_inside;
    _Atomic uint64_t refused;
} shared;

static uint64_t give_spare(void *user, uint64_t want)
{
    shared *s = user;
    const int inside = atomic_fetch_add(&s->inside, 1) + 1;
    uint64_t spare = atomic_load(&s->spare);
    uint64_t given;

    if (inside > atomic_load(&s->most_inside))
        atomic_store(&s->most_inside, inside);
    do
        given = spare < want ? spare : want;
    while (!atomic_compare_exchange_weak(&s->spare, &spare, spare - given));
    for (uint64_t i = 0; i < given / 1000; i++)
        snug_memory_give(s->memory, SNUG_MEMORY_CACHE, 1000);
    atomic_fetch_add(&s->spare, given % 1000);
    atomic_fetch_sub(&s->inside, 1);
    return given - given % 1000;
}

/* Takes and gives at the limit; what it gives up becomes spare instead, every other time. */
static void work(void *user)
{
    shared *s = user;
    snug_memory_reliever idle = { .name = "idle", .rank = 5, .release = give_spare, .user = s };

    for (int i = 0; i < ROUNDS; i++) {
        if (snug_memory_take(s->memory, SNUG_MEMORY_CACHE, 1000, "a thread", NULL) != SNUG_OK) {
            atomic_fetch_add(&s->refused, 1);
            continue;
        }
        if (i % 2 == 0)
            atomic_fetch_add(&s->spare, 1000);
        else
            snug_memory_give(s->memory, SNUG_MEMORY_CACHE, 1000);
        if (i % 64 == 0) {
            snug_memory_add_reliever(s->memory, &idle);
            snug_memory_remove_reliever(s->memory, &idle);
        }
    }
}

static void stays_exact_while_threads_relieve(void **state)
{
    shared s = { .memory = make(0, 20000) };
    snug_memory_reliever reliever = { .name = "spare", .release = give_spare, .user = &s };
    snug_os_thread threads[THREADS];

    (void)state;
    snug_memory_add_reliever(s.memory, &reliever);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(snug_os_thread_start(&threads[i], work, &s, NULL), SNUG_OK);
    for (int i = 0; i < THREADS; i++)
        snug_os_thread_join(&threads[i]);
    assert_int_equal(atomic_load(&s.most_inside), 1); /* never two at once */
    assert_true(snug_memory_read_all(s.memory).peak_bytes <= 20000);
    assert_int_equal(snug_memory_read_all(s.memory).used_bytes, atomic_load(&s.spare));
    /* Only a thread that came between relief and reservation can have been the reason for a refusal. */
    assert_true(atomic_load(&s.refused) < THREADS * ROUNDS / 2);
    snug_memory_remove_reliever(s.memory, &reliever);
    while (atomic_load(&s.spare) > 0) {
        snug_memory_give(s.memory, SNUG_MEMORY_CACHE, 1000);
        atomic_fetch_sub(&s.spare, 1000);
    }
    snug_memory_destroy(s.memory);
}

/* --- cleanup -------------------------------------------------------------------------------------------- */

typedef struct cached {
    snug_memory *memory;
    void *block;
} cached;

static uint64_t drop_block(void *user, uint64_t want)
{
    cached *c = user;

    (void)want;
    if (!c->block)
        return 0;
    snug_memory_free(c->memory, c->block);
    c->block = NULL;
    return 32 * MIB;
}

static void cleans_up_what_the_kernel_then_misses(void **state)
{
    enum {
        COUNT = 4000,
        BYTES = 8000
    };
    static void *splinter[COUNT];
    cached c = { .memory = make(0, 0) };
    snug_memory_reliever reliever = { .name = "cache", .release = drop_block, .user = &c };
    uint64_t before, after, given;

    (void)state;
    if (IS_SANITIZED) {
        print_message("skipped: a sanitizer's heap keeps what it was given\n");
        snug_memory_destroy(c.memory);
        skip();
    }
    c.block = snug_memory_alloc(c.memory, SNUG_MEMORY_CACHE, 32 * MIB, "a cache", NULL);
    assert_non_null(c.block);
    memset(c.block, 1, 32 * MIB);
    snug_memory_add_reliever(c.memory, &reliever);
    for (int i = 0; i < COUNT; i++) { /* 32 MB of heap with something live at its top */
        splinter[i] = malloc(BYTES);
        assert_non_null(splinter[i]);
        memset(splinter[i], 1, BYTES);
    }
    for (int i = 0; i < COUNT - 1; i++)
        free(splinter[i]);
    before = read_kernel_bytes("RssAnon:");
    given = snug_memory_cleanup(c.memory);
    after = read_kernel_bytes("RssAnon:");
    assert_true(given >= 32 * MIB + COUNT * (uint64_t)BYTES * 9 / 10);
    assert_true(before - after <= given + MIB && given <= before - after + MIB);
    assert_int_equal(snug_memory_read_all(c.memory).used_bytes, 0);
    assert_true(snug_memory_cleanup(c.memory) < MIB); /* nothing is left to give */
    free(splinter[COUNT - 1]);
    snug_memory_remove_reliever(c.memory, &reliever);
    snug_memory_destroy(c.memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_room_under_the_hard_limit),
        cmocka_unit_test(refuses_with_the_figures_after_relief),
        cmocka_unit_test(asks_the_cheapest_first_and_no_more_than_needed),
        cmocka_unit_test(relieves_when_the_soft_limit_is_passed),
        cmocka_unit_test(does_not_recurse_from_a_reliever),
        cmocka_unit_test(stays_exact_while_threads_relieve),
        cmocka_unit_test(cleans_up_what_the_kernel_then_misses),
    };

    return cmocka_run_group_tests_name("relief", tests, NULL, NULL);
}
