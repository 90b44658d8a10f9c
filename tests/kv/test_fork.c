/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_fork.c - caches that share tokens, each beside a twin that was computed alone: whatever is done to
 * them, in any order, both hold the same bytes and give the same answers. And what they take, by the ledger
 * and by the kernel.
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
#include "os/machine.h"
#include "tests/kv/coded_rig.h"
#include "tests/support/sanitizer.h"

enum {
    MEMBERS = 6,
    SALTS = 3, /* different texts */
    OPS_MAX = 64,
};

static const coded_case floats[] = {
    { "f16", { F16, F16, 0, 0, ALL, ALIKE }, 64, 0 },
    { "f16, rotating", { F16, F16, 0, 0, ROTATING(300, 10), ALIKE }, 80, 0 },
    { "f16, a window", { F16, F16, 0, 0, ALL, ALIKE }, 96, 150 },
};

static const coded_case *case_at(size_t i)
{
    return i < SNUG_COUNT(floats) ? &floats[i] : &cases[i - SNUG_COUNT(floats)];
}

/* --- what is done to a cache --------------------------------------------------------------------------- */

typedef enum op_kind {
    OP_COMPUTE,
    OP_TRUNCATE,
    OP_DEMOTE,
    OP_DEMOTE_ROWS,
    OP_CONVERT,
} op_kind;

typedef struct op {
    op_kind kind;
    uint32_t a, b;
    uint32_t older_than; /* DEMOTE: only such tokens */
} op;

typedef struct member {
    snug_kv *kv;
    snug_kv *twin;
    op log[OPS_MAX];
    size_t ops;
} member;

typedef struct tree {
    rig r;     /* of the caches that are forked */
    rig alone; /* of their twins, with a ledger of its own */
    float *key[SALTS], *value[SALTS];
    member member[MEMBERS];
    snug_random random;
} tree;

static uint32_t below(tree *t, uint32_t end)
{
    return (uint32_t)(snug_random_unit(&t->random) * end) % end;
}

static snug_kv *convert(rig *r, snug_kv *kv, uint32_t bits)
{
    snug_kv_options options = r->options;
    snug_kv *to;

    options.config.key = options.config.value = (snug_kv_coding){ SNUG_KV_FORMAT_PLANES, bits, 0 };
    assert_int_equal(snug_kv_create(&to, &r->shape, r->memory, &r->kernels, &options, NULL), SNUG_OK);
    if (snug_kv_convert(to, kv, r->work, r->thread_scratch, NULL) != SNUG_OK) {
        snug_kv_destroy(to);
        return kv;
    }
    snug_kv_destroy(kv);
    return to;
}

/* Within what was foreseen, whoever shares what of it; where codes become others of fewer widths by far there
 * may be none to return. */
static snug_status demote(rig *r, snug_kv *kv, const snug_kv_target *target, bool with_rows)
{
    const uint64_t used = snug_memory_read_all(r->memory).used_bytes;
    snug_kv_demotion foreseen = { .struct_size = sizeof foreseen };
    const snug_status expected = snug_kv_foresee_demotion(&foreseen, kv, target, NULL);
    snug_status status;
    uint64_t bytes;

    if (expected == SNUG_OK)
        assert_int_equal(snug_memory_set_limits(r->memory, 0, used + foreseen.extra_bytes), SNUG_OK);
    if (with_rows)
        status = snug_kv_demote_rows(kv, target, r->work, r->thread_scratch, &bytes, NULL);
    else
        status = snug_kv_demote(kv, target, &bytes, NULL);
    assert_int_equal(snug_memory_set_limits(r->memory, 0, 0), SNUG_OK);
    if (with_rows || kv->store[0].key.has_codes == kv->store[0].value.has_codes) {
        assert_int_equal(status, expected);
        if (status == SNUG_OK && (with_rows || kv->store[0].has_codes))
            assert_int_equal(bytes, foreseen.returned_bytes);
    }
    return status;
}

