/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sampler.c - from logits to one id.
 *
 * Candidates are kept as (value, id) in one array that is made once. top-k and top-p need only the
 * likeliest ones in order, so the array is turned into a heap (linear) and popped as far as they reach: no
 * sort of a whole vocabulary.
 */
#include <snug/sample.h>

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "base/status.h"
#include "memory/memory.h"

#define REPETITION_WINDOW_DEFAULT 64

/* Marks a candidate while the tokens of the answer are counted; vocabularies are smaller. */
#define SEEN ((uint32_t)1 << 31)

typedef struct candidate {
    float value; /* logit, later probability */
    uint32_t id;
} candidate;

struct snug_sampler {
    snug_memory *memory;
    snug_sample_options options;
    snug_random random;
    uint32_t id_count;
    candidate candidates[]; /* [id_count] */
};

static bool in_range(double value, double min, double max)
{
    return value >= min && value <= max; /* false for NaN */
}

static snug_status check_options(const snug_sample_options *options, snug_error *error)
{
    if (!in_range(options->temperature, 0.0, 100.0))
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "temperature must be between 0 and 100, not %g",
                  options->temperature);
    if (!in_range(options->top_p, 0.0, 1.0))
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "top-p must be between 0 and 1, not %g", options->top_p);
    if (!in_range(options->min_p, 0.0, 1.0))
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "min-p must be between 0 and 1, not %g", options->min_p);
    if (!in_range(options->repetition_penalty, 0.0, 100.0))
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "repetition penalty must be between 0 and 100, not %g",
                  options->repetition_penalty);
    if (!in_range(options->presence_penalty, -2.0, 2.0))
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "presence penalty must be between -2 and 2, not %g",
                  options->presence_penalty);
    if (!in_range(options->frequency_penalty, -2.0, 2.0))
        SNUG_FAIL(error, SNUG_ERR_ARGUMENT, "frequency penalty must be between -2 and 2, not %g",
                  options->frequency_penalty);
    return SNUG_OK;
}

static uint64_t struct_bytes(uint32_t id_count)
{
    return sizeof(snug_sampler) + (uint64_t)id_count * sizeof(candidate);
}

uint64_t snug_sampler_estimate_bytes(uint32_t id_count)
{
    return snug_memory_block_bytes(struct_bytes(id_count));
}

snug_status snug_sampler_create(snug_sampler **sampler_out, snug_memory *memory, uint32_t id_count,
                                const snug_sample_options *options, snug_error *error)
{
    snug_sampler *sampler;
    snug_error own = { SNUG_OK, "" };

    *sampler_out = NULL;
    SNUG_ASSERT(id_count > 0 && id_count < SEEN);
    SNUG_TRY(check_options(options, error));
    sampler = snug_memory_alloc(memory, SNUG_MEMORY_SCRATCH, struct_bytes(id_count), "the sampler", &own);
    if (!sampler)
        SNUG_FAIL(error, own.status, "%s", own.text);
    sampler->memory = memory;
    sampler->options = *options;
    if (sampler->options.repetition_window == 0)
        sampler->options.repetition_window = REPETITION_WINDOW_DEFAULT;
    sampler->random.state = options->seed;
    sampler->id_count = id_count;
    *sampler_out = sampler;
    return SNUG_OK;
}

void snug_sampler_destroy(snug_sampler *sampler)
{
    if (sampler)
        snug_memory_free(sampler->memory, sampler);
}

uint64_t snug_sampler_seed(const snug_sampler *sampler)
{
    return sampler->random.state; /* SplitMix64: the state is a seed */
}

/* Copies the logits; false when one of them is NaN or +infinity. */
static bool load_candidates(snug_sampler *sampler, const float *logits)
{
    for (uint32_t i = 0; i < sampler->id_count; i++) {
        if (isnan(logits[i]) || logits[i] == INFINITY)
            return false;
        sampler->candidates[i] = (candidate){ logits[i], i };
    }
    return true;
}

/* Each distinct id of the window once, however often it occurs (Keskar et al. 2019, as CTRL and
 * transformers do it). */
static void penalize(snug_sampler *sampler, const float *logits, const uint32_t *recent, size_t count)
{
    const float penalty = (float)sampler->options.repetition_penalty;
    const size_t window = sampler->options.repetition_window;

    if (penalty == 0.0f || penalty == 1.0f)
        return;
    for (size_t i = count > window ? count - window : 0; i < count; i++) {
        const uint32_t id = recent[i];

        if (id < sampler->id_count) /* from the logits, so that a second occurrence changes nothing */
            sampler->candidates[id].value = logits[id] > 0.0f ? logits[id] / penalty : logits[id] * penalty;
    }
}

