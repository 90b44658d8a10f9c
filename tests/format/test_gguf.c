/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_gguf.c - GGUF files written here field by field, sound and damaged, read from memory: the container
 * alone. Every file lies in a block of exactly its size, so that the address sanitizer stops a read past its
 * end. How checkpoints use them is in test_gguf_checkpoint.c.
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
#include "format/gguf.h"
#include "tests/format/gguf_writer.h"

#define ENTRIES_MAX 64
#define TENSORS_MAX 64

typedef struct reading {
    unsigned char *file;
    snug_gguf view;
    snug_gguf_entry entries[ENTRIES_MAX];
    snug_tensor tensors[TENSORS_MAX];
    snug_error error;
} reading;

/* Read the bytes of a file in a block of its own; free(out->file) afterwards. */
static snug_status read_bytes(reading *out, const unsigned char *bytes, size_t count)
{
    memset(out, 0, sizeof *out);
    out->file = malloc(count ? count : 1);
    assert_non_null(out->file);
    memcpy(out->file, bytes, count);
    SNUG_TRY(snug_gguf_open(&out->view, count ? out->file : NULL, count, &out->error));
    assert_true(out->view.entry_count <= ENTRIES_MAX && out->view.tensor_count <= TENSORS_MAX);
    SNUG_TRY(snug_gguf_read_entries(&out->view, out->entries, &out->error));
    return snug_gguf_read_tensors(out->tensors, &out->view, 5, &out->error);
}

static snug_status read_written(reading *out, const gguf_writer *file)
{
    return read_bytes(out, file->bytes, file->count);
}

static void read_sound(reading *out, const gguf_writer *file)
{
    if (read_written(out, file) != SNUG_OK)
        fail_msg("%s", out->error.text);
}

static void expect_refusal(const gguf_writer *file, snug_status status, const char *sentence)
{
    reading read;

    assert_int_equal(read_written(&read, file), status);
    assert_int_equal(read.error.status, status);
    if (!strstr(read.error.text, sentence))
        fail_msg("'%s' lacks '%s'", read.error.text, sentence);
    free(read.file);
}

static const snug_tensor *find(const reading *read, const char *name)
{
    for (size_t i = 0; i < read->view.tensor_count; i++)
        if (snug_str_is(read->tensors[i].name, name))
            return &read->tensors[i];
    return NULL;
}

/* --- sound files ---------------------------------------------------------------------------------------- */

static void reads_both_versions(void **state)
{
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        gguf_writer file;
        reading read;

        put_head(&file, version, 2, 1);
        put_key(&file, "general.name", SNUG_GGUF_STRING);
        put_text(&file, "tiny");
        put_tensor(&file, "b", 2, (const uint64_t[]){ 32, 3 }, 2, 64); /* Q4_0 */
        put_tensor(&file, "a", 1, (const uint64_t[]){ 5 }, 0, 0);
        put_data(&file, 32, 64 + 3 * 18);
        read_sound(&read, &file);
        assert_int_equal(read.view.tensor_count, 2);
        assert_int_equal(read.view.data_bytes, 64 + 3 * 18);
        /* In the order of the data. */
        assert_true(snug_str_is(read.tensors[0].name, "a") && snug_str_is(read.tensors[1].name, "b"));
        assert_ptr_equal(read.tensors[0].data, read.file + file.count - (64 + 3 * 18));
        assert_int_equal((uintptr_t)((const unsigned char *)read.tensors[0].data - read.file) % 32, 0);
        assert_int_equal(read.tensors[0].bytes, 20);
        assert_int_equal(read.tensors[0].type, SNUG_TYPE_F32);
        assert_int_equal(read.tensors[0].file, 5);
        assert_int_equal(read.tensors[1].type, SNUG_TYPE_Q4_0);
        assert_true(snug_str_is(read.tensors[1].type_name, "Q4_0"));
        assert_int_equal(read.tensors[1].bytes, 3 * 18);
        assert_ptr_equal(read.tensors[1].data, read.file + file.count - 3 * 18);
        free(read.file);
    }
}