/* To one cache; returns it, or the one that took its place. */
static snug_kv *apply(tree *t, rig *r, snug_kv *kv, const op *o)
{
    const snug_kv_target target = {
        .struct_size = sizeof target, .key_bits = o->a, .value_bits = o->b, .older_than_tokens = o->older_than
    };
    snug_status status = SNUG_OK;

    r->kv = kv;
    switch (o->kind) {
    case OP_COMPUTE:
        r->key = t->key[o->b];
        r->value = t->value[o->b];
        compute(r, snug_kv_tokens(kv), o->a);
        break;
    case OP_TRUNCATE:
        (void)snug_kv_truncate(kv, o->a);
        break;
    case OP_DEMOTE:
        status = demote(r, kv, &target, false);
        break;
    case OP_DEMOTE_ROWS:
        status = demote(r, kv, &target, true);
        break;
    case OP_CONVERT:
        kv = convert(r, kv, o->a);
        break;
    }
    r->kv = NULL;
    assert_true(status == SNUG_OK || status == SNUG_ERR_UNSUPPORTED); /* affine codes do not nest */
    assert_true(snug_kv_is_valid(kv));
    return kv;
}

/* --- comparing ------------------------------------------------------------------------------------------ */

typedef struct bytes {
    unsigned char *at;
    size_t count, capacity;
} bytes;

static snug_status put(void *user, const void *data, size_t count, snug_error *error)
{
    bytes *b = user;

    (void)error;
    if (b->count + count > b->capacity) {
        b->capacity = 2 * (b->count + count);
        b->at = realloc(b->at, b->capacity);
        assert_non_null(b->at);
    }
    memcpy(b->at + b->count, data, count);
    b->count += count;
    return SNUG_OK;
}

static void assert_same_bytes(const char *name, const snug_kv *a, const snug_kv *b)
{
    bytes of_a = { 0 }, of_b = { 0 };

    assert_int_equal(snug_kv_save(a, &(snug_kv_sink){ put, &of_a }, NULL), SNUG_OK);
    assert_int_equal(snug_kv_save(b, &(snug_kv_sink){ put, &of_b }, NULL), SNUG_OK);
    if (of_a.count != of_b.count || memcmp(of_a.at, of_b.at, of_a.count) != 0)
        fail_msg("%s: not what it would be alone (%zu and %zu bytes)", name, of_a.count, of_b.count);
    free(of_a.at);
    free(of_b.at);
}

static void assert_same_answers(const tree *t, uint32_t from, uint32_t end)
{
    const size_t width = HEADS * t->r.c->head_dim;

    for (int layer = 0; layer < 2; layer++)
        if (memcmp(t->r.out[layer] + from * width, t->alone.out[layer] + from * width,
                   (end - from) * width * sizeof(float)) != 0)
            fail_msg("%s: other answers for tokens %u to %u", t->r.c->name, from, end);
}

static void do_both(tree *t, member *m, op o)
{
    const uint32_t from = snug_kv_tokens(m->kv);

    assert_true(m->ops < OPS_MAX);
    m->log[m->ops++] = o;
    m->kv = apply(t, &t->r, m->kv, &o);
    m->twin = apply(t, &t->alone, m->twin, &o);
    if (o.kind == OP_COMPUTE)
        assert_same_answers(t, from, from + o.a);
    assert_int_equal(snug_kv_tokens(m->kv), snug_kv_tokens(m->twin));
}

/* --- a tree of them ------------------------------------------------------------------------------------- */

static void tree_open(tree *t, const coded_case *c, uint64_t seed)
{
    *t = (tree){ .random = { seed } };
    rig_open(&t->r, c, TOKENS, 0, 2);
    rig_open(&t->alone, c, TOKENS, 0, 2);
    for (int s = 0; s < SALTS; s++) {
        const size_t count = (size_t)TOKENS * KV_HEADS * c->head_dim;

        t->key[s] = malloc(count * sizeof(float));
        t->value[s] = malloc(count * sizeof(float));
        for (size_t i = 0; i < count; i++) {
            t->key[s][i] = t->r.key[(i * 31 + (size_t)s * 977) % count];
            t->value[s][i] = t->r.value[(i * 17 + (size_t)s * 1009) % count];
        }
    }
    free(t->r.key);
    free(t->r.value);
    free(t->alone.key);
    free(t->alone.value);
    t->member[0] = (member){ .kv = t->r.kv, .twin = t->alone.kv };
}

