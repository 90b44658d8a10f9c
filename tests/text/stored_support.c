/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stored_support.c - see stored_support.h.
 */
#include "tests/text/stored_support.h"

#include <stdio.h>

#include "memory/memory.h"

/* --- made on the spot ---------------------------------------------------------------------------------- */

static void add_string(growing_text *out, const char *text)
{
    const uint64_t bytes = strlen(text);

    growing_add(out, (const char *)&bytes, sizeof bytes);
    growing_add(out, text, bytes);
}

void made_vocabulary_create(made_vocabulary *made, const char *model, const made_token *tokens, size_t count,
                            const char *const *merges)
{
    uint64_t merge_count = 0;

    *made = (made_vocabulary){ .tokens = { NULL, 0, 0 } };
    for (size_t i = 0; i < count; i++) {
        add_string(&made->tokens, tokens[i].text);
        growing_add(&made->scores, (const char *)&tokens[i].score, sizeof tokens[i].score);
        growing_add(&made->types, (const char *)&tokens[i].type, sizeof tokens[i].type);
    }
    for (; merges && merges[merge_count]; merge_count++)
        add_string(&made->merges, merges[merge_count]);
    made->vocabulary = (snug_stored_vocabulary){
        .architecture = snug_str_from("llama"),
        .model = snug_str_from(model),
        .tokens = { (const unsigned char *)made->tokens.data, count },
        .scores = (const unsigned char *)made->scores.data,
        .types = (const unsigned char *)made->types.data,
        .merges = { (const unsigned char *)made->merges.data, merge_count },
        .bos_id = SNUG_STORED_ID_NONE,
        .eos_id = SNUG_STORED_ID_NONE,
        .unknown_id = SNUG_STORED_ID_NONE,
        .padding_id = SNUG_STORED_ID_NONE,
    };
}

void made_vocabulary_destroy(made_vocabulary *made)
{
    free(made->tokens.data);
    free(made->scores.data);
    free(made->types.data);
    free(made->merges.data);
}

void add_varint(growing_text *out, uint64_t value)
{
    char byte;

    for (; value >= 0x80; value >>= 7) {
        byte = (char)(value | 0x80);
        growing_add(out, &byte, 1);
    }
    byte = (char)value;
    growing_add(out, &byte, 1);
}

void add_number_field(growing_text *out, unsigned number, uint64_t value)
{
    add_varint(out, number << 3);
    add_varint(out, value);
}

void add_bytes_field(growing_text *out, unsigned number, const char *data, size_t bytes)
{
    add_varint(out, number << 3 | 2);
    add_varint(out, bytes);
    growing_add(out, data, bytes);
}

void add_pieces(growing_text *out, const made_token *tokens, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        growing_text piece = { NULL, 0, 0 };

        add_bytes_field(&piece, 1, tokens[i].text, strlen(tokens[i].text));
        add_varint(&piece, 2 << 3 | 5);
        growing_add(&piece, (const char *)&tokens[i].score, sizeof tokens[i].score);
        add_number_field(&piece, 3, (uint64_t)tokens[i].type);
        add_bytes_field(out, 1, piece.data, piece.bytes);
        free(piece.data);
    }
}

void add_settings(growing_text *out)
{
    growing_text message = { NULL, 0, 0 };

    add_number_field(&message, 3, 2);  /* model_type: BPE */
    add_number_field(&message, 35, 1); /* byte_fallback */
    add_bytes_field(out, 2, message.data, message.bytes);
    message.bytes = 0;
    add_bytes_field(&message, 1, "identity", 8);
    add_number_field(&message, 3, 0); /* add_dummy_prefix */
    add_number_field(&message, 4, 0); /* remove_extra_whitespaces */
    add_bytes_field(out, 3, message.data, message.bytes);
    free(message.data);
}

/* --- opening ------------------------------------------------------------------------------------------- */

void opened_text_create(opened_text *opened, const snug_text_files *files)
{
    snug_error error = { 0 };

    assert_int_equal(snug_memory_create(&opened->memory, NULL), SNUG_OK);
    if (snug_text_create_from(&opened->text, opened->memory, files, &error) != SNUG_OK)
        fail_msg("%s", error.text);
}

void check_refusal(const snug_text_files *files, snug_status expected, const char *part)
{
    opened_text opened = { NULL, NULL };
    snug_error error = { 0 };

    assert_int_equal(snug_memory_create(&opened.memory, NULL), SNUG_OK);
    assert_int_equal(snug_text_create_from(&opened.text, opened.memory, files, &error), expected);
    if (!strstr(error.text, part))
        fail_msg("\"%s\" should say \"%s\"", error.text, part);
    opened_text_close(&opened);
}

