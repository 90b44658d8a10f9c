/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules.c - reads the post-processor (ids before and after a text) and the decoder of tokenizer.json.
 */
#include "text/tables.h"

#include "base/size.h"
#include "base/status.h"

/* --- post-processor ------------------------------------------------------------------------------------ */

static snug_status read_ids(uint32_t *ids, uint32_t *count, snug_json list, snug_json name, snug_error *error)
{
    snug_json_iterator iterator = snug_json_iterate(list);
    snug_json value;
    uint64_t id;

    if (snug_json_count(list) == 0)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the post-processor's special token %.*s has no ids",
                  SNUG_STR_ARGS(snug_json_excerpt(name)));
    while (snug_json_next(&iterator, NULL, &value)) {
        if (!snug_json_u64(&id, value) || id >= SNUG_ID_NONE)
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, "an id of the post-processor should be a number, but is %.*s",
                      SNUG_STR_ARGS(snug_json_excerpt(value)));
        if (*count == SNUG_TEXT_AROUND_COUNT_MAX)
            SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "the post-processor adds more than %d ids",
                      SNUG_TEXT_AROUND_COUNT_MAX);
        ids[(*count)++] = (uint32_t)id;
    }
    return SNUG_OK;
}

/* Member of an object by a key that is itself a JSON string. */
static snug_json get_by_value(snug_json object, snug_json name)
{
    snug_json_iterator iterator = snug_json_iterate(object);
    const snug_str wanted = snug_json_string(name);
    snug_json found = { NULL };
    snug_json value;
    snug_str key;

    while (snug_json_next(&iterator, &key, &value)) {
        if (snug_str_equal(key, wanted))
            found = value;
    }
    return found;
}

static snug_status read_template(snug_text *text, snug_json processor, snug_error *error)
{
    const snug_json special = snug_json_get(processor, "special_tokens");
    snug_json_iterator iterator = snug_json_iterate(snug_json_get(processor, "single"));
    snug_json item;
    bool is_behind = false;

    while (snug_json_next(&iterator, NULL, &item)) {
        const snug_json name = snug_json_get(snug_json_get(item, "SpecialToken"), "id");

        if (snug_json_kind_of(name) == SNUG_JSON_STRING) {
            const snug_json ids = snug_json_get(get_by_value(special, name), "ids");

            SNUG_TRY(read_ids(is_behind ? text->after : text->before,
                              is_behind ? &text->after_count : &text->before_count, ids, name, error));
            continue;
        }
        if (snug_json_kind_of(snug_json_get(item, "Sequence")) != SNUG_JSON_OBJECT || is_behind)
            SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "the post-processor's item %.*s is not known",
                      SNUG_STR_ARGS(snug_json_excerpt(item)));
        is_behind = true;
    }
    if (!is_behind)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the post-processor has no place for the text");
    return SNUG_OK;
}

static snug_status read_processor(snug_text *text, snug_json processor, snug_error *error)
{
    const snug_json type = snug_json_get(processor, "type");
    snug_json_iterator iterator = snug_json_iterate(snug_json_get(processor, "processors"));
    snug_json child;

    if (snug_json_kind_of(processor) == SNUG_JSON_ABSENT || snug_json_kind_of(processor) == SNUG_JSON_NULL)
        return SNUG_OK;
    if (snug_json_string_is(type, "ByteLevel")) /* it only moves offsets, and we keep none */
        return SNUG_OK;
    if (snug_json_string_is(type, "TemplateProcessing"))
        return read_template(text, processor, error);
    if (!snug_json_string_is(type, "Sequence"))
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "the post-processor type %.*s is not known",
                  SNUG_STR_ARGS(snug_json_excerpt(type)));
    while (snug_json_next(&iterator, NULL, &child))
        SNUG_TRY(read_processor(text, child, error));
    return SNUG_OK;
}

/* --- decoder ------------------------------------------------------------------------------------------- */

/* What has been read of a sequence: each step may come once, and only in this order. */
typedef enum decode_stage {
    STAGE_START,
    STAGE_REPLACE,
    STAGE_FALLBACK,
    STAGE_FUSE,
    STAGE_STRIP,
} decode_stage;

static snug_status read_decode_replace(snug_decode_rules *rules, snug_json value, snug_error *error)
{
    SNUG_TRY(snug_literal_read(&rules->replaced, snug_json_get(snug_json_get(value, "pattern"), "String"),
                               "the decoder's Replace pattern", error));
    SNUG_TRY(snug_literal_read(&rules->content, snug_json_get(value, "content"),
                               "the content of the decoder's Replace", error));
    if (rules->replaced.bytes == 0)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the decoder replaces the empty string, which is everywhere");
    rules->is_replacing = true;
    return SNUG_OK;
}

