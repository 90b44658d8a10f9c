/* SPDX-License-Identifier: Apache-2.0 */
/*
 * search.c - cache format, prefill chunk and context for a limit and a strategy: candidates in the order in
 * which one would rather have them, the first that fits.
 */
#include "plan/plan.h"

#include <string.h>

#include "base/size.h"
#include "base/status.h"

#define CHUNK_MOST  512u /* the session's default */
#define CHUNK_LEAST 32u  /* below it the weights are read so often that a prompt takes many times as long */

/* Where the weights do not stay in memory, each chunk reads them from the disk: a prompt in smaller chunks
 * than this waits for the disk most of the time, so bits go first. */
#define CHUNK_FROM_DISK 128u

/* A conversation should have room for a question and an answer, whatever the model. */
#define CONTEXT_LEAST 512u
#define WINDOW_LEAST  256u

/* The first few tokens carry what attention has no use for elsewhere: a rotating cache keeps them. */
#define WINDOW_SINKS SNUG_KV_SINKS_DEFAULT

/*
 * The order in which quality is given up: from each format the bit, of keys or of values, that costs least
 * harm (mean KL divergence) per byte it returns, by the table "Keys and values apart" of docs/quality.md. A
 * value's bit costs a tenth of a key's, so values are always some bits ahead. Each format is a demotion of
 * the one before: a running cache can follow the same list.
 */
static const snug_plan_bits formats[] = {
    { 16, 16 }, { 8, 8 }, { 8, 6 }, { 8, 5 }, { 6, 5 }, { 6, 4 },
    { 5, 4 },   { 4, 4 }, { 4, 3 }, { 4, 2 }, { 3, 2 }, { 2, 2 },
};

size_t snug_plan_formats(const snug_plan_bits **formats_out)
{
    *formats_out = formats;
    return SNUG_COUNT(formats);
}

static snug_kv_coding coding_of(uint32_t bits)
{
    if (bits == 16)
        return (snug_kv_coding){ .format = SNUG_KV_FORMAT_F16 };
    return (snug_kv_coding){ .format = SNUG_KV_FORMAT_PLANES, .bits = bits };
}

snug_kv_config snug_plan_config_of(const snug_kv_config *kv, snug_plan_bits bits)
{
    snug_kv_config config = { .retention = kv->retention };

    config.key = coding_of(bits.key);
    config.value = coding_of(bits.value);
    memcpy(config.layer, kv->layer, sizeof config.layer);
    if (!snug_kv_config_has_codes(&config))
        return config;
    /* Who asks for codes has said what stays exact, none of it included. */
    if (snug_kv_config_has_codes(kv)) {
        config.first_exact_tokens = kv->first_exact_tokens;
        config.recent_exact_tokens = kv->recent_exact_tokens;
    } else {
        config.first_exact_tokens = SNUG_KV_FIRST_EXACT_DEFAULT;
        config.recent_exact_tokens = SNUG_KV_RECENT_EXACT_DEFAULT;
    }
    return config;
}

/* --- candidates ---------------------------------------------------------------------------------------- */

typedef struct search {
    const snug_plan_situation *situation;
    const snug_model *model;
    const snug_plan_options *options; /* as asked */
    const snug_strategy_rules *rules;
    bool is_last; /* the second time round */
    bool is_slow; /* now chunks are tried that wait for the disk */
    uint64_t allowed_bytes;
    uint32_t tried;
    snug_status status;
    snug_error *error;
    snug_plan *plan; /* the one that fits; until then the one that needs least */
} search;

static bool has_open_format(const search *s)
{
    return s->options->kv.key.format == SNUG_KV_FORMAT_AUTO &&
           s->options->kv.value.format == SNUG_KV_FORMAT_AUTO &&
           !snug_kv_config_has_layers(&s->options->kv) && !s->model->kernels.exact;
}

