/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stored.c - the vocabulary of a GGUF file made a tokenizer, and the tokenizer.json that a stored tokenizer
 * amounts to.
 *
 * What a name of rules stands for is one row of a table. A name that is not in it is refused, and so is a
 * file without one: splitting words by the wrong rules gives ids that are nearly right, for ever after.
 */
#include "text/stored.h"

#include <math.h>
#include <stdio.h>

#include "base/size.h"
#include "base/status.h"
#include "base/utf8.h"
#include "text/tables.h"

#define MARK "\xe2\x96\x81" /* U+2581, SentencePiece's space */

/* --- rules by name ------------------------------------------------------------------------------------- */

struct snug_stored_rules {
    const char *name; /* tokenizer.ggml.pre */
    const char *normalizer;
    const char *pre_tokenizer;
    bool is_ignoring_merges;
    bool is_adding_bos; /* unless the file says otherwise */
};

#define WORDS   "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|"
#define SYMBOLS "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define SEQUENCE(step, use_regex)                                                                            \
    "{\"type\":\"Sequence\",\"pretokenizers\":[" step                                                        \
    ",{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":" use_regex "}]}"
#define SPLIT(numbers)                                                                                       \
    SEQUENCE("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" WORDS numbers SYMBOLS                           \
             "\"},\"behavior\":\"Isolated\",\"invert\":false}",                                              \
             "false")

#define LLAMA_3 SPLIT("\\\\p{N}{1,3}")
#define QWEN_2  SPLIT("\\\\p{N}")
#define SMOLLM  SEQUENCE("{\"type\":\"Digits\",\"individual_digits\":true}", "true")
#define GPT_2   "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}"
#define NFC     "{\"type\":\"NFC\"}"

static const snug_stored_rules rules[] = {
    { "llama-bpe", "null", LLAMA_3, true, true }, { "llama3", "null", LLAMA_3, true, true },
    { "llama-v3", "null", LLAMA_3, true, true },  { "smaug-bpe", "null", LLAMA_3, false, false },
    { "qwen2", NFC, QWEN_2, false, false },       { "deepseek-r1-qwen", NFC, QWEN_2, false, false },
    { "smollm", "null", SMOLLM, false, false },   { "gpt-2", "null", GPT_2, false, false },
};

/* Files of before May 2024 have no name, and "default" is what converters wrote who knew none. Only for
 * GPT-2 itself is that enough. */
static snug_status find_rules(const snug_stored_rules **rules_out, const snug_stored_vocabulary *v,
                              snug_error *error)
{
    const bool is_missing = v->pre.bytes == 0 || snug_str_is(v->pre, "default");
    const snug_str name =
        is_missing && snug_str_is(v->architecture, "gpt2") ? snug_str_from("gpt-2") : v->pre;

    for (size_t i = 0; i < SNUG_COUNT(rules); i++) {
        if (snug_str_is(name, rules[i].name)) {
            *rules_out = &rules[i];
            return SNUG_OK;
        }
    }
    if (is_missing)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                  "tokenizer.ggml.pre is %s: how this model splits words is not said; a file made by a "
                  "newer converter says it",
                  v->pre.bytes == 0 ? "missing" : "\"default\"");
    SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "tokenizer.ggml.pre is \"%.*s\": rules of that name are not known",
              (int)snug_min_size(v->pre.bytes, 60), v->pre.data);
}

/* --- a GGUF file's vocabulary -------------------------------------------------------------------------- */

static bool flag_or(snug_stored_flag flag, bool otherwise)
{
    return flag == SNUG_STORED_DEFAULT ? otherwise : flag == SNUG_STORED_YES;
}

/* An id that no token has is none; where the file is silent, `otherwise`. */
static uint32_t id_or(uint32_t id, uint32_t otherwise, uint32_t count)
{
    if (id == SNUG_STORED_ID_NONE)
        id = otherwise;
    return id < count ? id : SNUG_STORED_ID_NONE;
}

