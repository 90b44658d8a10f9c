/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gguf.c - see gguf.h. The header is walked with a cursor that knows how much of the file is left: every
 * length and count is held against that before it is used. Each walk is linear in the header, whatever it
 * claims.
 */
#include "format/gguf.h"

#include "base/size.h"
#include "base/status.h"
#include "base/utf8.h"
#include "format/gguf_value.h"
#include "format/tensor.h"

#define HEADER_BYTES      24u
#define ENTRY_BYTES_MIN   13u /* an empty key, a type and a value of one byte */
#define TENSOR_BYTES_MIN  25u /* a name of one byte, no dimension, type and offset */
#define KEY_BYTES_MAX     65535u
#define DIMENSIONS_MAX    4u
#define ALIGNMENT_DEFAULT 32u
#define ALIGNMENT_UNIT    8u

/* --- bytes ---------------------------------------------------------------------------------------------- */

/* Invariant: `left` bytes follow `at` in the file. */
typedef struct cursor {
    const unsigned char *at;
    uint64_t left;
} cursor;

static bool skip(cursor *c, uint64_t bytes)
{
    if (bytes > c->left)
        return false;
    c->at += bytes;
    c->left -= bytes;
    return true;
}

static bool take_u32(uint32_t *out, cursor *c)
{
    const unsigned char *at = c->at;

    if (!skip(c, 4))
        return false;
    *out = (uint32_t)snug_gguf_read_bytes(at, 4);
    return true;
}

static bool take_u64(uint64_t *out, cursor *c)
{
    const unsigned char *at = c->at;

    if (!skip(c, 8))
        return false;
    *out = snug_gguf_read_bytes(at, 8);
    return true;
}

static bool take_string(snug_str *out, cursor *c)
{
    uint64_t bytes;

    if (!take_u64(&bytes, c))
        return false;
    *out = (snug_str){ (const char *)c->at, (size_t)bytes };
    return skip(c, bytes);
}

/* For sentences. */
static snug_str shown(snug_str name)
{
    const snug_tensor tensor = { .name = name };

    return snug_tensor_name_for_text(&tensor);
}

/* --- metadata ------------------------------------------------------------------------------------------- */

static snug_status fail_cut_value(snug_str key, snug_error *error)
{
    SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the file ends in the value of '%.*s': it is cut or damaged",
              SNUG_STR_ARGS(shown(key)));
}

static snug_status read_array(snug_gguf_value *out, cursor *c, snug_str key, snug_error *error)
{
    uint32_t type;
    snug_str string;

    if (!take_u32(&type, c) || !take_u64(&out->count, c))
        return fail_cut_value(key, error);
    if (type == SNUG_GGUF_ARRAY)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "'%.*s' is an array of arrays, which this build does not read",
                  SNUG_STR_ARGS(shown(key)));
    if (type != SNUG_GGUF_STRING && snug_gguf_scalar_bytes(type) == 0)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "'%.*s' is an array of type %lu, expected a type from 0 to 12",
                  SNUG_STR_ARGS(shown(key)), (unsigned long)type);
    if (out->count > c->left / (type == SNUG_GGUF_STRING ? sizeof(uint64_t) : snug_gguf_scalar_bytes(type)))
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "'%.*s' is said to have %llu elements, but only %llu bytes of the file are left",
                  SNUG_STR_ARGS(shown(key)), (unsigned long long)out->count, (unsigned long long)c->left);
    out->element_type = (snug_gguf_type)type;
    out->at = c->at;
    if (type != SNUG_GGUF_STRING)
        (void)skip(c, out->count * snug_gguf_scalar_bytes(type));
    for (uint64_t i = 0; type == SNUG_GGUF_STRING && i < out->count; i++)
        if (!take_string(&string, c))
            return fail_cut_value(key, error);
    return SNUG_OK;
}