static void reads_a_file_without_tensors_and_padding(void **state)
{
    gguf_writer file;
    reading read;

    (void)state;
    put_head(&file, 3, 0, 0);
    read_sound(&read, &file);
    assert_int_equal(read.view.data_bytes, 0);
    assert_null(snug_gguf_find(&read.view, "general.name").at);
    free(read.file);
}

static void turns_shapes_around(void **state)
{
    static const struct {
        uint32_t rank;
        uint64_t dimensions[4];
        uint32_t expected_rank;
        uint64_t expected[4];
    } cases[] = {
        { 0, { 0 }, 0, { 0 } },
        { 1, { 7 }, 1, { 7 } },
        { 2, { 7, 2 }, 2, { 2, 7 } },
        { 2, { 7, 1 }, 2, { 1, 7 } },
        { 3, { 2, 3, 4 }, 3, { 4, 3, 2 } },
        { 3, { 5, 6, 1 }, 2, { 6, 5 } },
        { 4, { 5, 6, 1, 1 }, 2, { 6, 5 } },
        { 4, { 5, 1, 1, 1 }, 2, { 1, 5 } },
        { 4, { 2, 1, 3, 1 }, 3, { 3, 1, 2 } },
        { 4, { 1, 1, 1, 2 }, 4, { 2, 1, 1, 1 } },
    };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(cases); i++) {
        gguf_writer file;
        reading read;

        put_head(&file, 3, 1, 0);
        put_tensor(&file, "t", cases[i].rank, cases[i].dimensions, 24, 0); /* I8 */
        put_data(&file, 32, 30);
        read_sound(&read, &file);
        assert_int_equal(read.tensors[0].rank, cases[i].expected_rank);
        for (uint32_t k = 0; k < cases[i].expected_rank; k++)
            assert_int_equal(read.tensors[0].shape[k], cases[i].expected[k]);
        free(read.file);
    }
}

/* Number, name, values and bytes of a block, as the format's documentation has them. */
static const struct {
    uint32_t number;
    const char *name;
    uint32_t values;
    uint32_t bytes;
    snug_type type;
} types[] = {
    { 0, "F32", 1, 4, SNUG_TYPE_F32 },          { 1, "F16", 1, 2, SNUG_TYPE_F16 },
    { 2, "Q4_0", 32, 18, SNUG_TYPE_Q4_0 },      { 3, "Q4_1", 32, 20, SNUG_TYPE_Q4_1 },
    { 6, "Q5_0", 32, 22, SNUG_TYPE_Q5_0 },      { 7, "Q5_1", 32, 24, SNUG_TYPE_Q5_1 },
    { 8, "Q8_0", 32, 34, SNUG_TYPE_Q8_0 },      { 9, "Q8_1", 32, 36, SNUG_TYPE_NONE },
    { 10, "Q2_K", 256, 84, SNUG_TYPE_Q2_K },    { 11, "Q3_K", 256, 110, SNUG_TYPE_Q3_K },
    { 12, "Q4_K", 256, 144, SNUG_TYPE_Q4_K },   { 13, "Q5_K", 256, 176, SNUG_TYPE_Q5_K },
    { 14, "Q6_K", 256, 210, SNUG_TYPE_Q6_K },   { 15, "Q8_K", 256, 292, SNUG_TYPE_NONE },
    { 16, "IQ2_XXS", 256, 66, SNUG_TYPE_NONE }, { 17, "IQ2_XS", 256, 74, SNUG_TYPE_NONE },
    { 18, "IQ3_XXS", 256, 98, SNUG_TYPE_NONE }, { 19, "IQ1_S", 256, 50, SNUG_TYPE_NONE },
    { 20, "IQ4_NL", 32, 18, SNUG_TYPE_IQ4_NL }, { 21, "IQ3_S", 256, 110, SNUG_TYPE_NONE },
    { 22, "IQ2_S", 256, 82, SNUG_TYPE_NONE },   { 23, "IQ4_XS", 256, 136, SNUG_TYPE_IQ4_XS },
    { 24, "I8", 1, 1, SNUG_TYPE_NONE },         { 25, "I16", 1, 2, SNUG_TYPE_NONE },
    { 26, "I32", 1, 4, SNUG_TYPE_NONE },        { 27, "I64", 1, 8, SNUG_TYPE_NONE },
    { 28, "F64", 1, 8, SNUG_TYPE_NONE },        { 29, "IQ1_M", 256, 56, SNUG_TYPE_NONE },
    { 30, "BF16", 1, 2, SNUG_TYPE_BF16 },       { 34, "TQ1_0", 256, 54, SNUG_TYPE_NONE },
    { 35, "TQ2_0", 256, 66, SNUG_TYPE_NONE },   { 39, "MXFP4", 32, 17, SNUG_TYPE_MXFP4 },
    { 40, "NVFP4", 64, 36, SNUG_TYPE_NONE },    { 41, "Q1_0", 128, 18, SNUG_TYPE_NONE },
    { 42, "Q2_0", 64, 18, SNUG_TYPE_NONE },
};