/* --- goldens ------------------------------------------------------------------------------------------- */

typedef struct comparison {
    unsigned what;
    unsigned flags;
    bool is_decoding;
    const char *member;
    const char *otherwise;
} comparison;

static const comparison comparisons[] = {
    { COMPARE_IDS, 0, false, "ids", "ids" },
    { COMPARE_IDS_WITH_SPECIAL, SNUG_ENCODE_ADD_SPECIAL, false, "ids_with_special", "ids_with_special" },
    { COMPARE_IDS_NO_PARSE, SNUG_ENCODE_NO_PARSE_SPECIAL, false, "ids_no_parse_special", "ids" },
    { COMPARE_DECODED, 0, true, "decoded", "decoded" },
    { COMPARE_DECODED_SKIP, SNUG_DECODE_SKIP_SPECIAL, true, "decoded_skip_special", "decoded" },
};

static bool is_known(const known_difference *known, const char *fixture, const char *text, unsigned what)
{
    for (; known->fixture; known++) {
        if (strcmp(known->fixture, fixture) == 0 && strcmp(known->text, text) == 0 &&
            (known->what & what) != 0)
            return true;
    }
    return false;
}

static bool encodes_to(const opened_text *opened, const json_t *text, unsigned flags, const uint32_t *ids,
                       size_t count)
{
    const size_t bound = snug_text_encode_bound(opened->text, json_string_length(text));
    uint32_t *found = malloc((bound + 1) * sizeof *found);
    size_t found_count = 0;
    bool is_equal;

    assert_non_null(found);
    assert_int_equal(snug_text_encode(opened->text, found, bound, &found_count, json_string_value(text),
                                      json_string_length(text), flags, NULL),
                     SNUG_OK);
    is_equal = found_count == count && memcmp(found, ids, count * sizeof *ids) == 0;
    free(found);
    return is_equal;
}

static bool decodes_to(const opened_text *opened, const json_t *text, unsigned flags, const uint32_t *ids,
                       size_t count)
{
    char out[4096];
    size_t bytes = 0;

    assert_int_equal(snug_text_decode(opened->text, out, sizeof out, &bytes, ids, count, flags), SNUG_OK);
    return bytes == json_string_length(text) && memcmp(out, json_string_value(text), bytes) == 0;
}

static void check_case(const opened_text *opened, const json_t *item, const comparison *how,
                       bool is_different)
{
    const json_t *text = json_object_get(item, "text");
    const json_t *golden = json_object_get(item, how->member);
    const json_t *of_ids;
    uint32_t *ids;
    size_t count;

    if (!golden)
        golden = json_object_get(item, how->otherwise);
    of_ids = how->is_decoding ? json_object_get(item, "ids") : golden;
    assert_true(json_is_array(of_ids));
    ids = ids_from_json(of_ids, &count);
    if (is_different && (how->is_decoding ? decodes_to(opened, golden, how->flags, ids, count)
                                          : encodes_to(opened, text, how->flags, ids, count)))
        fail_msg("\"%s\" is as its golden: it should not be in the list of differences (%u)",
                 json_string_value(text), how->what);
    if (!is_different && how->is_decoding)
        check_decoded(opened, ids, count, how->flags, json_string_value(golden), json_string_length(golden));
    if (!is_different && !how->is_decoding)
        check_ids(opened, json_string_value(text), json_string_length(text), how->flags, ids, count);
    free(ids);
}

void check_fixture(const opened_text *opened, const char *fixture, const known_difference *known)
{
    json_error_t error;
    char path[1024];
    json_t *root;
    const json_t *cases;

    snprintf(path, sizeof path, "%s/fixtures/%s/tokenizer.expected.json", SNUG_SHARED_FOLDER, fixture);
    root = json_load_file(path, JSON_ALLOW_NUL, &error);
    if (!root)
        fail_msg("%s: %s", path, error.text);
    cases = json_object_get(root, "cases");
    assert_true(json_array_size(cases) >= 90);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *item = json_array_get(cases, i);
        const char *text = json_string_value(json_object_get(item, "text"));

        for (size_t j = 0; j < SNUG_COUNT(comparisons); j++)
            check_case(opened, item, &comparisons[j], is_known(known, fixture, text, comparisons[j].what));
    }
    json_decref(root);
}