/* SentencePiece's ids where the file says nothing are those of its trainer. */
static snug_status by_scores(snug_stored_tokenizer *t, const snug_stored_vocabulary *v, snug_error *error)
{
    if (!v->scores)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "tokenizer.ggml.scores is missing: without them nothing says what merges first");
    t->is_by_scores = true;
    t->is_byte_fallback = true;
    t->bos_id = id_or(v->bos_id, 1, t->token_count);
    t->eos_id = id_or(v->eos_id, 2, t->token_count);
    t->unknown_id = id_or(v->unknown_id, 0, t->token_count);
    t->is_adding_bos = flag_or(v->add_bos, true);
    t->is_prefixing = flag_or(v->add_space_prefix, true);
    t->is_squeezing = flag_or(v->remove_extra_whitespaces, false);
    t->is_swallowing = snug_str_is(v->architecture, "phi3");
    return SNUG_OK;
}

static snug_status by_merges(snug_stored_tokenizer *t, const snug_stored_vocabulary *v, snug_error *error)
{
    if (v->merges.count == 0)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "tokenizer.ggml.merges is missing");
    SNUG_TRY(find_rules(&t->rules, v, error));
    t->merges = v->merges;
    t->bos_id = id_or(v->bos_id, SNUG_STORED_ID_NONE, t->token_count);
    t->eos_id = id_or(v->eos_id, SNUG_STORED_ID_NONE, t->token_count);
    t->unknown_id = id_or(v->unknown_id, SNUG_STORED_ID_NONE, t->token_count);
    t->is_adding_bos = flag_or(v->add_bos, t->rules->is_adding_bos);
    return SNUG_OK;
}

snug_status snug_stored_from_gguf(snug_stored_tokenizer *tokenizer_out,
                                  const snug_stored_vocabulary *vocabulary, snug_error *error)
{
    const snug_str model = vocabulary->model;
    snug_stored_tokenizer tokenizer = { .gguf = vocabulary };

    if (vocabulary->tokens.count == 0 || vocabulary->tokens.count > UINT32_MAX / 2)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "tokenizer.ggml.tokens has %llu entries",
                  (unsigned long long)vocabulary->tokens.count);
    tokenizer.token_count = (uint32_t)vocabulary->tokens.count;
    tokenizer.is_adding_eos = vocabulary->add_eos == SNUG_STORED_YES;
    if (snug_str_is(model, "llama"))
        SNUG_TRY(by_scores(&tokenizer, vocabulary, error));
    else if (snug_str_is(model, "gpt2"))
        SNUG_TRY(by_merges(&tokenizer, vocabulary, error));
    else
        SNUG_FAIL(
            error, SNUG_ERR_UNSUPPORTED,
            "tokenizer.ggml.model is \"%.*s\": only \"llama\" (SentencePiece) and \"gpt2\" (byte-level) "
            "are known",
            (int)snug_min_size(model.bytes, 60), model.data);
    *tokenizer_out = tokenizer;
    return SNUG_OK;
}

/* --- tokens one after the other ------------------------------------------------------------------------ */

snug_stored_cursor snug_stored_iterate(const snug_stored_tokenizer *tokenizer)
{
    snug_stored_cursor cursor = { .tokenizer = tokenizer, .rest = tokenizer->model };

    if (tokenizer->gguf)
        cursor.tokens = tokenizer->gguf->tokens;
    return cursor;
}

static void next_of_gguf(snug_stored_cursor *cursor, snug_stored_token *token)
{
    const snug_stored_vocabulary *v = cursor->tokenizer->gguf;
    int32_t type = SNUG_STORED_TOKEN_NORMAL;

    *token = (snug_stored_token){ .text = snug_stored_strings_next(&cursor->tokens) };
    if (v->types)
        memcpy(&type, v->types + (size_t)cursor->id * sizeof type, sizeof type);
    if (v->scores)
        memcpy(&token->score, v->scores + (size_t)cursor->id * sizeof token->score, sizeof token->score);
    token->type = type >= SNUG_STORED_TOKEN_NORMAL && type <= SNUG_STORED_TOKEN_BYTE
                      ? (snug_stored_token_type)type
                      : SNUG_STORED_TOKEN_NORMAL;
}