static snug_status read_value(snug_gguf_value *out, cursor *c, snug_str key, snug_error *error)
{
    uint32_t type;
    snug_str string;

    if (!take_u32(&type, c))
        return fail_cut_value(key, error);
    if (type != SNUG_GGUF_STRING && type != SNUG_GGUF_ARRAY && snug_gguf_scalar_bytes(type) == 0)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "'%.*s' has a value of type %lu, expected a type from 0 to 12",
                  SNUG_STR_ARGS(shown(key)), (unsigned long)type);
    *out = (snug_gguf_value){ .type = (snug_gguf_type)type, .at = c->at };
    if (type == SNUG_GGUF_ARRAY)
        return read_array(out, c, key, error);
    if (!(type == SNUG_GGUF_STRING ? take_string(&string, c) : skip(c, snug_gguf_scalar_bytes(type))))
        return fail_cut_value(key, error);
    return SNUG_OK;
}

static snug_status read_entry(snug_gguf_entry *out, cursor *c, size_t index, snug_error *error)
{
    if (!take_string(&out->key, c))
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the file ends in the key of metadata %zu: it is cut or damaged",
                  index);
    if (out->key.bytes > KEY_BYTES_MAX)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the key of metadata %zu has %zu bytes, expected at most %u",
                  index, out->key.bytes, KEY_BYTES_MAX);
    return read_value(&out->value, c, out->key, error);
}

/* Let the entry at `top` sink to its place among the first `count` of a heap. */
static void sink(snug_gguf_entry *entries, size_t top, size_t count)
{
    const snug_gguf_entry sinking = entries[top];

    for (size_t child; (child = 2 * top + 1) < count; top = child) {
        if (child + 1 < count && snug_gguf_compare_keys(entries[child].key, entries[child + 1].key) < 0)
            child++;
        if (snug_gguf_compare_keys(entries[child].key, sinking.key) <= 0)
            break;
        entries[top] = entries[child];
    }
    entries[top] = sinking;
}

/* Heapsort, for the reasons of snug_tensor_sort(). */
static void sort_entries(snug_gguf_entry *entries, size_t count)
{
    for (size_t i = count / 2; i-- > 0;)
        sink(entries, i, count);
    for (size_t last = count; last-- > 1;) {
        const snug_gguf_entry largest = entries[0];

        entries[0] = entries[last];
        entries[last] = largest;
        sink(entries, 0, last);
    }
}

snug_status snug_gguf_read_entries(snug_gguf *view, snug_gguf_entry *entries_out, snug_error *error)
{
    cursor c = { view->first_entry, (uint64_t)(view->first_tensor - view->first_entry) };

    for (size_t i = 0; i < view->entry_count; i++)
        SNUG_TRY(read_entry(&entries_out[i], &c, i, error));
    sort_entries(entries_out, view->entry_count);
    for (size_t i = 1; i < view->entry_count; i++)
        if (snug_str_equal(entries_out[i - 1].key, entries_out[i].key))
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the key '%.*s' is given twice",
                      SNUG_STR_ARGS(shown(entries_out[i].key)));
    view->entries = entries_out;
    return SNUG_OK;
}

/* --- types ---------------------------------------------------------------------------------------------- */

/* As files number them. Types that no weight of this build has carry their layout here: their size is checked
 * like that of all others, so that files may hold them where nobody asks for them. */
