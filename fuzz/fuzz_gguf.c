/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_gguf.c - any bytes as a GGUF file. Of what is accepted every promise is checked: entries and tensors
 * lie inside the file, no two tensors share bytes, and what is written from them is JSON of the length
 * counted.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/status.h"
#include "format/gguf_config.h"
#include "format/gguf_names.h"
#include "format/tensor.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

static bool is_inside(const snug_gguf *view, const void *at, uint64_t bytes)
{
    const unsigned char *begin = at;

    return begin >= view->file && (uint64_t)(begin - view->file) <= view->file_bytes &&
           bytes <= view->file_bytes - (uint64_t)(begin - view->file);
}

static void *allocate(size_t count, size_t bytes)
{
    void *block = calloc(count + 1, bytes);

    SNUG_ASSERT(block);
    return block;
}

/* Read everything: the address sanitizer stops what lies outside. */
static void check_value(const snug_gguf *view, snug_gguf_value value)
{
    snug_stored_strings strings = { value.at, value.count };
    uint64_t integer;
    double number;
    snug_str string;
    bool is_set;

    SNUG_ASSERT(value.at);
    (void)snug_gguf_u64(&integer, value);
    (void)snug_gguf_f64(&number, value);
    (void)snug_gguf_bool(&is_set, value);
    if (snug_gguf_string(&string, value))
        SNUG_ASSERT(is_inside(view, string.data, string.bytes));
    if (value.type != SNUG_GGUF_ARRAY)
        return;
    if (value.element_type == SNUG_GGUF_STRING)
        while (strings.count > 0) {
            string = snug_stored_strings_next(&strings);
            SNUG_ASSERT(is_inside(view, string.data, string.bytes));
        }
    else
        for (uint64_t i = 0; i < value.count; i++)
            check_value(view, snug_gguf_element(value, i));
    SNUG_ASSERT(!snug_gguf_element(value, value.count).at);
}

static void check_tensors(const snug_gguf *view, const snug_tensor *tensors)
{
    const unsigned char *end = view->data;

    for (size_t i = 0; i < view->tensor_count; i++) {
        const snug_tensor *tensor = &tensors[i];

        SNUG_ASSERT((const unsigned char *)tensor->data >= end);
        SNUG_ASSERT(tensor->bytes > 0 && is_inside(view, tensor->data, tensor->bytes));
        SNUG_ASSERT(is_inside(view, tensor->name.data, tensor->name.bytes));
        SNUG_ASSERT(tensor->rank <= SNUG_TENSOR_RANK_MAX && tensor->type_name.bytes > 0);
        end = (const unsigned char *)tensor->data + tensor->bytes;
    }
}

static void check_text(snug_str text)
{
    snug_error error = { .text = "" };
    snug_json root;

    if (snug_json_check(&root, text, &error) == SNUG_OK)
        SNUG_ASSERT(snug_json_kind_of(root) == SNUG_JSON_OBJECT);
    else
        SNUG_ASSERT(error.text[0] != '\0');
}

static void write_config(const snug_gguf *view, const snug_tensor *tensors)
{
    snug_error error = { .text = "" };
    snug_gguf_texts texts;
    size_t counted, written;
    char *out;

    if (snug_gguf_write_config(&texts, NULL, &counted, view, tensors, view->tensor_count, &error) !=
        SNUG_OK) {
        SNUG_ASSERT(error.text[0] != '\0');
        return;
    }
    out = malloc(counted ? counted : 1);
    SNUG_ASSERT(out);
    SNUG_ASSERT(snug_gguf_write_config(&texts, out, &written, view, tensors, view->tensor_count, &error) ==
                SNUG_OK);
    SNUG_ASSERT(written == counted);
    check_text(texts.config);
    check_text(texts.generation_config);
    check_text(texts.tokenizer_config);
    free(out);
}

static void translate(const snug_gguf *view, const snug_tensor *tensors)
{
    const snug_str architecture = snug_gguf_architecture(view);
    snug_error error = { .text = "" };
    size_t count = 0;
    size_t name_bytes = 0;
    snug_tensor *translated;
    char *names;

    if (snug_gguf_count_names(&count, &name_bytes, tensors, view->tensor_count, architecture, &error) !=
        SNUG_OK) {
        SNUG_ASSERT(error.text[0] != '\0');
        return;
    }
    translated = allocate(count, sizeof *translated);
    names = malloc(name_bytes ? name_bytes : 1);
    SNUG_ASSERT(names);
    snug_gguf_translate_names(translated, names, tensors, view->tensor_count, architecture);
    for (size_t i = 0; i < count; i++) {
        SNUG_ASSERT(is_inside(view, translated[i].data, translated[i].bytes));
        SNUG_ASSERT(is_inside(view, translated[i].name.data, translated[i].name.bytes) ||
                    (translated[i].name.data >= names &&
                     translated[i].name.data + translated[i].name.bytes <= names + name_bytes));
    }
    free(names);
    free(translated);
}

static void read_file(const unsigned char *file, size_t bytes)
{
    snug_error error = { .text = "" };
    snug_gguf view;
    snug_gguf_entry *entries;
    snug_tensor *tensors;

    if (snug_gguf_open(&view, file, bytes, &error) != SNUG_OK) {
        SNUG_ASSERT(error.text[0] != '\0');
        return;
    }
    SNUG_ASSERT(view.entry_count <= bytes && view.tensor_count <= bytes);
    entries = allocate(view.entry_count, sizeof *entries);
    tensors = allocate(view.tensor_count, sizeof *tensors);
    if (snug_gguf_read_entries(&view, entries, &error) != SNUG_OK ||
        snug_gguf_read_tensors(tensors, &view, 0, &error) != SNUG_OK) {
        SNUG_ASSERT(error.text[0] != '\0');
    } else {
        for (size_t i = 0; i < view.entry_count; i++)
            check_value(&view, entries[i].value);
        check_tensors(&view, tensors);
        write_config(&view, tensors);
        translate(&view, tensors);
    }
    free(tensors);
    free(entries);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    unsigned char *file = malloc(bytes ? bytes : 1);

    SNUG_ASSERT(file);
    if (bytes)
        memcpy(file, data, bytes);
    read_file(file, bytes);
    free(file);
    return 0;
}
