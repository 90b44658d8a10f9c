/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_safetensors.c - headers of safetensors files, sound and damaged, read from memory. Every file lies in
 * a block of exactly its size, so that the address sanitizer stops a read past its end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/status.h"
#include "format/safetensors.h"
#include "format/tensor.h"
#include "tests/format/folder.h"

#define TENSORS_MAX 64

typedef struct reading {
    unsigned char *file;
    snug_safetensors view;
    snug_tensor tensors[TENSORS_MAX];
    char names[512];
} reading;

static snug_status read_bytes(reading *out, size_t bytes, snug_error *error)
{
    SNUG_TRY(snug_safetensors_open(&out->view, out->file, bytes, error));
    assert_true(out->view.tensor_count <= TENSORS_MAX);
    assert_true(out->view.escaped_name_bytes <= sizeof out->names);
    return snug_safetensors_read(out->tensors, out->names, &out->view, 5, error);
}

/* Read a file of this header and so many bytes of data; free(out->file) afterwards. */
static snug_status read_file(reading *out, const char *header, size_t data_bytes, snug_error *error)
{
    size_t bytes;

    memset(out, 0, sizeof *out);
    out->file = tensors_file(header, data_bytes, &bytes);
    return read_bytes(out, bytes, error);
}

static void reads_a_sound_header(void **state)
{
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"b\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[4,16]},"
        "\"a\":{\"data_offsets\":[0,4],\"dtype\":\"F32\",\"shape\":[],\"more\":[1,{}]},"
        "\"n\\u00e9\\n\":{\"dtype\":\"I64\",\"shape\":[1,1,1,1,1,1],\"data_offsets\":[16,24]}}   ";
    const unsigned char *data;
    reading read;

    (void)state;
    assert_int_equal(read_file(&read, header, 24, NULL), SNUG_OK);
    data = read.file + 8 + strlen(header);
    assert_int_equal(read.view.tensor_count, 3);
    assert_true(snug_str_is(read.tensors[0].name, "a"));
    assert_int_equal(read.tensors[0].type, SNUG_TYPE_F32);
    assert_int_equal(read.tensors[0].rank, 0);
    assert_ptr_equal(read.tensors[0].data, data);
    assert_int_equal(read.tensors[0].bytes, 4);
    assert_true(snug_str_is(read.tensors[1].name, "b"));
    assert_int_equal(read.tensors[1].type, SNUG_TYPE_BF16);
    assert_int_equal(read.tensors[1].rank, 2);
    assert_true(read.tensors[1].shape[0] == 2 && read.tensors[1].shape[1] == 3);
    assert_ptr_equal(read.tensors[1].data, data + 4);
    assert_int_equal(read.tensors[1].file, 5);
    assert_true(snug_str_is(read.tensors[2].name, "n\xc3\xa9\n"));
    assert_int_equal(read.tensors[2].type, SNUG_TYPE_NONE);
    assert_true(snug_str_is(read.tensors[2].type_name, "I64"));
    assert_int_equal(read.tensors[2].rank, 6);
    free(read.file);
}

static void accepts_the_unusual(void **state)
{
    static const struct {
        const char *header;
        size_t data_bytes;
    } cases[] = {
        { "{}", 0 },
        { "{ }\n", 0 },
        { "{\"__metadata__\":{}}", 0 },
        { "{\"\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1 },
        /* Empty tensors, at the beginning, between two and at the end. */
        { "{\"e\":{\"dtype\":\"F32\",\"shape\":[0,32],\"data_offsets\":[0,0]}}", 0 },
        { "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
          "\"e\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[2,2]},"
          "\"f\":{\"dtype\":\"U8\",\"shape\":[0,18446744073709551615],\"data_offsets\":[2,2]},"
          "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]},"
          "\"g\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[3,3]}}",
          3 },
        { "{\"a\":{\"dtype\":\"F4\",\"shape\":[3,2],\"data_offsets\":[0,3]}}", 3 },
        { "{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":[0,3]}}", 3 },
        { "{\"a\":{\"dtype\":\"C64\",\"shape\":[2],\"data_offsets\":[0,16]}}", 16 },
    };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(cases); i++) {
        snug_error error = { .text = "" };
        reading read;

        if (read_file(&read, cases[i].header, cases[i].data_bytes, &error) != SNUG_OK)
            fail_msg("%s: %s", cases[i].header, error.text);
        free(read.file);
    }
}

/* An entry for "t" with data of 8 bytes; what the sentence must hold. */
typedef struct bad_entry {
    const char *entry;
    snug_status status;
    const char *sentence;
} bad_entry;

