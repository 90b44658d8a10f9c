/* SPDX-License-Identifier: Apache-2.0 */
/*
 * safetensors.c - see safetensors.h. Every number of the header is checked before it is used for anything;
 * names in sentences are shown as the header writes them, escapes and all, so that a file cannot send
 * control characters to a terminal.
 */
#include "format/safetensors.h"

#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "format/tensor.h"

#define LENGTH_BYTES 8u

/* For sentences: no more of a name than fits. */
#define NAME_TEXT       "%.*s"
#define NAME_ARGS(name) (int)snug_min_size((name).bytes, 120), (name).data

typedef struct dtype {
    const char *name;
    uint32_t bits;
    snug_type type; /* NONE: legal in a file, not as a weight */
} dtype;

static const dtype dtypes[] = {
    { "BF16", 16, SNUG_TYPE_BF16 },   { "F16", 16, SNUG_TYPE_F16 },
    { "F32", 32, SNUG_TYPE_F32 },     { "F64", 64, SNUG_TYPE_NONE },
    { "BOOL", 8, SNUG_TYPE_NONE },    { "U8", 8, SNUG_TYPE_NONE },
    { "I8", 8, SNUG_TYPE_NONE },      { "U16", 16, SNUG_TYPE_NONE },
    { "I16", 16, SNUG_TYPE_NONE },    { "U32", 32, SNUG_TYPE_NONE },
    { "I32", 32, SNUG_TYPE_NONE },    { "U64", 64, SNUG_TYPE_NONE },
    { "I64", 64, SNUG_TYPE_NONE },    { "F8_E4M3", 8, SNUG_TYPE_NONE },
    { "F8_E5M2", 8, SNUG_TYPE_NONE }, { "F8_E4M3FNUZ", 8, SNUG_TYPE_NONE },
    { "F8_E8M0", 8, SNUG_TYPE_NONE }, { "F8_E5M2FNUZ", 8, SNUG_TYPE_NONE },
    { "F4", 4, SNUG_TYPE_NONE },      { "F6_E2M3", 6, SNUG_TYPE_NONE },
    { "F6_E3M2", 6, SNUG_TYPE_NONE }, { "C64", 64, SNUG_TYPE_NONE },
};

/* --- the header as a whole ------------------------------------------------------------------------------ */

static uint64_t read_length(const unsigned char *bytes)
{
    uint64_t length = 0;

    for (unsigned i = 0; i < LENGTH_BYTES; i++)
        length |= (uint64_t)bytes[i] << (8 * i);
    return length;
}

static snug_status count_entries(snug_safetensors *view, snug_error *error)
{
    snug_json_iterator iterator = snug_json_iterate(view->header);
    bool has_metadata = false;
    snug_json entry;
    snug_str name;

    while (snug_json_next(&iterator, &name, &entry)) {
        if (snug_json_raw_is(name, "__metadata__")) {
            if (has_metadata || snug_json_kind_of(entry) != SNUG_JSON_OBJECT)
                SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                          "safetensors header: expected __metadata__ once, as an object");
            has_metadata = true;
            continue;
        }
        view->tensor_count++;
        if (memchr(name.data, '\\', name.bytes))
            view->escaped_name_bytes += name.bytes;
    }
    return SNUG_OK;
}

snug_status snug_safetensors_open(snug_safetensors *view_out, const void *file, size_t file_bytes,
                                  snug_error *error)
{
    const unsigned char *bytes = file;
    snug_safetensors view = { .header = { NULL } };
    uint64_t length;
    snug_str text;

    if (file_bytes < LENGTH_BYTES)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "not a safetensors file: it has %zu bytes, expected at least the 8 of the header's length",
                  file_bytes);
    length = read_length(bytes);
    if (length > file_bytes - LENGTH_BYTES || length > SNUG_SAFETENSORS_HEADER_BYTES_MAX)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "not a safetensors file, or cut: its header is said to have %llu bytes, expected at most "
                  "%zu in a file of %zu",
                  (unsigned long long)length,
                  snug_min_size(file_bytes - LENGTH_BYTES, SNUG_SAFETENSORS_HEADER_BYTES_MAX), file_bytes);
    text = (snug_str){ (const char *)bytes + LENGTH_BYTES, (size_t)length };
    if (length == 0 || text.data[0] != '{')
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "not a safetensors file: expected a header that begins with '{' at byte 8");
    if (snug_json_check(&view.header, text, error) != SNUG_OK)
        return snug_fail_prefix(error, SNUG_ERR_CORRUPT, "safetensors header");
    view.data = bytes + LENGTH_BYTES + length;
    view.data_bytes = file_bytes - LENGTH_BYTES - length;
    SNUG_TRY(count_entries(&view, error));
    *view_out = view;
    return SNUG_OK;
}

