/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sentencepiece.c - reads tokenizer.model: SentencePiece's ModelProto, a protocol buffer.
 * (https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto)
 *
 * A message is a run of fields: a varint of number << 3 | wire type, then the value. Everything is checked
 * once, by snug_stored_from_sentencepiece(); after that snug_sentencepiece_next() cannot fail. Fields that
 * are not known are passed over, as the format asks; those that would change the ids are refused.
 */
#include "base/size.h"
#include "base/status.h"
#include "text/stored.h"

/* --- the wire format ----------------------------------------------------------------------------------- */

typedef enum wire_type {
    WIRE_VARINT = 0,
    WIRE_64 = 1,
    WIRE_BYTES = 2,
    WIRE_32 = 5,
} wire_type;

typedef struct field {
    uint64_t number;
    wire_type wire;
    uint64_t value; /* of the numbers */
    snug_str bytes; /* of WIRE_BYTES */
} field;

/* False when it runs past the end or has more than 64 bits. */
static bool take_varint(uint64_t *value_out, snug_str *rest)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64 && rest->bytes > 0; shift += 7) {
        const unsigned byte = (unsigned char)rest->data[0];

        if (shift == 63 && byte > 1)
            return false;
        rest->data++;
        rest->bytes--;
        value |= (uint64_t)(byte & 0x7fu) << shift;
        if (byte < 0x80) {
            *value_out = value;
            return true;
        }
    }
    return false;
}

static bool take_fixed(uint64_t *value_out, snug_str *rest, size_t bytes)
{
    *value_out = 0;
    if (rest->bytes < bytes)
        return false;
    for (size_t i = bytes; i-- > 0;)
        *value_out = *value_out << 8 | (unsigned char)rest->data[i];
    rest->data += bytes;
    rest->bytes -= bytes;
    return true;
}

/* False when the field is cut, or is of a wire type that does not exist (any longer). */
static bool take_field(field *field_out, snug_str *rest)
{
    uint64_t key;

    *field_out = (field){ 0 };
    if (!take_varint(&key, rest) || key >> 3 == 0)
        return false;
    field_out->number = key >> 3;
    field_out->wire = (wire_type)(key & 7);
    switch (field_out->wire) {
    case WIRE_VARINT:
        return take_varint(&field_out->value, rest);
    case WIRE_64:
        return take_fixed(&field_out->value, rest, 8);
    case WIRE_32:
        return take_fixed(&field_out->value, rest, 4);
    case WIRE_BYTES:
        if (!take_varint(&field_out->value, rest) || field_out->value > rest->bytes)
            return false;
        field_out->bytes = (snug_str){ rest->data, (size_t)field_out->value };
        rest->data += field_out->bytes.bytes;
        rest->bytes -= field_out->bytes.bytes;
        return true;
    }
    return false;
}

/* --- pieces -------------------------------------------------------------------------------------------- */

#define MODEL_PIECE      1
#define MODEL_TRAINER    2
#define MODEL_NORMALIZER 3

static float score_of(uint64_t bits)
{
    const uint32_t word = (uint32_t)bits;
    float score;

    memcpy(&score, &word, sizeof score);
    return score;
}

/* One SentencePiece message; false when it is damaged. */
static bool read_piece(snug_stored_token *token, snug_str rest)
{
    field f;

    *token = (snug_stored_token){ .type = SNUG_STORED_TOKEN_NORMAL };
    while (rest.bytes > 0) {
        if (!take_field(&f, &rest))
            return false;
        if (f.number > 3)
            continue;
        if (f.wire != (f.number == 1 ? WIRE_BYTES : f.number == 2 ? WIRE_32 : WIRE_VARINT))
            return false;
        if (f.number == 1)
            token->text = f.bytes;
        else if (f.number == 2)
            token->score = score_of(f.value);
        else if (f.value < SNUG_STORED_TOKEN_NORMAL || f.value > SNUG_STORED_TOKEN_BYTE)
            return false;
        else
            token->type = (snug_stored_token_type)f.value;
    }
    return true;
}

