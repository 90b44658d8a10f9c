/* SPDX-License-Identifier: Apache-2.0 */
/*
 * steps.c - reads the normalizer and the pre-tokenizer of tokenizer.json into two flat lists of steps.
 *
 * One kind of step is one row of a table below, with the function that reads it. What is not in the table is
 * refused by name: a tokenizer that is nearly right gives wrong ids for ever after.
 */
#include "text/tables.h"

#include "base/size.h"
#include "base/status.h"

/* The pattern that ByteLevel brings along when it has use_regex: that of GPT-2 (Radford et al., 2019). */
static const char gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

snug_str snug_json_excerpt(snug_json value)
{
    snug_str text = snug_json_text(value);

    if (!text.data)
        return (snug_str){ "nothing", 7 };
    text.bytes = snug_min_size(text.bytes, 60);
    while (text.bytes > 1 && ((unsigned char)text.data[text.bytes - 1] & 0x80u) != 0 && text.bytes >= 57)
        text.bytes--;
    return text;
}

bool snug_json_flag(snug_json object, const char *key, bool otherwise)
{
    (void)snug_json_bool(&otherwise, snug_json_get(object, key));
    return otherwise;
}

snug_status snug_literal_read(snug_literal *literal, snug_json value, const char *what, snug_error *error)
{
    const snug_str raw = snug_json_string(value);
    char room[6 * SNUG_TEXT_LITERAL_BYTES_MAX];
    size_t bytes;

    if (snug_json_kind_of(value) != SNUG_JSON_STRING)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "%s should be a string, but is %s", what,
                  snug_json_kind_name(snug_json_kind_of(value)));
    bytes = raw.bytes <= sizeof room ? snug_json_unescape(room, raw) : raw.bytes;
    if (bytes > SNUG_TEXT_LITERAL_BYTES_MAX)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "%s has %zu bytes: at most %d are supported", what, bytes,
                  SNUG_TEXT_LITERAL_BYTES_MAX);
    memcpy(literal->data, room, bytes);
    literal->bytes = (unsigned char)bytes;
    return SNUG_OK;
}

/* {"String": ...} or {"Regex": ...} */
static snug_status read_pattern(snug_text *text, snug_pattern *pattern, snug_json value, snug_error *error)
{
    const snug_json regex = snug_json_get(value, "Regex");
    const snug_str raw = snug_json_string(regex);
    snug_buffer source = { .memory = text->memory };
    snug_status status;

    if (snug_json_kind_of(regex) == SNUG_JSON_ABSENT) {
        SNUG_TRY(snug_literal_read(&pattern->literal, snug_json_get(value, "String"), "a pattern", error));
        if (pattern->literal.bytes == 0)
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, "a pattern is the empty string, which is everywhere");
        return SNUG_OK;
    }
    if (snug_json_kind_of(regex) != SNUG_JSON_STRING)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "a pattern should be a string, but is %s",
                  snug_json_kind_name(snug_json_kind_of(regex)));
    SNUG_TRY(snug_buffer_restart(&source, raw.bytes, error));
    source.bytes = snug_json_unescape(source.data, raw);
    status = snug_regex_init(&pattern->regex, text->memory, snug_buffer_str(&source), error);
    snug_buffer_deinit(&source);
    text->is_matcher_needed = true;
    return status;
}

/* --- normalizer ---------------------------------------------------------------------------------------- */

static snug_status next_normalize(snug_normalize_step **step_out, snug_text *text, snug_normalize_kind kind,
                                  snug_error *error)
{
    if (text->normalize_count == SNUG_TEXT_STEP_COUNT_MAX)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "the normalizer has more than %d steps",
                  SNUG_TEXT_STEP_COUNT_MAX);
    *step_out = &text->normalize[text->normalize_count++];
    (*step_out)->kind = kind;
    return SNUG_OK;
}

static snug_status read_form(snug_text *text, snug_json value, snug_error *error)
{
    const snug_json type = snug_json_get(value, "type");
    snug_normalize_step *step;

    SNUG_TRY(next_normalize(&step, text, SNUG_NORMALIZE_UNICODE, error));
    step->is_composed = snug_json_string_is(type, "NFC") || snug_json_string_is(type, "NFKC");
    step->is_compatibility = snug_json_string_is(type, "NFKC") || snug_json_string_is(type, "NFKD");
    return SNUG_OK;
}

static snug_status read_replace(snug_text *text, snug_json value, snug_error *error)
{
    snug_normalize_step *step;

    SNUG_TRY(next_normalize(&step, text, SNUG_NORMALIZE_REPLACE, error));
    SNUG_TRY(read_pattern(text, &step->pattern, snug_json_get(value, "pattern"), error));
    return snug_literal_read(&step->content, snug_json_get(value, "content"), "the content of a Replace",
                             error);
}