static void destroy(member *m)
{
    snug_kv_destroy(m->kv);
    snug_kv_destroy(m->twin);
    *m = (member){ .kv = NULL };
}

static void tree_close(tree *t)
{
    for (int i = 0; i < MEMBERS; i++)
        destroy(&t->member[i]);
    for (int s = 0; s < SALTS; s++) {
        free(t->key[s]);
        free(t->value[s]);
    }
    t->r.kv = t->alone.kv = NULL;
    t->r.key = t->r.value = t->alone.key = t->alone.value = NULL;
    rig_close(&t->r); /* asserts that the ledger is empty */
    rig_close(&t->alone);
}

static void fork_into(tree *t, member *to, member *from)
{
    assert_int_equal(snug_kv_fork(&to->kv, from->kv, NULL), SNUG_OK);
    assert_int_equal(snug_kv_create(&to->twin, &t->alone.shape, t->alone.memory, &t->alone.kernels,
                                    &t->alone.options, NULL),
                     SNUG_OK);
    to->ops = from->ops;
    memcpy(to->log, from->log, sizeof to->log);
    for (size_t i = 0; i < to->ops; i++)
        to->twin = apply(t, &t->alone, to->twin, &to->log[i]);
    assert_same_bytes(t->r.c->name, to->kv, to->twin);
}

static op random_op(tree *t, const member *m)
{
    static const uint32_t widths[] = { 8, 6, 5, 4, 3, 2 };
    const uint32_t tokens = snug_kv_tokens(m->kv);
    const uint32_t choice = below(t, 20);
    const uint32_t most = TOKENS - tokens < 150 ? TOKENS - tokens : 150;

    if (choice < 4 || most == 0)
        return (op){ OP_TRUNCATE, below(t, tokens + 1), 0, 0 };
    if (choice <= 5)
        return (op){ OP_DEMOTE, widths[below(t, 6)], widths[below(t, 6)], below(t, 2) * below(t, 300) };
    if (choice == 6 && t->r.options.config.key.format != SNUG_KV_FORMAT_AFFINE)
        return (op){ OP_DEMOTE_ROWS, widths[below(t, 6)], widths[below(t, 6)], below(t, 2) * below(t, 300) };
    if (choice == 7)
        return (op){ OP_CONVERT, widths[below(t, 6)], 0, 0 };
    return (op){ OP_COMPUTE, 1 + below(t, most), below(t, SALTS), 0 };
}

/* Alone again, a cache takes what its twin takes, but for the records of what was shared. */
static void check_alone(tree *t, member *m)
{
    uint64_t forked, alone;
    snug_kv *kv;

    assert_int_equal(snug_kv_fork(&kv, m->kv, NULL), SNUG_OK);
    snug_kv_destroy(kv);
    assert_int_equal(snug_kv_shared_bytes(m->kv), 0);
    forked = snug_memory_read(t->r.memory, SNUG_MEMORY_KV).used_bytes;
    alone = snug_memory_read(t->alone.memory, SNUG_MEMORY_KV).used_bytes;
    assert_in_range(forked, alone, alone + 64 * 1024);
    assert_int_equal(snug_kv_committed_bytes(m->kv), snug_kv_committed_bytes(m->twin));
}

static void step(tree *t)
{
    member *m = &t->member[below(t, MEMBERS)];
    member *other = &t->member[below(t, MEMBERS)];

    if (!m->kv)
        return;
    if (!other->kv) {
        fork_into(t, other, m);
        return;
    }
    if (other != m && below(t, 4) == 0) {
        destroy(other);
        return;
    }
    if (m->ops < OPS_MAX)
        do_both(t, m, random_op(t, m));
    assert_same_bytes(t->r.c->name, m->kv, m->twin);
    if (m->kv != other->kv)
        assert_same_bytes(t->r.c->name, other->kv, other->twin);
}

