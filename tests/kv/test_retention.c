/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_retention.c - which tokens are seen and kept: attention through rings that have gone round several
 * times, against a mask and a softmax written down in double precision; what the store takes, in the ledger
 * and in the kernel's count; what can be rewound.
 *
 * The cache is driven as a model's layers drive it: a chunk is written and attended in pieces of
 * snug_kv_make_room() tokens; a layer that shares another's keys attends when the whole chunk has been
 * written.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "kv/kv.h"
#include "kv/parts.h"
#include "tests/memory/kernel.h"

#define LAYERS 3 /* the one looked at, one without a window, one that shares the first */

typedef struct rig {
    snug_memory *memory;
    snug_kernels kernels;
    snug_work *work;
    snug_kv *kv;
    snug_kv_layer layers[LAYERS];
    snug_kv_shape shape;
    snug_kv_options options;
    uint32_t heads;
    size_t key_width;   /* of one token: kv heads x head_dim */
    size_t query_width; /* heads x head_dim */
    float *keys;        /* [context][key_width]; the same in all layers */
    float *values;
    float *queries; /* [context][query_width] */
    float *out[LAYERS];
    void *thread_scratch;
    void *parts_scratch;
} rig;

typedef struct rig_options {
    uint32_t heads, kv_heads, head_dim;
    uint32_t window_tokens;
    uint32_t context_tokens;
    uint32_t pass_tokens;
    uint32_t threads;
    uint32_t layer_count; /* 1 to LAYERS */
    snug_kv_format format;
    snug_kv_retention retention;
} rig_options;

static float *random_floats(size_t count, uint64_t seed)
{
    snug_random random = { seed };
    float *x = malloc(count * sizeof *x);

    assert_non_null(x);
    for (size_t i = 0; i < count; i++)
        x[i] = (float)(snug_random_unit(&random) * 4.0 - 2.0);
    return x;
}

static void *scratch(size_t bytes)
{
    void *block = aligned_alloc(64, (bytes + 63) / 64 * 64);

    assert_non_null(block);
    return block;
}

static void rig_open(rig *r, const rig_options *o)
{
    const size_t context = o->context_tokens;

    memset(r, 0, sizeof *r);
    for (size_t i = 0; i < LAYERS; i++)
        r->layers[i] = (snug_kv_layer){ .kv_head_count = o->kv_heads, .head_dim = o->head_dim };
    r->layers[0].window_tokens = o->window_tokens;
    r->layers[2].window_tokens = o->window_tokens;
    r->layers[2].is_shared = true;
    r->shape = (snug_kv_shape){ .layer_count = o->layer_count, .layer = r->layers };
    r->options = (snug_kv_options){ .struct_size = sizeof r->options,
                                    .context_tokens = o->context_tokens,
                                    .config = { .key = { .format = o->format },
                                                .value = { .format = o->format },
                                                .retention = o->retention },
                                    .pass_tokens = o->pass_tokens };
    r->heads = o->heads;
    r->key_width = (size_t)o->kv_heads * o->head_dim;
    r->query_width = (size_t)o->heads * o->head_dim;
    r->keys = random_floats(context * r->key_width, 1);
    r->values = random_floats(context * r->key_width, 2);
    r->queries = random_floats(context * r->query_width, 3);
    for (size_t i = 0; i < LAYERS; i++)
        r->out[i] = random_floats(context * r->query_width, 4);
    r->thread_scratch = scratch(o->threads * snug_kv_thread_scratch_bytes(o->head_dim));
    r->parts_scratch = scratch(snug_kv_parts_scratch_bytes(o->heads, o->head_dim));
    assert_int_equal(snug_memory_create(&r->memory, NULL), SNUG_OK);
    snug_kernels_init(&r->kernels, SNUG_CPU_AUTO, o->format == SNUG_KV_FORMAT_F32);
    assert_int_equal(snug_work_create(&r->work, r->memory, o->threads, NULL), SNUG_OK);
    assert_int_equal(snug_kv_create(&r->kv, &r->shape, r->memory, &r->kernels, &r->options, NULL), SNUG_OK);
}

