/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rope.c - rotary positions: frequencies from the configuration, angles for the positions of a chunk.
 * (Su et al. 2021; "llama3" scaling as in the Llama 3.1 report and transformers.)
 */
#include "model/blocks/blocks.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"

#define PI 3.14159265358979323846

/* Where the scaling stands: "rope_parameters" (transformers 5, theta inside) or "rope_scaling" (before). */
typedef struct rope_source {
    const snug_checkpoint *checkpoint;
    const char *section;
} rope_source;

static const char *key_in(const rope_source *source, char *out, size_t capacity, const char *key)
{
    snprintf(out, capacity, "%s.%s", source->section, key);
    return out;
}

static snug_status read_number(double *out, const rope_source *source, const char *key, double min,
                               double max, snug_error *error)
{
    char path[96];

    return snug_checkpoint_f64(out, source->checkpoint, key_in(source, path, sizeof path, key), min, max,
                               error);
}

static snug_status apply_linear(float *frequency, uint32_t pairs, const rope_source *source,
                                snug_error *error)
{
    double factor;

    SNUG_TRY(read_number(&factor, source, "factor", 1e-3, 1e6, error));
    for (uint32_t i = 0; i < pairs; i++)
        frequency[i] = (float)(frequency[i] / factor);
    return SNUG_OK;
}

/* Long waves are slowed by `factor`, short ones kept, those between are blended. */
static snug_status apply_llama3(float *frequency, uint32_t pairs, const rope_source *source,
                                snug_error *error)
{
    double factor, low, high, original;

    SNUG_TRY(read_number(&factor, source, "factor", 1e-3, 1e6, error));
    SNUG_TRY(read_number(&low, source, "low_freq_factor", 1e-6, 1e6, error));
    SNUG_TRY(read_number(&high, source, "high_freq_factor", 1e-6, 1e6, error));
    SNUG_TRY(read_number(&original, source, "original_max_position_embeddings", 1, 1e9, error));
    if (high <= low)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "%.300s: high_freq_factor (%g) must be above low_freq_factor (%g)",
                  snug_checkpoint_config_path(source->checkpoint), high, low);
    for (uint32_t i = 0; i < pairs; i++) {
        const double f = frequency[i];
        const double wavelength = 2.0 * PI / f;
        const double blend = (original / wavelength - low) / (high - low);

        if (wavelength > original / low)
            frequency[i] = (float)(f / factor);
        else if (wavelength >= original / high)
            frequency[i] = (float)((1.0 - blend) * f / factor + blend * f);
    }
    return SNUG_OK;
}

static snug_str scaling_kind(const rope_source *source)
{
    char path[96];
    snug_json kind =
        snug_checkpoint_config(source->checkpoint, key_in(source, path, sizeof path, "rope_type"));

    if (snug_json_kind_of(kind) == SNUG_JSON_ABSENT) /* the older spelling */
        kind = snug_checkpoint_config(source->checkpoint, key_in(source, path, sizeof path, "type"));
    return snug_json_kind_of(kind) == SNUG_JSON_ABSENT ? snug_str_from("default") : snug_json_string(kind);
}

/* One divisor per frequency, from a list of the file. */
static snug_status apply_factors(snug_rope_set *set, const float *base, float *frequency, uint32_t pairs,
                                 const rope_source *source, const char *key, snug_error *error)
{
    char path[96];
    const snug_json list = snug_checkpoint_config(source->checkpoint, key_in(source, path, sizeof path, key));
    snug_json_iterator each = snug_json_iterate(list);
    snug_json value;
    uint32_t i = 0;
    double factor;

    if (snug_json_count(list) != pairs)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "%.300s: %s has %zu entries, expected %u (head_dim / 2)",
                  snug_checkpoint_config_path(source->checkpoint), path, snug_json_count(list), pairs);
    while (snug_json_next(&each, NULL, &value)) {
        if (!snug_json_f64(&factor, value) || !(factor >= 1e-3 && factor <= 1e6))
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, "%.300s: entry %u of %s is not a number from 0.001 to 1e6",
                      snug_checkpoint_config_path(source->checkpoint), i, path);
        frequency[i] = (float)(base[i] / factor);
        i++;
    }
    set->frequency = frequency;
    return SNUG_OK;
}

/* What GGUF files have in place of "llama3" (format/gguf_config.h). */
static snug_status apply_divisors(snug_rope *rope, float *frequency, const rope_source *source,
                                  snug_error *error)
{
    return apply_factors(&rope->set, frequency, frequency, rope->pair_count, source, "factors", error);
}

/* sqrt(1 + ln(growth) / ln(original)), unless the file says otherwise for both sets or for each. */
static snug_status read_magnitudes(snug_rope *rope, const snug_model *model, uint32_t original,
                                   const rope_source *source, snug_error *error)
{
    const double growth = (double)model->shape.context_tokens / original;
    double both = growth > 1.0 && original > 1 ? sqrt(1.0 + log(growth) / log(original)) : 1.0;
    double each[2];
    char path[96];

    SNUG_TRY(snug_checkpoint_f64_or(&both, source->checkpoint,
                                    key_in(source, path, sizeof path, "attention_factor"), 1e-3, 1e3, error));
    each[0] = each[1] = both;
    SNUG_TRY(snug_checkpoint_f64_or(&each[0], source->checkpoint,
                                    key_in(source, path, sizeof path, "short_mscale"), 1e-3, 1e3, error));
    SNUG_TRY(snug_checkpoint_f64_or(&each[1], source->checkpoint,
                                    key_in(source, path, sizeof path, "long_mscale"), 1e-3, 1e3, error));
    rope->set.magnitude = (float)each[0];
    rope->long_set.magnitude = (float)each[1];
    return SNUG_OK;
}

