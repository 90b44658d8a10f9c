/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gguf_config.c - config.json from a GGUF file's metadata: a table of keys for all architectures, what is
 * particular to one of them, and what only the tensors tell (the vocabulary, tied heads, factors of
 * rotation).
 */
#include "format/gguf_config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "format/gguf_texts.h"

typedef struct config_context {
    json_writer *json;
    const snug_gguf *view;
    const snug_tensor *tensors;
    size_t tensor_count;
    snug_str architecture;
    uint64_t layers;
    snug_error *error;
} config_context;

/* --- looking ------------------------------------------------------------------------------------------- */

#define KEY_BYTES_MAX 160

/* "llama." in front of the key. */
static const char *full_key(char *out, const config_context *c, const char *key)
{
    snprintf(out, KEY_BYTES_MAX, "%.*s.%s", SNUG_STR_ARGS(c->architecture), key);
    return out;
}

static snug_gguf_value find(const config_context *c, const char *key)
{
    char full[KEY_BYTES_MAX];

    return snug_gguf_find(c->view, full_key(full, c, key));
}

static snug_status fail_key(const config_context *c, const char *key, const char *expected)
{
    char full[KEY_BYTES_MAX];

    SNUG_FAIL(c->error, SNUG_ERR_CORRUPT, "%s is %s, expected %s", full_key(full, c, key),
              find(c, key).at ? "another value" : "missing", expected);
}

static bool is_architecture(const config_context *c, const char *name)
{
    return snug_str_is(c->architecture, name);
}

static const snug_tensor *find_tensor(const config_context *c, const char *name)
{
    for (size_t i = 0; i < c->tensor_count; i++)
        if (snug_str_is(c->tensors[i].name, name))
            return &c->tensors[i];
    return NULL;
}

/* --- the table ----------------------------------------------------------------------------------------- */

typedef enum rule_kind {
    INTEGER,   /* one for all layers; a list must say the same for each */
    PER_LAYER, /* a list, also where the file has one for all */
    NUMBER,
    POSITIVE_NUMBER, /* left out when 0 */
    POSITIVE,        /* an integer, left out when 0 */
} rule_kind;

typedef struct rule {
    const char *gguf;
    const char *hugging_face;
    rule_kind kind;
    bool is_required;
} rule;

static const rule common_rules[] = {
    { "block_count", "num_hidden_layers", INTEGER, true },
    { "context_length", "max_position_embeddings", INTEGER, true },
    { "embedding_length", "hidden_size", INTEGER, true },
    { "attention.head_count", "num_attention_heads", INTEGER, true },
    { "attention.head_count_kv", "num_key_value_heads", INTEGER, false },
    { "attention.key_length", "head_dim", INTEGER, false },
    { "attention.layer_norm_rms_epsilon", "rms_norm_eps", NUMBER, true },
    { "attention.sliding_window", "sliding_window", POSITIVE, false },
    { "final_logit_softcapping", "final_logit_softcapping", POSITIVE_NUMBER, false },
    { "attn_logit_softcapping", "attn_logit_softcapping", POSITIVE_NUMBER, false },
};

static const rule mlp_rules[] = {
    { "feed_forward_length", "intermediate_size", INTEGER, true },
};

static const rule gemma3n_rules[] = {
    { "feed_forward_length", "intermediate_size", PER_LAYER, true },
    { "altup.active_idx", "altup_active_idx", INTEGER, true },
    { "altup.num_inputs", "altup_num_inputs", INTEGER, true },
    { "embedding_length_per_layer_input", "hidden_size_per_layer_input", INTEGER, true },
    { "attention.shared_kv_layers", "num_kv_shared_layers", INTEGER, true },
};