static void rig_close(rig *r)
{
    snug_kv_destroy(r->kv);
    snug_work_destroy(r->work);
    snug_memory_destroy(r->memory); /* asserts that nothing is left */
    free(r->keys), free(r->values), free(r->queries), free(r->thread_scratch), free(r->parts_scratch);
    for (size_t i = 0; i < LAYERS; i++)
        free(r->out[i]);
}

static void attend(rig *r, uint32_t layer, uint32_t first, uint32_t tokens, bool is_piece)
{
    snug_kv_attend(r->kv, r->work,
                   &(snug_kv_attention){ .layer = layer,
                                         .head_count = r->heads,
                                         .first_position = first,
                                         .tokens = tokens,
                                         .is_piece = is_piece,
                                         .scale = 0.25f,
                                         .query = r->queries + first * r->query_width,
                                         .out = r->out[layer] + first * r->query_width,
                                         .thread_scratch = r->thread_scratch,
                                         .parts_scratch = r->parts_scratch });
}

/* One chunk through all layers. */
static void compute(rig *r, uint32_t first, uint32_t tokens)
{
    assert_int_equal(snug_kv_grow(r->kv, first + tokens, NULL), SNUG_OK);
    for (uint32_t layer = 0; layer < r->shape.layer_count; layer++) {
        uint32_t piece;

        for (uint32_t done = 0; done < tokens; done += piece) {
            const uint32_t room = snug_kv_make_room(r->kv, r->work, layer, first + done, r->thread_scratch);

            assert_true(room > 0);
            piece = tokens - done < room ? tokens - done : room;
            for (uint32_t t = first + done; t < first + done + piece && !r->layers[layer].is_shared; t++)
                snug_kv_write(r->kv, layer, t, r->keys + t * r->key_width, r->values + t * r->key_width);
            attend(r, layer, first + done, piece, piece < tokens);
        }
    }
    snug_kv_set_tokens(r->kv, first + tokens);
    assert_true(snug_kv_is_valid(r->kv));
}

static void compute_to(rig *r, uint32_t end, uint32_t chunk)
{
    for (uint32_t at = snug_kv_tokens(r->kv); at < end; at = snug_kv_tokens(r->kv))
        compute(r, at, end - at < chunk ? end - at : chunk);
}

/* --- the reference ------------------------------------------------------------------------------------- */

/* The formulas of snug/kv.h, as they stand there. */
static bool sees(const snug_kv_retention *retention, uint32_t window, uint32_t p, uint32_t k)
{
    if (k > p || (window > 0 && p - k >= window))
        return false;
    if (retention->kind == SNUG_KV_RETENTION_ROTATING)
        return k < retention->sink_tokens || p - k < retention->max_tokens - retention->sink_tokens;
    if (retention->kind == SNUG_KV_RETENTION_CHUNKED)
        return k / retention->max_tokens == p / retention->max_tokens;
    return true;
}

/* One column of one head at one position. */
static double reference(const rig *r, uint32_t layer, uint32_t position, uint32_t head, uint32_t column)
{
    const snug_kv_layer *shape = &r->layers[layer];
    const uint32_t group = r->heads / shape->kv_head_count;
    const size_t at = (size_t)head / group * shape->head_dim;
    const float *query = r->queries + position * r->query_width + (size_t)head * shape->head_dim;
    double sum = 0.0, out = 0.0;

    for (uint32_t k = 0; k <= position; k++) {
        const float *key = r->keys + k * r->key_width + at;
        double score = 0.0, share;

        if (!sees(&r->options.config.retention, shape->window_tokens, position, k))
            continue;
        for (uint32_t i = 0; i < shape->head_dim; i++)
            score += (double)query[i] * key[i] * 0.25;
        share = exp(score); /* at most e^(4 x 16 x 0.25) here */
        sum += share;
        out += share * (double)r->values[k * r->key_width + at + column];
    }
    return out / sum;
}

