/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coded_rig.c - coded_rig.h.
 */
#include "tests/kv/coded_rig.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/status.h"

static float *random_floats(size_t count, uint64_t seed, float shift)
{
    snug_random random = { seed };
    float *x = malloc(count * sizeof *x);

    assert_non_null(x);
    for (size_t i = 0; i < count; i++)
        x[i] =
            (float)(snug_random_unit(&random) + snug_random_unit(&random) + snug_random_unit(&random) - 1.5) *
                2.0f +
            shift * (float)(i % 7);
    return x;
}

void rig_open(rig *r, const coded_case *c, uint32_t context, uint32_t pass_tokens, uint32_t threads)
{
    const size_t d = c->head_dim;

    *r = (rig){ .c = c };
    assert_int_equal(
        snug_memory_create(&r->memory, &(snug_memory_options){ .struct_size = sizeof(snug_memory_options) }),
        SNUG_OK);
    assert_int_equal(snug_work_create(&r->work, r->memory, threads, NULL), SNUG_OK);
    snug_kernels_init(&r->kernels, SNUG_CPU_AUTO, false);
    r->layer[0] =
        (snug_kv_layer){ .kv_head_count = KV_HEADS, .head_dim = c->head_dim, .window_tokens = c->window };
    r->layer[1] = r->layer[0];
    r->layer[1].is_shared = true;
    r->shape = (snug_kv_shape){ 2, r->layer };
    r->options = (snug_kv_options){ .struct_size = sizeof r->options,
                                    .context_tokens = context,
                                    .pass_tokens = pass_tokens,
                                    .config = c->config };
    assert_int_equal(snug_kv_create(&r->kv, &r->shape, r->memory, &r->kernels, &r->options, NULL), SNUG_OK);
    r->key = random_floats(TOKENS * KV_HEADS * d, 1, 0.1f);
    r->value = random_floats(TOKENS * KV_HEADS * d, 2, 0.0f);
    r->query = random_floats(TOKENS * HEADS * d, 3, 0.0f);
    r->out[0] = calloc(TOKENS * HEADS * d, sizeof(float));
    r->out[1] = calloc(TOKENS * HEADS * d, sizeof(float));
    r->thread_scratch = aligned_alloc(64, (threads * snug_kv_thread_scratch_bytes(d) + 63) / 64 * 64);
    r->parts_scratch = aligned_alloc(64, (snug_kv_parts_scratch_bytes(HEADS, c->head_dim) + 63) / 64 * 64);
}

void rig_close(rig *r)
{
    snug_kv_destroy(r->kv);
    snug_work_destroy(r->work);
    assert_int_equal(snug_memory_read_all(r->memory).used_bytes, 0);
    snug_memory_destroy(r->memory);
    free(r->key);
    free(r->value);
    free(r->query);
    free(r->out[0]);
    free(r->out[1]);
    free(r->thread_scratch);
    free(r->parts_scratch);
}

/* One chunk through both layers, as a model's layers drive it. */
void compute(rig *r, uint32_t first, uint32_t tokens)
{
    const size_t d = r->c->head_dim;

    assert_int_equal(snug_kv_grow(r->kv, first + tokens, NULL), SNUG_OK);
    for (uint32_t layer = 0; layer < 2; layer++) {
        uint32_t piece;

        for (uint32_t done = 0; done < tokens; done += piece) {
            const uint32_t at = first + done;
            const uint32_t room = snug_kv_make_room(r->kv, r->work, layer, at, r->thread_scratch);

            piece = tokens - done < room ? tokens - done : room;
            for (uint32_t t = at; t < at + piece && layer == 0; t++)
                snug_kv_write(r->kv, 0, t, r->key + t * KV_HEADS * d, r->value + t * KV_HEADS * d);
            snug_kv_attend(r->kv, r->work,
                           &(snug_kv_attention){ .layer = layer,
                                                 .head_count = HEADS,
                                                 .first_position = at,
                                                 .tokens = piece,
                                                 .is_piece = piece < tokens,
                                                 .scale = 1.0f / sqrtf((float)d),
                                                 .query = r->query + at * HEADS * d,
                                                 .out = r->out[layer] + at * HEADS * d,
                                                 .thread_scratch = r->thread_scratch,
                                                 .parts_scratch = r->parts_scratch });
        }
    }
    snug_kv_set_tokens(r->kv, first + tokens);
    assert_true(snug_kv_is_valid(r->kv));
}

void compute_to(rig *r, uint32_t end, uint32_t chunk)
{
    for (uint32_t at = snug_kv_tokens(r->kv); at < end; at = snug_kv_tokens(r->kv))
        compute(r, at, end - at < chunk ? end - at : chunk);
}

void assert_same_from(const rig *a, const rig *b, uint32_t token)
{
    const size_t width = HEADS * a->c->head_dim;

    for (int layer = 0; layer < 2; layer++)
        if (memcmp(a->out[layer] + token * width, b->out[layer] + token * width,
                   (TOKENS - token) * width * sizeof(float)) != 0)
            fail_msg("%s: other bits after %u tokens", a->c->name, token);
}

const coded_case cases[] = {
    { "planes 8", { PLANES(8), PLANES(8), 0, 0, ALL, ALIKE }, 64, 0 },
    { "planes 6", { PLANES(6), PLANES(6), 0, 0, ALL, ALIKE }, 64, 0 },
    { "planes 5", { PLANES(5), PLANES(5), 0, 0, ALL, ALIKE }, 64, 0 },
    { "planes 4", { PLANES(4), PLANES(4), 0, 0, ALL, ALIKE }, 64, 0 },
    { "planes 3", { PLANES(3), PLANES(3), 0, 0, ALL, ALIKE }, 64, 0 },
    { "planes 2", { PLANES(2), PLANES(2), 0, 0, ALL, ALIKE }, 64, 0 },
    { "planes 5/3, sinks and tail", { PLANES(5), PLANES(3), 16, 100, ALL, ALIKE }, 80, 0 },
    { "affine 8", { AFFINE(8, 64), AFFINE(8, 64), 0, 0, ALL, ALIKE }, 64, 0 },
    { "affine 4/3", { AFFINE(4, 32), AFFINE(3, 64), 4, 64, ALL, ALIKE }, 128, 0 },
    { "keys only", { PLANES(4), F16, 0, 0, ALL, ALIKE }, 64, 0 },
    { "values only", { F16, PLANES(4), 70, 1, ALL, ALIKE }, 64, 0 },
    { "keys planes, values affine", { PLANES(6), AFFINE(5, 32), 16, 65, ALL, ALIKE }, 96, 0 },
    { "rotating", { PLANES(4), PLANES(4), 0, 0, ROTATING(300, 10), ALIKE }, 64, 0 },
    { "rotating, exact sinks and tail", { PLANES(5), PLANES(4), 70, 66, ROTATING(333, 70), ALIKE }, 64, 0 },
    { "rotating, less than the tail", { PLANES(5), PLANES(4), 4, 300, ROTATING(200, 4), ALIKE }, 64, 0 },
    { "chunked", { PLANES(4), PLANES(4), 16, 0, CHUNKED(256), ALIKE }, 64, 0 },
    { "a window", { PLANES(8), PLANES(8), 16, 32, ALL, ALIKE }, 64, 200 },
    { "a window in a rotating cache", { AFFINE(8, 32), PLANES(8), 16, 0, ROTATING(400, 8), ALIKE }, 64, 300 },
};

const size_t case_count = SNUG_COUNT(cases);
