/* SPDX-License-Identifier: Apache-2.0 */
/*
 * suggest.c - what would make a request fit that does not: each way is planned before it is named.
 */
#include "plan/plan.h"

#include <string.h>

#include "base/size.h"
#include "base/status.h"

#define MIB ((uint64_t)1 << 20)

/* The process that follows a suggestion may have some pages more than this one: of its stack, which begins at
 * a random place, and of its heap. */
#define SLACK_BYTES ((uint64_t)64 * 1024)

typedef struct suggestions {
    const snug_plan *refused;
    const snug_plan_situation *situation;
    const snug_model *model;
    const snug_plan_options *asked;
    snug_plan_way *way;
    size_t count;
} suggestions;

static bool is_searched(const suggestions *s)
{
    return s->refused->strategy != SNUG_STRATEGY_AUTO;
}

/* Whether the request fits with these options, and what it needs then. */
static bool fits(const suggestions *s, const snug_plan_options *options, uint64_t *peak_out)
{
    snug_plan plan = { .struct_size = sizeof plan };
    snug_status status;

    if (is_searched(s))
        status = snug_plan_search_in(&plan, s->situation, s->model, options, s->refused->strategy, NULL);
    else
        status = snug_plan_predict(&plan, s->situation, s->model, options, NULL);
    *peak_out = plan.peak_bytes;
    return status == SNUG_OK && plan.fits;
}

static uint32_t sinks_of(const suggestions *s)
{
    const snug_kv_retention *asked = &s->asked->kv.retention;

    return asked->kind == SNUG_KV_RETENTION_ROTATING ? asked->sink_tokens : SNUG_KV_SINKS_DEFAULT;
}

static snug_plan_options options_with(const suggestions *s, const snug_plan_way *way)
{
    snug_plan_options options = *s->asked;
    const bool is_affine =
        options.kv.key.format == SNUG_KV_FORMAT_AFFINE || options.kv.value.format == SNUG_KV_FORMAT_AFFINE;

    options.on_candidate = NULL;
    if (way->prefill_chunk)
        options.prefill_chunk = way->prefill_chunk;
    if (way->context_tokens)
        options.context_tokens = way->context_tokens;
    if (way->key_bits && is_affine) {
        options.kv.key.bits = way->key_bits;
        options.kv.value.bits = way->value_bits;
    } else if (way->key_bits) {
        options.kv = snug_plan_config_of(&s->asked->kv, (snug_plan_bits){ way->key_bits, way->value_bits });
    }
    if (way->max_kv_tokens)
        options.kv.retention = (snug_kv_retention){ .kind = SNUG_KV_RETENTION_ROTATING,
                                                    .max_tokens = way->max_kv_tokens,
                                                    .sink_tokens = sinks_of(s) };
    return options;
}

static bool try_way(suggestions *s, snug_plan_way *way)
{
    const snug_plan_options options = options_with(s, way);

    return fits(s, &options, &way->peak_bytes);
}

static void add(suggestions *s, const snug_plan_way *way)
{
    if (s->count < SNUG_PLAN_WAYS_MAX)
        s->way[s->count++] = *way;
}

/* --- one thing changed --------------------------------------------------------------------------------- */

/* The largest power of two below what was planned. */
static bool with_chunk(suggestions *s, snug_plan_way *way)
{
    uint32_t chunk = 1;

    while (chunk * 2 < s->refused->prefill_chunk)
        chunk *= 2;
    for (; chunk >= 8 && chunk < s->refused->prefill_chunk; chunk /= 2) {
        way->prefill_chunk = chunk;
        if (try_way(s, way))
            return true;
    }
    return false;
}

static uint32_t bits_of(const snug_kv_coding *coding)
{
    if (coding->format == SNUG_KV_FORMAT_AFFINE || coding->format == SNUG_KV_FORMAT_PLANES)
        return coding->bits ? coding->bits : 8;
    return 16;
}

/* The highest format below what was planned. Affine codes have the same width on both sides here. */
static bool with_bits(suggestions *s, snug_plan_way *way)
{
    const snug_plan *refused = s->refused;
    const snug_plan_bits *format;
    const size_t count = snug_plan_formats(&format);
    const uint32_t key_bits = bits_of(&refused->kv.key);
    const uint32_t value_bits = bits_of(&refused->kv.value);

    if (s->model->kernels.exact)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (format[i].key > key_bits || format[i].value > value_bits ||
            (format[i].key == key_bits && format[i].value == value_bits))
            continue;
        way->key_bits = format[i].key;
        way->value_bits = format[i].value;
        if (try_way(s, way))
            return true;
    }
    return false;
}