bool snug_sentencepiece_next(snug_str *rest, snug_stored_token *token_out)
{
    field f;

    while (rest->bytes > 0 && take_field(&f, rest)) {
        if (f.number == MODEL_PIECE)
            return read_piece(token_out, f.bytes);
    }
    return false;
}

/* --- settings ------------------------------------------------------------------------------------------ */

/* What matters of TrainerSpec and NormalizerSpec, with the defaults of the format. */
typedef struct settings {
    uint64_t model_type; /* 1 UNIGRAM */
    uint64_t suffix;     /* treat_whitespace_as_suffix */
    uint64_t byte_fallback;
    uint64_t bos_id; /* negative numbers are huge here */
    uint64_t eos_id;
    uint64_t dummy_prefix;
    uint64_t squeeze; /* remove_extra_whitespaces */
    uint64_t escape;  /* escape_whitespaces */
    snug_str charsmap;
    snug_str normalizer; /* its name */
} settings;

/* One number of a message. */
typedef struct number_row {
    uint64_t number;
    uint64_t *value;
} number_row;

static snug_status read_numbers(snug_str rest, const char *what, const number_row *rows, size_t count,
                                snug_error *error)
{
    field f;

    while (rest.bytes > 0) {
        if (!take_field(&f, &rest))
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, "%s is damaged", what);
        for (size_t i = 0; i < count; i++) {
            if (rows[i].number != f.number)
                continue;
            if (f.wire != WIRE_VARINT)
                SNUG_FAIL(error, SNUG_ERR_CORRUPT, "field %llu of %s should be a number",
                          (unsigned long long)f.number, what);
            *rows[i].value = f.value;
        }
    }
    return SNUG_OK;
}

static snug_status read_trainer(settings *s, snug_str message, snug_error *error)
{
    const number_row rows[] = {
        { 3, &s->model_type }, { 24, &s->suffix }, { 35, &s->byte_fallback },
        { 41, &s->bos_id },    { 42, &s->eos_id },
    };

    return read_numbers(message, "the trainer's settings", rows, SNUG_COUNT(rows), error);
}

static snug_status read_normalizer(settings *s, snug_str message, snug_error *error)
{
    const number_row rows[] = { { 3, &s->dummy_prefix }, { 4, &s->squeeze }, { 5, &s->escape } };
    snug_str rest = message;
    field f;

    SNUG_TRY(read_numbers(message, "the normalizer's settings", rows, SNUG_COUNT(rows), error));
    while (rest.bytes > 0 && take_field(&f, &rest)) {
        if (f.number == 1)
            s->normalizer = f.bytes;
        if (f.number == 2)
            s->charsmap = f.bytes;
    }
    return SNUG_OK;
}

static snug_status check_settings(const settings *s, snug_error *error)
{
    static const char *const kinds[] = { "?", "UNIGRAM", "BPE", "WORD", "CHAR" };

    if (s->model_type != 2)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                  "the SentencePiece model is of type %s (%llu), only BPE is known",
                  s->model_type < SNUG_COUNT(kinds) ? kinds[s->model_type] : "?",
                  (unsigned long long)s->model_type);
    if (s->charsmap.bytes > 0)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                  "the normalizer \"%.*s\" has a table of %zu bytes, only \"identity\" without one is known",
                  (int)snug_min_size(s->normalizer.bytes, 40), s->normalizer.data, s->charsmap.bytes);
    if (s->suffix != 0)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "treat_whitespace_as_suffix is not supported");
    if (s->escape == 0)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "escape_whitespaces being false is not supported");
    return SNUG_OK;
}

/* --- the whole file ------------------------------------------------------------------------------------ */