static snug_status read_prepend(snug_text *text, snug_json value, snug_error *error)
{
    snug_normalize_step *step;

    SNUG_TRY(next_normalize(&step, text, SNUG_NORMALIZE_PREPEND, error));
    return snug_literal_read(&step->content, snug_json_get(value, "prepend"), "the text of a Prepend", error);
}

/* --- pre-tokenizer ------------------------------------------------------------------------------------- */

static snug_status next_split(snug_split_step **step_out, snug_text *text, snug_split_kind kind,
                              snug_error *error)
{
    if (text->split_count == SNUG_TEXT_STEP_COUNT_MAX)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "the pre-tokenizer has more than %d steps",
                  SNUG_TEXT_STEP_COUNT_MAX);
    *step_out = &text->split[text->split_count++];
    (*step_out)->kind = kind;
    return SNUG_OK;
}

static snug_status read_behavior(snug_behavior *behavior, snug_json value, snug_error *error)
{
    static const struct {
        const char *name;
        snug_behavior behavior;
    } rows[] = {
        { "Isolated", SNUG_BEHAVIOR_ISOLATED },
        { "Removed", SNUG_BEHAVIOR_REMOVED },
        { "MergedWithPrevious", SNUG_BEHAVIOR_MERGED_WITH_PREVIOUS },
        { "MergedWithNext", SNUG_BEHAVIOR_MERGED_WITH_NEXT },
        { "Contiguous", SNUG_BEHAVIOR_CONTIGUOUS },
    };

    for (size_t i = 0; i < SNUG_COUNT(rows); i++) {
        if (snug_json_string_is(value, rows[i].name)) {
            *behavior = rows[i].behavior;
            return SNUG_OK;
        }
    }
    SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "the split behavior %.*s is not known",
              SNUG_STR_ARGS(snug_json_excerpt(value)));
}

static snug_status read_split(snug_text *text, snug_json value, snug_error *error)
{
    snug_split_step *step;

    SNUG_TRY(next_split(&step, text, SNUG_SPLIT_PATTERN, error));
    step->is_inverted = snug_json_flag(value, "invert", false);
    SNUG_TRY(read_behavior(&step->behavior, snug_json_get(value, "behavior"), error));
    return read_pattern(text, &step->pattern, snug_json_get(value, "pattern"), error);
}

static snug_status read_byte_level(snug_text *text, snug_json value, snug_error *error)
{
    snug_split_step *step;

    if (snug_json_flag(value, "add_prefix_space", true))
        SNUG_TRY(next_split(&step, text, SNUG_SPLIT_PREFIX, error));
    if (snug_json_flag(value, "use_regex", true)) {
        SNUG_TRY(next_split(&step, text, SNUG_SPLIT_PATTERN, error));
        step->behavior = SNUG_BEHAVIOR_ISOLATED;
        SNUG_TRY(snug_regex_init(&step->pattern.regex, text->memory, snug_str_from(gpt2_pattern), error));
        text->is_matcher_needed = true;
    }
    return next_split(&step, text, SNUG_SPLIT_BYTES, error);
}

static snug_status read_digits(snug_text *text, snug_json value, snug_error *error)
{
    snug_split_step *step;

    SNUG_TRY(next_split(&step, text, SNUG_SPLIT_DIGITS, error));
    step->behavior =
        snug_json_flag(value, "individual_digits", false) ? SNUG_BEHAVIOR_ISOLATED : SNUG_BEHAVIOR_CONTIGUOUS;
    return SNUG_OK;
}

static snug_status read_metaspace(snug_text *text, snug_json value, snug_error *error)
{
    const snug_json scheme = snug_json_get(value, "prepend_scheme");
    snug_split_step *step;
    snug_literal replacement;

    SNUG_TRY(next_split(&step, text, SNUG_SPLIT_METASPACE, error));
    SNUG_TRY(snug_literal_read(&replacement, snug_json_get(value, "replacement"),
                               "the replacement of a Metaspace", error));
    if (replacement.bytes == 0)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the replacement of a Metaspace is empty");
    step->pattern.literal = replacement;
    if (snug_json_kind_of(scheme) == SNUG_JSON_ABSENT) /* files of before the scheme have add_prefix_space */
        step->prepend =
            snug_json_flag(value, "add_prefix_space", true) ? SNUG_PREPEND_ALWAYS : SNUG_PREPEND_NEVER;
    else if (snug_json_string_is(scheme, "always"))
        step->prepend = SNUG_PREPEND_ALWAYS;
    else if (snug_json_string_is(scheme, "first"))
        step->prepend = SNUG_PREPEND_FIRST;
    else if (snug_json_string_is(scheme, "never"))
        step->prepend = SNUG_PREPEND_NEVER;
    else
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "the Metaspace prepend_scheme %.*s is not known",
                  SNUG_STR_ARGS(snug_json_excerpt(scheme)));
    if (!snug_json_flag(value, "split", true))
        return SNUG_OK;
    SNUG_TRY(next_split(&step, text, SNUG_SPLIT_PATTERN, error));
    step->behavior = SNUG_BEHAVIOR_MERGED_WITH_NEXT;
    step->pattern.literal = replacement;
    return SNUG_OK;
}