/* Phi-3: two sets of divisors, for sequences up to the length the model was first trained for and beyond. */
static snug_status apply_longrope(snug_rope *rope, snug_model *model, float *frequency,
                                  const rope_source *source, snug_error *error)
{
    const uint32_t pairs = rope->pair_count;
    float *long_frequency = snug_model_take_vector(model, pairs);
    const char *key = "original_max_position_embeddings";
    uint32_t original = 0;
    char path[96];

    SNUG_TRY(snug_checkpoint_u32_or(&original, source->checkpoint, key, 1, SNUG_CONTEXT_MAX, error));
    if (original == 0)
        SNUG_TRY(snug_checkpoint_u32(&original, source->checkpoint, key_in(source, path, sizeof path, key), 1,
                                     SNUG_CONTEXT_MAX, error));
    SNUG_TRY(apply_factors(&rope->long_set, frequency, long_frequency, pairs, source, "long_factor", error));
    SNUG_TRY(apply_factors(&rope->set, frequency, frequency, pairs, source, "short_factor", error));
    SNUG_TRY(read_magnitudes(rope, model, original, source, error));
    model->shape.rope_short_tokens = original;
    return SNUG_OK;
}

static snug_status apply_scaling(snug_rope *rope, snug_model *model, float *frequency,
                                 const rope_source *source, snug_error *error)
{
    const snug_str kind = scaling_kind(source);

    if (snug_str_is(kind, "default"))
        return SNUG_OK;
    if (snug_str_is(kind, "linear"))
        return apply_linear(frequency, rope->pair_count, source, error);
    if (snug_str_is(kind, "llama3"))
        return apply_llama3(frequency, rope->pair_count, source, error);
    if (snug_str_is(kind, "divisors"))
        return apply_divisors(rope, frequency, source, error);
    if (snug_str_is(kind, "longrope") || snug_str_is(kind, "su")) /* the older name */
        return apply_longrope(rope, model, frequency, source, error);
    SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
              "%.300s: %s of type \"%.*s\"; this build knows default, linear, llama3 and longrope",
              snug_checkpoint_config_path(source->checkpoint), source->section,
              (int)snug_min_size(kind.bytes, 40), kind.data ? kind.data : "");
}

size_t snug_block_rope_floats(const snug_model_shape *shape)
{
    return 2 * (size_t)(shape->head_dim / 2);
}

static snug_status refuse_partial(const snug_checkpoint *checkpoint, snug_error *error)
{
    double rotated = 1.0;

    SNUG_TRY(snug_checkpoint_f64_or(&rotated, checkpoint, "partial_rotary_factor", 0.0, 1.0, error));
    SNUG_TRY(snug_checkpoint_f64_or(&rotated, checkpoint, "rope_parameters.partial_rotary_factor", 0.0, 1.0,
                                    error));
    if (rotated != 1.0)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                  "%.300s: partial_rotary_factor %g; this build rotates whole heads",
                  snug_checkpoint_config_path(checkpoint), rotated);
    return SNUG_OK;
}

snug_status snug_block_rope_read(snug_rope *rope_out, snug_model *model, const snug_rope_keys *keys,
                                 snug_error *error)
{
    const snug_checkpoint *checkpoint = model->checkpoint;
    const uint32_t head_dim = model->shape.head_dim;
    const snug_rope_keys k = *keys;
    const bool is_new = k.parameters && snug_json_kind_of(snug_checkpoint_config(checkpoint, k.parameters)) !=
                                            SNUG_JSON_ABSENT;
    const rope_source source = { checkpoint, is_new ? k.parameters : k.scaling };
    float *frequency = snug_model_take_vector(model, head_dim / 2);
    double theta = k.default_theta;
    char path[96];

    SNUG_TRY(refuse_partial(checkpoint, error));
    SNUG_TRY(snug_checkpoint_f64_or(&theta, checkpoint, k.theta, 1.0, 1e12, error));
    if (is_new)
        SNUG_TRY(snug_checkpoint_f64_or(&theta, checkpoint, key_in(&source, path, sizeof path, "rope_theta"),
                                        1.0, 1e12, error));
    for (uint32_t i = 0; i < head_dim / 2; i++)
        frequency[i] = (float)pow(theta, -2.0 * i / head_dim);
    *rope_out = (snug_rope){ .pair_count = head_dim / 2, .set = { frequency, 1.0f } };
    return source.section ? apply_scaling(rope_out, model, frequency, &source, error) : SNUG_OK;
}

typedef struct angle_work {
    const snug_pass *pass;
    const snug_rope_set *set;
    size_t pair_count;
    snug_angles out;
} angle_work;

/* In double: at position 100,000 a float angle would be wrong by a hundredth of a turn. */
static void angles_of_token(void *user, uint32_t token)
{
    const angle_work *w = user;
    const double position = (double)w->pass->first_position + token;
    const double magnitude = (double)w->set->magnitude;
    float *cosine = w->out.cosine + token * w->pair_count;
    float *sine = w->out.sine + token * w->pair_count;

    for (size_t i = 0; i < w->pair_count; i++) {
        const double angle = position * (double)w->set->frequency[i];

        cosine[i] = (float)(cos(angle) * magnitude);
        sine[i] = (float)(sin(angle) * magnitude);
    }
}

void snug_block_rope_angles(snug_pass *pass, uint32_t kind, const snug_rope *rope)
{
    const uint32_t short_tokens = pass->model->shape.rope_short_tokens;
    const bool is_long = rope->long_set.frequency && pass->span_tokens > short_tokens;
    angle_work work = { .pass = pass,
                        .set = is_long ? &rope->long_set : &rope->set,
                        .pair_count = rope->pair_count,
                        .out = pass->angles[kind] };

    snug_block_each_token(pass, angles_of_token, &work);
}