/* No table of counts: each occurrence takes its part off, and the first one of a token what is due once. */
static void penalize_answer(snug_sampler *sampler, const uint32_t *tokens, size_t count)
{
    const float presence = (float)sampler->options.presence_penalty;
    const float frequency = (float)sampler->options.frequency_penalty;

    if (presence == 0.0f && frequency == 0.0f)
        return;
    for (size_t i = sampler->options.prompt_tokens; i < count; i++) {
        candidate *c = tokens[i] < sampler->id_count ? &sampler->candidates[tokens[i]] : NULL;

        if (!c)
            continue;
        c->value -= frequency + (c->id & SEEN ? 0.0f : presence);
        c->id |= SEEN;
    }
    for (size_t i = sampler->options.prompt_tokens; i < count; i++)
        if (tokens[i] < sampler->id_count)
            sampler->candidates[tokens[i]].id = tokens[i];
}

static uint32_t likeliest(const snug_sampler *sampler)
{
    const candidate *best = &sampler->candidates[0];

    for (uint32_t i = 1; i < sampler->id_count; i++)
        if (sampler->candidates[i].value > best->value)
            best = &sampler->candidates[i];
    return best->id;
}

static bool goes_before(candidate a, candidate b)
{
    return a.value > b.value || (a.value == b.value && a.id < b.id);
}

static void sift_down(candidate *heap, size_t count, size_t at)
{
    const candidate moving = heap[at];

    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= count)
            break;
        if (child + 1 < count && goes_before(heap[child + 1], heap[child]))
            child++;
        if (!goes_before(heap[child], moving))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moving;
}

/*
 * Bring the likeliest candidates to the array's end, likeliest last, until `keep` of them are there or their
 * probabilities reach `mass` of `total`. Returns how many.
 */
static size_t pop_likeliest(candidate *heap, size_t count, size_t keep, double mass)
{
    double reached = 0.0;
    size_t popped = 0;

    for (size_t i = count / 2; i-- > 0;)
        sift_down(heap, count, i);
    while (popped < keep && popped < count && (popped == 0 || reached < mass)) {
        const candidate top = heap[0];
        const size_t last = count - popped - 1;

        heap[0] = heap[last];
        heap[last] = top;
        sift_down(heap, last, 0);
        reached += top.value;
        popped++;
    }
    return popped;
}

/* Logits become probabilities at the temperature, not yet divided by their sum, which is returned. */
static double to_probabilities(snug_sampler *sampler, double temperature)
{
    const float max = sampler->candidates[likeliest(sampler)].value;
    double sum = 0.0;

    for (uint32_t i = 0; i < sampler->id_count; i++) {
        candidate *c = &sampler->candidates[i];

        c->value = (float)exp(((double)c->value - max) / temperature);
        sum += c->value;
    }
    return sum;
}

static double sum_of(const candidate *candidates, size_t count)
{
    double sum = 0.0;

    for (size_t i = 0; i < count; i++)
        sum += candidates[i].value;
    return sum;
}

/* An id with probability value / sum. Rounding may leave a rest: the last one takes it. */
static uint32_t draw(snug_random *random, const candidate *candidates, size_t count, double sum)
{
    double point = snug_random_unit(random) * sum;

    for (size_t i = 0; i < count; i++) {
        point -= candidates[i].value;
        if (point < 0.0)
            return candidates[i].id;
    }
    return candidates[count - 1].id;
}

static uint32_t pick_by_chance(snug_sampler *sampler)
{
    const snug_sample_options *o = &sampler->options;
    const double min_value = o->min_p; /* the likeliest has the value 1 */
    candidate *kept = sampler->candidates;
    size_t count = sampler->id_count;
    double sum = to_probabilities(sampler, o->temperature);

    if (o->top_k > 0 && o->top_k < count) {
        const size_t popped = pop_likeliest(kept, count, o->top_k, INFINITY);

        kept += count - popped;
        count = popped;
        sum = sum_of(kept, count);
    }
    if (o->top_p > 0.0 && o->top_p < 1.0) {
        const size_t popped = pop_likeliest(kept, count, count, o->top_p * sum);

        kept += count - popped;
        count = popped;
    }
    if (min_value > 0.0) {
        size_t likely = 0;

        for (size_t i = 0; i < count; i++)
            if (kept[i].value >= min_value)
                kept[likely++] = kept[i];
        count = likely;
    }
    return draw(&sampler->random, kept, count, sum_of(kept, count));
}

snug_status snug_sampler_pick(uint32_t *id_out, snug_sampler *sampler, const float *logits,
                              const uint32_t *recent, size_t recent_count, snug_error *error)
{
    if (!load_candidates(sampler, logits))
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "the model computed a value that is not a number: its weights are damaged");
    penalize(sampler, logits, recent, recent_count);
    penalize_answer(sampler, recent, recent_count);
    *id_out = sampler->options.temperature == 0.0 ? likeliest(sampler) : pick_by_chance(sampler);
    return SNUG_OK;
}