static void check_outputs(const rig *r)
{
    for (uint32_t layer = 0; layer < r->shape.layer_count; layer++) {
        for (uint32_t p = 0; p < snug_kv_tokens(r->kv); p += p < 300 ? 1 : 3) {
            const uint32_t head = p % r->heads;
            const uint32_t column = p * 7 % r->layers[0].head_dim;
            const double expected = reference(r, layer, p, head, column);
            const size_t at = p * r->query_width + (size_t)head * r->layers[0].head_dim + column;

            if (!(fabs((double)r->out[layer][at] - expected) < 2e-5))
                fail_msg("layer %u, position %u: %g instead of %g (%s %u, sinks %u, window %u)", layer, p,
                         (double)r->out[layer][at], expected,
                         snug_kv_retention_name(r->options.config.retention.kind),
                         r->options.config.retention.max_tokens, r->options.config.retention.sink_tokens,
                         r->layers[0].window_tokens);
        }
    }
}

/* --- attention ----------------------------------------------------------------------------------------- */

static const struct {
    uint32_t heads, kv_heads;
} heads[] = { { 2, 1 }, { 4, 4 }, { 6, 2 } };

/* Every chunk size; the shared layer only where the retention leaves it something to share. */
static void check_retention(const snug_kv_retention *retention, uint32_t window, uint32_t which)
{
    static const uint32_t chunks[] = { 1, 7, 64, 200 };

    for (size_t c = 0; c < sizeof chunks / sizeof chunks[0]; c++) {
        const rig_options o = { .heads = heads[(which + c) % 3].heads,
                                .kv_heads = heads[(which + c) % 3].kv_heads,
                                .head_dim = 16,
                                .window_tokens = window,
                                .context_tokens = 700,
                                .pass_tokens = chunks[c],
                                .threads = which % 2 + 1,
                                .layer_count = LAYERS - which % 2, /* with the shared layer, and without */
                                .format = SNUG_KV_FORMAT_F32,
                                .retention = *retention };
        rig r;

        rig_open(&r, &o);
        compute_to(&r, 700, chunks[c]);
        check_outputs(&r);
        rig_close(&r);
    }
}

static void windows_are_what_the_mask_says(void **state)
{
    static const uint32_t windows[] = { 1, 5, 63, 64, 65, 66, 100, 0 };
    const snug_kv_retention all = { .kind = SNUG_KV_RETENTION_ALL };

    (void)state;
    for (uint32_t w = 0; w < sizeof windows / sizeof windows[0]; w++) {
        check_retention(&all, windows[w], w);
        check_retention(&all, windows[w], w + 1);
    }
}

static void rotating_is_what_the_mask_says(void **state)
{
    static const uint32_t sinks[] = { 0, 3, 64, 70 };
    static const uint32_t beside[] = { 1, 30, 64, 130 }; /* tokens beside the sinks */
    static const uint32_t windows[] = { 0, 5, 65, 100 };

    (void)state;
    for (uint32_t i = 0; i < 64; i++) {
        const snug_kv_retention retention = { .kind = SNUG_KV_RETENTION_ROTATING,
                                              .max_tokens = sinks[i % 4] + beside[i / 4 % 4],
                                              .sink_tokens = sinks[i % 4] };

        check_retention(&retention, windows[i / 16], i);
        check_retention(&retention, windows[i / 16], i + 1);
    }
}

static void chunked_is_what_the_mask_says(void **state)
{
    static const uint32_t tokens[] = { 1, 5, 64, 65, 100, 128, 200, 1000 };
    static const uint32_t windows[] = { 0, 1, 65, 100 };

    (void)state;
    for (uint32_t i = 0; i < 32; i++) {
        const snug_kv_retention retention = { .kind = SNUG_KV_RETENTION_CHUNKED,
                                              .max_tokens = tokens[i % 8] };

        check_retention(&retention, windows[i / 8], i);
        check_retention(&retention, windows[i / 8], i + 1);
    }
}

static void far_positions_are_as_exact_as_near_ones(void **state)
{
    const rig_options o = { .heads = 2,
                            .kv_heads = 1,
                            .head_dim = 16,
                            .context_tokens = 9000,
                            .threads = 1,
                            .layer_count = 1,
                            .format = SNUG_KV_FORMAT_F32,
                            .retention = { SNUG_KV_RETENTION_ROTATING, 90, 10 } };
    rig r;

    (void)state;
    rig_open(&r, &o);
    compute_to(&r, 9000, 333);
    check_outputs(&r);
    rig_close(&r);
}

