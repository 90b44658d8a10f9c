/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gguf_texts.c - the tokenizer's keys of a GGUF file.
 *
 * Files name one id that ends a text, where models have several. The others are found by their spelling among
 * the special tokens, as every reader of such files does.
 */
#include "format/gguf_texts.h"

#include <math.h>

#include "base/status.h"
#include "base/utf8.h"

#define KEY(name) "tokenizer.ggml." name

/* --- the stored vocabulary ----------------------------------------------------------------------------- */

static uint32_t read_id(const snug_gguf *view, const char *key)
{
    uint64_t id;

    return snug_gguf_u64(&id, snug_gguf_find(view, key)) && id < SNUG_STORED_ID_NONE ? (uint32_t)id
                                                                                     : SNUG_STORED_ID_NONE;
}

static snug_stored_flag read_flag(const snug_gguf *view, const char *key)
{
    bool is_set;

    if (!snug_gguf_bool(&is_set, snug_gguf_find(view, key)))
        return SNUG_STORED_DEFAULT;
    return is_set ? SNUG_STORED_YES : SNUG_STORED_NO;
}

static snug_status read_strings(snug_stored_strings *out, const snug_gguf *view, const char *key,
                                bool is_required, snug_error *error)
{
    const snug_gguf_value value = snug_gguf_find(view, key);

    *out = (snug_stored_strings){ NULL, 0 };
    if (!value.at && !is_required)
        return SNUG_OK;
    if (!value.at)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "%s is missing, expected a list of tokens", key);
    if (value.type != SNUG_GGUF_ARRAY || value.element_type != SNUG_GGUF_STRING)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "%s is no list of strings", key);
    *out = (snug_stored_strings){ value.at, value.count };
    return SNUG_OK;
}

/* One number for each token. */
static snug_status read_numbers(const unsigned char **out, const snug_gguf *view, const char *key,
                                snug_gguf_type type, uint64_t count, snug_error *error)
{
    const snug_gguf_value value = snug_gguf_find(view, key);
    const bool is_signed_alike = type == SNUG_GGUF_I32 && value.element_type == SNUG_GGUF_U32;

    *out = NULL;
    if (!value.at)
        return SNUG_OK;
    if (value.type != SNUG_GGUF_ARRAY || (value.element_type != type && !is_signed_alike) ||
        value.count != count)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "%s is no list of %llu %s, one for each token", key,
                  (unsigned long long)count, type == SNUG_GGUF_F32 ? "F32" : "I32");
    *out = value.at;
    return SNUG_OK;
}

snug_status snug_gguf_read_vocabulary(snug_stored_vocabulary *vocabulary_out, const snug_gguf *view,
                                      snug_error *error)
{
    snug_stored_vocabulary v = {
        .architecture = snug_gguf_architecture(view),
        .bos_id = read_id(view, KEY("bos_token_id")),
        .eos_id = read_id(view, KEY("eos_token_id")),
        .unknown_id = read_id(view, KEY("unknown_token_id")),
        .padding_id = read_id(view, KEY("padding_token_id")),
        .add_bos = read_flag(view, KEY("add_bos_token")),
        .add_eos = read_flag(view, KEY("add_eos_token")),
        .add_space_prefix = read_flag(view, KEY("add_space_prefix")),
        .remove_extra_whitespaces = read_flag(view, KEY("remove_extra_whitespaces")),
    };

    (void)snug_gguf_string(&v.model, snug_gguf_find(view, KEY("model")));
    (void)snug_gguf_string(&v.pre, snug_gguf_find(view, KEY("pre")));
    SNUG_TRY(read_strings(&v.tokens, view, KEY("tokens"), true, error));
    SNUG_TRY(read_strings(&v.merges, view, KEY("merges"), false, error));
    if (v.tokens.count == 0 || v.tokens.count > UINT32_MAX / 2)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "%s has %llu entries", KEY("tokens"),
                  (unsigned long long)v.tokens.count);
    SNUG_TRY(read_numbers(&v.scores, view, KEY("scores"), SNUG_GGUF_F32, v.tokens.count, error));
    SNUG_TRY(read_numbers(&v.types, view, KEY("token_type"), SNUG_GGUF_I32, v.tokens.count, error));
    *vocabulary_out = v;
    return SNUG_OK;
}