static const rule openelm_rules[] = {
    { "block_count", "num_transformer_layers", INTEGER, true },
    { "context_length", "max_context_length", INTEGER, true },
    { "embedding_length", "model_dim", INTEGER, true },
    { "attention.head_count", "num_query_heads", PER_LAYER, true },
    { "attention.head_count_kv", "num_kv_heads", PER_LAYER, true },
    { "attention.key_length", "head_dim", INTEGER, true },
};

/* The value of layer `layer`, from a list or from a number for all. */
static bool layer_u64(uint64_t *out, const config_context *c, snug_gguf_value value, uint64_t layer)
{
    if (value.type != SNUG_GGUF_ARRAY)
        return snug_gguf_u64(out, value);
    return value.count == c->layers && snug_gguf_u64(out, snug_gguf_element(value, layer));
}

static snug_status put_integer(const config_context *c, const rule *r, snug_gguf_value value)
{
    uint64_t first, other;

    if (!layer_u64(&first, c, value, 0))
        return fail_key(c, r->gguf, "a whole number, or one for each layer");
    for (uint64_t i = 1; value.type == SNUG_GGUF_ARRAY && i < c->layers; i++)
        if (!layer_u64(&other, c, value, i) || other != first)
            return fail_key(c, r->gguf, "the same number for each layer");
    if (first > 0 || r->kind != POSITIVE)
        snug_json_put_u64(c->json, r->hugging_face, first);
    return SNUG_OK;
}

static snug_status put_list(const config_context *c, const rule *r, snug_gguf_value value)
{
    uint64_t number;

    snug_json_put_open(c->json, r->hugging_face, '[');
    for (uint64_t i = 0; i < c->layers; i++) {
        if (!layer_u64(&number, c, value, i))
            return fail_key(c, r->gguf, "a whole number for each layer");
        snug_json_put_u64(c->json, NULL, number);
    }
    snug_json_put_close(c->json, ']');
    return SNUG_OK;
}

static snug_status read_finite(double *out, const config_context *c, const char *key)
{
    if (!snug_gguf_f64(out, find(c, key)) || !isfinite(*out))
        return fail_key(c, key, "a finite number");
    return SNUG_OK;
}

static snug_status put_rule(const config_context *c, const rule *r)
{
    const snug_gguf_value value = find(c, r->gguf);
    double number;

    if (!value.at)
        return r->is_required ? fail_key(c, r->gguf, "a number") : SNUG_OK;
    if (r->kind == INTEGER || r->kind == POSITIVE)
        return put_integer(c, r, value);
    if (r->kind == PER_LAYER)
        return put_list(c, r, value);
    SNUG_TRY(read_finite(&number, c, r->gguf));
    if (number > 0.0 || r->kind == NUMBER)
        snug_json_put_f64(c->json, r->hugging_face, number);
    return SNUG_OK;
}

static snug_status put_rules(const config_context *c, const rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++)
        SNUG_TRY(put_rule(c, &rules[i]));
    return SNUG_OK;
}

/* --- rotation ------------------------------------------------------------------------------------------ */

#define FACTORS_MAX 4096

static snug_status put_factors(const config_context *c, const char *key, const snug_tensor *tensor)
{
    if (tensor->type != SNUG_TYPE_F32 || tensor->rank != 1 || tensor->shape[0] > FACTORS_MAX)
        SNUG_FAIL(c->error, SNUG_ERR_CORRUPT, "tensor '%.*s' is no vector of F32",
                  SNUG_STR_ARGS(tensor->name));
    snug_json_put_open(c->json, key, '[');
    for (uint64_t i = 0; i < tensor->shape[0]; i++) {
        float factor;

        memcpy(&factor, (const unsigned char *)tensor->data + i * sizeof factor, sizeof factor);
        if (!isfinite(factor))
            SNUG_FAIL(c->error, SNUG_ERR_CORRUPT, "tensor '%.*s' holds a value that is not finite",
                      SNUG_STR_ARGS(tensor->name));
        snug_json_put_f64(c->json, NULL, (double)factor);
    }
    snug_json_put_close(c->json, ']');
    return SNUG_OK;
}