static void tell(const search *s, const snug_plan *plan, bool fits)
{
    const snug_plan_candidate candidate = {
        .kv = plan->kv,
        .prefill_chunk = plan->prefill_chunk,
        .context_tokens = plan->context_tokens,
        .peak_bytes = plan->peak_bytes,
        .allowed_bytes = s->allowed_bytes,
        .fits = fits,
    };

    /* The second time round only the bytes allowed are other: what fails again need not be told again. */
    if (s->options->on_candidate && (fits || !s->is_last))
        s->options->on_candidate(s->options->user, &candidate);
}

/* Whether it fits; then it is not counted yet. Also true when it cannot be planned at all, which ends the
 * search. */
static bool would_fit(search *s, snug_plan *plan, const snug_plan_options *options)
{
    plan->struct_size = s->plan->struct_size;
    s->status = snug_plan_predict(plan, s->situation, s->model, options, s->error);
    if (s->status != SNUG_OK || plan->peak_bytes <= s->allowed_bytes)
        return true;
    tell(s, plan, false);
    if (s->tried == 0 || plan->peak_bytes < s->plan->peak_bytes)
        *s->plan = *plan;
    s->tried += !s->is_last;
    return false;
}

/* Would it fit, it is taken. */
static bool try_options(search *s, const snug_plan_options *options)
{
    snug_plan plan;

    if (!would_fit(s, &plan, options))
        return false;
    if (s->status == SNUG_OK) {
        tell(s, &plan, true);
        *s->plan = plan;
        s->tried++;
    }
    return true;
}

static uint32_t first_chunk(const search *s, uint32_t context_tokens)
{
    const uint32_t prompt = s->options->prompt_tokens;

    return (uint32_t)snug_min_size(CHUNK_MOST, prompt ? prompt : context_tokens);
}

static uint32_t next_chunk(uint32_t chunk)
{
    uint32_t power = 1;

    while (power * 2 < chunk)
        power *= 2;
    return power;
}

/* Smaller than it would have to be, where each chunk reads the weights from the disk. */
static bool waits_for_disk(search *s, const snug_plan_options *options, uint32_t first)
{
    snug_plan plan = { .struct_size = s->plan->struct_size };

    if (options->prefill_chunk >= CHUNK_FROM_DISK || options->prefill_chunk == first)
        return false;
    s->status = snug_plan_predict(&plan, s->situation, s->model, options, s->error);
    return s->status == SNUG_OK && !snug_plan_weights_fit(&plan, s->situation, s->model);
}

/* The chunk that was set, or from the largest useful one down. */
static bool try_chunks(search *s, snug_plan_options *options, uint32_t context_tokens)
{
    const uint32_t first = first_chunk(s, context_tokens);
    uint32_t chunk = first;

    if (s->options->prefill_chunk > 0)
        return !s->is_slow && try_options(s, options);
    do {
        options->prefill_chunk = chunk;
        if (waits_for_disk(s, options, first) == s->is_slow && try_options(s, options))
            return true;
        chunk = next_chunk(chunk);
    } while (chunk >= CHUNK_LEAST);
    return false;
}

static bool is_allowed(const snug_strategy_rules *rules, snug_plan_bits bits)
{
    return bits.key <= rules->first_key_bits && bits.value <= rules->first_value_bits &&
           bits.key >= rules->floor_key_bits && bits.value >= rules->floor_value_bits;
}

/*
 * Tiles of codes beside the exact ones are worth it only from some length on: in a small window f16 takes no
 * more. Asked for a full context, so that the format does not depend on how long one request is.
 */
static bool takes_no_less_than_f16(search *s, const snug_plan_options *asked, const snug_kv_config *kv)
{
    snug_plan coded = { .struct_size = s->plan->struct_size };
    snug_plan f16 = coded;
    snug_plan_options options = *asked;

    options.kv = *kv;
    options.prompt_tokens = 0;
    s->status = snug_plan_predict(&coded, s->situation, s->model, &options, s->error);
    options.kv = snug_plan_config_of(kv, formats[0]);
    if (s->status == SNUG_OK)
        s->status = snug_plan_predict(&f16, s->situation, s->model, &options, s->error);
    return s->status == SNUG_OK && f16.peak_bytes <= coded.peak_bytes;
}

