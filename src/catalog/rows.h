/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows.h - reading a catalogue's JSON. Internal to catalog/.
 */
#ifndef SNUG_SRC_CATALOG_ROWS_H
#define SNUG_SRC_CATALOG_ROWS_H

#include "catalog/catalog.h"

/*
 * Add the models of `text`, which must outlive the catalogue, and make room for `more` of them. Tokenizers
 * that it does not describe are those of `our_text`.
 */
SNUG_MUST_CHECK snug_status snug_catalog_read_rows(snug_catalog *catalog, snug_str text, snug_str our_text,
                                                   size_t more, snug_error *error);

/* An empty row: in the place of the one with that name, or in the room that was made. */
catalog_model *snug_catalog_add(snug_catalog *catalog, const char *name);

#endif /* SNUG_SRC_CATALOG_ROWS_H */