static void refuses_damaged_entries(void **state)
{
    static const bad_entry cases[] = {
        { "1", SNUG_ERR_CORRUPT, "expected an object with dtype, shape and data_offsets" },
        { "null", SNUG_ERR_CORRUPT, "expected an object" },
        { "{\"dtype\":\"U8\",\"shape\":[8]}", SNUG_ERR_CORRUPT, "data_offsets" },
        { "{\"dtype\":\"U8\",\"data_offsets\":[0,8]}", SNUG_ERR_CORRUPT, "shape" },
        { "{\"shape\":[8],\"data_offsets\":[0,8]}", SNUG_ERR_CORRUPT, "dtype" },
        { "{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8],\"shape\":[8]}", SNUG_ERR_CORRUPT,
          "shape is given twice" },
        { "{\"dtype\":5,\"shape\":[8],\"data_offsets\":[0,8]}", SNUG_ERR_CORRUPT, "dtype is a number" },
        { "{\"dtype\":\"F99\",\"shape\":[8],\"data_offsets\":[0,8]}", SNUG_ERR_UNSUPPORTED, "'F99'" },
        { "{\"dtype\":\"u8\",\"shape\":[8],\"data_offsets\":[0,8]}", SNUG_ERR_UNSUPPORTED, "'u8'" },
        { "{\"dtype\":\"U8\",\"shape\":8,\"data_offsets\":[0,8]}", SNUG_ERR_CORRUPT, "expected an array" },
        { "{\"dtype\":\"U8\",\"shape\":[-8],\"data_offsets\":[0,8]}", SNUG_ERR_CORRUPT, "dimension -8" },
        { "{\"dtype\":\"U8\",\"shape\":[8.0],\"data_offsets\":[0,8]}", SNUG_ERR_CORRUPT, "dimension 8.0" },
        { "{\"dtype\":\"U8\",\"shape\":[\"8\"],\"data_offsets\":[0,8]}", SNUG_ERR_CORRUPT, "dimension" },
        { "{\"dtype\":\"U8\",\"shape\":[18446744073709551616],\"data_offsets\":[0,8]}", SNUG_ERR_CORRUPT,
          "dimension 18446744073709551616" },
        { "{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}", SNUG_ERR_CORRUPT,
          "too large" },
        { "{\"dtype\":\"F64\",\"shape\":[2305843009213693952],\"data_offsets\":[0,0]}", SNUG_ERR_CORRUPT,
          "does not fill" },
        { "{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,8],\"data_offsets\":[0,8]}", SNUG_ERR_UNSUPPORTED,
          "more than 8 dimensions" },
        { "{\"dtype\":\"U8\",\"shape\":[7],\"data_offsets\":[0,8]}", SNUG_ERR_CORRUPT, "does not fill" },
        { "{\"dtype\":\"F16\",\"shape\":[8],\"data_offsets\":[0,8]}", SNUG_ERR_CORRUPT, "does not fill" },
        { "{\"dtype\":\"F4\",\"shape\":[15],\"data_offsets\":[0,8]}", SNUG_ERR_CORRUPT, "does not fill" },
        { "{\"dtype\":\"F4\",\"shape\":[17],\"data_offsets\":[0,8]}", SNUG_ERR_CORRUPT, "does not fill" },
        { "{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[8,0]}", SNUG_ERR_CORRUPT,
          "inside the file's 8" },
        { "{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,9]}", SNUG_ERR_CORRUPT,
          "inside the file's 8" },
        { "{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[9,17]}", SNUG_ERR_CORRUPT,
          "inside the file's 8" },
        { "{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[-8,0]}", SNUG_ERR_CORRUPT, "two integers" },
        { "{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,18446744073709551624]}", SNUG_ERR_CORRUPT,
          "two integers" },
        { "{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0]}", SNUG_ERR_CORRUPT, "two integers" },
        { "{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8,8]}", SNUG_ERR_CORRUPT, "two integers" },
        { "{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":{\"0\":8}}", SNUG_ERR_CORRUPT, "two integers" },
        /* Sound in itself, but not all of the data, or not from its beginning. */
        { "{\"dtype\":\"U8\",\"shape\":[7],\"data_offsets\":[0,7]}", SNUG_ERR_CORRUPT, "1 bytes follow" },
        { "{\"dtype\":\"U8\",\"shape\":[7],\"data_offsets\":[1,8]}", SNUG_ERR_CORRUPT, "begins at byte 1" },
    };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(cases); i++) {
        snug_error error = { .text = "" };
        char header[256];
        reading read;

        snprintf(header, sizeof header, "{\"t\":%s}", cases[i].entry);
        assert_int_equal(read_file(&read, header, 8, &error), cases[i].status);
        if (!strstr(error.text, cases[i].sentence))
            fail_msg("%s: '%s' lacks '%s'", header, error.text, cases[i].sentence);
        free(read.file);
    }
}