static void every_fork_is_what_it_would_be_alone(void **state)
{
    (void)state;
    for (size_t c = 0; c < SNUG_COUNT(floats) + case_count; c++)
        for (uint64_t seed = 1; seed <= 2; seed++) {
            tree t;
            uint64_t sum = 0;
            int last = -1;

            tree_open(&t, case_at(c), seed * 100 + c);
            do_both(&t, &t.member[0], (op){ OP_COMPUTE, 1 + below(&t, 500), 0, 0 });
            for (int i = 0; i < 60; i++)
                step(&t);
            for (int i = 0; i < MEMBERS; i++)
                if (t.member[i].kv) {
                    assert_same_bytes(case_at(c)->name, t.member[i].kv, t.member[i].twin);
                    sum += snug_kv_committed_bytes(t.member[i].kv);
                    last = i;
                }
            /* What belongs to one cache alone is in no other's sum. */
            assert_true(sum <= snug_memory_read(t.r.memory, SNUG_MEMORY_KV).used_bytes);
            for (int i = 0; i < last; i++)
                destroy(&t.member[i]);
            check_alone(&t, &t.member[last]);
            do_both(&t, &t.member[last], (op){ OP_TRUNCATE, 0, 0, 0 });
            tree_close(&t);
        }
}

/* --- refusals ------------------------------------------------------------------------------------------- */

/* Fork, write into what is shared, and demote both, with the `fail_at`-th reservation refused. Returns
 * whether one was. */
static bool try_with_failure(const coded_case *c, uint64_t fail_at)
{
    const snug_kv_target target = { .struct_size = sizeof target, .key_bits = 2, .value_bits = 2 };
    const snug_memory_options options = { .struct_size = sizeof options, .fail_after = fail_at };
    snug_memory *memory;
    snug_kv *parent = NULL, *child = NULL;
    bool has_failed = true;
    rig r;

    rig_open(&r, c, TOKENS, 0, 2);
    compute_to(&r, 200, 50); /* the twin: never forked */
    assert_int_equal(snug_memory_create(&memory, &options), SNUG_OK);
    if (snug_kv_create(&parent, &r.shape, memory, &r.kernels, &r.options, NULL) == SNUG_OK &&
        snug_kv_grow(parent, 200, NULL) == SNUG_OK) {
        snug_kv *twin = r.kv;

        r.kv = parent;
        compute_to(&r, 200, 50);
        r.kv = twin;
        has_failed = snug_kv_fork(&child, parent, NULL) != SNUG_OK;
        assert_int_equal(child == NULL, has_failed);
        for (int i = 0; child && i < 2; i++) {
            snug_kv *kv = i == 0 ? child : parent;

            has_failed |= snug_kv_grow(kv, 330, NULL) != SNUG_OK;
            assert_same_bytes(c->name, kv, twin);
        }
        assert_true(snug_kv_is_valid(parent) && (!child || snug_kv_is_valid(child)));
        if (child)
            has_failed |= snug_kv_demote(child, &target, NULL, NULL) == SNUG_ERR_OVER_LIMIT;
        assert_same_bytes(c->name, parent, twin);
    }
    snug_kv_destroy(parent);
    if (child)
        assert_true(snug_kv_is_valid(child));
    snug_kv_destroy(child);
    assert_int_equal(snug_memory_read_all(memory).used_bytes, 0);
    snug_memory_destroy(memory);
    rig_close(&r);
    return has_failed;
}

static void a_refusal_leaves_all_of_them_valid(void **state)
{
    (void)state;
    for (size_t c = 0; c < SNUG_COUNT(floats) + case_count; c += 6) {
        uint64_t fail_at = 1;

        while (try_with_failure(case_at(c), fail_at))
            fail_at++;
        assert_true(fail_at > 10);
    }
}

