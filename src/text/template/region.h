/* SPDX-License-Identifier: Apache-2.0 */
/*
 * region.h - the memory of one job: parsing a template or rendering it.
 *
 * A bump allocator over blocks that grow from 4 to 256 KiB, all charged to the ledger as text and all
 * freed together; only a text builder gives back what it outgrew. The region also keeps the first failure
 * of its job: the functions of the interpreter return false or NULL, and the reason is here.
 */
#ifndef SNUG_SRC_TEXT_TEMPLATE_REGION_H
#define SNUG_SRC_TEXT_TEMPLATE_REGION_H

#include "base/str.h"
#include "memory/memory.h"

/* What is as large as this has a block of its own. */
#define SNUG_REGION_LARGE_BYTES ((size_t)32 << 10)

typedef struct snug_region {
    snug_memory *memory;
    const char *what;   /* names the job in the ledger's sentence */
    snug_error *error;  /* may be NULL */
    snug_status status; /* of the first failure */
    struct region_block *newest;
    char *at; /* the unused rest of the newest block: at .. end, all zero */
    char *end;
    size_t total_bytes;
    size_t limit_bytes;
    size_t next_block_bytes;
} snug_region;

void snug_region_init(snug_region *region, snug_memory *memory, size_t limit_bytes, const char *what,
                      snug_error *error);
void snug_region_deinit(snug_region *region);

/* Record a failure, unless there is one already. Always false, for `return snug_region_fail(...)`. */
bool snug_region_fail(snug_region *region, snug_status status, const char *format, ...) SNUG_PRINTF(3, 4);

/* Zeroed and aligned for any struct of this folder; NULL and a recorded failure when it cannot be had. */
void *snug_region_alloc(snug_region *region, size_t bytes);
void *snug_region_array(snug_region *region, size_t count, size_t item_bytes);

/* `count` items become room for at least one more: twice the room, copied, when `*capacity` is used up. */
void *snug_region_grow(snug_region *region, void *items, size_t count, size_t *capacity, size_t item_bytes);

/* Bytes for text, not aligned, not terminated. */
char *snug_region_text(snug_region *region, size_t bytes);
/* Give back what was allocated at `large` alone, if it has a block of its own; or all else. Nothing may point
 * there any more. */
void snug_region_drop(snug_region *region, const void *large);
void snug_region_drop_others(snug_region *region, const void *large);

bool snug_region_copy(snug_region *region, snug_str *out, snug_str text);

/*
 * `a` followed by `b`. Where `a` is the last thing that was allocated it is extended in place: a chain of
 * n joins then costs its result, not n times it. Other slices of `a` keep their lengths and see no change.
 */
bool snug_region_join(snug_region *region, snug_str *out, snug_str a, snug_str b);

/* A text that grows at its end; starts zeroed but for its region. */
typedef struct snug_builder {
    snug_region *region;
    char *data;
    size_t bytes;
    size_t capacity;
} snug_builder;

/* No text may be longer: what a template can write stays bounded whatever the ledger allows. */
#define SNUG_TEMPLATE_TEXT_BYTES_MAX ((size_t)64 << 20)

bool snug_builder_add(snug_builder *builder, snug_str text);
bool snug_builder_add_text(snug_builder *builder, const char *terminated);
bool snug_builder_add_byte(snug_builder *builder, char byte);
snug_str snug_builder_str(const snug_builder *builder);

#endif /* SNUG_SRC_TEXT_TEMPLATE_REGION_H */
