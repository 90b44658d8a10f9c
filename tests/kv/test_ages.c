/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_ages.c - older codes with fewer bits than newer ones: whatever the steps, each tile holds, bit for
 * bit, what encoding at its width gives, and attention sees just that; memory is what was foreseen.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/float16.h"
#include "base/random.h"
#include "base/status.h"
#include "tests/kv/coded_rig.h"

enum {
    TILES = TOKENS / TILE,
    CHUNK = 50
};

static const uint32_t widths[] = { 2, 3, 4, 5, 6, 8 };

static const struct {
    const char *name;
    snug_kv_retention retention;
    uint32_t window;
    uint32_t head_dim;
    uint32_t first, recent;
} kept[] = {
    { "all", ALL, 0, 64, 0, 0 },
    { "all, sinks and tail", ALL, 0, 80, 16, 100 },
    { "rotating", ROTATING(300, 10), 0, 64, 0, 0 },
    { "rotating, sinks coded", ROTATING(400, 130), 0, 64, 0, 65 },
    { "chunked", CHUNKED(256), 0, 64, 16, 0 },
    { "a window", ALL, 200, 64, 0, 32 },
};

/* A cache whose older codes lose bits, ones that were made at each width, and what the first should be. */
typedef struct ages {
    rig r;
    rig at[SNUG_COUNT(widths)];
    uint32_t newest[2];      /* bits of keys, values that become codes from now on */
    uint32_t bits[2][TILES]; /* of each tile that has been written: what it has, or will have */
} ages;

static coded_case case_of(size_t i, uint32_t bits)
{
    return (coded_case){ .name = kept[i].name,
                         .config = { .key = PLANES(bits),
                                     .value = PLANES(bits),
                                     .first_exact_tokens = kept[i].first,
                                     .recent_exact_tokens = kept[i].recent,
                                     .retention = kept[i].retention },
                         .head_dim = kept[i].head_dim,
                         .window = kept[i].window };
}

static void grow(ages *a, uint32_t tokens)
{
    const uint32_t before = snug_kv_tokens(a->r.kv) / TILE;

    compute_to(&a->r, tokens, CHUNK);
    for (size_t w = 0; w < SNUG_COUNT(widths); w++)
        compute_to(&a->at[w], tokens, CHUNK);
    for (uint32_t tile = before; tile < TILES && tile * TILE < tokens; tile++)
        for (int s = 0; s < 2; s++)
            if (a->bits[s][tile] == 0 || tile * TILE + TILE > tokens - CHUNK)
                a->bits[s][tile] = a->newest[s];
}

static uint64_t used(const rig *r)
{
    return snug_memory_read_all(r->memory).used_bytes;
}

/* A demotion within what was foreseen, and what it makes of each tile. */
static void demote(ages *a, const snug_kv_target *target)
{
    const uint32_t wanted[2] = { target->key_bits, target->value_bits };
    const uint64_t before = used(&a->r);
    const uint32_t tokens = snug_kv_tokens(a->r.kv);
    uint32_t end = tokens > target->older_than_tokens ? tokens - target->older_than_tokens : 0;
    snug_kv_demotion foreseen = { .struct_size = sizeof foreseen };
    snug_error error = { SNUG_OK, "" };
    uint64_t bytes;

    if (target->end_token && target->end_token < end)
        end = target->end_token;
    for (int s = 0; s < 2; s++) {
        for (uint32_t tile = 0; tile < TILES && wanted[s]; tile++)
            if ((!target->older_than_tokens && !target->end_token) || (tile + 1) * TILE <= end)
                if (a->bits[s][tile] > wanted[s])
                    a->bits[s][tile] = wanted[s];
        if (wanted[s] && !target->older_than_tokens && !target->end_token && a->newest[s] > wanted[s])
            a->newest[s] = wanted[s];
    }
    assert_int_equal(snug_kv_foresee_demotion(&foreseen, a->r.kv, target, NULL), SNUG_OK);
    assert_int_equal(snug_memory_set_limits(a->r.memory, 0, before + foreseen.extra_bytes), SNUG_OK);
    if (snug_kv_demote(a->r.kv, target, &bytes, &error) != SNUG_OK)
        fail_msg("%s: %s", a->r.c->name, error.text);
    assert_int_equal(snug_memory_set_limits(a->r.memory, 0, 0), SNUG_OK);
    assert_int_equal(bytes, foreseen.returned_bytes);
    if (bytes > 0)
        assert_int_equal(before - used(&a->r), bytes);
    else /* of a page that two widths share, each has its part */
        assert_in_range(used(&a->r), before, before + foreseen.extra_bytes);
    assert_true(snug_kv_is_valid(a->r.kv));
}