/* Lines of base64, a space and a rank: what Llama 3 was first published with under the same name. */
static bool is_tiktoken(snug_str model)
{
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    size_t at = 0;
    size_t digits;

    while (at < model.bytes && at < 1024 && model.data[at] != '\0' && strchr(base64, model.data[at]))
        at++;
    if (at == 0 || at == model.bytes || model.data[at++] != ' ')
        return false;
    for (digits = at; at < model.bytes && model.data[at] >= '0' && model.data[at] <= '9';)
        at++;
    return at > digits && (at == model.bytes || model.data[at] == '\n' || model.data[at] == '\r');
}

static snug_status read_model(snug_stored_tokenizer *tokenizer, settings *s, snug_error *error)
{
    snug_str rest = tokenizer->model;
    snug_stored_token token;
    field f;

    while (rest.bytes > 0) {
        const size_t at = tokenizer->model.bytes - rest.bytes;

        if (!take_field(&f, &rest) || (f.number <= MODEL_NORMALIZER && f.wire != WIRE_BYTES))
            SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                      "this is no SentencePiece model, or is damaged at byte %zu of %zu", at,
                      tokenizer->model.bytes);
        if (f.number == MODEL_TRAINER)
            SNUG_TRY(read_trainer(s, f.bytes, error));
        if (f.number == MODEL_NORMALIZER)
            SNUG_TRY(read_normalizer(s, f.bytes, error));
        if (f.number != MODEL_PIECE)
            continue;
        if (!read_piece(&token, f.bytes) || tokenizer->token_count == UINT32_MAX / 2)
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, "piece %u, at byte %zu, is damaged",
                      (unsigned)tokenizer->token_count, at);
        if (token.type == SNUG_STORED_TOKEN_UNKNOWN && tokenizer->unknown_id == SNUG_STORED_ID_NONE)
            tokenizer->unknown_id = tokenizer->token_count;
        tokenizer->token_count++;
    }
    return SNUG_OK;
}

/* Negative: there is none. */
static snug_status read_id(uint32_t *id_out, uint64_t value, const char *name, uint32_t count,
                           snug_error *error)
{
    *id_out = SNUG_STORED_ID_NONE;
    if (value >> 63 != 0)
        return SNUG_OK;
    if (value >= count)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "%s is %llu, but there are only %u pieces", name,
                  (unsigned long long)value, (unsigned)count);
    *id_out = (uint32_t)value;
    return SNUG_OK;
}

snug_status snug_stored_from_sentencepiece(snug_stored_tokenizer *tokenizer_out, snug_str model,
                                           snug_error *error)
{
    settings s = { .model_type = 1, .bos_id = 1, .eos_id = 2, .dummy_prefix = 1, .squeeze = 1, .escape = 1 };
    snug_stored_tokenizer tokenizer = {
        .model = model, .is_by_scores = true, .unknown_id = SNUG_STORED_ID_NONE, .is_adding_bos = true
    };

    if (is_tiktoken(model))
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                  "this is a list of tiktoken (base64 and ranks), no SentencePiece model: the model's "
                  "tokenizer.json is needed");
    SNUG_TRY(read_model(&tokenizer, &s, error));
    if (tokenizer.token_count == 0)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the SentencePiece model has no pieces");
    SNUG_TRY(check_settings(&s, error));
    if (tokenizer.unknown_id == SNUG_STORED_ID_NONE)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the SentencePiece model has no piece for what is unknown");
    SNUG_TRY(read_id(&tokenizer.bos_id, s.bos_id, "bos_id", tokenizer.token_count, error));
    SNUG_TRY(read_id(&tokenizer.eos_id, s.eos_id, "eos_id", tokenizer.token_count, error));
    tokenizer.is_prefixing = s.dummy_prefix != 0;
    tokenizer.is_squeezing = s.squeeze != 0;
    tokenizer.is_byte_fallback = s.byte_fallback != 0;
    *tokenizer_out = tokenizer;
    return SNUG_OK;
}