static void knows_the_layout_of_every_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(types); i++) {
        const uint64_t whole[] = { 2 * types[i].values, 3 };
        const uint64_t broken[] = { types[i].values + types[i].values / 2, 2 };
        gguf_writer file;
        reading read;

        put_head(&file, 3, 1, 0);
        put_tensor(&file, "t", 2, whole, types[i].number, 0);
        put_data(&file, 32, 6 * types[i].bytes);
        read_sound(&read, &file);
        assert_int_equal(read.tensors[0].type, types[i].type);
        assert_true(snug_str_is(read.tensors[0].type_name, types[i].name));
        assert_int_equal(read.tensors[0].bytes, 6 * types[i].bytes);
        free(read.file);

        file.count--;
        expect_refusal(&file, SNUG_ERR_CORRUPT, "cut");
        if (types[i].values == 1)
            continue;
        put_head(&file, 3, 1, 0);
        put_tensor(&file, "t", 2, broken, types[i].number, 0);
        put_data(&file, 32, 6 * types[i].bytes);
        expect_refusal(&file, SNUG_ERR_CORRUPT, types[i].name);
    }
}

static void refuses_types_that_are_none(void **state)
{
    static const uint32_t numbers[] = { 4, 5, 31, 32, 33, 36, 37, 38, 43, 1000, UINT32_MAX };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(numbers); i++) {
        gguf_writer file;
        char sentence[40];

        put_head(&file, 3, 1, 0);
        put_tensor(&file, "wanted", 1, (const uint64_t[]){ 256 }, numbers[i], 0);
        put_data(&file, 32, 1024);
        snprintf(sentence, sizeof sentence, "'wanted' is of type %lu,", (unsigned long)numbers[i]);
        expect_refusal(&file, SNUG_ERR_UNSUPPORTED, sentence);
    }
}

/* --- metadata ------------------------------------------------------------------------------------------- */

static void put_number(gguf_writer *file, const char *key, snug_gguf_type type, const void *value,
                       size_t bytes)
{
    put_key(file, key, type);
    put_bytes(file, value, bytes);
}