/* The tile as it lies in a cache, decoded; false when it is not there as codes. */
static bool read_codes(float *x, const rig *r, int which, uint32_t tile, uint32_t head)
{
    const snug_kv_store *store = &r->kv->store[0];
    const snug_kv_side *side = which == 0 ? &store->key : &store->value;
    const bool is_there = tile < store->rule.sink_tiles || tile >= snug_kv_first_kept(r->kv, 0);

    if (!is_there || tile < store->first_tiles || tile >= store->coded_end)
        return false;
    snug_kv_side_decode(x, side, tile - store->first_tiles, head);
    return true;
}

static void check_codes(const ages *a)
{
    const size_t count = TILE * a->r.c->head_dim;
    float *x = malloc(2 * count * sizeof *x);

    assert_non_null(x);
    for (int s = 0; s < 2; s++)
        for (uint32_t tile = 0; tile < TILES; tile++)
            for (uint32_t head = 0; head < KV_HEADS; head++) {
                size_t w = 0;

                while (widths[w] != a->bits[s][tile] && w + 1 < SNUG_COUNT(widths))
                    w++;
                if (!read_codes(x, &a->r, s, tile, head))
                    continue;
                assert_true(read_codes(x + count, &a->at[w], s, tile, head));
                if (memcmp(x, x + count, count * sizeof *x) != 0)
                    fail_msg("%s: side %d, tile %u is not as encoded in %u bits", a->r.c->name, s, tile,
                             widths[w]);
            }
    free(x);
}

/* What the last token saw, in double precision over what lies in the cache. */
static void check_attention(const ages *a)
{
    const rig *r = &a->r;
    const size_t d = r->c->head_dim;
    const snug_kv_store *store = &r->kv->store[0];
    const uint32_t p = snug_kv_tokens(r->kv) - 1;
    const snug_kv_range recent = snug_kv_rule_recent(&store->rule, p);
    const snug_kv_range sinks = snug_kv_rule_sinks(&store->rule, p);
    float *x = malloc(2 * TILE * d * sizeof *x);

    for (uint32_t head = 0; head < HEADS; head++) {
        const uint32_t kv_head = head / GROUP;
        const float *query = r->query + ((size_t)p * HEADS + head) * d;
        double out[SNUG_HEAD_DIM_MAX] = { 0 }, sum = 0.0;

        for (uint32_t k = 0; k <= p; k++) {
            const uint32_t tile = k / TILE;
            const bool is_seen = (k >= recent.begin && k < recent.end) || (k >= sinks.begin && k < sinks.end);
            double score = 0.0, weight;

            if (k % TILE == 0 || k == 0)
                for (int s = 0; s < 2; s++)
                    if (!read_codes(x + (size_t)s * TILE * d, r, s, tile, kv_head)) {
                        const float *from = s == 0 ? r->key : r->value;

                        for (uint32_t t = 0; t < TILE && tile * TILE + t < TOKENS; t++)
                            for (size_t i = 0; i < d; i++)
                                x[((size_t)s * TILE + t) * d + i] = snug_f32_from_f16(snug_f16_from_f32(
                                    from[((size_t)(tile * TILE + t) * KV_HEADS + kv_head) * d + i]));
                    }
            if (!is_seen)
                continue;
            for (size_t i = 0; i < d; i++)
                score += (double)query[i] * (double)x[(k % TILE) * d + i];
            weight = exp(score / sqrt((double)d));
            sum += weight;
            for (size_t i = 0; i < d; i++)
                out[i] += weight * (double)x[(TILE + k % TILE) * d + i];
        }
        for (size_t i = 0; i < d; i++)
            if (fabs(out[i] / sum - (double)r->out[0][((size_t)p * HEADS + head) * d + i]) > 2e-2)
                fail_msg("%s: head %u, dim %zu at %u: %g, not %g", r->c->name, head, i, p,
                         (double)r->out[0][((size_t)p * HEADS + head) * d + i], out[i] / sum);
    }
    free(x);
}

