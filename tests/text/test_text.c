/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_text.c - tokenizers made on the spot: one rule of tokenizer.json at a time, with results from the
 * tokenizers library's documentation or from the rule itself, and what happens when memory or input is bad.
 */
#include "tests/text/text_support.h"

#include <stdio.h>

#include "base/random.h"
#include "base/size.h"
#include "base/utf8.h"
#include "memory/memory.h"
#include "text/tables.h"

#include <utf8proc.h>

/* Ids of the byte-level vocabulary below: a byte is its own id, merged pieces follow. */
enum {
    HE = 256,
    LL,
    HELL,
    HELLO,
    SPACE_W,
    ID_S = 300,
    ID_LEFT,
    ID_RIGHT,
    ID_WORD,
    ID_NORMAL,
    ID_EMPTY,
    ID_LONG
};

static const char byte_level_steps[] =
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
    "\"decoder\":{\"type\":\"ByteLevel\"}";

/* The alphabet by its definition: printable bytes are themselves, the others count up from U+0100. */
static void add_alphabet(growing_text *json)
{
    uint32_t next = 256;

    for (uint32_t byte = 0; byte < 256; byte++) {
        const bool is_itself =
            (byte > 32 && byte < 127) || (byte > 160 && byte < 173) || (byte > 173 && byte < 256);
        char piece[4];
        const size_t length = snug_utf8_write(piece, is_itself ? byte : next++);

        growing_add_json(json, piece, length);
        growing_print(json, ":%u,", (unsigned)byte);
    }
}

/* A tokenizer.json with the byte-level vocabulary; `steps` are its other members. */
static void write_byte_level(const model_folder *folder, const char *steps)
{
    growing_text json = { NULL, 0, 0 };

    growing_print(&json, "{%s,\"model\":{\"type\":\"BPE\",\"vocab\":{", steps);
    add_alphabet(&json);
    growing_print(&json, "\"he\":%d,\"ll\":%d,\"hell\":%d,\"hello\":%d,\"\\u0120w\":%d},", HE, LL, HELL,
                  HELLO, SPACE_W);
    growing_print(&json, "\"merges\":[\"h e\",[\"l\",\"l\"],\"he ll\",\"hell o\",\"\\u0120 w\"]}}");
    model_folder_write(folder, "tokenizer.json", json.data, json.bytes);
    free(json.data);
}

static void open_byte_level(opened_text *opened, const char *steps)
{
    model_folder folder;

    model_folder_create(&folder);
    write_byte_level(&folder, steps);
    opened_text_open(opened, folder.path);
    model_folder_remove(&folder);
}

/* Words are pieces, so that ids show where a text was cut: `words` is a list of them, ids count from 0. */
static void open_words(opened_text *opened, const char *pre_tokenizer, const char *const *words, size_t count)
{
    growing_text json = { NULL, 0, 0 };
    model_folder folder;

    growing_print(&json, "{\"pre_tokenizer\":%s,\"decoder\":{\"type\":\"Fuse\"},", pre_tokenizer);
    growing_print(&json, "\"model\":{\"type\":\"BPE\",\"ignore_merges\":true,\"merges\":[],\"vocab\":{");
    for (size_t i = 0; i < count; i++) {
        growing_print(&json, "%s", i > 0 ? "," : "");
        growing_add_json(&json, words[i], strlen(words[i]));
        growing_print(&json, ":%zu", i);
    }
    growing_print(&json, "}}}");
    model_folder_create(&folder);
    model_folder_write(&folder, "tokenizer.json", json.data, json.bytes);
    free(json.data);
    opened_text_open(opened, folder.path);
    model_folder_remove(&folder);
}