bool snug_stored_next(snug_stored_cursor *cursor, snug_stored_token *token_out)
{
    if (cursor->id == cursor->tokenizer->token_count)
        return false;
    if (cursor->tokenizer->gguf)
        next_of_gguf(cursor, token_out);
    else if (!snug_sentencepiece_next(&cursor->rest, token_out))
        return false;
    token_out->id = cursor->id++;
    /* Old converters filled rows without a token with tokens of the unknown kind. */
    if (token_out->type == SNUG_STORED_TOKEN_UNKNOWN && token_out->id != cursor->tokenizer->unknown_id)
        token_out->type = SNUG_STORED_TOKEN_UNUSED;
    return true;
}

/* --- tokenizer.json: small parts ----------------------------------------------------------------------- */

static snug_status put(snug_buffer *json, const char *text, snug_error *error)
{
    return snug_buffer_append(json, snug_str_from(text), error);
}

static snug_status put_number(snug_buffer *json, uint32_t number, snug_error *error)
{
    char digits[16];

    snprintf(digits, sizeof digits, "%u", (unsigned)number);
    return put(json, digits, error);
}

static snug_status put_flag(snug_buffer *json, const char *name, bool is_set, snug_error *error)
{
    SNUG_TRY(put(json, ",\"", error));
    SNUG_TRY(put(json, name, error));
    return put(json, is_set ? "\":true" : "\":false", error);
}

/* What SentencePiece does to a text before it looks at it. */
static snug_status put_normalizer(snug_buffer *json, const snug_stored_tokenizer *t, snug_error *error)
{
    SNUG_TRY(put(json, "],\"normalizer\":", error));
    if (!t->is_by_scores)
        return put(json, t->rules->normalizer, error);
    SNUG_TRY(put(json, "{\"type\":\"Sequence\",\"normalizers\":[", error));
    if (t->is_squeezing) {
        SNUG_TRY(
            put(json, "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"^ +| +$\"},\"content\":\"\"},", error));
        SNUG_TRY(
            put(json, "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"  +\"},\"content\":\" \"},", error));
    }
    if (t->is_prefixing)
        SNUG_TRY(put(json, "{\"type\":\"Prepend\",\"prepend\":\"" MARK "\"},", error));
    return put(json, "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" MARK "\"}]}",
               error);
}

static snug_status put_around(snug_buffer *json, uint32_t id, const char *name, snug_error *error)
{
    SNUG_TRY(put(json, "\"", error));
    SNUG_TRY(put(json, name, error));
    SNUG_TRY(put(json, "\":{\"ids\":[", error));
    SNUG_TRY(put_number(json, id, error));
    return put(json, "]}", error);
}