static snug_status put_longrope(const config_context *c, const snug_tensor *short_factors,
                                const snug_tensor *long_factors)
{
    static const rule rules[] = {
        { "rope.scaling.original_context_length", "original_max_position_embeddings", INTEGER, true },
        { "rope.scaling.attn_factor", "attention_factor", POSITIVE_NUMBER, false },
    };

    snug_json_put_open(c->json, "rope_scaling", '{');
    snug_json_put_string(c->json, "rope_type", snug_str_from("longrope"));
    SNUG_TRY(put_rules(c, rules, SNUG_COUNT(rules)));
    SNUG_TRY(put_factors(c, "short_factor", short_factors));
    SNUG_TRY(put_factors(c, "long_factor", long_factors));
    snug_json_put_close(c->json, '}');
    return SNUG_OK;
}

/* By name and factor; "linear" with a factor of 1 is what converters write for nothing. */
static snug_status put_named_scaling(const config_context *c)
{
    snug_str type = { "linear", 6 };
    double factor = 1.0;

    (void)snug_gguf_string(&type, find(c, "rope.scaling.type"));
    if (find(c, "rope.scaling.factor").at)
        SNUG_TRY(read_finite(&factor, c, "rope.scaling.factor"));
    else if (find(c, "rope.scale_linear").at)
        SNUG_TRY(read_finite(&factor, c, "rope.scale_linear"));
    if (snug_str_is(type, "none") || (snug_str_is(type, "linear") && factor == 1.0))
        return SNUG_OK;
    if (!snug_str_is(type, "linear"))
        SNUG_FAIL(c->error, SNUG_ERR_UNSUPPORTED,
                  "rope.scaling.type is \"%.*s\"; this build knows none, linear, and factors in tensors",
                  (int)(type.bytes < 40 ? type.bytes : 40), type.data);
    snug_json_put_open(c->json, "rope_scaling", '{');
    snug_json_put_string(c->json, "rope_type", type);
    snug_json_put_f64(c->json, "factor", factor);
    snug_json_put_close(c->json, '}');
    return SNUG_OK;
}

static snug_status put_scaling(const config_context *c)
{
    const snug_tensor *divisors = find_tensor(c, "rope_freqs.weight");
    const snug_tensor *short_factors = find_tensor(c, "rope_factors_short.weight");
    const snug_tensor *long_factors = find_tensor(c, "rope_factors_long.weight");

    if (short_factors && long_factors)
        return put_longrope(c, short_factors, long_factors);
    if (!divisors)
        return put_named_scaling(c);
    snug_json_put_open(c->json, "rope_scaling", '{');
    snug_json_put_string(c->json, "rope_type", snug_str_from("divisors"));
    SNUG_TRY(put_factors(c, "factors", divisors));
    snug_json_put_close(c->json, '}');
    return SNUG_OK;
}

static snug_status put_number_or(const config_context *c, const char *gguf, const char *older,
                                 const char *hugging_face, double otherwise)
{
    const char *key = older && !find(c, gguf).at ? older : gguf;
    double number = otherwise;

    if (find(c, key).at)
        SNUG_TRY(read_finite(&number, c, key));
    snug_json_put_f64(c->json, hugging_face, number);
    return SNUG_OK;
}

#define DEFAULT_ROPE_BASE 10000.0

