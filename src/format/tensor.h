/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tensor.h - tables of tensors in order. Internal to format/.
 */
#ifndef SNUG_SRC_FORMAT_TENSOR_H
#define SNUG_SRC_FORMAT_TENSOR_H

#include "format/checkpoint.h"

/* Below, at or above 0, as memcmp() says it. */
typedef int (*snug_tensor_compare_fn)(const snug_tensor *a, const snug_tensor *b);

int snug_tensor_compare_names(const snug_tensor *a, const snug_tensor *b);
/* By where the data begins, then by where it ends: empty tensors come before what they touch. */
int snug_tensor_compare_places(const snug_tensor *a, const snug_tensor *b);

/* In place: n log n whatever a file does to provoke it, and no memory, unlike the C library's qsort(). */
void snug_tensor_sort(snug_tensor *tensors, size_t count, snug_tensor_compare_fn compare);

/* The name for sentences: up to the first control character (a file must not reach a terminal's controls),
 * at most 120 bytes. Print with SNUG_STR_ARGS. */
snug_str snug_tensor_name_for_text(const snug_tensor *tensor);

/* "[272, 32]" for sentences; a text too long is cut. */
void snug_tensor_shape_text(char *out, size_t capacity, const snug_tensor *tensor);

#endif /* SNUG_SRC_FORMAT_TENSOR_H */
