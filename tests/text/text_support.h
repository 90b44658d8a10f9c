/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text_support.h - what the tests of text/ share: model folders made on the spot, and the three comparisons.
 * Everything here fails the running test when the system refuses.
 */
#ifndef SNUG_TESTS_TEXT_TEXT_SUPPORT_H
#define SNUG_TESTS_TEXT_TEXT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/status.h"
#include "text/text.h"

/* A temporary folder that is a model to snug_checkpoint_open(): a config and one tensor. */
typedef struct model_folder {
    char path[512];
} model_folder;

void model_folder_create(model_folder *folder);
void model_folder_write(const model_folder *folder, const char *name, const void *data, size_t bytes);
void model_folder_remove(model_folder *folder);

/* A file's bytes with a zero behind them, to be freed; NULL when there is none. */
char *file_read(const char *path, size_t *bytes_out);

/* Whether shared/`name` is there; says once on stderr what is skipped when it is not. */
bool shared_has(const char *name);

typedef struct opened_text {
    snug_memory *memory;
    snug_text *text;
} opened_text;

/* Opens the tokenizer, after the estimate was compared with what the ledger then says. */
void opened_text_open(opened_text *opened, const char *path);
/* Closes it; nothing may be left in the ledger. */
void opened_text_close(opened_text *opened);

void check_ids(const opened_text *opened, const char *utf8, size_t bytes, unsigned flags,
               const uint32_t *expected, size_t count);
/* At once and id by id. */
void check_decoded(const opened_text *opened, const uint32_t *ids, size_t count, unsigned flags,
                   const char *expected, size_t bytes);

/* shared/tokenizers/NAME and `suffix`, as file_read(); the test fails when it is not there. */
char *read_shared(const char *name, const char *suffix, size_t *bytes_out);
/* The texts of shared/tokenizers/NAME.inp against the ids of NAME.out, both ways. */
void check_published(const opened_text *opened, const char *name);

/* A JSON array of ids, to be freed. */
uint32_t *ids_from_json(const json_t *list, size_t *count_out);

/* printf to the end of a growing string. */
typedef struct growing_text {
    char *data;
    size_t bytes;
    size_t capacity;
} growing_text;

void growing_add(growing_text *text, const char *data, size_t bytes);
void growing_print(growing_text *text, const char *format, ...) SNUG_PRINTF(2, 3);
/* As a JSON string, with its quotes. */
void growing_add_json(growing_text *text, const char *data, size_t bytes);

#endif /* SNUG_TESTS_TEXT_TEXT_SUPPORT_H */