#define CHECK_IDS(opened, text, flags, ...)                                                                  \
    check_ids(opened, text, sizeof(text) - 1, flags, (const uint32_t[]){ __VA_ARGS__ },                      \
              sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

static void merges_by_rank_and_leftmost_first(void **state)
{
    opened_text opened;

    (void)state;
    open_byte_level(&opened, byte_level_steps);
    CHECK_IDS(&opened, "hello", 0, HELLO);
    CHECK_IDS(&opened, "hell", 0, HELL);
    CHECK_IDS(&opened, "lll", 0, LL, 'l');
    CHECK_IDS(&opened, "hello world", 0, HELLO, SPACE_W, 'o', 'r', 'l', 'd');
    CHECK_IDS(&opened, "\xe2\x82\xac", 0, 0xe2, 0x82, 0xac);
    CHECK_IDS(&opened, "a\0b", 0, 'a', 0, 'b');
    check_ids(&opened, "", 0, 0, NULL, 0);
    opened_text_close(&opened);
}

/* In the file they stand in another order than in the table. */
static void a_merge_has_the_rank_of_its_place_in_the_file(void **state)
{
    static const snug_merge merges[] = { /* right, rank, result */
                                         { 'e', 0, HE },
                                         { 'l', 1, LL },
                                         { LL, 2, HELL },
                                         { 'o', 3, HELLO },
                                         { 'w', 4, SPACE_W }
    };
    static const uint32_t left[] = { 'h', 'l', HE, HELL, ' ' };
    opened_text opened;

    (void)state;
    open_byte_level(&opened, byte_level_steps);
    for (size_t i = 0; i < SNUG_COUNT(left); i++) {
        const snug_merge *merge = snug_merge_find(opened.text, left[i], merges[i].right);

        assert_non_null(merge);
        assert_memory_equal(merge, &merges[i], sizeof *merge);
    }
    assert_null(snug_merge_find(opened.text, 'h', 'l'));
    opened_text_close(&opened);
}

/* The long way must agree with the short one: the same letters in a word of any length. */
static void merges_long_words_as_short_ones(void **state)
{
    opened_text opened;
    char text[5 * 400];
    uint32_t ids[400];

    (void)state;
    open_byte_level(&opened, byte_level_steps);
    for (size_t count = 1; count < 400; count += 7) {
        for (size_t i = 0; i < count; i++) {
            memcpy(text + 5 * i, "hello", 5);
            ids[i] = HELLO;
        }
        check_ids(&opened, text, 5 * count, 0, ids, count);
    }
    opened_text_close(&opened);
}

static void refuses_text_that_is_not_utf8(void **state)
{
    opened_text opened;
    snug_error error = { 0 };
    uint32_t ids[16];
    size_t count = 77;

    (void)state;
    open_byte_level(&opened, byte_level_steps);
    assert_int_equal(snug_text_encode(opened.text, ids, 16, &count, "abc\xed\xa0\x80", 6, 0, &error),
                     SNUG_ERR_ARGUMENT);
    assert_non_null(strstr(error.text, "byte 3"));
    assert_int_equal(count, 77);
    opened_text_close(&opened);
}

/* Unicode 3.9, table 3-8 and below, as Rust's from_utf8_lossy: one U+FFFD for each maximal subpart. */
static void decodes_broken_bytes_to_replacements(void **state)
{
    static const struct {
        uint32_t ids[12];
        size_t count;
        const char *text;
    } cases[] = {
        { { 0x61, 0xf1, 0x80, 0x80, 0xe1, 0x80, 0xc2, 0x62, 0x80, 0x63 },
          10,
          "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
          "b\xef\xbf\xbd"
          "c" },
        { { 0xc0, 0xaf }, 2, "\xef\xbf\xbd\xef\xbf\xbd" },
        { { 0xed, 0xa0, 0x80 }, 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
        { { 0xf4, 0x90, 0x80, 0x80 }, 4, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
        { { 0xf0, 0x9f, 0x98 }, 3, "\xef\xbf\xbd" },
        { { 0xf0, 0x9f, 0x98, 0x80 }, 4, "\xf0\x9f\x98\x80" },
        { { 0xe2, 0xe2, 0x82, 0xac }, 4, "\xef\xbf\xbd\xe2\x82\xac" },
        { { 4000000000u, 'a', 299 }, 3, "a" },
    };
    opened_text opened;

    (void)state;
    open_byte_level(&opened, byte_level_steps);
    for (size_t i = 0; i < SNUG_COUNT(cases); i++)
        check_decoded(&opened, cases[i].ids, cases[i].count, 0, cases[i].text, strlen(cases[i].text));
    opened_text_close(&opened);
}

/* --- added tokens ----------------------------------------------------------------------------------- */

static const char added_steps[] =
    "\"added_tokens\":["
    "{\"id\":300,\"content\":\"<s>\",\"normalized\":false,\"special\":true},"
    "{\"id\":301,\"content\":\"<left>\",\"normalized\":false,\"special\":true,\"lstrip\":true},"
    "{\"id\":302,\"content\":\"<right>\",\"normalized\":false,\"special\":true,\"rstrip\":true},"
    "{\"id\":303,\"content\":\"word\",\"normalized\":false,\"special\":false,\"single_word\":true},"
    "{\"id\":304,\"content\":\"\\u212bngstrom\",\"normalized\":true,\"special\":false},"
    "{\"id\":305,\"content\":\"\",\"normalized\":false,\"special\":true},"
    "{\"id\":298,\"content\":\"\\t\\t\",\"normalized\":false,\"special\":true,\"lstrip\":true},"
    "{\"id\":306,\"content\":\"<s>>>\",\"normalized\":false,\"special\":false}],"
    "\"normalizer\":{\"type\":\"NFC\"},"
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}},"
    "{\"Sequence\":{\"id\":\"A\"}},{\"SpecialToken\":{\"id\":\"end\"}}],"
    "\"special_tokens\":{\"<s>\":{\"ids\":[300]},\"end\":{\"ids\":[301,302]}}},"
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"decoder\":{\"type\":"
    "\"ByteLevel\"}";

static void matches_added_tokens_leftmost_and_longest(void **state)
{
    static const uint32_t ids[] = { 'a', ID_S, ID_LONG };
    opened_text opened;

    (void)state;
    open_byte_level(&opened, added_steps);
    CHECK_IDS(&opened, "<s><s>>><s", 0, ID_S, ID_LONG, '<', 's');
    CHECK_IDS(&opened, "a  <left>  b", 0, 'a', ID_LEFT, ' ', ' ', 'b');
    CHECK_IDS(&opened, "a  <right> \n b", 0, 'a', ' ', ' ', ID_RIGHT, 'b');
    CHECK_IDS(&opened, "<right>  <left>", 0, ID_RIGHT, ID_LEFT);
    CHECK_IDS(&opened, "<right> \t\t\tx", 0, ID_RIGHT, 'x'); /* a token of tabs is in what was taken */
    CHECK_IDS(&opened, "word words (word)", 0, ID_WORD, SPACE_W, 'o', 'r', 'd', 's', ' ', '(', ID_WORD, ')');
    CHECK_IDS(&opened, "<s>", SNUG_ENCODE_NO_PARSE_SPECIAL, '<', 's', '>');
    CHECK_IDS(&opened, "<s>>>", SNUG_ENCODE_NO_PARSE_SPECIAL, ID_LONG);
    CHECK_IDS(&opened, "a", SNUG_ENCODE_ADD_SPECIAL, ID_S, 'a', ID_LEFT, ID_RIGHT);
    /* Matched in normalized text: A and a ring, one character and two, are the token's Angstrom sign. */
    CHECK_IDS(&opened, "\xc3\x85ngstrom", 0, ID_NORMAL);
    CHECK_IDS(&opened, "A\xcc\x8angstrom", 0, ID_NORMAL);
    /* U+11A7 is no final consonant: NFC leaves it alone, but not U+11A8. */
    CHECK_IDS(&opened, "\xea\xb0\x80\xe1\x86\xa7", 0, 0xea, 0xb0, 0x80, 0xe1, 0x86, 0xa7);
    CHECK_IDS(&opened, "\xea\xb0\x80\xe1\x86\xa8", 0, 0xea, 0xb0, 0x81);
    check_decoded(&opened, ids, 3, 0, "a<s><s>>>", 9);
    check_decoded(&opened, ids, 3, SNUG_DECODE_SKIP_SPECIAL, "a<s>>>", 6);
    assert_int_equal(snug_text_find(opened.text, "<s>>>"), ID_LONG);
    assert_int_equal(snug_text_id_count(opened.text), ID_LONG + 1);
    assert_int_equal(snug_text_bos_id(opened.text), 7); /* no tokenizer_config.json: config.json says */
    assert_int_equal(snug_text_eos_id(opened.text), 8);
    opened_text_close(&opened);
}

/* --- pre-tokenizers: the examples of the tokenizers library's documentation ----------------------------- */

static void splits_with_each_behavior(void **state)
{
    static const char *const words[] = { "the",    "-",      "final",      "countdown", "the-",
                                         "final-", "-final", "-countdown", "--" };
    static const struct {
        const char *behavior;
        uint32_t ids[6];
        size_t count;
    } cases[] = {
        { "Removed", { 0, 2, 3 }, 3 },
        { "Isolated", { 0, 1, 2, 1, 1, 3 }, 6 },
        { "MergedWithPrevious", { 4, 5, 1, 3 }, 4 },
        { "MergedWithNext", { 0, 6, 1, 7 }, 4 },
        { "Contiguous", { 0, 1, 2, 8, 3 }, 5 },
    };
    static const char *const patterns[] = { "{\"String\":\"-\"}", "{\"Regex\":\"-\"}" };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(cases); i++) {
        for (size_t j = 0; j < SNUG_COUNT(patterns); j++) {
            char step[256];
            opened_text opened;

            snprintf(step, sizeof step, "{\"type\":\"Split\",\"behavior\":\"%s\",\"pattern\":%s}",
                     cases[i].behavior, patterns[j]);
            open_words(&opened, step, words, SNUG_COUNT(words));
            check_ids(&opened, "the-final--countdown", 20, 0, cases[i].ids, cases[i].count);
            opened_text_close(&opened);
        }
    }
}