static const struct type_row {
    uint32_t number;
    snug_type type;
    snug_type_layout unread;
} type_rows[] = {
    { 0, SNUG_TYPE_F32, { NULL, 0, 0 } },           { 1, SNUG_TYPE_F16, { NULL, 0, 0 } },
    { 2, SNUG_TYPE_Q4_0, { NULL, 0, 0 } },          { 3, SNUG_TYPE_Q4_1, { NULL, 0, 0 } },
    { 6, SNUG_TYPE_Q5_0, { NULL, 0, 0 } },          { 7, SNUG_TYPE_Q5_1, { NULL, 0, 0 } },
    { 8, SNUG_TYPE_Q8_0, { NULL, 0, 0 } },          { 9, SNUG_TYPE_NONE, { "Q8_1", 32, 36 } },
    { 10, SNUG_TYPE_Q2_K, { NULL, 0, 0 } },         { 11, SNUG_TYPE_Q3_K, { NULL, 0, 0 } },
    { 12, SNUG_TYPE_Q4_K, { NULL, 0, 0 } },         { 13, SNUG_TYPE_Q5_K, { NULL, 0, 0 } },
    { 14, SNUG_TYPE_Q6_K, { NULL, 0, 0 } },         { 15, SNUG_TYPE_NONE, { "Q8_K", 256, 292 } },
    { 16, SNUG_TYPE_NONE, { "IQ2_XXS", 256, 66 } }, { 17, SNUG_TYPE_NONE, { "IQ2_XS", 256, 74 } },
    { 18, SNUG_TYPE_NONE, { "IQ3_XXS", 256, 98 } }, { 19, SNUG_TYPE_NONE, { "IQ1_S", 256, 50 } },
    { 20, SNUG_TYPE_IQ4_NL, { NULL, 0, 0 } },       { 21, SNUG_TYPE_NONE, { "IQ3_S", 256, 110 } },
    { 22, SNUG_TYPE_NONE, { "IQ2_S", 256, 82 } },   { 23, SNUG_TYPE_IQ4_XS, { NULL, 0, 0 } },
    { 24, SNUG_TYPE_NONE, { "I8", 1, 1 } },         { 25, SNUG_TYPE_NONE, { "I16", 1, 2 } },
    { 26, SNUG_TYPE_NONE, { "I32", 1, 4 } },        { 27, SNUG_TYPE_NONE, { "I64", 1, 8 } },
    { 28, SNUG_TYPE_NONE, { "F64", 1, 8 } },        { 29, SNUG_TYPE_NONE, { "IQ1_M", 256, 56 } },
    { 30, SNUG_TYPE_BF16, { NULL, 0, 0 } },         { 34, SNUG_TYPE_NONE, { "TQ1_0", 256, 54 } },
    { 35, SNUG_TYPE_NONE, { "TQ2_0", 256, 66 } },   { 39, SNUG_TYPE_MXFP4, { NULL, 0, 0 } },
    { 40, SNUG_TYPE_NONE, { "NVFP4", 64, 36 } },    { 41, SNUG_TYPE_NONE, { "Q1_0", 128, 18 } },
    { 42, SNUG_TYPE_NONE, { "Q2_0", 64, 18 } },
};

/* NULL for numbers that stand for no type. */
static const struct type_row *find_type(uint32_t number)
{
    for (size_t i = 0; i < SNUG_COUNT(type_rows); i++)
        if (type_rows[i].number == number)
            return &type_rows[i];
    return NULL;
}

/* --- tensors -------------------------------------------------------------------------------------------- */

/* What the header says of a tensor. */
typedef struct description {
    snug_str name;
    uint32_t rank;
    uint64_t dimensions[DIMENSIONS_MAX]; /* innermost first */
    uint32_t type;
    uint64_t offset;
} description;

static snug_status read_description(description *out, cursor *c, size_t index, snug_error *error)
{
    bool is_whole;

    *out = (description){ .name = { "", 0 } };
    is_whole = take_string(&out->name, c) && take_u32(&out->rank, c);
    if (is_whole && out->name.bytes == 0) /* as padding reads, where too many tensors are announced */
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "tensor %zu has no name: the header is damaged", index);
    if (is_whole && out->rank > DIMENSIONS_MAX)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "tensor '%.*s' has %lu dimensions, expected at most %u",
                  SNUG_STR_ARGS(shown(out->name)), (unsigned long)out->rank, DIMENSIONS_MAX);
    for (uint32_t i = 0; is_whole && i < out->rank; i++)
        is_whole = take_u64(&out->dimensions[i], c);
    if (!is_whole || !take_u32(&out->type, c) || !take_u64(&out->offset, c))
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "the file ends in the description of tensor %zu: it is cut or damaged", index);
    return SNUG_OK;
}