static void open_ages(ages *a, coded_case *c, size_t i)
{
    memset(a, 0, sizeof *a);
    for (size_t w = 0; w < SNUG_COUNT(widths); w++) {
        c[w] = case_of(i, widths[w]);
        rig_open(&a->at[w], &c[w], TOKENS, CHUNK, 1);
    }
    rig_open(&a->r, &c[SNUG_COUNT(widths) - 1], TOKENS, CHUNK, 1);
    a->newest[0] = a->newest[1] = 8;
}

static void close_ages(ages *a)
{
    rig_close(&a->r);
    for (size_t w = 0; w < SNUG_COUNT(widths); w++)
        rig_close(&a->at[w]);
}

/* Any steps in any order, between any tokens. */
static void each_tile_is_as_encoded_at_its_width(void **state)
{
    snug_random random = { 11 };

    (void)state;
    for (size_t i = 0; i < 2 * SNUG_COUNT(kept); i++) {
        coded_case c[SNUG_COUNT(widths)];
        ages a;

        open_ages(&a, c, i % SNUG_COUNT(kept));
        grow(&a, 200 + (uint32_t)(snug_random_next(&random) % 100));
        while (snug_kv_tokens(a.r.kv) < TOKENS - 10) {
            const uint32_t tokens = snug_kv_tokens(a.r.kv);
            const uint64_t by = snug_random_next(&random) % 8;
            snug_kv_target target = { .struct_size = sizeof target };

            target.key_bits = widths[snug_random_next(&random) % SNUG_COUNT(widths)];
            target.value_bits = by % 3 == 0 ? 0 : widths[snug_random_next(&random) % SNUG_COUNT(widths)];
            if (by > 0 && by < 5)
                target.older_than_tokens = 1 + (uint32_t)(snug_random_next(&random) % tokens);
            else if (by >= 5)
                target.end_token = 1 + (uint32_t)(snug_random_next(&random) % tokens);
            demote(&a, &target);
            check_codes(&a);
            grow(&a, tokens + 1 + (uint32_t)(snug_random_next(&random) % (TOKENS - tokens) / 4));
            check_codes(&a);
            check_attention(&a);
        }
        close_ages(&a);
    }
}