/* The format that was set, or from the strategy's first one down. */
static bool try_each_format(search *s, snug_plan_options *options, uint32_t context_tokens)
{
    bool is_f16_tried = false;

    if (!has_open_format(s))
        return try_chunks(s, options, context_tokens);
    for (size_t i = 0; i < SNUG_COUNT(formats); i++) {
        snug_kv_config kv = snug_plan_config_of(&options->kv, formats[i]);

        if (!is_allowed(s->rules, formats[i]))
            continue;
        if (i > 0 && takes_no_less_than_f16(s, options, &kv))
            kv = snug_plan_config_of(&kv, formats[0]);
        if (kv.key.format == SNUG_KV_FORMAT_F16 && is_f16_tried)
            continue;
        is_f16_tried = is_f16_tried || kv.key.format == SNUG_KV_FORMAT_F16;
        options->kv = kv;
        if (s->status != SNUG_OK || try_chunks(s, options, context_tokens))
            return true;
    }
    return false;
}

/* All formats; and only then all of them with chunks that wait for the disk. Afterwards the options have the
 * last format tried and the smallest chunk. */
static bool try_formats(search *s, snug_plan_options *options, uint32_t context_tokens)
{
    s->is_slow = false;
    if (try_each_format(s, options, context_tokens))
        return true;
    s->is_slow = true;
    return try_each_format(s, options, context_tokens);
}

/* Below `tokens`, a round figure: by eighths of `all`, the last of them halved. */
static uint32_t next_shorter(uint32_t tokens, uint32_t all)
{
    const uint32_t eighth = all / 8;
    const uint32_t next = tokens > eighth + eighth / 2 ? tokens - eighth : tokens / 2;

    return next >= 256 ? next / 64 * 64 : next;
}

static uint32_t shortest_context(const search *s)
{
    const snug_plan_options *asked = s->options;
    const uint32_t answer = asked->max_tokens ? asked->max_tokens : CONTEXT_LEAST / 2;
    const uint64_t needed = (uint64_t)asked->prompt_tokens + answer;

    return (uint32_t)snug_min_size(snug_max_size(needed, CONTEXT_LEAST), UINT32_MAX);
}

/* The longest context with which the lowest format would fit; then the highest format that does. */
static bool try_contexts(search *s, snug_plan_options *options, uint32_t all)
{
    const uint32_t least = shortest_context(s);
    const uint32_t end = snug_plan_end_tokens(all, s->options->prompt_tokens, s->options->max_tokens);
    snug_plan plan;

    /* A request that does not fill the context takes the same cache in any. */
    if (s->options->context_tokens > 0 || (s->options->prompt_tokens > 0 && end < all))
        return false;
    for (uint32_t tokens = next_shorter(all, all); tokens >= least; tokens = next_shorter(tokens, all)) {
        options->context_tokens = tokens;
        if (would_fit(s, &plan, options))
            return s->status != SNUG_OK || try_formats(s, options, tokens);
    }
    options->context_tokens = 0;
    return false;
}

/* The same for the longest window of a rotating cache. */
static bool try_windows(search *s, snug_plan_options *options, uint32_t all)
{
    snug_plan plan;

    if (!s->rules->may_slide || s->options->kv.retention.kind != SNUG_KV_RETENTION_AUTO)
        return false;
    for (uint32_t tokens = next_shorter(all, all); tokens >= WINDOW_LEAST;
         tokens = next_shorter(tokens, all)) {
        options->kv.retention = (snug_kv_retention){ .kind = SNUG_KV_RETENTION_ROTATING,
                                                     .max_tokens = tokens,
                                                     .sink_tokens = WINDOW_SINKS };
        if (would_fit(s, &plan, options))
            return s->status != SNUG_OK || try_formats(s, options, all);
    }
    return false;
}

/* Everything within `allowed_bytes`. */
static bool run(search *s, uint64_t allowed_bytes, uint32_t context_tokens)
{
    snug_plan_options options = *s->options;

    s->allowed_bytes = allowed_bytes;
    return try_formats(s, &options, context_tokens) || try_contexts(s, &options, context_tokens) ||
           try_windows(s, &options, context_tokens);
}

/* --- the search ---------------------------------------------------------------------------------------- */