/* The name, the shape and the type; the number of bytes follows from them. */
static snug_status read_layout(snug_tensor *tensor, const description *d, const snug_type_layout *layout,
                               snug_error *error)
{
    const snug_str name = shown(d->name);
    const uint64_t columns = d->rank > 0 ? d->dimensions[0] : 1;
    bool fits;

    if (snug_utf8_valid_bytes(d->name.data, d->name.bytes) != d->name.bytes ||
        memchr(d->name.data, '\0', d->name.bytes))
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the name of tensor '%.*s' is not UTF-8, or holds a zero byte",
                  SNUG_STR_ARGS(name));
    for (uint32_t i = 0; i < d->rank; i++)
        if (d->dimensions[i] == 0 || d->dimensions[i] > INT64_MAX)
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, "tensor '%.*s' has a dimension of %lld, expected at least 1",
                      SNUG_STR_ARGS(name), (long long)(int64_t)d->dimensions[i]);
    if (columns % layout->block_values != 0)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "tensor '%.*s' has rows of %llu values, expected a multiple of %lu, the block of %s",
                  SNUG_STR_ARGS(name), (unsigned long long)columns, (unsigned long)layout->block_values,
                  layout->name);
    fits = snug_multiply_u64(&tensor->bytes, columns / layout->block_values, layout->block_bytes);
    for (uint32_t i = 1; fits && i < d->rank; i++)
        fits = snug_multiply_u64(&tensor->bytes, tensor->bytes, d->dimensions[i]);
    if (!fits)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "the dimensions of tensor '%.*s' make more than 2^64 bytes",
                  SNUG_STR_ARGS(name));
    tensor->rank = d->rank;
    while (tensor->rank > 2 && d->dimensions[tensor->rank - 1] == 1)
        tensor->rank--;
    for (uint32_t i = 0; i < tensor->rank; i++)
        tensor->shape[i] = d->dimensions[tensor->rank - 1 - i];
    return SNUG_OK;
}

static snug_status read_tensor(snug_tensor *tensor, const snug_gguf *view, const description *d,
                               snug_error *error)
{
    const struct type_row *row = find_type(d->type);
    const snug_str name = shown(d->name);
    const snug_type_layout *layout;

    if (!row)
        SNUG_FAIL(
            error, SNUG_ERR_UNSUPPORTED,
            "tensor '%.*s' is of type %lu, which was removed from the format or is newer than this build",
            SNUG_STR_ARGS(name), (unsigned long)d->type);
    layout = row->type == SNUG_TYPE_NONE ? &row->unread : snug_type_layout_of(row->type);
    tensor->name = d->name;
    tensor->type = row->type;
    tensor->type_name = snug_str_from(layout->name);
    SNUG_TRY(read_layout(tensor, d, layout, error));
    if (d->offset % view->alignment != 0)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "tensor '%.*s' begins at offset %llu, expected a multiple of %llu",
                  SNUG_STR_ARGS(name), (unsigned long long)d->offset, (unsigned long long)view->alignment);
    if (d->offset > view->data_bytes || tensor->bytes > view->data_bytes - d->offset)
        SNUG_FAIL(
            error, SNUG_ERR_CORRUPT,
            "tensor '%.*s' has %llu bytes at offset %llu, but the file holds only %llu bytes of data: it is "
            "cut or damaged",
            SNUG_STR_ARGS(name), (unsigned long long)tensor->bytes, (unsigned long long)d->offset,
            (unsigned long long)view->data_bytes);
    tensor->data = view->data + d->offset;
    return SNUG_OK;
}

/* Leaves the tensors in the order of their data. */
static snug_status check_apart(snug_tensor *tensors, size_t count, snug_error *error)
{
    snug_tensor_sort(tensors, count, snug_tensor_compare_names);
    for (size_t i = 1; i < count; i++)
        if (snug_str_equal(tensors[i - 1].name, tensors[i].name))
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, "tensor '%.*s' is described twice",
                      SNUG_STR_ARGS(shown(tensors[i].name)));
    snug_tensor_sort(tensors, count, snug_tensor_compare_places);
    for (size_t i = 1; i < count; i++) {
        const unsigned char *end = (const unsigned char *)tensors[i - 1].data + tensors[i - 1].bytes;

        if ((const unsigned char *)tensors[i].data < end)
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, "tensors '%.*s' and '%.*s' share bytes of the file",
                      SNUG_STR_ARGS(shown(tensors[i - 1].name)), SNUG_STR_ARGS(shown(tensors[i].name)));
    }
    return SNUG_OK;
}

