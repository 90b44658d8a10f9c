/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalog.h - the catalogue inside: its rows, read from JSON into plain structs when it is opened.
 */
#ifndef SNUG_SRC_CATALOG_CATALOG_H
#define SNUG_SRC_CATALOG_CATALOG_H

#include <snug/catalog.h>
#include <snug/hub.h>

#include "base/json.h"
#include "base/str.h"
#include "os/file.h"

#define CATALOG_NAME_BYTES       64
#define CATALOG_TITLE_BYTES      64
#define CATALOG_REPOSITORY_BYTES 128
#define CATALOG_FILE_BYTES       192
#define CATALOG_WEIGHTS_BYTES    24
#define CATALOG_SOURCES_MAX      8
#define CATALOG_PATH_BYTES       1024

/* What a tokenizer holds, for a plan without its file. */
typedef struct catalog_tokenizer {
    uint32_t pieces;
    uint64_t piece_bytes;
    uint32_t merges;
} catalog_tokenizer;

typedef struct catalog_source {
    char repository[CATALOG_REPOSITORY_BYTES];
    char file[CATALOG_FILE_BYTES];
    char weights[CATALOG_WEIGHTS_BYTES];
    char path[CATALOG_PATH_BYTES]; /* "" when not installed */
} catalog_source;

typedef struct catalog_model {
    char name[CATALOG_NAME_BYTES];
    char title[CATALOG_TITLE_BYTES];
    char publisher[CATALOG_TITLE_BYTES];
    char licence[CATALOG_TITLE_BYTES];
    unsigned tiers;
    catalog_tokenizer tokenizer;
    snug_str config; /* text of the object; in the catalogue's file. Empty: planned from files only */
    size_t source_count;
    catalog_source source[CATALOG_SOURCES_MAX];
} catalog_model;

struct snug_catalog {
    snug_memory *memory;
    snug_os_map user_map;
    char cache_folder[CATALOG_PATH_BYTES]; /* "": none */
    catalog_model *models;
    size_t model_count;
    size_t capacity;
};

/* src/catalog/catalog.json. */
extern const char snug_catalog_text[];
extern const size_t snug_catalog_text_bytes;

/* CACHE/models--ORG--NAME, and in it the snapshot that refs/main names; false when too long, or not there. */
bool snug_catalog_repository_folder(char *out, size_t capacity, const char *cache_folder,
                                    const char *repository);
bool snug_catalog_snapshot(char *out, size_t capacity, const char *cache_folder, const char *repository);

/* "ORG/NAME": two plain parts of letters, digits, '.', '_' and '-', neither of them only dots. */
bool snug_hub_is_repository(snug_str text);
/* A path inside a repository: relative, no part of only dots, no control characters nor backslashes. */
bool snug_hub_is_file(snug_str text);

#endif /* SNUG_SRC_CATALOG_CATALOG_H */
