/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_layers.c - caches whose layers have formats of their own: each layer holds and answers, bit for bit,
 * what it does in a cache that is all of its format; memory is what was estimated; saved, forked, converted
 * and demoted they are what a cache made so is.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/status.h"
#include "tests/kv/coded_rig.h"

enum {
    LAYERS = 7,
    SHARING = 6, /* reads what SHARED keeps */
    SHARED = 4,
    WINDOWED = 1,
    HEAD_DIM = 64,
};

/* Keys and values of each layer; the first stands for all layers that are not named. */
typedef struct mixture {
    const char *name;
    snug_kv_coding side[SHARING][2];
    snug_kv_config rest; /* but for keys and values */
} mixture;

static const mixture mixtures[] = {
    { "all that there is",
      { { PLANES(5), PLANES(4) },
        { PLANES(8), PLANES(8) },
        { F16, F16 },
        { AFFINE(4, 32), AFFINE(4, 64) },
        { PLANES(3), PLANES(2) },
        { F16, PLANES(4) } },
      { F16, F16, 0, 0, ALL, ALIKE } },
    { "over f16, with sinks and a tail",
      { { F16, F16 },
        { PLANES(4), PLANES(3) },
        { F16, F16 },
        { PLANES(8), F16 },
        { AFFINE(8, 64), F16 },
        { F16, F16 } },
      { F16, F16, 16, 100, ALL, ALIKE } },
    { "rotating",
      { { PLANES(4), PLANES(4) },
        { PLANES(8), PLANES(6) },
        { F16, F16 },
        { PLANES(2), PLANES(2) },
        { PLANES(6), PLANES(5) },
        { AFFINE(5, 32), PLANES(4) } },
      { F16, F16, 8, 70, ROTATING(300, 8), ALIKE } },
};

typedef struct stack {
    snug_memory *memory;
    snug_kernels kernels;
    snug_work *work;
    snug_kv_layer layer[LAYERS];
    snug_kv_shape shape;
    snug_kv_options options;
    snug_kv *kv;
    float *x;           /* keys, then values: [TOKENS][KV_HEADS][HEAD_DIM]; then queries of HEADS */
    float *out[LAYERS]; /* [TOKENS][HEADS][HEAD_DIM] */
    void *thread_scratch, *parts_scratch;
} stack;

/* A cache that is all of what the mixture has in one layer. */
static snug_kv_config uniform_of(const mixture *m, uint32_t layer)
{
    snug_kv_config config = m->rest;

    config.key = m->side[layer][0];
    config.value = m->side[layer][1];
    return config;
}

static snug_kv_config config_of(const mixture *m)
{
    snug_kv_config config = uniform_of(m, 0);

    for (uint32_t i = 1; i < SHARING; i++)
        snug_kv_config_set_layer(&config, i, &m->side[i][0], &m->side[i][1]);
    return config;
}

