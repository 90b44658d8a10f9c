/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_safetensors.c - any bytes as a safetensors file. Of what is accepted every promise is checked: tensors
 * lie inside the file, cover the data without holes or overlaps, and names are inside their blocks.
 */
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "format/safetensors.h"
#include "format/tensor.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

static void check_tensor(const snug_tensor *tensor, const snug_safetensors *view)
{
    const unsigned char *begin = tensor->data;
    char shape[64];

    SNUG_ASSERT(begin >= view->data && (uint64_t)(begin - view->data) <= view->data_bytes);
    SNUG_ASSERT(tensor->bytes <= view->data_bytes - (uint64_t)(begin - view->data));
    SNUG_ASSERT(tensor->rank <= SNUG_TENSOR_RANK_MAX);
    SNUG_ASSERT(!memchr(tensor->name.data, '\0', tensor->name.bytes));
    snug_tensor_shape_text(shape, sizeof shape, tensor);
    SNUG_ASSERT(strlen(shape) < sizeof shape);
}

static void read_file(const unsigned char *file, size_t bytes)
{
    snug_error error = { .text = "" };
    snug_safetensors view;
    snug_tensor *tensors;
    uint64_t total = 0;
    char *names;

    if (snug_safetensors_open(&view, file, bytes, &error) != SNUG_OK) {
        SNUG_ASSERT(error.text[0] != '\0');
        return;
    }
    tensors = malloc((view.tensor_count + 1) * sizeof *tensors);
    names = malloc(view.escaped_name_bytes + 1);
    SNUG_ASSERT(tensors && names);
    if (snug_safetensors_read(tensors, names, &view, 0, &error) == SNUG_OK) {
        for (size_t i = 0; i < view.tensor_count; i++) {
            check_tensor(&tensors[i], &view);
            total += tensors[i].bytes;
        }
        SNUG_ASSERT(total == view.data_bytes);
        snug_tensor_sort(tensors, view.tensor_count, snug_tensor_compare_names);
        for (size_t i = 1; i < view.tensor_count; i++)
            SNUG_ASSERT(snug_tensor_compare_names(&tensors[i - 1], &tensors[i]) <= 0);
    } else {
        SNUG_ASSERT(error.text[0] != '\0');
    }
    free(names);
    free(tensors);
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