/* --- one tensor ----------------------------------------------------------------------------------------- */

typedef struct entry_members {
    snug_json dtype;
    snug_json shape;
    snug_json offsets;
} entry_members;

/* The three members, each exactly once. Others are ignored, as the format's own reader does. */
static snug_status find_members(entry_members *members, snug_str name, snug_json entry, snug_error *error)
{
    snug_json_iterator iterator = snug_json_iterate(entry);
    snug_json value;
    snug_str key;

    *members = (entry_members){ { NULL }, { NULL }, { NULL } };
    while (snug_json_next(&iterator, &key, &value)) {
        snug_json *member = snug_json_raw_is(key, "dtype")          ? &members->dtype
                            : snug_json_raw_is(key, "shape")        ? &members->shape
                            : snug_json_raw_is(key, "data_offsets") ? &members->offsets
                                                                    : NULL;

        if (!member)
            continue;
        if (member->at)
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, "tensor '" NAME_TEXT "': " NAME_TEXT " is given twice",
                      NAME_ARGS(name), NAME_ARGS(key));
        *member = value;
    }
    if (!members->dtype.at || !members->shape.at || !members->offsets.at)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "tensor '" NAME_TEXT "': expected an object with dtype, shape and data_offsets",
                  NAME_ARGS(name));
    return SNUG_OK;
}

static snug_status read_dtype(const dtype **dtype_out, snug_str name, snug_json value, snug_error *error)
{
    const snug_str text = snug_json_string(value);

    if (!text.data)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "tensor '" NAME_TEXT "': dtype is %s, expected a string",
                  NAME_ARGS(name), snug_json_kind_name(snug_json_kind_of(value)));
    for (size_t i = 0; i < SNUG_COUNT(dtypes); i++)
        if (snug_json_raw_is(text, dtypes[i].name)) {
            *dtype_out = &dtypes[i];
            return SNUG_OK;
        }
    SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED,
              "tensor '" NAME_TEXT "': dtype '" NAME_TEXT "' is not known to this build", NAME_ARGS(name),
              NAME_ARGS(text));
}

/* Shape, and in *values_out its product. */
static snug_status read_shape(snug_tensor *tensor, uint64_t *values_out, snug_str name, snug_json shape,
                              snug_error *error)
{
    snug_json_iterator iterator = snug_json_iterate(shape);
    uint64_t values = 1;
    snug_json element;

    if (snug_json_kind_of(shape) != SNUG_JSON_ARRAY)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT, "tensor '" NAME_TEXT "': shape is %s, expected an array",
                  NAME_ARGS(name), snug_json_kind_name(snug_json_kind_of(shape)));
    while (snug_json_next(&iterator, NULL, &element)) {
        uint64_t *dimension = &tensor->shape[tensor->rank];

        if (tensor->rank == SNUG_TENSOR_RANK_MAX)
            SNUG_FAIL(error, SNUG_ERR_UNSUPPORTED, "tensor '" NAME_TEXT "' has more than %d dimensions",
                      NAME_ARGS(name), SNUG_TENSOR_RANK_MAX);
        if (!snug_json_u64(dimension, element))
            SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                      "tensor '" NAME_TEXT "': dimension " NAME_TEXT " is no integer from 0 to 2^64 - 1",
                      NAME_ARGS(name), NAME_ARGS(snug_json_text(element)));
        if (!snug_multiply_u64(&values, values, *dimension))
            SNUG_FAIL(error, SNUG_ERR_CORRUPT, "tensor '" NAME_TEXT "': shape " NAME_TEXT " is too large",
                      NAME_ARGS(name), NAME_ARGS(snug_json_text(shape)));
        tensor->rank++;
    }
    *values_out = values;
    return SNUG_OK;
}