/* One key of each type, negative where the type can be; keys not in alphabetical order. */
static void put_every_type(gguf_writer *file)
{
    put_number(file, "u8", SNUG_GGUF_U8, "\xfe", 1);
    put_number(file, "i8", SNUG_GGUF_I8, "\xfe", 1);
    put_number(file, "u16", SNUG_GGUF_U16, "\xfe\xff", 2);
    put_number(file, "i16", SNUG_GGUF_I16, "\x01\x80", 2);
    put_number(file, "u32", SNUG_GGUF_U32, "\xfe\xff\xff\xff", 4);
    put_number(file, "i32", SNUG_GGUF_I32, "\x40\x42\x0f\x00", 4);
    put_number(file, "f32", SNUG_GGUF_F32, "\x00\x00\xc0\xbf", 4);
    put_number(file, "yes", SNUG_GGUF_BOOL, "\x01", 1);
    put_number(file, "no", SNUG_GGUF_BOOL, "\x00", 1);
    put_number(file, "maybe", SNUG_GGUF_BOOL, "\x02", 1);
    put_key(file, "string", SNUG_GGUF_STRING);
    put_text(file, "h\xc3\xa9");
    put_key(file, "list", SNUG_GGUF_ARRAY);
    put_u32(file, SNUG_GGUF_I16);
    put_u64(file, 3);
    put_bytes(file, "\x01\x00\xff\xff\x02\x01", 6);
    put_key(file, "texts", SNUG_GGUF_ARRAY);
    put_u32(file, SNUG_GGUF_STRING);
    put_u64(file, 2);
    put_text(file, "");
    put_text(file, "b");
    put_key(file, "nothing", SNUG_GGUF_ARRAY);
    put_u32(file, SNUG_GGUF_F64);
    put_u64(file, 0);
    put_number(file, "u64", SNUG_GGUF_U64, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    put_number(file, "i64", SNUG_GGUF_I64, "\x00\x00\x00\x00\x00\x00\x00\x80", 8);
    put_number(file, "f64", SNUG_GGUF_F64, "\x00\x00\x00\x00\x00\x00\xd0\x3f", 8);
}
#define EVERY_TYPE_COUNT 17

static void reads_integers_and_floats_of_every_width(void **state)
{
    static const struct {
        const char *key;
        bool is_unsigned;
        uint64_t integer;
        bool is_number;
        double number;
    } cases[] = {
        { "u8", true, 254, true, 254.0 },
        { "i8", false, 0, true, -2.0 },
        { "u16", true, 65534, true, 65534.0 },
        { "i16", false, 0, true, -32767.0 },
        { "u32", true, 4294967294u, true, 4294967294.0 },
        { "i32", true, 1000000, true, 1000000.0 },
        { "u64", true, UINT64_MAX, true, 18446744073709551615.0 },
        { "i64", false, 0, true, -9223372036854775808.0 },
        { "f32", false, 0, true, -1.5 },
        { "f64", false, 0, true, 0.25 },
        { "yes", false, 0, false, 0.0 },
        { "string", false, 0, false, 0.0 },
        { "list", false, 0, false, 0.0 },
        { "absent", false, 0, false, 0.0 },
    };
    gguf_writer file;
    reading read;

    (void)state;
    put_head(&file, 3, 0, EVERY_TYPE_COUNT);
    put_every_type(&file);
    read_sound(&read, &file);
    for (size_t i = 0; i < SNUG_COUNT(cases); i++) {
        const snug_gguf_value value = snug_gguf_find(&read.view, cases[i].key);
        uint64_t integer = 77;
        double number = 77.0;

        assert_int_equal(snug_gguf_u64(&integer, value), cases[i].is_unsigned);
        assert_true(integer == (cases[i].is_unsigned ? cases[i].integer : 77));
        assert_int_equal(snug_gguf_f64(&number, value), cases[i].is_number);
        assert_true(number == (cases[i].is_number ? cases[i].number : 77.0));
    }
    free(read.file);
}

static void reads_bools_strings_and_lists(void **state)
{
    gguf_writer file;
    reading read;
    snug_gguf_value list;
    snug_str string;
    double number;
    bool is_set;

    (void)state;
    put_head(&file, 3, 0, EVERY_TYPE_COUNT);
    put_every_type(&file);
    read_sound(&read, &file);
    for (size_t i = 1; i < read.view.entry_count; i++)
        assert_true(strncmp(read.entries[i - 1].key.data, read.entries[i].key.data, 2) <= 0);
    assert_true(snug_gguf_bool(&is_set, snug_gguf_find(&read.view, "yes")) && is_set);
    assert_true(snug_gguf_bool(&is_set, snug_gguf_find(&read.view, "no")) && !is_set);
    assert_false(snug_gguf_bool(&is_set, snug_gguf_find(&read.view, "maybe")));
    assert_false(snug_gguf_bool(&is_set, snug_gguf_find(&read.view, "u8")));
    assert_true(snug_gguf_string(&string, snug_gguf_find(&read.view, "string")));
    assert_true(snug_str_is(string, "h\xc3\xa9"));
    assert_false(snug_gguf_string(&string, snug_gguf_find(&read.view, "texts")));
    list = snug_gguf_find(&read.view, "list");
    assert_true(list.type == SNUG_GGUF_ARRAY && list.element_type == SNUG_GGUF_I16 && list.count == 3);
    assert_true(snug_gguf_f64(&number, snug_gguf_element(list, 1)) && number == -1.0);
    assert_true(snug_gguf_f64(&number, snug_gguf_element(list, 2)) && number == 258.0);
    assert_null(snug_gguf_element(list, 3).at);
    assert_null(snug_gguf_element(list, UINT64_MAX).at);
    list = snug_gguf_find(&read.view, "texts");
    assert_true(list.element_type == SNUG_GGUF_STRING && list.count == 2);
    assert_null(snug_gguf_element(list, 0).at);
    list = snug_gguf_find(&read.view, "nothing");
    assert_true(list.at && list.count == 0 && !snug_gguf_element(list, 0).at);
    assert_null(snug_gguf_element(snug_gguf_find(&read.view, "u8"), 0).at);
    free(read.file);
}

static void refuses_metadata_that_does_not_fit(void **state)
{
    gguf_writer file;

    (void)state;
    put_head(&file, 3, 0, 2);
    for (unsigned i = 0; i < 2; i++)
        put_number(&file, "one.key", SNUG_GGUF_U8, "\x01", 1);
    expect_refusal(&file, SNUG_ERR_CORRUPT, "'one.key' is given twice");

    put_head(&file, 3, 0, 1);
    put_number(&file, "k", (snug_gguf_type)13, "\0\0\0\0\0\0\0\0", 8);
    expect_refusal(&file, SNUG_ERR_CORRUPT, "'k' has a value of type 13");

    put_head(&file, 3, 0, 1);
    put_u64(&file, UINT64_MAX);
    put_bytes(&file, "key and more than that", 22);
    expect_refusal(&file, SNUG_ERR_CORRUPT, "key of metadata 0");

    /* A control character must not reach a terminal. */
    put_head(&file, 3, 0, 1);
    put_number(&file, "k\x1b[2J", (snug_gguf_type)99, "\0\0\0\0\0\0\0\0", 8);
    expect_refusal(&file, SNUG_ERR_CORRUPT, "'k' has a value of type 99");

    put_head(&file, 3, 0, 1);
    put_key(&file, "s", SNUG_GGUF_STRING);
    put_u64(&file, UINT64_MAX - 3);
    expect_refusal(&file, SNUG_ERR_CORRUPT, "ends in the value of 's'");
}

static void refuses_arrays_that_do_not_fit(void **state)
{
    static const struct {
        uint32_t type;
        uint64_t count;
        snug_status status;
        const char *sentence;
    } cases[] = {
        { SNUG_GGUF_F64, (uint64_t)1 << 61, SNUG_ERR_CORRUPT, "2305843009213693952 elements" },
        { SNUG_GGUF_STRING, (uint64_t)1 << 40, SNUG_ERR_CORRUPT, "1099511627776 elements" },
        { SNUG_GGUF_STRING, (uint64_t)1 << 61, SNUG_ERR_CORRUPT, "elements" },
        { SNUG_GGUF_U8, 17, SNUG_ERR_CORRUPT, "17 elements, but only 16 bytes" },
        { SNUG_GGUF_U16, 9, SNUG_ERR_CORRUPT, "9 elements" },
        { SNUG_GGUF_ARRAY, 1, SNUG_ERR_UNSUPPORTED, "array of arrays" },
        { 13, 1, SNUG_ERR_CORRUPT, "array of type 13" },
        { 77, 0, SNUG_ERR_CORRUPT, "array of type 77" },
    };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(cases); i++) {
        gguf_writer file;

        put_head(&file, 3, 0, 1);
        put_key(&file, "k", SNUG_GGUF_ARRAY);
        put_u32(&file, cases[i].type);
        put_u64(&file, cases[i].count);
        put_bytes(&file, "0123456789abcdef", 16);
        expect_refusal(&file, cases[i].status, cases[i].sentence);
    }
}