static snug_status put_processor(snug_buffer *json, uint32_t bos_id, uint32_t eos_id, snug_error *error)
{
    const bool has_bos = bos_id != SNUG_STORED_ID_NONE;
    const bool has_eos = eos_id != SNUG_STORED_ID_NONE;

    SNUG_TRY(put(json, ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[", error));
    if (has_bos)
        SNUG_TRY(put(json, "{\"SpecialToken\":{\"id\":\"bos\"}},", error));
    SNUG_TRY(put(json, "{\"Sequence\":{\"id\":\"A\"}}", error));
    if (has_eos)
        SNUG_TRY(put(json, ",{\"SpecialToken\":{\"id\":\"eos\"}}", error));
    SNUG_TRY(put(json, "],\"special_tokens\":{", error));
    if (has_bos)
        SNUG_TRY(put_around(json, bos_id, "bos", error));
    if (has_bos && has_eos)
        SNUG_TRY(put(json, ",", error));
    if (has_eos)
        SNUG_TRY(put_around(json, eos_id, "eos", error));
    return put(json, "}}", error);
}

static snug_status put_decoder(snug_buffer *json, const snug_stored_tokenizer *t, snug_error *error)
{
    if (!t->is_by_scores)
        return put(json, ",\"decoder\":{\"type\":\"ByteLevel\"}", error);
    SNUG_TRY(put(json,
                 ",\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":"
                 "{\"String\":\"" MARK "\"},\"content\":\" \"},",
                 error));
    if (t->is_byte_fallback)
        SNUG_TRY(put(json, "{\"type\":\"ByteFallback\"},", error));
    SNUG_TRY(put(json, "{\"type\":\"Fuse\"}", error));
    if (t->is_prefixing)
        SNUG_TRY(put(json, ",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}", error));
    return put(json, "]}", error);
}

static snug_status put_model(snug_buffer *json, const snug_stored_tokenizer *t, snug_error *error)
{
    SNUG_TRY(put(json, ",\"model\":{\"type\":\"BPE\"", error));
    SNUG_TRY(put_flag(json, "byte_fallback", t->is_byte_fallback, error));
    SNUG_TRY(put_flag(json, "fuse_unk", t->is_by_scores, error));
    SNUG_TRY(put_flag(json, "ignore_merges", t->rules && t->rules->is_ignoring_merges, error));
    return put(json, "}", error);
}

/* --- tokenizer.json: added tokens ---------------------------------------------------------------------- */

/* In `kinds`: tokenizer_config.json describes the token. */
#define DESCRIBED 0x80u

/* The kind of each token; all texts and scores are checked on the way. */
static snug_status read_kinds(unsigned char *kinds, const snug_stored_tokenizer *t, snug_error *error)
{
    snug_stored_cursor cursor = snug_stored_iterate(t);
    snug_stored_token token;

    while (snug_stored_next(&cursor, &token)) {
        kinds[token.id] = (unsigned char)token.type;
        if (snug_utf8_valid_bytes(token.text.data, token.text.bytes) < token.text.bytes)
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, "token %u is not UTF-8", (unsigned)token.id);
        if (t->is_by_scores && isnan(token.score))
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the score of token %u is not a number", (unsigned)token.id);
    }
    return SNUG_OK;
}

typedef struct added_flags {
    bool is_special;
    bool is_lstrip;
    bool is_rstrip;
    bool is_single_word;
    bool is_normalized;
} added_flags;

/* One element of added_tokens, with a comma behind it. */
static snug_status put_added(snug_buffer *json, uint32_t id, snug_str content, added_flags flags,
                             snug_error *error)
{
    SNUG_TRY(put(json, "{\"id\":", error));
    SNUG_TRY(put_number(json, id, error));
    SNUG_TRY(put(json, ",\"content\":", error));
    SNUG_TRY(snug_buffer_append_json(json, content, error));
    SNUG_TRY(put_flag(json, "special", flags.is_special, error));
    SNUG_TRY(put_flag(json, "lstrip", flags.is_lstrip, error));
    SNUG_TRY(put_flag(json, "rstrip", flags.is_rstrip, error));
    SNUG_TRY(put_flag(json, "single_word", flags.is_single_word, error));
    SNUG_TRY(put_flag(json, "normalized", flags.is_normalized, error));
    return put(json, "},", error);
}

/* `text` with every `from` made a `to`; `out` has room for three times its bytes. Returns the length. */
static size_t replace(char *out, snug_str text, snug_str from, snug_str to)
{
    size_t bytes = 0;

    for (size_t at = 0; at < text.bytes;) {
        const bool is_here =
            text.bytes - at >= from.bytes && memcmp(text.data + at, from.data, from.bytes) == 0;
        const snug_str part = is_here ? to : (snug_str){ text.data + at, 1 };

        memcpy(out + bytes, part.data, part.bytes);
        bytes += part.bytes;
        at += is_here ? from.bytes : 1;
    }
    return bytes;
}

static bool is_all_spaces(snug_str text)
{
    for (size_t i = 0; i < text.bytes; i++)
        if (text.data[i] != ' ')
            return false;
    return true;
}

/*
 * A piece that users defined is found in the text as it stands, before spaces become U+2581; in it a space
 * may be either (tokenizer.model has U+2581, GGUF's converter makes them spaces), so both spellings are
 * matched. Not so a run of nothing but spaces: such runs merge first of all when the spaces have become
 * U+2581, next to ones that were there before; that is how the tokenizers library finds them.
 */
static snug_status put_defined(snug_buffer *json, snug_buffer *scratch, uint32_t id, snug_str content,
                               added_flags flags, snug_error *error)
{
    const snug_str mark = { MARK, 3 };
    const snug_str space = { " ", 1 };
    snug_str spelling;
    size_t bytes;

    SNUG_TRY(snug_buffer_restart(scratch, 3 * content.bytes + 1, error));
    bytes = replace(scratch->data, content, mark, space);
    spelling = (snug_str){ scratch->data, bytes };
    if (!is_all_spaces(spelling))
        SNUG_TRY(put_added(json, id, spelling, flags, error));
    spelling.bytes = replace(scratch->data, content, space, mark);
    if (spelling.bytes == bytes) /* neither is in it */
        return SNUG_OK;
    return put_added(json, id, spelling, flags, error);
}

/* An entry of added_tokens_decoder, "32007": {"content": "<|end|>", ...}. */
static snug_status put_described(snug_buffer *json, snug_buffer scratch[2], uint32_t id, bool is_defined,
                                 snug_json value, snug_error *error)
{
    const bool is_special = snug_json_flag(value, "special", false);
    const added_flags flags = { .is_special = is_special,
                                .is_lstrip = snug_json_flag(value, "lstrip", false),
                                .is_rstrip = snug_json_flag(value, "rstrip", false),
                                .is_single_word = snug_json_flag(value, "single_word", false),
                                .is_normalized = snug_json_flag(value, "normalized", !is_special) };
    const snug_json content = snug_json_get(value, "content");
    const snug_str raw = snug_json_string(content);

    if (snug_json_kind_of(content) != SNUG_JSON_STRING)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "added_tokens_decoder says no content for the id %u",
                  (unsigned)id);
    SNUG_TRY(snug_buffer_restart(&scratch[0], raw.bytes, error));
    scratch[0].bytes = snug_json_unescape(scratch[0].data, raw);
    return is_defined ? put_defined(json, &scratch[1], id, snug_buffer_str(&scratch[0]), flags, error)
                      : put_added(json, id, snug_buffer_str(&scratch[0]), flags, error);
}

/* The number that a key stands for; false for anything else. */
static bool read_key(uint32_t *id_out, snug_str key)
{
    uint64_t id = 0;

    for (size_t i = 0; i < key.bytes; i++) {
        if (key.data[i] < '0' || key.data[i] > '9' || id > UINT32_MAX)
            return false;
        id = id * 10 + (unsigned)(key.data[i] - '0');
    }
    *id_out = (uint32_t)id;
    return key.bytes > 0 && id < SNUG_STORED_ID_NONE;
}

static snug_status put_all_described(snug_buffer *json, unsigned char *kinds, snug_buffer scratch[2],
                                     const snug_stored_tokenizer *t, snug_json config, snug_error *error)
{
    snug_json_iterator iterator = snug_json_iterate(snug_json_get(config, "added_tokens_decoder"));
    snug_str key;
    snug_json value;

    while (snug_json_next(&iterator, &key, &value)) {
        bool is_defined = false;
        uint32_t id;

        if (!read_key(&id, key))
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, "added_tokens_decoder should have ids, but has \"%.*s\"",
                      (int)snug_min_size(key.bytes, 40), key.data);
        if (id < t->token_count) {
            is_defined = (kinds[id] & ~DESCRIBED) == SNUG_STORED_TOKEN_USER_DEFINED && t->is_by_scores;
            kinds[id] |= DESCRIBED;
        }
        SNUG_TRY(put_described(json, scratch, id, is_defined, value, error));
    }
    return SNUG_OK;
}

