/* SPDX-License-Identifier: Apache-2.0 */
/*
 * golden.h - reads the reference results that lie beside a fixture: expected.json and expected.safetensors.
 * Written with jansson and stdio, apart from the library's own readers.
 */
#ifndef SNUG_TESTS_SUPPORT_GOLDEN_H
#define SNUG_TESTS_SUPPORT_GOLDEN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct golden_prompt {
    const char *name;
    uint32_t *ids;
    size_t id_count;
    uint32_t first_position; /* of the first row of logits */
    float *logits;           /* [rows][vocabulary] */
    size_t rows;
    uint32_t *greedy; /* NULL: none */
    size_t greedy_count;
} golden_prompt;

typedef struct golden {
    json_t *json;
    unsigned char *tensors;
    size_t vocabulary;
    double logits_std;
    double tolerance;
    golden_prompt *prompts;
    size_t prompt_count;
} golden;

/* Any safetensors file of two-dimensional tensors. */
typedef struct golden_tensors {
    json_t *header;
    unsigned char *file;
    const unsigned char *data;
} golden_tensors;

typedef struct golden_tensor {
    const unsigned char *data;
    size_t rows;
    size_t columns;
} golden_tensor;

/* False when the file is not there. */
bool golden_tensors_open(golden_tensors *out, const char *path);
void golden_tensors_close(golden_tensors *tensors);
/* Fails the test when there is none of that name. */
golden_tensor golden_tensor_find(const golden_tensors *tensors, const char *name);

/* What lies beside a GGUF fixture: two runs of random ids, the logits of the last rows of each. */
typedef struct golden_pair {
    golden_prompt prompts[2]; /* "short": all rows; "long": the last 4 */
    size_t vocabulary;
} golden_pair;

/* Both fail the test when anything is wrong with a file that is there. False: not there. */
bool golden_pair_open(golden_pair *out, const char *path);
void golden_pair_close(golden_pair *pair);

/* False when the folder is not there. Anything wrong with files that are there fails the test. */
bool golden_open(golden *out, const char *folder);
void golden_close(golden *g);

#endif /* SNUG_TESTS_SUPPORT_GOLDEN_H */