static snug_status put_rotation(const config_context *c)
{
    const bool is_openelm = is_architecture(c, "openelm");
    uint64_t head = 0, rotated = 0;

    SNUG_TRY(put_number_or(c, "rope.freq_base", NULL, is_openelm ? "rope_freq_constant" : "rope_theta",
                           DEFAULT_ROPE_BASE));
    if (is_architecture(c, "gemma3") || is_architecture(c, "gemma3n"))
        SNUG_TRY(put_number_or(c, "rope.freq_base_swa", "rope.freq_base_local", "rope_local_base_freq",
                               DEFAULT_ROPE_BASE));
    /* llama.cpp's converter stores pairs side by side for these two, as Llama's first files had them. */
    if (is_architecture(c, "llama") || is_architecture(c, "smollm3"))
        snug_json_put_bool(c->json, "rope_interleaved", true);
    if (snug_gguf_u64(&head, find(c, "attention.key_length")) && head > 0 &&
        snug_gguf_u64(&rotated, find(c, "rope.dimension_count")) && rotated != head)
        snug_json_put_f64(c->json, "partial_rotary_factor", (double)rotated / (double)head);
    return put_scaling(c);
}

/* --- what is particular -------------------------------------------------------------------------------- */

/* true: a layer sees a window. A number is the period after which a layer sees everything. */
static snug_status put_window_pattern(const config_context *c)
{
    const char *key = "attention.sliding_window_pattern";
    const snug_gguf_value value = find(c, key);
    uint64_t period;
    bool is_window;

    if (!value.at)
        return SNUG_OK;
    if (snug_gguf_u64(&period, value)) {
        snug_json_put_u64(c->json, "sliding_window_pattern", period);
        return SNUG_OK;
    }
    if (value.type != SNUG_GGUF_ARRAY || value.count != c->layers)
        return fail_key(c, key, "true or false for each layer");
    snug_json_put_open(c->json, "layer_types", '[');
    for (uint64_t i = 0; i < c->layers; i++) {
        if (!snug_gguf_bool(&is_window, snug_gguf_element(value, i)))
            return fail_key(c, key, "true or false for each layer");
        snug_json_put_string(c->json, NULL,
                             snug_str_from(is_window ? "sliding_attention" : "full_attention"));
    }
    snug_json_put_close(c->json, ']');
    return SNUG_OK;
}

#define LAYERS_OF_GEMMA3_27B 62

/* The file does not say by what Gemma 3 scales queries: all sizes but one by the size of their heads. */
static snug_status put_gemma3(const config_context *c)
{
    uint64_t head = 0, hidden = 0, heads = 0;
    double scale, scalar;

    (void)snug_gguf_u64(&hidden, find(c, "embedding_length"));
    if (!layer_u64(&heads, c, find(c, "attention.head_count"), 0) || heads == 0)
        return fail_key(c, "attention.head_count", "a positive number");
    if (c->layers == LAYERS_OF_GEMMA3_27B || !snug_gguf_u64(&head, find(c, "attention.key_length")))
        head = hidden / heads;
    scalar = (double)head;
    if (snug_gguf_f64(&scale, find(c, "attention.scale")) && scale > 0.0)
        scalar = 1.0 / (scale * scale);
    snug_json_put_f64(c->json, "query_pre_attn_scalar", scalar);
    snug_json_put_bool(c->json, "norm_weights_include_one", true);
    return SNUG_OK;
}

/* Layers that cut nothing hold minus infinity. */
static snug_status put_sparsity(const config_context *c)
{
    const char *key = "activation_sparsity_scale";
    const snug_gguf_value value = find(c, key);
    double scale;

    if (!value.at)
        return SNUG_OK;
    if (value.type != SNUG_GGUF_ARRAY || value.count != c->layers)
        return fail_key(c, key, "a number for each layer");
    snug_json_put_open(c->json, key, '[');
    for (uint64_t i = 0; i < c->layers; i++) {
        if (!snug_gguf_f64(&scale, snug_gguf_element(value, i)) || isnan(scale))
            return fail_key(c, key, "a number for each layer");
        snug_json_put_f64(c->json, NULL, scale > 0.0 && isfinite(scale) ? scale : 0.0);
    }
    snug_json_put_close(c->json, ']');
    return SNUG_OK;
}