static void stack_open(stack *s, const snug_kv_config *config)
{
    const snug_memory_options memory = { .struct_size = sizeof memory };
    const size_t vectors = TOKENS * (2 * KV_HEADS + HEADS);
    snug_random random = { 7 };
    snug_error error = { SNUG_OK, "" };

    *s = (stack){ .layer = { { .kv_head_count = 0 } } };
    assert_int_equal(snug_memory_create(&s->memory, &memory), SNUG_OK);
    assert_int_equal(snug_work_create(&s->work, s->memory, 1, NULL), SNUG_OK);
    snug_kernels_init(&s->kernels, SNUG_CPU_AUTO, false);
    for (uint32_t i = 0; i < LAYERS; i++)
        s->layer[i] = (snug_kv_layer){ .kv_head_count = KV_HEADS,
                                       .head_dim = HEAD_DIM,
                                       .window_tokens = i == WINDOWED ? 200 : 0,
                                       .is_shared = i == SHARING,
                                       .source = i == SHARING ? SHARED : 0 };
    s->shape = (snug_kv_shape){ LAYERS, s->layer };
    s->options = (snug_kv_options){
        .struct_size = sizeof s->options, .context_tokens = TOKENS, .pass_tokens = 100, .config = *config
    };
    if (snug_kv_create(&s->kv, &s->shape, s->memory, &s->kernels, &s->options, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    s->x = malloc(vectors * HEAD_DIM * sizeof *s->x);
    assert_non_null(s->x);
    for (size_t i = 0; i < vectors * HEAD_DIM; i++)
        s->x[i] = (float)(snug_random_unit(&random) + snug_random_unit(&random) - 1.0) * 3.0f;
    for (uint32_t i = 0; i < LAYERS; i++)
        s->out[i] = calloc(TOKENS * HEADS * HEAD_DIM, sizeof(float));
    s->thread_scratch = aligned_alloc(64, (snug_kv_thread_scratch_bytes(HEAD_DIM) + 63) / 64 * 64);
    s->parts_scratch = aligned_alloc(64, (snug_kv_parts_scratch_bytes(HEADS, HEAD_DIM) + 63) / 64 * 64);
}

static void stack_close(stack *s)
{
    snug_kv_destroy(s->kv);
    snug_work_destroy(s->work);
    assert_int_equal(snug_memory_read_all(s->memory).used_bytes, 0);
    snug_memory_destroy(s->memory);
    free(s->x);
    for (uint32_t i = 0; i < LAYERS; i++)
        free(s->out[i]);
    free(s->thread_scratch);
    free(s->parts_scratch);
}

/* Some tokens of one layer, which there is room for. */
static void run_layer(stack *s, uint32_t layer, uint32_t at, uint32_t tokens, bool is_piece)
{
    const size_t width = KV_HEADS * HEAD_DIM;
    const float *value = s->x + TOKENS * width;
    const float *query = value + TOKENS * width;

    for (uint32_t t = at; t < at + tokens && !s->layer[layer].is_shared; t++)
        snug_kv_write(s->kv, layer, t, s->x + t * width, value + t * width);
    snug_kv_attend(s->kv, s->work,
                   &(snug_kv_attention){ .layer = layer,
                                         .head_count = HEADS,
                                         .first_position = at,
                                         .tokens = tokens,
                                         .is_piece = is_piece,
                                         .scale = 1.0f / sqrtf(HEAD_DIM),
                                         .query = query + (size_t)at * HEADS * HEAD_DIM,
                                         .out = s->out[layer] + (size_t)at * HEADS * HEAD_DIM,
                                         .thread_scratch = s->thread_scratch,
                                         .parts_scratch = s->parts_scratch });
}

/* From what there is to `end`, `chunk` tokens at a time. */
static void compute_stack(stack *s, uint32_t end, uint32_t chunk)
{
    while (snug_kv_tokens(s->kv) < end) {
        const uint32_t first = snug_kv_tokens(s->kv);
        const uint32_t tokens = end - first < chunk ? end - first : chunk;

        assert_int_equal(snug_kv_grow(s->kv, first + tokens, NULL), SNUG_OK);
        for (uint32_t layer = 0; layer < LAYERS; layer++)
            for (uint32_t done = 0, piece; done < tokens; done += piece) {
                const uint32_t room =
                    snug_kv_make_room(s->kv, s->work, layer, first + done, s->thread_scratch);

                piece = tokens - done < room ? tokens - done : room;
                run_layer(s, layer, first + done, piece, piece < tokens);
            }
        snug_kv_set_tokens(s->kv, first + tokens);
        assert_true(snug_kv_is_valid(s->kv));
    }
}

static void assert_same_layer(const stack *a, const stack *b, uint32_t layer, uint32_t token,
                              const char *name)
{
    const size_t width = HEADS * HEAD_DIM;

    if (memcmp(a->out[layer] + token * width, b->out[layer] + token * width,
               (TOKENS - token) * width * sizeof(float)) != 0)
        fail_msg("%s: layer %u gives other bits", name, layer);
}

static void assert_same_stack(const stack *a, const stack *b, uint32_t token, const char *name)
{
    for (uint32_t layer = 0; layer < LAYERS; layer++)
        assert_same_layer(a, b, layer, token, name);
}

static void each_layer_is_as_in_a_cache_of_its_format(void **state)
{
    (void)state;
    for (size_t m = 0; m < SNUG_COUNT(mixtures); m++) {
        const snug_kv_config config = config_of(&mixtures[m]);
        stack mixed;

        stack_open(&mixed, &config);
        compute_stack(&mixed, TOKENS, 100);
        for (uint32_t layer = 0; layer < SHARING; layer++) {
            const snug_kv_config uniform = uniform_of(&mixtures[m], layer);
            snug_kv_layer_info ours = { .struct_size = sizeof ours }, theirs = ours;
            stack alone;

            stack_open(&alone, &uniform);
            compute_stack(&alone, TOKENS, 100);
            assert_same_layer(&mixed, &alone, layer, 0, mixtures[m].name);
            if (layer == SHARED)
                assert_same_layer(&mixed, &alone, SHARING, 0, mixtures[m].name);
            assert_int_equal(snug_kv_describe(&ours, mixed.kv, layer, NULL), SNUG_OK);
            assert_int_equal(snug_kv_describe(&theirs, alone.kv, layer, NULL), SNUG_OK);
            assert_int_equal(ours.key.bytes, theirs.key.bytes);
            assert_int_equal(ours.value.bytes, theirs.value.bytes);
            assert_int_equal(ours.key.coding.format, mixtures[m].side[layer][0].format);
            assert_int_equal(ours.value.coding.bits, mixtures[m].side[layer][1].bits);
            stack_close(&alone);
        }
        stack_close(&mixed);
    }
}

static void the_estimate_and_the_ledger_are_exact(void **state)
{
    static const uint32_t steps[] = { 1, 63, 65, 130, 300, 450, 600, TOKENS };

    (void)state;
    for (size_t m = 0; m < SNUG_COUNT(mixtures); m++) {
        const snug_kv_config config = config_of(&mixtures[m]);
        uint64_t estimate;
        stack s;

        stack_open(&s, &config);
        for (size_t i = 0; i < SNUG_COUNT(steps); i++) {
            assert_int_equal(snug_kv_estimate(&estimate, &s.shape, &s.options, steps[i], NULL), SNUG_OK);
            assert_int_equal(snug_kv_projected_bytes(s.kv, steps[i]), estimate);
            compute_stack(&s, steps[i], 100);
            assert_int_equal(snug_kv_committed_bytes(s.kv), estimate);
            assert_int_equal(snug_memory_read(s.memory, SNUG_MEMORY_KV).used_bytes, estimate);
        }
        (void)snug_kv_truncate(s.kv, 0);
        assert_int_equal(snug_kv_estimate(&estimate, &s.shape, &s.options, 0, NULL), SNUG_OK);
        assert_int_equal(snug_memory_read(s.memory, SNUG_MEMORY_KV).used_bytes, estimate);
        stack_close(&s);
    }
}

typedef struct buffer {
    unsigned char at[4 << 20];
    size_t bytes;
} buffer;

static snug_status put(void *user, const void *data, size_t bytes, snug_error *error)
{
    buffer *out = user;

    (void)error;
    assert_true(out->bytes + bytes <= sizeof out->at);
    memcpy(out->at + out->bytes, data, bytes);
    out->bytes += bytes;
    return SNUG_OK;
}

static void what_is_saved_goes_on(void **state)
{
    buffer *saved = malloc(sizeof *saved);

    (void)state;
    assert_non_null(saved);
    for (size_t m = 0; m < SNUG_COUNT(mixtures); m++) {
        const snug_kv_config config = config_of(&mixtures[m]);
        stack whole, after;

        saved->bytes = 0;
        stack_open(&whole, &config);
        stack_open(&after, &config);
        compute_stack(&whole, 430, 100);
        assert_int_equal(snug_kv_save(whole.kv, &(snug_kv_sink){ put, saved }, NULL), SNUG_OK);
        assert_int_equal(snug_kv_load(after.kv, &(snug_kv_bytes){ saved->at, saved->bytes }, NULL), SNUG_OK);
        compute_stack(&whole, TOKENS, 100);
        compute_stack(&after, TOKENS, 100);
        assert_same_stack(&whole, &after, 430, mixtures[m].name);
        stack_close(&whole);
        stack_close(&after);
    }
    free(saved);
}

/* A layer that is named, but is as all are, is not another cache; one that is not is, and is named. */
static void a_saved_cache_of_other_layers_is_refused(void **state)
{
    const snug_kv_coding planes = PLANES(4), more = PLANES(6);
    snug_kv_config config = { .key = planes, .value = planes };
    snug_error error = { SNUG_OK, "" };
    buffer *saved = malloc(sizeof *saved);
    stack before, after;

    (void)state;
    assert_non_null(saved);
    saved->bytes = 0;
    snug_kv_config_set_layer(&config, 2, &planes, &planes);
    stack_open(&before, &config);
    compute_stack(&before, 200, 100);
    assert_int_equal(snug_kv_save(before.kv, &(snug_kv_sink){ put, saved }, NULL), SNUG_OK);
    config = (snug_kv_config){ .key = planes, .value = planes };
    stack_open(&after, &config);
    assert_int_equal(snug_kv_load(after.kv, &(snug_kv_bytes){ saved->at, saved->bytes }, NULL), SNUG_OK);
    stack_close(&after);
    snug_kv_config_set_layer(&config, 3, &planes, &more);
    stack_open(&after, &config);
    assert_int_equal(snug_kv_load(after.kv, &(snug_kv_bytes){ saved->at, saved->bytes }, &error),
                     SNUG_ERR_ARGUMENT);
    assert_string_equal(
        error.text, "layer 3 of the cache was saved as keys planes of 4 bits, values planes of 4 bits; it is "
                    "to be loaded as keys planes of 4 bits, values planes of 6 bits: give the options it was "
                    "saved with");
    stack_close(&after);
    stack_close(&before);
    free(saved);
}

static void what_is_converted_is_as_computed(void **state)
{
    const snug_kv_config simple = { .key = F16, .value = F16 };

    (void)state;
    for (size_t m = 0; m < SNUG_COUNT(mixtures); m++) {
        const snug_kv_config config = config_of(&mixtures[m]);
        stack from, to, made;

        stack_open(&from, &simple);
        stack_open(&to, &config);
        stack_open(&made, &config);
        compute_stack(&from, 430, 100);
        compute_stack(&made, TOKENS, 100);
        assert_int_equal(snug_kv_convert(to.kv, from.kv, to.work, to.thread_scratch, NULL), SNUG_OK);
        compute_stack(&to, TOKENS, 100);
        assert_same_stack(&made, &to, 430, mixtures[m].name);
        stack_close(&from);
        stack_close(&to);
        stack_close(&made);
    }
}

static void a_fork_goes_on_with_the_same_bits(void **state)
{
    (void)state;
    for (size_t m = 0; m < SNUG_COUNT(mixtures); m++) {
        const snug_kv_config config = config_of(&mixtures[m]);
        stack whole, first;
        snug_kv *fork;

        stack_open(&whole, &config);
        stack_open(&first, &config);
        compute_stack(&whole, TOKENS, 100);
        compute_stack(&first, 430, 100);
        assert_int_equal(snug_kv_fork(&fork, first.kv, NULL), SNUG_OK);
        snug_kv_destroy(first.kv);
        first.kv = fork;
        compute_stack(&first, TOKENS, 100);
        assert_same_stack(&whole, &first, 430, mixtures[m].name);
        stack_close(&whole);
        stack_close(&first);
    }
}

/* One layer loses bits: from then on it answers as in a cache that was made so, and no other changes. */
static void a_layer_that_is_demoted_is_as_made_so(void **state)
{
    const snug_kv_coding eight = PLANES(8), six = PLANES(6), three = PLANES(3);
    const snug_kv_config config = { .key = eight, .value = eight };
    const snug_kv_target target = {
        .struct_size = sizeof target, .first_layer = 3, .layer_count = 1, .key_bits = 6, .value_bits = 3
    };
    snug_kv_info info = { .struct_size = sizeof info };
    snug_kv_config made_so = config;
    stack whole, made;

    (void)state;
    snug_kv_config_set_layer(&made_so, 3, &six, &three);
    stack_open(&whole, &config);
    stack_open(&made, &made_so);
    compute_stack(&whole, 430, 100);
    compute_stack(&made, TOKENS, 100);
    assert_int_equal(snug_kv_demote(whole.kv, &target, NULL, NULL), SNUG_OK);
    compute_stack(&whole, TOKENS, 100);
    assert_same_stack(&whole, &made, 430, "demoted");
    assert_int_equal(snug_kv_committed_bytes(whole.kv), snug_kv_committed_bytes(made.kv));

    /* The fewest bits stand for all; whoever has more has them of its own. */
    snug_kv_read_info(&info, whole.kv);
    assert_int_equal(info.config.key.bits, 6);
    assert_int_equal(info.config.value.bits, 3);
    for (uint32_t i = 0; i < SNUG_KV_LAYERS_MAX; i++) {
        const snug_kv_layer_format none = { { 0, 0, 0 }, { 0, 0, 0 } };
        const snug_kv_layer_format own = { { SNUG_KV_FORMAT_PLANES, 8, 0 }, { SNUG_KV_FORMAT_PLANES, 8, 0 } };

        assert_memory_equal(&info.config.layer[i], i < SHARING && i != 3 ? &own : &none, sizeof own);
    }
    stack_close(&whole);
    stack_close(&made);
}

static void refuse(snug_kv_config *config, uint32_t layer, snug_kv_coding key, snug_kv_coding value,
                   snug_status status, const char *sentence)
{
    static const snug_kv_layer layers[] = {
        { .kv_head_count = 1, .head_dim = 80 },
        { .kv_head_count = 1, .head_dim = 64 },
        { .kv_head_count = 1, .head_dim = 64, .is_shared = true, .source = 1 }
    };
    const snug_kv_shape shape = { SNUG_COUNT(layers), layers };
    snug_kv_options options = { .struct_size = sizeof options, .context_tokens = 10 };
    snug_error error = { SNUG_OK, "" };
    uint64_t bytes;

    snug_kv_config_set_layer(config, layer, &key, &value);
    options.config = *config;
    assert_int_equal(snug_kv_estimate(&bytes, &shape, &options, 1, &error), status);
    assert_string_equal(error.text, sentence);
    memset(config, 0, sizeof *config);
}

static void a_layer_that_makes_no_sense_is_named(void **state)
{
    const snug_kv_coding f16 = F16, f32 = { SNUG_KV_FORMAT_F32, 0, 0 };
    snug_kv_config config = { 0 };

    (void)state;
    refuse(&config, 3, f16, (snug_kv_coding)PLANES(4), SNUG_ERR_ARGUMENT,
           "layer 3 was given a cache format of its own; this model has the layers 0 to 2");
    refuse(&config, 2, f16, (snug_kv_coding)PLANES(4), SNUG_ERR_ARGUMENT,
           "layer 2 was given a cache format of its own, but it keeps nothing: it reads what layer 1 keeps, "
           "which "
           "can have one");
    refuse(&config, 1, (snug_kv_coding)PLANES(7), f16, SNUG_ERR_ARGUMENT,
           "keys of layer 1 in 7 bits: planes has 2, 3, 4, 5, 6 and 8");
    refuse(&config, 1, f16, f32, SNUG_ERR_UNSUPPORTED,
           "keys of layer 1 as f16 and values as f32: f32 is for both or for none");
    refuse(&config, 0, f16, (snug_kv_coding)AFFINE(4, 32), SNUG_ERR_UNSUPPORTED,
           "values of layer 0 in groups of 32: they do not divide this model's heads of 80; another group "
           "may, and "
           "planes takes any head");
    config.layer[0].key = (snug_kv_side_format){ 99, 0, 0 };
    refuse(&config, 1, f16, f16, SNUG_ERR_ARGUMENT,
           "cache format 99 of the keys of layer 0 is not one this build knows");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_layer_is_as_in_a_cache_of_its_format),
        cmocka_unit_test(the_estimate_and_the_ledger_are_exact),
        cmocka_unit_test(what_is_saved_goes_on),
        cmocka_unit_test(a_saved_cache_of_other_layers_is_refused),
        cmocka_unit_test(what_is_converted_is_as_computed),
        cmocka_unit_test(a_fork_goes_on_with_the_same_bits),
        cmocka_unit_test(a_layer_that_is_demoted_is_as_made_so),
        cmocka_unit_test(a_layer_that_makes_no_sense_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
