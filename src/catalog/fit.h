/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fit.h - whether one candidate fits, by the planner. Internal to catalog/.
 */
#ifndef SNUG_SRC_CATALOG_FIT_H
#define SNUG_SRC_CATALOG_FIT_H

#include "catalog/catalog.h"

/* The question, with every default replaced. */
typedef struct catalog_question {
    uint64_t limit_bytes;
    snug_strategy strategy;
    const snug_strategy_rules *rules;
    uint32_t context_tokens; /* 0: the default */
} catalog_question;

/*
 * Plan a source of a model; fills all of `out` but is_chosen and, where it fits, `why`. What cannot be opened
 * is no error. Errors: OVER_LIMIT, NO_MEMORY.
 */
SNUG_MUST_CHECK snug_status snug_catalog_fit(snug_catalog_candidate *out, const catalog_model *model,
                                             size_t source, const catalog_question *question,
                                             snug_error *error);

/* "1.23 GiB", "812.3 MiB": for sentences. */
typedef struct catalog_size_text {
    char text[24];
} catalog_size_text;

catalog_size_text snug_catalog_size(uint64_t bytes);

#endif /* SNUG_SRC_CATALOG_FIT_H */