/* --- generation_config.json ---------------------------------------------------------------------------- */

static const char *const ends_of_answers[] = {
    "<|eot_id|>", "<|im_end|>",      "<|end|>", "<end_of_turn>", "<|endoftext|>",   "</s>",
    "<|eom_id|>", "<|end_of_text|>", "<eos>",   "<|endofturn|>", "<|end_of_turn|>",
};

static bool ends_answer(snug_str token)
{
    for (size_t i = 0; i < SNUG_COUNT(ends_of_answers); i++)
        if (snug_str_is(token, ends_of_answers[i]))
            return true;
    return false;
}

static snug_stored_token_type type_of(const snug_stored_vocabulary *vocabulary, uint32_t id)
{
    int32_t type;

    if (!vocabulary->types)
        return SNUG_STORED_TOKEN_CONTROL;
    memcpy(&type, vocabulary->types + (size_t)id * sizeof type, sizeof type);
    return type >= SNUG_STORED_TOKEN_NORMAL && type <= SNUG_STORED_TOKEN_BYTE ? (snug_stored_token_type)type
                                                                              : SNUG_STORED_TOKEN_NORMAL;
}

static void put_stop_ids(json_writer *json, const snug_gguf *view, const snug_stored_vocabulary *vocabulary)
{
    const uint32_t named[] = { vocabulary->eos_id, read_id(view, KEY("eot_token_id")),
                               read_id(view, KEY("eom_token_id")) };
    snug_stored_strings tokens = vocabulary->tokens;

    snug_json_put_open(json, "eos_token_id", '[');
    for (size_t i = 0; i < SNUG_COUNT(named); i++)
        if (named[i] != SNUG_STORED_ID_NONE)
            snug_json_put_u64(json, NULL, named[i]);
    for (uint32_t id = 0; tokens.count > 0; id++) {
        const snug_str token = snug_stored_strings_next(&tokens);
        const snug_stored_token_type type = type_of(vocabulary, id);

        if ((type == SNUG_STORED_TOKEN_CONTROL || type == SNUG_STORED_TOKEN_USER_DEFINED) &&
            ends_answer(token))
            snug_json_put_u64(json, NULL, id);
    }
    snug_json_put_close(json, ']');
}

void snug_gguf_put_generation_config(json_writer *json, const snug_gguf *view,
                                     const snug_stored_vocabulary *vocabulary)
{
    static const struct {
        const char *gguf;
        const char *hugging_face;
    } sampling[] = {
        { "general.sampling.temp", "temperature" },
        { "general.sampling.top_k", "top_k" },
        { "general.sampling.top_p", "top_p" },
        { "general.sampling.min_p", "min_p" },
    };
    double number;

    snug_json_put_open(json, NULL, '{');
    put_stop_ids(json, view, vocabulary);
    for (size_t i = 0; i < SNUG_COUNT(sampling); i++)
        if (snug_gguf_f64(&number, snug_gguf_find(view, sampling[i].gguf)) && isfinite(number))
            snug_json_put_f64(json, sampling[i].hugging_face, number);
    snug_json_put_close(json, '}');
}

/* --- tokenizer_config.json ----------------------------------------------------------------------------- */

void snug_gguf_put_tokenizer_config(json_writer *json, const snug_stored_vocabulary *vocabulary)
{
    const struct {
        const char *name;
        uint32_t id;
    } named[] = {
        { "bos_token", vocabulary->bos_id },
        { "eos_token", vocabulary->eos_id },
        { "unk_token", vocabulary->unknown_id },
        { "pad_token", vocabulary->padding_id },
    };
    snug_stored_strings tokens = vocabulary->tokens;

    snug_json_put_open(json, NULL, '{');
    for (uint32_t id = 0; tokens.count > 0; id++) {
        const snug_str token = snug_stored_strings_next(&tokens);

        for (size_t i = 0; i < SNUG_COUNT(named); i++)
            if (id == named[i].id && snug_utf8_valid_bytes(token.data, token.bytes) == token.bytes)
                snug_json_put_string(json, named[i].name, token);
    }
    snug_json_put_close(json, '}');
}