static void splits_what_does_not_match_when_inverted(void **state)
{
    static const char *const words[] = { "the", "-", "final", "--" };
    opened_text opened;

    (void)state;
    open_words(
        &opened,
        "{\"type\":\"Split\",\"behavior\":\"Removed\",\"pattern\":{\"Regex\":\"[a-z]+\"},\"invert\":true}",
        words, SNUG_COUNT(words));
    CHECK_IDS(&opened, "the--final-", 0, 0, 2);
    opened_text_close(&opened);
}

static void splits_digits_and_metaspace(void **state)
{
    static const char *const digits[] = { "Call ", "1", "2", "3", " please", "123" };
    static const char *const spaces[] = { "\xe2\x96\x81Hey", "\xe2\x96\x81\x66riend!", "Hey",
                                          "\xe2\x96\x81" };
    opened_text opened;

    (void)state;
    open_words(&opened, "{\"type\":\"Digits\",\"individual_digits\":true}", digits, SNUG_COUNT(digits));
    CHECK_IDS(&opened, "Call 123 please", 0, 0, 1, 2, 3, 4);
    opened_text_close(&opened);
    open_words(&opened, "{\"type\":\"Digits\",\"individual_digits\":false}", digits, SNUG_COUNT(digits));
    CHECK_IDS(&opened, "Call 123 please", 0, 0, 5, 4);
    opened_text_close(&opened);
    open_words(&opened, "{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":\"always\"}",
               spaces, SNUG_COUNT(spaces));
    CHECK_IDS(&opened, "Hey friend!", 0, 0, 1);
    CHECK_IDS(&opened, " Hey  friend!", 0, 0, 3, 1);
    opened_text_close(&opened);
    open_words(&opened, "{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":\"never\"}",
               spaces, SNUG_COUNT(spaces));
    CHECK_IDS(&opened, "Hey friend!", 0, 2, 1);
    opened_text_close(&opened);
}

