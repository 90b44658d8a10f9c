/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_base.c - the small parts of base: checked sizes, statuses and sentences, element types, borrowed
 * strings, UTF-8.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/checksum.h"
#include "base/size.h"
#include "base/status.h"
#include "base/str.h"
#include "base/type.h"
#include "base/utf8.h"

static void sizes_do_not_wrap(void **state)
{
    uint64_t out = 7;

    (void)state;
    assert_true(snug_add_u64(&out, UINT64_MAX - 1, 1) && out == UINT64_MAX);
    assert_true(snug_add_u64(&out, 0, 0) && out == 0);
    assert_true(snug_multiply_u64(&out, 0, UINT64_MAX) && out == 0);
    assert_true(snug_multiply_u64(&out, UINT64_MAX, 0) && out == 0);
    assert_true(snug_multiply_u64(&out, 0xffffffffu, 0x100000001u) && out == UINT64_MAX);
    out = 7;
    assert_false(snug_add_u64(&out, UINT64_MAX, 1));
    assert_false(snug_multiply_u64(&out, 1ull << 32, 1ull << 32));
    assert_false(snug_multiply_u64(&out, UINT64_MAX, 2));
    assert_false(snug_multiply_u64(&out, 0x100000000u, 0x100000001u));
    assert_true(out == 7);
}

static void rounds_up(void **state)
{
    (void)state;
    assert_int_equal(snug_round_up(0, 64), 0);
    assert_int_equal(snug_round_up(1, 64), 64);
    assert_int_equal(snug_round_up(64, 64), 64);
    assert_int_equal(snug_round_up(65, 64), 128);
    assert_int_equal(snug_divide_up(0, 3), 0);
    assert_int_equal(snug_divide_up(7, 3), 3);
    assert_int_equal(snug_divide_up(9, 3), 3);
    assert_int_equal(snug_min_size(3, 4), 3);
    assert_int_equal(snug_max_size(3, 4), 4);
}

static void statuses_have_names_and_numbers(void **state)
{
    (void)state;
    assert_string_equal(snug_status_name(SNUG_OK), "OK");
    assert_string_equal(snug_status_name(SNUG_ERR_OVER_LIMIT), "ERR_OVER_LIMIT");
    assert_string_equal(snug_status_text(SNUG_OK), "success");
    assert_string_equal(snug_status_name((snug_status)-99), "unknown status");
    assert_string_equal(snug_status_text((snug_status)99), "unknown status");
    assert_int_equal(SNUG_ERR_ARGUMENT, -1);
    assert_int_equal(SNUG_ERR_CANCELLED, -8);
}

static void a_sentence_is_written_once_and_prefixed(void **state)
{
    snug_error error = { .text = "" };
    char long_text[2 * SNUG_ERROR_TEXT_BYTES];

    (void)state;
    assert_int_equal(snug_fail(&error, SNUG_ERR_IO, "no %s in %d", "x", 3), SNUG_ERR_IO);
    assert_int_equal(error.status, SNUG_ERR_IO);
    assert_string_equal(error.text, "no x in 3");
    assert_int_equal(snug_fail_prefix(&error, SNUG_ERR_CORRUPT, "file"), SNUG_ERR_CORRUPT);
    assert_string_equal(error.text, "file: no x in 3");
    assert_int_equal(snug_fail(NULL, SNUG_ERR_IO, "nobody reads %s", "this"), SNUG_ERR_IO);
    assert_int_equal(snug_fail_prefix(NULL, SNUG_ERR_IO, "file"), SNUG_ERR_IO);
    memset(long_text, 'a', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    assert_int_equal(snug_fail(&error, SNUG_ERR_IO, "%s", long_text), SNUG_ERR_IO);
    assert_int_equal(strlen(error.text), SNUG_ERROR_TEXT_BYTES - 1);
    assert_int_equal(snug_fail_prefix(&error, SNUG_ERR_IO, long_text), SNUG_ERR_IO);
    assert_true(strlen(error.text) < SNUG_ERROR_TEXT_BYTES);
}

static void types_have_layouts(void **state)
{
    (void)state;
    assert_string_equal(snug_type_layout_of(SNUG_TYPE_F32)->name, "F32");
    assert_string_equal(snug_type_layout_of(SNUG_TYPE_BF16)->name, "BF16");
    assert_int_equal(snug_type_row_bytes(SNUG_TYPE_F32, 10), 40);
    assert_int_equal(snug_type_row_bytes(SNUG_TYPE_F16, 10), 20);
    assert_int_equal(snug_type_row_bytes(SNUG_TYPE_BF16, 0), 0);
    for (int type = SNUG_TYPE_NONE + 1; type < SNUG_TYPE_COUNT; type++) {
        const snug_type_layout *layout = snug_type_layout_of((snug_type)type);

        assert_non_null(layout->name);
        assert_true(layout->block_values > 0 && layout->block_bytes > 0);
        assert_int_equal(snug_type_row_bytes((snug_type)type, layout->block_values), layout->block_bytes);
    }
}

static void strings_compare_by_content(void **state)
{
    const snug_str with_zero = { "a\0b", 3 };

    (void)state;
    assert_true(snug_str_is((snug_str){ "abc", 2 }, "ab"));
    assert_false(snug_str_is((snug_str){ "abc", 3 }, "ab"));
    assert_true(snug_str_is((snug_str){ NULL, 0 }, ""));
    assert_false(snug_str_is(with_zero, "a"));
    assert_true(snug_str_equal(with_zero, (snug_str){ "a\0b", 3 }));
    assert_true(snug_str_hash(snug_str_from("a")) == 0xaf63dc4c8601ec8cull); /* published FNV-1a value */
    assert_true(snug_str_hash((snug_str){ NULL, 0 }) == 0xcbf29ce484222325ull);
}

/* A second, slower reading of RFC 3629: decode by the leading ones of the first byte, then judge. */
static size_t sequence_by_value(const unsigned char *bytes, size_t count)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t ones = 0;
    uint32_t code;

    while (ones < 8 && bytes[0] & (0x80u >> ones))
        ones++;
    if (ones == 0)
        return 1;
    if (ones == 1 || ones > 4 || ones > count)
        return 0;
    code = bytes[0] & (0x7fu >> ones);
    for (size_t i = 1; i < ones; i++) {
        if (bytes[i] >> 6 != 2)
            return 0;
        code = code << 6 | (bytes[i] & 0x3f);
    }
    return code < least[ones] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ? 0 : ones;
}