/* Against a cache in which nothing goes round, because all layers are shared for passes of any length. */
static void pieces_give_the_bits_of_a_whole_chunk(void **state)
{
    static const snug_kv_retention retentions[] = { { SNUG_KV_RETENTION_ALL, 0, 0 },
                                                    { SNUG_KV_RETENTION_ROTATING, 130, 70 },
                                                    { SNUG_KV_RETENTION_ROTATING, 600, 4 },
                                                    { SNUG_KV_RETENTION_CHUNKED, 100, 0 } };
    static const uint32_t chunks[] = { 1, 65, 200, 1999 };

    (void)state;
    for (size_t i = 0; i < 16; i++) {
        rig_options o = { .heads = 6,
                          .kv_heads = 2,
                          .head_dim = 80,
                          .window_tokens = i / 4 == 0 ? 65 : 0,
                          .context_tokens = 2000,
                          .pass_tokens = 2000,
                          .threads = 2,
                          .layer_count = LAYERS,
                          .format = SNUG_KV_FORMAT_F16,
                          .retention = retentions[i / 4] };
        rig whole, pieces;

        rig_open(&whole, &o);
        assert_int_equal(whole.kv->store[0].rule.ring_tiles, SNUG_KV_UNBOUNDED);
        o.layer_count = 1;
        o.threads = 1;
        rig_open(&pieces, &o);
        assert_true(pieces.kv->store[0].rule.ring_tiles <= 11);
        compute_to(&whole, 2000, chunks[i % 4]);
        compute_to(&pieces, 2000, chunks[i % 4]);
        assert_memory_equal(whole.out[0], pieces.out[0], 2000 * whole.query_width * sizeof(float));
        assert_memory_equal(whole.out[0], whole.out[2], 2000 * whole.query_width * sizeof(float));
        rig_close(&whole);
        rig_close(&pieces);
    }
}

/* --- memory -------------------------------------------------------------------------------------------- */

static void estimate_is_what_is_committed_at_every_count(void **state)
{
    static const snug_kv_retention retentions[] = { { SNUG_KV_RETENTION_AUTO, 0, 0 },
                                                    { SNUG_KV_RETENTION_ROTATING, 100, 0 },
                                                    { SNUG_KV_RETENTION_ROTATING, 256, 70 },
                                                    { SNUG_KV_RETENTION_CHUNKED, 128, 0 },
                                                    { SNUG_KV_RETENTION_CHUNKED, 1, 0 } };

    (void)state;
    for (size_t i = 0; i < 10; i++) {
        const rig_options o = { .heads = 3,
                                .kv_heads = 3,
                                .head_dim = 80, /* tiles that are no whole number of pages */
                                .window_tokens = i < 5 ? 65 : 0,
                                .context_tokens = 1000,
                                .pass_tokens = 50,
                                .threads = 1,
                                .layer_count = 1 + (uint32_t)i % 3,
                                .format = SNUG_KV_FORMAT_F16,
                                .retention = retentions[i % 5] };
        uint64_t bytes;
        rig r;

        rig_open(&r, &o);
        for (uint32_t tokens = 0; tokens <= 1000; tokens++) {
            assert_int_equal(snug_kv_estimate(&bytes, &r.shape, &r.options, tokens, NULL), SNUG_OK);
            assert_int_equal(snug_kv_grow(r.kv, tokens, NULL), SNUG_OK);
            assert_int_equal(bytes, snug_kv_committed_bytes(r.kv));
            assert_int_equal(bytes, snug_memory_read(r.memory, SNUG_MEMORY_KV).used_bytes);
        }
        assert_true(snug_kv_is_valid(r.kv));
        rig_close(&r);
    }
}