/* Unicode White_Space, all 25 of it; and three that only look like it. */
static void white_space_is_unicodes(void **state)
{
    static const char white[] =
        "a\t\n\v\f\r \xc2\x85\xc2\xa0\xe1\x9a\x80\xe2\x80\x80\xe2\x80\x81\xe2\x80\x82"
        "\xe2\x80\x83\xe2\x80\x84\xe2\x80\x85\xe2\x80\x86\xe2\x80\x87\xe2\x80\x88"
        "\xe2\x80\x89\xe2\x80\x8a\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaf\xe2\x81\x9f\xe3\x80\x80"
        "b";
    static const char *const words[] = { "a", "b", "\xe1\xa0\x8e", "\xe2\x80\x8b", "\xef\xbb\xbf" };
    static const char *const patterns[] = { "\\\\s", "[\\\\s]" };
    opened_text opened;

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(patterns); i++) {
        char step[256];

        snprintf(step, sizeof step,
                 "{\"type\":\"Split\",\"behavior\":\"Removed\",\"pattern\":{\"Regex\":\"%s\"}}", patterns[i]);
        open_words(&opened, step, words, SNUG_COUNT(words));
        CHECK_IDS(&opened, white, 0, 0, 1);
        opened_text_close(&opened);
    }
    open_words(&opened, "{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{\"Regex\":\"\\\\S\"}}",
               words, SNUG_COUNT(words));
    CHECK_IDS(&opened,
              "a\xe1\xa0\x8e\xe2\x80\x8b\xef\xbb\xbf"
              "b",
              0, 0, 2, 3, 4, 1);
    opened_text_close(&opened);
}