/* Phi-3's tokens take the white space behind them, and a GGUF file cannot say so. */
static bool is_swallowing(const snug_stored_tokenizer *t, snug_str content)
{
    return t->is_swallowing && !snug_str_is(content, "<unk>") && !snug_str_is(content, "<s>") &&
           !snug_str_is(content, "<|endoftext|>");
}

static snug_status put_all_stored(snug_buffer *json, const unsigned char *kinds, snug_buffer *scratch,
                                  const snug_stored_tokenizer *t, snug_error *error)
{
    snug_stored_cursor cursor = snug_stored_iterate(t);
    snug_stored_token token;

    while (snug_stored_next(&cursor, &token)) {
        const bool is_defined = kinds[token.id] == SNUG_STORED_TOKEN_USER_DEFINED;
        const added_flags flags = { .is_special = !is_defined, .is_rstrip = is_swallowing(t, token.text) };

        if (token.text.bytes == 0 || (!is_defined && kinds[token.id] != SNUG_STORED_TOKEN_CONTROL &&
                                      kinds[token.id] != SNUG_STORED_TOKEN_UNKNOWN))
            continue;
        if (is_defined && t->is_by_scores)
            SNUG_TRY(put_defined(json, scratch, token.id, token.text, flags, error));
        else
            SNUG_TRY(put_added(json, token.id, token.text, flags, error));
    }
    return SNUG_OK;
}