static void obeys_the_alignment(void **state)
{
    static const struct {
        uint32_t alignment;
        const char *sentence; /* NULL: sound */
    } cases[] = {
        { 8, NULL },   { 16, NULL },    { 128, NULL },
        { 0, "is 0" }, { 1, "is 1" },   { 3, "is 3" },
        { 4, "is 4" }, { 24, "is 24" }, { 0x80000001u, "2147483649" },
    };

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(cases); i++) {
        const uint32_t alignment = cases[i].alignment;
        gguf_writer file;
        reading read;

        put_head(&file, 3, 2, 1);
        put_key(&file, "general.alignment", SNUG_GGUF_U32);
        put_u32(&file, alignment);
        put_tensor(&file, "a", 1, (const uint64_t[]){ 2 }, 0, 0);
        put_tensor(&file, "b", 1, (const uint64_t[]){ 2 }, 0, cases[i].sentence ? 32 : alignment);
        put_data(&file, cases[i].sentence ? 32 : alignment, alignment % 1024 + 8);
        if (cases[i].sentence) {
            expect_refusal(&file, SNUG_ERR_CORRUPT, cases[i].sentence);
            continue;
        }
        read_sound(&read, &file);
        assert_int_equal(read.view.alignment, alignment);
        assert_ptr_equal(read.tensors[1].data, read.file + file.count - 8);
        free(read.file);
    }
}