/* Tokens at each width add up to those that are there, and bytes to those of the ledger. */
static void a_layer_is_described_as_it_is(void **state)
{
    const snug_kv_target old = { .struct_size = sizeof old, .key_bits = 4, .end_token = 256 };
    const snug_kv_target older = { .struct_size = sizeof older, .key_bits = 2, .end_token = 130 };
    snug_kv_layer_info info = { .struct_size = sizeof info };
    snug_error error = { SNUG_OK, "" };
    coded_case c = case_of(1, 8); /* 64 first tokens and 3 tiles stay exact */
    rig r;

    (void)state;
    rig_open(&r, &c, TOKENS, 100, 1);
    compute_to(&r, 600, 100);
    assert_int_equal(snug_kv_demote(r.kv, &old, NULL, NULL), SNUG_OK);
    assert_int_equal(snug_kv_demote(r.kv, &older, NULL, NULL), SNUG_OK);
    assert_int_equal(snug_kv_describe(&info, r.kv, 0, NULL), SNUG_OK);
    assert_int_equal(info.kind, SNUG_KV_LAYER_ALL);
    assert_int_equal(info.key.width_count, 4);
    assert_int_equal(info.key.width[0].bits, 16); /* 64 first ones, and 7 to 9 with 152 */
    assert_int_equal(info.key.width[0].tokens, 64 + 600 - 7 * 64);
    assert_int_equal(info.key.width[1].bits, 2);
    assert_int_equal(info.key.width[1].tokens, 64);
    assert_int_equal(info.key.width[2].bits, 4);
    assert_int_equal(info.key.width[2].tokens, 2 * 64);
    assert_int_equal(info.key.width[3].bits, 8);
    assert_int_equal(info.key.width[3].tokens, 3 * 64);
    assert_int_equal(info.value.width_count, 2);
    assert_int_equal(info.value.width[1].tokens, 6 * 64);
    assert_in_range(info.key.bytes + info.value.bytes, 1, snug_kv_committed_bytes(r.kv));
    assert_string_equal(info.skipped, "");
    assert_int_equal(snug_kv_describe(&info, r.kv, 1, NULL), SNUG_OK);
    assert_int_equal(info.kind, SNUG_KV_LAYER_SHARED);
    assert_int_equal(info.source, 0);
    assert_int_equal(snug_kv_describe(&info, r.kv, 2, &error), SNUG_ERR_ARGUMENT);
    rig_close(&r);

    c = case_of(5, 8);
    c.config.recent_exact_tokens = 400;
    rig_open(&r, &c, TOKENS, 100, 1);
    compute_to(&r, 600, 100);
    assert_int_equal(snug_kv_describe(&info, r.kv, 0, NULL), SNUG_OK);
    assert_int_equal(info.kind, SNUG_KV_LAYER_WINDOW);
    assert_int_equal(info.bound_tokens, 200);
    assert_int_equal(info.key.coding.format, SNUG_KV_FORMAT_F16);
    assert_non_null(strstr(info.skipped, "nothing becomes codes"));
    rig_close(&r);
}

/* Pages that two conversations share have no holes: neither comes after the other, and nothing changes. */
/* Caches of several widths share what they read: a fork takes next to nothing, and so do fewer bits for what
 * one of them shares. test_fork.c compares what they hold. */
static void forks_share_each_width(void **state)
{
    const snug_kv_target old = {
        .struct_size = sizeof old, .key_bits = 4, .value_bits = 4, .end_token = 384
    };
    const snug_kv_target older = { .struct_size = sizeof older, .key_bits = 2, .end_token = 256 };
    const coded_case c = case_of(0, 8);
    uint64_t one, all;
    snug_kv *fork;
    rig r;

    (void)state;
    rig_open(&r, &c, TOKENS, 100, 1);
    compute_to(&r, 600, 100);
    assert_int_equal(snug_kv_demote(r.kv, &old, NULL, NULL), SNUG_OK);
    one = used(&r);
    all = snug_kv_committed_bytes(r.kv);
    assert_int_equal(snug_kv_shared_bytes(r.kv), 0);
    assert_int_equal(snug_kv_projected_bytes(r.kv, 600), all);
    assert_int_equal(snug_kv_fork(&fork, r.kv, NULL), SNUG_OK);
    assert_in_range(used(&r), one, one + 32 * 1024); /* records of what is shared */
    assert_int_equal(snug_kv_shared_bytes(fork), snug_kv_shared_bytes(r.kv));
    assert_int_equal(snug_kv_shared_bytes(fork) + snug_kv_committed_bytes(fork), all);

    /* Codes of 4 bits and more go on being shared; those of 2 are its own. */
    assert_int_equal(snug_kv_demote(fork, &older, NULL, NULL), SNUG_OK);
    assert_true(snug_kv_is_valid(fork) && snug_kv_is_valid(r.kv));
    assert_true(snug_kv_shared_bytes(fork) > 0);
    assert_in_range(used(&r), one, one + 64 * 1024);
    snug_kv_destroy(r.kv);
    r.kv = fork;
    assert_int_equal(snug_kv_shared_bytes(fork), 0);
    compute_to(&r, TOKENS, 100);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_tile_is_as_encoded_at_its_width),
        cmocka_unit_test(a_layer_is_described_as_it_is),
        cmocka_unit_test(forks_share_each_width),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