static uint64_t layer_bytes(uint32_t window, snug_kv_retention retention, uint32_t tokens)
{
    const snug_kv_layer layer = { .kv_head_count = 1, .head_dim = 64, .window_tokens = window };
    const snug_kv_shape shape = { .layer_count = 1, .layer = &layer };
    const snug_kv_options options = { .struct_size = sizeof options,
                                      .context_tokens = 100000,
                                      .config.retention = retention };
    uint64_t table, bytes;

    assert_int_equal(snug_kv_estimate(&table, &shape, &options, 0, NULL), SNUG_OK);
    assert_int_equal(snug_kv_estimate(&bytes, &shape, &options, tokens, NULL), SNUG_OK);
    return bytes - table;
}

/* A tile is 64 tokens x 64 dims x 2 bytes x 2 sides = 16 KiB, a whole number of pages. */
static void a_layer_holds_its_window_and_a_tile(void **state)
{
    const uint64_t tile = 16384;
    const snug_kv_retention all = { .kind = SNUG_KV_RETENTION_ALL };

    (void)state;
    assert_int_equal(layer_bytes(0, all, 100000), 1563 * tile);
    assert_int_equal(layer_bytes(1, all, 100000), 1 * tile);
    assert_int_equal(layer_bytes(64, all, 100000), 2 * tile);
    assert_int_equal(layer_bytes(65, all, 100000), 2 * tile);
    assert_int_equal(layer_bytes(512, all, 100000), 9 * tile);
    assert_int_equal(layer_bytes(512, all, 300), 5 * tile); /* while it fills, only what is there */
    assert_int_equal(layer_bytes(0, (snug_kv_retention){ SNUG_KV_RETENTION_ROTATING, 256, 0 }, 100000),
                     5 * tile);
    assert_int_equal(layer_bytes(0, (snug_kv_retention){ SNUG_KV_RETENTION_ROTATING, 256, 4 }, 100000),
                     6 * tile); /* the tile of the sinks stays */
    assert_int_equal(layer_bytes(16, (snug_kv_retention){ SNUG_KV_RETENTION_ROTATING, 256, 4 }, 100000),
                     2 * tile); /* sinks outside the window are not kept */
    assert_int_equal(layer_bytes(0, (snug_kv_retention){ SNUG_KV_RETENTION_CHUNKED, 256, 0 }, 100000),
                     4 * tile); /* chunks of whole tiles */
    assert_int_equal(layer_bytes(0, (snug_kv_retention){ SNUG_KV_RETENTION_CHUNKED, 250, 0 }, 100000),
                     5 * tile);
}

static void going_round_takes_no_memory(void **state)
{
    const rig_options o = { .heads = 8,
                            .kv_heads = 8,
                            .head_dim = 128,
                            .context_tokens = 5400,
                            .threads = 1,
                            .layer_count = 2,
                            .format = SNUG_KV_FORMAT_F16,
                            .retention = { SNUG_KV_RETENTION_ROTATING, 256, 4 } };
    uint64_t full, least = UINT64_MAX, most = 0, ledger;
    rig r;

    (void)state;
    if (IS_SANITIZED) {
        printf("SKIPPED: a sanitizer's own memory would be measured\n");
        skip();
    }
    rig_open(&r, &o);
    for (uint32_t i = 0; i < 2; i++)
        memset(r.out[i], 0,
               5400 * r.query_width * sizeof(float)); /* all pages of the test itself are there */
    compute_to(&r, 400, 100);
    full = read_kernel_bytes("RssAnon:");
    ledger = snug_kv_committed_bytes(r.kv);
    assert_true(full > 0);
    for (uint32_t tokens = 500; tokens <= 5400; tokens += 100) {
        uint64_t now;

        compute_to(&r, tokens, 100);
        now = read_kernel_bytes("RssAnon:");
        least = now < least ? now : least;
        most = now > most ? now : most;
        assert_int_equal(snug_kv_committed_bytes(r.kv), ledger);
    }
    printf("RssAnon over 5000 tokens: %llu to %llu KB; the cache %llu KB\n", (unsigned long long)least / 1024,
           (unsigned long long)most / 1024, (unsigned long long)ledger / 1024);
    /* One tile more would be 512 KB. */
    assert_true(most <= full + 128 * 1024 && least + 128 * 1024 >= full);
    rig_close(&r);
}