/* --- the head and the tensors --------------------------------------------------------------------------- */

static void refuses_other_files(void **state)
{
    static const struct {
        uint32_t version;
        const char *sentence;
    } versions[] = {
        { 0, "version 0" },
        { 1, "version 1" },
        { 4, "version 4" },
        { 99, "version 99" },
        { 0x03000000u, "big-endian" },
        { 0x02000000u, "big-endian" },
    };
    gguf_writer file;

    (void)state;
    for (size_t i = 0; i < SNUG_COUNT(versions); i++) {
        put_head(&file, versions[i].version, 0, 0);
        expect_refusal(&file, SNUG_ERR_UNSUPPORTED, versions[i].sentence);
    }
    put_head(&file, 3, 0, 0);
    file.bytes[3] = 'L';
    expect_refusal(&file, SNUG_ERR_CORRUPT, "not a GGUF file");
    put_head(&file, 3, (uint64_t)1 << 63, 0);
    expect_refusal(&file, SNUG_ERR_CORRUPT, "9223372036854775808 tensors");
    put_head(&file, 3, 0, UINT64_MAX);
    expect_refusal(&file, SNUG_ERR_CORRUPT, "18446744073709551615 metadata");
    put_head(&file, 3, 1, 0);
    expect_refusal(&file, SNUG_ERR_CORRUPT, "1 tensors");
}

/* However short: a sentence, and no byte beyond the end is read. */
static void refuses_a_file_cut_anywhere(void **state)
{
    gguf_writer file;
    size_t count;

    (void)state;
    put_head(&file, 3, 2, EVERY_TYPE_COUNT);
    put_every_type(&file);
    put_tensor(&file, "a", 2, (const uint64_t[]){ 8, 4 }, 0, 0);
    put_tensor(&file, "b", 2, (const uint64_t[]){ 8, 4 }, 0, 128);
    put_data(&file, 32, 256);
    count = file.count;
    for (file.count = 0; file.count < count; file.count++) {
        reading read;

        assert_int_equal(read_written(&read, &file), SNUG_ERR_CORRUPT);
        assert_true(read.error.text[0] != '\0');
        free(read.file);
    }
    for (; file.count < count + 40; put_bytes(&file, "", 1)) { /* more behind the data is legal */
        reading read;

        read_sound(&read, &file);
        free(read.file);
    }
}

/* Two tensors, the first sound. */
static void refuse_second(const char *name, uint32_t rank, const uint64_t *dimensions, uint64_t offset,
                          const char *sentence)
{
    gguf_writer file;

    put_head(&file, 3, 2, 0);
    put_tensor(&file, "first", 1, (const uint64_t[]){ 16 }, 0, 64);
    put_tensor(&file, name, rank, dimensions, 0, offset);
    put_data(&file, 32, 160);
    expect_refusal(&file, SNUG_ERR_CORRUPT, sentence);
}