static snug_status put_gemma3n(const config_context *c)
{
    const snug_tensor *laurel = find_tensor(c, "blk.0.laurel_l.weight");
    const snug_tensor *inputs = find_tensor(c, "per_layer_token_embd.weight");

    SNUG_TRY(put_rules(c, gemma3n_rules, SNUG_COUNT(gemma3n_rules)));
    if (laurel && laurel->rank == 2)
        snug_json_put_u64(c->json, "laurel_rank", laurel->shape[0]);
    if (inputs && inputs->rank == 2)
        snug_json_put_u64(c->json, "vocab_size_per_layer_input", inputs->shape[0]);
    return put_sparsity(c);
}

/* Its own configuration has factors of the width, rounded; these give the widths back as they are. */
static snug_status put_openelm(const config_context *c)
{
    const snug_gguf_value widths = find(c, "feed_forward_length");
    uint64_t hidden = 0, width;

    SNUG_TRY(put_rules(c, openelm_rules, SNUG_COUNT(openelm_rules)));
    if (!snug_gguf_u64(&hidden, find(c, "embedding_length")) || hidden == 0)
        return fail_key(c, "embedding_length", "a positive number");
    snug_json_put_u64(c->json, "ffn_dim_divisor", 1);
    snug_json_put_open(c->json, "ffn_multipliers", '[');
    for (uint64_t i = 0; i < c->layers; i++) {
        if (!layer_u64(&width, c, widths, i))
            return fail_key(c, "feed_forward_length", "a whole number for each layer");
        snug_json_put_f64(c->json, NULL, (double)width / (double)hidden);
    }
    snug_json_put_close(c->json, ']');
    snug_json_put_string(c->json, "activation_fn_name", snug_str_from("swish"));
    snug_json_put_string(c->json, "normalization_layer_name", snug_str_from("rms_norm"));
    snug_json_put_bool(c->json, "ffn_with_glu", true);
    snug_json_put_bool(c->json, "normalize_qk_projections", true);
    return SNUG_OK;
}

static snug_status put_decoder(const config_context *c)
{
    SNUG_TRY(put_rules(c, common_rules, SNUG_COUNT(common_rules)));
    SNUG_TRY(put_window_pattern(c));
    if (is_architecture(c, "gemma3n"))
        return put_gemma3n(c);
    SNUG_TRY(put_rules(c, mlp_rules, SNUG_COUNT(mlp_rules)));
    return is_architecture(c, "gemma3") ? put_gemma3(c) : SNUG_OK;
}

/* --- all of it ----------------------------------------------------------------------------------------- */

/* Tokens beyond the embedding would read past it. */
static snug_status put_vocabulary(const config_context *c)
{
    const snug_tensor *embedding = find_tensor(c, "token_embd.weight");
    const snug_gguf_value tokens = snug_gguf_find(c->view, "tokenizer.ggml.tokens");
    const bool is_openelm = is_architecture(c, "openelm");

    if (!embedding || embedding->rank != 2)
        SNUG_FAIL(c->error, SNUG_ERR_CORRUPT, "tensor 'token_embd.weight' is missing or no matrix");
    if (tokens.type == SNUG_GGUF_ARRAY && tokens.count > embedding->shape[0])
        SNUG_FAIL(c->error, SNUG_ERR_CORRUPT, "%llu tokens, but token_embd.weight has only %llu rows",
                  (unsigned long long)tokens.count, (unsigned long long)embedding->shape[0]);
    snug_json_put_u64(c->json, "vocab_size", embedding->shape[0]);
    snug_json_put_bool(c->json, is_openelm ? "share_input_output_layers" : "tie_word_embeddings",
                       !find_tensor(c, "output.weight"));
    snug_json_put_bool(c->json, "attention_bias", find_tensor(c, "blk.0.attn_q.bias") != NULL);
    return SNUG_OK;
}