/* --- normalizers ------------------------------------------------------------------------------------ */

static size_t random_marks(char *out, size_t characters, snug_random *random)
{
    static const uint32_t ranges[][2] = { { 0x41, 0x20 },    { 0xc0, 0x40 },     { 0x300, 0x70 },
                                          { 0x300, 0x70 },   { 0x900, 0x80 },    { 0xf70, 0x20 },
                                          { 0x1100, 0x100 }, { 0xac00, 0x2ba0 }, { 0xfb00, 0x100 },
                                          { 0xff60, 0x40 },  { 0x1d158, 0x20 },  { 0x1e00, 0x100 } };
    size_t bytes = 0;

    for (size_t i = 0; i < characters; i++) {
        const uint32_t *range = ranges[snug_random_next(random) % SNUG_COUNT(ranges)];

        bytes += snug_utf8_write(out + bytes, range[0] + (uint32_t)(snug_random_next(random) % range[1]));
    }
    return bytes;
}

/* Runs of 200 marks take the counting sort, which utf8proc on the whole text does not. */
static size_t add_long_run(char *out, snug_random *random)
{
    size_t bytes = 0;

    out[bytes++] = 'a';
    for (size_t i = 0; i < 200; i++)
        bytes += snug_utf8_write(out + bytes, 0x300 + (uint32_t)(snug_random_next(random) % 0x70));
    return bytes;
}

static void check_form(const opened_text *opened, const char *text, size_t bytes, utf8proc_option_t options)
{
    const size_t bound = snug_text_encode_bound(opened->text, bytes);
    uint32_t *ids = malloc((bound + 1) * sizeof *ids);
    utf8proc_uint8_t *form = NULL;
    const utf8proc_ssize_t length = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)bytes,
                                                 &form, UTF8PROC_STABLE | options);
    size_t count;

    assert_true(length >= 0);
    assert_int_equal(snug_text_encode(opened->text, ids, bound, &count, text, bytes, 0, NULL), SNUG_OK);
    check_decoded(opened, ids, count, 0, (const char *)form, (size_t)length);
    free(form);
    free(ids);
}

static void normalizes_to_each_unicode_form(void **state)
{
    static const struct {
        const char *name;
        utf8proc_option_t options;
    } forms[] = {
        { "NFC", UTF8PROC_COMPOSE },
        { "NFD", UTF8PROC_DECOMPOSE },
        { "NFKC", UTF8PROC_COMPOSE | UTF8PROC_COMPAT },
        { "NFKD", UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT },
    };
    snug_random random = { 5 };
    char text[4 * 300];

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(forms); i++) {
        char steps[256];
        opened_text opened;

        snprintf(steps, sizeof steps, "\"normalizer\":{\"type\":\"%s\"},%s", forms[i].name, byte_level_steps);
        open_byte_level(&opened, steps);
        for (int round = 0; round < 500; round++) {
            size_t bytes = random_marks(text, snug_random_next(&random) % 30, &random);

            if (round % 50 == 0)
                bytes += add_long_run(text + bytes, &random);
            check_form(&opened, text, bytes, forms[i].options);
        }
        opened_text_close(&opened);
    }
}

static void replaces_and_prepends(void **state)
{
    opened_text opened;

    (void)state;
    open_byte_level(
        &opened, "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":"
                 "\">\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\"ab\"},\"content\":\"c\"},"
                 "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" {2,}\"},\"content\":\"__\"}]},"
                 "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true},"
                 "\"decoder\":{\"type\":\"ByteLevel\"}");
    CHECK_IDS(&opened, "aabab   x y", 0, ' ', '>', 'a', 'c', 'c', '_', '_', 'x', ' ', 'y');
    opened_text_close(&opened);
}

/* --- what is refused ---------------------------------------------------------------------------------- */

