/* SPDX-License-Identifier: Apache-2.0 */
#include "format/tensor.h"

#include <stdio.h>
#include <string.h>

#include "base/size.h"

int snug_tensor_compare_names(const snug_tensor *a, const snug_tensor *b)
{
    const size_t common = snug_min_size(a->name.bytes, b->name.bytes);
    const int order = common ? memcmp(a->name.data, b->name.data, common) : 0;

    if (order != 0)
        return order;
    return (a->name.bytes > b->name.bytes) - (a->name.bytes < b->name.bytes);
}

int snug_tensor_compare_places(const snug_tensor *a, const snug_tensor *b)
{
    const uintptr_t a_begin = (uintptr_t)a->data;
    const uintptr_t b_begin = (uintptr_t)b->data;

    if (a_begin != b_begin)
        return a_begin < b_begin ? -1 : 1;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

/* Let the tensor at `top` sink to its place among the first `count` of a heap. */
static void sink(snug_tensor *tensors, size_t top, size_t count, snug_tensor_compare_fn compare)
{
    const snug_tensor sinking = tensors[top];
    size_t child;

    while ((child = 2 * top + 1) < count) {
        if (child + 1 < count && compare(&tensors[child], &tensors[child + 1]) < 0)
            child++;
        if (compare(&sinking, &tensors[child]) >= 0)
            break;
        tensors[top] = tensors[child];
        top = child;
    }
    tensors[top] = sinking;
}

static bool is_sorted(const snug_tensor *tensors, size_t count, snug_tensor_compare_fn compare)
{
    for (size_t i = 1; i < count; i++)
        if (compare(&tensors[i - 1], &tensors[i]) > 0)
            return false;
    return true;
}

/* Heapsort. Most files are in order already. */
void snug_tensor_sort(snug_tensor *tensors, size_t count, snug_tensor_compare_fn compare)
{
    if (is_sorted(tensors, count, compare))
        return;
    for (size_t i = count / 2; i-- > 0;)
        sink(tensors, i, count, compare);
    for (size_t last = count - 1; last > 0; last--) {
        const snug_tensor largest = tensors[0];

        tensors[0] = tensors[last];
        tensors[last] = largest;
        sink(tensors, 0, last, compare);
    }
}

snug_str snug_tensor_name_for_text(const snug_tensor *tensor)
{
    snug_str name = tensor->name;

    name.bytes = snug_min_size(name.bytes, 120);
    for (size_t i = 0; i < name.bytes; i++)
        if ((unsigned char)name.data[i] < 0x20 || name.data[i] == 0x7f)
            name.bytes = i;
    return name;
}

void snug_tensor_shape_text(char *out, size_t capacity, const snug_tensor *tensor)
{
    size_t at = 1;

    snprintf(out, capacity, "[");
    for (uint32_t i = 0; i < tensor->rank && at < capacity; i++)
        at += (size_t)snprintf(out + at, capacity - at, "%s%llu", i ? ", " : "",
                               (unsigned long long)tensor->shape[i]);
    if (at < capacity)
        snprintf(out + at, capacity - at, "]");
}