snug_status snug_gguf_read_tensors(snug_tensor *tensors_out, const snug_gguf *view, uint32_t file,
                                   snug_error *error)
{
    cursor c = { view->first_tensor, view->file_bytes - (uint64_t)(view->first_tensor - view->file) };

    for (size_t i = 0; i < view->tensor_count; i++) {
        description d;

        tensors_out[i] = (snug_tensor){ .file = file };
        SNUG_TRY(read_description(&d, &c, i, error));
        SNUG_TRY(read_tensor(&tensors_out[i], view, &d, error));
    }
    return check_apart(tensors_out, view->tensor_count, error);
}

/* --- the header as a whole ------------------------------------------------------------------------------ */

static snug_status check_version(uint32_t version, snug_error *error)
{
    if (version != 0 && version % 65536 == 0)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                  "a GGUF file of a big-endian machine, expected one of a little-endian machine");
    if (version == 1)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
                  "GGUF version 1, expected 2 or 3: convert the model again, with a newer converter");
    if (version != 2 && version != 3)
        SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "GGUF version %lu, expected 2 or 3", (unsigned long)version);
    return SNUG_OK;
}

/* Magic, version and counts; the counts are held against what the file can hold. */
static snug_status read_head(snug_gguf *view, cursor *c, snug_error *error)
{
    uint32_t version = 0;
    uint64_t tensor_count = 0;
    uint64_t entry_count = 0;

    if (view->file_bytes < 4 || memcmp(view->file, "GGUF", 4) != 0)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "not a GGUF file: expected it to begin with the letters GGUF");
    if (!skip(c, 4) || !take_u32(&version, c))
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "a GGUF file of %llu bytes, expected at least %u: it is cut",
                  (unsigned long long)view->file_bytes, HEADER_BYTES);
    SNUG_TRY(check_version(version, error));
    if (!take_u64(&tensor_count, c) || !take_u64(&entry_count, c))
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "a GGUF file of %llu bytes, expected at least %u: it is cut",
                  (unsigned long long)view->file_bytes, HEADER_BYTES);
    if (tensor_count > c->left / TENSOR_BYTES_MIN || entry_count > c->left / ENTRY_BYTES_MIN)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "said to hold %llu tensors and %llu metadata, more than fit in its %llu bytes",
                  (unsigned long long)tensor_count, (unsigned long long)entry_count,
                  (unsigned long long)view->file_bytes);
    view->tensor_count = (size_t)tensor_count;
    view->entry_count = (size_t)entry_count;
    return SNUG_OK;
}

static snug_status read_alignment(snug_gguf *view, snug_gguf_value value, snug_error *error)
{
    if (!snug_gguf_u64(&view->alignment, value))
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "general.alignment is no whole number");
    if (view->alignment < ALIGNMENT_UNIT || (view->alignment & (view->alignment - 1)) != 0)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "general.alignment is %llu, expected a power of two from %u",
                  (unsigned long long)view->alignment, ALIGNMENT_UNIT);
    return SNUG_OK;
}

snug_status snug_gguf_open(snug_gguf *view_out, const void *file, size_t file_bytes, snug_error *error)
{
    snug_gguf view = { .file = file, .file_bytes = file_bytes, .alignment = ALIGNMENT_DEFAULT };
    cursor c = { file, file_bytes };
    uint64_t padding;

    SNUG_TRY(read_head(&view, &c, error));
    view.first_entry = c.at;
    for (size_t i = 0; i < view.entry_count; i++) {
        snug_gguf_entry entry;

        SNUG_TRY(read_entry(&entry, &c, i, error));
        if (snug_str_is(entry.key, "general.alignment"))
            SNUG_TRY(read_alignment(&view, entry.value, error));
    }
    view.first_tensor = c.at;
    for (size_t i = 0; i < view.tensor_count; i++) {
        description unused;

        SNUG_TRY(read_description(&unused, &c, i, error));
    }
    /* A file without data may end without padding. */
    padding = (view.alignment - (file_bytes - c.left) % view.alignment) % view.alignment;
    (void)skip(&c, padding < c.left ? padding : c.left);
    view.data = c.at;
    view.data_bytes = c.left;
    *view_out = view;
    return SNUG_OK;
}