static void refuses_damaged_tensors(void **state)
{
    static const uint64_t sixteen[] = { 16 };
    static const uint64_t wrapping[] = { (uint64_t)1 << 33, (uint64_t)1 << 33 };
    static const uint64_t four_wrapping[] = { 65536, 65536, 65536, 65536 };
    static const uint64_t negative[] = { 16, (uint64_t)-32 };
    static const uint64_t zero[] = { 16, 0 };

    (void)state;
    refuse_second("first", 1, sixteen, 0, "'first' is described twice");
    refuse_second("t", 1, sixteen, 96, "'first' and 't' share bytes");
    refuse_second("t", 1, sixteen, 32, "'t' and 'first' share bytes");
    refuse_second("t", 1, sixteen, 64, "share bytes");
    refuse_second("t", 1, sixteen, 16, "offset 16, expected a multiple of 32");
    refuse_second("t", 1, sixteen, (uint64_t)1 << 40, "64 bytes at offset 1099511627776");
    refuse_second("t", 1, sixteen, UINT64_MAX - 31, "offset 18446744073709551584");
    refuse_second("t", 2, wrapping, 0, "more than 2^64 bytes");
    refuse_second("t", 4, four_wrapping, 0, "more than 2^64 bytes");
    refuse_second("t", 2, negative, 0, "dimension of -32");
    refuse_second("t", 2, zero, 0, "dimension of 0");
    refuse_second("", 1, sixteen, 0, "tensor 1 has no name");
    refuse_second("t\xff", 1, sixteen, 0, "is not UTF-8");
    refuse_second("t", 5, (const uint64_t[]){ 1, 1, 1, 1, 1 }, 0, "5 dimensions");
    refuse_second("t", UINT32_MAX, NULL, 0, "4294967295 dimensions");
}

static void keeps_holes_and_any_order(void **state)
{
    gguf_writer file;
    reading read;

    (void)state;
    put_head(&file, 3, 3, 0);
    put_tensor(&file, "c", 1, (const uint64_t[]){ 1 }, 0, 256);
    put_tensor(&file, "a", 1, (const uint64_t[]){ 8 }, 0, 64);
    put_tensor(&file, "b", 1, (const uint64_t[]){ 8 }, 0, 96);
    put_data(&file, 32, 300);
    read_sound(&read, &file);
    assert_ptr_equal(find(&read, "c")->data, read.view.data + 256);
    assert_ptr_equal(find(&read, "a")->data, read.view.data + 64);
    assert_ptr_equal(find(&read, "b")->data, read.view.data + 96);
    free(read.file);
}

/* Flipped bits: refused or read, nothing else. The sanitizers watch. */
static void survives_any_damage(void **state)
{
    snug_random random = { 11 };
    gguf_writer sound;

    (void)state;
    put_head(&sound, 3, 2, EVERY_TYPE_COUNT);
    put_every_type(&sound);
    put_tensor(&sound, "a", 2, (const uint64_t[]){ 32, 4 }, 2, 0);
    put_tensor(&sound, "b", 2, (const uint64_t[]){ 8, 4 }, 0, 96);
    put_data(&sound, 32, 96 + 128);
    for (unsigned i = 0; i < 20000; i++) {
        gguf_writer file = sound;
        const uint64_t bits = snug_random_next(&random);
        reading read;

        file.bytes[(bits >> 8) % file.count] ^= (unsigned char)(1u << (bits & 7));
        if (bits & 64)
            file.bytes[(bits >> 32) % file.count] = (unsigned char)(bits >> 24);
        (void)read_written(&read, &file);
        free(read.file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_both_versions),
        cmocka_unit_test(reads_a_file_without_tensors_and_padding),
        cmocka_unit_test(turns_shapes_around),
        cmocka_unit_test(knows_the_layout_of_every_type),
        cmocka_unit_test(refuses_types_that_are_none),
        cmocka_unit_test(reads_integers_and_floats_of_every_width),
        cmocka_unit_test(reads_bools_strings_and_lists),
        cmocka_unit_test(refuses_metadata_that_does_not_fit),
        cmocka_unit_test(refuses_arrays_that_do_not_fit),
        cmocka_unit_test(obeys_the_alignment),
        cmocka_unit_test(refuses_other_files),
        cmocka_unit_test(refuses_a_file_cut_anywhere),
        cmocka_unit_test(refuses_damaged_tensors),
        cmocka_unit_test(keeps_holes_and_any_order),
        cmocka_unit_test(survives_any_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