static void refuses_unknown_kinds_by_name(void **state)
{
    static const struct {
        const char *steps;
        const char *sentence;
    } cases[] = {
        { "\"normalizer\":{\"type\":\"Polish\"}", "normalizer type \"Polish\"" },
        { "\"pre_tokenizer\":{\"type\":\"Sieve\"}", "pre-tokenizer type \"Sieve\"" },
        { "\"decoder\":{\"type\":\"Crystal\"}", "decoder type \"Crystal\"" },
        { "\"decoder\":{\"type\":\"Fuse\"},\"post_processor\":{\"type\":\"Wax\"}",
          "post-processor type \"Wax\"" },
        { "\"decoder\":null", "no decoder" },
        { "\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Shy\",\"pattern\":{\"String\":\"a\"}}",
          "behavior \"Shy\"" },
        { "\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{\"Regex\":"
          "\"[a[b]]\"}}",
          "class inside a class" },
        { "\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{\"Regex\":"
          "\"[a&&b]\"}}",
          "&& inside a class" },
        { "\"added_tokens\":[{\"content\":\"x\",\"id\":-1}],\"decoder\":{\"type\":\"Fuse\"}", "but is -1" },
        { "\"added_tokens\":[{\"id\":1}],\"decoder\":{\"type\":\"Fuse\"}", "should have a content" },
    };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(cases); i++) {
        snug_memory *memory = NULL;
        snug_error error = { 0 };
        snug_text *text = NULL;
        model_folder folder;

        model_folder_create(&folder);
        write_byte_level(&folder, cases[i].steps);
        assert_int_equal(snug_memory_create(&memory, NULL), SNUG_OK);
        assert_int_not_equal(snug_text_open(&text, memory, folder.path, &error), SNUG_OK);
        assert_null(text);
        if (!strstr(error.text, cases[i].sentence) || !strstr(error.text, "tokenizer.json"))
            fail_msg("\"%s\" should say: %s", error.text, cases[i].sentence);
        assert_int_equal(snug_memory_read_all(memory).used_bytes, 0);
        snug_memory_destroy(memory);
        model_folder_remove(&folder);
    }
}

/* Every limit from nothing upwards: refused with nothing left behind, until it is enough; then the same for
 * encoding, whose refusal leaves the text usable. */
static void gives_everything_back_when_memory_ends(void **state)
{
    model_folder folder;
    bool is_open = false;
    bool is_encoded = false;

    (void)state;
    model_folder_create(&folder);
    write_byte_level(&folder, added_steps);
    for (uint64_t limit = 1024; !is_encoded; limit += 512) {
        snug_memory_options options = { .struct_size = sizeof options, .hard_bytes = limit };
        snug_memory *memory = NULL;
        snug_error error = { 0 };
        snug_text *text = NULL;
        snug_status status;
        static char long_text[4000];
        static uint32_t ids[4 * sizeof long_text];
        size_t count;

        assert_true(limit < 1000000);
        assert_int_equal(snug_memory_create(&memory, &options), SNUG_OK);
        status = snug_text_open(&text, memory, folder.path, &error);
        assert_true(status == SNUG_OK || (status == SNUG_ERR_OVER_LIMIT && error.text[0] != '\0'));
        if (status == SNUG_OK) {
            is_open = true;
            memset(long_text, 'h', sizeof long_text);
            memcpy(long_text + 2000, "A\xcc\x8a", 3);
            status =
                snug_text_encode(text, ids, SNUG_COUNT(ids), &count, long_text, sizeof long_text, 0, &error);
            assert_true(status == SNUG_OK || status == SNUG_ERR_OVER_LIMIT);
            is_encoded = status == SNUG_OK;
        }
        snug_text_close(text);
        assert_int_equal(snug_memory_read_all(memory).used_bytes, 0);
        snug_memory_destroy(memory);
    }
    assert_true(is_open);
    model_folder_remove(&folder);
}

/* --- conversations ------------------------------------------------------------------------------------ */