/* data_offsets: begin and end of the tensor's bytes, inside the data. */
static snug_status read_range(snug_tensor *tensor, const snug_safetensors *view, snug_str name,
                              snug_json offsets, snug_error *error)
{
    snug_json_iterator iterator = snug_json_iterate(offsets);
    snug_json element[2] = { { NULL }, { NULL } };
    uint64_t range[2];
    snug_json third;

    if (snug_json_kind_of(offsets) != SNUG_JSON_ARRAY || !snug_json_next(&iterator, NULL, &element[0]) ||
        !snug_json_next(&iterator, NULL, &element[1]) || snug_json_next(&iterator, NULL, &third) ||
        !snug_json_u64(&range[0], element[0]) || !snug_json_u64(&range[1], element[1]))
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "tensor '" NAME_TEXT "': data_offsets " NAME_TEXT
                  " are not two integers from 0 to 2^64 - 1",
                  NAME_ARGS(name), NAME_ARGS(snug_json_text(offsets)));
    if (range[0] > range[1] || range[1] > view->data_bytes)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "tensor '" NAME_TEXT
                  "': data_offsets [%llu, %llu], expected a range inside the file's %llu "
                  "bytes of data; the file may be cut",
                  NAME_ARGS(name), (unsigned long long)range[0], (unsigned long long)range[1],
                  (unsigned long long)view->data_bytes);
    tensor->data = view->data + range[0];
    tensor->bytes = range[1] - range[0];
    return SNUG_OK;
}

static snug_status read_tensor(snug_tensor *tensor, const snug_safetensors *view, snug_str name,
                               snug_json entry, snug_error *error)
{
    entry_members members;
    const dtype *kind = NULL;
    uint64_t values = 0;
    uint64_t bits;

    SNUG_TRY(find_members(&members, name, entry, error));
    SNUG_TRY(read_dtype(&kind, name, members.dtype, error));
    SNUG_TRY(read_shape(tensor, &values, name, members.shape, error));
    SNUG_TRY(read_range(tensor, view, name, members.offsets, error));
    tensor->type = kind->type;
    tensor->type_name = snug_str_from(kind->name);
    if (!snug_multiply_u64(&bits, values, kind->bits) || bits % 8 != 0 || bits / 8 != tensor->bytes)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "tensor '" NAME_TEXT "': shape " NAME_TEXT " of %s does not fill its %llu bytes of data",
                  NAME_ARGS(name), NAME_ARGS(snug_json_text(members.shape)), kind->name,
                  (unsigned long long)tensor->bytes);
    return SNUG_OK;
}

/* --- all tensors ---------------------------------------------------------------------------------------- */

/* Tensors in the order of their data must follow each other from the first byte to the last. */
static snug_status check_cover(const snug_tensor *tensors, const snug_safetensors *view, snug_error *error)
{
    const unsigned char *expected = view->data;
    uint64_t left = view->data_bytes;

    for (size_t i = 0; i < view->tensor_count; i++) {
        const snug_tensor *tensor = &tensors[i];

        if ((const unsigned char *)tensor->data != expected)
            SNUG_FAIL(
                error, SNUG_ERR_CORRUPT,
                "tensor '%.*s' begins at byte %llu of the data, expected %llu, where the one before ends: "
                "tensors must neither overlap nor leave holes",
                SNUG_STR_ARGS(snug_tensor_name_for_text(tensor)),
                (unsigned long long)((const unsigned char *)tensor->data - view->data),
                (unsigned long long)(expected - view->data));
        expected += tensor->bytes;
        left -= tensor->bytes;
    }
    if (left > 0)
        SNUG_FAIL(error, SNUG_ERR_CORRUPT,
                  "%llu bytes follow the last tensor's data, expected the end of the file",
                  (unsigned long long)left);
    return SNUG_OK;
}

snug_status snug_safetensors_read(snug_tensor *tensors_out, char *names_out, const snug_safetensors *view,
                                  uint32_t file, snug_error *error)
{
    snug_json_iterator iterator = snug_json_iterate(view->header);
    snug_tensor *tensor = tensors_out;
    snug_json entry;
    snug_str name;

    while (snug_json_next(&iterator, &name, &entry)) {
        if (snug_json_raw_is(name, "__metadata__"))
            continue;
        *tensor = (snug_tensor){ .name = name, .file = file };
        SNUG_TRY(read_tensor(tensor, view, name, entry, error));
        if (memchr(name.data, '\\', name.bytes)) {
            tensor->name = (snug_str){ names_out, snug_json_unescape(names_out, name) };
            names_out += tensor->name.bytes;
        }
        tensor++;
    }
    SNUG_ASSERT(tensor == tensors_out + view->tensor_count);
    snug_tensor_sort(tensors_out, view->tensor_count, snug_tensor_compare_places);
    return check_cover(tensors_out, view, error);
}