static void finds_utf8_sequences(void **state)
{
    static const unsigned char edges[] = { 0x00, 0x22, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff };

    (void)state;
    for (unsigned first = 0; first < 256; first++)
        for (unsigned second = 0; second < 256; second++)
            for (unsigned i = 0; i < SNUG_COUNT(edges) * SNUG_COUNT(edges); i++) {
                const unsigned char bytes[] = { (unsigned char)first, (unsigned char)second,
                                                edges[i / SNUG_COUNT(edges)], edges[i % SNUG_COUNT(edges)] };
                char text[4];

                memcpy(text, bytes, 4);
                for (size_t count = 1; count <= 4; count++)
                    assert_int_equal(snug_utf8_sequence_bytes(text, text + count),
                                     sequence_by_value(bytes, count));
            }
    assert_int_equal(snug_utf8_valid_bytes("abc\xc3\xa9\xff", 6), 5);
    assert_int_equal(snug_utf8_valid_bytes("", 0), 0);
    assert_int_equal(snug_utf8_valid_bytes("\xe2\x82", 2), 0);
}

/* Against the xxhash package of Python 3, in one piece and in pieces of 1 to 40 bytes. */
static void checksums_are_those_of_xxh64(void **state)
{
    static const struct {
        size_t bytes;
        uint64_t checksum;
    } expected[] = {
        { 0, 0xef46db3751d8e999 },  { 1, 0xa96c7f0ce858bbb7 },   { 4, 0xfa212ae44b3bb23d },
        { 7, 0x2744460dd675d2c0 },  { 8, 0x994b676b71ce94dd },   { 31, 0x6711d55e306b5d8f },
        { 32, 0x7f7b8e3bc5d6e25 },  { 33, 0x9f85eeb4e1cbe9f },   { 63, 0xb7c9968c066cb6a5 },
        { 64, 0x50d4159a0411632e }, { 100, 0x9ddada11d3dc2d8f }, { 199, 0x7f3aea62b83742f6 },
    };
    unsigned char data[200];

    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 131 + 7);
    for (size_t i = 0; i < SNUG_COUNT(expected); i++) {
        for (size_t piece = 1; piece <= 40; piece++) {
            snug_checksum sum = snug_checksum_begin();

            for (size_t at = 0; at < expected[i].bytes; at += piece)
                snug_checksum_add(&sum, data + at, snug_min_size(piece, expected[i].bytes - at));
            assert_true(snug_checksum_end(&sum) == expected[i].checksum);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_do_not_wrap),
        cmocka_unit_test(rounds_up),
        cmocka_unit_test(checksums_are_those_of_xxh64),
        cmocka_unit_test(statuses_have_names_and_numbers),
        cmocka_unit_test(a_sentence_is_written_once_and_prefixed),
        cmocka_unit_test(types_have_layouts),
        cmocka_unit_test(strings_compare_by_content),
        cmocka_unit_test(finds_utf8_sequences),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