static void shows_the_template_what_hugging_face_shows(void **state)
{
    static const char source[] =
        "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}[{{ mood }}]{% endif %}"
        "{% if tools is none %}!{% endif %}";
    static const char config[] =
        "{\"bos_token\":{\"content\":\"<s>\"},\"eos_token\":\"hello\",\"pad_token\":null}";
    const snug_message messages[] = { { "user", "a \"b\"\\\n\x01" }, { "tool", "" } };
    snug_chat_options options = { .struct_size = sizeof options,
                                  .variables_json = " { \"mood\" : \"glad\" } " };
    snug_error error = { 0 };
    model_folder folder;
    opened_text opened;
    char *rendered;
    size_t bytes;

    (void)state;
    model_folder_create(&folder);
    write_byte_level(&folder, added_steps);
    model_folder_write(&folder, "chat_template.jinja", source, sizeof source - 1);
    model_folder_write(&folder, "tokenizer_config.json", config, sizeof config - 1);
    opened_text_open(&opened, folder.path);
    assert_true(snug_text_has_chat(opened.text, NULL));
    assert_int_equal(snug_text_bos_id(opened.text), ID_S);
    assert_int_equal(snug_text_eos_id(opened.text), HELLO);
    assert_int_equal(snug_text_chat(opened.text, &rendered, &bytes, messages, 2, &options, &error), SNUG_OK);
    assert_string_equal(rendered, "<s>[user]a \"b\"\\\n\x01[tool][glad]!");
    assert_int_equal(bytes, strlen(rendered));
    snug_text_free_string(opened.text, rendered);
    options.variables_json = "[1]";
    assert_int_equal(snug_text_chat(opened.text, &rendered, &bytes, messages, 2, &options, &error),
                     SNUG_ERR_ARGUMENT);
    assert_null(rendered);
    options.variables_json = "{\"a\":}";
    assert_int_equal(snug_text_chat(opened.text, &rendered, &bytes, messages, 2, &options, &error),
                     SNUG_ERR_ARGUMENT);
    opened_text_close(&opened);
    model_folder_remove(&folder);
}

/* --- SentencePiece ------------------------------------------------------------------------------------ */

/* Byte fallback, the unknown, the leading space: Llama 2's steps with a vocabulary of our own. */
static void falls_back_to_bytes_and_to_the_unknown(void **state)
{
    static const char json[] =
        "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":"
        "\"\\u2581\"},"
        "{\"type\":\"Replace\",\"pattern\":{\"String\":\" "
        "\"},\"content\":\"\\u2581\"}]},\"pre_tokenizer\":null,"
        "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":"
        "\"\\u2581\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\","
        "\"content\":\" \",\"start\":1,\"stop\":0}]},"
        "\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"fuse_unk\":true,\"byte_fallback\":true,"
        "\"vocab\":{\"<unk>\":0,\"<0xE2>\":1,\"<0x82>\":2,\"<0xAC>\":3,\"\\u2581\":4,\"a\":5,\"\\u2581a\":6},"
        "\"merges\":[[\"\\u2581\",\"a\"]]}}";
    static const uint32_t euro[] = { 6, 1, 2, 3, 6 };
    static const uint32_t broken[] = { 6, 1, 2, 6, 2 };
    model_folder folder;
    opened_text opened;

    (void)state;
    model_folder_create(&folder);
    model_folder_write(&folder, "tokenizer.json", json, sizeof json - 1);
    opened_text_open(&opened, folder.path);
    CHECK_IDS(&opened, "a a", 0, 6, 6);
    CHECK_IDS(&opened, "a\xe2\x82\xac a", 0, 6, 1, 2, 3, 6);
    CHECK_IDS(&opened, "axyza", 0, 6, 0, 5); /* one unknown for three characters without bytes */
    check_decoded(&opened, euro, 5, 0, "a\xe2\x82\xac a", 6);
    check_decoded(&opened, broken, 5, 0, "a\xef\xbf\xbd\xef\xbf\xbd a\xef\xbf\xbd", 12);
    opened_text_close(&opened);
    model_folder_remove(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_by_rank_and_leftmost_first),
        cmocka_unit_test(a_merge_has_the_rank_of_its_place_in_the_file),
        cmocka_unit_test(merges_long_words_as_short_ones),
        cmocka_unit_test(refuses_text_that_is_not_utf8),
        cmocka_unit_test(decodes_broken_bytes_to_replacements),
        cmocka_unit_test(matches_added_tokens_leftmost_and_longest),
        cmocka_unit_test(splits_with_each_behavior),
        cmocka_unit_test(splits_what_does_not_match_when_inverted),
        cmocka_unit_test(splits_digits_and_metaspace),
        cmocka_unit_test(white_space_is_unicodes),
        cmocka_unit_test(normalizes_to_each_unicode_form),
        cmocka_unit_test(replaces_and_prepends),
        cmocka_unit_test(refuses_unknown_kinds_by_name),
        cmocka_unit_test(gives_everything_back_when_memory_ends),
        cmocka_unit_test(shows_the_template_what_hugging_face_shows),
        cmocka_unit_test(falls_back_to_bytes_and_to_the_unknown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