static uint64_t share_of(uint64_t bytes, double share)
{
    return bytes >= SNUG_MEMORY_NO_LIMIT ? bytes : (uint64_t)((double)bytes * share);
}

static unsigned choices(const search *s, const snug_plan *plan, uint32_t context_tokens)
{
    unsigned chosen = 0;

    if (has_open_format(s))
        chosen |= SNUG_PLAN_CHOSE_FORMAT;
    if (s->options->prefill_chunk == 0)
        chosen |= SNUG_PLAN_CHOSE_CHUNK;
    if (plan->context_tokens < context_tokens)
        chosen |= SNUG_PLAN_CHOSE_CONTEXT;
    if (plan->kv.retention.kind == SNUG_KV_RETENTION_ROTATING &&
        s->options->kv.retention.kind != SNUG_KV_RETENTION_ROTATING)
        chosen |= SNUG_PLAN_CHOSE_WINDOW;
    return chosen;
}

snug_status snug_plan_search_in(snug_plan *plan, const snug_plan_situation *situation,
                                const snug_model *model, const snug_plan_options *options,
                                snug_strategy strategy, snug_error *error)
{
    search s = { .situation = situation,
                 .model = model,
                 .options = options,
                 .rules = snug_strategy_rules_of(strategy),
                 .status = SNUG_OK,
                 .error = error,
                 .plan = plan };
    snug_plan_settings settings = { .context_tokens = options->context_tokens,
                                    .threads = situation->threads };
    const uint64_t planned = share_of(situation->limit_bytes, s.rules->plan_share);
    const uint64_t most = share_of(situation->limit_bytes, s.rules->warn_share);
    bool is_found;

    SNUG_TRY(snug_plan_resolve(&settings, model, error));
    is_found = run(&s, planned, settings.context_tokens);
    if (!is_found) {
        s.is_last = true;
        is_found = run(&s, most, settings.context_tokens);
    }
    SNUG_TRY(s.status);
    plan->strategy = strategy == SNUG_STRATEGY_AUTO ? SNUG_STRATEGY_BALANCED : strategy;
    plan->chosen = choices(&s, plan, settings.context_tokens);
    plan->planned_bytes = planned;
    plan->most_bytes = most;
    plan->fits = is_found;
    plan->is_tight = plan->peak_bytes > planned;
    plan->candidate_count = s.tried;
    return SNUG_OK;
}

snug_status snug_plan_search(snug_plan *plan_out, const snug_model *model, const snug_memory *memory,
                             uint64_t text_bytes, const snug_plan_options *options, snug_strategy strategy,
                             snug_error *error)
{
    snug_plan_situation situation;

    snug_plan_look(&situation, memory, text_bytes, options->user_limit_bytes);
    snug_plan_leave(&situation, options->leaving_bytes);
    SNUG_TRY(snug_plan_search_in(plan_out, &situation, model, options, strategy, error));
    snug_plan_complete(plan_out, &situation, model);
    return SNUG_OK;
}

snug_status snug_plan_choose(snug_plan_settings *settings, const snug_model *model, const snug_memory *memory,
                             snug_strategy strategy, snug_plan *plan_out, snug_error *error)
{
    const snug_plan_options options = snug_plan_options_of(settings);

    plan_out->struct_size = sizeof *plan_out;
    SNUG_TRY(snug_plan_search(plan_out, model, memory, 0, &options, strategy, error));
    if (!plan_out->fits)
        SNUG_FAIL(error, SNUG_ERR_OVER_LIMIT,
                  "a full context needs at least %llu bytes, and may use %llu: %.0f %% of what %s leaves; "
                  "set a shorter context or fewer bits",
                  (unsigned long long)plan_out->peak_bytes, (unsigned long long)plan_out->most_bytes,
                  snug_strategy_rules_of(strategy)->warn_share * 100, plan_out->limited_by);
    *settings = (snug_plan_settings){
        .context_tokens = plan_out->context_tokens,
        .prefill_chunk = plan_out->prefill_chunk,
        .threads = plan_out->threads,
        .logits_rows = plan_out->logits_rows,
        .kv = plan_out->kv,
    };
    return SNUG_OK;
}