static snug_status read_decode_strip(snug_decode_rules *rules, snug_json value, snug_error *error)
{
    uint64_t start = 0;
    uint64_t stop = 0;

    if (!snug_json_u64(&start, snug_json_get(value, "start")) ||
        !snug_json_u64(&stop, snug_json_get(value, "stop")))
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the decoder's Strip should have a start and a stop");
    if (start > 1 || stop > 0)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                  "the decoder strips %llu characters in front and %llu behind: only 1 and 0 are supported",
                  (unsigned long long)start, (unsigned long long)stop);
    if (start == 1)
        return snug_literal_read(&rules->stripped, snug_json_get(value, "content"),
                                 "the content of the decoder's Strip", error);
    return SNUG_OK;
}

static snug_status read_decode_metaspace(snug_decode_rules *rules, snug_json value, snug_error *error)
{
    const snug_json scheme = snug_json_get(value, "prepend_scheme");

    SNUG_TRY(snug_literal_read(&rules->replaced, snug_json_get(value, "replacement"),
                               "the decoder's Metaspace replacement", error));
    if (rules->replaced.bytes == 0)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the decoder's Metaspace replacement is empty");
    rules->content = (snug_literal){ 1, " " };
    rules->is_replacing = true;
    rules->is_first_bare = snug_json_kind_of(scheme) == SNUG_JSON_ABSENT
                               ? snug_json_flag(value, "add_prefix_space", true)
                               : !snug_json_string_is(scheme, "never");
    return SNUG_OK;
}

static snug_status read_decode_step(snug_decode_rules *rules, decode_stage *stage, snug_json value,
                                    snug_error *error)
{
    const snug_json type = snug_json_get(value, "type");
    decode_stage next = STAGE_REPLACE;

    if (snug_json_string_is(type, "Replace") || snug_json_string_is(type, "Metaspace") ||
        snug_json_string_is(type, "ByteLevel"))
        next = STAGE_REPLACE;
    else if (snug_json_string_is(type, "ByteFallback"))
        next = STAGE_FALLBACK;
    else if (snug_json_string_is(type, "Fuse"))
        next = STAGE_FUSE;
    else if (snug_json_string_is(type, "Strip"))
        next = STAGE_STRIP;
    else
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "the decoder type %.*s is not known",
                  SNUG_STR_ARGS(snug_json_excerpt(type)));
    if (next <= *stage || (next == STAGE_STRIP && *stage != STAGE_FUSE) ||
        (rules->kind == SNUG_DECODE_BYTE_LEVEL && next != STAGE_FUSE && next != STAGE_STRIP))
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "the decoder has %.*s in an order that is not supported",
                  SNUG_STR_ARGS(snug_json_excerpt(type)));
    *stage = next;
    if (snug_json_string_is(type, "ByteLevel"))
        rules->kind = SNUG_DECODE_BYTE_LEVEL;
    rules->is_byte_fallback = rules->is_byte_fallback || next == STAGE_FALLBACK;
    if (snug_json_string_is(type, "Replace"))
        return read_decode_replace(rules, value, error);
    if (snug_json_string_is(type, "Metaspace"))
        return read_decode_metaspace(rules, value, error);
    return next == STAGE_STRIP ? read_decode_strip(rules, value, error) : SNUG_OK;
}

static snug_status read_decoder(snug_decode_rules *rules, decode_stage *stage, snug_json value,
                                snug_error *error)
{
    snug_json_iterator iterator = snug_json_iterate(snug_json_get(value, "decoders"));
    snug_json child;

    if (snug_json_kind_of(value) == SNUG_JSON_ABSENT || snug_json_kind_of(value) == SNUG_JSON_NULL)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "there is no decoder: how pieces become text is not said");
    if (!snug_json_string_is(snug_json_get(value, "type"), "Sequence"))
        return read_decode_step(rules, stage, value, error);
    while (snug_json_next(&iterator, NULL, &child))
        SNUG_TRY(read_decoder(rules, stage, child, error));
    return SNUG_OK;
}

snug_status snug_rules_read(snug_text *text, const snug_tokenizer_parts *parts, snug_error *error)
{
    decode_stage stage = STAGE_START;

    text->decode.kind = SNUG_DECODE_PIECES;
    SNUG_TRY(read_processor(text, parts->post_processor, error));
    return read_decoder(&text->decode, &stage, parts->decoder, error);
}