/* --- rewinding ----------------------------------------------------------------------------------------- */

/* Rewind, then compute other tokens from there on: right when kept, and nothing there when not. */
static void check_rewound(rig *r, uint32_t to, uint32_t expected)
{
    const uint32_t before = snug_kv_tokens(r->kv);
    uint64_t bytes;

    assert_int_equal(snug_kv_truncate(r->kv, to), expected);
    assert_int_equal(snug_kv_tokens(r->kv), expected);
    assert_int_equal(snug_kv_estimate(&bytes, &r->shape, &r->options, expected, NULL), SNUG_OK);
    assert_int_equal(bytes, snug_kv_committed_bytes(r->kv));
    assert_true(snug_kv_is_valid(r->kv));
    for (size_t i = expected * r->key_width; i < before * r->key_width; i++)
        r->keys[i] = -r->keys[i];
    compute_to(r, before, 50);
    check_outputs(r);
}

static void rewinding_keeps_what_is_still_there(void **state)
{
    /* A window of 100 needs 3 tiles: positions 0 .. 191 before it goes round. */
    rig_options o = { .heads = 2,
                      .kv_heads = 1,
                      .head_dim = 16,
                      .window_tokens = 100,
                      .context_tokens = 1000,
                      .threads = 1,
                      .layer_count = 1,
                      .format = SNUG_KV_FORMAT_F32 };
    rig r;

    (void)state;
    rig_open(&r, &o);
    compute_to(&r, 192, 64);
    check_rewound(&r, 1, 1); /* nothing is lost yet */
    compute_to(&r, 193, 64); /* tile 3 where tile 0 was */
    check_rewound(&r, 193, 193);
    check_rewound(&r, 170, 170); /* sees from 71 on: tile 1 */
    check_rewound(&r, 163, 163); /* from 64 on */
    check_rewound(&r, 162, 0);   /* from 63 on: gone */
    assert_int_equal(snug_kv_tokens(r.kv), 193);
    compute_to(&r, 300, 64);
    check_rewound(&r, 299, 299); /* from 200 on */
    check_rewound(&r, 227, 227); /* from 128 on: tile 2, the oldest of three */
    check_rewound(&r, 226, 0);
    check_rewound(&r, 0, 0);
    assert_int_equal(snug_kv_truncate(r.kv, 5000), 300);
    rig_close(&r);
}

static void what_was_overwritten_stays_lost_after_rewinding(void **state)
{
    const rig_options o = { .heads = 2,
                            .kv_heads = 1,
                            .head_dim = 16,
                            .window_tokens = 100,
                            .context_tokens = 1000,
                            .threads = 1,
                            .layer_count = 1,
                            .format = SNUG_KV_FORMAT_F32 };
    rig r;

    (void)state;
    rig_open(&r, &o);
    compute_to(&r, 200, 64);                            /* tile 3 is where tile 0 was */
    assert_int_equal(snug_kv_truncate(r.kv, 190), 190); /* and tile 0 does not come back by forgetting it */
    assert_int_equal(snug_kv_truncate(r.kv, 150), 0);
    assert_int_equal(snug_kv_tokens(r.kv), 0);
    compute_to(&r, 150, 64);
    check_rewound(&r, 100, 100); /* as new */
    rig_close(&r);
}

static void rewinding_follows_every_retention(void **state)
{
    rig_options o = { .heads = 2,
                      .kv_heads = 1,
                      .head_dim = 16,
                      .context_tokens = 1000,
                      .threads = 1,
                      .layer_count = 1,
                      .format = SNUG_KV_FORMAT_F32,
                      .retention = { SNUG_KV_RETENTION_ROTATING, 170, 70 } };
    rig r;

    (void)state;
    rig_open(&r, &o); /* two tiles of sinks, a ring of three: positions 128 .. 319 before it goes round */
    compute_to(&r, 320, 64);
    check_rewound(&r, 10, 10);
    compute_to(&r, 321, 64);
    check_rewound(&r, 291, 291); /* sees from 192 on */
    check_rewound(&r, 290, 0);
    rig_close(&r);

    rig_open(&r, &o);
    compute_to(&r, 321, 64);
    check_rewound(&r, 128, 128); /* all it sees lies in the tiles of the sinks */
    check_rewound(&r, 129, 0);   /* sees 128, in the ring */
    rig_close(&r);

    o.retention = (snug_kv_retention){ SNUG_KV_RETENTION_CHUNKED, 100, 0 };
    rig_open(&r, &o); /* three tiles */
    compute_to(&r, 350, 64);
    check_rewound(&r, 300, 300); /* a chunk begins: nothing before it is seen */
    check_rewound(&r, 301, 301);
    check_rewound(&r, 200, 200);
    compute_to(&r, 350, 64);
    check_rewound(&r, 250, 250); /* sees from 200 on: tile 3 of 3, 4, 5 */
    check_rewound(&r, 199, 0);   /* from 100 on */
    rig_close(&r);
}