/* --- the kernel's figures ------------------------------------------------------------------------------- */

enum {
    FORKS = 16,
    LONG = 6400, /* tokens that all share: whole tiles and some */
    MORE = 70,   /* that each adds */
};

static void fill(rig *r, snug_kv *kv, uint32_t end)
{
    const uint32_t from = snug_kv_tokens(kv);

    assert_int_equal(snug_kv_grow(kv, end, NULL), SNUG_OK);
    for (uint32_t t = from; t < end; t++)
        snug_kv_write(kv, 0, t, r->key, r->value);
    snug_kv_set_tokens(kv, end);
}

static uint64_t anonymous_bytes(void)
{
    return snug_os_process_memory_read_exact("").anonymous_bytes;
}

static void many_forks_take_only_what_each_adds(void **state)
{
    const coded_case c = { "f16", { F16, F16, 0, 0, ALL, ALIKE }, 128, 0 };
    snug_kv *kv[FORKS];
    uint64_t before, ledger, one;
    rig r;

    (void)state;
    TEST_SKIP_UNDER_SANITIZERS();
    rig_open(&r, &c, 2 * LONG, 0, 2);
    fill(&r, r.kv, LONG - 10);
    before = anonymous_bytes();
    ledger = snug_memory_read_all(r.memory).used_bytes;
    for (int i = 0; i < FORKS; i++) {
        assert_int_equal(snug_kv_fork(&kv[i], r.kv, NULL), SNUG_OK);
        fill(&r, kv[i], LONG + MORE);
    }
    /* The tile that both write into, and those after it: 3 of 64 KiB for keys and values. */
    one = snug_memory_read_all(r.memory).used_bytes - ledger;
    assert_in_range(one, FORKS * 3 * 65536, FORKS * (3 * 65536 + 16384) + 16384);
    /* Of the last tile it has touched only some pages. */
    assert_in_range(anonymous_bytes() - before, FORKS * 2 * 65536, one + 512 * 1024);
    assert_true(snug_kv_shared_bytes(kv[0]) >= (LONG - 64) * 1024);
    for (int i = 0; i < FORKS; i++)
        snug_kv_destroy(kv[i]);
    assert_in_range(snug_memory_read_all(r.memory).used_bytes, ledger, ledger + 16384);
    assert_in_range(anonymous_bytes(), before - 512 * 1024, before + 512 * 1024);
    rig_close(&r);
}

/* --- threads -------------------------------------------------------------------------------------------- */

typedef struct both {
    rig *r;
    snug_kv *kv[2];
} both;

static void use_fork(void *user, size_t part, uint32_t worker)
{
    both *b = user;

    (void)worker;
    for (uint32_t i = 0; i < 20; i++) {
        snug_kv *fork;

        fill(b->r, b->kv[part], snug_kv_tokens(b->kv[part]) + 30);
        assert_int_equal(snug_kv_fork(&fork, b->kv[part], NULL), SNUG_OK);
        (void)snug_kv_truncate(b->kv[part], snug_kv_tokens(b->kv[part]) - 25);
        snug_kv_destroy(fork);
    }
    snug_kv_destroy(b->kv[part]);
}

static void two_threads_may_use_one_each(void **state)
{
    const coded_case c = { "f16", { F16, F16, 0, 0, ALL, ALIKE }, 64, 0 };
    both b;
    rig r;

    (void)state;
    rig_open(&r, &c, TOKENS, 0, 2);
    fill(&r, r.kv, 200);
    b = (both){ &r, { r.kv, NULL } };
    assert_int_equal(snug_kv_fork(&b.kv[1], r.kv, NULL), SNUG_OK);
    r.kv = NULL;
    snug_work_run(r.work, use_fork, &b, 2);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fork_is_what_it_would_be_alone),
        cmocka_unit_test(a_refusal_leaves_all_of_them_valid),
        cmocka_unit_test(many_forks_take_only_what_each_adds),
        cmocka_unit_test(two_threads_may_use_one_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
