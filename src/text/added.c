/* SPDX-License-Identifier: Apache-2.0 */
/*
 * added.c - added tokens: read, found by id, and matched in text (leftmost, then longest).
 *
 * Matching walks a sorted list: each byte of the text narrows the part of the list that still agrees, by
 * binary search. It costs no memory beyond the order, and only where a token's first byte stands in the text.
 */
#include "text/tables.h"

#include "base/size.h"
#include "base/status.h"

snug_str snug_added_content(const snug_text *text, const snug_added_token *token)
{
    return (snug_str){ text->added_bytes + token->content_start, token->content_bytes };
}

static snug_str match_of(const snug_text *text, uint32_t index)
{
    const snug_added_token *token = &text->added[index];
    const char *bytes = token->is_normalized && text->match_bytes ? text->match_bytes : text->added_bytes;

    return (snug_str){ bytes + token->match_start, token->match_bytes };
}

const snug_added_token *snug_added_by_id(const snug_text *text, uint32_t id)
{
    uint32_t low = 0;
    uint32_t high = text->added_count;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;

        if (text->added[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < text->added_count && text->added[low].id == id ? &text->added[low] : NULL;
}

const snug_added_token *snug_added_by_content(const snug_text *text, snug_str content)
{
    for (uint32_t i = 0; i < text->added_count; i++) {
        if (snug_str_equal(snug_added_content(text, &text->added[i]), content))
            return &text->added[i];
    }
    return NULL;
}

/* --- matching ------------------------------------------------------------------------------------------ */

/* First place in [low, high) whose token has at `depth` a byte of at least `byte`. All of them agree before
 * `depth`; those that end there come first. */
static uint32_t narrow(const snug_text *text, const snug_added_set *set, uint32_t low, uint32_t high,
                       size_t depth, unsigned byte)
{
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const snug_str match = match_of(text, set->order[middle]);

        if (match.bytes <= depth || (unsigned char)match.data[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest token that stands at the beginning of `rest`. */
static const snug_added_token *match_here(const snug_text *text, const snug_added_set *set, snug_str rest)
{
    const snug_added_token *longest = NULL;
    uint32_t low = 0;
    uint32_t high = set->count;

    for (size_t depth = 0; depth < rest.bytes; depth++) {
        const unsigned byte = (unsigned char)rest.data[depth];

        low = narrow(text, set, low, high, depth, byte);
        high = narrow(text, set, low, high, depth, byte + 1);
        if (low == high)
            break;
        if (match_of(text, set->order[low]).bytes == depth + 1)
            longest = &text->added[set->order[low]];
    }
    return longest;
}

bool snug_added_search(snug_added_match *match_out, const snug_text *text, const snug_added_set *set,
                       snug_str subject, size_t from)
{
    if (set->count == 0)
        return false;
    for (size_t at = from; at < subject.bytes; at++) {
        const unsigned byte = (unsigned char)subject.data[at];
        const snug_added_token *token;

        if ((set->first_bytes[byte / 8] >> (byte % 8) & 1u) == 0)
            continue;
        token = match_here(text, set, (snug_str){ subject.data + at, subject.bytes - at });
        if (token) {
            *match_out = (snug_added_match){ token, at, at + token->match_bytes };
            return true;
        }
    }
    return false;
}

/* --- reading ------------------------------------------------------------------------------------------- */

static bool is_lower_id(const void *user, const void *left, const void *right)
{
    const snug_added_token *a = left;
    const snug_added_token *b = right;

    (void)user;
    return a->id != b->id ? a->id < b->id : a->content_start < b->content_start;
}

static bool is_lower_match(const void *user, const void *left, const void *right)
{
    const snug_text *text = user;
    const uint32_t *index_a = left;
    const uint32_t *index_b = right;
    const snug_str a = match_of(text, *index_a);
    const snug_str b = match_of(text, *index_b);
    const size_t common = snug_min_size(a.bytes, b.bytes);
    const int order = common > 0 ? memcmp(a.data, b.data, common) : 0;

    if (order != 0)
        return order < 0;
    return a.bytes != b.bytes ? a.bytes < b.bytes : *index_a < *index_b;
}

static snug_status read_token(snug_added_token *token, char *bytes, uint32_t *used, snug_json value,
                              snug_error *error)
{
    const snug_json content = snug_json_get(value, "content");
    uint64_t id;

    if (snug_json_kind_of(content) != SNUG_JSON_STRING)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "an added token should have a content, but is %.*s",
                  SNUG_STR_ARGS(snug_json_excerpt(value)));
    if (!snug_json_u64(&id, snug_json_get(value, "id")) || id >= SNUG_ID_NONE)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "the id of the added token %.*s should be a number from 0 to 4294967294, but is %.*s",
                  SNUG_STR_ARGS(snug_json_excerpt(content)),
                  SNUG_STR_ARGS(snug_json_excerpt(snug_json_get(value, "id"))));
    *token = (snug_added_token){
        .id = (uint32_t)id,
        .content_start = *used,
        .match_start = *used,
        .is_single_word = snug_json_flag(value, "single_word", false),
        .is_lstrip = snug_json_flag(value, "lstrip", false),
        .is_rstrip = snug_json_flag(value, "rstrip", false),
        .is_special = snug_json_flag(value, "special", false),
        .is_normalized = snug_json_flag(value, "normalized", !snug_json_flag(value, "special", false)),
    };
    token->content_bytes = (uint32_t)snug_json_unescape(bytes + *used, snug_json_string(content));
    token->match_bytes = token->content_bytes;
    *used += token->content_bytes;
    return SNUG_OK;
}

/* One block: the tokens, the orders, the contents. */
static snug_status read_tokens(snug_text *text, uint32_t **order_out, snug_json added, snug_error *error)
{
    snug_json_iterator iterator = snug_json_iterate(added);
    const uint64_t count = snug_json_count(added);
    uint64_t content_bytes = 0;
    uint32_t used = 0;
    snug_json value;
    char *bytes;

    while (snug_json_next(&iterator, NULL, &value))
        content_bytes += snug_json_string(snug_json_get(value, "content")).bytes;
    if (count >= UINT32_MAX || content_bytes >= UINT32_MAX)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "more than 2^32 added tokens");
    text->added = snug_memory_alloc(text->memory, SNUG_MEMORY_TEXT,
                                    count * (sizeof(snug_added_token) + sizeof(uint32_t)) + content_bytes,
                                    "added tokens", error);
    if (!text->added)
        return error ? error->status : SNUG_ERR_OVER_LIMIT;
    *order_out = (uint32_t *)(void *)(text->added + count);
    bytes = (char *)(*order_out + count);
    text->added_bytes = bytes;
    iterator = snug_json_iterate(added);
    while (snug_json_next(&iterator, NULL, &value)) {
        SNUG_TRY(read_token(&text->added[text->added_count], bytes, &used, value, error));
        text->added_count++;
    }
    snug_sort(text->added, text->added_count, sizeof *text->added, is_lower_id, NULL);
    return SNUG_OK;
}

/* Tokens with normalized=true are looked for in normalized text: by their own normal form. First round
 * (match_bytes NULL) counts, the second writes. */
static snug_status normalize_round(snug_text *text, uint64_t *used, snug_normalizer *normalizer,
                                   const snug_matcher *matcher, snug_error *error)
{
    *used = 0;
    for (uint32_t i = 0; i < text->added_count; i++) {
        snug_added_token *token = &text->added[i];
        snug_str form = snug_added_content(text, token);

        if (!token->is_normalized)
            continue;
        SNUG_TRY(snug_normalize(&form, normalizer, text, matcher, error));
        if (text->match_bytes) {
            if (form.bytes > 0)
                memcpy(text->match_bytes + *used, form.data, form.bytes);
            token->match_start = (uint32_t)*used;
            token->match_bytes = (uint32_t)form.bytes;
        }
        *used += form.bytes;
    }
    return SNUG_OK;
}

static snug_status normalize_matches(snug_text *text, snug_error *error)
{
    snug_normalizer normalizer;
    snug_matcher matcher = { 0 };
    snug_status status = SNUG_OK;
    uint64_t bytes = 0;

    if (text->normalize_count == 0)
        return SNUG_OK;
    snug_normalizer_init(&normalizer, text->memory);
    if (text->is_matcher_needed)
        status = snug_matcher_init(&matcher, text->memory, error);
    if (status == SNUG_OK)
        status = normalize_round(text, &bytes, &normalizer, &matcher, error);
    if (status == SNUG_OK && bytes >= UINT32_MAX)
        status =
            snug_fail(error, SNUG_ERR_UNSUPPORTED, "the added tokens have 2^32 bytes in their normal form");
    if (status == SNUG_OK && bytes > 0) {
        text->match_bytes = snug_memory_alloc(text->memory, SNUG_MEMORY_TEXT, bytes, "added tokens", error);
        status = text->match_bytes ? normalize_round(text, &bytes, &normalizer, &matcher, error)
                                   : (error ? error->status : SNUG_ERR_OVER_LIMIT);
    }
    snug_matcher_deinit(&matcher);
    snug_normalizer_deinit(&normalizer);
    return status;
}

/* Empty tokens match nowhere: they are left out of the order. */
static uint32_t *fill_set(snug_text *text, snug_added_set *set, uint32_t *order, bool is_normalized)
{
    set->order = order;
    for (uint32_t i = 0; i < text->added_count; i++) {
        const snug_str match = match_of(text, i);

        if (text->added[i].is_normalized != is_normalized || match.bytes == 0)
            continue;
        order[set->count++] = i;
        set->first_bytes[(unsigned char)match.data[0] / 8] |=
            (unsigned char)(1u << ((unsigned char)match.data[0] % 8));
    }
    snug_sort(order, set->count, sizeof *order, is_lower_match, text);
    return order + set->count;
}

snug_status snug_added_read(snug_text *text, snug_json added, snug_error *error)
{
    const snug_json_kind kind = snug_json_kind_of(added);
    uint32_t *order = NULL;

    if (kind == SNUG_JSON_ABSENT || kind == SNUG_JSON_NULL)
        return SNUG_OK;
    if (kind != SNUG_JSON_ARRAY)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "added_tokens should be an array, but is %s",
                  snug_json_kind_name(kind));
    SNUG_TRY(read_tokens(text, &order, added, error));
    SNUG_TRY(normalize_matches(text, error));
    order = fill_set(text, &text->added_raw, order, false);
    (void)fill_set(text, &text->added_normalized, order, true);
    return SNUG_OK;
}

void snug_added_deinit(snug_text *text)
{
    snug_memory_free(text->memory, text->match_bytes);
    snug_memory_free(text->memory, text->added);
}