static snug_status check_values(const config_context *c)
{
    uint64_t key, value;

    if (!snug_gguf_u64(&key, find(c, "attention.key_length")) ||
        !snug_gguf_u64(&value, find(c, "attention.value_length")) || key == value)
        return SNUG_OK;
    SNUG_FAIL(c->error, SNUG_ERR_UNSUPPORTED,
              "keys of %llu values and values of %llu; this build keeps them alike", (unsigned long long)key,
              (unsigned long long)value);
}

/* model_type of an architecture, where it is called otherwise. */
static snug_str model_type_of(snug_str architecture)
{
    if (snug_str_is(architecture, "gemma3"))
        return snug_str_from("gemma3_text");
    if (snug_str_is(architecture, "gemma3n"))
        return snug_str_from("gemma3n_text");
    return architecture;
}

static bool is_known(const config_context *c)
{
    static const char *const known[] = {
        "llama", "qwen3", "phi3", "smollm3", "gemma3", "gemma3n", "openelm"
    };

    for (size_t i = 0; i < SNUG_COUNT(known); i++)
        if (is_architecture(c, known[i]))
            return true;
    return false;
}

static snug_status put_model(config_context *c)
{
    if (!snug_gguf_u64(&c->layers, find(c, "block_count")) || c->layers == 0)
        return fail_key(c, "block_count", "a positive number");
    if (c->layers > c->tensor_count)
        SNUG_FAIL(c->error, SNUG_ERR_CORRUPT, "block_count is %llu, but the file holds only %zu tensors",
                  (unsigned long long)c->layers, c->tensor_count);
    SNUG_TRY(put_vocabulary(c));
    SNUG_TRY(check_values(c));
    SNUG_TRY(is_architecture(c, "openelm") ? put_openelm(c) : put_decoder(c));
    return put_rotation(c);
}

/* A file without tensors is a vocabulary; of a family that nobody knows, the name is all that is needed. */
static snug_status put_config(config_context *c)
{
    snug_json_put_open(c->json, NULL, '{');
    snug_json_put_string(c->json, "model_type", model_type_of(c->architecture));
    if (c->tensor_count > 0 && is_known(c))
        SNUG_TRY(put_model(c));
    snug_json_put_close(c->json, '}');
    return SNUG_OK;
}

snug_str snug_gguf_architecture(const snug_gguf *view)
{
    snug_str architecture = { "", 0 };

    (void)snug_gguf_string(&architecture, snug_gguf_find(view, "general.architecture"));
    return architecture;
}

snug_status snug_gguf_write_config(snug_gguf_texts *texts_out, char *out, size_t *bytes_out,
                                   const snug_gguf *view, const snug_tensor *tensors, size_t tensor_count,
                                   snug_error *error)
{
    json_writer json = { .out = out };
    config_context context = { &json, view, tensors, tensor_count, snug_gguf_architecture(view), 0, error };
    size_t begin;

    *texts_out = (snug_gguf_texts){ .config = { NULL, 0 } };
    if (context.architecture.bytes == 0 || context.architecture.bytes > 64)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "general.architecture is missing, expected the name of a model family");
    SNUG_TRY(snug_gguf_read_vocabulary(&texts_out->vocabulary, view, error));
    SNUG_TRY(put_config(&context));
    texts_out->config = (snug_str){ out, json.bytes };
    begin = json.bytes;
    json.needs_comma = false;
    snug_gguf_put_generation_config(&json, view, &texts_out->vocabulary);
    texts_out->generation_config = (snug_str){ out ? out + begin : NULL, json.bytes - begin };
    begin = json.bytes;
    json.needs_comma = false;
    snug_gguf_put_tokenizer_config(&json, &texts_out->vocabulary);
    texts_out->tokenizer_config = (snug_str){ out ? out + begin : NULL, json.bytes - begin };
    (void)snug_gguf_string(&texts_out->chat_template, snug_gguf_find(view, "tokenizer.chat_template"));
    *bytes_out = json.bytes;
    return SNUG_OK;
}