/* --- refusals ------------------------------------------------------------------------------------------ */

static void figures_that_make_no_sense_are_refused(void **state)
{
    static const struct {
        snug_kv_retention retention;
        const char *sentence;
    } cases[] = {
        { { SNUG_KV_RETENTION_ALL, 100, 0 }, "keeps all tokens cannot be bounded to 100" },
        { { SNUG_KV_RETENTION_ALL, 0, 4 }, "only a rotating cache does that, not all" },
        { { SNUG_KV_RETENTION_ROTATING, 0, 0 }, "a rotating cache must be told how many tokens to keep" },
        { { SNUG_KV_RETENTION_ROTATING, 4, 4 }, "at most the first 3 can be kept for ever, not 4" },
        { { SNUG_KV_RETENTION_CHUNKED, 0, 0 }, "a chunked cache must be told how many tokens to keep" },
        { { SNUG_KV_RETENTION_CHUNKED, 100, 4 }, "only a rotating cache does that, not chunked" },
        { { (snug_kv_retention_kind)9, 100, 4 }, "retention 9 is not one this build knows" },
    };
    const snug_kv_layer layer = { .kv_head_count = 1, .head_dim = 64 };
    const snug_kv_shape shape = { .layer_count = 1, .layer = &layer };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const snug_kv_options options = { .struct_size = sizeof options,
                                          .context_tokens = 100,
                                          .config.retention = cases[i].retention };
        snug_error error = { SNUG_OK, "" };
        uint64_t bytes;

        assert_int_equal(snug_kv_estimate(&bytes, &shape, &options, 1, &error), SNUG_ERR_ARGUMENT);
        if (!strstr(error.text, cases[i].sentence))
            fail_msg("\"%s\" does not say \"%s\"", error.text, cases[i].sentence);
    }
}

static void names_and_kinds_go_both_ways(void **state)
{
    (void)state;
    for (int kind = SNUG_KV_RETENTION_AUTO; kind <= SNUG_KV_RETENTION_CHUNKED; kind++) {
        snug_kv_retention_kind back;

        assert_true(snug_kv_retention_parse(&back, snug_kv_retention_name((snug_kv_retention_kind)kind)));
        assert_int_equal(back, kind);
        assert_false(snug_kv_retention_parse(&back, "unknown"));
    }
    assert_string_equal(snug_kv_retention_name((snug_kv_retention_kind)9), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_are_what_the_mask_says),
        cmocka_unit_test(rotating_is_what_the_mask_says),
        cmocka_unit_test(chunked_is_what_the_mask_says),
        cmocka_unit_test(far_positions_are_as_exact_as_near_ones),
        cmocka_unit_test(pieces_give_the_bits_of_a_whole_chunk),
        cmocka_unit_test(estimate_is_what_is_committed_at_every_count),
        cmocka_unit_test(a_layer_holds_its_window_and_a_tile),
        cmocka_unit_test(going_round_takes_no_memory),
        cmocka_unit_test(rewinding_keeps_what_is_still_there),
        cmocka_unit_test(what_was_overwritten_stays_lost_after_rewinding),
        cmocka_unit_test(rewinding_follows_every_retention),
        cmocka_unit_test(figures_that_make_no_sense_are_refused),
        cmocka_unit_test(names_and_kinds_go_both_ways),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
