/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_search.c - what is chosen for a limit and a strategy: the best that fits, never what the caller set
 * otherwise; that what is suggested fits; and the parameters that follow.
 *
 * Independent of the search: plans made with every setting given (snug_plan_make), which test_plan.c holds
 * against the kernel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <snug/snug.h>

#include "plan/plan.h"
#include "tests/support/sanitizer.h"

#define MODEL SNUG_SOURCE_FOLDER "/models/mini"
#define KIB   ((uint64_t)1024)

/* From far too little to ample: the whole range of mini, which needs 2 to 9 MiB. */
#define LIMITS_FROM (1200 * KIB)
#define LIMITS_TO   (16000 * KIB)
#define LIMIT_STEP  (100 * KIB)

static const snug_strategy strategies[] = { SNUG_STRATEGY_CONSERVATIVE, SNUG_STRATEGY_BALANCED,
                                            SNUG_STRATEGY_AGGRESSIVE };

typedef struct rig {
    snug_memory *memory;
    snug_model *model;
    snug_plan_situation situation; /* read once: the process grows a little while it tests */
} rig;

static void rig_open(rig *r, bool exact)
{
    const snug_model_options options = { .struct_size = sizeof options, .exact = exact };
    snug_error error = { SNUG_OK, "" };

    assert_int_equal(snug_memory_create(&r->memory, NULL), SNUG_OK);
    if (snug_model_open(&r->model, r->memory, MODEL, &options, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    snug_plan_look(&r->situation, r->memory, 0, 0);
    r->situation.fixed_bytes = 500 * KIB; /* a sanitizer's own memory is more than all the limits here */
}

static void rig_close(rig *r)
{
    snug_model_close(r->model);
    snug_memory_destroy(r->memory);
}

static snug_plan search(rig *r, const snug_plan_options *options, snug_strategy strategy, uint64_t limit)
{
    snug_plan plan = { .struct_size = sizeof plan };
    snug_error error = { SNUG_OK, "" };

    r->situation.limit_bytes = limit;
    if (snug_plan_search_in(&plan, &r->situation, r->model, options, strategy, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    return plan;
}

/* The peak with every setting given. */
static uint64_t peak_of(const rig *r, const snug_plan_options *options)
{
    snug_plan plan = { .struct_size = sizeof plan };
    snug_error error = { SNUG_OK, "" };

    if (snug_plan_predict(&plan, &r->situation, r->model, options, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    return plan.peak_bytes;
}

static snug_plan_options as_planned(const snug_plan *plan)
{
    return (snug_plan_options){
        .struct_size = sizeof(snug_plan_options),
        .context_tokens = plan->context_tokens,
        .prefill_chunk = plan->prefill_chunk,
        .kv = plan->kv,
    };
}

static uint32_t bits_of(const snug_kv_coding *coding)
{
    return coding->format == SNUG_KV_FORMAT_F16 ? 16 : coding->bits;
}

/* Place of a plan's format in the order; fails when it is none of it. */
static size_t place_of(const snug_plan *plan)
{
    const snug_plan_bits *formats;
    const size_t count = snug_plan_formats(&formats);

    for (size_t i = 0; i < count; i++)
        if (formats[i].key == bits_of(&plan->kv.key) && formats[i].value == bits_of(&plan->kv.value))
            return i;
    fail_msg("a format of %u/%u bits", bits_of(&plan->kv.key), bits_of(&plan->kv.value));
    return 0;
}

static void each_format_is_a_demotion_of_the_one_before(void **state)
{
    const snug_plan_bits *formats;
    const size_t count = snug_plan_formats(&formats);

    (void)state;
    assert_int_equal(formats[0].key + formats[0].value, 32);
    assert_int_equal(formats[count - 1].key + formats[count - 1].value, 4);
    for (size_t i = 1; i < count; i++) {
        assert_true(formats[i].key <= formats[i - 1].key && formats[i].value <= formats[i - 1].value);
        assert_true(formats[i].key + formats[i].value < formats[i - 1].key + formats[i - 1].value);
    }
}

static void ample_memory_gets_the_first_choice_of_the_strategy(void **state)
{
    const snug_plan_options open = { .struct_size = sizeof open };
    rig r;

    (void)state;
    rig_open(&r, false);
    for (size_t i = 0; i < 3; i++) {
        const snug_strategy_rules *rules = snug_strategy_rules_of(strategies[i]);
        const snug_plan plan = search(&r, &open, strategies[i], SNUG_MEMORY_NO_LIMIT);

        assert_true(plan.fits && !plan.is_tight);
        assert_int_equal(bits_of(&plan.kv.key), rules->first_key_bits);
        assert_int_equal(bits_of(&plan.kv.value), rules->first_value_bits);
        assert_int_equal(plan.prefill_chunk, 512);
        assert_int_equal(plan.context_tokens, 4096);
        assert_int_equal(plan.candidate_count, 1);
        assert_int_equal(plan.strategy, strategies[i]);
        assert_int_equal(plan.chosen, SNUG_PLAN_CHOSE_FORMAT | SNUG_PLAN_CHOSE_CHUNK);
    }
    rig_close(&r);
}

/* Within the strategy's range; above it only f16, where it takes no more than the first format. */
static void assert_is_allowed(const rig *r, const snug_plan *plan, const snug_strategy_rules *rules)
{
    const uint32_t key_bits = bits_of(&plan->kv.key);
    const uint32_t value_bits = bits_of(&plan->kv.value);
    snug_plan_options first = as_planned(plan);

    assert_true(key_bits >= rules->floor_key_bits && value_bits >= rules->floor_value_bits);
    if (key_bits <= rules->first_key_bits && value_bits <= rules->first_value_bits)
        return;
    assert_int_equal(key_bits, 16);
    first.kv =
        snug_plan_config_of(&plan->kv, (snug_plan_bits){ rules->first_key_bits, rules->first_value_bits });
    assert_true(peak_of(r, &first) >= plan->peak_bytes);
}

/* Nothing one step better, in format or chunk, stays within the share that was allowed. */
static void assert_nothing_better(const rig *r, const snug_plan *plan, const snug_strategy_rules *rules)
{
    const uint64_t allowed = plan->is_tight ? plan->most_bytes : plan->planned_bytes;
    const snug_plan_bits *formats;
    const size_t place = place_of(plan);
    snug_plan_options better = as_planned(plan);

    (void)snug_plan_formats(&formats);
    if (plan->prefill_chunk < 512) {
        better.prefill_chunk = plan->prefill_chunk * 2;
        assert_true(peak_of(r, &better) > allowed);
    }
    if (place > 0 && formats[place - 1].key <= rules->first_key_bits &&
        formats[place - 1].value <= rules->first_value_bits) {
        better.kv = snug_plan_config_of(&plan->kv, formats[place - 1]);
        better.prefill_chunk = 32;
        assert_true(peak_of(r, &better) > allowed);
    }
    if (plan->context_tokens < 4096) {
        better = as_planned(plan);
        better.context_tokens += 512;
        better.prefill_chunk = 32;
        assert_true(peak_of(r, &better) > allowed);
    }
}

static void the_best_that_fits_is_chosen_at_every_limit(void **state)
{
    const snug_plan_options open = { .struct_size = sizeof open };
    rig r;

    (void)state;
    rig_open(&r, false);
    for (size_t i = 0; i < 3; i++) {
        const snug_strategy_rules *rules = snug_strategy_rules_of(strategies[i]);
        size_t place_before = SIZE_MAX;
        unsigned tight = 0, short_of_context = 0, refused = 0;

        for (uint64_t limit = LIMITS_FROM; limit < LIMITS_TO; limit += LIMIT_STEP) {
            const snug_plan plan = search(&r, &open, strategies[i], limit);
            const snug_plan_options given = as_planned(&plan);

            assert_int_equal(plan.peak_bytes, peak_of(&r, &given));
            assert_int_equal(plan.planned_bytes, (uint64_t)((double)limit * rules->plan_share));
            assert_int_equal(plan.fits, plan.peak_bytes <= plan.most_bytes);
            assert_int_equal(plan.is_tight, plan.peak_bytes > plan.planned_bytes);
            assert_is_allowed(&r, &plan, rules);
            assert_true(plan.context_tokens >= 512);
            assert_int_equal(!!(plan.chosen & SNUG_PLAN_CHOSE_CONTEXT), plan.context_tokens < 4096);
            assert_int_equal(!!(plan.chosen & SNUG_PLAN_CHOSE_WINDOW),
                             plan.kv.retention.kind == SNUG_KV_RETENTION_ROTATING);
            assert_true(rules->may_slide || !(plan.chosen & SNUG_PLAN_CHOSE_WINDOW));
            refused += !plan.fits;
            tight += plan.fits && plan.is_tight;
            short_of_context += plan.fits && plan.context_tokens < 4096;
            if (!plan.fits || plan.is_tight || (plan.chosen & SNUG_PLAN_CHOSE_WINDOW))
                continue;
            assert_nothing_better(&r, &plan, rules);
            if (plan.context_tokens < 4096)
                continue;
            assert_true(place_of(&plan) <= place_before); /* more memory, never a lower format */
            place_before = place_of(&plan);
        }
        assert_true(refused > 0 && short_of_context > 0 && tight > 0);
    }
    rig_close(&r);
}

static void what_is_set_is_obeyed_or_refused(void **state)
{
    const snug_kv_coding planes6 = { SNUG_KV_FORMAT_PLANES, 6, 0 };
    const snug_plan_options set = {
        .struct_size = sizeof set,
        .context_tokens = 3000,
        .prefill_chunk = 300,
        .kv = { .key = planes6,
                .value = planes6,
                .recent_exact_tokens = 64,
                .retention = { SNUG_KV_RETENTION_ALL, 0, 0 } },
    };
    unsigned fitted = 0, refused = 0;
    rig r;

    (void)state;
    rig_open(&r, false);
    for (size_t i = 0; i < 3; i++) {
        for (uint64_t limit = LIMITS_FROM; limit < LIMITS_TO; limit += LIMIT_STEP) {
            const snug_plan plan = search(&r, &set, strategies[i], limit);

            assert_int_equal(plan.context_tokens, 3000);
            assert_int_equal(plan.prefill_chunk, 300);
            assert_memory_equal(&plan.kv, &set.kv, sizeof set.kv);
            assert_int_equal(plan.chosen, 0);
            assert_int_equal(plan.peak_bytes, peak_of(&r, &set));
            assert_int_equal(plan.fits, plan.peak_bytes <= plan.most_bytes);
            fitted += plan.fits;
            refused += !plan.fits;
        }
    }
    assert_true(fitted > 0 && refused > 0);
    rig_close(&r);
}

/* Each of format, chunk and context set while the others are open. */
static void what_is_set_stays_while_the_rest_is_chosen(void **state)
{
    const snug_plan_options chunk = { .struct_size = sizeof chunk, .prefill_chunk = 400 };
    const snug_plan_options context = { .struct_size = sizeof context, .context_tokens = 2000 };
    snug_plan_options format = { .struct_size = sizeof format };
    unsigned lower = 0;
    rig r;

    (void)state;
    rig_open(&r, false);
    format.kv.key.format = format.kv.value.format = SNUG_KV_FORMAT_F16;
    for (uint64_t limit = LIMITS_FROM; limit < LIMITS_TO; limit += LIMIT_STEP) {
        snug_plan plan = search(&r, &chunk, SNUG_STRATEGY_AGGRESSIVE, limit);

        assert_int_equal(plan.prefill_chunk, 400);
        lower += place_of(&plan) > 6;
        plan = search(&r, &context, SNUG_STRATEGY_AGGRESSIVE, limit);
        assert_int_equal(plan.context_tokens, 2000);
        lower += plan.prefill_chunk < 512;
        plan = search(&r, &format, SNUG_STRATEGY_AGGRESSIVE, limit);
        assert_int_equal(plan.kv.key.format, SNUG_KV_FORMAT_F16);
        lower += plan.prefill_chunk < 512;
    }
    assert_true(lower > 0);
    rig_close(&r);
}

static void an_exact_model_keeps_f32(void **state)
{
    const snug_plan_options open = { .struct_size = sizeof open };
    rig r;

    (void)state;
    rig_open(&r, true);
    for (uint64_t limit = LIMITS_FROM; limit < LIMITS_TO; limit += 10 * LIMIT_STEP) {
        const snug_plan plan = search(&r, &open, SNUG_STRATEGY_AGGRESSIVE, limit);

        assert_int_equal(plan.kv.key.format, SNUG_KV_FORMAT_F32);
        assert_int_equal(plan.kv.value.format, SNUG_KV_FORMAT_F32);
        assert_int_equal(plan.chosen & SNUG_PLAN_CHOSE_FORMAT, 0);
    }
    rig_close(&r);
}

static void a_request_gets_the_context_it_needs(void **state)
{
    const snug_plan_options request = { .struct_size = sizeof request,
                                        .prompt_tokens = 100,
                                        .max_tokens = 3000 };
    const snug_plan_options open_end = { .struct_size = sizeof open_end, .prompt_tokens = 1000 };
    rig r;

    (void)state;
    rig_open(&r, false);
    for (uint64_t limit = LIMITS_FROM; limit < LIMITS_TO; limit += LIMIT_STEP) {
        snug_plan plan = search(&r, &request, SNUG_STRATEGY_BALANCED, limit);

        assert_int_equal(plan.context_tokens, 4096); /* it costs nothing: only what is used does */
        assert_int_equal(plan.cache_tokens, 3099);
        assert_true(plan.prefill_chunk <= 100);
        plan = search(&r, &open_end, SNUG_STRATEGY_BALANCED, limit);
        assert_true(plan.context_tokens >= 1256);
    }
    rig_close(&r);
}

typedef struct heard {
    snug_plan_candidate last;
    uint32_t count;
    uint32_t fitting;
} heard;

static void hear(void *user, const snug_plan_candidate *candidate)
{
    heard *h = user;

    assert_int_equal(candidate->fits, candidate->peak_bytes <= candidate->allowed_bytes);
    h->last = *candidate;
    h->count++;
    h->fitting += candidate->fits;
}

static void codes_are_not_chosen_where_f16_takes_no_more(void **state)
{
    const snug_plan_options window = { .struct_size = sizeof window,
                                       .kv.retention = { SNUG_KV_RETENTION_ROTATING, 256, 4 } };
    const snug_plan_options answer = { .struct_size = sizeof answer, .prompt_tokens = 10, .max_tokens = 20 };
    rig r;

    (void)state;
    rig_open(&r, false);
    for (size_t i = 0; i < 3; i++) {
        snug_plan plan = search(&r, &window, strategies[i], SNUG_MEMORY_NO_LIMIT);

        assert_is_allowed(&r, &plan, snug_strategy_rules_of(strategies[i]));
        assert_int_equal(plan.kv.key.format == SNUG_KV_FORMAT_F16, i < 2); /* 5/4 bits are worth it */
        assert_int_equal(plan.kv.retention.max_tokens, 256);
        plan = search(&r, &answer, strategies[i], SNUG_MEMORY_NO_LIMIT);
        assert_int_equal(bits_of(&plan.kv.key), snug_strategy_rules_of(strategies[i])->first_key_bits);
    }
    rig_close(&r);
}

static void every_candidate_is_told_and_the_last_is_taken(void **state)
{
    rig r;

    (void)state;
    rig_open(&r, false);
    for (size_t i = 0; i < 3; i++) {
        for (uint64_t limit = LIMITS_FROM; limit < LIMITS_TO; limit += LIMIT_STEP) {
            heard h = { .count = 0 };
            const snug_plan_options open = { .struct_size = sizeof open, .on_candidate = hear, .user = &h };
            const snug_plan plan = search(&r, &open, strategies[i], limit);

            assert_int_equal(h.count, plan.candidate_count);
            assert_int_equal(h.fitting, plan.fits);
            if (!plan.fits)
                continue;
            assert_int_equal(h.last.peak_bytes, plan.peak_bytes);
            assert_memory_equal(&h.last.kv, &plan.kv, sizeof plan.kv);
            assert_int_equal(h.last.prefill_chunk, plan.prefill_chunk);
        }
    }
    rig_close(&r);
}

/* --- suggestions --------------------------------------------------------------------------------------- */

/* Types the way in: planned so, it must fit. */
static void assert_way_fits(const rig *r, const snug_plan_way *way, const snug_plan_options *asked,
                            snug_strategy strategy)
{
    snug_plan_options options = *asked;
    snug_plan plan = { .struct_size = sizeof plan };
    snug_error error = { SNUG_OK, "" };
    snug_status status;

    if (way->prefill_chunk)
        options.prefill_chunk = way->prefill_chunk;
    if (way->context_tokens)
        options.context_tokens = way->context_tokens;
    if (way->key_bits)
        options.kv = snug_plan_config_of(&asked->kv, (snug_plan_bits){ way->key_bits, way->value_bits });
    if (way->max_kv_tokens)
        options.kv.retention =
            (snug_kv_retention){ SNUG_KV_RETENTION_ROTATING, way->max_kv_tokens, SNUG_KV_SINKS_DEFAULT };
    if (way->limit_bytes)
        options.user_limit_bytes = way->limit_bytes;
    /* What the process grew by since is not the way's fault. */
    options.user_limit_bytes += 64 * KIB;
    if (strategy == SNUG_STRATEGY_AUTO)
        status = snug_plan_make(&plan, r->model, r->memory, 0, &options, &error);
    else
        status = snug_plan_search(&plan, r->model, r->memory, 0, &options, strategy, &error);
    if (status != SNUG_OK)
        fail_msg("%s", error.text);
    assert_true(plan.fits);
    if (strategy == SNUG_STRATEGY_AUTO) /* a search makes use of what there is more */
        assert_in_range(plan.peak_bytes, way->peak_bytes, way->peak_bytes + 64 * KIB);
}

static void every_way_that_is_named_fits(void **state)
{
    static const snug_strategy modes[] = { SNUG_STRATEGY_AUTO, SNUG_STRATEGY_CONSERVATIVE,
                                           SNUG_STRATEGY_BALANCED, SNUG_STRATEGY_AGGRESSIVE };
    unsigned chunks = 0, bits = 0, contexts = 0, windows = 0, limits = 0;
    rig r;

    (void)state;
    TEST_SKIP_UNDER_SANITIZERS(); /* their own memory grows from plan to plan */
    rig_open(&r, false);
    for (size_t i = 0; i < 4; i++) {
        for (uint64_t limit = LIMITS_FROM; limit < LIMITS_TO / 2; limit += 3 * LIMIT_STEP) {
            const snug_plan_options asked = { .struct_size = sizeof asked,
                                              .context_tokens = 4096,
                                              .user_limit_bytes = limit };
            snug_plan plan = { .struct_size = sizeof plan };
            snug_plan_way ways[SNUG_PLAN_WAYS_MAX];
            size_t count;

            if (modes[i] == SNUG_STRATEGY_AUTO)
                assert_int_equal(snug_plan_make(&plan, r.model, r.memory, 0, &asked, NULL), SNUG_OK);
            else
                assert_int_equal(snug_plan_search(&plan, r.model, r.memory, 0, &asked, modes[i], NULL),
                                 SNUG_OK);
            if (plan.fits)
                continue;
            count = snug_plan_suggest(ways, &plan, r.model, r.memory, 0, &asked);
            assert_in_range(count, 1, SNUG_PLAN_WAYS_MAX); /* a higher limit at least */
            for (size_t w = 0; w < count; w++) {
                assert_way_fits(&r, &ways[w], &asked, modes[i]);
                chunks += ways[w].prefill_chunk > 0;
                bits += ways[w].key_bits > 0;
                contexts += ways[w].context_tokens > 0;
                windows += ways[w].max_kv_tokens > 0;
                limits += ways[w].limit_bytes > 0;
            }
        }
    }
    assert_true(chunks > 0 && bits > 0 && contexts > 0 && windows > 0 && limits > 0);
    rig_close(&r);
}

/* Typed with the words that were there already: another width, the same tokens exact, the same sinks. */
static snug_plan_options typed(const snug_plan_options *asked, const snug_plan_way *way)
{
    snug_plan_options options = *asked;

    if (way->prefill_chunk)
        options.prefill_chunk = way->prefill_chunk;
    if (way->context_tokens)
        options.context_tokens = way->context_tokens;
    if (way->key_bits) {
        options.kv.key.bits = way->key_bits;
        options.kv.value.bits = way->value_bits;
    }
    if (way->max_kv_tokens) {
        options.kv.retention.kind = SNUG_KV_RETENTION_ROTATING;
        options.kv.retention.max_tokens = way->max_kv_tokens;
    }
    return options;
}

static void a_way_keeps_what_is_exact_as_it_was_asked_for(void **state)
{
    /* Of the first and the newest tokens, and sinks. */
    static const uint32_t exact[][3] = { { 0, 0, 0 }, { 16, 512, 4 }, { 200, 0, 200 } };
    unsigned bits = 0, windows = 0;
    rig r;

    (void)state;
    TEST_SKIP_UNDER_SANITIZERS();
    rig_open(&r, false);
    snug_plan_look(&r.situation, r.memory, 0, 0); /* as snug_plan_suggest() will */
    for (size_t i = 0; i < 3 * 2; i++) {
        snug_plan_options asked = {
            .struct_size = sizeof asked,
            .context_tokens = 4096,
            .prefill_chunk = 32,
            .kv = { .key = { .format = SNUG_KV_FORMAT_PLANES, .bits = 8 },
                    .value = { .format = SNUG_KV_FORMAT_PLANES, .bits = 8 },
                    .first_exact_tokens = exact[i / 2][0],
                    .recent_exact_tokens = exact[i / 2][1] },
        };

        if (i % 2 > 0)
            asked.kv.retention = (snug_kv_retention){ SNUG_KV_RETENTION_ROTATING, 3000, exact[i / 2][2] };
        for (uint64_t limit = LIMITS_FROM; limit < LIMITS_TO / 2; limit += LIMIT_STEP) {
            snug_plan plan = { .struct_size = sizeof plan };
            snug_plan_way ways[SNUG_PLAN_WAYS_MAX];
            size_t count;

            asked.user_limit_bytes = limit;
            assert_int_equal(snug_plan_make(&plan, r.model, r.memory, 0, &asked, NULL), SNUG_OK);
            count = plan.fits ? 0 : snug_plan_suggest(ways, &plan, r.model, r.memory, 0, &asked);
            for (size_t w = 0; w < count; w++) {
                const snug_plan_options options = typed(&asked, &ways[w]);

                if (ways[w].limit_bytes > 0 || (ways[w].max_kv_tokens > 0 && i % 2 == 0))
                    continue;
                assert_in_range(peak_of(&r, &options), ways[w].peak_bytes - 64 * KIB,
                                ways[w].peak_bytes + 64 * KIB);
                bits += ways[w].key_bits > 0;
                windows += ways[w].max_kv_tokens > 0;
            }
        }
    }
    assert_true(bits > 0 && windows > 0);
    rig_close(&r);
}

static void no_way_raises_the_bits(void **state)
{
    unsigned together = 0;
    rig r;

    (void)state;
    TEST_SKIP_UNDER_SANITIZERS();
    rig_open(&r, false);
    for (uint64_t limit = LIMITS_FROM; limit < LIMITS_TO / 4; limit += LIMIT_STEP / 2) {
        const snug_plan_options asked = { .struct_size = sizeof asked,
                                          .context_tokens = 4096,
                                          .prompt_tokens = 1024,
                                          .kv = { .key = { .format = SNUG_KV_FORMAT_PLANES, .bits = 2 },
                                                  .value = { .format = SNUG_KV_FORMAT_PLANES, .bits = 2 } },
                                          .user_limit_bytes = limit };
        snug_plan plan = { .struct_size = sizeof plan };
        snug_plan_way ways[SNUG_PLAN_WAYS_MAX];
        size_t count;

        assert_int_equal(snug_plan_make(&plan, r.model, r.memory, 0, &asked, NULL), SNUG_OK);
        count = plan.fits ? 0 : snug_plan_suggest(ways, &plan, r.model, r.memory, 0, &asked);
        for (size_t w = 0; w < count; w++) {
            assert_true(ways[w].key_bits == 0 && ways[w].value_bits == 0);
            together += ways[w].prefill_chunk > 0 && ways[w].context_tokens > 0;
        }
    }
    assert_true(together > 0);
    rig_close(&r);
}

/* --- parameters ---------------------------------------------------------------------------------------- */

static void parameters_follow_from_the_plan(void **state)
{
    const snug_plan_options request = { .struct_size = sizeof request, .prompt_tokens = 500 };
    rig r;

    (void)state;
    rig_open(&r, false);
    for (size_t i = 0; i < 3; i++) {
        for (uint64_t limit = LIMITS_FROM; limit < LIMITS_TO; limit += LIMIT_STEP) {
            const snug_plan plan = search(&r, &request, strategies[i], limit);
            const uint64_t allowed = plan.is_tight ? plan.most_bytes : plan.planned_bytes;
            snug_generation_params p = { .struct_size = sizeof p };
            snug_plan_point point;
            uint32_t end;

            snug_memory_generation_params(&p, &plan, r.model);
            assert_int_equal(p.key_bits, bits_of(&plan.kv.key));
            assert_int_equal(p.value_bits, bits_of(&plan.kv.value));
            assert_int_equal(p.prefill_chunk, plan.prefill_chunk);
            assert_int_equal(p.max_kv_size, plan.kv.retention.max_tokens ? plan.kv.retention.max_tokens
                                                                         : plan.context_tokens);
            assert_int_equal(p.quantized_kv_start,
                             p.key_bits == 16 ? plan.context_tokens : SNUG_KV_FIRST_EXACT_DEFAULT);
            assert_int_equal(p.group_size, 0);
            if (plan.fits)
                assert_int_equal(p.max_tokens, plan.context_tokens - 500 + 1);
            if (plan.fits || p.max_tokens == 0)
                continue;
            /* A shorter answer fits: exactly so long. */
            end = 500 + p.max_tokens - 1;
            snug_plan_at(&point, &plan, r.model, end);
            assert_true(point.bytes <= allowed);
            snug_plan_at(&point, &plan, r.model, end + 1);
            assert_true(point.bytes > allowed);
        }
    }
    rig_close(&r);
}

static void the_peak_is_where_it_is_said_to_be(void **state)
{
    const snug_plan_options requests[] = {
        { .struct_size = sizeof *requests, .prompt_tokens = 700, .max_tokens = 300 },
        { .struct_size = sizeof *requests, .prompt_tokens = 700, .max_tokens = 1 },
        { .struct_size = sizeof *requests,
          .prompt_tokens = 100,
          .max_tokens = 3000,
          .kv.retention = { SNUG_KV_RETENTION_ROTATING, 500, 4 } },
    };
    const snug_plan_phase phases[] = { SNUG_PLAN_DECODE, SNUG_PLAN_PREFILL, SNUG_PLAN_DECODE };
    rig r;

    (void)state;
    rig_open(&r, false);
    for (size_t i = 0; i < 3; i++) {
        snug_plan plan = { .struct_size = sizeof plan };
        uint64_t before = 0;
        snug_plan_point point;

        assert_int_equal(snug_plan_make(&plan, r.model, r.memory, 0, &requests[i], NULL), SNUG_OK);
        assert_int_equal(plan.peak_phase, phases[i]);
        for (uint32_t tokens = 0; tokens <= plan.cache_tokens; tokens++) {
            snug_plan_at(&point, &plan, r.model, tokens);
            assert_true(point.bytes >= before);
            assert_int_equal(point.bytes == plan.peak_bytes, tokens >= plan.peak_tokens);
            assert_int_equal(point.phase,
                             tokens <= plan.prompt_tokens ? SNUG_PLAN_PREFILL : SNUG_PLAN_DECODE);
            before = point.bytes;
        }
        snug_plan_at(&point, &plan, r.model, plan.prompt_tokens);
        assert_int_equal(point.bytes, plan.prefill_peak_bytes);
        assert_true(plan.load_peak_bytes < plan.prefill_peak_bytes);
    }
    assert_string_equal(snug_plan_phase_name(SNUG_PLAN_PREFILL), "prefill");
    rig_close(&r);
}

/* Where each chunk reads the weights from the disk, bits go before a prompt waits for it. */
static void fewer_bits_come_before_a_chunk_that_waits_for_the_disk(void **state)
{
    const snug_plan_options open = { .struct_size = sizeof open };
    uint32_t other = 0, smaller = 0;
    rig r;

    (void)state;
    rig_open(&r, false);
    for (size_t i = 0; i < 3; i++) {
        const snug_strategy_rules *rules = snug_strategy_rules_of(strategies[i]);
        const snug_plan_bits floor = { rules->floor_key_bits, rules->floor_value_bits };

        for (uint64_t limit = LIMITS_FROM; limit < LIMITS_TO; limit += LIMIT_STEP) {
            snug_plan_options least = open;
            snug_plan with, without;

            r.situation.comfort_bytes = SNUG_MEMORY_NO_LIMIT;
            with = search(&r, &open, strategies[i], limit);
            r.situation.comfort_bytes = r.situation.counted_bytes = 0;
            without = search(&r, &open, strategies[i], limit);
            assert_int_equal(without.fits, with.fits);
            assert_int_equal(without.context_tokens, with.context_tokens);
            if (with.prefill_chunk >= 128)
                assert_int_equal(place_of(&without), place_of(&with));
            other += without.prefill_chunk >= 128 && with.prefill_chunk < 128;
            if (!without.fits || without.prefill_chunk >= 128)
                continue;
            smaller++;
            least.context_tokens = without.context_tokens;
            least.prefill_chunk = 128;
            least.kv.retention = without.kv.retention;
            least.kv = snug_plan_config_of(&least.kv, floor);
            assert_true(peak_of(&r, &least) >
                        (without.is_tight ? without.most_bytes : without.planned_bytes));
        }
    }
    assert_true(other > 0 && smaller > 0);
    rig_close(&r);
}

/* What derive_comfort() makes of a headroom in which a model's weights are wanted, but not in memory yet. */
static void wanted_weights_are_counted_once(void **state)
{
    const snug_plan_options open = { .struct_size = sizeof open };
    snug_plan plan = { .struct_size = sizeof plan };
    snug_plan_situation *s;
    uint64_t needed;
    rig r;

    (void)state;
    rig_open(&r, false);
    s = &r.situation;
    assert_true(r.model->wanted_bytes > 0);
    assert_true(s->wanted_weight_bytes == r.model->wanted_bytes);
    assert_true(s->counted_bytes >= s->wanted_weight_bytes);
    assert_int_equal(snug_plan_predict(&plan, s, r.model, &open, NULL), SNUG_OK);
    s->own_bytes = plan.peak_bytes - 1000;
    needed = 1000 + snug_checkpoint_mapped_bytes(r.model->checkpoint);
    s->counted_bytes = s->wanted_weight_bytes;
    s->comfort_bytes = needed - s->wanted_weight_bytes;
    assert_true(snug_plan_weights_fit(&plan, s, r.model));
    s->comfort_bytes--;
    assert_false(snug_plan_weights_fit(&plan, s, r.model));
    /* Another model's must stay, too. */
    s->wanted_weight_bytes = s->counted_bytes += 1000;
    assert_false(snug_plan_weights_fit(&plan, s, r.model));
    s->comfort_bytes++;
    assert_true(snug_plan_weights_fit(&plan, s, r.model));
    rig_close(&r);
}

static void a_session_that_is_to_adapt_gets_the_same_choice(void **state)
{
    snug_plan_settings settings = { .prefill_chunk = 128 };
    snug_plan plan = { .struct_size = sizeof plan };
    snug_error error = { SNUG_OK, "" };
    rig r;

    (void)state;
    TEST_SKIP_UNDER_SANITIZERS();
    rig_open(&r, false);
    assert_int_equal(snug_memory_set_limits(r.memory, 0, 5000 * KIB), SNUG_OK);
    if (snug_plan_choose(&settings, r.model, r.memory, SNUG_STRATEGY_AUTO, &plan, &error) != SNUG_OK)
        fail_msg("%s", error.text);
    assert_int_equal(settings.prefill_chunk, 128);
    assert_true(plan.peak_bytes <= 3500 * KIB && plan.strategy == SNUG_STRATEGY_BALANCED);
    assert_memory_equal(&settings.kv, &plan.kv, sizeof plan.kv);
    assert_true(settings.kv.key.format == SNUG_KV_FORMAT_PLANES);

    settings = (snug_plan_settings){ .context_tokens = 100000 };
    assert_int_equal(snug_plan_choose(&settings, r.model, r.memory, SNUG_STRATEGY_AUTO, &plan, &error),
                     SNUG_ERR_OVER_LIMIT);
    assert_non_null(strstr(error.text, "95 % of"));
    rig_close(&r);
}

/* A plan with memory that will be given back is the one that was made before it was taken. */
static void what_will_be_given_back_is_not_counted(void **state)
{
    const snug_session_options session_options = { .struct_size = sizeof session_options,
                                                   .context_tokens = 256,
                                                   .threads = 1 };
    snug_plan_options options = { .struct_size = sizeof options, .context_tokens = 1024, .threads = 1 };
    const uint32_t ids[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    snug_plan before = { .struct_size = sizeof before };
    snug_plan after = { .struct_size = sizeof after };
    snug_session *session;
    uint64_t used;
    rig r;

    (void)state;
    rig_open(&r, false);
    used = snug_memory_read_all(r.memory).used_bytes;
    assert_int_equal(snug_plan_make(&before, r.model, r.memory, 0, &options, NULL), SNUG_OK);
    assert_int_equal(snug_session_create(&session, r.model, r.memory, &session_options, NULL), SNUG_OK);
    assert_int_equal(snug_session_eval(session, ids, 8, NULL, NULL), SNUG_OK);
    options.leaving_bytes = snug_memory_read_all(r.memory).used_bytes - used;
    assert_true(options.leaving_bytes > 0);
    assert_int_equal(snug_plan_make(&after, r.model, r.memory, 0, &options, NULL), SNUG_OK);
    assert_int_equal(after.peak_bytes - after.fixed_bytes, before.peak_bytes - before.fixed_bytes);
    options.leaving_bytes = UINT64_MAX; /* more than there is leaves what was read of the weights */
    assert_int_equal(snug_plan_make(&after, r.model, r.memory, 0, &options, NULL), SNUG_OK);
    assert_true(after.peak_bytes < before.peak_bytes);
    assert_true(after.use_bytes[SNUG_MEMORY_WEIGHTS] == before.use_bytes[SNUG_MEMORY_WEIGHTS]);
    snug_session_destroy(session);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_format_is_a_demotion_of_the_one_before),
        cmocka_unit_test(ample_memory_gets_the_first_choice_of_the_strategy),
        cmocka_unit_test(the_best_that_fits_is_chosen_at_every_limit),
        cmocka_unit_test(what_is_set_is_obeyed_or_refused),
        cmocka_unit_test(what_is_set_stays_while_the_rest_is_chosen),
        cmocka_unit_test(an_exact_model_keeps_f32),
        cmocka_unit_test(a_request_gets_the_context_it_needs),
        cmocka_unit_test(codes_are_not_chosen_where_f16_takes_no_more),
        cmocka_unit_test(every_candidate_is_told_and_the_last_is_taken),
        cmocka_unit_test(every_way_that_is_named_fits),
        cmocka_unit_test(a_way_keeps_what_is_exact_as_it_was_asked_for),
        cmocka_unit_test(no_way_raises_the_bits),
        cmocka_unit_test(parameters_follow_from_the_plan),
        cmocka_unit_test(the_peak_is_where_it_is_said_to_be),
        cmocka_unit_test(fewer_bits_come_before_a_chunk_that_waits_for_the_disk),
        cmocka_unit_test(what_will_be_given_back_is_not_counted),
        cmocka_unit_test(wanted_weights_are_counted_once),
        cmocka_unit_test(a_session_that_is_to_adapt_gets_the_same_choice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