static void refuses_holes_and_overlaps(void **state)
{
    static const char *const offsets[][2] = {
        { "[0,4]", "[3,7]" },
        { "[0,4]", "[0,4]" },
        { "[0,4]", "[5,9]" },
        { "[4,8]", "[5,9]" },
    };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(offsets); i++) {
        snug_error error = { .text = "" };
        char header[256];
        reading read;

        snprintf(header, sizeof header,
                 "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":%s},"
                 "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":%s}}",
                 offsets[i][0], offsets[i][1]);
        assert_int_equal(read_file(&read, header, 9, &error), SNUG_ERR_CORRUPT);
        assert_non_null(strstr(error.text, "neither overlap nor leave holes"));
        free(read.file);
    }
}

static void refuses_damaged_headers(void **state)
{
    static const char *const headers[] = { "",
                                           "[]",
                                           " {}",
                                           "\xef\xbb\xbf{}",
                                           "{",
                                           "{}x",
                                           "{\"a\\u0000b\":{}}",
                                           "{\"__metadata__\":1}",
                                           "{\"__metadata__\":{},\"__metadata__\":{}}" };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(headers); i++) {
        snug_error error = { .text = "" };
        reading read;

        assert_int_equal(read_file(&read, headers[i], 0, &error), SNUG_ERR_CORRUPT);
        assert_non_null(strstr(error.text, "safetensors"));
        free(read.file);
    }
}

static void refuses_every_cut_and_every_wrong_length(void **state)
{
    static const char header[] = "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}";
    static const uint64_t lengths[] = { 0,          1,          sizeof header,  1ull << 32,
                                        1ull << 63, UINT64_MAX, UINT64_MAX - 7, 100000001 };
    size_t bytes;
    unsigned char *file = tensors_file(header, 4, &bytes);

    (void)state;
    for (size_t cut = 0; cut < bytes; cut++) {
        reading read = { .file = malloc(cut ? cut : 1) };

        assert_non_null(read.file);
        memcpy(read.file, file, cut);
        assert_int_equal(read_bytes(&read, cut, NULL), SNUG_ERR_CORRUPT);
        free(read.file);
    }
    for (size_t i = 0; i < SNUG_COUNT(lengths); i++) {
        reading read = { .file = file };

        for (unsigned byte = 0; byte < 8; byte++)
            file[byte] = (unsigned char)(lengths[i] >> (8 * byte));
        assert_int_equal(read_bytes(&read, bytes, NULL), SNUG_ERR_CORRUPT);
    }
    free(file);
    assert_int_equal(snug_safetensors_open(&(snug_safetensors){ .data = NULL }, NULL, 0, NULL),
                     SNUG_ERR_CORRUPT);
}

/* A file may not send control characters to a terminal by way of a sentence. */
static void sentences_hold_no_control_characters(void **state)
{
    static const char header[] = "{\"\\u001b[31ma\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}";
    snug_error error = { .text = "" };
    reading read;

    (void)state;
    assert_int_equal(read_file(&read, header, 8, &error), SNUG_ERR_CORRUPT);
    assert_null(strchr(error.text, 0x1b));
    free(read.file);
}

static void sorts_as_a_slow_sort_does(void **state)
{
    snug_random random = { .state = 11 };

    (void)state;
    for (size_t round = 0; round < 300; round++) {
        char letters[TENSORS_MAX][4];
        snug_tensor tensors[TENSORS_MAX] = { { .rank = 0 } };
        size_t seen[26 * 26] = { 0 };
        const size_t count = round % TENSORS_MAX;

        for (size_t i = 0; i < count; i++) {
            const size_t pair = (size_t)(snug_random_next(&random) % SNUG_COUNT(seen));

            snprintf(letters[i], sizeof letters[i], "%c%c", (char)('a' + pair / 26), (char)('a' + pair % 26));
            tensors[i].name = snug_str_from(letters[i]);
            seen[pair]++;
        }
        snug_tensor_sort(tensors, count, snug_tensor_compare_names);
        /* Counting sort: the pairs in order, each as often as it was drawn. */
        for (size_t pair = 0, at = 0; pair < SNUG_COUNT(seen); pair++)
            for (; seen[pair] > 0; seen[pair]--, at++) {
                assert_int_equal(tensors[at].name.data[0], 'a' + pair / 26);
                assert_int_equal(tensors[at].name.data[1], 'a' + pair % 26);
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_sound_header),
        cmocka_unit_test(accepts_the_unusual),
        cmocka_unit_test(refuses_damaged_entries),
        cmocka_unit_test(refuses_holes_and_overlaps),
        cmocka_unit_test(refuses_damaged_headers),
        cmocka_unit_test(refuses_every_cut_and_every_wrong_length),
        cmocka_unit_test(sentences_hold_no_control_characters),
        cmocka_unit_test(sorts_as_a_slow_sort_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
