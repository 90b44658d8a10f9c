/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.h - what the rest of the catalogue asks of the pool of loaded models.
 */
#ifndef SNUG_SRC_CATALOG_POOL_H
#define SNUG_SRC_CATALOG_POOL_H

#include "catalog/catalog.h"

/*
 * Asked when a model's headers are open, and before its tokenizer is: that will take `text_bytes` more of the
 * ledger (0: it is loaded already). Anything but OK ends the load.
 */
typedef snug_status (*catalog_admit_fn)(void *user, const snug_model *model, uint64_t text_bytes,
                                        snug_error *error);

/* snug_catalog_load() with a question. */
SNUG_MUST_CHECK snug_status snug_pool_load(snug_loaded *loaded_out, snug_pool *pool, const char *name,
                                           const snug_load_options *options, catalog_admit_fn admit,
                                           void *user, snug_error *error);

snug_memory *snug_pool_memory(const snug_pool *pool);
const snug_catalog *snug_pool_catalog(const snug_pool *pool);

#endif /* SNUG_SRC_CATALOG_POOL_H */