/* The largest value of *field from `least` to below `planned` that fits, in whole tiles where it can be. */
static bool with_tokens(suggestions *s, snug_plan_way *way, uint32_t *field, uint32_t least, uint32_t planned)
{
    uint32_t low = least, high = planned; /* `high` does not fit */

    if (planned <= least)
        return false;
    *field = low;
    if (!try_way(s, way))
        return false;
    while (high - low > 1) {
        *field = low + (high - low) / 2;
        if (try_way(s, way))
            low = *field;
        else
            high = *field;
    }
    if (low / 64 * 64 >= least && low >= 64)
        low = low / 64 * 64; /* a round figure is easier to type, and to remember */
    *field = low;
    return try_way(s, way);
}

static bool with_context(suggestions *s, snug_plan_way *way)
{
    const uint64_t needed = (uint64_t)s->asked->prompt_tokens + 1;

    return needed < UINT32_MAX &&
           with_tokens(s, way, &way->context_tokens, (uint32_t)needed, s->refused->cache_tokens);
}

static bool with_window(suggestions *s, snug_plan_way *way)
{
    const snug_kv_retention *retention = &s->refused->kv.retention;

    if (retention->kind == SNUG_KV_RETENTION_CHUNKED)
        return false;
    return with_tokens(s, way, &way->max_kv_tokens, (uint32_t)snug_max_size(64, sinks_of(s) + 1),
                       retention->max_tokens ? retention->max_tokens : s->refused->cache_tokens);
}

/* For what needs least, rounded up to MiB. More memory may let the search choose something better. */
static bool with_limit(suggestions *s, snug_plan_way *way)
{
    const snug_strategy_rules *rules = snug_strategy_rules_of(s->refused->strategy);
    const double share = is_searched(s) ? rules->warn_share : 1;
    const uint64_t needed = (uint64_t)((double)s->refused->peak_bytes / share) + 1;
    snug_plan_situation raised = *s->situation;
    suggestions with_more = *s;

    raised.limit_bytes = snug_round_up(needed + SLACK_BYTES, MIB);
    if (s->situation->limit_bytes >= s->situation->machine_limit_bytes ||
        raised.limit_bytes > s->situation->machine_limit_bytes)
        return false; /* it is the machine that has no more */
    with_more.situation = &raised;
    way->limit_bytes = raised.limit_bytes;
    return try_way(&with_more, way);
}

/* --- all ----------------------------------------------------------------------------------------------- */

static void leave_slack(snug_plan_situation *situation)
{
    const uint64_t slack =
        situation->limit_bytes / 64 < SLACK_BYTES ? situation->limit_bytes / 64 : SLACK_BYTES;

    situation->limit_bytes -= slack;
    situation->machine_limit_bytes -= slack;
}

static bool with_chunk_and_bits(suggestions *s, snug_plan_way *way)
{
    way->prefill_chunk = (uint32_t)snug_min_size(32, s->refused->prefill_chunk);
    return with_bits(s, way);
}

static bool with_chunk_bits_and_context(suggestions *s, snug_plan_way *way)
{
    const uint32_t key_bits = bits_of(&s->refused->kv.key);
    const uint32_t value_bits = bits_of(&s->refused->kv.value);

    way->prefill_chunk = (uint32_t)snug_min_size(32, s->refused->prefill_chunk);
    if (!s->model->kernels.exact && (key_bits > 4 || value_bits > 4)) {
        way->key_bits = (uint32_t)snug_min_size(4, key_bits);
        way->value_bits = (uint32_t)snug_min_size(4, value_bits);
    }
    return with_context(s, way);
}

size_t snug_plan_suggest(snug_plan_way ways_out[SNUG_PLAN_WAYS_MAX], const snug_plan *plan,
                         const snug_model *model, const snug_memory *memory, uint64_t text_bytes,
                         const snug_plan_options *options)
{
    /* By what they cost. */
    static bool (*const attempts[])(suggestions *, snug_plan_way *) = {
        with_chunk, with_bits, with_context, with_window, with_limit,
    };
    static bool (*const last_attempts[])(suggestions *, snug_plan_way *) = {
        with_chunk_and_bits,
        with_chunk_bits_and_context,
    };
    snug_plan_situation situation;
    suggestions s = {
        .refused = plan, .situation = &situation, .model = model, .asked = options, .way = ways_out
    };

    snug_plan_look(&situation, memory, text_bytes, options->user_limit_bytes);
    snug_plan_leave(&situation, options->leaving_bytes);
    leave_slack(&situation);
    for (size_t i = 0; i < SNUG_COUNT(attempts); i++) {
        snug_plan_way way = { 0 };

        if (attempts[i](&s, &way))
            add(&s, &way);
    }
    for (size_t i = 0; i < SNUG_COUNT(last_attempts) && s.count < 2; i++) {
        snug_plan_way way = { 0 };

        if (last_attempts[i](&s, &way))
            add(&s, &way);
    }
    return s.count;
}