static snug_status put_added_tokens(snug_buffer *json, unsigned char *kinds, const snug_stored_tokenizer *t,
                                    snug_json config, snug_error *error)
{
    snug_buffer scratch[2] = { { .memory = json->memory }, { .memory = json->memory } };
    snug_status status = put(json, "{\"added_tokens\":[", error);

    if (status == SNUG_OK)
        status = put_all_described(json, kinds, scratch, t, config, error);
    if (status == SNUG_OK)
        status = put_all_stored(json, kinds, &scratch[0], t, error);
    if (status == SNUG_OK && json->data[json->bytes - 1] == ',')
        json->bytes--;
    snug_buffer_deinit(&scratch[0]);
    snug_buffer_deinit(&scratch[1]);
    return status;
}

/* --- tokenizer.json ------------------------------------------------------------------------------------ */

static snug_status put_all(snug_buffer *json, unsigned char *kinds, const snug_stored_tokenizer *t,
                           snug_json config, snug_error *error)
{
    const bool is_adding_bos = snug_json_flag(config, "add_bos_token", t->is_adding_bos);
    const bool is_adding_eos = snug_json_flag(config, "add_eos_token", t->is_adding_eos);

    SNUG_TRY(read_kinds(kinds, t, error));
    SNUG_TRY(put_added_tokens(json, kinds, t, config, error));
    SNUG_TRY(put_normalizer(json, t, error));
    SNUG_TRY(put(json, ",\"pre_tokenizer\":", error));
    SNUG_TRY(put(json, t->rules ? t->rules->pre_tokenizer : "null", error));
    SNUG_TRY(put_processor(json, is_adding_bos ? t->bos_id : SNUG_STORED_ID_NONE,
                           is_adding_eos ? t->eos_id : SNUG_STORED_ID_NONE, error));
    SNUG_TRY(put_decoder(json, t, error));
    SNUG_TRY(put_model(json, t, error));
    return put(json, "}", error);
}

snug_status snug_stored_describe(snug_buffer *json, const snug_stored_tokenizer *tokenizer, snug_json config,
                                 snug_error *error)
{
    snug_buffer kinds = { .memory = json->memory };
    snug_status status = snug_buffer_restart(&kinds, tokenizer->token_count, error);

    if (status == SNUG_OK)
        status = put_all(json, (unsigned char *)kinds.data, tokenizer, config, error);
    snug_buffer_deinit(&kinds);
    return status;
}