/* --- the tables ---------------------------------------------------------------------------------------- */

typedef snug_status (*read_fn)(snug_text *text, snug_json value, snug_error *error);

typedef struct step_row {
    const char *type;
    read_fn read;
} step_row;

typedef struct step_table {
    const char *name;     /* for sentences */
    const char *children; /* the member of a Sequence that holds its steps */
    const step_row *rows;
    size_t count;
} step_table;

static const step_row normalizers[] = {
    { "NFC", read_form },  { "NFD", read_form },        { "NFKC", read_form },
    { "NFKD", read_form }, { "Replace", read_replace }, { "Prepend", read_prepend },
};

static const step_row pre_tokenizers[] = {
    { "Split", read_split },
    { "ByteLevel", read_byte_level },
    { "Digits", read_digits },
    { "Metaspace", read_metaspace },
};

static const step_table normalizer_table = { "normalizer", "normalizers", normalizers,
                                             SNUG_COUNT(normalizers) };
static const step_table pre_tokenizer_table = { "pre-tokenizer", "pretokenizers", pre_tokenizers,
                                                SNUG_COUNT(pre_tokenizers) };

/* One step, or a sequence of them; the JSON reader has bounded the nesting. */
static snug_status read_steps(snug_text *text, const step_table *table, snug_json value, snug_error *error)
{
    const snug_json type = snug_json_get(value, "type");
    snug_json_iterator iterator = snug_json_iterate(snug_json_get(value, table->children));
    snug_json child;

    if (snug_json_kind_of(value) == SNUG_JSON_ABSENT || snug_json_kind_of(value) == SNUG_JSON_NULL)
        return SNUG_OK;
    if (snug_json_string_is(type, "Sequence")) {
        while (snug_json_next(&iterator, NULL, &child))
            SNUG_TRY(read_steps(text, table, child, error));
        return SNUG_OK;
    }
    for (size_t i = 0; i < table->count; i++) {
        if (snug_json_string_is(type, table->rows[i].type))
            return table->rows[i].read(text, value, error);
    }
    SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "the %s type %.*s is not known", table->name,
              SNUG_STR_ARGS(snug_json_excerpt(type)));
}

/* How many bytes (and so ids) one byte of text can become, step by step; see snug_text_encode_bound(). */
static uint64_t growth_of(const snug_text *text)
{
    uint64_t growth = 1;

    for (uint32_t i = 0; i < text->normalize_count; i++) {
        const snug_normalize_step *step = &text->normalize[i];

        if (step->kind == SNUG_NORMALIZE_PREPEND)
            growth += step->content.bytes;
        else if (step->kind == SNUG_NORMALIZE_UNICODE) /* Unicode FAQ on normalization: 3 and 11 at most */
            growth *= step->is_compatibility ? 11 : 3;
        else if (step->pattern.regex.code) /* empty matches: in front, and behind every byte */
            growth *= 2u * step->content.bytes + 1;
        else
            growth *= snug_max_size(1, snug_divide_up(step->content.bytes, step->pattern.literal.bytes));
        growth = growth > UINT32_MAX ? UINT32_MAX : growth;
    }
    for (uint32_t i = 0; i < text->split_count; i++) {
        const snug_split_step *step = &text->split[i];

        if (step->kind == SNUG_SPLIT_PREFIX)
            growth *= 2;
        else if (step->kind == SNUG_SPLIT_METASPACE)
            growth *= 2u * step->pattern.literal.bytes;
        else if (step->kind == SNUG_SPLIT_BYTES && (i + 1 < text->split_count || text->is_byte_fallback))
            growth *= 2; /* else each byte is one character, and so at most one id */
        growth = growth > UINT32_MAX ? UINT32_MAX : growth;
    }
    return growth;
}

snug_status snug_steps_read(snug_text *text, const snug_tokenizer_parts *parts, snug_error *error)
{
    SNUG_TRY(read_steps(text, &normalizer_table, parts->normalizer, error));
    SNUG_TRY(read_steps(text, &pre_tokenizer_table, parts->pre_tokenizer, error));
    (void)snug_json_bool(&text->is_byte_fallback, parts->byte_fallback);
    text->growth = growth_of(text);
    return SNUG_OK;
}

void snug_steps_deinit(snug_text *text)
{
    for (uint32_t i = 0; i < text->normalize_count; i++)
        snug_regex_deinit(&text->normalize[i].pattern.regex, text->memory);
    for (uint32_t i = 0; i < text->split_count; i++)
        snug_regex_deinit(&text->split[i].pattern.regex, text->memory);
}
